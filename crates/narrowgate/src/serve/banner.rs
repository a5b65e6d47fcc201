//! What the program says at its start: what listens where, and what it works on.

use super::{Server, keeps_nothing};
use crate::{config::Config, control::execute, failure::Failure, output};

/// Prints to standard error.
pub(super) async fn print(config: &Config, server: &Server) -> Result<(), Failure> {
    let (dtls, http, control) = (server.dtls, server.http, server.control.display());
    let reach = if http.ip().is_loopback() {
        "this machine only"
    } else {
        "reachable from outside, without a password"
    };
    let kept = if keeps_nothing(config) { "   (store.kind is memory: nothing is kept)" } else { "" };
    let registry = execute::summary(&server.registry).await?;
    output::note(format_args!(
        "narrowgate {}\n  devices   coaps://{dtls}   ({} shards)\n  http      http://{http}   ({reach})\n  \
         control   {control}\n  data      {}{kept}\n  registry  {registry}",
        env!("CARGO_PKG_VERSION"),
        config.dtls.shards,
        config.data.display(),
    ));
    Ok(())
}
