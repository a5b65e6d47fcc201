//! The record layer's header (RFC 6347, section 4.1): type | version | epoch u16 | sequence u48 | length u16.
//!
//! Limits: a length beyond the datagram or beyond [`limits::CIPHERTEXT_BYTES_MAX`] drops the rest of the datagram.

use crate::codes::{ContentType, HandshakeType, Version};
use crate::discard::Discard;
use crate::limits;

/// Bytes of a record header without Connection ID.
pub(crate) const HEADER_BYTES: usize = 13;

/// Epoch and sequence number; unique for one direction of one association.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u16,
    /// At most 48 bits.
    pub(crate) sequence: u64,
}

impl RecordNumber {
    /// The eight bytes that stand in the header, the nonce and the authenticated data.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.sequence).to_be_bytes()
    }
}

/// The header of a record that is known to be whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) content_type: ContentType,
    pub(crate) version: Version,
    pub(crate) number: RecordNumber,
}

impl RecordHeader {
    /// Splits a whole record into header and fragment.
    pub(crate) fn parse(record: &mut [u8]) -> Result<(Self, &mut [u8]), Discard> {
        let (header, fragment) = record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(Discard::Short)?;
        let (header, length) = Self::decode(header);
        if fragment.len() != length || length > limits::CIPHERTEXT_BYTES_MAX {
            return Err(Discard::RecordLength);
        }
        Ok((header, fragment))
    }

    /// The first record of a datagram that is only looked at.
    pub(crate) fn parse_first(datagram: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let (header, rest) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(Discard::Short)?;
        let (header, length) = Self::decode(header);
        match rest.get(..length) {
            Some(fragment) if length <= limits::CIPHERTEXT_BYTES_MAX => Ok((header, fragment)),
            _ => Err(Discard::RecordLength),
        }
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> (Self, usize) {
        let [kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *bytes;
        let number = RecordNumber {
            epoch: u16::from_be_bytes([e0, e1]),
            sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
        };
        let version = Version(u16::from_be_bytes([v0, v1]));
        (Self { content_type: ContentType(kind), version, number }, usize::from(u16::from_be_bytes([l0, l1])))
    }

    /// The header's 13 bytes with a fragment of `length` bytes to follow.
    pub(crate) fn to_bytes(self, length: usize) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.content_type.0;
        bytes[1..3].copy_from_slice(&self.version.0.to_be_bytes());
        bytes[3..11].copy_from_slice(&self.number.to_bytes());
        bytes[11..].copy_from_slice(&(length as u16).to_be_bytes());
        bytes
    }

    /// What a MAC or an AEAD authenticates besides the content (RFC 5246, sections 6.2.3.1 and 6.2.3.3):
    /// epoch and sequence | type | version | length.
    pub(crate) fn authenticated_data(&self, length: usize) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_bytes());
        bytes[8] = self.content_type.0;
        bytes[9..11].copy_from_slice(&self.version.0.to_be_bytes());
        bytes[11..].copy_from_slice(&(length as u16).to_be_bytes());
        bytes
    }
}

/// Appends a record of epoch 0.
pub(crate) fn put_plaintext(
    out: &mut Vec<u8>,
    content_type: ContentType,
    version: Version,
    sequence: u64,
    fragment: &[u8],
) {
    let header = RecordHeader { content_type, version, number: RecordNumber { epoch: 0, sequence } };
    out.extend_from_slice(&header.to_bytes(fragment.len()));
    out.extend_from_slice(fragment);
}

/// Splits the first record off a datagram: `(record with header, rest)`. `None` when no whole record is left, or its
/// length is impossible; what is left must then be dropped.
pub fn split_record(datagram: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let length = match *datagram.first_chunk::<HEADER_BYTES>()? {
        [.., high, low] => usize::from(u16::from_be_bytes([high, low])),
    };
    if length > limits::CIPHERTEXT_BYTES_MAX {
        return None;
    }
    datagram.split_at_mut_checked(HEADER_BYTES + length)
}

/// What a datagram seems to be, by its first bytes alone. Good for routing; proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatagramKind {
    /// Cannot hold a record.
    EmptyOrShort,
    /// Starts with an epoch-0 handshake record that holds a ClientHello, or its first fragment.
    ClientHello,
    /// Starts with another epoch-0 record: ClientKeyExchange, ChangeCipherSpec, an alert, a later fragment.
    HandshakeEpoch0,
    /// Starts with a record of epoch 1 or later.
    Protected,
    /// Not DTLS.
    Unknown,
}

/// Tells what a datagram seems to be.
pub fn classify(datagram: &[u8]) -> DatagramKind {
    let Some(bytes) = datagram.first_chunk::<HEADER_BYTES>() else {
        return DatagramKind::EmptyOrShort;
    };
    let (header, length) = RecordHeader::decode(bytes);
    let version_fits = header.version == Version::DTLS_1_2 || header.version == Version::DTLS_1_0;
    if !version_fits || !header.content_type.is_known() || length > limits::CIPHERTEXT_BYTES_MAX {
        return DatagramKind::Unknown;
    }
    if header.number.epoch > 0 {
        return DatagramKind::Protected;
    }
    if header.content_type == ContentType::HANDSHAKE && starts_client_hello(&datagram[HEADER_BYTES..]) {
        DatagramKind::ClientHello
    } else {
        DatagramKind::HandshakeEpoch0
    }
}

/// Whether a handshake fragment is a ClientHello's first: type 1, and a fragment_offset of zero as far as it is there.
fn starts_client_hello(fragment: &[u8]) -> bool {
    let offset = fragment.get(6..9).unwrap_or_default();
    fragment.first() == Some(&HandshakeType::CLIENT_HELLO.0) && offset.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_datagram_drops_the_rest() {
        let mut datagram = [0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xf4, 1, 2, 3];
        assert_eq!(split_record(&mut datagram), None);
    }

    #[test]
    fn records_of_one_datagram_come_in_order() {
        let mut datagram = Vec::new();
        put_plaintext(&mut datagram, ContentType::HANDSHAKE, Version::DTLS_1_2, 7, b"one");
        put_plaintext(&mut datagram, ContentType::ALERT, Version::DTLS_1_2, 8, b"");
        let (first, rest) = split_record(&mut datagram).expect("two records were put");
        assert_eq!(first.len(), HEADER_BYTES + 3);
        let (second, rest) = split_record(rest).expect("one more record");
        assert_eq!(second.len(), HEADER_BYTES);
        assert!(rest.is_empty() && split_record(rest).is_none());
    }

    #[test]
    fn a_header_round_trips() {
        let mut record = Vec::new();
        put_plaintext(&mut record, ContentType::ALERT, Version::DTLS_1_0, limits::SEQUENCE_MAX, b"xy");
        let (header, fragment) = RecordHeader::parse(&mut record).expect("whole record");
        assert_eq!(header.number, RecordNumber { epoch: 0, sequence: limits::SEQUENCE_MAX });
        assert_eq!((header.content_type, header.version), (ContentType::ALERT, Version::DTLS_1_0));
        assert_eq!(fragment, b"xy");
    }

    #[test]
    fn classify_tells_hello_rest_of_handshake_and_protected_apart() {
        let mut hello = Vec::new();
        put_plaintext(&mut hello, ContentType::HANDSHAKE, Version::DTLS_1_0, 0, &[1, 0, 0, 0]);
        assert_eq!(classify(&hello), DatagramKind::ClientHello);
        let mut fragment = Vec::new();
        put_plaintext(
            &mut fragment,
            ContentType::HANDSHAKE,
            Version::DTLS_1_2,
            0,
            &[1, 0, 1, 0, 0, 1, 0, 0, 9, 0],
        );
        assert_eq!(classify(&fragment), DatagramKind::HandshakeEpoch0, "not the first fragment");
        hello[13] = 16;
        assert_eq!(classify(&hello), DatagramKind::HandshakeEpoch0);
        hello[4] = 1;
        assert_eq!(classify(&hello), DatagramKind::Protected);
        hello[1] = 3;
        assert_eq!(classify(&hello), DatagramKind::Unknown);
        assert_eq!(classify(&hello[..12]), DatagramKind::EmptyOrShort);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(mut bytes: Vec<u8>) {
            let _ = classify(&bytes);
            let _ = RecordHeader::parse_first(&bytes);
            let mut rest = bytes.as_mut_slice();
            while let Some((record, tail)) = split_record(rest) {
                prop_assert!(RecordHeader::parse(record).is_ok());
                rest = tail;
            }
        }
    }
}
