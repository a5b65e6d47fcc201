//! The configuration: one TOML file, an environment variable for every key, and flags for the few that people
//! change often. Flag before environment before file before default; `narrowgate config` shows what won.
//!
//! A file per section declares its keys: name, default, what is accepted, and what it does; an unknown key is
//! an error with its line.

mod accept;
mod admission;
pub(crate) mod coap;
pub(crate) mod dtls;
mod file;
mod filter;
pub(crate) mod http;
mod key;
mod keys;
mod limits;
pub(crate) mod log;
mod nbiot;
pub(crate) mod oidc;
mod session;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod together;
mod trace;
mod values;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use narrowgate_coap::SlowRadio;

pub(crate) use accept::name_of_listener;
pub(crate) use key::Setting;
pub(crate) use keys::suggested;
pub(crate) use store::StoreKind;
pub(crate) use values::{Origin, Values};

use self::{
    admission::Admission, coap::Coap, dtls::Dtls, http::Http, limits::Limits, log::Log, oidc::Oidc,
    session::Session, store::Store,
};
use crate::{
    cli::{GlobalArgs, ServerArgs},
    directory,
    failure::Failure,
};

/// The configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Directory of everything that is kept.
    pub(crate) data: PathBuf,
    pub(crate) dtls: Dtls,
    pub(crate) coap: Coap,
    /// Sessions of products with the profile `nbiot`.
    pub(crate) nbiot: SlowRadio,
    pub(crate) session: Session,
    pub(crate) admission: Admission,
    pub(crate) limits: Limits,
    pub(crate) store: Store,
    pub(crate) http: Http,
    pub(crate) oidc: Oidc,
    pub(crate) log: Log,
    /// Which requests of devices are traced; `None`: none.
    pub(crate) trace: Option<crate::trace::Options>,
    /// Every value as text, with its origin.
    pub(crate) values: Values,
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
        let behind_proxy = server.http_behind_proxy.then(|| "true".to_owned());
        let flags: [(&dyn Setting, _, _); 5] = [
            (&dtls::LISTEN, "--dtls", &server.dtls),
            (&coap::LISTEN, "--coap", &server.coap),
            (&dtls::SHARDS, "--shards", &server.shards),
            (&http::LISTEN, "--http", &server.http),
            (&http::BEHIND_PROXY, "--http-behind-proxy", &behind_proxy),
        ];
        let flags =
            flags.into_iter().filter_map(|(key, flag, text)| text.clone().map(|text| (key, flag, text)));
        Self::from_values(&global.data, Values::merge(flags, environment, file))
    }

    fn from_values(data: &Path, mut values: Values) -> Result<Self, Failure> {
        let config = Self {
            data: data.to_owned(),
            dtls: Dtls::read(&mut values)?,
            coap: Coap::read(&values)?,
            nbiot: nbiot::read(&mut values)?,
            session: Session::read(&values)?,
            admission: Admission::read(&values)?,
            limits: Limits::read(&values)?,
            store: Store::read(data, &values)?,
            http: Http::read(data, &values)?,
            oidc: Oidc::read(data, &values)?,
            log: Log::read(&values)?,
            trace: trace::read(&values)?,
            values,
        };
        together::check(&config)?;
        Ok(config)
    }

    /// Refuses what has no effect in a server with these flags, on this machine.
    ///
    /// # Errors
    /// The first such value, with its place.
    pub(crate) fn check_server(&self) -> Result<(), Failure> {
        together::check_server(self)?;
        self.http.certificate().map(drop)
    }
}

/// Environment variables that look like keys and are none: probably mistyped.
pub(crate) fn mistyped_variables() -> Vec<(String, Option<&'static str>)> {
    let variables = std::env::vars_os().filter_map(|(variable, _)| variable.into_string().ok());
    variables.filter_map(|variable| mistyped(&variable).map(|near| (variable, near))).collect()
}

/// The key that was probably meant by a variable that is no key: one of a section that exists, or near to a
/// key.
fn mistyped(variable: &str) -> Option<Option<&'static str>> {
    let name = variable.strip_prefix("NARROWGATE_")?;
    if keys::all().any(|key| key.variable() == variable) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = keys::nearest(&name.replacen('_', ".", 1));
    let is_in_section = name.split_once('_').is_some_and(|(section, _)| keys::is_section(section));
    (near.is_some() || is_in_section).then_some(near)
}
