//! Words for the log about reports that were refused, or stored with a doubtful time.

use narrowgate_api::words::counted;

use super::Reader;
use crate::{
    device_api::{Warning, diagnosis},
    ids::UnixMillis,
    model::{json_piece::Piece, log::Reason, message::Message, thing_model},
    ports::Write,
    rules::clock::{Arrival, DRIFT_MAX},
};

/// How far a report's time may lie from its arrival to be taken for one in another unit: ten years, in
/// milliseconds.
const NEAR_MS: i64 = 10 * 365 * 86_400_000;
/// A time so soon after 1970 is that of a device that began to count when it was switched on: 100 days.
const UPTIME_MS: i64 = 100 * 86_400_000;

/// A time further ahead of the server than this is not a clock's drift, milliseconds.
const AHEAD_MS: i64 = DRIFT_MAX.as_millis() as i64;
/// 2015-01-01: no report is older than this.
const OLDEST_MS: i64 = 1_420_070_400_000;
/// Where other clocks begin, in milliseconds from 1970.
const EPOCHS: [(i64, &str); 4] = [
    (315_964_800_000, "6 January 1980 (GPS)"),
    (946_684_800_000, "1 January 2000"),
    (-2_208_988_800_000, "1 January 1900 (NTP)"),
    (-2_082_844_800_000, "1 January 1904"),
];
/// How close to now a time in another reckoning must be to be recognised: a day.
const EPOCH_NEAR_MS: i64 = 86_400_000;

/// Words about a report whose time is legal but hardly meant: it is stored as it was sent.
pub(in crate::device_api) fn doubtful_time(write: &Write, now: Arrival) -> Option<Warning> {
    let Write::Message(Message { time: UnixMillis(time), .. }) = *write else { return None };
    let ahead = time.saturating_sub(now.latest.0);
    if ahead > AHEAD_MS {
        let detail = format!(
            "/time: {time} ms is {} ahead of the server: is local time sent as UTC? The latest value stays \
             until a report comes whose time is not ahead",
            counted(ahead / 60_000, "minute")
        );
        return Some(Warning { reason: Reason::TimeDoubtful, detail });
    }
    let hint = reckoning(time, now.time.0).or_else(|| unset(time))?;
    let days = time / 86_400_000;
    let unit = if days == 1 { "day" } else { "days" };
    let detail = format!("/time: {time} ms is {days} {unit} after 1 January 1970; {hint}");
    Some(Warning { reason: Reason::TimeDoubtful, detail })
}

/// The reckoning in which a time is near now, where it is not ours.
fn reckoning(time: i64, now: i64) -> Option<String> {
    let near = |other: i64| (other - now).abs() < EPOCH_NEAR_MS;
    if near(time) {
        return None;
    }
    for (start, name) in EPOCHS {
        for (unit, factor) in [("seconds", 1000), ("milliseconds", 1)] {
            if near(time.saturating_mul(factor).saturating_add(start)) {
                return Some(format!("as {unit} since {name} it is near now: send Unix milliseconds"));
            }
        }
    }
    if (time - now / 1000).abs() < NEAR_MS / 1000 {
        return Some("as seconds it is near now: send milliseconds, that is 1000 times as much".to_owned());
    }
    if near(time.saturating_mul(10)) {
        return Some("as ticks of 10 ms it is near now: send milliseconds".to_owned());
    }
    // Less tolerance: an uptime lies in this range as well.
    if (time - now.rem_euclid(1 << 32)).abs() < AHEAD_MS {
        return Some("it is now cut to 32 bits: compute milliseconds in 64 bits".to_owned());
    }
    None
}

/// Words about a time that lies too long ago.
fn unset(time: i64) -> Option<String> {
    if time >= OLDEST_MS {
        return None;
    }
    let starts = |start: &i64| (*start..start + UPTIME_MS).contains(&time);
    let what = match EPOCHS.iter().find(|(start, _)| starts(start)) {
        Some((_, name)) => format!("the device's clock is not set, and began at {name}"),
        None if time < UPTIME_MS => "the device's clock is not set".to_owned(),
        None => "the device's clock is probably not set".to_owned(),
    };
    Some(format!("{what}: set it, or leave time out"))
}

/// A time in a place where none is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misplaced {
    BesideParams,
    OtherName,
    APoint,
    InAValue,
    NotInElement,
}

impl Misplaced {
    /// Looks at a report that has no time of its own; costs a few comparisons.
    pub(super) fn of_point(identifier: &str, value: Piece<'_>) -> Option<Self> {
        let written = value.get();
        match identifier {
            "time" | "timestamp" | "ts" => Some(Self::APoint),
            _ if !written.starts_with('{') => None,
            _ if written.contains("\"value\"") && written.contains("\"time") => Some(Self::InAValue),
            _ => None,
        }
    }

    pub(super) fn warning(self) -> Warning {
        let what = match self {
            Self::BesideParams => "time stands outside of params and was not used",
            Self::OtherName => "params has timestamp or ts, which was not used: the name is time",
            Self::APoint => "a point has the name of a time, and was stored as a point",
            Self::InAValue => "a point's value has a time in it, which was stored as part of the value",
            Self::NotInElement => "an element of the batch has no time",
        };
        let detail =
            format!("{what}; the time of arrival counts. A report's time stands beside its measurepoints");
        Warning { reason: Reason::TimeDoubtful, detail }
    }
}

/// What a time that looks like seconds probably is.
pub(super) fn reckoned(time: i64, now: Arrival) -> Option<String> {
    let words = reckoning(time, now.time.0).or_else(|| unset(time))?;
    Some(format!("received {time}: {words}"))
}

/// Whether a time far ahead is near now in a unit finer than milliseconds.
pub(super) fn finer_unit(time: i64, now: Arrival) -> Option<String> {
    let near = |factor: i64| (time / factor - now.time.0).abs() < NEAR_MS;
    if let Some(words) = reckoning(time, now.time.0) {
        return Some(format!("received {time}: {words}"));
    }
    let unit = [(1000, "micro"), (1_000_000, "nano")].into_iter().find(|(factor, _)| near(*factor))?.1;
    Some(format!("received {time}: as {unit}seconds it is near now; send milliseconds"))
}

impl Reader<'_> {
    /// What was received where a value is refused with `message`; `steps` is the fault's JSON pointer inside
    /// `raw`.
    pub(super) fn received(&self, raw: Piece<'_>, steps: &str, message: &str) -> Option<String> {
        let at = self.body.place_of(raw)?;
        diagnosis::value(raw, at, steps, message)
    }

    /// Words about a point that was refused. `points` is the pointer of the object that it is in.
    pub(super) fn point_hint(
        &self,
        identifier: &str,
        value: Piece<'_>,
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
