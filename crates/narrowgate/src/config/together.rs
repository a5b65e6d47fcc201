//! Values that are good alone and have no effect together. A default offends nobody: only what somebody has
//! set is refused.

use std::fmt;

use narrowgate_dtls::CipherSuite;

use super::{Config, Origin, StoreKind, admission, coap, dtls, key::Setting, limits, nbiot, session, store};
use crate::failure::Failure;

/// The part of a shard's memory for answers that a body in blocks may have grown to and still take a block
/// more: a 16th of the quarter that is for bodies, beside itself.
const BODY_PARTS: u64 = 4 * (16 + 1);

/// Refuses the first value that has no effect.
///
/// # Errors
/// The value, where it was set, and beside which other it does nothing.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if config.dtls.retransmit_initial >= config.dtls.handshake_lifetime {
        let lifetime = shown(config, &dtls::HANDSHAKE_LIFETIME);
        let reason = format_args!("is not shorter than {lifetime}: nothing would be sent again");
        return Err(refuse(config, &dtls::RETRANSMIT_INITIAL, reason));
    }
    if config.dtls.require_encrypt_then_mac && !config.dtls.suites.iter().any(is_cbc) {
        let reason = format_args!("has no effect: dtls.suites has no suite with CBC");
        return Err(refuse(config, &dtls::REQUIRE_ENCRYPT_THEN_MAC, reason));
    }
    if config.admission.handshakes_per_address_max > config.admission.handshakes_max
        && is_set(config, &admission::HANDSHAKES_PER_ADDRESS_MAX)
    {
        let all = shown(config, &admission::HANDSHAKES_MAX);
        let reason = format_args!("is more than {all}: it would never be reached");
        return Err(refuse(config, &admission::HANDSHAKES_PER_ADDRESS_MAX, reason));
    }
    if config.coap.listen.is_none() && is_set(config, &coap::LOGINS_MAX) {
        let reason = format_args!("has no effect: coap.listen is off");
        return Err(refuse(config, &coap::LOGINS_MAX, reason));
    }
    if config.nbiot.separate_after >= config.nbiot.ack_timeout {
        let first = shown(config, &nbiot::ACK_TIMEOUT);
        let reason = format_args!("is not shorter than {first}: the device would repeat its request before");
        return Err(refuse(config, &nbiot::EMPTY_ACK_AFTER, reason));
    }
    let shards = u64::from(config.dtls.shards) * if config.coap.listen.is_some() { 2 } else { 1 };
    let message_bytes = u64::try_from(config.limits.message.bytes()).unwrap_or(u64::MAX);
    if message_bytes.saturating_mul(BODY_PARTS).saturating_mul(shards) > config.session.answer_memory_bytes
        && is_set(config, &limits::MESSAGE_BYTES)
    {
        let memory = shown(config, &session::ANSWER_MEMORY);
        let reason = format_args!("is too much for {memory}: a message in blocks would find no room there");
        return Err(refuse(config, &limits::MESSAGE_BYTES, reason));
    }
    if config.coap.listen.is_some_and(|listen| listen == config.dtls.listen && listen.port() != 0) {
        let reason = format_args!("is where DTLS listens (dtls.listen): choose another port");
        return Err(refuse(config, &coap::LISTEN, reason));
    }
    if config.store.kind == StoreKind::Memory
        && let Some(key) = store::OF_FILES.into_iter().find(|key| is_set(config, *key))
    {
        let reason = format_args!("has no effect: store.kind is memory, which keeps nothing in files");
        return Err(refuse(config, key, reason));
    }
    Ok(())
}

fn is_cbc(suite: &CipherSuite) -> bool {
    *suite == CipherSuite::PskAes128CbcSha256
}

fn is_set(config: &Config, key: &dyn Setting) -> bool {
    *config.values.origin(key) != Origin::Default
}

/// A key with its value.
fn shown(config: &Config, key: &dyn Setting) -> String {
    format!("{}, {:?}", key.name(), config.values.text(key))
}

fn refuse(config: &Config, key: &dyn Setting, reason: fmt::Arguments<'_>) -> Failure {
    config.values.refuse(key, format_args!("{:?} {reason}", config.values.text(key)))
}
