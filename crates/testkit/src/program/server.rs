//! A serving process, and all that it says.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    mem,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

/// A serving process; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    said: Arc<Mutex<String>>,
    /// Reads on while the process lives, so that it never waits for a reader.
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a command that serves, and waits until it says `ready`.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("the program can be started");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let mut said = String::new();
        while !said.lines().any(|line| line == "ready") {
            let length = stderr.read_line(&mut said).expect("the program writes UTF-8");
            assert_ne!(length, 0, "the server did not become ready:\n{said}");
        }
        let said = Arc::new(Mutex::new(said));
        let more = Arc::clone(&said);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *more.lock().unwrap_or_else(PoisonError::into_inner) += &(line + "\n");
            }
        });
        Self { child, said, reader: Some(reader) }
    }

    /// The address behind `scheme` in the banner.
    #[track_caller]
    pub fn address(&self, scheme: &str) -> String {
        let said = self.said();
        let rest = said.split_once(&format!("{scheme}://")).map(|(_, rest)| rest);
        let address = rest.and_then(|rest| rest.split_whitespace().next());
        address.unwrap_or_else(|| panic!("no {scheme} in the banner:\n{said}")).to_owned()
    }

    /// All that it has said on standard error.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of this process")
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("it is a child of this process");
        assert!(status.success(), "{status}:\n{}", self.said());
    }

    /// Ends it by SIGKILL, where it has not ended.
    pub fn kill(&mut self) {
        // It has ended already where the test waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; the exit code and all that it said on standard error.
    pub fn wait(mut self) -> (i32, String) {
        let status = self.child.wait().expect("it is a child of this process");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        let said = mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        (status.code().unwrap_or(-1), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that this test started.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("every system has kill").success(), "{name} to {pid}");
}
