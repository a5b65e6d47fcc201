//! The command line's end of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::value::RawValue;

use super::{Reply, Request, path};
use crate::{directory, failure::Failure};

/// A connection to a running server.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the server of this data directory; `None` where none runs.
    ///
    /// # Errors
    /// When there is a socket that cannot be used.
    pub(crate) fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        let connected =
            path::ShortPath::new(data, path::NAME).and_then(|path| UnixStream::connect(path.path()));
        match connected {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream) })),
            Err(error) if no_server(&error) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(directory::of_another_user(data))
            }
            Err(error) => Err(Failure::failed("cannot talk to the running server")
                .file(data.join(path::NAME).display())
                .reason(error)
                .hint("the data directory must be on a local file system; choose another by --data")),
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The server's, or that it went away.
    pub(crate) fn request(&mut self, request: &Request) -> Result<Box<RawValue>, Failure> {
        self.send(request)?;
        match self.receive()? {
            Some(Reply::Done(answer)) => Ok(answer),
            Some(Reply::Failed(failure)) => Err(failure),
            Some(Reply::Event(_) | Reply::Missed(_) | Reply::Ended) => {
                Err(other_version("an event instead of an answer"))
            }
            None => Err(Failure::failed("the server stopped before it answered")
                .reason("it is not known whether the change was made")
                .hint("look at the present state (product show, device show), then ask again")),
        }
    }

    /// Sends a request; a server that went away shows itself when the answer is read.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(request).map_err(|error| other_version(&error.to_string()))?;
        line.push(b'\n');
        match self.stream.get_mut().write_all(&line) {
            Err(error) if !gone(&error) => {
                Err(Failure::failed("cannot talk to the running server").reason(error))
            }
            _ => Ok(()),
        }
    }

    /// The next reply; `None` when the server closed the connection.
    pub(crate) fn receive(&mut self) -> Result<Option<Reply>, Failure> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            // An incomplete line is one of a server that was killed while it wrote.
            Ok(_) if !line.ends_with('\n') => Ok(None),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(|error| other_version(&error.to_string())),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(Failure::failed("cannot talk to the running server").reason(error)),
        }
    }
}

/// Refused: the socket of a server that was killed.
fn no_server(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn other_version(reason: &str) -> Failure {
    Failure::failed("the running server answers in a way that this program does not know")
        .reason(reason)
        .hint("use the narrowgate of the server's own version, or restart the server")
}
