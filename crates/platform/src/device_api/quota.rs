//! The reports of a day of an organisation unit are used up.

use narrowgate_coap::Code;

use super::Answer;
use crate::{model::log::Reason, rules::refusal::Refusal};

/// The answer to a report beyond the quota: 4.29 with the time until the next day of UTC begins. So the
/// device keeps the report, and sends it then.
pub fn reports_used_up(reports_per_day: u32, wait_s: u32) -> Answer {
    let detail = format!(
        "the devices of the organisation unit have sent {reports_per_day} reports today, as many as its \
         quota permits: further ones are answered 4.29 until midnight of UTC, in {wait_s} s; this is told \
         once an hour"
    );
    Answer::refused(Code::TOO_MANY_REQUESTS, Refusal::new(Reason::RateLimited, detail)).max_age(wait_s)
}

/// What the log of a device says that has used up much of it.
pub fn used_up_by(count: u32, reports_per_day: u32) -> String {
    format!(
        "about {count} of the {reports_per_day} reports that the organisation unit may send in a day were \
         this device's: the reports of all of its devices are answered 4.29 until midnight of UTC"
    )
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::OptionNumber;

    use super::*;

    #[test]
    fn the_device_is_told_when_to_come_again() {
        let (response, refusal) = reports_used_up(1000, 3600).into_parts();
        assert_eq!(response.code, Code::TOO_MANY_REQUESTS);
        assert_eq!(response.options.find_uint(OptionNumber::MAX_AGE), Some(3600));
        let refusal = refusal.expect("it says why");
        assert_eq!(refusal.reason, Some(Reason::RateLimited));
        assert!(refusal.detail.contains("1000 reports") && refusal.detail.contains("3600 s"));
    }
}
