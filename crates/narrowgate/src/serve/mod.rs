//! The shell around a serving process: opens everything, says `ready`, serves until a signal, drains, closes.
//!
//! Everything that can fail is opened and bound before `ready`; if one step fails, nothing is left behind.
//! Limit: [`DRAIN_TIME_MAX`].

mod banner;
mod followed;
pub(crate) mod log;
mod metrics;
mod notify;
mod options;
mod signals;

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::Router;
use narrowgate_api::fleet::RefusedByStore;
use narrowgate_http::{About, Api, EventsSource, Health, Phase};
use narrowgate_platform::{
    ports::{Clock as _, Journal},
    service::Operator,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    client::{self, Client},
    config::{self, Config, Origin, Setting, StoreKind},
    failure::Failure,
    feed::Feed,
    gateway::{Gateway, StartError},
    host::Host,
    socket::{self, ControlSocket},
    store::OpenedStore,
    system::{SystemClock, SystemEntropy},
};

pub(crate) use followed::Followed;
pub(crate) use signals::{Hangup, Signals};

/// How long work in progress may take to end at a stop.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The gateway, shared with its readers, and taken out when it drains.
type SharedGateway = Arc<RwLock<Option<Gateway>>>;

/// A running server.
pub(crate) struct Server {
    pub(crate) operator: Operator,
    pub(crate) feed: Feed,
    /// Where devices connect.
    pub(crate) dtls: SocketAddr,
    /// Where health and metrics are served; `None` if they are switched off.
    http: Option<SocketAddr>,
    control: PathBuf,
    gateway: SharedGateway,
    journal: Arc<dyn Journal>,
    health: Health,
    stopping: watch::Sender<bool>,
    control_task: JoinHandle<()>,
    http_task: Option<JoinHandle<()>>,
    http_stop: watch::Sender<bool>,
}

impl Server {
    /// Opens the store, binds every port and starts serving.
    ///
    /// # Errors
    /// What could not be opened, with where, why, and what to try.
    pub(crate) async fn start(config: &Config) -> Result<Self, Failure> {
        if Client::connect(&config.data)?.is_some() {
            let process = narrowgate_adapters::sqlite::last_process(&config.data).map_or_else(
                || "another narrowgate".to_owned(),
                |pid| format!("process {pid}, a narrowgate,"),
            );
            return Err(Failure::failed("the data directory is in use")
                .file(config.data.display())
                .reason(format_args!("{process} serves it: it answers on the control socket"))
                .hint("stop it, or choose another directory with --data"));
        }
        // Ports first: if one is busy, nothing was touched yet.
        let http = config.http.listen.map(|address| bind_http(config, address)).transpose()?;
        UdpSocket::bind(config.dtls.listen)
            .map_err(|error| busy(config, "devices", &config::dtls::LISTEN, config.dtls.listen, &error))?;
        let opened = client::open_store_waiting(config)?;
        let journal = Arc::clone(&opened.stores.journal);
        let started = Self::start_on(config, opened, http).await;
        if started.is_err() {
            // Ignored: the first failure is the one to show.
            let _ = journal.close().await;
        }
        started
    }

    async fn start_on(
        config: &Config,
        opened: OpenedStore,
        http_listener: Option<tokio::net::TcpListener>,
    ) -> Result<Self, Failure> {
        let stores = opened.stores;
        let control = ControlSocket::bind(&config.data)?;
        let feed = Feed::new();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let options = options::gateway_options(config, opened.decoy);
        let gateway = Gateway::start(options, stores.clone(), clock.clone(), entropy.clone(), feed.clone())
            .await
            .map_err(|error| cannot_serve_devices(config, &error))?;
        let (dtls, sessions) = (gateway.dtls_address(), gateway.live_sessions());
        let http = http_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let since = clock.now();
        let gateway: SharedGateway = Arc::new(RwLock::new(Some(gateway)));
        let operator = Operator::new(stores.clone(), clock, entropy, sessions);
        let (stopping, stop) = watch::channel(false);
        let events = Arc::new(Followed { feed: feed.clone(), operator: operator.clone() });
        let refused_by_store = refused_by_store(gateway.clone());
        let host = Host { since: Some(since), data: config.data.clone(), refused_by_store };
        let api = Api {
            operator: operator.clone(),
            host: host.source(),
            events: Some(EventsSource { events, stopping: stop.clone() }),
        };
        let health = Health::default();
        let about = About { version: env!("CARGO_PKG_VERSION"), dtls: dtls.to_string() };
        let metrics = metrics::source(gateway.clone());
        let router = narrowgate_http::router(about.clone(), health.clone(), metrics.clone());
        let control_router = narrowgate_http::control_router(about, health.clone(), metrics, api);
        let (http_stop, http_stopping) = watch::channel(false);
        let http_task = http_listener.map(|listener| spawn_http(listener, router, http_stopping));
        let control_path = control.path().to_owned();
        let control_task = tokio::spawn(narrowgate_http::serve(
            control,
            control_router,
            socket::CONNECTIONS_MAX,
            stopped(stop),
        ));
        Ok(Self {
            operator,
            feed,
            dtls,
            http,
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
        tracing::info!(dtls = %self.dtls, http = self.http.map(tracing::field::display), "ready");
        crate::output::note("ready");
        notify::send_state("READY=1");
        Ok(())
    }

    /// Finishes work in progress within [`DRAIN_TIME_MAX`], and closes the store.
    ///
    /// # Errors
    /// The store cannot be closed.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
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
        if tokio::time::timeout(DRAIN_TIME_MAX, drain).await.is_err() {
            tracing::warn!("some work was not finished in time and was given up");
        }
        self.journal.close().await.map_err(|error| {
            Failure::failed("cannot close the store").reason(error).hint("check whether the disk is full")
        })?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Starts the runtime of the control plane.
///
/// # Errors
/// The system cannot start its threads.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .map_err(|error| Failure::failed("cannot start the control plane").reason(error))
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

/// Serves health and metrics on TCP until `stopping` turns true.
fn spawn_http(
    listener: tokio::net::TcpListener,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let connections_max = narrowgate_http::CONNECTIONS_MAX;
    tokio::spawn(narrowgate_http::serve(listener, router, connections_max, stopped(stopping)))
}

/// Completes when it turns true, or when its sender is gone.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Requests that the gateway refuses because of the store, for `status`.
fn refused_by_store(gateway: SharedGateway) -> Box<dyn Fn() -> Option<RefusedByStore> + Send + Sync> {
    Box::new(move || gateway.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.refused_by_store())
}

fn bind_http(config: &Config, address: SocketAddr) -> Result<tokio::net::TcpListener, Failure> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    bind().map_err(|error| busy(config, "HTTP", &config::http::LISTEN, address, &error))
}

fn cannot_serve_devices(config: &Config, error: &StartError) -> Failure {
    match error {
        StartError::Bind { address, source } => {
            busy(config, "devices", &config::dtls::LISTEN, *address, source)
        }
        StartError::Shard(source) => Failure::failed(error)
            .part("where", "dtls.shards")
            .reason(source)
            .hint("choose fewer with --shards, or raise the limit of threads (ulimit -u)"),
        StartError::Task(source) => {
            Failure::failed(error).reason(source).hint("raise the limit of threads (ulimit -u)")
        }
        StartError::Store(source) => Failure::failed(error)
            .file(config.data.display())
            .reason(source)
            .hint("check the disk and its free space; where the store is damaged, restore it from a backup"),
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
        _ => ("--dtls", 'u', "0.0.0.0"),
    };
    let name = key.name();
    let place = match config.values.origin(key) {
        Origin::Default => format!("{address}   ({name}, the default)"),
        origin => format!("{address}   ({name}, {origin})"),
    };
    let failure =
        Failure::failed(format_args!("cannot listen for {what}")).part("where", place).reason(error);
    let port = address.port();
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
