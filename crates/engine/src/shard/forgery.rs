//! Alarms about forged records: somebody who knows the addresses of a session sends records that its keys do
//! not open. They harm nobody, and the session goes on (see [`FAILED_OPENS_ALARM`]), but an operator should
//! know.
//!
//! Limits: an alarm for every [`FAILED_OPENS_ALARM`] forgeries, and one in each minute for each session, for
//! [`ALARMS_MAX`] sessions in a minute: whoever forges for more is known by then. Of these, [`REPORTS_MAX`]
//! in a minute of the shard are reported to the platform, because strangers cause them and each may be a line
//! in a log. All alarms are counted.

use std::{collections::BTreeSet, time::Instant};

use narrowgate_dtls::limits::FAILED_OPENS_ALARM;

use super::{Shard, stats::Counter};
use crate::event::{SessionId, ShardEvent};

/// Sessions with an alarm in a minute; remembering them takes 12 bytes each.
const ALARMS_MAX: usize = 4096;
/// Reports in a minute, over all sessions of the shard.
const REPORTS_MAX: usize = 10;

/// Sessions with an alarm in this minute.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    minute: u32,
    sessions: BTreeSet<SessionId>,
}

impl Alarms {
    /// Whether this is the session's first alarm in this minute.
    fn is_first(&mut self, minute: u32, session: SessionId) -> bool {
        if self.minute != minute {
            *self = Self { minute, sessions: BTreeSet::new() };
        }
        self.sessions.len() < ALARMS_MAX && self.sessions.insert(session)
    }
}

impl Shard {
    /// A record of the session was forged, the `failed`th one.
    pub(super) fn note_forgery(&mut self, now: Instant, session: SessionId, failed: u32) {
        let minute = self.seconds(now) / 60;
        if !failed.is_multiple_of(FAILED_OPENS_ALARM) || !self.forgery_alarms.is_first(minute, session) {
            return;
        }
        self.stats.count(Counter::ForgeryAlarms);
        let Some(row) = self.sessions.at(session) else { return };
        if self.forgery_alarms.sessions.len() <= REPORTS_MAX {
            let peer = row.path().peer;
            self.events.push_back(ShardEvent::Forged { session, peer, records: failed });
        }
    }
}
