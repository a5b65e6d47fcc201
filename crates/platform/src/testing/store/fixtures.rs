//! Products, devices and writes for checks, in few words.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{
    ids::{DEFAULT_OU, DeviceId, DeviceName, LoginNumber, UnixMillis},
    model::{
        credential::{CredentialLookup, Credentials},
        device::{Device, DeviceState, NewDevice},
        log::{LogEntry, LogEvent, Reason},
        message::{Message, MessageKind, PointValue},
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        retention::RetentionClass,
    },
    paging::Part,
    ports::{Batch, DeviceQuery, HistoryQuery, Issued, OnlineDevice, PresenceChange, Store, Write, Written},
    rules::psk::mark,
    secret::Secret,
    testing::block_on,
};

/// The time at which products and devices of checks are created: 2026-01-01T00:00:00Z.
pub const T0: UnixMillis = UnixMillis(1_767_225_600_000);

/// The suite of logins.
pub const SUITE: &str = "TLS_PSK_WITH_AES_128_CCM_8";

/// `seconds` after [`T0`].
pub fn at(seconds: i64) -> UnixMillis {
    UnixMillis(T0.0 + seconds * 1000)
}

/// A product with secret `secret of KEY`, dynamic activation off.
pub fn product(product_key: &str) -> Product {
    Product {
        ou: DEFAULT_OU.to_owned(),
        product_key: product_key.to_owned(),
        name: format!("product {product_key}"),
        secret: Secret::new(format!("secret of {product_key}")),
        dynamic_activation: DynamicActivation::default(),
        enabled: true,
        is_suspended: false,
        profile: Profile::Default,
        short_paths: false,
        data_format: DataFormat::Json,
        content_code: ContentCode::Content,
        model_json: None,
        retention: RetentionClass::STANDARD,
        created: T0,
    }
}

/// As [`product`], with dynamic activation on.
pub fn activating_product(product_key: &str) -> Product {
    Product {
        dynamic_activation: DynamicActivation { enabled: true, ..DynamicActivation::default() },
        ..product(product_key)
    }
}

/// A device with secret `secret of KEY` and an asset id of its own.
pub fn new_device(product_key: &str, device_key: &str) -> NewDevice {
    static ASSETS: AtomicU32 = AtomicU32::new(0);
    NewDevice {
        product_key: product_key.to_owned(),
        device_key: device_key.to_owned(),
        device_secret: Secret::new(format!("secret of {device_key}")),
        asset_id: format!("{:08x}", ASSETS.fetch_add(1, Ordering::Relaxed)),
        name: String::new(),
        properties: Vec::new(),
    }
}

/// Puts [`product`] into `store`.
pub fn add_product(store: &dyn Store, product_key: &str) {
    block_on(store.create_product(product(product_key))).expect("the key is free");
}

/// Puts [`new_device`] into `store`.
pub fn add_device(store: &dyn Store, product_key: &str, device_key: &str) -> Device {
    let created = block_on(store.create_devices(vec![new_device(product_key, device_key)], T0));
    created.expect("the store writes").remove(0).expect("the key is free")
}

/// A product `pk` with a device of key `device_key`.
pub fn one_device(store: &dyn Store, device_key: &str) -> DeviceId {
    add_product(store, "pk");
    add_device(store, "pk", device_key).id
}

/// A batch with the next number of this process.
pub fn batch(writes: Vec<Write>) -> Batch {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    Batch::new(NUMBERS.fetch_add(1, Ordering::Relaxed), writes)
}

/// Commits `writes` as one batch.
pub fn append(store: &dyn Store, writes: Vec<Write>) -> Vec<Written> {
    block_on(store.append(batch(writes))).expect("the store writes").outcomes
}

/// Commits one write.
pub fn write(store: &dyn Store, write: Write) -> Written {
    append(store, vec![write]).remove(0)
}

/// The device as it stands.
pub fn device(store: &dyn Store, device: DeviceId) -> Device {
    block_on(store.device_by_id(device)).expect("the store reads").expect("the device exists")
}

/// Credentials of a device that exists.
pub fn credentials(store: &dyn Store, product_key: &str, device_key: &str) -> Credentials {
    match block_on(store.credentials(product_key, device_key)).expect("the store reads") {
        CredentialLookup::Found(found) => *found,
        other => panic!("{product_key}/{device_key}: {other:?}"),
    }
}

/// Asks for a new secret in place of the one that the device has.
pub fn issue(store: &dyn Store, device: DeviceId, secret: &str, at: UnixMillis) -> Issued {
    let (replaces, mark) = credentials_of(store, device);
    issue_for(store, device, (secret, replaces, mark), at)
}

/// The version of a device's secret, and the mark of its product's; of one that cannot be read, others.
pub fn credentials_of(store: &dyn Store, device: DeviceId) -> (u32, u32) {
    let found = block_on(store.device_by_id(device)).ok().flatten();
    let found = found.map(|found| block_on(store.credentials(&found.product_key, &found.device_key)));
    match found {
        Some(Ok(CredentialLookup::Found(found))) => (found.secret_version, mark(&found.product_secret)),
        _ => (1, 0),
    }
}

/// Asks for a new secret in place of the one of this version, with the product's secret of this mark.
pub fn issue_for(
    store: &dyn Store,
    device: DeviceId,
    (secret, replaces, product_secret_mark): (&str, u32, u32),
    at: UnixMillis,
) -> Issued {
    let (secret, peer) = (Secret::new(secret.to_owned()), "192.0.2.1:5".to_owned());
    match write(store, Write::IssueSecret { device, secret, replaces, product_secret_mark, at, peer }) {
        Written::Issue(issued) => issued,
        other => panic!("a wish for a secret comes to {other:?}"),
    }
}

/// The names of a device.
pub fn name(product_key: &str, device_key: &str) -> DeviceName {
    DeviceName { product_key: product_key.to_owned(), device_key: device_key.to_owned() }
}

/// A login with the device's first secret.
pub fn login(device: DeviceId, at: UnixMillis) -> Write {
    login_with(device, at, 1)
}

/// A login with secret number `secret_version`.
pub fn login_with(device: DeviceId, at: UnixMillis, secret_version: u32) -> Write {
    // As if gateways numbered them by the clock: a later login has a greater one.
    let number = LoginNumber(at.0.unsigned_abs());
    let peer = "192.0.2.1:5".to_owned();
    Write::Login { device, number, at, lifetime_s: 300, secret_version, peer, over: SUITE }
}

/// A change of presence.
pub fn presence(device: DeviceId, state: DeviceState, at: UnixMillis, cause: &str) -> Write {
    Write::Presence { device, login: None, state, at, cause: cause.to_owned() }
}

/// A report that arrives when it was made.
pub fn report(device: DeviceId, time: UnixMillis, points_json: &str) -> Write {
    report_arriving(device, time, time, points_json)
}

/// A report that arrives at `arrival`.
pub fn report_arriving(device: DeviceId, time: UnixMillis, arrival: UnixMillis, points_json: &str) -> Write {
    Write::Message(Message {
        device,
        kind: MessageKind::Points,
        time,
        arrival,
        login: None,
        secret_version: 1,
        session: 0,
        retention: RetentionClass::STANDARD,
        points_json: points_json.into(),
    })
}

/// A report to the resume topic.
pub fn resumed(device: DeviceId, time: UnixMillis, points_json: &str) -> Write {
    Write::Message(Message {
        device,
        kind: MessageKind::PointsResumed,
        time,
        arrival: time,
        login: None,
        secret_version: 1,
        session: 0,
        retention: RetentionClass::STANDARD,
        points_json: points_json.into(),
    })
}

/// A refusal of a known device, or of `identity`.
pub fn refusal(device: Option<DeviceId>, identity: Option<&str>, time: UnixMillis) -> LogEntry {
    LogEntry {
        time,
        device,
        identity: identity.map(str::to_owned),
        event: LogEvent::Refused,
        reason: Some(Reason::WrongKey),
        code: Some(742),
        peer: Some("192.0.2.9:40000".to_owned()),
        detail: Some("the product's secret was used".to_owned()),
    }
}

/// An entry that an operator caused, with nothing in the fields that may be empty.
pub fn shown(device: DeviceId, time: UnixMillis) -> LogEntry {
    LogEntry {
        time,
        device: Some(device),
        identity: None,
        event: LogEvent::SecretShown,
        reason: None,
        code: None,
        peer: None,
        detail: None,
    }
}

/// Events of a device's log, newest first.
pub fn events(store: &dyn Store, device: DeviceId) -> Vec<LogEvent> {
    log(store, device).into_iter().map(|entry| entry.event).collect()
}

/// A device's log, newest first.
pub fn log(store: &dyn Store, device: DeviceId) -> Vec<LogEntry> {
    block_on(store.device_log(device, Part::first(usize::MAX))).expect("the store reads").items
}

/// A page of devices that are all intact.
pub fn devices(store: &dyn Store, query: DeviceQuery) -> Vec<Device> {
    let rows = block_on(store.devices(query)).expect("the store reads");
    rows.into_iter().map(|row| row.expect("it is intact")).collect()
}

/// All products, which are intact.
pub fn products(store: &dyn Store) -> Vec<Product> {
    let rows = block_on(store.products()).expect("the store reads");
    rows.into_iter().map(|row| row.expect("it is intact")).collect()
}

/// Values by time, newest first, as far as one page goes.
pub fn history(store: &dyn Store, device: DeviceId, query: HistoryQuery) -> Vec<PointValue> {
    block_on(store.points_history(device, query)).expect("the store reads").items
}

/// Changes of presence, newest first.
pub fn moves(store: &dyn Store, device: DeviceId, limit: usize) -> Vec<PresenceChange> {
    block_on(store.presence_history(device, Part::first(limit))).expect("the store reads").items
}

/// Devices that a gateway takes up when it starts.
pub fn online(store: &dyn Store) -> Vec<OnlineDevice> {
    block_on(store.recover()).expect("the store reads").online
}

/// The newest refusals of all.
pub fn refusals(store: &dyn Store, limit: usize) -> Vec<LogEntry> {
    block_on(store.refusals(Part::first(limit))).expect("the store reads").items
}
