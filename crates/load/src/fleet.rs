//! A fleet that reports all the time and outlives its server: what crash tests compare the store with.
//!
//! Every report says who sent it and which one it is, `{"d":17,"n":4711,…}`, and is sent once: repeated by
//! CoAP within its session, given up when that ends. Devices connect again at once when the server is silent.
//!
//! The log has one line for each step, written before the next step is taken:
//!
//! ```text
//! S 17 4711        device 17 is about to send report 4711 (it may or may not be stored)
//! A 17 4711        it is acknowledged (it must be stored, once)
//! R 17 4711 5.03 30   it was refused, here by 5.03 with a Max-Age of 30 s
//! G 17 4711        it stayed without an answer
//! X 90 3fa0…       device 90 has received a secret by dynamic activation: 16 hex digits of its SHA-256
//! W 90 3fa0…       … and has logged in with it
//! F 90 3fa0…       … and could not log in with it, though the server has answered
//! ```
//!
//! With duties ([`Fleet::has_duties`]) there are more:
//!
//! ```text
//! C 17 20 4711 restart   device 17 has received command 20 of a topic, with the number 4711 in it
//! B 17 20 200      it is about to answer it with this code
//! T 17 20          the answer is acknowledged
//! U 17 a 5         it is about to set its attribute a (its tag k; to nothing: -)
//! V 17 a 5         that is acknowledged
//! Q 17 a 5         it was told that this is its attribute
//! E 17 3           it is about to tell of its event 3
//! K 17 3           that is acknowledged
//! P 17 …           it was told something that makes no sense
//! ```
//!
//! Limits: [`DEVICES_MAX`] devices, [`RATE_MAX`] reports per second, a log that grows by some 25 bytes for
//! each report.

mod activation;
mod duties;
mod log;

use std::{
    collections::VecDeque,
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use narrowgate_coap::{OptionNumber, Params};
use serde::Serialize;

use self::{activation::Activators, duties::Workers, log::Log};
use narrowgate_sim::{
    device::{DeviceCommand, DeviceConfig, DeviceEvent, Report},
    devices,
};

use super::{LoadConfig, LoadError, check_range, crowd::Crowd};

pub use activation::Activation;

/// Devices of a fleet.
pub const DEVICES_MAX: u32 = 10_000;
/// Reports per second.
pub const RATE_MAX: u32 = 100_000;
/// After this silence of the server a device tries another handshake.
const PATIENCE: Duration = Duration::from_millis(700);
/// Between two attempts of a device.
const PAUSE: Duration = Duration::from_millis(100);
/// First repetition of a message. Short, because a crash test has many restarts and short paths.
const REPEAT_AFTER: Duration = Duration::from_millis(200);
/// How long to wait at the end for answers under way.
const END_TIME_MAX: Duration = Duration::from_secs(4);
/// Reports that may be caught up after an outage, as a fraction of a second's.
const BACKLOG_PARTS: u32 = 4;

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How many devices report.
    pub devices: u32,
    /// Reports per second, over all of them.
    pub rate: u32,
    /// The log file; an existing one is continued.
    pub log: PathBuf,
    /// Devices that fetch their secrets meanwhile.
    pub activation: Option<Activation>,
    /// Whether the devices take commands, set attributes and tags, and tell of events.
    pub has_duties: bool,
    /// Ends the run before its time limit.
    pub stop: Arc<AtomicBool>,
}

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Reports sent.
    pub sent: u64,
    /// … that were acknowledged.
    pub acknowledged: u64,
    /// … that got another answer.
    pub refused: u64,
    /// … that got none.
    pub given_up: u64,
    /// Handshakes that succeeded.
    pub connected: u64,
    /// Handshakes that did not.
    pub not_connected: u64,
    /// Secrets received by dynamic activation.
    pub secrets_received: u64,
    /// Devices that logged in with a secret received.
    pub activated: u64,
    /// Logins with a secret received that were refused.
    pub secrets_refused: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, refused, given_up, connected, not_connected, .. } = self;
        writeln!(
            f,
            "reports  {sent} sent, {acknowledged} acknowledged, {refused} refused, {given_up} given up"
        )?;
        writeln!(f, "logins   {connected}, and {not_connected} in vain")?;
        let Self { secrets_received, activated, secrets_refused, .. } = self;
        writeln!(f, "secrets  {secrets_received} received, {activated} used, {secrets_refused} refused")
    }
}

/// Reports until the time limit or until it is stopped.
///
/// # Errors
/// The numbers, the socket or the log. An unreachable server is not an error.
pub fn run(config: &LoadConfig, fleet: &Fleet) -> Result<Summary, LoadError> {
    check_range("devices", fleet.devices, DEVICES_MAX)?;
    check_range("rate", fleet.rate, RATE_MAX)?;
    let log = Log::open(&fleet.log)?;
    let activators = Activators::new(config.suite, fleet.devices, fleet.activation.as_ref());
    let crowd = Crowd::new(config.clone(), fleet.devices + activators.slots())?;
    let now = Instant::now();
    let duties = if fleet.has_duties {
        Workers::new(&config.product_key, config.first_device, fleet.devices, random_seed()?)
    } else {
        Workers::none()
    };
    let mut run = Run {
        config,
        crowd,
        duties,
        log,
        members: vec![Member::default(); fleet.devices as usize + 1],
        ready: VecDeque::new(),
        resting: (1..=fleet.devices).map(|number| (now, number)).collect(),
        credit: 0.0,
        rate: fleet.rate,
        filled: now,
        summary: Summary::default(),
    };
    run.work(fleet, activators)?;
    Ok(run.summary)
}

#[derive(Debug, Clone, Copy, Default)]
struct Member {
    /// Number of the last report.
    sent: u64,
    waits: bool,
    /// When the handshake under way began.
    connecting: Option<Instant>,
}

struct Run<'a> {
    config: &'a LoadConfig,
    crowd: Crowd,
    duties: Workers,
    log: Log,
    /// By number, from 1.
    members: Vec<Member>,
    /// Connected, without a report on its way.
    ready: VecDeque<u32>,
    /// Not connected, and when it tries again.
    resting: VecDeque<(Instant, u32)>,
    /// Reports that are due.
    credit: f64,
    rate: u32,
    filled: Instant,
    summary: Summary,
}

impl Run<'_> {
    fn work(&mut self, fleet: &Fleet, mut activators: Activators<'_>) -> Result<(), LoadError> {
        let begin = Instant::now();
        let mut events = Vec::new();
        let mut end = None;
        loop {
            let now = Instant::now();
            let over = fleet.stop.load(Ordering::Relaxed) || now >= begin + self.config.time_limit;
            if over && end.is_none() {
                end = Some(now + END_TIME_MAX);
            }
            if end.is_some_and(|end| now >= end || self.is_quiet() && activators.is_quiet()) {
                return Ok(());
            }
            self.connect_due(now)?;
            if end.is_none() {
                self.report_due(now)?;
            }
            activators.turn(now, end.is_none(), &mut self.crowd)?;
            self.crowd.turn(&mut events)?;
            let now = Instant::now();
            for (number, event) in events.drain(..) {
                if number > fleet.devices {
                    let Self { crowd, log, summary, .. } = self;
                    activators.handle_event(now, number, event, crowd, log, summary)?;
                } else {
                    self.handle_event(now, number, &event)?;
                }
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.members.iter().all(|member| !member.waits)
    }

    fn connect_due(&mut self, now: Instant) -> Result<(), LoadError> {
        while let Some((at, number)) = self.resting.front().copied() {
            if at > now {
                break;
            }
            self.resting.pop_front();
            let member = &mut self.members[number as usize];
            member.connecting = Some(now);
            let LoadConfig { product_key, first_device, suite, .. } = self.config;
            let device = devices::device_config(product_key, first_device + number - 1, *suite);
            self.crowd.connect_as(now, number, impatient(device))?;
        }
        for number in 1..self.members.len() as u32 {
            let begun = self.members[number as usize].connecting;
            if begun.is_some_and(|begun| now >= begun + PATIENCE) {
                self.summary.not_connected += 1;
                self.rest(now, number);
            }
        }
        Ok(())
    }

    fn rest(&mut self, now: Instant, number: u32) {
        self.crowd.forget(number);
        self.members[number as usize].connecting = None;
        self.resting.push_back((now + PAUSE, number));
    }

    fn report_due(&mut self, now: Instant) -> Result<(), LoadError> {
        let most = f64::from(self.rate) / f64::from(BACKLOG_PARTS);
        let earned = (now - self.filled).as_secs_f64() * f64::from(self.rate);
        self.credit = (self.credit + earned).min(most.max(1.0));
        self.filled = now;
        while self.credit >= 1.0 {
            let Some(number) = self.ready.pop_front() else { break };
            self.credit -= 1.0;
            let device = self.config.first_device + number - 1;
            let Self { duties, crowd, log, .. } = self;
            if let Some(request) = duties.next(now, (number, device), crowd.command_waiting(number), log)? {
                let is_taken = crowd.command(now, number, DeviceCommand::Request(request))?;
                self.members[number as usize].waits = is_taken;
                if !is_taken {
                    self.rest(now, number);
                }
                continue;
            }
            let member = &mut self.members[number as usize];
            member.sent += 1;
            let id = member.sent;
            self.log.line(format_args!("S {device} {id}"))?;
            let report = Report { id, time_ms: None, points: points(device, id).into() };
            if self.crowd.command(now, number, DeviceCommand::Report(report))? {
                self.members[number as usize].waits = true;
                self.summary.sent += 1;
            } else {
                self.rest(now, number);
            }
        }
        Ok(())
    }

    fn handle_event(&mut self, now: Instant, number: u32, event: &DeviceEvent) -> Result<(), LoadError> {
        let device = self.config.first_device + number - 1;
        let member = &mut self.members[number as usize];
        let id = member.sent;
        match event {
            DeviceEvent::Connected { .. } => {
                self.summary.connected += 1;
                member.connecting = None;
                self.ready.push_back(number);
            }
            DeviceEvent::ConnectFailed(_) => {
                self.summary.not_connected += 1;
                self.rest(now, number);
            }
            DeviceEvent::Acknowledged { .. } => {
                self.log.line(format_args!("A {device} {id}"))?;
                self.summary.acknowledged += 1;
                member.waits = false;
                self.ready.push_back(number);
            }
            DeviceEvent::ReportRefused { response, .. } => {
                let max_age = response
                    .options
                    .find_uint(OptionNumber::MAX_AGE)
                    .map_or("-".to_owned(), |age| age.to_string());
                self.log.line(format_args!("R {device} {id} {} {max_age}", response.code))?;
                self.summary.refused += 1;
                member.waits = false;
                // As the answer asks for, but never for its full time.
                self.rest(now, number);
            }
            DeviceEvent::Answered(response) => {
                member.waits = false;
                if self.duties.answered(now, (number, device), response, &mut self.log)? {
                    self.ready.push_back(number);
                } else {
                    self.rest(now, number);
                }
            }
            DeviceEvent::Unanswered { .. } | DeviceEvent::Closed => {
                if self.duties.interrupt(now, number) {
                    member.waits = false;
                    self.rest(now, number);
                } else if std::mem::take(&mut member.waits) {
                    self.log.line(format_args!("G {device} {id}"))?;
                    self.summary.given_up += 1;
                    self.rest(now, number);
                } else if matches!(event, DeviceEvent::Closed) {
                    self.ready.retain(|other| *other != number);
                    self.rest(now, number);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn random_seed() -> Result<u64, LoadError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| LoadError::Socket(io::Error::other(error)))?;
    Ok(u64::from_ne_bytes(seed))
}

/// The same device, for a way of microseconds and a server that often starts anew.
fn impatient(device: DeviceConfig) -> DeviceConfig {
    let coap = Params { ack_timeout: REPEAT_AFTER, max_retransmit: 1, ..Params::default() };
    DeviceConfig { retransmit_initial: REPEAT_AFTER, coap: Arc::new(coap), ..device }
}

/// What report `id` of `device` says. The text is as long as its number wants, so that rows differ in size.
pub fn points(device: u32, id: u64) -> String {
    let filler = "narrowgate".repeat((id % 7) as usize);
    format!(r#"{{"d":{device},"n":{id},"s":"{filler}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reports_say_the_same() {
        let all: std::collections::HashSet<_> =
            (1..=20).flat_map(|device| (1..=50).map(move |id| points(device, id))).collect();
        assert_eq!(all.len(), 1000);
        assert_eq!(points(17, 8), r#"{"d":17,"n":8,"s":"narrowgate"}"#);
    }

    #[test]
    fn a_fleet_without_a_server_tries_until_it_is_stopped() {
        let folder = std::env::temp_dir().join(format!("narrowgate-fleet-{}", std::process::id()));
        let config = LoadConfig {
            target: "127.0.0.1:9".parse().expect("loopback is a target"),
            product_key: "MuGsF6W4".to_owned(),
            first_device: 1,
            suite: narrowgate_dtls::CipherSuite::PskAes128Ccm8,
            lifetime_s: 3600,
            time_limit: Duration::from_millis(1),
        };
        let fleet = Fleet {
            devices: 3,
            rate: 10,
            log: folder.clone(),
            activation: None,
            has_duties: true,
            stop: Arc::new(AtomicBool::new(false)),
        };
        assert_eq!(run(&config, &fleet).expect("nobody has to answer"), Summary::default());
        assert_eq!(std::fs::read(&folder).expect("it was made"), b"");
        std::fs::remove_file(folder).expect("it is ours");
    }
}
