//! `serve`: serves devices until a signal.

use crate::{
    config::Config,
    failure::Failure,
    output,
    serve::{self, Hangup, Server, Signals},
};

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    serve::run(async {
        let mut signals = Signals::catch(Hangup::GoesOn)?;
        serve::log::start(config)?;
        warn_of_mistyped_variables();
        let server = Server::start(config).await?;
        server.ready(config).await?;
        let name = signals.next().await;
        stop(server, signals, name).await
    })
}

/// Stops the server after the first signal; a second one ends the process at once.
pub(super) async fn stop(server: Server, mut signals: Signals, name: &str) -> Result<(), Failure> {
    output::note(format_args!("{name}: finishing work in progress (repeat to stop at once)"));
    let leave_store_open = server.store_left_open();
    tokio::select! {
        stopped = server.stop() => stopped,
        name = signals.another() => {
            leave_store_open();
            let headline = format!("stopped at once by a second signal ({name})");
            Err(Failure::failed(headline)
                .reason("work in progress was given up; what was acknowledged is stored"))
        }
    }
}

pub(super) fn warn_of_mistyped_variables() {
    for warning in super::config::mistyped_warnings() {
        tracing::warn!("{warning}");
    }
}
