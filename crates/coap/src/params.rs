//! The protocol's timers and this implementation's limits (RFC 7252, section 4.8).

use std::time::Duration;

use crate::{dedup::AnswerFrame, option::OptionNumber};

/// What a peer's radio asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// The RFC's timers.
    #[default]
    Default,
    /// Radio whose answers take seconds (NB-IoT): see [`Params::for_radio`].
    Nbiot,
}

/// Timers and blocks for peers whose messages are long under way. The defaults are for NB-IoT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowRadio {
    /// See [`Params::ack_timeout`]; 9 s, the first timer that RFC 7925, section 11, gives such a network.
    pub ack_timeout: Duration,
    /// See [`Params::separate_after`]; 6 s. A peer whose first timer is 9 s as well repeats nothing before,
    /// so an answer may ride on the acknowledgement as long as 3 s are left for the way, which saves two
    /// messages.
    pub separate_after: Duration,
    /// See [`Params::block_bytes`]; 512, because less has to be sent again where a block is lost.
    pub block_bytes: Option<usize>,
}

impl Default for SlowRadio {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(9),
            separate_after: Duration::from_secs(6),
            block_bytes: Some(512),
        }
    }
}

/// MAX_LATENCY (RFC 7252, section 4.8.2).
const MAX_LATENCY: Duration = Duration::from_secs(100);

/// Timers and limits of an endpoint. One value serves all endpoints of a shard; the defaults are the RFC's if
/// it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// ACK_TIMEOUT: how long a confirmable message waits for its acknowledgement before it is sent again.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR, at least 1: the first timeout lies between ACK_TIMEOUT and this many times as much.
    pub ack_random_factor: f32,
    /// MAX_RETRANSMIT: how often a confirmable message is sent again before it fails.
    pub max_retransmit: u8,
    /// NSTART: how many confirmable messages of ours may wait for an acknowledgement at once.
    pub nstart: usize,
    /// EXCHANGE_LIFETIME: how long the Message ID of a confirmable message must not be reused. Below 18
    /// hours.
    pub exchange_lifetime: Duration,
    /// NON_LIFETIME: the same for a non-confirmable message.
    pub non_lifetime: Duration,
    /// How long an answer may still be piggybacked; then an empty acknowledgement goes out and the answer
    /// follows as a confirmable message. It is PROCESSING_DELAY, which the RFC sets equal to ACK_TIMEOUT.
    pub separate_after: Duration,
    /// The largest message that is sent, in bytes. Section 4.6: 1152 passes an IPv6 path of the smallest MTU
    /// together with DTLS.
    pub message_bytes_max: usize,
    /// The options that a request may carry. The longest useful one has about 20; the limit keeps the work
    /// for one datagram small.
    pub options_max: usize,
    /// The answers that one endpoint keeps for duplicates. 4096 in an EXCHANGE_LIFETIME are 16 requests a
    /// second without end, or a backlog of an hour's reports at once; further requests are refused with 5.03,
    /// because a request whose answer was removed early could run twice.
    pub stored_answers_max: usize,
    /// The bytes of these answers as they are kept: 12 to 16 for one that fits into `answer_frame`, else 9
    /// and those of its message.
    pub stored_bytes_max: usize,
    /// Requests that the application is working on, together with separate responses on their way. A device
    /// that keeps NSTART has one.
    pub exchanges_open_max: usize,
    /// The largest block of an answer, bytes, where the peer says nothing; `None`: an answer that fits a
    /// message is not cut, and others go in the largest blocks. An answer that fits a message goes whole all
    /// the same where there is no memory to keep its other blocks.
    pub block_bytes: Option<usize>,
    /// The longest body of a request that is put together from blocks (RFC 7959), bytes.
    pub body_bytes_max: usize,
    /// The longest answer that is kept while the peer fetches it in blocks, bytes.
    pub answer_bytes_max: usize,
    /// Bodies of requests and answers that one endpoint may have in transfer; one more ends the one that has
    /// stood still for longest. A device has one, or two if it answers while it reports.
    pub transfers_max: usize,
    /// Options of an answer that only its first block has (RFC 7959, section 2.4): what the peer would take
    /// for new in each block. All others are in every block.
    pub first_block_options: &'static [OptionNumber],
    /// Registrations of a peer as an observer (RFC 7641). It needs one; the others are there for tokens that
    /// it has forgotten, which a Reset of the next notification removes.
    pub observers_max: usize,
    /// Our own requests to one peer, waiting or on their way. A caller with more has to queue them itself.
    pub requests_max: usize,
    /// What the application's usual answers have in common, so that they are stored in few bytes. Must not
    /// change while an endpoint holds answers.
    pub answer_frame: Option<&'static AnswerFrame>,
    /// Max-Age of a refusal: the peer may try again after this time (whole seconds).
    pub retry_after: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            exchange_lifetime: Duration::from_secs(247),
            non_lifetime: Duration::from_secs(145),
            separate_after: Duration::from_secs(2),
            message_bytes_max: 1152,
            options_max: 64,
            stored_answers_max: 4096,
            stored_bytes_max: 256 * 1024,
            exchanges_open_max: 16,
            block_bytes: None,
            body_bytes_max: 10 * 1024,
            answer_bytes_max: 10 * 1024,
            transfers_max: 2,
            first_block_options: &[],
            observers_max: 4,
            requests_max: 16,
            answer_frame: None,
            retry_after: Duration::from_secs(30),
        }
    }
}

impl Params {
    /// The same limits for peers behind such a radio. The peer is taken to have the same ACK_TIMEOUT, so its
    /// last repetition comes later, and its Message IDs are remembered for longer (RFC 7252, section 4.8.2):
    /// with 9 s for 411.5 s, and 302.5 s those of non-confirmable messages.
    #[must_use]
    pub fn for_radio(&self, radio: &SlowRadio) -> Self {
        let &SlowRadio { ack_timeout, separate_after, block_bytes } = radio;
        let slow = Self { ack_timeout, separate_after, block_bytes, ..self.clone() };
        let span = slow.transmit_span();
        // PROCESSING_DELAY is ACK_TIMEOUT.
        let exchange_lifetime = (span + 2 * MAX_LATENCY + ack_timeout).max(self.exchange_lifetime);
        let non_lifetime = (span + MAX_LATENCY).max(self.non_lifetime);
        Self { exchange_lifetime, non_lifetime, ..slow }
    }

    /// MAX_TRANSMIT_SPAN: from the first transmission of a confirmable message to its last.
    fn transmit_span(&self) -> Duration {
        let doublings = 2_f32.powi(self.max_retransmit.into()) - 1.0;
        self.ack_timeout.mul_f32(doublings * self.ack_random_factor.max(1.0))
    }

    /// How long `mid` waits for its first acknowledgement: spread over the range by a mix of its number, so
    /// that devices that lost their connection together do not retry together.
    pub(crate) fn first_timeout(&self, mid: u16) -> Duration {
        // The upper half of the product depends on every bit of the number.
        let mixed = (u32::from(mid) + 1).wrapping_mul(0x9e37_79b1) >> 16;
        let share = mixed as f32 / 65536.0;
        self.ack_timeout.mul_f32(1.0 + (self.ack_random_factor - 1.0).max(0.0) * share)
    }

    /// How long the Message ID of a message from the peer is taken.
    pub(crate) const fn lifetime(&self, confirmable: bool) -> Duration {
        if confirmable { self.exchange_lifetime } else { self.non_lifetime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetimes_of_a_slow_radio_follow_from_its_first_timer_as_those_of_the_rfc_do() {
        let params = Params::default();
        let radio = |ack_timeout| SlowRadio { ack_timeout, ..SlowRadio::default() };
        // RFC 7252, section 4.8.2: 45 s, 247 s and 145 s by an ACK_TIMEOUT of 2 s.
        let same = params.for_radio(&SlowRadio {
            ack_timeout: params.ack_timeout,
            separate_after: params.separate_after,
            block_bytes: None,
        });
        assert_eq!(same, params);
        assert_eq!(params.transmit_span(), Duration::from_secs(45));
        let slow = params.for_radio(&SlowRadio::default());
        let millis = [slow.exchange_lifetime, slow.non_lifetime].map(|lifetime| lifetime.as_millis());
        assert_eq!(millis, [411_500, 302_500]);
        assert!(
            params.for_radio(&radio(Duration::from_secs(1))).exchange_lifetime == params.exchange_lifetime
        );
    }

    #[test]
    fn the_first_timeout_lies_between_two_and_three_seconds_and_spreads() {
        let params = Params::default();
        let mut tenths = [0_u32; 10];
        for mid in 0..=u16::MAX {
            let timeout = params.first_timeout(mid);
            assert!(
                timeout >= Duration::from_secs(2) && timeout < Duration::from_secs(3),
                "{mid}: {timeout:?}"
            );
            tenths[(timeout.as_millis() / 100 - 20) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| *count > 5000), "{tenths:?}");
    }
}
