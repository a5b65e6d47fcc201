//! The limit of open files (`ulimit -n`), which counts sockets too.

use narrowgate_http::TCP_PLACES_MAX;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{config::Config, socket};

/// The store's files with their logs, its readers' and those of the runtime, and some to spare.
const STORE_AND_REST: u64 = 256;
/// A shard's socket, its poll and its waker.
const OF_A_SHARD: u64 = 3;

/// How many a server with these settings may need at its own limits.
pub(crate) fn needed(config: &Config) -> u64 {
    let connections =
        [TCP_PLACES_MAX, socket::PLACES_MAX].map(|max| max.requests + max.queued + max.followers);
    let listeners = if config.coap.listen.is_some() { 2 } else { 1 };
    let shards = u64::from(config.dtls.shards) * listeners;
    STORE_AND_REST + OF_A_SHARD * shards + connections.iter().sum::<usize>() as u64
}

/// Raises the limit to that, as far as this user may raise it.
pub(super) fn provide(config: &Config) {
    let needed = needed(config);
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if now >= needed {
        return;
    }
    let limit = needed.min(most);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, limit, most) {
        tracing::warn!(%error, now, needed, "the limit of open files cannot be raised (ulimit -n)");
    } else if limit < needed {
        tracing::warn!(limit, needed, "the limit of open files is low; raise it (LimitNOFILE=, ulimit -n)");
    }
}
