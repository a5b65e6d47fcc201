//! Group commit: writes go into one open batch; when the store is free the batch is committed, and only then
//! do the answers follow.
//!
//! While one batch is being committed the next one fills, and batches do not follow each other faster than
//! every [`GATHER`]: a commit costs as much as some hundred writes. So batches grow with the load, and a
//! single report does not wait. Limit: [`BATCH_MAX`] writes per transaction; the machine limits how many
//! writes wait.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use narrowgate_gateway::{Outcomes, Token};
use narrowgate_http::metrics::Times;
use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Batch, Committed, Journal, PortFuture, StoreError, Write},
    rules::rate::Seldom,
};

/// Maximum number of writes in one transaction.
pub(super) const BATCH_MAX: usize = 1000;

/// The least time from the beginning of one batch to that of the next …
const GATHER: Duration = Duration::from_millis(5);
/// … unless so many writes wait.
const GATHERED_ENOUGH: usize = 250;
/// Refused batches are a line of the log this often.
const ERRORS_EVERY: Duration = Duration::from_secs(1);

/// The open batch and the one that is being committed; see the module.
pub(super) struct Batches {
    journal: Arc<dyn Journal>,
    /// Number of the next batch.
    number: u64,
    open: Open<Token>,
    /// When the last batch began.
    began: Instant,
    under_way: Option<UnderWay>,
    counted: Counted,
    /// A disk that is full refuses hundreds of batches a second.
    errors: Seldom,
}

/// Counters of batches.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// Batches committed.
    pub(super) batches: u64,
    /// Writes in them.
    pub(super) writes: u64,
    /// Batches that the store could not commit.
    pub(super) failed: u64,
    /// Since when the batch is being committed that is.
    pub(super) under_way_since: Option<Instant>,
    /// How long commits took, failed ones too.
    pub(super) took: Times,
    /// Writes that wait for their commit or are in it, at the last turn.
    pub(super) waiting: u64,
}

struct UnderWay {
    /// Who asked for writes, and how many.
    items: Vec<(Token, usize)>,
    writes: u64,
    /// Completes with the outcomes when the store has decided.
    result: PortFuture<'static, Result<Committed, StoreError>>,
}

/// A batch that was committed, or could not be.
pub(super) struct Decided {
    /// When the batch was given to the store.
    pub(super) began: Instant,
    items: Vec<(Token, usize)>,
    /// As many outcomes as the items have writes.
    result: Result<Committed, StoreError>,
}

impl Decided {
    /// Whether a device's wish for a secret is among what was decided.
    #[cfg(feature = "test-hooks")]
    pub(super) fn issues(&self) -> bool {
        let outcomes = self.result.as_ref().map_or(&[][..], |committed| &committed.outcomes);
        outcomes.iter().any(|outcome| matches!(outcome, narrowgate_platform::ports::Written::Issue(_)))
    }

    /// The outcomes of each item, in the order of the commit.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (Token, Result<Outcomes<'_>, &StoreError>)> {
        let mut first = 0;
        self.items.iter().map(move |&(token, count)| {
            let range = first..first + count;
            first = range.end;
            let outcomes = self.result.as_ref().map(|committed| Outcomes {
                first: committed.position(range.start),
                written: &committed.outcomes[range],
            });
            (token, outcomes)
        })
    }
}

impl Batches {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        let (counted, errors) = (Counted::default(), Seldom::new(ERRORS_EVERY));
        Self {
            journal,
            number: 0,
            open: Open::new(),
            began: Instant::now(),
            under_way: None,
            counted,
            errors,
        }
    }

    /// What is counted, as it is now.
    pub(super) fn counted(&self) -> Counted {
        let under_way = self.under_way.as_ref().map_or(0, |under_way| under_way.writes);
        Counted { waiting: self.open.writes as u64 + under_way, ..self.counted }
    }

    /// Adds writes that must be committed together.
    pub(super) fn push(&mut self, token: Token, writes: Vec<Write>) {
        self.open.push(token, writes);
    }

    /// Whether the open batch is as large as a transaction may be.
    pub(super) fn is_full(&self) -> bool {
        self.open.writes >= BATCH_MAX
    }

    /// When [`Self::begin`] will give the open batch to the store; `None` where there is nothing to give, or
    /// the store is not free.
    pub(super) fn begins_at(&self) -> Option<Instant> {
        if self.under_way.is_some() || self.open.items.is_empty() {
            return None;
        }
        Some(if self.open.writes < GATHERED_ENOUGH { self.began + GATHER } else { self.began })
    }

    /// Gives the open batch to the store if it is time and the store is free; returns whether it did.
    /// `confirmed` is the newest confirmed arrival.
    pub(super) fn begin(&mut self, confirmed: Option<UnixMillis>) -> bool {
        let now = Instant::now();
        if self.begins_at().is_none_or(|at| at > now) {
            return false;
        }
        self.began = now;
        let (items, writes) = self.open.take();
        #[cfg(feature = "test-hooks")]
        {
            if writes.iter().any(|write| matches!(write, Write::IssueSecret { .. })) {
                narrowgate_adapters::failpoint::pass("issuer-before-commit");
            }
            narrowgate_adapters::failpoint::pass("ingest-before-append");
        }
        let count = writes.len() as u64;
        let batch = Batch { confirmed, ..Batch::new(self.number, writes) };
        self.number += 1;
        let result = self.journal.append(batch);
        self.under_way = Some(UnderWay { items, writes: count, result });
        self.counted.under_way_since = Some(now);
        true
    }

    /// Polls the batch that is being committed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Decided> {
        let Some(under_way) = &mut self.under_way else { return Poll::Pending };
        let result = ready!(under_way.result.as_mut().poll(context));
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("ingest-before-answer");
        let writes = under_way.writes;
        let result = result.and_then(|committed| outcomes_of(committed, writes));
        let items = std::mem::take(&mut under_way.items);
        self.under_way = None;
        if let Some(since) = self.counted.under_way_since.take() {
            self.counted.took.add(since.elapsed());
        }
        match &result {
            Ok(_) => {
                self.counted.batches += 1;
                self.counted.writes += writes;
            }
            Err(error) => {
                self.counted.failed += 1;
                if let Some(left_out) = self.errors.permit(Instant::now()) {
                    let words = "the store refused a batch; its reports are answered 5.03";
                    tracing::error!(%error, writes, left_out, "{words}");
                }
            }
        }
        Poll::Ready(Decided { began: self.began, items, result })
    }
}

/// An outcome for each write. A store that gives more or fewer has acknowledged none.
fn outcomes_of(committed: Committed, writes: u64) -> Result<Committed, StoreError> {
    let given = committed.outcomes.len();
    if given as u64 == writes {
        return Ok(committed);
    }
    Err(StoreError::Damaged(format!("it answers {writes} writes with {given} outcomes")))
}

/// The open batch, and what did not fit into it.
#[derive(Debug)]
struct Open<T> {
    items: VecDeque<(T, Vec<Write>)>,
    writes: usize,
}

impl<T> Open<T> {
    fn new() -> Self {
        Self { items: VecDeque::new(), writes: 0 }
    }

    fn push(&mut self, token: T, writes: Vec<Write>) {
        self.writes += writes.len();
        self.items.push_back((token, writes));
    }

    /// Takes at most [`BATCH_MAX`] writes, but at least one item: writes that belong together are never split
    /// between two transactions.
    fn take(&mut self) -> (Vec<(T, usize)>, Vec<Write>) {
        let (mut items, mut taken) = (Vec::new(), Vec::with_capacity(self.writes.min(BATCH_MAX)));
        while let Some((_, writes)) = self.items.front()
            && (taken.is_empty() || taken.len() + writes.len() <= BATCH_MAX)
            && let Some((token, writes)) = self.items.pop_front()
        {
            items.push((token, writes.len()));
            taken.extend(writes);
        }
        self.writes -= taken.len();
        (items, taken)
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_engine::event::{HandshakeId, ShardEvent};
    use narrowgate_gateway::{Effect, Gateway, Limits, Now, Options};
    use narrowgate_platform::{firmware::ServerName, ids::DeviceId, memory::MemoryStore, ports::Written};

    use super::*;

    #[test]
    fn a_batch_with_too_few_or_too_many_outcomes_is_not_committed() {
        let committed =
            |given| Committed { epoch: 1, first_sequence: 1, outcomes: vec![Written::Done; given] };
        assert_eq!(outcomes_of(committed(2), 2).expect("it is whole").outcomes.len(), 2);
        for given in [0, 1, 3] {
            let outcomes = outcomes_of(committed(given), 2);
            assert!(matches!(outcomes, Err(StoreError::Damaged(_))), "{given}: {outcomes:?}");
        }
    }

    /// That of some question.
    fn token() -> Token {
        let now = Now { instant: Instant::now(), wall: UnixMillis(0) };
        let limits = Limits::default();
        let options = Options {
            shards: 1,
            plain_shards: 0,
            seed: [3; 32],
            online: Vec::new(),
            commands: Vec::new(),
            epoch: 0,
            newest_arrival: None,
            limits,
            server: ServerName::default(),
        };
        let mut machine = Gateway::new(options, now);
        let handshake = HandshakeId { shard: 0, slot: 1, generation: 1 };
        let (peer, identity) = (([192, 0, 2, 1], 5684).into(), b"p,d,2,60".to_vec());
        machine.handle_event(now, 0, ShardEvent::PskWanted { handshake, peer, identity });
        let Some(Effect::Lookup(token, _)) = machine.poll_effect() else { panic!("it looks up the key") };
        token
    }

    #[test]
    fn a_batch_gathers_for_a_moment_unless_enough_waits() {
        let mut batches = Batches::new(Arc::new(MemoryStore::default()));
        let seen = || Write::Seen { device: DeviceId(1), login: None, at: UnixMillis(0) };
        let token = token();
        let long_ago = Instant::now().checked_sub(GATHER).expect("the machine has run for so long");
        batches.began = long_ago;
        assert!(!batches.begin(None), "there is nothing");
        batches.push(token, vec![seen()]);
        assert!(batches.begin(None), "nothing was committed just now");
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(batches.poll(&mut context).is_ready());

        batches.began = Instant::now() + Duration::from_secs(60);
        batches.push(token, vec![seen()]);
        assert!(!batches.begin(None) && batches.begins_at() > Some(Instant::now()));
        batches.began = Instant::now();
        batches.push(token, (1..GATHERED_ENOUGH).map(|_| seen()).collect());
        assert!(batches.begin(None) && batches.begins_at().is_none(), "enough waits");
    }

    #[test]
    fn a_transaction_is_bounded_by_its_writes_and_never_splits_a_request() {
        let mut open = Open::new();
        let mut push = |count: i64| {
            let seen = |n| Write::Seen { device: DeviceId(n), login: None, at: UnixMillis(0) };
            open.push(count, (0..count).map(seen).collect());
        };
        [600, 300, 200, 1, 5000, 1].into_iter().for_each(&mut push);
        let mut batches = Vec::new();
        while open.writes > 0 {
            let (items, writes) = open.take();
            assert_eq!(items.iter().map(|(_, count)| count).sum::<usize>(), writes.len());
            batches.push(items.iter().map(|(count, _)| *count).collect::<Vec<_>>());
        }
        assert_eq!(batches, [vec![600, 300], vec![200, 1], vec![5000], vec![1]]);
    }
}
