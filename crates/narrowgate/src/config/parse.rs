//! Values from text. Every error is the sentence that an operator reads behind "reason".

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

/// A hundred years.
const DAYS_MAX: u32 = 36_500;

/// Units of sizes, with the power of two that each is.
const SIZE_UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// An address with its port on which this machine can listen. The error names `examples`.
pub(crate) fn address(examples: &str) -> impl Fn(&str) -> Result<SocketAddr, String> {
    move |text| {
        let address: SocketAddr = text.parse().map_err(|_| match port_of_host(text) {
            Some(port) => format!(
                "{text:?} names a host, and host names are not resolved; \
                 give an address such as 127.0.0.1:{port}"
            ),
            None => format!("{text:?} is not an address with a port; write {examples}"),
        })?;
        if address.ip().is_multicast() || address.ip() == Ipv4Addr::BROADCAST {
            return Err(format!("{text:?} is an address of many machines; write {examples}"));
        }
        Ok(address)
    }
}

/// The port where the text is a host name and a port.
fn port_of_host(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let letters =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic()) && letters(host);
    port.parse().ok().filter(|_| is_name)
}

/// A value, or `off`.
pub(crate) fn or_off<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text == "off" { Ok(None) } else { parse(text).map(Some) }
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A whole number within a range.
pub(crate) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| match text.parse() {
        // Rust would take "+1".
        Ok(number) if range.contains(&number) && !text.starts_with('+') => Ok(number),
        _ => Err(format!("{text:?} is not a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A time with its unit, as `9s`, within a range.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let duration = unbounded_duration(text)?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
        Err(format!("{text:?} is out of range; it must be {from} to {to}"))
    }
}

/// Bytes with their unit, as `64MiB`, within a range.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let bytes = unbounded_size(text).ok_or_else(|| {
            format!("{text:?} is not a size; write a number and its unit, as 512KiB, 64MiB or 1GiB")
        })?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!(
            "{text:?} is out of range; it must be {} to {}",
            show_size(*range.start()),
            show_size(*range.end())
        ))
    }
}

fn unbounded_size(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_at].parse().ok()?;
    let (_, shift) = SIZE_UNITS.into_iter().find(|(unit, _)| *unit == &text[unit_at..])?;
    number.checked_mul(1 << shift)
}

fn show_size(bytes: u64) -> String {
    let (unit, shift) =
        SIZE_UNITS.into_iter().find(|(_, shift)| bytes.is_multiple_of(1 << shift)).unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

/// Whole days up to a hundred years.
pub(crate) fn days(text: &str) -> Result<u32, String> {
    const DAY_MS: u128 = 86_400_000;
    let ms = unbounded_duration(text)?.as_millis();
    match u32::try_from(ms / DAY_MS) {
        Ok(days) if (1..=DAYS_MAX).contains(&days) && ms.is_multiple_of(DAY_MS) => Ok(days),
        _ => Err(format!("{text:?} is not a number of whole days from 1d to {DAYS_MAX}d; write 90d, or off")),
    }
}

/// One of some words.
pub(crate) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is none of {}", words.join(", "))
        })
    }
}

/// Some of some words, in the order given, separated by commas; none twice, at least one.
pub(crate) fn some_of<T: Copy + PartialEq>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<Vec<T>, String> {
    move |text| {
        let mut chosen = Vec::new();
        for word in text.split(',').map(str::trim) {
            let value = one_of(words)(word)?;
            if chosen.contains(&value) {
                return Err(format!("{word:?} stands there twice"));
            }
            chosen.push(value);
        }
        Ok(chosen)
    }
}

fn unbounded_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration; write a number and its unit, as 500ms, 9s, 15m, 24h or 7d");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_number_and_a_unit() {
        let parse = size(1 << 20..=64 << 30);
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
            assert!(unbounded_duration(text).unwrap_err().contains("7d"), "{text}");
        }
    }

    #[test]
    fn a_duration_out_of_range_is_told_the_range() {
        let parse = duration(Duration::from_millis(100)..=Duration::from_secs(60));
        assert_eq!(parse("9s"), Ok(Duration::from_secs(9)));
        assert_eq!(parse("2m").unwrap_err(), "\"2m\" is out of range; it must be 100ms to 1m");
    }

    #[test]
    fn retention_is_whole_days_or_off() {
        assert_eq!(or_off(days)("off"), Ok(None));
        assert_eq!(or_off(days)("48h"), Ok(Some(2)));
        for text in ["0d", "36h", "90", "-1d", "86400500ms", "36501d", "4294967297d", ""] {
            assert!(or_off(days)(text).unwrap_err().contains("d"), "{text}");
        }
    }

    #[test]
    fn words_keep_their_order_and_stand_once() {
        let words = [("a", 1), ("b", 2)];
        assert_eq!(some_of(&words)("b, a"), Ok(vec![2, 1]));
        assert_eq!(some_of(&words)("a,a").unwrap_err(), "\"a\" stands there twice");
        assert_eq!(some_of(&words)("").unwrap_err(), "\"\" is none of a, b");
    }

    #[test]
    fn numbers_addresses_and_switches_say_what_is_expected() {
        assert_eq!(number(1..=16_u32)("17").unwrap_err(), "\"17\" is not a whole number from 1 to 16");
        let parse = address("127.0.0.1:8080");
        for text in ["127.0.0.1", "8080", ":8080", "1.2.3.4:65536", "224.0.0.1:1", "[ff02::1]:1", ""] {
            assert!(parse(text).unwrap_err().contains("write 127.0.0.1:8080"), "{text}");
        }
        let reason = parse("localhost:1").unwrap_err();
        assert!(reason.contains("not resolved; give an address such as 127.0.0.1:1"), "{reason}");
        assert!(number(1..=16_u32)("+4").is_err());
        assert_eq!(switch("yes").unwrap_err(), "\"yes\" is neither true nor false");
    }
}
