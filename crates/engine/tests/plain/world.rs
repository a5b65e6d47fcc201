//! A shard of plain CoAP and a platform that a test plays.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Kind, Message, MessageWriter, OptionNumber, Response, Token};
use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::{
    event::{CloseCause, HandshakeId, SessionId, ShardCommand, ShardEvent, Ticket},
    path::Path,
    shard::{
        Shard, ShardConfig,
        plain::PlainConfig,
        stats::{Counter, Gauges},
    },
};

pub(crate) const LIFETIME: Duration = Duration::from_secs(60);

/// A shard and a platform that a test plays.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) shard: Shard,
    pub(crate) wanted: Vec<HandshakeId>,
    pub(crate) ended: Vec<HandshakeId>,
    pub(crate) logged_in: Vec<Ticket>,
    pub(crate) asked: Vec<Ticket>,
    pub(crate) heard: Vec<SessionId>,
    pub(crate) closed: Vec<(SessionId, CloseCause)>,
    pub(crate) refused: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    pub(crate) fn with(change: impl FnOnce(&mut ShardConfig)) -> Self {
        let now = Instant::now();
        let mut config = ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))));
        config.plain = Some(PlainConfig { login_path: "auth", logins_waiting_max: 8, fresh_logins: false });
        change(&mut config);
        Self {
            now,
            shard: Shard::new(config, now, [1; 32]),
            wanted: Vec::new(),
            ended: Vec::new(),
            logged_in: Vec::new(),
            asked: Vec::new(),
            heard: Vec::new(),
            closed: Vec::new(),
            refused: 0,
        }
    }

    /// What a datagram of a peer is answered by, at once; all of it goes to this peer.
    pub(crate) fn give(&mut self, peer: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.shard.handle_datagram(self.now, peer, &mut datagram.to_vec());
        self.drain(peer)
    }

    /// The code of the only answer.
    #[track_caller]
    pub(crate) fn code(&mut self, peer: SocketAddr, datagram: &[u8]) -> Code {
        let answers = self.give(peer, datagram);
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        Message::parse(answer).expect("we wrote it").code
    }

    pub(crate) fn command(&mut self, peer: SocketAddr, command: ShardCommand) -> Vec<Vec<u8>> {
        self.shard.handle_command(self.now, command);
        self.drain(peer)
    }

    pub(crate) fn drain(&mut self, peer: SocketAddr) -> Vec<Vec<u8>> {
        while let Some(event) = self.shard.poll_event() {
            match event {
                ShardEvent::LoginWanted { handshake, .. } => self.wanted.push(handshake),
                ShardEvent::HandshakeEnded { handshake } => self.ended.push(handshake),
                ShardEvent::LoggedIn { ticket, .. } => self.logged_in.push(ticket),
                ShardEvent::Request { ticket, .. } => self.asked.push(ticket),
                ShardEvent::Heard { session } => self.heard.push(session),
                ShardEvent::Closed { session, cause } => self.closed.push((session, cause)),
                ShardEvent::LoginRefused { .. } => self.refused += 1,
                ShardEvent::Spent { .. } | ShardEvent::Throttled { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let outbox = self.shard.outbox();
        let sent: Vec<(Path, Vec<u8>)> = outbox.iter().map(|(path, it)| (path, it.to_vec())).collect();
        outbox.clear();
        let to_peer = |(path, datagram): (Path, Vec<u8>)| {
            assert_eq!(path.peer, peer);
            datagram
        };
        sent.into_iter().map(to_peer).collect()
    }

    pub(crate) fn admit(&mut self, peer: SocketAddr) -> Vec<Vec<u8>> {
        let handshake = *self.wanted.last().expect("a login waits");
        self.command(peer, ShardCommand::AdmitLogin { handshake, lifetime: LIFETIME })
    }

    pub(crate) fn respond(&mut self, peer: SocketAddr, ticket: Ticket, code: Code) -> Vec<Vec<u8>> {
        self.command(peer, ShardCommand::Respond { ticket, response: Response::new(code) })
    }

    /// A login that is admitted and answered.
    pub(crate) fn log_in(&mut self, peer: SocketAddr, mid: u16) -> SessionId {
        assert_eq!(self.give(peer, &login(mid)), [[0; 0]; 0], "it waits for the platform");
        self.admit(peer);
        let ticket = *self.logged_in.last().expect("it is admitted");
        assert_eq!(self.respond(peer, ticket, Code::CHANGED).len(), 1);
        ticket.session
    }

    pub(crate) fn wait(&mut self, peer: SocketAddr, time: Duration) -> Vec<Vec<u8>> {
        self.now += time;
        self.shard.handle_timeout(self.now);
        self.drain(peer)
    }

    pub(crate) fn count(&mut self, counter: Counter) -> u64 {
        self.shard.stats().value(counter)
    }

    pub(crate) fn gauges(&mut self) -> Gauges {
        self.shard.stats().gauges
    }
}

pub(crate) fn peer(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (number >> 8) as u8], 1000 + number % 256))
}

pub(crate) fn message(kind: Kind, code: Code, mid: u16, path: &[&str], payload: &str) -> Vec<u8> {
    message_with(kind, code, mid, path, (payload, &[]))
}

pub(crate) fn message_with(
    kind: Kind,
    code: Code,
    mid: u16,
    path: &[&str],
    (payload, more): (&str, &[(u16, &[u8])]),
) -> Vec<u8> {
    let token = Token::new(&mid.to_be_bytes()).expect("two bytes");
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes, kind, code, mid, token);
    path.iter().for_each(|segment| writer.option(OptionNumber::URI_PATH, segment.as_bytes()));
    more.iter().for_each(|(number, value)| writer.option(OptionNumber(*number), value));
    writer.payload(payload.as_bytes());
    bytes
}

pub(crate) fn login(mid: u16) -> Vec<u8> {
    message(Kind::Confirmable, Code::POST, mid, &["auth", "p", "d"], r#"{"secureMode":2}"#)
}

pub(crate) fn report(mid: u16) -> Vec<u8> {
    message(Kind::Confirmable, Code::POST, mid, &["topic", "p", "d"], "{}")
}
