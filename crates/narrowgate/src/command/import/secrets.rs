//! The file for generated secrets: new, for its owner alone, and written before anybody could miss what
//! should be in it.
//!
//! Room for the secrets of a piece is made, durably, before its devices are created: where the file cannot be
//! written, nothing is created whose secret nobody has seen. The room is empty lines, which an import skips;
//! what is left of it at the end is cut off.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::csv;
use crate::{control::ImportRow, failure::Failure};

/// Bytes of an asset id and a generated secret, and of commas, quotes and the end of a line.
const REST_OF_LINE_BYTES: usize = 8 + 20 + 4 * 2 + 4;

/// A device whose secret was generated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSecret {
    pub(super) asset_id: String,
    pub(super) product_key: String,
    pub(super) device_key: String,
    pub(super) device_secret: String,
}

/// Where generated secrets go.
pub(super) struct SecretsFile {
    file: File,
    path: PathBuf,
    /// Bytes that are written; room follows.
    length: u64,
    secrets: u64,
}

impl SecretsFile {
    /// Creates the file for its owner alone; one that exists is not touched.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                let mut secrets = Self { file, path: path.to_owned(), length: 0, secrets: 0 };
                let mut header = String::new();
                csv::write_line(&["assetId", "productKey", "deviceKey", "deviceSecret"], &mut header);
                match secrets.write(header.as_bytes()) {
                    Ok(()) => {
                        secrets.length = header.len() as u64;
                        Ok(secrets)
                    }
                    Err(error) => {
                        let failure = secrets
                            .cannot(&error, "nothing was imported; free the disk, or name another file");
                        secrets.remove();
                        Err(failure)
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::failed("the file for the secrets exists already")
                    .file(path.display())
                    .hint("name another file by --secrets-out: an existing one is never overwritten"))
            }
            Err(error) => Err(Failure::failed("cannot create the file for the secrets")
                .file(path.display())
                .reason(error)
                .hint("nothing was imported; name another file by --secrets-out")),
        }
    }

    /// Makes room for the secrets of these rows, before their devices are created.
    pub(super) fn reserve(&mut self, product_key: &str, rows: &[ImportRow]) -> Result<(), Failure> {
        // A quote in a key is written as two.
        let line = |row: &ImportRow| REST_OF_LINE_BYTES + 2 * (product_key.len() + row.device_key.len());
        let room: usize = rows.iter().filter(|row| row.device_secret.is_none()).map(line).sum();
        if room == 0 {
            return Ok(());
        }
        self.write(&vec![b'\n'; room]).map_err(|error| {
            self.cannot(
                &error,
                "the devices of these secrets were not created; free the disk, or name another file",
            )
        })
    }

    /// Adds secrets, for which there is room.
    pub(super) fn append(&mut self, secrets: &[NewSecret]) -> Result<(), Failure> {
        let mut lines = String::new();
        for NewSecret { asset_id, product_key, device_key, device_secret } in secrets {
            csv::write_line(&[asset_id, product_key, device_key, device_secret], &mut lines);
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.write(lines.as_bytes()).map_err(|error| {
            self.cannot(
                &error,
                "the devices are registered; narrowgate device secret shows what is missing here",
            )
        })?;
        self.length += lines.len() as u64;
        self.secrets += secrets.len() as u64;
        Ok(())
    }

    /// Cuts off what is left of the room. A file that got no secret of an import that failed is removed, so
    /// that the next attempt may have its name.
    pub(super) fn finish(self, has_failed: bool) -> Result<(), Failure> {
        if has_failed && self.secrets == 0 {
            self.remove();
            return Ok(());
        }
        let finished = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
        finished
            .map_err(|error| self.cannot(&error, "the secrets are in the file; empty lines may follow them"))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length).and_then(|()| self.file.sync_data())
    }

    fn remove(&self) {
        // Where it cannot be removed it stays: it holds no secret.
        let _ = fs::remove_file(&self.path);
    }

    fn cannot(&self, error: &io::Error, hint: &str) -> Failure {
        Failure::failed("cannot write the secrets").file(self.path.display()).reason(error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secret(key: &str) -> NewSecret {
        NewSecret {
            asset_id: "a".into(),
            product_key: "p".into(),
            device_key: key.into(),
            device_secret: "s\"1".into(),
        }
    }

    fn row(key: &str) -> ImportRow {
        ImportRow { line: 2, device_key: key.into(), device_secret: None, name: None }
    }

    #[test]
    fn the_file_for_secrets_is_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.csv");
        let mut secrets = SecretsFile::create(&path).unwrap();
        secrets.append(&[secret("d1"), secret("d2")]).unwrap();
        secrets.finish(false).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "assetId,productKey,deviceKey,deviceSecret\na,p,d1,\"s\"\"1\"\na,p,d2,\"s\"\"1\"\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretsFile::create(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn there_is_room_for_the_secrets_before_their_devices_are_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.csv");
        let mut secrets = SecretsFile::create(&path).unwrap();
        let header = path.metadata().unwrap().len();
        let keys = ["\"".repeat(128), "d".into()];
        let rows = keys.each_ref().map(|key| row(key));
        secrets.reserve("p", &rows).unwrap();
        let room = path.metadata().unwrap().len();
        let made = keys.map(|key| NewSecret {
            asset_id: "Ab3dEf6h".into(),
            device_secret: "Z5YtZaQpK5IWocakV7zQ".into(),
            ..secret(&key)
        });
        secrets.append(&made).unwrap();
        assert_eq!(path.metadata().unwrap().len(), room, "no more was needed");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("\n\n\n"), "what is left over is empty lines: {text:?}");
        secrets.finish(true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text.trim_end().to_owned() + "\n");
        assert!(header < room);
    }

    #[test]
    fn a_file_without_a_secret_stays_only_where_the_import_went_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.csv");
        let mut secrets = SecretsFile::create(&path).unwrap();
        secrets.reserve("p", &[row("d")]).unwrap();
        secrets.finish(true).unwrap();
        assert!(!path.exists());
        SecretsFile::create(&path).unwrap().finish(false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert!(SecretsFile::create(&directory.path().join("none/secrets.csv")).is_err());
    }
}
