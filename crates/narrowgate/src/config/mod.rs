//! The configuration: one TOML file, an environment variable for every key, and flags for the few that people
//! change often. Flag before environment before file before default; `narrowgate config` shows what won.
//!
//! Keys and their meaning stand in one table (`keys`); an unknown key is an error with its line.

mod file;
mod keys;
mod parse;
mod values;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use narrowgate_dtls::{CipherSuite, ExtendedMasterSecretPolicy, ServerConfig};

pub(crate) use values::{Origin, Values};

use crate::{
    cli::{GlobalArgs, ServerArgs},
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
    pub(crate) http_listen: SocketAddr,
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
        let file = match &global.config {
            Some(path) => file::read(path)?,
            None => {
                let path = global.data.join("narrowgate.toml");
                if path.exists() { file::read(&path)? } else { Vec::new() }
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
        Ok(Self {
            data: data.to_owned(),
            dtls: Dtls {
                listen: values.read("dtls.listen", parse::address)?,
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
                data_key_file: values.read("store.data_key_file", |text| match text {
                    "" => Err("no file is named".into()),
                    name => Ok(data.join(name)),
                })?,
                cache_bytes: values.read("store.cache", parse::size(1 << 20..=64 << 30))?,
                retention_days: values.read("store.retention", parse::days)?,
            },
            http_listen: values.read("http.listen", parse::address)?,
            log_filter: values.read("log.filter", check_filter)?,
            values,
        })
    }
}

fn suites() -> [(&'static str, CipherSuite); 2] {
    [CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256].map(|suite| (suite.name(), suite))
}

fn check_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is no log filter: {error}")),
    }
}

/// Environment variables that look like keys and are none: probably mistyped.
pub(crate) fn mistyped_variables() -> Vec<(String, Option<&'static str>)> {
    let sections = ["DTLS_", "SESSION_", "ADMISSION_", "STORE_", "HTTP_", "LOG_"];
    std::env::vars_os()
        .filter_map(|(variable, _)| variable.into_string().ok())
        .filter(|variable| {
            let name = variable.strip_prefix("NARROWGATE_").unwrap_or_default();
            sections.iter().any(|section| name.starts_with(section))
                && !keys::KEYS.iter().any(|key| key.variable() == *variable)
        })
        .map(|variable| {
            let name = variable["NARROWGATE_".len()..].to_ascii_lowercase().replacen('_', ".", 1);
            (variable, keys::nearest(&name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::failure::Exit;

    fn load(file: &str, variables: &[(&str, &str)], server: &ServerArgs) -> Result<Config, Failure> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("narrowgate.toml"), file).unwrap();
        let global = GlobalArgs { data: directory.path().to_owned(), config: None, output: None };
        Config::load_with(&global, server, &|variable| {
            variables.iter().find(|(name, _)| *name == variable).map(|(_, text)| OsString::from(text))
        })
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = load("", &[], &ServerArgs::default()).unwrap();
        assert_eq!(config.dtls.listen.port(), 5684);
        assert_eq!(config.dtls.suites, [CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256]);
        assert_eq!(config.store.data_key_file, config.data.join("data.key"));
        assert_eq!(config.store.retention_days, None);
        assert!(config.dtls.shards >= 1);
        assert!(config.http_listen.ip().is_loopback());
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
        let file = "[dtls]\nlisten = \"0.0.0.0:1\"\nshards = 1\n[session]\nidle_timeout = \"1h\"\n";
        let variables = [
            ("NARROWGATE_DTLS_LISTEN", "0.0.0.0:2"),
            ("NARROWGATE_DTLS_SHARDS", "2"),
            ("NARROWGATE_LOG_FILTER", ""),
        ];
        let server = ServerArgs { dtls: Some("0.0.0.0:3".into()), ..ServerArgs::default() };
        let config = load(file, &variables, &server).unwrap();
        assert_eq!((config.dtls.listen.port(), config.dtls.shards), (3, 2));
        assert_eq!(config.session.idle_timeout, Duration::from_secs(3600));
        assert_eq!(config.log_filter, "info");
        assert_eq!(config.values.origin("dtls.listen").to_string(), "--dtls");
        assert_eq!(config.values.origin("dtls.shards").to_string(), "NARROWGATE_DTLS_SHARDS");
        assert!(config.values.origin("session.idle_timeout").to_string().ends_with("narrowgate.toml line 5"));
        assert_eq!(*config.values.origin("log.filter"), Origin::Default);
    }

    #[test]
    fn the_lifetime_of_a_handshake_follows_its_timers_unless_it_is_set() {
        let lifetime = |file: &str| {
            let config = load(file, &[], &ServerArgs::default()).unwrap();
            let shown = config.values.all().find(|(key, _)| key.name == "dtls.handshake_lifetime").unwrap().1;
            assert_eq!(
                parse::duration(Duration::ZERO..=Duration::MAX)(&shown.text),
                Ok(config.dtls.handshake_lifetime)
            );
            (shown.text.clone(), shown.origin.to_string() == "default")
        };
        assert_eq!(lifetime(""), ("60s".to_owned(), true));
        assert_eq!(lifetime("[dtls]\nretransmit_initial = \"9s\"\n"), ("243s".to_owned(), true));
        let both = "[dtls]\nretransmit_initial = \"9s\"\nhandshake_lifetime = \"60s\"\n";
        assert_eq!(lifetime(both), ("60s".to_owned(), false));
    }

    #[test]
    fn a_wrong_value_is_told_where_it_stands() {
        let failure = load("[session]\n\nidle_timeout = 3600\n", &[], &ServerArgs::default()).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        let text = failure.to_string();
        assert!(text.contains("narrowgate.toml line 3   (session.idle_timeout)"), "{text}");
        assert!(text.contains("\"3600\" is no duration"), "{text}");

        let failure = load("", &[("NARROWGATE_STORE_KIND", "postgres")], &ServerArgs::default()).unwrap_err();
        assert!(failure.to_string().contains("environment NARROWGATE_STORE_KIND"), "{failure}");

        let server = ServerArgs { http: Some("8080".into()), ..ServerArgs::default() };
        let failure = load("", &[], &server).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().starts_with("error: --http is wrong"), "{failure}");
    }

    #[test]
    fn suites_are_chosen_by_name_in_order() {
        let file = "[dtls]\nsuites = [\"TLS_PSK_WITH_AES_128_CBC_SHA256\"]\n";
        let config = load(file, &[], &ServerArgs::default()).unwrap();
        assert_eq!(config.dtls.suites, [CipherSuite::PskAes128CbcSha256]);
        assert!(load("[dtls]\nsuites = []\n", &[], &ServerArgs::default()).is_err());
    }

    #[test]
    fn a_configuration_file_that_was_named_must_exist() {
        let global = GlobalArgs { data: "x".into(), config: Some("/nowhere/n.toml".into()), output: None };
        let failure = Config::load_with(&global, &ServerArgs::default(), &|_| None).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.to_string().contains("/nowhere/n.toml"), "{failure}");
    }
}
