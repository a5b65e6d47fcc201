//! Logins by the identity provider that have begun: nothing is kept of them here. A browser has a ticket in a
//! cookie; what is sent to the provider (`state`, `nonce`, the verifier of PKCE) follows from it by a key
//! that this process alone has, so nobody else can make one, read them out of it, or use it with another
//! login. Tickets of logins that were successful are remembered until they are over: strangers cannot fill
//! that. Of the others those are that came back with codes that were not good: each is good for a few, and
//! where more of them come back than are remembered, these are not counted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long somebody may take at the provider.
pub(crate) const TICKET_LASTS: Duration = Duration::from_secs(600);

/// Successful logins within [`TICKET_LASTS`] that are remembered; more wait.
const USED_MAX: usize = 16_384;

/// Codes that are tried of one login.
const CODES_MAX: u8 = 3;

/// Logins within [`TICKET_LASTS`] of which codes are counted.
const TRIED_MAX: usize = 16_384;

/// Bytes of a ticket: when it is over, and what is random.
const BYTES: usize = 8 + 32;

/// What makes and reads tickets.
pub(super) struct Tickets {
    key: [u8; 32],
    begun: Instant,
    used: Mutex<BTreeMap<[u8; BYTES], Instant>>,
    /// How many codes were tried, and when it is over.
    tried: Mutex<BTreeMap<[u8; BYTES], (u8, Instant)>>,
}

/// One login that has begun.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    bytes: [u8; BYTES],
    /// Comes back with the browser.
    pub(crate) state: String,
    /// Comes back in the ID token.
    pub(super) nonce: String,
    /// Shows the provider that who fetches the token is who began (RFC 7636).
    pub(super) verifier: String,
}

/// Why a ticket was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotUsed {
    /// It was used before.
    Again,
    /// There are too many logins.
    TooMany,
}

impl Tickets {
    pub(super) fn new(key: [u8; 32], begun: Instant) -> Self {
        Self { key, begun, used: Mutex::default(), tried: Mutex::default() }
    }

    /// Makes one of random bytes, and what the browser keeps of it.
    pub(super) fn issue(&self, random: [u8; 32], now: Instant) -> (Ticket, String) {
        let over = now.duration_since(self.begun).saturating_add(TICKET_LASTS);
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&over.as_secs().to_be_bytes());
        bytes[8..].copy_from_slice(&random);
        let cookie = hex::encode(bytes) + &self.derive("cookie", &bytes);
        (self.ticket(bytes), cookie)
    }

    /// The ticket of a cookie; `None`: it is none of this process, or is over.
    pub(super) fn open(&self, cookie: &str, now: Instant) -> Option<Ticket> {
        let (ticket, tag) = cookie.split_at_checked(2 * BYTES)?;
        let (ticket, tag) = (hex::decode(ticket).ok()?, hex::decode(tag).ok()?);
        self.mac("cookie", &ticket).verify_slice(&tag).ok()?;
        let bytes: [u8; BYTES] = ticket.try_into().ok()?;
        let (over, _) = bytes.split_first_chunk()?;
        let is_valid = now.duration_since(self.begun).as_secs() < u64::from_be_bytes(*over);
        is_valid.then(|| self.ticket(bytes))
    }

    /// Counts a code that comes back with a ticket.
    pub(super) fn try_code(&self, ticket: &Ticket, now: Instant) -> Result<(), NotUsed> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.len() >= TRIED_MAX {
            tried.retain(|_, (_, over)| now < *over);
        }
        if tried.len() >= TRIED_MAX && !tried.contains_key(&ticket.bytes) {
            return Ok(());
        }
        let (count, _) = tried.entry(ticket.bytes).or_insert((0, now + TICKET_LASTS));
        if *count >= CODES_MAX {
            return Err(NotUsed::Again);
        }
        *count += 1;
        Ok(())
    }

    /// A mark for a browser, made of random bytes.
    pub(super) fn mark(&self, random: [u8; 32]) -> String {
        hex::encode(random) + &self.derive("browser", &random)
    }

    /// Whether it is one of this process.
    pub(super) fn is_mark(&self, mark: &str) -> bool {
        let Some((random, tag)) = mark.split_at_checked(64) else { return false };
        let (Ok(random), Ok(tag)) = (hex::decode(random), hex::decode(tag)) else { return false };
        self.mac("browser", &random).verify_slice(&tag).is_ok()
    }

    /// Uses a ticket up.
    pub(super) fn take(&self, ticket: &Ticket, now: Instant) -> Result<(), NotUsed> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&ticket.bytes) {
            return Err(NotUsed::Again);
        }
        if used.len() >= USED_MAX {
            used.retain(|_, over| now < *over);
        }
        if used.len() >= USED_MAX {
            return Err(NotUsed::TooMany);
        }
        used.insert(ticket.bytes, now + TICKET_LASTS);
        Ok(())
    }

    fn ticket(&self, bytes: [u8; BYTES]) -> Ticket {
        let derive = |what| self.derive(what, &bytes);
        Ticket { bytes, state: derive("state"), nonce: derive("nonce"), verifier: derive("verifier") }
    }

    /// 64 characters, of which nothing says anything about another.
    fn derive(&self, what: &str, ticket: &[u8]) -> String {
        hex::encode(self.mac(what, ticket).finalize().into_bytes())
    }

    fn mac(&self, what: &str, ticket: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.chain_update(what).chain_update([0]).chain_update(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ticket that no other number has.
    fn numbered(tickets: &Tickets, number: usize, now: Instant) -> Ticket {
        let mut random = [0; 32];
        random[..8].copy_from_slice(&number.to_be_bytes());
        tickets.issue(random, now).0
    }

    #[test]
    fn a_ticket_is_of_this_process_for_ten_minutes_and_is_used_once() {
        let now = Instant::now();
        let tickets = Tickets::new([1; 32], now);
        let (ticket, cookie) = tickets.issue([7; 32], now);
        let opened = tickets.open(&cookie, now + TICKET_LASTS - Duration::from_secs(1));
        assert!(opened.as_ref() == Some(&ticket));
        assert!(tickets.open(&cookie, now + TICKET_LASTS).is_none());
        assert!(Tickets::new([2; 32], now).open(&cookie, now).is_none());
        for place in 0..cookie.len() {
            let mut other = cookie.clone().into_bytes();
            other[place] = if other[place] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).expect("it is ASCII");
            assert!(tickets.open(&other, now).is_none(), "{place}");
        }
        for bad in ["", "0", &cookie[1..], &cookie[..cookie.len() - 2], &"é".repeat(100)] {
            assert!(tickets.open(bad, now).is_none(), "{bad}");
        }
        assert_eq!(tickets.take(&ticket, now), Ok(()));
        assert_eq!(tickets.take(&ticket, now), Err(NotUsed::Again));
    }

    #[test]
    fn a_login_is_good_for_a_few_codes_and_those_that_came_back_are_remembered_within_a_limit() {
        let now = Instant::now();
        let tickets = Tickets::new([1; 32], now);
        let ticket = |number| numbered(&tickets, number, now);
        let first = ticket(0);
        for _ in 0..3 {
            assert_eq!(tickets.try_code(&first, now), Ok(()));
        }
        assert_eq!(tickets.try_code(&first, now), Err(NotUsed::Again));
        for number in 1..=TRIED_MAX {
            assert_eq!(tickets.try_code(&ticket(number), now), Ok(()));
        }
        assert_eq!(tickets.tried.lock().expect("no test has failed").len(), TRIED_MAX);
        assert_eq!(tickets.try_code(&first, now), Err(NotUsed::Again), "it is among them");
    }

    #[test]
    fn a_mark_is_of_this_process_and_is_no_ticket() {
        let now = Instant::now();
        let tickets = Tickets::new([1; 32], now);
        let mark = tickets.mark([7; 32]);
        assert!(tickets.is_mark(&mark) && !Tickets::new([2; 32], now).is_mark(&mark));
        assert!(tickets.open(&mark, now).is_none() && !tickets.is_mark(&tickets.issue([7; 32], now).1));
        for bad in ["", "0", &mark[1..], &mark[..64], &"é".repeat(64)] {
            assert!(!tickets.is_mark(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_sent_is_different_each_time_and_is_no_part_of_the_cookie() {
        let now = Instant::now();
        let tickets = Tickets::new([1; 32], now);
        let (one, cookie) = tickets.issue([7; 32], now);
        let (other, _) = tickets.issue([8; 32], now);
        let mut all = vec![one.state, one.nonce, one.verifier, other.state, other.nonce, other.verifier];
        assert!(all.iter().all(|text| text.len() == 64 && !cookie.contains(text.as_str())));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn those_that_were_used_are_remembered_within_a_limit_until_they_are_over() {
        let now = Instant::now();
        let tickets = Tickets::new([1; 32], now);
        let ticket = |number| numbered(&tickets, number, now);
        for number in 0..USED_MAX {
            assert_eq!(tickets.take(&ticket(number), now), Ok(()));
        }
        assert_eq!(tickets.take(&ticket(USED_MAX), now), Err(NotUsed::TooMany));
        assert_eq!(tickets.take(&ticket(USED_MAX), now + TICKET_LASTS), Ok(()));
    }
}
