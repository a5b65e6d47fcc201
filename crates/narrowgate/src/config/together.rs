//! Values that are good alone and have no effect together. A default offends nobody: only what somebody has
//! set is refused.

use narrowgate_dtls::CipherSuite;

use super::{Config, Origin, StoreKind};
use crate::failure::Failure;

/// Settings that only a store with files has.
const OF_FILES: [&str; 3] = ["store.data_key_file", "store.cache", "store.retention"];

/// Refuses the first value that has no effect.
///
/// # Errors
/// The value, where it was set, and beside which other it does nothing.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    let other = |key| format!("{key}, {:?}", config.values.text(key));
    let lifetime = "dtls.handshake_lifetime";
    if config.dtls.retransmit_initial >= config.dtls.handshake_lifetime {
        refuse(config, "dtls.retransmit_initial", |text| {
            format!("{text:?} is not shorter than {}: nothing would be sent again", other(lifetime))
        })?;
    }
    if config.dtls.require_encrypt_then_mac && !config.dtls.suites.iter().any(is_cbc) {
        refuse(config, "dtls.require_encrypt_then_mac", |text| {
            format!("{text:?} has no effect: dtls.suites has none with CBC")
        })?;
    }
    let all = "admission.handshakes_max";
    if config.admission.handshakes_per_address_max > config.admission.handshakes_max {
        refuse_set(config, "admission.handshakes_per_address_max", |text| {
            format!("{text:?} is more than {}: it would never be reached", other(all))
        })?;
    }
    if config.store.kind == StoreKind::Memory {
        for key in OF_FILES {
            refuse_set(config, key, |text| {
                format!("{text:?} has no effect: store.kind is memory, which keeps nothing in files")
            })?;
        }
    }
    Ok(())
}

fn is_cbc(suite: &CipherSuite) -> bool {
    *suite == CipherSuite::PskAes128CbcSha256
}

fn refuse(config: &Config, key: &'static str, reason: impl FnOnce(&str) -> String) -> Result<(), Failure> {
    config.values.read(key, |text| Err(reason(text)))
}

/// The same for a value whose default has no effect either.
fn refuse_set(
    config: &Config,
    key: &'static str,
    reason: impl FnOnce(&str) -> String,
) -> Result<(), Failure> {
    match config.values.origin(key) {
        Origin::Default => Ok(()),
        _ => refuse(config, key, reason),
    }
}
