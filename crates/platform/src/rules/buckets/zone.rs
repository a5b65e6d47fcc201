//! Where buckets begin.

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

use crate::ids::UnixMillis;

/// 1970-01-05, a Monday.
const FIRST_MS: i64 = 4 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// The longest bucket.
const DAYS_MAX: i64 = 366;

/// How long buckets are, and in which zone they begin.
#[derive(Debug, Clone)]
pub struct Bucketing {
    width_ms: i64,
    zone: TimeZone,
}

/// What is wrong with a wish for buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFault {
    /// The parameter: `bucket`, `tz` or `fn`.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Bucketing {
    /// Reads a width (`15m`, `1h`, `7d`) and the name of a zone in the IANA database; without one it is UTC.
    ///
    /// # Errors
    /// Either is none.
    pub fn parse(width: &str, zone: Option<&str>) -> Result<Self, BucketFault> {
        let width_ms = parse_width(width).ok_or_else(|| BucketFault {
            field: "bucket",
            message: format!(
                "is {width:?}; it must be a number with a unit (s, m, h or d), 1s to {DAYS_MAX}d, such as 15m"
            ),
        })?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| BucketFault {
                field: "tz",
                message: format!(
                    "is {name:?}; it must be a zone of the IANA database, such as Europe/Berlin"
                ),
            })?,
        };
        Ok(Self { width_ms, zone })
    }

    /// Begin of the bucket that `time` lies in. It never falls while `time` grows.
    pub fn begin_of(&self, time: UnixMillis) -> UnixMillis {
        // A time beyond the year 9999 has no zone.
        UnixMillis(self.begin_in_zone(time.0).unwrap_or_else(|| self.floor(time.0)))
    }

    /// Goes back from `time` as long as a clock of the zone shows a time of the same bucket.
    fn begin_in_zone(&self, time: i64) -> Option<i64> {
        let at = Timestamp::from_millisecond(time).ok()?;
        let mut offset = ms(self.zone.to_offset(at));
        // What the clock shows at the begin.
        let shown = self.floor(time + offset);
        // Those before the given moment, the latest first.
        let mut changes = self.zone.preceding(Timestamp::from_millisecond(time + 1).ok()?);
        loop {
            let begins = shown - offset;
            let Some(change) = changes.next() else { return Some(begins) };
            let changed = change.timestamp().as_millisecond();
            if changed <= begins {
                return Some(begins);
            }
            // The clock was put forward or back within the bucket, or into it.
            let before = ms(self.zone.to_offset(Timestamp::from_millisecond(changed - 1).ok()?));
            if self.floor(changed - 1 + before) != shown {
                return Some(changed);
            }
            offset = before;
        }
    }

    fn floor(&self, time: i64) -> i64 {
        let buckets = time.saturating_sub(FIRST_MS).div_euclid(self.width_ms);
        buckets.saturating_mul(self.width_ms).saturating_add(FIRST_MS)
    }
}

/// What a clock of this zone of the IANA database shows, and how far it is ahead of UTC:
/// `2026-11-29T00:00:00+01:00`. `None`: there is no such zone, or the time is beyond the year 9999.
pub fn clock_time(zone: &str, time: UnixMillis) -> Option<String> {
    let zone = TimeZone::get(zone).ok()?;
    let time = Timestamp::from_millisecond(time.0).ok()?;
    Some(time.display_with_offset(zone.to_offset(time)).to_string())
}

fn parse_width(text: &str) -> Option<i64> {
    let unit_ms = match text.bytes().last()? {
        b's' => 1000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => DAY_MS,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let width = number.parse::<i64>().ok().filter(|_| digits)?.checked_mul(unit_ms)?;
    (1000..=DAYS_MAX * DAY_MS).contains(&width).then_some(width)
}

fn ms(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1000
}
