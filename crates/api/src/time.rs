//! Times as people write them: RFC 3339, and Unix milliseconds.

/// Formats `1763964757123` as `2025-11-24T06:12:37.123Z` (UTC; whole seconds without a fraction).
pub fn rfc3339(unix_ms: i64) -> String {
    let (seconds, ms) = (unix_ms.div_euclid(1000), unix_ms.rem_euclid(1000));
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Seconds from 2001 to 2286; as milliseconds they would be in the first months of 1970.
const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

/// Reads RFC 3339 (`2026-11-24T06:12:37Z`, `2026-11-24T07:12:37.5+01:00`), a date in UTC, or Unix
/// milliseconds, which are negative before 1970.
///
/// # Errors
/// A sentence for people.
pub fn parse(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().map_err(|_| wrong(text))?;
        if SECONDS.contains(&number) {
            return Err(format!("{text} looks like seconds; in milliseconds it is {text}000"));
        }
        return Ok(number);
    }
    // A date stands for its midnight.
    let midnight = format!("{text}T00:00:00Z");
    parse_rfc3339(if text.len() == 10 { &midnight } else { text }).ok_or_else(|| wrong(text))
}

fn wrong(text: &str) -> String {
    format!(
        "{text:?} is not a time; use 2026-11-24T06:12:37Z, 2026-11-24, \
         or Unix milliseconds such as 1795500757000"
    )
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !text.is_ascii() || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    for (at, separator) in [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')] {
        if bytes[at] != separator {
            return None;
        }
    }
    let (year, month, day) = (digits(&text[0..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let (ms, zone) = fraction(&text[19..])?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(seconds * 1000 + ms)
}

/// `.25Z` is 250 ms and `Z`; digits after the third are cut off.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ms = match length {
        0 => return None,
        1..=3 => digits(&rest[..length])? * 10_i64.pow(3 - length as u32),
        _ => digits(&rest[..3])?,
    };
    Some((ms, &rest[length..]))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if zone.len() != 6 || zone.as_bytes()[3] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(&zone[1..3])?, digits(&zone[4..6])?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is the last of its year; 400 years
/// have 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_763_964_757_123, "2025-11-24T06:12:37.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
            assert_eq!(parse(text), Ok(unix_ms), "{text}");
        }
    }

    #[test]
    fn offsets_fractions_and_milliseconds_are_read() {
        let plain = parse("2026-11-24T06:12:37Z").unwrap();
        assert_eq!(parse("2026-11-24T07:12:37+01:00"), Ok(plain));
        assert_eq!(parse("2026-11-24 01:12:37.5-05:00"), Ok(plain + 500));
        assert_eq!(parse("2026-11-24T06:12:37.123456789Z"), Ok(plain + 123));
        assert_eq!(parse(&plain.to_string()), Ok(plain));
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in [
            "",
            "yesterday",
            "2026-11-31",
            "2026/11/24",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-24T06:12:37",
            "2026-11-24T06:12:37.Z",
            "2026-11-24T06:12:37+0100",
            "2026-11-24T24:00:00Z",
            "-",
            "--5",
            "2026-11-24T06:12:3éZ",
        ] {
            assert!(parse(text).unwrap_err().contains("2026-11-24T06:12:37Z"), "{text}");
        }
    }

    #[test]
    fn a_date_is_its_midnight_and_seconds_are_named() {
        assert_eq!(parse("2026-11-24"), parse("2026-11-24T00:00:00Z"));
        assert_eq!(
            parse("1795500757").unwrap_err(),
            "1795500757 looks like seconds; in milliseconds it is 1795500757000"
        );
        assert_eq!(parse("999999999"), Ok(999_999_999));
        // A time before 1970 is a number too, as programs pass it on.
        let before = parse("1969-01-01").unwrap();
        assert_eq!((before, parse(&before.to_string())), (-31_536_000_000, Ok(before)));
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for day in -146_097..146_097 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }
}
