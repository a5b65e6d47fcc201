//! Numbers with a unit, within a range: times, whole days, sizes.

use std::{ops::RangeInclusive, time::Duration};

use super::Accept;

/// Units of sizes, with the power of two that each is.
const SIZE_UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Units of durations, with the milliseconds that each is.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const DAY_MS: u128 = 86_400_000;

/// A time with its unit, as `9s`, within a range.
#[derive(Debug)]
pub(crate) struct Time(pub(in crate::config) RangeInclusive<Duration>);

impl Accept for Time {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let duration = unbounded_duration(text)?;
        if self.0.contains(&duration) {
            return Ok(duration);
        }
        Err(format!("{text:?} is out of range; it must be {}", self.accepted()))
    }

    fn accepted(&self) -> String {
        format!("{} to {}", show_duration(*self.0.start()), show_duration(*self.0.end()))
    }
}

pub(super) fn unbounded_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; use a number and a unit, such as 9s or 24h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    let (_, unit_ms) =
        DURATION_UNITS.into_iter().find(|(unit, _)| *unit == &text[unit_at..]).ok_or_else(wrong)?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// A duration as it is written in a setting: `9s`.
pub(in crate::config) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let whole = |unit_ms: u64| ms >= u128::from(unit_ms) && ms.is_multiple_of(u128::from(unit_ms));
    let (unit, unit_ms) = DURATION_UNITS.into_iter().find(|(_, ms)| whole(*ms)).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / u128::from(unit_ms))
}

/// Whole days within a range.
#[derive(Debug)]
pub(crate) struct Days(pub(in crate::config) RangeInclusive<u32>);

impl Accept for Days {
    type Value = u32;

    fn parse(&self, text: &str) -> Result<u32, String> {
        let ms = unbounded_duration(text)?.as_millis();
        match u32::try_from(ms / DAY_MS) {
            Ok(days) if self.0.contains(&days) && ms.is_multiple_of(DAY_MS) => Ok(days),
            _ => Err(format!("{text:?} is not a number of {}; use 90d, or off", self.accepted())),
        }
    }

    fn accepted(&self) -> String {
        format!("whole days from {}d to {}d", self.0.start(), self.0.end())
    }
}

/// Bytes with their unit, as `64MiB`, within a range.
#[derive(Debug)]
pub(crate) struct Size(pub(in crate::config) RangeInclusive<u64>);

impl Accept for Size {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, String> {
        let bytes = unbounded_size(text).ok_or_else(|| {
            format!("{text:?} is not a size; use a number and a unit, such as 512KiB, 64MiB or 1GiB")
        })?;
        if self.0.contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!("{text:?} is out of range; it must be {}", self.accepted()))
    }

    fn accepted(&self) -> String {
        format!("{} to {}", show_size(*self.0.start()), show_size(*self.0.end()))
    }
}

pub(super) fn unbounded_size(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_at].parse().ok()?;
    let (_, shift) = SIZE_UNITS.into_iter().find(|(unit, _)| *unit == &text[unit_at..])?;
    number.checked_mul(1 << shift)
}

pub(super) fn show_size(bytes: u64) -> String {
    let (unit, shift) =
        SIZE_UNITS.into_iter().find(|(_, shift)| bytes.is_multiple_of(1 << shift)).unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::{super::OrOff, *};

    #[test]
    fn sizes_need_a_number_and_a_unit() {
        let size = Size(1 << 20..=64 << 30);
        let parse = |text| size.parse(text);
        assert_eq!(parse("1MiB"), Ok(1 << 20));
        assert_eq!(parse("2048KiB"), Ok(2 << 20));
        assert_eq!(parse("64GiB"), Ok(64 << 30));
        for text in [
            "",
            "64",
            "64MB",
            "64 MiB",
            "-1MiB",
            "1.5GiB",
            "MiB",
            "99999999999999999999B",
            "18446744073709551615GiB",
        ] {
            assert!(parse(text).unwrap_err().contains("64MiB"), "{text}");
        }
        assert_eq!(parse("1B"), Err("\"1B\" is out of range; it must be 1MiB to 64GiB".into()));
        assert!(parse("65GiB").is_err());
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        for (text, ms) in
            [("500ms", 500), ("9s", 9000), ("15m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(unbounded_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "9", "s", "9 s", "-1s", "1.5h", "9S", "99999999999999999999s", "9999999999999999d", "1h30m"]
        {
            assert!(unbounded_duration(text).unwrap_err().contains("24h"), "{text}");
        }
    }

    #[test]
    fn a_duration_out_of_range_is_told_the_range() {
        let time = Time(Duration::from_millis(100)..=Duration::from_secs(60));
        let parse = |text| time.parse(text);
        assert_eq!(parse("9s"), Ok(Duration::from_secs(9)));
        assert_eq!(parse("2m").unwrap_err(), "\"2m\" is out of range; it must be 100ms to 1m");
    }

    #[test]
    fn retention_is_whole_days_or_off() {
        let retention = OrOff(Days(1..=36_500));
        assert_eq!(retention.parse("off"), Ok(None));
        assert_eq!(retention.parse("48h"), Ok(Some(2)));
        for text in ["0d", "36h", "90", "-1d", "86400500ms", "36501d", "4294967297d", ""] {
            assert!(retention.parse(text).unwrap_err().contains("d"), "{text}");
        }
    }

    #[test]
    fn the_limits_that_are_printed_are_those_that_are_checked() {
        assert_eq!(Time(Duration::from_secs(60)..=Duration::from_secs(7200)).accepted(), "1m to 2h");
        assert_eq!(Size(1024..=3 << 20).accepted(), "1KiB to 3MiB");
        assert_eq!(Days(1..=30).accepted(), "whole days from 1d to 30d");
    }
}
