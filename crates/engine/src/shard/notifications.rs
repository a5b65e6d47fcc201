//! Notifications of those who observe in a session (RFC 7641).

use std::time::Instant;

use narrowgate_coap::{Context, NotifyError, ObservationEnd, OptionNumber, Response};

use super::{Shard, stats::Counter};
use crate::event::{SessionId, ShardEvent};

impl Shard {
    /// Sends a notification. One that does not fit a record of the session goes without the options that it
    /// can do without, and is lost if it does not fit even so.
    pub(super) fn notify(&mut self, now: Instant, session: SessionId, response: Response) {
        let Some(row) = self.sessions.at(session) else { return };
        let established = &mut row.session;
        let params =
            self.profiles.within(established.endpoint.profile(), established.channel.message_bytes_max());
        let mut context = Context { now, params: &params, budget: &mut self.budget };
        let shorter = shorter(&response);
        let mut sent = established.endpoint.notify(&mut context, response);
        if let Err(NotifyError::TooLarge { .. }) = sent {
            self.stats.count(Counter::MessagesTooLarge);
            sent = established.endpoint.notify(&mut context, shorter);
        }
        self.stats.add(Counter::Notifications, sent.unwrap_or_default() as u64);
        self.transmit(session);
        self.arm_session(now, session);
    }

    /// A registration has ended, and so many are left. The platform hears of the last one.
    pub(super) fn end_observation(&mut self, session: SessionId, end: ObservationEnd, left: usize) {
        if end == ObservationEnd::TimedOut {
            self.stats.count(Counter::ObservationsLost);
        }
        if left == 0 {
            self.events.push_back(ShardEvent::ObservationEnded { session, end });
        }
    }
}

/// What an observer cannot do without.
fn shorter(response: &Response) -> Response {
    let mut shorter = response.clone();
    let needed = [OptionNumber::OBSERVE, OptionNumber::CONTENT_FORMAT, OptionNumber::MAX_AGE];
    shorter.options.retain(|number| needed.contains(&number));
    shorter
}
