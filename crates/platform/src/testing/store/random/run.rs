//! Runs operations on a store and on the model, and finds the shortest list that shows a difference.
//!
//! Longer than 500 lines: one arm for each operation.

use std::{any::Any, fmt, sync::Arc};

use super::{
    access,
    compare::{purge, same},
    firmware, models,
    operation::{CommandEvent, DEVICES, Kind, Operation, Step, draw},
    readout::{device_key, product_key, read},
    scripts,
    values::{points, properties, retention},
};
use crate::{
    ids::{DEFAULT_OU, DeviceId, DeviceName, LoginNumber, Position, UnixMillis},
    memory::MemoryStore,
    model::{
        command::{CommandId, CommandMove, CommandSession, CommandStep, CommandTopic, Expected, Order},
        credential::CredentialLookup,
        device::{DeviceState, NewDevice},
        log::{LogEntry, LogEvent, Reason},
        message::{Message, MessageKind, event_json},
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        property::{PropertyEdit, PropertyWrite},
    },
    ports::{Batch, Change, Committed, Store, StoreError, Write},
    rules::{commands::OPEN_MAX_DEFAULT, psk::mark},
    secret::Secret,
    testing::{block_on, store::fixtures::SUITE},
};

/// Operations of a seed.
const OPERATIONS: usize = 250;
/// When they begin: nineteen seconds before a full hour of 2026-01-01.
const START: UnixMillis = UnixMillis(1_767_225_600_000 + 3_600_000 - 19_000);

/// Closes a store and opens it again.
type Reopen = Box<dyn FnMut(Arc<dyn Store>) -> Arc<dyn Store>>;

/// A store under test.
pub struct Subject {
    store: Arc<dyn Store>,
    reopen: Option<Reopen>,
    open_commands_max: usize,
    /// What must live as long as the store.
    _keep: Option<Box<dyn Any>>,
}

impl Subject {
    /// A store that keeps nothing after it is closed.
    pub fn lasting(store: Arc<dyn Store>, keep: impl Any) -> Self {
        let open_commands_max = OPEN_MAX_DEFAULT;
        Self { store, reopen: None, open_commands_max, _keep: Some(Box::new(keep)) }
    }

    /// A store that `reopen` closes and opens again.
    pub fn reopening<K: Any>(
        store: Arc<dyn Store>,
        keep: K,
        reopen: fn(Arc<dyn Store>, &K) -> Arc<dyn Store>,
    ) -> Self {
        let reopen: Reopen = Box::new(move |store| reopen(store, &keep));
        Self { store, reopen: Some(reopen), open_commands_max: OPEN_MAX_DEFAULT, _keep: None }
    }

    /// The store was told that a device may have so many open commands.
    #[must_use]
    pub fn with_open_commands_max(mut self, open_commands_max: usize) -> Self {
        self.open_commands_max = open_commands_max;
        self
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject")
    }
}

/// Runs the operations of a seed on a new store.
///
/// # Panics
/// Where the store and the model differ.
pub fn check_seed(seed: u64, make: &mut dyn FnMut() -> Subject) {
    check(&format!("seed {seed}"), draw(seed, OPERATIONS), make);
}

/// Runs these operations on a new store.
///
/// # Panics
/// Where the store and the model differ, with the shortest list of operations found that shows it.
pub fn check(name: &str, operations: Vec<Operation>, make: &mut dyn FnMut() -> Subject) {
    let Err(failure) = run(&operations, make()) else { return };
    let (operations, difference) = shorten(operations, failure, make);
    panic!("{name}: the store differs from the model: {difference}\nafter {operations:#?}");
}

/// At which operation they differ, and how.
type Failure = (usize, String);

/// Leaves out what is not needed for a difference: everything after it, then one operation after the other,
/// then one write of a batch after the other.
fn shorten(
    operations: Vec<Operation>,
    (last, difference): Failure,
    make: &mut dyn FnMut() -> Subject,
) -> (Vec<Operation>, String) {
    let mut best = (operations, difference);
    best.0.truncate(last + 1);
    let mut attempt = |best: &mut (Vec<Operation>, String), mut shorter: Vec<Operation>| {
        if let Err((last, difference)) = run(&shorter, make()) {
            shorter.truncate(last + 1);
            *best = (shorter, difference);
        }
    };
    let mut index = best.0.len();
    while index > 0 {
        index = (index - 1).min(best.0.len() - 1);
        let mut shorter = best.0.clone();
        shorter.remove(index);
        attempt(&mut best, shorter);
    }
    for index in 0..best.0.len() {
        let mut step = usize::MAX;
        while let Some(Operation::Append(steps)) = best.0.get(index)
            && step > 0
            && !steps.is_empty()
        {
            step = (step - 1).min(steps.len() - 1);
            let mut shorter = best.0.clone();
            if let Operation::Append(steps) = &mut shorter[index] {
                steps.remove(step);
            }
            attempt(&mut best, shorter);
        }
    }
    best
}

fn run(operations: &[Operation], subject: Subject) -> Result<(), Failure> {
    let mut run = Run {
        model: Arc::new(MemoryStore::with_open_commands_max(subject.open_commands_max)),
        subject,
        now: START,
        turn: 0,
        logins: [0; DEVICES as usize],
        last: None,
    };
    for (index, operation) in operations.iter().enumerate() {
        run.turn = index;
        run.step(operation).map_err(|difference| (index, difference))?;
    }
    Ok(())
}

struct Run {
    subject: Subject,
    model: Arc<MemoryStore>,
    now: UnixMillis,
    turn: usize,
    /// The number of each device's last login.
    logins: [u64; DEVICES as usize],
    /// The place of the last batch in the store.
    last: Option<Position>,
}

impl Run {
    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        let (found, expected) = match operation {
            Operation::Wait { seconds } => {
                self.now.0 += seconds * 1000;
                return Ok(());
            }
            Operation::Restart => {
                self.restart();
                (String::new(), String::new())
            }
            Operation::Append(steps) => {
                let writes: Vec<Write> = steps.iter().map(|step| self.write(*step)).collect();
                let batch = Batch::new(self.turn as u64, writes);
                let found = block_on(self.subject.store.append(batch.clone()));
                if let Ok(committed) = &found
                    && !committed.outcomes.is_empty()
                {
                    let before = self.last.replace(committed.position(committed.outcomes.len() - 1));
                    if before.is_some_and(|before| before >= committed.position(0)) {
                        return Err(format!("a batch has the place of another: {committed:?}"));
                    }
                }
                let model: &dyn Store = &*self.model;
                let expected = block_on(model.append(batch));
                let outcomes = |committed: Result<Committed, StoreError>| {
                    format!("{:?}", committed.map(|committed| committed.outcomes))
                };
                (outcomes(found), outcomes(expected))
            }
            &Operation::Change { device, kind: Kind::Purge } => {
                let device = self.id(device);
                (purge(&*self.subject.store, device, self.now), purge(&*self.model, device, self.now))
            }
            other => {
                let change = self.change(other);
                let found = format!("{:?}", block_on(self.subject.store.change(change.clone())));
                let model: &dyn Store = &*self.model;
                (found, format!("{:?}", block_on(model.change(change))))
            }
        };
        same("the outcome", &found, &expected)?;
        let found = read(&*self.subject.store, self.now, self.turn);
        let expected = read(&*self.model, self.now, self.turn);
        for (found, expected) in found.iter().zip(&expected) {
            same("what is read", found, expected)?;
        }
        same("the number of lines read", &found.len().to_string(), &expected.len().to_string())
    }

    fn restart(&mut self) {
        if let Some(reopen) = &mut self.subject.reopen {
            let none: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let store = std::mem::replace(&mut self.subject.store, none);
            self.subject.store = reopen(store);
            self.model.restart();
        }
    }

    fn write(&mut self, step: Step) -> Write {
        let at = self.now;
        let ago = |seconds: i64| UnixMillis(at.0 - seconds * 1000);
        let turn = self.turn;
        let peer = || format!("192.0.2.1:{turn}");
        match step {
            Step::Login { device, versions_ago, logins_ago } => {
                let secret_version = self.secret_version(device).saturating_sub(versions_ago);
                let (number, lifetime_s) = (self.next_login(device, logins_ago), 60 + u32::from(device));
                let (device, peer, over) = (self.id(device), peer(), SUITE);
                Write::Login { device, number, at, lifetime_s, secret_version, peer, over }
            }
            Step::Presence { device, logins_ago, online } => Write::Presence {
                device: self.id(device),
                login: self.login(device, logins_ago),
                state: if online { DeviceState::Online } else { DeviceState::Offline },
                at,
                cause: format!("turn {}", self.turn),
            },
            Step::Seen { device, logins_ago, seconds_ago } => Write::Seen {
                device: self.id(device),
                login: self.login(device, logins_ago),
                at: ago(seconds_ago),
            },
            Step::Report { device, logins_ago, seconds_ago, form } => Write::Message(Message {
                device: self.id(device),
                login: self.login(device, logins_ago),
                secret_version: self.secret_version(device).saturating_sub(u32::from(form % 8 == 7)),
                session: 0,
                kind: if form % 2 == 0 { MessageKind::PointsResumed } else { MessageKind::Points },
                time: ago(seconds_ago),
                arrival: at,
                retention: retention(self.turn),
                points_json: points(form, self.turn).into(),
            }),
            Step::Event { device, logins_ago, seconds_ago, form } => {
                self.event_write(device, logins_ago, ago(seconds_ago), form)
            }
            Step::Properties { device, logins_ago, form } => self.property_write(device, logins_ago, form),
            Step::Refusal { device } => Write::Log(LogEntry {
                time: at,
                device: device.map(|device| self.id(device)),
                identity: device.is_none().then(|| format!("stranger {}", self.turn)),
                event: LogEvent::Refused,
                reason: Some(if device.is_some() { Reason::WrongKey } else { Reason::DeviceUnknown }),
                code: None,
                peer: Some(peer()),
                detail: None,
            }),
            Step::Command { device, id, logins_ago, event } => self.command(device, id, logins_ago, event),
            Step::Firmware { device, logins_ago, event } => {
                let login = self.login(device, logins_ago).unwrap_or(LoginNumber(0));
                let session = CommandSession { login, secret_version: self.secret_version(device) };
                firmware::write(event, self.id(device), session, (at, turn))
            }
            Step::Issue { device } => self.issue_write(device, peer()),
        }
    }

    fn issue_write(&self, device: u8, peer: String) -> Write {
        Write::IssueSecret {
            device: self.id(device),
            secret: self.secret(device),
            replaces: self.secret_version(device),
            product_secret_mark: self.product_secret_mark(device),
            at: self.now,
            peer,
        }
    }

    fn edit(&self, device: DeviceId) -> Change {
        Change::EditProperties {
            device,
            at: self.now,
            edit: properties(self.turn as u8, self.turn),
            only_from: None,
        }
    }

    /// Every third device begins with a tag and an attribute.
    fn first_properties(&self) -> Vec<PropertyEdit> {
        let forms: &[u8] = if self.turn.is_multiple_of(3) { &[4, 5] } else { &[] };
        forms.iter().map(|form| properties(*form, self.turn)).collect()
    }

    fn event_write(&self, device: u8, logins_ago: u8, time: UnixMillis, form: u8) -> Write {
        Write::Message(Message {
            device: self.id(device),
            login: self.login(device, logins_ago),
            secret_version: self.secret_version(device),
            session: 0,
            kind: MessageKind::Event,
            time,
            arrival: self.now,
            retention: retention(self.turn),
            points_json: event_json(&format!("event-{form}"), &points(form, self.turn)),
        })
    }

    fn property_write(&self, device: u8, logins_ago: u8, form: u8) -> Write {
        Write::Properties(Box::new(PropertyWrite {
            device: self.id(device),
            login: self.login(device, logins_ago),
            secret_version: self.secret_version(device),
            at: self.now,
            edit: properties(form, self.turn),
        }))
    }

    fn change(&self, operation: &Operation) -> Change {
        let at = self.now;
        match *operation {
            Operation::CreateProduct { product } => Change::CreateProduct(self.product(product)),
            Operation::UpdateProduct { product, enabled, activation, ends_in_s, quota } => {
                Change::UpdateProduct(Product {
                    enabled,
                    dynamic_activation: DynamicActivation {
                        enabled: activation,
                        ends_at: ends_in_s.map(|seconds| UnixMillis(at.0 + seconds * 1000)),
                        quota_per_hour: quota,
                    },
                    ..self.product(product)
                })
            }
            Operation::PutModel { product, form } => models::put(product, form, at),
            Operation::Access { form } => access::change(form),
            Operation::PutScript { product, form } => scripts::put(product, form, at),
            Operation::RotateProductSecret { product } => {
                let (product_key, secret) = (product_key(product), self.product(product).secret);
                Change::RotateProductSecret { product_key, secret, at }
            }
            Operation::DeleteProduct { product } => {
                Change::DeleteProduct { product_key: product_key(product) }
            }
            Operation::DeleteDevicesOf { product, limit } => {
                Change::DeleteDevicesOf { product_key: product_key(product), limit, at }
            }
            Operation::CreateDevice { product, device, asset } => {
                let new = NewDevice {
                    product_key: product_key(product),
                    device_key: device_key(device),
                    device_secret: self.secret(device),
                    asset_id: format!("asset-{asset}"),
                    name: String::new(),
                    properties: self.first_properties(),
                };
                Change::CreateDevices { devices: vec![new], at }
            }
            Operation::Firmware(wanted) => firmware::change(wanted, |device| self.id(device), at),
            Operation::Change { device, kind } => self.change_of_device(device, kind),
            Operation::Send { device, ttl_s, topic } => {
                let (device, order) = (self.id(device), self.order(topic, ttl_s));
                // One in seven is made for an id that it does not get.
                let only_id = self.turn.is_multiple_of(7).then_some(CommandId(1));
                Change::SendCommand { device, order, only_id, expected: self.expected(at), at }
            }
            Operation::Cancel { device, id } => {
                Change::CancelCommands { device: self.id(device), id: id.map(CommandId), at }
            }
            Operation::Wait { .. } | Operation::Restart | Operation::Append(_) => {
                unreachable!("it is no change")
            }
        }
    }

    fn change_of_device(&self, number: u8, kind: Kind) -> Change {
        let (device, at) = (self.id(number), self.now);
        match kind {
            Kind::Rename => Change::RenameDevice { device, name: format!("name {}", self.turn), at },
            Kind::Enable => Change::SetDeviceEnabled { device, enabled: true, at },
            Kind::Disable => Change::SetDeviceEnabled { device, enabled: false, at },
            Kind::Reset => Change::ResetDevice { device, secret: self.secret(number), at },
            Kind::RotateSecret => Change::RotateDeviceSecret { device, secret: self.secret(number), at },
            Kind::EditProperties => self.edit(device),
            Kind::Delete => Change::DeleteDevice { device, at },
            Kind::Purge => Change::PurgeDevice { device, at },
            Kind::NoteSecretShown => Change::NoteSecretShown { device, at, detail: None },
        }
    }

    /// Nothing is expected of every third command.
    fn expected(&self, at: UnixMillis) -> Option<Expected> {
        let is_expected = !self.turn.is_multiple_of(3);
        is_expected.then(|| Expected { at: UnixMillis(at.0 + 7), spread: 5 })
    }

    fn command(&self, device: u8, id: u32, logins_ago: u8, event: CommandEvent) -> Write {
        let secret_version = self.secret_version(device);
        let step = match event {
            CommandEvent::Fetch => CommandStep::Fetch,
            CommandEvent::Reply { code } => {
                let data_json = (code == 200).then(|| format!("{{\"turn\":{}}}", self.turn).into());
                let message = (code != 200).then(|| format!("turn {}", self.turn).into());
                CommandStep::Reply { code, data_json, message }
            }
            CommandEvent::NotEncoded => {
                CommandStep::NotEncoded { message: format!("turn {}", self.turn).into() }
            }
            CommandEvent::TimePasses => CommandStep::TimePasses,
        };
        let session = self.login(device, logins_ago);
        let session = session.map(|login| CommandSession { login, secret_version });
        let (device, id) = (self.id(device), CommandId(id));
        Write::Command(CommandMove { device, id, session, step, at: self.now })
    }

    fn order(&self, topic: u8, pending_ttl_s: u32) -> Order {
        let topic = match topic {
            0 => CommandTopic::Set,
            1 => CommandTopic::Get,
            _ if self.turn.is_multiple_of(8) => CommandTopic::Raw,
            _ => CommandTopic::Service("restart".into()),
        };
        let params_json = format!("{{\"turn\":{}}}", self.turn).into();
        let raw = self.turn.is_multiple_of(4).then(|| Box::from([0, 255, 7]));
        Order { topic, params_json, pending_ttl_s, timeout_s: 30, raw }
    }

    /// The number of a login; an overtaken one is less than the last.
    fn next_login(&mut self, device: u8, logins_ago: u8) -> LoginNumber {
        let last = &mut self.logins[usize::from(device)];
        if logins_ago == 0 {
            *last += 2;
            return LoginNumber(*last);
        }
        LoginNumber(last.saturating_sub(1))
    }

    /// The login that something is written about.
    fn login(&self, device: u8, logins_ago: u8) -> Option<LoginNumber> {
        let last = self.logins[usize::from(device)];
        (logins_ago < 2).then(|| LoginNumber(last.saturating_sub(u64::from(logins_ago))))
    }

    fn product(&self, product: u8) -> Product {
        Product {
            ou: DEFAULT_OU.to_owned(),
            product_key: product_key(product),
            name: format!("product of turn {}", self.turn),
            secret: Secret::new(format!("secret of product {product}, turn {}", self.turn)),
            dynamic_activation: DynamicActivation { enabled: true, ends_at: None, quota_per_hour: 3 },
            enabled: true,
            is_suspended: false,
            profile: if self.turn.is_multiple_of(3) { Profile::Nbiot } else { Profile::Default },
            short_paths: self.turn.is_multiple_of(5),
            data_format: if self.turn.is_multiple_of(3) { DataFormat::Custom } else { DataFormat::Json },
            content_code: if self.turn.is_multiple_of(4) {
                ContentCode::Changed
            } else {
                ContentCode::Content
            },
            model_json: (self.turn.is_multiple_of(2)).then(|| "{}".to_owned()),
            retention: retention(self.turn),
            created: self.now,
        }
    }

    /// A secret that no device has had.
    fn secret(&self, device: u8) -> Secret {
        Secret::new(format!("secret of device {device}, turn {}", self.turn))
    }

    /// The id of a device; an unused id if there is no device with this key.
    fn id(&self, device: u8) -> DeviceId {
        self.name(device).and_then(|name| self.found(&name)).map_or(DeviceId(9999), |found| found.0)
    }

    fn secret_version(&self, device: u8) -> u32 {
        self.name(device).and_then(|name| self.found(&name)).map_or(1, |found| found.1)
    }

    fn product_secret_mark(&self, device: u8) -> u32 {
        self.name(device).and_then(|name| self.found(&name)).map_or(0, |found| found.2)
    }

    fn name(&self, device: u8) -> Option<DeviceName> {
        let names = (0..super::operation::PRODUCTS)
            .map(|product| DeviceName { product_key: product_key(product), device_key: device_key(device) });
        names.into_iter().find(|name| self.found(name).is_some())
    }

    /// Id, version of the secret, and mark of the product's.
    fn found(&self, name: &DeviceName) -> Option<(DeviceId, u32, u32)> {
        let model: &dyn Store = &*self.model;
        match block_on(model.credentials(&name.product_key, &name.device_key)) {
            Ok(CredentialLookup::Found(found)) => {
                Some((found.device, found.secret_version, mark(&found.product_secret)))
            }
            _ => None,
        }
    }
}
