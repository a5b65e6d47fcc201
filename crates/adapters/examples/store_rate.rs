//! How fast the SQLite store is on this machine and disk:
//!
//! ```text
//! cargo run --release --example store_rate -p narrowgate-adapters -- DIRECTORY [DEVICES] [SECONDS]
//! ```
//!
//! Prints reports, logins and credential look-ups per second with the processor's time for each. Reports come
//! from all devices in turn, in batches of 500, four batches under way at a time. The directory must not
//! exist; it stays, to be looked at.
#![allow(clippy::print_stdout, reason = "the output is what it is run for")]

use std::{
    collections::VecDeque,
    env,
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DEFAULT_OU, DeviceId, LoginNumber, UnixMillis},
    model::{
        device::{DeviceState, NewDevice},
        message::{Message, MessageKind},
        product::{ContentCode, DataFormat, DynamicActivation, Product, Profile},
        retention::RetentionClass,
    },
    ports::{Batch, Journal as _, Registry as _, RegistryChanges as _, StoreError, Write},
    secret::Secret,
    testing::block_on,
};
use nix::sys::resource::{UsageWho, getrusage};

const BATCH: usize = 500;
const BATCHES_UNDER_WAY: usize = 4;
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("usage: store_rate DIRECTORY [DEVICES] [SECONDS]")?;
    let devices: usize = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let run = Duration::from_secs(arguments.next().map_or(Ok(10), |text| text.parse())?);
    if Path::new(&directory).exists() {
        return Err(format!("{directory} exists already").into());
    }
    let store = SqliteStore::open(SqliteOptions::new(&directory))?;
    let ids = register(&store, devices)?;

    measure("logins", run / 2, &store, |n| {
        let device = ids[n as usize % ids.len()];
        let at = UnixMillis(START + n);
        let peer = "192.0.2.1:40000".to_owned();
        Write::Login {
            device,
            number: LoginNumber(n.unsigned_abs()),
            at,
            lifetime_s: 3600,
            secret_version: 1,
            peer,
            over: "TLS_PSK_WITH_AES_128_CCM_8",
        }
    })?;
    measure("presence changes", run / 2, &store, |n| {
        let round = n as usize / ids.len();
        let state = if round.is_multiple_of(2) { DeviceState::Offline } else { DeviceState::Online };
        let device = ids[n as usize % ids.len()];
        Write::Presence {
            device,
            login: None,
            state,
            at: UnixMillis(START + n),
            cause: "silent for 3600 s".to_owned(),
        }
    })?;
    measure("reports", run, &store, |n| {
        let time = UnixMillis(START + n / 50);
        let points_json = format!(r#"{{"temp":{}.5,"power":{},"state":"running"}}"#, n % 40, n % 1000).into();
        let device = ids[n as usize % ids.len()];
        Write::Message(Message {
            device,
            kind: MessageKind::Points,
            time,
            arrival: time,
            login: None,
            secret_version: 0,
            session: 0,
            retention: RetentionClass::STANDARD,
            points_json,
        })
    })?;
    look_up(&store, devices, run / 4)?;

    let closing = Instant::now();
    block_on(store.close())?;
    println!("closed in {:?}", closing.elapsed());
    Ok(())
}

fn register(store: &SqliteStore, devices: usize) -> Result<Vec<DeviceId>, Box<dyn Error>> {
    block_on(store.create_product(Product {
        ou: DEFAULT_OU.to_owned(),
        product_key: "MuGsF6W4".to_owned(),
        name: "meters".to_owned(),
        secret: Secret::new("c3PW03srd6c".to_owned()),
        dynamic_activation: DynamicActivation::default(),
        enabled: true,
        is_suspended: false,
        profile: Profile::Default,
        short_paths: false,
        data_format: DataFormat::Json,
        content_code: ContentCode::Content,
        model_json: None,
        retention: RetentionClass::STANDARD,
        created: UnixMillis(START),
    }))?;
    let mut ids = Vec::with_capacity(devices);
    let started = Instant::now();
    while ids.len() < devices {
        let numbers = ids.len()..devices.min(ids.len() + 5000);
        let wanted = numbers.map(|n| NewDevice {
            product_key: "MuGsF6W4".to_owned(),
            device_key: device_key(n),
            device_secret: Secret::new(format!("secret{n:014}")),
            asset_id: format!("{n:08}"),
            name: String::new(),
            properties: Vec::new(),
        });
        for made in block_on(store.create_devices(wanted.collect(), UnixMillis(START)))? {
            ids.push(made?.id);
        }
    }
    println!("{devices} devices registered in {:?}", started.elapsed());
    Ok(ids)
}

fn measure(
    what: &str,
    run: Duration,
    store: &SqliteStore,
    mut write: impl FnMut(i64) -> Write,
) -> Result<(), StoreError> {
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut under_way = VecDeque::new();
    let mut count = 0;
    while started.elapsed() < run {
        let first = count;
        count += BATCH as i64;
        let writes = (first..count).map(&mut write).collect();
        under_way.push_back(store.append(Batch::new(first as u64 / BATCH as u64, writes)));
        if under_way.len() >= BATCHES_UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            block_on(oldest)?;
        }
    }
    for rest in under_way {
        block_on(rest)?;
    }
    report(what, count, started.elapsed(), cpu_time() - cpu);
    Ok(())
}

fn look_up(store: &SqliteStore, devices: usize, run: Duration) -> Result<(), StoreError> {
    for (what, known) in [("look-ups", true), ("look-ups of unknown devices", false)] {
        let (started, cpu) = (Instant::now(), cpu_time());
        let mut count = 0;
        while started.elapsed() < run {
            for n in 0..1000 {
                // A stride, so that neighbours in the tables are not read one after the other.
                let n = (count as usize + n) * 7919 % devices;
                let key = if known { device_key(n) } else { format!("unknown{n}") };
                block_on(store.credentials("MuGsF6W4", &key))?;
            }
            count += 1000;
        }
        report(what, count, started.elapsed(), cpu_time() - cpu);
    }
    Ok(())
}

fn device_key(n: usize) -> String {
    format!("8677250{n:08}")
}

fn report(what: &str, count: i64, elapsed: Duration, cpu: Duration) {
    let rate = count as f64 / elapsed.as_secs_f64();
    let each = cpu.as_secs_f64() * 1e6 / count as f64;
    println!("{rate:>9.0} {what}/s, {each:.2} µs of processor time each");
}

/// Processor time of this process so far, in user and system mode.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the process may always ask about itself");
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
    };
    micros(usage.user_time()) + micros(usage.system_time())
}
