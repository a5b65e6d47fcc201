//! How often somebody may try to log in, and ask for a page.
//!
//! Wrong tries are counted, right ones are not:
//!
//! * by source (IPv6: by /64; all those behind a proxy are one), [`OF_SOURCE`];
//! * by the name that is tried, whether there is such a user or not, [`OF_NAME`]: many sources together get
//!   no further with one user than that;
//! * where a browser is known, because the same user has logged in with it by the present password, by that
//!   browser alone, [`OF_BROWSER`]. So no stranger, from however many sources or behind the same proxy, keeps
//!   a user out of a browser that the user has. Who has no such browser gets in by a new one-time link
//!   (`narrowgate user reset`), which is not counted at all; and sessions and tokens go on.
//!
//! Of the pages a source gets so many ([`PAGES`]), as each may cost a look-up in the store; behind a proxy
//! that is the proxy's to limit.
//!
//! A wrong try costs a slow hash, and these are made one after the other (`adapters::passwords`, some 30 a
//! second). So fewer buckets are not full at a time than are kept, and nobody pushes one out.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use narrowgate_platform::rules::rate::Rate;

use crate::{
    gate::{Peer, source},
    limiter::Limiter,
    metrics::{Metric, Samples},
};

/// Wrong tries of a source: a person errs some times in a row.
pub(crate) const OF_SOURCE: Rate = Rate { every: Duration::from_secs(10), burst: 10 };
/// Wrong tries with a name: 8,640 a day, of which none guesses a password that has 12 characters.
pub(crate) const OF_NAME: Rate = Rate { every: Duration::from_secs(10), burst: 20 };
/// Wrong tries of a browser that is known.
pub(crate) const OF_BROWSER: Rate = Rate { every: Duration::from_secs(10), burst: 10 };

/// Wrong tries of all that get an entry of their own in the audit log; strangers make them, and the log keeps
/// a number of entries. The next one that gets one says how many before it have none.
const WRITTEN: Rate = Rate { every: Duration::from_secs(5), burst: 200 };

/// Pages of a source: some people behind one address, and no flood.
const PAGES: Rate = Rate { every: Duration::from_millis(20), burst: 100 };

/// Buckets of each kind that are kept.
const KEPT_MAX: usize = 16_384;

const FAILED: Metric = Metric::counter(
    "narrowgate_http_logins_failed_total",
    "Logins of users with a wrong name or a wrong password.",
);

const HELD_BACK: Metric = Metric::counter(
    "narrowgate_http_logins_held_back_total",
    "Logins of users that were not tried, because too many had failed before.",
);

/// Somebody who tries to log in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try<'a> {
    /// As whom.
    pub(crate) name: &'a str,
    /// From where.
    pub(crate) peer: Option<Peer>,
    /// With which browser, where this user has logged in with it before.
    pub(crate) browser: Option<&'a str>,
}

impl Try<'_> {
    /// All those behind one proxy are one.
    fn source(&self) -> u128 {
        self.peer.map_or(u128::MAX, source)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Throttle {
    sources: Limiter<u128>,
    names: Limiter<u64>,
    browsers: Limiter<u64>,
    pages: Limiter<u128>,
    written: Limiter<()>,
    /// Wrong tries without an entry, since the last one that has one.
    left_out: AtomicU64,
    hasher: RandomState,
    failed: AtomicU64,
    held_back: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            sources: Limiter::new(OF_SOURCE, KEPT_MAX),
            names: Limiter::new(OF_NAME, KEPT_MAX),
            browsers: Limiter::new(OF_BROWSER, KEPT_MAX),
            pages: Limiter::new(PAGES, KEPT_MAX),
            written: Limiter::new(WRITTEN, 1),
            left_out: AtomicU64::new(0),
            hasher: RandomState::new(),
            failed: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }
}

impl Throttle {
    /// Counts a request for a page.
    ///
    /// # Errors
    /// There are too many; after which time another one may pass.
    pub(crate) fn permit_page(&self, peer: Option<Peer>, now: Instant) -> Result<(), Duration> {
        peer.map_or(Ok(()), |peer| self.pages.permit(source(peer), now))
    }

    /// Passes a try, and counts it: of many at once no more pass than one after the other.
    ///
    /// # Errors
    /// After which time another one may pass.
    pub(crate) fn permit(&self, attempt: Try<'_>, now: Instant) -> Result<(), Duration> {
        let permitted = match attempt.browser {
            Some(browser) => self.browsers.permit(self.hasher.hash_one(browser), now),
            None => self.permit_stranger(attempt, now),
        };
        permitted.inspect_err(|_| {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            self.left_out.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn permit_stranger(&self, attempt: Try<'_>, now: Instant) -> Result<(), Duration> {
        self.sources.permit(attempt.source(), now)?;
        let permitted = self.names.permit(self.hasher.hash_one(attempt.name), now);
        permitted.inspect_err(|_| self.sources.give_back(attempt.source()))
    }

    /// Does not count a try that passed: it was right, or was not looked at.
    pub(crate) fn give_back(&self, attempt: Try<'_>) {
        if let Some(browser) = attempt.browser {
            self.browsers.give_back(self.hasher.hash_one(browser));
            return;
        }
        self.sources.give_back(attempt.source());
        self.names.give_back(self.hasher.hash_one(attempt.name));
    }

    /// A try that passed was wrong. Whether it gets an entry in the audit log: how many before it have none.
    pub(crate) fn note_failure(&self, now: Instant) -> Option<u64> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if self.written.permit((), now).is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// What it has counted so far.
    pub(crate) fn samples(&self) -> [Samples; 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [FAILED.is(count(&self.failed)), HELD_BACK.is(count(&self.held_back))]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: u32) -> Option<Peer> {
        Some(Peer(Ipv4Addr::from_bits(number).into()))
    }

    /// How many of so many wrong tries pass, one in each millisecond.
    fn passed<'a>(throttle: &Throttle, start: Instant, tries: impl Iterator<Item = Try<'a>>) -> usize {
        let at = |ms| start + Duration::from_millis(ms);
        tries.zip(0..).filter(|(attempt, ms)| throttle.permit(*attempt, at(*ms)).is_ok()).count()
    }

    #[test]
    fn attack_181_a_source_tries_so_often_whatever_the_names_are() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let names: Vec<_> = (0..10_000).map(|number| format!("user {number}")).collect();
        let tries = names.iter().map(|name| Try { name, peer: peer(1), browser: None });
        // Ten at once, and the next one after ten seconds.
        assert_eq!(passed(&throttle, start, tries), 10);
        let other = Try { name: "ann", peer: peer(2), browser: None };
        assert_eq!(throttle.permit(other, start), Ok(()));
    }

    #[test]
    fn attack_181_many_sources_try_a_name_so_often_and_known_browsers_go_on() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let tries = (0..10_000).map(|number| Try { name: "ann", peer: peer(number), browser: None });
        assert_eq!(passed(&throttle, start, tries), 20);
        let later = start + Duration::from_secs(9);
        let stranger = Try { name: "ann", peer: peer(77_777), browser: None };
        assert_eq!(throttle.permit(stranger, later), Err(Duration::from_secs(1)));
        // Also behind the proxy from which everybody comes.
        let tries = (0..20).map(|_| Try { name: "bob", ..stranger });
        assert_eq!(passed(&throttle, later, tries), 10);
        let known = Try { browser: Some("ngb_1"), ..stranger };
        let tries = (0..1000).map(|_| known);
        assert_eq!(passed(&throttle, later, tries), 10, "it was stolen");
        assert_eq!(throttle.permit(Try { browser: Some("ngb_2"), ..stranger }, later), Ok(()));
    }

    #[test]
    fn what_was_right_is_not_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let attempt = Try { name: "ann", peer: peer(1), browser: None };
        for attempt in [attempt, Try { browser: Some("ngb_1"), ..attempt }] {
            for _ in 0..100 {
                assert_eq!(throttle.permit(attempt, start), Ok(()));
                throttle.give_back(attempt);
            }
            assert_eq!(passed(&throttle, start, (0..100).map(|_| attempt)), 10);
        }
    }

    #[test]
    fn whoever_waits_may_try_again() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let attempt = Try { name: "ann", peer: peer(1), browser: None };
        assert_eq!(passed(&throttle, start, (0..100).map(|_| attempt)), 10);
        assert_eq!(throttle.permit(attempt, start + Duration::from_secs(11)), Ok(()));
    }

    #[test]
    fn those_behind_a_proxy_try_as_often_as_one_source() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let names: Vec<_> = (0..1000).map(|number| format!("user {number}")).collect();
        let tries = names.iter().map(|name| Try { name, peer: None, browser: None });
        assert_eq!(passed(&throttle, start, tries), 10);
        let known = Try { name: "ann", peer: None, browser: Some("ngb_1") };
        assert_eq!(throttle.permit(known, start), Ok(()));
    }

    #[test]
    fn strangers_fill_the_audit_log_so_fast_and_what_is_left_out_is_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let written = (0..1000).filter_map(|_| throttle.note_failure(start)).collect::<Vec<_>>();
        assert_eq!(written, [0; 200]);
        let attempt = Try { name: "ann", peer: peer(1), browser: None };
        assert_eq!(passed(&throttle, start, (0..100).map(|_| attempt)), 10);
        let later = start + Duration::from_secs(5);
        assert_eq!((throttle.note_failure(later), throttle.note_failure(later)), (Some(800 + 90), None));
        assert_eq!(throttle.note_failure(later + Duration::from_secs(5)), Some(1));
    }

    #[test]
    fn an_address_gets_so_many_pages() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let passes = |peer, ms| throttle.permit_page(peer, start + Duration::from_millis(ms)).is_ok();
        assert_eq!((0..1000).filter(|_| passes(peer(1), 0)).count(), 100);
        assert!(passes(peer(2), 0) && passes(None, 0));
        assert!(!passes(peer(1), 19) && passes(peer(1), 20) && !passes(peer(1), 20));
    }
}
