//! Any bytes as a list of decisions, and what else the targets need: a fixed instant, a fixed random source,
//! fixed keys.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use narrowgate_dtls::{Psk, Random, SavedSession, Session};
use narrowgate_platform::rules::psk;

/// The key that belongs to a secret.
pub(crate) fn key_of(secret: &[u8]) -> Psk {
    Psk::new(&*psk::derive(secret)).expect("16 bytes are within 1 to 64")
}

/// The decisions that are left.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The next byte, if there is one.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte, 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// The next `count` bytes, or what is left.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// An index below `length`; `None` where there is nothing to choose from.
    pub(crate) fn choose(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| usize::from(self.byte()) % length)
    }
}

/// When everything begins. Which instant it is does not matter, and only the clock can make one.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A time step, from nothing to longer than every lifetime.
pub(crate) fn step(choice: u8) -> Duration {
    const MILLIS: [u64; 8] = [0, 1, 90, 1_000, 2_500, 7_000, 15_000, 60_000];
    Duration::from_millis(MILLIS[usize::from(choice % 8)])
}

/// A random source that counts: what it gives matters to nobody, and it costs nothing.
pub(crate) struct Counting(pub(crate) u8);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// How records are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Ccm8,
    CbcMacThenEncrypt,
    CbcEncryptThenMac,
}

impl Protection {
    pub(crate) fn choose(choice: u8) -> Self {
        match choice % 3 {
            0 => Self::Ccm8,
            1 => Self::CbcMacThenEncrypt,
            _ => Self::CbcEncryptThenMac,
        }
    }
}

/// Both ends of a session under fixed keys: what one seals the other opens.
pub(crate) fn session_pair(protection: Protection) -> (Session, Session) {
    let end = |tx: u8, rx: u8| {
        let mut session =
            Session::restore(&copy(protection, tx, rx)).expect("a copy in the format that is known");
        let reserved = session.save(1 << 40);
        session.mark_saved(&reserved);
        session
    };
    (end(3, 5), end(5, 3))
}

/// format | suite | flags | plaintext max | reserved below | received below | failed opens | keys of both
/// directions
fn copy(protection: Protection, tx: u8, rx: u8) -> SavedSession {
    let (suite, flags, key_bytes) = match protection {
        Protection::Ccm8 => (0xc0a8_u16, 0, 20),
        Protection::CbcMacThenEncrypt => (0x00ae, 0, 48),
        Protection::CbcEncryptThenMac => (0x00ae, 2, 48),
    };
    let mut bytes = Vec::with_capacity(160);
    bytes.push(1);
    bytes.extend_from_slice(&suite.to_be_bytes());
    bytes.push(flags);
    bytes.extend_from_slice(&1200_u16.to_be_bytes());
    bytes.extend_from_slice(&[0; 20]);
    for key in [tx, rx] {
        bytes.resize(bytes.len() + key_bytes, key);
    }
    SavedSession::from_bytes(bytes)
}
