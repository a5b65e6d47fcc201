-- What is not a message. Times are Unix milliseconds. Secrets are sealed with the data key. Every row has a sum of its
-- values, by row_sum (module `sum`), which this program adds to SQLite: others can read the file, but not write to it.

-- key_check: recognises the data key. batch: number of the last batch that touched messages and registry.
-- clock_day: the last day on which the clock is known to have been, by which one that jumps ahead is recognised.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value NOT NULL,
  sum   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE products (
  id                   INTEGER PRIMARY KEY AUTOINCREMENT,
  ou                   TEXT NOT NULL,
  product_key          TEXT NOT NULL UNIQUE,
  name                 TEXT NOT NULL,
  secret               BLOB NOT NULL,
  enabled              INTEGER NOT NULL,
  activation_enabled   INTEGER NOT NULL,
  activation_ends_at   INTEGER,
  activation_quota     INTEGER NOT NULL,
  model_json           TEXT,
  created              INTEGER NOT NULL,
  -- Clock hour (since 1970) of the last issued secret, and how many were issued in it.
  issued_hour          INTEGER NOT NULL DEFAULT 0,
  issued_count         INTEGER NOT NULL DEFAULT 0,
  -- The model, which may be long, has a sum of its own.
  sum                  INTEGER NOT NULL DEFAULT 0,
  model_sum            INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER products_added AFTER INSERT ON products BEGIN
  UPDATE products SET
    sum = row_sum('product', NEW.id, NEW.ou, NEW.product_key, NEW.name, NEW.secret, NEW.enabled, NEW.activation_enabled,
      NEW.activation_ends_at, NEW.activation_quota, NEW.created, NEW.issued_hour, NEW.issued_count),
    model_sum = row_sum('model', NEW.id, NEW.model_json)
    WHERE id = NEW.id;
END;
CREATE TRIGGER products_changed AFTER UPDATE ON products BEGIN
  UPDATE products SET
    sum = row_sum('product', NEW.id, NEW.ou, NEW.product_key, NEW.name, NEW.secret, NEW.enabled, NEW.activation_enabled,
      NEW.activation_ends_at, NEW.activation_quota, NEW.created, NEW.issued_hour, NEW.issued_count),
    model_sum = row_sum('model', NEW.id, NEW.model_json)
    WHERE id = NEW.id;
END;

CREATE TABLE devices (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  product           INTEGER NOT NULL REFERENCES products (id),
  ou                TEXT NOT NULL,
  device_key        TEXT NOT NULL,
  asset_id          TEXT NOT NULL UNIQUE,
  name              TEXT NOT NULL,
  secret            BLOB NOT NULL,
  secret_version    INTEGER NOT NULL,
  enabled           INTEGER NOT NULL,
  state             TEXT NOT NULL,
  created           INTEGER NOT NULL,
  active_time       INTEGER,
  last_online_time  INTEGER,
  last_offline_time INTEGER,
  last_seen_time    INTEGER,
  lifetime_s        INTEGER,
  sum               INTEGER NOT NULL DEFAULT 0,
  UNIQUE (device_key, ou)
);
CREATE TRIGGER devices_added AFTER INSERT ON devices BEGIN
  UPDATE devices SET
    sum = row_sum('device', NEW.id, NEW.product, NEW.ou, NEW.device_key, NEW.asset_id, NEW.name, NEW.secret, NEW.secret_version,
      NEW.enabled, NEW.state, NEW.created, NEW.active_time, NEW.last_online_time, NEW.last_offline_time, NEW.last_seen_time,
      NEW.lifetime_s)
    WHERE id = NEW.id;
END;
-- Statements that change a device set its sum themselves: a trigger would cost every login a temporary table.
CREATE INDEX devices_product ON devices (product);

-- Newest entries of each device, n counting from 1; device 0 is nobody's.
CREATE TABLE log (
  device   INTEGER NOT NULL,
  n        INTEGER NOT NULL,
  time     INTEGER NOT NULL,
  event    TEXT NOT NULL,
  identity TEXT,
  reason   TEXT,
  code     INTEGER,
  peer     TEXT,
  detail   TEXT,
  sum      INTEGER NOT NULL,
  PRIMARY KEY (device, n)
) WITHOUT ROWID;
CREATE INDEX log_refused ON log (time) WHERE event = 'refused';

CREATE TABLE presence (
  device INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  state  TEXT NOT NULL,
  cause  TEXT NOT NULL,
  sum    INTEGER NOT NULL,
  PRIMARY KEY (device, n)
) WITHOUT ROWID;

-- Latest values, {"point":{"time":…,"value":…},…}, and when the device was last heard: a digest of the messages
-- up to the marks, written lazily.
CREATE TABLE latest (
  device INTEGER PRIMARY KEY,
  seen   INTEGER,
  points TEXT NOT NULL,
  sum    INTEGER NOT NULL
);

-- Up to which message of each file `latest` is complete.
CREATE TABLE marks (
  day TEXT PRIMARY KEY,
  id  INTEGER NOT NULL,
  sum INTEGER NOT NULL
) WITHOUT ROWID;
