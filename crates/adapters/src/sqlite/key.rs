//! The data key: seals secrets at rest (AES-256-GCM, a random 96-bit nonce each, bound to the row that they
//! belong to) and gives the secret that unknown identities are answered with.
//!
//! In the file: 64 hexadecimal digits and a newline, mode 0600.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use narrowgate_platform::secret::Secret;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    error::OpenError,
    files::{sync_parent, with_suffix},
};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// A longer file is not a key; do not read on.
const FILE_BYTES_MAX: u64 = 256;

/// Which row a sealed secret belongs to; authenticated with it, so that it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) enum SealedRow<'a> {
    /// The product of this key.
    Product(&'a str),
    /// The device of this asset id.
    Device(&'a str),
    /// The request of this owner and key.
    Request(&'a str),
}

impl SealedRow<'_> {
    fn associated_data(self) -> Vec<u8> {
        let (table, id) = match self {
            Self::Product(product_key) => ("products/", product_key),
            Self::Device(asset_id) => ("devices/", asset_id),
            Self::Request(key) => ("requests/", key),
        };
        [table.as_bytes(), id.as_bytes()].concat()
    }
}

/// A secret that cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub(super) enum SealError {
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    #[error("a stored secret does not belong to its row or to the data key")]
    Forged,
}

/// The key, ready for use.
pub(super) struct DataKey {
    cipher: Aes256Gcm,
    key: Zeroizing<[u8; KEY_BYTES]>,
    /// A sealed secret of nobody, opened where there is none to open, so that both cases take the same time.
    nobody: Vec<u8>,
}

impl DataKey {
    /// Reads the key of an existing store.
    pub(super) fn read(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::KeyMissing { file: path.to_owned() },
            _ => OpenError::io(path, "the data key cannot be read", source),
        })?;
        let io = |source| OpenError::io(path, "the data key cannot be read", source);
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(OpenError::KeyPermissions { file: path.to_owned(), mode });
        }
        let malformed = || OpenError::KeyMalformed { file: path.to_owned() };
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(malformed());
        }
        let text = Zeroizing::new(fs::read(path).map_err(io)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim_ascii(), &mut *key).map_err(|_| malformed())?;
        Self::new(key).map_err(|_| malformed())
    }

    /// Makes the key of a new store: complete under its name, or not at all. An existing file is never
    /// replaced.
    pub(super) fn create(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::io(path, "the data key cannot be written", source);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(|error| io(io::Error::other(error.to_string())))?;
        let text = Zeroizing::new(format!("{}\n", Zeroizing::new(hex::encode(*key)).as_str()));
        let draft = with_suffix(path, ".new");
        // Left by a crash, if it is there; nothing was sealed with it.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let made = write_draft(&draft, &text).and_then(|()| {
            if path.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(&draft, path)
        });
        if made.is_err() {
            // Ignored: nobody uses it, and the next attempt removes it too.
            let _ = fs::remove_file(&draft);
        }
        made.map_err(io)?;
        sync_parent(path)?;
        Self::new(key).map_err(|error| io(io::Error::other(error.to_string())))
    }

    fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, SealError> {
        let mut data_key = Self { cipher: Aes256Gcm::new((&*key).into()), key, nobody: Vec::new() };
        data_key.nobody =
            data_key.seal(SealedRow::Device(""), &Secret::new("nobody's secret has 28 bytes".to_owned()))?;
        Ok(data_key)
    }

    /// Nonce, ciphertext and tag of `secret`.
    pub(super) fn seal(&self, row: SealedRow<'_>, secret: &Secret) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(SealError::Random)?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &row.associated_data() };
        // Encryption fails only for texts of gigabytes; a secret is some bytes.
        let sealed = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| SealError::Forged)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The reverse of [`Self::seal`], for the same row only.
    pub(super) fn open(&self, row: SealedRow<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Forged)?;
        let payload = Payload { msg: sealed, aad: &row.associated_data() };
        let text = self.cipher.decrypt(nonce.into(), payload).map_err(|_| SealError::Forged)?;
        String::from_utf8(text).map(Secret::new).map_err(|_| SealError::Forged)
    }

    /// Does the work of [`Self::open`] for nobody.
    pub(super) fn open_nobody(&self) {
        std::hint::black_box(self.open(SealedRow::Device(""), &self.nobody).is_ok());
    }

    /// Distinguishes keys without revealing anything about them: kept in the registry.
    pub(super) fn check_value(&self) -> [u8; 32] {
        self.derive(b"narrowgate data key check")
    }

    /// Whether `stored` is this key's check value.
    pub(super) fn is_checked_by(&self, stored: &[u8]) -> bool {
        self.check_value()[..].ct_eq(stored).into()
    }

    /// The server's own secret, from which keys for unknown identities are derived (RFC 4279, section 2).
    pub(super) fn decoy_secret(&self) -> Secret {
        Secret::new(hex::encode(self.derive(b"narrowgate decoy secret")))
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(label);
        mac.finalize().into_bytes().into()
    }
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("key-begun");
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    #[cfg(feature = "test-hooks")]
    crate::failpoint::pass("key-drafted");
    Ok(())
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::new(Zeroizing::new([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn a_secret_opens_in_its_row_only_and_with_its_key_only() {
        let secret = Secret::new("Z5YtZaQpK5IWocakV7zQ".to_owned());
        let sealed = key(1).seal(SealedRow::Device("asset001"), &secret).unwrap();
        assert_eq!(key(1).open(SealedRow::Device("asset001"), &sealed).unwrap(), secret);
        assert!(key(1).open(SealedRow::Device("asset002"), &sealed).is_err());
        assert!(key(1).open(SealedRow::Product("asset001"), &sealed).is_err());
        assert!(key(2).open(SealedRow::Device("asset001"), &sealed).is_err());
        assert!(key(1).open(SealedRow::Device("asset001"), &sealed[..5]).is_err());
        let mut changed = sealed.clone();
        changed[NONCE_BYTES] ^= 1;
        assert!(key(1).open(SealedRow::Device("asset001"), &changed).is_err());
        assert_ne!(key(1).seal(SealedRow::Device("asset001"), &secret).unwrap(), sealed);
    }

    #[test]
    fn check_value_and_decoy_secret_belong_to_the_key() {
        assert!(key(1).is_checked_by(&key(1).check_value()));
        assert!(!key(1).is_checked_by(&key(2).check_value()));
        assert_eq!(key(1).decoy_secret(), key(1).decoy_secret());
        assert_ne!(key(1).decoy_secret(), key(2).decoy_secret());
        assert_eq!(format!("{:?}", key(1)), "DataKey(…)");
    }

    #[test]
    fn a_key_file_is_its_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.key");
        assert!(matches!(DataKey::read(&path), Err(OpenError::KeyMissing { .. })));
        let made = DataKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap().len(), 65);
        assert!(DataKey::create(&path).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert!(DataKey::read(&path).unwrap().is_checked_by(&made.check_value()));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(DataKey::read(&path), Err(OpenError::KeyPermissions { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "abc", &"g".repeat(64), &"0".repeat(66), &"0".repeat(1000)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(DataKey::read(&path), Err(OpenError::KeyMalformed { .. })), "{text}");
        }
    }

    #[test]
    fn a_draft_that_a_crash_has_left_does_not_stop_the_next_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.key");
        fs::write(folder.path().join("data.key.new"), "0000").unwrap();
        let made = DataKey::create(&path).unwrap();
        assert!(DataKey::read(&path).unwrap().is_checked_by(&made.check_value()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
