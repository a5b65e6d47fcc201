//! A store with many devices, as programs of this package and `benches/run` measure it.

use std::error::Error;

use narrowgate_adapters::sqlite::SqliteStore;
use narrowgate_platform::{
    firmware::{FirmwareMove, FirmwareStep},
    ids::{DeviceId, LoginNumber},
    model::{
        access::{Quotas, Unit},
        command::CommandSession,
        device::NewDevice,
        json_text::JsonText,
        product::Product,
        property::{PropertyEdit, PropertyKind, PropertyWrite},
    },
    ports::{AccessChange, Journal as _, RegistryChanges as _, Write},
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{at, batch, login, product, report},
    },
};

/// The organisation unit of the small product.
pub const NORTH: &str = "o00000000000009";

/// Devices of a change.
const STEP: usize = 1000;

/// The key of a device by its number.
pub fn key_of(n: usize) -> String {
    format!("867725{n:09}")
}

/// A large product `pk` and, in a unit of its own, `pk-north` with every hundredth device. Half of all
/// devices have logged in and reported, two of three have tags, and all have attributes of some 300 bytes.
/// Returns the devices by their numbers.
///
/// # Errors
/// The store's.
pub fn fill(store: &SqliteStore, count: usize) -> Result<Vec<DeviceId>, Box<dyn Error>> {
    let (ou, name) = (NORTH.to_owned(), "north".to_owned());
    let quotas = Quotas::default();
    let unit = Unit { ou, name, created: at(0), suspended: None, quotas, reports: None };
    block_on(store.change_access(AccessChange::AddUnit(unit)))?;
    block_on(store.create_product(product("pk")))?;
    block_on(store.create_product(Product { ou: NORTH.to_owned(), ..product("pk-north") }))?;
    let mut devices = Vec::with_capacity(count);
    for first in (0..count).step_by(STEP) {
        let numbers = first..(first + STEP).min(count);
        let wanted = numbers.clone().map(new_device).collect();
        let made = block_on(store.create_devices(wanted, at(0)))?;
        let mut writes = Vec::new();
        for (n, made) in numbers.zip(made) {
            let device = made?.id;
            live(&mut writes, n, device, n + 1 == count);
            devices.push(device);
        }
        block_on(store.append(batch(writes)))?;
    }
    Ok(devices)
}

fn new_device(n: usize) -> NewDevice {
    NewDevice {
        product_key: if n % 100 == 99 { "pk-north" } else { "pk" }.to_owned(),
        device_key: key_of(n),
        device_secret: Secret::new(format!("secret-{n:012}")),
        asset_id: format!("{n:08}"),
        name: format!("cellar {n}"),
        properties: Vec::new(),
    }
}

fn edit(writes: &mut Vec<Write>, device: DeviceId, kind: PropertyKind, set: &[(&str, &str)]) {
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), JsonText::new(value))).collect();
    let edit = PropertyEdit { kind, replaces: false, set, unset: Vec::new() };
    let write = PropertyWrite { device, login: None, secret_version: 1, at: at(1), edit };
    writes.push(Write::Properties(Box::new(write)));
}

/// What a device does.
fn live(writes: &mut Vec<Write>, n: usize, device: DeviceId, is_last: bool) {
    let site = if is_last { "\"last\"".to_owned() } else { format!("\"s{}\"", n % 100) };
    let about = format!("\"{}\"", "a".repeat(280));
    edit(writes, device, PropertyKind::Attribute, &[("about", &about)]);
    if !n.is_multiple_of(3) || is_last {
        edit(writes, device, PropertyKind::Tag, &[("floor", "\"3\""), ("site", &*site)]);
    }
    if n.is_multiple_of(2) {
        return;
    }
    writes.push(login(device, at(1)));
    writes.push(report(device, at(2000), r#"{"temp":21.5,"hum":48,"state":"running"}"#));
    let session = CommandSession { login: LoginNumber(at(1).0.unsigned_abs()), secret_version: 1 };
    let step = FirmwareStep::Inform { version: if n.is_multiple_of(3) { "1.0" } else { "1.1" }.to_owned() };
    writes.push(Write::Firmware(FirmwareMove { device, session, step, at: at(3) }));
}
