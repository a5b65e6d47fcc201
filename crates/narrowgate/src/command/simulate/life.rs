//! The life of a simulated device: what it asks, and what it makes of the answers. Pure: time and events go
//! in, acts and lines come out.
//!
//! ```text
//! connect ─▶ (mode 3: ask for the secret, connect with it) ─▶ attributes, event ─▶ report ─▶ pause ─▶ …
//!                       after each answer: GET of a command that waits, and its reply;
//!                       with --update: the blocks of the image that it offers (`firmware`)
//! ```
//!
//! A request that is not answered ends the session, and the next report begins another one: the server may
//! have forgotten this one.

mod firmware;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, FailureCause, OptionNumber, Request, Response, format};
use narrowgate_platform::rules::commands::OPEN_MAX_RANGE;
use narrowgate_sim::device::{ConnectFailure, DeviceCommand, DeviceEvent, IssuedSecret, json_of, post_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use self::firmware::Firmware;
use super::{NUMBER, fault::Right, line::Line};
use crate::cli::{Fault, Reply};

/// Commands that are fetched after one report: as many as may wait at most (device protocol, section 6).
const COMMANDS_MAX: usize = *OPEN_MAX_RANGE.end();
/// Names the topic of a command that waits (device protocol, section 6).
const COMMAND_WAITING: OptionNumber = OptionNumber(2100);

/// What the device does.
#[derive(Debug)]
pub(super) struct Plan {
    /// The path of its topics: `/topic/sys/PK/DK`.
    pub(super) base: String,
    /// It fetches its secret first.
    pub(super) activates: bool,
    pub(super) interval: Duration,
    pub(super) count: Option<u32>,
    pub(super) points: String,
    pub(super) attributes: Option<String>,
    pub(super) event: Option<(String, String)>,
    /// What it writes and asks for: JSON or CBOR.
    pub(super) content_format: u16,
    pub(super) reply: Reply,
    /// It takes the firmware that it is offered.
    pub(super) updates: bool,
    /// The version that it says it has.
    pub(super) firmware: Option<String>,
    pub(super) fault: Option<Fault>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Activation,
    Attributes,
    Event,
    Report,
    Fetch,
    Reply,
    /// Of the firmware that it has.
    Version,
    /// Of the image.
    Block,
    /// How far the update is, and that it is done.
    Progress,
}

/// What is to be done with the device.
#[derive(Debug)]
pub(super) enum Act {
    Command(DeviceCommand),
    /// It is another one from now on: with its own secret.
    Become(IssuedSecret),
}

/// A request without an answer so far.
#[derive(Debug)]
struct Asked {
    what: What,
    since: Instant,
    path: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Life {
    plan: Plan,
    has_secret: bool,
    /// Something came from the server.
    heard: bool,
    connected: bool,
    began: bool,
    asked: Option<Asked>,
    todo: VecDeque<(What, Request)>,
    /// When the last report was due.
    begun: Instant,
    reports: u32,
    acknowledged: u32,
    /// Reports that were answered as a fault has to be.
    refused: u32,
    /// Reports of which it is known what became of them: not one under way when the device is ended.
    ended: u32,
    commands: u32,
    /// Commands fetched after the last report.
    fetched: usize,
    /// Topics of those that were not answered: a GET would get the same command again.
    held: Vec<String>,
    firmware: Firmware,
    failure: Option<String>,
    refused_handshake: bool,
    over: bool,
    acts: VecDeque<Act>,
    lines: VecDeque<Line>,
}

impl Life {
    pub(super) fn new(plan: Plan, now: Instant) -> Self {
        Self {
            has_secret: !plan.activates,
            plan,
            heard: false,
            connected: false,
            began: false,
            asked: None,
            todo: VecDeque::new(),
            begun: now,
            reports: 0,
            acknowledged: 0,
            refused: 0,
            ended: 0,
            commands: 0,
            fetched: 0,
            held: Vec::new(),
            firmware: Firmware::default(),
            failure: None,
            refused_handshake: false,
            over: false,
            acts: VecDeque::from([Act::Command(DeviceCommand::Connect)]),
            lines: VecDeque::new(),
        }
    }

    pub(super) fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(super) fn poll_line(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// When the next report is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let rests = self.began && self.asked.is_none() && self.todo.is_empty() && !self.over;
        let report = rests.then(|| self.begun + self.plan.interval);
        report.into_iter().chain(self.firmware.poll_timeout().filter(|_| rests && self.connected)).min()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Ends the session, if there is one, and the life with it.
    pub(super) fn stop(&mut self) {
        if self.over {
            return;
        }
        if self.connected {
            self.acts.push_back(Act::Command(DeviceCommand::Close));
        }
        self.over = true;
        let Self { reports, acknowledged, commands, .. } = *self;
        self.lines.push_back(Line::Done { reports, acknowledged, commands });
    }

    /// A datagram came from the server.
    pub(super) const fn hear(&mut self) {
        self.heard = true;
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        if self.firmware.handle_timeout(now) {
            return self.go_on(now);
        }
        self.begun = now;
        if self.connected {
            self.report(now);
        } else {
            self.began = false;
            self.acts.push_back(Act::Command(DeviceCommand::Connect));
        }
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: DeviceEvent) {
        match event {
            DeviceEvent::Connected { suite } => {
                self.lines.push_back(Line::Connected { suite: suite.name() });
                self.connected = true;
                if self.plan.fault.is_some_and(|fault| fault.right() == Right::Silence) {
                    self.stop();
                } else if self.has_secret {
                    self.connected(now);
                } else {
                    self.asked = Some(Asked { what: What::Activation, since: now, path: String::new() });
                    self.acts.push_back(Act::Command(DeviceCommand::AskActivation));
                }
            }
            DeviceEvent::ConnectFailed(failure) => {
                self.refused_handshake = matches!(failure, ConnectFailure::Refused(_));
                let reason = format!("no session came about: {failure:?}");
                self.lines.push_back(Line::NotConnected { reason: reason.clone() });
                self.failure = Some(reason);
                self.stop();
            }
            DeviceEvent::Activated(secret) => {
                let device_secret = String::from_utf8_lossy(secret.as_bytes()).into_owned();
                self.lines.push_back(Line::Secret { device_secret });
                (self.has_secret, self.connected, self.asked) = (true, false, None);
                self.acts.push_back(Act::Command(DeviceCommand::Close));
                self.acts.push_back(Act::Become(secret));
            }
            DeviceEvent::ActivationRefused(response) => {
                self.lines.push_back(Line::received(What::Activation, &response, self.waited(now)));
                self.failure = Some(format!("the server issues no secret: {}", response.code));
                self.stop();
            }
            DeviceEvent::Answered(response) => self.answered(now, &response),
            DeviceEvent::Unanswered { cause, .. } => self.unanswered(now, cause),
            DeviceEvent::Closed => {
                self.lines.push_back(Line::Closed);
                self.lose_session();
                if !self.began {
                    self.failure = Some("the server ended the session before it issued a secret".to_owned());
                    self.stop();
                }
            }
            DeviceEvent::Acknowledged { .. }
            | DeviceEvent::ReportRefused { .. }
            | DeviceEvent::Pong
            // It talks DTLS alone.
            | DeviceEvent::LoggedIn
            | DeviceEvent::Carried { .. } => {}
        }
    }

    fn unanswered(&mut self, now: Instant, cause: FailureCause) {
        let Some(Asked { what, .. }) = self.asked.take() else { return };
        self.lines.push_back(Line::Unanswered { what });
        self.ended += u32::from(what == What::Report);
        self.note_once(what, "was not answered");
        self.note_silence(what);
        if what == What::Activation {
            self.failure = Some("the question for a secret was not answered".to_owned());
            self.stop();
        }
        if cause == FailureCause::TimedOut && !self.over {
            self.acts.push_back(Act::Command(DeviceCommand::Close));
            self.lose_session();
        }
        self.go_on(now);
    }

    /// There is no session any more; what was to be asked in it is not asked.
    fn lose_session(&mut self) {
        let asked = self.asked.take().map(|asked| asked.what);
        let lost = asked.into_iter().chain(self.todo.drain(..).map(|(what, _)| what));
        for what in lost.collect::<Vec<_>>() {
            self.ended += u32::from(what == What::Report);
            self.note_once(what, "was not answered");
            self.note_silence(what);
        }
        self.connected = false;
        if self.is_complete() {
            self.stop();
        }
    }

    /// What is sent once has to be served, too.
    fn note_once(&mut self, what: What, became: &str) {
        let name = match what {
            What::Attributes => "attributes",
            What::Event => "event",
            _ => return,
        };
        self.failure.get_or_insert_with(|| format!("what was sent as --{name} {became}"));
    }

    fn connected(&mut self, now: Instant) {
        let is_first = self.reports == 0;
        self.began = true;
        self.say_version();
        if is_first && let Some(attributes) = self.plan.attributes.take() {
            let params = format!(r#"{{"attributes":{attributes}}}"#);
            self.ask_later(What::Attributes, "thing/attribute/update", "thing.attribute.update", &params);
        }
        if is_first && let Some((id, output)) = self.plan.event.take() {
            let (topic, method) = (format!("thing/event/{id}/post"), format!("thing.event.{id}.post"));
            self.ask_later(What::Event, &topic, &method, &format!(r#"{{"events":{output}}}"#));
        }
        self.report(now);
    }

    fn report(&mut self, now: Instant) {
        (self.reports, self.fetched) = (self.reports + 1, 0);
        self.held.clear();
        let points = self.plan.points.replace(NUMBER, &self.reports.to_string());
        let params = format!(r#"{{"measurepoints":{points}}}"#);
        self.ask_later(What::Report, "thing/measurepoint/post", "thing.measurepoint.post", &params);
        self.go_on(now);
    }

    fn ask_later(&mut self, what: What, topic: &str, method: &str, params: &str) {
        let id = self.reports;
        let body = format!(r#"{{"id":"{id}","version":"1.0","params":{params},"method":"{method}"}}"#);
        let topic = format!("{}/{topic}", self.plan.base);
        let mut request = post_json(&topic, self.plan.content_format, &body);
        if let Some(fault) = self.plan.fault.filter(|_| what == What::Report) {
            request = fault.spoil_report(&self.plan.base, request);
        }
        self.todo.push_back((what, request));
    }

    /// Sends what is next. One request is under way at a time.
    fn go_on(&mut self, now: Instant) {
        if self.asked.is_some() || self.over {
            return;
        }
        let next = self.todo.pop_front().or_else(|| self.next_of_update().filter(|_| self.connected));
        match next {
            Some((what, request)) => {
                if firmware::is_shown(what, None) {
                    self.lines.push_back(Line::sent(what, &request));
                }
                let path = request.path_text().to_owned();
                self.asked = Some(Asked { what, since: now, path });
                self.acts.push_back(Act::Command(DeviceCommand::Request(request)));
            }
            None if self.is_complete() => self.stop(),
            None => {}
        }
    }

    fn is_complete(&self) -> bool {
        let has_reported = self.plan.count.is_some_and(|count| self.reports >= count);
        self.firmware.has_ended || has_reported && !self.firmware.is_under_way()
    }

    fn waited(&self, now: Instant) -> u64 {
        let since = self.asked.as_ref().map_or(now, |asked| asked.since);
        let waited = now.saturating_duration_since(since);
        u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
    }

    fn answered(&mut self, now: Instant, response: &Response) {
        let ms = self.waited(now);
        let Some(Asked { what, path, .. }) = self.asked.take() else { return };
        if firmware::is_shown(what, Some(response)) {
            self.lines.push_back(Line::received(what, response, ms));
        }
        let mut replies = false;
        match what {
            What::Report => {
                self.ended += 1;
                self.acknowledged += u32::from(is_success(response));
                let is_refused =
                    |fault: Fault| matches!(fault.right(), Right::Refused(code) if code == response.code);
                self.refused += u32::from(self.plan.fault.is_some_and(is_refused));
            }
            What::Attributes | What::Event if !is_success(response) => {
                self.note_once(what, &format!("was refused ({})", why(response)));
            }
            What::Reply => self.begin_update(),
            What::Block | What::Progress => self.take_answer_to_update(now, response),
            What::Fetch => {
                replies = self.take_command(&path, response);
                if !replies {
                    self.held.push(path);
                }
            }
            _ => {}
        }
        // The answer to a reply names the next one.
        if let Some(path) = topic_of_waiting(response)
            && !replies
            && self.fetched < COMMANDS_MAX
        {
            let fetch = match self.plan.content_format {
                format::JSON => Request::get(&path),
                other => Request::get(&path).accept(other),
            };
            if !self.held.iter().any(|held| held == fetch.path_text()) {
                self.fetched += 1;
                self.todo.push_front((What::Fetch, fetch));
            }
        }
        self.go_on(now);
    }

    /// Takes what a GET of this topic got. Returns whether it is answered.
    fn take_command(&mut self, topic: &str, response: &Response) -> bool {
        #[derive(Deserialize)]
        struct Command {
            id: Box<RawValue>,
            method: String,
            params: Box<RawValue>,
        }
        if !matches!(response.code, Code::CONTENT | Code::CHANGED) {
            return false;
        }
        let Ok(Command { id, method, params }) = serde_json::from_slice(&json_of(response)) else {
            return false;
        };
        self.commands += 1;
        let data = self.data_for(&method, &params);
        let reply = match self.plan.reply {
            Reply::Code(code) => {
                let code = self.take_offer(&method, &params, code);
                format!(r#"{{"id":{id},"code":{code},"data":{data}}}"#)
            }
            Reply::Never => String::new(),
        };
        self.lines.push_back(Line::Command { id, method, params });
        if reply.is_empty() {
            return false;
        }
        let reply = post_json(&format!("{topic}_reply"), self.plan.content_format, &reply);
        self.todo.push_front((What::Reply, reply));
        true
    }

    /// The points that are asked for, as far as the device has them; else nothing.
    fn data_for(&self, method: &str, params: &RawValue) -> Value {
        if method != "thing.service.measurepoint.get" {
            return Value::Object(Map::new());
        }
        let ids: Vec<String> = serde_json::from_str(params.get()).unwrap_or_default();
        let points = self.plan.points.replace(NUMBER, &self.reports.to_string());
        let points: Map<String, Value> = serde_json::from_str(&points).unwrap_or_default();
        points.into_iter().filter(|(id, _)| ids.contains(id)).collect::<Map<_, _>>().into()
    }
}

/// The topic of a command that waits, as a response names it.
pub(super) fn topic_of_waiting(response: &Response) -> Option<String> {
    let waiting = response.options.iter().find(|(number, _)| *number == COMMAND_WAITING);
    waiting.map(|(_, path)| String::from_utf8_lossy(path).into_owned())
}

/// Why something was refused: the code of the response, and that of the reply in it.
fn why(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Answer {
        code: i64,
        message: Option<String>,
    }
    let code = response.code;
    match serde_json::from_slice(&json_of(response)) {
        Ok(Answer { code: own, message: Some(message) }) => format!("{code}, {own}: {message}"),
        Ok(Answer { code: own, message: None }) => format!("{code}, {own}"),
        Err(_) => code.to_string(),
    }
}

fn is_success(response: &Response) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        code: i64,
    }
    let code = serde_json::from_slice(&json_of(response)).map(|Answer { code }| code);
    response.code == Code::CHANGED && code.is_ok_and(|code| code == 200)
}
