//! The tables of users and their sessions in the registry.

use narrowgate_platform::{firmware::Sha256Sum, ids::UnixMillis, model::access::Role};

use super::table;

table! {
    /// A user.
    USERS of UserRow: "users" as "u", summed as "user" {
        name: String = "TEXT PRIMARY KEY",
        role: Role = "TEXT NOT NULL",
        /// NULL: in all organisation units.
        ou: Option<String> = "TEXT",
        created: UnixMillis = "INTEGER NOT NULL",
        enabled: bool = "INTEGER NOT NULL",
        /// As the hash says of itself; NULL: none was set.
        password: Option<String> = "TEXT",
        /// The SHA-256 of the secret of a one-time link.
        link: Option<Sha256Sum> = "BLOB",
        link_expires: Option<UnixMillis> = "INTEGER",
    } "\n) WITHOUT ROWID"
}

table! {
    /// A session of a user. `n` is the order in which they began. Its secret is not kept, only the SHA-256.
    USER_SESSIONS of UserSessionRow: "user_sessions" as "v", summed as "user session" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        hash: Sha256Sum = "BLOB NOT NULL UNIQUE",
        user: String = "TEXT NOT NULL",
        begun: UnixMillis = "INTEGER NOT NULL",
        seen: UnixMillis = "INTEGER NOT NULL",
    } "\n)"
}

/// How one is found by other keys than its first.
pub(super) const INDEXES: &str = "CREATE INDEX users_link ON users (link) WHERE link IS NOT NULL;\n\
                                  CREATE INDEX user_sessions_user ON user_sessions (user);\n";
