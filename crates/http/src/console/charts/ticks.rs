//! Ticks of time: round on the clock of a zone, also where that is put forward or back.

use jiff::{Span, Timestamp, civil::DateTime, tz::TimeZone};

use super::TimeSpan;

/// Most ticks of an axis.
const TICKS_MAX: usize = 8;
/// Ticks are looked for at so many places; some lie before the span, or are put together by the clock.
const LOOKED_AT_MAX: usize = 64;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The steps that are round on a clock or in a calendar, with about how long they are.
const STEPS: [(i64, Step); 28] = [
    (1, Step::Milliseconds(1)),
    (10, Step::Milliseconds(10)),
    (100, Step::Milliseconds(100)),
    (SECOND, Step::Seconds(1)),
    (2 * SECOND, Step::Seconds(2)),
    (5 * SECOND, Step::Seconds(5)),
    (10 * SECOND, Step::Seconds(10)),
    (30 * SECOND, Step::Seconds(30)),
    (MINUTE, Step::Seconds(60)),
    (2 * MINUTE, Step::Seconds(120)),
    (5 * MINUTE, Step::Seconds(300)),
    (10 * MINUTE, Step::Seconds(600)),
    (15 * MINUTE, Step::Seconds(900)),
    (30 * MINUTE, Step::Seconds(1800)),
    (HOUR, Step::Hours(1)),
    (2 * HOUR, Step::Hours(2)),
    (3 * HOUR, Step::Hours(3)),
    (6 * HOUR, Step::Hours(6)),
    (12 * HOUR, Step::Hours(12)),
    (DAY, Step::Days(1)),
    (2 * DAY, Step::Days(2)),
    (7 * DAY, Step::Days(7)),
    (14 * DAY, Step::Days(14)),
    (31 * DAY, Step::Months(1)),
    (92 * DAY, Step::Months(3)),
    (366 * DAY, Step::Months(12)),
    (5 * 366 * DAY, Step::Months(60)),
    (50 * 366 * DAY, Step::Months(600)),
];

/// A zone in which people read times.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

#[derive(Debug, Clone, Copy)]
enum Step {
    Milliseconds(i64),
    Seconds(i64),
    Hours(i64),
    Days(i64),
    Months(i64),
}

impl Zone {
    /// Universal time.
    #[cfg(test)]
    pub(crate) const UTC: Self = Self(TimeZone::UTC);

    /// That of this name in the IANA database.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self::new)
    }

    /// The same as `jiff` has it.
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self(zone)
    }

    /// The time at which a clock shows this, as a field for local times has it: `2026-11-29T06:30`.
    pub(crate) fn moment(&self, text: &str) -> Option<i64> {
        let shown: DateTime = text.parse().ok()?;
        Some(self.0.to_timestamp(shown).ok()?.as_millisecond())
    }

    /// What such a field has at a time.
    pub(crate) fn field(&self, time: i64) -> String {
        let time = Timestamp::from_millisecond(time).unwrap_or_default();
        self.0.to_datetime(time).strftime("%Y-%m-%dT%H:%M").to_string()
    }

    /// About so many ticks of a span, rising, each with its label: the time of the day, or the date at
    /// midnight and where days are ticks.
    pub(super) fn ticks(&self, span: TimeSpan, about: usize) -> Vec<(i64, String)> {
        let least = span.length() / i64::try_from(about.max(1)).unwrap_or(1);
        let found = STEPS.iter().find(|(length, _)| *length >= least);
        let Some((_, step)) = found.copied().or(STEPS.last().copied()) else { return Vec::new() };
        let mut ticks: Vec<(i64, String)> = Vec::new();
        for (time, shown) in self.places(span.from, step) {
            let is_next = ticks.last().is_none_or(|(last, _)| *last < time);
            if time >= span.from && time < span.until && is_next && ticks.len() < TICKS_MAX {
                ticks.push((time, step.label(shown)));
            }
        }
        ticks
    }

    /// Places of ticks from before `from` on, each as a time and as the clock shows it.
    fn places(&self, from: i64, step: Step) -> Vec<(i64, DateTime)> {
        let mut places = Vec::new();
        let Ok(begin) = Timestamp::from_millisecond(from) else { return places };
        let Some(mut shown) = step.floor(self.0.to_datetime(begin)) else { return places };
        for _ in 0..LOOKED_AT_MAX {
            if let Ok(time) = self.0.to_timestamp(shown) {
                // What the clock really shows then: an hour that is left out in spring is the next one.
                places.push((time.as_millisecond(), self.0.to_datetime(time)));
            }
            let Ok(next) = shown.checked_add(step.span()) else { break };
            shown = next;
        }
        places
    }
}

impl Step {
    fn span(self) -> Span {
        match self {
            Self::Milliseconds(count) => Span::new().milliseconds(count),
            Self::Seconds(count) => Span::new().seconds(count),
            Self::Hours(count) => Span::new().hours(count),
            Self::Days(count) => Span::new().days(count),
            Self::Months(count) => Span::new().months(count),
        }
    }

    /// The last place of a tick that a clock showed before, or shows now.
    fn floor(self, shown: DateTime) -> Option<DateTime> {
        let midnight = shown.start_of_day();
        let back = |count: i64, of: i64| count.rem_euclid(of);
        Some(match self {
            Self::Milliseconds(of) => {
                let second = shown.with().subsec_nanosecond(0).build().ok()?;
                let whole = i64::from(shown.millisecond());
                second.checked_add(Span::new().milliseconds(whole - back(whole, of))).ok()?
            }
            Self::Seconds(of) => {
                let whole = i64::from(shown.hour()) * 3600
                    + i64::from(shown.minute()) * 60
                    + i64::from(shown.second());
                midnight.checked_add(Span::new().seconds(whole - back(whole, of))).ok()?
            }
            Self::Hours(of) => {
                let whole = i64::from(shown.hour());
                midnight.checked_add(Span::new().hours(whole - back(whole, of))).ok()?
            }
            // Weeks begin on Monday.
            Self::Days(of @ (7 | 14)) => {
                let day = i64::from(shown.weekday().to_monday_zero_offset());
                midnight.checked_sub(Span::new().days(day + of - 7)).ok()?
            }
            Self::Days(of) => {
                let day = i64::from(shown.day()) - 1;
                midnight.checked_sub(Span::new().days(back(day, of))).ok()?
            }
            Self::Months(of) => {
                let months = i64::from(shown.year()) * 12 + i64::from(shown.month()) - 1;
                let first = midnight.first_of_month();
                first.checked_sub(Span::new().months(back(months, of))).ok()?
            }
        })
    }

    fn label(self, shown: DateTime) -> String {
        let is_midnight = shown == shown.start_of_day();
        match self {
            Self::Milliseconds(_) => shown.strftime("%H:%M:%S.%3f").to_string(),
            Self::Seconds(of) if of < 60 => shown.strftime("%H:%M:%S").to_string(),
            Self::Seconds(_) | Self::Hours(_) if !is_midnight => shown.strftime("%H:%M").to_string(),
            Self::Seconds(_) | Self::Hours(_) | Self::Days(_) => shown.strftime("%m-%d").to_string(),
            Self::Months(of) if of < 12 => shown.strftime("%Y-%m").to_string(),
            Self::Months(_) => shown.strftime("%Y").to_string(),
        }
    }
}
