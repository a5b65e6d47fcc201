//! A day of UTC, which names a file of messages.

use std::fmt;

use narrowgate_platform::ids::UnixMillis;

const MS_PER_DAY: i64 = 86_400_000;
/// 9999-12-31: a clock beyond it is broken, and a name of five digits would sort wrongly.
const LAST: i64 = 2_932_896;

/// Days since 1970-01-01, up to 9999-12-31. `Display` gives `2026-01-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(i64);

impl Day {
    /// The day that `time` lies in; times out of range fall on the first or last day.
    pub(super) fn of(time: UnixMillis) -> Self {
        Self(time.0.div_euclid(MS_PER_DAY).clamp(0, LAST))
    }

    /// Its first moment.
    pub(super) fn begins(self) -> UnixMillis {
        UnixMillis(self.0 * MS_PER_DAY)
    }

    /// Days since 1970-01-01.
    pub(super) fn number(self) -> i64 {
        self.0
    }

    /// The day after it.
    pub(super) fn next(self) -> Self {
        Self((self.0 + 1).min(LAST))
    }

    /// This many days earlier, not before 1970.
    pub(super) fn minus(self, days: u32) -> Self {
        Self((self.0 - i64::from(days)).max(0))
    }

    /// The reverse of `Display`; `None` for anything that it would not give.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        let parsed = Self(days_from_civil(year, month, day));
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Gregorian calendar, counted in eras of 400 years that begin on 1 March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_that_the_calendar_gives() {
        for (ms, name) in [
            (0, "1970-01-01"),
            (-1, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (951_868_800_000, "2000-03-01"),
            (1_767_225_599_999, "2025-12-31"),
            (1_767_225_600_000, "2026-01-01"),
            (i64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Day::of(UnixMillis(ms)).to_string(), name);
        }
    }

    #[test]
    fn every_day_reads_back_and_follows_the_day_before() {
        for day in (0..=LAST).step_by(97).map(Day) {
            assert_eq!(Day::parse(&day.to_string()), Some(day));
        }
        assert!(Day::of(UnixMillis(0)).to_string() < Day(LAST).to_string());
        assert_eq!(Day(40).minus(41), Day(0));
    }

    #[test]
    fn other_text_is_no_day() {
        for text in
            ["", "2026", "2026-1-1", "2026-02-30", "2026-13-01", "1969-12-31", "2026-01-01x", "+026-01-01"]
        {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
