//! Settings of a server and of a client.

use std::time::Duration;

use crate::{
    codes::CipherSuite,
    secret::{DecoySecret, Psk},
};

/// Whether handshakes use the extended master secret (RFC 7627).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedMasterSecretPolicy {
    /// Refuse clients that do not offer it.
    Require,
    /// Use it if the client offers it.
    Allow,
    /// Never use it.
    Off,
}

/// Defaults of the timer that repeats flights.
const RETRANSMIT_INITIAL: Duration = Duration::from_secs(1);
const RETRANSMIT_MAX: Duration = Duration::from_secs(60);
const RETRANSMITS_MAX: u8 = 5;

/// The shortest default of a handshake's lifetime.
const HANDSHAKE_LIFETIME_MIN: Duration = Duration::from_secs(60);

/// Settings of a server's handshakes.
#[derive(Debug)]
pub struct ServerConfig {
    /// The cipher suites, in the server's order of preference.
    pub suites: Vec<CipherSuite>,
    /// Default: allow.
    pub extended_master_secret: ExtendedMasterSecretPolicy,
    /// Refuse CBC without encrypt-then-MAC. Default: no, because many modules do not offer it.
    pub require_encrypt_then_mac: bool,
    /// Time until a flight is first repeated, doubled at each repetition. Default 1 s; 9 s suits NB-IoT (RFC
    /// 7925, section 11).
    pub retransmit_initial: Duration,
    /// Longest time between repetitions. Default 60 s.
    pub retransmit_max: Duration,
    /// How often the timer repeats a flight at most. Default 5.
    pub retransmits_max: u8,
    /// Time from the accepted cookie to the end of a handshake that does not finish. Default 60 s; see
    /// [`ServerConfig::handshake_lifetime_for`] for slower timers.
    pub handshake_lifetime: Duration,
    /// Largest datagram that we send, UDP payload in bytes. Default 1280; a session seals less if less fits
    /// into a record.
    pub datagram_bytes_max: usize,
    /// Derives the keys of unknown identities.
    pub decoy: DecoySecret,
}

impl ServerConfig {
    /// A configuration with the defaults.
    pub fn new(decoy: DecoySecret) -> Self {
        Self {
            suites: CipherSuite::ALL.to_vec(),
            extended_master_secret: ExtendedMasterSecretPolicy::Allow,
            require_encrypt_then_mac: false,
            retransmit_initial: RETRANSMIT_INITIAL,
            retransmit_max: RETRANSMIT_MAX,
            retransmits_max: RETRANSMITS_MAX,
            handshake_lifetime: Self::handshake_lifetime_for(RETRANSMIT_INITIAL),
            datagram_bytes_max: 1280,
            decoy,
        }
    }

    /// A handshake lifetime that is long enough for all repetitions of a flight and for an answer to the last
    /// one, which may take as long as the interval before it; at least 60 s, in whole seconds.
    pub fn handshake_lifetime_for(retransmit_initial: Duration) -> Duration {
        let mut interval = retransmit_initial.min(RETRANSMIT_MAX);
        let mut last_repetition = Duration::ZERO;
        let mut before_it = Duration::ZERO;
        for _ in 0..RETRANSMITS_MAX {
            last_repetition += interval;
            before_it = interval;
            interval = (interval * 2).min(RETRANSMIT_MAX);
        }
        let lifetime = (last_repetition + before_it).max(HANDSHAKE_LIFETIME_MIN);
        Duration::from_secs(lifetime.as_millis().div_ceil(1000) as u64)
    }
}

/// Settings of a client's handshake.
#[derive(Debug)]
pub struct ClientConfig {
    /// The cipher suites, in the client's order of preference.
    pub suites: Vec<CipherSuite>,
    /// Opaque; cut at [`crate::limits::PSK_IDENTITY_BYTES_MAX`] bytes.
    pub identity: Vec<u8>,
    /// The key that belongs to the identity.
    pub psk: Psk,
    /// Offer the extended master secret. Default: yes.
    pub extended_master_secret: bool,
    /// Offer encrypt-then-MAC. Default: yes.
    pub encrypt_then_mac: bool,
    /// Code of max_fragment_length to offer, 1 to 4 for 512 to 4096 bytes; other values offer nothing.
    /// Default: none.
    pub max_fragment_length: Option<u8>,
    /// Time until a flight is first repeated, doubled at each repetition. Default 1 s.
    pub retransmit_initial: Duration,
    /// Longest time between repetitions. Default 60 s.
    pub retransmit_max: Duration,
    /// How often a flight is repeated at most; the handshake expires if the last repetition is not answered.
    /// Default 5.
    pub retransmits_max: u8,
    /// Largest datagram that we send, UDP payload in bytes; at least 64. Default 1280.
    pub datagram_bytes_max: usize,
}

impl ClientConfig {
    /// A configuration with the defaults.
    pub fn new(identity: &[u8], psk: Psk) -> Self {
        Self {
            suites: CipherSuite::ALL.to_vec(),
            identity: identity.to_vec(),
            psk,
            extended_master_secret: true,
            encrypt_then_mac: true,
            max_fragment_length: None,
            retransmit_initial: RETRANSMIT_INITIAL,
            retransmit_max: RETRANSMIT_MAX,
            retransmits_max: RETRANSMITS_MAX,
            datagram_bytes_max: 1280,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_repetitions_fit_into_the_lifetime_of_their_handshake() {
        let lifetime = |ms| ServerConfig::handshake_lifetime_for(Duration::from_millis(ms)).as_secs();
        // 9, 27, 63, 123 and 183 s; the last one was sent 60 s after the one before.
        assert_eq!(lifetime(9_000), 243);
        // 1, 3, 7, 15 and 31 s.
        assert_eq!((lifetime(100), lifetime(1_000)), (60, 60));
        assert_eq!((lifetime(1_700), lifetime(2_000), lifetime(60_000)), (80, 94, 360));
    }
}
