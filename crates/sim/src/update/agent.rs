//! One device of the fleet: it connects, says which version it has, reports, and takes the update that a
//! response names.
//!
//! ```text
//! connect ─▶ inform ─▶ report, pause, report, …
//!               └─ a command waits ─▶ fetch ─▶ reply ─▶ [`Update`] ─▶ the end
//! ```
//!
//! A request without an answer ends the session: the next one goes on where it was.

use std::time::{Duration, Instant};

use narrowgate_coap::{Code, Request, Response, format};
use narrowgate_platform::device_api::{commands::COMMAND_WAITING, short};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    device::{
        Device, DeviceCommand, DeviceConfig, DeviceEvent, json_of, post_json,
        update::{Dialect, Offer, Outcome, Took, Update},
    },
    random::SeededRandom,
};

/// Between two reports of a device to which nothing was offered.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause before a device connects anew.
const RECONNECT_MS: u64 = 20_000;
/// The version that every device has at first.
pub(super) const OLD_VERSION: &str = "1.0";

/// What a device waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Inform,
    Report,
    Fetch,
    Reply,
    Update,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) device: Device,
    dialect: Dialect,
    base: String,
    block_bytes: usize,
    /// In which step it fails.
    fault: Option<i8>,
    asked: Option<Asked>,
    is_connecting: bool,
    /// Its session is good for nothing any more.
    is_stale: bool,
    has_informed: bool,
    /// The server has taken a report after that.
    has_reported: bool,
    /// The path of a command that waits.
    waiting: Option<String>,
    /// A command that is to be answered, and what it offers.
    accepted: Option<(String, Update)>,
    update: Option<Update>,
    /// Before that it does nothing by itself.
    due: Option<Instant>,
    pub(super) end: Option<Outcome>,
    /// Blocks that it got; of an update that goes on, so far.
    pub(super) blocks: u64,
    pub(super) sessions: u64,
    pub(super) went_on: u64,
    pub(super) throttled: u64,
}

impl Agent {
    /// A device that begins at this time.
    pub(super) fn new(config: DeviceConfig, dialect: Dialect, block_bytes: usize, begins: Instant) -> Self {
        let base = format!("/topic/sys/{}/{}", config.identity.product_key, config.identity.device_key);
        Self {
            device: Device::new(config),
            dialect,
            base,
            block_bytes,
            fault: None,
            asked: None,
            is_connecting: false,
            is_stale: false,
            has_informed: false,
            has_reported: false,
            waiting: None,
            accepted: None,
            update: None,
            due: Some(begins),
            end: None,
            blocks: 0,
            sessions: 0,
            went_on: 0,
            throttled: 0,
        }
    }

    /// The same device, which fails in this step.
    pub(super) const fn that_fails(mut self, step: Option<i8>) -> Self {
        self.fault = step;
        self
    }

    /// Whether it has ended, or has nothing to do and the server knows its version.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.end.is_some() || self.has_reported && !self.is_at_work()
    }

    /// Whether it has taken an update that has not ended.
    pub(super) const fn is_at_work(&self) -> bool {
        self.end.is_none() && (self.update.is_some() || self.accepted.is_some())
    }

    /// Blocks of an image of so many bytes, as it fetches them.
    pub(super) const fn blocks_of(&self, bytes: usize) -> u64 {
        bytes.div_ceil(self.block_bytes) as u64
    }

    /// Whether it fetches blocks.
    pub(super) fn is_fetching(&self) -> bool {
        self.end.is_none() && self.update.as_ref().is_some_and(Update::is_fetching)
    }

    /// When it is to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.device.poll_timeout().into_iter().chain(self.due).min()
    }

    /// It loses its power, or the coverage, until then.
    pub(super) fn vanish(&mut self, now: Instant, until: Instant, random: &mut SeededRandom) {
        // Ignored: a device can always be switched off.
        let _ = self.device.handle_command(now, DeviceCommand::PowerOff, random);
        (self.asked, self.is_connecting, self.waiting) = (None, false, None);
        self.due = Some(until);
    }

    /// Does what is due, takes what its device tells, and asks what is next.
    pub(super) fn drive(&mut self, now: Instant, random: &mut SeededRandom) {
        if self.device.poll_timeout().is_some_and(|due| due <= now) {
            self.device.handle_timeout(now, random);
        }
        loop {
            while let Some(event) = self.device.poll_event() {
                self.handle_event(now, event, random);
            }
            let Some(command) = self.next(now) else { return };
            if self.device.handle_command(now, command, random).is_err() {
                self.begin_anew(now, random);
            }
        }
    }

    fn next(&mut self, now: Instant) -> Option<DeviceCommand> {
        if self.due.is_some_and(|due| due > now) || self.is_connecting {
            return None;
        }
        self.due = None;
        if self.end.is_some() {
            return self.device.is_connected().then_some(DeviceCommand::Close);
        }
        if self.is_stale || !self.device.is_connected() {
            (self.is_connecting, self.is_stale, self.asked) = (true, false, None);
            return Some(DeviceCommand::Connect);
        }
        if self.asked.is_some() {
            return None;
        }
        let (asked, request) = self.request();
        self.asked = Some(asked);
        Some(DeviceCommand::Request(request))
    }

    /// What is asked next.
    fn request(&mut self) -> (Asked, Request) {
        if let Some(update) = &mut self.update {
            return (Asked::Update, update.request());
        }
        if let Some((reply_to, _)) = &self.accepted {
            return (Asked::Reply, self.reply(reply_to));
        }
        if let Some(path) = &self.waiting {
            let get = Request::get(path);
            let is_cbor = matches!(self.dialect, Dialect::Topics { content_format: format::CBOR, .. });
            return (Asked::Fetch, if is_cbor { get.accept(format::CBOR) } else { get });
        }
        let is_report = self.has_informed;
        let (asked, topic, params) = match is_report {
            true => (Asked::Report, "thing/measurepoint/post", r#"{"measurepoints":{"n":1}}"#.to_owned()),
            false => (Asked::Inform, "ota/device/inform", format!(r#"{{"version":"{OLD_VERSION}"}}"#)),
        };
        let request = match &self.dialect {
            Dialect::Topics { content_format, .. } => {
                let body = format!(r#"{{"id":"1","version":"1.0","params":{params}}}"#);
                post_json(&format!("{}/{topic}", self.base), *content_format, &body)
            }
            Dialect::Short if is_report => post_json("/p", format::CBOR, r#"{"n":1}"#),
            Dialect::Short => post_json("/o", format::CBOR, &params),
        };
        (asked, request)
    }

    fn reply(&self, reply_to: &str) -> Request {
        match &self.dialect {
            Dialect::Short => post_json("/c", format::CBOR, &format!("[{reply_to},200]")),
            Dialect::Topics { content_format, .. } => {
                let body = format!(r#"{{"id":"{reply_to}","code":200,"data":{{}}}}"#);
                post_json(&format!("{}/ota/device/upgrade_reply", self.base), *content_format, &body)
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: DeviceEvent, random: &mut SeededRandom) {
        match event {
            DeviceEvent::Connected { .. } => {
                self.is_connecting = false;
                self.sessions += 1;
                self.went_on += u64::from(self.update.as_ref().is_some_and(|update| update.fetched() > 0));
            }
            DeviceEvent::Answered(response) => self.answered(now, &response),
            DeviceEvent::ConnectFailed(_) | DeviceEvent::Closed | DeviceEvent::Unanswered { .. } => {
                self.begin_anew(now, random);
            }
            // Ignored: it asks nothing else.
            _ => {}
        }
    }

    fn begin_anew(&mut self, now: Instant, random: &mut SeededRandom) {
        (self.asked, self.is_connecting, self.is_stale) = (None, false, true);
        self.due = Some(now + Duration::from_millis(random.below(RECONNECT_MS)));
    }

    fn answered(&mut self, now: Instant, response: &Response) {
        self.throttled += u64::from(response.code == Code::TOO_MANY_REQUESTS);
        self.waiting = topic_of(response);
        let is_busy = matches!(response.code, Code::TOO_MANY_REQUESTS | Code::SERVICE_UNAVAILABLE);
        match self.asked.take() {
            Some(Asked::Update) => self.updated(now, response),
            _ if is_busy => self.due = Some(now + PAUSE),
            Some(Asked::Reply) => {
                if let Some((_, update)) = self.accepted.take() {
                    self.update = Some(update);
                }
            }
            Some(Asked::Fetch) => self.fetched(now, response),
            Some(Asked::Inform) => self.has_informed = true,
            Some(Asked::Report) => {
                self.has_reported = true;
                self.due = self.waiting.is_none().then_some(now + PAUSE);
            }
            None => {}
        }
    }

    fn updated(&mut self, now: Instant, response: &Response) {
        let Some(update) = &mut self.update else { return };
        let before = update.blocks();
        let took = update.handle_answer(response);
        self.blocks += u64::from(update.blocks() - before);
        match took {
            Took::On => {}
            Took::Wait(time) => self.due = Some(now + time),
            Took::Over(outcome) => self.end = Some(outcome),
        }
    }

    /// Takes the command.
    fn fetched(&mut self, now: Instant, response: &Response) {
        let json = json_of(response);
        let command = match &self.dialect {
            Dialect::Short => short_command(&json),
            Dialect::Topics { .. } => long_command(&json),
        };
        match command.filter(|_| response.code == Code::CONTENT) {
            Some((id, params)) => match Offer::parse(&params) {
                Ok(offer) => {
                    let update = Update::new(offer, self.dialect.clone(), self.block_bytes);
                    self.accepted = Some((id, update.that_fails(self.fault)));
                }
                Err(reason) => self.end = Some(Outcome::Stopped(reason)),
            },
            None => {
                self.waiting = None;
                self.due = Some(now + PAUSE);
            }
        }
    }
}

/// The path by which a command is fetched, if a response says that one waits.
fn topic_of(response: &Response) -> Option<String> {
    let long = response.options.find(COMMAND_WAITING);
    let long = long.map(|path| String::from_utf8_lossy(path).into_owned());
    long.or_else(|| response.options.find(short::COMMAND_WAITING).map(|_| "/c".to_owned()))
}

fn long_command(json: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Command {
        id: String,
        params: Box<RawValue>,
    }
    let Command { id, params } = serde_json::from_slice(json).ok()?;
    Some((id, params.get().to_owned()))
}

fn short_command(json: &[u8]) -> Option<(String, String)> {
    const UPGRADE: u8 = 4;
    let (id, kind, params): (u32, u8, Box<RawValue>) = serde_json::from_slice(json).ok()?;
    (kind == UPGRADE).then(|| (id.to_string(), params.get().to_owned()))
}
