//! The command line's end of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::value::RawValue;

use super::{
    Reply, Request, path,
    patience::{self, Patience},
};
use crate::{directory, failure::Failure};

/// A connection to a running server.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    /// Who serves, as `process 123`.
    server: String,
    /// Of an answer, as far as it came.
    line: Vec<u8>,
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
            Ok(stream) => {
                // Its process is told by the lock of the store; a store in memory has none.
                let process = narrowgate_adapters::sqlite::last_process(data);
                let server = process.map_or("a process".into(), |pid| format!("process {pid}"));
                Ok(Some(Self { stream: BufReader::new(stream), server, line: Vec::new() }))
            }
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

    /// Asks and waits for the answer, as long as there is hope for one.
    ///
    /// # Errors
    /// The server's, or that it went away, or that it does not answer.
    pub(crate) fn request(&mut self, request: &Request) -> Result<Box<RawValue>, Failure> {
        let reads_only = request.reads_only();
        let mut patience = Patience::new(&self.server, reads_only);
        self.send(request, &mut patience)?;
        match self.reply(Some(&mut patience))? {
            Some(Reply::Done(answer)) => Ok(answer),
            Some(Reply::Failed(failure)) => Err(failure),
            Some(Reply::Event(_) | Reply::Missed(_) | Reply::Ended) => {
                Err(other_version("an event instead of an answer"))
            }
            None if reads_only => Err(Failure::failed("the server stopped before it answered")
                .reason("it closed the connection")
                .hint("look whether it runs again, then ask again")),
            None => Err(Failure::failed("the server stopped before it answered")
                .reason(patience::CHANGE_UNKNOWN)
                .hint("look at the present state (product show, device show), then ask again")),
        }
    }

    /// Sends a request; a server that went away shows itself when the answer is read.
    fn send(&mut self, request: &Request, patience: &mut Patience) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(request).map_err(|error| other_version(&error.to_string()))?;
        line.push(b'\n');
        let stream = self.stream.get_mut();
        stream.set_write_timeout(Some(patience::STEP)).map_err(|error| cannot_talk(&error))?;
        let mut rest = &line[..];
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Ok(()),
                Ok(written) => {
                    rest = &rest[written..];
                    patience.moved();
                }
                Err(error) if patience::is_step(&error) => patience.waited()?,
                Err(error) if gone(&error) => return Ok(()),
                Err(error) => return Err(cannot_talk(&error)),
            }
        }
        Ok(())
    }

    /// The next reply, however long it takes; `None` when the server closed the connection.
    pub(crate) fn receive(&mut self) -> Result<Option<Reply>, Failure> {
        self.reply(None)
    }

    fn reply(&mut self, mut patience: Option<&mut Patience>) -> Result<Option<Reply>, Failure> {
        let step = patience.is_some().then_some(patience::STEP);
        self.stream.get_mut().set_read_timeout(step).map_err(|error| cannot_talk(&error))?;
        self.line.clear();
        loop {
            let before = self.line.len();
            let read = self.stream.read_until(b'\n', &mut self.line);
            if let Some(patience) = patience.as_mut().filter(|_| self.line.len() > before) {
                patience.moved();
            }
            match read {
                // An incomplete line is one of a server that was killed while it wrote.
                Ok(_) if !self.line.ends_with(b"\n") => return Ok(None),
                Ok(_) => break,
                Err(error) if patience::is_step(&error) => {
                    if let Some(patience) = patience.as_mut() {
                        patience.waited()?;
                    }
                }
                Err(error) if gone(&error) => return Ok(None),
                Err(error) => return Err(cannot_talk(&error)),
            }
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|error| other_version(&error.to_string()))
    }
}

fn cannot_talk(error: &io::Error) -> Failure {
    Failure::failed("cannot talk to the running server").reason(error)
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
