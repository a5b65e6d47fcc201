//! The control socket: `control.sock` in the data directory, mode 0600, for its owner and root.

mod listener;
mod path;

use std::{io, os::unix::net::UnixStream, path::Path};

pub(crate) use listener::{CONNECTIONS_MAX, ControlSocket};

/// Name of the socket in the data directory.
pub(crate) const NAME: &str = "control.sock";

/// Connects to the socket of a data directory.
///
/// # Errors
/// The system's: `NotFound` and `ConnectionRefused` if no server runs.
pub(crate) fn connect(data: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path::ShortPath::new(data, NAME)?.path())
}
