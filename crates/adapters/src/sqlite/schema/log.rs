//! The tables of the file of logs: what devices did, who was refused, and who was there when. Times are Unix
//! milliseconds.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        device::DeviceState,
        log::{LogEvent, Reason},
    },
};

use super::{
    super::stream,
    Table,
    happened::{HAPPENED, HAPPENED_KEPT},
    messages::ORIGIN,
    table,
};

table! {
    /// An entry of a device's log, or of nobody.
    LOG of LogRow: "log" as "log", summed as "log" {
        /// 0 is nobody.
        device: i64 = "INTEGER NOT NULL",
        /// Counts from 1 in each log; only the newest entries are there.
        n: i64 = "INTEGER NOT NULL",
        time: UnixMillis = "INTEGER NOT NULL",
        event: LogEvent = "TEXT NOT NULL",
        identity: Option<String> = "TEXT",
        reason: Option<Reason> = "TEXT",
        code: Option<u16> = "INTEGER",
        peer: Option<String> = "TEXT",
        detail: Option<String> = "TEXT",
    }
    later {
        /// With `sequence` the place among all events, in the order of the commits.
        epoch: u64 = "INTEGER",
        sequence: u64 = "INTEGER",
    }
    ",\n  PRIMARY KEY (device, n)\n) WITHOUT ROWID"
}

table! {
    /// A change of a device's presence.
    PRESENCE of PresenceRow: "presence" as "presence", summed as "presence" {
        device: DeviceId = "INTEGER NOT NULL",
        /// Counts from 1 for each device; only the newest changes are there.
        n: i64 = "INTEGER NOT NULL",
        at: UnixMillis = "INTEGER NOT NULL",
        state: DeviceState = "TEXT NOT NULL",
        cause: String = "TEXT NOT NULL",
    } ",\n  PRIMARY KEY (device, n)\n) WITHOUT ROWID"
}

table! {
    /// Devices that are deleted, and whose rows are still there: they go after the commit of the registry.
    GONE of GoneRow: "gone" as "gone", summed as "gone" {
        device: DeviceId = "INTEGER PRIMARY KEY",
    } "\n)"
}

table! {
    /// The one row that says how far the file's batches are complete. See "Several files, one batch" in the
    /// module `writer`.
    FOOTER of FooterRow: "footer" as "f", summed as "log footer" {
        one: i64 = "INTEGER PRIMARY KEY CHECK (one = 1)",
        /// Number of the last batch if it touched the registry too, else the negative number of the
        /// registry's last one before it.
        batch: i64 = "INTEGER NOT NULL",
        /// Counts the file's commits.
        serial: i64 = "INTEGER NOT NULL",
        /// The rows that the last batch added, see the module `added`.
        added: String = "TEXT NOT NULL",
    } "\n)"
}

/// Those that hold what is kept.
pub(in crate::sqlite) static TABLES: [&Table; 5] = [&LOG, &PRESENCE, &GONE, &HAPPENED, &HAPPENED_KEPT];

/// The statements that make them, with their indexes.
pub(in crate::sqlite) fn schema() -> String {
    let tables: String = TABLES.iter().chain(&[&FOOTER, &ORIGIN]).map(|table| table.create()).collect();
    tables + "CREATE INDEX log_refused ON log (time) WHERE event = 'refused';\n" + stream::INDEX
}
