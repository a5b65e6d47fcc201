//! Whether the files that are written still stand under their names. A process that has a file open goes on
//! writing to it after somebody has removed it, and everything that is acknowledged then is nowhere.
//!
//! Two look-ups of a file's name (a microsecond each) for each file of a group, after its commit and before
//! its answers.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::files::with_suffix;

/// A file on its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    /// Of the file that has this name now; `None`: there is none.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Self { device: found.dev(), number: found.ino() })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A database that is open, and its log.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    inode: Option<Inode>,
    log: PathBuf,
    /// `None` until SQLite has made it.
    log_inode: Option<Inode>,
}

/// What happened to a file while it was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is not there any more.
    Removed(PathBuf),
    /// Another file has its name.
    Replaced(PathBuf),
    /// The log of a database is not there any more, or another one. The database itself is.
    Log(PathBuf),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(path) => write!(f, "{} was removed while the server runs", path.display()),
            Self::Replaced(path) => {
                write!(f, "{} was replaced by another file while the server runs", path.display())
            }
            Self::Log(path) => write!(f, "{} was removed or replaced while the server runs", path.display()),
        }
    }
}

impl Watched {
    /// A database that was just opened.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let log = with_suffix(&path, "-wal");
        Ok(Self { inode: Inode::of(&path)?, log_inode: Inode::of(&log)?, path, log })
    }

    /// Whether database and log are the ones that were opened.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        // Where the system does not say, nothing is known to be lost.
        let Ok(found) = Inode::of(&self.path) else { return Ok(()) };
        match found {
            None => return Err(Loss::Removed(self.path.clone())),
            found if found != self.inode => return Err(Loss::Replaced(self.path.clone())),
            _ => {}
        }
        let Ok(log) = Inode::of(&self.log) else { return Ok(()) };
        match self.log_inode {
            None => self.log_inode = log,
            known if known != log => return Err(Loss::Log(self.log.clone())),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_moved_or_replaced_is_found_and_what_comes_back_is_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let [file, log, aside] =
            ["a.db", "a.db-wal", "aside"].map(|name| folder.path().join("data").join(name));
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(&file, "1").unwrap();
        let mut watched = Watched::new(file.clone()).unwrap();
        watched.look().unwrap();
        fs::write(&log, "made later").unwrap();
        watched.look().unwrap();
        fs::rename(&file, &aside).unwrap();
        assert_eq!(watched.look(), Err(Loss::Removed(file.clone())));
        fs::write(&file, "1").unwrap();
        assert_eq!(watched.look(), Err(Loss::Replaced(file.clone())));
        fs::rename(&aside, &file).unwrap();
        watched.look().unwrap();
        fs::remove_file(&log).unwrap();
        assert_eq!(watched.look(), Err(Loss::Log(log)));
        fs::rename(folder.path().join("data"), folder.path().join("elsewhere")).unwrap();
        assert_eq!(watched.look(), Err(Loss::Removed(file.clone())));
        fs::write(folder.path().join("data"), "a file in the place of the folder").unwrap();
        assert_eq!(watched.look(), Err(Loss::Removed(file)));
    }
}
