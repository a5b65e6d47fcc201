//! The life of a command (device protocol, section 6), and the queue of one device. A store reads a
//! [`Command`], applies a step, and writes what came of it; a refused step changes nothing. Times are those
//! of the server's clock for arrivals, so a command outlives the process.
//!
//! ```text
//!             Fetch               Reply 0, 200
//! 1 created ────────▶ 4 sent ───────────────────▶ 5 succeeded
//!     │                │  ▲       Reply, any other
//!     │        timeout │  │ Fetch ────────────────▶ 6 failed
//!     │                ▼  │
//!     │           4 offered again ──▶ 7 timed out: its time to live is over, and `timeout` is
//!     ├──▶ 3 expired: never fetched
//!     ├──▶ 2 cancelled, from 1 and from 4
//!     └──▶ 6 failed, from 1 and from 4: it is in bytes, and its product speaks JSON now
//! ```
//!
//! * A command waits until its time to live is over; an instant one (time to live 0) until `timeout` is over.
//! * One that was fetched is the device's until `timeout` is over, also where its time to live ends before.
//!   A GET meanwhile gets it again, and changes nothing. After that it waits again, if its time to live
//!   lasts: the next GET gets it under the same id, and the device has `timeout` anew.
//! * A reply counts as long as the command has not ended, also late, while it waits again.
//! * A device has at most so many open commands, instant ones among them, as the store was told
//!   ([`SendCase::open_max`]); [`OPEN_MAX_DEFAULT`] where it was told nothing.
//! * Ids count up, with the clock where that is ahead ([`next_id`]). One that is kept is not used again, and
//!   commands are kept for [`KEPT`]; of those of a device that have ended, the ones that ended last
//!   ([`ended_kept`]). The others go when the next one is sent.

mod queue;
#[cfg(test)]
mod tests;

use std::{ops::RangeInclusive, time::Duration};

pub use self::queue::{Queue, Way};
use crate::{
    ids::UnixMillis,
    model::command::{Command, CommandId, CommandState, CommandStep},
};

/// Most commands of a device that have not ended, unless `limits.device_commands` says otherwise.
pub const OPEN_MAX_DEFAULT: usize = 50;
/// What `limits.device_commands` may say: a store reads all of them when one is sent to a full queue.
pub const OPEN_MAX_RANGE: RangeInclusive<usize> = 1..=1000;
/// Longest time to live, seconds.
pub const PENDING_TTL_S_MAX: u32 = 172_800;
/// How long a device may have to answer, seconds.
pub const TIMEOUT_S: RangeInclusive<u32> = 1..=60;
/// How long a command is kept after its end.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Commands of a device that have ended and are kept; those that ended first are dropped first.
pub const ENDED_MAX: usize = 1000;
/// Bytes of the replies to them that are kept.
pub const ENDED_REPLY_BYTES_MAX: usize = 1 << 20;
/// From when ids count the seconds: 2026-10-01T00:00:00Z, before any store had commands. They reach
/// [`CommandId::MAX`] in 2094.
const IDS_SINCE: UnixMillis = UnixMillis(1_790_812_800_000);
/// Longest message of a command, bytes: it fits one datagram and one block.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Where a command stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits to be fetched, until then.
    Waiting(UnixMillis),
    /// The device has it, and may answer until then. What it is then follows.
    InProgress(UnixMillis),
    /// It has ended like this, then; it may not be written down yet.
    Over(CommandState, UnixMillis),
}

/// The number of a command that cannot be sent in the form that its device takes.
pub const NOT_ENCODED: i64 = 11810;
/// Why a command in bytes has failed.
const REFUSED_BYTES: &str = "it is in bytes, and the data format of the product is json now";

/// The command has ended, or was never fetched and is answered: nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOpen;

impl Command {
    /// Where it stands.
    pub fn standing(&self, at: UnixMillis) -> Standing {
        let after = |from: UnixMillis, seconds: u32| UnixMillis(from.0 + i64::from(seconds) * 1000);
        let (ttl, timeout) = (self.order.pending_ttl_s, self.order.timeout_s);
        let offered_until = after(self.created, if ttl == 0 { timeout } else { ttl });
        match (self.state, self.sent) {
            (CommandState::Created, _) if at < offered_until => Standing::Waiting(offered_until),
            (CommandState::Created, _) => Standing::Over(CommandState::Expired, offered_until),
            (CommandState::Sent, sent) => {
                let answered_until = after(sent.unwrap_or(self.created), timeout);
                if at < answered_until {
                    Standing::InProgress(answered_until)
                } else if ttl > 0 && at < offered_until {
                    Standing::Waiting(offered_until)
                } else if ttl > 0 {
                    Standing::Over(CommandState::TimedOut, answered_until.max(offered_until))
                } else {
                    Standing::Over(CommandState::TimedOut, answered_until)
                }
            }
            (ended, _) => Standing::Over(ended, self.ended.unwrap_or(self.created)),
        }
    }

    /// The bytes of the reply to it: its data and its message.
    pub fn reply_bytes(&self) -> usize {
        [&self.data_json, &self.message].into_iter().flatten().map(|text| text.len()).sum()
    }

    /// Whether it has ended, be that written down or not.
    pub fn is_over(&self, at: UnixMillis) -> bool {
        matches!(self.standing(at), Standing::Over(..))
    }

    /// Applies a step; returns whether that changed anything.
    ///
    /// # Errors
    /// See [`NotOpen`].
    pub fn step(&mut self, step: &CommandStep, at: UnixMillis) -> Result<bool, NotOpen> {
        let (state, ended) = match (step, self.standing(at)) {
            (CommandStep::TimePasses, Standing::Over(state, since)) if !self.state.has_ended() => {
                (state, since)
            }
            (CommandStep::TimePasses, _) => return Ok(false),
            (_, Standing::Over(..)) => return Err(NotOpen),
            (CommandStep::Fetch, Standing::InProgress(_)) => return Ok(false),
            (CommandStep::Fetch, Standing::Waiting(_)) => {
                self.fetched = self.fetched.or_else(|| self.sent.is_none().then_some(at));
                (self.state, self.sent) = (CommandState::Sent, Some(at));
                return Ok(true);
            }
            (CommandStep::Reply { .. }, _) if self.state != CommandState::Sent => return Err(NotOpen),
            (CommandStep::Reply { code, data_json, message }, _) => {
                (self.code, self.data_json) = (Some(*code), data_json.clone());
                self.message.clone_from(message);
                let state = if is_success(*code) { CommandState::Succeeded } else { CommandState::Failed };
                (state, at)
            }
            (CommandStep::NotEncoded { message }, _) => {
                (self.code, self.message) = (Some(NOT_ENCODED), Some(message.clone()));
                (CommandState::Failed, at)
            }
            (CommandStep::Cancel, _) => (CommandState::Cancelled, at),
            (CommandStep::RefuseBytes, _) => {
                (self.code, self.message) = (Some(NOT_ENCODED), Some(REFUSED_BYTES.into()));
                (CommandState::Failed, at)
            }
        };
        (self.state, self.ended) = (state, Some(ended));
        Ok(true)
    }
}

/// Whether a device's code says that it has done what it was asked for.
pub const fn is_success(code: i64) -> bool {
    matches!(code, 0 | 200)
}

/// Why a command cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The device has never logged in.
    NotActivated,
    /// It is instant, and the device is not online.
    Offline,
    /// The device has as many open commands as it may.
    QueueFull {
        /// How many that is.
        open_max: usize,
    },
    /// It was made for another id than the one that it would get. Only its sender gets to know: it makes it
    /// anew.
    OtherId(CommandId),
}

impl NotSent {
    /// Its number (device protocol, section 6).
    pub const fn code(self) -> u16 {
        match self {
            Self::NotActivated => 11888,
            Self::Offline => 11900,
            Self::QueueFull { .. } | Self::OtherId(_) => 11902,
        }
    }
}

/// What decides whether a command may be sent.
#[derive(Debug, Clone, Copy)]
pub struct SendCase {
    /// The device has logged in since it was registered or reset.
    pub activated: bool,
    /// It is online.
    pub online: bool,
    /// Its commands that have not ended.
    pub open: usize,
    /// How many of them it may have.
    pub open_max: usize,
    /// Time to live, seconds.
    pub pending_ttl_s: u32,
}

impl SendCase {
    /// Whether its queue is full.
    pub const fn is_full(self) -> bool {
        self.open >= self.open_max
    }

    /// Whether it may be sent.
    ///
    /// # Errors
    /// Why not.
    pub const fn permit(self) -> Result<(), NotSent> {
        match self {
            Self { activated: false, .. } => Err(NotSent::NotActivated),
            Self { pending_ttl_s: 0, online: false, .. } => Err(NotSent::Offline),
            Self { open_max, .. } if self.is_full() => Err(NotSent::QueueFull { open_max }),
            _ => Ok(()),
        }
    }
}

/// The code that says to the issuer how a command ended; `None`: the device answered, or it was taken back.
pub const fn code_of_end(state: CommandState) -> Option<u16> {
    match state {
        CommandState::Expired => Some(11904),
        CommandState::TimedOut => Some(11915),
        _ => None,
    }
}

/// The id of the next command of a device, at a time: `last` is that of the newest one that is kept.
///
/// One more than the last, and never less than the seconds since 2026-10-01: so a device that is
/// registered anew, and a store that was restored, use no id that the device may remember.
pub fn next_id(
    last: Option<CommandId>,
    at: UnixMillis,
    mut is_kept: impl FnMut(CommandId) -> bool,
) -> CommandId {
    let after = |id: CommandId| CommandId(id.0 % CommandId::MAX.0 + 1);
    let seconds = at.0.saturating_sub(IDS_SINCE.0).div_euclid(1000).clamp(1, CommandId::MAX.0.into());
    let mut id = last.map_or(CommandId(1), after).max(CommandId(seconds as u32));
    // A device has far fewer than there are ids.
    while is_kept(id) {
        id = after(id);
    }
    id
}

/// Whether the id of the last command of a device that is deleted now is one that its device may remember,
/// and other devices may count on from. One that is far ahead of the clock is of a clock that was wrong, or
/// of a damaged row.
pub fn may_be_remembered(last: CommandId, now: UnixMillis) -> bool {
    let CommandId(by_the_clock) = next_id(None, now, |_| false);
    last <= CommandId(by_the_clock.saturating_add(KEPT.as_secs() as u32)).min(CommandId::MAX)
}

/// How many of the commands of a device that have ended are kept, from the bytes of the replies to them
/// ([`Command::reply_bytes`]): at most [`ENDED_MAX`], and their replies have at most
/// [`ENDED_REPLY_BYTES_MAX`] bytes together. They come by their end, the last one first, and where that is at
/// the same time, the one that was sent last: a fresh answer outlives older ones, whenever it was asked for.
pub fn ended_kept(reply_bytes: impl IntoIterator<Item = usize>) -> usize {
    let mut room = ENDED_REPLY_BYTES_MAX;
    let fits = |bytes: &usize| match room.checked_sub(*bytes) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    reply_bytes.into_iter().take(ENDED_MAX).take_while(fits).count()
}

/// When commands must have ended that are dropped at `now`: earlier.
pub fn kept_from(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(KEPT.as_millis() as i64))
}
