-- What is not a message. Times are Unix milliseconds. Secrets are sealed with the data key.

-- key_check: recognises the data key. batch: number of the last batch that touched messages and registry.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value NOT NULL
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
  issued_count         INTEGER NOT NULL DEFAULT 0
);

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
  UNIQUE (device_key, ou)
);
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
  PRIMARY KEY (device, n)
) WITHOUT ROWID;
CREATE INDEX log_refused ON log (time) WHERE event = 'refused';

CREATE TABLE presence (
  device INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  state  TEXT NOT NULL,
  cause  TEXT NOT NULL,
  PRIMARY KEY (device, n)
) WITHOUT ROWID;

-- Latest values, {"point":{"time":…,"value":…},…}, and when the device was last heard: a digest of the messages
-- up to the marks, written lazily. sum: checksum of device and points (module `sum`).
CREATE TABLE latest (
  device INTEGER PRIMARY KEY,
  seen   INTEGER,
  points TEXT NOT NULL,
  sum    INTEGER NOT NULL
);

-- Up to which message of each file `latest` is complete.
CREATE TABLE marks (
  day TEXT PRIMARY KEY,
  id  INTEGER NOT NULL
) WITHOUT ROWID;
