//! The server's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use narrowgate_http::{Listener, PlacesMax};
use tokio::net::{UnixListener, UnixStream};

use super::{NAME, path::ShortPath};
use crate::failure::Failure;

/// Connections at a time: commands, and beside them those who listen. One more listener is refused, so that
/// no number of them keeps a command out.
pub(crate) const PLACES_MAX: PlacesMax = PlacesMax { requests: 64, queued: 256, followers: 64, waiting: 16 };

/// The bound socket. Its file is removed on drop.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The user who owns the socket and may use it, besides root.
    owner: u32,
}

impl ControlSocket {
    /// Binds the socket of this data directory, which only this process uses: an older socket file is a
    /// leftover.
    ///
    /// # Errors
    /// The directory does not allow it.
    pub(crate) fn bind(data: &Path) -> Result<Self, Failure> {
        let target = data.join(NAME);
        let bound = bind_private(data).and_then(|listener| Ok((listener, fs::metadata(&target)?.uid())));
        match bound {
            Ok((listener, owner)) => Ok(Self { listener, path: target, owner }),
            Err(error) => {
                Err(Failure::failed("cannot create the control socket").file(target.display()).cannot_make(
                    data,
                    &error,
                    "the data directory must be local and writable; choose another with --data",
                ))
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn may_use(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Listener for ControlSocket {
    type Io = UnixStream;

    async fn accept(&mut self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.may_use(&stream) => return stream,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Ignored: the next server replaces a leftover.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds under another name first, so that the socket is private before it has its final name.
fn bind_private(data: &Path) -> io::Result<UnixListener> {
    let fresh = ShortPath::new(data, "control.new")?;
    match fs::remove_file(fresh.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(fresh.path())?;
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o600))?;
    fs::rename(data.join("control.new"), data.join(NAME))?;
    Ok(listener)
}
