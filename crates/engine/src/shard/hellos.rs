//! Which hellos came before: a note for each, in a table that never grows. A note that is lost costs its
//! client one more repetition.
//!
//! Limits: [`NOTES`] notes, 1 MiB, from a limit that is reached until no handshake is left; at 6,000 hellos a
//! second nine in ten notes are still there after four seconds, and two in three after 17.

use std::{
    hash::BuildHasher,
    time::{Duration, Instant},
};

use narrowgate_dtls::HelloId;

use crate::path::Path;

/// Places for a note; a power of two.
const NOTES: usize = 1 << 18;
/// Places that a note may have.
const TOGETHER: usize = 4;
/// The low bits of a note are its time, the next says whether a handshake of that hello had to make room;
/// the others tell hellos apart.
const TIME_BITS: u32 = 13;
const EVICTED: u32 = 1 << TIME_BITS;
const TAG_AT: u32 = TIME_BITS + 1;
/// The unit of time of a note.
const UNIT: Duration = Duration::from_nanos(1_000_000_000 / 128);
/// A copy that comes this soon is the network's and proves nothing about its sender.
pub(super) const SOON: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Hellos {
    hasher: foldhash::quality::FixedState,
    start: Option<Instant>,
    /// Empty until the first note.
    notes: Vec<u32>,
    turn: usize,
}

impl Hellos {
    /// Without notes.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hasher: foldhash::quality::FixedState::with_seed(seed),
            start: None,
            notes: Vec::new(),
            turn: 0,
        }
    }

    /// Notes that this hello came, with a cookie that is so old; returns how long ago it came for the first
    /// time, at least: zero where it did not.
    pub(super) fn note(
        &mut self,
        now: Instant,
        path: &Path,
        hello: &HelloId,
        cookie_age: Duration,
    ) -> Duration {
        let time = self.time(now);
        let note = self.note_of(time, path, hello);
        let units = (time + EVICTED - *note % EVICTED) % EVICTED;
        let known_for = UNIT * units.saturating_sub(1);
        if known_for > cookie_age {
            // By a device whose random never changes: with another cookie, so it is another attempt.
            *note = (*note / EVICTED * EVICTED) | time;
            return Duration::ZERO;
        }
        known_for
    }

    /// Notes that a handshake of this hello, which came then, was answered, and had to make room.
    pub(super) fn note_evicted(&mut self, came: Instant, path: &Path, hello: &HelloId) {
        let time = self.time(came);
        *self.note_of(time, path, hello) |= EVICTED;
    }

    /// Whether a handshake of this hello was answered, and had to make room, as far as there is a note of it.
    pub(super) fn was_evicted(&self, path: &Path, hello: &HelloId) -> bool {
        let (first, tag) = self.find(path, hello);
        let together = self.notes.get(first..first + TOGETHER).unwrap_or_default();
        together.iter().any(|note| note >> TAG_AT << TAG_AT == tag && note & EVICTED != 0)
    }

    fn time(&mut self, now: Instant) -> u32 {
        let start = *self.start.get_or_insert(now);
        let units = now.saturating_duration_since(start).as_nanos() / UNIT.as_nanos();
        units as u32 % EVICTED
    }

    /// Where the note of a hello would be, and what tells it from others there.
    fn find(&self, path: &Path, hello: &HelloId) -> (usize, u32) {
        let hash = self.hasher.hash_one((path, hello));
        let tag = (hash >> 32) as u32 >> TAG_AT << TAG_AT;
        (hash as usize % (NOTES / TOGETHER) * TOGETHER, tag)
    }

    /// The note of a hello, which is made now where there is none.
    fn note_of(&mut self, time: u32, path: &Path, hello: &HelloId) -> &mut u32 {
        if self.notes.is_empty() {
            self.notes = vec![0; NOTES];
        }
        let (first, tag) = self.find(path, hello);
        let together = &mut self.notes[first..first + TOGETHER];
        if let Some(at) = together.iter().position(|note| note >> TAG_AT << TAG_AT == tag) {
            return &mut together[at];
        }
        // In turn: two hellos that come at the same pace must not replace each other every time.
        self.turn = (self.turn + 1) % TOGETHER;
        together[self.turn] = tag | time;
        &mut together[self.turn]
    }

    /// Removes all notes and frees their memory.
    pub(super) fn forget(&mut self) {
        self.notes = Vec::new();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{net::SocketAddr, time::Duration};

    use narrowgate_dtls::{
        ClientConfig, ClientHandshake, DecoySecret, FrontDoor, Listener, Psk, ServerConfig,
    };
    use narrowgate_testkit::SeededRandom;

    use super::*;

    /// A cookie that is as old as one may be.
    const OLD: Duration = Duration::from_secs(65);

    /// The ids of the hellos of some devices, with a good cookie.
    pub(in super::super) fn hello_ids(now: Instant, count: u64) -> Vec<HelloId> {
        let dtls = std::sync::Arc::new(ServerConfig::new(DecoySecret::new([7; 32])));
        let mut random = SeededRandom::new(1);
        let mut listener = Listener::new(dtls, now, &mut random);
        let peer = SocketAddr::from(([10, 0, 0, 1], 5684));
        let mut hello_of = |seed| {
            let mut random = SeededRandom::new(seed);
            let config = ClientConfig::new(b"x", Psk::new(b"a key of sixteen").expect("16 bytes"));
            let mut client = ClientHandshake::new(config, now, &mut random);
            let (mut datagram, mut reply) = (Vec::new(), Vec::new());
            loop {
                assert!(client.poll_transmit(&mut datagram));
                match listener.handle_datagram(now, peer, &datagram, &mut random, &mut reply) {
                    FrontDoor::Accept(machine) => return machine.hello_id(),
                    _ => client.handle_datagram(now, &mut reply, &mut random),
                };
            }
        };
        (0..count).map(|number| hello_of(number + 100)).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn any_start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_hello_is_known_when_it_comes_again_from_the_same_path() {
        let start = any_start();
        let ids = hello_ids(start, 2);
        let [here, there] = [1, 2].map(|port| Path::from(SocketAddr::from(([10, 0, 0, 1], port))));
        let mut hellos = Hellos::new(1);
        assert_eq!(hellos.note(start, &here, &ids[0], OLD), Duration::ZERO);
        let second = start + Duration::from_secs(1);
        assert_eq!(hellos.note(second, &here, &ids[1], OLD), Duration::ZERO);
        assert_eq!(hellos.note(second, &there, &ids[0], OLD), Duration::ZERO);
        for millis in [1, 400, 600, 1_000, 9_000, 27_000, 63_000] {
            let passed = Duration::from_millis(millis);
            let known = hellos.note(start + passed, &here, &ids[0], OLD);
            assert!(known <= passed && known + 2 * UNIT >= passed, "{passed:?}: {known:?}");
        }
        let (later, fresh) = (start + Duration::from_secs(30), Duration::from_secs(2));
        assert_eq!(hellos.note(later, &here, &ids[0], fresh), Duration::ZERO, "with another cookie");
        assert!(hellos.note(later + SOON * 2, &here, &ids[0], fresh) >= SOON);
        hellos.note_evicted(later, &here, &ids[0]);
        assert!(hellos.was_evicted(&here, &ids[0]) && !hellos.was_evicted(&here, &ids[1]));
        assert!(hellos.note(later + SOON * 2, &here, &ids[0], OLD) >= SOON, "and it is still known");
        hellos.forget();
        assert!(!hellos.was_evicted(&here, &ids[0]));
        assert_eq!(hellos.note(second, &here, &ids[0], OLD), Duration::ZERO);
    }
}
