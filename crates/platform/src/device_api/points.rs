//! Reports of measurepoints: `thing/measurepoint/{post,resume}` and their batches (device protocol, section
//! 5).
//!
//! | fault | code |
//! |---|---|
//! | `params` is missing or not an object (batch: not an array) | 1200 (batch: 1206) |
//! | a batch is empty, has more than 200 elements, or one that is not an object | 1206 |
//! | an element's `productKey` or `deviceKey` is another device's | 1212 |
//! | `measurepoints` is missing, not an object, empty, or has more than 200 points | 1204 |
//! | an identifier is not 1 to 128 of `[A-Za-z0-9_.-]` | 1204 |
//! | a value is `null`, or the thing model does not allow it | 1204 |
//! | `time` is not an integer from 0 to a day after the arrival | 1204 |
//! | `time` lies between [`SECONDS_FROM`] and [`SECONDS_TO`]: seconds, most likely | 1204 |
//!
//! A `time` further ahead is a broken clock, and would hide all later reports from the latest values; one
//! that lies long ago is what devices report after an outage. No report is refused because the server's own
//! clock is known to be wrong: [`Arrival::latest`] is what its time is compared with. Absent or `null`, it is
//! the time of arrival.
//!
//! One fault fails a whole message and nothing is stored. With `skipInvalidMeasurepoints`, a batch is stored
//! without its invalid points instead; its other faults still fail it. What was left out is in the log: as a
//! warning, or as a refusal where nothing was left.

mod hints;
mod skipped;
mod times;

use std::cell::{Cell, RefCell};

use narrowgate_coap::{Code, Response};

use self::{hints::Misplaced, skipped::Skipped};
pub(super) use self::{hints::doubtful_time, times::Times};
use super::{
    Action, Answer,
    answer::with_json,
    body::{self, Body},
    diagnosis,
    envelope::{self, Envelope, MessageFault},
    json,
};
use crate::{
    model::{
        json_piece::Piece,
        message::{Message, MessageKind},
        retention::RetentionClass,
        thing_model::{self, ThingModel},
    },
    ports::Write,
    rules::{admission::Grant, clock::Arrival},
};

/// Most points of one report.
pub const POINTS_MAX: usize = 200;
/// Most reports of one batch.
pub const BATCH_MAX: usize = 200;
/// How far a report's `time` may lie after its arrival, milliseconds: a wrong time zone passes, a wrong year
/// does not.
pub const AHEAD_MS_MAX: i64 = 24 * 3600 * 1000;

/// A `time` from here on to [`SECONDS_TO`] is refused. As seconds it lies in the years 1973 to 5138; as
/// milliseconds in 1970 to 1973, before any device could report. What is smaller is the uptime of a device
/// whose clock was never set; it is stored, with a warning.
pub const SECONDS_FROM: i64 = 100_000_000;
/// See [`SECONDS_FROM`].
pub const SECONDS_TO: i64 = 100_000_000_000;

/// Which topic of measurepoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `post`
    Post,
    /// `post/batch`
    PostBatch,
    /// `resume`
    Resume,
    /// `resume/batch`
    ResumeBatch,
}

impl Verb {
    fn method(self) -> &'static str {
        match self {
            Self::Post => "thing.measurepoint.post",
            Self::PostBatch => "thing.measurepoint.post.batch",
            Self::Resume => "thing.measurepoint.resume",
            Self::ResumeBatch => "thing.measurepoint.resume.batch",
        }
    }

    fn kind(self) -> MessageKind {
        match self {
            Self::Post | Self::PostBatch => MessageKind::Points,
            Self::Resume | Self::ResumeBatch => MessageKind::PointsResumed,
        }
    }
}

/// Handles a report whose path and method are right; answers in `content_format`.
pub(super) fn handle(
    session: &Grant,
    body: &Body<'_>,
    verb: Verb,
    model: Option<&ThingModel>,
    now: Arrival,
    content_format: u16,
) -> Action {
    let envelope = body.envelope();
    let (misplaced, skipped) = (Cell::new(None), RefCell::default());
    let reader = Reader { session, kind: verb.kind(), model, now, body, misplaced, skipped };
    let result = envelope.check(verb.method()).and_then(|()| match verb {
        Verb::Post | Verb::Resume => reader.single(&envelope),
        Verb::PostBatch | Verb::ResumeBatch => reader.batch(&envelope),
    });
    match result {
        Ok(writes) if writes.is_empty() => {
            let refusal = reader.skipped.into_inner().refusal();
            let reply = envelope::reply(envelope.id(), Ok(()));
            Action::Respond(Answer::reply(content_format, reply, Some(refusal)))
        }
        Ok(writes) => {
            let reply = envelope::reply(envelope.id(), Ok(()));
            let response = with_json(Response::new(Code::CHANGED), content_format, reply);
            let warning = reader.skipped.borrow().warning();
            let time = || writes.iter().find_map(|write| doubtful_time(write, now));
            let warning = warning.or_else(time).or_else(|| reader.misplaced.get().map(Misplaced::warning));
            Action::Store { writes, response, warning }
        }
        Err(fault) => body::refuse(content_format, envelope.id(), fault),
    }
}

/// What a message is read against.
struct Reader<'a> {
    session: &'a Grant,
    kind: MessageKind,
    model: Option<&'a ThingModel>,
    now: Arrival,
    /// For the places of faults.
    body: &'a Body<'a>,
    /// A time in the wrong place, if there is one.
    misplaced: Cell<Option<Misplaced>>,
    /// The invalid points that were left out.
    skipped: RefCell<Skipped>,
}

/// `params` of a single report, or an element of a batch. `null` counts as absent.
struct Report<'a> {
    measurepoints: Option<Piece<'a>>,
    time: Option<Piece<'a>>,
    product_key: Option<Piece<'a>>,
    device_key: Option<Piece<'a>>,
    /// Not read: another name of `time` is there.
    has_other_time: bool,
    /// All of it, as it was sent.
    written: &'a str,
}

impl Reader<'_> {
    fn single(&self, envelope: &Envelope<'_>) -> Result<Vec<Write>, MessageFault> {
        let fault = |message| MessageFault::new(MessageFault::FORM, message);
        let params = envelope.params.ok_or_else(|| {
            fault("/params: is missing").with_hint(diagnosis::members(self.body.json(), "params"))
        })?;
        let report = report(params).ok_or_else(|| {
            let hint = match params.get().starts_with('[') {
                true => Some("it is an array: a batch goes to the topic …/batch".to_owned()),
                false => self.received(params, "", "must be an object"),
            };
            fault("/params: must be an object").with_hint(hint)
        })?;
        if report.time.is_none() && envelope.has_time() {
            self.misplaced.set(Some(Misplaced::BesideParams));
        }
        let message = self.message(&report, "/params", Invalid::Fails)?;
        Ok(message.into_iter().map(Write::Message).collect())
    }

    fn batch(&self, envelope: &Envelope<'_>) -> Result<Vec<Write>, MessageFault> {
        let malformed = |message: String| MessageFault::new(MessageFault::BATCH, message);
        let invalid = if envelope.skips_invalid_points()? { Invalid::IsSkipped } else { Invalid::Fails };
        let params = envelope.params.ok_or_else(|| malformed("/params: is missing".to_owned()))?;
        let elements = params.elements().ok_or_else(|| {
            let hint = match params.get().starts_with('{') {
                true => Some("it is an object: a single report goes to the topic without /batch".to_owned()),
                false => self.received(params, "", "must be an array"),
            };
            malformed("/params: must be an array".to_owned()).with_hint(hint)
        })?;
        let count = elements.clone().count();
        if !(1..=BATCH_MAX).contains(&count) {
            let what = format!("/params: has {count} elements; 1 to {BATCH_MAX} are allowed");
            return Err(malformed(what));
        }
        let several = count > 1;
        let mut writes = Vec::with_capacity(count);
        for (index, element) in elements.enumerate() {
            let pointer = format!("/params/{index}");
            let report = report(element).ok_or_else(|| malformed(format!("{pointer}: must be an object")))?;
            self.check_owner(&report, &pointer)?;
            if several && report.time.is_none() {
                self.misplaced.set(Some(Misplaced::NotInElement));
            }
            writes.extend(self.message(&report, &pointer, invalid)?.map(Write::Message));
        }
        Ok(writes)
    }

    /// An element that names a device must name the session's.
    fn check_owner(&self, report: &Report<'_>, pointer: &str) -> Result<(), MessageFault> {
        for (name, given, own) in [
            ("productKey", report.product_key, self.session.product_key()),
            ("deviceKey", report.device_key, self.session.device_key()),
        ] {
            let Some(given) = given else { continue };
            match given.text() {
                None => {
                    return Err(MessageFault::new(
                        MessageFault::BATCH,
                        format!("{pointer}/{name}: must be a string"),
                    ));
                }
                Some(given) if given != own => {
                    let message = format!("{pointer}/{name}: is another device's");
                    return Err(MessageFault::new(MessageFault::NOT_YOUR_DEVICE, message));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The message to be stored; `None` if it has no valid point left.
    fn message(
        &self,
        report: &Report<'_>,
        pointer: &str,
        invalid: Invalid,
    ) -> Result<Option<Message>, MessageFault> {
        let times = Times { now: self.now, body: self.body };
        let time = times.read(report.time, pointer)?;
        let Some(points_json) = self.points(report, pointer, invalid)? else { return Ok(None) };
        Ok(Some(Message {
            device: self.session.device,
            kind: self.kind,
            time,
            arrival: self.now.time,
            // The caller that passes it on fills these in.
            login: None,
            secret_version: 0,
            session: 0,
            retention: RetentionClass::STANDARD,
            points_json,
        }))
    }

    /// The points as compact JSON; `None` if all were left out.
    fn points(
        &self,
        report: &Report<'_>,
        pointer: &str,
        invalid: Invalid,
    ) -> Result<Option<Box<str>>, MessageFault> {
        let mut pointer = format!("{pointer}/measurepoints");
        let fault = |what: String, hint: Option<String>| {
            Err(MessageFault::new(MessageFault::MODEL, format!("{pointer}: {what}")).with_hint(hint))
        };
        let Some(raw) = report.measurepoints else {
            return fault("is missing".to_owned(), diagnosis::members(report.written, "measurepoints"));
        };
        let Some(points) = raw.members() else {
            let what = "must be an object".to_owned();
            let hint = self.received(raw, "", &what);
            return fault(what, hint);
        };
        let count = points.clone().count();
        if !(1..=POINTS_MAX).contains(&count) {
            return fault(format!("has {count} points; 1 to {POINTS_MAX} are allowed"), None);
        }
        let mut kept = Vec::new();
        if report.time.is_none() && report.has_other_time {
            self.misplaced.set(Some(Misplaced::OtherName));
        }
        // A model says itself which points and members there are.
        let looks_for_time = report.time.is_none() && self.model.is_none();
        for (identifier, value) in points {
            if looks_for_time && let Some(misplaced) = Misplaced::of_point(&identifier, value) {
                self.misplaced.set(Some(misplaced));
            }
            match (self.check_point(&identifier, value, &mut pointer), invalid) {
                (Err(fault), Invalid::Fails) => {
                    let hint = self.point_hint(&identifier, value, &pointer, &fault);
                    return Err(MessageFault::new(MessageFault::MODEL, fault.to_string()).with_hint(hint));
                }
                (Ok(()), Invalid::IsSkipped) => kept.push((identifier, value)),
                (Err(fault), Invalid::IsSkipped) => {
                    let hint = || self.point_hint(&identifier, value, &pointer, &fault);
                    self.skipped.borrow_mut().add(&fault, hint);
                }
                (Ok(()), Invalid::Fails) => {}
            }
        }
        Ok(match invalid {
            Invalid::IsSkipped if kept.is_empty() => None,
            Invalid::IsSkipped if kept.len() < count => {
                // Identifiers that passed the check need no escapes.
                let kept: Vec<String> = kept
                    .iter()
                    .map(|(identifier, value)| format!("\"{identifier}\":{}", value.get()))
                    .collect();
                Some(json::compact(&format!("{{{}}}", kept.join(","))))
            }
            _ => Some(json::compact(raw.get())),
        })
    }

    fn check_point(
        &self,
        identifier: &str,
        value: Piece<'_>,
        pointer: &mut String,
    ) -> Result<(), thing_model::Fault> {
        let length = pointer.len();
        thing_model::push_step(pointer, identifier);
        let result = if !thing_model::is_identifier(identifier) {
            Err(thing_model::Fault::new(pointer, "an identifier is 1 to 128 of A-Z a-z 0-9 _ . -"))
        } else if let Some(model) = self.model {
            match serde_json::from_str(value.get()) {
                Ok(value) => model.check_point(identifier, &value, pointer),
                Err(error) => Err(thing_model::Fault::new(pointer, error.to_string())),
            }
        } else if value.get() == "null" {
            Err(thing_model::Fault::new(pointer, "must not be null"))
        } else {
            Ok(())
        };
        pointer.truncate(length);
        result
    }
}

/// What becomes of a message with an invalid point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Fails,
    IsSkipped,
}

/// Reads a report, if the value is an object.
fn report(piece: Piece<'_>) -> Option<Report<'_>> {
    const NAMES: [&str; 6] = ["measurepoints", "time", "productKey", "deviceKey", "timestamp", "ts"];
    let [measurepoints, time, product_key, device_key, others @ ..] = piece.named(NAMES)?;
    let has_other_time = others.iter().any(Option::is_some);
    Some(Report { measurepoints, time, product_key, device_key, has_other_time, written: piece.get() })
}
