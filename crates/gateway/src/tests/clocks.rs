//! A wall clock that is wrong, and right again.

use narrowgate_platform::ids::UnixMillis;

use super::stage::Stage;

const DAY_MS: i64 = 86_400_000;

/// How long a clock stays as it is: less than the lifetime.
const STEP_MS: i64 = 50_000;

/// The server's clock is wrong by so much for some time, and then a device whose clock is right reports;
/// returns how far the arrival is from the right time.
fn report(stage: &mut Stage, wrong_by_ms: i64) -> i64 {
    stage.now.wall.0 += wrong_by_ms;
    stage.play(&format!("wait {}", STEP_MS / 1000));
    let right = stage.now.wall.0 - wrong_by_ms;
    let said = stage.play(&format!("s1 posts at {right}; done"));
    assert_eq!(said, "write report, tell report, s1 2.04", "{wrong_by_ms} ms");
    stage.now.wall = UnixMillis(right);
    stage.arrivals.last().expect("it was written").0 - right
}

#[test]
fn attack_206_no_report_is_refused_for_the_servers_clock_and_no_arrival_is_before_a_confirmed_one() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done");
    let in_1970 = -stage.now.wall.0 + 1;
    assert_eq!(report(&mut stage, 0), 0);
    let year = 365 * DAY_MS;
    // It goes on as time goes by.
    for wrong_by_ms in [in_1970, -2 * DAY_MS, 0, -2 * DAY_MS, 0, 12 * year, 12 * year, 0] {
        assert_eq!(report(&mut stage, wrong_by_ms), 0, "{wrong_by_ms} ms");
    }
}
