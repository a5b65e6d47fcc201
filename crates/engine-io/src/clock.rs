//! The clock of a shard's thread.
//!
//! In a default build this is the system's monotonic clock and nothing else. With the feature `test-hooks`,
//! and with `NARROWGATE_TEST_CLOCK=127.0.0.1:PORT` in the environment, time stands still until a test moves
//! it. A datagram to that address holds milliseconds as digits. It is echoed once everything that the server
//! received before is handled and answered, look-ups of keys included, and the time has moved by that much.
//! `0` only waits.

#[cfg(not(feature = "test-hooks"))]
use std::time::Instant;

#[cfg(feature = "test-hooks")]
pub(crate) use hooked::{advance, now, serve};

/// The time.
#[cfg(not(feature = "test-hooks"))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(feature = "test-hooks")]
mod hooked {
    use std::{
        io,
        net::{SocketAddr, UdpSocket},
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
            mpsc,
        },
        thread,
        time::{Duration, Instant},
    };

    use crate::handle::{Input, ShardHandle};

    const VARIABLE: &str = "NARROWGATE_TEST_CLOCK";
    /// Most milliseconds in one step: an hour.
    const STEP_MAX_MS: u64 = 3_600_000;

    /// The stopped time, if it is stopped: its start, and the milliseconds that it was moved by.
    static STOPPED: OnceLock<(Instant, AtomicU64)> = OnceLock::new();

    pub(crate) fn now() -> Instant {
        match STOPPED.get() {
            Some((start, moved_ms)) => *start + Duration::from_millis(moved_ms.load(Ordering::SeqCst)),
            None => Instant::now(),
        }
    }

    /// Moves the stopped time.
    pub(crate) fn advance(by: Duration) {
        if let Some((_, moved_ms)) = STOPPED.get() {
            moved_ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
        }
    }

    /// Stops the time if the environment says so, and moves it on request from then on.
    ///
    /// # Errors
    /// When the variable is not a loopback address, or the address cannot be bound.
    pub(crate) fn serve(handle: &ShardHandle) -> io::Result<()> {
        let Ok(address) = std::env::var(VARIABLE) else { return Ok(()) };
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        if !address.ip().is_loopback() || handle.shard != 0 {
            return Err(io::Error::other("the test clock wants a loopback address and one shard"));
        }
        let socket = UdpSocket::bind(address)?;
        STOPPED.get_or_init(|| (Instant::now(), AtomicU64::new(0)));
        let handle = handle.clone();
        thread::Builder::new().name("test-clock".to_owned()).spawn(move || {
            let mut text = [0; 16];
            while let Ok((length, peer)) = socket.recv_from(&mut text) {
                let number =
                    std::str::from_utf8(&text[..length]).ok().and_then(|text| text.trim().parse().ok());
                let Some(ms) = number.filter(|&ms: &u64| ms <= STEP_MAX_MS) else { continue };
                let (done, waiting) = mpsc::channel::<()>();
                let done = Box::new(move || drop(done));
                handle.input(Input::Advance { by: Duration::from_millis(ms), done });
                // Ignored: this ends with an error when the sender is dropped, which means that it is done.
                let _ = waiting.recv();
                // Ignored: the peer may be gone.
                let _ = socket.send_to(&text[..length], peer);
            }
        })?;
        Ok(())
    }
}
