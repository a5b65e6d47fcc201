//! What the owner of an endpoint decides.

use std::time::Duration;

use crate::codes::CipherSuite;
use crate::secret::{DecoySecret, Psk};

/// Whether handshakes use the extended master secret (RFC 7627).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtendedMasterSecretPolicy {
    /// Refuse clients that do not offer it.
    Require,
    /// Use it where it is offered.
    Allow,
    /// Never use it.
    Off,
}

/// How a server does its handshakes.
#[derive(Debug)]
pub struct ServerConfig {
    /// In order of the server's preference.
    pub suites: Vec<CipherSuite>,
    /// Default: allow.
    pub extended_master_secret: ExtendedMasterSecretPolicy,
    /// Refuse CBC without encrypt-then-MAC. Default: no, as many modules do not offer it.
    pub require_encrypt_then_mac: bool,
    /// Time to the first repetition of a flight, doubled at each. Default 1 s; 9 s suits NB-IoT (RFC 7925, section 11).
    pub retransmit_initial: Duration,
    /// Longest time between repetitions. Default 60 s.
    pub retransmit_max: Duration,
    /// Most repetitions of a flight by the timer. Default 5.
    pub retransmits_max: u8,
    /// Time from the accepted cookie to the end of a handshake that does not finish. Default 60 s.
    pub handshake_lifetime: Duration,
    /// Largest datagram that we send, UDP payload in bytes. Default 1280; a session seals less if less fits.
    pub datagram_bytes_max: usize,
    /// From this the keys of unknown identities are made.
    pub decoy: DecoySecret,
}

impl ServerConfig {
    /// The defaults.
    pub fn new(decoy: DecoySecret) -> Self {
        Self {
            suites: CipherSuite::ALL.to_vec(),
            extended_master_secret: ExtendedMasterSecretPolicy::Allow,
            require_encrypt_then_mac: false,
            retransmit_initial: Duration::from_secs(1),
            retransmit_max: Duration::from_secs(60),
            retransmits_max: 5,
            handshake_lifetime: Duration::from_secs(60),
            datagram_bytes_max: 1280,
            decoy,
        }
    }
}

/// How a client does its handshake.
#[derive(Debug)]
pub struct ClientConfig {
    /// In order of the client's preference.
    pub suites: Vec<CipherSuite>,
    /// Opaque; cut at [`crate::limits::PSK_IDENTITY_BYTES_MAX`] bytes.
    pub identity: Vec<u8>,
    /// The key that belongs to the identity.
    pub psk: Psk,
    /// Offer the extended master secret. Default: yes.
    pub extended_master_secret: bool,
    /// Offer encrypt-then-MAC. Default: yes.
    pub encrypt_then_mac: bool,
    /// Code of max_fragment_length to offer, 1 to 4 for 512 to 4096 bytes; other values offer nothing. Default: none.
    pub max_fragment_length: Option<u8>,
    /// Time to the first repetition of a flight, doubled at each. Default 1 s.
    pub retransmit_initial: Duration,
    /// Longest time between repetitions. Default 60 s.
    pub retransmit_max: Duration,
    /// Most repetitions of a flight; the handshake expires when the last one stays unanswered. Default 5.
    pub retransmits_max: u8,
    /// Largest datagram that we send, UDP payload in bytes; at least 64. Default 1280.
    pub datagram_bytes_max: usize,
}

impl ClientConfig {
    /// The defaults.
    pub fn new(identity: &[u8], psk: Psk) -> Self {
        Self {
            suites: CipherSuite::ALL.to_vec(),
            identity: identity.to_vec(),
            psk,
            extended_master_secret: true,
            encrypt_then_mac: true,
            max_fragment_length: None,
            retransmit_initial: Duration::from_secs(1),
            retransmit_max: Duration::from_secs(60),
            retransmits_max: 5,
            datagram_bytes_max: 1280,
        }
    }
}
