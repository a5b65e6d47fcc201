//! Established sessions: what the shard keeps of each, how they begin and how they end.

use std::time::{Duration, Instant};

use narrowgate_coap::Endpoint;
use narrowgate_dtls::{Random, Session};

use super::{
    Shard,
    channel::Channel,
    half_open::Hello,
    stats::Counter,
    table::{Row, slot_bytes},
    throttle::Spent,
    timers::Timers,
};
use crate::{
    event::{CloseCause, SessionId, ShardEvent},
    path::Path,
    route::Route,
};

/// An established session with its CoAP state. There are millions of these.
pub(super) struct Established {
    pub(super) channel: Channel,
    pub(super) endpoint: Endpoint,
    pub(super) timers: Timers,
    /// What it began with.
    pub(super) hello: Hello,
    /// When it was last heard, in seconds since the shard's start.
    pub(super) heard_s: u32,
    /// Requests handed to the platform and not yet answered.
    pub(super) in_flight: u16,
    /// What it has spent of the bytes that its device may send and be sent.
    pub(super) spent: Spent,
    /// Authentic records in a row that carried nothing.
    pub(super) noise: u8,
    /// Its requests are held back for the bytes that it has spent, and the platform was told.
    pub(super) pauses: bool,
}

// Design limit: an idle session (DTLS and CoAP) takes at most 512 bytes. The size is asserted here, so that
// nobody adds to it without noticing; keys of CBC take 96 bytes more.
const _: () = assert!(slot_bytes::<Established>() <= 256);

impl Established {
    /// When it ends if nothing more is heard, in seconds since the shard's start.
    pub(super) fn end_s(&self, idle_timeout: Duration) -> u32 {
        let idle_timeout = self.channel.idle_timeout(idle_timeout);
        let idle_at_s = u64::from(self.heard_s) + idle_timeout.as_secs() + 1;
        idle_at_s.min(u64::from(self.timers.close_at_s)) as u32
    }

    /// Why it has to end now, if it has to.
    pub(super) fn end_due(&self, now_s: u32, idle_timeout: Duration) -> Option<CloseCause> {
        if self.timers.close_at_s <= now_s {
            return Some(CloseCause::ByCommand);
        }
        let idle_timeout = self.channel.idle_timeout(idle_timeout);
        let is_idle = u64::from(now_s.saturating_sub(self.heard_s)) > idle_timeout.as_secs();
        is_idle.then_some(CloseCause::Idle)
    }
}

impl Shard {
    pub(super) fn establish(&mut self, now: Instant, path: Path, dtls: Session, hello: Hello) -> SessionId {
        if self.sessions.len() >= self.config.sessions_max
            && let Some(oldest) = self.sessions.shed_candidate(|established| established.heard_s)
        {
            self.close_with_notify(oldest, CloseCause::Shed);
        }
        let endpoint = Endpoint::new(self.first_mid());
        self.add_session(now, path, Channel::Dtls(dtls), (endpoint, hello))
    }

    /// The number from which an endpoint counts its messages: a random one.
    pub(super) fn first_mid(&mut self) -> u16 {
        let mut mid = [0; 2];
        self.random.fill(&mut mid);
        u16::from_be_bytes(mid)
    }

    /// Adds a session to the table, where there is room for it.
    pub(super) fn add_session(
        &mut self,
        now: Instant,
        path: Path,
        channel: Channel,
        (endpoint, hello): (Endpoint, Hello),
    ) -> SessionId {
        let established = Established {
            channel,
            endpoint,
            timers: Timers::IDLE,
            hello,
            heard_s: self.seconds(now),
            in_flight: 0,
            spent: Spent::default(),
            pauses: false,
            noise: 0,
        };
        let session = self.sessions.insert(path, None, established);
        self.arm_session(now, session);
        session
    }

    /// Whether the session of this path grew out of this ClientHello, whose cookie is valid.
    pub(super) fn grew_out_of(&mut self, path: Path, hello: Hello) -> bool {
        let session = self.sessions.find(&Route::Peer(path));
        let row = session.and_then(|session| self.sessions.at(session));
        row.is_some_and(|row| row.session.hello.has_copy(hello))
    }

    /// Notifies the peer and ends the session.
    pub(super) fn close_with_notify(&mut self, session: SessionId, cause: CloseCause) {
        let Self { sessions, outbox, random, .. } = self;
        let Some(row) = sessions.at(session) else { return };
        // Ignored: a session whose numbers are used up ends without a close_notify.
        outbox.push_with(row.path(), |out| row.session.channel.seal_close_notify(random, out));
        self.close(session, cause);
    }

    /// Ends the session without notifying the peer.
    pub(super) fn close(&mut self, session: SessionId, cause: CloseCause) {
        let Some(row) = self.sessions.take(session) else { return };
        let path = row.path();
        let Row { session: mut established, .. } = row;
        self.leave(path, &mut established, cause);
        self.requests_in_flight -= usize::from(established.in_flight);
        self.stats.count(counter_of(cause));
        if let Some(spent) = self.spent(&established) {
            self.events.push_back(ShardEvent::Spent { session, spent });
        }
        self.events.push_back(ShardEvent::Closed { session, cause });
    }
}

fn counter_of(cause: CloseCause) -> Counter {
    match cause {
        CloseCause::ByPeer => Counter::ClosedByPeer,
        CloseCause::ByCommand => Counter::ClosedByCommand,
        CloseCause::Superseded => Counter::ClosedSuperseded,
        CloseCause::Replaced => Counter::ClosedReplaced,
        CloseCause::Idle => Counter::ClosedIdle,
        CloseCause::Shed => Counter::ClosedShed,
        CloseCause::Abuse => Counter::ClosedAbuse,
        CloseCause::Drained => Counter::ClosedDrained,
    }
}
