-- Reports that arrived on one day (UTC), in the order of their commits. Times are Unix milliseconds. sum: checksum of the
-- other columns (module `sum`).
CREATE TABLE messages (
  id      INTEGER PRIMARY KEY,
  device  INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  time    INTEGER NOT NULL,
  arrival INTEGER NOT NULL,
  points  TEXT NOT NULL,
  sum     INTEGER NOT NULL
);
CREATE INDEX messages_device_time ON messages (device, time);

-- One row. time_min, time_max: no message outside of them. batch: number of the last batch if it touched the
-- registry too (else 0), first_id: its first message. See "Two files, one batch" in the module's documentation.
CREATE TABLE footer (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  batch    INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  time_min INTEGER NOT NULL,
  time_max INTEGER NOT NULL,
  sum      INTEGER NOT NULL
);
