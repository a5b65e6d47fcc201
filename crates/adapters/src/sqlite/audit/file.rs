//! The file: its tables, and what is read and written there.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use narrowgate_platform::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::audit::{AuditEntry, AuditHead},
    ports::{AUDIT_READ_MAX, AuditPage, AuditRead, NoteId},
    rules::audit::{ChainEnd, Line},
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, ffi, params};
use serde::Deserialize;

use crate::sqlite::files::{open_existing, sync_parent, with_suffix};

/// Its mark in the header of the file.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"NGau");

/// Its format. The second one knows to which store it belongs.
const VERSION: i32 = 2;

/// The name of the store; no row: not known yet.
const STORE: &str = "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)";

/// How long to wait for another process that ends with the file.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Entries that are deleted in one transaction.
const PRUNED_MAX: u64 = 10_000;

/// How long an entry is kept at least, while there are fewer than twice as many as are to be kept: 90 days.
const AGE_MIN_MS: i64 = 90 * 86_400_000;

/// An entry is never changed: only the oldest are deleted, and the hash of the last one of them is kept.
const SCHEMA: &str = "
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  entry TEXT NOT NULL,
  hash BLOB NOT NULL
);
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT raise(ABORT, 'an entry of the audit log is never changed'); END;
CREATE TABLE notes (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  entry TEXT NOT NULL
);
CREATE TABLE anchor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  count INTEGER NOT NULL,
  hash BLOB NOT NULL
);
INSERT INTO anchor VALUES (1, 0, zeroblob(32));
";

/// Device and inode.
pub(super) type FileId = (u64, u64);

/// A file that is open.
pub(super) struct Opened {
    pub(super) connection: Connection,
    id: FileId,
}

impl Opened {
    fn new(file: &Path, connection: Connection) -> rusqlite::Result<Self> {
        let id = id_of(file).ok_or_else(|| cannot_open("it is not there".to_owned()))?;
        Ok(Self { connection, id })
    }

    /// Whether its tables are there; they come a moment after the file.
    pub(super) fn is_made(&self) -> rusqlite::Result<bool> {
        self.connection.pragma_query_value(None, "user_version", |row| Ok(row.get::<_, i32>(0)? > 0))
    }

    /// Which file it is, whatever its name.
    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Whether it still has its name: what is written to another one is lost.
    pub(super) fn is_in_place(&self, file: &Path) -> bool {
        id_of(file) == Some(self.id)
    }
}

pub(super) fn id_of(file: &Path) -> Option<FileId> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino()))
}

/// Opens the file for writing, or makes it at this time.
pub(super) fn open(file: &Path, now: UnixMillis) -> rusqlite::Result<Opened> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Ok(_) => put_aside_log(file)
            .map_err(|error| error.to_string())
            .and_then(|()| sync_parent(file).map_err(|error| error.to_string()))
            .map_err(cannot_open)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot_open(error.to_string())),
    }
    let mut connection = open_existing(file)?;
    connection.busy_timeout(BUSY_MAX)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (version, application_id) = (number("user_version")?, number("application_id")?);
    match (version, application_id) {
        (0, 0) => make(&mut connection, now)?,
        (1, APPLICATION_ID) => upgrade(&mut connection)?,
        (_, other) if other != APPLICATION_ID => return Err(cannot_open("it is no audit log".to_owned())),
        (newer, _) if newer > VERSION => {
            let reason = format!("a newer narrowgate made it (format {newer}, this one knows {VERSION})");
            return Err(cannot_open(reason));
        }
        _ => {}
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(cannot_open("this file system does not allow a write-ahead log".to_owned()));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", "off")?;
    Opened::new(file, connection)
}

/// SQLite would replay the log of an earlier file of this name into the new one. It is kept: it may hold the
/// last entries of that.
fn put_aside_log(file: &Path) -> io::Result<()> {
    let if_there = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    // Not in the place of one that was kept before.
    let names = (0..).map(|n| if n == 0 { ".left-wal".to_owned() } else { format!(".left-wal.{n}") });
    let kept = names.map(|name| with_suffix(file, &name)).find(|kept| !kept.exists());
    if let Some(kept) = kept {
        if_there(fs::rename(with_suffix(file, "-wal"), kept))?;
    }
    if_there(fs::remove_file(with_suffix(file, "-shm")))
}

fn make(connection: &mut Connection, now: UnixMillis) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(STORE)?;
    // Numbers of notes are not those of a file that was here before: some of its may be on their way.
    let first = now.0.max(0).saturating_mul(1000);
    transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('notes', ?1)", [first])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Format 1 did not know its store.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(STORE)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// To which store it belongs, if that is known.
pub(super) fn store(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT id FROM store", [], |row| row.get(0)).optional()
}

/// It belongs to this store.
pub(super) fn set_store(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let insert = "INSERT INTO store (one, id) VALUES (1, ?1) ON CONFLICT DO UPDATE SET id = excluded.id";
    connection.execute(insert, [id]).map(drop)
}

fn cannot_open(reason: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(reason))
}

/// A connection for reading.
pub(super) fn open_reader(file: &Path) -> rusqlite::Result<Opened> {
    let connection = open_existing(file)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "trusted_schema", "off")?;
    Opened::new(file, connection)
}

/// Reads, at one moment; without what is noted elsewhere.
pub(super) fn read(connection: &Connection, read: AuditRead) -> rusqlite::Result<AuditPage> {
    let transaction = connection.unchecked_transaction()?;
    let (sql, bound) = match read {
        AuditRead::Newest { before } => (
            "SELECT seq, entry, hash FROM entries WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
            before.map_or(i64::MAX, number),
        ),
        AuditRead::Behind(seq) => {
            ("SELECT seq, entry, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2", number(seq))
        }
    };
    let mut select = transaction.prepare_cached(sql)?;
    let rows = select.query_map(params![bound, AUDIT_READ_MAX as i64], line)?;
    let lines = rows.collect::<rusqlite::Result<_>>()?;
    let (begin, end) = (begin(&transaction)?, end(&transaction)?);
    Ok(AuditPage { lines, begin, end, noted: None })
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A row, also one that somebody has written anything into: then its hash fits nothing.
fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let seq: i64 = row.get(0)?;
    let form = String::from_utf8_lossy(row.get_ref(1)?.as_bytes().unwrap_or_default()).into_owned();
    Ok(Line { seq: seq.cast_unsigned(), form, hash: hash(row, 2)? })
}

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Sha256Sum> {
    let bytes = row.get_ref(column)?.as_bytes().unwrap_or_default();
    Ok(Sha256Sum(bytes.try_into().unwrap_or_default()))
}

fn chain_end(row: &Row<'_>) -> rusqlite::Result<ChainEnd> {
    Ok(ChainEnd { count: row.get::<_, i64>(0)?.cast_unsigned(), head: hash(row, 1)? })
}

/// What the first entry that is kept follows.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<ChainEnd> {
    connection.query_row("SELECT count, hash FROM anchor", [], chain_end)
}

/// Where the chain ends.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<ChainEnd> {
    let last = "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1";
    let last = connection.prepare_cached(last)?.query_row([], chain_end).optional()?;
    last.map_or_else(|| begin(connection), Ok)
}

/// Whether the chain has ended so once. Nobody can tell of entries that were deleted after their time.
pub(super) fn has_reached(connection: &Connection, known: ChainEnd) -> rusqlite::Result<bool> {
    let begin = begin(connection)?;
    if known.count <= begin.count {
        return Ok(known.count < begin.count || known.head == begin.head);
    }
    let found = connection
        .prepare_cached("SELECT seq, hash FROM entries WHERE seq = ?1")?
        .query_row([number(known.count)], chain_end)
        .optional()?;
    Ok(found == Some(known))
}

/// Notes what is about to be done.
pub(super) fn note(transaction: &Transaction<'_>, entry: &AuditEntry) -> rusqlite::Result<NoteId> {
    // Texts and numbers can always be written.
    let text = serde_json::to_string(entry).unwrap_or_default();
    transaction.prepare_cached("INSERT INTO notes (entry) VALUES (?1)")?.execute([text])?;
    Ok(NoteId(transaction.last_insert_rowid()))
}

/// Removes a note that became an entry.
pub(super) fn forget(transaction: &Transaction<'_>, note: NoteId) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM notes WHERE n = ?1")?.execute([note.0])?;
    Ok(())
}

/// All notes, in the order in which they were made; `None` in place of one that cannot be read.
pub(super) fn notes(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(NoteId, Option<AuditEntry>)>> {
    let mut select = transaction.prepare("SELECT n, entry FROM notes ORDER BY n")?;
    let rows = select.query_map([], |row| {
        let text = row.get_ref(1)?.as_bytes().unwrap_or_default();
        Ok((NoteId(row.get(0)?), serde_json::from_slice(text).ok()))
    })?;
    rows.collect()
}

/// Appends an entry behind `end`.
pub(super) fn append(
    transaction: &Transaction<'_>,
    end: &mut ChainEnd,
    entry: &AuditEntry,
) -> rusqlite::Result<()> {
    let Line { seq, form, hash } = end.append(entry);
    let insert = "INSERT INTO entries (seq, entry, hash) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(insert)?.execute(params![number(seq), form, hash.0])?;
    Ok(())
}

/// How many entries are kept, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// So many.
    pub(super) kept_max: u64,
    /// Now.
    pub(super) now: UnixMillis,
}

/// When the newest entry was made; `None`: there is none, or it cannot be read.
pub(super) fn newest(transaction: &Transaction<'_>) -> rusqlite::Result<Option<UnixMillis>> {
    time_of(transaction, "SELECT entry FROM entries WHERE seq > ?1 ORDER BY seq DESC LIMIT 1", 0)
}

/// The time of the entry that is selected by a number.
fn time_of(transaction: &Transaction<'_>, select: &str, seq: u64) -> rusqlite::Result<Option<UnixMillis>> {
    #[derive(Deserialize)]
    struct Asked {
        time: UnixMillis,
    }
    let text = transaction
        .prepare_cached(select)?
        .query_row([number(seq)], |row| Ok(row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec()));
    let asked = text.optional()?.and_then(|text| serde_json::from_slice::<Asked>(&text).ok());
    Ok(asked.map(|asked| asked.time))
}

impl Keeping {
    /// How many entries there are beyond what is kept.
    fn excess(self, begin: ChainEnd, end: ChainEnd) -> u64 {
        end.count.saturating_sub(begin.count).saturating_sub(self.kept_max)
    }

    /// Whether there is no room for what changed nothing: it would push out what is not old enough.
    pub(super) fn is_full(self, transaction: &Transaction<'_>, end: ChainEnd) -> rusqlite::Result<bool> {
        let begin = begin(transaction)?;
        // With the one that is to come.
        let excess = self.excess(begin, ChainEnd { count: end.count.saturating_add(1), ..end });
        Ok(excess > 0 && self.is_young(transaction, begin.count)?)
    }

    /// Whether the first entry behind this number may not go yet. One that cannot be read may.
    fn is_young(self, transaction: &Transaction<'_>, seq: u64) -> rusqlite::Result<bool> {
        let select = "SELECT entry FROM entries WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let time = time_of(transaction, select, seq)?;
        Ok(time.is_some_and(|time| time.0.saturating_add(AGE_MIN_MS) > self.now.0))
    }

    /// Deletes the oldest entries where there are more than so many, and remembers what the next one follows.
    /// Those that are not old enough go where there are twice as many.
    pub(super) fn prune(self, transaction: &Transaction<'_>, end: ChainEnd) -> rusqlite::Result<()> {
        let begin = begin(transaction)?;
        let excess = self.excess(begin, end);
        // Some at a time: of a large log not one with each commit.
        if excess == 0 || excess < self.kept_max / 100 {
            return Ok(());
        }
        let mut count = excess.min(PRUNED_MAX);
        while count > 0 && self.is_young(transaction, begin.count.saturating_add(count - 1))? {
            count /= 2;
        }
        // However young: they must not fill the disk.
        count = count.max(excess.saturating_sub(self.kept_max).min(PRUNED_MAX));
        if count == 0 {
            return Ok(());
        }
        // Where the row was taken away, the one before it, or else the next one: there must be an anchor.
        let last = number(begin.count.saturating_add(count));
        let before = "SELECT seq, hash FROM entries WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1";
        let behind = "SELECT seq, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let mut anchor = transaction.query_row(before, [last], chain_end).optional()?;
        if anchor.is_none() {
            anchor = transaction.query_row(behind, [last], chain_end).optional()?;
        }
        let Some(ChainEnd { count, head }) = anchor else { return Ok(()) };
        transaction.execute("UPDATE anchor SET count = ?1, hash = ?2", params![number(count), head.0])?;
        transaction.execute("DELETE FROM entries WHERE seq <= ?1", [number(count)])?;
        Ok(())
    }
}

/// The end that was noted last, if that can be read.
pub(super) fn read_head(file: &Path) -> Option<ChainEnd> {
    let text = fs::read(file).ok()?;
    let head: AuditHead = serde_json::from_slice(&text).ok()?;
    ChainEnd::read(&head)
}

/// Notes where the chain ends. It is not made durable: after a power cut it may be an earlier end.
pub(super) fn write_head(file: &Path, end: ChainEnd) -> io::Result<()> {
    let draft = with_suffix(file, ".new");
    let mut text = serde_json::to_vec(&end.shown()).map_err(io::Error::other)?;
    text.push(b'\n');
    let mut open = OpenOptions::new();
    let mut draft_file = open.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    io::Write::write_all(&mut draft_file, &text)?;
    fs::rename(&draft, file)
}
