//! Counters of a shard: plain numbers that live beside what they count; the driver publishes a copy.

use narrowgate_coap as coap;
use narrowgate_dtls as dtls;

/// A metric that one or several counters make: with a label, each counter is a value of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name with unit.
    pub name: &'static str,
    /// What tells the counters of the family apart; `None`: it has but one.
    pub label: Option<&'static str>,
    /// What the counters of the family have in common, one sentence; empty where there is but one.
    pub help: &'static str,
}

/// A counter that is a metric by itself.
const fn alone(name: &'static str) -> Family {
    Family { name, label: None, help: "" }
}

const DROPPED: Family = Family {
    name: "narrowgate_dropped_datagrams_total",
    label: Some("reason"),
    help: "Datagrams dropped before they reached a session or a handshake, by reason.",
};

const HANDSHAKES: Family = Family {
    name: "narrowgate_handshakes_total",
    label: Some("outcome"),
    help: "DTLS handshakes that are over, by outcome.",
};

const HELLOS: Family = Family {
    name: "narrowgate_dropped_client_hellos_total",
    label: Some("reason"),
    help: "ClientHellos dropped, by reason.",
};

const CLOSED: Family = Family {
    name: "narrowgate_sessions_closed_total",
    label: Some("cause"),
    help: "Sessions closed, by cause.",
};

const LOGINS: Family = Family {
    name: "narrowgate_plain_logins_total",
    label: Some("outcome"),
    help: "Logins by plain CoAP, by outcome.",
};

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident, $text:literal => $family:expr $(, $value:literal)?;)+) => {
        /// What a shard counts, besides the discards of the protocol crates.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter { $($(#[doc = $help])+ $name,)+ }

        impl Counter {
            /// All counters, in order; those of a family stand together.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Stable name, in stories and tests.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The metric that it is, or belongs to.
            pub const fn family(self) -> Family {
                match self { $(Self::$name => $family,)+ }
            }

            /// The value of the family's label; empty where the family has none.
            pub const fn label_value(self) -> &'static str {
                match self { $(Self::$name => concat!($($value)?),)+ }
            }

            /// One sentence for people.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($help),+).trim_start(),)+ }
            }
        }
    };
}

counters! {
    /// Datagrams received.
    DatagramsReceived, "datagrams_received" => alone("narrowgate_received_datagrams_total");
    /// Bytes received in datagrams.
    BytesReceived, "bytes_received" => alone("narrowgate_received_bytes_total");
    /// Datagrams sent.
    DatagramsSent, "datagrams_sent" => alone("narrowgate_sent_datagrams_total");
    /// Bytes sent in datagrams.
    BytesSent, "bytes_sent" => alone("narrowgate_sent_bytes_total");
    /// Datagrams that the kernel did not take for sending.
    SendErrors, "send_errors" => alone("narrowgate_send_errors_total");
    /// Times that the send buffer was full, so that datagrams had to wait.
    SendWaits, "send_waits" => alone("narrowgate_send_waits_total");
    /// Datagrams dropped because too many waited for a full send buffer.
    SendBufferDrops, "send_buffer_drops" => alone("narrowgate_send_buffer_drops_total");
    /// Datagrams that the kernel dropped because the receive buffer was full.
    KernelReceiveDrops, "kernel_receive_drops" => DROPPED, "receive_buffer_full";
    /// Datagrams longer than the receive buffer.
    Truncated, "datagrams_truncated" => DROPPED, "too_long";
    /// Datagrams that are not DTLS.
    NotDtls, "datagrams_not_dtls" => DROPPED, "not_dtls";
    /// Protected records from an address without a session: the peer has one that this process does not know.
    LostAssociation, "lost_associations" => DROPPED, "no_session";
    /// Handshake records from an address without a handshake.
    StrayHandshake, "stray_handshake_datagrams" => DROPPED, "no_handshake";
    /// HelloVerifyRequests sent.
    HelloVerifies, "hello_verify_requests" => alone("narrowgate_hello_verify_requests_total");
    /// Handshakes that began after a valid cookie.
    HandshakesBegun, "handshakes_begun" => alone("narrowgate_handshakes_begun_total");
    /// Handshakes that became sessions.
    HandshakesCompleted, "handshakes_completed" => HANDSHAKES, "completed";
    /// Handshakes that ended by their lifetime.
    HandshakesExpired, "handshakes_expired" => HANDSHAKES, "expired";
    /// Handshakes that could not be served or broke the protocol.
    HandshakesFailed, "handshakes_failed" => HANDSHAKES, "failed";
    /// Handshakes replaced by a newer one of the same address and port.
    HandshakesReplaced, "handshakes_replaced" => HANDSHAKES, "replaced";
    /// Handshakes that made room at a limit: rejected, standing still, or of an address with many.
    HandshakesEvicted, "handshakes_evicted" => HANDSHAKES, "evicted";
    /// Handshakes dropped because an identity began too many from one address: `limits.device_handshakes`.
    HandshakesLimited, "handshakes_rate_limited" => HANDSHAKES, "rate_limited";
    /// Late copies of the ClientHello of a session that is there.
    HandshakesRepeated, "handshakes_repeated" => HELLOS, "repeated";
    /// ClientHellos with a valid cookie that were dropped at a limit.
    HandshakesDeferred, "handshakes_deferred" => HELLOS, "limit";
    /// ClientHellos with a valid cookie that were dropped because those of peers as far away had their share:
    /// most of them finish nothing.
    HandshakesBeyondShare, "handshakes_beyond_share" => HELLOS, "flood";
    /// Handshakes whose Finished did not verify.
    FinishedRejected, "finished_rejected" => alone("narrowgate_finished_rejected_total");
    /// Finished messages that did not verify and most likely belong to an earlier handshake of the same
    /// ClientHello, which had to make room at a limit: they say nothing about the key.
    FinishedOutdated, "finished_outdated" => alone("narrowgate_finished_outdated_total");
    /// Answers to look-ups that came after their handshake was gone.
    LookupsLate, "lookups_late" => alone("narrowgate_lookups_late_total");
    /// Logins by plain CoAP that became sessions.
    LoginsAccepted, "logins_accepted" => LOGINS, "accepted";
    /// Logins by plain CoAP that were refused.
    LoginsRefused, "logins_refused" => LOGINS, "refused";
    /// Logins by plain CoAP answered 4.01 because they had no fresh Echo: `coap.fresh_logins`.
    LoginsChallenged, "logins_challenged" => LOGINS, "challenged";
    /// Logins by plain CoAP answered 4.29 because an identity began too many from one address:
    /// `limits.device_handshakes`.
    LoginsLimited, "logins_rate_limited" => LOGINS, "rate_limited";
    /// Logins by plain CoAP answered 5.03 because there were as many as may be: `coap.logins_max`.
    LoginsFull, "logins_full" => LOGINS, "full";
    /// Logins by plain CoAP dropped because too many waited for their look-up.
    LoginsDeferred, "logins_deferred" => LOGINS, "limit";
    /// Logins by plain CoAP dropped because one of the same address and port was being looked up, or as
    /// copies of one in whose place another one came from elsewhere.
    LoginsRepeated, "logins_repeated" => LOGINS, "repeated";
    /// Logins by plain CoAP dropped because their look-up took too long.
    LoginsExpired, "logins_expired" => LOGINS, "expired";
    /// Requests by plain CoAP without a login, answered 4.01 (4.05 at the path of logins).
    Unauthorized, "requests_unauthorized" => alone("narrowgate_plain_unauthorized_total");
    /// Requests handed to the platform.
    Requests, "requests" => alone("narrowgate_requests_total");
    /// Requests answered 5.03 at the limit of requests in flight.
    RequestsBusy, "requests_busy" => alone("narrowgate_requests_busy_total");
    /// Requests answered 4.29 because their device had sent or been sent too many bytes:
    /// `limits.device_bytes`.
    RequestsThrottled, "requests_throttled" => alone("narrowgate_requests_throttled_total");
    /// Responses sent, those of the CoAP layer itself left out.
    Responses, "responses" => alone("narrowgate_responses_total");
    /// Responses that came after their session or exchange was gone.
    ResponsesLate, "responses_late" => alone("narrowgate_responses_late_total");
    /// Notifications of devices that observe their commands.
    Notifications, "notifications" => alone("narrowgate_notifications_total");
    /// Observations that ended because a notification was not acknowledged.
    ObservationsLost, "observations_lost" => alone("narrowgate_observations_lost_total");
    /// Messages that did not fit the session's record size, or a datagram: an answer was sent shorter or as
    /// 5.00, another message not at all.
    MessagesTooLarge, "messages_too_large" => alone("narrowgate_messages_too_large_total");
    /// Sessions closed by the peer.
    ClosedByPeer, "sessions_closed_by_peer" => CLOSED, "peer";
    /// Sessions closed by the platform.
    ClosedByCommand, "sessions_closed_by_command" => CLOSED, "command";
    /// Sessions closed because a newer login of their device is durable.
    ClosedSuperseded, "sessions_superseded" => CLOSED, "superseded";
    /// Sessions replaced by a new handshake of the same address and port.
    ClosedReplaced, "sessions_replaced" => CLOSED, "replaced";
    /// Sessions closed after their idle timeout.
    ClosedIdle, "sessions_closed_idle" => CLOSED, "idle";
    /// Sessions shed because the table was full.
    ClosedShed, "sessions_shed" => CLOSED, "shed";
    /// Sessions closed because their peer sent too many records that carry nothing, or one that is too long.
    ClosedAbuse, "sessions_closed_abuse" => CLOSED, "abuse";
    /// Sessions closed by shutting down.
    ClosedDrained, "sessions_drained" => CLOSED, "drained";
    /// Alarms about forged records: one for 128 of a session, at most once a minute. The session goes on.
    ForgeryAlarms, "forgery_alarms" => alone("narrowgate_forgery_alarms_total");
}

/// Details that a code can have.
const DETAILS: usize = 32;
/// Classes of responses.
const CLASSES: [u8; 3] = [2, 4, 5];

/// The counters and gauges of one shard.
#[derive(Debug, Clone)]
pub struct Stats {
    counters: [u64; Counter::ALL.len()],
    dtls_discards: [u64; dtls::Discard::ALL.len()],
    coap_discards: [u64; coap::Discard::ALL.len()],
    /// By class 2, 4 and 5, and detail.
    responses: [[u64; DETAILS]; 3],
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
    /// Bytes of stored CoAP answers, and of bodies in transfer.
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
            responses: [[0; DETAILS]; 3],
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

    /// Counts a response to a request, by its code.
    pub(super) fn count_response(&mut self, code: coap::Code) {
        self.count(Counter::Responses);
        if let Some(class) = CLASSES.iter().position(|class| *class == code.class()) {
            self.responses[class][usize::from(code.detail())] += 1;
        }
    }

    /// Codes of responses that were sent, with their counts; those of the CoAP layer itself are left out.
    pub fn responses(&self) -> impl Iterator<Item = (coap::Code, u64)> {
        let of = |(class, counts): (u8, [u64; DETAILS])| {
            (0_u8..).zip(counts).map(move |(detail, count)| (coap::Code::new(class, detail), count))
        };
        CLASSES.into_iter().zip(self.responses).flat_map(of).filter(|(_, count)| *count > 0)
    }

    /// A counter's value.
    pub fn value(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// How many the DTLS layer dropped for this reason.
    pub fn dtls_discarded(&self, discard: dtls::Discard) -> u64 {
        self.dtls_discards[discard as usize]
    }

    /// How many the CoAP layer dropped for this reason.
    pub fn coap_discarded(&self, discard: coap::Discard) -> u64 {
        self.coap_discards[discard as usize]
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_counter_is_one_series_and_a_family_stands_together() {
        let mut series = HashSet::new();
        let mut families = HashSet::new();
        for family in Counter::ALL.chunk_by(|a, b| a.family() == b.family()) {
            let Family { name, label, help } = family[0].family();
            assert!(families.insert(name), "{name} stands in two places");
            assert!(name.starts_with("narrowgate_") && name.ends_with("_total"), "{name}");
            assert_eq!(label.is_some(), help.ends_with('.'), "{name}");
            assert!(label.is_some() || family.len() == 1, "{name} has no label");
            for counter in family {
                assert!(series.insert((name, counter.label_value())), "{counter:?}");
                assert_eq!(label.is_some(), !counter.label_value().is_empty(), "{counter:?}");
                assert!(counter.help().ends_with('.'), "{counter:?}");
            }
        }
    }
}
