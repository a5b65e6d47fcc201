//! How often somebody may try to log in, and ask for links that are not valid.
//!
//! Wrong tries are counted, right ones are not:
//!
//! * by source (IPv6: by /64), [`OF_SOURCE`], and by its network (IPv4: /24, IPv6: /48), [`OF_NETWORK`];
//! * by the name that is tried, whether there is such a user or not: together with the network, [`OF_PAIR`],
//!   and from all networks together, [`OF_NAME`]. Networks of which nobody has tried this name of late
//!   ([`FRESH`]) have tries of their own, [`OF_NAME_FRESH`]: so a few loud networks keep nobody out
//!   elsewhere;
//! * where a browser is known, because the same user has logged in with it by the present password, by that
//!   browser alone, [`OF_BROWSER`]. So no stranger, from however many sources or behind the same proxy, keeps
//!   a user out of a browser that the user has. Who has no such browser gets in by a new one-time link
//!   (`narrowgate user reset`), which is not counted at all; and sessions and tokens go on.
//!
//! Links that are not valid are counted by source, [`WRONG_LINKS`], and so are logins by the identity
//! provider that have failed, [`VOUCHED`]: each is a request to it. A browser that has logged in by the
//! provider is counted by itself, [`OF_BROWSER`].
//!
//! What leaves before it is answered counts as wrong.
//!
//! A wrong try costs a slow hash, and these are made one after the other (`adapters::passwords`, some 30 a
//! second). So fewer buckets are not full at a time than are kept, and nobody pushes one out. What is refused
//! as busy counts for strangers: else they would try again at once.

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
    places::network,
};

/// Wrong tries of a source: a person errs some times in a row.
pub(crate) const OF_SOURCE: Rate = Rate { every: Duration::from_secs(10), burst: 10 };
/// Wrong tries of a network, which some people may share.
pub(crate) const OF_NETWORK: Rate = Rate { every: Duration::from_millis(2500), burst: 40 };
/// Wrong tries with a name of one network.
const OF_PAIR: Rate = Rate { every: Duration::from_secs(10), burst: 10 };
/// Wrong tries with a name of all networks that have tried it of late: 8,640 a day. The passwords that are
/// guessed first are refused when they are set (`rules::passwords`).
pub(crate) const OF_NAME: Rate = Rate { every: Duration::from_secs(10), burst: 20 };
/// So many wrong tries of a network with a name are those of a fresh one.
pub(crate) const FRESH: Rate = Rate { every: Duration::from_secs(200), burst: 3 };
/// Wrong tries with a name of fresh networks: 17,280 a day, where there are more than forty of them.
const OF_NAME_FRESH: Rate = Rate { every: Duration::from_secs(5), burst: 40 };
/// Wrong tries of a browser that is known.
pub(crate) const OF_BROWSER: Rate = Rate { every: Duration::from_secs(10), burst: 10 };

/// Wrong tries of all that get an entry of their own in the audit log; strangers make them, and the log keeps
/// a number of entries. The next one that gets one says how many before it have none.
const WRITTEN: Rate = Rate { every: Duration::from_secs(5), burst: 200 };
/// The same of logins by the identity provider, so that neither takes the other's.
const WRITTEN_VOUCHED: Rate = Rate { every: Duration::from_secs(10), burst: 100 };

/// Lines in the log that the identity provider cannot be asked: strangers cause them as well.
const UNREACHABLE: Rate = Rate { every: Duration::from_secs(60), burst: 1 };

/// Links that are not valid, of a source.
const WRONG_LINKS: Rate = Rate { every: Duration::from_secs(1), burst: 20 };

/// Logins by the identity provider that have failed, of a source.
const VOUCHED: Rate = Rate { every: Duration::from_secs(1), burst: 20 };

/// Buckets of each kind that are kept.
const KEPT_MAX: usize = 16_384;

const FAILED: Metric = Metric::counter(
    "narrowgate_http_logins_failed_total",
    "Logins of users with a wrong name or a wrong password, or that the identity provider did not bear out.",
);

const HELD_BACK: Metric = Metric::counter(
    "narrowgate_http_logins_held_back_total",
    "Logins of users that were not tried, because too many had failed before.",
);

const BUSY: Metric = Metric::counter(
    "narrowgate_http_logins_busy_total",
    "Logins of users that were not tried, because too many waited for the hash of a password, or for the \
     identity provider.",
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
    /// All those of whom a proxy does not say the address are one.
    fn source(&self) -> u128 {
        self.peer.map_or(u128::MAX, source)
    }

    /// The number of the network that it comes from.
    pub(crate) fn network(&self) -> u64 {
        self.peer.map_or(u64::MAX, |Peer(address)| network(address))
    }
}

/// A try that passed, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Of a browser that is known.
    Known,
    /// Of a network that had tried the name before.
    Stranger,
    /// Of a fresh network.
    Fresh,
}

/// Who gets an entry in the audit log.
#[derive(Debug)]
struct Written {
    rate: Limiter<()>,
    /// Wrong tries without one, since the last that has one.
    left_out: AtomicU64,
}

impl Written {
    fn new(rate: Rate) -> Self {
        Self { rate: Limiter::new(rate, 1), left_out: AtomicU64::new(0) }
    }

    fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// How many before it have none, where the next one gets one.
    fn next(&self, now: Instant) -> Option<u64> {
        if self.rate.permit((), now).is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.leave_out();
        None
    }
}

/// Somebody who comes back from the identity provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    /// From where.
    pub(crate) peer: Option<Peer>,
    /// The mark of a browser that has logged in so before.
    pub(crate) browser: Option<&'a str>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Throttle {
    sources: Limiter<u128>,
    networks: Limiter<u64>,
    pairs: Limiter<u64>,
    names: Limiter<u64>,
    fresh: Limiter<u64>,
    names_fresh: Limiter<u64>,
    browsers: Limiter<u64>,
    written: Written,
    written_vouched: Written,
    unreachable: Limiter<()>,
    wrong_links: Limiter<u128>,
    vouched: Limiter<u128>,
    hasher: RandomState,
    failed: AtomicU64,
    held_back: AtomicU64,
    busy: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        let limiter = |rate| Limiter::new(rate, KEPT_MAX);
        Self {
            sources: Limiter::new(OF_SOURCE, KEPT_MAX),
            networks: limiter(OF_NETWORK),
            pairs: limiter(OF_PAIR),
            names: limiter(OF_NAME),
            fresh: limiter(FRESH),
            names_fresh: limiter(OF_NAME_FRESH),
            browsers: limiter(OF_BROWSER),
            written: Written::new(WRITTEN),
            written_vouched: Written::new(WRITTEN_VOUCHED),
            unreachable: Limiter::new(UNREACHABLE, 1),
            wrong_links: Limiter::new(WRONG_LINKS, KEPT_MAX),
            vouched: Limiter::new(VOUCHED, KEPT_MAX),
            hasher: RandomState::new(),
            failed: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        }
    }
}

impl Throttle {
    /// Counts a link that is not valid.
    ///
    /// # Errors
    /// There are too many; after which time another one may pass.
    pub(crate) fn permit_wrong_link(&self, peer: Option<Peer>, now: Instant) -> Result<(), Duration> {
        self.wrong_links.permit(peer.map_or(u128::MAX, source), now)
    }

    /// Counts a login by the identity provider.
    ///
    /// # Errors
    /// There are too many; after which time another one may pass.
    pub(crate) fn permit_vouched(&self, back: Back<'_>, now: Instant) -> Result<(), Duration> {
        let permitted = match back.browser {
            Some(browser) => self.browsers.permit(self.hasher.hash_one(browser), now),
            None => self.vouched.permit(back.peer.map_or(u128::MAX, source), now),
        };
        permitted.inspect_err(|_| {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            self.written_vouched.leave_out();
        })
    }

    /// Does not count one that was successful.
    pub(crate) fn give_back_vouched(&self, back: Back<'_>) {
        match back.browser {
            Some(browser) => self.browsers.give_back(self.hasher.hash_one(browser)),
            None => self.vouched.give_back(back.peer.map_or(u128::MAX, source)),
        }
    }

    /// A login by the identity provider has failed. Whether it gets an entry in the audit log: how many
    /// before it have none.
    pub(crate) fn note_vouched_failure(&self, now: Instant) -> Option<u64> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.written_vouched.next(now)
    }

    /// Whether the log says now that the identity provider cannot be asked.
    pub(crate) fn tells_unreachable(&self, now: Instant) -> bool {
        self.unreachable.permit((), now).is_ok()
    }

    /// Passes a try, and counts it: of many at once no more pass than one after the other.
    ///
    /// # Errors
    /// After which time another one may pass.
    pub(crate) fn permit(&self, attempt: Try<'_>, now: Instant) -> Result<Passed, Duration> {
        let permitted = match attempt.browser {
            Some(browser) => self.browsers.permit(self.hasher.hash_one(browser), now).map(|()| Passed::Known),
            None => self.permit_stranger(attempt, now),
        };
        permitted.inspect_err(|_| {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            self.written.leave_out();
        })
    }

    fn permit_stranger(&self, attempt: Try<'_>, now: Instant) -> Result<Passed, Duration> {
        let (source, network) = (attempt.source(), attempt.network());
        let (pair, name) = self.pair_and_name(attempt);
        self.sources.permit(source, now)?;
        let by_network = self.networks.permit(network, now);
        by_network.inspect_err(|_| self.sources.give_back(source))?;
        let by_pair = self.pairs.permit(pair, now).inspect_err(|_| self.networks.give_back(network));
        by_pair.inspect_err(|_| self.sources.give_back(source))?;
        let by_name = self.permit_name((pair, name), now);
        by_name.inspect_err(|_| {
            self.sources.give_back(source);
            self.networks.give_back(network);
            self.pairs.give_back(pair);
        })
    }

    fn permit_name(&self, (pair, name): (u64, u64), now: Instant) -> Result<Passed, Duration> {
        if self.fresh.permit(pair, now).is_ok() {
            if self.names_fresh.permit(name, now).is_ok() {
                return Ok(Passed::Fresh);
            }
            self.fresh.give_back(pair);
        }
        self.names.permit(name, now).map(|()| Passed::Stranger)
    }

    fn pair_and_name(&self, attempt: Try<'_>) -> (u64, u64) {
        (self.hasher.hash_one((attempt.name, attempt.network())), self.hasher.hash_one(attempt.name))
    }

    /// Does not count a try that passed: it was right, or was not looked at.
    pub(crate) fn give_back(&self, attempt: Try<'_>, passed: Passed) {
        if let Some(browser) = attempt.browser {
            self.browsers.give_back(self.hasher.hash_one(browser));
            return;
        }
        let (pair, name) = self.pair_and_name(attempt);
        self.sources.give_back(attempt.source());
        self.networks.give_back(attempt.network());
        self.pairs.give_back(pair);
        match passed {
            Passed::Known => {}
            Passed::Stranger => self.names.give_back(name),
            Passed::Fresh => {
                self.fresh.give_back(pair);
                self.names_fresh.give_back(name);
            }
        }
    }

    /// A try that passed was wrong. Whether it gets an entry in the audit log: how many before it have none.
    pub(crate) fn note_failure(&self, now: Instant) -> Option<u64> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.written.next(now)
    }

    /// A try that passed was not looked at: too many waited.
    pub(crate) fn note_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// What it has counted so far.
    pub(crate) fn samples(&self) -> [Samples; 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [FAILED.is(count(&self.failed)), HELD_BACK.is(count(&self.held_back)), BUSY.is(count(&self.busy))]
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
        assert_eq!(throttle.permit(other, start), Ok(Passed::Fresh));
    }

    #[test]
    fn attack_181_a_network_tries_so_often_whatever_its_addresses_are() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let names: Vec<_> = (0..10_000).map(|number| format!("user {number}")).collect();
        let tries = names.iter().zip(0..).map(|(name, number)| {
            let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 1);
            Try { name, peer: Some(Peer(address.into())), browser: None }
        });
        // Forty at once, and four in the ten seconds.
        assert_eq!(passed(&throttle, start, tries), 40 + 3);
    }

    #[test]
    fn attack_181_a_few_networks_keep_nobody_out_elsewhere() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let tries = (0..10_000).map(|number| {
            let network = 0x0101_0100 + (number % 8) * 256 + number / 8 % 256;
            Try { name: "ned", peer: peer(network), browser: None }
        });
        // Three of each network as of a fresh one; and of all together 20 at once, and one in 10 s.
        assert_eq!(passed(&throttle, start, tries), 8 * 3 + 20);
        let later = start + Duration::from_millis(9999);
        let ned = Try { name: "ned", peer: peer(0x0909_0909), browser: None };
        for _ in 0..3 {
            assert_eq!(throttle.permit(ned, later), Ok(Passed::Fresh));
        }
        assert!(throttle.permit(ned, later).is_err());
    }

    #[test]
    fn attack_181_many_sources_try_a_name_so_often_and_known_browsers_go_on() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let tries = (0..10_000).map(|number| Try { name: "ann", peer: peer(number << 8), browser: None });
        assert_eq!(passed(&throttle, start, tries), 20 + 40 + 1);
        let later = start + Duration::from_millis(9999);
        let stranger = Try { name: "ann", peer: peer(0x7777_7777), browser: None };
        assert_eq!(throttle.permit(stranger, later), Err(Duration::from_millis(41)));
        // Also behind the proxy from which everybody comes.
        let tries = (0..20).map(|_| Try { name: "bob", ..stranger });
        assert_eq!(passed(&throttle, later, tries), 10);
        let known = Try { browser: Some("ngb_1"), ..stranger };
        let tries = (0..1000).map(|_| known);
        assert_eq!(passed(&throttle, later, tries), 10, "it was stolen");
        let another = Try { browser: Some("ngb_2"), ..stranger };
        assert_eq!(throttle.permit(another, later), Ok(Passed::Known));
    }

    #[test]
    fn what_was_right_is_not_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let attempt = Try { name: "ann", peer: peer(1), browser: None };
        for attempt in [attempt, Try { browser: Some("ngb_1"), ..attempt }] {
            for _ in 0..100 {
                let passed = throttle.permit(attempt, start).expect("nothing is counted");
                throttle.give_back(attempt, passed);
            }
            assert_eq!(passed(&throttle, start, (0..100).map(|_| attempt)), 10);
        }
    }

    #[test]
    fn whoever_waits_may_try_again() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let attempt = Try { name: "ann", peer: peer(1), browser: None };
        assert_eq!(passed(&throttle, start, (0..100).map(|_| attempt)), 10);
        let again = throttle.permit(attempt, start + Duration::from_secs(11));
        assert_eq!(again, Ok(Passed::Stranger));
    }

    #[test]
    fn those_of_whom_a_proxy_does_not_say_the_address_try_as_often_as_one_source() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let names: Vec<_> = (0..1000).map(|number| format!("user {number}")).collect();
        let tries = names.iter().map(|name| Try { name, peer: None, browser: None });
        assert_eq!(passed(&throttle, start, tries), 10);
        let known = Try { name: "ann", peer: None, browser: Some("ngb_1") };
        assert_eq!(throttle.permit(known, start), Ok(Passed::Known));
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
    fn attack_181_a_browser_that_has_logged_in_by_the_provider_goes_on_beside_others_at_its_address() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let stranger = Back { peer: peer(1), browser: None };
        let passed = |back| (0..1000).filter(|_| throttle.permit_vouched(back, start).is_ok()).count();
        assert_eq!(passed(stranger), 20);
        let known = Back { browser: Some("mark"), ..stranger };
        for _ in 0..100 {
            throttle.permit_vouched(known, start).expect("it is good each time");
            throttle.give_back_vouched(known);
        }
        assert_eq!(passed(known), 10, "it was stolen");
        assert_eq!(passed(Back { peer: None, browser: None }), 20);
        assert_eq!(throttle.held_back.load(Ordering::Relaxed), 980 + 990 + 980);
    }

    #[test]
    fn logins_by_the_provider_that_fail_take_no_entries_of_wrong_passwords() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let written = (0..1000).filter_map(|_| throttle.note_vouched_failure(start)).count();
        assert_eq!(written, 100);
        assert_eq!(throttle.note_failure(start), Some(0));
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.note_vouched_failure(later), Some(900));
        let told = [0, 59, 60].map(|s| throttle.tells_unreachable(start + Duration::from_secs(s)));
        assert_eq!(told, [true, false, true]);
    }

    #[test]
    fn an_address_asks_for_so_many_links_that_are_not_valid() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let passes = |peer, ms| throttle.permit_wrong_link(peer, start + Duration::from_millis(ms)).is_ok();
        assert_eq!((0..1000).filter(|_| passes(peer(1), 0)).count(), 20);
        assert!(passes(peer(2), 0) && passes(None, 0));
        assert!(!passes(peer(1), 999) && passes(peer(1), 1000) && !passes(peer(1), 1000));
    }
}
