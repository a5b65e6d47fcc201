//! Connections of TLS, each of which makes its own handshake when it is read from.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{AcquireError, OwnedSemaphorePermit},
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::{Accept, TlsAcceptor, rustls, server::TlsStream};

use super::{Certificate, handshakes::Handshakes};
use crate::{forwarded::Way, serve::Listener};

/// How long a handshake may take, from when its connection was taken.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a connection holds of an answer that its peer has not taken: two records. It is small, because it has
/// to be taken within the limit of silence (`connection`).
const UNSENT_BYTES_MAX: usize = 32 << 10;

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What is said to a peer that speaks HTTP without TLS.
pub(super) const SPEAK_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\n\
      Content-Length: 40\r\nConnection: close\r\n\r\nthis port speaks HTTPS: ask for https://";

/// What is read of its request before that, so that the answer arrives.
const PLAIN_BYTES_MAX: usize = 16 << 10;

/// A listener of TLS.
pub struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: Arc<Handshakes>,
    way: Way,
}

impl Secured {
    /// Connections to `listener` are TLS with this certificate.
    ///
    /// # Errors
    /// None with the versions of TLS that there are.
    pub fn new(listener: TcpListener, certificate: &Certificate) -> Result<Self, rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(certificate.server_config()?));
        Ok(Self { listener, acceptor, handshakes: Arc::default(), way: Way::Secured })
    }

    /// The same with limits of its own.
    #[cfg(test)]
    pub(super) fn limited(self, handshakes: Handshakes) -> Self {
        Self { handshakes: Arc::new(handshakes), ..self }
    }

    /// The same where only a proxy reaches it, which says whose each request is.
    #[must_use]
    pub fn behind_proxy(self) -> Self {
        Self { way: Way::Proxied, ..self }
    }
}

impl Listener for Secured {
    type Io = Connection;

    async fn accept(&mut self) -> Connection {
        let stream = Listener::accept(&mut self.listener).await;
        let peer = match self.way {
            // That of the proxy, from which all come.
            Way::Proxied => None,
            Way::Direct | Way::Secured => TcpListener::peer(&stream),
        };
        Connection {
            peer,
            handshakes: Arc::clone(&self.handshakes),
            state: State::New { stream: Some(stream), acceptor: self.acceptor.clone() },
            ends: None,
        }
    }

    fn peer(connection: &Connection) -> Option<IpAddr> {
        connection.peer
    }

    fn way(&self) -> Way {
        self.way
    }
}

/// See the module.
pub struct Connection {
    peer: Option<IpAddr>,
    handshakes: Arc<Handshakes>,
    state: State,
    /// When the handshake is over in any case; `None` before and after it.
    ends: Option<Pin<Box<Sleep>>>,
}

/// Completes when a step of a handshake may be made.
type Turn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

enum State {
    /// Nothing was received. The stream is gone while it becomes another state.
    New {
        stream: Option<TcpStream>,
        acceptor: TlsAcceptor,
    },
    /// A hello is there, and may be answered after a while.
    Waiting {
        stream: Option<TcpStream>,
        acceptor: TlsAcceptor,
        wait: Option<Pin<Box<Sleep>>>,
    },
    Handshake {
        accept: Box<Accept<TcpStream>>,
        turn: Option<Turn>,
    },
    Open(Box<TlsStream<TcpStream>>),
    Failed,
}

impl Connection {
    /// The stream, once the handshake is made.
    fn poll_open(&mut self, task: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if !matches!(self.state, State::Open(_)) {
            ready!(self.poll_handshake(task))?;
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            _ => Poll::Ready(Err(failed())),
        }
    }

    fn poll_handshake(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match self.poll_steps(task) {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(HANDSHAKE_TIME_MAX)));
                ready!(ends.as_mut().poll(task));
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        self.ends = None;
        if let Err(error) = &ended {
            tracing::debug!(peer = ?self.peer, %error, "a handshake of TLS has failed");
            self.state = State::Failed;
        }
        Poll::Ready(ended)
    }

    fn poll_steps(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.state = match &mut self.state {
                State::New { stream: slot, acceptor } => {
                    let Some(new) = slot else { return Poll::Ready(Err(failed())) };
                    let mut first = [0];
                    let mut first = ReadBuf::new(&mut first);
                    ready!(new.poll_peek(task, &mut first))?;
                    let Some(stream) = slot.take() else { return Poll::Ready(Err(failed())) };
                    if first.filled().first().is_some_and(|byte| *byte != HANDSHAKE_RECORD) {
                        refuse_plain(&stream);
                        return Poll::Ready(Err(io::Error::other("the peer does not speak TLS")));
                    }
                    if !self.handshakes.permits(self.peer, Instant::now().into_std()) {
                        return Poll::Ready(Err(io::Error::other("the peer begins too many")));
                    }
                    State::Waiting { stream: Some(stream), acceptor: acceptor.clone(), wait: None }
                }
                State::Waiting { stream: slot, acceptor, wait } => {
                    if let Some(wait) = wait {
                        ready!(wait.as_mut().poll(task));
                    }
                    if let Err(time) = self.handshakes.begin(Instant::now().into_std()) {
                        *wait = Some(Box::pin(sleep(time)));
                        continue;
                    }
                    let Some(stream) = slot.take() else { return Poll::Ready(Err(failed())) };
                    let accept = acceptor
                        .accept_with(stream, |session| session.set_buffer_limit(Some(UNSENT_BYTES_MAX)));
                    State::Handshake { accept: Box::new(accept), turn: None }
                }
                State::Handshake { accept, turn } => {
                    let making = &self.handshakes.making;
                    let next = turn.get_or_insert_with(|| Box::pin(Arc::clone(making).acquire_owned()));
                    let making = ready!(next.as_mut().poll(task));
                    *turn = None;
                    let made = Pin::new(&mut **accept).poll(task);
                    drop(making);
                    State::Open(Box::new(ready!(made)?))
                }
                State::Open(_) => return Poll::Ready(Ok(())),
                State::Failed => return Poll::Ready(Err(failed())),
            }
        }
    }
}

/// Tells a peer that does not speak TLS what to do.
fn refuse_plain(stream: &TcpStream) {
    // Ignored: who sends more, or takes nothing, is not told.
    let _ = stream.try_read(&mut [0; PLAIN_BYTES_MAX]);
    let _ = stream.try_write(SPEAK_TLS);
}

fn failed() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(task))?.poll_read(task, out)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(task))?.poll_write(task, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(task))?.poll_write_vectored(task, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(&mut **stream).poll_flush(task),
            // The handshake sends by itself, and before its end nothing else is sent.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(task),
            _ => Poll::Ready(Ok(())),
        }
    }
}
