//! The timers of a session, each with a name. There are three, because a session has three time scales: an
//! exchange (seconds), its stored answers (minutes), and its end (days).
//!
//! Each timer has at most one valid entry in the wheel: the one for the tick that is stored here. If a
//! deadline moves later, the entry stays where it is, fires too early and is set again; if it moves earlier,
//! a second entry is set, and the first is ignored when it fires.

use std::time::{Duration, Instant};

use narrowgate_coap::Context;

use super::{
    Shard,
    established::Established,
    wheel::{Entry, TICKS_PER_SECOND, Wheel},
};
use crate::event::SessionId;

/// How far ahead the end of a session is set, in seconds: the timers of a session that ended stay in the
/// wheel until they fire, 16 bytes each, and one credential can begin and end thousands of sessions a second.
/// A later end is set again when the timer fires: for a million silent sessions 4,200 times a second. As long
/// as the answers for duplicates are kept, whose timer stays in the same way.
const END_AHEAD_MAX_S: u32 = 240;

/// The timers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// An exchange is to be acknowledged, repeated or given up.
    Exchange,
    /// The answers that are kept for duplicates are to be removed.
    Answers,
    /// The session is over: nothing was heard for long, or the platform set its end.
    End,
}

/// A tick of the wheel in 48 bits, the lowest first, which are 89,000 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tick([u16; 3]);

impl Tick {
    /// The tick of a timer that is not armed.
    const NEVER: Self = Self([u16::MAX; 3]);

    const fn of(tick: u64) -> Self {
        Self([tick as u16, (tick >> 16) as u16, (tick >> 32) as u16])
    }

    fn number(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        high << 32 | middle << 16 | low
    }
}

/// When each timer of a session fires.
#[derive(Debug)]
pub(super) struct Timers {
    exchange: Tick,
    answers: Tick,
    /// A whole second since the shard's start; `u32::MAX`: not armed.
    end_s: u32,
    /// When the platform wants the session to end, in seconds since the shard's start; `u32::MAX`: never.
    pub(super) close_at_s: u32,
}

impl Timers {
    /// No timer is armed.
    pub(super) const IDLE: Self =
        Self { exchange: Tick::NEVER, answers: Tick::NEVER, end_s: u32::MAX, close_at_s: u32::MAX };

    /// Disarms and returns the timer that waits for this tick, which has fired; `None` if there is none.
    fn take(&mut self, tick: u64) -> Option<Timer> {
        if self.exchange == Tick::of(tick) {
            self.exchange = Tick::NEVER;
            Some(Timer::Exchange)
        } else if self.answers == Tick::of(tick) {
            self.answers = Tick::NEVER;
            Some(Timer::Answers)
        } else if u64::from(self.end_s) * TICKS_PER_SECOND == tick {
            self.end_s = u32::MAX;
            Some(Timer::End)
        } else {
            None
        }
    }
}

impl Shard {
    /// Handles an entry of a session's timer that has fired; ignored if the session has set the timer again.
    pub(super) fn session_timer(&mut self, now: Instant, entry: Entry) {
        let seconds = self.seconds(now);
        let session = SessionId { shard: self.config.shard, slot: entry.slot, generation: entry.generation };
        let Some(row) = self.sessions.at(session) else { return };
        let established = &mut row.session;
        let Some(timer) = established.timers.take(entry.tick) else { return };
        // The end is checked first, whichever timer of this tick fires first.
        if let Some(cause) = established.end_due(seconds, self.config.idle_timeout) {
            return self.close_with_notify(session, cause);
        }
        match timer {
            Timer::End => {}
            Timer::Exchange | Timer::Answers => {
                let endpoint = &mut established.endpoint;
                if endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
                    let (params, budget) = (self.profiles.of(endpoint.profile()), &mut self.budget);
                    endpoint.handle_timeout(&mut Context { now, params, budget });
                    self.deliver(now, session, Ok(()));
                    self.transmit(session);
                }
            }
        }
        self.arm_session(now, session);
    }

    /// Ends the session later, unless it ends before.
    pub(super) fn close_after(&mut self, now: Instant, session: SessionId, after: Duration) {
        let at = self.seconds(now + after) + 1;
        let Some(row) = self.sessions.at(session) else { return };
        let close_at_s = &mut row.session.timers.close_at_s;
        *close_at_s = at.min(*close_at_s);
        self.arm_session(now, session);
    }

    /// Arms the timers of a session that have to fire earlier than they would.
    pub(super) fn arm_session(&mut self, now: Instant, session: SessionId) {
        let Some(row) = self.sessions.at(session) else { return };
        let end_s = row.session.end_s(self.config.idle_timeout);
        let Established { timers, endpoint, .. } = &mut row.session;
        if let Some(next) = endpoint.poll_timeout() {
            let answers = endpoint.answers_expiry();
            // The last expiry only moves later, so a timer that is armed for it is early enough.
            if let Some(answers) = answers
                && timers.answers == Tick::NEVER
            {
                arm_sooner(&mut self.wheel, &mut timers.answers, answers, session);
            }
            if answers != Some(next) {
                arm_sooner(&mut self.wheel, &mut timers.exchange, next, session);
            }
        }
        if end_s < timers.end_s {
            let now_s = now.saturating_duration_since(self.start).as_secs() as u32;
            timers.end_s = end_s.min(now_s + END_AHEAD_MAX_S);
            let tick = u64::from(timers.end_s) * TICKS_PER_SECOND;
            self.wheel.arm(tick, session.slot, session.generation);
        }
    }
}

fn arm_sooner(wheel: &mut Wheel, armed: &mut Tick, deadline: Instant, session: SessionId) {
    let tick = wheel.tick_of(deadline);
    if tick < armed.number() {
        *armed = Tick::of(tick);
        wheel.arm(tick, session.slot, session.generation);
    }
}
