//! Who may in on TCP: requests for the API need a token (RFC 6750), and each token may ask only so often.
//!
//! * A token is looked up by its SHA-256. It has 256 random bits, so neither guesses nor the time of a
//!   look-up tell anything about it.
//! * Wrong tokens are counted by source (IPv6: by /64). A source that sends too many gets 429, and nothing is
//!   looked up for it any more but tokens that were valid before: others behind the same proxy go on.
//! * Neither is written into the log: it is counted ([`Gate::samples`]).
//!
//! Limits: [`WRONG`] and [`SOURCES_MAX`]; the rate of a token is a setting.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use narrowgate_api::problem::{Code, Problem};
use narrowgate_platform::{
    firmware::Sha256Sum,
    ports::TOKENS_MAX,
    rules::rate::{Buckets, Rate, Taken},
    service::{Operator, token_hash},
};

use crate::{
    api::Asker,
    metrics::{Metric, Samples},
    problem::Refused,
};

/// Wrong tokens of a source: a program that is set up wrongly sees 401 for a while, and a guesser nothing.
const WRONG: Rate = Rate { every: Duration::from_secs(1), burst: 20 };

/// Sources whose wrong tokens are counted; some 100 bytes each. Where there are more, a further one is not
/// held back.
const SOURCES_MAX: usize = 4096;

const WRONG_TOKENS: Metric = Metric::counter(
    "narrowgate_http_unauthorized_total",
    "Requests for the API without a token that is valid.",
);

const HELD_BACK: Metric = Metric::counter(
    "narrowgate_http_held_back_total",
    "Requests for the API that came too often, of a token or of a source of wrong ones.",
);

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    operator: Operator,
    /// `None`: any number.
    rate: Option<Mutex<Buckets<[u8; 32]>>>,
    wrong: Mutex<Buckets<u128>>,
    /// Tokens that were valid when they were seen last; at most [`TOKENS_MAX`] at once are.
    known: Mutex<BTreeSet<[u8; 32]>>,
    unauthorized: AtomicU64,
    held_back: AtomicU64,
}

impl Gate {
    /// A gate to the verbs of this operator; `rate`: of the requests of one token.
    pub(crate) fn new(operator: Operator, rate: Option<Rate>) -> Self {
        Self {
            operator,
            rate: rate.map(|rate| Mutex::new(Buckets::new(rate, 2 * TOKENS_MAX))),
            wrong: Mutex::new(Buckets::new(WRONG, SOURCES_MAX)),
            known: Mutex::default(),
            unauthorized: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// What it has refused so far.
    pub(crate) fn samples(&self) -> [Samples; 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [WRONG_TOKENS.is(count(&self.unauthorized)), HELD_BACK.is(count(&self.held_back))]
    }

    /// Who asks, by the token in the headers.
    ///
    /// # Errors
    /// The answer to somebody who may not in, or not now.
    pub(crate) async fn admit(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Asker, Response> {
        let now = Instant::now();
        let Some(text) = bearer(headers) else {
            let detail = "a request needs a token: the header Authorization: Bearer TOKEN";
            return Err(self.unauthorized(None, detail));
        };
        let Some(hash) = token_hash(text) else {
            return Err(self.refuse_wrong(peer, now));
        };
        let is_known = lock(&self.known).contains(&hash.0);
        if !is_known
            && let Some(peer) = peer
            && lock(&self.wrong).holds_back(source(peer), now)
        {
            return Err(
                self.hold_back(Duration::from_secs(1), "too many wrong tokens come from this address")
            );
        }
        match self.operator.holder(hash).await {
            Ok(Some(caller)) => {
                self.remember(hash);
                match self.asks_too_often(hash, now) {
                    Some(refused) => Err(refused),
                    None => Ok(Asker { caller, token: Some(hash) }),
                }
            }
            Ok(None) => {
                lock(&self.known).remove(&hash.0);
                Err(self.refuse_wrong(peer, now))
            }
            Err(problem) => Err(Refused(problem).into_response()),
        }
    }

    fn remember(&self, hash: Sha256Sum) {
        let mut known = lock(&self.known);
        if known.len() >= 2 * TOKENS_MAX {
            // Most of them were revoked since.
            known.clear();
        }
        known.insert(hash.0);
    }

    /// Counts one request of the token's; the answer where there are too many.
    fn asks_too_often(&self, hash: Sha256Sum, now: Instant) -> Option<Response> {
        match lock(self.rate.as_ref()?).take(hash.0, now) {
            Taken::Yes => None,
            Taken::No { wait, .. } => {
                Some(self.hold_back(wait, "this token asks too often (http.token_requests)"))
            }
        }
    }

    fn refuse_wrong(&self, peer: Option<Peer>, now: Instant) -> Response {
        if let Some(peer) = peer
            && let Taken::No { wait, .. } = lock(&self.wrong).take(source(peer), now)
        {
            return self.hold_back(wait, "too many wrong tokens come from this address");
        }
        self.unauthorized(Some("invalid_token"), "the token is not valid, or not any more")
    }

    fn unauthorized(&self, error: Option<&str>, detail: &str) -> Response {
        self.unauthorized.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::UNAUTHORIZED;
        let hint = "narrowgate token create NAME --role viewer makes one";
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

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section 11.1). Where
/// there are two headers, there is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An address as the key of its source: IPv6 by its /64, as one customer has at least.
fn source(Peer(address): Peer) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_source_is_an_address_or_a_network_of_ipv6() {
        let key = |text: &str| source(Peer(text.parse().expect("it is an address")));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
