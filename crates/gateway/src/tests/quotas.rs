//! Quotas of reports a day: what is taken, what a device is told beyond, and what is written down.

use narrowgate_platform::{
    ids::UnixMillis,
    model::access::{Quotas, ReportsOfDay, Unit},
};

use super::stage::Stage;

/// The day of the stage's clock, and the seconds that are left of it.
const DAY: i64 = 19_675;
const LEFT_S: u64 = 6400;

/// A stage with device d of a unit that may send so many reports, of which so many were counted today.
fn served(reports_per_day: u32, count: u32) -> Stage {
    let mut stage = Stage::new();
    let quotas = Quotas { reports_per_day: Some(reports_per_day), ..Quotas::default() };
    stage.unit = Some(Unit {
        ou: "o00000000000003".to_owned(),
        name: "north".to_owned(),
        created: UnixMillis(0),
        suspended: None,
        quotas,
        reports: Some(ReportsOfDay { day: DAY, count }),
    });
    stage.play("h1 wants p,d,2,86400; found; h1 connects; done");
    stage
}

#[test]
fn reports_beyond_the_quota_of_a_day_are_answered_4_29_until_the_next_one() {
    let mut stage = served(3, 0);
    assert_eq!(stage.play("s1 posts; on; done"), "read p, write report, tell report, s1 2.04");
    for _ in 0..2 {
        assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    }
    // One device has sent all of them: it is told in its log.
    assert_eq!(stage.play("s1 posts"), "s1 4.29, write rate_limited, write rate_limited");
    stage.play("done; done");
    assert_eq!(stage.play("s1 posts; s1 posts"), "s1 4.29, s1 4.29", "it is told once an hour");
    // What is no report goes on.
    assert!(stage.play("s1 queries").starts_with("read attributes"));
    // The next hour tells again, and the next day takes reports again.
    stage.play("wait 3600; done");
    assert!(stage.play("s1 posts").starts_with("s1 4.29, write rate_limited"));
    stage.play(&format!("wait {}", LEFT_S - 3600));
    assert!(stage.play("s1 posts; newest done").contains("s1 2.04"));
}

#[test]
fn what_was_counted_before_a_restart_counts_and_is_written_down_now_and_then() {
    let mut stage = served(3, 2);
    stage.play("s1 posts; on; done");
    assert_eq!(stage.play("wait 9"), "");
    assert_eq!(stage.play("wait 1"), "write 3 reports");
    assert!(stage.play("done; s1 posts").starts_with("s1 4.29"));
    // Who stops leaves nothing uncounted.
    let mut stage = served(3, 1);
    stage.play("s1 posts; on; done");
    assert!(stage.play("settle").contains("write 2 reports"));
}

#[test]
fn a_report_that_is_not_stored_does_not_count() {
    let mut stage = served(1, 0);
    assert!(stage.play("s1 posts; on; write fails").ends_with("s1 5.03"));
    assert!(stage.play("s1 posts; done").ends_with("s1 2.04"));
    assert!(stage.play("s1 posts").starts_with("s1 4.29"));
}

/// Bytes whose script cannot write the reply are not stored.
#[test]
fn a_report_in_bytes_whose_reply_cannot_be_written_does_not_count() {
    let report = r#"{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"a":1}}}"#;
    let mut stage = served(2, 0);
    stage.play("s1 posts; custom copy; done");
    let refused = stage.play(&format!("s1 sends {report}; runs; fails throws; done"));
    assert!(refused.contains("s1 4.00"), "{refused}");
    let stored = stage.play(&format!("s1 sends {report}; runs; runs; done"));
    assert!(stored.contains("s1 2.04"), "{stored}");
    assert!(stage.play(&format!("s1 sends {report}; runs")).contains("s1 4.29"));
}

#[test]
fn a_quota_that_is_raised_or_taken_away_holds_at_once() {
    let mut stage = served(1, 1);
    assert!(stage.play("s1 posts; on").contains("s1 4.29"));
    let unit = stage.unit.take();
    let quotas = Quotas { reports_per_day: Some(2), ..Quotas::default() };
    stage.unit = unit.map(|unit| Unit { quotas, ..unit });
    assert!(stage.play("change p; on; s1 posts; newest done").contains("s1 2.04"));
    assert!(stage.play("s1 posts").contains("s1 4.29"));
    stage.unit = None;
    assert!(stage.play("change p; on; s1 posts; newest done").contains("s1 2.04"));
}
