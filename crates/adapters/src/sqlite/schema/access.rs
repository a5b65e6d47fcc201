//! The tables of organisation units and tokens in the registry.

use narrowgate_platform::{firmware::Sha256Sum, ids::UnixMillis, model::access::Role};

use super::table;

table! {
    /// An organisation unit; the default one has no row. `n` is the order in which they came.
    UNITS of UnitRow: "units" as "o", summed as "unit" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        ou: String = "TEXT NOT NULL UNIQUE",
        name: String = "TEXT NOT NULL UNIQUE",
        created: UnixMillis = "INTEGER NOT NULL",
    }
    later {
        /// Since when it is suspended; `None`: it is not. Its products have it too.
        suspended: UnixMillis = "INTEGER",
        /// Products, devices, and reports of a day that it may have; `None`: any number.
        products_max: u32 = "INTEGER",
        devices_max: u32 = "INTEGER",
        reports_max: u32 = "INTEGER",
        /// The day (since 1970) in which reports were last counted, and how many there were.
        reports_day: i64 = "INTEGER",
        reports_count: u32 = "INTEGER",
    }
    "\n)"
}

table! {
    /// A request with an idempotency key. `n` is the order in which they came.
    REQUESTS of RequestRow: "requests" as "r", summed as "request" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        owner: String = "TEXT NOT NULL",
        key: Sha256Sum = "BLOB NOT NULL",
        at: UnixMillis = "INTEGER NOT NULL",
        /// Bytes of the answer.
        bytes: i64 = "INTEGER NOT NULL",
        /// What it asks for, and the answer, once there is one.
        sealed: Vec<u8> = "BLOB NOT NULL",
    } ",\n  UNIQUE (owner, key)\n)"
}

/// The indexes.
pub(super) const INDEXES: &str = "CREATE INDEX requests_of_owner ON requests (owner, n, bytes);\n";

table! {
    /// A token. Its text is not kept, only the SHA-256 of it.
    TOKENS of TokenRow: "tokens" as "t", summed as "token" {
        name: String = "TEXT PRIMARY KEY",
        role: Role = "TEXT NOT NULL",
        /// NULL: in all organisation units.
        ou: Option<String> = "TEXT",
        created: UnixMillis = "INTEGER NOT NULL",
        /// NULL: never.
        expires: Option<UnixMillis> = "INTEGER",
        hash: Sha256Sum = "BLOB NOT NULL UNIQUE",
    } "\n) WITHOUT ROWID"
}
