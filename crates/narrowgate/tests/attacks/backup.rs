//! Section N, 213: backups beside reports, and files that do not belong together.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server};

use crate::{
    client::{Client, Protection},
    coap,
    harness::Device,
};

const SERVE: [&str; 7] = ["serve", "--dtls", "127.0.0.1:0", "--http", "off", "--shards", "1"];

fn device(number: usize) -> Device {
    Device { key: format!("dk-{number}"), secret: format!("Z5YtZaQpK5IWoca{number:05}") }
}

fn register(program: &Program, numbers: impl Iterator<Item = usize>) {
    for device in numbers.map(device) {
        let keys = ["--device-key", &device.key, "--device-secret", &device.secret];
        program.json(&[&["device", "create", "--product", "pk"][..], &keys].concat());
    }
}

/// A product with devices.
fn program(devices: usize) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_narrowgate"));
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    register(&program, 0..devices);
    program
}

fn address(server: &Server) -> SocketAddr {
    server.address("coaps").parse().unwrap()
}

fn connect(server: &Server, number: usize) -> Client {
    let mut client = Client::new(address(server), device(number), Protection::Ccm8);
    client.connect();
    client
}

/// Reports a number, and waits for its 2.04, on the acknowledgement or behind it.
fn report(client: &mut Client, value: u32) {
    let mid = client.next_mid();
    client.say(&coap::report(mid, &client.device.report_path(), value));
    loop {
        let (_, answer) = client.hear();
        let (kind, code) = (answer[0] >> 4 & 3, answer[1]);
        if code == 0 {
            continue;
        }
        if kind == 0 {
            let theirs = u16::from_be_bytes([answer[2], answer[3]]);
            client.say(&coap::message(0x60, 0, theirs, &[]));
        }
        assert_eq!(code, 0x44, "{answer:02x?}");
        return;
    }
}

/// All numbers that a device has reported; each is there once.
fn reported(program: &Program, number: usize) -> BTreeSet<u32> {
    let key = device(number).key;
    let points = program.json(&["device", "points", "pk", &key, "--from", "0", "--all"]);
    let points = points.as_array().unwrap();
    let set: BTreeSet<u32> =
        points.iter().map(|point| point["value"].as_u64().unwrap().try_into().unwrap()).collect();
    assert_eq!(set.len(), points.len(), "nothing is there twice");
    set
}

/// Tells others that it is the end, also after a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A device that reports and, now and then, shakes hands anew, until the end.
fn live(server: &Server, number: usize, end: &AtomicBool, acknowledged: &Mutex<BTreeSet<(usize, u32)>>) {
    let mut client = connect(server, number);
    for value in 1.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        if value % 25 == 0 {
            client = connect(server, number);
        }
        report(&mut client, value);
        acknowledged.lock().unwrap().insert((number, value));
    }
}

#[test]
fn attack_213_what_was_acknowledged_before_a_backup_ended_is_restored_from_it() {
    const DEVICES: usize = 4;
    let program = program(DEVICES);
    let mut server = program.serve_with(&SERVE);
    let there = program.data().with_file_name("backup").display().to_string();
    let (end, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let wait_for = |count: usize| {
        let end = Instant::now() + Duration::from_secs(60);
        while acknowledged.lock().unwrap().len() < count {
            assert!(Instant::now() < end, "the devices get no answers");
            thread::sleep(Duration::from_millis(5));
        }
    };
    let before_the_end = thread::scope(|scope| {
        for number in 0..DEVICES {
            let (server, end, acknowledged) = (&server, &end, &acknowledged);
            scope.spawn(move || live(server, number, end, acknowledged));
        }
        let _ends = Ends(&end);
        wait_for(100);
        let copied = program.json(&["backup", &there]);
        let before_the_end = acknowledged.lock().unwrap().clone();
        assert!(copied["files"].as_u64() >= Some(3), "{copied}");
        // The server goes on.
        wait_for(before_the_end.len() + 100);
        before_the_end
    });
    server.kill();

    let other = Program::new(env!("CARGO_BIN_EXE_narrowgate"));
    other.json(&["restore", &there]);
    let restored = |program: &Program| -> BTreeSet<(usize, u32)> {
        (0..DEVICES).flat_map(|n| reported(program, n).into_iter().map(move |value| (n, value))).collect()
    };
    let found = restored(&other);
    let lost: Vec<_> = before_the_end.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged before the end and not there: {lost:?}");
    // What was killed has lost nothing either.
    let all = restored(&program);
    assert!(all.is_superset(&acknowledged.into_inner().unwrap()) && all.is_superset(&found));
    // The restored store serves, and deletes nothing.
    let server = other.serve_with(&SERVE);
    report(&mut connect(&server, 0), 1_000_000);
    assert!(restored(&other).is_superset(&found));
    assert!(!server.said().contains("was removed after a crash"), "{}", server.said());
}

/// Every file below a directory but the lock, and what is in it.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(contents(&entry));
        } else if !entry.ends_with("control.sock") {
            files.push((entry.clone(), fs::read(&entry).unwrap()));
        }
    }
    files.sort();
    files
}

fn copy_registry(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["registry.db", "registry.db-wal", "registry.db-shm"] {
        let _ = fs::remove_file(to.join(name));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn attack_213_a_registry_of_earlier_beside_todays_files_stops_the_start() {
    let program = program(1);
    let data = program.data();
    let mut server = program.serve_with(&SERVE);
    let mut first = connect(&server, 0);
    report(&mut first, 1);
    let (earlier, newest) = (data.with_file_name("earlier"), data.with_file_name("newest"));
    copy_registry(&data, &earlier);
    register(&program, 1..2);
    let mut second = connect(&server, 1);
    for value in 1..=12 {
        report(&mut first, 100 + value);
        report(&mut second, 200 + value);
    }
    server.kill();
    copy_registry(&data, &newest);

    copy_registry(&earlier, &data);
    let before = contents(&data);
    for command in [&SERVE[..], &["device", "list"], &["status"]] {
        let ran = program.run(command);
        ran.failed(1, &["cannot open the store", "it is older than the files beside it", "narrowgate adopt"]);
        assert!(contents(&data) == before, "{command:?}: something was changed");
    }
    // Its own registry put back, all is there.
    copy_registry(&newest, &data);
    let mut server = program.serve_with(&SERVE);
    assert_eq!((reported(&program, 0).len(), reported(&program, 1).len()), (13, 12));
    server.kill();

    // Where it is lost, the files are adopted, and a new device gets neither id nor reports of the other.
    copy_registry(&earlier, &data);
    let ran = program.run(&["adopt"]);
    ran.failed(64, &["nothing was adopted", "--yes"]);
    let said = program.json(&["adopt", "--yes"]);
    assert!(said["adopted"][0].as_str().unwrap().contains("are newer than the registry"), "{said}");
    let server = program.serve_with(&SERVE);
    register(&program, 2..3);
    report(&mut connect(&server, 2), 7);
    assert_eq!(reported(&program, 2), BTreeSet::from([7]));
    assert_eq!(reported(&program, 0).len(), 13);
}
