//! Accepts connections and answers them until told to stop.

use std::{future::Future, io, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

use crate::connection::LimitedListener;

/// An answer takes at most so long, else it is 503.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// After the stop, open connections get so long to end.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Serves `router` on `listener` until `stop` completes and open connections ended or [`DRAIN_TIME_MAX`] is over.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopped, mut stopping) = tokio::sync::watch::channel(());
    let graceful = axum::serve(LimitedListener::new(listener), router).with_graceful_shutdown(async move {
        stop.await;
        // Nobody listens any more only when the server ended by itself.
        let _ = stopped.send(());
    });
    let overdue = async move {
        let _ = stopping.changed().await;
        tokio::time::sleep(DRAIN_TIME_MAX).await;
    };
    tokio::select! {
        result = graceful => result,
        () = overdue => Ok(()),
    }
}
