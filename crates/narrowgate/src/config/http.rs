//! Section `[http]`: the API, health and metrics.

use std::{net::SocketAddr, path::Path, time::Duration};

use narrowgate_http::tls::{Certificate, CertificateError, CertificateFiles};
use narrowgate_platform::{model::user::SessionTimes, rules::rate::Rate};

use super::{
    accept::{Address, FileName, OrOff, Site, Switch, Time, Times},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static LISTEN: Key<OrOff<Address>> = Key {
    name: "http.listen",
    default: "127.0.0.1:8080",
    accepts: OrOff(Address { examples: "127.0.0.1:8080, [::1]:8080 or off" }),
    help: "TCP address and port for the API, health and metrics; off: they are not served",
};

pub(super) static BEHIND_PROXY: Key<Switch> = Key {
    name: "http.behind_proxy",
    default: "false",
    accepts: Switch,
    help: "true: only a proxy with TLS reaches http.listen, which may then be beyond this machine",
};

pub(super) static PUBLIC_URL: Key<OrOff<Site>> = Key {
    name: "http.public_url",
    default: "off",
    accepts: OrOff(Site),
    help: "where browsers reach http.listen, for one-time links and oidc.issuer, such as {accepted}; off: at \
           http.listen",
};

pub(crate) static TLS_CERTIFICATE: Key<OrOff<FileName>> = Key {
    name: "http.tls_certificate",
    default: "off",
    accepts: OrOff(FileName),
    help: "PEM file of the server's certificate and those of its issuers, for HTTPS at http.listen; relative \
           to the data directory; off: HTTP",
};

pub(crate) static TLS_KEY: Key<OrOff<FileName>> = Key {
    name: "http.tls_key",
    default: "off",
    accepts: OrOff(FileName),
    help: "PEM file of its private key; relative to the data directory",
};

static HSTS: Key<OrOff<Time>> = Key {
    name: "http.hsts",
    default: "365d",
    accepts: OrOff(Time(Duration::from_secs(60)..=Duration::from_secs(730 * DAY_SECONDS))),
    help: "how long a browser that came by TLS asks this host, at any port, by TLS alone, {accepted}; off: \
           it is not told to",
};

static TOKEN_REQUESTS: Key<OrOff<Times>> = Key {
    name: "http.token_requests",
    default: "100/s burst 200",
    accepts: OrOff(Times),
    help: "requests of one token or one user; more get 429; off: any number",
};

const DAY_SECONDS: u64 = 24 * 3600;

static SESSION_IDLE: Key<Time> = Key {
    name: "http.session_idle",
    default: "12h",
    accepts: Time(Duration::from_secs(60)..=Duration::from_secs(30 * DAY_SECONDS)),
    help: "a user's session that was not used for this long ends, {accepted}",
};

static SESSION_LIFETIME: Key<Time> = Key {
    name: "http.session_lifetime",
    default: "7d",
    accepts: Time(Duration::from_secs(60)..=Duration::from_secs(365 * DAY_SECONDS)),
    help: "a user's session ends this long after the login in any case, {accepted}",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[
    &LISTEN,
    &BEHIND_PROXY,
    &PUBLIC_URL,
    &TLS_CERTIFICATE,
    &TLS_KEY,
    &HSTS,
    &TOKEN_REQUESTS,
    &SESSION_IDLE,
    &SESSION_LIFETIME,
];

/// Section `[http]`.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// `None`: nothing is served.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether only a proxy reaches it.
    pub(crate) behind_proxy: bool,
    /// Where browsers reach it; `None`: where it listens.
    pub(crate) public_url: Option<String>,
    /// The certificate of HTTPS; `None`: HTTP.
    pub(crate) tls: Option<CertificateFiles>,
    /// How long browsers that came by TLS ask without it no more; `None`: they may.
    pub(crate) hsts: Option<Duration>,
    /// Of one token or one user; `None`: any number.
    pub(crate) token_requests: Option<Rate>,
    /// How long sessions of users last.
    pub(crate) session_times: SessionTimes,
}

impl Http {
    pub(super) fn read(data: &Path, values: &Values) -> Result<Self, Failure> {
        // At most a year.
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let session_times = SessionTimes {
            idle_ms: ms(values.read(&SESSION_IDLE)?),
            whole_ms: ms(values.read(&SESSION_LIFETIME)?),
        };
        let (listen, token_requests) = (values.read(&LISTEN)?, values.read(&TOKEN_REQUESTS)?);
        let (behind_proxy, public_url) = (values.read(&BEHIND_PROXY)?, values.read(&PUBLIC_URL)?);
        let hsts = values.read(&HSTS)?;
        let tls = match (values.read(&TLS_CERTIFICATE)?, values.read(&TLS_KEY)?) {
            (Some(certificates), Some(key)) => {
                Some(CertificateFiles { certificates: data.join(certificates), key: data.join(key) })
            }
            (None, None) => None,
            (Some(_), None) => return Err(values.refuse(&TLS_CERTIFICATE, "needs http.tls_key beside it")),
            (None, Some(_)) => return Err(values.refuse(&TLS_KEY, "needs http.tls_certificate beside it")),
        };
        Ok(Self { listen, behind_proxy, public_url, tls, hsts, token_requests, session_times })
    }

    /// Reads the certificate of HTTPS; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be used: which file, why, and what to try.
    pub(crate) fn certificate(&self) -> Result<Option<Certificate>, Failure> {
        let Some(files) = self.tls.clone() else { return Ok(None) };
        Certificate::read(files).map(Some).map_err(|error| {
            let failure = Failure::config("HTTPS cannot be served");
            let failure = match &error {
                CertificateError::File { file, reason } => failure.file(file.display()).reason(reason),
                CertificateError::Pair(_) => failure.reason(&error),
            };
            failure.hint(
                "http.tls_certificate is a PEM file of the server's certificate, followed by those of its \
                 issuers; http.tls_key is one of its private key; this user must be able to read both",
            )
        })
    }
}
