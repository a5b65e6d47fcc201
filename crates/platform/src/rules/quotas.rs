//! Quotas of organisation units: what is refused where one is used up, and in which words.

use crate::{
    ids::UnixMillis,
    ports::{Quota, StoreError},
};

/// A day of UTC, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// Passes one more where there are so many and the quota is this.
///
/// # Errors
/// [`StoreError::QuotaExceeded`]
pub fn permit_one_more(of: Quota, has: u64, quota: Option<u32>) -> Result<(), StoreError> {
    match quota {
        Some(max) if has >= u64::from(max) => Err(StoreError::QuotaExceeded { of, max }),
        _ => Ok(()),
    }
}

/// The day of UTC that `at` lies in, counted from 1970.
pub fn day(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// Whether the day of which reports were counted is over today. A clock that goes back a little begins no day
/// anew, and one that was years ahead leaves no unit without reports until then.
pub fn is_over(counted: i64, today: i64) -> bool {
    counted < today || counted > today.saturating_add(1)
}

/// Seconds until the next day of UTC begins; at least one.
pub fn seconds_to_next_day(at: UnixMillis) -> u32 {
    let left_ms = DAY_MS - at.0.rem_euclid(DAY_MS);
    u32::try_from(left_ms.div_euclid(1000) + i64::from(left_ms % 1000 > 0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_is_taken_below_the_quota_and_not_at_it() {
        let permitted = |has, quota| permit_one_more(Quota::Devices, has, quota).is_ok();
        assert!(permitted(u64::MAX, None) && permitted(6, Some(7)));
        assert!(!permitted(7, Some(7)) && !permitted(8, Some(7)) && !permitted(0, Some(0)));
        let refused = permit_one_more(Quota::Products, 7, Some(7)).expect_err("there are as many");
        let said = refused.to_string();
        assert!(said.contains("7 products"), "{said}");
    }

    #[test]
    fn a_day_begins_at_midnight_of_utc() {
        assert_eq!((day(UnixMillis(-1)), day(UnixMillis(0)), day(UnixMillis(DAY_MS))), (-1, 0, 1));
        let over = [18, 19, 20, 21, 22].map(|counted| is_over(counted, 20));
        assert_eq!(over, [true, true, false, false, true]);
        let left = |ms| seconds_to_next_day(UnixMillis(ms));
        assert_eq!([left(0), left(1), left(1000), left(DAY_MS - 1)], [86_400, 86_400, 86_399, 1]);
    }
}
