//! What lists of devices take in the store, with a million of them: each kind of list call page by page, from
//! the first to the last, 50th and 99th percentile of a page.
//!
//! `cargo run --release -p narrowgate-benches --bin device_lists -- [DEVICES [FOLDER]]`. The store is made
//! in FOLDER, or in a new folder for temporary files, which is removed; one that is there is used as it is.
//! Exit code 1: the 99th percentile of a kind is above 100 ms.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::{Duration, Instant},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    firmware::{FirmwareMove, FirmwareStep},
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::{
        access::{Quotas, Unit},
        command::CommandSession,
        device::{DeviceState, NewDevice},
        json_text::JsonText,
        product::Product,
        property::{PropertyEdit, PropertyKind, PropertyWrite},
    },
    ports::{
        AccessChange, DeviceOrder, DeviceSearch, Journal as _, Registry as _, RegistryChanges as _,
        Write as Writing,
    },
    secret::Secret,
    testing::{
        block_on,
        store::fixtures::{at, batch, login, product, report},
    },
};

const DEVICES: usize = 1_000_000;
/// Devices of a change.
const STEP: usize = 1000;
/// Pages of a kind that are measured at most.
const PAGES_MAX: usize = 400;
/// What a page may take.
const PAGE_MAX: Duration = Duration::from_millis(100);
/// As an operator's list has them.
const LOOKS_MAX: usize = 20_000;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Ignored: there is nowhere else to say it.
            let _ = writeln!(io::stderr(), "device_lists: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<bool, Box<dyn Error>> {
    let count = env::args().nth(1).map_or(Ok(DEVICES), |text| text.parse())?;
    let given = env::args().nth(2).map(PathBuf::from);
    let folder = given
        .clone()
        .unwrap_or_else(|| env::temp_dir().join(format!("narrowgate-device-lists-{}", process::id())));
    let measured = measure_in(&folder, count);
    if given.is_none() {
        fs::remove_dir_all(&folder)?;
    }
    measured
}

fn measure_in(folder: &Path, count: usize) -> Result<bool, Box<dyn Error>> {
    let is_new = !folder.join("registry.db").exists();
    let store = SqliteStore::open(SqliteOptions::new(folder))?;
    let begun = Instant::now();
    if is_new {
        fill(&store, count)?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{count} devices registered in {:.1} s\n", begun.elapsed().as_secs_f64())?;
    writeln!(out, "| list | pages | devices | p50 ms | p99 ms | most ms |\n|---|---|---|---|---|---|")?;
    let mut holds = true;
    for (name, search) in kinds(count) {
        for limit in [100, 1000] {
            let (mut spent, devices) = pages(&store, DeviceSearch { limit, ..search.clone() })?;
            spent.sort_unstable();
            let of = |percent: usize| spent[(spent.len() * percent / 100).min(spent.len() - 1)];
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let (half, most) = (ms(of(50)), ms(of(100)));
            holds &= of(99) <= PAGE_MAX;
            let pages = spent.len();
            writeln!(
                out,
                "| {name}, limit {limit} | {pages} | {devices} | {half:.2} | {:.2} | {most:.2} |",
                ms(of(99))
            )?;
        }
    }
    block_on(store.close())?;
    Ok(holds)
}

/// How long each page took, from the first to the last; how many devices were found.
fn pages(store: &SqliteStore, mut search: DeviceSearch) -> Result<(Vec<Duration>, usize), Box<dyn Error>> {
    let (mut spent, mut devices) = (Vec::new(), 0);
    while spent.len() < PAGES_MAX {
        let begun = Instant::now();
        let page = block_on(store.search_devices(search.clone()))?;
        spent.push(begun.elapsed());
        devices += page.devices.len();
        match page.next {
            Some(next) => search.after = Some(next),
            None => break,
        }
    }
    Ok((spent, devices))
}

/// Each filter, those that find much, little, nothing, and only what is at the far end.
fn kinds(count: usize) -> Vec<(&'static str, DeviceSearch)> {
    let all = || DeviceSearch { looks_max: LOOKS_MAX, ..DeviceSearch::default() };
    let text = |text: &str| Some(text.to_owned());
    let product = |key: &str| DeviceSearch { product_key: text(key), ..all() };
    let state = |state| DeviceSearch { state: Some(state), disabled: Some(false), ..all() };
    let begins = |prefix: &str| DeviceSearch { prefix: text(prefix), ..all() };
    let tag = |value: &str| DeviceSearch { tag: Some(("site".to_owned(), value.to_owned())), ..all() };
    let says = |version: &str| DeviceSearch { firmware: text(version), ..all() };
    let north = || Some(NORTH.to_owned());
    let last = key_of(count - 1);
    vec![
        ("all", all()),
        ("the newest first", DeviceSearch { order: DeviceOrder::NewestFirst, ..all() }),
        ("a large product", product("pk")),
        ("a small product", product("pk-north")),
        ("online", state(DeviceState::Online)),
        ("offline (none)", state(DeviceState::Offline)),
        ("inactive", state(DeviceState::Inactive)),
        ("disabled (none)", DeviceSearch { disabled: Some(true), ..all() }),
        ("key of one", begins(&last)),
        ("key of a thousand", begins(&last[..last.len() - 3])),
        ("key of all", begins("8677")),
        ("key or name of none", begins("x")),
        ("name", begins("cellar 99")),
        ("tag of many", tag("s7")),
        ("tag of the last one", tag("last")),
        ("tag of none", tag("none")),
        ("tag of many, online", DeviceSearch { tag: tag("s7").tag, ..state(DeviceState::Online) }),
        ("tag of none, heard from", DeviceSearch { seen_from: Some(at(1000)), ..tag("none") }),
        ("tag of none, the newest first", DeviceSearch { order: DeviceOrder::NewestFirst, ..tag("none") }),
        ("firmware of many", says("1.0")),
        ("firmware of none", says("9.9")),
        ("heard from", DeviceSearch { seen_from: Some(at(1000)), ..all() }),
        ("heard before, none", DeviceSearch { seen_before: Some(at(0)), ..all() }),
        ("a unit", DeviceSearch { ou: north(), ..all() }),
        ("a unit, key of all", DeviceSearch { ou: north(), ..begins("8677") }),
        ("a unit, tag", DeviceSearch { ou: north(), ..tag("s7") }),
        ("all filters", everything(begins("8677"))),
        ("all filters, a unit", DeviceSearch { ou: north(), ..everything(begins("8677")) }),
    ]
}

fn everything(search: DeviceSearch) -> DeviceSearch {
    DeviceSearch {
        product_key: Some("pk".to_owned()),
        state: Some(DeviceState::Online),
        disabled: Some(false),
        tag: Some(("site".to_owned(), "s7".to_owned())),
        firmware: Some("1.0".to_owned()),
        seen_from: Some(at(0)),
        seen_before: Some(UnixMillis(i64::MAX)),
        ..search
    }
}

const NORTH: &str = "o00000000000009";

fn key_of(n: usize) -> String {
    format!("867725{n:09}")
}

/// A large product and, in a unit of its own, one with every hundredth device. Half of all devices have
/// logged in and reported, two of three have tags, and all have attributes of
/// some 300 bytes.
fn fill(store: &SqliteStore, count: usize) -> Result<(), Box<dyn Error>> {
    let (ou, name) = (NORTH.to_owned(), "north".to_owned());
    let quotas = Quotas::default();
    let unit = Unit { ou, name, created: at(0), suspended: None, quotas, reports: None };
    block_on(store.change_access(AccessChange::AddUnit(unit)))?;
    block_on(store.create_product(product("pk")))?;
    block_on(store.create_product(Product { ou: NORTH.to_owned(), ..product("pk-north") }))?;
    for first in (0..count).step_by(STEP) {
        let numbers = first..(first + STEP).min(count);
        let wanted = numbers.clone().map(new_device).collect();
        let made = block_on(store.create_devices(wanted, at(0)))?;
        let mut writes = Vec::new();
        for (n, made) in numbers.zip(made) {
            live(&mut writes, n, made?.id, n + 1 == count);
        }
        block_on(store.append(batch(writes)))?;
    }
    Ok(())
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

fn edit(writes: &mut Vec<Writing>, device: DeviceId, kind: PropertyKind, set: &[(&str, &str)]) {
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), JsonText::new(value))).collect();
    let edit = PropertyEdit { kind, replaces: false, set, unset: Vec::new() };
    let write = PropertyWrite { device, login: None, secret_version: 1, at: at(1), edit };
    writes.push(Writing::Properties(Box::new(write)));
}

/// What a device does.
fn live(writes: &mut Vec<Writing>, n: usize, device: DeviceId, is_last: bool) {
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
    writes.push(Writing::Firmware(FirmwareMove { device, session, step, at: at(3) }));
}
