//! Values that are good alone and have no effect together. A default offends nobody: only what somebody has
//! set is refused.
//!
//! Some depend on the flags of a server, or on the machine that it runs on: those are refused where a server
//! starts, and hinder no other command ([`check_server`]).

use std::fmt;

use narrowgate_coap::Budget;
use narrowgate_dtls::CipherSuite;

use super::{
    Config, Origin, StoreKind, accept::is_safe_site, admission, coap, dtls, http, key::Setting, limits,
    nbiot, oidc, session, store, trace,
};
use crate::failure::Failure;

/// Bodies of the largest size that a shard must have room for at a time.
const BODIES_MIN: usize = 16;
/// Bytes that a body in transfer takes beside itself.
const BESIDE_BODY_BYTES: usize = 512;

/// Refuses the first value that has no effect, whatever the server's flags and machine.
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
    if config.nbiot.separate_after >= config.nbiot.ack_timeout {
        let first = shown(config, &nbiot::ACK_TIMEOUT);
        let reason = format_args!("is not shorter than {first}: the device would repeat its request before");
        return Err(refuse(config, &nbiot::EMPTY_ACK_AFTER, reason));
    }
    if config.trace.is_none() && is_set(config, &trace::EVERY) {
        return Err(refuse(config, &trace::EVERY, format_args!("has no effect: trace.collector is off")));
    }
    if config.store.kind == StoreKind::Memory
        && let Some(key) = store::OF_FILES.into_iter().find(|key| is_set(config, *key))
    {
        let reason = format_args!("has no effect: store.kind is memory, which keeps nothing in files");
        return Err(refuse(config, key, reason));
    }
    check_provider(config)
}

/// Refuses what has no effect beside the identity provider, or without it.
fn check_provider(config: &Config) -> Result<(), Failure> {
    let Some(issuer) = &config.oidc.issuer else {
        let is_other = |key: &dyn Setting| key.name() != oidc::ISSUER.name && is_set(config, key);
        return match oidc::KEYS.iter().find(|key| is_other(**key)) {
            Some(key) => Err(refuse(config, *key, format_args!("has no effect: oidc.issuer is off"))),
            None => Ok(()),
        };
    };
    let Some(site) = &config.http.public_url else {
        let reason = format_args!("needs http.public_url: the provider sends browsers back to it");
        return Err(refuse(config, &oidc::ISSUER, reason));
    };
    let has_tls = config.http.behind_proxy || config.http.tls.is_some();
    if has_tls && !site.starts_with("https://") {
        let reason =
            format_args!("is not https://, by which browsers come here (http.behind_proxy, a certificate)");
        return Err(refuse(config, &http::PUBLIC_URL, reason));
    }
    if !has_tls && !is_safe_site(site) {
        let reason = format_args!(
            "has no TLS, and is not this machine: a login by the provider could be read and changed on the \
             way; give https://"
        );
        return Err(refuse(config, &http::PUBLIC_URL, reason));
    }
    if issuer.trim_end_matches('/') == site {
        let reason = format_args!("is where this server is (http.public_url): it is no provider itself");
        return Err(refuse(config, &oidc::ISSUER, reason));
    }
    Ok(())
}

/// Refuses the first value that has no effect in a server with these flags, on this machine.
///
/// # Errors
/// The value, where it was set, and beside which other it does nothing.
pub(super) fn check_server(config: &Config) -> Result<(), Failure> {
    let of_plain: [&dyn Setting; 2] = [&coap::LOGINS_MAX, &coap::FRESH_LOGINS];
    if config.coap.listen.is_none()
        && let Some(key) = of_plain.into_iter().find(|key| is_set(config, *key))
    {
        let reason = format_args!("has no effect: coap.listen is off");
        return Err(refuse(config, key, reason));
    }
    if config.coap.listen.is_some_and(|listen| listen == config.dtls.listen && listen.port() != 0) {
        let reason = format_args!("is where DTLS listens (dtls.listen): choose another port");
        return Err(refuse(config, &coap::LISTEN, reason));
    }
    if let Some(listen) = config.http.listen
        && !listen.ip().is_loopback()
        && !config.http.behind_proxy
        && config.http.tls.is_none()
    {
        let reason = format_args!(
            "is beyond this machine, and HTTP has no TLS: tokens could be read on the way; give a \
             certificate (http.tls_certificate, http.tls_key), or, where a proxy with TLS is in front of it, \
             and nobody else reaches it, say so: --http-behind-proxy (http.behind_proxy)"
        );
        return Err(refuse(config, &http::LISTEN, reason));
    }
    if config.http.tls.is_some() && config.http.listen.is_none() {
        let reason = format_args!("has no effect: http.listen is off");
        return Err(refuse(config, &http::TLS_CERTIFICATE, reason));
    }
    if config.oidc.issuer.is_some() && config.http.listen.is_none() {
        let reason = format_args!("has no effect: http.listen is off");
        return Err(refuse(config, &oidc::ISSUER, reason));
    }
    if is_set(config, &limits::MESSAGE_BYTES) {
        let shards = u64::from(config.dtls.shards) * if config.coap.listen.is_some() { 2 } else { 1 };
        let body_bytes = config.limits.message.bytes() + BESIDE_BODY_BYTES;
        let shard_bytes = u64::try_from(Budget::for_bodies(BODIES_MIN, body_bytes)).unwrap_or(u64::MAX);
        if shard_bytes.saturating_mul(shards) > config.session.answer_memory_bytes {
            let memory = shown(config, &session::ANSWER_MEMORY);
            let shards = crate::output::counted(shards, "shard");
            let reason = format_args!(
                "is too much for {memory}: {BODIES_MIN} such messages in blocks at a time find no room in \
                 each of {shards}"
            );
            return Err(refuse(config, &limits::MESSAGE_BYTES, reason));
        }
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
