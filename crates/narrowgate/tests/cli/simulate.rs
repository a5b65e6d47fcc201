//! `device simulate` against the real server, and `command send --wait` against a simulated device.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::UdpSocket,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Listener, Program, Ran, Server, signal};
use serde_json::{Value, json};

use crate::harness::{program, program_with_device};

/// What is written down later is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A secret in the form of a generated one.
const PRODUCT_SECRET: &str = "c3PW03srd6c";

/// A command that simulates device `dk-1`, with its secret as an argument.
fn simulate(program: &Program, server: &Server, secret: &str, arguments: &[&str]) -> Command {
    let address = server.address("coaps");
    let mut command = program.command(&["device", "simulate", "pk/dk-1", "--secret", secret]);
    command.args(["--server", &address]).args(arguments);
    command
}

fn run(program: &Program, server: &Server, secret: &str, arguments: &[&str]) -> Ran {
    simulate(program, server, secret, arguments).output().expect("the program can be started").into()
}

fn secret(program: &Program) -> String {
    let secret = program.json(&["device", "secret", "pk/dk-1"]);
    secret["deviceSecret"].as_str().expect("it has one").to_owned()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// What is written down a little after its answer is there in the end.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn is_offline_in_the_end(program: &Program) {
    eventually("it said that it ends", || program.json(&["device", "show", "pk/dk-1"])["state"] == "offline");
}

/// The lines of this event.
fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// A device that goes on until it is ended.
struct Simulated {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Simulated {
    fn start(mut command: Command) -> Self {
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.expect("the program can be started");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Self { child, stdout }
    }

    /// Reads up to a line of this event.
    #[track_caller]
    fn until(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            let bytes = self.stdout.read_line(&mut line).expect("it writes UTF-8");
            assert_ne!(bytes, 0, "{event} never came");
            let line: Value = serde_json::from_str(&line).expect("each line is JSON");
            if line["event"] == event {
                return line;
            }
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // It has ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_simulated_device_reports_and_ends() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    let options = [
        "--count",
        "3",
        "--interval",
        "0",
        "--lifetime",
        "60",
        "--points",
        r#"{"temp":{number}.5}"#,
        "--attributes",
        r#"{"place":"cellar"}"#,
        "--event",
        r#"alarm={"level":3}"#,
    ];
    let ran = run(&program, &server, &secret, &options);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.stdout.contains(&secret), "a secret is shown");
    let lines = lines(&ran.stdout);
    assert_eq!(lines[0]["identity"], "pk,dk-1,2,60");
    let sent: Vec<&Value> = of(&lines, "sent").into_iter().map(|line| &line["what"]).collect();
    assert_eq!(sent, ["attributes", "event", "report", "report", "report"]);
    let received = of(&lines, "received");
    assert!(
        received.iter().all(|line| line["code"] == "2.04" && line["payload"]["code"] == 200),
        "{received:?}"
    );
    let done = lines.last().expect("it says what it did");
    let counts = [&done["event"], &done["reports"], &done["acknowledged"], &done["commands"]];
    assert_eq!(counts, [&json!("done"), &json!(3), &json!(3), &json!(0)]);
    let history = program.json(&["device", "points", "pk/dk-1", "--from", "2020-01-01"]);
    let values: Vec<&Value> =
        history.as_array().expect("a list").iter().map(|point| &point["value"]).collect();
    assert_eq!(values, [&json!(3.5), &json!(2.5), &json!(1.5)]);
    assert_eq!(program.json(&["device", "attributes", "pk/dk-1"]), json!({"place": "cellar"}));
    assert_eq!(program.json(&["device", "events", "pk/dk-1"])[0]["event"], "alarm");
    is_offline_in_the_end(&program);
    assert_eq!(program.json(&["device", "show", "pk/dk-1"])["lifetime"], 60);
}

#[test]
fn command_send_waits_for_a_simulated_device() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    let mut device = Simulated::start(simulate(&program, &server, &secret, &["--interval", "1"]));
    device.until("received");
    let send = |arguments: &[&str]| {
        program.run(&[&["command", "send", "pk/dk-1", "--wait", "-o", "json"], arguments].concat())
    };
    let set = send(&["--set", r#"{"temp":30.5}"#]).json();
    assert_eq!((&set["state"], &set["code"], &set["data"]), (&json!("succeeded"), &json!(200), &json!({})));
    let asked = device.until("command");
    assert_eq!((&asked["id"], &asked["params"]), (&set["id"], &json!({"temp": 30.5})));
    let get = send(&["--get", "temp,other"]).json();
    assert_eq!((&get["state"], &get["data"]), (&json!("succeeded"), &json!({"temp": 21.5})));
    let service = send(&["--service", "re.start"]).json();
    assert_eq!(service["state"], "succeeded");
    // It reported every second, so it is known when it comes.
    let mut device_done = false;
    for _ in 0..20 {
        let sent = send(&["--service", "restart"]).json();
        let shown = program.json(&["command", "show", "pk/dk-1", sent["id"].as_str().expect("a text")]);
        device_done = shown["expected"]["spread"].is_number();
        if device_done {
            assert!(shown["expectedOutcome"].is_string(), "{shown}");
            break;
        }
    }
    assert!(device_done, "nothing was expected");
    signal(device.child.id(), "INT");
    let done = device.until("done");
    assert!(done["commands"].as_u64().expect("a number") >= 4, "{done}");
    assert_eq!(device.child.wait().expect("it is a child").code(), Some(0));
    is_offline_in_the_end(&program);
}

#[test]
fn commands_are_answered_with_the_code_that_is_asked_for_or_not_at_all() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    run(&program, &server, &secret, &["--count", "1"]);
    let send = |code: &str, timeout: &str| {
        let queued =
            ["command", "send", "pk/dk-1", "--get", "temp", "--pending-ttl", timeout, "--timeout", "1"];
        let id = program.json(&queued)["id"].as_str().expect("a text").to_owned();
        let ran = run(&program, &server, &secret, &["--count", "1", "--reply", code]);
        assert_eq!((ran.code, of(&lines(&ran.stdout), "command").len()), (0, 1), "{ran:?}");
        program.json(&["command", "show", "pk/dk-1", &id])
    };
    for code in ["1102", "-3"] {
        let failed = send(code, "60");
        let number: i64 = code.parse().expect("a number");
        assert_eq!((&failed["state"], &failed["code"]), (&json!("failed"), &json!(number)));
    }
    // The next one of the topic waits: it is not fetched by asking for this one again and again.
    program.json(&["command", "send", "pk/dk-1", "--set", "{\"a\":1}", "--pending-ttl", "60"]);
    program.json(&["command", "send", "pk/dk-1", "--set", "{\"a\":2}", "--pending-ttl", "60"]);
    assert_eq!(run(&program, &server, &secret, &["--count", "1", "--reply", "none"]).code, 0);
    let states = program.json(&["command", "list", "pk/dk-1", "--limit", "2"]);
    assert_eq!((&states[0]["state"], &states[1]["state"]), (&json!("created"), &json!("sent")));
    program.json(&["command", "cancel", "pk/dk-1", "-y"]);
    assert_eq!(send("none", "60")["state"], "sent");
}

/// Silence of a server that is not there is no proof of anything.
#[test]
fn a_fault_of_the_handshake_needs_a_server_that_is_silent() {
    let program = program_with_device();
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = nobody.local_addr().expect("it has one").to_string();
    let arguments = ["device", "simulate", "pk/dk-1", "--secret", "x", "--fault", "wrong-key"];
    let ran = program.run(&[&arguments[..], &["--server", &address]].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("nothing came from the server"), "{ran:?}");
    assert!(!ran.stderr.contains("on purpose"), "{ran:?}");
}

/// Nobody writes down that it is over.
#[test]
fn a_command_whose_time_is_over_is_shown_so_without_a_server_and_makes_room() {
    let program = program_with_device();
    let (mut server, secret) = (program.serve(), secret(&program));
    run(&program, &server, &secret, &["--count", "1"]);
    server.stop();
    let send = ["command", "send", "pk/dk-1", "--get", "temp", "--pending-ttl", "1"];
    for _ in 0..50 {
        program.json(&send);
    }
    eventually("its time passes", || {
        program.json(&["command", "list", "pk/dk-1", "--limit", "1"])[0]["state"] == "expired"
    });
    program.json(&send);
}

#[test]
fn a_simulated_device_fetches_its_secret_first() {
    let program = program();
    let create = ["product", "create", "m", "--product-key", "pk", "--product-secret", PRODUCT_SECRET];
    program.json(&[&create[..], &["--dynamic-activation"]].concat());
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    let server = program.serve();
    // The secret comes on standard input.
    let mut command = simulate(&program, &server, "-", &["--mode", "3", "--count", "1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    writeln!(child.stdin.take().expect("it is a pipe"), "{PRODUCT_SECRET}").expect("it reads");
    let ran = Ran::from(child.wait_with_output().expect("it is a child"));
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = lines(&ran.stdout);
    let identities: Vec<&Value> =
        of(&lines, "connecting").into_iter().map(|line| &line["identity"]).collect();
    assert_eq!(identities, ["pk,dk-1,3,3600", "pk,dk-1,2,3600"]);
    assert_eq!(of(&lines, "secret")[0]["deviceSecret"], secret(&program).as_str());
    let again = run(&program, &server, PRODUCT_SECRET, &["--mode", "3", "--count", "1"]);
    assert_eq!(again.code, 1, "it is activated: {again:?}");
    assert!(again.stderr.contains("the server issues no secret: 4.03"), "{again:?}");
}

#[test]
fn a_simulated_device_lives_in_cbor() {
    let program = program();
    let create = ["product", "create", "m", "--product-key", "pk", "--product-secret", PRODUCT_SECRET];
    program.json(&[&create[..], &["--dynamic-activation"]].concat());
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    let server = program.serve();
    let live = |secret: &str, arguments: &[&str]| {
        let ran = run(&program, &server, secret, &[&["--format", "cbor"], arguments].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        lines(&ran.stdout)
    };
    let options = ["--mode", "3", "--count", "1", "--attributes", r#"{"size":1.10}"#, "--event", "on={}"];
    live(PRODUCT_SECRET, &options);
    let send = ["command", "send", "pk/dk-1", "--pending-ttl", "60"];
    program.json(&[&send[..], &["--set", r#"{"temp":30.5}"#]].concat());
    program.json(&[&send[..], &["--get", "temp"]].concat());
    let secret = secret(&program);
    let points = r#"{"temp":{number}.25,"big":123456789012345678901234567890}"#;
    let lines = live(&secret, &["--count", "2", "--interval", "0", "--points", points]);
    assert!(
        of(&lines, "received")
            .iter()
            .all(|line| line["payload"]["id"] != json!(null) || line["what"] == "reply"),
        "what is printed is JSON: {lines:?}"
    );
    let done = lines.last().expect("it says what it did");
    assert_eq!((&done["acknowledged"], &done["commands"]), (&json!(2), &json!(2)));
    let shown = program.json(&["command", "list", "pk/dk-1"]);
    assert_eq!((&shown[0]["state"], &shown[1]["state"]), (&json!("succeeded"), &json!("succeeded")));
    assert_eq!(shown[0]["data"]["temp"], json!(1.25), "{shown}");
    let text = program.text(&["device", "points", "pk/dk-1", "-o", "json"]);
    assert!(text.contains("123456789012345678901234567890") && text.contains("2.25"), "{text}");
    assert_eq!(program.json(&["device", "attributes", "pk/dk-1"]), json!({"size": 1.1}));
    assert_eq!(program.json(&["device", "events", "pk/dk-1"])[0]["event"], "on");
    live(&secret, &["--fault", "bad-json"]);
    live(&secret, &["--fault", "wrong-format"]);
    eventually("the log says which byte", || {
        program.text(&["device", "log", "pk/dk-1", "-o", "json"]).contains("the body is not CBOR at byte")
    });
}

#[test]
fn each_fault_shows_what_the_server_says_of_it() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    for (fault, code, reason) in [
        ("bad-json", "4.00", "body_malformed"),
        ("empty-body", "4.00", "body_malformed"),
        ("wrong-topic", "4.04", "path_unknown"),
        ("foreign-topic", "4.03", "topic_foreign"),
        ("wrong-method", "4.05", "method_wrong"),
        ("wrong-format", "4.15", "body_malformed"),
        ("critical-option", "4.02", "option_unsupported"),
        ("replay", "2.04", "login"),
        ("duplicate", "2.04", "login"),
    ] {
        let ran = run(&program, &server, &secret, &["--fault", fault]);
        assert_eq!(ran.code, 0, "{fault}: {ran:?}");
        let lines = lines(&ran.stdout);
        assert_eq!(of(&lines, "received")[0]["code"], code, "{fault}");
        eventually(fault, || {
            program.text(&["device", "log", "pk/dk-1", "--limit", "5", "-o", "json"]).contains(reason)
        });
    }
    let history = program.json(&["device", "points", "pk/dk-1", "--from", "2020-01-01"]);
    assert_eq!(history.as_array().expect("a list").len(), 2, "each of the last two is stored once");
    let reasons = [
        ("wrong-key", "wrong_key"),
        ("wrong-mode", "wrong_key"),
        ("unknown-device", "device_unknown"),
        ("bad-identity", "identity_malformed"),
        ("bad-lifetime", "lifetime_out_of_range"),
    ];
    thread::scope(|scope| {
        for (fault, _) in reasons {
            let (program, server, secret) = (&program, &server, &secret);
            scope.spawn(move || {
                let ran = run(program, server, secret, &["--fault", fault]);
                assert_eq!(ran.code, 0, "{fault}: {ran:?}");
                assert_eq!(of(&lines(&ran.stdout), "not_connected").len(), 1, "{fault}: {ran:?}");
                assert!(ran.stderr.contains("narrowgate refused says why"), "{fault}: {ran:?}");
            });
        }
    });
    let refused = || program.text(&["refused", "-o", "json"]);
    for (fault, reason) in reasons {
        eventually(fault, || refused().contains(reason));
    }
}

#[test]
fn what_cannot_be_simulated_is_said_and_a_reader_that_goes_away_ends_it() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    for (arguments, words) in [
        (&["--points", "[1]"][..], "--points is not a JSON object"),
        (&["--event", "alarm"], "--event is not ID=JSON"),
        (&["--event", "alarm=1"], "--event is not a JSON object"),
        (&["--event", "={}"], "--event is not ID=JSON"),
        (&["--event", "a/b={}"], "--event is not ID=JSON"),
        (&["--reply", "soon"], "soon is neither a number nor none"),
        (&["--loss", "101"], "101 is not a number from 0 to 100"),
    ] {
        run(&program, &server, &secret, arguments).failed(64, &[words]);
    }
    let no_device = program.run(&["device", "simulate", "dk-9", "--secret", "x"]);
    no_device.failed(1, &["there is no device dk-9", "narrowgate device simulate PK/dk-9"]);
    // The data directory knows the product of one that there is.
    let address = server.address("coaps");
    let by_key = ["device", "simulate", "dk-1", "--secret", &secret, "--server", &address, "--count", "1"];
    program.text(&by_key);
    program.run(&["device", "simulate", "pk/dk-1", "--secret", ""]).failed(64, &["--secret is empty"]);
    program.run(&["device", "simulate", "pk/", "--secret", "x"]).failed(64, &["a key is empty"]);
    let nowhere = ["device", "simulate", "pk/dk-1", "--secret", "x", "--server", "nowhere.invalid"];
    program.run(&nowhere).failed(1, &["cannot reach nowhere.invalid"]);
    let mut device = Simulated::start(simulate(&program, &server, &secret, &["--interval", "0"]));
    device.until("connected");
    let Simulated { child, stdout } = &mut device;
    // The pipe is closed under it.
    let _ = std::mem::replace(stdout, BufReader::new(gone()));
    assert_eq!(child.wait().expect("it is a child").code(), Some(0));
}

/// The end of a pipe into which nobody writes.
fn gone() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().expect("every system has true");
    let stdout = child.stdout.take().expect("it is a pipe");
    child.wait().expect("it is a child");
    stdout
}

/// In JSON and in CBOR, with a tenth of the datagrams lost, beside the limit of bytes that each device has.
#[test]
fn a_simulated_device_takes_the_update_that_it_is_offered() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    let listener = program.listen(&["--device", "pk/dk-1"]);
    for (version, format, loss) in [("2.0", "json", "0"), ("3.0", "cbor", "10")] {
        let file = program.file("image", &format!("{version} ").repeat(5_000));
        let upload = ["firmware", "upload", &file, "--product", "pk", "--version", version];
        let image = program.json(&upload)["imageId"].as_str().expect("it has an id").to_owned();
        program.json(&["firmware", "offer", &image, "--device", "dk-1"]);
        let options =
            ["--update", "--firmware", "1.0", "--interval", "1", "--format", format, "--loss", loss];
        let ran = run(&program, &server, &secret, &options);
        assert_eq!(ran.code, 0, "{ran:?}");
        let lines = lines(&ran.stdout);
        let updates = of(&lines, "update");
        let ends = updates.first().into_iter().chain(updates.last()).map(|line| &line["state"]);
        assert_eq!(ends.collect::<Vec<_>>(), ["begun", "done"], "{updates:?}");
        assert!(updates.iter().filter(|line| line["state"] == "fetched").count() >= 8, "{updates:?}");
        assert!(!lines.iter().any(|line| line["what"] == "block"), "blocks are not shown one by one");
        let status = program.json(&["firmware", "status", &image]);
        assert_eq!(status["done"], 1, "{status}");
        let told = told_until_done(&listener, &image);
        let states = ["offered", "sent", "accepted", "downloading", "verifying", "burning", "done"];
        let mut first =
            told.iter().map(|it| it["state"].as_str().expect("it has a state")).collect::<Vec<_>>();
        first.dedup();
        first.retain(|state| states.contains(state));
        let places = first.iter().map(|state| states.iter().position(|known| known == state));
        assert!(places.is_sorted() && first.len() >= 5, "{first:?}");
        let fetched = told.iter().filter(|it| it["fetched"].is_u64()).count();
        assert!((1..=11).contains(&fetched), "one event for a tenth of the image: {told:?}");
    }
    let metrics = crate::server::get(&server.address("http"), "/metrics");
    for line in [
        "narrowgate_firmware_upgrades_total{outcome=\"done\"} 2",
        "narrowgate_firmware_upgrades_total{outcome=\"failed\"} 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{metrics}");
    }
    let value = |name: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        found.unwrap_or_else(|| panic!("{name} in {metrics}"))
    };
    assert!(value("narrowgate_firmware_blocks_total ") >= 2 * 20_000 / 1024);
    assert!(value("narrowgate_firmware_bytes_total ") >= 2 * 20_000);
}

/// The events of the upgrade to this image, up to its end; the others are left out.
fn told_until_done(listener: &Listener, image: &str) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let event = listener.next_event();
        if event["event"] != "upgrade" {
            continue;
        }
        assert_eq!((&event["imageId"], &event["deviceKey"]), (&image.into(), &"dk-1".into()), "{event}");
        let is_done = event["state"] == "done";
        told.push(event);
        if is_done {
            return told;
        }
    }
}

#[test]
fn a_device_is_shown_with_its_session_as_long_as_there_is_one() {
    let program = program_with_device();
    let (server, secret) = (program.serve(), secret(&program));
    let session = || program.json(&["device", "show", "pk/dk-1"])["session"].clone();
    assert_eq!(session(), Value::Null);
    let mut device = Simulated::start(simulate(&program, &server, &secret, &["--interval", "60"]));
    device.until("received");
    let (shown, again) = (session(), session());
    assert_eq!(shown["suite"], "TLS_PSK_WITH_AES_128_CCM_8", "{shown}");
    assert!(shown["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{shown}");
    let since = |session: &Value| session["since"].as_i64().expect("it is a time");
    assert!(since(&shown).abs_diff(since(&again)) < 100, "{shown} {again}");
    program.json(&["device", "disable", "pk/dk-1"]);
    eventually("its session was closed", || session() == Value::Null);
}
