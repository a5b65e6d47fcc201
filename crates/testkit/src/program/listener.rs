//! A running `listen`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::Value;

/// How long an event is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running `listen`; killed when dropped.
#[derive(Debug)]
pub struct Listener {
    child: Child,
    events: Receiver<Value>,
}

impl Listener {
    /// Starts a command that listens; from its return on nothing is missed.
    #[track_caller]
    pub(super) fn start(mut command: Command) -> Self {
        let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("the program can be started");
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("it is a pipe"));
        stderr.read_line(&mut said).expect("the program writes UTF-8");
        assert!(said.starts_with("listening"), "{said}");
        let (lines, events) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have seen enough.
                let _ = lines.send(serde_json::from_str(&line).expect("each line is a document"));
            }
        });
        Self { child, events }
    }

    /// The next event.
    #[track_caller]
    pub fn next_event(&self) -> Value {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It ends with the test at the latest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
