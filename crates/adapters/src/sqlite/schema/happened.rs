//! The table of what happened beside reports: one in the registry and one in the file of logs.

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
    } "\n)"
}
