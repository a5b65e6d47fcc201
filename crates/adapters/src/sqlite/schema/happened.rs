//! The tables of what happened beside reports: one of each in the registry and in the file of logs.

use narrowgate_platform::ids::UnixMillis;

use super::table;

table! {
    /// Something that followers of live events are told, and that is no message. The registry has what
    /// changes there, the file of logs what has an entry in a log; see the module `stream`.
    HAPPENED of HappenedRow: "happened" as "h", summed as "happened" {
        /// The order of the commits; only the newest rows are there.
        n: i64 = "INTEGER PRIMARY KEY",
        /// With `sequence` the place among all events, in the order of the commits.
        epoch: u64 = "INTEGER NOT NULL",
        sequence: u64 = "INTEGER NOT NULL",
        /// Counts what one write or change has caused. Of a row that tells several, the last one's number.
        part: u16 = "INTEGER NOT NULL",
        /// 0 is nobody.
        device: i64 = "INTEGER NOT NULL",
        time: UnixMillis = "INTEGER NOT NULL",
        /// Bytes of all rows up to this one, also of those that are not there any more.
        bytes: i64 = "INTEGER NOT NULL",
        /// As it is told, without the keys of its device: JSON. A list where one write has caused several.
        what: String = "TEXT NOT NULL",
    }
    later {
        /// The organisation unit of the device; empty: it is nobody's. NULL: an earlier program wrote it.
        ou: String = "TEXT",
        /// What the row counts of the bytes that are kept, also once it is blanked; NULL as above.
        size: i64 = "INTEGER",
    }
    "\n)"
}

table! {
    /// How much of [`HAPPENED`] is kept of each unit, and what is gone; see the module `stream::kept`.
    HAPPENED_KEPT of KeptRow: "happened_kept" as "k", summed as "happened kept" {
        whose: String = "TEXT PRIMARY KEY",
        /// The newest row that was counted when this was written.
        n: i64 = "INTEGER NOT NULL",
        bytes: i64 = "INTEGER NOT NULL",
        /// With the next two the place of the last one that is gone; 0: none is.
        epoch: u64 = "INTEGER NOT NULL",
        sequence: u64 = "INTEGER NOT NULL",
        part: u16 = "INTEGER NOT NULL",
    } "\n) WITHOUT ROWID"
}
