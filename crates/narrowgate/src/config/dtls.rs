//! Section `[dtls]`: where devices connect, and how their handshakes go.

use std::{net::SocketAddr, time::Duration};

use narrowgate_dtls::{CipherSuite, ExtendedMasterSecretPolicy, ServerConfig};
use narrowgate_platform::firmware::ServerName;

use super::{
    accept::{Address, CountOrCores, HostOrAuto, Number, OneOf, SomeOf, Switch, Time, name_of_listener},
    key::{Key, Setting},
    values::Values,
};
use crate::failure::Failure;

pub(crate) static LISTEN: Key<Address> = Key {
    name: "dtls.listen",
    default: "0.0.0.0:5684",
    accepts: Address { examples: "0.0.0.0:5684 or [::]:5684" },
    help: "UDP address and port for CoAP over DTLS",
};

static PUBLIC_ADDRESS: Key<HostOrAuto> = Key {
    name: "dtls.public_address",
    default: "auto",
    accepts: HostOrAuto,
    help: "host and port in the URI of an image of firmware, {accepted}; auto: dtls.listen, or this \
           machine's name where that is no address of one machine",
};

pub(crate) static SHARDS: Key<CountOrCores> = Key {
    name: "dtls.shards",
    default: "0",
    accepts: CountOrCores(Number(1..=256)),
    help: "threads that serve devices, {accepted}",
};

static SUITES: Key<SomeOf<CipherSuite>> = Key {
    name: "dtls.suites",
    default: "TLS_PSK_WITH_AES_128_CCM_8,TLS_PSK_WITH_AES_128_CBC_SHA256",
    accepts: SomeOf {
        all: &[CipherSuite::PskAes128Ccm8, CipherSuite::PskAes128CbcSha256],
        name: CipherSuite::name,
    },
    help: "cipher suites, best first",
};

pub(super) static RETRANSMIT_INITIAL: Key<Time> = Key {
    name: "dtls.retransmit_initial",
    default: "1s",
    accepts: Time(Duration::from_millis(100)..=Duration::from_secs(60)),
    help: "first retransmission of a handshake flight, {accepted}; 9s suits NB-IoT",
};

pub(super) static HANDSHAKE_LIFETIME: Key<Time> = Key {
    name: "dtls.handshake_lifetime",
    default: "60s",
    accepts: Time(Duration::from_secs(5)..=Duration::from_secs(600)),
    help: "a handshake not done by then is dropped, {accepted}; unless set, all retransmissions fit into it",
};

static EXTENDED_MASTER_SECRET: Key<OneOf<ExtendedMasterSecretPolicy>> = Key {
    name: "dtls.extended_master_secret",
    default: "allow",
    accepts: OneOf(&[
        ("allow", ExtendedMasterSecretPolicy::Allow, "clients may do without (RFC 7627)"),
        ("require", ExtendedMasterSecretPolicy::Require, "they are refused"),
    ]),
    help: "{accepted}",
};

pub(super) static REQUIRE_ENCRYPT_THEN_MAC: Key<Switch> = Key {
    name: "dtls.require_encrypt_then_mac",
    default: "false",
    accepts: Switch,
    help: "true: CBC only with encrypt-then-MAC (RFC 7366)",
};

/// In the order in which they are shown.
pub(super) static KEYS: &[&dyn Setting] = &[
    &LISTEN,
    &PUBLIC_ADDRESS,
    &SHARDS,
    &SUITES,
    &RETRANSMIT_INITIAL,
    &HANDSHAKE_LIFETIME,
    &EXTENDED_MASTER_SECRET,
    &REQUIRE_ENCRYPT_THEN_MAC,
];

/// Section `[dtls]`.
#[derive(Debug, Clone)]
pub(crate) struct Dtls {
    pub(crate) listen: SocketAddr,
    /// `None`: by where it listens.
    pub(crate) public_address: Option<ServerName>,
    /// At least 1: "one per core" is resolved.
    pub(crate) shards: u16,
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) retransmit_initial: Duration,
    pub(crate) handshake_lifetime: Duration,
    pub(crate) extended_master_secret: ExtendedMasterSecretPolicy,
    pub(crate) require_encrypt_then_mac: bool,
}

impl Dtls {
    /// Reads the section. A lifetime that nobody set follows the first retransmission.
    pub(super) fn read(values: &mut Values) -> Result<Self, Failure> {
        let retransmit_initial = values.read(&RETRANSMIT_INITIAL)?;
        let lifetime = ServerConfig::handshake_lifetime_for(retransmit_initial);
        values.set_default(&HANDSHAKE_LIFETIME, format!("{}s", lifetime.as_secs()));
        Ok(Self {
            listen: values.read(&LISTEN)?,
            public_address: values.read(&PUBLIC_ADDRESS)?,
            shards: values.read(&SHARDS)?,
            suites: values.read(&SUITES)?,
            retransmit_initial,
            handshake_lifetime: values.read(&HANDSHAKE_LIFETIME)?,
            extended_master_secret: values.read(&EXTENDED_MASTER_SECRET)?,
            require_encrypt_then_mac: values.read(&REQUIRE_ENCRYPT_THEN_MAC)?,
        })
    }

    /// What devices call a server that listens here.
    pub(crate) fn server_name(&self, listener: SocketAddr) -> ServerName {
        self.public_address.clone().unwrap_or_else(|| name_of_listener(listener))
    }
}
