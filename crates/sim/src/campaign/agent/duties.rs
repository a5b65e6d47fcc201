//! What a device does beside its reports: it fetches commands, executes and answers them, and says what
//! happens and what it is like.
//!
//! It remembers the ids of the commands that it has executed: one that it gets again it answers again, and
//! does not execute again (device protocol, section 6). Now and then it overlooks option 2100, asks unasked,
//! asks twice, takes longer than it may, or forgets to answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Request, Response, format};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::random::SeededRandom;

/// Events are numbered from here on, beside the reports.
pub const EVENTS: u64 = 1 << 40;
/// The topics of commands, as they stand in paths behind `thing/service/`.
pub const TOPICS: [&str; 5] = ["measurepoint/set", "measurepoint/get", "restart", "phase-1.re_set", "open"];

/// What a device is like, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trait {
    /// Its attribute `a`, which it only ever sets.
    Attribute,
    /// Its tag `k`, which it sets and takes away.
    Tag,
}

/// What a device has to say of its duties.
#[derive(Debug)]
pub enum Done {
    /// It has received a command: its id, the number in it, and of which topic it asked.
    Got {
        /// The id.
        id: u32,
        /// The number that the operator has put into it.
        number: u64,
        /// The topic.
        topic: String,
    },
    /// It is about to answer a command with this code.
    Answers {
        /// Its id.
        id: u32,
        /// The code.
        code: i64,
    },
    /// Its answer is acknowledged.
    AnswerTaken {
        /// The command's id.
        id: u32,
    },
    /// It is about to change what it is like.
    Edits(Trait, Option<u64>),
    /// The change is acknowledged.
    EditTaken(Trait, Option<u64>),
    /// What it is like, as the server says.
    Told(Trait, Option<u64>),
    /// It is about to tell of this event.
    Tells(u64),
    /// The event is acknowledged.
    TellingTaken(u64),
    /// The server said something that makes no sense.
    Puzzled(String),
}

/// Under way.
#[derive(Debug)]
enum Asked {
    Fetch(String),
    Answer(u32),
    Edit(Trait, Option<u64>),
    Query(Trait),
    Event(u64),
}

/// A command that was executed.
#[derive(Debug)]
struct Executed {
    topic: String,
    number: u64,
    code: i64,
    /// Times that it was received.
    times: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Duties {
    number: u32,
    /// `/topic/sys/{productKey}/{deviceKey}/thing/`
    base: String,
    executed: BTreeMap<u32, Executed>,
    /// Answers that it will give, and when.
    answers: Vec<(Instant, u32)>,
    asked: Option<Asked>,
    counted: u64,
    /// Questions in a row that stayed unanswered.
    unanswered: u32,
    /// It does its best: nothing is overlooked or forgotten.
    pub is_diligent: bool,
}

/// A command as it is received.
#[derive(Deserialize)]
struct Message<'a> {
    id: &'a str,
    version: &'a str,
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// A reply of the server.
#[derive(Deserialize)]
struct Reply<'a> {
    code: i64,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// The first number in a text, from its first digit on.
fn number_in(text: &str) -> Option<u64> {
    let digits = text.trim_start_matches(|first: char| !first.is_ascii_digit());
    let end = digits.find(|next: char| !next.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

impl Duties {
    /// Of the device of this number.
    pub fn new(number: u32, product_key: &str, device_key: &str) -> Self {
        Self {
            number,
            base: format!("/topic/sys/{product_key}/{device_key}/thing/"),
            executed: BTreeMap::new(),
            answers: Vec::new(),
            asked: None,
            counted: 0,
            unanswered: 0,
            is_diligent: false,
        }
    }

    /// When the next answer is to be given.
    pub fn due(&self) -> Option<Instant> {
        self.answers.iter().map(|(due, _)| *due).min()
    }

    /// Whether something is under way.
    pub fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// A session has ended: what was under way is forgotten.
    pub fn forget_asked(&mut self) {
        self.asked = None;
        self.unanswered = 0;
    }

    /// What it asks next; `None`: nothing but a report. `waiting`: what the last response said. `tag` is that
    /// of its secret.
    pub fn next(
        &mut self,
        (now, random): (Instant, &mut SeededRandom),
        waiting: Option<&str>,
        tag: u32,
        done: &mut Vec<Done>,
    ) -> Option<Request> {
        let first = self.answers.iter().position(|(due, _)| *due <= now);
        if let Some(id) = first.map(|index| self.answers.remove(index).1) {
            return Some(self.answer(id, random, done));
        }
        if let Some(path) = waiting
            && (self.is_diligent || random.chance(950))
        {
            return Some(self.fetch(path.to_owned()));
        }
        match random.below(100) {
            0..6 => {
                let topic = random.pick(&TOPICS);
                Some(self.fetch(format!("{}service/{topic}", self.base)))
            }
            6..16 => Some(self.edit(Trait::Attribute, random, done)),
            16..22 => Some(self.edit(Trait::Tag, random, done)),
            22..28 => Some(self.query(random.pick(&[Trait::Attribute, Trait::Tag]))),
            28..40 => Some(self.event(tag, done)),
            _ => None,
        }
    }

    fn fetch(&mut self, path: String) -> Request {
        let request = Request::get(&path);
        self.asked = Some(Asked::Fetch(path));
        request
    }

    fn answer(&mut self, id: u32, random: &mut SeededRandom, done: &mut Vec<Done>) -> Request {
        let Executed { topic, number, code, .. } = &self.executed[&id];
        let text = match random.below(2) {
            0 => format!("{code}"),
            _ => format!("\"{code}\""),
        };
        let body = format!(r#"{{"id":"{id}","code":{text},"data":{{"n":{number}}}}}"#);
        done.push(Done::Answers { id, code: *code });
        self.asked = Some(Asked::Answer(id));
        Request::post(&format!("{}service/{topic}_reply", self.base), format::JSON, body)
    }

    fn post(&self, topic: &str, params: &str) -> Request {
        let id = self.counted;
        let method = format!("thing.{}", topic.replace('/', "."));
        let body = format!(r#"{{"id":"{id}","version":"1.0","params":{params},"method":"{method}"}}"#);
        Request::post(&format!("{}{topic}", self.base), format::JSON, body)
    }

    fn edit(&mut self, which: Trait, random: &mut SeededRandom, done: &mut Vec<Done>) -> Request {
        self.counted += 1;
        let n = self.counted;
        let value = (which == Trait::Attribute || random.chance(700)).then_some(n);
        done.push(Done::Edits(which, value));
        self.asked = Some(Asked::Edit(which, value));
        match (which, value) {
            (Trait::Attribute, _) => {
                self.post("attribute/update", &format!(r#"{{"attributes":{{"a":{n}}}}}"#))
            }
            (Trait::Tag, Some(_)) => {
                self.post("tag/update", &format!(r#"[{{"tagKey":"k","tagValue":"{n}"}}]"#))
            }
            (Trait::Tag, None) => self.post("tag/delete", r#"{"tags":["k"]}"#),
        }
    }

    fn query(&mut self, which: Trait) -> Request {
        self.asked = Some(Asked::Query(which));
        match which {
            Trait::Attribute => self.post("attribute/query", r#"{"attributes":["a"]}"#),
            Trait::Tag => self.post("tag/query", r#"{"tags":[]}"#),
        }
    }

    fn event(&mut self, tag: u32, done: &mut Vec<Done>) -> Request {
        self.counted += 1;
        let (number, event) = (self.number, EVENTS + self.counted);
        done.push(Done::Tells(event));
        self.asked = Some(Asked::Event(event));
        let output = format!(r#"{{"d":{number},"n":{event},"s":{tag}}}"#);
        self.post("event/tilted/post", &format!(r#"{{"events":{output}}}"#))
    }

    /// The answer to what was asked. It goes on in its session, also where a change was not taken: a copy of
    /// that, which may still be under way, undoes nothing newer.
    pub fn answered(
        &mut self,
        (now, random): (Instant, &mut SeededRandom),
        response: &Response,
        done: &mut Vec<Done>,
    ) {
        self.unanswered = 0;
        let puzzled = |what: &str| {
            let text = String::from_utf8_lossy(&response.payload);
            Done::Puzzled(format!("{what} is answered {:?} {text}", response.code))
        };
        let later = |random: &mut SeededRandom| now + Duration::from_millis(200 + random.below(5_000));
        match (self.asked.take(), response.code) {
            (Some(Asked::Fetch(path)), Code::CONTENT) => match self.received(&path, &response.payload) {
                Some((id, number, topic)) => {
                    done.push(Done::Got { id, number, topic });
                    self.plan_answer(now, id, random);
                }
                None => done.push(puzzled("a GET")),
            },
            (Some(Asked::Answer(id)), Code::CHANGED) if response.payload.is_empty() => {
                done.push(Done::AnswerTaken { id });
            }
            (Some(Asked::Answer(_)), Code::CHANGED) => done.push(puzzled("an answer to a command")),
            // The server could not store it.
            (Some(Asked::Answer(id)), _) => self.answers.push((later(random), id)),
            (Some(asked), Code::CHANGED) => {
                let reply = serde_json::from_slice::<Reply<'_>>(&response.payload).ok();
                let Some(reply) = reply.filter(|reply| reply.code == 200) else {
                    return done.push(puzzled("what is right"));
                };
                let data = reply.data.map_or("", RawValue::get);
                done.extend(match asked {
                    Asked::Edit(which, value) => Some(Done::EditTaken(which, value)),
                    Asked::Query(which) => Some(Done::Told(which, number_in(data))),
                    Asked::Event(number) => Some(Done::TellingTaken(number)),
                    Asked::Fetch(_) | Asked::Answer(_) => None,
                });
            }
            _ => {}
        }
    }

    /// A command came in a response to something else.
    pub fn carried(
        &mut self,
        (now, random): (Instant, &mut SeededRandom),
        path: &str,
        command: &[u8],
        done: &mut Vec<Done>,
    ) {
        match self.received(path, command) {
            Some((id, number, topic)) => {
                done.push(Done::Got { id, number, topic });
                self.plan_answer(now, id, random);
            }
            None => done.push(Done::Puzzled(format!("a response to it carries something of {path}"))),
        }
    }

    /// Nothing came back. Returns whether it tries again in its session, with another Message ID: not where a
    /// copy under way could undo what follows.
    pub fn stays_after_silence(&mut self, now: Instant) -> bool {
        self.unanswered += 1;
        let asked = self.asked.take();
        if let Some(Asked::Answer(id)) = asked {
            self.answers.push((now, id));
        }
        self.unanswered < 2 && !matches!(asked, Some(Asked::Edit(..)))
    }

    /// Reads a command and executes it, unless it has done that before.
    fn received(&mut self, path: &str, command: &[u8]) -> Option<(u32, u64, String)> {
        let message: Message<'_> = serde_json::from_slice(command).ok()?;
        let topic = path.strip_prefix(&self.base)?.strip_prefix("service/")?;
        let is_right = message.version == "1.0"
            && message.method == format!("thing.service.{}", topic.replace('/', "."));
        let id = message.id.parse().ok().filter(|id: &u32| is_right && *id < 1 << 31)?;
        let number = number_in(message.params.get())?;
        let code = [200, 0, 200, 0, 200, 1101, 1102, 2000 + i64::from(id % 7)][number as usize % 8];
        let new = Executed { topic: topic.to_owned(), number, code, times: 0 };
        self.executed.entry(id).or_insert(new).times += 1;
        Some((id, number, topic.to_owned()))
    }

    /// When it will answer a command that it has just received.
    fn plan_answer(&mut self, now: Instant, id: u32, random: &mut SeededRandom) {
        self.answers.retain(|(_, planned)| *planned != id);
        let is_first = self.executed[&id].times == 1;
        let takes_ms = match random.below(100) {
            _ if self.is_diligent => random.below(500),
            // It forgets to answer, until it gets the command again.
            0..4 if is_first => return,
            4..12 => random.below(70_000),
            _ => random.below(1_500),
        };
        self.answers.push((now + Duration::from_millis(takes_ms), id));
    }
}
