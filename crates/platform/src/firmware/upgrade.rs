//! The upgrade of one device to one image. All transitions stand in [`Upgrade::step`].

use std::time::Duration;

use super::{ImageId, UpgradeFailure, UpgradeOffer, UpgradeState};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::command::{Command, CommandId, CommandSession, CommandState, CommandTopic, Order},
    rules::commands::{NotSent, PENDING_TTL_S_MAX, SendCase},
};

/// How long the command of an offer waits for its device, seconds: the longest time there is. It is sent
/// again after that.
pub const OFFER_TTL_S: u32 = PENDING_TTL_S_MAX;
/// How long a device has to answer it, seconds, before it is offered again.
pub const OFFER_TIMEOUT_S: u32 = 60;
/// How long a device that has begun may say nothing before its upgrade counts as failed. A hole in the
/// coverage lasts days; who goes on after that is taken up again.
pub const SILENT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes that are kept of what a device says of its progress; the rest is cut.
pub const DESC_BYTES_MAX: usize = 256;
/// When a device is looked at again that can get no command: it was never activated, or is switched off.
const AFTER_UNABLE: Duration = Duration::from_secs(3600);
/// When a device is looked at again that has too many commands, or another upgrade under way.
const AFTER_BUSY: Duration = Duration::from_secs(60);

/// The upgrade of a device to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// Whose.
    pub device: DeviceId,
    /// To what.
    pub image: ImageId,
    /// How far it is.
    pub state: UpgradeState,
    /// Why it failed; only of those that have.
    pub failure: Option<UpgradeFailure>,
    /// The last command that offered it.
    pub command: Option<CommandId>,
    /// Commands that offered it.
    pub attempts: u32,
    /// The last step that the device said, -5 to 100.
    pub progress: Option<i8>,
    /// What it said of that, or of its refusal, for people.
    pub desc: Option<Box<str>>,
    /// When the device was offered it, by an operator.
    pub since: UnixMillis,
    /// When something happened last.
    pub moved: UnixMillis,
    /// When time has something to do; `None`: never.
    pub due: Option<UnixMillis>,
}

/// A step of firmware that a device causes, on the data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareMove {
    /// Who.
    pub device: DeviceId,
    /// Its session; refused where the device has another login or secret.
    pub session: CommandSession,
    /// What happened.
    pub step: FirmwareStep,
    /// When.
    pub at: UnixMillis,
}

/// What a device does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareStep {
    /// It says which version it runs ([`super::check_version`]).
    Inform {
        /// Which.
        version: String,
    },
    /// It says how far its upgrade is.
    Progress {
        /// 0 to 100, or -1 to -5 for what failed.
        step: i8,
        /// What it says of that, for people; cut to [`DESC_BYTES_MAX`].
        desc: Option<String>,
    },
    /// It fetches an image.
    Fetching {
        /// Which.
        image: ImageId,
        /// How much of it.
        fetched: Fetched,
        /// The same in percent, for people.
        percent: u8,
    },
}

/// How much of an image a device has fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Its first block.
    First,
    /// Its last block.
    Last,
}

/// What happens to an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeStep<'a> {
    /// A command that offers it was queued.
    Queued(CommandId),
    /// None can be queued now.
    NotQueued(NotQueued),
    /// The device has fetched the command.
    CommandFetched,
    /// The device has answered the command, that it takes the upgrade or not.
    CommandAnswered {
        /// It takes it.
        success: bool,
        /// What it says of that.
        message: Option<&'a str>,
    },
    /// The command has ended, and the device has not answered it.
    CommandOver(CommandState),
    /// The device says how far it is.
    Progress {
        /// -5 to 100.
        step: i8,
        /// What it says of that.
        desc: Option<&'a str>,
    },
    /// The device fetches the image.
    Fetching(Fetched),
    /// The device says that it runs the version.
    Installed,
    /// The rollout is paused, so that nothing may be offered: what the device has not fetched is taken back.
    Withdrawn,
    /// An operator, or an offer of another image, takes it back where the device does not know of it.
    Cancelled,
    /// The device is reset or switched off, and its commands with it: what it was told of is over.
    Stopped,
    /// An operator offers it once more.
    OfferedAgain,
    /// It may be time for something.
    TimePasses,
}

/// Why no command can be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotQueued {
    /// The device was never activated, or is switched off.
    Unable,
    /// It has too many commands, or another upgrade is under way.
    Busy,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Something is to be written.
    pub changed: bool,
    /// This command is to be taken back, where it is open: what it offers is over.
    pub cancel: Option<CommandId>,
    /// It ended by this step, in a way that counts for the rollout.
    pub ended: Option<Ended>,
    /// It had been counted as failed because its device was silent, and that holds no more.
    pub revived: bool,
}

/// How an upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The device runs the version.
    Done,
    /// It does not.
    Failed,
}

/// Why a device's step was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUpgrade {
    /// The device has none that has not ended: 764.
    None,
    /// It has one that it has not begun: 765.
    NotStarted,
}

/// What decides whether a command that offers an upgrade may be sent.
#[derive(Debug, Clone, Copy)]
pub struct SendUpgrade {
    /// The device and its product are switched on.
    pub enabled: bool,
    /// Another upgrade of the device was offered or is under way.
    pub has_another: bool,
    /// What decides for any command.
    pub case: SendCase,
}

impl SendUpgrade {
    /// Whether it may be sent.
    ///
    /// # Errors
    /// Why not.
    pub const fn permit(self) -> Result<(), NotQueued> {
        match self {
            Self { enabled: false, .. } => Err(NotQueued::Unable),
            Self { has_another: true, .. } => Err(NotQueued::Busy),
            Self { case, .. } => match case.permit() {
                Ok(()) => Ok(()),
                Err(NotSent::NotActivated) => Err(NotQueued::Unable),
                Err(NotSent::QueueFull { .. } | NotSent::Offline | NotSent::OtherId(_)) => {
                    Err(NotQueued::Busy)
                }
            },
        }
    }
}

impl UpgradeOffer {
    /// The command that offers it.
    pub fn order(&self) -> Order {
        Order {
            topic: CommandTopic::Upgrade,
            params_json: self.params_json().into(),
            pending_ttl_s: OFFER_TTL_S,
            timeout_s: OFFER_TIMEOUT_S,
            raw: None,
        }
    }
}

impl<'a> UpgradeStep<'a> {
    /// What a command that has moved means for the upgrade that it offers.
    pub fn of_command(command: &'a Command) -> Self {
        match command.state {
            CommandState::Created => Self::TimePasses,
            CommandState::Sent => Self::CommandFetched,
            CommandState::Succeeded | CommandState::Failed => {
                let success = command.state == CommandState::Succeeded;
                Self::CommandAnswered { success, message: command.message.as_deref() }
            }
            over @ (CommandState::Cancelled | CommandState::Expired | CommandState::TimedOut) => {
                Self::CommandOver(over)
            }
        }
    }
}

impl Upgrade {
    /// Of a device that runs the version already: nothing is to be done.
    pub fn had(device: DeviceId, image: ImageId, at: UnixMillis) -> Self {
        let mut upgrade = Self::new(device, image, at);
        upgrade.to(UpgradeState::Done, at);
        upgrade
    }

    /// One that nobody has told the device of.
    pub fn new(device: DeviceId, image: ImageId, at: UnixMillis) -> Self {
        Self {
            device,
            image,
            state: UpgradeState::Waiting,
            failure: None,
            command: None,
            attempts: 0,
            progress: None,
            desc: None,
            since: at,
            moved: at,
            due: Some(at),
        }
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        !self.state.has_ended()
    }

    /// Applies a step.
    ///
    /// # Errors
    /// A device says how far it is with what has ended, or what it was not told of. Nothing changes.
    pub fn step(&mut self, step: UpgradeStep<'_>, at: UnixMillis) -> Result<Moved, NoUpgrade> {
        use UpgradeState as S;
        use UpgradeStep as T;
        let was = self.state;
        match (step, was) {
            (T::Queued(command), S::Waiting) => {
                self.command = Some(command);
                self.attempts = self.attempts.saturating_add(1);
                Ok(self.to(S::Offered, at))
            }
            (T::NotQueued(why), S::Waiting) => {
                self.due = Some(after(at, if why == NotQueued::Unable { AFTER_UNABLE } else { AFTER_BUSY }));
                Ok(Moved { changed: true, ..Moved::default() })
            }
            (T::CommandFetched, S::Offered) => Ok(self.to(S::Sent, at)),
            (T::CommandAnswered { success: true, .. }, S::Offered | S::Sent) => Ok(self.to(S::Accepted, at)),
            (T::CommandAnswered { success: false, message }, S::Offered | S::Sent | S::Accepted) => {
                self.desc = message.map(cut_desc);
                Ok(self.fail(UpgradeFailure::Refused, at))
            }
            (T::CommandOver(CommandState::Cancelled), S::Offered | S::Sent) => Ok(self.to(S::Cancelled, at)),
            (T::CommandOver(CommandState::Expired | CommandState::TimedOut), S::Offered | S::Sent) => {
                Ok(self.to(S::Waiting, at))
            }
            (T::Progress { .. }, S::Waiting | S::Offered) => Err(NoUpgrade::NotStarted),
            (T::Progress { .. } | T::Fetching(_), S::Failed) if self.is_silent() => {
                // As if it had not been given up.
                self.state = S::Sent;
                self.step(step, at).map(|moved| Moved { revived: true, ..moved })
            }
            (T::Progress { .. }, S::Done | S::Failed | S::Cancelled) => Err(NoUpgrade::None),
            (T::Progress { step, desc }, _) => Ok(self.progress(step, desc, at)),
            (T::Fetching(_), S::Done | S::Failed | S::Cancelled) => Err(NoUpgrade::None),
            (T::Fetching(Fetched::First), _) => Ok(self.to(S::Downloading, at)),
            (T::Fetching(Fetched::Last), S::Burning) => Ok(Moved::default()),
            (T::Fetching(Fetched::Last), _) => Ok(self.to(S::Verifying, at)),
            (T::Installed, S::Done) => Ok(Moved::default()),
            (T::Installed, _) => {
                let revived = self.is_silent();
                Ok(Moved { ended: Some(Ended::Done), revived, ..self.without_command(S::Done, at) })
            }
            (T::Withdrawn, S::Offered) => Ok(self.without_command(S::Waiting, at)),
            (T::Cancelled, S::Waiting | S::Offered) => Ok(self.without_command(S::Cancelled, at)),
            (T::Stopped, S::Offered) => Ok(self.without_command(S::Cancelled, at)),
            (T::Stopped, _) if was.is_under_way() => Ok(self.without_command(S::Cancelled, at)),
            (T::OfferedAgain, S::Done | S::Failed | S::Cancelled) => {
                (self.failure, self.progress, self.desc, self.since) = (None, None, None, at);
                Ok(self.without_command(S::Waiting, at))
            }
            (T::TimePasses, _) if was.is_under_way() && self.due.is_some_and(|due| due <= at) => {
                Ok(self.fail(UpgradeFailure::Silent, at))
            }
            _ => Ok(Moved::default()),
        }
    }

    /// Whether it was given up only because its device said nothing.
    fn is_silent(&self) -> bool {
        self.state == UpgradeState::Failed && self.failure == Some(UpgradeFailure::Silent)
    }

    fn progress(&mut self, step: i8, desc: Option<&str>, at: UnixMillis) -> Moved {
        (self.progress, self.desc) = (Some(step), desc.map(cut_desc));
        if let Some(failure) = UpgradeFailure::of_step(step) {
            return self.fail(failure, at);
        }
        let all_fetched = matches!(self.state, UpgradeState::Verifying | UpgradeState::Burning);
        let next = if all_fetched || step >= 100 { UpgradeState::Burning } else { UpgradeState::Downloading };
        self.to(next, at)
    }

    fn fail(&mut self, failure: UpgradeFailure, at: UnixMillis) -> Moved {
        let moved = self.without_command(UpgradeState::Failed, at);
        self.failure = Some(failure);
        Moved { ended: Some(Ended::Failed), ..moved }
    }

    /// Moves to a state in which no command may offer it any more. A device need not answer the command
    /// before it fetches the image, so the command may be open in whatever state that was.
    fn without_command(&mut self, state: UpgradeState, at: UnixMillis) -> Moved {
        Moved { cancel: self.command, ..self.to(state, at) }
    }

    /// Moves to a state, with the time at which that is looked at again.
    fn to(&mut self, state: UpgradeState, at: UnixMillis) -> Moved {
        self.state = state;
        self.failure = None;
        self.moved = at;
        self.due = match state {
            UpgradeState::Waiting => Some(at),
            state if state.is_under_way() => Some(after(at, SILENT_MAX)),
            // The command's own time ends an offer.
            _ => None,
        };
        Moved { changed: true, ..Moved::default() }
    }
}

/// Whether a device can mean an upgrade by what it says or fetches, and how surely: the greatest number among
/// its upgrades is the one. One under way comes before one that was given up for its silence, and that before
/// one that the device does not know of yet. `None`: it cannot. Where the device was `told` of one that has
/// not ended, what was given up stays so: a device has one upgrade at a time.
pub fn meant(state: UpgradeState, failure: Option<UpgradeFailure>, told: bool) -> Option<u8> {
    match state {
        state if state.is_under_way() => Some(3),
        UpgradeState::Failed if failure == Some(UpgradeFailure::Silent) && !told => Some(2),
        UpgradeState::Waiting | UpgradeState::Offered => Some(1),
        _ => None,
    }
}

fn after(at: UnixMillis, time: Duration) -> UnixMillis {
    UnixMillis(at.0.saturating_add(time.as_millis() as i64))
}

/// What is kept of what a device says: the first [`DESC_BYTES_MAX`] bytes.
pub fn cut_desc(said: &str) -> Box<str> {
    let end = (0..=DESC_BYTES_MAX.min(said.len())).rev().find(|end| said.is_char_boundary(*end));
    said[..end.unwrap_or(0)].into()
}

#[cfg(test)]
mod tests;
