//! Where the secret of a product may be seen: arguments, core dumps.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A fleet whose devices fetch their secrets, with the secret on standard input.
fn fleet(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrowgate-load"));
    command.args(["fleet", "--server", "127.0.0.1:1", "--product-key", "pk", "--log", "/nowhere/log"]);
    command.args(["--activation-product", "p2", "--activation-first", "1", "--activation-count", "1"]);
    command.args(["--activation-secret", "-"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_dash_reads_the_secret_from_standard_input() {
    let mut child = fleet(&["--until-input-ends"]).spawn().unwrap();
    drop(child.stdin.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{said}");
    let words = "there is no secret for --activation-secret - on standard input: the first line is empty";
    assert!(said.contains(words), "{said}");
    let help =
        Command::new(env!("CARGO_BIN_EXE_narrowgate-load")).args(["fleet", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("standard input") && help.contains("(ps)"), "{help}");
}

#[test]
fn no_core_dump_has_the_secret() {
    // It waits for the secret.
    let mut child = fleet(&[]).spawn().unwrap();
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    let is_off = || {
        let limits = read("limits");
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        words[4..6] == ["0", "0"] && read("coredump_filter").trim() == "00000000"
    };
    let end = Instant::now() + Duration::from_secs(10);
    while !is_off() {
        assert!(Instant::now() < end, "{}{}", read("limits"), read("coredump_filter"));
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
