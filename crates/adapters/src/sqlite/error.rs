//! Why a store cannot be opened, for the operator: which file, what is wrong with it, what to try.
//! A failed open changes nothing on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use narrowgate_platform::ports::StoreError;

/// A log, its index, and some more: what SQLite makes beside a database that it opens.
const PROBE_BYTES: usize = 64 << 10;

/// What helps where no file descriptor is left.
const MORE_DESCRIPTORS: &str = "raise the limit of open files (LimitNOFILE= in the unit, ulimit -n)";

/// Why a store cannot be opened. [`OpenError::advice`] says what to try.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum OpenError {
    #[error("{}: in use by {}", file.display(), by(*pid))]
    InUse { file: PathBuf, pid: Option<u32> },
    #[error("{}: this is not a narrowgate {expected}", file.display())]
    Foreign { file: PathBuf, expected: &'static str },
    #[error("{}: damaged: {reason}", file.display())]
    Damaged { file: PathBuf, reason: String },
    #[error("{}: written by a newer narrowgate (format {found}, this one knows {known})", file.display())]
    Newer { file: PathBuf, found: u32, known: u32 },
    #[error("{}: written by an older narrowgate (format {found}, this one knows {known})", file.display())]
    Older { file: PathBuf, found: u32, known: u32 },
    #[error("{}: the registry is missing, but messages or logs are there", file.display())]
    RegistryMissing { file: PathBuf },
    #[error("{}: it is older than the files beside it: {} has what it does not know", file.display(),
        newer.display())]
    RegistryOlder { file: PathBuf, newer: PathBuf },
    #[error("{}: it belongs to another store", file.display())]
    OfAnotherStore { file: PathBuf },
    #[error("{}: it does not say to which store it belongs", file.display())]
    OfNoStore { file: PathBuf },
    #[error("{}: the registry knows logs, and their file is not there", file.display())]
    LogMissing { file: PathBuf },
    #[error("{}: an older copy: its last batch is {found}, and the registry knows batch {known}",
        file.display())]
    LogOlder { file: PathBuf, found: i64, known: i64 },
    #[error("{}: the registry knows messages of this day, and the file is not there", file.display())]
    MessagesMissing { file: PathBuf },
    #[error(
        "{}: an older copy: its last message has number {found}, and the registry knows number {known}",
        file.display()
    )]
    MessagesOlder { file: PathBuf, found: i64, known: i64 },
    #[error("{}: permission denied", file.display())]
    PermissionDenied { file: PathBuf },
    #[error("{}: the file system is read-only", file.display())]
    ReadOnly { file: PathBuf },
    #[error("{}: the disk is full", file.display())]
    DiskFull { file: PathBuf },
    #[error("{}: no file descriptor is left", file.display())]
    NoDescriptors { file: PathBuf },
    #[error(
        "{}: upgrading it takes {} MB of free space for a copy and for log.db, and {} MB are free",
        file.display(), needed.div_ceil(1_000_000), free / 1_000_000
    )]
    NoRoomToMigrate { file: PathBuf, needed: u64, free: u64 },
    #[error("{}: another program reads it, so it cannot be copied and upgraded", file.display())]
    ReadByOthers { file: PathBuf },
    #[error("{}: the data key is missing", file.display())]
    KeyMissing { file: PathBuf },
    #[error("{}: not a data key (64 hexadecimal digits)", file.display())]
    KeyMalformed { file: PathBuf },
    #[error("{}: the data key of another store", file.display())]
    KeyWrong { file: PathBuf },
    #[error("{}: others than its owner may access the data key (mode {mode:04o})", file.display())]
    KeyPermissions { file: PathBuf, mode: u32 },
    #[error("{}: {doing}", file.display())]
    Io {
        file: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{}: SQLite cannot open it", file.display())]
    Sqlite {
        file: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{}: the latest values cannot be restored", file.display())]
    Restore {
        file: PathBuf,
        #[source]
        source: StoreError,
    },
}

impl OpenError {
    /// The file or directory with the problem.
    pub fn file(&self) -> &Path {
        match self {
            Self::InUse { file, .. }
            | Self::Foreign { file, .. }
            | Self::Damaged { file, .. }
            | Self::Newer { file, .. }
            | Self::Older { file, .. }
            | Self::RegistryMissing { file }
            | Self::RegistryOlder { file, .. }
            | Self::OfAnotherStore { file }
            | Self::OfNoStore { file }
            | Self::LogMissing { file }
            | Self::LogOlder { file, .. }
            | Self::MessagesMissing { file }
            | Self::MessagesOlder { file, .. }
            | Self::PermissionDenied { file }
            | Self::ReadOnly { file }
            | Self::DiskFull { file }
            | Self::NoDescriptors { file }
            | Self::NoRoomToMigrate { file, .. }
            | Self::ReadByOthers { file }
            | Self::KeyMissing { file }
            | Self::KeyMalformed { file }
            | Self::KeyWrong { file }
            | Self::KeyPermissions { file, .. }
            | Self::Io { file, .. }
            | Self::Sqlite { file, .. }
            | Self::Restore { file, .. } => file,
        }
    }

    /// What to try.
    pub fn advice(&self) -> String {
        let file = self.file().display();
        match self {
            Self::InUse { pid: Some(pid), .. } => {
                format!("stop process {pid}, or choose another data directory")
            }
            Self::InUse { .. } => "stop the other narrowgate, or choose another data directory".to_owned(),
            Self::Foreign { .. } => "choose another data directory; the file was left as it is".to_owned(),
            Self::Damaged { file, .. } => advice_on_damage(file),
            Self::Newer { .. } => {
                "run the newer narrowgate, or restore the backup made before the upgrade".to_owned()
            }
            Self::Older { .. } => {
                "run the narrowgate that wrote it, or choose a new data directory; the file was left as it is"
                    .to_owned()
            }
            Self::RegistryMissing { .. } => {
                format!("restore {file} from a backup, or move messages and log.db away to begin anew")
            }
            Self::RegistryOlder { .. }
            | Self::OfAnotherStore { .. }
            | Self::OfNoStore { .. }
            | Self::LogMissing { .. }
            | Self::LogOlder { .. }
            | Self::MessagesMissing { .. }
            | Self::MessagesOlder { .. } => self.advice_on_misfits(),
            Self::PermissionDenied { file } => {
                // A file that could not be made may have a directory.
                let there = file.ancestors().find(|path| path.exists()).unwrap_or(file).display();
                format!(
                    "run this as the owner of {there}, or chown it to the user that runs narrowgate \
                     (and chmod u+rwX it); or choose another data directory"
                )
            }
            Self::ReadOnly { .. } => "mount it for writing, or choose another data directory".to_owned(),
            Self::DiskFull { file } => {
                let folder = folder_of(file).display();
                format!(
                    "free some space (df -h {folder}; df -i {folder}), or set store.retention to keep less"
                )
            }
            Self::NoDescriptors { .. } => MORE_DESCRIPTORS.to_owned(),
            Self::NoRoomToMigrate { file, .. } => {
                let folder = folder_of(file).display();
                format!("free some space (df -h {folder}) and start again; nothing was changed")
            }
            Self::ReadByOthers { file } => {
                format!("end the program that has it open (fuser {}) and start again", file.display())
            }
            Self::KeyMissing { .. }
            | Self::KeyMalformed { .. }
            | Self::KeyWrong { .. }
            | Self::KeyPermissions { .. } => self.advice_on_key(),
            Self::Io { .. } | Self::Sqlite { .. } | Self::Restore { .. } => {
                "check the disk; nothing was changed".to_owned()
            }
        }
    }

    /// What to try where it is about the data key.
    fn advice_on_key(&self) -> String {
        let file = self.file().display();
        match self {
            Self::KeyMissing { .. } => format!(
                "copy the key of this store back to {file}; without it the stored secrets cannot be read"
            ),
            Self::KeyMalformed { .. } | Self::KeyWrong { .. } => {
                format!("copy the key that was made together with this store to {file}")
            }
            _ => format!("chmod 600 {file}"),
        }
    }

    /// What to try where files do not belong together.
    fn advice_on_misfits(&self) -> String {
        let first = match self {
            Self::RegistryOlder { .. } => {
                "put the registry back that belongs to these files; or restore a backup, which has both, \
                 into an empty directory (narrowgate restore)"
            }
            Self::OfAnotherStore { .. } | Self::OfNoStore { .. } => "move it out of the directory",
            _ => "put the newest file back",
        };
        format!(
            "{first}; nothing was changed. To go on with the files as they are, narrowgate adopt says first \
             what is lost"
        )
    }

    /// Latest values could not be restored, for this reason.
    pub(super) fn restore(file: PathBuf, source: StoreError) -> Self {
        let full = matches!(source, StoreError::Unavailable(_)) && has_no_space(folder_of(&file));
        if full { Self::DiskFull { file } } else { Self::Restore { file, source } }
    }

    /// Sorts an I/O error by what the operator has to do.
    pub(super) fn io(file: &Path, doing: &'static str, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { file },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { file },
            kind if is_full(kind) => Self::DiskFull { file },
            _ if is_out_of_descriptors(&source) => Self::NoDescriptors { file },
            _ => Self::Io { file, doing, source },
        }
    }

    /// Sorts an error of SQLite by what the operator has to do.
    pub(super) fn sqlite(file: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let file = file.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { file, reason: source.to_string() }
            }
            Some(ErrorCode::PermissionDenied) => Self::PermissionDenied { file },
            // SQLite says so, too, of a file beside which this user may make none.
            Some(ErrorCode::ReadOnly) if may_not_write(folder_of(&file)) => {
                Self::PermissionDenied { file: folder_of(&file).to_owned() }
            }
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { file },
            Some(ErrorCode::DiskFull) => Self::DiskFull { file },
            // That is all SQLite says where it may open no more files, …
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if has_no_descriptor() => {
                Self::NoDescriptors { file }
            }
            // … or where there is no room for the files beside the database.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if has_no_space(folder_of(&file)) => {
                Self::DiskFull { file }
            }
            _ => match source {
                rusqlite::Error::FromSqlConversionFailure(_, _, cause) => {
                    Self::Damaged { file, reason: cause.to_string() }
                }
                source => Self::Sqlite { file, source },
            },
        }
    }
}

/// What to try where a file is damaged.
fn advice_on_damage(file: &Path) -> String {
    let name = file.display();
    if !file.ends_with("log.db") {
        return format!("restore {name} from a backup; the file was left as it is");
    }
    format!(
        "restore the store from a backup; or move {name} away, and narrowgate adopt --yes begins new logs: \
         all entries and the history of presence are lost then, and nothing else"
    )
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether this says that there is no space, or none for this user.
fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether this folder lacks the little space that SQLite needs to open a database: tried with a file that is
/// removed afterwards.
fn has_no_space(folder: &Path) -> bool {
    let probe = folder.join("space.probe");
    let tried = fs::write(&probe, [0; PROBE_BYTES]).and_then(|()| fs::File::open(&probe)?.sync_all());
    // Where it was not made, there is nothing to remove.
    let _ = fs::remove_file(&probe);
    tried.is_err_and(|error| is_full(error.kind()))
}

/// Whether this user may make no file in a folder: tried with one that is removed afterwards.
fn may_not_write(folder: &Path) -> bool {
    let probe = folder.join("space.probe");
    let tried = fs::File::create(&probe);
    // Where it was not made, there is nothing to remove.
    let _ = fs::remove_file(&probe);
    tried.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether the process, or the system, has as many files open as it may.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let limits = [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE];
    error.raw_os_error().is_some_and(|number| limits.iter().any(|limit| *limit as i32 == number))
}

/// The same, tried now. SQLite opens a folder after a file, so with the last descriptor it fails as well.
fn has_no_descriptor() -> bool {
    let tried = fs::File::open("/dev/null").and_then(|first| Ok((first, fs::File::open("/dev/null")?)));
    tried.is_err_and(|error| is_out_of_descriptors(&error))
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// An error of SQLite, while the store runs, as an error of the port.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    use rusqlite::{Error, ErrorCode};
    match error {
        Error::FromSqlConversionFailure(_, _, cause) => StoreError::Damaged(cause.to_string()),
        Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..) | Error::Utf8Error(..) => {
            StoreError::Damaged(error.to_string())
        }
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged(error.to_string())
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if has_no_descriptor() => {
                StoreError::Unavailable("no file descriptor is left (LimitNOFILE=, ulimit -n)".to_owned())
            }
            _ => StoreError::Unavailable(error.to_string()),
        },
    }
}

/// Whether a write fails because of what it is about, so that others may succeed.
pub(super) fn is_fault_of_write(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    let code = error.sqlite_error_code();
    matches!(store_error(error), StoreError::Damaged(_)) && code != Some(ErrorCode::NotADatabase)
        || matches!(error, Error::ToSqlConversionFailure(_))
        || matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch))
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn errors_of_the_system_are_sorted_by_what_to_do() {
        let file = Path::new("/data/registry.db");
        let sort = |kind: io::ErrorKind| OpenError::io(file, "cannot be read", kind.into());
        let denied = sort(io::ErrorKind::PermissionDenied);
        assert!(matches!(denied, OpenError::PermissionDenied { .. }));
        assert!(denied.advice().contains("the owner of /, or chown it"), "nothing of /data exists");
        assert!(matches!(sort(io::ErrorKind::ReadOnlyFilesystem), OpenError::ReadOnly { .. }));
        let other = sort(io::ErrorKind::NotADirectory);
        assert_eq!(other.to_string(), "/data/registry.db: cannot be read");
        assert_eq!(other.file(), file);
    }

    #[test]
    fn a_full_disk_is_called_one_whoever_finds_it() {
        let file = Path::new("/data/registry.db");
        for error in [
            OpenError::io(file, "cannot be read", io::ErrorKind::StorageFull.into()),
            OpenError::io(file, "cannot be read", io::ErrorKind::QuotaExceeded.into()),
            OpenError::sqlite(file, failure(ffi::SQLITE_FULL)),
        ] {
            assert_eq!(error.to_string(), "/data/registry.db: the disk is full");
            assert!(error.advice().contains("df -h /data;"), "{}", error.advice());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registry.db");
        let other = OpenError::sqlite(&file, failure(ffi::SQLITE_IOERR));
        assert!(matches!(other, OpenError::Sqlite { .. }), "with space left it is something else");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no probe is left behind");
    }

    fn failure(code: std::ffi::c_int) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_key_for_all_to_see_is_answered_with_the_command_that_helps() {
        let error = OpenError::KeyPermissions { file: "/data/data.key".into(), mode: 0o644 };
        assert!(error.to_string().ends_with("(mode 0644)"));
        assert_eq!(error.advice(), "chmod 600 /data/data.key");
    }
}
