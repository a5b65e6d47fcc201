//! ClientHello (RFC 5246, section 7.4.1.2, with the cookie of RFC 6347, section 4.2.1): version | random 32 |
//! session_id <0..32> | cookie <0..255> | cipher_suites <2..> | compression <1..> | extensions.
//!
//! The block of extensions may be missing. Unknown extensions are ignored; two of one type are refused.

use crate::{
    codes::{
        COMPRESSION_NULL, CipherSuite, EMPTY_RENEGOTIATION_INFO_SCSV, ExtensionType, HandshakeType, Version,
    },
    limits,
    message::{emit, put_extension},
    offered::OfferedVersions,
    refusal::Refusal,
    wire::{Malformed, Reader, put_vector8, put_vector16},
};

/// The part up to the cookie, which a first fragment must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHelloStart<'a> {
    pub(crate) version: Version,
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) cookie: &'a [u8],
}

/// The part after the cookie that the two hellos of a client have in common (RFC 6347, section 4.2.1). A
/// first fragment may or may not hold it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHelloOffer<'a> {
    pub(crate) cipher_suites: &'a [u8],
    pub(crate) compression: &'a [u8],
}

impl<'a> ClientHelloOffer<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { cipher_suites: reader.vector16()?, compression: reader.vector8()? })
    }
}

/// Distinguishes the ClientHellos of a peer. A copy has the same id; so has a new attempt of a device whose
/// random never changes, but the cookie of a copy is not valid for longer than
/// [`limits::COOKIE_LIFETIME_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HelloId {
    pub(crate) message_seq: u16,
    pub(crate) random: [u8; 32],
}

impl<'a> ClientHelloStart<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let version = Version(reader.u16()?);
        let random = reader.array()?;
        let session_id = reader.vector8()?;
        if session_id.len() > 32 {
            return Err(Malformed);
        }
        let cookie = reader.vector8()?;
        Ok(Self { version, random, session_id, cookie })
    }
}

/// A whole ClientHello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHello<'a> {
    pub(crate) start: ClientHelloStart<'a>,
    cipher_suites: &'a [u8],
    pub(crate) extensions: OfferedExtensions,
    /// All of them, with their types and lengths.
    extension_block: &'a [u8],
}

/// The extensions that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OfferedExtensions {
    pub(crate) extended_master_secret: bool,
    pub(crate) encrypt_then_mac: bool,
    pub(crate) renegotiation_info: bool,
    pub(crate) max_fragment_length: Option<MaxFragmentLength>,
}

/// Code of max_fragment_length (RFC 6066, section 4): 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxFragmentLength(u8);

impl MaxFragmentLength {
    pub(crate) fn new(code: u8) -> Option<Self> {
        (1..=4).contains(&code).then_some(Self(code))
    }

    pub(crate) fn code(self) -> u8 {
        self.0
    }

    /// Longest plaintext: 512, 1024, 2048 or 4096 bytes.
    pub(crate) fn bytes(self) -> usize {
        256 << self.0
    }
}

impl<'a> ClientHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(body);
        let (start, ClientHelloOffer { cipher_suites, compression }) = Self::read_fixed(&mut reader)?;
        if cipher_suites.is_empty() || !cipher_suites.len().is_multiple_of(2) || compression.is_empty() {
            return Err(Refusal::DecodeError);
        }
        if !compression.contains(&COMPRESSION_NULL) {
            return Err(Refusal::IllegalParameter);
        }
        let mut extension_block: &[u8] = &[];
        if !reader.is_empty() {
            extension_block = reader.vector16()?;
            reader.finish()?;
        }
        let extensions = OfferedExtensions::parse(extension_block)?;
        Ok(Self { start, cipher_suites, extensions, extension_block })
    }

    fn read_fixed(
        reader: &mut Reader<'a>,
    ) -> Result<(ClientHelloStart<'a>, ClientHelloOffer<'a>), Malformed> {
        Ok((ClientHelloStart::read(reader)?, ClientHelloOffer::read(reader)?))
    }

    /// Whether a number is among the offered suites.
    pub(crate) fn offers(&self, suite: u16) -> bool {
        self.suites().any(|id| id == suite)
    }

    /// The numbers of the offered suites.
    pub(crate) fn suites(&self) -> impl Iterator<Item = u16> + 'a {
        numbers(self.cipher_suites)
    }

    /// The versions that supported_versions lists, if DTLS 1.2 is not among them (RFC 8446, section 4.2.1).
    /// Our server negotiates by the version field alone; this only explains why nothing else fits.
    pub(crate) fn versions_without_1_2(&self) -> Option<OfferedVersions> {
        let mut block = Reader::new(self.extension_block);
        while let (Ok(extension), Ok(data)) = (block.u16(), block.vector16()) {
            if ExtensionType(extension) == ExtensionType::SUPPORTED_VERSIONS {
                let listed = Reader::new(data).vector8().ok()?;
                let has_1_2 = numbers(listed).any(|version| version == Version::DTLS_1_2.0);
                return (!has_1_2).then(|| OfferedVersions::new(numbers(listed)));
            }
        }
        None
    }

    /// Whether an answer with renegotiation_info is wanted (RFC 5746, section 3.6).
    pub(crate) fn wants_renegotiation_info(&self) -> bool {
        self.extensions.renegotiation_info || self.offers(EMPTY_RENEGOTIATION_INFO_SCSV)
    }
}

/// A list of 16-bit numbers.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

impl OfferedExtensions {
    fn parse(block: &[u8]) -> Result<Self, Refusal> {
        let mut extensions = Self::default();
        let mut seen = [0u16; limits::EXTENSIONS_MAX];
        let mut count = 0;
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            let extension = ExtensionType(reader.u16()?);
            let data = reader.vector16()?;
            // RFC 5246 7.4.1.4: there must not be two of one type.
            if seen[..count].contains(&extension.0) {
                return Err(Refusal::IllegalParameter);
            }
            *seen.get_mut(count).ok_or(Refusal::IllegalParameter)? = extension.0;
            count += 1;
            extensions.note(extension, data)?;
        }
        Ok(extensions)
    }

    fn note(&mut self, extension: ExtensionType, data: &[u8]) -> Result<(), Refusal> {
        match extension {
            ExtensionType::EXTENDED_MASTER_SECRET | ExtensionType::ENCRYPT_THEN_MAC if !data.is_empty() => {
                return Err(Refusal::DecodeError);
            }
            ExtensionType::EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            ExtensionType::ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            ExtensionType::RENEGOTIATION_INFO => {
                let mut reader = Reader::new(data);
                let verify_data = reader.vector8()?;
                reader.finish()?;
                if !verify_data.is_empty() {
                    return Err(Refusal::RenegotiationInfo);
                }
                self.renegotiation_info = true;
            }
            ExtensionType::MAX_FRAGMENT_LENGTH => {
                let code = match *data {
                    [code] => MaxFragmentLength::new(code),
                    _ => None,
                };
                self.max_fragment_length = Some(code.ok_or(Refusal::IllegalParameter)?);
            }
            _ => {}
        }
        Ok(())
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Self::DecodeError
    }
}

/// What our client sends in both of its ClientHellos.
#[derive(Debug, Clone)]
pub(crate) struct ClientOffer {
    pub(crate) random: [u8; 32],
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) extensions: OfferedExtensions,
}

impl ClientOffer {
    /// The whole message.
    pub(crate) fn emit(&self, message_seq: u16, cookie: &[u8]) -> Vec<u8> {
        emit(HandshakeType::CLIENT_HELLO, message_seq, |out| {
            out.extend_from_slice(&Version::DTLS_1_2.0.to_be_bytes());
            out.extend_from_slice(&self.random);
            put_vector8(out, &[]);
            put_vector8(out, cookie);
            let ids = self.suites.iter().map(|suite| suite.id()).chain([EMPTY_RENEGOTIATION_INFO_SCSV]);
            put_vector16(out, &ids.flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
            put_vector8(out, &[COMPRESSION_NULL]);
            let mut block = Vec::new();
            if self.extensions.extended_master_secret {
                put_extension(&mut block, ExtensionType::EXTENDED_MASTER_SECRET, &[]);
            }
            if self.extensions.encrypt_then_mac {
                put_extension(&mut block, ExtensionType::ENCRYPT_THEN_MAC, &[]);
            }
            if let Some(length) = self.extensions.max_fragment_length {
                put_extension(&mut block, ExtensionType::MAX_FRAGMENT_LENGTH, &[length.code()]);
            }
            if !block.is_empty() {
                put_vector16(out, &block);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MESSAGE_HEADER_BYTES;
    use proptest::prelude::*;

    fn offer() -> ClientOffer {
        ClientOffer {
            random: [5; 32],
            suites: CipherSuite::ALL.to_vec(),
            extensions: OfferedExtensions {
                extended_master_secret: true,
                encrypt_then_mac: true,
                renegotiation_info: false,
                max_fragment_length: MaxFragmentLength::new(2),
            },
        }
    }

    fn with_extensions(block: &[u8]) -> Result<OfferedExtensions, Refusal> {
        let plain = ClientOffer { extensions: OfferedExtensions::default(), ..offer() };
        let mut body = plain.emit(0, &[])[MESSAGE_HEADER_BYTES..].to_vec();
        put_vector16(&mut body, block);
        ClientHello::parse(&body).map(|hello| hello.extensions)
    }

    #[test]
    fn what_the_client_says_is_read_back() {
        let message = offer().emit(1, b"cookie");
        let hello = ClientHello::parse(&message[MESSAGE_HEADER_BYTES..]).expect("our own");
        assert_eq!(hello.start.cookie, b"cookie");
        assert_eq!(hello.extensions, offer().extensions);
        assert!(hello.offers(0xc0a8) && hello.offers(0x00ae) && !hello.offers(0xa8c0));
        assert!(hello.wants_renegotiation_info());
    }

    #[test]
    fn a_missing_block_of_extensions_is_legal() {
        let plain = ClientOffer { extensions: OfferedExtensions::default(), ..offer() };
        let message = plain.emit(0, &[]);
        assert!(ClientHello::parse(&message[MESSAGE_HEADER_BYTES..]).is_ok());
    }

    #[test]
    fn attack_029_a_hello_cut_anywhere_is_refused_or_lacks_its_extensions() {
        let message = offer().emit(0, b"0123456789abcdef");
        let body = &message[MESSAGE_HEADER_BYTES..];
        let without_extensions = body.len() - 2 - 4 - 4 - 5;
        for length in 0..body.len() {
            assert_eq!(ClientHello::parse(&body[..length]).is_ok(), length == without_extensions, "{length}");
        }
    }

    #[test]
    fn attack_061_unknown_extensions_are_ignored() {
        let block: Vec<u8> = (0..50u16).flat_map(|n| [0x0a + (n as u8) * 2, 0x0a, 0, 1, 7]).collect();
        assert_eq!(with_extensions(&block), Ok(OfferedExtensions::default()));
    }

    #[test]
    fn attack_031_faults_of_extensions_are_refused() {
        assert_eq!(with_extensions(&[0, 23, 0, 0, 0, 23, 0, 0]), Err(Refusal::IllegalParameter), "twice");
        assert_eq!(
            with_extensions(&[0, 99, 0, 0, 0, 99, 0, 0]),
            Err(Refusal::IllegalParameter),
            "unknown, twice"
        );
        assert_eq!(with_extensions(&[0, 23, 0, 1]), Err(Refusal::DecodeError), "past the end");
        assert_eq!(with_extensions(&[0, 23, 0, 1, 0]), Err(Refusal::DecodeError), "not empty");
        assert_eq!(with_extensions(&[0xff, 1, 0, 1, 0]).map(|seen| seen.renegotiation_info), Ok(true));
        assert_eq!(with_extensions(&[0xff, 1, 0, 2, 1, 9]), Err(Refusal::RenegotiationInfo));
        let many: Vec<u8> = (0..200u16).flat_map(|n| [0x40, n as u8, 0, 0]).collect();
        assert_eq!(with_extensions(&many), Err(Refusal::IllegalParameter), "too many");
    }

    #[test]
    fn attack_028_fragment_lengths_outside_1_to_4_are_illegal() {
        for data in [&[0][..], &[5], &[1, 1], &[]] {
            let mut block = vec![0, 1, 0, data.len() as u8];
            block.extend_from_slice(data);
            assert_eq!(with_extensions(&block), Err(Refusal::IllegalParameter));
        }
        let honoured = with_extensions(&[0, 1, 0, 1, 4]).expect("4096").max_fragment_length;
        assert_eq!(honoured.map(MaxFragmentLength::bytes), Some(4096));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ClientHello::parse(&bytes);
        }

        #[test]
        fn any_change_never_panics(index in 0usize..90, value: u8) {
            let mut message = offer().emit(0, b"0123456789abcdef");
            let index = index % message.len();
            message[index] = value;
            let _ = ClientHello::parse(&message[MESSAGE_HEADER_BYTES..]);
        }
    }
}
