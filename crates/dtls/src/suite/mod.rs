//! The seam between records and cryptography: the keys of one direction seal and open one record. Keys are
//! kept raw and their schedule is expanded at each use, which costs 30 ns and saves 300 bytes in every
//! session.

mod cbc_sha256;
mod ccm8;
mod lucky13;
#[cfg(test)]
mod vectors;

use crate::{
    Random,
    codes::CipherSuite,
    discard::Discard,
    record::{Layout, RecordHeader},
    wire::{Malformed, Reader},
};

pub(crate) use cbc_sha256::CbcOrder;

/// Keys of one direction.
pub(crate) enum DirectionKeys {
    Ccm8(ccm8::Ccm8Keys),
    Cbc(cbc_sha256::CbcKeys),
}

const _: () = assert!(size_of::<DirectionKeys>() <= 24, "there are two in each session");

impl DirectionKeys {
    pub(crate) fn ccm8(key: [u8; 16], salt: [u8; 4]) -> Self {
        Self::Ccm8(ccm8::Ccm8Keys::new(key, salt))
    }

    pub(crate) fn cbc(key: [u8; 16], mac: [u8; 32], order: CbcOrder) -> Self {
        Self::Cbc(cbc_sha256::CbcKeys::new(key, mac, order))
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        match self {
            Self::Ccm8(_) => CipherSuite::PskAes128Ccm8,
            Self::Cbc(_) => CipherSuite::PskAes128CbcSha256,
        }
    }

    /// Whether CBC records carry their MAC over the ciphertext (RFC 7366).
    pub(crate) fn encrypt_then_mac(&self) -> bool {
        matches!(self, Self::Cbc(keys) if keys.order() == CbcOrder::EncryptThenMac)
    }

    /// Bytes that are kept apart from this.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Ccm8(_) => 0,
            Self::Cbc(_) => cbc_sha256::CbcKeys::HEAP_BYTES,
        }
    }

    /// Appends the keys as they are; the caller has to keep the suite and its order.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ccm8(keys) => keys.write_to(out),
            Self::Cbc(keys) => keys.write_to(out),
        }
    }

    /// Reads what [`DirectionKeys::write_to`] wrote.
    pub(crate) fn read(
        suite: CipherSuite,
        order: CbcOrder,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        match suite {
            CipherSuite::PskAes128Ccm8 => Ok(Self::ccm8(*reader.array()?, *reader.array()?)),
            CipherSuite::PskAes128CbcSha256 => Ok(Self::cbc(*reader.array()?, *reader.array()?, order)),
        }
    }

    /// Appends a whole record. The caller keeps the plaintext below 2^14 bytes and the number unique.
    pub(crate) fn seal(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        plaintext: &[u8],
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        layout.emit(header, 0, out);
        match self {
            Self::Ccm8(keys) => keys.seal(layout, header, plaintext, out),
            Self::Cbc(keys) => keys.seal(layout, header, plaintext, rng, out),
        }
        layout.set_length(&mut out[start..]);
    }

    /// Authenticates and decrypts a record's fragment in place.
    pub(crate) fn open<'a>(
        &self,
        layout: Layout<'_>,
        header: &RecordHeader,
        fragment: &'a mut [u8],
    ) -> Result<&'a mut [u8], Discard> {
        match self {
            Self::Ccm8(keys) => keys.open(layout, header, fragment),
            Self::Cbc(keys) => keys.open(layout, header, fragment),
        }
    }

    /// Bytes of the shortest fragment that can be authentic: that of an empty plaintext.
    pub(crate) fn fragment_bytes_min(&self) -> usize {
        match self {
            Self::Ccm8(_) => ccm8::OVERHEAD_BYTES,
            Self::Cbc(_) => cbc_sha256::FRAGMENT_BYTES_MIN,
        }
    }

    /// Longest plaintext whose record fits `datagram_bytes`.
    pub(crate) fn plaintext_bytes_max(&self, layout: Layout<'_>, datagram_bytes: usize) -> usize {
        let fragment = datagram_bytes.saturating_sub(layout.header_bytes());
        match self {
            Self::Ccm8(_) => fragment.saturating_sub(ccm8::OVERHEAD_BYTES),
            Self::Cbc(keys) => keys.plaintext_bytes_max(fragment),
        }
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::SeededRandom;

    use super::*;
    use crate::{
        codes::{ContentType, Version},
        record::RecordNumber,
    };

    fn keys() -> [DirectionKeys; 3] {
        [
            DirectionKeys::ccm8([1; 16], [2; 4]),
            DirectionKeys::cbc([1; 16], [2; 32], CbcOrder::EncryptThenMac),
            DirectionKeys::cbc([1; 16], [2; 32], CbcOrder::MacThenEncrypt),
        ]
    }

    fn header() -> RecordHeader {
        RecordHeader {
            content_type: ContentType::APPLICATION_DATA,
            version: Version::DTLS_1_2,
            number: RecordNumber { epoch: 1, sequence: 5 },
        }
    }

    #[test]
    fn every_length_round_trips_in_every_suite() {
        for keys in keys() {
            for length in (0..320).chain([1000, 4096, 1 << 14]) {
                let plaintext: Vec<u8> = (0..length).map(|index| index as u8).collect();
                let mut record = Vec::new();
                keys.seal(Layout::Plain, &header(), &plaintext, &mut SeededRandom::new(0), &mut record);
                let (parsed, fragment) = Layout::Plain.parse(&mut record).expect("a whole record");
                assert_eq!(
                    keys.open(Layout::Plain, &parsed, fragment).map(|opened| opened.to_vec()),
                    Ok(plaintext)
                );
            }
        }
    }

    #[test]
    fn the_longest_plaintext_fits_and_one_more_does_not() {
        for keys in keys() {
            for datagram_bytes in 100..200 {
                let max = keys.plaintext_bytes_max(Layout::Plain, datagram_bytes);
                let size = |length: usize| {
                    let mut record = Vec::new();
                    keys.seal(
                        Layout::Plain,
                        &header(),
                        &vec![0; length],
                        &mut SeededRandom::new(0),
                        &mut record,
                    );
                    record.len()
                };
                assert!(size(max) <= datagram_bytes);
                assert!(size(max + 1) > datagram_bytes);
            }
        }
    }

    #[test]
    fn an_empty_plaintext_makes_the_shortest_fragment_that_can_be_authentic() {
        for keys in keys() {
            let mut record = Vec::new();
            keys.seal(Layout::Plain, &header(), b"", &mut SeededRandom::new(0), &mut record);
            assert_eq!(record.len() - Layout::Plain.header_bytes(), keys.fragment_bytes_min());
        }
    }

    #[test]
    fn every_changed_bit_is_found() {
        for keys in keys() {
            let mut record = Vec::new();
            keys.seal(Layout::Plain, &header(), b"temp=21.5", &mut SeededRandom::new(0), &mut record);
            for index in 0..record.len() * 8 {
                let mut changed = record.clone();
                changed[index / 8] ^= 1 << (index % 8);
                let opened = Layout::Plain.parse(&mut changed).and_then(|(header, fragment)| {
                    keys.open(Layout::Plain, &header, fragment).map(|opened| opened.to_vec())
                });
                assert!(opened.is_err(), "bit {index}");
            }
        }
    }
}
