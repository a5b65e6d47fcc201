//! The sender of a flood: hellos from as many addresses as there are, each built by hand and without any
//! state.
//!
//! A hello follows from its number alone, so the one with the cookie can be made when the cookie comes,
//! whoever asked for it.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use narrowgate_dtls::{CipherSuite, RECORD_HEADER_BYTES};

use super::FloodKind;
use crate::{
    DEVICES_MAX,
    target::Target,
    wire::{Wait, Wire},
};

/// Sockets, and so ports, among which the hellos are spread.
const PORTS: usize = 16;
/// Sleep when nothing is due: short, so that hellos come in a stream and not in bursts.
const PAUSE: Duration = Duration::from_micros(100);
/// Hellos sent in one go when the sender is behind.
const BURST_MAX: u32 = 64;
/// Datagrams taken from a socket in one go.
const TAKEN_MAX: u32 = 64;
/// How long to wait for answers after the last hello.
const GRACE: Duration = Duration::from_millis(500);

/// Handshake types.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Where a handshake message's type stands in a datagram, and where the cookie of a HelloVerifyRequest
/// begins.
const TYPE_AT: usize = RECORD_HEADER_BYTES;
const COOKIE_AT: usize = RECORD_HEADER_BYTES + 12 + 3;
/// Addresses of the flood: the first ones, so that the honest device is beyond all of them.
const ADDRESSES: u32 = DEVICES_MAX - 1;

/// What it has sent and got.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    /// ClientHellos without a cookie.
    pub(super) hellos: u32,
    /// Their answers.
    pub(super) verifies: u32,
    /// Bytes of the hellos that were answered.
    pub(super) bytes_of_answered: u64,
    /// Bytes of the answers.
    pub(super) bytes_of_verifies: u64,
    /// ClientHellos with the cookie: handshakes begun and given up.
    pub(super) abandoned: u32,
    /// First ServerHellos seen, and those sent again.
    pub(super) server_hellos: u32,
    pub(super) elapsed: Duration,
}

pub(super) struct Sender<'a> {
    pub(super) target: Target,
    pub(super) suite: CipherSuite,
    pub(super) kind: FloodKind,
    pub(super) rate: u32,
    pub(super) count: u32,
    pub(super) time_limit: Duration,
    /// Hellos sent so far, for the thread that watches.
    pub(super) progress: &'a AtomicU32,
    /// Set when it is over.
    pub(super) over: &'a AtomicBool,
}

impl Sender<'_> {
    pub(super) fn run(&self) -> io::Result<Sent> {
        let sent = self.send_all();
        self.over.store(true, Ordering::SeqCst);
        sent
    }

    fn send_all(&self) -> io::Result<Sent> {
        let mut wires = (0..PORTS).map(|_| Wire::open(self.target)).collect::<io::Result<Vec<_>>>()?;
        let mut sent = Sent::default();
        let begun = Instant::now();
        while sent.hellos < self.count && begun.elapsed() < self.time_limit {
            let due = (begun.elapsed().as_secs_f64() * f64::from(self.rate)) as u32;
            let burst = due.min(self.count).saturating_sub(sent.hellos).min(BURST_MAX);
            for _ in 0..burst {
                sent.hellos += 1;
                let number = 1 + sent.hellos % ADDRESSES;
                wires[sent.hellos as usize % PORTS].send(number, &hello(number, self.suite, &[]))?;
            }
            self.progress.store(sent.hellos, Ordering::Relaxed);
            self.take(&mut wires, &mut sent)?;
            if burst < BURST_MAX {
                thread::sleep(PAUSE);
            }
        }
        sent.elapsed = begun.elapsed();
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            self.take(&mut wires, &mut sent)?;
            thread::sleep(PAUSE);
        }
        Ok(sent)
    }

    fn take(&self, wires: &mut [Wire], sent: &mut Sent) -> io::Result<()> {
        for wire in wires {
            for _ in 0..TAKEN_MAX {
                let Some((number, datagram)) = wire.receive(Wait::No)? else { break };
                match datagram.get(TYPE_AT) {
                    Some(&HELLO_VERIFY_REQUEST) => {
                        sent.verifies += 1;
                        sent.bytes_of_verifies += datagram.len() as u64;
                        sent.bytes_of_answered += hello(number, self.suite, &[]).len() as u64;
                        let cookie = datagram.get(COOKIE_AT..).unwrap_or_default().to_vec();
                        if self.kind == FloodKind::Abandoned {
                            wire.send(number, &hello(number, self.suite, &cookie))?;
                            sent.abandoned += 1;
                        }
                    }
                    Some(&SERVER_HELLO) => sent.server_hellos += 1,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The shortest ClientHello there is: 67 bytes and the cookie, no session, no extensions.
fn hello(number: u32, suite: CipherSuite, cookie: &[u8]) -> Vec<u8> {
    let with_cookie = u8::from(!cookie.is_empty());
    let mut body = vec![0xfe, 0xfd];
    // RFC 5246 7.4.1.2: 32 bytes; these may be guessed.
    (0..8).for_each(|_| body.extend_from_slice(&number.to_be_bytes()));
    body.push(0);
    body.push(cookie.len() as u8);
    body.extend_from_slice(cookie);
    body.extend_from_slice(&[0, 2]);
    body.extend_from_slice(&suite.id().to_be_bytes());
    body.extend_from_slice(&[1, 0]);
    let length = body.len() as u8;
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, with_cookie, 0, length + 12];
    datagram.extend_from_slice(&[CLIENT_HELLO, 0, 0, length, 0, with_cookie, 0, 0, 0, 0, 0, length]);
    datagram.extend_from_slice(&body);
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_hello_has_67_bytes_and_the_one_with_the_cookie_the_same_random() {
        let first = hello(7, CipherSuite::PskAes128Ccm8, &[]);
        let second = hello(7, CipherSuite::PskAes128Ccm8, &[9; 20]);
        assert_eq!((first.len(), second.len()), (67, 87));
        let random = RECORD_HEADER_BYTES + 12 + 2..RECORD_HEADER_BYTES + 12 + 34;
        assert_eq!(first[random.clone()], second[random]);
    }
}
