//! The loop of a shard's thread: wait, receive in batches, run timers, pass on events, send in batches.

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};
use narrowgate_engine::{
    event::ShardEvent,
    shard::{Shard, ShardConfig},
};

use crate::{
    address::Binding,
    clock,
    handle::{INPUTS_MAX, Input, ShardHandle, Shared},
    mmsg::BATCH,
    port::{self, Port, SEND_AGAIN, SOCKET},
};

/// Takes the events of a shard, on the shard's thread. Must not block.
pub trait EventSink: Send + 'static {
    /// Takes all of `events` and leaves the vector empty; where it has no room, it leaves all of them. Then
    /// it is asked again soon. Beyond [`EVENTS_KEPT_MAX`] the shard stops receiving, and the kernel's buffer
    /// takes the load.
    fn deliver(&mut self, events: &mut Vec<ShardEvent>);

    /// Everything that had arrived by `now` is read, and its events are delivered. Called at the end of each
    /// turn in which that is so, twice a second at least. Must not block.
    fn caught_up(&mut self, _now: Instant) {}
}

/// See [`EventSink::deliver`].
pub const EVENTS_KEPT_MAX: usize = 1024;

/// Batches received before timers, commands and sending have their turn.
const BATCHES_PER_TURN: usize = 8;
/// How often counters are published and kernel drops are read.
const STATS_INTERVAL: Duration = Duration::from_millis(500);
/// How often the allocator is prompted to return memory while handshakes are under way.
const INVITATION_INTERVAL: Duration = Duration::from_secs(10);
/// How long a shard waits before it offers again what the sink had no room for, or receives again what
/// failed.
const PAUSE: Duration = Duration::from_millis(1);

/// A turn that begins so long after the one before found the process stopped (a signal, a paused virtual
/// machine): it sleeps for [`STATS_INTERVAL`] at most.
const STANDSTILL: Duration = Duration::from_secs(2);
/// How long timers wait after that, while the socket holds what arrived meanwhile: so that no session ends
/// for a silence that was the server's. A flood delays them no further.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

const WAKER: Token = Token(1);

/// A running shard. Dropping it does not stop it: see [`RunningShard::stop`].
#[derive(Debug)]
pub struct RunningShard {
    handle: ShardHandle,
    thread: JoinHandle<()>,
}

impl RunningShard {
    /// Starts a shard's thread on a bound socket.
    ///
    /// # Errors
    /// Those of the operating system: no more threads or file descriptors.
    pub fn start(
        config: ShardConfig,
        socket: UdpSocket,
        seed: [u8; 32],
        sink: impl EventSink,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let binding = Binding::of(socket.local_addr()?);
        let registry = port::register(&socket, &poll)?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let (sender, inputs) = mpsc::sync_channel(INPUTS_MAX);
        let shared = Arc::new(Shared {
            waker,
            sleeping: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            stats: Mutex::default(),
            published: Mutex::new(clock::now()),
        });
        let handle = ShardHandle { shard: config.shard, inputs: sender, shared: Arc::clone(&shared) };
        #[cfg(feature = "test-hooks")]
        clock::serve(&handle)?;
        let name = format!("shard-{}", config.shard);
        let run = move || {
            let now = clock::now();
            let driver = Driver {
                shard: Shard::new(config, now, seed),
                port: Port::new(socket, binding, registry),
                poll,
                inputs,
                shared,
                sink,
                events: Vec::new(),
                readable: true,
                failing: false,
                quiet: false,
                stopping: false,
                quieted: Vec::new(),
                turned: now,
                catches_up_until: now,
                published: now,
                invited: now,
                drops_asked: now,
                #[cfg(feature = "test-hooks")]
                step: None,
            };
            driver.run();
        };
        let thread = thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { handle, thread })
    }

    /// How other threads reach the shard.
    pub fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Ends the thread when a drain is over and what is queued is sent.
    pub fn stop(self) {
        self.handle.input(Input::Stop);
        if self.thread.join().is_err() {
            tracing::error!(shard = self.handle.shard, "the shard's thread panicked");
        }
    }
}

struct Driver<S> {
    shard: Shard,
    port: Port,
    poll: Poll,
    inputs: mpsc::Receiver<Input>,
    shared: Arc<Shared>,
    sink: S,
    events: Vec<ShardEvent>,
    /// Whether the socket may hold datagrams: readiness is edge-triggered.
    readable: bool,
    /// Whether the last receive failed: then the next one waits a little.
    failing: bool,
    /// Set by [`Input::Quiesce`]: datagrams that arrive from now on stay in the kernel.
    quiet: bool,
    /// Set by [`Input::Stop`]: the thread ends when no drain goes on.
    stopping: bool,
    /// Whom to tell when the events of all that was received are delivered.
    quieted: Vec<Box<dyn FnOnce() + Send>>,
    /// When the last turn began.
    turned: Instant,
    /// Until then timers wait for what is in the socket.
    catches_up_until: Instant,
    published: Instant,
    /// When the allocator was last prompted to return memory.
    invited: Instant,
    /// When the kernel was last asked how many datagrams it dropped.
    drops_asked: Instant,
    /// Steps of the test clock: how far, and what to call afterwards.
    #[cfg(feature = "test-hooks")]
    step: Option<(Duration, Box<dyn FnOnce() + Send>)>,
}

impl<S: EventSink> Driver<S> {
    fn run(mut self) {
        let mut ready = Events::with_capacity(8);
        loop {
            if let Err(error) = self.wait(&mut ready) {
                tracing::error!(%error, "the shard cannot wait for its socket");
                return;
            }
            let now = clock::now();
            self.stopping |= self.take_inputs(now);
            if self.may_receive() {
                self.receive(now);
            }
            let catches_up = self.catches_up(now);
            // A drain closes no faster than the sink takes its events.
            let is_full = self.shard.is_draining() && self.events.len() >= EVENTS_KEPT_MAX;
            if !catches_up && !is_full {
                self.shard.handle_timeout(now);
            }
            self.flush(now);
            if self.events.is_empty() {
                self.quieted.drain(..).for_each(|done| done());
            }
            #[cfg(feature = "test-hooks")]
            self.step();
            if self.stopping && !self.shard.is_draining() {
                return self.send_last(ready);
            }
        }
    }

    /// Whether the process stood still, and the socket still holds what arrived meanwhile.
    fn catches_up(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.turned) >= STANDSTILL {
            self.catches_up_until = now + CATCH_UP_MAX;
            // A wait that a stop of the process interrupts, or that ends before it, says nothing of what came
            // meanwhile.
            self.readable = true;
        }
        self.turned = now;
        self.readable && now < self.catches_up_until
    }

    fn wait(&mut self, ready: &mut Events) -> io::Result<()> {
        let timeout = if self.readable {
            if self.may_receive() && !self.failing { Duration::ZERO } else { PAUSE }
        } else {
            let next = self.shard.poll_timeout().map(|at| at.saturating_duration_since(clock::now()));
            next.unwrap_or(STATS_INTERVAL).min(STATS_INTERVAL)
        };
        let timeout = if self.events.is_empty() { timeout } else { timeout.min(PAUSE) };
        let timeout = if self.port.is_full() { timeout.min(SEND_AGAIN) } else { timeout };
        // Announce the sleep: queuing a command wakes the shard from now on. Commands queued before are taken
        // in this turn, since the announcement comes first and the queue is read after waking.
        self.shared.sleeping.store(true, Ordering::SeqCst);
        let timeout = if self.pending_input() { Duration::ZERO } else { timeout };
        let result = self.poll.poll(ready, Some(timeout));
        self.shared.sleeping.store(false, Ordering::SeqCst);
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        self.readable |= ready.iter().any(|event| event.token() == SOCKET);
        self.port.handle_events(ready);
        Ok(())
    }

    fn may_receive(&self) -> bool {
        let is_clogged = self.port.is_clogged(self.shard.unsent());
        self.readable && !self.quiet && self.events.len() < EVENTS_KEPT_MAX && !is_clogged
    }

    fn pending_input(&self) -> bool {
        self.shared.queued.load(Ordering::SeqCst) > 0
    }

    /// Takes all commands that wait; returns whether the shard is to stop.
    fn take_inputs(&mut self, now: Instant) -> bool {
        while let Ok(input) = self.inputs.try_recv() {
            self.shared.queued.fetch_sub(1, Ordering::SeqCst);
            match input {
                Input::Commands(commands) => {
                    for command in commands {
                        self.shard.handle_command(now, command);
                    }
                }
                Input::Quiesce(quiet) => {
                    self.quiet = true;
                    self.quieted.push(quiet);
                }
                #[cfg(feature = "test-hooks")]
                Input::Advance { by, done } => {
                    self.step = Some((by, done));
                    // Earlier datagrams are in the socket by now, whether or not readiness was reported.
                    self.readable = true;
                }
                Input::Stop => return true,
            }
        }
        false
    }

    fn receive(&mut self, now: Instant) {
        // By its own clock: counters are published while nothing arrives, but drops are reported only with a
        // datagram.
        let ask_for_drops = now >= self.drops_asked + STATS_INTERVAL;
        if ask_for_drops {
            self.drops_asked = now;
        }
        for batch in 0..BATCHES_PER_TURN {
            let (unsent, with_drops) = (self.shard.unsent(), ask_for_drops && batch == 0);
            let received = self.port.receive(unsent, with_drops, self.shard.stats());
            self.failing = received.is_err();
            let count = match received {
                Ok(Some(count)) => count,
                Ok(None) => return,
                Err(error) => {
                    // An ICMP error of an earlier send, or the kernel out of memory: try again in a moment.
                    tracing::debug!(%error, "receive");
                    return;
                }
            };
            for (path, datagram) in self.port.datagrams() {
                self.shard.handle_datagram(now, path, datagram);
            }
            if self.shard.outbox().len() >= BATCH {
                // Answers to a flood are not accumulated: the same number of system calls, less memory.
                self.send(now);
            }
            if count == 0 {
                self.readable = false;
                return;
            }
            if count < BATCH && !with_drops {
                // Fewer than asked for: the queue was empty at that moment, and a new datagram makes a new
                // edge.
                self.readable = false;
                return;
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        self.shard.drain_events(&mut self.events);
        if !self.events.is_empty() {
            self.sink.deliver(&mut self.events);
        }
        if !self.readable && self.events.is_empty() {
            self.sink.caught_up(now);
        }
        self.send(now);
        if now >= self.published + STATS_INTERVAL {
            self.published = now;
            let stats = self.shard.stats().clone();
            let is_calm = stats.gauges.handshakes == 0;
            *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
            *self.shared.published.lock().unwrap_or_else(PoisonError::into_inner) = now;
            if is_calm || now >= self.invited + INVITATION_INTERVAL {
                self.invited = now;
                invite_to_give_memory_back();
            }
        }
    }

    fn send(&mut self, now: Instant) {
        let (outbox, stats) = self.shard.outbox_and_stats();
        self.port.send(outbox, stats, now);
    }

    /// Sends what waits for a full send buffer before the thread ends; drops it after a while.
    fn send_last(mut self, mut ready: Events) {
        let (outbox, stats) = self.shard.outbox_and_stats();
        let datagrams = self.port.send_last(&mut self.poll, &mut ready, outbox, stats);
        if datagrams > 0 {
            tracing::warn!(datagrams, "the send buffer is full; the last datagrams are not sent");
        }
    }

    /// Moves the test clock second by second, as soon as nothing is under way.
    #[cfg(feature = "test-hooks")]
    fn step(&mut self) {
        let gauges = self.shard.stats().gauges;
        if self.readable || gauges.lookups > 0 || gauges.requests_in_flight > 0 {
            return;
        }
        let Some((mut left, done)) = self.step.take() else { return };
        while !left.is_zero() {
            let by = left.min(Duration::from_secs(1));
            left -= by;
            clock::advance(by);
            self.shard.handle_timeout(clock::now());
            self.flush(clock::now());
        }
        done();
    }
}

/// Allocators with a heap for each thread return freed pages late, and only while that thread keeps
/// allocating (mimalloc after its purge delay). After a flood a shard has nothing to allocate: tens of
/// megabytes would stay for as long as nothing happens. An allocation that is never written to costs
/// microseconds. During a flood it would return memory that is soon needed again, so then it is made rarely.
fn invite_to_give_memory_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
}
