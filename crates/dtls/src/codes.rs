//! Numbers of the IANA registries, as open newtypes: an unknown one is a value, not an error.

/// Content type of a record (TLS ContentType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) u8);

impl ContentType {
    pub(crate) const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub(crate) const ALERT: Self = Self(21);
    pub(crate) const HANDSHAKE: Self = Self(22);
    pub(crate) const APPLICATION_DATA: Self = Self(23);
    /// A record with a Connection ID (RFC 9146, section 4).
    pub(crate) const TLS12_CID: Self = Self(25);

    /// Whether it is one of the four content types of TLS 1.2.
    pub(crate) const fn is_known(self) -> bool {
        self.0 >= 20 && self.0 <= 23
    }
}

/// Version on the wire: one's complement of the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) u16);

impl Version {
    /// Also the version of every HelloVerifyRequest and of many first records (RFC 6347, section 4.2.1).
    pub(crate) const DTLS_1_0: Self = Self(0xfeff);
    pub(crate) const DTLS_1_2: Self = Self(0xfefd);

    /// Whether a peer whose highest version is this one can speak DTLS 1.2. Later versions have lower
    /// numbers.
    pub(crate) const fn reaches_1_2(self) -> bool {
        self.0 >> 8 == 0xfe && self.0 <= Self::DTLS_1_2.0
    }
}

/// Type of a handshake message (TLS HandshakeType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandshakeType(pub(crate) u8);

impl HandshakeType {
    pub(crate) const HELLO_REQUEST: Self = Self(0);
    pub(crate) const CLIENT_HELLO: Self = Self(1);
    pub(crate) const SERVER_HELLO: Self = Self(2);
    pub(crate) const HELLO_VERIFY_REQUEST: Self = Self(3);
    pub(crate) const SERVER_KEY_EXCHANGE: Self = Self(12);
    pub(crate) const SERVER_HELLO_DONE: Self = Self(14);
    pub(crate) const CLIENT_KEY_EXCHANGE: Self = Self(16);
    pub(crate) const FINISHED: Self = Self(20);
}

/// Type of a hello extension (TLS ExtensionType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExtensionType(pub(crate) u16);

impl ExtensionType {
    pub(crate) const MAX_FRAGMENT_LENGTH: Self = Self(1);
    pub(crate) const ENCRYPT_THEN_MAC: Self = Self(22);
    pub(crate) const EXTENDED_MASTER_SECRET: Self = Self(23);
    pub(crate) const SUPPORTED_VERSIONS: Self = Self(43);
    pub(crate) const RENEGOTIATION_INFO: Self = Self(0xff01);
}

/// Level byte of an alert.
pub(crate) mod alert_level {
    pub(crate) const WARNING: u8 = 1;
    pub(crate) const FATAL: u8 = 2;
}

/// Description byte of an alert (TLS Alerts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlertDescription(pub(crate) u8);

impl AlertDescription {
    pub(crate) const CLOSE_NOTIFY: Self = Self(0);
    pub(crate) const UNEXPECTED_MESSAGE: Self = Self(10);
    pub(crate) const RECORD_OVERFLOW: Self = Self(22);
    pub(crate) const HANDSHAKE_FAILURE: Self = Self(40);
    pub(crate) const ILLEGAL_PARAMETER: Self = Self(47);
    pub(crate) const DECODE_ERROR: Self = Self(50);
    pub(crate) const DECRYPT_ERROR: Self = Self(51);
    pub(crate) const PROTOCOL_VERSION: Self = Self(70);
    pub(crate) const INSUFFICIENT_SECURITY: Self = Self(71);
    pub(crate) const NO_RENEGOTIATION: Self = Self(100);
}

/// The signalling value that stands for an empty renegotiation_info (RFC 5746, section 3.3).
pub(crate) const EMPTY_RENEGOTIATION_INFO_SCSV: u16 = 0x00ff;

/// The null compression method, the only one that we support.
pub(crate) const COMPRESSION_NULL: u8 = 0;

/// The cipher suites of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherSuite {
    /// TLS_PSK_WITH_AES_128_CCM_8, 0xC0A8 (RFC 6655).
    PskAes128Ccm8,
    /// TLS_PSK_WITH_AES_128_CBC_SHA256, 0x00AE (RFC 5487); the only one that many NB-IoT modules offer.
    PskAes128CbcSha256,
}

impl CipherSuite {
    /// Both, the better one first.
    pub const ALL: [Self; 2] = [Self::PskAes128Ccm8, Self::PskAes128CbcSha256];

    /// Name in the IANA registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PskAes128Ccm8 => "TLS_PSK_WITH_AES_128_CCM_8",
            Self::PskAes128CbcSha256 => "TLS_PSK_WITH_AES_128_CBC_SHA256",
        }
    }

    /// Number in the IANA registry.
    pub const fn id(self) -> u16 {
        match self {
            Self::PskAes128Ccm8 => 0xc0a8,
            Self::PskAes128CbcSha256 => 0x00ae,
        }
    }
}
