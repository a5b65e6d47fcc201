//! Stories: what happens to a device when something comes at the wrong moment.

use std::time::Duration;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::OnlineDevice,
    rules::psk::mark,
    secret::Secret,
};

use super::stage::{Kind, Stage};
use crate::residence::presence::CHANGES_AT_ONCE;

/// A device that is logged in, and its product in memory.
pub(super) fn served() -> Stage {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done");
    stage
}

#[test]
fn a_report_is_kept_as_its_product_says() {
    let stage = served();
    let classes: Vec<&str> = stage.classes.iter().map(|class| class.name()).collect();
    assert_eq!(classes, ["short"]);
}

#[test]
fn a_slow_look_up_stalls_nobody_else() {
    let mut stage = served();
    assert_eq!(stage.play("h2 wants p,e,2,60"), "look up p/e");
    // The store takes its time; the first device goes on, and a third one comes in meanwhile.
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    let third = stage.play("h3 wants p,d,2,60; newest found; h3 connects; done");
    assert_eq!(third, "look up p/d, h3 key, write login, tell login, s1 superseded");
    assert_eq!(stage.play("found e; h2 connects; done"), "h2 key, write login, tell login");
    // A handshake that ended meanwhile gets no command.
    assert_eq!(stage.play("h4 wants p,e,2,60; h4 ends; found e"), "look up p/e");
    assert!(stage.gateway.is_settled());
}

#[test]
fn requests_wait_for_the_product_of_their_session_alone_and_in_their_order() {
    let mut stage = served();
    stage.play("h2 wants q,e,2,60; found e; h2 connects; done");
    assert_eq!(stage.play("s2 posts q/e"), "read q");
    assert_eq!(stage.play("s2 posts nonsense; s2 posts q/e"), "", "they wait behind the first");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!(stage.play("on"), "write report, s2 4.03, write topic_foreign, write report");
    // As many wait as a session may have open, and are served.
    stage.play("done; done; done; change q");
    let open_max = narrowgate_coap::Params::default().exchanges_open_max;
    let many = "s2 posts q/e; ".repeat(open_max);
    assert_eq!(stage.play(&many), "");
    assert_eq!(stage.play("on"), vec!["write report"; open_max].join(", "));
    // A session that ends takes its own with it.
    stage.play(&"done; ".repeat(open_max));
    stage.play("change q");
    assert_eq!(stage.play(&many), "");
    assert_eq!(stage.play("s2 leaves; on"), "write offline");
}

#[test]
fn a_product_that_changes_while_it_is_read_is_read_again() {
    let mut stage = served();
    assert_eq!(stage.play("change p; s1 posts"), "read p");
    assert_eq!(stage.play("change p"), "", "what is being read is not to be used");
    assert_eq!(stage.play("on"), "read p");
    assert_eq!(stage.play("off"), "s1 4.03, write product_disabled, s1 close, write offline, list p");
}

#[test]
fn a_product_that_is_deleted_is_forgotten() {
    let mut stage = served();
    assert_eq!(stage.play("change p; gone"), "read p, s1 close, write offline, list p");
    assert_eq!(stage.play("s1 posts"), "read p", "nothing of it is in memory");
    assert!(stage.play("gone").starts_with("s1 4.03"));
    // One that is switched off is still there.
    let mut stage = served();
    assert_eq!(stage.play("change p; off"), "read p, s1 close, write offline, list p");
    assert!(stage.play("s1 posts").starts_with("s1 4.03"));
}

#[test]
fn a_large_product_that_is_switched_off_is_closed_in_portions_unless_it_is_switched_on_again() {
    let mut stage = served();
    stage.play("h9000 wants p,e,2,60; found e; h9000 connects; done");
    assert_eq!(stage.play("change p; off"), "read p, s1 close, write offline");
    assert!(!stage.gateway.is_settled());
    // Nothing has to happen for the rest to follow.
    assert_eq!(stage.play("done; wait 0"), "tell offline, s9000 close, write offline, list p");
    assert_eq!(stage.play("done; lists none; wait 60"), "tell offline");
    assert!(stage.gateway.is_settled());
    let mut stage = served();
    stage.play("h9000 wants p,e,2,60; found e; h9000 connects; done");
    assert_eq!(stage.play("change p; off; change p; wait 0"), "read p, s1 close, write offline, read p");
    assert_eq!(stage.play("on; done; wait 0"), "tell offline");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_device_without_a_session_goes_offline_with_its_product() {
    // Its session is lost, and it counts as online until its lifetime ends.
    let mut stage = served();
    assert_eq!(stage.play("s1 ends; wait 5"), "");
    assert_eq!(stage.play("change p; off"), "read p, list p");
    assert_eq!(stage.play("lists d; done; wait 120"), "write offline, tell offline");
    assert!(stage.gateway.is_settled());
    // The page is read again where that failed.
    let mut stage = served();
    assert_eq!(stage.play("s1 ends; change p; off; list fails"), "read p, list p");
    assert_eq!(stage.play("wait 1; lists d; done"), "list p, write offline, tell offline");
    // The process ends: the next one does the rest.
    let mut stage = served();
    assert_eq!(stage.play("s1 ends; change p; off; settle; lists d"), "read p, list p");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_device_that_is_let_in_again_is_not_put_offline_by_an_older_list() {
    // The product is on again before the list is there.
    let mut stage = served();
    assert_eq!(stage.play("s1 ends; change p; off; change p; on; lists d; wait 1"), "read p, list p, read p");
    // The switch is durable, the device logs in, and only then the change is heard of.
    for login in ["h2 connects", "h2 connects; done", "h2 connects; done; s2 ends"] {
        let mut stage = served();
        stage.play("s1 ends; change p; off; h2 wants p,d,2,60; found");
        stage.play(login);
        assert_eq!(stage.play("lists d"), "", "{login}");
    }
}

#[test]
fn a_large_product_that_is_off_after_a_restart_leaves_in_portions() {
    let online = |id| OnlineDevice { device: DeviceId(id), lifetime_s: 3600, login: None };
    let mut stage = Stage::restarted((1..=CHANGES_AT_ONCE as i64 + 1).map(online).collect());
    assert_eq!(stage.play("change p; off"), "read p, list p");
    // As many as may fall silent at once, and the next ones when there is room.
    let written = ["write offline"; CHANGES_AT_ONCE].join(", ");
    assert_eq!(stage.play("lists many"), written);
    assert_eq!(stage.play("wait 60"), "");
    assert_eq!(stage.play("done"), format!("tell offline, list p after {CHANGES_AT_ONCE}"));
    assert_eq!(stage.play("lists none; wait 60"), "");
    assert_eq!(stage.gateway.counters().online, 1);
}

#[test]
fn a_list_that_is_due_waits_for_room_and_makes_nothing_due() {
    let online = |id| OnlineDevice { device: DeviceId(id), lifetime_s: 3600, login: None };
    let fleet = (1..=CHANGES_AT_ONCE as i64).map(online).collect();
    let (mut stage, silent) = (Stage::restarted(fleet), 2 * 3600);
    assert_eq!(stage.play("change p; off"), "read p, list p");
    // All places for changes are taken while the store hangs, and the list cannot be read.
    assert_eq!(stage.play(&format!("wait {silent}")), ["write offline"; CHANGES_AT_ONCE].join(", "));
    assert_eq!(stage.play("list fails"), "");
    stage.now.instant += Duration::from_secs(2);
    stage.gateway.handle_timeout(stage.now);
    let due = stage.gateway.poll_timeout();
    assert!(due.is_none_or(|due| due > stage.now.instant), "a task that is told to look now would spin");
    // A change that is made gives its place to the list.
    assert_eq!(stage.play("done; wait 0"), "tell offline, list p");
}

#[test]
fn a_product_that_changed_and_cannot_be_read_disconnects_nobody_and_is_read_again() {
    let mut stage = served();
    assert_eq!(stage.play("change p; read fails"), "read p");
    assert_eq!(stage.play("wait 1"), "read p");
    assert_eq!(stage.play("off"), "s1 close, write offline, list p");
}

#[test]
fn a_store_that_fails_and_heals_loses_no_change_of_presence() {
    let mut stage = served();
    assert_eq!(stage.play("s1 posts; write fails"), "write report, s1 5.03");
    let shown = stage.gateway.unwritten().shown(stage.now.wall).expect("it is shown");
    assert_eq!((shown.last_minute, shown.since), (1, UnixMillis(1_700_000_000_000)));
    assert_eq!(shown.reason, "the disk is full");
    // The device falls silent, and the store cannot write it: it is tried again until it can, and then sent
    // to listeners.
    assert_eq!(stage.play("wait 61; write fails"), "write offline");
    assert_eq!(stage.play("wait 10; write fails"), "write offline");
    assert_eq!(stage.play("wait 10; done"), "write offline, tell offline");
    assert_eq!(stage.play("wait 60"), "");
    assert_eq!(stage.gateway.unwritten().shown(stage.now.wall), None, "and all was written since");
    // A newer change takes the place of one that waits.
    assert_eq!(
        stage.play("s1 heard; write fails; s1 leaves; done"),
        "write online, write offline, tell offline"
    );
    assert_eq!(stage.play("wait 20"), "write seen");
}

#[test]
fn a_product_switched_off_in_mid_handshake_lets_nobody_in() {
    // A login is refused when it is written.
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; change p; off; h1 connects");
    assert_eq!(stage.play("refused"), "write offline, s1 close");
    // A session with the product's secret is looked up again.
    let mut stage = Stage::new();
    let begun = stage.play("h1 wants p,d,3,60; found; change p; off; h1 connects");
    assert_eq!(begun, "look up p/d, h1 key, read p, list p, s1 close in 60s, look up p/d");
    assert_eq!(stage.play("product off"), "s1 close");
    assert_eq!(stage.play("s1 asks"), "s1 4.03, write product_disabled");
}

#[test]
fn who_stops_waits_for_what_is_looked_into_but_not_forever() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 fails");
    stage.play("settle");
    assert!(!stage.gateway.is_settled());
    assert_eq!(stage.play("diagnosed; done"), "write wrong_key, tell refused");
    assert!(stage.gateway.is_settled());
    // What takes longer is given up, and its late answer is ignored.
    stage.play("h1 fails");
    stage.play("settle");
    assert_eq!(stage.play("wait 4"), "");
    assert!(!stage.gateway.is_settled());
    assert_eq!(stage.play("wait 1"), "");
    assert!(stage.gateway.is_settled());
    assert_eq!(stage.play("diagnosed"), "");
}

#[test]
fn secrets_are_issued_one_after_the_other_and_the_last_one_is_the_one_that_counts() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.play(&format!("h{number} wants p,d,3,60; found; h{number} connects; found"));
    }
    assert_eq!(stage.play("s1 asks; s2 asks"), "read p");
    assert_eq!(stage.play("on; found"), "look up p/d, write secret 2");
    assert_eq!(stage.play("issued"), "tell secret_issued, s1 2.05, s1 close in 5s, look up p/d");
    let second = stage.play("found; issued");
    assert_eq!(second, "write secret 3, s1 close, tell secret_issued, s2 2.05, s2 close in 5s");
    // A session that ended while it waited is issued nothing.
    stage.play("h3 wants p,d,3,60; found; h3 connects; found; h4 wants p,d,3,60; found; h4 connects; found");
    assert_eq!(stage.play("s3 asks; s4 asks; s4 ends; found"), "look up p/d, write secret 4");
    assert_eq!(stage.play("issued"), "s2 close, tell secret_issued, s3 2.05, s3 close in 5s");
    assert!(stage.gateway.is_settled());
}

/// A late copy of a request that was answered 5.03 is carried out like any other: here it would void the
/// secret that the device was given meanwhile, and lock it out.
#[test]
fn a_session_that_was_issued_a_secret_is_issued_no_second_one() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
    assert_eq!(stage.play("s1 asks; found; write fails"), "look up p/d, write secret 2, s1 5.03");
    let issued = stage.play("s1 asks; found; issued");
    assert_eq!(issued, "look up p/d, write secret 2, tell secret_issued, s1 2.05, s1 close in 5s");
    assert_eq!(stage.play("s1 asks"), "s1 5.03");
    assert!(stage.gateway.is_settled());
}

/// The same in a session that the device has left: its wish was answered 5.03, the device came again, and
/// has its secret from the newer session.
#[test]
fn a_session_that_is_older_than_one_that_was_issued_a_secret_is_issued_none() {
    let left = || {
        let mut stage = Stage::new();
        stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
        assert_eq!(stage.play("s1 asks; found; write fails"), "look up p/d, write secret 2, s1 5.03");
        stage.play("h2 wants p,d,3,60; found; h2 connects; found");
        stage
    };
    let issued = "s1 close, tell secret_issued, s2 2.05, s2 close in 5s";
    // The copy comes after the secret.
    let mut stage = left();
    assert_eq!(stage.play("s2 asks; found; issued"), format!("look up p/d, write secret 2, {issued}"));
    assert_eq!(stage.play("s1 asks; s1 ends"), "");
    // It waits while the secret is issued.
    let mut stage = left();
    assert_eq!(
        stage.play("s2 asks; s1 asks; found; issued"),
        format!("look up p/d, write secret 2, {issued}")
    );
    assert!(stage.gateway.is_settled());
    // It comes before the newer session asks: that has its secret last.
    let mut stage = left();
    stage.play("s1 asks; s2 asks; found; issued");
    assert_eq!(stage.play("found; issued"), format!("write secret 3, {issued}"));
    assert!(stage.gateway.is_settled());
}

#[test]
fn attack_203_a_wish_that_meets_a_reset_at_the_store_is_asked_again_in_a_new_session() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
    assert_eq!(stage.play("s1 asks; found"), "look up p/d, write secret 2", "it replaces the first one");
    // The reset was committed before it.
    assert_eq!(stage.play("reset"), "tell refused, s1 5.03, s1 close in 5s");
    assert!(stage.gateway.is_settled());
}

#[test]
fn attack_208_a_wish_that_meets_a_new_secret_of_its_product_at_the_store_is_issued_nothing() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
    // The rotation is committed after the look-up, and the gateway hears of it later.
    assert_eq!(stage.play("s1 asks; found"), "look up p/d, write secret 2");
    assert_eq!(stage.marks, [mark(&Secret::new("product".into()))], "the store compares what it proved");
    assert_eq!(stage.play("rotated"), "tell refused, s1 4.03, s1 close in 5s");
    assert_eq!(stage.play("rotate p"), "s1 close");
    assert!(stage.gateway.is_settled());
    // The gateway hears of it before the store answers, and the session ends before or after that.
    for ends_first in [true, false] {
        let mut stage = Stage::new();
        stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
        assert_eq!(stage.play("s1 asks; found; rotate p"), "look up p/d, write secret 2, s1 close");
        let refused = "tell refused, s1 4.03, s1 close in 5s";
        if ends_first {
            assert_eq!(stage.play("s1 ends; rotated"), refused, "nothing is issued");
        } else {
            assert_eq!(stage.play("rotated; s1 ends"), refused);
        }
        assert!(stage.gateway.is_settled());
        // The former secret does not bring the device back to its wish.
        stage.play("h2 wants p,d,3,60; found; h2 connects");
        assert_eq!(stage.play("found rotated"), "s2 close");
    }
}

#[test]
fn a_device_that_is_reset_is_issued_nothing_for_which_its_sessions_still_wait() {
    let mut stage = Stage::new();
    for (number, key) in [(1, "e"), (2, "d"), (3, "d")] {
        let found = if key == "e" { "found e" } else { "found" };
        stage.play(&format!("h{number} wants p,{key},3,60; {found}; h{number} connects; {found}"));
    }
    stage.play("s1 posts p/e; on; done");
    // One secret at a time: the wishes of d wait behind that of e. Then an operator resets d.
    stage.play("s1 asks e; s2 asks; s3 asks; found e");
    assert_eq!(stage.play("close d"), "s2 close, s3 close");
    assert_eq!(stage.play("issued"), "tell secret_issued, s1 2.05, s1 close in 5s", "and nothing for d");
    assert!(stage.gateway.is_settled());
    // What its session asks before it hears of the end comes to nothing too.
    assert_eq!(stage.play("s3 asks; s2 ends; s3 ends"), "");
    // The device comes again and activates.
    stage.play("h4 wants p,d,3,60; found; h4 connects; found");
    let again = stage.play("s4 asks; found; issued");
    assert_eq!(again, "look up p/d, write secret 2, tell secret_issued, s4 2.05, s4 close in 5s");
}

#[test]
fn a_product_s_new_secret_ends_the_sessions_that_proved_the_old_one_and_no_other() {
    let mut stage = served();
    for (number, key) in [(2, "d"), (3, "e")] {
        let found = if key == "e" { "found e" } else { "found" };
        stage.play(&format!("h{number} wants p,{key},3,60; {found}; h{number} connects; {found}"));
    }
    assert_eq!(stage.play("s2 asks; s3 asks e; found"), "look up p/d, write secret 2");
    assert_eq!(stage.play("rotate q"), "");
    assert_eq!(stage.play("rotate p"), "s2 close, s3 close");
    // What was at the store already may be told to a session that is gone; what waited is not issued.
    assert_eq!(stage.play("s2 ends; s3 ends; issued"), "tell secret_issued, s2 2.05, s2 close in 5s");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_wish_that_is_refused_costs_no_write_of_its_own() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done");
    for (found, told) in [
        ("found off", "s1 4.03, s1 close in 5s, write dynamic_activation_off"),
        ("found active", "s1 4.03, s1 close in 5s, write already_activated"),
        ("found rotated", "s1 4.03, s1 close in 5s, write wrong_key"),
        ("device off", "s1 4.03, s1 close in 5s, write device_disabled"),
        ("lookup fails", "s1 5.03"),
    ] {
        assert_eq!(stage.play(&format!("s1 asks; {found}")), format!("look up p/d, {told}"));
        stage.play(&"done; ".repeat(stage.count(Kind::Write)));
    }
    // The store counts secrets; what it said of this hour holds until the product is changed, or the hour
    // ends.
    assert_eq!(stage.play("s1 asks; found"), "look up p/d, write secret 2");
    assert_eq!(stage.play("used up"), "tell refused, s1 4.29");
    assert_eq!(stage.play("s1 asks; found"), "look up p/d, s1 4.29, write rate_limited");
    assert_eq!(
        stage.play("done; change p; on; s1 asks; found"),
        "tell refused, read p, look up p/d, write secret 2"
    );
    assert_eq!(
        stage.play("used up; wait 3600; s1 asks; found"),
        "tell refused, s1 4.29, look up p/d, write secret 2"
    );
}

#[test]
fn attack_208_a_stolen_product_secret_harms_no_other_product() {
    let mut stage = Stage::new();
    // As many sessions as a device may have, of each device whose key is known; then some more.
    for number in 1..=4 {
        stage.play(&format!("h{number} wants p,d,3,60; found; h{number} connects; found"));
    }
    let more = stage.play("h5 wants p,d,3,60; found; h5 connects");
    assert_eq!(more, "look up p/d, h5 key, s5 close, write rate_limited");
    stage.play("done; h9 wants q,e,3,60; found e; h9 connects; found e; s9 posts q/e; on; done");
    stage.play("s1 posts; on; done");
    // Each asks and asks. One wish at a time is looked up, and more than some are told to come again.
    let flood = stage.play(&"s1 asks; s2 asks; s3 asks; s4 asks; ".repeat(250));
    assert!(flood.starts_with("look up p/d, s2 5.03, s3 5.03"), "{flood}");
    assert_eq!(flood.matches("look up").count(), 1);
    assert_eq!(flood.matches("5.03").count(), 1000 - 257);
    assert_eq!(stage.gateway.counters().activations_deferred, 1000 - 257);
    // Another product waits for one of them at most, whether they are refused or granted.
    assert_eq!(stage.play("s9 asks q"), "");
    let refused = "s1 4.03, s1 close in 5s, write already_activated, look up p/d";
    assert_eq!(stage.play("found active"), refused);
    let next = stage.play("found active; done; done");
    assert!(next.contains("write already_activated, look up q/e"), "{next}");
    let other = stage.play("found e; issued");
    assert_eq!(other, "write secret 2, tell secret_issued, s9 2.05, s9 close in 5s, look up p/d");
    // And so does a login.
    let login = stage.play("h10 wants q,e,2,60; newest found e; h10 connects; done");
    assert_eq!(login, "look up q/e, h10 key, write login, tell login");
}

#[test]
fn handshakes_that_come_too_fast_are_dropped_before_any_look_up_and_told_once_in_a_pause() {
    let mut stage = Stage::new();
    // Known or not, it makes no difference from outside.
    for (identity, found) in [("p,d,2,60", true), ("p,nobody,2,60", false)] {
        for _ in 0..20 {
            let said = stage.play(&format!("h1 wants {identity}; unknown; h1 fails; h1 ends"));
            assert!(said.starts_with("look up p/"), "{said}");
        }
        stage.play(&"diagnosed; ".repeat(stage.count(Kind::Diagnosis)));
        stage.play(&"done; ".repeat(stage.count(Kind::Write)));
        let first = stage.play(&format!("h1 wants {identity}"));
        assert!(first.starts_with("h1 drop, look up p/"), "for the log alone: {first}");
        assert_eq!(stage.play(&format!("h1 wants {identity}; h1 wants {identity}")), "h1 drop, h1 drop");
        let told = stage.play(if found { "found; done" } else { "unknown; done" });
        assert_eq!(told, "write rate_limited, tell refused");
    }
    // From elsewhere the device gets in, and from here when the time has come.
    let elsewhere = stage.play("h4 wants p,d,2,60; found; h4 connects; done");
    assert_eq!(elsewhere, "look up p/d, h4 key, write login, tell login");
    assert_eq!(stage.play("wait 10; h1 wants p,d,2,60; found"), "look up p/d, h1 key");
    assert_eq!(stage.play("h1 wants p,d,2,60"), "h1 drop, look up p/d", "a new pause");
}

#[test]
fn a_new_session_is_no_new_bucket_of_bytes() {
    let mut stage = served();
    assert_eq!(stage.play("s1 floods; done"), "write rate_limited, tell refused");
    // The next session begins after the end of the first, or before it.
    assert_eq!(stage.play("s1 spent; s1 leaves; wait 2; done"), "write offline, tell offline");
    let second = stage.play("h2 wants p,d,2,60; found; h2 connects; done");
    assert_eq!(second, "look up p/d, h2 key, s2 charge 29520, write login, tell login");
    stage.play("h3 wants p,d,2,60; found; h3 connects");
    assert_eq!(stage.play("done; s2 spent; s2 ends"), "tell login, s2 superseded, s3 charge 50000");
    // Seconds later the bucket is full again.
    stage.play("s3 spent; s3 leaves; done; wait 5");
    let last = stage.play("h4 wants p,d,2,60; found; h4 connects; done");
    assert_eq!(last, "look up p/d, h4 key, write login, tell login");
    // A session with the product's secret charges the device with nothing.
    stage.play("h5 wants p,d,3,60; found; h5 connects; found; s5 spent; s5 ends; s4 leaves; done");
    let after = stage.play("h6 wants p,d,2,60; found; h6 connects");
    assert_eq!(after, "look up p/d, h6 key, write login");
}

#[test]
fn what_is_told_has_the_place_of_its_commit_and_what_was_not_committed_has_none() {
    let mut stage = Stage::new();
    let told = stage.play("h1 wants p,d,2,60; found; h1 connects; activated; s1 posts; on; done");
    assert!(
        told.ends_with("tell activated, tell login, read p, write report, tell report, s1 2.04"),
        "{told}"
    );
    assert_eq!(stage.places, [1, 1, 2].map(Some), "one write both activates a device and logs it in");
    // The store is full: the refusal is told, and stands nowhere.
    assert_eq!(
        stage.play("s1 posts nonsense; write fails; s1 leaves; done"),
        "s1 4.00, write body_malformed, tell refused, write offline, tell offline"
    );
    assert_eq!(stage.places[3..], [None, Some(4)]);
}

#[test]
fn nobody_follows_and_nothing_is_told() {
    let mut stage = served();
    stage.gateway.set_followers(crate::Followers::None);
    assert_eq!(stage.play("s1 posts; done"), "write report, s1 2.04");
}
