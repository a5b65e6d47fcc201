//! How long a message of a device may be (device protocol, section 12).

use std::ops::RangeInclusive;

use narrowgate_coap::{Code, OptionNumber, Request};

use super::{Answer, BODY_BYTES_MAX, number};
use crate::{model::log::Reason, rules::refusal::Refusal};

/// The longest body of a request that is accepted: [`BODY_BYTES_MAX`], unless `limits.message_bytes` says
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimit {
    bytes: usize,
}

impl Default for MessageLimit {
    fn default() -> Self {
        Self { bytes: BODY_BYTES_MAX }
    }
}

impl MessageLimit {
    /// What `limits.message_bytes` may say. The upper end is what a script may return (64 KiB); how many
    /// devices can send as much in blocks at a time is up to the memory for that.
    pub const BYTES: RangeInclusive<usize> = 1024..=64 * 1024;

    /// This limit; the nearest one of [`Self::BYTES`] for any other.
    pub fn new(bytes: usize) -> Self {
        Self { bytes: bytes.clamp(*Self::BYTES.start(), *Self::BYTES.end()) }
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        self.bytes
    }

    /// Refuses a POST with a longer body: 4.13 with the limit in Size1. Other methods need none.
    pub(super) fn permit(self, request: &Request) -> Result<(), Answer> {
        let (bytes, bytes_max) = (request.payload.len(), self.bytes);
        if bytes <= bytes_max || request.method != Code::POST {
            return Ok(());
        }
        let detail =
            format!("the body has {bytes} bytes; at most {bytes_max} are accepted (limits.message_bytes)");
        let refusal = Refusal::new(Reason::TooLarge, detail).with_number(number::TOO_LARGE);
        let refused = Answer::refused(Code::REQUEST_ENTITY_TOO_LARGE, refusal);
        // A uint option leaves out leading zeros (RFC 7252, section 3.2).
        let size = u32::try_from(bytes_max).unwrap_or(u32::MAX).to_be_bytes();
        let digits = size.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        Err(refused.option(OptionNumber::SIZE1, digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_within_its_range() {
        let bytes = |bytes| MessageLimit::new(bytes).bytes();
        assert_eq!([0, 1024, 8192, 65_536, usize::MAX].map(bytes), [1024, 1024, 8192, 65_536, 65_536]);
        assert_eq!(MessageLimit::default().bytes(), 10_240);
    }
}
