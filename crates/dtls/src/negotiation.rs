//! What our server chooses from a ClientHello, or why it refuses.

use crate::{
    codes::CipherSuite,
    config::{ExtendedMasterSecretPolicy, ServerConfig},
    message::client_hello::{ClientHello, OfferedExtensions},
    offered::{OfferedVersions, SuiteMismatch},
    refusal::{Missing, Refusal},
};

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) suite: CipherSuite,
    /// The extensions that the ServerHello answers.
    pub(crate) extensions: OfferedExtensions,
}

/// Chooses by the server's order of preference.
pub(crate) fn choose(config: &ServerConfig, hello: &ClientHello<'_>) -> Result<Choice, Refusal> {
    if !hello.start.version.reaches_1_2() {
        return Err(Refusal::VersionUnsupported(OfferedVersions::one(hello.start.version)));
    }
    let suite = choose_suite(config, hello)?;
    let offered = hello.extensions;
    let extended_master_secret = match config.extended_master_secret {
        ExtendedMasterSecretPolicy::Require if !offered.extended_master_secret => {
            return Err(Refusal::InsufficientSecurity(Missing::ExtendedMasterSecret));
        }
        ExtendedMasterSecretPolicy::Off => false,
        _ => offered.extended_master_secret,
    };
    let extensions = OfferedExtensions {
        extended_master_secret,
        // RFC 7366 2: only answered when a block cipher is chosen.
        encrypt_then_mac: offered.encrypt_then_mac && suite == CipherSuite::PskAes128CbcSha256,
        renegotiation_info: hello.wants_renegotiation_info(),
        max_fragment_length: offered.max_fragment_length,
    };
    Ok(Choice { suite, extensions })
}

fn choose_suite(config: &ServerConfig, hello: &ClientHello<'_>) -> Result<CipherSuite, Refusal> {
    let mut refusal = None;
    for &suite in config.suites.iter().filter(|suite| hello.offers(suite.id())) {
        let needs_encrypt_then_mac =
            suite == CipherSuite::PskAes128CbcSha256 && config.require_encrypt_then_mac;
        if needs_encrypt_then_mac && !hello.extensions.encrypt_then_mac {
            refusal = Some(Refusal::InsufficientSecurity(Missing::EncryptThenMac));
        } else {
            return Ok(suite);
        }
    }
    Err(refusal.unwrap_or_else(|| match hello.versions_without_1_2() {
        // The version field stands for all later versions (RFC 9147, section 5.3); the suites that the hello
        // offers belong to another one.
        Some(versions) => Refusal::VersionUnsupported(versions),
        None => Refusal::NoCommonCipherSuite(SuiteMismatch::new(hello.suites(), &config.suites)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{MESSAGE_HEADER_BYTES, client_hello::ClientOffer},
        secret::DecoySecret,
    };

    const CCM: CipherSuite = CipherSuite::PskAes128Ccm8;
    const CBC: CipherSuite = CipherSuite::PskAes128CbcSha256;

    fn config() -> ServerConfig {
        ServerConfig::new(DecoySecret::new([0; 32]))
    }

    fn chosen(
        config: &ServerConfig,
        suites: &[CipherSuite],
        ems: bool,
        etm: bool,
    ) -> Result<Choice, Refusal> {
        let extensions = OfferedExtensions {
            extended_master_secret: ems,
            encrypt_then_mac: etm,
            ..OfferedExtensions::default()
        };
        let offer = ClientOffer { random: [0; 32], suites: suites.to_vec(), extensions };
        let message = offer.emit(1, &[]);
        choose(config, &ClientHello::parse(&message[MESSAGE_HEADER_BYTES..]).expect("our own"))
    }

    #[test]
    fn attack_058_ccm_is_preferred_whatever_the_client_prefers() {
        assert_eq!(chosen(&config(), &[CBC, CCM], true, true).map(|choice| choice.suite), Ok(CCM));
        assert_eq!(chosen(&config(), &[CBC], true, true).map(|choice| choice.suite), Ok(CBC));
        let mismatch = SuiteMismatch::new([].into_iter(), &CipherSuite::ALL);
        assert_eq!(chosen(&config(), &[], true, true), Err(Refusal::NoCommonCipherSuite(mismatch)));
    }

    #[test]
    fn attack_027_encrypt_then_mac_is_answered_with_cbc_only() {
        let etm =
            |suite| chosen(&config(), &[suite], true, true).map(|choice| choice.extensions.encrypt_then_mac);
        assert_eq!(etm(CCM), Ok(false));
        assert_eq!(etm(CBC), Ok(true));
    }

    #[test]
    fn encrypt_then_mac_can_be_required() {
        let config = ServerConfig { require_encrypt_then_mac: true, ..config() };
        let missing = Refusal::InsufficientSecurity(Missing::EncryptThenMac);
        assert_eq!(chosen(&config, &[CBC], true, false), Err(missing));
        assert_eq!(chosen(&config, &[CBC, CCM], true, false).map(|choice| choice.suite), Ok(CCM));
    }

    #[test]
    fn attack_060_the_extended_master_secret_follows_the_policy() {
        use ExtendedMasterSecretPolicy::{Allow, Off, Require};
        let used = |policy, offered| {
            let config = ServerConfig { extended_master_secret: policy, ..config() };
            chosen(&config, &[CCM], offered, false).map(|choice| choice.extensions.extended_master_secret)
        };
        assert_eq!(used(Allow, true), Ok(true));
        assert_eq!(used(Allow, false), Ok(false));
        assert_eq!(used(Off, true), Ok(false));
        assert_eq!(used(Require, true), Ok(true));
        assert_eq!(used(Require, false), Err(Refusal::InsufficientSecurity(Missing::ExtendedMasterSecret)));
    }
}
