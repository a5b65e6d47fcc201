//! `narrowgate serve` and `narrowgate demo`.

use clap::Args;

/// Options of `serve` and `demo`; each is also a key of the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// CoAP over DTLS listens here [default: 0.0.0.0:5684]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dtls: Option<String>,
    /// Plain CoAP; not served by this version
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) coap: Option<String>,
    /// Health and metrics listen here; off: they are not served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub(crate) http: Option<String>,
    /// Threads that serve devices [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) shards: Option<String>,
}
