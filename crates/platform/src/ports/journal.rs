//! The port of the data path: what devices cause is committed in batches, before anybody is answered.

use std::{fmt, sync::Arc, time::Duration};

use super::{PortFuture, StoreError};
use crate::{
    firmware::{FirmwareMove, ImageId, NoUpgrade, UpgradeFailure, UpgradeState},
    ids::{DeviceId, LoginNumber, Position, UnixMillis},
    model::{
        access::ReportsOfDay,
        command::{CommandMove, OpenCommand},
        device::DeviceState,
        log::LogEntry,
        message::Message,
        property::PropertyWrite,
        rates::CountedMinute,
    },
    rules::{clock::NewestArrival, issuing::NotIssued},
    secret::Secret,
};

/// Where the data path writes. One caller gathers what is to be written and appends it, batch by batch.
pub trait Journal: Send + Sync + 'static {
    /// Commits a batch as one transaction, in the order of the calls and of its writes, durably before the
    /// future ends. After an error nothing of the batch is stored. A write that meets a damaged row is left
    /// out, and its outcome says so.
    ///
    /// The batch is taken by the call itself, and dropping the future does not take it back. The future stays
    /// pending while it is not known whether the batch is stored.
    fn append(&self, batch: Batch) -> PortFuture<'static, Result<Committed, StoreError>>;

    /// What a gateway takes up when it starts. Must be called before the first batch is appended.
    fn recover(&self) -> PortFuture<'_, Result<Recovered, StoreError>>;

    /// Stops writing between two batches, until the answer is dropped, but for at most `limit`: what is
    /// written meanwhile waits. Everything that was acknowledged is in the store's files then. A store
    /// without files refuses.
    fn hold(&self, limit: Duration) -> PortFuture<'static, Result<Pause, StoreError>> {
        let _ = limit;
        let refusal = StoreError::Conflict("this store has no files to back up".to_owned());
        Box::pin(std::future::ready(Err(refusal)))
    }

    /// Finishes what is under way and closes all ports of the store; later calls fail.
    fn close(&self) -> PortFuture<'static, Result<(), StoreError>>;

    /// Whether it can still do anything: `false` once it is closed, and where what it works with has ended by
    /// a fault.
    fn is_running(&self) -> bool {
        true
    }

    /// Why nothing can be stored until somebody does something about it, for the operator; `None`: nothing is
    /// known.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The longest time for which a backup holds the writer: devices wait for their answers so long.
pub const HOLD_TIME_MAX: Duration = Duration::from_secs(3);

/// A store that stands still, until this is dropped or its time is over.
pub struct Pause {
    /// The number of the store's last batch.
    pub batch: i64,
    /// Its end is what the store waits for.
    _resume: Box<dyn Send>,
}

impl Pause {
    /// Of a store that continues when `resume` is dropped.
    pub fn new(batch: i64, resume: impl Send + 'static) -> Self {
        Self { batch, _resume: Box::new(resume) }
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pause({})", self.batch)
    }
}

/// Writes that are committed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number, given by the caller: one more than the batch before, from 0 in each process.
    pub number: u64,
    /// What to write, in this order.
    pub writes: Vec<Write>,
    /// How far the sessions that caused the writes have come; committed with them.
    pub marks: Vec<SessionMark>,
    /// The newest confirmed arrival, by which a start knows the clock again: see
    /// [`ArrivalClock`](crate::rules::clock::ArrivalClock). A store may keep one that is an hour older.
    pub confirmed: Option<UnixMillis>,
}

impl Batch {
    /// A batch without marks, of a clock that is not confirmed.
    pub fn new(number: u64, writes: Vec<Write>) -> Self {
        Self { number, writes, marks: Vec::new(), confirmed: None }
    }
}

/// How far a session has come: the highest record that was received, once sessions are stored. There are none
/// yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMark {}

/// What a gateway takes up when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Devices that are online by the last committed write.
    pub online: Vec<OnlineDevice>,
    /// Commands that have not ended, those of a device in the order of their sending.
    pub commands: Vec<OpenCommand>,
    /// Number of the last batch that is stored; `None`: the store does not know it.
    pub last_batch: Option<u64>,
    /// Durably greater each time the store is opened. Numbers of batches and positions are comparable within
    /// one epoch only, and numbers of logins are counted from it: see [`LoginNumber::first_of`].
    pub epoch: u64,
    /// The newest arrival of a report: see [`StoredArrivals`](crate::rules::clock::StoredArrivals). `None`:
    /// there is none.
    pub newest_arrival: Option<NewestArrival>,
}

/// A device that is online according to the store; read once at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnlineDevice {
    /// Who.
    pub device: DeviceId,
    /// Lifetime of its last login, seconds.
    pub lifetime_s: u32,
    /// The number of that login; `None`: it is older than the numbers of logins.
    pub login: Option<LoginNumber>,
}

/// One change on the data path. A batch of them is one transaction.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores a report; for `MessageKind::Points` the latest values move, unless they are newer already.
    /// Refused where the device has another login or secret than the report's session.
    Message(Message),
    /// How many reports of a unit were taken so far on a day: of a unit that has a quota of them. Of one that
    /// is gone nothing is written.
    UnitReports {
        /// Key of the unit.
        ou: Arc<str>,
        /// How many.
        reports: ReportsOfDay,
    },
    /// What was counted in a minute: it is added to what is there of that minute, for all and for the
    /// organisation unit of each product. Minutes that are more than a day away from it are forgotten.
    Rates(Arc<CountedMinute>),
    /// A mode-2 session was established: state online, `lastOnlineTime` (if it was not online),
    /// `lastSeenTime`, `lifetime`, and `activeTime` when it was never set. Log and presence history are
    /// written with it.
    Login {
        /// Who.
        device: DeviceId,
        /// The login's own number. Where the device has a greater one, nothing is written and the outcome
        /// says so.
        number: LoginNumber,
        /// When.
        at: UnixMillis,
        /// Lifetime of the identity, seconds.
        lifetime_s: u32,
        /// The secret that the session proved. Where the device has a newer one by now, nothing is written
        /// and the outcome says so.
        secret_version: u32,
        /// The peer's address and port.
        peer: String,
        /// The cipher suite, or what there is in place of one: for those who follow live events.
        over: &'static str,
    },
    /// A change of presence without a login (heard again, silent, closed), with its history and log entries.
    Presence {
        /// Who.
        device: DeviceId,
        /// The login whose session it is about; refused where the device has another one. `None`: whatever it
        /// has.
        login: Option<LoginNumber>,
        /// Online or Offline.
        state: DeviceState,
        /// When.
        at: UnixMillis,
        /// Why, for people: `silent for 30 s`, `closed by the device`.
        cause: String,
    },
    /// Last time something authentic was heard; written lazily.
    Seen {
        /// Who.
        device: DeviceId,
        /// The login in whose session it was heard; refused where the device has another one. `None`:
        /// whatever it has.
        login: Option<LoginNumber>,
        /// When.
        at: UnixMillis,
    },
    /// Changes attributes or tags of a device. Refused as a report is, and where the device would have too
    /// much: see [`crate::model::property`].
    Properties(Box<PropertyWrite>),
    /// An entry for the device log or for the refusals of unknown devices.
    Log(LogEntry),
    /// The device says its firmware's version, or how far an upgrade is, or fetches an image. Refused as a
    /// report is, and where it has no such upgrade ([`crate::firmware`]).
    Firmware(FirmwareMove),
    /// A step of a command: fetched or answered by the device, or over. What the rules do not permit when the
    /// write is applied ([`crate::rules::commands`]) changes nothing, and the outcome says so.
    Command(CommandMove),
    /// A device asks for a secret of its own (SecureMode 3): an inactive device's secret is replaced, if its
    /// activation, the switches, the end and the quota permit it when the write is applied. The log entry
    /// (secret_issued, or refused with its reason) is written with it.
    IssueSecret {
        /// Who.
        device: DeviceId,
        /// The new secret.
        secret: Secret,
        /// The version of the secret that it is to replace. Where the device has another one by now (an
        /// operator has reset it), that one stays.
        replaces: u32,
        /// The mark of the product's secret that the session proved (see [`crate::rules::psk::mark`]). Where
        /// the product has another one by now, nothing is issued.
        product_secret_mark: u32,
        /// When.
        at: UnixMillis,
        /// The peer's address and port.
        peer: String,
    },
}

/// A batch that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The epoch in which it was committed.
    pub epoch: u64,
    /// The sequence number of its first write; the others follow, also where nothing was written.
    pub first_sequence: u64,
    /// What became of each write, in order.
    pub outcomes: Vec<Written>,
}

impl Committed {
    /// The place of write `index` of the batch among all events.
    pub fn position(&self, index: usize) -> Position {
        Position { epoch: self.epoch, sequence: self.first_sequence }.after(index)
    }
}

/// What became of one write of a batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written as asked.
    Done,
    /// Already so; nothing was written.
    Unchanged,
    /// A login that activated the device.
    Activated,
    /// Of a session with a secret that was replaced since; nothing was written.
    SecretSuperseded,
    /// The device has a newer login than the one that this is about; nothing was written.
    LoginSuperseded,
    /// The store has not the login of the session that this is of: it could not be written. Nothing was
    /// written.
    LoginUnknown,
    /// The command is gone or has ended; nothing was written.
    CommandOver,
    /// The device's upgrade moved, and with it perhaps its rollout and its queue of commands. Also of a step
    /// of a command that was written as asked, where that command offers an upgrade and has moved it.
    Upgrade(UpgradeMoved),
    /// The device has no upgrade that has not ended; nothing was written (code 764).
    NoUpgrade,
    /// The device has one that it was not told of yet; nothing was written (code 765).
    UpgradeNotStarted,
    /// The device is gone or disabled by now; nothing was written.
    DeviceUnavailable,
    /// The device would have more attributes or tags than are kept, in bytes; nothing was written.
    TooMuch(u32),
    /// It met a row that is not as it was stored, and was left out of its batch; nothing was written.
    Damaged,
    /// What became of a request for a secret.
    Issue(Issued),
}

impl Written {
    /// Whether what was asked for is in the store.
    pub fn is_stored(&self) -> bool {
        match self {
            Self::Done | Self::Unchanged | Self::Activated | Self::Upgrade(_) | Self::Issue(Issued::Done) => {
                true
            }
            Self::SecretSuperseded
            | Self::LoginSuperseded
            | Self::LoginUnknown
            | Self::CommandOver
            | Self::NoUpgrade
            | Self::UpgradeNotStarted
            | Self::DeviceUnavailable
            | Self::TooMuch(_)
            | Self::Damaged
            | Self::Issue(Issued::Refused(_) | Issued::Damaged) => false,
        }
    }

    /// What a step of an upgrade comes to.
    pub fn of_upgrade(moved: Result<UpgradeMoved, NoUpgrade>) -> Self {
        match moved {
            Ok(moved) => Self::Upgrade(moved),
            Err(NoUpgrade::None) => Self::NoUpgrade,
            Err(NoUpgrade::NotStarted) => Self::UpgradeNotStarted,
        }
    }
}

/// What became of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeMoved {
    /// To which image.
    pub image: ImageId,
    /// How far it is now.
    pub state: UpgradeState,
    /// Why it failed; only of those that have.
    pub failure: Option<UpgradeFailure>,
    /// The last step that the device said, -5 to 100.
    pub progress: Option<i8>,
    /// Something of it is other than it was. Where that is its end, it ended by this.
    pub changed: bool,
    /// A command of the device was taken back with it: its queue is to be read again.
    pub commands_changed: bool,
    /// The rollout paused by itself because of it.
    pub paused: bool,
}

/// What became of a request for a new secret (SecureMode 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// The new secret is durable; it is the device's only one.
    Done,
    /// It keeps the one that it has; [`NotIssued::refusal`] is in the device's log.
    Refused(NotIssued),
    /// It keeps the one that it has: its row, or its product's, is not as it was stored.
    Damaged,
}
