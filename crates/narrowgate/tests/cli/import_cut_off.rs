//! `device import` by the real binary, cut off in the middle and run again: every device has the secret of
//! its line, and every fault is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use narrowgate_testkit::program::{Program, Ran, signal};
use serde_json::Value;

use crate::harness::program;

/// 128 bits.
const SECRET: &str = "0f8c3e71a5d2964b0f8c3e71a5d2964b";

struct Import {
    program: Program,
    rows: String,
    file: String,
    secrets: String,
    count: usize,
}

impl Import {
    fn new(count: usize) -> Self {
        let program = program();
        program.json(&["product", "create", "meters", "--product-key", "pk"]);
        let rows: String = (0..count).map(|number| format!("d{number}\n")).collect();
        let rows = format!("deviceKey\n{rows}");
        let file = program.file("rows.csv", &rows);
        let secrets = program.data().with_file_name("secrets.csv").display().to_string();
        Self { program, rows, file, secrets, count }
    }

    fn command(&self, file: &str) -> Command {
        let words =
            ["device", "import", file, "--product", "pk", "--secrets-out", &self.secrets, "-o", "json"];
        let mut command = self.program.command(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Begins it from a pipe, of which all rows are written once it waits for them.
    fn begin(&self, before_the_rows: impl FnOnce()) -> Child {
        let mut child = self.command("-").spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        wait_until(|| self.lines() == Some(1));
        before_the_rows();
        input.write_all(self.rows.as_bytes()).unwrap();
        child
    }

    /// Lines behind the header of the file of secrets, if it is there; one is the empty line at its end.
    fn lines(&self) -> Option<usize> {
        fs::read_to_string(&self.secrets).ok()?.lines().count().checked_sub(1)
    }

    fn devices(&self) -> usize {
        let page = self.program.json(&["device", "list", "--product", "pk", "--all"]);
        page["devices"].as_array().unwrap().len()
    }

    /// Runs it once more, and looks at every device.
    #[track_caller]
    fn again_and_check(&self) -> Value {
        let mut child = self.command(&self.file).spawn().unwrap();
        drop(child.stdin.take());
        let summary = Ran::from(child.wait_with_output().unwrap()).json();
        let sum = summary["created"].as_u64().unwrap() + summary["skipped"].as_u64().unwrap();
        assert_eq!(sum, self.count as u64, "{summary}");
        let text = fs::read_to_string(&self.secrets).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let by_key: BTreeMap<&str, (&str, &str)> =
            lines.iter().map(|line| (line[2], (line[0], line[3]))).collect();
        assert_eq!((lines.len(), by_key.len()), (self.count, self.count), "a line for each device");
        assert_eq!(self.devices(), self.count);
        let assets: BTreeSet<&str> = by_key.values().map(|(asset_id, _)| *asset_id).collect();
        assert!(assets.len() == self.count && assets.iter().all(|asset_id| asset_id.trim().len() == 8));
        // All secrets are compared by the registry, some by eye.
        let check = self.program.run(&["device", "import", &self.secrets, "--product", "pk", "-o", "json"]);
        assert_eq!(check.json()["sameSecret"], self.count, "{check:?}");
        for number in (0..self.count).step_by(self.count / 7) {
            let key = format!("d{number}");
            let shown = self.program.json(&["device", "secret", "pk", &key]);
            assert_eq!(shown["deviceSecret"], by_key[&*key].1, "{key}");
            assert_eq!(self.program.json(&["device", "show", "pk", &key])["assetId"], by_key[&*key].0);
        }
        summary
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to that in 30 seconds");
}

#[test]
fn attack_214_a_client_killed_before_the_commit_loses_no_secret() {
    let import = Import::new(20);
    let server = import.program.serve();
    let mut client = import.begin(|| signal(server.pid(), "STOP"));
    wait_until(|| import.lines() == Some(21));
    client.kill().unwrap();
    client.wait().unwrap();
    let drawn = fs::read_to_string(&import.secrets).unwrap();
    assert!(
        drawn.lines().skip(1).take(20).all(|line| line.starts_with("        ,")),
        "no device exists: {drawn}"
    );
    // The server has not read the request and never will.
    signal(server.pid(), "KILL");
    server.wait();
    let _server = import.program.serve();
    assert_eq!(import.devices(), 0);
    assert_eq!(import.again_and_check()["created"], 20);
    let secrets = |text: &str| text.lines().take(21).map(|line| line[8..].to_owned()).collect::<Vec<_>>();
    let now = fs::read_to_string(&import.secrets).unwrap();
    assert_eq!(secrets(&now)[1..], secrets(&drawn)[1..], "the same secrets");
}

#[test]
fn attack_214_a_client_killed_between_the_commit_and_the_answer_loses_no_secret() {
    let import = Import::new(20);
    let server = import.program.serve();
    let mut client = import.begin(|| signal(server.pid(), "STOP"));
    wait_until(|| import.lines() == Some(21));
    // Whoever has sent a request may be gone when it is performed.
    std::thread::sleep(Duration::from_millis(200));
    client.kill().unwrap();
    client.wait().unwrap();
    signal(server.pid(), "CONT");
    wait_until(|| import.devices() == 20);
    assert_eq!(import.again_and_check()["skipped"], 20);
    // It is finished, and its file is let alone.
    let mut child = import.command(&import.file).spawn().unwrap();
    drop(child.stdin.take());
    Ran::from(child.wait_with_output().unwrap()).failed(1, &["exists already", "was finished"]);
}

#[test]
fn attack_214_a_server_killed_in_the_middle_loses_no_secret_and_no_fault() {
    let mut import = Import::new(3000);
    import.rows.insert_str("deviceKey\n".len(), "8.67725E+14\n");
    import.program.file("rows.csv", &import.rows);
    let server = import.program.serve();
    let mut child = import.command(&import.file).spawn().unwrap();
    drop(child.stdin.take());
    wait_until(|| import.lines().is_some_and(|lines| lines > 1500));
    signal(server.pid(), "KILL");
    let ran = Ran::from(child.wait_with_output().unwrap());
    server.wait();
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(summary["created"].as_u64().unwrap() >= 1000, "{summary}");
    assert_eq!(summary["failed"][0]["line"], 2, "{summary}");
    assert!(ran.stderr.contains("rows up to line "), "{ran:?}");
    assert!(ran.stderr.contains(" were processed; import the file again for the rest"), "{ran:?}");

    let _server = import.program.serve();
    import.program.file("rows.csv", &import.rows.replace("8.67725E+14\n", ""));
    import.again_and_check();
}

#[test]
fn attack_214_an_import_that_is_killed_again_and_again_loses_no_secret() {
    let import = Import::new(2000);
    let mut server = Some(import.program.serve());
    let begin = || {
        let mut child = import.command(&import.file).spawn().unwrap();
        drop(child.stdin.take());
        child
    };
    // Each time a little later, so that it dies in all that it does; every third time it is the server.
    for (number, wait) in (0..18).map(|number| (number, Duration::from_millis(15 * number))) {
        let mut client = begin();
        std::thread::sleep(wait);
        if number % 3 == 2 {
            let running = server.take().expect("it runs");
            signal(running.pid(), "KILL");
            running.wait();
            client.wait().unwrap();
            server = Some(import.program.serve());
        } else {
            // It has ended where the machine is fast.
            let _ = client.kill();
            client.wait().unwrap();
        }
        let text = fs::read_to_string(&import.secrets).unwrap_or_default();
        let known: BTreeSet<&str> = text.lines().filter_map(|line| line.split(',').nth(2)).collect();
        let page = import.program.json(&["device", "list", "--product", "pk", "--all"]);
        for device in page["devices"].as_array().unwrap() {
            let key = device["deviceKey"].as_str().unwrap();
            assert!(known.contains(key), "kill {number}: {key} exists, and its secret is nowhere");
        }
    }
    // One that has been finished meanwhile is let alone.
    let text = fs::read_to_string(&import.secrets).unwrap_or_default();
    if text.is_empty() || text.ends_with("\n\n") {
        import.again_and_check();
    } else {
        fs::write(&import.secrets, text + "\n").unwrap();
        import.again_and_check();
    }
}

#[test]
fn a_device_that_has_another_secret_meanwhile_has_no_line() {
    let import = Import::new(3);
    let create = ["device", "create", "--product", "pk", "--device-key", "d1", "--device-secret", SECRET];
    import.program.json(&create);
    let run = || {
        let mut child = import.command(&import.file).spawn().unwrap();
        drop(child.stdin.take());
        Ran::from(child.wait_with_output().unwrap()).json()
    };
    let keys = || -> Vec<String> {
        let text = fs::read_to_string(&import.secrets).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().to_owned()).collect()
    };
    let summary = run();
    assert_eq!((&summary["created"], &summary["skipped"]), (&2.into(), &1.into()), "{summary}");
    assert_eq!(keys(), ["d0", "d2"]);
    // It was cut off after all, and one was registered anew meanwhile.
    let text = fs::read_to_string(&import.secrets).unwrap();
    fs::write(&import.secrets, text + "\n").unwrap();
    import.program.run(&["device", "delete", "pk", "d2", "--yes"]);
    import.program.json(&create.map(|word| if word == "d1" { "d2" } else { word }));
    assert_eq!(run()["skipped"], 3);
    assert_eq!(keys(), ["d0"]);
    assert_eq!(import.program.json(&["device", "secret", "pk", "d2"])["deviceSecret"], SECRET);
}
