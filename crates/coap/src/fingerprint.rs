//! A few bits of a request's content, kept beside its answer: they distinguish a retransmission from another
//! request with the same Message ID.

use crate::message::Message;

/// Sixteen bits of method, token, options and payload. Not secret and not strong: a collision costs a line in
/// a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u16);

impl Fingerprint {
    /// The fingerprint of a message that is unknown, or of no interest. Differs from nothing.
    pub(crate) const UNKNOWN: Self = Self(0);

    /// The fingerprint of everything but type and Message ID: a request that is repeated with another type is
    /// the same request.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let mut hash = u64::from(message.code.0) << 8;
        for part in [message.token.as_bytes(), message.options_bytes(), message.payload] {
            hash = mix(hash ^ part.len() as u64);
            let mut words = part.chunks_exact(8);
            for word in &mut words {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                hash = mix(hash ^ word);
            }
            for byte in words.remainder() {
                hash = mix(hash ^ u64::from(*byte));
            }
        }
        Self(((hash >> 48) as u16).max(1))
    }

    /// Whether the two are known to belong to different requests.
    pub(crate) fn differs(self, other: Self) -> bool {
        self != other && self != Self::UNKNOWN && other != Self::UNKNOWN
    }
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
