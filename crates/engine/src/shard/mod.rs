//! One shard: sessions, handshakes and timers behind one socket, without the socket.
//!
//! `handle_*` takes datagrams, commands and time; [`Shard::outbox`] holds datagrams to send, and
//! [`Shard::poll_event`] returns events. Drain both after every batch. Nothing here blocks, and every step is
//! bounded.
//!
//! Limits: [`ShardConfig`] names all of them.

pub mod admission;
mod channel;
mod drain;
mod established;
mod forgery;
mod half_open;
mod hellos;
mod incoming;
mod notifications;
pub mod outbox;
pub mod plain;
mod profiles;
mod question;
mod requests;
pub mod stats;
pub mod stray;
mod table;
pub mod throttle;
mod timers;
mod wheel;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use narrowgate_coap::{Budget, Params, SlowRadio};
use narrowgate_dtls::{self as dtls, DatagramKind, Listener, Random, ServerConfig};
use slab::Slab;

use self::{
    admission::{Admission, AdmissionLimits},
    drain::Drain,
    established::Established,
    half_open::HalfOpen,
    outbox::Outbox,
    plain::{EchoKeys, Leavings, Logins, PlainConfig},
    profiles::Profiles,
    question::Answer,
    stats::{Counter, Gauges, Stats},
    stray::{Stray, StrayLog},
    table::Table,
    throttle::ByteLimit,
    wheel::{Entry, Wheel},
};
use crate::{
    event::{CloseCause, HandshakeId, ShardCommand, ShardEvent},
    path::Path,
    route::Route,
};

/// Settings and limits of a shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Number of this shard.
    pub shard: u16,
    /// Settings of the DTLS layer.
    pub dtls: Arc<ServerConfig>,
    /// Settings of the CoAP layer.
    pub coap: Params,
    /// What differs from them in sessions of the profile [`narrowgate_coap::Profile::Nbiot`].
    pub nbiot: SlowRadio,
    /// Bytes of stored CoAP answers over all sessions; at most a quarter is bodies in transfer. When little
    /// is free, a session that holds more than its share of that gets 5.03, and others do not.
    pub coap_budget_bytes: usize,
    /// Limits of handshakes under way.
    pub admission: AdmissionLimits,
    /// Sessions in the table; at the limit a new one replaces one that was idle for long, and a login of
    /// plain CoAP is answered 5.03.
    pub sessions_max: usize,
    /// A session that was not heard for this long is closed.
    pub idle_timeout: Duration,
    /// Requests that wait for their response; beyond it requests get 5.03 with Max-Age.
    pub requests_in_flight_max: usize,
    /// Bytes of messages that a device may send and be sent; beyond it its requests get 4.29 with Max-Age.
    /// `None`: any number.
    pub device_bytes: Option<ByteLimit>,
    /// The shard serves plain CoAP instead of DTLS.
    pub plain: Option<PlainConfig>,
}

impl ShardConfig {
    /// The defaults, with these settings of the DTLS layer.
    pub fn new(dtls: Arc<ServerConfig>) -> Self {
        Self {
            shard: 0,
            dtls,
            coap: Params::default(),
            nbiot: SlowRadio::default(),
            coap_budget_bytes: 256 << 20,
            admission: AdmissionLimits::default(),
            sessions_max: 2_000_000,
            idle_timeout: Duration::from_secs(7 * 24 * 3600),
            requests_in_flight_max: 16_384,
            device_bytes: None,
            plain: None,
        }
    }
}

/// Timers of handshakes and of sessions share the wheel: this bit of a slot number tells which.
const HALF_OPEN_BIT: u32 = 1 << 31;

/// The shard's CSPRNG, in the form that the DTLS layer needs.
struct ShardRandom(ChaCha20Rng);

impl Random for ShardRandom {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

/// See the module.
pub struct Shard {
    config: ShardConfig,
    profiles: Profiles,
    start: Instant,
    /// The second of the last command, timeout or new session, since the start.
    now_s: u32,
    random: ShardRandom,
    listener: Listener,
    handshakes: Slab<HalfOpen>,
    handshake_by_path: HashMap<Path, u32, foldhash::fast::RandomState>,
    /// For how many paths that map was given room.
    path_room: usize,
    handshakes_begun: u32,
    logins: Logins,
    leavings: Leavings,
    echo_keys: EchoKeys,
    hello_hasher: foldhash::quality::FixedState,
    admission: Admission,
    sessions: Table<Established>,
    budget: Budget,
    requests_in_flight: usize,
    wheel: Wheel,
    fired: Vec<Entry>,
    /// The datagram or message that is being built.
    scratch: Vec<u8>,
    outbox: Outbox,
    events: VecDeque<ShardEvent>,
    strays: StrayLog,
    forgery_alarms: forgery::Alarms,
    stats: Stats,
    drain: Drain,
}

/// A seed for what is not secret, beside the main stream.
fn seed_aside(seed: [u8; 32]) -> u64 {
    let mut aside = ChaCha20Rng::from_seed(seed);
    aside.set_stream(1);
    aside.next_u64()
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("shard", &self.config.shard)
            .field("sessions", &self.sessions.len())
            .field("handshakes", &self.handshakes.len())
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// A shard without sessions. All its randomness comes from `seed`.
    pub fn new(config: ShardConfig, now: Instant, seed: [u8; 32]) -> Self {
        let mut random = ShardRandom(ChaCha20Rng::from_seed(seed));
        let aside = seed_aside(seed);
        let listener = Listener::new(Arc::clone(&config.dtls), now, &mut random);
        Self {
            start: now,
            now_s: 0,
            random,
            listener,
            handshakes: Slab::new(),
            handshake_by_path: HashMap::default(),
            path_room: 0,
            handshakes_begun: 0,
            logins: Logins::default(),
            leavings: Leavings::default(),
            echo_keys: EchoKeys::default(),
            hello_hasher: foldhash::quality::FixedState::with_seed(aside),
            admission: Admission::new(aside),
            sessions: Table::new(config.shard),
            budget: Budget::new(config.coap_budget_bytes),
            requests_in_flight: 0,
            wheel: Wheel::new(now),
            fired: Vec::new(),
            scratch: Vec::new(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            strays: StrayLog::new(now),
            forgery_alarms: forgery::Alarms::default(),
            stats: Stats::default(),
            drain: Drain::default(),
            profiles: Profiles::new(&config.coap, &config.nbiot),
            config,
        }
    }

    /// Handles one datagram; it is decrypted in place. For a server with one address the peer's address is
    /// the whole path.
    pub fn handle_datagram(&mut self, now: Instant, path: impl Into<Path>, datagram: &mut [u8]) {
        self.handle_datagram_of(now, path.into(), datagram);
    }

    fn handle_datagram_of(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        self.stats.count(Counter::DatagramsReceived);
        self.stats.add(Counter::BytesReceived, datagram.len() as u64);
        if self.config.plain.is_some() {
            return self.handle_plain(now, path, datagram);
        }
        match dtls::classify(datagram) {
            DatagramKind::ClientHello => self.handle_client_hello(now, path, datagram),
            DatagramKind::HandshakeEpoch0 => {
                // In a session this may be a retransmission of the peer's last flight: our answer to it was
                // lost (RFC 6347, 4.2.4).
                self.route(now, path, datagram, Counter::StrayHandshake);
            }
            DatagramKind::Protected => self.route(now, path, datagram, Counter::LostAssociation),
            _ => {
                self.stats.count(Counter::NotDtls);
                self.tell_stray(now, path.peer, Stray::of(datagram));
            }
        }
    }

    /// Reports another protocol to the platform, within limits.
    fn tell_stray(&mut self, now: Instant, peer: SocketAddr, stray: Option<Stray>) {
        if let Some(stray) = stray
            && self.strays.permit(now, peer.ip(), stray)
        {
            self.events.push_back(ShardEvent::Stray { peer, stray });
        }
    }

    /// Handles one command from the platform.
    pub fn handle_command(&mut self, now: Instant, command: ShardCommand) {
        self.now_s = self.seconds(now);
        match command {
            ShardCommand::ProvidePsk { handshake, answer } => {
                self.handle_answer(now, handshake, Answer::Psk(answer));
            }
            ShardCommand::DropHandshake { handshake } => self.drop_handshake(now, handshake),
            ShardCommand::AdmitLogin { handshake, lifetime } => self.admit_login(now, handshake, lifetime),
            ShardCommand::RefuseLogin { handshake, response } => self.refuse_login(now, handshake, response),
            ShardCommand::Respond { ticket, response } => self.respond(now, ticket, response),
            ShardCommand::SetProfile { session, profile } => self.set_profile(session, profile),
            ShardCommand::Notify { session, response } => self.notify(now, session, response),
            ShardCommand::Charge { session, spent } => self.charge(session, spent),
            ShardCommand::Close { session } => self.close_with_notify(session, CloseCause::ByCommand),
            ShardCommand::Supersede { session } => self.close_with_notify(session, CloseCause::Superseded),
            ShardCommand::CloseAfter { session, after } => self.close_after(now, session, after),
            ShardCommand::Drain => self.begin_to_drain(now),
        }
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now_s = self.seconds(now);
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.advance(now, &mut fired);
        for entry in fired.drain(..) {
            if entry.slot & HALF_OPEN_BIT == 0 {
                self.session_timer(now, entry);
            } else {
                self.handshake_timer(now, Entry { slot: entry.slot & !HALF_OPEN_BIT, ..entry });
            }
        }
        self.fired = fired;
        self.drain_step(now);
    }

    /// When to call [`Shard::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout().into_iter().chain(self.drain.poll_timeout()).min()
    }

    /// Whether a drain goes on: sessions are left that have to be closed.
    pub fn is_draining(&self) -> bool {
        self.drain.poll_timeout().is_some()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ShardEvent> {
        self.events.pop_front()
    }

    /// Moves all events to the end of `events`.
    pub fn drain_events(&mut self, events: &mut Vec<ShardEvent>) {
        events.extend(self.events.drain(..));
    }

    /// The datagrams to send; the driver clears them after sending.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// How many datagrams wait for sending.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// The outbox and the counters that sending increments.
    pub fn outbox_and_stats(&mut self) -> (&mut Outbox, &mut Stats) {
        (&mut self.outbox, &mut self.stats)
    }

    /// Counters, with the gauges as they are now.
    pub fn stats(&mut self) -> &mut Stats {
        self.stats.gauges = Gauges {
            sessions: self.sessions.len(),
            handshakes: self.handshakes.len() + self.logins.len(),
            lookups: self.admission.lookups + self.logins.len(),
            requests_in_flight: self.requests_in_flight,
            stored_answer_bytes: self.budget.bytes_used(),
            timers: self.wheel.len(),
        };
        &mut self.stats
    }

    /// Passes a datagram to the handshake or the session of its path; counts it as `stray` if there is
    /// neither.
    fn route(&mut self, now: Instant, path: Path, datagram: &mut [u8], stray: Counter) {
        let handshake = self.handshake_by_path.get(&path).copied();
        let session = self.sessions.find(&Route::Peer(path));
        match (handshake, session) {
            (None, None) => self.stats.count(stray),
            (None, Some(session)) => {
                self.feed_session(now, session, datagram);
            }
            (Some(slot), None) => self.feed_handshake(now, slot, datagram),
            (Some(handshake), Some(session)) => {
                // Both are tried, the session first: it stays valid until the new Finished verifies (RFC
                // 6347, section 4.2.8). A failed attempt destroys the bytes, so the handshake gets a copy.
                let mut copy = datagram.to_vec();
                if !self.feed_session(now, session, datagram) {
                    self.feed_handshake(now, handshake, &mut copy);
                }
            }
        }
    }

    fn handshake_id(&self, slot: u32, generation: u32) -> HandshakeId {
        HandshakeId { shard: self.config.shard, slot, generation }
    }

    /// Whole seconds since the shard's start: what a session remembers instead of an `Instant`.
    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.start).as_secs() as u32
    }
}
