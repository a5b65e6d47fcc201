//! Section I: commands to devices, as a device and an operator see them, over a restart and a crash.

use std::{
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    client::{Client, Protection},
    coap,
    harness::{AT_ONCE, PRODUCT_KEY, Server},
};

const CHANGED: u8 = 0x44;
const CONTENT: u8 = 0x45;
const NOT_FOUND: u8 = 0x84;
const COMMAND_WAITING: u32 = 2100;
const SET: &str = "measurepoint/set";
const GET: &str = "measurepoint/get";

/// A piggybacked answer: its code, the topic that option 2100 names, without what all have, and its payload.
#[derive(Debug, PartialEq)]
struct Answer {
    code: u8,
    waiting: Option<String>,
    payload: Value,
}

impl Answer {
    fn parse(answer: &[u8], mid: u16) -> Self {
        let code = coap::code_of(answer, mid);
        let (mut rest, mut number, mut waiting) = (&answer[4 + usize::from(answer[0] & 15)..], 0, None);
        while let Some((&first, tail)) = rest.split_first().filter(|(first, _)| **first != 0xff) {
            rest = tail;
            let mut extended = |nibble: u8| match nibble {
                13 => u32::from(take(&mut rest, 1)[0]) + 13,
                14 => {
                    let bytes = take(&mut rest, 2);
                    u32::from(bytes[0]) * 256 + u32::from(bytes[1]) + 269
                }
                short => short.into(),
            };
            let (delta, length) = (extended(first >> 4), extended(first & 15));
            number += delta;
            let value = take(&mut rest, length as usize);
            if number == COMMAND_WAITING {
                let topic = std::str::from_utf8(value).expect("it is text");
                let (_, topic) = topic.split_once("/thing/service/").expect("it is a command's topic");
                waiting = Some(topic.to_owned());
            }
        }
        let payload = serde_json::from_slice(rest.get(1..).unwrap_or_default()).unwrap_or_default();
        Self { code, waiting, payload }
    }

    fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(count);
    *rest = tail;
    head
}

fn topic(client: &Client, rest: &str) -> String {
    format!("topic/sys/{PRODUCT_KEY}/{}/thing/service/{rest}", client.device.key)
}

fn report(client: &mut Client) -> Answer {
    let mid = client.next_mid();
    let message = coap::report(mid, &client.device.report_path(), 1);
    Answer::parse(&client.exchange(&message), mid)
}

fn fetch(client: &mut Client, rest: &str) -> Answer {
    let mid = client.next_mid();
    let message = coap::get(mid, &topic(client, rest));
    Answer::parse(&client.exchange(&message), mid)
}

fn reply(client: &mut Client, rest: &str, id: &Value, code: i32) -> Answer {
    let mid = client.next_mid();
    let body = json!({"id": id, "code": code, "data": {"temp": 30.5}}).to_string();
    let message = coap::post(mid, &topic(client, &format!("{rest}_reply")), &body);
    Answer::parse(&client.exchange(&message), mid)
}

/// Reports until the answer says that a command of this topic waits: the gateway hears of it soon after the
/// operator, not before.
#[track_caller]
fn await_command(client: &mut Client, rest: &str) {
    let end = Instant::now() + 5 * AT_ONCE;
    loop {
        let answer = report(client);
        assert_eq!(answer.code, CHANGED);
        if answer.waiting() == Some(rest) {
            return;
        }
        assert!(Instant::now() < end, "{answer:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a command; returns its id.
#[track_caller]
fn send(server: &Server, client: &Client, what: &[&str]) -> String {
    let device = format!("{PRODUCT_KEY}/{}", client.device.key);
    let created = server.json(&[&["command", "send", &device][..], what].concat());
    assert_eq!((&created["state"], &created["expected"]), (&json!("created"), &Value::Null));
    assert!(created["createdAt"].is_i64());
    created["id"].as_str().expect("an id is a text").to_owned()
}

fn show(server: &Server, client: &Client, id: &str) -> Value {
    server.json(&["command", "show", PRODUCT_KEY, &client.device.key, id])
}

/// A command of the command line that is running.
fn begin(server: &Server, client: &Client, what: &[&str]) -> Child {
    let device = format!("{PRODUCT_KEY}/{}", client.device.key);
    let arguments = [&["command", "send", &device][..], what, &["-o", "json"]].concat();
    let mut command = server.command(&arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Its exit code, what it printed, and what it said on standard error.
fn end(child: Child) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let printed = serde_json::from_slice(&stdout).unwrap_or_default();
    (status.code(), printed, String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_command_goes_to_its_device_and_the_answer_to_the_operator_who_waits() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let events = server.listen(&["--device", &client.device.key]);
    let waits = begin(&server, &client, &["--set", r#"{"temp":30.50}"#, "--wait"]);
    await_command(&mut client, SET);
    let command = fetch(&mut client, SET);
    assert_eq!((command.code, command.waiting()), (CONTENT, None));
    let id = command.payload["id"].as_str().expect("it has an id").to_owned();
    let expected = json!({"id": id, "version": "1.0", "params": {"temp": 30.5},
        "method": "thing.service.measurepoint.set"});
    assert_eq!(command.payload, expected);
    assert_eq!(fetch(&mut client, SET), command, "the answer was lost");
    let taken = reply(&mut client, SET, &json!(id), 200);
    assert_eq!((taken.code, taken.waiting()), (CHANGED, None));
    let (code, printed, said) = end(waits);
    let answer = json!({"id": id, "state": "succeeded", "code": 200, "data": {"temp": 30.5}});
    assert_eq!((code, printed), (Some(0), answer), "{said}");
    let kept = show(&server, &client, &id);
    assert_eq!((&kept["kind"], &kept["state"]), (&json!("set"), &json!("succeeded")));
    let times = ["createdAt", "sentAt", "endedAt"].map(|name| kept[name].as_i64());
    assert!(times[0].is_some() && times.is_sorted(), "{kept}");
    let told = std::iter::repeat_with(|| events.next_event()).filter(|event| event["event"] == "command");
    let told: Vec<Value> = told.take(3).collect();
    let states: Vec<&Value> = told.iter().map(|event| &event["state"]).collect();
    assert_eq!(states, ["created", "sent", "succeeded"]);
    assert_eq!((&told[2]["code"], &told[2]["data"]), (&json!(200), &json!({"temp": 30.5})));
    server.assert_alive();
}

#[test]
fn a_command_outlives_a_crash_under_its_id_and_its_answer_is_taken_once() {
    let mut server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let restart = ["--service", "restart", "--input", r#"{"delay":5}"#, "--pending-ttl", "600"];
    let id = send(&server, &client, &restart);
    let second = send(&server, &client, &["--get", "temp,power", "--pending-ttl", "600"]);
    await_command(&mut client, "restart");
    server.kill();
    server.restart(&[]);
    client = server.connect_again(client.device.clone(), Protection::Ccm8);
    assert_eq!(report(&mut client).waiting(), Some("restart"), "it was committed");
    let command = fetch(&mut client, "restart");
    assert_eq!((command.waiting(), &command.payload["id"]), (Some(GET), &json!(id)));
    assert_eq!(command.payload["params"], json!({"delay": 5}));
    server.kill();
    server.restart(&[]);
    assert_eq!(show(&server, &client, &id)["state"], "sent", "that was durable before the device got it");
    client = server.connect_again(client.device.clone(), Protection::Ccm8);
    assert_eq!(fetch(&mut client, "restart"), command);
    assert_eq!(reply(&mut client, "restart", &json!(id), 1102).code, CHANGED);
    server.kill();
    server.restart(&[]);
    let kept = show(&server, &client, &id);
    assert_eq!((&kept["state"], &kept["code"]), (&json!("failed"), &json!(1102)));
    client = server.connect_again(client.device.clone(), Protection::Ccm8);
    assert_eq!(fetch(&mut client, "restart").code, NOT_FOUND, "never again after its answer");
    let command = fetch(&mut client, GET);
    assert_eq!(command.payload["id"], second);
    assert_eq!(command.payload["params"], json!(["temp", "power"]));
    let again = reply(&mut client, "restart", &json!(id), 200);
    assert_eq!(again.code, CHANGED);
    assert_eq!(show(&server, &client, &id)["state"], "failed", "it changes nothing");
    let log = ["device", "log", PRODUCT_KEY, &client.device.key];
    server.wait_for_json(&log, |log| log.contains("command_not_open"));
}

/// The answer to a message is the same as long as it may come again (RFC 7252, section 4.5).
#[test]
fn a_copy_of_a_get_gets_its_command_also_once_that_was_taken_back() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let id = send(&server, &client, &["--set", r#"{"temp":1}"#, "--pending-ttl", "600"]);
    await_command(&mut client, SET);
    let get = coap::get(client.next_mid(), &topic(&client, SET));
    let first = client.exchange(&get);
    server.json(&["command", "cancel", PRODUCT_KEY, &client.device.key, &id]);
    assert_eq!(client.exchange(&get), first);
    assert_eq!(fetch(&mut client, SET).code, NOT_FOUND, "another message");
    let shown = show(&server, &client, &id);
    assert_eq!(shown["state"], json!("cancelled"));
    assert!(shown["fetchedAt"].is_i64() && shown["sentAt"].is_i64(), "{shown}");
}

#[test]
fn a_command_that_is_taken_back_is_neither_named_nor_handed_out() {
    let server = Server::start();
    let mut client = server.connect(Protection::CbcEncryptThenMac);
    client.assert_reports();
    let set =
        |n: u32| send(&server, &client, &["--set", &format!("{{\"temp\":{n}}}"), "--pending-ttl", "600"]);
    let ids: Vec<String> = (0..3).map(set).collect();
    await_command(&mut client, SET);
    let device = format!("{PRODUCT_KEY}/{}", client.device.key);
    // The device key alone, and an id.
    let cancelled = server.json(&["command", "cancel", &client.device.key, &ids[0]]);
    assert_eq!((&cancelled["id"], &cancelled["state"]), (&json!(ids[0]), &json!("cancelled")));
    assert_eq!(fetch(&mut client, SET).payload["id"], json!(ids[1]));
    let asked = server.command(&["command", "cancel", &device]).output().expect("it runs");
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() == Some(64) && said.contains("give --yes"), "{said}");
    let cancelled = server.command(&["command", "cancel", &device, "--yes", "-o", "json"]).output();
    let cancelled = cancelled.expect("it runs");
    let said = String::from_utf8_lossy(&cancelled.stderr);
    assert!(said.contains(&format!("the device fetched command {} at ", ids[1])), "{said}");
    assert!(!said.contains(&format!("the device fetched command {} at ", ids[2])), "{said}");
    let cancelled: Value = serde_json::from_slice(&cancelled.stdout).expect("it is JSON");
    let of: Vec<_> = cancelled.as_array().expect("a list").iter().map(|it| it["id"].clone()).collect();
    assert_eq!(json!(of), json!(ids[1..]));
    assert_eq!(fetch(&mut client, SET).code, NOT_FOUND);
    assert_eq!(report(&mut client).waiting(), None);
    assert_eq!(reply(&mut client, SET, &json!(ids[1]), 200).code, CHANGED);
    let list = server.json(&["command", "list", &device]);
    let states: Vec<_> =
        list.as_array().expect("a list").iter().map(|it| (&it["id"], &it["state"])).collect();
    let expected: Vec<_> = ids.iter().rev().map(|id| json!(id)).collect();
    assert_eq!(states.iter().map(|(id, _)| (*id).clone()).collect::<Vec<_>>(), expected, "newest first");
    assert!(states.iter().all(|(_, state)| *state == "cancelled"), "{list}");
    let again = server.command(&["command", "cancel", &device, &ids[0]]).output().expect("it runs");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("has ended: it is cancelled"), "{said}");
}

#[test]
fn an_operator_who_waits_hears_that_nobody_came_or_answered() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let (code, printed, said) = end(begin(&server, &client, &["--get", "temp", "--timeout", "1", "--wait"]));
    assert_eq!((code, &printed["state"], &printed["code"]), (Some(1), &json!("expired"), &json!(11904)));
    assert!(said.contains("the device did not fetch it in time (11904)"), "{said}");
    let waits = begin(&server, &client, &["--get", "temp", "--timeout", "2", "--wait"]);
    await_command(&mut client, GET);
    assert_eq!(fetch(&mut client, GET).code, CONTENT);
    let (code, printed, said) = end(waits);
    assert_eq!((code, &printed["state"], &printed["code"]), (Some(1), &json!("timed_out"), &json!(11915)));
    assert!(said.contains("did not answer in time (11915)"), "{said}");
    assert_eq!(fetch(&mut client, GET).code, NOT_FOUND);
}

#[test]
fn a_command_that_cannot_be_sent_says_why() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    let refused = |client: &Client, what: &[&str]| {
        let (code, _, said) = end(begin(&server, client, what));
        (code, said)
    };
    let failed = |client: &Client, what: &[&str], words: &str| {
        let (code, said) = refused(client, what);
        assert!(code == Some(1) && said.contains(words), "{code:?}: {said}");
    };
    failed(&client, &["--get", "temp"], "has never logged in (11888)");
    client.connect();
    client.assert_reports();
    client.close();
    let device = ["device", "show", PRODUCT_KEY, &client.device.key];
    server.wait_for_json(&device, |device| device.contains(r#""state":"offline""#));
    failed(&client, &["--get", "temp"], "is not online (11900)");
    let may_wait = ["--get", "temp", "--pending-ttl", "600"];
    server.json(&["device", "disable", PRODUCT_KEY, &client.device.key]);
    failed(&client, &may_wait, &format!("device {PRODUCT_KEY}/{} is switched off (723)", client.device.key));
    server.json(&["device", "enable", PRODUCT_KEY, &client.device.key]);
    for _ in 0..50 {
        send(&server, &client, &["--get", "temp", "--pending-ttl", "600"]);
    }
    failed(&client, &["--get", "temp", "--pending-ttl", "600"], "(11902)");
    let (code, said) = refused(&client, &["--set", "[1]", "--pending-ttl", "9"]);
    assert!(code == Some(64) && said.contains("--set must be an object"), "{said}");
}

#[test]
fn an_operator_who_waits_hears_at_once_that_the_device_or_the_server_is_gone() {
    let mut server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let waits = |server: &Server, client: &Client| {
        let child = begin(server, client, &["--get", "temp", "--pending-ttl", "600", "--wait"]);
        let list = ["command", "list", PRODUCT_KEY, &client.device.key];
        server.wait_for_json(&list, |list| list.contains("created"));
        child
    };
    let began = Instant::now();
    let child = waits(&server, &client);
    server.json(&["device", "delete", PRODUCT_KEY, &client.device.key, "--yes"]);
    let (code, _, said) = end(child);
    assert!(code == Some(1) && said.contains("there is no device"), "{said}");
    client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let child = waits(&server, &client);
    server.stop();
    let (code, _, said) = end(child);
    assert!(
        code == Some(1) && said.contains("the server has stopped") && said.contains("was sent"),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

/// Its datagram waits in the socket while the command's time is over.
#[test]
fn a_server_that_stood_still_reads_a_reply_that_waits_before_its_command_is_over() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let what = ["--set", r#"{"temp":1}"#, "--pending-ttl", "3", "--timeout", "2"];
    let id = send(&server, &client, &what);
    await_command(&mut client, SET);
    assert_eq!(fetch(&mut client, SET).payload["id"], json!(id));
    server.signal("STOP");
    let mid = client.next_mid();
    let body = json!({"id": id, "code": 200}).to_string();
    client.say(&coap::post(mid, &topic(&client, "measurepoint/set_reply"), &body));
    thread::sleep(Duration::from_secs(5));
    server.signal("CONT");
    let shown = ["command", "show", PRODUCT_KEY, &client.device.key, &id];
    server.wait_for_json(&shown, |command| !command.contains(r#""state":"sent""#));
    assert_eq!(show(&server, &client, &id)["state"], json!("succeeded"));
}

#[test]
fn a_device_has_as_many_open_commands_as_were_set() {
    let server = Server::start_with(&[("LIMITS_DEVICE_COMMANDS", "3")]);
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let get = ["--get", "temp", "--pending-ttl", "600"];
    let ids: Vec<String> = (0..3).map(|_| send(&server, &client, &get)).collect();
    let (code, _, said) = end(begin(&server, &client, &get));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("3 commands wait for device") && said.contains("(11902)"), "{said}");
    assert!(said.contains("limits.device_commands"), "{said}");
    let device = format!("{PRODUCT_KEY}/{}", client.device.key);
    server.json(&["command", "cancel", &device, &ids[0]]);
    send(&server, &client, &get);
    assert_eq!(end(begin(&server, &client, &get)).0, Some(1));
}
