//! The control socket: `control.sock` in the data directory, mode 0600, for its owner and root.

mod listener;
mod path;

use std::{
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::{fs::MetadataExt as _, net::UnixStream},
    },
    path::Path,
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, getsockopt, socket, sockopt,
};

pub(crate) use listener::{ControlSocket, PLACES_MAX};

/// Name of the socket in the data directory.
pub(crate) const NAME: &str = "control.sock";

/// Connects to the socket of a data directory; never waits. The stream does not block.
///
/// # Errors
/// The system's: `NotFound` and `ConnectionRefused` if no server runs, `WouldBlock` if the server's queue of
/// connections is full.
pub(crate) fn connect(data: &Path) -> io::Result<UnixStream> {
    let path = path::ShortPath::new(data, NAME)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path.path())?)?;
    Ok(socket.into())
}

/// The user of the process that listens at the other end, if nobody should talk to it: commands send secrets.
/// It must run as the owner of the data directory, or as root.
///
/// # Errors
/// The system does not say who it is.
pub(crate) fn untrusted_peer(stream: &UnixStream, data: &Path) -> io::Result<Option<u32>> {
    let peer = getsockopt(stream, sockopt::PeerCredentials)?.uid();
    let owner = fs::metadata(data)?.uid();
    Ok(Some(peer).filter(|peer| !may_serve(*peer, owner)))
}

/// The process that listens at the other end; `None`: it lives where this one cannot see it.
pub(crate) fn process_of_peer(stream: &UnixStream) -> Option<u32> {
    let process = getsockopt(stream, sockopt::PeerCredentials).ok()?.pid();
    u32::try_from(process).ok().filter(|process| *process > 0)
}

/// The user as whom it runs, seen from here; `None`: the system does not say it.
pub(crate) fn user_of_peer(stream: &UnixStream) -> Option<u32> {
    Some(getsockopt(stream, sockopt::PeerCredentials).ok()?.uid())
}

fn may_serve(peer: u32, owner: u32) -> bool {
    peer == owner || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_the_directory_and_root_are_talked_to() {
        assert!(may_serve(1000, 1000) && may_serve(0, 1000) && may_serve(0, 0));
        assert!(!may_serve(1001, 1000) && !may_serve(1000, 0));
    }

    #[test]
    fn a_server_of_our_own_is_talked_to_and_a_full_queue_does_not_block() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(connect(data.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = std::os::unix::net::UnixListener::bind(data.path().join(NAME)).unwrap();
        let stream = connect(data.path()).unwrap();
        assert_eq!(untrusted_peer(&stream, data.path()).unwrap(), None);
        assert_eq!(process_of_peer(&stream), Some(std::process::id()));
        assert_eq!(user_of_peer(&stream), Some(fs::metadata(data.path()).unwrap().uid()));
        let mut kept = vec![stream];
        let full = loop {
            match connect(data.path()) {
                Ok(stream) => kept.push(stream),
                Err(error) => break error,
            }
            assert!(kept.len() < 10_000, "the queue has no end");
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        assert_eq!(connect(data.path()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
