//! Words for the log about reports that were refused, or stored with a doubtful time.

use serde_json::value::RawValue;

use super::Reader;
use crate::{
    device_api::{Warning, diagnosis},
    ids::UnixMillis,
    model::{log::Reason, message::Message, thing_model},
    ports::Write,
};

/// How far a report's time may lie from its arrival to be taken for one in another unit: ten years, in
/// milliseconds.
const NEAR_MS: i64 = 10 * 365 * 86_400_000;
/// A time so soon after 1970 is that of a device that began to count when it was switched on: 100 days.
const UPTIME_MS: i64 = 100 * 86_400_000;

/// Words about a report whose time is legal and can hardly be meant: it is stored as it was sent.
pub(super) fn doubtful_time(write: &Write, now: UnixMillis) -> Option<Warning> {
    let Write::Message(Message { time: UnixMillis(time), .. }) = *write else { return None };
    let hint = if (time - now.0 / 1000).abs() < NEAR_MS / 1000 {
        "as seconds it is near now: send milliseconds, that is 1000 times as much"
    } else if time < UPTIME_MS {
        "the device's clock is not set: set it, or leave time out"
    } else {
        return None;
    };
    let detail = format!("/time: {time} ms is {} days after 1 January 1970; {hint}", time / 86_400_000);
    Some(Warning { reason: Reason::TimeDoubtful, detail })
}

impl Reader<'_> {
    /// Whether a time far ahead is near now in a unit finer than milliseconds.
    pub(super) fn finer_unit(&self, time: i64) -> Option<String> {
        let near = |factor: i64| (time / factor - self.now.0).abs() < NEAR_MS;
        let unit = [(1000, "micro"), (1_000_000, "nano")].into_iter().find(|(factor, _)| near(*factor))?.1;
        Some(format!("received {time}: as {unit}seconds it is near now; send milliseconds"))
    }

    /// What was received where a value is refused with `message`; `steps` is the fault's JSON pointer inside
    /// `raw`.
    pub(super) fn received(&self, raw: &RawValue, steps: &str, message: &str) -> Option<String> {
        let at = diagnosis::place_of(raw.get(), self.body)?;
        diagnosis::value(raw, at, steps, message)
    }

    /// Words about a point that was refused. `points` is the pointer of the object that it is in.
    pub(super) fn point_hint(
        &self,
        identifier: &str,
        value: &RawValue,
        points: &str,
        fault: &thing_model::Fault,
    ) -> Option<String> {
        let mut point = points.to_owned();
        thing_model::push_step(&mut point, identifier);
        let unknown = self.model.is_some_and(|model| !model.measurepoints.contains_key(identifier));
        if unknown && thing_model::is_identifier(identifier) && !fault.message.contains("null") {
            let model = self.model?;
            let plain = |name: &str| name.replace(['_', '-', '.'], "").to_ascii_lowercase();
            let near = model.measurepoints.keys().find(|known| plain(known) == plain(identifier))?;
            return Some(format!("it has {near}: names must be written as in the model"));
        }
        let steps = fault.pointer.strip_prefix(&point).unwrap_or_default();
        self.received(value, steps, &fault.message)
    }
}
