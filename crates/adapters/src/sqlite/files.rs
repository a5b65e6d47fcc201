//! SQLite files of our three formats: recognised before SQLite touches them, made at once or not at all.

mod inspect;
mod look;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, ffi};

pub(super) use self::inspect::Inspected;
pub use self::look::{FormatFound, key_fits, look_at_format};
use super::{
    error::OpenError,
    options::{SqliteOptions, Synchronous},
    schema, sum,
    volume::Volume,
};

/// A format of ours, by its mark in the header of the file.
#[derive(Debug)]
pub(super) struct Format {
    /// For people: what is expected.
    name: &'static str,
    application_id: u32,
    /// The present `user_version`: the number of the store's format in which this kind of file last changed.
    /// Format 1 had no sums; in format 2 the registry had few; before 5 it had the logs.
    pub(super) version: u32,
    /// Others that this program knows: a registry of theirs is migrated, a message file is used as it is.
    former: &'static [u32],
    schema: fn() -> String,
    tables: &'static [&'static str],
    /// Those that a former format may not have, each with the first one that has it.
    later_tables: &'static [(u32, &'static str)],
    /// Those that former formats have, each with the first one that has it no more: they are moved out.
    moved_out: &'static [(u32, &'static str)],
    /// Whether indexes that do not match their rows, whose sums are right, are rebuilt at the start.
    heals_indexes: bool,
    /// A table that is made of what stands elsewhere: damage to it alone stops no start.
    derived: Option<&'static str>,
    /// A table of statistics, where the file has it: damage to it stops no start either, and it is made anew.
    statistics: Option<&'static str>,
}

/// Products, devices, latest values.
pub(super) const REGISTRY: Format = Format {
    name: "registry",
    application_id: u32::from_be_bytes(*b"NGre"),
    version: 19,
    former: &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
    schema: schema::registry::schema,
    tables: &["meta", "products", "devices", "latest", "marks"],
    later_tables: &[
        (5, "properties"),
        (5, "commands"),
        (6, "models"),
        (6, "model_numbers"),
        (12, "scripts"),
        (13, "images"),
        (13, "upgrades"),
        (13, "versions"),
        (14, "units"),
        (14, "tokens"),
        (15, "users"),
        (15, "user_sessions"),
        (17, "requests"),
        (18, "happened"),
        (19, "happened_kept"),
    ],
    moved_out: &[(LOGS_SINCE, "log"), (LOGS_SINCE, "presence")],
    heals_indexes: true,
    derived: Some("latest"),
    statistics: Some("rates"),
};

/// Logs of devices, refusals of nobody, and the history of presence. Registries before format 5 have them.
pub(super) const LOGS: Format = Format {
    name: "log file",
    application_id: u32::from_be_bytes(*b"NGlg"),
    version: LOGS_SINCE,
    former: &[],
    schema: schema::log::schema,
    tables: &["log", "presence", "gone", "footer", "origin"],
    later_tables: &[],
    moved_out: &[],
    heals_indexes: true,
    derived: None,
    statistics: None,
};

/// The first format of a registry beside which there is a file of logs.
pub(super) const LOGS_SINCE: u32 = 5;

/// Messages of one class of retention that arrived on one day.
pub(super) const MESSAGES: Format = Format {
    name: "message file",
    application_id: u32::from_be_bytes(*b"NGms"),
    version: 4,
    former: &[2],
    schema: schema::messages::schema,
    tables: &["messages", "footer"],
    later_tables: &[],
    moved_out: &[],
    heals_indexes: false,
    derived: None,
    statistics: None,
};

/// What SQLite adds to a database's name for its log and the index of that.
const LOG_SUFFIXES: [&str; 2] = ["-wal", "-shm"];
/// Pages (of 4 KiB) in a log from which on the writer writes it back at each commit, as far as readers let
/// it; before that a thread does (module `writer::write_back`).
pub(super) const LOG_PAGES_MAX: u32 = 16_000;
/// A larger log file is cut to this size when it is used again.
const LOG_BYTES_MAX: u32 = 64 << 20;

impl Format {
    /// Checks that all tables exist; returns the file's format, which this program knows.
    fn check_tables(&self, connection: &Connection, file: &Path) -> Result<u32, OpenError> {
        let sqlite = |source| OpenError::sqlite(file, source);
        // The log may hold a newer header than the file.
        let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
        if found > self.version {
            return Err(OpenError::Newer { file: file.to_owned(), found, known: self.version });
        }
        if found != self.version && !self.former.contains(&found) {
            return Err(OpenError::Older { file: file.to_owned(), found, known: self.version });
        }
        for table in self.tables_of(found) {
            if !has_table(connection, table).map_err(sqlite)? {
                let reason = format!("table {table} is missing");
                return Err(OpenError::Damaged { file: file.to_owned(), reason });
            }
        }
        Ok(found)
    }

    /// The tables that a file of a format has.
    fn tables_of(&self, format: u32) -> impl Iterator<Item = &'static str> {
        let later = self.later_tables.iter().filter(move |(first, _)| *first <= format);
        self.tables.iter().copied().chain(later.map(|(_, table)| *table))
    }

    /// Makes the file, with what `fill` puts into it: complete under its name, or not at all.
    pub(super) fn create(
        &self,
        file: &Path,
        fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), OpenError> {
        let draft = with_suffix(file, ".new");
        let io = |source| OpenError::io(&draft, "cannot be made", source);
        remove_with_logs(&draft).map_err(io)?;
        let made = self.fill(&draft, fill).and_then(|()| {
            // What is in the file decides, not what SQLite says of its log.
            self.check(&draft)?;
            File::open(&draft).and_then(|file| file.sync_all()).map_err(io)?;
            #[cfg(feature = "test-hooks")]
            crate::failpoint::pass(&format!("{}-drafted", self.name));
            // SQLite would replay the log of an earlier file of this name into the new one.
            remove_logs(file).map_err(io)?;
            fs::rename(&draft, file).map_err(io)
        });
        if made.is_err() {
            // Ignored: nobody uses the draft, and the next attempt removes it too.
            let _ = remove_with_logs(&draft);
        }
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass(&format!("{}-renamed", self.name));
        made.and_then(|()| sync_parent(file))
    }

    fn fill(
        &self,
        draft: &Path,
        fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), OpenError> {
        // SQLite gives its log the mode of the file.
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft);
        new.map_err(|source| OpenError::io(draft, "cannot be made", source))?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass(&format!("{}-begun", self.name));
        let written = open_existing(draft).and_then(|connection| {
            connection.execute_batch("BEGIN")?;
            connection.pragma_update(None, "application_id", self.application_id)?;
            connection.pragma_update(None, "user_version", self.version)?;
            connection.execute_batch(&(self.schema)())?;
            fill(&connection)?;
            connection.execute_batch("COMMIT")?;
            // Last, so that nothing is left in a log which would not be renamed with the file.
            let mode: String = connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))?;
            if mode != "wal" {
                let reason = "this file system does not allow a write-ahead log".to_owned();
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_CANTOPEN),
                    Some(reason),
                ));
            }
            connection.close().map_err(|(_, error)| error)
        });
        written.map_err(|error| OpenError::sqlite(draft, error))
    }

    /// A connection for reading and writing.
    pub(super) fn connect(&self, file: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
        let sqlite = |source| OpenError::sqlite(file, source);
        let connection = open_existing(file).map_err(sqlite)?;
        self.check_tables(&connection, file)?;
        let level = match options.synchronous {
            Synchronous::Full => "full",
            Synchronous::Normal => "normal",
        };
        // What is deleted or replaced is gone from the file's pages, and not only from its tables.
        let settings = [("temp_store", "memory"), ("trusted_schema", "off"), ("secure_delete", "on")];
        connection.pragma_update(None, "synchronous", level).map_err(sqlite)?;
        connection.pragma_update(None, "cache_size", options.writer_cache()).map_err(sqlite)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX).map_err(sqlite)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX).map_err(sqlite)?;
        for (name, value) in settings {
            connection.pragma_update(None, name, value).map_err(sqlite)?;
        }
        settle_plans(&connection).map_err(sqlite)?;
        Ok(connection)
    }

    /// A connection for reading, with SQLite's `cache_size`.
    pub(super) fn connect_reader(&self, file: &Path, cache_size: i64) -> Result<Connection, OpenError> {
        let sqlite = |source| OpenError::sqlite(file, source);
        // Not opened read-only: a reader of a write-ahead log writes to its index.
        let connection = open_existing(file).map_err(sqlite)?;
        connection.pragma_update(None, "query_only", true).map_err(sqlite)?;
        connection.pragma_update(None, "cache_size", cache_size).map_err(sqlite)?;
        connection.pragma_update(None, "trusted_schema", "off").map_err(sqlite)?;
        settle_plans(&connection).map_err(sqlite)?;
        Ok(connection)
    }
}

/// Whether a file has a table.
pub(super) fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    connection.prepare_cached(exists)?.query_row([table], |row| row.get(0))
}

/// Names of the files in a data directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) data: PathBuf,
}

impl Layout {
    pub(super) fn registry(&self) -> PathBuf {
        self.data.join("registry.db")
    }

    /// The file of logs.
    pub(super) fn log(&self) -> PathBuf {
        self.data.join("log.db")
    }

    pub(super) fn messages(&self) -> PathBuf {
        self.data.join("messages")
    }

    pub(super) fn volume(&self, volume: Volume) -> PathBuf {
        self.messages().join(format!("{volume}.db"))
    }

    /// The message files that there are, the oldest day first. Files of other names are not ours.
    pub(super) fn volumes(&self) -> Result<Vec<Volume>, OpenError> {
        let folder = self.messages();
        let io = |source| OpenError::io(&folder, "cannot be listed", source);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut volumes = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            volumes.extend(name.to_str().and_then(|name| name.strip_suffix(".db")).and_then(Volume::parse));
        }
        volumes.sort_unstable();
        Ok(volumes)
    }

    /// Removes logs that have no message file: a deletion was cut off between the two.
    pub(super) fn remove_orphans(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.messages())? {
            let name = entry?.file_name();
            let mut files = LOG_SUFFIXES
                .iter()
                .filter_map(|suffix| name.to_str()?.strip_suffix(suffix)?.strip_suffix(".db"));
            if let Some(orphan) =
                files.find_map(Volume::parse).filter(|volume| !self.volume(*volume).exists())
            {
                remove_logs(&self.volume(orphan))?;
            }
        }
        Ok(())
    }

    /// Deletes a message file.
    pub(super) fn remove_volume(&self, volume: Volume) -> io::Result<()> {
        let file = self.volume(volume);
        remove_if_there(&file)?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("removal-file-gone");
        remove_logs(&file)
    }
}

/// Removes a database, if it is there.
fn remove_with_logs(file: &Path) -> io::Result<()> {
    remove_if_there(file)?;
    remove_logs(file)
}

fn remove_logs(file: &Path) -> io::Result<()> {
    LOG_SUFFIXES.iter().try_for_each(|suffix| remove_if_there(&with_suffix(file, suffix)))
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a directory (0700), and those above it.
pub(super) fn make_directory(directory: &Path) -> Result<(), OpenError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| OpenError::io(directory, "the directory cannot be made", source))?;
    sync_parent(directory)
}

/// Makes the name of a new file durable.
pub(super) fn sync_parent(file: &Path) -> Result<(), OpenError> {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|source| OpenError::io(parent, "cannot be made durable", source))
}

/// A connection that reads the file alone, without its log or locks. Needs no space.
pub(super) fn read_as_it_is(file: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(file), flags)?;
    sum::teach(&connection)?;
    Ok(connection)
}

/// A connection for reading and writing, with SQLite's own settings.
pub(super) fn open_existing(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    sum::teach(&connection)?;
    Ok(connection)
}

/// A connection that reads the file with its log and changes neither. Where nobody else has the file open,
/// the index of the log stays as it is too.
pub(super) fn open_to_look(file: &Path) -> rusqlite::Result<Connection> {
    let open = |alone: bool| {
        let connection = open_existing(file)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        if alone {
            // https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
            connection.busy_timeout(Duration::ZERO)?;
            connection.pragma_update(None, "locking_mode", "exclusive")?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        }
        Ok(connection)
    };
    open(true).or_else(|_: rusqlite::Error| open(false))
}

/// Keeps prepared statements, and their plans too (query planner stability): else SQLite looks at the values
/// each time, and parses a join or an aggregate again for every execution.
fn settle_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `file:` URI that tells SQLite that nobody changes the file.
fn immutable_uri(file: &Path) -> PathBuf {
    let mut uri = "file:".to_owned();
    for character in file.to_string_lossy().chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_made_file_is_recognised_private_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odd % name ?#.db");
        REGISTRY.create(&file, |_| Ok(())).unwrap();
        REGISTRY.check(&file).unwrap();
        assert!(matches!(MESSAGES.check(&file), Err(OpenError::Foreign { expected: "message file", .. })));
        REGISTRY.inspect(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let connection = REGISTRY.connect(&file, &SqliteOptions::new(folder.path())).unwrap();
        connection.execute("INSERT INTO meta VALUES ('x', 1, row_sum('meta', 2, 'x', 1))", []).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_cannot_be_filled_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registry.db");
        let failed = REGISTRY.create(&file, |connection| connection.execute("nonsense", []).map(drop));
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_made_file_has_nothing_of_an_earlier_log_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("2026-01-01.db");
        let logs = LOG_SUFFIXES.map(|suffix| with_suffix(&file, suffix));
        logs.iter().for_each(|log| fs::write(log, "old").unwrap());
        MESSAGES.create(&file, |_| Ok(())).unwrap();
        assert!(logs.iter().all(|log| !log.exists()));
    }

    #[test]
    fn logs_of_days_without_a_file_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { data: folder.path().to_owned() };
        make_directory(&layout.messages()).unwrap();
        let kept = ["2026-02-03.db", "2026-02-03.db-wal", "notes.db-wal", "2026-02-04.db.new"];
        for name in kept.iter().chain(&["2026-02-02.db-wal", "2026-02-02.db-shm", "2026-02-01.db-shm"]) {
            fs::write(layout.messages().join(name), "").unwrap();
        }
        layout.remove_orphans().unwrap();
        assert!(kept.iter().all(|name| layout.messages().join(name).exists()));
        assert_eq!(fs::read_dir(layout.messages()).unwrap().count(), kept.len());
    }

    #[test]
    fn only_files_named_by_a_day_and_a_class_are_message_files() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { data: folder.path().to_owned() };
        assert!(layout.volumes().unwrap().is_empty());
        make_directory(&layout.messages()).unwrap();
        for name in ["2026-02-03.db", "2026-02-03.db-wal", "2026-01-02.db", "notes.txt", "2026-02-31.db"] {
            fs::write(layout.messages().join(name), "").unwrap();
        }
        fs::write(layout.messages().join("2026-02-03.short.db"), "").unwrap();
        let volumes: Vec<String> = layout.volumes().unwrap().iter().map(Volume::to_string).collect();
        assert_eq!(volumes, ["2026-01-02", "2026-02-03", "2026-02-03.short"]);
        layout.remove_volume(Volume::parse("2026-02-03").unwrap()).unwrap();
        assert_eq!(fs::read_dir(layout.messages()).unwrap().count(), 4);
    }
}
