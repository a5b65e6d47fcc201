//! The real binary with one shard, SQLite and a product full of devices; and what must hold after each case.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{Client, Protection},
    coap,
};

/// What an operator's action may take to be felt.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest that a device waits for an answer before it sends its message again (RFC 7252, section 4.8: ACK_TIMEOUT times
/// ACK_RANDOM_FACTOR). Usually it is a few milliseconds; a busy machine with a slow disk takes longer.
pub(crate) const BEFORE_A_DEVICE_REPEATS: Duration = Duration::from_secs(3);
/// The shortest that the server may be told.
pub(crate) const HANDSHAKE_LIFETIME: Duration = Duration::from_secs(5);
/// Devices of the product, registered when the server starts.
pub(crate) const DEVICES: u32 = 100;

pub(crate) const PRODUCT_KEY: &str = "pk";
pub(crate) const PRODUCT_SECRET: &str = "c3PW03srd6c";

/// Names and secret of a device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Device {
    fn numbered(number: u32) -> Self {
        Self { key: format!("dk-{number:04}"), secret: format!("Z5YtZaQpK5IWoca{number:05}") }
    }

    pub(crate) fn identity(&self) -> String {
        format!("{PRODUCT_KEY},{},2,3600", self.key)
    }

    /// The path that it reports to.
    pub(crate) fn report_path(&self) -> String {
        format!("topic/sys/{PRODUCT_KEY}/{}/thing/measurepoint/post", self.key)
    }
}

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    http: SocketAddr,
    directory: TempDir,
    said: Arc<Mutex<String>>,
    next_device: AtomicU32,
    /// Sessions, one of each protection, that are there all the time.
    standing: Mutex<Vec<Client>>,
    is_stopped: bool,
}

/// A running `listen`.
pub(crate) struct Listener {
    child: Child,
    events: mpsc::Receiver<Value>,
}

impl Listener {
    /// The next event.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        self.events.recv_timeout(5 * AT_ONCE).expect("an event")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It ends with the test at the latest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        // What is wrong here was said already, or the assertions below say it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            let may_have_ended = self.is_stopped && matches!(ended, Ok(Some(status)) if status.success());
            assert!(
                may_have_ended || matches!(ended, Ok(None)),
                "the server has ended: {ended:?}\n{}",
                self.said()
            );
            assert!(!self.said().contains("panicked"), "{}", self.said());
        }
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further settings, by their variables without `NARROWGATE_`.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_on("127.0.0.1:0", settings)
    }

    /// Listening at an address of the test's choice; where that is all of them, its own clients talk to
    /// 127.0.0.1.
    pub(crate) fn start_on(listen: &str, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rows: String = (0..DEVICES)
            .map(Device::numbered)
            .map(|device| format!("{},{}\n", device.key, device.secret))
            .collect();
        let file = directory.path().join("devices.csv");
        std::fs::write(&file, format!("deviceKey,deviceSecret\n{rows}")).unwrap();
        run(
            &directory,
            &[
                "product",
                "create",
                "meters",
                "--product-key",
                PRODUCT_KEY,
                "--product-secret",
                PRODUCT_SECRET,
            ],
        );
        run(&directory, &["device", "import", file.to_str().unwrap(), "--product", PRODUCT_KEY]);
        let lifetime = format!("{}s", HANDSHAKE_LIFETIME.as_secs());
        let mut command = command();
        command
            .args(["serve", "--dtls", listen, "--http", "127.0.0.1:0", "--shards", "1"])
            .env("NARROWGATE_DTLS_HANDSHAKE_LIFETIME", lifetime)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (name, value) in settings {
            command.env(format!("NARROWGATE_{name}"), value);
        }
        command.arg("--data").arg(directory.path().join("data"));
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.lines().any(|line| line == "ready") {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "the server did not become ready:\n{said}");
        }
        let after = |scheme: &str| {
            let (_, rest) = said.split_once(scheme).unwrap();
            rest.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (mut address, http): (SocketAddr, SocketAddr) = (after("coaps://"), after("http://"));
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let said = Arc::new(Mutex::new(said));
        let more = Arc::clone(&said);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *more.lock().unwrap() += &(line + "\n");
            }
        });
        let server = Self {
            child,
            address,
            http,
            directory,
            said,
            next_device: AtomicU32::new(0),
            standing: Mutex::new(Vec::new()),
            is_stopped: false,
        };
        let standing = Protection::ALL.map(|protection| server.connect(protection));
        server.standing().extend(standing);
        server
    }

    fn standing(&self) -> MutexGuard<'_, Vec<Client>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that it wrote on standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a command beside the server and reads its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        run(&self.directory, arguments)
    }

    /// Starts `listen` beside the server; from its return on nothing is missed.
    pub(crate) fn listen(&self, arguments: &[&str]) -> Listener {
        let mut child = command()
            .arg("listen")
            .args(arguments)
            .args(["-o", "json", "--data"])
            .arg(self.directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("listening"), "{said}");
        let (lines, events) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have seen enough.
                let _ = lines.send(serde_json::from_str(&line).unwrap());
            }
        });
        Listener { child, events }
    }

    /// Ends the server by SIGTERM; commands work on.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
    }

    /// What a command prints, to the last digit.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command beside the server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.args(arguments).arg("--data").arg(self.directory.path().join("data"));
        command
    }

    /// A new file for a command to read.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Waits until what a command tells is as it should be: logs are written soon after, not before, the answer.
    #[track_caller]
    pub(crate) fn wait_for_json(&self, arguments: &[&str], is_right: impl Fn(&str) -> bool) {
        let end = Instant::now() + 5 * AT_ONCE;
        loop {
            let text = self.json(arguments).to_string();
            if is_right(&text) {
                return;
            }
            assert!(Instant::now() < end, "{arguments:?}: {text}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A device that was not used before.
    pub(crate) fn device(&self) -> Device {
        let number = self.next_device.fetch_add(1, Ordering::Relaxed);
        assert!(number < DEVICES, "register more devices");
        Device::numbered(number)
    }

    /// A client of a device of its own that has done nothing yet, on an address of its own.
    pub(crate) fn client(&self, protection: Protection) -> Client {
        Client::new(self.address, self.device(), protection)
    }

    /// A device of its own with a session.
    pub(crate) fn connect(&self, protection: Protection) -> Client {
        let mut client = self.client(protection);
        client.connect();
        client
    }

    /// All is well: the long-standing sessions and a new device report and are answered at once.
    pub(crate) fn assert_alive(&self) {
        for client in &mut *self.standing() {
            client.assert_reports();
        }
        let mut fresh = self.connect(Protection::Ccm8);
        fresh.assert_reports();
        fresh.close();
    }

    /// Returns when everything that was sent before has been handled: an honest answer that came afterwards proves it.
    pub(crate) fn marker(&self) {
        let mut standing = self.standing();
        let client = &mut standing[0];
        let mid = client.next_mid();
        assert_eq!(client.exchange(&coap::ping(mid)), coap::reset(mid), "the marker's answer");
    }

    /// The client hears nothing from what it has sent.
    #[track_caller]
    pub(crate) fn assert_silent(&self, client: &mut Client) {
        self.marker();
        assert_eq!(client.waiting(), None, "an answer where silence is due");
    }

    /// Sends this and hears nothing.
    #[track_caller]
    pub(crate) fn assert_ignored(&self, client: &mut Client, datagram: &[u8]) {
        client.send(datagram);
        self.assert_silent(client);
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// A metric by its name and labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.metrics();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name}: {page}")).trim().parse::<f64>().unwrap() as u64
    }

    /// A metric as soon as it is as it should be; gauges are published now and then.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, is_right: impl Fn(u64) -> bool) -> u64 {
        let end = Instant::now() + 5 * AT_ONCE;
        loop {
            let value = self.metric(name);
            if is_right(value) {
                return value;
            }
            assert!(Instant::now() < end, "{name} is {value}");
            thread::sleep(Duration::from_millis(20));
            self.marker();
        }
    }

    /// How often the shard has counted this.
    pub(crate) fn counted(&self, event: &str) -> u64 {
        self.published();
        self.metric(&format!("narrowgate_shard_events_total{{event=\"{event}\"}}"))
    }

    /// The shard publishes its counters now and then: waits for the next time.
    fn published(&self) {
        self.marker();
        let before = self.metric(r#"narrowgate_shard_events_total{event="datagrams_received"}"#);
        let end = Instant::now() + 5 * AT_ONCE;
        loop {
            self.marker();
            let after = self.metric(r#"narrowgate_shard_events_total{event="datagrams_received"}"#);
            if after > before {
                return;
            }
            assert!(Instant::now() < end, "counters are not published");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits until nothing half open is left; it may take the lifetime of a handshake and no more than a bit longer.
    pub(crate) fn assert_nothing_left(&self) {
        let end = Instant::now() + HANDSHAKE_LIFETIME + 5 * AT_ONCE;
        let gauges = ["handshakes", "lookups", "requests_in_flight"];
        loop {
            let left = gauges.map(|name| self.metric(&format!("narrowgate_{name}")));
            if left == [0; 3] {
                return;
            }
            assert!(Instant::now() < end, "left: {gauges:?} {left:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrowgate"));
    for (variable, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NARROWGATE_"))
    {
        command.env_remove(variable);
    }
    command
}

fn run(directory: &TempDir, arguments: &[&str]) -> Value {
    let output = command()
        .args(arguments)
        .args(["-o", "json", "--data"])
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}
