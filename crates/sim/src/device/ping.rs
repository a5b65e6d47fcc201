//! An empty confirmable message and the Reset that answers it (RFC 7252, section 4.3).

use std::time::Instant;

use narrowgate_coap::{Code, Kind, Message, MessageWriter, Params, Token};

/// A ping that waits for its Reset.
#[derive(Debug)]
pub(super) struct Ping {
    mid: u16,
    retransmits: u8,
    due: Instant,
}

/// The outcome of a ping's timer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PingDue {
    Nothing,
    SendAgain,
    GiveUp,
}

impl Ping {
    pub(super) fn new(now: Instant, mid: u16, params: &Params) -> Self {
        Self { mid, retransmits: 0, due: now + params.ack_timeout }
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes, Kind::Confirmable, Code::EMPTY, self.mid, Token::default());
        bytes
    }

    pub(super) fn is_answered_by(&self, message: &[u8]) -> bool {
        Message::parse(message).is_ok_and(|message| message.kind == Kind::Reset && message.mid == self.mid)
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, params: &Params) -> PingDue {
        if now < self.due {
            return PingDue::Nothing;
        }
        if self.retransmits >= params.max_retransmit {
            return PingDue::GiveUp;
        }
        self.retransmits += 1;
        self.due = now + params.ack_timeout * (1 << self.retransmits);
        PingDue::SendAgain
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::start;

    #[test]
    fn a_ping_is_repeated_four_times_and_then_given_up() {
        let params = Params::default();
        let mut ping = Ping::new(start(), 0x1234, &params);
        assert_eq!(ping.message(), [0x40, 0, 0x12, 0x34]);
        for pause_s in [2, 4, 8, 16] {
            let before = ping.due() - Duration::from_nanos(1);
            assert_eq!(ping.handle_timeout(before, &params), PingDue::Nothing, "{pause_s}");
            assert_eq!(ping.handle_timeout(ping.due(), &params), PingDue::SendAgain, "{pause_s}");
        }
        assert_eq!(ping.due(), start() + Duration::from_secs(2 + 4 + 8 + 16 + 32));
        assert_eq!(ping.handle_timeout(ping.due(), &params), PingDue::GiveUp);
    }

    #[test]
    fn only_its_own_reset_answers_a_ping() {
        let ping = Ping::new(start(), 0x1234, &Params::default());
        assert!(ping.is_answered_by(&[0x70, 0, 0x12, 0x34]));
        assert!(!ping.is_answered_by(&[0x70, 0, 0x12, 0x35]));
        assert!(!ping.is_answered_by(&[0x60, 0, 0x12, 0x34]));
        assert!(!ping.is_answered_by(&[]));
    }
}
