//! The configuration: one TOML file, an environment variable for every key, and flags for the few that people
//! change often. Flag before environment before file before default; `narrowgate config` shows what won.
//!
//! Keys and their meaning stand in one table (`keys`); an unknown key is an error with its line.

mod file;
mod filter;
mod keys;
mod parse;
#[cfg(test)]
mod tests;
mod together;
mod values;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use narrowgate_dtls::{CipherSuite, ExtendedMasterSecretPolicy, ServerConfig};

pub(crate) use keys::suggested;
pub(crate) use values::{Origin, Values};

use crate::{
    cli::{GlobalArgs, ServerArgs},
    directory,
    failure::Failure,
};

/// Threads that serve devices, at most.
const SHARDS_MAX: u16 = 256;

/// The configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Directory of everything that is kept.
    pub(crate) data: PathBuf,
    pub(crate) dtls: Dtls,
    pub(crate) session: Session,
    pub(crate) admission: Admission,
    pub(crate) store: Store,
    /// `None`: health and metrics are not served.
    pub(crate) http_listen: Option<SocketAddr>,
    pub(crate) log_filter: String,
    /// Every value as text, with its origin.
    pub(crate) values: Values,
}

/// Section `[dtls]`.
#[derive(Debug, Clone)]
pub(crate) struct Dtls {
    pub(crate) listen: SocketAddr,
    /// At least 1: "one per core" is resolved.
    pub(crate) shards: u16,
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) retransmit_initial: Duration,
    pub(crate) handshake_lifetime: Duration,
    pub(crate) extended_master_secret: ExtendedMasterSecretPolicy,
    pub(crate) require_encrypt_then_mac: bool,
}

/// Section `[session]`.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) idle_timeout: Duration,
    pub(crate) sessions_max: usize,
}

/// Section `[admission]`.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_address_max: usize,
    pub(crate) lookups_max: usize,
}

/// Section `[store]`.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    pub(crate) data_key_file: PathBuf,
    pub(crate) cache_bytes: u64,
    /// `None`: reports are kept for ever.
    pub(crate) retention_days: Option<u32>,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Memory,
}

impl Config {
    /// Loads the configuration of this process.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub(crate) fn load(global: &GlobalArgs, server: &ServerArgs) -> Result<Self, Failure> {
        Self::load_with(global, server, &|variable| std::env::var_os(variable))
    }

    fn load_with(
        global: &GlobalArgs,
        server: &ServerArgs,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        directory::check(&global.data)?;
        // An empty variable counts as not set.
        let variable = || environment("NARROWGATE_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let file = match global.config.clone().or_else(variable) {
            Some(path) => file::read(&path)?,
            None => {
                let path = global.data.join("narrowgate.toml");
                // A link that leads nowhere is a mistake, not a file that nobody made.
                if path.symlink_metadata().is_ok() { file::read(&path)? } else { Vec::new() }
            }
        };
        let flags = [
            ("dtls.listen", "--dtls", &server.dtls),
            ("dtls.shards", "--shards", &server.shards),
            ("http.listen", "--http", &server.http),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, flag, text)| text.as_ref().map(|text| (key, flag, text.clone())))
            .collect();
        Self::from_values(&global.data, Values::merge(flags, environment, file))
    }

    fn from_values(data: &Path, mut values: Values) -> Result<Self, Failure> {
        let number = parse::number::<usize>;
        let seconds = Duration::from_secs;
        let day = 24 * 3600;
        let retransmit_initial = values
            .read("dtls.retransmit_initial", parse::duration(Duration::from_millis(100)..=seconds(60)))?;
        let lifetime = ServerConfig::handshake_lifetime_for(retransmit_initial);
        values.set_default("dtls.handshake_lifetime", format!("{}s", lifetime.as_secs()));
        let config = Self {
            data: data.to_owned(),
            dtls: Dtls {
                listen: values.read("dtls.listen", parse::address("0.0.0.0:5684 or [::]:5684"))?,
                shards: match values.read("dtls.shards", parse::number(0..=SHARDS_MAX))? {
                    0 => std::thread::available_parallelism()
                        .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(SHARDS_MAX).min(SHARDS_MAX)),
                    shards => shards,
                },
                suites: values.read("dtls.suites", parse::some_of(&suites()))?,
                retransmit_initial,
                handshake_lifetime: values
                    .read("dtls.handshake_lifetime", parse::duration(seconds(5)..=seconds(600)))?,
                extended_master_secret: values.read(
                    "dtls.extended_master_secret",
                    parse::one_of(&[
                        ("allow", ExtendedMasterSecretPolicy::Allow),
                        ("require", ExtendedMasterSecretPolicy::Require),
                    ]),
                )?,
                require_encrypt_then_mac: values.read("dtls.require_encrypt_then_mac", parse::switch)?,
            },
            session: Session {
                idle_timeout: values
                    .read("session.idle_timeout", parse::duration(seconds(60)..=seconds(365 * day)))?,
                sessions_max: values.read("session.sessions_max", number(1..=100_000_000))?,
            },
            admission: Admission {
                handshakes_max: values.read("admission.handshakes_max", number(1..=1_000_000))?,
                handshakes_per_address_max: values
                    .read("admission.handshakes_per_address_max", number(1..=1_000_000))?,
                lookups_max: values.read("admission.lookups_max", number(1..=1_000_000))?,
            },
            store: Store {
                kind: values.read(
                    "store.kind",
                    parse::one_of(&[("sqlite", StoreKind::Sqlite), ("memory", StoreKind::Memory)]),
                )?,
                data_key_file: values.read("store.data_key_file", |text| data_key_file(data, text))?,
                cache_bytes: values.read("store.cache", parse::size(1 << 20..=64 << 30))?,
                retention_days: values.read("store.retention", parse::or_off(parse::days))?,
            },
            http_listen: values
                .read("http.listen", parse::or_off(parse::address("127.0.0.1:8080, [::1]:8080 or off")))?,
            log_filter: values.read("log.filter", filter::check)?,
            values,
        };
        together::check(&config)?;
        Ok(config)
    }
}

/// Files of the data directory that are something else.
const OTHER_FILES: [&str; 7] = [
    "registry.db",
    "registry.db-wal",
    "registry.db-shm",
    "messages",
    "narrowgate.toml",
    "narrowgate.lock",
    "control.sock",
];

fn data_key_file(data: &Path, text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(format!("{text:?} is not the name of a file"));
    }
    let path = data.join(text);
    let same = |name: &str| path.components().eq(data.join(name).components());
    match OTHER_FILES.into_iter().find(|name| same(name)) {
        Some(name) => Err(format!("{name} is another file of the data directory; choose another name")),
        None if path.is_dir() => Err(format!("{text:?} is a directory; name a file")),
        None => Ok(path),
    }
}

fn suites() -> [(&'static str, CipherSuite); 2] {
    [CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256].map(|suite| (suite.name(), suite))
}

/// Environment variables that look like keys and are none: probably mistyped.
pub(crate) fn mistyped_variables() -> Vec<(String, Option<&'static str>)> {
    let variables = std::env::vars_os().filter_map(|(variable, _)| variable.into_string().ok());
    variables.filter_map(|variable| mistyped(&variable).map(|near| (variable, near))).collect()
}

/// The key that was probably meant by a variable that is no key: one of a section that exists, or near to a
/// key.
fn mistyped(variable: &str) -> Option<Option<&'static str>> {
    let sections = ["DTLS_", "SESSION_", "ADMISSION_", "STORE_", "HTTP_", "LOG_"];
    let name = variable.strip_prefix("NARROWGATE_")?;
    if keys::KEYS.iter().any(|key| key.variable() == variable) {
        return None;
    }
    let near = keys::nearest(&name.to_ascii_lowercase().replacen('_', ".", 1));
    (near.is_some() || sections.iter().any(|section| name.starts_with(section))).then_some(near)
}
