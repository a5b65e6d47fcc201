//! The shell around the gateway: runs the machine of `narrowgate-gateway` on tokio, beside the shards'
//! threads.
//!
//! ```text
//!   shard threads ──events──▶ ┌──────┐ ──open batch──▶ store (one commit at a time)
//!        ▲                    │ task │ ──reads───────▶ store
//!        └─────commands────── └──────┘ ──happenings──▶ feed
//! ```
//!
//! One task, with a thread of its own, owns the machine ([`task`]), so it needs no lock, and nothing else
//! decides or batches. The task takes the inputs, carries out the effects, and gives the store the open batch
//! when the previous one is durable.
//!
//! **Why two full queues cannot block each other.** A shard sends its events through a queue of
//! [`sink::BATCHES_MAX`] batches. If it is full, the shard keeps its events and stops receiving, but still
//! takes commands: so the queue of commands always empties. The task sends commands through a bounded queue
//! too. If that is full, the task keeps the commands of this shard and takes no more of its events, but still
//! handles the store's answers and the other shards. What it keeps is bounded: an answer for each request in
//! flight and each waiting handshake, which the shard limits, and at most a few words about each session.
//! Neither ever waits for the other.

mod batches;
mod changes;
mod clock;
mod liveness;
mod metrics;
mod products_off;
mod reads;
mod recent;
mod sink;
mod task;
mod together;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Instant};

use narrowgate_api::fleet::RefusedByStore;
use narrowgate_dtls::ServerConfig;
use narrowgate_engine::shard::{ShardConfig, plain::PlainConfig};
use narrowgate_engine_io::{driver::RunningShard, handle::ShardHandle, socket};
use narrowgate_gateway::{self as machine, Now};
use narrowgate_http::metrics::Samples;
use narrowgate_platform::{
    device_api::login::LOGIN_PATH,
    firmware::ServerName,
    model::rates::{Counting, minute_of},
    ports::{Clock, Entropy, LiveSessions, Recovered, Scripts, StoreError, Stores},
};
use tokio::{
    runtime::{self, Handle},
    sync::{mpsc, oneshot},
};

#[cfg(test)]
pub(crate) use self::liveness::tests as staged;
pub(crate) use self::liveness::{Liveness, Stuck};
use self::{
    changes::Changes,
    clock::{ArrivalClock, Steady},
    metrics::Published,
    sink::Sink,
    task::{Ask, Ends, Shard, Task},
};
use crate::{config::name_of_listener, feed::Feed, trace};

/// Options of the gateway.
#[derive(Debug, Clone)]
pub(crate) struct GatewayOptions {
    /// Where devices connect; port 0 takes a free one.
    pub(crate) dtls_listen: SocketAddr,
    /// What devices call this server; `None`: by where it listens.
    pub(crate) public_address: Option<ServerName>,
    /// Where devices connect without DTLS, if anywhere.
    pub(crate) plain: Option<PlainOptions>,
    /// Threads that serve devices; as many more serve plain CoAP.
    pub(crate) shards: u16,
    /// Settings of the DTLS layer, the decoy secret among them.
    pub(crate) dtls: Arc<ServerConfig>,
    /// Limits and settings of each shard; `start` sets its number and its share of the sessions.
    pub(crate) shard: ShardConfig,
    /// What a device may take.
    pub(crate) limits: machine::Limits,
    /// Which requests are traced; `None`: none.
    pub(crate) trace: Option<trace::Options>,
}

/// Options of plain CoAP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainOptions {
    /// Where it listens; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Logins that stand at the same time.
    pub(crate) logins_max: usize,
    /// A login has to bring back a fresh Echo.
    pub(crate) fresh_logins: bool,
}

/// Logins by plain CoAP that wait for their look-up, in a shard. One waits for some milliseconds; while the
/// store hangs, further ones are dropped, and their devices send them again.
const LOGINS_WAITING_MAX: usize = 1024;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The UDP port could not be bound.
    #[error("cannot listen for devices on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A shard's thread could not be started.
    #[error("cannot start a shard")]
    Shard(#[source] io::Error),
    /// The gateway's thread could not be started.
    #[error("cannot start the gateway's thread")]
    Task(#[source] io::Error),
    /// The devices that were online could not be read.
    #[error("cannot read the state of the devices")]
    Store(#[from] StoreError),
}

/// The running gateway.
pub(crate) struct Gateway {
    address: SocketAddr,
    plain_address: Option<SocketAddr>,
    clock: Arc<dyn Clock>,
    shards: Vec<RunningShard>,
    handles: Vec<ShardHandle>,
    changes: Arc<Changes>,
    asks: mpsc::Sender<Ask>,
    published: Arc<Published>,
    steady: Steady,
    liveness: Liveness,
}

impl Gateway {
    /// Binds the port, restores the presence of the devices that were online, and starts serving. Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`]; nothing keeps running then.
    pub(crate) async fn start(
        options: GatewayOptions,
        stores: Stores,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        (feed, scripts): (Feed, Arc<dyn Scripts>),
    ) -> Result<Self, StartError> {
        let (sockets, address, plain_address) = bind_all(&options)?;
        let Recovered { online, commands, epoch, newest_arrival, .. } = stores.journal.recover().await?;
        let (shards, limits, seed) = (sockets.len() as u16, options.limits, seed(&*entropy));
        let server = options.public_address.clone().unwrap_or_else(|| name_of_listener(address));
        let machine = machine::Options {
            shards,
            plain_shards: shards - options.shards,
            seed,
            online,
            commands,
            epoch,
            newest_arrival,
            limits,
            server,
        };
        let start = now(&*clock);
        let (machine, steady) = (machine::Gateway::new(machine, start), Steady::new(newest_arrival, start));
        let (shards, events) = start_shards(&options, sockets, &*entropy)?;
        let handles: Vec<_> = shards.iter().map(|shard| shard.handle().clone()).collect();
        let served = served(&handles, events);
        let (changes, published) = (Arc::new(Changes::default()), Arc::new(Published::default()));
        let recent = changes.recent();
        products_off::tell(&stores.registry, &changes).await;
        // Only one question is asked at a time.
        let (asks, asked) = mpsc::channel(1);
        let ends = Ends { changes: Arc::clone(&changes), asks: asked, published: Arc::clone(&published) };
        let (reading, times, journal) = (Handle::current(), Arc::clone(&clock), Arc::clone(&stores.journal));
        let tracer = options.trace.map(|which| trace::begin(which, Arc::clone(&entropy)));
        let task = run_on_own_thread(async move {
            let task = Task::new(machine, served, stores, times, entropy, feed, reading);
            task.with_scripts(scripts, recent).with_tracer(tracer).run(ends).await;
        })?;
        let liveness = Liveness {
            shards: handles.clone(),
            published: Arc::clone(&published),
            changes: Arc::clone(&changes),
            task: Arc::new(task),
            journal,
            limits: liveness::LIMITS,
        };
        Ok(Self {
            address,
            plain_address,
            clock,
            shards,
            handles,
            changes,
            asks,
            published,
            steady,
            liveness,
        })
    }

    /// Where devices connect.
    pub(crate) fn dtls_address(&self) -> SocketAddr {
        self.address
    }

    /// Where devices connect without DTLS.
    pub(crate) fn plain_address(&self) -> Option<SocketAddr> {
        self.plain_address
    }

    /// The port through which an operator's changes reach the sessions.
    pub(crate) fn live_sessions(&self) -> Arc<dyn LiveSessions> {
        Arc::clone(&self.changes) as Arc<dyn LiveSessions>
    }

    /// Finishes work in progress, ends all sessions with close_notify, and stops. Presence does not change.
    ///
    /// What was received is decided, committed and answered first; what arrives meanwhile stays in the
    /// kernel, and the devices send it again.
    pub(crate) async fn drain(self) {
        let quiet: Vec<_> = self.handles.iter().map(quiesce).collect();
        for wait in quiet {
            // Ignored: the shard may have ended.
            let _ = wait.await;
        }
        Self::ask(&self.asks, Ask::Settle).await;
        Self::ask(&self.asks, Ask::Drain).await;
        let shards = self.shards;
        let stopped =
            tokio::task::spawn_blocking(move || shards.into_iter().for_each(RunningShard::stop)).await;
        if let Err(error) = stopped {
            tracing::error!(%error, "the shards did not stop");
        }
        Self::ask(&self.asks, Ask::Settle).await;
    }

    /// Asks the task for something and waits until that is done.
    async fn ask(asks: &mpsc::Sender<Ask>, ask: fn(oneshot::Sender<()>) -> Ask) {
        let (done, wait) = oneshot::channel();
        // Ignored: the task may have ended.
        let _ = asks.send(ask(done)).await;
        let _ = wait.await;
    }

    /// Requests refused because the store cannot write; `None` if it can.
    pub(crate) fn refused_by_store(&self) -> Option<RefusedByStore> {
        let (_, time) = self.published.read_clock(now(&*self.clock));
        self.published.unwritten().shown(time)
    }

    /// What is wrong with the server's clock, for people; `None`: nothing that is known.
    pub(crate) fn clock_warning(&self) -> Option<String> {
        clock::warning(self.published.read_clock(now(&*self.clock)).0)
    }

    /// What is known of the minutes that it counts. Of the time before its start nothing is, whatever the
    /// clock showed then.
    pub(crate) fn counting(&self) -> Option<Counting> {
        let now = now(&*self.clock);
        let (_, time) = self.published.read_clock(now);
        let counting = self.published.counting()?;
        let since = counting.since.max(minute_of(self.steady.began_at(now.instant, time)));
        Some(Counting { since, ..counting })
    }

    /// The clock by which arrivals are written down, for everything else that is.
    pub(crate) fn arrival_clock(&self) -> Arc<dyn Clock> {
        Arc::new(ArrivalClock::new(Arc::clone(&self.clock), Arc::clone(&self.published), self.steady))
    }

    /// Whether its parts still turn; remains valid when it drains.
    pub(crate) fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Counters and gauges of everything on the devices' side.
    pub(crate) fn metrics(&self) -> Vec<Samples> {
        metrics::collect(&self.handles, &self.published, now(&*self.clock))
    }
}

/// Runs the task on a thread and a runtime of its own. On a runtime with several threads each wake-up moves
/// it from one to another, and that costs more than what it then does for some reports.
fn run_on_own_thread(
    task: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(StartError::Task)?;
    let run = move || runtime.block_on(task);
    thread::Builder::new().name("gateway".to_owned()).spawn(run).map_err(StartError::Task)
}

/// Binds a port for each of so many shards; returns where that is.
/// The sockets of all shards, those of plain CoAP last, and where both listen.
fn bind_all(options: &GatewayOptions) -> Result<Bound, StartError> {
    let (mut sockets, address) = bind(options.dtls_listen, options.shards)?;
    let plain = options.plain.map(|plain| bind(plain.listen, options.shards)).transpose()?;
    let plain_address = plain.as_ref().map(|(_, address)| *address);
    sockets.extend(plain.into_iter().flat_map(|(sockets, _)| sockets));
    Ok((sockets, address, plain_address))
}

type Bound = (Vec<std::net::UdpSocket>, SocketAddr, Option<SocketAddr>);

/// The shards, as the task sees them.
fn served(handles: &[ShardHandle], events: Vec<sink::Source>) -> Vec<Shard> {
    let queue = |handle: ShardHandle| Box::new(move |commands: &mut Vec<_>| handle.send(commands));
    let shards = handles.iter().cloned().zip(events);
    shards.map(|(handle, events)| Shard::new(queue(handle), events)).collect()
}

fn bind(listen: SocketAddr, shards: u16) -> Result<(Vec<std::net::UdpSocket>, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address: listen, source };
    let sockets = socket::bind_all(listen, shards).map_err(failed)?;
    let address = sockets[0].local_addr().map_err(failed)?;
    Ok((sockets, address))
}

type Started = (Vec<RunningShard>, Vec<sink::Source>);

fn start_shards(
    options: &GatewayOptions,
    sockets: Vec<std::net::UdpSocket>,
    entropy: &dyn Entropy,
) -> Result<Started, StartError> {
    let (mut shards, mut events) = (Vec::new(), Vec::new());
    let share = |whole: usize| whole.div_ceil(usize::from(options.shards));
    let all = sockets.len();
    for (number, socket) in (0..).zip(sockets) {
        let plain = options.plain.filter(|_| number >= options.shards);
        let sessions_max = plain.map_or(options.shard.sessions_max, |plain| plain.logins_max);
        let config = ShardConfig {
            shard: number,
            dtls: Arc::clone(&options.dtls),
            sessions_max: share(sessions_max),
            coap_budget_bytes: options.shard.coap_budget_bytes.div_ceil(all),
            plain: plain.map(|plain| PlainConfig {
                login_path: LOGIN_PATH,
                logins_waiting_max: LOGINS_WAITING_MAX,
                fresh_logins: plain.fresh_logins,
            }),
            ..options.shard.clone()
        };
        let (sink, receiver) = Sink::new();
        match RunningShard::start(config, socket, seed(entropy), sink) {
            Ok(shard) => shards.push(shard),
            Err(error) => {
                shards.into_iter().for_each(RunningShard::stop);
                return Err(StartError::Shard(error));
            }
        }
        events.push(receiver);
    }
    Ok((shards, events))
}

/// Stops receiving; the result completes when everything received before has been handed over.
fn quiesce(shard: &ShardHandle) -> oneshot::Receiver<()> {
    let (done, wait) = oneshot::channel();
    let shard = shard.clone();
    // Where the shard's thread hangs and its queue is full, this waits; the caller gives up in time.
    tokio::task::spawn_blocking(move || {
        shard.quiesce(move || {
            // Ignored: the receiver may be gone.
            let _ = done.send(());
        });
    });
    wait
}

fn seed(entropy: &dyn Entropy) -> [u8; 32] {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    seed
}

fn now(clock: &dyn Clock) -> Now {
    Now { instant: Instant::now(), wall: clock.now() }
}
