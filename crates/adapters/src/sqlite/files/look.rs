//! What the files of a store say of themselves in their headers.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    path::Path,
};

use super::{Format, OpenError, REGISTRY};

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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
}
