//! A look at the audit log at the start. One that is broken stops nothing: devices are served, and deeds are
//! written down behind what is there.

use std::thread;

use crate::{
    config::{Config, StoreKind},
    store,
};

/// Follows the chain in a thread of its own, and says in the log where it is broken.
pub(super) fn check(config: &Config) {
    if config.store.kind == StoreKind::Memory {
        return;
    }
    let data = config.data.clone();
    let follow = move || {
        if let Some(what) = store::broken_audit(&data) {
            tracing::error!(what, "the audit log is broken; see narrowgate audit verify");
        }
    };
    // Ignored: without a thread it is not looked at now.
    let _ = thread::Builder::new().name("audit-check".to_owned()).spawn(follow);
}
