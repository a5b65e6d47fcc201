//! From an older format to the present one, before anything else is done with the registry.
//!
//! 1. Is there room for a copy of the registry, and as much again for what moves out of it? If not, nothing
//!    is changed and the error says how much it takes. A copy that an earlier attempt left makes room: it is
//!    deleted.
//! 2. The registry's log is written back (where another program reads the registry, that cannot be done, and
//!    there is no upgrade), and the file is copied as it is to `registry.db.format-N`, N being
//!    the format that it has: complete under that name, or not at all. To go back, put that copy in the
//!    registry's place.
//! 3. All steps to the present format are one transaction, which moves the format's number last. A process
//!    that is killed at any point leaves a registry of the old format or of the new one; the next start does
//!    the rest.
//! 4. What a step made empty is given back to the file system (`VACUUM`). Where that fails, the registry is
//!    larger than it has to be.
//!
//! A step adds tables, and columns that may be NULL (see the module `schema`), and rewrites no row, so it
//! takes no longer for a million devices than for one. But the step to format 5 copies all logs as they are,
//! damaged rows too, into a file of their own (module [`logs`]), without what cannot be read; and the step to
//! format 6 gives the models of products their numbers (module [`models`]). Message files are not migrated:
//! each keeps its format.

mod logs;
mod models;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;
use rusqlite::{Connection, TransactionBehavior};

use super::{
    day_file,
    error::OpenError,
    files::{Layout, REGISTRY, open_existing, sync_parent, with_suffix},
    stream,
};

/// What the transaction and SQLite's files beside the registry take, whatever its size.
const ROOM_BYTES: u64 = 1 << 20;

/// The steps: what makes a registry of this format one of the next.
const STEPS: [(u32, Step); 16] = [
    (3, to_4),
    (4, to_5),
    (5, to_6),
    (6, to_7),
    (7, to_8),
    (8, to_9),
    (9, to_10),
    (10, to_11),
    (11, to_12),
    (12, to_13),
    (13, to_14),
    (14, to_15),
    (15, to_16),
    (16, to_17),
    (17, to_18),
    (18, to_19),
];

/// Pages of the registry that are not used, from which on it is made smaller: 4 MiB.
const UNUSED_PAGES_MAX: i64 = 1024;

type Step = fn(&Connection, &Layout) -> Result<(), OpenError>;

/// Upgrades a registry of an older format, which was checked and found in order, to the present format. The
/// data directory is locked.
pub(super) fn migrate(layout: &Layout, found: u32) -> Result<(), OpenError> {
    migrate_and_tell(layout, found, &|_| {})
}

/// As [`migrate`]; reports each point that it reaches.
fn migrate_and_tell(layout: &Layout, found: u32, tell: &dyn Fn(&str)) -> Result<(), OpenError> {
    let pass = |point: &str| {
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass(point);
        tell(point);
    };
    let registry = layout.registry();
    let copy = with_suffix(&registry, &format!(".format-{found}"));
    check_room(&registry, &copy, free_bytes)?;
    let sqlite = |source| OpenError::sqlite(&registry, source);
    let mut connection = open_existing(&registry).map_err(sqlite)?;
    connection.pragma_update(None, "synchronous", "full").map_err(sqlite)?;
    if !day_file::checkpoint(&connection).map_err(sqlite)? {
        return Err(OpenError::ReadByOthers { file: registry });
    }
    remove_left(&copy)?;
    pass("migration-before-copy");
    copy_durably(&registry, &copy, &pass)?;
    pass("migration-copied");
    apply(&mut connection, layout, found, &pass)?;
    pass("migration-committed");
    if let Err(error) = shrink(&connection) {
        tracing::warn!(%error, "the registry is not made smaller: pages of it stay unused");
    }
    tracing::info!(
        from = found,
        to = REGISTRY.version,
        copy = %copy.display(),
        "the registry has the present format now; the copy is as it was before"
    );
    Ok(())
}

/// All steps, and then the format's number, in one transaction.
fn apply(
    connection: &mut Connection,
    layout: &Layout,
    found: u32,
    pass: &dyn Fn(&str),
) -> Result<(), OpenError> {
    let registry = layout.registry();
    let sqlite = |source| OpenError::sqlite(&registry, source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    for (from, step) in STEPS {
        if from >= found {
            step(&transaction, layout)?;
            pass("migration-step");
        }
    }
    transaction.pragma_update(None, "user_version", REGISTRY.version).map_err(sqlite)?;
    pass("migration-before-commit");
    transaction.commit().map_err(sqlite)
}

/// Gives what is not used back to the file system, where it is much.
fn shrink(registry: &Connection) -> rusqlite::Result<()> {
    let unused: i64 = registry.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if unused > UNUSED_PAGES_MAX || logs::has_lost_pages(registry)? {
        registry.execute_batch("VACUUM")?;
        day_file::checkpoint(registry)?;
    }
    Ok(())
}

/// Refuses where there is no room for the copy and for what moves out of the registry, be it with the room of
/// what an earlier attempt left.
fn check_room(registry: &Path, copy: &Path, free: impl Fn(&Path) -> Option<u64>) -> Result<(), OpenError> {
    let size = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
    let needed = 2 * (size(registry) + size(&with_suffix(registry, "-wal"))) + ROOM_BYTES;
    let folder = registry.parent().unwrap_or(Path::new("."));
    let left = size(copy) + size(&draft_of(copy));
    match free(folder).map(|free| free.saturating_add(left)) {
        Some(free) if free < needed => {
            Err(OpenError::NoRoomToMigrate { file: registry.to_owned(), needed, free })
        }
        // Where the system does not say, the copy itself fails.
        _ => Ok(()),
    }
}

/// Bytes that are free for this process.
fn free_bytes(folder: &Path) -> Option<u64> {
    let system = statvfs(folder).ok()?;
    Some(system.blocks_available().saturating_mul(system.fragment_size()))
}

/// Where a copy is written before it is complete.
fn draft_of(copy: &Path) -> PathBuf {
    with_suffix(copy, ".new")
}

/// Removes the copy that an earlier attempt left, complete or not: the registry itself still has this format.
fn remove_left(copy: &Path) -> Result<(), OpenError> {
    for file in [&draft_of(copy), copy] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io(file, "the copy of an earlier attempt cannot be removed", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies a file: complete and durable under the new name, or not at all.
fn copy_durably(from: &Path, to: &Path, pass: &dyn Fn(&str)) -> Result<(), OpenError> {
    let draft = draft_of(to);
    let copied = fs::copy(from, &draft)
        .and_then(|_| File::open(&draft)?.sync_all())
        .map_err(|source| OpenError::io(&draft, "the registry cannot be copied", source));
    pass("migration-copy-drafted");
    let renamed = copied.and_then(|()| {
        fs::rename(&draft, to).map_err(|source| OpenError::io(to, "the registry cannot be copied", source))
    });
    if renamed.is_err() {
        // Ignored: nobody uses it. Its removal gives a full disk its space back.
        let _: io::Result<()> = fs::remove_file(&draft);
    }
    renamed.and_then(|()| sync_parent(to))
}

/// Format 4: logins have numbers, and log entries their place among all events. Sums are written with their
/// rows, no longer by triggers.
fn to_4(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "DROP TRIGGER products_added; \
         DROP TRIGGER products_changed; \
         DROP TRIGGER devices_added; \
         ALTER TABLE devices ADD COLUMN login_number INTEGER; \
         ALTER TABLE log ADD COLUMN epoch INTEGER; \
         ALTER TABLE log ADD COLUMN sequence INTEGER",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 5: attributes and tags of devices, commands, and a file of their own for the logs.
fn to_5(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE properties (device INTEGER NOT NULL, kind TEXT NOT NULL, changed INTEGER NOT NULL, \
         json TEXT NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (device, kind)) WITHOUT ROWID; \
         CREATE TABLE commands ( \
           n INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL, id INTEGER NOT NULL, \
           kind TEXT NOT NULL, service TEXT, params TEXT NOT NULL, pending_ttl_s INTEGER NOT NULL, \
           timeout_s INTEGER NOT NULL, created INTEGER NOT NULL, state TEXT NOT NULL, code INTEGER, \
           data TEXT, sent INTEGER, ended INTEGER, sum INTEGER NOT NULL, UNIQUE (device, id)); \
         CREATE INDEX commands_device ON commands (device, n); \
         CREATE INDEX commands_open ON commands (device, n) WHERE ended IS NULL",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))?;
    logs::move_out(registry, layout)
}

/// Format 6: versions of thing models, and numbers for their elements.
fn to_6(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE models (product INTEGER NOT NULL, version INTEGER NOT NULL, created INTEGER NOT NULL, \
         model_id TEXT, json TEXT, sum INTEGER NOT NULL, PRIMARY KEY (product, version)); \
         CREATE TABLE model_numbers (product INTEGER PRIMARY KEY, json TEXT NOT NULL, sum INTEGER NOT NULL)",
    );
    let numbered = added.and_then(|()| models::begin_versions(registry));
    numbered.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 7: when commands are expected to be fetched, and when they were fetched first.
fn to_7(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "ALTER TABLE commands ADD COLUMN expected_at INTEGER; \
         ALTER TABLE commands ADD COLUMN expected_spread INTEGER; \
         ALTER TABLE commands ADD COLUMN fetched INTEGER",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 8: products name a class of retention.
fn to_8(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch("ALTER TABLE products ADD COLUMN retention TEXT");
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 9: products have a profile.
fn to_9(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch("ALTER TABLE products ADD COLUMN profile TEXT");
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 10: what a device says of a command, for people.
fn to_10(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch("ALTER TABLE commands ADD COLUMN message TEXT");
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 11: products say whether their devices may use short paths.
fn to_11(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch("ALTER TABLE products ADD COLUMN short_paths INTEGER");
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 12: products say what their devices speak and have scripts, and commands may be bytes.
fn to_12(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "ALTER TABLE products ADD COLUMN data_format TEXT; \
         ALTER TABLE commands ADD COLUMN raw BLOB; \
         CREATE TABLE scripts (product INTEGER NOT NULL, version INTEGER NOT NULL, created INTEGER NOT NULL, \
         author TEXT NOT NULL, restores INTEGER, source TEXT NOT NULL, sum INTEGER NOT NULL, \
         PRIMARY KEY (product, version))",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 13: images of firmware, who gets them, and the versions that devices say.
fn to_13(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE images (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, \
         product_key TEXT NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL, \
         uploaded INTEGER NOT NULL, since INTEGER, share INTEGER, paused TEXT, done INTEGER NOT NULL, \
         failed INTEGER NOT NULL, sum INTEGER NOT NULL, UNIQUE (product_key, version)); \
         CREATE TABLE upgrades (n INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL, \
         device INTEGER NOT NULL, state TEXT NOT NULL, failure TEXT, command INTEGER, \
         attempts INTEGER NOT NULL, progress INTEGER, said TEXT, since INTEGER NOT NULL, \
         moved INTEGER NOT NULL, due INTEGER, sum INTEGER NOT NULL, UNIQUE (image, device)); \
         CREATE TABLE versions (device INTEGER PRIMARY KEY, version TEXT NOT NULL, said INTEGER NOT NULL, \
         sum INTEGER NOT NULL); \
         CREATE INDEX upgrades_device ON upgrades (device); \
         CREATE INDEX upgrades_state ON upgrades (image, state, device); \
         CREATE INDEX upgrades_due ON upgrades (image, due, device) WHERE due IS NOT NULL",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 14: organisation units beside the default one, and tokens.
fn to_14(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE units (n INTEGER PRIMARY KEY AUTOINCREMENT, ou TEXT NOT NULL UNIQUE, \
         name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, sum INTEGER NOT NULL); \
         CREATE TABLE tokens (name TEXT PRIMARY KEY, role TEXT NOT NULL, ou TEXT, created INTEGER NOT NULL, \
         expires INTEGER, hash BLOB NOT NULL UNIQUE, sum INTEGER NOT NULL) WITHOUT ROWID",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 15: users and their sessions.
fn to_15(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE users (name TEXT PRIMARY KEY, role TEXT NOT NULL, ou TEXT, created INTEGER NOT NULL, \
         enabled INTEGER NOT NULL, password TEXT, link BLOB, link_expires INTEGER, sum INTEGER NOT NULL) \
         WITHOUT ROWID; \
         CREATE TABLE user_sessions (n INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, \
         user TEXT NOT NULL, begun INTEGER NOT NULL, seen INTEGER NOT NULL, sum INTEGER NOT NULL); \
         CREATE INDEX users_link ON users (link) WHERE link IS NOT NULL; \
         CREATE INDEX user_sessions_user ON user_sessions (user)",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 16: products say by which code their devices' GETs are answered.
fn to_16(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch("ALTER TABLE products ADD COLUMN content_code TEXT");
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 17: organisation units may be suspended, and their products with them, and have quotas; requests
/// with idempotency keys.
fn to_17(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "ALTER TABLE products ADD COLUMN suspended INTEGER; \
         ALTER TABLE units ADD COLUMN suspended INTEGER; \
         ALTER TABLE units ADD COLUMN products_max INTEGER; \
         ALTER TABLE units ADD COLUMN devices_max INTEGER; \
         ALTER TABLE units ADD COLUMN reports_max INTEGER; \
         ALTER TABLE units ADD COLUMN reports_day INTEGER; \
         ALTER TABLE units ADD COLUMN reports_count INTEGER; \
         CREATE TABLE requests (n INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, key BLOB NOT NULL, \
         at INTEGER NOT NULL, bytes INTEGER NOT NULL, sealed BLOB NOT NULL, sum INTEGER NOT NULL, \
         UNIQUE (owner, key))",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 18: what followers of live events are told. The file of logs gets such a table when it is opened.
fn to_18(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let added = registry.execute_batch(
        "CREATE TABLE happened (n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, \
         part INTEGER NOT NULL, device INTEGER NOT NULL, time INTEGER NOT NULL, bytes INTEGER NOT NULL, \
         what TEXT NOT NULL, sum INTEGER NOT NULL)",
    );
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

/// Format 19: what is told to followers is kept by organisation units, and answers by who has asked.
fn to_19(registry: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let indexed = "CREATE INDEX requests_of_owner ON requests (owner, n, bytes)";
    let added = registry.execute_batch(indexed).and_then(|()| stream::upgrade(registry));
    added.map_err(|error| OpenError::sqlite(&layout.registry(), error))
}

#[cfg(test)]
mod tests;
