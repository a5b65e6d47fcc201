//! Accepts connections and answers them until told to stop.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use crate::connection::converse;

/// How long an answer on TCP may take; after that it is 503.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long open connections may take to end after the stop.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Where connections come from. Every peer that it accepts may use all that is served.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one, also while the system has a fault. Cancel safe: dropping the future loses
    /// nothing.
    fn accept(&mut self) -> impl Future<Output = Self::Io> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> TcpStream {
        axum::serve::Listener::accept(self).await.0
    }
}

/// Serves `router` on `listener`, with at most `connections_max` connections at a time, until `stop`
/// completes; then closes the listener and waits at most [`DRAIN_TIME_MAX`] for open connections to end.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    connections_max: usize,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    let (stopped, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            converse(stream, router, stopping).await;
            drop(place);
        });
    }
    // New connections are refused from here on.
    drop(listener);
    // Ignored: all connections may have ended.
    let _ = stopped.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_TIME_MAX, ended).await;
}
