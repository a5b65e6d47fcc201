//! Who may in on TCP: requests for the API need a token (RFC 6750) or the cookie of a user's session, and
//! each token and each user may ask only so often.
//!
//! * Both are looked up by their SHA-256. They have 256 random bits, so neither guesses nor the time of a
//!   look-up tell anything about them.
//! * Wrong ones are counted by source (IPv6: by /64). A source that sends too many gets 429 for them. Each is
//!   looked up all the same: a valid one opens, whoever else guesses behind the same proxy.
//! * A change with a cookie must come from a page of this server (module `browser`). A request with a token
//!   comes from nobody who does not know it.
//! * Neither is written into the log: it is counted ([`Gate::samples`]).
//!
//! Limits: [`WRONG`], [`SOURCES_MAX`] and [`STRANGE_AT_ONCE`]; the rate of a token or a user is a setting.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use narrowgate_api::problem::{Code, Problem};
use narrowgate_platform::{
    firmware::Sha256Sum,
    model::access::Caller,
    ports::{SESSIONS_OF_USER_MAX, TOKENS_MAX, USERS_MAX},
    rules::rate::Rate,
    service::{Operator, session_hash, token_hash},
};
use tokio::sync::Semaphore;

use crate::{
    api::{Asker, Credential, Standing},
    browser::{self, SESSION, cookies},
    forwarded::Way,
    limiter::{Limiter, lock},
    metrics::{Metric, Samples},
    places::Source,
    problem::Refused,
};

/// Wrong tokens of a source: a program that is set up wrongly sees 401 for a while, and a guesser nothing.
const WRONG: Rate = Rate { every: Duration::from_secs(1), burst: 20 };

/// Sources whose wrong tokens are counted; some 100 bytes each. Where there are more, a further one is not
/// held back.
const SOURCES_MAX: usize = 4096;

/// Tokens and sessions that were valid when they were seen last: some were revoked since.
const KNOWN_MAX: usize = 2 * (TOKENS_MAX + USERS_MAX * SESSIONS_OF_USER_MAX);

/// Tokens and sessions that are not known to be valid, and are looked up at the same time: the look-ups of
/// devices have the same threads.
const STRANGE_AT_ONCE: usize = 2;

const WRONG_TOKENS: Metric = Metric::counter(
    "narrowgate_http_unauthorized_total",
    "Requests for the API without a token or a session that is valid.",
);

const HELD_BACK: Metric = Metric::counter(
    "narrowgate_http_held_back_total",
    "Requests for the API that came too often, of a token, of a user or of a source of wrong ones.",
);

/// What pages send that ask for themselves again, as nobody has asked for it: the session is not used by it.
const RENEWED: &str = "x-narrowgate-renewed";

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    operator: Operator,
    /// `None`: any number.
    rate: Option<Limiter<[u8; 32]>>,
    wrong: Limiter<u128>,
    /// Tokens and sessions that were valid when they were seen last, with the bucket that each takes from.
    known: Mutex<BTreeMap<[u8; 32], [u8; 32]>>,
    hasher: RandomState,
    strange: Semaphore,
    unauthorized: AtomicU64,
    held_back: AtomicU64,
}

impl Gate {
    /// A gate to the verbs of this operator; `rate`: of the requests of one token or one user.
    pub(crate) fn new(operator: Operator, rate: Option<Rate>) -> Self {
        Self {
            operator,
            rate: rate.map(|rate| Limiter::new(rate, 2 * (TOKENS_MAX + USERS_MAX))),
            wrong: Limiter::new(WRONG, SOURCES_MAX),
            known: Mutex::default(),
            hasher: RandomState::new(),
            strange: Semaphore::new(STRANGE_AT_ONCE),
            unauthorized: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// What it has refused so far.
    pub(crate) fn samples(&self) -> [Samples; 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [WRONG_TOKENS.is(count(&self.unauthorized)), HELD_BACK.is(count(&self.held_back))]
    }

    /// Who asks, by the token or the cookie in the headers; with the session, where it is one.
    ///
    /// # Errors
    /// The answer to somebody who may not in, or not now.
    pub(crate) async fn admit<'a>(
        &self,
        method: &Method,
        headers: &'a HeaderMap,
        (peer, way): (Option<Peer>, Way),
    ) -> Result<(Asker, Option<&'a str>), Response> {
        let now = Instant::now();
        let sessions = sessions(headers, way);
        let token = bearer(headers);
        if token.is_none() && sessions.is_empty() {
            let detail = "a request needs a token: the header Authorization: Bearer TOKEN";
            return Err(self.unauthorized(None, detail));
        }
        let token = token.and_then(token_hash).map(|hash| (Credential::Token(hash), None));
        let sessions = sessions
            .into_iter()
            .filter_map(|session| Some((Credential::Session(session_hash(session)?), Some(session))));
        for (credential, session) in token.into_iter().chain(sessions) {
            let Some(caller) = self.look_up(credential, is_by_itself(headers), now).await? else { continue };
            if let Some(session) = session {
                browser::check_site(headers).map_err(forbidden)?;
                if !method.is_safe() {
                    browser::check_change(headers, way, session).map_err(forbidden)?;
                }
            }
            return Ok((Asker { caller, credential: Some(credential) }, session));
        }
        Err(self.refuse_wrong(peer, now))
    }

    /// Who opens a page or sends its form, by the cookie alone, with the session; `None`: nobody who has
    /// logged in. Links on other sites open pages, which show no secret and change nothing; whose a form is,
    /// the caller checks.
    ///
    /// # Errors
    /// The answer to somebody who may not in now.
    pub(crate) async fn admit_visitor<'a>(
        &self,
        headers: &'a HeaderMap,
        (peer, way): (Option<Peer>, Way),
    ) -> Result<Option<(Asker, &'a str)>, Response> {
        let now = Instant::now();
        let sessions = cookies(headers, SESSION, way);
        if sessions.is_empty() {
            return Ok(None);
        }
        for session in sessions {
            let Some(hash) = session_hash(session) else { continue };
            let credential = Credential::Session(hash);
            if let Some(caller) = self.look_up(credential, is_by_itself(headers), now).await? {
                return Ok(Some((Asker { caller, credential: Some(credential) }, session)));
            }
        }
        match peer.map_or(Ok(()), |peer| self.wrong.permit(source(peer), now)) {
            Ok(()) => Ok(None),
            Err(wait) => Err(self.hold_back(wait, "too many sessions that are over come from this address")),
        }
    }

    /// Whose it is; `None`: nobody's. A session is used by it, unless the page asks by itself.
    async fn look_up(
        &self,
        credential: Credential,
        is_by_itself: bool,
        now: Instant,
    ) -> Result<Option<Caller>, Response> {
        let hash = credential.hash();
        let known = lock(&self.known).get(&hash.0).copied();
        // Before the look-up, which has the same threads as those of devices.
        if let Some(refused) = known.and_then(|bucket| self.asks_too_often(bucket, now)) {
            return Err(refused);
        }
        let holder = {
            // Never closed.
            let _strange = if known.is_some() { None } else { self.strange.acquire().await.ok() };
            match credential {
                Credential::Token(hash) => self.operator.holder(hash).await,
                Credential::Session(hash) if is_by_itself => self.operator.session_holder(hash).await,
                Credential::Session(hash) => self.operator.use_session(hash).await,
            }
        };
        match holder {
            Ok(Some(caller)) => {
                if known.is_none()
                    && let Some(refused) = self.asks_too_often(self.remember(&caller, hash), now)
                {
                    return Err(refused);
                }
                self.check_unit_of(&caller).await?;
                Ok(Some(caller))
            }
            Ok(None) => {
                lock(&self.known).remove(&hash.0);
                Ok(None)
            }
            Err(problem) => Err(Refused(problem).into_response()),
        }
    }

    /// Whether who was let in may still: a while has passed since.
    ///
    /// # Errors
    /// The answer to somebody who may not any more.
    pub(crate) async fn confirm(&self, asker: &Asker) -> Result<(), Response> {
        match Standing::new(self.operator.clone(), asker.clone()).look().await {
            Ok(true) => self.check_unit_of(&asker.caller).await,
            Ok(false) => {
                Err(self
                    .unauthorized(Some("invalid_token"), "the token or the session is not valid any more"))
            }
            Err(problem) => Err(Refused(problem).into_response()),
        }
    }

    /// Passes a caller whose organisation unit is not suspended.
    async fn check_unit_of(&self, caller: &Caller) -> Result<(), Response> {
        self.operator.check_unit_of(caller).await.map_err(|problem| Refused(problem).into_response())
    }

    /// Remembers a token or a session that is valid; the bucket that it takes from.
    fn remember(&self, caller: &Caller, hash: Sha256Sum) -> [u8; 32] {
        let mut bucket = hash.0;
        // All sessions of a user together.
        if let Caller::User { name, .. } = caller {
            bucket = [0; 32];
            bucket[..8].copy_from_slice(&self.hasher.hash_one(name).to_be_bytes());
        }
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_MAX {
            // Most of them were revoked since.
            known.clear();
        }
        known.insert(hash.0, bucket);
        bucket
    }

    /// Counts one request of the token's or of the user's; the answer where there are too many.
    fn asks_too_often(&self, bucket: [u8; 32], now: Instant) -> Option<Response> {
        let wait = self.rate.as_ref()?.permit(bucket, now).err()?;
        Some(self.hold_back(wait, "this token or user asks too often (http.token_requests)"))
    }

    fn refuse_wrong(&self, peer: Option<Peer>, now: Instant) -> Response {
        if let Some(peer) = peer
            && let Err(wait) = self.wrong.permit(source(peer), now)
        {
            return self.hold_back(wait, "too many wrong tokens come from this address");
        }
        self.unauthorized(Some("invalid_token"), "the token or the session is not valid, or not any more")
    }

    fn unauthorized(&self, error: Option<&str>, detail: &str) -> Response {
        self.unauthorized.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::UNAUTHORIZED;
        let hint = "narrowgate token create NAME --role viewer makes one; people log in at /login";
        let mut response = Refused(Problem {
            detail: Some(detail.to_owned()),
            hint: Some(hint.to_owned()),
            ..Problem::new(status.as_u16(), Code::Unauthorized, "Unauthorized")
        })
        .into_response();
        // RFC 6750, section 3: without a token, nothing is said about it.
        let challenge = match error {
            Some(_) => HeaderValue::from_static(r#"Bearer realm="narrowgate", error="invalid_token""#),
            None => HeaderValue::from_static(r#"Bearer realm="narrowgate""#),
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }

    fn hold_back(&self, wait: Duration, detail: &str) -> Response {
        self.held_back.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut response = Refused::new(status, Code::RateLimited, detail).into_response();
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// Whether a page of a browser asks by itself, again or for events, which it does as long as it is open.
fn is_by_itself(headers: &HeaderMap) -> bool {
    headers.contains_key(RENEWED)
        || headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"text/event-stream")
}

/// A change that may be caused by a page of somebody else.
fn forbidden(detail: &str) -> Response {
    let status = StatusCode::FORBIDDEN;
    Refused::new(status, Code::Forbidden, detail).into_response()
}

/// The cookies of sessions, where no token is sent: one of them is ours.
fn sessions(headers: &HeaderMap, way: Way) -> Vec<&str> {
    if headers.contains_key(header::AUTHORIZATION) { Vec::new() } else { cookies(headers, SESSION, way) }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section 11.1). Where
/// there are two headers, there is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The source of a request, as a key.
pub(crate) fn source(Peer(address): Peer) -> u128 {
    Source::of(address).key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_from_one_header() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().expect("it is a value of a header"));
            }
            bearer(&headers).map(str::to_owned)
        };
        for text in ["Bearer ngt_1", "bearer ngt_1", "BEARER  ngt_1 "] {
            assert_eq!(read(&[text]).as_deref(), Some("ngt_1"), "{text}");
        }
        for none in [&[][..], &["Bearer"], &["Basic bmd0"], &["ngt_1"], &["Bearer ngt_1", "Bearer ngt_1"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
