//! The server's side of a handshake whose cookie was good.
//!
//! ```text
//!       first fragment   ClientHello     ClientKeyExchange        provide_psk       Finished
//! Listener ──────> AwaitClientHello ─> AwaitKeyExchange ─> AwaitPsk ─> AwaitFinished ─> Over
//!                         │ refusal        flight 4 out      PskWanted    │ wrong content  flight 6 out
//!                         └────────────────────> Over <───────────────────┴ or lifetime
//! ```
//!
//! RFC 6347, sections 4.2.2 to 4.2.6; RFC 4279, section 2. Everything that arrives is unauthenticated until
//! the Finished opens, so everything unexpected is dropped and changes nothing: a stranger cannot end a
//! handshake, and a wrong key, an unknown identity and a forged Finished look alike. Only an unusable
//! ClientHello and a Finished of the right key with wrong content get an alert.
//!
//! Limits: [`crate::limits::HANDSHAKE_BYTES_MAX`] of memory; flight 4 is repeated by the timer at most
//! `retransmits_max` times and on demand at most [`crate::limits::DEMANDED_RESENDS_MAX`] times; every
//! handshake ends after `handshake_lifetime`.

mod input;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use subtle::Choice as SecretBool;

use crate::{
    Random,
    codes::CipherSuite,
    config::ServerConfig,
    diagnose::FailedFinished,
    discard::Discard,
    early::EarlyRecords,
    flight::{Flight, RetransmitTimer, Sender, TimerOutcome},
    message::{client_hello::HelloId, finished::Pieces},
    negotiation::Choice,
    reassembly::Reassembly,
    refusal::Refusal,
    replay::ReplayWindow,
    schedule::{Agreement, MasterSecret, Role},
    secret::Psk,
    session::{Session, SessionParameters},
    transcript::Transcript,
};

/// One handshake, as the server. At most [`crate::limits::HANDSHAKE_BYTES_MAX`] bytes.
pub struct ServerHandshake {
    config: Arc<ServerConfig>,
    state: State,
    hello: HelloId,
    round_trip: Duration,
    choice: Option<Choice>,
    rx_window: ReplayWindow,
    reassembly: Reassembly,
    early: EarlyRecords,
    sender: Sender,
    timer: RetransmitTimer,
    expires_at: Instant,
    key_exchange_rejected: bool,
    events: VecDeque<HandshakeEvent>,
}

/// An event of a handshake.
#[derive(Debug)]
pub enum HandshakeEvent {
    /// The key of this identity is needed; answer with [`ServerHandshake::provide_psk`]. Reported once. The
    /// identity is what a stranger sent: up to 2 KiB of arbitrary bytes.
    PskWanted {
        /// The identity as received.
        identity: Vec<u8>,
    },
    /// The peer has proven its key. The datagram with our Finished waits in
    /// [`ServerHandshake::poll_transmit`]; after it the handshake can be dropped.
    Established(Box<Session>),
    /// A Finished did not verify and was dropped. Reported for the first one only. The handshake continues
    /// until it expires.
    FinishedRejected(Box<FailedFinished>),
    /// A ClientKeyExchange could not be used and was dropped. Reported for the first one only. The handshake
    /// continues until it expires.
    KeyExchangeRejected(Box<RejectedKeyExchange>),
    /// The handshake is over; the alert waits in [`ServerHandshake::poll_transmit`].
    Failed(Refusal),
    /// The handshake is over: its lifetime has ended.
    Expired,
}

/// A ClientKeyExchange that was dropped before its identity was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedKeyExchange {
    /// The start of the identity: at most [`crate::limits::REJECTED_IDENTITY_BYTES_MAX`] arbitrary bytes from
    /// a stranger.
    pub identity: Vec<u8>,
    /// What is wrong.
    pub fault: KeyExchangeFault,
}

/// What is wrong with a ClientKeyExchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchangeFault {
    /// The identity has this many bytes, too many to be reassembled.
    TooLong(usize),
    /// It is not a single vector: a key exchange without a pre-shared key, or a length that does not match.
    Malformed,
}

/// Answer to [`HandshakeEvent::PskWanted`]. Not an enum: nothing may branch on its kind.
#[derive(Debug)]
pub struct PskAnswer {
    psk: Psk,
    is_decoy: SecretBool,
}

impl PskAnswer {
    /// The identity has this key.
    pub fn key(psk: Psk) -> Self {
        Self { psk, is_decoy: SecretBool::from(0) }
    }

    /// The identity is unknown, or may not connect: continue with a key that nobody has.
    pub fn decoy() -> Self {
        Self { psk: Psk::placeholder(), is_decoy: SecretBool::from(1) }
    }
}

/// The states in protocol order; each owns what exists in it.
enum State {
    AwaitClientHello,
    AwaitKeyExchange(AwaitKeyExchange),
    AwaitPsk(AwaitPsk),
    AwaitFinished(Box<AwaitFinished>),
    Over(Outcome),
}

struct AwaitKeyExchange {
    agreement: Agreement,
    transcript: Transcript,
    flight: Flight,
}

struct AwaitPsk {
    agreement: Agreement,
    transcript: Transcript,
    /// Derived for every identity, so that deriving it reveals nothing.
    decoy: Psk,
    change_cipher_spec: bool,
}

struct AwaitFinished {
    agreement: Agreement,
    transcript: Transcript,
    /// The hash up to ClientKeyExchange: what the client's Finished covers.
    transcript_hash: [u8; 32],
    master: MasterSecret,
    session: Session,
    /// With a decoy every Finished is rejected, even one that verifies.
    is_decoy: SecretBool,
    change_cipher_spec: bool,
    /// The received pieces of the client's Finished, all of them authentic.
    finished: Pieces,
    rejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Established,
    Refused(Refusal),
    Expired,
}

impl ServerHandshake {
    /// A handshake that awaits the ClientHello with this record number and id; its cookie was good, and is
    /// as old as this round trip.
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        now: Instant,
        sequence: u64,
        hello: HelloId,
        round_trip: Duration,
    ) -> Self {
        Self {
            state: State::AwaitClientHello,
            hello,
            round_trip,
            choice: None,
            rx_window: ReplayWindow::default(),
            reassembly: Reassembly::new(hello.message_seq),
            early: EarlyRecords::default(),
            // RFC 6347 4.2.1: the ServerHello repeats the record number of the ClientHello that it answers.
            sender: Sender::new(sequence, config.datagram_bytes_max),
            timer: RetransmitTimer::new(
                config.retransmit_initial,
                config.retransmit_max,
                config.retransmits_max,
            ),
            expires_at: now + config.handshake_lifetime,
            key_exchange_rejected: false,
            events: VecDeque::new(),
            config,
        }
    }

    /// Handles a datagram from this peer: all records in it, in order. Returns the first reason for dropping
    /// a part of it, if any was dropped.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &mut [u8],
        rng: &mut dyn Random,
    ) -> Option<Discard> {
        let mut input = input::Input::new(now, rng);
        self.handle_records(datagram, &mut input);
        let input::Input { flight_wanted, dropped, .. } = input;
        if flight_wanted && self.timer.permit_demanded(now) {
            self.send_flight();
        }
        dropped
    }

    /// Answers [`HandshakeEvent::PskWanted`]. A late answer, or a second one, is ignored.
    pub fn provide_psk(&mut self, now: Instant, answer: PskAnswer, rng: &mut dyn Random) {
        match std::mem::replace(&mut self.state, State::Over(Outcome::Expired)) {
            State::AwaitPsk(waiting) => {
                let change_cipher_spec = waiting.change_cipher_spec;
                self.state = State::AwaitFinished(Box::new(self.derive(waiting, answer)));
                if change_cipher_spec {
                    let mut input = input::Input::new(now, rng);
                    self.handle_early_records(&mut input);
                }
            }
            other => self.state = other,
        }
    }

    /// Both kinds of answers take the same steps; the example `timing` measures it.
    fn derive(&self, waiting: AwaitPsk, answer: PskAnswer) -> AwaitFinished {
        let AwaitPsk { agreement, transcript, decoy, change_cipher_spec } = waiting;
        let PskAnswer { psk, is_decoy } = answer;
        let psk = Psk::select(&psk, &decoy, is_decoy);
        let transcript_hash = transcript.hash();
        let master = MasterSecret::derive(&psk, &agreement, &transcript_hash);
        let session = Session::new(SessionParameters {
            role: Role::Server,
            keys: master.expand(&agreement),
            datagram_bytes_max: self.config.datagram_bytes_max,
            fragment_bytes_max: self.sender.fragment_bytes_max,
            extended_master_secret: agreement.extended_master_secret,
        });
        AwaitFinished {
            agreement,
            transcript,
            transcript_hash,
            master,
            session,
            is_decoy,
            change_cipher_spec,
            finished: Pieces::new(self.numbers().client_finished),
            rejected: false,
        }
    }

    /// Handles the timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if now >= self.expires_at {
            self.end(Outcome::Expired);
            self.events.push_back(HandshakeEvent::Expired);
        } else if self.timer.handle_timeout(now) == TimerOutcome::SendAgain {
            self.send_flight();
        }
    }

    /// When to call [`ServerHandshake::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        Some(self.timer.due().map_or(self.expires_at, |due| due.min(self.expires_at)))
    }

    /// Replaces the contents of `datagram` with the next one to send; false if there is none.
    pub fn poll_transmit(&mut self, datagram: &mut Vec<u8>) -> bool {
        self.sender.poll_transmit(datagram)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        self.events.pop_front()
    }

    /// The chosen suite, or the preferred one while a fragmented ClientHello is incomplete.
    pub fn suite(&self) -> CipherSuite {
        let preferred = self.config.suites.first().copied();
        self.choice.map(|choice| choice.suite).or(preferred).unwrap_or(CipherSuite::PskAes128Ccm8)
    }

    /// Identifies the ClientHello that started this handshake. A hello with another id starts another
    /// handshake.
    pub fn hello_id(&self) -> HelloId {
        self.hello
    }

    /// The time from our HelloVerifyRequest until the ClientHello that started this handshake. For a
    /// ClientHello that its client had to repeat it is longer than the round trip.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The random of the ClientHello.
    #[cfg(feature = "test-support")]
    pub fn client_random(&self) -> &[u8; 32] {
        &self.hello.random
    }

    /// Whether the keys will be bound to the handshake (RFC 7627).
    pub fn extended_master_secret(&self) -> bool {
        self.choice.is_some_and(|choice| choice.extensions.extended_master_secret)
    }

    /// Whether CBC records will be authenticated before they are decrypted (RFC 7366).
    pub fn encrypt_then_mac(&self) -> bool {
        self.choice.is_some_and(|choice| choice.extensions.encrypt_then_mac)
    }

    /// Whether nothing more will happen: established, refused or expired.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Why the handshake was refused, if it was.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.state {
            State::Over(Outcome::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    fn numbers(&self) -> Numbers {
        Numbers::after(self.hello.message_seq)
    }

    fn send_flight(&mut self) {
        if let State::AwaitKeyExchange(waiting) = &self.state {
            // Flight 4 holds no protected record, so it takes no randomness.
            self.sender.send(&waiting.flight, None, &mut NoRandom);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.sender.send_alert(refusal.description());
        self.end(Outcome::Refused(refusal));
        self.events.push_back(HandshakeEvent::Failed(refusal));
    }

    /// Frees everything but what is still to be polled.
    fn end(&mut self, outcome: Outcome) {
        self.state = State::Over(outcome);
        self.timer.stop();
        self.early = EarlyRecords::default();
        self.reassembly = Reassembly::new(0);
    }

    /// Memory of this handshake, heap included; without the identity in an event that was not polled yet.
    pub fn memory_bytes(&self) -> usize {
        let state = match &self.state {
            State::AwaitKeyExchange(waiting) => crate::flight::heap_bytes(&waiting.flight),
            State::AwaitFinished(waiting) => size_of::<AwaitFinished>() + waiting.session.heap_bytes(),
            _ => 0,
        };
        let events: usize = self.events.capacity() * size_of::<HandshakeEvent>();
        let early = self.early.heap_bytes();
        size_of::<Self>() + state + early + events + self.reassembly.heap_bytes() + self.sender.heap_bytes()
    }
}

/// message_seq of the messages that follow a ClientHello; each side continues from its own.
#[derive(Clone, Copy)]
struct Numbers {
    /// That of the ClientHello that it answers (RFC 6347 4.2.1, reported erratum 5186).
    server_hello: u16,
    server_hello_done: u16,
    client_finished: u16,
    server_finished: u16,
}

impl Numbers {
    fn after(client_hello: u16) -> Self {
        Self {
            server_hello: client_hello,
            server_hello_done: client_hello + 1,
            client_finished: client_hello + 2,
            server_finished: client_hello + 2,
        }
    }
}

/// A random source where none is needed.
struct NoRandom;

impl Random for NoRandom {
    fn fill(&mut self, out: &mut [u8]) {
        debug_assert!(out.is_empty(), "flight 4 asks for no randomness");
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::AwaitClientHello => "AwaitClientHello",
            State::AwaitKeyExchange(_) => "AwaitKeyExchange",
            State::AwaitPsk(_) => "AwaitPsk",
            State::AwaitFinished(_) => "AwaitFinished",
            State::Over(Outcome::Established) => "Established",
            State::Over(Outcome::Refused(_)) => "Refused",
            State::Over(Outcome::Expired) => "Expired",
        };
        f.debug_struct("ServerHandshake").field("state", &state).finish_non_exhaustive()
    }
}
