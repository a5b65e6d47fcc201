//! A terminal that goes away, and one on which a job in the background may not write (`stty tostop`): neither
//! ends nor stops a server.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server, signal};

use crate::harness::{program, program_with_device};

/// A server gets so long to become ready or to end; it has 10 s for its stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of its own (of util-linux's `script`) on which a shell runs some lines, and a server that they
/// start.
struct Terminal {
    script: Child,
    shown: Receiver<String>,
    server: Option<u32>,
}

impl Terminal {
    /// The lines say the server's process id as `server N`.
    fn run(program: &Program, lines: &str) -> Self {
        let mut script = Command::new("script")
            .args(["-q", "-e", "-f", "-c", lines, "/dev/null"])
            .env("SHELL", "/bin/bash")
            .env("DATA", program.data())
            .env("PROGRAM", program.binary())
            .env_remove("NARROWGATE_LOG_FILTER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(script.stdout.take().unwrap());
        let (send, shown) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut terminal = Self { script, shown, server: None };
        let said = terminal.until("server ");
        terminal.server = said.rsplit(' ').next().and_then(|pid| pid.trim().parse().ok());
        assert!(terminal.server.is_some(), "{said}");
        terminal
    }

    /// Reads up to a line that begins so; all that was read.
    #[track_caller]
    fn until(&mut self, begin: &str) -> String {
        let mut said = String::new();
        loop {
            let Ok(line) = self.shown.recv_timeout(PATIENCE) else { panic!("{begin:?} never came:\n{said}") };
            said += &format!("{}\n", line.trim_end());
            if line.starts_with(begin) {
                return said;
            }
        }
    }

    fn server(&self) -> u32 {
        self.server.expect("the lines have said it")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(server) = self.server.filter(|pid| state(*pid).is_some()) {
            signal(server, "KILL");
        }
        // It has ended already where the test ended it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// What a process is doing (`T`: it is stopped) and how much processor time it has used, in ticks of 10 ms.
fn state(pid: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    fields[0].chars().next().filter(|state| *state != 'Z').map(|state| (state, ticks))
}

#[track_caller]
fn ends(pid: u32) {
    let begin = Instant::now();
    while state(pid).is_some() {
        assert!(begin.elapsed() < PATIENCE, "the server did not end");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sighup_does_not_end_serve_and_is_logged() {
    let program = program_with_device();
    let server = program.serve();
    server.signal("HUP");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    assert!(program.json(&["status"])["since"].is_number(), "it serves");
    server.signal("TERM");
    let (code, said) = server.wait();
    assert_eq!(code, 0, "{said}");
    assert_eq!(said.matches("SIGHUP").count(), 1, "{said}");
}

#[test]
fn sighup_ends_a_demonstration_in_order_but_not_one_under_nohup() {
    let program = program();
    let demo = program.serve_with(&["demo", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    demo.signal("HUP");
    let (code, said) = demo.wait();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("SIGHUP: finishing") && said.trim_end().ends_with("stopped"), "{said}");

    let mut without_hangup = Command::new("sh");
    without_hangup
        .args(["-c", "trap '' HUP; exec \"$0\" demo --dtls 127.0.0.1:0 --http off --data \"$1\""])
        .args([program.binary(), &program.data()]);
    let mut demo = Server::start(without_hangup);
    demo.signal("HUP");
    thread::sleep(Duration::from_millis(300));
    assert!(program.json(&["status"])["since"].is_number(), "it serves");
    demo.stop();
}

#[test]
fn a_server_whose_terminal_goes_away_serves_and_stops_in_order() {
    let program = program_with_device();
    let serve = "echo server $$; exec \"$PROGRAM\" serve --dtls 127.0.0.1:0 --http off --data \"$DATA\"";
    let mut terminal = Terminal::run(&program, serve);
    terminal.until("ready");
    // Its end takes the other side of the terminal with it: the kernel sends SIGHUP, as where a connection
    // drops.
    terminal.script.kill().unwrap();
    terminal.script.wait().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    assert!(program.json(&["status"])["since"].is_number(), "it serves");
    signal(terminal.server(), "TERM");
    ends(terminal.server());
    assert!(!program.data().join("control.sock").exists(), "it was stopped in order");
}

#[test]
fn a_server_in_the_background_of_a_terminal_with_tostop_serves_and_writes() {
    let program = program_with_device();
    let lines = "set -m; stty tostop; \"$PROGRAM\" serve --dtls 127.0.0.1:0 --http off --data \"$DATA\" & \
                 echo server $!; wait $!; echo ended $?";
    let mut terminal = Terminal::run(&program, lines);
    let begin = Instant::now();
    while !program.data().join("control.sock").exists() {
        let (doing, _) = state(terminal.server()).expect("it goes on");
        assert!(doing != 'T' && begin.elapsed() < PATIENCE, "it is stopped or not ready: {doing}");
        thread::sleep(Duration::from_millis(20));
    }
    terminal.until("ready");
    // Another program of the job may ask for the terminal too: that stops the other one alone.
    signal(terminal.server(), "TTOU");
    let (_, before) = state(terminal.server()).unwrap();
    thread::sleep(Duration::from_secs(1));
    let (doing, after) = state(terminal.server()).unwrap();
    assert_ne!(doing, 'T');
    assert!(after - before < 30, "it is busy: {} ticks in a second", after - before);
    assert!(program.json(&["status"])["since"].is_number(), "it serves");
    signal(terminal.server(), "TERM");
    terminal.until("ended 0");
}
