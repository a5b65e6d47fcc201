//! The smallest platform that a shard can serve: keys by identity, and success for everything that is asked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Request, Response, format};
use narrowgate_dtls::{CipherSuite, Psk, PskAnswer, Refusal};
use narrowgate_engine::event::{CloseCause, HandshakeId, SessionId, ShardCommand, ShardEvent, Ticket};
use serde::Deserialize;

/// A session as it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// The handshake that it was.
    pub handshake: HandshakeId,
    /// The session.
    pub session: SessionId,
    /// Where the device is.
    pub peer: SocketAddr,
    /// The suite in use.
    pub suite: CipherSuite,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Whose it was.
    pub session: SessionId,
    /// What was asked.
    pub request: Request,
}

/// Answers a shard, and remembers what it was told.
#[derive(Debug, Default)]
pub struct Platform {
    /// Key by identity; others get a decoy.
    pub keys: HashMap<Vec<u8>, Psk>,
    /// How long a key look-up takes; `None`: for ever.
    pub lookup_takes: Option<Duration>,
    /// How long a request takes; `None`: until [`Platform::answer_all`].
    pub request_takes: Option<Duration>,
    /// What became a session.
    pub connected: Vec<Connected>,
    /// What ended, and why.
    pub closed: Vec<(SessionId, CloseCause)>,
    /// Handshakes that ended without a session.
    pub handshakes_ended: Vec<HandshakeId>,
    /// Who was refused by an alert.
    pub refused: Vec<(SocketAddr, Refusal)>,
    /// Who had the wrong key.
    pub wrong_keys: Vec<SocketAddr>,
    /// Requests carried out, in order.
    pub executed: Vec<Executed>,
    /// Signs of life that were no requests.
    pub heard: u64,
    waiting: Vec<(Ticket, Response)>,
    commands: Vec<(Instant, ShardCommand)>,
}

impl Platform {
    /// One that knows nobody and answers at once.
    pub fn new() -> Self {
        let at_once = Some(Duration::ZERO);
        Self { lookup_takes: at_once, request_takes: at_once, ..Self::default() }
    }

    /// Takes what a shard has to say.
    pub fn handle_event(&mut self, now: Instant, event: ShardEvent) {
        match event {
            ShardEvent::PskWanted { handshake, identity, .. } => {
                let answer = self.keys.get(&identity).cloned().map_or_else(PskAnswer::decoy, PskAnswer::key);
                if let Some(takes) = self.lookup_takes {
                    self.commands.push((now + takes, ShardCommand::ProvidePsk { handshake, answer }));
                }
            }
            ShardEvent::Request { ticket, request } => self.execute(now, ticket, request),
            ShardEvent::Connected { handshake, session, peer, suite, .. } => {
                self.connected.push(Connected { handshake, session, peer, suite });
            }
            ShardEvent::Closed { session, cause } => self.closed.push((session, cause)),
            ShardEvent::HandshakeEnded { handshake } => self.handshakes_ended.push(handshake),
            ShardEvent::Refused { peer, refusal } => self.refused.push((peer, refusal)),
            ShardEvent::WrongKey { peer, .. } => self.wrong_keys.push(peer),
            ShardEvent::KeyExchangeRejected { .. } | ShardEvent::Stray { .. } => {}
            ShardEvent::Heard { .. } => self.heard += 1,
            ShardEvent::RequestRefused { .. }
            | ShardEvent::Malformed { .. }
            | ShardEvent::MessageIdReused { .. }
            | ShardEvent::AnswerTooLarge { .. } => {}
        }
    }

    /// Answers everything that waits for it because of `request_takes`.
    pub fn answer_all(&mut self, now: Instant) {
        let waiting = self.waiting.drain(..);
        self.commands
            .extend(waiting.map(|(ticket, response)| (now, ShardCommand::Respond { ticket, response })));
    }

    /// Says something to the shard of its own accord.
    pub fn command(&mut self, now: Instant, command: ShardCommand) {
        self.commands.push((now, command));
    }

    /// Forgets what it owes to a shard that is gone.
    pub fn forget_open(&mut self) {
        self.waiting.clear();
        self.commands.clear();
    }

    /// The next command for the shard that is due.
    pub fn poll_command(&mut self, now: Instant) -> Option<ShardCommand> {
        let index = self.commands.iter().position(|(due, _)| *due <= now)?;
        Some(self.commands.remove(index).1)
    }

    /// When the next command is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.commands.iter().map(|(due, _)| *due).min()
    }

    fn execute(&mut self, now: Instant, ticket: Ticket, request: Request) {
        let response = respond(&request);
        self.executed.push(Executed { session: ticket.session, request });
        match self.request_takes {
            Some(takes) => self.commands.push((now + takes, ShardCommand::Respond { ticket, response })),
            None => self.waiting.push((ticket, response)),
        }
    }
}

/// The answer of a platform that agrees to everything.
pub fn respond(request: &Request) -> Response {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        id: &'a str,
    }
    let path = request.path_text();
    if path.ends_with("/thing/activate/info") {
        let mut keys = path.split('/').skip(4);
        let (product_key, device_key) = (keys.next().unwrap_or_default(), keys.next().unwrap_or_default());
        let body = format!(
            r#"{{"id":"1","version":"1.0","method":"thing.activate.info","params":{{"assetId":"sim","productKey":"{product_key}","deviceKey":"{device_key}","deviceSecret":"{ISSUED_SECRET}"}}}}"#
        );
        return Response::new(Code::CONTENT).content_format(format::JSON).max_age(0).payload(body);
    }
    match serde_json::from_slice::<Envelope<'_>>(&request.payload) {
        Ok(Envelope { id }) => Response::new(Code::CHANGED)
            .content_format(format::JSON)
            .payload(format!(r#"{{"id":"{id}","code":200,"data":{{}}}}"#)),
        Err(_) => Response::new(Code::BAD_REQUEST),
    }
}

/// The secret that every device is issued.
pub const ISSUED_SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";
