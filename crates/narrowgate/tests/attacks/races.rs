//! Section N, 203: an operator takes a device's secret away while a login of the device is under way.
//!
//! The registry is held by a transaction of the test's own meanwhile, as a slow disk would: the login and the
//! operator's change wait for it together, in either order.

use std::{
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    authority::{activating, activation_path},
    client::{ALERT, APPLICATION_DATA, Client, Protection},
    coap,
    exchange::stored,
    harness::{AT_ONCE, Device, PRODUCT_KEY, Server},
};

const CHANGED: u8 = 0x44;
const CONTENT: u8 = 0x45;
/// So long the second one is held back that is to come to the store behind the first one.
const BEHIND: Duration = std::time::Duration::from_millis(300);

/// While it lives nothing is committed to the registry; the server waits for it up to five seconds.
struct SlowDisk(Connection);

impl SlowDisk {
    fn begin(server: &Server) -> Self {
        let registry = Connection::open(server.data().join("registry.db")).unwrap();
        registry.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(registry)
    }

    fn end(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// An operator's command, which ends when its change is committed.
fn operator(server: &Server, arguments: &[&str]) -> Child {
    let mut command = server.command(arguments);
    command.args(["-o", "json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a session is told until its end, which has to come: the codes of the answers.
#[track_caller]
fn until_goodbye(client: &Client) -> Vec<u8> {
    let mut codes = Vec::new();
    loop {
        let datagram = client.receive_within(2 * AT_ONCE).expect("close_notify");
        match client.keys().open(&datagram) {
            Some((APPLICATION_DATA, answer)) => codes.push(answer[1]),
            Some((ALERT, alert)) => {
                assert_eq!(alert, [1, 0]);
                return codes;
            }
            // A flight 6 that was repeated while the machine was busy.
            other => assert!(other.is_none(), "{other:02x?}"),
        }
    }
}

/// Neither the session nor another handshake with its secret comes to anything.
#[track_caller]
pub(crate) fn assert_gone(server: &Server, client: &mut Client) {
    let report = coap::report(1, &client.device.report_path(), 1);
    let record = client.data(&report);
    server.assert_ignored(client, &record);
    client.start_anew();
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
    server.wait_for_metric("narrowgate_lookups", |lookups| lookups == 0);
    server.assert_silent(client);
}

fn say_report(client: &mut Client, value: u32) {
    let mid = client.next_mid();
    let report = coap::report(mid, &client.device.report_path(), value);
    client.say(&report);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Login,
    Operator,
}

/// A device with a session logs in again while an operator does `end`. Returns which of them was committed
/// first: the process of a command starts when the machine has time for it.
fn race(server: &Server, protection: Protection, first: First, end: &str) -> First {
    let mut older = server.connect(protection);
    older.assert_reports();
    let key = older.device.key.clone();
    let arguments = ["device", end, PRODUCT_KEY, &key, "--yes"];
    let arguments = if end == "disable" { &arguments[..4] } else { &arguments[..] };
    let disk = SlowDisk::begin(server);
    let early = (first == First::Operator).then(|| operator(server, arguments));
    if early.is_some() {
        thread::sleep(BEHIND);
    }
    let mut newer = Client::new(server.address, older.device.clone(), protection);
    newer.connect();
    say_report(&mut older, 2);
    say_report(&mut newer, 3);
    server.marker();
    let mut command = early.unwrap_or_else(|| operator(server, arguments));
    thread::sleep(BEHIND);
    assert_eq!(command.try_wait().unwrap(), None, "it waits for the disk");
    disk.end();
    assert!(command.wait().unwrap().success());

    let answers = [&older, &newer].map(until_goodbye);
    // Of a deleted device there is nothing to look at.
    let look = |client: &Client| (end != "delete").then(|| (logins(server, &key), stored(server, client)));
    let before = look(&older);
    for client in [&mut older, &mut newer] {
        assert_gone(server, client);
    }
    let answered = answers.iter().flatten().filter(|code| **code == CHANGED).count();
    let Some((logins, stored)) = look(&older) else { return first };
    assert_eq!(Some((logins, stored)), before, "what came after the command had ended");
    assert!(
        (1 + answered..=3).contains(&stored),
        "{stored} are stored, and besides the first {answers:02x?}"
    );
    if logins > 1 {
        return First::Login;
    }
    assert_eq!(stored, 1, "after {end}: {answers:02x?}");
    First::Operator
}

/// How many logins the device's log tells of.
fn logins(server: &Server, key: &str) -> usize {
    let log = server.json(&["device", "log", PRODUCT_KEY, key]).to_string();
    log.matches("\"event\":\"login\"").count()
}

#[test]
fn attack_203_an_operator_who_races_a_login_closes_both_sessions_and_nothing_more_is_stored() {
    let server = Server::start();
    for end in ["reset", "rotate-secret", "disable", "delete"] {
        let mut seen = Vec::new();
        for first in [First::Login, First::Operator] {
            for protection in Protection::ALL {
                seen.push(race(&server, protection, first, end));
                server.assert_alive();
            }
        }
        for first in [First::Login, First::Operator] {
            assert!(seen.contains(&first), "{end}: {first:?} was never first");
        }
    }
}

/// The device gets back in with what it was given; the secret that was reset is of no use to anybody.
#[test]
fn attack_203_the_secret_of_a_reset_that_raced_a_login_is_the_one_that_holds() {
    let server = Server::start();
    let mut older = server.connect(Protection::Ccm8);
    let key = older.device.key.clone();
    let disk = SlowDisk::begin(&server);
    let reset = server.command(&["device", "reset", PRODUCT_KEY, &key, "--yes", "-o", "json"]);
    let reset = { reset }.stdout(Stdio::piped()).spawn().unwrap();
    let mut newer = Client::new(server.address, older.device.clone(), Protection::Ccm8);
    newer.connect();
    thread::sleep(BEHIND);
    disk.end();
    let told: Value = serde_json::from_slice(&reset.wait_with_output().unwrap().stdout).unwrap();
    let secret = told["deviceSecret"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    for client in [&mut older, &mut newer] {
        until_goodbye(client);
        assert_gone(&server, client);
    }
    let mut with_new = server.connect_again(Device { key, secret }, Protection::Ccm8);
    with_new.assert_reports();
    server.assert_alive();
}

/// A wish for a secret is at the store when the product's secret is replaced: its session ends, no other one
/// comes about by the old secret, and the device's secret is the one that it was told last, if any.
#[test]
fn attack_203_a_rotated_product_secret_that_races_an_activation_ends_its_session() {
    let server = Server::start();
    server.json(&["product", "update", PRODUCT_KEY, "--dynamic-activation", "on"]);
    let device = server.device();
    let mut client = activating(&server, &device, Protection::Ccm8);
    client.connect();
    let disk = SlowDisk::begin(&server);
    client.say(&coap::get(1, &activation_path(&device.key)));
    server.marker();
    let mut rotate = operator(&server, &["product", "rotate-secret", PRODUCT_KEY, "--yes"]);
    thread::sleep(BEHIND);
    assert_eq!(rotate.try_wait().unwrap(), None, "it waits for the disk");
    disk.end();
    assert!(rotate.wait().unwrap().success());
    let answers = until_goodbye(&client);
    assert!(answers.is_empty() || answers == [CONTENT], "{answers:02x?}");
    let told = server.json(&["device", "secret", PRODUCT_KEY, &device.key]);
    assert_gone(&server, &mut client);
    let after = server.json(&["device", "secret", PRODUCT_KEY, &device.key]);
    assert_eq!(after, told, "nothing is issued by the old secret");
    server.assert_alive();
}
