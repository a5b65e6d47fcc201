//! A few bits of a request's content, kept beside its answer: they distinguish a retransmission from another
//! request with the same Message ID.

use crate::message::Message;

/// Sixteen bits of method, token, options and payload. Not secret and not strong: a collision costs a line in
/// a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u16);

/// The same, 64 bits of it: for where another request that is taken for a copy would be lost. Its upper 16
/// bits are the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

/// The bits of a digest below the fingerprint.
const BELOW: u32 = 48;

impl Fingerprint {
    /// The fingerprint of a message that is unknown, or of no interest. Differs from nothing.
    pub(crate) const UNKNOWN: Self = Self(0);

    /// The fingerprint of everything but type and Message ID: a request that is repeated with another type is
    /// the same request.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        Digest::of(message).fingerprint()
    }

    /// Whether the two are known to belong to different requests.
    pub(crate) fn differs(self, other: Self) -> bool {
        self != other && self != Self::UNKNOWN && other != Self::UNKNOWN
    }
}

impl Digest {
    /// See [`Fingerprint::of`].
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let parts = [message.token.as_bytes(), message.options_bytes(), message.payload];
        Self(parts.into_iter().fold(u64::from(message.code.0) << 8, mix_in))
    }

    /// That of the last block of this body: two bodies may end alike. The fingerprint stays that of the
    /// block, as copies of it come without the rest.
    pub(crate) fn with_body(self, body: &[u8]) -> Self {
        Self(self.0 >> BELOW << BELOW | mix_in(self.0, body) >> (u64::BITS - BELOW))
    }

    /// See the type.
    pub(crate) const fn fingerprint(self) -> Fingerprint {
        let upper = (self.0 >> BELOW) as u16;
        Fingerprint(if upper == 0 { 1 } else { upper })
    }

    /// What it has besides its fingerprint.
    pub(crate) fn below(self) -> [u8; BELOW as usize / 8] {
        let [a, b, c, d, e, f, ..] = self.0.to_le_bytes();
        [a, b, c, d, e, f]
    }
}

/// The hash with these bytes.
fn mix_in(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(hash ^ bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        hash = mix(hash ^ word);
    }
    for byte in words.remainder() {
        hash = mix(hash ^ u64::from(*byte));
    }
    hash
}

/// Every bit of the result's upper half depends on every bit below it.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ value >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Fingerprint {
        let bytes = hex::decode(text.replace(' ', "")).expect("the test writes hexadecimal");
        Fingerprint::of(&Message::parse(&bytes).expect("the test writes a message"))
    }

    #[test]
    fn everything_but_type_and_message_id_counts() {
        let first = of("41 02 0001 07 b1 61 ff 31");
        assert_eq!(first, of("51 02 0002 07 b1 61 ff 31"));
        for other in [
            "41 03 0001 07 b1 61 ff 31",
            "41 02 0001 08 b1 61 ff 31",
            "41 02 0001 07 b1 62 ff 31",
            "41 02 0001 07 b1 61 ff 32",
            "40 02 0001 b1 61 ff 31",
            "42 02 0001 07b1 60 ff 31",
        ] {
            assert!(first.differs(of(other)), "{other}");
        }
        assert!(!first.differs(Fingerprint::UNKNOWN) && !Fingerprint::UNKNOWN.differs(first));
    }

    #[test]
    fn the_digest_of_a_last_block_is_that_of_its_whole_body() {
        let bytes = hex::decode("42021234aaaab474657374d1030affff").expect("hexadecimal");
        let block = Digest::of(&Message::parse(&bytes).expect("a message"));
        let (one, other) = (block.with_body(b"one body"), block.with_body(b"a body"));
        assert!(one != other && one != block && one == block.with_body(b"one body"));
        assert_eq!((one.fingerprint(), other.fingerprint()), (block.fingerprint(), block.fingerprint()));
        assert!(one.below() != other.below());
    }

    #[test]
    fn a_digest_tells_reports_apart_whose_fingerprints_are_alike() {
        let of = |value: u32| {
            let body = format!(r#"{{"temp":{value}}}"#);
            let bytes =
                hex::decode(format!("42020002 0002 b5746f706963 ff{}", hex::encode(body)).replace(' ', ""));
            Digest::of(&Message::parse(&bytes.expect("hexadecimal")).expect("a report"))
        };
        let all: Vec<Digest> = (0..2000).map(of).collect();
        let pairs = (0..all.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
        let alike = pairs.filter(|(one, other)| all[*one].fingerprint() == all[*other].fingerprint());
        let below = alike.map(|(one, other)| (all[one].below(), all[other].below()));
        let (same, differ): (Vec<_>, Vec<_>) = below.partition(|(one, other)| one == other);
        assert!((10..100).contains(&differ.len()) && same.is_empty(), "{} {same:?}", differ.len());
    }

    #[test]
    fn reports_that_differ_in_one_digit_nearly_always_differ() {
        let report = |value: u32| {
            let body = format!(r#"{{"id":"1","params":{{"measurepoints":{{"temp":{value}}}}}}}"#);
            of(&format!("40 02 0001 b1 61 ff {}", hex::encode(body)))
        };
        let same = (0..10_000).filter(|value| !report(*value).differs(report(value + 1))).count();
        assert!(same <= 4, "{same} of 10000 look alike");
    }

    proptest! {
        #[test]
        fn any_message_has_one(bytes in proptest::collection::vec(any::<u8>(), 4..80)) {
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert_ne!(Fingerprint::of(&message), Fingerprint::UNKNOWN);
            }
        }
    }
}
