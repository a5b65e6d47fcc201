//! What the program says at its start: what listens where, and what it works on.

use super::{Server, keeps_nothing};
use crate::{config::Config, control::execute, failure::Failure, output};

/// Prints to standard error.
pub(super) async fn print(config: &Config, server: &Server) -> Result<(), Failure> {
    let (dtls, control) = (server.dtls, server.control.display());
    let http = match server.http {
        None => "off".to_owned(),
        Some(http) if http.ip().is_loopback() => format!("http://{http}   (this machine only)"),
        Some(http) => format!("http://{http}   (reachable from outside, without a password)"),
    };
    let kept = if keeps_nothing(config) { "   (store.kind is memory: nothing is kept)" } else { "" };
    let registry = execute::summary(&server.registry).await?;
    output::note(format_args!(
        "narrowgate {}\n  devices   coaps://{dtls}   ({})\n  http      {http}\n  \
         control   {control}\n  data      {}{kept}\n  registry  {registry}",
        env!("CARGO_PKG_VERSION"),
        output::counted(config.dtls.shards, "shard"),
        config.data.display(),
    ));
    Ok(())
}
