//! The real binary with one shard, SQLite and a product full of devices; and what must hold after each case.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{self, Listener, Program};
use serde_json::Value;

use crate::{
    client::{Client, Protection},
    coap,
};

/// What an operator's action may take to be felt.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest that a device waits for an answer before it sends its message again (RFC 7252, section 4.8:
/// ACK_TIMEOUT times ACK_RANDOM_FACTOR). Usually it is a few milliseconds; a busy machine with a slow disk
/// takes longer.
pub(crate) const BEFORE_A_DEVICE_REPEATS: Duration = Duration::from_secs(3);
/// The shortest that the server may be told.
pub(crate) const HANDSHAKE_LIFETIME: Duration = Duration::from_secs(5);
/// Devices of the product, registered when the server starts.
pub(crate) const DEVICES: u32 = 100;

pub(crate) const PRODUCT_KEY: &str = "pk";
pub(crate) const PRODUCT_SECRET: &str = "c3PW03srd6c";

/// Names and secret of a device.
#[derive(Debug, Clone)]
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
    /// Goes before its folder.
    running: program::Server,
    program: Program,
    pub(crate) address: SocketAddr,
    http: SocketAddr,
    next_device: AtomicU32,
    /// Sessions, one of each protection, that are there all the time.
    standing: Mutex<Vec<Client>>,
    is_stopped: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        if !thread::panicking() {
            let ended = self.running.ended();
            let may_have_ended = self.is_stopped && ended.is_some_and(|status| status.success());
            assert!(may_have_ended || ended.is_none(), "the server has ended: {ended:?}\n{}", self.said());
            self.running.kill();
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
        let settings = settings.iter().map(|(name, value)| (format!("NARROWGATE_{name}"), *value));
        Self::launch(listen, settings)
    }

    /// With further variables of the process itself.
    pub(crate) fn start_in(environment: &[(&str, String)]) -> Self {
        Self::launch("127.0.0.1:0", environment.iter().map(|(name, value)| ((*name).to_owned(), &**value)))
    }

    fn launch<'a>(listen: &str, environment: impl Iterator<Item = (String, &'a str)>) -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_narrowgate"));
        register(&program);
        let mut command = serve(&program, listen);
        command.envs(environment);
        let running = program::Server::start(command);
        let mut address: SocketAddr = running.address("coaps").parse().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let server = Self {
            address,
            http: running.address("http").parse().unwrap(),
            program,
            running,
            next_device: AtomicU32::new(0),
            standing: Mutex::new(Vec::new()),
            is_stopped: false,
        };
        let standing = Protection::ALL.map(|protection| server.connect(protection));
        server.standing().extend(standing);
        server
    }

    /// Ends it by SIGTERM, unless it was stopped, and starts it again on the same directory, at other
    /// ports; its sessions are gone.
    pub(crate) fn restart(&mut self, environment: &[(&str, String)]) {
        if !std::mem::take(&mut self.is_stopped) {
            self.running.stop();
        }
        self.standing().clear();
        let mut command = serve(&self.program, "127.0.0.1:0");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.running = program::Server::start(command);
        self.address = self.running.address("coaps").parse().unwrap();
        self.http = self.running.address("http").parse().unwrap();
    }

    /// Where its port of plain CoAP is.
    pub(crate) fn plain_address(&self) -> SocketAddr {
        self.running.address("coap").parse().unwrap()
    }

    fn standing(&self) -> MutexGuard<'_, Vec<Client>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that it wrote on standard error.
    pub(crate) fn said(&self) -> String {
        self.running.said()
    }

    /// Runs a command beside the server and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.program.json(arguments)
    }

    /// Starts `listen` beside the server; from its return on nothing is missed.
    pub(crate) fn listen(&self, arguments: &[&str]) -> Listener {
        self.program.listen(arguments)
    }

    /// Ends the server by SIGTERM; commands work on.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        self.running.stop();
    }

    /// Ends the server by SIGKILL; [`Self::restart`] starts it again.
    pub(crate) fn kill(&mut self) {
        self.is_stopped = true;
        self.running.kill();
    }

    /// What a command prints, to the last digit.
    #[track_caller]
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        self.program.text(arguments)
    }

    /// A command beside the server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.program.command(arguments)
    }

    /// Where it stores everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.program.data()
    }

    /// A new file for a command to read.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.program.file(name, text)
    }

    /// Waits until what a command tells is as it should be: logs are written soon after, not before, the
    /// answer.
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

    /// The same device with a new session.
    pub(crate) fn connect_again(&self, device: Device, protection: Protection) -> Client {
        let mut client = Client::new(self.address, device, protection);
        client.connect();
        client
    }

    /// Sends the process a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.running.signal(name);
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

    /// Returns when everything that was sent before has been handled: an honest answer that came afterwards
    /// proves it.
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
        self.get("/metrics")
    }

    /// The answer to a GET, with its head.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
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

    /// The shard's counter `narrowgate_NAME`, with its label where it has one, as it is now.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.published();
        self.metric(&format!("narrowgate_{name}"))
    }

    /// The shard publishes its counters now and then: waits for the next time.
    fn published(&self) {
        self.marker();
        let before = self.metric("narrowgate_received_datagrams_total");
        let end = Instant::now() + 5 * AT_ONCE;
        loop {
            self.marker();
            let after = self.metric("narrowgate_received_datagrams_total");
            if after > before {
                return;
            }
            assert!(Instant::now() < end, "counters are not published");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.running.resident_bytes()
    }

    /// Waits until nothing half open is left; it may take the lifetime of a handshake and no more than a bit
    /// longer.
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

fn serve(program: &Program, listen: &str) -> Command {
    let mut command = program.command(&["serve", "--dtls", listen, "--http", "127.0.0.1:0", "--shards", "1"]);
    let lifetime = format!("{}s", HANDSHAKE_LIFETIME.as_secs());
    command.env("NARROWGATE_DTLS_HANDSHAKE_LIFETIME", lifetime);
    command
}

/// Creates the product and its devices.
fn register(program: &Program) {
    let rows: String = (0..DEVICES)
        .map(Device::numbered)
        .map(|device| format!("{},{}\n", device.key, device.secret))
        .collect();
    let file = program.file("devices.csv", &format!("deviceKey,deviceSecret\n{rows}"));
    let keys = ["--product-key", PRODUCT_KEY, "--product-secret", PRODUCT_SECRET];
    program.text(&[&["product", "create", "meters"][..], &keys].concat());
    program.text(&["device", "import", &file, "--product", PRODUCT_KEY]);
}
