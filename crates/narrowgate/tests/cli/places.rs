//! Connections that stay: none of them keeps a command, a probe or a scraper out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Ran};

use crate::{harness::program_with_device, server::get};

/// As many listen, and as many are connected on TCP, as the server lets in.
const LISTENERS: usize = 64;
const CONNECTIONS: usize = 256;
/// A command or a probe takes much less, unless it waits for a place.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Ends its process with the test.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `narrowgate listen`, if it may.
fn try_listen(program: &Program) -> Option<Listening> {
    let mut command = program.command(&["listen"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    let listening = Listening(child);
    said.starts_with("listening").then_some(listening)
}

#[test]
fn as_many_listeners_as_there_may_be_keep_no_command_out() {
    let program = program_with_device();
    let server = program.serve();
    let followers = |count| {
        let text = crate::server::get(&server.address("http"), "/metrics");
        text.contains(&format!("\nnarrowgate_followers {count}\n"))
    };
    assert!(followers(0));
    let mut listeners: Vec<_> =
        (0..LISTENERS).map(|_| try_listen(&program).expect("there is room")).collect();
    assert!(followers(LISTENERS));
    let began = Instant::now();
    program.json(&["device", "disable", "dk-1"]);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    program.run(&["listen"]).failed(1, &["cannot listen", "64 others listen already", "pgrep"]);
    // The place of one that leaves is free again.
    listeners.pop();
    let began = Instant::now();
    while try_listen(&program).is_none() {
        assert!(began.elapsed() < AT_ONCE, "its place stays taken");
    }
}

#[test]
fn silent_connections_to_the_control_socket_keep_no_command_out() {
    let program = program_with_device();
    let _server = program.serve();
    let path = program.data().join("control.sock");
    let silent: Vec<_> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let began = Instant::now();
    program.json(&["device", "disable", "dk-1"]);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn slow_connections_keep_health_and_metrics_from_nobody() {
    let program = program_with_device();
    let server = program.serve();
    let http = server.address("http");
    let slow = |text: &[u8]| -> Vec<TcpStream> {
        let one = |_| {
            let mut stream = TcpStream::connect(&http).unwrap();
            stream.write_all(text).unwrap();
            stream
        };
        (0..CONNECTIONS + 50).map(one).collect()
    };
    // Without a word, in the middle of a request, and with an answer that they do not read.
    for text in [&b""[..], b"GET /metrics HTTP/1.1\r\nHost", b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let kept = slow(text);
        for path in ["/health/live", "/health/ready", "/metrics"] {
            let began = Instant::now();
            let answer = get(&http, path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            assert!(began.elapsed() < AT_ONCE, "{path}: {:?}", began.elapsed());
        }
        drop(kept);
    }
}

#[test]
fn a_command_says_that_it_waits_where_the_server_accepts_nobody() {
    let program = program_with_device();
    let server = program.serve();
    server.signal("STOP");
    let path = program.data().join("control.sock");
    // Until the kernel's queue is full: then a connection would block.
    let mut queued = Vec::new();
    loop {
        let stream = socket_that_does_not_block(&path);
        match stream {
            Some(stream) => queued.push(stream),
            None => break,
        }
        assert!(queued.len() < 10_000, "the queue has no end");
    }
    let mut command = program.command(&["device", "disable", "dk-1"]);
    let asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ran: Ran = asked.wait_with_output().unwrap().into();
    ran.failed(1, &["waiting for the server", "does not answer", &format!("process {}", server.pid())]);
    server.signal("CONT");
}

/// A connection; `None` where it would have to wait for one.
fn socket_that_does_not_block(path: &std::path::Path) -> Option<UnixStream> {
    let (path, (send, received)) = (path.to_owned(), std::sync::mpsc::channel());
    std::thread::spawn(move || send.send(UnixStream::connect(path).unwrap()));
    received.recv_timeout(Duration::from_secs(1)).ok()
}
