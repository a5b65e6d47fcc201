//! Group commit: what all shards want written goes into one open batch; when the store is free the batch is
//! committed, and only then are the answers given.
//!
//! While one batch is being made durable the next one fills, so the batch grows with the load and a lone report
//! waits for nobody. Limit: [`BATCH_MAX`] writes per transaction; the number of waiting requests is bounded by the
//! shards' limit of requests in flight.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use narrowgate_coap::{Code, Response};
use narrowgate_engine::event::{ShardCommand, Ticket};
use narrowgate_platform::{
    device_api,
    ports::{Batch, Clock, Journal, StoreError, Write, Written},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Shards,
    requests::{Asker, Requests},
    unwritten::Unwritten,
};

/// Writes in one transaction at most.
pub(super) const BATCH_MAX: usize = 1000;

/// Code that runs when a write is durable, or could not be made so.
pub(super) type WhenWritten = Box<dyn FnOnce(Result<&[Written], &StoreError>) + Send>;

/// What is to happen when a write is durable, or could not be made so.
pub(super) enum After {
    /// Nothing.
    Nothing,
    /// The request is answered: 5.03 where the store failed, 4.03 where the device is gone or switched off meanwhile.
    Respond {
        /// Which request.
        ticket: Ticket,
        /// The answer.
        response: Response,
        /// Who asked, for the log where the store does not take it.
        asker: Asker,
        /// Where that is noted.
        requests: Arc<Requests>,
    },
    /// Code of the caller runs, on the ingest task: it must be short. It gets the outcomes of its writes.
    Call(WhenWritten),
}

enum Item {
    /// Writes that belong together: never split over two transactions.
    Writes(Vec<Write>, After),
    Flush(oneshot::Sender<()>),
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Writes(writes, _) => writes.len(),
            Self::Flush(_) => 0,
        }
    }
}

/// Numbers the batches of this process, from 0.
#[derive(Debug, Default)]
pub(super) struct BatchNumbers(AtomicU64);

impl BatchNumbers {
    /// A batch with the next number.
    pub(super) fn batch(&self, writes: Vec<Write>) -> Batch {
        Batch::new(self.0.fetch_add(1, Ordering::Relaxed), writes)
    }
}

/// The sending side. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Ingest {
    sender: mpsc::UnboundedSender<Vec<Item>>,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Item")
    }
}

/// What ingest counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Batches committed.
    pub(super) batches: AtomicU64,
    /// Writes in them.
    pub(super) writes: AtomicU64,
    /// Batches that the store could not commit.
    pub(super) failed_batches: AtomicU64,
    /// Requests that were refused with them.
    pub(super) unwritten: Unwritten,
}

/// Writes gathered by one task before they are handed over together.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<Item>);

impl Gathered {
    /// Adds a write.
    pub(super) fn push(&mut self, write: Write, after: After) {
        self.push_all(vec![write], after);
    }

    /// Adds writes that are committed together.
    pub(super) fn push_all(&mut self, writes: Vec<Write>, after: After) {
        self.0.push(Item::Writes(writes, after));
    }
}

impl Ingest {
    pub(super) fn start(
        journal: Arc<dyn Journal>,
        numbers: Arc<BatchNumbers>,
        clock: Arc<dyn Clock>,
        shards: Arc<Shards>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        tokio::spawn(run(receiver, journal, numbers, clock, shards, Arc::clone(&counters)));
        Self { sender, counters }
    }

    /// Hands over one write.
    pub(super) fn write(&self, write: Write, after: After) {
        self.send(vec![Item::Writes(vec![write], after)]);
    }

    /// Hands over what was gathered, in its order.
    pub(super) fn submit(&self, gathered: &mut Gathered) {
        if !gathered.0.is_empty() {
            self.send(std::mem::take(&mut gathered.0));
        }
    }

    /// Returns when everything handed over before is committed (or failed).
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.send(vec![Item::Flush(done)]);
        // The task ends only with the process.
        let _ = wait.await;
    }

    /// What was counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn send(&self, items: Vec<Item>) {
        // The task ends only when all senders are gone.
        let _ = self.sender.send(items);
    }
}

async fn run(
    mut receiver: mpsc::UnboundedReceiver<Vec<Item>>,
    journal: Arc<dyn Journal>,
    numbers: Arc<BatchNumbers>,
    clock: Arc<dyn Clock>,
    shards: Arc<Shards>,
    counters: Arc<Counters>,
) {
    let mut open: Vec<Item> = Vec::new();
    loop {
        if open.is_empty() {
            let Some(items) = receiver.recv().await else { return };
            open = items;
        }
        while writes_in(&open) < BATCH_MAX {
            let Ok(items) = receiver.try_recv() else { break };
            open.extend(items);
        }
        let rest = split_off_beyond(&mut open);
        let items = std::mem::replace(&mut open, rest);
        commit(items, (&*journal, &numbers), &*clock, &shards, &counters).await;
    }
}

fn writes_in(items: &[Item]) -> usize {
    items.iter().map(Item::len).sum()
}

/// Leaves at most [`BATCH_MAX`] writes in `open`, but one item at least, and returns the rest.
fn split_off_beyond(open: &mut Vec<Item>) -> Vec<Item> {
    let mut writes = 0;
    let fits = open.iter().take_while(|item| {
        writes += item.len();
        writes <= BATCH_MAX
    });
    let fits = fits.count().max(1);
    open.split_off(fits.min(open.len()))
}

async fn commit(
    items: Vec<Item>,
    (journal, numbers): (&dyn Journal, &BatchNumbers),
    clock: &dyn Clock,
    shards: &Shards,
    counters: &Counters,
) {
    let mut writes = Vec::with_capacity(items.len());
    let mut afters = Vec::with_capacity(items.len());
    let mut flushed = Vec::new();
    for item in items {
        match item {
            Item::Writes(some, after) => {
                afters.push((some.len(), after));
                writes.extend(some);
            }
            Item::Flush(done) => flushed.push(done),
        }
    }
    if !writes.is_empty() {
        let count = writes.len() as u64;
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("ingest-before-append");
        let result = journal.append(numbers.batch(writes)).await.map(|committed| committed.outcomes);
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("ingest-before-answer");
        match &result {
            Ok(_) => {
                counters.batches.fetch_add(1, Ordering::Relaxed);
                counters.writes.fetch_add(count, Ordering::Relaxed);
                counters.unwritten.written();
            }
            Err(error) => {
                counters.failed_batches.fetch_add(1, Ordering::Relaxed);
                let asked = afters.iter().filter(|(_, after)| matches!(after, After::Respond { .. })).count();
                let reason = match error {
                    StoreError::Unavailable(reason) => reason.clone(),
                    error => error.to_string(),
                };
                counters.unwritten.failed(clock.now(), asked as u64, &reason);
                tracing::error!(%error, writes = count, "the store refused a batch; its reports are answered 5.03");
            }
        }
        answer(afters, &result, shards);
    }
    for done in flushed {
        // Whoever waited may have gone.
        let _ = done.send(());
    }
}

fn answer(afters: Vec<(usize, After)>, result: &Result<Vec<Written>, StoreError>, shards: &Shards) {
    let mut commands: BTreeMap<u16, Vec<ShardCommand>> = BTreeMap::new();
    let mut first = 0;
    for (count, after) in afters {
        let outcomes = result.as_ref().map(|written| written.get(first..first + count).unwrap_or_default());
        first += count;
        match after {
            After::Nothing => {}
            After::Respond { ticket, response, asker, requests } => {
                requests.note(&asker, outcomes);
                let response = response_after(outcomes, response);
                let command = ShardCommand::Respond { ticket, response };
                commands.entry(ticket.session.shard).or_default().push(command);
            }
            After::Call(call) => call(outcomes),
        }
    }
    for (shard, commands) in commands {
        shards.send(shard, commands);
    }
}

/// The answer to a request whose writes came to this.
pub(super) fn response_after(outcomes: Result<&[Written], &StoreError>, response: Response) -> Response {
    match outcomes {
        Ok(outcomes) if outcomes.iter().all(|outcome| *outcome == Written::Done) => response,
        Ok(_) => Response::new(Code::FORBIDDEN),
        Err(_) => device_api::unavailable(),
    }
}
