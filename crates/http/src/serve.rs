//! Accepts connections and answers them until told to stop.

use std::{future::Future, net::IpAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    connection::converse,
    gate::Peer,
    places::{Places, PlacesMax},
};

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

    /// The address at the other end, where there is one.
    fn peer(_: &Self::Io) -> Option<IpAddr> {
        None
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> TcpStream {
        axum::serve::Listener::accept(self).await.0
    }

    fn peer(stream: &TcpStream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|address| address.ip())
    }
}

/// Serves `router` on `listener`, with at most `max` connections at a time, until `stop` completes; then
/// closes the listener and waits at most [`DRAIN_TIME_MAX`] for open connections to end.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    max: PlacesMax,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let places = Places::new(max);
    let (stopped, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        // First the connection: only for one that is there has another to leave.
        let next = async {
            let stream = listener.accept().await;
            (stream, places.enter().await)
        };
        let (stream, place) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            let peer = L::peer(&stream).map(Peer);
            converse(stream, router, (&place, peer), stopping).await;
        });
    }
    // New connections are refused from here on.
    drop(listener);
    // Ignored: all connections may have ended.
    let _ = stopped.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_TIME_MAX, ended).await;
}
