//! Makes a store for the pages of the console: many devices as [`fleet`] has them, and what has happened to
//! them lately.
//!
//! `cargo run --release -p narrowgate-benches --bin console_store -- FOLDER [DEVICES]` (1,000,000). Each
//! device that has logged in has reported once within the last day, and is offline. Two have reported ten
//! points for 30 days, every quarter of an hour and every minute: they are the last but two, and the last but
//! four. Of the last day are 5,000 refusals, 400 entries in the log of the first of these two, and what was
//! counted in each minute. An image of firmware, `IMG00001`, was offered to all; it failed at 40 devices.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_benches::fleet;
use narrowgate_platform::{
    firmware::{Image, ImageId, ServerName, Sha256Sum},
    ids::{DeviceId, UnixMillis},
    model::{
        command::{CommandMove, CommandStep},
        device::DeviceState,
        log::{LogEntry, LogEvent, Reason},
        rates::{CountedMinute, MINUTE_MS, MINUTES_KEPT, Tally, minute_of},
    },
    ports::{Journal as _, OfferTo, Registry as _, RegistryChanges as _, Write},
    testing::{
        block_on,
        store::fixtures::{at, batch, presence, refusal, report},
    },
};

const DEVICES: usize = 1_000_000;
const HISTORY_MINUTES: i64 = 30 * MINUTES_KEPT;
/// Writes of a batch.
const STEP: usize = 2000;
const REFUSALS: i64 = 5000;
const ENTRIES: i64 = 400;
const IMAGES: usize = 40;
/// Devices at which the upgrade failed.
const FAILED: usize = 40;

fn main() -> ExitCode {
    match make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Ignored: there is nowhere else to say it.
            let _ = writeln!(io::stderr(), "console_store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("console_store FOLDER [DEVICES]")?;
    let count = env::args().nth(2).map_or(Ok(DEVICES), |text| text.parse())?;
    let store = SqliteStore::open(SqliteOptions::new(folder))?;
    let devices = fleet::fill(&store, count)?;
    let now = UnixMillis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let from_end = |n: usize| devices.len().checked_sub(n).map(|at| devices[at]).ok_or("too few devices");
    let (quarterly, each_minute) = (from_end(3)?, from_end(5)?);
    let heard: Vec<DeviceId> = devices.iter().skip(1).step_by(2).copied().collect();
    let mut writer = Writer { store: &store, writes: Vec::new() };
    // A server would wait for the end of their lifetimes.
    for device in &heard {
        writer.add(presence(*device, DeviceState::Offline, at(2500), "silent"))?;
    }
    roll_out(&mut writer, &heard)?;
    for minute in 0..HISTORY_MINUTES {
        let left = HISTORY_MINUTES - minute;
        let time = UnixMillis(now.0 - left * MINUTE_MS);
        if minute % 15 == 0 {
            writer.add(report(quarterly, time, &points(minute)))?;
        }
        writer.add(report(each_minute, time, &points(minute)))?;
        if let Ok(of_day) = usize::try_from(MINUTES_KEPT - left) {
            let part = |of: usize| heard.len() * of / MINUTES_KEPT as usize;
            for device in &heard[part(of_day)..part(of_day + 1)] {
                writer.add(report(*device, time, r#"{"temp":21.5,"hum":48,"state":"running"}"#))?;
            }
            happened(&mut writer, (quarterly, &heard), MINUTES_KEPT - left, time)?;
        }
    }
    writer.commit()?;
    block_on(store.close())?;
    writeln!(io::stdout(), "{count} devices, and {HISTORY_MINUTES} minutes of two of them")?;
    Ok(())
}

fn image_id(number: usize) -> Result<ImageId, &'static str> {
    format!("IMG{number:05}").parse().map_err(|_| "it is no id of an image")
}

/// Images, and the first of them offered to a few devices, which refuse it, and then to all.
fn roll_out(writer: &mut Writer<'_>, heard: &[DeviceId]) -> Result<(), Box<dyn Error>> {
    let store = writer.store;
    for number in 1..=IMAGES {
        let (id, version) = (image_id(number)?, format!("2.{number}"));
        let (product_key, sha256) = ("pk".to_owned(), Sha256Sum([7; 32]));
        let uploaded = at(3000);
        block_on(store.add_image(Image {
            id,
            product_key,
            version,
            size: 2048,
            sha256,
            uploaded,
            rollout: None,
        }))?;
    }
    let image = image_id(1)?;
    let refused = &heard[..FAILED.min(heard.len())];
    for device in refused {
        block_on(store.offer_image(image, OfferTo::Device(*device), at(3001)))?;
    }
    block_on(store.advance_upgrades(2 * FAILED, ServerName::new("gateway.example", 5684), at(3002)))?;
    for device in refused {
        let answer = CommandStep::Reply { code: 500, data_json: None, message: Some("not now".into()) };
        for command in block_on(store.open_commands(*device))? {
            for step in [CommandStep::Fetch, answer.clone()] {
                let moved =
                    CommandMove { device: *device, id: command.id, session: None, step, at: at(3003) };
                writer.add(Write::Command(moved))?;
            }
        }
    }
    writer.commit()?;
    let mut after = None;
    loop {
        let to = OfferTo::Share { percent: 100, after, limit: 1000 };
        after = block_on(store.offer_image(image, to, at(3004)))?.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Ten points.
fn points(minute: i64) -> String {
    let (tenth, word) = (minute % 97, ["idle", "running", "fault"][(minute / 240 % 3) as usize]);
    format!(
        "{{\"current\":{}.{tenth:02},\"energy\":{minute},\"frequency\":50.0{},\"humidity\":{},\"open\":{},\
         \"position\":{{\"lat\":48.{tenth:02},\"lon\":11.57}},\"power\":{},\"state\":\"{word}\",\
         \"temperature\":{}.5,\"voltage\":229.{}}}",
        minute % 7,
        minute % 10,
        40 + minute % 20,
        minute / 30 % 2 == 0,
        1000 + tenth,
        18 + minute / 60 % 9,
        minute % 10,
    )
}

/// What happened beside reports in a minute of the last day.
fn happened(
    writer: &mut Writer<'_>,
    (device, heard): (DeviceId, &[DeviceId]),
    minute: i64,
    time: UnixMillis,
) -> Result<(), Box<dyn Error>> {
    let reasons = Reason::ALL;
    let reason = |n: i64| Some(reasons[n as usize % reasons.len()]);
    let of_minute = |all: i64| (all * minute / MINUTES_KEPT)..(all * (minute + 1) / MINUTES_KEPT);
    let mut tally = Tally::of_reports(348);
    for n in of_minute(REFUSALS) {
        // Of this device some, of others most, and of strangers.
        let own = match n % 8 {
            0 => Some(device),
            1..6 => Some(heard[n as usize * 7919 % heard.len()]),
            _ => None,
        };
        let identity = format!("product-{},device-{n:0>90},2,300", n % 7);
        let peer = Some(format!("192.0.2.{}:{}", n % 200, 40_000 + n));
        let entry = refusal(own, own.is_none().then_some(&*identity), time);
        writer.add(Write::Log(LogEntry { reason: reason(n), peer, ..entry }))?;
        tally.refuse(reason(n));
    }
    for n in of_minute(ENTRIES) {
        let events = [LogEvent::Login, LogEvent::Offline, LogEvent::CommandSent, LogEvent::Renamed];
        writer.add(Write::Log(LogEntry::new(device, time, events[n as usize % events.len()])))?;
    }
    let (minute, products) = (minute_of(time), vec![("pk".to_owned(), tally)]);
    writer.add(Write::Rates(Arc::new(CountedMinute { minute, since: minute, all: tally, products })))
}

/// Commits in batches.
struct Writer<'a> {
    store: &'a SqliteStore,
    writes: Vec<Write>,
}

impl Writer<'_> {
    fn add(&mut self, write: Write) -> Result<(), Box<dyn Error>> {
        self.writes.push(write);
        if self.writes.len() < STEP { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), Box<dyn Error>> {
        block_on(self.store.append(batch(std::mem::take(&mut self.writes))))?;
        Ok(())
    }
}
