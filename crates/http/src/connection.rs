//! One connection and its limit of silence: how long it may send no complete request, and how long it may
//! accept no bytes of an answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Sleep, sleep},
};
use tower::ServiceExt as _;

use crate::{
    forwarded::{self, Way},
    gate::Peer,
    places::{Place, PlacesMax, Seat, Source},
};

/// Connections at a time on TCP: some programs, a scraper, a probe and some browsers need only a few. Only
/// holders of tokens follow, and wait for devices. An eighth of the places is for those who have none, so
/// 1,008 followers of few tokens find theirs.
pub const TCP_PLACES_MAX: PlacesMax = PlacesMax { requests: 256, queued: 128, followers: 1152, waiting: 64 };

/// A connection that sends no complete request, or accepts no bytes of an answer, for this long is closed, so
/// that silent ones cannot use up the places.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Longest head of a request, with its first line: a path of the longest keys, a token, and what a browser or
/// a proxy adds.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Header fields of a request.
const HEAD_FIELDS_MAX: usize = 64;
/// What a connection holds at most of what came and was not read yet.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Answers a connection, request by request, until it ends or loses its place, or until `stopping` turns true
/// and the current request is answered.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    (place, peer, way): (&Place, Option<Peer>, Way),
    mut stopping: watch::Receiver<bool>,
) {
    let io = TokioIo::new(TimedWrites { stream, stalled: None, seat: place.seat() });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(SILENCE_MAX);
    builder.max_headers(HEAD_FIELDS_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let seat = place.seat();
    let ends = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(seat.clone());
        request.extensions_mut().insert(way);
        let peer = match way {
            Way::Direct | Way::Secured => peer,
            Way::Proxied => {
                let client = forwarded::client(request.headers());
                seat.note_source(client.map(Source::of));
                client.map(Peer)
            }
        };
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (router, seat, mut ends) = (router.clone(), seat.clone(), ends.clone());
        async move {
            if !is_probe(request.uri().path()) {
                tokio::select! {
                    () = seat.taken() => {}
                    _ = ends.wait_for(|ends| *ends) => {}
                }
            }
            router.oneshot(request).await
        }
    });
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    tokio::select! {
        // Ignored: the peer left, or does not speak HTTP and got an answer that says so.
        _ = connection.as_mut() => return,
        () = place.lost() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Whether it asks how the server does, which is answered to a connection in the queue too: whoever watches
/// it must not take a busy server for a stuck one.
fn is_probe(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/health/")
}

/// A stream that fails if its peer accepts no bytes for [`SILENCE_MAX`].
struct TimedWrites<S> {
    stream: S,
    /// Runs while the peer accepts no bytes.
    stalled: Option<Pin<Box<Sleep>>>,
    seat: Seat,
}

impl<S> TimedWrites<S> {
    fn limit<T>(&mut self, task: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.seat.note_progress();
            return written;
        }
        self.poll_stalled(task)
    }

    /// The same for what may have had nothing to send, which is no progress.
    fn limit_end(&mut self, task: &mut Context<'_>, ended: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if ended.is_ready() {
            self.stalled = None;
            return ended;
        }
        self.poll_stalled(task)
    }

    fn poll_stalled<T>(&mut self, task: &mut Context<'_>) -> Poll<io::Result<T>> {
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(SILENCE_MAX)));
        stalled.as_mut().poll(task).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedWrites<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedWrites<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.limit(task, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(task, parts);
        self.limit(task, written)
    }

    /// So that an answer is written from where it is: a copy in a buffer would not be wiped.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What TLS has sealed may wait for the peer here.
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(task);
        self.limit_end(task, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(task);
        self.limit_end(task, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        body::Body,
        middleware::{self, Next},
        routing::get,
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        sync::mpsc,
        time::Instant,
    };

    use super::*;
    use crate::{
        places::ALONE,
        serve::{Listener, serve},
    };

    /// Hands over what a test gives it.
    struct Given(mpsc::Receiver<DuplexStream>);

    impl Listener for Given {
        type Io = DuplexStream;

        async fn accept(&mut self) -> DuplexStream {
            self.0.recv().await.expect("the test gives another one")
        }
    }

    /// Serves one connection at a time until the sender is gone.
    fn served(router: Router) -> mpsc::Sender<DuplexStream> {
        let (give, given) = mpsc::channel(8);
        let max = PlacesMax { requests: 1, queued: 8, followers: 0, waiting: 0 };
        tokio::spawn(serve(Given(given), router, max, std::future::pending()));
        give
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let give = served(Router::new().route("/", get(async || "here")));
        let (mut silent, end) = duplex(100);
        give.send(end).await.unwrap();
        let began = Instant::now();
        // Half a request does not count.
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut said = Vec::new();
        silent.read_to_end(&mut said).await.unwrap();
        assert!(began.elapsed() >= SILENCE_MAX, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_gives_its_place_to_one_that_waits() {
        let give = served(Router::new().route("/", get(async || "here")));
        let (mut silent, end) = duplex(100);
        give.send(end).await.unwrap();
        let began = Instant::now();
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let (mut second, end) = duplex(1000);
        give.send(end).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        assert!(began.elapsed() <= ALONE, "{:?}", began.elapsed());
        assert_eq!(silent.read(&mut [0; 10]).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn probes_are_answered_where_all_places_are_taken_for_long() {
        let stuck = async || -> &'static str { std::future::pending().await };
        let router = Router::new()
            .route("/stuck", get(stuck))
            .route("/health/live", get(async || "live"))
            .route("/metrics", get(async || "some"))
            .layer(middleware::from_fn(async |request: axum::extract::Request, next: Next| {
                let seat = request.extensions().get::<Seat>().expect("it came by a connection").clone();
                let _answering = seat.answer();
                next.run(request).await
            }));
        let give = served(router);
        let (mut busy, end) = duplex(1000);
        give.send(end).await.unwrap();
        busy.write_all(b"GET /stuck HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        tokio::time::sleep(ALONE).await;
        let (mut waits, end) = duplex(1000);
        give.send(end).await.unwrap();
        waits.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        for (path, said) in [("/health/live", "live"), ("/metrics", "some")] {
            let (mut probe, end) = duplex(1000);
            give.send(end).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
            probe.write_all(request.as_bytes()).await.unwrap();
            let began = Instant::now();
            let mut answer = String::new();
            probe.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with(said), "{answer}");
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
        let mut nothing = [0];
        let waited = tokio::time::timeout(10 * ALONE, waits.read(&mut nothing)).await;
        assert!(waited.is_err(), "other requests wait for a place");
    }

    #[tokio::test]
    async fn attack_182_a_head_without_end_is_refused_before_it_fills_the_memory() {
        for (line, status) in [("x-long: ", "431"), ("x: y\r\n", "431"), ("x: y\r\nhost: h\r\n\r\n", "200")] {
            let give = served(Router::new().route("/", get(async || "here")));
            let (mut peer, end) = duplex(1 << 20);
            give.send(end).await.unwrap();
            let mut head = format!("GET / HTTP/1.1\r\nconnection: close\r\n{line}");
            if status == "431" {
                let more = if line.ends_with('\n') { line } else { "0123456789abcdef" };
                head += &more.repeat((32 << 10) / more.len());
            }
            peer.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        }
    }

    /// Serves an answer that fits no buffer, and counts how often it was asked for.
    fn long() -> (mpsc::Sender<DuplexStream>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let long = async move || {
            count.fetch_add(1, Ordering::Relaxed);
            Body::from(vec![b'x'; 100_000])
        };
        (served(Router::new().route("/", get(long))), asked)
    }

    /// A peer that takes no byte of what is flushed, as TLS flushes what it has sealed.
    struct Unflushed;

    impl AsyncWrite for Unflushed {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sealed_and_not_taken_is_waited_for_as_long_as_what_is_written() {
        let max = PlacesMax { requests: 1, queued: 1, followers: 0, waiting: 0 };
        let place = crate::places::Places::new(max).enter(None).await;
        let mut stream = TimedWrites { stream: Unflushed, stalled: None, seat: place.seat() };
        stream.write_all(b"sealed").await.expect("it is taken");
        let began = Instant::now();
        assert_eq!(stream.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), SILENCE_MAX);
        stream.stalled = None;
        assert_eq!(stream.shutdown().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), SILENCE_MAX * 2);
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_of_an_answer_is_closed() {
        let (give, asked) = long();
        let (mut deaf, end) = duplex(100);
        give.send(end).await.unwrap();
        deaf.write_all(REQUEST).await.unwrap();
        tokio::time::sleep(SILENCE_MAX + ALONE).await;
        let mut answer = Vec::new();
        deaf.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() <= 100 && asked.load(Ordering::Relaxed) == 1, "{}", answer.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_of_an_answer_gives_its_place_to_one_that_waits() {
        let (give, asked) = long();
        let (mut deaf, end) = duplex(100);
        give.send(end).await.unwrap();
        let (mut second, end) = duplex(1_000_000);
        give.send(end).await.unwrap();
        deaf.write_all(REQUEST).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        second.read_to_end(&mut answer).await.unwrap();
        assert!(began.elapsed() <= ALONE && answer.len() > 100_000, "{:?}", began.elapsed());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
