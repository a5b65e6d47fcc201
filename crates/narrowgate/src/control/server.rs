//! The server's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
    time::timeout,
};

use narrowgate_api::happening::Happening;
use narrowgate_platform::service::Operator;

use super::{
    CONNECTIONS_MAX, LINE_BYTES_MAX, Reply, Request, SILENCE_MAX,
    execute::{Effect, execute, failed},
    names::Named,
    path,
    status::{self, Host},
};
use crate::{
    failure::Failure,
    feed::{Feed, Next},
};

/// At a stop, connections get so long to take their last answer.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What the socket serves from.
pub(crate) struct Service {
    pub(crate) registry: Operator,
    pub(crate) feed: Feed,
    pub(crate) host: Host,
    /// Carries what a request changed to the sessions.
    pub(crate) apply: Box<dyn Fn(Effect) + Send + Sync>,
}

/// The socket, bound and not yet served.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Who owns the socket and may use it, besides root.
    owner: u32,
}

impl ControlSocket {
    /// Binds the socket of this data directory, which this process uses alone: an older socket file is a leftover.
    ///
    /// # Errors
    /// When the directory does not let it.
    pub(crate) fn bind(data: &Path) -> Result<Self, Failure> {
        let target = data.join(path::NAME);
        let bound = bind_private(data).and_then(|listener| Ok((listener, fs::metadata(&target)?.uid())));
        match bound {
            Ok((listener, owner)) => Ok(Self { listener, path: target, owner }),
            Err(error) => {
                Err(Failure::failed("cannot make the control socket").file(target.display()).cannot_make(
                    data,
                    &error,
                    "the data directory must be local and writable; choose another by --data",
                ))
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stopping` turns true; then removes the socket and lets open requests end.
    pub(crate) async fn serve(self, service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let stream = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            while connections.try_join_next().is_some() {}
            match stream {
                Ok((stream, _)) if self.may_use(&stream) => {
                    let (service, stopping) = (service.clone(), stopping.clone());
                    connections.spawn(async move {
                        // An error here is a peer that went away.
                        let _ = converse(stream, &service, stopping).await;
                        drop(place);
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // Who comes now finds no server, and waits for the store.
        drop(self);
        // Answers under way go out; whoever does not read them is left behind.
        let answered = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(STOP_MAX, answered).await;
    }

    fn may_use(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A leftover does no harm: the next server replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds under another name first, so that the socket is private before anybody can find it.
fn bind_private(data: &Path) -> io::Result<UnixListener> {
    let fresh = path::ShortPath::new(data, "control.new")?;
    match fs::remove_file(fresh.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(fresh.path())?;
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o600))?;
    fs::rename(data.join("control.new"), data.join(path::NAME))?;
    Ok(listener)
}

/// Answers one connection, request by request.
async fn converse(
    stream: UnixStream,
    service: &Service,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = tokio::select! {
            line = timeout(SILENCE_MAX, read_line(&mut reader)) => line.unwrap_or(Ok(None))?,
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
        };
        let Some(line) = line else { return Ok(()) };
        if line.len() as u64 > LINE_BYTES_MAX {
            return write(&mut writer, &Reply::Failed(Failure::failed("the request is too long"))).await;
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(request @ Request::Listen { .. }) => {
                let named = Named::of(&request);
                let Request::Listen { product_key, device_key } = request else { return Ok(()) };
                match Filter::new(&service.registry, product_key, device_key).await {
                    Ok(filter) => {
                        return stream_events(&mut reader, &mut writer, service, &filter, stopping).await;
                    }
                    Err(failure) => Reply::Failed(match named {
                        Some(named) => named.explain(&service.registry, failure).await,
                        None => failure,
                    }),
                }
            }
            Ok(request) => answer(service, request),
            Err(error) => Reply::Failed(
                Failure::failed("the running server does not know this request")
                    .reason(error)
                    .hint("use the narrowgate of the server's own version, or restart the server"),
            ),
        };
        write(&mut writer, &reply).await?;
    }
}

fn answer(service: &Service, request: Request) -> Reply {
    // Stores may read a lot at once, on this thread: the tasks of the data plane move to another one meanwhile.
    let outcome = async {
        match request {
            Request::Status => status::collect(&service.registry, &service.host).await,
            request => execute(&service.registry, request).await,
        }
    };
    let run = || tokio::runtime::Handle::current().block_on(outcome);
    match tokio::task::block_in_place(run) {
        Ok(outcome) => {
            outcome.effects.into_iter().for_each(&service.apply);
            Reply::Done(outcome.answer)
        }
        Err(failure) => Reply::Failed(failure),
    }
}

/// The next line with its newline; `None` at the end. A line beyond the limit comes back cut, one byte too long.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).await?;
    Ok((!line.is_empty()).then_some(line))
}

async fn write(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(SILENCE_MAX, writer.write_all(&line)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Which events a listener wants.
struct Filter {
    product_key: Option<String>,
    device_key: Option<String>,
}

impl Filter {
    /// For a product and a device that exist: whoever mistypes a key would wait for ever.
    async fn new(
        registry: &Operator,
        product_key: Option<String>,
        device_key: Option<String>,
    ) -> Result<Self, Failure> {
        let found = match (&product_key, &device_key) {
            (None, None) => return Ok(Self { product_key, device_key }),
            (Some(product_key), None) => registry.product(product_key).await.map(|_| None),
            (Some(product_key), Some(device_key)) => {
                registry.resolve(product_key, Some(device_key)).await.map(Some)
            }
            (None, Some(device_key)) => registry.resolve(device_key, None).await.map(Some),
        };
        match found {
            Ok(None) => Ok(Self { product_key, device_key }),
            Ok(Some(device)) => {
                Ok(Self { product_key: Some(device.product_key), device_key: Some(device.device_key) })
            }
            Err(error) => Err(failed("cannot listen")(error)),
        }
    }

    fn wants(&self, event: &Happening) -> bool {
        let fits =
            |wanted: &Option<String>, found: Option<&String>| wanted.is_none() || wanted.as_ref() == found;
        let name = event.device();
        fits(&self.product_key, name.map(|name| &name.product_key))
            && fits(&self.device_key, name.map(|name| &name.device_key))
    }
}

async fn stream_events(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    service: &Service,
    filter: &Filter,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut subscription = service.feed.subscribe();
    let subscribed = RawValue::from_string("null".into()).expect("null is JSON");
    write(writer, &Reply::Done(subscribed)).await?;
    let mut ignored = [0; 64];
    loop {
        let next = tokio::select! {
            next = subscription.next_named(&service.registry) => next,
            // The listener sends nothing more: what can be read is its end.
            read = reader.read(&mut ignored) => match read? {
                0 => return Ok(()),
                _ => continue,
            },
            _ = stopping.wait_for(|stopping| *stopping) => Next::Ended,
        };
        match next {
            Next::Event(event) if !filter.wants(&event) => {}
            Next::Event(event) => {
                write(writer, &Reply::Event(serde_json::value::to_raw_value(&*event)?)).await?;
            }
            Next::Missed(count) => write(writer, &Reply::Missed(count)).await?,
            Next::Ended => return write(writer, &Reply::Ended).await,
        }
    }
}
