//! Rates with a burst: so many in a time, and so many at once.

use std::time::Duration;

use narrowgate_engine::shard::throttle::ByteLimit;
use narrowgate_platform::rules::rate::Rate;

use super::{
    Accept,
    units::{show_size, unbounded_duration, unbounded_size},
};

/// Most at once, and most in a time.
const TIMES_MAX: u32 = 100_000;
/// Longest time of a rate.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Least burst of bytes: the longest datagram fits.
const BURST_BYTES_MIN: u64 = 16 << 10;
/// Most bytes a second, and most at once.
const BYTES_MAX: u64 = 1 << 30;

/// So many times in a time, and so many at once, as `1/10s burst 20`.
#[derive(Debug)]
pub(crate) struct Times;

impl Accept for Times {
    type Value = Rate;

    fn parse(&self, text: &str) -> Result<Rate, String> {
        let wrong = || {
            format!(
                "{text:?} is not a rate; use a number, a time and a burst, such as 1/10s burst 20, or off"
            )
        };
        let (rate, burst) = parts(text).ok_or_else(wrong)?;
        let (count, time) = rate.split_once('/').ok_or_else(wrong)?;
        let times = |text: &str| text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
        let (count, burst) = times(count).zip(times(burst)).ok_or_else(wrong)?;
        let time = duration(time).ok_or_else(wrong)?;
        let within = 1..=TIMES_MAX;
        if !within.contains(&count) || !within.contains(&burst) || time.is_zero() || time > TIME_MAX {
            return Err(format!("{text:?} is out of range; it must be {}", self.accepted()));
        }
        Ok(Rate { every: time / count, burst })
    }

    fn accepted(&self) -> String {
        format!("1 to {TIMES_MAX} in up to 24h, and a burst of 1 to {TIMES_MAX}")
    }
}

/// Bytes in a second and at once, as `10KiB/s burst 100KiB`.
#[derive(Debug)]
pub(crate) struct Bytes;

impl Accept for Bytes {
    type Value = ByteLimit;

    fn parse(&self, text: &str) -> Result<ByteLimit, String> {
        let wrong = || {
            format!("{text:?} is not a rate of bytes; use two sizes, such as 10KiB/s burst 100KiB, or off")
        };
        let (rate, burst) = parts(text).ok_or_else(wrong)?;
        let per_second = rate.strip_suffix("/s").and_then(unbounded_size).ok_or_else(wrong)?;
        let burst = unbounded_size(burst).ok_or_else(wrong)?;
        if !(1..=BYTES_MAX).contains(&per_second) || !(BURST_BYTES_MIN..=BYTES_MAX).contains(&burst) {
            return Err(format!("{text:?} is out of range; it must be {}", self.accepted()));
        }
        // Both fit: they are at most 1 GiB.
        Ok(ByteLimit { per_second: per_second as u32, burst: burst as u32 })
    }

    fn accepted(&self) -> String {
        let [least, most] = [BURST_BYTES_MIN, BYTES_MAX].map(show_size);
        format!("1B/s to {most}/s, burst {least} to {most}")
    }
}

/// The rate and the burst.
fn parts(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split_whitespace();
    let parts = (words.next()?, words.next()?, words.next()?);
    (parts.1 == "burst" && words.next().is_none()).then_some((parts.0, parts.2))
}

/// A time, or the unit alone: `s` is `1s`.
fn duration(text: &str) -> Option<Duration> {
    let is_unit = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let text = if is_unit { format!("1{text}") } else { text.to_owned() };
    unbounded_duration(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::OrOff, *};

    #[test]
    fn a_rate_is_a_number_a_time_and_a_burst() {
        let rate = |every_ms, burst| Ok(Some(Rate { every: Duration::from_millis(every_ms), burst }));
        let times = OrOff(Times);
        assert_eq!(times.parse("1/10s burst 20"), rate(10_000, 20));
        assert_eq!(times.parse("  5/m   burst 5 "), rate(12_000, 5));
        assert_eq!(times.parse("100/s burst 1"), rate(10, 1));
        assert_eq!(times.parse("off"), Ok(None));
        for text in [
            "",
            "1",
            "1/10s",
            "1/10s 20",
            "1/10s burst",
            "1/10 burst 20",
            "1/10s burst 20 30",
            "+1/10s burst 20",
            "-1/10s burst 20",
            "1/10s bursts 20",
            "1/10s burst 2.5",
            "Off",
        ] {
            let reason = times.parse(text).unwrap_err();
            assert!(reason.ends_with("such as 1/10s burst 20, or off"), "{text}: {reason}");
        }
        for text in ["0/10s burst 20", "1/0s burst 20", "1/25h burst 20", "1/10s burst 0", "1/s burst 100001"]
        {
            let reason = times.parse(text).unwrap_err();
            assert!(reason.contains("must be 1 to 100000 in up to 24h"), "{text}: {reason}");
        }
    }

    #[test]
    fn a_rate_of_bytes_is_two_sizes() {
        let bytes = OrOff(Bytes);
        let limit = ByteLimit { per_second: 10 << 10, burst: 100 << 10 };
        assert_eq!(bytes.parse("10KiB/s burst 100KiB"), Ok(Some(limit)));
        assert_eq!(bytes.parse("off"), Ok(None));
        for text in [
            "",
            "10KiB/s",
            "10KiB burst 100KiB",
            "10/s burst 100KiB",
            "10KB/s burst 100KB",
            "10KiB/m burst 1MiB",
        ] {
            let reason = bytes.parse(text).unwrap_err();
            assert!(reason.ends_with("such as 10KiB/s burst 100KiB, or off"), "{text}: {reason}");
        }
        for text in ["0B/s burst 100KiB", "10KiB/s burst 15KiB", "2GiB/s burst 100KiB", "1KiB/s burst 2GiB"] {
            let reason = bytes.parse(text).unwrap_err();
            assert!(reason.ends_with("it must be 1B/s to 1GiB/s, burst 16KiB to 1GiB"), "{text}: {reason}");
        }
    }
}
