//! Chooses the access to the service: the running server's socket if there is one, else the store itself.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, body::to_bytes};
use narrowgate_http::Api;
use narrowgate_platform::{
    ports::{Journal, NobodyConnected, Stores},
    service::Operator,
};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

use super::{Call, Client, problem};
use crate::{
    config::{Config, StoreKind},
    directory,
    failure::Failure,
    host::Host,
    scripts,
    store::{self, OpenedStore, StoreFailure},
    system::{SystemClock, SystemEntropy},
};

/// How long to wait for a store that another process holds: another command, or a server that starts or
/// stops.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time between two tries.
pub(crate) const LOCK_WAIT_STEP: Duration = Duration::from_millis(50);

/// Access to the service.
pub(crate) enum Access {
    /// Through the running server.
    Server(Client),
    /// In this process.
    Store(Box<OwnStore>),
}

/// The store, opened by this process.
pub(crate) struct OwnStore {
    router: Router,
    journal: Arc<dyn Journal>,
    runtime: tokio::runtime::Runtime,
}

impl Access {
    /// Opens a data directory that holds a store. A mistyped `--data` does not create one.
    ///
    /// # Errors
    /// Why there is no access.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let nothing = || {
            Failure::failed("there is no store to work on")
                .file(config.data.display())
                .reason(directory::why_no_store(&config.data))
                .hint("check --data and NARROWGATE_DATA; product create, serve and demo make a new store")
        };
        let is_new = config.store.kind == StoreKind::Sqlite && !store::exists(config);
        if is_new && Client::connect(&config.data)?.is_none() {
            Err(nothing())
        } else {
            Self::open_or_create(config)
        }
    }

    /// Opens a data directory, and creates a store if there is none.
    ///
    /// # Errors
    /// Why there is no access.
    pub(crate) fn open_or_create(config: &Config) -> Result<Self, Failure> {
        let mut patience = Patience::new();
        loop {
            if let Some(client) = Client::connect(&config.data)? {
                return Ok(Self::Server(client));
            }
            if config.store.kind == StoreKind::Memory {
                return Err(Failure::failed("there is no store to work on")
                    .file(config.data.display())
                    .reason("store.kind is memory: what is stored lives in the server, and none is running")
                    .hint("start narrowgate serve, or choose store.kind = \"sqlite\""));
            }
            match store::open(config) {
                Ok(opened) => {
                    let own = OwnStore::new(opened.stores, config)?;
                    return Ok(Self::Store(Box::new(own)));
                }
                Err(failure) => patience.wait(failure)?,
            }
        }
    }

    /// Calls and waits for the answer.
    ///
    /// # Errors
    /// The same from a server as from the store.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, call: Call<T>) -> Result<T, Failure> {
        match self {
            Self::Server(client) => client.call(call),
            Self::Store(own) => own.call(call),
        }
    }

    /// Reopens the access for another request: a server closes silent connections.
    ///
    /// # Errors
    /// Why there is no access any more.
    pub(crate) fn reopen(self, config: &Config) -> Result<Self, Failure> {
        match self {
            Self::Server(_) => Self::open(config),
            own @ Self::Store(_) => Ok(own),
        }
    }

    /// Calls, waits for the answer, and closes the store if this process opened it.
    ///
    /// # Errors
    /// The call's, else the close's.
    pub(crate) fn call_once<T: DeserializeOwned>(mut self, call: Call<T>) -> Result<T, Failure> {
        let answer = self.call(call);
        let closed = self.close();
        answer.and_then(|answer| closed.map(|()| answer))
    }

    /// Closes the store if this process opened it.
    ///
    /// # Errors
    /// The store cannot be closed.
    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Store(own) => own.runtime.block_on(own.journal.close()).map_err(|error| {
                Failure::failed("cannot close the store").reason(error).hint("check whether the disk is full")
            }),
        }
    }
}

impl OwnStore {
    fn new(stores: Stores, config: &Config) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed("cannot start").reason(error))?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let operator = Operator::new(stores.clone(), clock, entropy, Arc::new(NobodyConnected))
            .with_retention_classes(config.store.classes())
            .with_scripts(scripts::of_command())
            .with_image_bytes_max(config.store.firmware_bytes)
            .with_message_limit(config.limits.message)
            .with_server_name(config.dtls.server_name(config.dtls.listen));
        let host = Host { since: None, data: config.data.clone(), refused_by_store: Box::new(|| None) };
        let router = narrowgate_http::api_router(Api { operator, host: host.source(), events: None });
        Ok(Self { router, journal: stores.journal, runtime })
    }

    fn call<T: DeserializeOwned>(&self, call: Call<T>) -> Result<T, Failure> {
        let request = call.into_request()?;
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let (status, body) = (response.status(), response.into_body());
            let body = to_bytes(body, usize::MAX).await;
            let body = body.map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
            problem::read(status, &body)
        })
    }
}

/// Opens the store for a server. Waits while a command uses it, but not for another server.
///
/// # Errors
/// Why it cannot be opened, in words for the operator.
pub(crate) fn open_store_waiting(config: &Config) -> Result<OpenedStore, Failure> {
    let mut patience = Patience::new();
    loop {
        match store::open(config) {
            Ok(opened) => return Ok(opened),
            // A socket that accepts means that a server holds the lock.
            Err(StoreFailure::InUse(failure)) if Client::connect(&config.data)?.is_some() => {
                return Err(failure);
            }
            Err(failure) => patience.wait(failure)?,
        }
    }
}

/// Waits for a store that is in use, up to a limit.
struct Patience {
    ends: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { ends: Instant::now() + LOCK_WAIT_MAX }
    }

    /// Waits a moment, or returns the failure.
    fn wait(&mut self, failure: StoreFailure) -> Result<(), Failure> {
        match failure {
            StoreFailure::InUse(_) if Instant::now() < self.ends => {
                thread::sleep(LOCK_WAIT_STEP);
                Ok(())
            }
            StoreFailure::InUse(failure) | StoreFailure::Other(failure) => Err(failure),
        }
    }
}
