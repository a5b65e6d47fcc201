//! Why a datagram or record was dropped. Dropping is the normal fate of what a stranger sends: it is counted,
//! never answered, and changes no state (RFC 6347, section 4.1.2.7).

macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Reason for dropping a datagram, a record or a handshake fragment; usable as an index into an array
        /// of counters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Discard {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Discard {
            /// Every reason, in the order of [`Discard::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Stable name for counters and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

discards! {
    /// Fewer bytes than a record header.
    Short = "short",
    /// The record's length field does not fit the datagram, or is above the protocol's limit.
    RecordLength = "record_length",
    /// A content type that is unknown, or not allowed here.
    ContentType = "content_type",
    /// Neither fefd nor, on a ClientHello, feff.
    RecordVersion = "record_version",
    /// An epoch that does not exist yet, or no longer.
    Epoch = "epoch",
    /// A ClientHello whose record number leaves too few numbers for ours.
    RecordSequence = "record_sequence",
    /// The record number was seen before.
    Replayed = "replayed",
    /// The record number is below the replay window.
    TooOld = "too_old",
    /// Tag, MAC, padding or size is wrong: not sealed with our keys. One reason for all of them, on purpose.
    Unauthentic = "unauthentic",
    /// Authentic, but longer than a record may be.
    PlaintextTooLong = "plaintext_too_long",
    /// Too many empty records in a row.
    EmptyFlood = "empty_flood",
    /// The peer demands repetitions too often.
    RateLimited = "rate_limited",
    /// Not a ClientHello where only a ClientHello is allowed.
    NotClientHello = "not_client_hello",
    /// The bytes do not parse as the message that they claim to be.
    Malformed = "malformed",
    /// A handshake message longer than we reassemble.
    MessageTooLong = "message_too_long",
    /// A message_seq that this message cannot have.
    MessageSequence = "message_sequence",
    /// A handshake message that is not allowed in this state.
    UnexpectedMessage = "unexpected_message",
    /// A message that was handled before.
    RepeatedMessage = "repeated_message",
    /// A message too far ahead to be kept.
    MessageAhead = "message_ahead",
    /// Fragment offset and length reach beyond the message.
    FragmentRange = "fragment_range",
    /// An empty fragment.
    FragmentEmpty = "fragment_empty",
    /// Overlapping fragments of one message differ.
    FragmentConflict = "fragment_conflict",
    /// More fragments than a message may have.
    FragmentsTooMany = "fragments_too_many",
    /// The first fragment does not reach the cookie, so nothing can be checked without keeping it.
    FragmentTooShort = "fragment_too_short",
    /// The answer would be larger than the question.
    Amplification = "amplification",
    /// ChangeCipherSpec before ClientKeyExchange.
    EarlyChangeCipherSpec = "early_change_cipher_spec",
    /// A protected record that arrived before its keys and could not be kept.
    EarlyProtected = "early_protected",
    /// An unauthenticated alert, which anybody could have sent.
    PlaintextAlert = "plaintext_alert",
    /// Unauthenticated application data, which anybody could have sent.
    PlaintextApplicationData = "plaintext_application_data",
    /// The handshake has ended already.
    HandshakeOver = "handshake_over",
}

impl Discard {
    /// Position in [`Discard::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_at_its_index() {
        for (index, reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = Discard::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Discard::ALL.len());
    }
}
