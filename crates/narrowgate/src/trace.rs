//! Traces of requests of devices through the gateway, for OpenTelemetry (`trace.collector`): where the time
//! of one goes. One in a while is traced (`trace.every`), and one at a time, so the cost is the same however
//! many come. Without a collector nothing is measured.
//!
//! ```text
//!   request ├───────────────────────────────────────────┤
//!           ├ decide ┤├ gather ┤├── commit ──┤├ answer ─┤
//! ```
//!
//! It begins where the gateway's task takes it from the queue of its shard, and ends where the answer is
//! ready for the shard. Traced is what is decided and written at once, as reports are.

mod export;
mod otlp;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_engine::event::ShardEvent;
use narrowgate_gateway::Token;
use tokio::sync::mpsc;

pub(crate) use self::export::begin;

/// After a request that could not be traced the next one is tried after this time.
const MISS_PAUSE: Duration = Duration::from_millis(10);

/// Which requests are traced, and where the traces go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Takes OTLP over HTTP.
    pub(crate) collector: SocketAddr,
    /// The least time between two traces.
    pub(crate) every: Duration,
}

/// A request that was traced, with the times at which its parts ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trace {
    path: String,
    taken: Instant,
    decided: Instant,
    gathered: Instant,
    committed: Instant,
    answered: Instant,
    is_stored: bool,
}

/// Chooses requests and measures them.
#[derive(Debug)]
pub(crate) struct Tracer {
    every: Duration,
    next: Instant,
    under_way: Option<UnderWay>,
    finished: mpsc::Sender<Trace>,
}

#[derive(Debug)]
struct UnderWay {
    path: String,
    taken: Instant,
    /// Under which token it was given to be written, and when.
    written: Option<(Token, Instant)>,
    committed: Option<Committed>,
}

#[derive(Debug)]
struct Committed {
    gathered: Instant,
    at: Instant,
    is_stored: bool,
}

impl Tracer {
    fn new(every: Duration, finished: mpsc::Sender<Trace>) -> Self {
        Self { every, next: Instant::now(), under_way: None, finished }
    }

    /// Whether this event is to be traced.
    pub(crate) fn wants(&self, now: Instant, event: &ShardEvent) -> bool {
        self.under_way.is_none() && now >= self.next && matches!(event, ShardEvent::Request { .. })
    }

    /// The gateway begins to decide on it.
    pub(crate) fn begin(&mut self, event: &ShardEvent) {
        if let ShardEvent::Request { request, .. } = event {
            let path = request.path_text().to_owned();
            self.under_way = Some(UnderWay { path, taken: Instant::now(), written: None, committed: None });
        }
    }

    /// Something is to be written: what belongs to the request that is being decided on, if one is.
    pub(crate) fn note_write(&mut self, token: Token) {
        if let Some(UnderWay { written: written @ None, .. }) = &mut self.under_way {
            *written = Some((token, Instant::now()));
        }
    }

    /// All that the gateway has decided at once is carried out.
    pub(crate) fn end_decision(&mut self) {
        if let Some(missed) = self.under_way.take_if(|under_way| under_way.written.is_none()) {
            self.next = missed.taken + MISS_PAUSE;
        }
    }

    /// A batch that was given to the store at `gathered` is decided, with these writes.
    pub(crate) fn note_commit(
        &mut self,
        gathered: Instant,
        mut outcomes: impl Iterator<Item = (Token, bool)>,
    ) {
        let Some(under_way) = &mut self.under_way else { return };
        let Some((token, _)) = under_way.written else { return };
        if let Some((_, is_stored)) = outcomes.find(|(other, _)| *other == token) {
            under_way.committed = Some(Committed { gathered, at: Instant::now(), is_stored });
        }
    }

    /// The answers to a batch are handed to the shards.
    pub(crate) fn end(&mut self) {
        let Some(UnderWay { path, taken, written: Some((_, decided)), committed: Some(committed) }) =
            self.under_way.take_if(|under_way| under_way.committed.is_some())
        else {
            return;
        };
        let Committed { gathered, at: committed, is_stored } = committed;
        let answered = Instant::now();
        self.next = answered + self.every;
        // Ignored: a collector that does not keep up misses some.
        let _ =
            self.finished.try_send(Trace { path, taken, decided, gathered, committed, answered, is_stored });
    }
}
