//! The client's side of a handshake. For simulated devices, load and tests; a real device has its own.
//!
//! ```text
//!  AwaitServerHello ── HelloVerifyRequest ──> AwaitServerHello ── ServerHello ──> AwaitServerHelloDone
//!       flight 1                                 flight 3                                │ ServerHelloDone
//!                        Over <── Finished ── AwaitFinished, flight 5 <──────────────────┘
//! ```
//!
//! Limits: reassembly as for the server; each flight is repeated at most `retransmits_max` times, then the
//! handshake expires. Unlike a server, a client accepts unauthenticated alerts: they end its attempt, and it
//! may try again.

mod input;

use std::{collections::VecDeque, fmt, time::Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Random,
    config::ClientConfig,
    discard::Discard,
    early::EarlyRecords,
    flight::{Entry, Flight, RetransmitTimer, Sender, TimerOutcome},
    limits,
    message::{
        client_hello::{ClientOffer, MaxFragmentLength, OfferedExtensions},
        finished::Pieces,
    },
    reassembly::Reassembly,
    refusal::Refusal,
    schedule::{Agreement, MasterSecret},
    session::Session,
    transcript::Transcript,
};

/// One handshake, as the client.
pub struct ClientHandshake {
    config: ClientConfig,
    offer: ClientOffer,
    state: State,
    reassembly: Reassembly,
    early: EarlyRecords,
    flight: Flight,
    next_message_seq: u16,
    sender: Sender,
    timer: RetransmitTimer,
    rng: SeededRandom,
    events: VecDeque<ClientEvent>,
}

/// An event of a handshake.
#[derive(Debug)]
pub enum ClientEvent {
    /// Both ends have proven the key.
    Established(Box<Session>),
    /// The handshake is over.
    Failed(ClientFailure),
    /// The handshake is over: the last retransmission was not answered.
    Expired,
}

/// Why a client's handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFailure {
    /// We refused what the server sent; the alert is queued.
    Refused(Refusal),
    /// The server ended it by a fatal alert with this description.
    Alert(u8),
}

enum State {
    AwaitServerHello { transcript: Transcript },
    AwaitServerHelloDone(AwaitServerHelloDone),
    AwaitFinished(Box<AwaitFinished>),
    Over,
}

struct AwaitServerHelloDone {
    agreement: Agreement,
    transcript: Transcript,
}

struct AwaitFinished {
    master: MasterSecret,
    session: Session,
    transcript: Transcript,
    change_cipher_spec: bool,
    /// The received pieces of the server's Finished, all of them authentic.
    finished: Pieces,
}

impl ClientHandshake {
    /// Starts a handshake; [`ClientHandshake::poll_transmit`] gives the first ClientHello.
    pub fn new(mut config: ClientConfig, now: Instant, rng: &mut dyn Random) -> Self {
        config.identity.truncate(limits::PSK_IDENTITY_BYTES_MAX);
        let mut random = [0; 32];
        rng.fill(&mut random);
        let mut seed = SeededRandom { seed: [0; 32], counter: 0 };
        rng.fill(&mut seed.seed);
        let extensions = OfferedExtensions {
            extended_master_secret: config.extended_master_secret,
            encrypt_then_mac: config.encrypt_then_mac,
            renegotiation_info: false,
            max_fragment_length: config.max_fragment_length.and_then(MaxFragmentLength::new),
        };
        let mut client = Self {
            offer: ClientOffer { random, suites: config.suites.clone(), extensions },
            state: State::Over,
            reassembly: Reassembly::new(0),
            early: EarlyRecords::default(),
            flight: Flight::new(),
            next_message_seq: 0,
            sender: Sender::new(0, config.datagram_bytes_max),
            timer: RetransmitTimer::new(
                config.retransmit_initial,
                config.retransmit_max,
                config.retransmits_max,
            ),
            rng: seed,
            events: VecDeque::new(),
            config,
        };
        client.send_hello(now, &[]);
        client
    }

    /// Handles a datagram from the server: all records in it, in order. Returns the first reason for dropping
    /// a part of it, if any was dropped. The random source is there only for symmetry with the server: a
    /// client draws all its randomness when it starts.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &mut [u8],
        _rng: &mut dyn Random,
    ) -> Option<Discard> {
        let input = self.handle_records(now, datagram);
        if input.flight_wanted && self.timer.permit_demanded(now) {
            self.send_flight();
        }
        input.dropped
    }

    /// Handles the timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.timer.handle_timeout(now) {
            TimerOutcome::NotYet => {}
            TimerOutcome::SendAgain => self.send_flight(),
            TimerOutcome::Exhausted => {
                self.end();
                self.events.push_back(ClientEvent::Expired);
            }
        }
    }

    /// When to call [`ClientHandshake::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer.due()
    }

    /// Replaces the contents of `datagram` with the next one to send; false if there is none.
    pub fn poll_transmit(&mut self, datagram: &mut Vec<u8>) -> bool {
        self.sender.poll_transmit(datagram)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Switches to another key.
    #[cfg(test)]
    pub(crate) fn replace_psk(&mut self, psk: crate::secret::Psk) {
        self.config.psk = psk;
    }

    /// Starts the transcript again: a ClientHello without a cookie is not part of it (RFC 6347 4.2.1).
    fn send_hello(&mut self, now: Instant, cookie: &[u8]) {
        let message_seq = self.take_message_seq();
        let message = self.offer.emit(message_seq, cookie);
        let mut transcript = Transcript::new();
        transcript.add_sent(&message);
        self.state = State::AwaitServerHello { transcript };
        self.flight = vec![Entry::Handshake(message)];
        self.send_flight();
        self.timer.start(now);
    }

    fn send_flight(&mut self) {
        let session = match &mut self.state {
            State::AwaitFinished(waiting) => Some(&mut waiting.session),
            _ => None,
        };
        self.sender.send(&self.flight, session, &mut self.rng);
    }

    fn take_message_seq(&mut self) -> u16 {
        let message_seq = self.next_message_seq;
        self.next_message_seq += 1;
        message_seq
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.end();
        self.sender.send_alert(refusal.description());
        self.events.push_back(ClientEvent::Failed(ClientFailure::Refused(refusal)));
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.timer.stop();
        self.early = EarlyRecords::default();
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::AwaitServerHello { .. } => "AwaitServerHello",
            State::AwaitServerHelloDone(_) => "AwaitServerHelloDone",
            State::AwaitFinished(_) => "AwaitFinished",
            State::Over => "Over",
        };
        f.debug_struct("ClientHandshake").field("state", &state).finish_non_exhaustive()
    }
}

/// Randomness drawn in advance: retransmitting flight 5 needs a fresh IV, and a timer has no random source.
#[derive(Zeroize, ZeroizeOnDrop)]
struct SeededRandom {
    seed: [u8; 32],
    counter: u64,
}

impl Random for SeededRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let mut mac =
                <Hmac<Sha256> as KeyInit>::new_from_slice(&self.seed).expect("HMAC takes any key length");
            mac.update(&self.counter.to_be_bytes());
            self.counter += 1;
            chunk.copy_from_slice(&mac.finalize().into_bytes()[..chunk.len()]);
        }
    }
}
