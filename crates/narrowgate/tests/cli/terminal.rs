//! Standard error and standard output that cannot be written, or that nobody reads: a server goes on, and a
//! command ends as is customary.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Ran, signal};

use crate::harness::{program, program_with_device};

/// A server gets so long to become ready or to end; it has 10 s for its stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pipe of Linux holds so much (pipe(7)).
const PIPE_BYTES: usize = 65_536;

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A free port: nobody else takes it within the moment until the server does.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A server that says all it can, whose standard error a test chose.
struct Muted {
    child: Child,
    http: u16,
}

impl Muted {
    fn start(program: &Program, verb: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let http = free_port();
        let child = program
            .command(&[verb, "--dtls", "127.0.0.1:0", "--http", &format!("127.0.0.1:{http}")])
            .env("NARROWGATE_LOG_FILTER", "trace")
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, http }
    }

    /// Waits until it serves, and asks it so often that it has something to log each time.
    #[track_caller]
    fn serves(&mut self) {
        let begin = Instant::now();
        while !get(self.http, "/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server ended");
            assert!(begin.elapsed() < PATIENCE, "the server did not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        for _ in 0..50 {
            assert!(get(self.http, "/health/live").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        }
    }

    fn dropped_lines(&self) -> u64 {
        let metrics = get(self.http, "/metrics").unwrap();
        let line = metrics.lines().find(|line| line.starts_with("narrowgate_log_lines_dropped_total "));
        line.expect("the metric exists").split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Ends it by SIGTERM; its exit code.
    #[track_caller]
    fn stop(&mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "the server did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        // It has ended already where the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_whose_standard_error_is_full_serves_and_stops_in_order() {
    let program = program_with_device();
    let mut server = Muted::start(&program, "serve", Stdio::null(), full_device());
    server.serves();
    assert!(server.dropped_lines() > 0);
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_server_whose_log_lost_its_reader_serves_and_stops_in_order() {
    let program = program_with_device();
    let mut server = Muted::start(&program, "serve", Stdio::null(), Stdio::piped());
    // As `serve 2>&1 | head` does: read some lines and go.
    let mut stderr = BufReader::new(server.child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("\nready\n") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    drop(stderr);
    server.serves();
    assert!(server.dropped_lines() > 0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_server_whose_log_nobody_reads_serves_and_stops_in_order() {
    let program = program_with_device();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // Full from the start: whatever is written from now on blocks.
    writer.write_all(&[b'.'; PIPE_BYTES]).unwrap();
    let mut server = Muted::start(&program, "serve", Stdio::null(), writer);
    server.serves();
    assert_eq!(program.json(&["device", "show", "dk-1"])["state"], "inactive");
    assert_eq!(server.stop(), Some(0));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_start_that_fails_ends_where_nobody_reads_its_reason() {
    let program = program();
    program.file("data", "a file");
    let (_reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; PIPE_BYTES]).unwrap();
    let mut server = Muted::start(&program, "serve", Stdio::null(), writer);
    let begin = Instant::now();
    while server.child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < PATIENCE, "the server did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_last_lines_of_a_server_are_written() {
    let program = program_with_device();
    let server = program.serve();
    server.signal("TERM");
    let (code, said) = server.wait();
    assert_eq!(code, 0);
    assert!(said.contains("SIGTERM: finishing"), "{said}");
    assert!(said.trim_end().ends_with("stopped"), "{said}");
}

#[test]
fn a_demonstration_that_nobody_can_read_serves() {
    let program = program();
    let mut demo = Muted::start(&program, "demo", full_device(), full_device());
    demo.serves();
    assert_eq!(demo.stop(), Some(0));
    let (_reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; PIPE_BYTES]).unwrap();
    let mut demo = Muted::start(&program, "demo", writer.try_clone().unwrap(), writer);
    demo.serves();
    assert_eq!(demo.stop(), Some(0));
}

/// Commands that print something and need no server.
const PRINTING: [&[&str]; 12] = [
    &["product", "list"],
    &["product", "show", "pk"],
    &["device", "list"],
    &["device", "list", "-o", "json"],
    &["device", "show", "dk-1"],
    &["device", "log", "dk-1"],
    &["refused"],
    &["config"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
    &["device", "create", "--help"],
];

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let program = program_with_device();
    for arguments in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::from(program.command(arguments).stdout(writer).output().unwrap());
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{arguments:?}");
    }
}

#[test]
fn what_was_done_is_said_where_its_answer_cannot_be_written() {
    let program = program_with_device();
    for (arguments, said) in [
        (
            &["device", "create", "--product", "pk", "--device-key", "d9"][..],
            "the device was created: narrowgate device secret pk/d9 shows its secret",
        ),
        (&["device", "reset", "pk", "d9", "--yes"], "the device was reset: narrowgate device secret pk/d9"),
        (
            &["product", "create", "n", "--product-key", "pk9"],
            "the product was created: narrowgate product secret pk9 shows its secret",
        ),
    ] {
        let ran = Ran::from(program.command(arguments).stdout(full_device()).output().unwrap());
        ran.failed(1, &["cannot write to standard output", said]);
    }
}

#[test]
fn a_file_at_the_limit_of_its_size_is_an_error_and_no_signal() {
    let program = program_with_device();
    let log = program.file("big.log", "");
    OpenOptions::new().write(true).open(&log).unwrap().set_len(8 << 20).unwrap();
    for arguments in PRINTING {
        let command = program.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        // The store is far smaller: only what is printed reaches the limit.
        let script = format!("exec 3>>'{log}'; ulimit -f 8192; exec {} >&3", line.join(" "));
        let mut shell = std::process::Command::new("bash");
        let ran = Ran::from(shell.args(["-c", &script]).output().unwrap());
        ran.failed(1, &["cannot write to standard output", "File too large"]);
    }
}

#[test]
fn a_command_that_cannot_write_its_answer_fails_and_says_so() {
    let program = program_with_device();
    for arguments in PRINTING {
        let ran = Ran::from(program.command(arguments).stdout(full_device()).output().unwrap());
        ran.failed(1, &["cannot write to standard output", "No space left"]);
    }
    // Where the error cannot be said either, the exit code is what is left.
    let status = program.command(&["product", "show", "other"]).stderr(full_device()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    let status = program.command(&["product", "explode"]).stderr(full_device()).status().unwrap();
    assert_eq!(status.code(), Some(64));
}
