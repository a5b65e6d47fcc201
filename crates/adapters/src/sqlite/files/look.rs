//! What the files of a store say of themselves in their headers.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    path::Path,
};

use super::{Format, OpenError, REGISTRY, read_as_it_is};
use crate::sqlite::{key::DataKey, registry::key_check};

impl Format {
    /// Checks the file's header alone: it is ours, and not newer than this program.
    pub(in crate::sqlite) fn check(&self, file: &Path) -> Result<(), OpenError> {
        let io = |source| OpenError::io(file, "cannot be read", source);
        // Opened for writing too, so that a missing permission is found before anything was done.
        let mut open = OpenOptions::new().read(true).write(true).open(file).map_err(io)?;
        self.number(file, &mut open).map(drop)
    }

    /// The number of the format in the file's header, if it is ours and not newer than this program.
    fn number(&self, file: &Path, open: &mut File) -> Result<u32, OpenError> {
        let io = |source| OpenError::io(file, "cannot be read", source);
        let mut header = [0; 100];
        let damaged = |reason: &str| OpenError::Damaged { file: file.to_owned(), reason: reason.to_owned() };
        match open.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged("it is too short"));
            }
            Err(error) => return Err(io(error)),
        }
        if !header.starts_with(b"SQLite format 3\0") {
            return Err(damaged("it is not an SQLite database"));
        }
        // SQLite's file format, section 1.3: user_version at 60, application_id at 68, big endian.
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(68) != self.application_id {
            return Err(OpenError::Foreign { file: file.to_owned(), expected: self.name });
        }
        if word(60) > self.version {
            return Err(OpenError::Newer { file: file.to_owned(), found: word(60), known: self.version });
        }
        Ok(word(60))
    }
}

/// The format of a registry that is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatFound {
    /// As its header says.
    pub found: u32,
    /// That of this program.
    pub known: u32,
}

/// Reads the format of the registry in this data directory; `None`: there is no registry. Nothing is changed
/// or locked. A running server may have written a newer format that its header does not say yet.
///
/// # Errors
/// This program could not open it: it is newer, too old, or no registry.
pub fn look_at_format(data: &Path) -> Result<Option<FormatFound>, OpenError> {
    let file = data.join("registry.db");
    let mut open = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| OpenError::io(&file, "cannot be read", source))?,
    };
    let (found, known) = (REGISTRY.number(&file, &mut open)?, REGISTRY.version);
    match found == known || REGISTRY.former.contains(&found) {
        true => Ok(Some(FormatFound { found, known })),
        false => Err(OpenError::Older { file, found, known }),
    }
}

/// Whether a file has the data key with which the registry in this data directory was made; `None`: one of
/// the two is not there, or cannot be read. Nothing is changed or locked; no server may have the registry
/// open.
pub fn key_fits(data: &Path, key_file: &Path) -> Option<bool> {
    let key = DataKey::read(key_file).ok()?;
    // A new registry is complete, with this in it, before it has its name.
    let registry = read_as_it_is(&data.join("registry.db")).ok()?;
    let check = key_check(&registry).ok()??;
    Some(key.is_checked_by(&check))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sqlite::{SqliteOptions, SqliteStore};

    /// The header of a database with these marks (SQLite's file format, section 1.3).
    fn header(application: u32, format: u32) -> Vec<u8> {
        let mut header = b"SQLite format 3\0".to_vec();
        header.resize(100, 0);
        header[60..64].copy_from_slice(&format.to_be_bytes());
        header[68..72].copy_from_slice(&application.to_be_bytes());
        header
    }

    #[test]
    fn the_format_of_a_registry_is_seen_without_opening_it() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(look_at_format(data.path()).unwrap(), None);
        let known = REGISTRY.version;
        let look = |application, format| {
            fs::write(data.path().join("registry.db"), header(application, format)).unwrap();
            look_at_format(data.path())
        };
        let (ours, oldest) = (REGISTRY.application_id, REGISTRY.former[0]);
        assert_eq!(look(ours, known).unwrap(), Some(FormatFound { found: known, known }));
        assert_eq!(look(ours, oldest).unwrap(), Some(FormatFound { found: oldest, known }));
        assert!(matches!(look(ours, known + 1), Err(OpenError::Newer { .. })));
        assert!(matches!(look(ours, oldest - 1), Err(OpenError::Older { .. })));
        assert!(matches!(look(ours + 1, known), Err(OpenError::Foreign { .. })));
        fs::write(data.path().join("registry.db"), "short").unwrap();
        assert!(matches!(look_at_format(data.path()), Err(OpenError::Damaged { .. })));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing is made");
    }

    #[test]
    fn a_key_of_another_store_is_seen_without_opening_this_one() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let key = |folder: &tempfile::TempDir| folder.path().join("data.key");
        assert_eq!(key_fits(one.path(), &key(&one)), None);
        for folder in [&one, &other] {
            drop(SqliteStore::open(SqliteOptions::new(folder.path())).unwrap());
        }
        let names = || fs::read_dir(one.path()).unwrap().count();
        let before = names();
        assert_eq!(key_fits(one.path(), &key(&one)), Some(true));
        assert_eq!(key_fits(one.path(), &key(&other)), Some(false));
        fs::write(key(&other), "no key").unwrap();
        assert_eq!(key_fits(one.path(), &key(&other)), None);
        assert_eq!(names(), before, "nothing is made");
    }
}
