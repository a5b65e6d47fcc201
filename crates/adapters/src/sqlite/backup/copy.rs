//! Copying with a sum, in pieces that the disk takes at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{BackupError, Progress, manifest::Entry};
use crate::sqlite::files::sync_parent;

/// Read and written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Written before the disk is asked to take it: a server's fsync beside it waits for no more than that.
const SYNC_BYTES: u64 = 16 << 20;

/// A file that is being made.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    file: File,
    sum: Sha256,
    bytes: u64,
    unsynced: u64,
}

impl Target {
    /// Makes it (0600), in place of what an earlier attempt left under its name.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, sum: Sha256::new(), bytes: 0, unsynced: 0 })
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        *self = Self::create(self.path.clone())?;
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced > 0 {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Its line in the manifest, as it is now.
    pub(super) fn entry(&self, name: &str) -> Entry {
        let sha256 = hex::encode(self.sum.clone().finalize());
        Entry { name: name.to_owned(), bytes: self.bytes, sha256 }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Copies all of `from` and makes it durable. The copy's name is made durable by who calls.
pub(super) fn copy(
    from: &mut File,
    (source, to): (&Path, PathBuf),
    progress: &mut dyn FnMut(u64),
) -> Result<Target, BackupError> {
    let written = |path: &Path, error| BackupError::io(path, "the copy cannot be written", error);
    let mut target = Target::create(to.clone()).map_err(|error| written(&to, error))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(BackupError::io(source, "cannot be read", error)),
        };
        target.write(&piece[..count]).map_err(|error| written(&to, error))?;
        progress(count as u64);
    }
    target.sync().map_err(|error| written(&to, error))?;
    Ok(target)
}

/// Counts bytes for [`Progress`].
pub(super) struct Counter<'a, 'b> {
    pub(super) done: u64,
    pub(super) all: u64,
    pub(super) progress: &'a mut Progress<'b>,
}

impl Counter<'_, '_> {
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        self.all = self.all.max(self.done);
        (self.progress)(self.done, self.all);
    }
}

/// Makes a directory for one user alone, where there is none; says whether it did. One with something in it
/// is refused.
pub(super) fn make_empty(directory: &Path) -> Result<bool, BackupError> {
    let io = |source| BackupError::io(directory, "the directory cannot be made", source);
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(BackupError::NotEmpty { directory: directory.to_owned() }),
            None => Ok(false),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
            sync_parent(directory)?;
            Ok(true)
        }
        Err(error) => Err(io(error)),
    }
}
