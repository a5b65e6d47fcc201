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
use narrowgate_benches::fleet::{NORTH, fill, key_of};
use narrowgate_platform::{
    ids::UnixMillis,
    model::device::DeviceState,
    ports::{DeviceOrder, DeviceSearch, Journal as _, Registry as _},
    testing::{block_on, store::fixtures::at},
};

const DEVICES: usize = 1_000_000;
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
