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
    } "\n)"
}

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
