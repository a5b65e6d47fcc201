//! `serve`: serves devices until a signal.

use crate::{
    cli::ServerArgs,
    config::Config,
    failure::Failure,
    output,
    serve::{self, Hangup, Server, Signals},
};

pub(super) fn run(config: &Config, arguments: &ServerArgs) -> Result<(), Failure> {
    refuse_plain_coap(arguments)?;
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

/// Refuses `--coap`: this version does not serve plain CoAP.
pub(super) fn refuse_plain_coap(arguments: &ServerArgs) -> Result<(), Failure> {
    match &arguments.coap {
        None => Ok(()),
        Some(address) => Err(Failure::usage("plain CoAP is not served by this version")
            .part("where", format_args!("--coap {address}"))
            .reason("only CoAP over DTLS is")
            .hint("leave --coap out, and let devices connect by DTLS (--dtls)")),
    }
}

pub(super) fn warn_of_mistyped_variables() {
    for warning in super::config::mistyped_warnings() {
        tracing::warn!("{warning}");
    }
}
