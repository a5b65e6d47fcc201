//! Handshakes of TLS cost the server a key exchange and a signature, and a peer who repeats a hello next to
//! nothing. So an address begins only so many in a time, and is closed beyond that; of all together only so
//! many are begun, and more wait for that as long as a handshake may take; and half of the processors make
//! them at most, so that the other half is for devices.

use std::{
    net::IpAddr,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use narrowgate_platform::rules::rate::Rate;
use tokio::sync::Semaphore;

use crate::{limiter::Limiter, places::Source};

/// Of one address (IPv6: a /48): a program that makes a connection for each request is not held back by it at
/// half of what a token may ask.
pub(super) const OF_SOURCE: Rate = Rate { every: Duration::from_millis(20), burst: 200 };
/// Of all: by an RSA key of 2048 bits a fifth of a processor.
pub(super) const OF_ALL: Rate = Rate { every: Duration::from_millis(5), burst: 400 };
/// Addresses that are counted; a further one is not held back by itself.
const SOURCES_MAX: usize = 16_384;

/// See the module.
pub(super) struct Handshakes {
    of_source: Limiter<u128>,
    of_all: Limiter<()>,
    /// Held for a step of a handshake.
    pub(super) making: Arc<Semaphore>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self::new(OF_SOURCE, OF_ALL)
    }
}

impl Handshakes {
    /// So many of each address, and so many of all.
    pub(super) fn new(of_source: Rate, of_all: Rate) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            of_source: Limiter::new(of_source, SOURCES_MAX),
            of_all: Limiter::new(of_all, 1),
            making: Arc::new(Semaphore::new((processors / 2).max(1))),
        }
    }

    /// Whether a peer may begin one. A proxy, from which all come, may.
    pub(super) fn permits(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        peer.is_none_or(|peer| self.of_source.permit(Source::of(peer).wide(), now).is_ok())
    }

    /// Begins one of all.
    ///
    /// # Errors
    /// After which time another one may begin.
    pub(super) fn begin(&self, now: Instant) -> Result<(), Duration> {
        self.of_all.permit((), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_182_an_address_begins_so_many_handshakes_and_leaves_others_theirs() {
        let (handshakes, start) = (Handshakes::default(), Instant::now());
        let begun = |peer: &str| {
            let peer = Some(peer.parse().expect("it is an address"));
            (0..5000).filter(|_| handshakes.permits(peer, start) && handshakes.begin(start).is_ok()).count()
        };
        assert_eq!(begun("192.0.2.1"), 200);
        // A customer's /48 is one.
        assert_eq!((begun("2001:db8:1:1::1"), begun("2001:db8:1:2::1")), (200, 0));
        let later = start + Duration::from_secs(1);
        assert_eq!(handshakes.begin(start), Err(Duration::from_millis(5)));
        let again = (0..5000).filter(|_| handshakes.begin(later).is_ok()).count();
        assert_eq!(again, 200, "of all, in a second");
    }
}
