//! HTTPS: a listener whose connections are TLS 1.2 or 1.3 (`rustls`), with a certificate of files that may be
//! replaced while it serves.
//!
//! A handshake belongs to its connection and not to the listener: a peer that says nothing has a place (or
//! waits in the queue) as others do, loses it by the same rules, and after [`HANDSHAKE_TIME_MAX`] in any
//! case. How many are made in a time is limited (module `handshakes`).

mod connection;
mod handshakes;
mod validity;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use narrowgate_api::{names::UnixMillis, time::rfc3339};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use self::validity::Validity;
pub use self::{
    connection::{Connection, HANDSHAKE_TIME_MAX, Secured},
    validity::Standing,
};

/// Time between two looks at the files.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Longest file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's certificate, and after it those that lead to its issuer; PEM.
    pub certificates: PathBuf,
    /// Its private key; PEM: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key is of another certificate, or of a kind that TLS does not take.
    #[error("the certificate and the key do not fit together: {0}")]
    Pair(rustls::Error),
}

/// What a file is known by: its number, its bytes, and when it was changed last. A file that is not there is
/// another one too.
type Stamp = Option<(u64, u64, i64, i64)>;

/// A file that was changed within this time may change again without another stamp: the clock of files is
/// coarse.
const SETTLES_MS: i64 = 1000;

/// A certificate that is read anew when its files change.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// Of the files that were read first; `None`: they may have changed meanwhile.
    first: Option<[Stamp; 2]>,
}

/// What is shown to those who connect now.
#[derive(Debug)]
struct Current(RwLock<Shown>);

#[derive(Debug, Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// Of all certificates of the chain together, where they say it.
    validity: Option<Validity>,
}

impl Current {
    fn shown(&self) -> Shown {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }
}

/// What was found at the last look.
struct Seen {
    /// Of the files that were read; `None`: they are to be read again.
    files: Option<[Stamp; 2]>,
    standing: Standing,
    /// What the log says of files that cannot be used.
    told: Option<String>,
}

impl Seen {
    fn first(certificate: &Certificate) -> Self {
        Self { files: certificate.first, standing: Standing::Good, told: None }
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn read(files: CertificateFiles) -> Result<Self, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let before = stamps(&files);
        let current = Arc::new(Current(RwLock::new(read(&files, &provider)?)));
        let first = settled(before, &files, now_ms());
        Ok(Self { files, provider, current, first })
    }

    /// When it ends, in seconds since 1970; `None`: it does not say so in a way that is known.
    pub fn expires_s(&self) -> Option<u64> {
        let until_ms = self.current.shown().validity?.until_ms;
        u64::try_from(until_ms / 1000).ok()
    }

    /// How it stands at this time, from when and until when it is valid (ms since 1970); `None`: it does not
    /// say so in a way that is known.
    pub fn standing(&self, now_ms: i64) -> Option<(Standing, UnixMillis, UnixMillis)> {
        let validity = self.current.shown().validity?;
        Some((validity.standing(now_ms), UnixMillis(validity.from_ms), UnixMillis(validity.until_ms)))
    }

    /// Looks at once and every [`LOOK_EVERY`] for other files, and at the calendar. Where new files cannot be
    /// used, the certificate stays that was read last, and the log says why, once. Never ends.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = Seen::first(&self);
        loop {
            let certificate = Arc::clone(&self);
            // On a thread that may wait: a disk can hang.
            let looked = spawn_blocking(move || {
                certificate.look(&mut seen, now_ms());
                seen
            });
            seen = match looked.await {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::error!(%error, "the certificate of HTTPS is not followed any more");
                    return std::future::pending().await;
                }
            };
            sleep(LOOK_EVERY).await;
        }
    }

    fn look(&self, seen: &mut Seen, now_ms: i64) {
        let file = self.files.certificates.display();
        let files = stamps(&self.files);
        if seen.files != Some(files) {
            self.read_anew(seen);
            seen.files = settled(files, &self.files, now_ms);
        }
        let Some(validity) = self.current.shown().validity else { return };
        let (from, until) = (rfc3339(validity.from_ms), rfc3339(validity.until_ms));
        let standing = validity.standing(now_ms);
        match standing {
            _ if standing == seen.standing => {}
            Standing::Good => {}
            Standing::NotYet => tracing::warn!(%file, %from, "the certificate of HTTPS is not valid yet"),
            Standing::EndsSoon => tracing::warn!(%file, %until, "the certificate of HTTPS ends soon"),
            Standing::Ended => tracing::error!(%file, %until, "the certificate of HTTPS has ended"),
        }
        seen.standing = standing;
    }

    /// Shows what is in the files, if it can be used, and says so once.
    fn read_anew(&self, seen: &mut Seen) {
        let file = self.files.certificates.display();
        match read(&self.files, &self.provider) {
            Ok(shown) => {
                let is_new = shown.key.cert != self.current.shown().key.cert;
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
                seen.told = None;
                if is_new {
                    tracing::info!(%file, "the certificate of HTTPS was read anew");
                }
            }
            Err(error) => {
                let told = Some(error.to_string());
                if seen.told != told {
                    seen.told = told;
                    tracing::error!(%file, %error, "the new certificate cannot be used: the old one stays");
                }
            }
        }
    }

    /// The configuration of connections with it.
    ///
    /// # Errors
    /// None with the versions that there are.
    fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&self.current));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn stamps(files: &CertificateFiles) -> [Stamp; 2] {
    [&files.certificates, &files.key].map(|file| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
    })
}

/// The stamps of files before they were read, where these tell what was read from what comes after it.
fn settled(before: [Stamp; 2], files: &CertificateFiles, now_ms: i64) -> Option<[Stamp; 2]> {
    let is_old = |stamp: &Stamp| stamp.is_none_or(|(_, _, s, _)| s * 1000 + 1000 + SETTLES_MS <= now_ms);
    (stamps(files) == before && before.iter().all(is_old)).then_some(before)
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Shown, CertificateError> {
    let wrong = |file: &Path, reason: String| CertificateError::File { file: file.to_owned(), reason };
    let bytes_of = |file: &Path| bytes_of(file).map_err(|error| wrong(file, error.to_string()));
    let certificates = bytes_of(&files.certificates)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
    let chain = chain.map_err(|error| wrong(&files.certificates, error.to_string()))?;
    if chain.is_empty() {
        let reason = "it holds no certificate (BEGIN CERTIFICATE)".to_owned();
        return Err(wrong(&files.certificates, reason));
    }
    let key = zeroize::Zeroizing::new(bytes_of(&files.key)?);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        wrong(&files.key, "it holds no private key without a password (BEGIN PRIVATE KEY)".to_owned())
    })?;
    let validity = Validity::of_chain(&chain);
    let key = CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Pair)?;
    Ok(Shown { key: Arc::new(key), validity })
}

fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    fs::read(file)
}

#[cfg(test)]
mod tests;
