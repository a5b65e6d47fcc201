//! What the platform needs of the outside: a store, a clock, randomness. Every outside system implements these;
//! one conformance suite (`testing`) runs against all stores.

use std::{
    future::{Future, ready},
    pin::Pin,
};

use crate::{
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{
        credential::CredentialLookup,
        damaged::{DamagedDevice, DamagedProduct},
        device::{Device, DeviceState, NewDevice},
        log::LogEntry,
        message::{Message, PointValue},
        overview::{Overview, OverviewQuery},
        product::Product,
    },
    paging::{Page, Part, Place},
    rules::issuing::NotIssued,
    secret::Secret,
};

/// A boxed future, as the methods of object-safe ports return it.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;
}

/// A cryptographic random source.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);
}

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message is the documentation")]
pub enum StoreError {
    #[error("{what} exists already: {key}")]
    Exists { what: &'static str, key: String },
    #[error("there is no {what} {key}")]
    Missing { what: &'static str, key: String },
    #[error("{0}")]
    Conflict(String),
    /// The disk is full, an fsync failed: nothing of the batch counts as stored; it may work later.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// One change on the data path. A batch of them is one transaction.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores a report; for `MessageKind::Points` the latest values move, unless they are newer already.
    Message(Message),
    /// A mode-2 session was established: state online, `lastOnlineTime` (if it was not online), `lastSeenTime`,
    /// `lifetime`, and `activeTime` when it was never set. Log and presence history are written with it.
    Login {
        /// Who.
        device: DeviceId,
        /// When.
        at: UnixMillis,
        /// Lifetime of the identity, seconds.
        lifetime_s: u32,
        /// The secret that the session proved. Where the device has a newer one meanwhile, nothing is written and the outcome says so.
        secret_version: u32,
        /// The peer's address and port.
        peer: String,
    },
    /// A change of presence without a login (heard again, silent, closed), with its history and log entries.
    Presence {
        /// Who.
        device: DeviceId,
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
        /// When.
        at: UnixMillis,
    },
    /// An entry for the device log or for the refusals of unknown devices.
    Log(LogEntry),
}

/// What became of one write of a batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As asked.
    Done,
    /// It was so already; nothing was written.
    Unchanged,
    /// A login that activated the device.
    Activated,
    /// A login by a secret that is no longer the device's; nothing was written.
    SecretSuperseded,
    /// The device is gone or disabled meanwhile; nothing was written.
    DeviceUnavailable,
}

/// What became of a wish for a new secret (SecureMode 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// The new secret is durable; it is the device's only one.
    Done,
    /// It keeps the one that it has; [`NotIssued::refusal`] stands in the device's log.
    Refused(NotIssued),
}

/// Which devices to list.
#[derive(Debug, Clone, Default)]
pub struct DeviceQuery {
    /// Only of this product.
    pub product_key: Option<String>,
    /// Only with this key (several organisation units may have one each).
    pub device_key: Option<String>,
    /// Only with this asset id.
    pub asset_id: Option<String>,
    /// Only in this state; disabled ones are listed by `disabled`.
    pub state: Option<DeviceState>,
    /// Only disabled (`true`) or only enabled (`false`) ones.
    pub disabled: Option<bool>,
    /// Only ids greater than this: where the last page ended.
    pub after: Option<DeviceId>,
    /// At most so many; 1 to 1000.
    pub limit: usize,
}

/// Which values of a device's history to read; newest first.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Only this point.
    pub point: Option<String>,
    /// From this time on (inclusive).
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    pub to: Option<UnixMillis>,
    /// Only what comes behind this place: where the last page ended.
    pub after: Option<Place>,
    /// At most so many values.
    pub limit: usize,
}

/// A change of presence, from the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// When.
    pub at: UnixMillis,
    /// To which state.
    pub state: DeviceState,
    /// Why.
    pub cause: String,
}

/// A device that the store believes online; read once at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnlineDevice {
    /// Who.
    pub device: DeviceId,
    /// Lifetime of its last login, seconds.
    pub lifetime_s: u32,
}

/// Entries of a device's log, without refusals, that a store keeps by default; the oldest go first.
pub const DEVICE_LOG_ENTRIES_MAX: usize = 1000;
/// Refusals in a device's log that a store keeps by default; the oldest go first. They have a limit of their own,
/// since anyone who knows a device's names causes them: they must push out nothing else.
pub const DEVICE_REFUSALS_MAX: usize = 500;
/// Refusals of unknown devices that a store keeps by default; the oldest go first.
pub const UNKNOWN_REFUSALS_MAX: usize = 10_000;
/// Changes of presence that a store keeps of each device by default; the oldest go first.
pub const PRESENCE_CHANGES_MAX: usize = 10_000;

/// Former secrets that a store keeps in memory, of all devices together; the oldest go first.
pub const FORMER_SECRETS_MAX: usize = 4096;

/// Keys that exist, and are those of a name but for the case of their letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimilarNames {
    /// Of a product.
    pub product_key: Option<String>,
    /// Of a device, of whichever product.
    pub device: Option<DeviceName>,
}

/// How the operator's service ends sessions and has a product read anew, so that none of its callers has to know
/// what a change means for a device that is connected. Neither call waits.
pub trait LiveSessions: Send + Sync + 'static {
    /// Ends every session of a device that was disabled, reset or deleted; it is offline then, for this cause.
    fn close_device(&self, device: DeviceId, cause: &'static str);
    /// The product's model or switches changed: they are read anew, and where it is switched off or gone, the
    /// sessions of its devices end.
    fn product_changed(&self, product_key: &str);
}

/// Where nobody is connected: a command that opened the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyConnected;

impl LiveSessions for NobodyConnected {
    fn close_device(&self, _: DeviceId, _: &'static str) {}
    fn product_changed(&self, _: &str) {}
}

/// Where products, devices and what they report are kept. Reads see every committed write.
pub trait Store: Send + Sync + 'static {
    /// Secrets and switches for a handshake. Unknown and known keys take the same path.
    fn credentials<'a>(
        &'a self,
        product_key: &'a str,
        device_key: &'a str,
    ) -> PortFuture<'a, Result<CredentialLookup, StoreError>>;
    /// Secrets that the device had before, newest first, as far as this process saw them replaced: never on
    /// disk, and good for nothing but telling an operator that one was used.
    fn former_secrets(&self, _device: DeviceId) -> PortFuture<'_, Result<Vec<Secret>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }
    /// What may have been meant by a name that does not exist. Takes bounded time, however many names there
    /// are.
    fn similar_names<'a>(
        &'a self,
        _name: &'a DeviceName,
    ) -> PortFuture<'a, Result<SimilarNames, StoreError>> {
        Box::pin(ready(Ok(SimilarNames::default())))
    }
    /// Commits a batch as one transaction, in order, durably before the future ends. `Ok` has one outcome per write.
    fn append(&self, batch: Vec<Write>) -> PortFuture<'static, Result<Vec<Written>, StoreError>>;
    /// Replaces an inactive device's secret durably, checking activation, switch, end and quota in the same
    /// transaction; writes the log entry (secret_issued, or refused with its reason).
    fn issue_secret(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
        peer: String,
    ) -> PortFuture<'static, Result<Issued, StoreError>>;

    /// Adds a product. `Exists` where the key is taken. A damaged row of that key is replaced; its devices
    /// stay.
    fn create_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>>;
    /// Replaces name, switches, activation and model of a product.
    fn update_product(&self, product: Product) -> PortFuture<'static, Result<(), StoreError>>;
    /// One product.
    fn product<'a>(&'a self, product_key: &'a str) -> PortFuture<'a, Result<Option<Product>, StoreError>>;
    /// All products, by creation; a damaged row stands where it is and hides no other.
    fn products(&self) -> PortFuture<'_, Result<Vec<Result<Product, DamagedProduct>>, StoreError>>;
    /// Removes up to `limit` devices of a product in one transaction, as [`Self::delete_device`] does; says
    /// which. Fewer where that would take long; none only where none is left. The product may be damaged.
    fn delete_devices_of(
        &self,
        product_key: String,
        limit: usize,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<DeviceId>, StoreError>>;
    /// Removes a product that has no devices, else `Conflict`. The product may be damaged.
    fn delete_product(&self, product_key: String) -> PortFuture<'static, Result<(), StoreError>>;

    /// Adds devices in one transaction; a result for each, in order. A device that exists does not hinder the others.
    fn create_devices(
        &self,
        devices: Vec<NewDevice>,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Vec<Result<Device, StoreError>>, StoreError>>;
    /// One device by its names.
    fn device<'a>(&'a self, name: &'a DeviceName) -> PortFuture<'a, Result<Option<Device>, StoreError>>;
    /// One device by its id.
    fn device_by_id(&self, device: DeviceId) -> PortFuture<'_, Result<Option<Device>, StoreError>>;
    /// A page of devices, by id. A damaged row stands where it is, found by its values as they are read, and
    /// hides no other.
    fn devices(
        &self,
        query: DeviceQuery,
    ) -> PortFuture<'_, Result<Vec<Result<Device, DamagedDevice>>, StoreError>>;
    /// Gives the device another name for people, with a log entry.
    fn rename_device(
        &self,
        device: DeviceId,
        name: String,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>>;
    /// Sets the switch, with a log entry.
    fn set_device_enabled(
        &self,
        device: DeviceId,
        enabled: bool,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>>;
    /// Makes the device inactive with a new secret (`activeTime` and presence cleared), with a log entry.
    fn reset_device(
        &self,
        device: DeviceId,
        secret: Secret,
        at: UnixMillis,
    ) -> PortFuture<'static, Result<Device, StoreError>>;
    /// Removes the device, its secret, log and presence history. Stored messages go with retention. A damaged
    /// row can be removed too; when a device of its key, as it was read, is registered again, its log says so.
    fn delete_device(&self, device: DeviceId, at: UnixMillis) -> PortFuture<'static, Result<(), StoreError>>;

    /// Latest value of every point of a device, by identifier; all of them in one page. Where they are damaged,
    /// those that came since, and the damage: the next reports replace what is damaged.
    fn points_latest(&self, device: DeviceId) -> PortFuture<'_, Result<Page<PointValue>, StoreError>>;
    /// Values by time, newest first; of equal times the later arrival first.
    fn points_history(
        &self,
        device: DeviceId,
        query: HistoryQuery,
    ) -> PortFuture<'_, Result<Page<PointValue>, StoreError>>;
    /// The device's log, newest first: refusals and all other entries, each bounded by itself.
    fn device_log(&self, device: DeviceId, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>>;
    /// Refusals of all, newest first, those of unknown devices included (bounded: the oldest go first).
    fn refusals(&self, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>>;
    /// Presence changes, newest first.
    fn presence_history(
        &self,
        device: DeviceId,
        limit: usize,
    ) -> PortFuture<'_, Result<Vec<PresenceChange>, StoreError>>;
    /// Devices that are online by the last committed write.
    fn online_devices(&self) -> PortFuture<'_, Result<Vec<OnlineDevice>, StoreError>>;
    /// Counts over the whole fleet; a damaged device or product counts as such.
    fn overview(&self, query: OverviewQuery) -> PortFuture<'_, Result<Overview, StoreError>>;

    /// Finishes what is under way and closes; later calls fail.
    fn close(&self) -> PortFuture<'static, Result<(), StoreError>>;
}
