//! Accepts connections and answers them until told to stop.

use std::{future::Future, net::IpAddr, time::Duration};

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    connection::{SILENCE_MAX, converse},
    forwarded::Way,
    gate::Peer,
    places::{Places, PlacesMax, Source},
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

    /// How requests reach it.
    fn way(&self) -> Way {
        Way::Direct
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> TcpStream {
        let (stream, _) = axum::serve::Listener::accept(self).await;
        // Ignored: a peer that has vanished keeps its place for longer then.
        let _ = notice_silence(&stream);
        stream
    }

    fn peer(stream: &TcpStream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|address| address.ip())
    }
}

/// A listener that only a proxy with TLS reaches: the address of a peer is the proxy's, and the client's is
/// the last one of `X-Forwarded-For`.
#[derive(Debug)]
pub struct Proxied(pub TcpListener);

impl Listener for Proxied {
    type Io = TcpStream;

    async fn accept(&mut self) -> TcpStream {
        Listener::accept(&mut self.0).await
    }

    fn way(&self) -> Way {
        Way::Proxied
    }
}

/// Has the connection end where its peer has vanished without a word: what is sent to it is acknowledged
/// within [`SILENCE_MAX`], and where nothing is sent, the system asks it.
fn notice_silence(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(SILENCE_MAX / 2).with_interval(SILENCE_MAX / 6);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))
}

/// Serves `router` on `listener`, with at most `max` connections at a time, until `stop` completes; then
/// closes the listener and waits at most [`DRAIN_TIME_MAX`] for open connections to end.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    max: PlacesMax,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (places, way) = (Places::new(max), listener.way());
    let (stopped, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let peer = L::peer(&stream);
        let source = peer.map(Source::of);
        // Nobody waits behind those who find no place: they wait beside each other, or are closed.
        let Some(place) = places.take(source) else { continue };
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            converse(stream, router, (&place, peer.map(Peer), way), stopping).await;
        });
    }
    // New connections are refused from here on.
    drop(listener);
    // Ignored: all connections may have ended.
    let _ = stopped.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_TIME_MAX, ended).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_has_vanished_is_noticed_by_the_system() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let client = TcpStream::connect(listener.local_addr().expect("it has one"));
        let (stream, _client) = tokio::join!(Listener::accept(&mut listener), client);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("it says"));
        assert_eq!(socket.tcp_user_timeout().expect("it says"), Some(SILENCE_MAX));
    }
}
