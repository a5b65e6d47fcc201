//! One device with a will: it connects, reports, loses patience, and connects again.

pub mod duties;
mod plain;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Params, Request, Response};
use narrowgate_dtls::CipherSuite;

use self::duties::{Done, Duties};
use super::ledger::{TWINS_REPORTS, tag_of};
use crate::{
    device::{Asked, Device, DeviceCommand, DeviceConfig, DeviceEvent, Identity, Report, SecureMode},
    key::key_of,
    random::SeededRandom,
    world::{server::WallClock, start},
};

/// Moments that are kept of each device, for the message of a violation.
const TRACE_MAX: usize = 30;

/// What an agent has to say to the ledger.
#[derive(Debug)]
pub enum Said {
    /// It is about to send this report.
    Sent(u64),
    /// This report was acknowledged.
    Acknowledged(u64),
    /// This report was answered by an error of its content.
    Faulted(u64),
    /// It was given this secret.
    Received(String),
    /// Something about its duties.
    Done(Done),
}

/// See the module.
pub struct Agent {
    /// Its number; its device key is made of it.
    pub number: u32,
    /// Where it is, as far as the server can see.
    pub address: SocketAddr,
    device: Device,
    config: DeviceConfig,
    /// What it was like at first.
    nature: Nature,
    product_key: String,
    /// Whether it has current.
    powered: bool,
    connecting: bool,
    interval: Duration,
    timed: bool,
    wake: Option<Instant>,
    next_report: u64,
    /// Of the secret that it has.
    secret_tag: u32,
    waits: bool,
    attempts: u32,
    /// What it does beside its reports, where it does more.
    duties: Option<Duties>,
    /// Its next login by plain CoAP comes from another port.
    takes_new_port: bool,
    trace: VecDeque<(Instant, String)>,
}

/// What a new agent is like.
#[derive(Debug, Clone)]
pub struct Nature {
    /// Its number.
    pub number: u32,
    /// Where it is at first.
    pub address: SocketAddr,
    /// Its product.
    pub product_key: String,
    /// Its secret, or its product's where it has none of its own.
    pub secret: String,
    /// Whose secret it is.
    pub mode: SecureMode,
    /// Its lifetime, seconds.
    pub lifetime_s: u32,
    /// Its only suite.
    pub suite: CipherSuite,
    /// Time between two reports.
    pub interval: Duration,
    /// When it is switched on.
    pub begins: Instant,
    /// Whether it is the second device with this number and these secrets.
    pub is_twin: bool,
    /// Whether its reports carry their time, by a clock that is right.
    pub timed: bool,
    /// Whether it takes commands, and says more than its reports.
    pub has_duties: bool,
    /// Whether it talks plain CoAP, once it has a secret of its own.
    pub is_plain: bool,
}

/// It asks again with another Message ID after seconds, and not after a minute and a half.
fn impatient() -> Params {
    Params { max_retransmit: 2, ..Params::default() }
}

/// The device key of an agent.
pub fn device_key(number: u32) -> String {
    format!("device-{number}")
}

impl Agent {
    /// An agent that begins when its nature says so.
    pub fn new(nature: Nature) -> Self {
        let first = nature.clone();
        let Nature {
            number,
            address,
            product_key,
            secret,
            mode,
            lifetime_s,
            suite,
            interval,
            begins,
            timed,
            has_duties,
            is_plain,
            ..
        } = nature;
        let first_report = if nature.is_twin { TWINS_REPORTS } else { 0 };
        let identity =
            Identity { mode, lifetime_s, ..Identity::new(product_key.clone(), device_key(number)) };
        let mut config = DeviceConfig::new(identity, key_of(secret.as_bytes())).suite(suite);
        if has_duties {
            config.coap = Arc::new(impatient());
        }
        if is_plain && mode == SecureMode::Device {
            config = config.plain(&secret);
        }
        let duties = has_duties.then(|| Duties::new(number, &product_key, &device_key(number)));
        Self {
            number,
            address,
            device: Device::new(config.clone()),
            config,
            nature: first,
            product_key,
            powered: true,
            connecting: false,
            interval,
            timed,
            wake: Some(begins),
            next_report: first_report,
            secret_tag: tag_of(&secret),
            waits: false,
            attempts: 0,
            duties,
            takes_new_port: false,
            trace: VecDeque::new(),
        }
    }

    /// What it was like at first.
    pub fn nature(&self) -> Nature {
        self.nature.clone()
    }

    /// Its lifetime, seconds.
    pub const fn lifetime_s(&self) -> u32 {
        self.config.identity.lifetime_s
    }

    /// Whether it has a secret of its own.
    pub fn has_own_secret(&self) -> bool {
        self.config.identity.mode == SecureMode::Device
    }

    /// Whether it has current.
    pub const fn is_powered(&self) -> bool {
        self.powered
    }

    /// When it wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.wake, self.device.poll_timeout()].into_iter().flatten().min()
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.device.poll_transmit()
    }

    /// Notes a moment.
    pub fn note(&mut self, now: Instant, what: impl fmt::Display) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back((now, what.to_string()));
    }

    /// Its last moments, one in a line.
    pub fn trace(&self, start: Instant) -> String {
        let line =
            |(at, what): &(Instant, String)| format!("  {:>12.3} s  {what}\n", (*at - start).as_secs_f64());
        self.trace.iter().map(line).collect()
    }

    /// Takes a datagram.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        random: &mut SeededRandom,
        said: &mut Vec<Said>,
    ) {
        if self.powered {
            self.device.handle_datagram(now, bytes, random);
            self.listen(now, random, said);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut SeededRandom, said: &mut Vec<Said>) {
        if self.device.poll_timeout().is_some_and(|due| due <= now) {
            self.device.handle_timeout(now, random);
        }
        self.listen(now, random, said);
        if self.wake.is_some_and(|due| due <= now) {
            self.wake = None;
            self.act(now, random, said);
        }
        self.listen(now, random, said);
    }

    /// It loses its current, without a word.
    pub fn power_off(&mut self, now: Instant, random: &mut SeededRandom) {
        self.note(now, "loses its current");
        self.powered = false;
        self.connecting = false;
        self.wake = None;
        // A device that is off cannot refuse to be off.
        let _ = self.device.handle_command(now, DeviceCommand::PowerOff, random);
    }

    /// It has current again and connects.
    pub fn power_on(&mut self, now: Instant) {
        self.powered = true;
        self.wake = Some(now);
    }

    /// Somebody puts another secret into it; it connects anew.
    pub fn take_secret(&mut self, now: Instant, secret: &str) {
        self.note(now, "is given another secret by hand");
        self.renew(SecureMode::Device, secret);
        self.wake = self.powered.then_some(now);
    }

    fn renew(&mut self, mode: SecureMode, secret: &str) {
        self.forget_asked();
        self.config.identity.mode = mode;
        self.config.psk = key_of(secret.as_bytes());
        if self.nature.is_plain && mode == SecureMode::Device {
            self.config = self.config.clone().plain(secret);
        }
        self.secret_tag = tag_of(secret);
        self.device = Device::new(self.config.clone());
        self.connecting = false;
        self.waits = false;
    }

    /// From now on it does its best.
    pub fn be_diligent(&mut self) {
        if let Some(duties) = &mut self.duties {
            duties.is_diligent = true;
        }
    }

    fn forget_asked(&mut self) {
        if let Some(duties) = &mut self.duties {
            duties.forget_asked();
        }
    }

    fn connect(&mut self, now: Instant, random: &mut SeededRandom) {
        self.forget_asked();
        self.connecting = true;
        self.waits = false;
        self.takes_new_port = self.begins_at_new_port();
        self.note(now, format!("connects from {}", self.address));
        // It can always try.
        let _ = self.device.handle_command(now, DeviceCommand::Connect, random);
    }

    fn act(&mut self, now: Instant, random: &mut SeededRandom, said: &mut Vec<Said>) {
        if !self.powered {
            return;
        }
        if !self.device.is_connected() {
            if !self.connecting {
                self.connect(now, random);
            }
            return;
        }
        self.wake = Some(now + self.interval);
        if self.waits {
            return;
        }
        let command = if !self.has_own_secret() {
            DeviceCommand::AskActivation
        } else if let Some(request) = self.next_duty(now, random, said) {
            DeviceCommand::Request(request)
        } else if random.chance(100) {
            DeviceCommand::Ping
        } else {
            self.next_report += 1;
            let (number, report, tag) = (self.number, self.next_report, self.secret_tag);
            let points = format!(r#"{{"d":{number},"n":{report},"s":{tag}}}"#);
            said.push(Said::Sent(self.next_report));
            self.note(now, format!("sends report {}", self.next_report));
            let time_ms = self.timed.then(|| WallClock::new(start()).at(now).wall.0);
            DeviceCommand::Report(Report { id: self.next_report, time_ms, points: points.into() })
        };
        self.waits = self.device.handle_command(now, command, random).is_ok();
    }

    fn next_duty(
        &mut self,
        now: Instant,
        random: &mut SeededRandom,
        said: &mut Vec<Said>,
    ) -> Option<Request> {
        let mut done = Vec::new();
        let duties = self.duties.as_mut()?;
        let waiting = self.device.command_waiting();
        let request = duties.next((now, random), waiting, self.secret_tag, &mut done);
        if let Some(request) = &request {
            let text = String::from_utf8_lossy(&request.payload).into_owned();
            self.note(now, format_args!("asks {:?} {} {text}", request.method, request.path_text()));
        }
        said.extend(done.into_iter().map(Said::Done));
        request
    }

    /// An answer came: what is to be done next is done soon.
    fn heed(&mut self, now: Instant, random: &mut SeededRandom) {
        let Some(duties) = &self.duties else { return };
        let soon = self.device.command_waiting().map(|_| now + Duration::from_millis(random.below(800)));
        let wanted = [self.wake, duties.due().map(|due| due.max(now)), soon];
        self.wake = wanted.into_iter().flatten().min();
    }

    fn take_answer(
        &mut self,
        now: Instant,
        response: &Response,
        random: &mut SeededRandom,
        said: &mut Vec<Said>,
    ) {
        let Some(duties) = &mut self.duties else { return };
        let mut done = Vec::new();
        duties.answered((now, random), response, &mut done);
        let text = String::from_utf8_lossy(&response.payload).into_owned();
        self.note(now, format_args!("is answered {:?} {text}", response.code));
        said.extend(done.into_iter().map(Said::Done));
    }

    fn listen(&mut self, now: Instant, random: &mut SeededRandom, said: &mut Vec<Said>) {
        while let Some(event) = self.device.poll_event() {
            self.hear(now, event, random, said);
        }
    }

    /// Nothing came back: it tries again, or connects anew.
    fn hear_nothing(&mut self, now: Instant, asked: &Asked, random: &mut SeededRandom) {
        let what = if let Asked::Report(report) = asked {
            format!("report {}", report.id)
        } else {
            format!("{asked:?}")
        };
        if self.duties.as_mut().is_some_and(|duties| duties.stays_after_silence(now)) {
            self.note(now, format_args!("{what} stays unanswered: it tries again"));
            self.waits = false;
            self.wake = Some(now + Duration::from_millis(random.below(2_000)));
            return;
        }
        self.note(now, format_args!("{what} stays unanswered: a new handshake"));
        self.connect(now, random);
    }

    fn hear(&mut self, now: Instant, event: DeviceEvent, random: &mut SeededRandom, said: &mut Vec<Said>) {
        match event {
            DeviceEvent::Connected { .. } | DeviceEvent::LoggedIn => {
                self.note(now, "is connected");
                self.connecting = false;
                self.attempts = 0;
                self.wake = Some(now);
            }
            DeviceEvent::ConnectFailed(failure) => {
                self.note(now, format_args!("could not connect: {failure:?}"));
                self.connecting = false;
                self.attempts += 1;
                let pause = (5_u64 << self.attempts.min(3)) * 1000;
                self.wake = Some(now + Duration::from_millis(pause / 2 + random.below(pause)));
            }
            DeviceEvent::Acknowledged { id } => {
                self.note(now, format_args!("report {id} is acknowledged"));
                self.waits = false;
                self.heed(now, random);
                said.push(Said::Acknowledged(id));
            }
            DeviceEvent::ReportRefused { id, response, .. } => {
                self.note(now, format_args!("report {id} is answered {:?}", response.code));
                if response.code == Code::CHANGED {
                    said.push(Said::Faulted(id));
                }
                self.waits = false;
                self.heed(now, random);
            }
            DeviceEvent::Activated(secret) => {
                self.note(now, "has received its secret");
                let text = String::from_utf8_lossy(secret.as_bytes()).into_owned();
                self.renew(SecureMode::Device, &text);
                self.wake = Some(now + Duration::from_millis(200));
                said.push(Said::Received(text));
            }
            DeviceEvent::ActivationRefused(response) => {
                self.note(now, format_args!("its question for a secret is answered {:?}", response.code));
                self.waits = false;
            }
            DeviceEvent::Answered(response) => {
                self.waits = false;
                self.take_answer(now, &response, random, said);
                self.heed(now, random);
            }
            DeviceEvent::Carried { path, command } => self.take_carried(now, (&path, &command), random, said),
            DeviceEvent::Pong => self.waits = false,
            DeviceEvent::Unanswered { asked, .. } => self.hear_nothing(now, &asked, random),
            DeviceEvent::Closed => {
                self.note(now, "the server closed its session");
                self.waits = false;
                self.wake = Some(now + Duration::from_millis(1_000 + random.below(5_000)));
            }
        }
    }

    /// How many reports it has sent.
    pub const fn reports(&self) -> u64 {
        self.next_report
    }

    /// Its product.
    pub fn product_key(&self) -> &str {
        &self.product_key
    }

    /// Whether it has a session, as far as it knows.
    pub fn is_connected(&self) -> bool {
        self.device.is_connected()
    }
}
