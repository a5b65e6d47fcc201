//! The record layer: what stands in front of a fragment, and what is authenticated with it. Only this module
//! knows how long either is.
//!
//! ```text
//! Plain          type | version u16 | epoch u16 | sequence u48 | length u16
//!                RFC 6347, section 4.1: 13 bytes
//!   additional   epoch | sequence | type | version | length of the content
//!                RFC 5246, sections 6.2.3.1 and 6.2.3.3: 13 bytes
//! ConnectionId   tls12_cid | version u16 | epoch u16 | sequence u48 | cid | length u16
//!                RFC 9146, section 4: 13 bytes and the Connection ID
//!   additional   ff x 8 | tls12_cid | length of cid u8 | tls12_cid | version | epoch | sequence | cid
//!                | length of the content
//!                RFC 9146, section 5: 23 bytes and the Connection ID
//! ```
//!
//! No handshake negotiates a Connection ID yet. One that does will put the real content type, and padding,
//! after the content before it is sealed (RFC 9146, section 4); the length of the content includes them.
//!
//! A layout is passed by value, and never inside a header: the compiler then sees that every caller passes
//! [`Layout::Plain`], and additional data of a known length saves CCM three instructions in a hundred.
//!
//! Limits: a length beyond the datagram or beyond [`limits::CIPHERTEXT_BYTES_MAX`] drops the rest of the
//! datagram; a Connection ID has at most [`CID_BYTES_MAX`] bytes.

use std::ops::Deref;

use crate::{
    codes::{ContentType, HandshakeType, Version},
    discard::Discard,
    limits,
};

/// Type, version, epoch and sequence number.
const FIXED_BYTES: usize = 11;
const LENGTH_BYTES: usize = 2;
/// Bytes of a header without Connection ID, such as every record of epoch 0 has.
pub const RECORD_HEADER_BYTES: usize = FIXED_BYTES + LENGTH_BYTES;
/// What is authenticated before the Connection ID and the length.
const CID_FIXED_BYTES: usize = 8 + 3 + 2 + 8;
/// Longest Connection ID. The additional data then fits the first block of a hash, which has 64 bytes.
const CID_BYTES_MAX: usize = 32;

/// How a record is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout<'a> {
    /// Without Connection ID.
    Plain,
    /// With the Connection ID that the receiver chose, 1 to [`CID_BYTES_MAX`] bytes. Where one was
    /// negotiated, all records of epoch 1 have it and none of epoch 0 (RFC 9146, section 3).
    #[cfg_attr(not(test), expect(dead_code, reason = "nothing negotiates a Connection ID yet"))]
    ConnectionId(&'a [u8]),
}

impl<'a> Layout<'a> {
    /// Bytes of the header.
    pub(crate) const fn header_bytes(self) -> usize {
        RECORD_HEADER_BYTES + self.cid().len()
    }

    /// Splits the first record off a datagram: record with header, rest.
    pub(crate) fn split(self, datagram: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), Discard> {
        let length = self.length(datagram)?;
        if length > limits::CIPHERTEXT_BYTES_MAX {
            return Err(Discard::RecordLength);
        }
        datagram.split_at_mut_checked(self.header_bytes() + length).ok_or(Discard::RecordLength)
    }

    /// Splits a whole record into header and fragment.
    pub(crate) fn parse(self, record: &mut [u8]) -> Result<(RecordHeader, &mut [u8]), Discard> {
        let (header, length) = self.read(record)?;
        let (_, fragment) = record.split_at_mut_checked(self.header_bytes()).ok_or(Discard::Short)?;
        if fragment.len() != length || length > limits::CIPHERTEXT_BYTES_MAX {
            return Err(Discard::RecordLength);
        }
        Ok((header, fragment))
    }

    /// Parses the first record of a datagram without changing it.
    pub(crate) fn parse_first(self, datagram: &[u8]) -> Result<(RecordHeader, &[u8]), Discard> {
        let (header, length) = self.read(datagram)?;
        match datagram[self.header_bytes()..].get(..length) {
            Some(fragment) if length <= limits::CIPHERTEXT_BYTES_MAX => Ok((header, fragment)),
            _ => Err(Discard::RecordLength),
        }
    }

    /// Appends the header of a record whose fragment has `length` bytes.
    pub(crate) fn emit(self, header: &RecordHeader, length: usize, out: &mut Vec<u8>) {
        let length = (length as u16).to_be_bytes();
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[0] = header.content_type.0;
        bytes[1..3].copy_from_slice(&header.version.0.to_be_bytes());
        bytes[3..FIXED_BYTES].copy_from_slice(&header.number.to_bytes());
        match self {
            Self::Plain => {
                bytes[FIXED_BYTES..].copy_from_slice(&length);
                out.extend_from_slice(&bytes);
            }
            Self::ConnectionId(cid) => {
                out.extend_from_slice(&bytes[..FIXED_BYTES]);
                out.extend_from_slice(cid);
                out.extend_from_slice(&length);
            }
        }
    }

    /// Writes the length of the fragment into the header of a whole record.
    pub(crate) fn set_length(self, record: &mut [u8]) {
        let header_bytes = self.header_bytes();
        let length = (record.len() - header_bytes) as u16;
        record[header_bytes - LENGTH_BYTES..header_bytes].copy_from_slice(&length.to_be_bytes());
    }

    /// What a MAC or an AEAD authenticates besides the content. `length` is the content's, or that of the IV
    /// and the ciphertext where the MAC covers these (RFC 7366, section 3; RFC 9146, section 5.2).
    pub(crate) fn additional_data(self, header: &RecordHeader, length: usize) -> AdditionalData {
        let (number, version) = (header.number.to_bytes(), header.version.0.to_be_bytes());
        let length = (length as u16).to_be_bytes();
        let mut data = AdditionalData { bytes: [0; AdditionalData::BYTES_MAX], length: 0 };
        match self {
            Self::Plain => {
                data.put(&number);
                data.put(&[header.content_type.0]);
                data.put(&version);
            }
            Self::ConnectionId(cid) => {
                let kind = header.content_type.0;
                data.put(&[0xff; 8]);
                data.put(&[kind, cid.len() as u8, kind]);
                data.put(&version);
                data.put(&number);
                data.put(cid);
            }
        }
        data.put(&length);
        data
    }

    const fn cid(self) -> &'a [u8] {
        match self {
            Self::Plain => &[],
            Self::ConnectionId(cid) => cid,
        }
    }

    /// The length that stands in the header at the start of `bytes`.
    fn length(self, bytes: &[u8]) -> Result<usize, Discard> {
        let length = bytes.get(self.header_bytes() - LENGTH_BYTES..).and_then(<[u8]>::first_chunk);
        length.map(|length| usize::from(u16::from_be_bytes(*length))).ok_or(Discard::Short)
    }

    /// The header at the start of `bytes`, and the length in it. A record of another layout is rejected.
    fn read(self, bytes: &[u8]) -> Result<(RecordHeader, usize), Discard> {
        let length = self.length(bytes)?;
        let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(Discard::Short)?;
        let [kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5] = *fixed;
        let content_type = ContentType(kind);
        if let Self::ConnectionId(cid) = self
            && !(content_type == ContentType::TLS12_CID && rest.starts_with(cid))
        {
            return Err(Discard::ContentType);
        }
        let number = RecordNumber {
            epoch: u16::from_be_bytes([e0, e1]),
            sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
        };
        let version = Version(u16::from_be_bytes([v0, v1]));
        Ok((RecordHeader { content_type, version, number }, length))
    }
}

/// Epoch and sequence number; unique for one direction of one association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u16,
    /// At most 48 bits.
    pub(crate) sequence: u64,
}

impl RecordNumber {
    /// The eight bytes that appear in the header, the nonce and the authenticated data.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.sequence).to_be_bytes()
    }
}

/// The header of a record that is known to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// With a Connection ID always `tls12_cid`.
    pub(crate) content_type: ContentType,
    pub(crate) version: Version,
    pub(crate) number: RecordNumber,
}

/// What is authenticated and not encrypted.
pub(crate) struct AdditionalData {
    bytes: [u8; Self::BYTES_MAX],
    length: usize,
}

const _: () = assert!(AdditionalData::BYTES_MAX <= 64, "the first block of a hash holds all of it");

impl AdditionalData {
    pub(crate) const BYTES_MAX: usize = CID_FIXED_BYTES + CID_BYTES_MAX + LENGTH_BYTES;

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl Deref for AdditionalData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
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
    let number = RecordNumber { epoch: 0, sequence };
    Layout::Plain.emit(&RecordHeader { content_type, version, number }, fragment.len(), out);
    out.extend_from_slice(fragment);
}

/// Splits the first record off a datagram: `(record with header, rest)`. `None` when no whole record is left,
/// or its length is impossible; the rest must then be dropped.
pub fn split_record(datagram: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    Layout::Plain.split(datagram).ok()
}

/// A record as an observer on its path sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSeen {
    /// Content type; 23 is application data.
    pub content_type: u8,
    /// Zero while nothing is encrypted.
    pub epoch: u16,
    /// Sequence number.
    pub sequence: u64,
    /// Bytes of the record, header included.
    pub bytes: usize,
}

/// The records of a datagram as an observer sees them, up to the first that is not whole.
pub fn records_seen(mut datagram: &[u8]) -> impl Iterator<Item = RecordSeen> {
    std::iter::from_fn(move || {
        let (header, fragment) = Layout::Plain.parse_first(datagram).ok()?;
        let bytes = Layout::Plain.header_bytes() + fragment.len();
        datagram = &datagram[bytes..];
        let RecordHeader { content_type, number: RecordNumber { epoch, sequence }, .. } = header;
        Some(RecordSeen { content_type: content_type.0, epoch, sequence, bytes })
    })
}

/// What a datagram seems to be, by its first bytes alone. Good for routing; proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Classifies a datagram.
pub fn classify(datagram: &[u8]) -> DatagramKind {
    let Ok((header, length)) = Layout::Plain.read(datagram) else {
        return DatagramKind::EmptyOrShort;
    };
    let version_fits = header.version == Version::DTLS_1_2 || header.version == Version::DTLS_1_0;
    if !version_fits || !header.content_type.is_known() || length > limits::CIPHERTEXT_BYTES_MAX {
        return DatagramKind::Unknown;
    }
    if header.number.epoch > 0 {
        return DatagramKind::Protected;
    }
    if header.content_type == ContentType::HANDSHAKE && starts_client_hello(&datagram[RECORD_HEADER_BYTES..])
    {
        DatagramKind::ClientHello
    } else {
        DatagramKind::HandshakeEpoch0
    }
}

/// Whether a handshake fragment is a ClientHello's first: type 1, and a fragment_offset of zero as far as it
/// is present.
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
        let seen: Vec<_> = records_seen(&datagram).map(|seen| (seen.content_type, seen.sequence)).collect();
        assert_eq!(seen, [(22, 7), (21, 8)]);
        let (first, rest) = split_record(&mut datagram).expect("two records were put");
        assert_eq!(first.len(), RECORD_HEADER_BYTES + 3);
        let (second, rest) = split_record(rest).expect("one more record");
        assert_eq!(second.len(), RECORD_HEADER_BYTES);
        assert!(rest.is_empty() && split_record(rest).is_none());
    }

    #[test]
    fn a_header_round_trips() {
        let mut record = Vec::new();
        put_plaintext(&mut record, ContentType::ALERT, Version::DTLS_1_0, limits::SEQUENCE_MAX, b"xy");
        let (header, fragment) = Layout::Plain.parse(&mut record).expect("whole record");
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

    const CID: [u8; 6] = [0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6];

    /// A header of RFC 9146 with a Connection ID of six bytes.
    fn with_cid() -> RecordHeader {
        RecordHeader {
            content_type: ContentType::TLS12_CID,
            version: Version::DTLS_1_2,
            number: RecordNumber { epoch: 1, sequence: 0x0203_0405_0607 },
        }
    }

    #[test]
    fn a_connection_id_stands_between_sequence_number_and_length() {
        let mut record = Vec::new();
        Layout::ConnectionId(&CID).emit(&with_cid(), 0x0102, &mut record);
        assert_eq!(hex::encode(&record), "19fefd0001020304050607c1c2c3c4c5c60102");
        assert_eq!(record.len(), Layout::ConnectionId(&CID).header_bytes());
    }

    #[test]
    fn a_connection_id_is_authenticated_as_rfc_9146_asks() {
        let expected = [
            "ffffffffffffffff", // seq_num_placeholder
            "19",               // tls12_cid
            "06",               // cid_length
            "19",               // tls12_cid
            "fefd",             // version
            "0001",             // epoch
            "020304050607",     // sequence_number
            "c1c2c3c4c5c6",     // cid
            "0102",             // length_of_DTLSInnerPlaintext, or DTLSCiphertext.length
        ];
        assert_eq!(
            hex::encode(&*Layout::ConnectionId(&CID).additional_data(&with_cid(), 0x0102)),
            expected.concat()
        );
        let longest = [7; CID_BYTES_MAX];
        let data = Layout::ConnectionId(&longest).additional_data(&with_cid(), 0);
        assert_eq!(data.len(), AdditionalData::BYTES_MAX);
    }

    #[test]
    fn without_connection_id_the_number_comes_first_in_what_is_authenticated() {
        let header = RecordHeader { content_type: ContentType::APPLICATION_DATA, ..with_cid() };
        assert_eq!(
            hex::encode(&*Layout::Plain.additional_data(&header, 0x0102)),
            "000102030405060717fefd0102"
        );
    }

    #[test]
    fn a_record_is_read_only_with_its_own_connection_id() {
        let layout = Layout::ConnectionId(&CID);
        let mut datagram = Vec::new();
        for fragment in [&b"sealed"[..], b""] {
            let start = datagram.len();
            layout.emit(&with_cid(), 0, &mut datagram);
            datagram.extend_from_slice(fragment);
            layout.set_length(&mut datagram[start..]);
        }
        assert_eq!(layout.parse_first(&datagram), Ok((with_cid(), &b"sealed"[..])));
        let (first, rest) = layout.split(&mut datagram).expect("two records were put");
        assert_eq!(layout.parse(first), Ok((with_cid(), &mut b"sealed".to_vec()[..])));
        assert_eq!(Layout::ConnectionId(&CID[..5]).parse(first), Err(Discard::RecordLength));
        assert_eq!(Layout::ConnectionId(&[0xc1, 2, 3, 4, 5, 6]).parse(first), Err(Discard::ContentType));
        first[0] = ContentType::APPLICATION_DATA.0;
        assert_eq!(layout.parse(first), Err(Discard::ContentType));
        assert_eq!(layout.split(rest).map(|(second, rest)| (second.len(), rest.len())), Ok((19, 0)));
        assert_eq!(layout.split(&mut rest[..18]), Err(Discard::Short));
    }

    proptest! {
        #[test]
        fn any_header_round_trips(
            (epoch, sequence) in (any::<u16>(), 0..=limits::SEQUENCE_MAX),
            cid in proptest::collection::vec(any::<u8>(), 0..=CID_BYTES_MAX),
            fragment in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let (layout, content_type) = if cid.is_empty() {
                (Layout::Plain, ContentType::HANDSHAKE)
            } else {
                (Layout::ConnectionId(&cid), ContentType::TLS12_CID)
            };
            let number = RecordNumber { epoch, sequence };
            let header = RecordHeader { content_type, version: Version::DTLS_1_2, number };
            let mut record = Vec::new();
            layout.emit(&header, fragment.len(), &mut record);
            record.extend_from_slice(&fragment);
            prop_assert_eq!(layout.parse_first(&record), Ok((header, &fragment[..])));
            prop_assert_eq!(layout.parse(&mut record), Ok((header, &mut fragment.clone()[..])));
        }

        #[test]
        fn any_bytes_never_panic(mut bytes: Vec<u8>) {
            let _ = classify(&bytes);
            let _ = Layout::Plain.parse_first(&bytes);
            let mut rest = bytes.as_mut_slice();
            while let Some((record, tail)) = split_record(rest) {
                prop_assert!(Layout::Plain.parse(record).is_ok());
                rest = tail;
            }
        }
    }
}
