//! The file for generated secrets: for its owner alone, and written before the devices exist.
//!
//! The secrets of a piece are generated here and are durable in the file before the registry sees them; so
//! every device's secret is in the file. A line without an asset id belongs to a device that is not known to
//! exist: the asset id is filled in when the registry reports that the secret is in force. At the end, the
//! lines of secrets that are not in force are removed.
//!
//! ```text
//! assetId,productKey,deviceKey,deviceSecret
//! Ab3dEf6h,MuGsF6W4,867725030096431,Z5YtZaQpK5IWocakV7zQ    in force
//!         ,MuGsF6W4,867725030096432,pK5IWocakV7zQZ5YtZaQ    of a piece in progress
//! ```
//!
//! An interrupted import leaves its file with an empty line at its end, which the last step of an import
//! removes. The next import continues the file: a device that has a line is imported with the secret of that
//! line, whether it was created or not. A finished file is not touched.

mod drafts;
mod earlier;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use narrowgate_api::{device::DeviceCreated, import::ImportRow, secret::SecretText};
use narrowgate_http::device_file::csv;
use narrowgate_platform::rules::names;
use zeroize::Zeroizing;

use self::earlier::{Earlier, Kept};
use crate::{failure::Failure, system::SystemEntropy};

const HEADER: &str = "assetId,productKey,deviceKey,deviceSecret\n";

/// Takes the place of the asset id of a device that is not known to exist; of the same length.
const NO_ASSET_ID: &str = "        ";

/// Ends the file of an unfinished import.
const UNFINISHED: &str = "\n";

/// Where generated secrets go.
pub(super) struct SecretsFile {
    file: File,
    path: PathBuf,
    product_key: String,
    /// Whether this import created the file.
    is_new: bool,
    /// Bytes of whole lines.
    length: u64,
    /// Lines of an earlier import that this one has not used yet, by device key.
    earlier: HashMap<String, Kept>,
    /// Number of lines in force.
    in_force: u64,
    /// Lines of the piece in progress, by device key.
    under_way: HashMap<String, Line>,
    /// Offsets of the lines whose secrets are not in force.
    refused: HashSet<u64>,
}

/// A line of the piece in progress.
struct Line {
    offset: u64,
    has_asset_id: bool,
}

impl SecretsFile {
    /// Creates the file for its owner alone, or continues one that an import of the same product left. Any
    /// other existing file is not touched.
    pub(super) fn open(path: &Path, product_key: &str) -> Result<Self, Failure> {
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                let mut secrets = Self::new(file, path, product_key, true);
                secrets.lock()?;
                let begun = secrets.begin();
                begun.inspect_err(|_| secrets.remove())?;
                Ok(secrets)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::go_on(path, product_key),
            Err(error) => Err(Failure::failed("cannot create the file for the secrets")
                .file(path.display())
                .reason(error)
                .hint("nothing was imported; name another file with --secrets-out")),
        }
    }

    fn new(file: File, path: &Path, product_key: &str, is_new: bool) -> Self {
        Self {
            file,
            path: path.to_owned(),
            product_key: product_key.to_owned(),
            is_new,
            length: 0,
            earlier: HashMap::new(),
            in_force: 0,
            under_way: HashMap::new(),
            refused: HashSet::new(),
        }
    }

    /// Opens an existing file, reads it, and cuts off an incomplete last line.
    fn go_on(path: &Path, product_key: &str) -> Result<Self, Failure> {
        let exists = |reason: &str| {
            Failure::failed("the file for the secrets exists already")
                .file(path.display())
                .reason(reason)
                .hint("name another file with --secrets-out: an existing one is never overwritten")
        };
        let cannot_read = |error: io::Error| exists(&format!("it cannot be read: {error}"));
        if !path.symlink_metadata().map_err(cannot_read)?.is_file() {
            return Err(exists("it is not a regular file"));
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(cannot_read)?;
        let mut secrets = Self::new(file, path, product_key, false);
        secrets.lock()?;
        drafts::remove(path).map_err(cannot_read)?;
        let earlier = Earlier::read(&secrets.file, product_key).map_err(cannot_read)?;
        let earlier = earlier.map_err(|reason| exists(&reason))?;
        if earlier.is_finished {
            return Err(exists("it has the secrets of an import that was finished"));
        }
        let Earlier { length, lines, in_force, .. } = earlier;
        let private = secrets.file.set_permissions(Permissions::from_mode(0o600));
        let cut = private.and_then(|()| secrets.cut(length));
        cut.map_err(|error| secrets.cannot(&error, NOTHING_DONE))?;
        (secrets.length, secrets.earlier, secrets.in_force) = (length, lines, in_force);
        if length == 0 {
            secrets.begin()?;
        }
        Ok(secrets)
    }

    /// Keeps other imports out until the file is closed.
    fn lock(&self) -> Result<(), Failure> {
        match self.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.in_use()),
            Err(TryLockError::Error(error)) => return Err(self.cannot(&error, NOTHING_DONE)),
        }
        // An import that has just ended may have replaced the file.
        match (self.file.metadata(), self.path.metadata()) {
            (Ok(locked), Ok(named)) if locked.ino() == named.ino() => Ok(()),
            _ => Err(self.in_use()),
        }
    }

    fn in_use(&self) -> Failure {
        Failure::failed("another import is writing to the file for the secrets")
            .file(self.path.display())
            .hint("wait until it has ended, or name another file with --secrets-out")
    }

    /// Writes the header, and makes the file's name durable.
    fn begin(&mut self) -> Result<(), Failure> {
        self.append(HEADER)
            .and_then(|()| sync_parent(&self.path))
            .map_err(|error| self.cannot(&error, NOTHING_DONE))
    }

    /// How many secrets of an earlier import the file holds; `None` for a new file.
    pub(super) fn earlier(&self) -> Option<usize> {
        (!self.is_new).then_some(self.earlier.len())
    }

    /// Gives secrets to the rows that have none, and makes them durable first. A row with a line of an
    /// earlier import gets the secret of that line.
    pub(super) fn draw(&mut self, rows: &mut [ImportRow]) -> Result<(), Failure> {
        let mut lines = Zeroizing::new(String::new());
        let mut under_way = HashMap::new();
        // The registry refuses invalid keys, which could not be written as a line either.
        let lacks = |row: &&mut ImportRow| {
            row.device_secret.is_none() && names::check_new_key(&row.device_key).is_ok()
        };
        for row in rows.iter_mut().filter(lacks) {
            let line = match self.earlier.remove(&row.device_key) {
                Some(Kept { offset, has_asset_id, secret }) => {
                    row.device_secret = Some(secret);
                    Line { offset, has_asset_id }
                }
                None => {
                    let offset = self.length + lines.len() as u64;
                    let secret = names::new_device_secret(&SystemEntropy);
                    lines.push_str(NO_ASSET_ID);
                    lines.push(',');
                    csv::write_line(&[&self.product_key, &row.device_key, secret.expose()], &mut lines);
                    row.device_secret = Some(SecretText::new(secret.expose().to_owned()));
                    Line { offset, has_asset_id: false }
                }
            };
            row.is_generated = true;
            under_way.insert(row.device_key.clone(), line);
        }
        self.append(&lines).map_err(|error| {
            self.cannot(
                &error,
                "the devices of these secrets were not created; free some space, and run the import again",
            )
        })?;
        self.under_way = under_way;
        Ok(())
    }

    /// Fills in the asset ids of the devices whose secrets are in force; the other secrets of the piece are
    /// not.
    pub(super) fn settle(&mut self, in_force: &[DeviceCreated]) -> Result<(), Failure> {
        let settled = self.write_asset_ids(in_force);
        settled.map_err(|error| {
            self.cannot(
                &error,
                "the secrets are in the file, some without an asset id; run the import again to fill it in",
            )
        })
    }

    fn write_asset_ids(&mut self, in_force: &[DeviceCreated]) -> io::Result<()> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        for DeviceCreated { asset_id, device_key, .. } in in_force {
            let Some(line) = self.under_way.get(device_key) else { continue };
            if asset_id.len() != NO_ASSET_ID.len() {
                return Err(io::Error::other(format!("{asset_id:?} is not an asset id")));
            }
            self.file.write_all_at(asset_id.as_bytes(), line.offset)?;
            self.in_force += u64::from(!line.has_asset_id);
        }
        let found: HashSet<&str> = in_force.iter().map(|secret| secret.device_key.as_str()).collect();
        for (device_key, line) in &self.under_way {
            if found.contains(device_key.as_str()) {
                continue;
            }
            if line.has_asset_id {
                self.file.write_all_at(NO_ASSET_ID.as_bytes(), line.offset)?;
                self.in_force -= 1;
            }
            self.refused.insert(line.offset);
        }
        self.file.sync_data()?;
        self.under_way.clear();
        Ok(())
    }

    /// Ends the file. After a successful import, lines whose secrets are not in force are removed; otherwise
    /// they stay for the next import. Returns how many lines of an earlier import have no asset id and belong
    /// to devices that this one does not name.
    pub(super) fn finish(self, has_failed: bool) -> Result<usize, Failure> {
        if has_failed && self.is_new && self.in_force == 0 && self.under_way.is_empty() {
            self.remove();
            return Ok(0);
        }
        let finished = if has_failed {
            self.cut(self.length)
        } else if self.refused.is_empty() {
            self.file.set_len(self.length).and_then(|()| self.file.sync_all())
        } else {
            self.replace()
        };
        let hint = "the secrets are in the file; those without an asset id are not in force";
        finished.map_err(|error| self.cannot(&error, hint))?;
        Ok(self.earlier.values().filter(|line| !line.has_asset_id).count())
    }

    /// Atomically replaces the file with one without the refused lines.
    fn replace(&self) -> io::Result<()> {
        let new = drafts::name(&self.path);
        // Nobody else's: where the name is taken, it is left alone.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let written = self.write_rest(file).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            // Ignored: the file itself is unchanged.
            let _ = fs::remove_file(&new);
        }
        written.and_then(|()| sync_parent(&self.path))
    }

    fn write_rest(&self, new: File) -> io::Result<()> {
        let mut out = BufWriter::new(new);
        let mut all = &self.file;
        all.rewind()?;
        let (mut lines, mut offset, mut line) = (BufReader::new(all), 0, Vec::new());
        while offset < self.length {
            line.clear();
            let length = lines.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            if !self.refused.contains(&offset) {
                out.write_all(&line)?;
            }
            offset += length as u64;
        }
        out.into_inner()?.sync_all()
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        if !lines.is_empty() {
            let marked = Zeroizing::new(format!("{lines}{UNFINISHED}"));
            self.file.write_all_at(marked.as_bytes(), self.length)?;
            self.file.sync_data()?;
            self.length += lines.len() as u64;
        }
        Ok(())
    }

    /// Removes what follows the complete lines of an unfinished file.
    fn cut(&self, length: u64) -> io::Result<()> {
        // In this order: on a full disk a file can be truncated but not extended.
        let marked = if length > 0 { UNFINISHED } else { "" };
        self.file.write_all_at(marked.as_bytes(), length)?;
        self.file.set_len(length + marked.len() as u64)?;
        self.file.sync_all()
    }

    fn remove(&self) {
        // Ignored: a file that remains holds no secret.
        let _ = fs::remove_file(&self.path);
    }

    fn cannot(&self, error: &io::Error, hint: &str) -> Failure {
        Failure::failed("cannot write the secrets").file(self.path.display()).reason(error).hint(hint)
    }
}

impl Drop for SecretsFile {
    /// The lock would stay for as long as a process that is just being started has a copy of the descriptor.
    fn drop(&mut self) {
        // Ignored: the lock goes with the last copy then.
        let _ = self.file.unlock();
    }
}

const NOTHING_DONE: &str = "nothing was imported; free some space, or name another file with --secrets-out";

/// Makes the name of a file durable.
fn sync_parent(file: &Path) -> io::Result<()> {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}
