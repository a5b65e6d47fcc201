//! Section `[http]`: the API, health and metrics.

use std::{net::SocketAddr, time::Duration};

use narrowgate_platform::{model::user::SessionTimes, rules::rate::Rate};

use super::{
    accept::{Address, OrOff, Site, Switch, Time, Times},
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

static PUBLIC_URL: Key<OrOff<Site>> = Key {
    name: "http.public_url",
    default: "off",
    accepts: OrOff(Site),
    help: "where browsers reach http.listen, for one-time links, such as {accepted}; off: at http.listen",
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
pub(super) static KEYS: &[&dyn Setting] =
    &[&LISTEN, &BEHIND_PROXY, &PUBLIC_URL, &TOKEN_REQUESTS, &SESSION_IDLE, &SESSION_LIFETIME];

/// Section `[http]`.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// `None`: nothing is served.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether only a proxy reaches it.
    pub(crate) behind_proxy: bool,
    /// Where browsers reach it; `None`: where it listens.
    pub(crate) public_url: Option<String>,
    /// Of one token or one user; `None`: any number.
    pub(crate) token_requests: Option<Rate>,
    /// How long sessions of users last.
    pub(crate) session_times: SessionTimes,
}

impl Http {
    pub(super) fn read(values: &Values) -> Result<Self, Failure> {
        // At most a year.
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let session_times = SessionTimes {
            idle_ms: ms(values.read(&SESSION_IDLE)?),
            whole_ms: ms(values.read(&SESSION_LIFETIME)?),
        };
        let (listen, token_requests) = (values.read(&LISTEN)?, values.read(&TOKEN_REQUESTS)?);
        let (behind_proxy, public_url) = (values.read(&BEHIND_PROXY)?, values.read(&PUBLIC_URL)?);
        Ok(Self { listen, behind_proxy, public_url, token_requests, session_times })
    }
}
