//! Counters of a shard: plain numbers that live beside what they count; the driver publishes a copy.

use narrowgate_coap as coap;
use narrowgate_dtls as dtls;

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident => $text:literal,)+) => {
        /// What a shard counts, besides the discards of the protocol crates.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter { $($(#[doc = $help])+ $name,)+ }

        impl Counter {
            /// All counters, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Stable name, for metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// One sentence for people.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($help),+),)+ }
            }
        }
    };
}

counters! {
    /// Datagrams received.
    DatagramsReceived => "datagrams_received",
    /// Bytes received in datagrams.
    BytesReceived => "bytes_received",
    /// Datagrams sent.
    DatagramsSent => "datagrams_sent",
    /// Bytes sent in datagrams.
    BytesSent => "bytes_sent",
    /// Datagrams that the kernel did not take for sending.
    SendErrors => "send_errors",
    /// Datagrams that the kernel dropped because the receive buffer was full.
    KernelReceiveDrops => "kernel_receive_drops",
    /// Datagrams longer than the receive buffer.
    Truncated => "datagrams_truncated",
    /// Datagrams that are no DTLS.
    NotDtls => "datagrams_not_dtls",
    /// Protected records from an address without a session: the peer has one that this process does not know.
    LostAssociation => "lost_associations",
    /// Handshake records from an address without a handshake.
    StrayHandshake => "stray_handshake_datagrams",
    /// HelloVerifyRequests sent.
    HelloVerifies => "hello_verify_requests",
    /// Handshakes that began behind a valid cookie.
    HandshakesBegun => "handshakes_begun",
    /// Handshakes that became sessions.
    HandshakesCompleted => "handshakes_completed",
    /// Handshakes that ended by their lifetime.
    HandshakesExpired => "handshakes_expired",
    /// Handshakes that could not be served or broke the protocol.
    HandshakesFailed => "handshakes_failed",
    /// Handshakes replaced by a newer one of the same address and port.
    HandshakesReplaced => "handshakes_replaced",
    /// Late copies of the ClientHello of a session that is there: dropped.
    HandshakesRepeated => "handshakes_repeated",
    /// Handshakes that made room for newer ones of their address.
    HandshakesEvicted => "handshakes_evicted",
    /// ClientHellos with a valid cookie that were dropped at a limit.
    HandshakesDeferred => "handshakes_deferred",
    /// Handshakes whose Finished did not verify.
    FinishedRejected => "finished_rejected",
    /// Answers to look-ups that came after their handshake was gone.
    LookupsLate => "lookups_late",
    /// Requests handed to the platform.
    Requests => "requests",
    /// Requests answered 5.03 at the limit of requests in flight.
    RequestsBusy => "requests_busy",
    /// Responses sent.
    Responses => "responses",
    /// Responses that came after their session or exchange was gone.
    ResponsesLate => "responses_late",
    /// Messages that did not fit the session's record size, or a datagram: an answer was sent shorter or as
    /// 5.00, another message not at all.
    MessagesTooLarge => "messages_too_large",
    /// Sessions closed by the peer.
    ClosedByPeer => "sessions_closed_by_peer",
    /// Sessions closed by the platform.
    ClosedByCommand => "sessions_closed_by_command",
    /// Sessions replaced by a new handshake of the same address and port.
    ClosedReplaced => "sessions_replaced",
    /// Sessions closed after their idle timeout.
    ClosedIdle => "sessions_closed_idle",
    /// Sessions shed because the table was full.
    ClosedShed => "sessions_shed",
    /// Sessions closed for too many records that did not verify or too much noise.
    ClosedAbuse => "sessions_closed_abuse",
    /// Sessions closed by shutting down.
    ClosedDrained => "sessions_drained",
    /// Sessions with 128 or more records that did not verify.
    ForgeryAlarms => "forgery_alarms",
}

/// The counters and gauges of one shard.
#[derive(Debug, Clone)]
pub struct Stats {
    counters: [u64; Counter::ALL.len()],
    dtls_discards: [u64; dtls::Discard::ALL.len()],
    coap_discards: [u64; coap::Discard::ALL.len()],
    /// The current values.
    pub gauges: Gauges,
}

/// The current values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Established sessions.
    pub sessions: usize,
    /// Handshakes under way.
    pub handshakes: usize,
    /// Key look-ups that wait for an answer.
    pub lookups: usize,
    /// Requests that wait for a response.
    pub requests_in_flight: usize,
    /// Bytes of stored CoAP answers.
    pub stored_answer_bytes: usize,
    /// Timers armed, stale ones included.
    pub timers: usize,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            counters: [0; Counter::ALL.len()],
            dtls_discards: [0; dtls::Discard::ALL.len()],
            coap_discards: [0; coap::Discard::ALL.len()],
            gauges: Gauges::default(),
        }
    }
}

impl Stats {
    /// Adds `amount`.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        self.counters[counter as usize] += amount;
    }

    /// Adds one.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts a record or handshake message that the DTLS layer dropped.
    pub(super) fn count_dtls(&mut self, discard: dtls::Discard) {
        self.dtls_discards[discard as usize] += 1;
    }

    /// Counts a message that the CoAP layer dropped.
    pub(super) fn count_coap(&mut self, discard: coap::Discard) {
        self.coap_discards[discard as usize] += 1;
    }

    /// A counter's value.
    pub fn value(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Drop reasons of the DTLS layer with their counts.
    pub fn dtls_discards(&self) -> impl Iterator<Item = (dtls::Discard, u64)> {
        dtls::Discard::ALL.iter().zip(self.dtls_discards).map(|(discard, count)| (*discard, count))
    }

    /// Drop reasons of the CoAP layer with their counts.
    pub fn coap_discards(&self) -> impl Iterator<Item = (coap::Discard, u64)> {
        coap::Discard::ALL.iter().zip(self.coap_discards).map(|(discard, count)| (*discard, count))
    }
}
