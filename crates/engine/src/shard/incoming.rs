//! Handles what arrives by a session: opens its records, each of which carries a CoAP message, ends the
//! session, or counts as noise.

use std::time::Instant;

use narrowgate_coap::{Budget, Context};
use narrowgate_dtls::{self as dtls, Opened};

use super::{Shard, ShardConfig, channel::Channel, established::Established, profiles::Profiles};
use crate::event::{CloseCause, SessionId, ShardEvent};

/// Authentic records in a row that carry nothing (empty ones, warnings) before a session is closed.
const NOISE_MAX: u8 = 32;

/// The outcome of the records of one datagram.
#[derive(Default)]
struct Outcome {
    authentic: bool,
    /// Whether a request was among its messages.
    asked: bool,
    end: Option<End>,
}

/// How a session ends because of what its peer sent.
#[derive(Clone, Copy)]
enum End {
    /// With a close_notify to the peer.
    Notify(CloseCause),
    /// Silently, because a fatal alert was received or sent: nothing follows it (RFC 5246, section 7.2.2).
    Silent(CloseCause),
}

impl Shard {
    /// Handles the records of one datagram; returns whether any of them was authentic.
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
        if outcome.authentic {
            let limit = self.config.device_bytes;
            let Some(row) = self.sessions.at(session) else { return true };
            // Ignored: without a request nothing has to wait.
            let _ = row.session.take_bytes(limit, seconds, 0);
            if !outcome.asked {
                self.events.push_back(ShardEvent::Heard { session });
            }
            self.transmit(session);
            self.arm_session(now, session);
        }
        match outcome.end {
            Some(End::Notify(cause)) => self.close_with_notify(session, cause),
            Some(End::Silent(cause)) => self.close(session, cause),
            None => {}
        }
        outcome.authentic
    }

    fn open_record(&mut self, now: Instant, session: SessionId, record: &mut [u8], outcome: &mut Outcome) {
        let seconds = self.seconds(now);
        let Self { sessions, config, profiles, budget, stats, random, outbox, .. } = self;
        let Some(row) = sessions.at(session) else { return };
        let path = row.path();
        let Established { channel: Channel::Dtls(dtls), noise, .. } = &mut row.session else { return };
        let failed_before = dtls.failed_opens();
        let opened = match dtls.open(record) {
            Ok(opened) => opened,
            Err(discard) => {
                stats.count_dtls(discard);
                if discard == dtls::Discard::PlaintextTooLong {
                    // RFC 5246 6.2.3: authentic, so this is no stranger: fatal record_overflow.
                    outbox.push_with(path, |out| dtls.seal_record_overflow(random, out));
                }
                outcome.end = end_by_discard(discard);
                let failed = dtls.failed_opens();
                if failed != failed_before {
                    self.note_forgery(now, session, failed);
                }
                return;
            }
        };
        outcome.authentic = true;
        match opened {
            Opened::Application(message) => {
                *noise = 0;
                let permitted =
                    row.session.handle_message((now, seconds), message, (config, profiles), budget);
                outcome.asked |= self.deliver(now, session, permitted);
                return;
            }
            Opened::FinishedAgain => {
                // The last flight is rebuilt with new record numbers (RFC 6347, section 4.2.4).
                if outbox.push_with(path, |out| dtls.seal_last_flight(random, out)).is_err() {
                    outcome.end = Some(End::Notify(CloseCause::Abuse));
                }
                return;
            }
            Opened::CloseNotify | Opened::TooManyWarnings => {
                outcome.end = Some(End::Notify(CloseCause::ByPeer));
                return;
            }
            Opened::FatalAlert(_) => {
                outcome.end = Some(End::Silent(CloseCause::ByPeer));
                return;
            }
            Opened::RenegotiationAttempt => {
                // RFC 5746 4.5 leaves the choice: the attempt is refused with a warning, and the session
                // continues.
                outbox.push_with(path, |out| dtls.seal_no_renegotiation(random, out));
            }
            Opened::Empty | Opened::WarningAlert(_) | Opened::Ignored => {}
        }
        *noise += 1;
        if *noise >= NOISE_MAX {
            outcome.end = Some(End::Notify(CloseCause::Abuse));
        }
    }
}

impl Established {
    /// Handles a CoAP message that arrived at this second; `Err`: its requests are to wait for so many
    /// seconds.
    pub(super) fn handle_message(
        &mut self,
        (now, now_s): (Instant, u32),
        message: &[u8],
        (config, profiles): (&ShardConfig, &Profiles),
        budget: &mut Budget,
    ) -> Result<(), u32> {
        let permitted = self.take_bytes(config.device_bytes, now_s, message.len() as u32);
        let params = profiles.within(self.endpoint.profile(), self.channel.message_bytes_max());
        let mut context = Context { now, params: &params, budget };
        match permitted {
            Ok(()) => self.endpoint.handle_message(&mut context, message),
            Err(wait_s) => self.endpoint.handle_message_held_back(&mut context, message, wait_s),
        }
        permitted
    }
}

/// How a session ends because of a dropped record, if it does. Only what is authentic ends it: a stranger who
/// knows its addresses can send anything else.
fn end_by_discard(discard: dtls::Discard) -> Option<End> {
    match discard {
        dtls::Discard::PlaintextTooLong => Some(End::Silent(CloseCause::Abuse)),
        dtls::Discard::EmptyFlood => Some(End::Notify(CloseCause::Abuse)),
        _ => None,
    }
}
