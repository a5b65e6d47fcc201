//! `narrowgate serve`, `narrowgate demo`, and `narrowgate doctor`, which looks at what a server would find.

use clap::Args;

use crate::config::{dtls, http};

/// Options of `serve` and `demo`; each is also a key of the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// Address and port for devices.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = format!("CoAP over DTLS listens here [default: {}]", dtls::LISTEN.default)
    )]
    pub(crate) dtls: Option<String>,
    /// Address and port for devices without DTLS, or `off`.
    #[arg(
        long,
        value_name = "ADDR:PORT|off",
        help = "Plain CoAP listens here; anyone on the path can read and forge it [default: off]"
    )]
    pub(crate) coap: Option<String>,
    /// Address and port for health and metrics, or `off`.
    #[arg(
        long,
        value_name = "ADDR:PORT|off",
        help = format!(
            "Health and metrics listen here; off: they are not served [default: {}]",
            http::LISTEN.default
        )
    )]
    pub(crate) http: Option<String>,
    /// Only a proxy with TLS reaches the port of HTTP.
    #[arg(long, help = "Only a proxy with TLS reaches HTTP, which may then listen beyond this machine")]
    pub(crate) http_behind_proxy: bool,
    /// Threads that serve devices [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) shards: Option<String>,
}

pub(super) const DOCTOR_HELP: &str = "It changes nothing. Each check is well, watch (devices are served; \
    look at it) or act (they are not, or not for long); the exit code is 1 where one is act.\n\n\
    Examples:\n  sudo -u narrowgate narrowgate doctor --data /var/lib/narrowgate\n  \
    narrowgate doctor --dtls 0.0.0.0:5685 -o json\n  narrowgate doctor --ready";

/// Options of `doctor`: those of the server that it looks at.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Only whether a server runs on the data directory and serves devices: exit code 0, else 1
    #[arg(long)]
    pub(crate) ready: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
