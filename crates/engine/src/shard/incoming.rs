//! What arrives by a session: its records are opened, and each either carries a CoAP message, or ends the
//! session, or counts as noise.

use std::time::Instant;

use narrowgate_coap::Context;
use narrowgate_dtls::{
    self as dtls, Opened,
    limits::{FAILED_OPENS_ALARM, FAILED_OPENS_MAX},
};

use super::{Shard, established::Established, stats::Counter};
use crate::event::{CloseCause, SessionId, ShardEvent};

/// Authentic records in a row that carry nothing (empty ones, warnings) before a session is closed.
const NOISE_MAX: u8 = 32;

/// What the records of one datagram amounted to.
#[derive(Default)]
struct Outcome {
    authentic: bool,
    end: Option<End>,
}

/// How a session ends by what its peer sent.
#[derive(Clone, Copy)]
enum End {
    /// The peer is told by a close_notify.
    Told(CloseCause),
    /// A fatal alert came or went: nothing follows it (RFC 5246, section 7.2.2).
    Silent(CloseCause),
}

impl Shard {
    /// Takes the records of one datagram; returns whether any of them was authentic.
    pub(super) fn feed_session(&mut self, now: Instant, session: SessionId, datagram: &mut [u8]) -> bool {
        let seconds = self.seconds(now);
        let mut outcome = Outcome::default();
        let mut rest = datagram;
        while let Some((record, tail)) = dtls::split_record(rest) {
            rest = tail;
            self.open_record(now, session, record, &mut outcome);
            if outcome.end.is_some() {
                break;
            }
        }
        if outcome.authentic
            && let Some(row) = self.sessions.at(session)
        {
            row.session.heard_s = seconds;
            if !self.deliver(now, session) {
                self.events.push_back(ShardEvent::Heard { session });
            }
            self.transmit(session);
            self.arm_session(now, session);
        }
        match outcome.end {
            Some(End::Told(cause)) => self.close_with_notify(session, cause),
            Some(End::Silent(cause)) => self.close(session, cause),
            None => {}
        }
        outcome.authentic
    }

    fn open_record(&mut self, now: Instant, session: SessionId, record: &mut [u8], outcome: &mut Outcome) {
        let Self { sessions, config, budget, stats, random, outbox, .. } = self;
        let Some(row) = sessions.at(session) else { return };
        let path = row.path();
        let Established { dtls, endpoint, noise, .. } = &mut row.session;
        let opened = match dtls.open(record) {
            Ok(opened) => opened,
            Err(discard) => {
                stats.count_dtls(discard);
                if discard == dtls::Discard::Unauthentic && dtls.failed_opens() == FAILED_OPENS_ALARM {
                    stats.count(Counter::ForgeryAlarms);
                }
                if discard == dtls::Discard::PlaintextTooLong {
                    // RFC 5246 6.2.3: authentic, so this is no stranger: fatal record_overflow.
                    outbox.push_with(path, |out| dtls.record_overflow(random, out));
                }
                outcome.end = end_by_discard(discard, dtls.failed_opens());
                return;
            }
        };
        outcome.authentic = true;
        match opened {
            Opened::Application(message) => {
                *noise = 0;
                return endpoint.handle_message(&mut Context { now, params: &config.coap, budget }, message);
            }
            Opened::FinishedAgain => {
                // The last flight is made anew, with new record numbers (RFC 6347, section 4.2.4).
                if outbox.push_with(path, |out| dtls.last_flight(random, out)).is_err() {
                    outcome.end = Some(End::Told(CloseCause::Abuse));
                }
                return;
            }
            Opened::CloseNotify | Opened::TooManyWarnings => {
                outcome.end = Some(End::Told(CloseCause::ByPeer));
                return;
            }
            Opened::FatalAlert(_) => {
                outcome.end = Some(End::Silent(CloseCause::ByPeer));
                return;
            }
            Opened::RenegotiationAttempt => {
                // RFC 5746 4.5 leaves the choice: the attempt is refused by a warning, the session lives.
                outbox.push_with(path, |out| dtls.no_renegotiation(random, out));
            }
            Opened::Empty | Opened::WarningAlert(_) | Opened::Ignored => {}
        }
        *noise += 1;
        if *noise >= NOISE_MAX {
            outcome.end = Some(End::Told(CloseCause::Abuse));
        }
    }
}

/// How a session ends by a record that was dropped, if it does.
fn end_by_discard(discard: dtls::Discard, failed_opens: u32) -> Option<End> {
    match discard {
        dtls::Discard::PlaintextTooLong => Some(End::Silent(CloseCause::Abuse)),
        dtls::Discard::Unauthentic if failed_opens < FAILED_OPENS_MAX => None,
        dtls::Discard::Unauthentic | dtls::Discard::ForgeryBudget | dtls::Discard::EmptyFlood => {
            Some(End::Told(CloseCause::Abuse))
        }
        _ => None,
    }
}
