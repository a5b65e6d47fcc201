//! What a [`super::MemoryStore`] holds, and every step on it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    mem,
};

use crate::{
    ids::{DeviceId, LoginNumber, Position, UnixMillis},
    model::{
        command::CommandId,
        device::{Device, DeviceState},
        log::{LogEntry, LogEvent},
        message::{Message, MessageKind},
        product::Product,
        property::{Properties, PropertyKind},
    },
    ports::{
        Batch, Committed, Issued, OnlineDevice, PRESENCE_CHANGES_MAX, PresenceChange, Recovered, StoreError,
        UNKNOWN_REFUSALS_MAX, Write, Written,
    },
    rules::{
        clock::{StoredArrivals, last_heard},
        former::FormerSecrets,
        happened,
        issuing::{IssueCase, NotIssued, clock_hour},
        latest::LatestPoints,
        life::{Life, permit},
        psk::mark,
    },
    secret::Secret,
};

use super::{
    access::Access,
    commands::{Commands, OpenMax},
    device_log::DeviceLog,
    firmware::Firmware,
    model_versions::Models,
    product_scripts::Scripts,
    rates::Rates,
    replay::Requests,
    stream::Stream,
};

/// Arrivals of deleted devices that are still counted; the oldest are dropped first.
const ARRIVALS_OF_GONE_MAX: usize = 100_000;

/// Reports that are kept of each device; the oldest arrivals are dropped first. Their points stay in the
/// latest values.
pub const MESSAGES_PER_DEVICE_MAX: usize = 1000;

/// What is stored, and every step on it: a plain value, which any other store is compared with.
#[derive(Debug, Default)]
pub struct Model {
    pub(super) open_max: OpenMax,
    /// `None` once deleted, so that indexes stay what they are.
    pub(super) products: Vec<Option<ProductRow>>,
    /// Index into `products`.
    pub(super) product_keys: HashMap<String, usize>,
    /// Device `n` at `n - 1`; `None` once deleted, so that no id is used again.
    pub(super) devices: Vec<Option<Box<DeviceRow>>>,
    /// Devices by key; several units may have one each.
    pub(super) device_keys: HashMap<Box<str>, Vec<DeviceId>>,
    /// Asset ids of all devices.
    pub(super) assets: HashSet<Box<str>>,
    /// Refusals of all devices, oldest first, each with its number.
    pub(super) refusals: VecDeque<(u64, LogEntry)>,
    /// Refusals and reports that were ever written.
    refused: u64,
    reported: u64,
    epoch: u64,
    /// Writes that were ever appended.
    written: u64,
    last_batch: Option<u64>,
    /// When the reports of devices arrived that have been deleted since: they are still counted.
    pub(super) arrivals_of_gone: VecDeque<UnixMillis>,
    /// The greatest id of a command of a device that has been deleted since: a device that is registered anew
    /// may remember it.
    pub(super) last_command_of_gone: Option<CommandId>,
    pub(super) former: FormerSecrets,
    pub(super) firmware: Firmware,
    pub(super) access: Access,
    pub(super) requests: Requests,
    pub(super) rates: Rates,
    /// For followers of live events.
    pub(super) stream: Stream,
    arrivals: StoredArrivals,
}

#[derive(Debug)]
pub(super) struct ProductRow {
    pub(super) product: Product,
    pub(super) models: Models,
    pub(super) scripts: Scripts,
    /// Clock hour of the last secret issued, and how many were issued in it.
    pub(super) issued: (i64, u32),
}

#[derive(Debug)]
pub(super) struct DeviceRow {
    pub(super) id: DeviceId,
    pub(super) product: usize,
    pub(super) device_key: Box<str>,
    pub(super) asset_id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) secret: Secret,
    /// `enabled` is the device's own switch here.
    pub(super) life: Life,
    pub(super) created: UnixMillis,
    pub(super) latest: LatestPoints,
    pub(super) properties: BTreeMap<PropertyKind, Properties>,
    /// Its log says that not all of them are kept.
    pub(super) forgets_points: bool,
    pub(super) messages: VecDeque<Report>,
    pub(super) log: DeviceLog,
    /// Oldest first, each with its number.
    pub(super) presence: VecDeque<(u64, PresenceChange)>,
    /// Changes of presence that were ever written.
    pub(super) moved: u64,
    pub(super) commands: Commands,
}

#[derive(Debug)]
pub(super) struct Report {
    /// The later of two reports has the greater one.
    pub(super) number: u64,
    pub(super) time: UnixMillis,
    pub(super) arrival: UnixMillis,
    pub(super) kind: MessageKind,
    pub(super) points_json: Box<str>,
}

impl Model {
    /// An empty one in which a device may have so many commands that have not ended.
    pub(super) fn with_open_commands_max(open_max: usize) -> Self {
        Self { open_max: OpenMax(open_max), ..Self::default() }
    }

    /// Commits a batch, as [`crate::ports::Journal::append`] does.
    pub fn append(&mut self, batch: Batch) -> Committed {
        self.last_batch = Some(batch.number);
        if let Some(confirmed) = batch.confirmed {
            self.arrivals.confirm(confirmed);
        }
        let first_sequence = self.written + 1;
        let outcomes = batch.writes.into_iter().map(|write| {
            self.take_place();
            self.write(write)
        });
        let outcomes = outcomes.collect();
        Committed { epoch: self.epoch, first_sequence, outcomes }
    }

    /// What is written from here on has the next place among all.
    pub(super) fn take_place(&mut self) {
        self.written += 1;
        self.stream.begin(self.position());
    }

    /// The place of what was written last.
    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.written }
    }

    /// See [`crate::ports::Journal::recover`]. Begins an epoch: the caller takes over from a gateway that is
    /// gone.
    pub fn recover(&mut self) -> Recovered {
        self.epoch += 1;
        let online = self.rows().filter(|row| row.life.state == DeviceState::Online);
        let online = online
            .map(|row| OnlineDevice {
                device: row.id,
                lifetime_s: row.life.lifetime_s.unwrap_or_default(),
                login: row.life.login_number,
            })
            .collect();
        let newest_arrival = self.arrivals.newest();
        let commands = self.all_open_commands();
        Recovered { online, commands, last_batch: self.last_batch, epoch: self.epoch, newest_arrival }
    }

    /// Forgets what does not outlive a process.
    pub fn restart(&mut self) {
        self.former = FormerSecrets::default();
    }

    fn write(&mut self, write: Write) -> Written {
        match write {
            Write::Message(message) => self.message(message),
            Write::UnitReports { ou, reports } => self.note_reports(&ou, reports),
            Write::Rates(counted) => self.note_rates(&counted),
            Write::Login { device, number, at, lifetime_s, secret_version, peer, over } => {
                self.login(device, (number, secret_version), at, lifetime_s, (peer, over))
            }
            Write::Presence { device, login, state, at, cause } => {
                self.presence(device, login, state, at, cause)
            }
            Write::Seen { device, login, at } => self.seen(device, login, at),
            Write::Properties(write) => self.write_properties(*write),
            Write::Log(entry) => self.log(entry),
            Write::Command(step) => self.move_command(&step),
            Write::Firmware(step) => self.move_firmware(&step),
            Write::IssueSecret { device, secret, replaces, product_secret_mark, at, peer } => {
                Written::Issue(self.issue_secret(device, (secret, replaces), product_secret_mark, at, peer))
            }
        }
    }

    fn message(&mut self, message: Message) -> Written {
        let number = self.reported;
        self.reported += 1;
        let Some(row) = self.enabled_row_mut(message.device) else { return Written::DeviceUnavailable };
        if let Err(refused) = row.life.standing().permit_report(message.login, message.secret_version) {
            return refused;
        }
        if message.kind == MessageKind::Points {
            let forgot = row.latest.report(&message.points_json, message.time, message.arrival);
            if forgot && !mem::replace(&mut row.forgets_points, true) {
                row.note(LogEntry::latest_bounded(message.device, message.arrival));
            }
        }
        row.life.last_seen_time = last_heard(row.life.last_seen_time, Some(message.arrival));
        let Message { device, kind, time, arrival, points_json, .. } = message;
        let told = happened::of_message(kind, (time, arrival), &points_json);
        let report = Report { number, time, arrival, kind, points_json };
        push_bounded(&mut row.messages, report, MESSAGES_PER_DEVICE_MAX);
        self.arrivals.add(arrival);
        told.into_iter().for_each(|told| self.tell(device, told));
        Written::Done
    }

    fn seen(&mut self, device: DeviceId, login: Option<LoginNumber>, at: UnixMillis) -> Written {
        let Some(row) = self.row_mut(device) else { return Written::DeviceUnavailable };
        if let Err(refused) = permit(row.life.login_number, login) {
            return refused;
        }
        row.life.last_seen_time = last_heard(row.life.last_seen_time, Some(at));
        Written::Done
    }

    fn login(
        &mut self,
        device: DeviceId,
        (number, secret_version): (LoginNumber, u32),
        at: UnixMillis,
        lifetime_s: u32,
        (peer, over): (String, &str),
    ) -> Written {
        let Some(row) = self.enabled_row_mut(device) else { return Written::DeviceUnavailable };
        let step = match row.life.login(number, at, lifetime_s, secret_version) {
            Ok(step) => step,
            Err(refused) => return refused,
        };
        if step.came_online {
            row.note_presence(at, DeviceState::Online, "login".to_owned());
        }
        if step.activated {
            row.note(LogEntry { peer: Some(peer.clone()), ..LogEntry::new(device, at, LogEvent::Activated) });
        }
        let told: Vec<_> = happened::of_login(at, &peer, over, step.activated).collect();
        row.note(LogEntry { peer: Some(peer), ..LogEntry::new(device, at, LogEvent::Login) });
        told.into_iter().for_each(|told| self.tell(device, told));
        if step.activated {
            self.firmware.wake(device, at);
        }
        if step.activated { Written::Activated } else { Written::Done }
    }

    pub(super) fn presence(
        &mut self,
        device: DeviceId,
        login: Option<LoginNumber>,
        state: DeviceState,
        at: UnixMillis,
        cause: String,
    ) -> Written {
        let product_enabled = self.enabled_row_mut(device).is_some();
        let Some(row) = self.row_mut(device) else { return Written::DeviceUnavailable };
        let mut life = Life { enabled: product_enabled, ..row.life };
        match life.presence(login, state, at) {
            Ok(false) => return Written::Unchanged,
            Ok(true) => {}
            Err(refused) => return refused,
        }
        row.life = Life { enabled: row.life.enabled, ..life };
        let event = if state == DeviceState::Online { LogEvent::Online } else { LogEvent::Offline };
        row.note(LogEntry { detail: Some(cause.clone()), ..LogEntry::new(device, at, event) });
        let told = happened::of_presence(state, at, &cause);
        row.note_presence(at, state, cause);
        told.into_iter().for_each(|told| self.tell(device, told));
        Written::Done
    }

    fn log(&mut self, entry: LogEntry) -> Written {
        if let Some(device) = entry.device
            && self.row_mut(device).is_none()
        {
            return Written::DeviceUnavailable;
        }
        self.note_and_tell(entry);
        Written::Done
    }

    fn note_and_tell(&mut self, entry: LogEntry) {
        if let Some(told) = happened::of_entry(&entry) {
            self.stream.add(entry.device, told);
        }
        self.note(entry);
    }

    /// Files an entry with its device, and with the refusals if it is one.
    pub(super) fn note(&mut self, entry: LogEntry) {
        if entry.event == LogEvent::Refused {
            push_bounded(&mut self.refusals, (self.refused, entry.clone()), UNKNOWN_REFUSALS_MAX);
            self.refused += 1;
        }
        if let Some(row) = entry.device.and_then(|device| self.row_mut(device)) {
            row.note(entry);
        }
    }

    fn issue_secret(
        &mut self,
        device: DeviceId,
        (secret, replaces): (Secret, u32),
        product_secret_mark: u32,
        at: UnixMillis,
        peer: String,
    ) -> Issued {
        let Some(row) = slot(device).and_then(|slot| self.devices.get_mut(slot)?.as_deref_mut()) else {
            return Issued::Refused(NotIssued::DeviceUnavailable);
        };
        let Some(ProductRow { product, issued, .. }) = &mut self.products[row.product] else {
            return Issued::Refused(NotIssued::DeviceUnavailable);
        };
        let hour = clock_hour(at);
        let issued_this_hour = if issued.0 == hour { issued.1 } else { 0 };
        let case = IssueCase {
            device_enabled: row.life.enabled,
            product_enabled: product.enabled,
            unit_suspended: product.is_suspended,
            activated: row.life.active_time.is_some(),
            has_replaced: row.life.secret_version == replaces,
            has_proved: mark(&product.secret) == product_secret_mark,
            dynamic_activation: &product.dynamic_activation,
            issued_this_hour,
            at,
        };
        if let Err(why) = case.permit() {
            self.note_and_tell(LogEntry::refused(device, at, peer, why.refusal()));
            return Issued::Refused(why);
        }
        *issued = (hour, issued_this_hour + 1);
        self.former.note(device, mem::replace(&mut row.secret, secret));
        row.life.secret_version += 1;
        let told = happened::of_issue(at, &peer);
        row.note(LogEntry { peer: Some(peer), ..LogEntry::new(device, at, LogEvent::SecretIssued) });
        self.tell(device, told);
        Issued::Done
    }

    /// Keeps what outlives the messages of a device.
    pub(super) fn outlive(&mut self, arrivals: impl IntoIterator<Item = UnixMillis>) {
        for arrival in arrivals {
            push_bounded(&mut self.arrivals_of_gone, arrival, ARRIVALS_OF_GONE_MAX);
        }
    }

    /// Devices that exist.
    pub(super) fn rows(&self) -> impl Iterator<Item = &DeviceRow> {
        self.devices.iter().flatten().map(|row| &**row)
    }

    /// Products that exist, by their index.
    pub(super) fn products_by_index(&self) -> impl Iterator<Item = (usize, &Product)> {
        let rows = self.products.iter().enumerate();
        rows.filter_map(|(index, row)| Some((index, &row.as_ref()?.product)))
    }

    pub(super) fn products_mut(&mut self) -> impl Iterator<Item = &mut Product> {
        self.products.iter_mut().flatten().map(|row| &mut row.product)
    }

    pub(super) fn row(&self, device: DeviceId) -> Option<&DeviceRow> {
        self.devices.get(slot(device)?)?.as_deref()
    }

    pub(super) fn row_mut(&mut self, device: DeviceId) -> Option<&mut DeviceRow> {
        self.devices.get_mut(slot(device)?)?.as_deref_mut()
    }

    /// The device, if its own switch and its product's are on and its unit is not suspended.
    pub(super) fn enabled_row_mut(&mut self, device: DeviceId) -> Option<&mut DeviceRow> {
        let row = self.devices.get_mut(slot(device)?)?.as_deref_mut()?;
        let product = self.products[row.product].as_ref()?;
        (row.life.enabled && product.product.may_connect()).then_some(row)
    }

    /// The product of a device or of a key: it stays as long as either does.
    pub(super) fn product_of(&self, index: usize) -> &Product {
        &self.products[index].as_ref().expect("a product that has a key or a device is there").product
    }

    pub(super) fn find(&self, product: usize, device_key: &str) -> Option<&DeviceRow> {
        let ids = self.device_keys.get(device_key)?;
        ids.iter().filter_map(|&id| self.row(id)).find(|row| row.product == product)
    }

    pub(super) fn shown(&self, row: &DeviceRow) -> Device {
        let product = self.product_of(row.product);
        Device {
            id: row.id,
            ou: product.ou.clone(),
            product_key: product.product_key.clone(),
            device_key: row.device_key.to_string(),
            asset_id: row.asset_id.to_string(),
            name: row.name.to_string(),
            enabled: row.life.enabled,
            state: row.life.state,
            created: row.created,
            active_time: row.life.active_time,
            last_online_time: row.life.last_online_time,
            last_offline_time: row.life.last_offline_time,
            last_seen_time: row.life.last_seen_time,
            lifetime_s: row.life.lifetime_s,
        }
    }
}

impl DeviceRow {
    pub(super) fn note(&mut self, entry: LogEntry) {
        self.log.push(entry);
    }

    pub(super) fn note_presence(&mut self, at: UnixMillis, state: DeviceState, cause: String) {
        let change = PresenceChange { at, state, cause };
        push_bounded(&mut self.presence, (self.moved, change), PRESENCE_CHANGES_MAX);
        self.moved += 1;
    }
}

pub(super) fn slot(device: DeviceId) -> Option<usize> {
    usize::try_from(device.0).ok()?.checked_sub(1)
}

pub(super) fn missing(device: DeviceId) -> StoreError {
    StoreError::Missing { what: "device", key: device.0.to_string() }
}

/// Adds to the end; drops the oldest where there would be more than `max`.
pub(super) fn push_bounded<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ports::{HistoryQuery, HistoryReads as _},
        testing::{
            block_on,
            store::fixtures::{append, at, history, one_device, report},
        },
    };

    #[test]
    fn reports_beyond_the_limit_push_out_the_oldest_and_leave_the_latest_values() {
        let store = crate::memory::MemoryStore::default();
        let id = one_device(&store, "dk-1");
        append(&store, vec![report(id, at(0), r#"{"first":0}"#)]);
        let count = MESSAGES_PER_DEVICE_MAX as i64;
        append(&store, (1..=count).map(|n| report(id, at(n), &format!(r#"{{"n":{n}}}"#))).collect());
        let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
        let kept = history(&store, id, query);
        assert_eq!(kept.len(), MESSAGES_PER_DEVICE_MAX);
        assert!(kept.iter().all(|value| value.point == "n"));
        assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 2);
    }
}
