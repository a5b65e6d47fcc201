//! Notifies systemd, if it started this process (sd_notify; `Type=notify`).

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// How long a manager that does not read is waited for.
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

/// How often the manager wants to hear `WATCHDOG=1` at least, if it does (`WatchdogSec=`). One that does
/// not hear it ends the process and starts it again.
pub(super) fn watchdog_interval() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    interval_for(
        variable("WATCHDOG_USEC").as_deref(),
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    )
}

/// The variables may be inherited from a parent that they were meant for: then they name its process.
fn interval_for(microseconds: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    microseconds?.parse().ok().filter(|time| *time > 0).map(Duration::from_micros)
}

/// Sends `state`, `READY=1` for example. Without `NOTIFY_SOCKET` nothing is sent.
pub(super) fn send_state(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIME_MAX))?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_at_the_socket_of_the_service_manager() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 32];
        let length = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
    }

    #[test]
    fn the_watchdog_is_served_only_where_it_is_meant_for_this_process() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval_for(Some("1000000"), None, 7), second);
        assert_eq!(interval_for(Some("1000000"), Some("7"), 7), second);
        assert_eq!(interval_for(Some("1000000"), Some("8"), 7), None);
        for wrong in [None, Some(""), Some("0"), Some("-1"), Some("soon")] {
            assert_eq!(interval_for(wrong, None, 7), None, "{wrong:?}");
        }
    }
}
