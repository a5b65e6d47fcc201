//! What may have arrived and is not known yet. A process that stood still finds its time-outs over and the
//! datagrams that came meanwhile still in its sockets: these are read before anything ends.

use std::time::{Duration, Instant};

/// How often it is looked whether what arrived is known by now.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long nothing ends where a shard does not get to the end of what arrives: it counts while the process
/// runs, not while it stands still.
pub(crate) const UNREAD_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unread {
    /// What arrived until then is known. `None`: all of it is.
    read_until: Option<Instant>,
    /// For how long something was due and not known, in steps of [`LOOK_EVERY`] at most.
    waited: Duration,
    /// When that was looked at, and the next look.
    looked: Option<(Instant, Instant)>,
}

impl Unread {
    /// See [`crate::Gateway::handle_read_until`].
    pub(crate) fn read_until(&mut self, until: Option<Instant>) {
        self.read_until = until;
    }

    /// Until when things end, of which the first is due then: now, unless something that arrived may not be
    /// known yet.
    pub(crate) fn known_until(&mut self, due: Option<Instant>, now: Instant) -> Instant {
        let until = self.read_until.map_or(now, |until| until.min(now));
        if due.is_none_or(|due| due <= until || due > now) {
            *self = Self { read_until: self.read_until, ..Self::default() };
            return until;
        }
        if let Some((before, _)) = self.looked {
            self.waited += now.saturating_duration_since(before).min(LOOK_EVERY);
        }
        if self.waited >= UNREAD_MAX {
            self.looked = None;
            return now;
        }
        self.looked = Some((now, now + LOOK_EVERY));
        until
    }

    /// The same, where nothing has to be due.
    pub(crate) fn known(&self, now: Instant) -> Instant {
        let is_over = self.waited >= UNREAD_MAX;
        self.read_until.filter(|_| !is_over).map_or(now, |until| until.min(now))
    }

    /// When it is looked at what is due at `at`.
    pub(crate) fn look_at(&self, at: Instant) -> Instant {
        self.looked.map_or(at, |(_, next)| at.max(next))
    }
}
