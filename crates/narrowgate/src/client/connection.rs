//! The command line's end of the control socket: HTTP/1.1 by hyper, on a runtime of its own, because commands
//! block.

use std::{
    error::Error as _,
    future::Future,
    io,
    os::unix::net::UnixStream,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use narrowgate_api::problem::Problem;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
};
use zeroize::Zeroize as _;

use super::{
    Call,
    patience::{self, Patience},
    problem::{self, other_version},
    stream::{Events, StreamEvent},
};
use crate::{directory, failure::Failure, socket};

/// Time between two tries to connect.
const CONNECT_STEP: Duration = Duration::from_millis(50);

/// How long a server may take to say how it is.
const GLANCE_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection to a running server.
pub(crate) struct Client {
    /// The connected stream, until it is first used.
    stream: Option<UnixStream>,
    /// The server, as `process 123`.
    server: String,
    /// What listens at the other end, where the system says it.
    process: Option<u32>,
    user: Option<u32>,
    open: Option<Open>,
}

/// A connection in use.
struct Open {
    runtime: Runtime,
    sender: SendRequest<Body>,
    /// Bytes sent and received.
    moved: Arc<AtomicU64>,
    /// The stream of events, if one is followed.
    following: Option<(Incoming, Box<Events>)>,
}

impl Client {
    /// Connects to the server of this data directory; `None` if none runs.
    ///
    /// # Errors
    /// There is a socket, but it cannot be used, or should not be.
    pub(crate) fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        // The lock of the store names the process; a store in memory has no lock.
        let process = || narrowgate_adapters::sqlite::last_process(data);
        let server = || process().map_or("a process".into(), |pid| format!("process {pid}"));
        let mut patience = None;
        let stream = loop {
            match socket::connect(data) {
                Ok(stream) => break stream,
                Err(error) if no_server(&error) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nothing is sent yet, so nothing can have been changed.
                    let patience = patience.get_or_insert_with(|| Patience::new(&server(), true, ""));
                    patience.check()?;
                    std::thread::sleep(CONNECT_STEP);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(directory::of_another_user(data));
                }
                Err(error) => return Err(cannot_use(data, &error)),
            }
        };
        match socket::untrusted_peer(&stream, data) {
            Ok(None) => {
                let (process, user) = (socket::process_of_peer(&stream), socket::user_of_peer(&stream));
                Ok(Some(Self { stream: Some(stream), server: server(), process, user, open: None }))
            }
            Ok(Some(user)) => Err(of_a_stranger(data, user)),
            Err(error) => Err(cannot_use(data, &error)),
        }
    }

    /// Sends the request and waits for the answer, within the limits of `patience`.
    ///
    /// # Errors
    /// The server's problem, or that it stopped or does not answer.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, call: Call<T>) -> Result<T, Failure> {
        let (reads_only, afterwards) = (call.reads_only, call.afterwards);
        let mut patience = Patience::new(&self.server, reads_only, afterwards);
        let request = call.into_request()?;
        let open = self.open()?;
        let answered = open.runtime.block_on(async {
            let answer = answer(&mut open.sender, request);
            patiently(answer, &open.moved, &mut patience).await
        })?;
        let (status, body) = answered.map_err(|error| error.into_failure(reads_only, afterwards))?;
        let read = problem::read(status, &body);
        wipe(body);
        read
    }

    /// The process at the other end.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process
    }

    /// The user as whom it runs.
    pub(crate) fn user(&self) -> Option<u32> {
        self.user
    }

    /// What stands at this path, whatever its status is; `None`: nothing, or not soon.
    pub(crate) fn glance(&mut self, path: &str) -> Option<String> {
        let request = Call::<()>::get(path.to_owned()).into_request().ok()?;
        let open = self.open().ok()?;
        let answer = answer(&mut open.sender, request);
        let answered = open.runtime.block_on(async { tokio::time::timeout(GLANCE_TIME_MAX, answer).await });
        String::from_utf8(answered.ok()?.ok()?.1.to_vec()).ok()
    }

    /// Begins to follow events.
    ///
    /// # Errors
    /// The server's problem, or that it stopped or does not answer.
    pub(crate) fn listen(&mut self, call: Call<()>) -> Result<(), Failure> {
        let mut patience = Patience::new(&self.server, true, "");
        let request = call.into_request()?;
        let open = self.open()?;
        let begun = open.runtime.block_on(async {
            let begin = begin(&mut open.sender, request);
            patiently(begin, &open.moved, &mut patience).await
        })?;
        match begun.map_err(|error| error.into_failure(true, ""))? {
            Ok(stream) => {
                open.following = Some((stream, Box::default()));
                Ok(())
            }
            Err(problem) => Err(problem::failure(problem)),
        }
    }

    /// Waits for the next event, for any time; `None` if the server closed the connection.
    ///
    /// # Errors
    /// The event is not one that this program knows.
    pub(crate) fn receive(&mut self) -> Result<Option<StreamEvent>, Failure> {
        let Some(Open { runtime, following: Some((stream, events)), .. }) = &mut self.open else {
            return Ok(None);
        };
        runtime.block_on(async {
            loop {
                if let Some(event) = events.next()? {
                    return Ok(Some(event));
                }
                match stream.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            events.add(&data);
                        }
                    }
                    // The server was killed.
                    Some(Err(_)) | None => return Ok(None),
                }
            }
        })
    }

    /// Where the stream of events stands, once it has said so.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.open.as_ref()?.following.as_ref()?.1.cursor()
    }

    /// Whether an answer that goes on has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(Open { runtime, following: Some((stream, _)), .. }) = &mut self.open else { return true };
        runtime.block_on(async {
            loop {
                match tokio::time::timeout(patience::GLANCE, stream.frame()).await {
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(_)) | None) => return true,
                    // It goes on, and has nothing to say.
                    Err(_) => return false,
                }
            }
        })
    }

    fn open(&mut self) -> Result<&mut Open, Failure> {
        if let Some(stream) = self.stream.take() {
            self.open = Some(Open::begin(stream)?);
        }
        self.open.as_mut().ok_or_else(|| stopped(true, ""))
    }
}

impl Open {
    fn begin(stream: UnixStream) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed("cannot start").reason(error))?;
        let moved = Arc::new(AtomicU64::new(0));
        let counted = moved.clone();
        let sender = runtime.block_on(async move {
            let stream = tokio::net::UnixStream::from_std(stream).map_err(|error| cannot_talk(&error))?;
            let io = TokioIo::new(Counted { stream, moved: counted });
            let (sender, connection) = http1::handshake(io).await.map_err(|error| cannot_talk(&error))?;
            // Ignored: its end shows in the answers.
            tokio::spawn(connection);
            Ok::<_, Failure>(sender)
        })?;
        Ok(Self { runtime, sender, moved, following: None })
    }
}

/// Why there is no answer.
enum Unanswered {
    /// The connection ended.
    Stopped,
    Failed(Failure),
}

impl Unanswered {
    fn into_failure(self, reads_only: bool, afterwards: &str) -> Failure {
        match self {
            Self::Stopped => stopped(reads_only, afterwards),
            Self::Failed(failure) => failure,
        }
    }
}

impl From<hyper::Error> for Unanswered {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() {
            return Self::Failed(other_version(&error.to_string()));
        }
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) if !gone(source) => Self::Failed(cannot_talk(source)),
            _ => Self::Stopped,
        }
    }
}

async fn answer(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> Result<(StatusCode, Bytes), Unanswered> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn begin(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> Result<Result<Incoming, Problem>, Unanswered> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    if response.status().is_success() {
        return Ok(Ok(response.into_body()));
    }
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let problem = serde_json::from_slice(&body);
    let problem = problem.map_err(|_| Unanswered::Failed(other_version(&format!("it answers {status}"))))?;
    Ok(Err(problem))
}

/// Wipes an answer, which may hold a secret, where nothing else uses its memory.
fn wipe(body: Bytes) {
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.zeroize();
    }
}

/// Waits with patience: every byte that moves begins the time anew.
async fn patiently<T>(
    work: impl Future<Output = T>,
    moved: &AtomicU64,
    patience: &mut Patience,
) -> Result<T, Failure> {
    tokio::pin!(work);
    let mut seen = moved.load(Ordering::Relaxed);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(patience::STEP) => {}
        }
        let now = moved.load(Ordering::Relaxed);
        if now == seen {
            patience.check()?;
        } else {
            seen = now;
            patience.restart();
        }
    }
}

/// Counts the bytes sent and received.
struct Counted {
    stream: tokio::net::UnixStream,
    moved: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(task, out);
        self.moved.fetch_add((out.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.moved.fetch_add(count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

fn stopped(reads_only: bool, afterwards: &str) -> Failure {
    let failure = Failure::failed("the server stopped before it answered");
    match reads_only {
        true => failure
            .reason("it closed the connection")
            .hint("check whether it is running again, then try again"),
        false => failure.reason(patience::CHANGE_UNKNOWN).hint(afterwards),
    }
}

fn cannot_use(data: &Path, error: &io::Error) -> Failure {
    Failure::failed("cannot talk to the running server")
        .file(data.join(socket::NAME).display())
        .because(error, "the data directory must be on a local file system; choose another with --data")
}

/// Who listens there may have put the socket in place to be sent secrets.
fn of_a_stranger(data: &Path, user: u32) -> Failure {
    Failure::failed("the control socket is not the server's")
        .file(data.join(socket::NAME).display())
        .reason(format_args!(
            "a process of the user with the id {user} listens there, who does not own the data directory; \
             nothing was sent"
        ))
        .hint("find out who may write to the data directory; chmod 700 it, and start the server as its owner")
}

fn cannot_talk(error: &dyn std::fmt::Display) -> Failure {
    Failure::failed("cannot talk to the running server").reason(error)
}

/// Whether no server runs; `ConnectionRefused` means that it was killed and left its socket.
fn no_server(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}
