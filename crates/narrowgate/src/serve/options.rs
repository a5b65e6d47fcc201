//! Turns the configuration into the settings of the gateway.

use std::sync::Arc;

use narrowgate_coap::Params;
use narrowgate_dtls::{DecoySecret, ServerConfig};
use narrowgate_engine::shard::{ShardConfig, admission::AdmissionLimits};
use narrowgate_gateway::Limits;
use narrowgate_platform::device_api::{BODY_BYTES_MAX, carried::COMMAND, envelope::SUCCESS};

use crate::{
    config::{Config, coap::Coap},
    gateway::{GatewayOptions, PlainOptions},
};

/// The settings; what is not configured keeps its default.
pub(super) fn gateway_options(config: &Config, decoy: [u8; 32]) -> GatewayOptions {
    let dtls = Arc::new(ServerConfig {
        suites: config.dtls.suites.clone(),
        extended_master_secret: config.dtls.extended_master_secret,
        require_encrypt_then_mac: config.dtls.require_encrypt_then_mac,
        retransmit_initial: config.dtls.retransmit_initial,
        handshake_lifetime: config.dtls.handshake_lifetime,
        ..ServerConfig::new(DecoySecret::new(decoy))
    });
    let shard = ShardConfig {
        admission: AdmissionLimits {
            handshakes_max: config.admission.handshakes_max,
            handshakes_per_address_max: config.admission.handshakes_per_address_max,
            lookups_max: config.admission.lookups_max,
            slow_round_trip: config.admission.slow_round_trip,
        },
        coap: Params {
            answer_frame: Some(&SUCCESS),
            body_bytes_max: config.limits.message.bytes(),
            answer_bytes_max: BODY_BYTES_MAX,
            first_block_options: &[COMMAND],
            ..Params::default()
        },
        nbiot: config.nbiot,
        coap_budget_bytes: usize::try_from(config.session.answer_memory_bytes).unwrap_or(usize::MAX),
        sessions_max: config.session.sessions_max,
        idle_timeout: config.session.idle_timeout,
        device_bytes: config.limits.device_bytes,
        ..ShardConfig::new(dtls.clone())
    };
    let limits = Limits {
        device_handshakes: config.limits.device_handshakes,
        device_bytes: config.limits.device_bytes,
        message: config.limits.message,
    };
    let Coap { listen, logins_max, fresh_logins } = config.coap;
    let plain = listen.map(|listen| PlainOptions { listen, logins_max, fresh_logins });
    let (dtls_listen, shards) = (config.dtls.listen, config.dtls.shards);
    let public_address = config.dtls.public_address.clone();
    GatewayOptions { dtls_listen, public_address, plain, shards, dtls, shard, limits, trace: config.trace }
}
