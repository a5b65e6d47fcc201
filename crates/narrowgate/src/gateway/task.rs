//! The task that owns the machine: takes inputs, carries out effects, sends commands.

#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use narrowgate_engine::event::{ShardCommand, ShardEvent};
use narrowgate_gateway::{Answer, Effect, Gateway, LiveChange, Now, Outcomes, Token};
use narrowgate_platform::ports::{Clock, Entropy, Scripts, Stores, Written};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    batches::{Batches, Decided},
    changes::Changes,
    metrics::Published,
    now,
    reads::{Read, Reads},
    recent::Recent,
    seed,
    sink::{Events, Source},
};
use crate::{feed::Feed, trace::Tracer};

/// Inputs taken before commands are sent: some hundred events each, under load.
const INPUTS_PER_TURN: usize = 8;
/// How long commands wait for a shard whose queue is full.
const COMMANDS_PAUSE: Duration = Duration::from_millis(1);

/// A request to the task, which reports when it is done.
pub(super) enum Ask {
    /// The shards have stopped receiving: decide, commit and answer everything received.
    Settle(oneshot::Sender<()>),
    /// Let the shards end all sessions.
    Drain(oneshot::Sender<()>),
}

/// Where a shard takes its commands: takes all of them, or leaves them where its queue is full.
pub(super) type Queue = Box<dyn FnMut(&mut Vec<ShardCommand>) + Send>;

/// A shard, as the task sees it.
pub(super) struct Shard {
    queue: Queue,
    events: Source,
    /// Commands to be sent. If the shard's queue is full they stay here, and no event of this shard is taken.
    commands: Vec<ShardCommand>,
    /// Its queue was full.
    is_held_up: bool,
}

/// Something to be handled.
enum Input {
    Written(Decided),
    Read(Token, Read),
    Changes(Vec<LiveChange>),
    Events(usize, Events),
    Timeout,
    Ask(Ask),
    /// All other ends are closed.
    End,
}

/// A request that is answered when no work is in progress.
enum Settling {
    /// Then what was heard meanwhile must still be written.
    First(oneshot::Sender<()>),
    /// Then everything is done.
    Last(oneshot::Sender<()>),
}

/// Which inputs a turn has taken.
enum Taken {
    /// There may be more.
    Some,
    /// All of them.
    All,
    /// There will be no more.
    End,
}

/// The other ends, besides the shards.
pub(super) struct Ends {
    pub(super) changes: Arc<Changes>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) published: Arc<Published>,
}

/// See the module.
pub(super) struct Task {
    machine: Gateway,
    shards: Vec<Shard>,
    /// The shard whose events are polled first.
    next_shard: usize,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    feed: Feed,
    batches: Batches,
    reads: Reads,
    recent: Arc<Recent>,
    tracer: Option<Tracer>,
    timer: Pin<Box<Sleep>>,
    settling: Option<Settling>,
}

impl Shard {
    pub(super) fn new(queue: Queue, events: impl Into<Source>) -> Self {
        Self { queue, events: events.into(), commands: Vec::new(), is_held_up: false }
    }

    fn send(&mut self) {
        (self.queue)(&mut self.commands);
        self.is_held_up = !self.commands.is_empty();
    }
}

impl Task {
    /// A task whose questions to the store run on the runtime `reading`.
    pub(super) fn new(
        machine: Gateway,
        shards: Vec<Shard>,
        stores: Stores,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        feed: Feed,
        reading: Handle,
    ) -> Self {
        Self {
            machine,
            shards,
            next_shard: 0,
            batches: Batches::new(stores.journal),
            reads: Reads::new(stores.registry, stores.images, reading),
            recent: Arc::default(),
            tracer: None,
            clock,
            entropy,
            feed,
            timer: Box::pin(sleep_until(Instant::now())),
            settling: None,
        }
    }

    /// The same, which runs scripts by these, and keeps there what is sent to them.
    pub(super) fn with_scripts(mut self, scripts: Arc<dyn Scripts>, recent: Arc<Recent>) -> Self {
        self.reads.scripts = scripts;
        self.recent = recent;
        self
    }

    /// The same, of whose requests some are traced by this.
    pub(super) fn with_tracer(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Runs until all other ends are closed.
    pub(super) async fn run(mut self, mut ends: Ends) {
        poll_fn(|context| self.poll(context, &mut ends)).await;
    }

    /// Takes inputs and sends the resulting commands, turn by turn.
    fn poll(&mut self, context: &mut Context<'_>, ends: &mut Ends) -> Poll<()> {
        loop {
            self.machine.set_followers(self.feed.wanted());
            let taken = self.take_inputs(context, ends);
            self.send();
            let goes_on = self.settle();
            ends.changes.tell_known(|device| self.machine.knows_commands(device));
            ends.changes.tell_observing(|device| self.machine.observes_commands(device));
            ends.changes.tell_sessions(|device| self.machine.session_of(now(&*self.clock), device));
            ends.published.publish(&self.machine, self.batches.counted());
            match taken {
                Taken::Some => {}
                Taken::All if goes_on => {}
                // Set anew: only now it is known whose queue is full.
                Taken::All if self.poll_timer(context).is_ready() => {}
                Taken::All => return Poll::Pending,
                Taken::End => return Poll::Ready(()),
            }
        }
    }

    fn take_inputs(&mut self, context: &mut Context<'_>, ends: &mut Ends) -> Taken {
        let read_until = self.shards.iter_mut().map(|shard| shard.events.read_until()).min().flatten();
        self.machine.handle_read_until(read_until);
        // First: where events keep coming the timer is never looked at.
        let instant = now(&*self.clock).instant;
        if self.machine.poll_timeout().is_some_and(|at| at <= instant) {
            self.handle(Input::Timeout);
        }
        for _ in 0..INPUTS_PER_TURN {
            match self.poll_input(context, ends) {
                Poll::Ready(Input::End) => return Taken::End,
                Poll::Ready(input) => self.handle(input),
                // All available writes are in the open batch. If it is to gather more, the timer is set.
                Poll::Pending if self.batches.begin(self.machine.clock().confirmed()) => {}
                Poll::Pending => return Taken::All,
            }
            if self.batches.is_full() {
                self.batches.begin(self.machine.clock().confirmed());
            }
        }
        Taken::Some
    }

    /// The next input. Answers come first, because they finish waiting work.
    fn poll_input(&mut self, context: &mut Context<'_>, ends: &mut Ends) -> Poll<Input> {
        if let Poll::Ready(decided) = self.batches.poll(context) {
            return Poll::Ready(Input::Written(decided));
        }
        if let Poll::Ready((token, read)) = self.reads.poll(context) {
            return Poll::Ready(Input::Read(token, read));
        }
        if let Poll::Ready(changes) = ends.changes.poll(context) {
            return Poll::Ready(Input::Changes(changes));
        }
        if let Poll::Ready(input) = self.poll_events(context) {
            return Poll::Ready(input);
        }
        if self.poll_timer(context).is_ready() {
            return Poll::Ready(Input::Timeout);
        }
        // Last, because a request concerns everything before it. One request at a time.
        if self.settling.is_some() {
            return Poll::Pending;
        }
        ends.asks.poll_recv(context).map(|ask| ask.map_or(Input::End, Input::Ask))
    }

    /// Events of the shards in turn, except those whose queue of commands is full.
    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        let count = self.shards.len();
        for index in (0..count).map(|step| (self.next_shard + step) % count) {
            let shard = &mut self.shards[index];
            if shard.is_held_up {
                continue;
            }
            // A shard that has ended sends nothing more.
            if let Poll::Ready(Some(events)) = shard.events.poll_recv(context) {
                self.next_shard = (index + 1) % count;
                return Poll::Ready(Input::Events(index, events));
            }
        }
        Poll::Pending
    }

    /// Ready when the machine wants to be called, or when commands should be sent again or a batch begin.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let held_up = self.shards.iter().any(|shard| shard.is_held_up);
        let again = held_up.then(|| Instant::now() + COMMANDS_PAUSE);
        let wanted = self.machine.poll_timeout().into_iter().chain(self.batches.begins_at());
        let Some(at) = again.into_iter().chain(wanted.map(Instant::from_std)).min() else {
            return Poll::Pending;
        };
        // A timer that fires too early is harmless and is then set again, so most changes cost nothing.
        if at < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(context)
    }

    fn handle(&mut self, input: Input) {
        let now = now(&*self.clock);
        match input {
            Input::Written(decided) => {
                #[cfg(feature = "test-hooks")]
                let issues = decided.issues();
                #[cfg(feature = "test-hooks")]
                if issues {
                    narrowgate_adapters::failpoint::pass("issuer-before-answer");
                }
                if let Some(tracer) = &mut self.tracer {
                    let outcomes = decided.outcomes().map(|(token, outcomes)| {
                        let stores = |outcomes: Outcomes<'_>| outcomes.written.iter().all(Written::is_stored);
                        (token, outcomes.is_ok_and(stores))
                    });
                    tracer.note_commit(decided.began, outcomes);
                }
                for (token, outcomes) in decided.outcomes() {
                    self.machine.handle_answer(now, token, Answer::Written(outcomes));
                }
                #[cfg(feature = "test-hooks")]
                if issues {
                    self.carry_out();
                    self.send();
                    narrowgate_adapters::failpoint::pass("issuer-after-answer");
                }
            }
            Input::Read(token, read) => self.machine.handle_answer(now, token, read.into()),
            Input::Changes(changes) => {
                changes.iter().for_each(|change| self.machine.handle_change(now, change));
            }
            Input::Events(index, events) => {
                for event in events {
                    self.handle_event(now, index as u16, event);
                }
            }
            Input::Timeout => {
                self.machine.handle_timeout(now);
                self.carry_out();
                // It may be what the timer was for.
                self.batches.begin(self.machine.clock().confirmed());
            }
            Input::Ask(Ask::Settle(done)) => {
                self.machine.handle_settle(now);
                self.settling = Some(Settling::First(done));
            }
            Input::Ask(Ask::Drain(done)) => {
                self.shards.iter_mut().for_each(|shard| shard.commands.push(ShardCommand::Drain));
                self.settling = Some(Settling::Last(done));
            }
            Input::End => {}
        }
        self.carry_out();
        if let Some(tracer) = &mut self.tracer {
            tracer.end();
        }
    }

    fn handle_event(&mut self, now: Now, shard: u16, event: ShardEvent) {
        if !self.tracer.as_ref().is_some_and(|tracer| tracer.wants(now.instant, &event)) {
            return self.machine.handle_event(now, shard, event);
        }
        // What was decided before is not this one's.
        self.carry_out();
        if let Some(tracer) = &mut self.tracer {
            tracer.begin(&event);
        }
        self.machine.handle_event(now, shard, event);
        self.carry_out();
        if let Some(tracer) = &mut self.tracer {
            tracer.end_decision();
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Command(shard, command) => {
                    if let Some(shard) = self.shards.get_mut(usize::from(shard)) {
                        shard.commands.push(command);
                    }
                }
                Effect::Write(token, writes) => {
                    if let Some(tracer) = &mut self.tracer {
                        tracer.note_write(token);
                    }
                    self.batches.push(token, writes);
                }
                Effect::Lookup(token, name) => self.reads.look_up(token, name),
                Effect::Product(token, product_key) => self.reads.read_product(token, product_key),
                Effect::Properties(token, device, kind) => self.reads.read_properties(token, device, kind),
                Effect::Commands(token, device) => self.reads.read_commands(token, device),
                Effect::Upgrades(token, device) => self.reads.read_upgrades(token, device),
                Effect::ImagePiece(token, wanted) => self.reads.read_piece(token, wanted),
                Effect::OnlineOf(token, page) => self.reads.list_online(token, page),
                Effect::Entropy => self.machine.handle_entropy(seed(&*self.entropy)),
                Effect::Diagnose(token, diagnosis) => self.reads.diagnose(token, *diagnosis),
                Effect::Decode(token, decode) => self.reads.decode(token, *decode),
                Effect::Encode(token, encode) => self.reads.encode(token, *encode),
                Effect::GiveUp(token) => self.reads.give_up(token),
                Effect::Received(received) => self.recent.keep(received),
                Effect::Tell(position, happening, device) => self.feed.publish(position, happening, device),
            }
        }
    }

    fn send(&mut self) {
        for shard in &mut self.shards {
            if !shard.commands.is_empty() {
                shard.send();
            }
        }
    }

    /// Continues settling if no work is in progress; returns whether it did.
    fn settle(&mut self) -> bool {
        let is_idle = |shard: &Shard| shard.commands.is_empty() && shard.events.is_empty();
        if self.settling.is_none() || !self.shards.iter().all(is_idle) || !self.machine.is_settled() {
            return false;
        }
        match self.settling.take() {
            Some(Settling::First(done)) => {
                self.machine.handle_settle(now(&*self.clock));
                self.carry_out();
                self.settling = Some(Settling::Last(done));
            }
            Some(Settling::Last(done)) => {
                // Ignored: the receiver may be gone.
                let _ = done.send(());
            }
            None => {}
        }
        true
    }
}
