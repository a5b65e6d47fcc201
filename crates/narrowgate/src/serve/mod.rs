//! The shell around a serving process: opens everything, says `ready`, serves until a signal, drains, closes.
//!
//! Everything that can fail is opened and bound before `ready`; if one step fails, nothing is left behind.
//! Limit: [`STOP_TIME_MAX`].

mod audit;
mod backups;
mod banner;
mod census;
pub(crate) mod descriptors;
mod door;
pub(crate) mod log;
mod metrics;
mod notify;
mod options;
mod process;
mod rollouts;
pub(crate) mod signals;
mod watch;

use std::{
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::Router;
use narrowgate_api::fleet::RefusedByStore;
use narrowgate_http::{
    About, Api, CursorKey, EventsSource, Health, Logins, MetricsSource, Phase, tls::Certificate,
};
use narrowgate_platform::{
    ports::{Clock as _, Journal, StoreError, Stores},
    service::{CountingNow, Operator},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch as watched,
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout_at},
};

use self::door::Door;
use crate::{
    client::{self, Client},
    command::users::origin_of,
    config::{self, Config, Origin, Setting, StoreKind},
    doctor::Running,
    failure::{Failure, is_out_of_descriptors},
    feed::Feed,
    gateway::{Gateway, StartError},
    host::Host,
    live::Live,
    passwords, scripts,
    socket::{self, ControlSocket},
    store::OpenedStore,
    system::{SystemClock, SystemEntropy},
};

pub(crate) use backups::BACKUPS;
pub(crate) use signals::{Hangup, Signals};

/// How long a stop may take: work in progress ends, and the store is closed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// The part of it that is kept for the store: it writes down the latest values, which the next start would
/// otherwise collect from the reports.
const STORE_CLOSE_TIME: Duration = Duration::from_secs(3);

/// The gateway, shared with its readers, and taken out when it drains.
type SharedGateway = Arc<RwLock<Option<Gateway>>>;

/// A running server.
pub(crate) struct Server {
    pub(crate) operator: Operator,
    pub(crate) feed: Feed,
    /// Where devices connect.
    pub(crate) dtls: SocketAddr,
    /// Where devices connect without DTLS; `None`: nowhere.
    pub(crate) coap: Option<SocketAddr>,
    /// Where health and metrics are served; `None` if they are switched off.
    http: Option<SocketAddr>,
    /// How browsers reach it there: `http://127.0.0.1:8080`, or `http.public_url`.
    pub(crate) origin: Option<String>,
    control: PathBuf,
    gateway: SharedGateway,
    journal: Arc<dyn Journal>,
    health: Health,
    /// They are ended last: the watch, and the time of rollouts.
    tasks: [AbortHandle; 2],
    stopping: watched::Sender<bool>,
    control_task: JoinHandle<()>,
    http_task: Option<JoinHandle<()>>,
    http_stop: watched::Sender<bool>,
}

/// How browsers reach what is served at an address.
fn origin_at(config: &Config, http: Option<SocketAddr>) -> Option<String> {
    let is_tls = config.http.tls.is_some();
    http.map(|http| config.http.public_url.clone().unwrap_or_else(|| origin_of(http, is_tls)))
}

impl Server {
    /// Opens the store, binds every port and starts serving.
    ///
    /// # Errors
    /// What could not be opened, with where, why, and what to try.
    pub(crate) async fn start(config: &Config) -> Result<Self, Failure> {
        descriptors::provide(config);
        if let Some(mut client) = Client::connect(&config.data)? {
            // In a thread that may wait: the client has a runtime of its own.
            let running = tokio::task::spawn_blocking(move || Running::ask(&mut client)).await;
            return Err(served_already(config, running.ok().as_ref()));
        }
        // Ports first: if one is busy, nothing was touched yet.
        let http = config.http.listen.map(|address| Door::open(config, address)).transpose()?;
        UdpSocket::bind(config.dtls.listen)
            .map_err(|error| busy(config, "devices", &config::dtls::LISTEN, config.dtls.listen, &error))?;
        if let Some(listen) = config.coap.listen {
            UdpSocket::bind(listen)
                .map_err(|error| busy(config, "plain CoAP", &config::coap::LISTEN, listen, &error))?;
        }
        let opened = client::open_store_waiting(config)?;
        let journal = Arc::clone(&opened.stores.journal);
        let started = Self::start_on(config, opened, http).await;
        audit::check(config);
        if started.is_err() {
            // Ignored: the first failure is the one to show.
            let _ = close_store(journal, Instant::now() + STORE_CLOSE_TIME).await;
        }
        started
    }

    async fn start_on(config: &Config, opened: OpenedStore, door: Option<Door>) -> Result<Self, Failure> {
        let stores = opened.stores;
        let logins = config.oidc.logins(&config.http)?;
        let control = ControlSocket::bind(&config.data)?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let (feed, scripts) = (Feed::new(), scripts::of_server());
        let options = options::gateway_options(config, opened.decoy);
        let shown = (feed.clone(), Arc::clone(&scripts));
        let gateway = Gateway::start(options, stores.clone(), clock.clone(), entropy.clone(), shown).await;
        let gateway = gateway.map_err(|error| cannot_serve_devices(config, &error))?;
        let (dtls, sessions, liveness) =
            (gateway.dtls_address(), gateway.live_sessions(), gateway.liveness());
        let http = door.as_ref().and_then(Door::address);
        let (coap, arrivals) = (gateway.plain_address(), gateway.arrival_clock());
        let gateway: SharedGateway = Arc::new(RwLock::new(Some(gateway)));
        let origin = origin_at(config, http);
        let operator = Operator::new(stores.clone(), arrivals, entropy, sessions)
            .with_wall_clock(clock.clone())
            .with_scripts(scripts)
            .with_logins(passwords::of_server(), config.http.session_times)
            .with_server_name(config.dtls.server_name(dtls))
            .with_counting(counting(gateway.clone()))
            .with_origin(origin.clone());
        let operator = configured(config, operator);
        if let Err(problem) = operator.remove_over_sessions().await {
            tracing::warn!(%problem, "the sessions of users that are over stay in the store");
        }
        let (stopping, stop) = watched::channel(false);
        let events = events(&stores, feed.clone(), &opened.decoy, stop.clone());
        let refused_by_store = refused_by_store(gateway.clone());
        let host = Host { since: Some(clock.now()), data: config.data.clone(), refused_by_store };
        let api = Api { operator: operator.clone(), host: host.source(), events: Some(events) };
        let (health, watch_task) = watch::begin(liveness, clock_warning(gateway.clone()));
        let about = About { version: env!("CARGO_PKG_VERSION"), dtls: dtls.to_string() };
        let certificate = door.as_ref().and_then(Door::certificate);
        let metrics = measured(config, (gateway.clone(), health.clone()), (&feed, &operator), certificate);
        let (router, control_router) = routers((config, logins), about, health.clone(), metrics, api);
        let (http_stop, http_stopping) = watched::channel(false);
        let http_task = door.map(|door| door.serve(config, router, http_stopping));
        let control_path = control.path().to_owned();
        let control_task =
            tokio::spawn(narrowgate_http::serve(control, control_router, socket::PLACES_MAX, stopped(stop)));
        Ok(Self {
            tasks: [watch_task, rollouts::begin(operator.clone(), feed.clone())],
            operator,
            feed,
            dtls,
            coap,
            http,
            origin,
            control: control_path,
            gateway,
            journal: stores.journal,
            health,
            stopping,
            control_task,
            http_task,
            http_stop,
        })
    }

    /// Prints the banner and announces that the server is ready.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub(crate) async fn ready(&self, config: &Config) -> Result<(), Failure> {
        banner::print(config, self).await?;
        self.health.set(Phase::Ready);
        if let Some(coap) = self.coap {
            tracing::warn!(%coap, "{}", banner::PLAIN_WARNING);
        }
        tracing::info!(dtls = %self.dtls, http = self.http.map(tracing::field::display), "ready");
        crate::output::note("ready");
        notify::send_state("READY=1");
        Ok(())
    }

    /// Finishes work in progress and closes the store, both within [`STOP_TIME_MAX`].
    ///
    /// # Errors
    /// The store cannot be closed, or not in time.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let ends = Instant::now() + STOP_TIME_MAX;
        self.health.set(Phase::Draining);
        notify::send_state("STOPPING=1");
        // Ignored: the receivers may be gone.
        let _ = self.stopping.send(true);
        let gateway = self.gateway.write().unwrap_or_else(PoisonError::into_inner).take();
        let drain = async {
            if let Some(gateway) = gateway {
                gateway.drain().await;
            }
            let _ = self.control_task.await;
            let _ = self.http_stop.send(true);
            if let Some(http_task) = self.http_task {
                let _ = http_task.await;
            }
        };
        if timeout_at(ends - STORE_CLOSE_TIME, drain).await.is_err() {
            tracing::warn!("some work was not finished in time and was given up");
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        close_store(self.journal, ends).await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// Keeps the store from being closed when it is dropped, which may take as long as the disk likes: to be
    /// called where the process is to end at once.
    pub(crate) fn store_left_open(&self) -> impl FnOnce() + use<> {
        let journal = Arc::clone(&self.journal);
        || std::mem::forget(journal)
    }
}

/// Closes the store, until `ends`.
///
/// # Errors
/// It cannot be closed, or not in time; then it stays open until the process ends.
async fn close_store(journal: Arc<dyn Journal>, ends: Instant) -> Result<(), Failure> {
    let closed = timeout_at(ends, journal.close()).await.unwrap_or_else(|_| {
        // Its thread hangs in a system call: dropping the store would wait for it.
        std::mem::forget(journal);
        Err(StoreError::Unavailable("it is still writing".to_owned()))
    });
    closed.map_err(|error| {
        Failure::failed("cannot close the store")
            .reason(error)
            .part("stored", "all that was acknowledged; the next start takes up the rest from there")
            .hint("check whether the disk is full or failing")
    })
}

/// What to try where the control plane cannot start.
const LIMITS: &str = "raise the limits of this user (ulimit -u, ulimit -n)";

/// Starts the runtime of the control plane.
///
/// # Errors
/// The system cannot start its threads.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .map_err(|error| Failure::failed("cannot start the control plane").because(&error, LIMITS))
}

/// Runs a server on a runtime of its own. Work that it gave up is not waited for.
///
/// # Errors
/// Those of `life`.
pub(crate) fn run(life: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(life);
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// What is measured of the parts.
fn measured(
    config: &Config,
    (gateway, health): (SharedGateway, Health),
    (feed, operator): (&Feed, &Operator),
    certificate: Option<Arc<Certificate>>,
) -> MetricsSource {
    let (feed, operator, data) = (feed.clone(), operator.clone(), config.data.clone());
    metrics::source(metrics::Parts { gateway, health, feed, operator, data, certificate })
}

/// An operator with what is configured.
fn configured(config: &Config, operator: Operator) -> Operator {
    operator
        .with_ways_in(config.oidc.ways_in())
        .with_retention_classes(config.store.classes())
        .with_image_bytes_max(config.store.firmware_bytes)
        .with_message_limit(config.limits.message)
}

/// What answers on TCP, and what answers on the control socket.
fn routers(
    (config, logins): (&Config, Logins),
    about: About,
    health: Health,
    metrics: MetricsSource,
    api: Api,
) -> (Router, Router) {
    let ways = (config.http.token_requests, logins, config.http.hsts);
    let open =
        narrowgate_http::router_with(about.clone(), health.clone(), metrics.clone(), api.clone(), ways);
    backups::offered(config, (open, narrowgate_http::control_router(about, health, metrics, api)))
}

/// What happens, for those who follow it until `stopping` turns true.
fn events(stores: &Stores, feed: Feed, secret: &[u8; 32], stopping: watched::Receiver<bool>) -> EventsSource {
    EventsSource::new(Arc::new(Live::begin(stores, feed)), cursor_key(secret), stopping)
}

/// The key of the cursors of live events, by the secret that a store has from its first start on.
fn cursor_key(secret: &[u8; 32]) -> CursorKey {
    let digest = Sha256::new().chain_update("narrowgate cursors of events").chain_update(secret).finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    CursorKey::new(key)
}

/// Completes when it turns true, or when its sender is gone.
async fn stopped(mut stopping: watched::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Requests that the gateway refuses because of the store, for `status`.
fn refused_by_store(gateway: SharedGateway) -> Box<dyn Fn() -> Option<RefusedByStore> + Send + Sync> {
    Box::new(move || gateway.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.refused_by_store())
}

/// What the gateway knows of the minutes that it counts, for `/api/v1/system/rates`.
fn counting(gateway: SharedGateway) -> Arc<CountingNow> {
    Arc::new(move || gateway.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.counting())
}

/// What is wrong with the clock, for `/health/ready`.
fn clock_warning(gateway: SharedGateway) -> watch::ClockWarning {
    Box::new(move || gateway.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.clock_warning())
}

fn cannot_serve_devices(config: &Config, error: &StartError) -> Failure {
    match error {
        StartError::Bind { address, source } if config.coap.listen == Some(*address) => {
            busy(config, "plain CoAP", &config::coap::LISTEN, *address, source)
        }
        StartError::Bind { address, source } => {
            busy(config, "devices", &config::dtls::LISTEN, *address, source)
        }
        StartError::Shard(source) => Failure::failed(error)
            .part("where", "dtls.shards")
            .because(source, "choose fewer with --shards, or raise the limit of threads (ulimit -u)"),
        StartError::Task(source) => {
            Failure::failed(error).because(source, "raise the limit of threads (ulimit -u)")
        }
        StartError::Store(source) => Failure::failed(error)
            .file(config.data.display())
            .reason(source)
            .hint("check the disk and its free space; where the store is damaged, restore it from a backup"),
    }
}

/// The failure for a data directory that another server serves; which one, as far as it says so.
fn served_already(config: &Config, running: Option<&Running>) -> Failure {
    let pid = running.and_then(|running| running.process);
    let pid = pid.or_else(|| narrowgate_adapters::sqlite::last_process(&config.data));
    let process =
        pid.map_or_else(|| "another narrowgate".to_owned(), |pid| format!("process {pid}, a narrowgate,"));
    let failure = Failure::failed("the data directory is in use")
        .file(config.data.display())
        .reason(format_args!("{process} serves it: it answers on the control socket"));
    let own = env!("CARGO_PKG_VERSION");
    match running.and_then(|running| running.version.as_deref()) {
        Some(other) if other != own => failure
            .part("version", format_args!("that one is {other}, this program is {own}"))
            .hint("to upgrade, stop it and start this one; or choose another directory with --data"),
        _ => failure.hint("stop it, or choose another directory with --data"),
    }
}

/// The failure for a port that cannot be bound.
fn busy(
    config: &Config,
    what: &str,
    key: &dyn Setting,
    address: SocketAddr,
    error: &std::io::Error,
) -> Failure {
    let (flag, letter, example) = match key.name() {
        "http.listen" => ("--http", 't', "127.0.0.1"),
        "coap.listen" => ("--coap", 'u', "0.0.0.0"),
        _ => ("--dtls", 'u', "0.0.0.0"),
    };
    let name = key.name();
    let place = match config.values.origin(key) {
        Origin::Default => format!("{address}   ({name}, the default)"),
        origin => format!("{address}   ({name}, {origin})"),
    };
    let failure = Failure::failed(format_args!("cannot listen for {what}")).part("where", place);
    if is_out_of_descriptors(error) {
        return failure.because(error, "");
    }
    let (failure, port) = (failure.reason(error), address.port());
    match error.kind() {
        std::io::ErrorKind::AddrInUse => failure.hint(format_args!(
            "ss -l{letter}np 'sport = :{port}' shows which program listens there; stop it, \
             or choose another port: {flag} {example}:PORT"
        )),
        std::io::ErrorKind::AddrNotAvailable => failure.hint(format_args!(
            "this machine has no such address (ip address); for all of them: {flag} 0.0.0.0:{port}"
        )),
        std::io::ErrorKind::PermissionDenied => failure.hint(format_args!(
            "ports below 1024 need a privilege; choose another port: {flag} {example}:PORT"
        )),
        _ => failure.hint(format_args!("choose another address: {flag} {example}:PORT")),
    }
}

/// Whether nothing outlives the process.
fn keeps_nothing(config: &Config) -> bool {
    config.store.kind == StoreKind::Memory
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::ports::{Batch, Committed, PortFuture, Recovered};

    use super::*;

    /// A store whose disk never answers.
    struct Hanging;

    impl Journal for Hanging {
        fn append(&self, _: Batch) -> PortFuture<'static, Result<Committed, StoreError>> {
            Box::pin(std::future::pending())
        }

        fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>> {
            Box::pin(std::future::pending())
        }

        fn close(&self) -> PortFuture<'static, Result<(), StoreError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_close_is_waited_for_until_the_end_of_the_stop() {
        let (ends, journal) = (Instant::now() + Duration::from_millis(50), Arc::new(Hanging));
        let failure = close_store(journal.clone(), ends).await.unwrap_err();
        assert!(Instant::now() >= ends);
        assert_eq!(failure.headline, "cannot close the store");
        assert!(failure.parts[0].1.contains("still writing"), "{failure:?}");
        assert_eq!(Arc::strong_count(&journal), 2, "nobody waits for its end either");
    }
}
