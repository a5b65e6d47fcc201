//! Stories of devices that log in while they have a session: which one stands, and what is stored.

use super::{
    stage::{Stage, device_id},
    stories::served,
};

#[test]
fn the_session_of_a_device_is_that_of_its_newest_login() {
    let mut stage = served();
    let since = stage.now.wall.0;
    stage.play("wait 7");
    let shown = |stage: &Stage| {
        let session = stage.gateway.session_of(stage.now, device_id("d"))?;
        Some((session.peer, session.suite, session.since.0))
    };
    let suite = || Some("TLS_PSK_WITH_AES_128_CCM_8".to_owned());
    assert_eq!(shown(&stage), Some(("192.0.2.1:5684".to_owned(), suite(), since)));
    stage.play("h2 wants p,d,2,60; found; h2 connects; done");
    assert_eq!(shown(&stage), Some(("192.0.2.2:5684".to_owned(), suite(), since + 7000)));
    stage.play("s1 ends; s2 leaves");
    assert_eq!(shown(&stage), None);
}

#[test]
fn attack_203_a_reset_closes_every_session_while_a_login_is_under_way() {
    let mut stage = served();
    // The second handshake proves the secret that the device has; then an operator resets it.
    assert_eq!(stage.play("h2 wants p,d,2,60; found"), "look up p/d, h2 key");
    assert_eq!(stage.play("h2 connects"), "write login");
    assert_eq!(
        stage.play("close d"),
        "s1 close, s2 close, write offline",
        "the older one too: it has proved the secret that is not valid any more"
    );
    // The store compares the versions of the secret, whatever came first.
    assert_eq!(stage.play("superseded"), "write wrong_key, s2 close");
    assert_eq!(stage.play("done"), "tell offline");
    assert_eq!(stage.gateway.counters().online, 0);
    // The device comes again with its new secret.
    let again = stage.play("done; s2 ends; h3 wants p,d,2,60; found; h3 connects; done");
    assert_eq!(again, "tell refused, look up p/d, h3 key, write login, tell login");
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (1, 1));
}

#[test]
fn attack_203_whatever_became_of_the_logins_between_a_durable_one_closes_all_before_it() {
    // (What becomes of the second login, what that does.)
    for (second, does) in [
        ("write fails", "s2 close"),
        ("superseded; newest done", "write wrong_key, s2 close, tell refused"),
        ("refused", "s2 close"),
        ("s2 ends; done", "tell login, s1 superseded"),
    ] {
        // The second login is answered when the third is under way.
        let mut stage = served();
        stage.play("h2 wants p,d,2,60; found; h2 connects; h3 wants p,d,2,60; found; h3 connects");
        assert_eq!(stage.play(second), does);
        let closes = if does.contains("s1 superseded") { "tell login" } else { "tell login, s1 superseded" };
        assert_eq!(stage.play("newest done"), closes, "{second}");
        assert_eq!(stage.gateway.counters().connected, 1);
        // All three are under way or there when an operator closes the device.
        let mut stage = served();
        stage.play("h2 wants p,d,2,60; found; h2 connects; h3 wants p,d,2,60; found; h3 connects");
        assert_eq!(stage.play("close d"), "s1 close, s2 close, s3 close, write offline");
        assert_eq!(stage.gateway.counters().connected, 0);
    }
}

#[test]
fn attack_203_a_login_that_is_refused_brings_back_only_a_session_that_stands() {
    // The older session stands: it is the device's again, which stays online.
    let mut stage = served();
    assert_eq!(
        stage.play("h2 wants p,d,2,60; found; h2 connects; write fails"),
        "look up p/d, h2 key, write login, write online, s2 close",
        "what was to be written of it before may be lost"
    );
    assert_eq!(stage.play("unchanged"), "");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (1, 1));
    // It has ended meanwhile: nobody is left.
    let mut stage = served();
    assert_eq!(
        stage.play("h2 wants p,d,2,60; found; h2 connects; s1 ends; write fails"),
        "look up p/d, h2 key, write login, write offline, s2 close"
    );
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (0, 0));
    // It was told to close, and its end is not heard yet.
    let mut stage = served();
    assert_eq!(stage.play("close d; done"), "s1 close, write offline, tell offline");
    assert_eq!(
        stage.play("h2 wants p,d,2,60; found; h2 connects; refused"),
        "look up p/d, h2 key, write login, write offline, s2 close"
    );
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (0, 0));
}

#[test]
fn a_change_of_presence_that_waits_for_the_store_is_not_lost_when_a_login_fails() {
    let mut stage = served();
    stage.play("wait 61; done");
    // It is heard again, and the store cannot write that; then it logs in, which cannot be written either.
    assert_eq!(stage.play("s1 heard; write fails"), "write online");
    assert_eq!(
        stage.play("h2 wants p,d,2,60; found; h2 connects; write fails"),
        "look up p/d, h2 key, write login, write online, s2 close"
    );
    assert_eq!(stage.play("done"), "tell online");
}

#[test]
fn a_device_that_leaves_by_its_newest_session_has_left_the_older_ones_too() {
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found; h2 connects");
    assert_eq!(stage.play("s2 leaves"), "s1 close, write offline");
    assert_eq!(stage.play("done; done"), "tell login, tell offline");
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (0, 0));
}

#[test]
fn attack_203_a_product_that_is_switched_off_keeps_no_session_of_a_device_with_a_login_under_way() {
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found; h2 connects");
    assert_eq!(stage.play("change p; off"), "read p, s1 close, write offline, s2 close, list p");
    assert_eq!(stage.play("refused; done"), "s2 close, tell offline");
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (0, 0));
}

#[test]
fn what_is_committed_with_a_login_is_answered_before_the_older_session_ends() {
    // Before the login.
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found; s1 posts; h2 connects");
    assert_eq!(stage.play("done & done"), "tell report, s1 2.04, tell login, s1 superseded");
    // After it: nothing is stored.
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found; h2 connects; s1 posts");
    assert_eq!(stage.play("done & outrun"), "tell login, write log, s1 4.03, s1 superseded");
    // And with one that is refused, whatever it reported already.
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found; h2 connects; s2 posts");
    assert_eq!(
        stage.play("superseded & superseded"),
        "write online, write wrong_key, write wrong_key, s2 4.03, s2 close"
    );
}

#[test]
fn every_login_has_a_number_and_a_report_that_a_newer_one_outran_is_refused() {
    let mut stage = served();
    // The older session reports once more, but the store has the newer login already.
    assert_eq!(
        stage.play("h2 wants p,d,2,60; found; h2 connects; s1 posts"),
        "look up p/d, h2 key, write login, write report"
    );
    assert_eq!(stage.logins, [1, 1, 2, 1], "of the logins and of the reports, in their order");
    assert_eq!(stage.play("done; outrun"), "tell login, s1 superseded, write log, s1 4.03");
}

#[test]
fn a_report_names_its_session_and_the_secret_that_it_proved() {
    let mut stage = served();
    stage.play("h2 wants p,e,2,60; found e; h2 connects; done; s2 posts p/e; s1 posts");
    let [first, other, again] = stage.proved[..] else { panic!("{:?}", stage.proved) };
    assert_eq!((first, first.1), (again, 1));
    assert_ne!(first.0, other.0);
    assert_ne!(first.0, 0);
}

#[test]
fn a_report_whose_login_could_not_be_written_is_to_be_tried_again() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; s1 posts; on");
    assert_eq!(stage.play("write fails"), "write offline, s1 close");
    let before = stage.gateway.counters().requests_refused().find(|(reason, _)| *reason == "unavailable");
    assert_eq!(stage.play("unknown login"), "s1 5.03", "and nothing is written of it");
    let after = stage.gateway.counters().requests_refused().find(|(reason, _)| *reason == "unavailable");
    assert_eq!((before, after), (Some(("unavailable", 0)), Some(("unavailable", 1))));
}

#[test]
fn the_store_sees_logins_and_ends_in_the_order_in_which_they_happened() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects");
    let mut written = String::new();
    for (ends, comes) in [(1, 2), (2, 3), (3, 4)] {
        written +=
            &stage.play(&format!("h{comes} wants p,d,2,60; found; s{ends} leaves; h{comes} connects; "));
        written += "; ";
    }
    let once = |comes| format!("look up p/d, h{comes} key, write offline, write login; ");
    assert_eq!(written, [2, 3, 4].map(once).concat());
    // None of these was answered. The first end fails, when a login has followed it: it does not come back.
    let answered = stage.play("done; write fails; done; done; done; done; done; wait 20");
    assert_eq!(answered, "tell login, tell login, tell offline, tell login, tell offline, tell login");
    assert_eq!(stage.gateway.counters().online, 1, "the last word was a login");
}

/// Each login comes from the address of its handshake's number, and finds the session before it.
#[test]
fn two_devices_with_one_secret_are_an_alarm_within_ten_minutes_and_once_an_hour() {
    let mut stage = Stage::new();
    let mut told = Vec::new();
    for minute in 0..60 {
        let n = 1 + minute % 2;
        let said = stage.play(&format!("h{n} wants p,d,2,3600; found; h{n} connects; done"));
        if said.contains("secret_shared") {
            told.push(minute);
            assert_eq!(stage.play("done"), "tell warning");
        }
        stage.play(&format!("s{} ends; wait 60", 3 - n));
    }
    assert_eq!((told, stage.gateway.counters().secret_shared_alarms), (vec![6], 1));
}

/// NAT has moved it each time, and nobody has told the older session.
#[test]
fn a_sleepy_device_that_comes_from_another_address_each_hour_is_no_alarm() {
    let mut stage = Stage::new();
    for hour in 1..=24 {
        let said = stage.play(&format!("h{hour} wants p,d,2,30; found; h{hour} connects; done"));
        assert!(said.starts_with("look up p/d") && !said.contains("secret_shared"), "{said}");
        stage.play(&format!("s{} ends; wait 3600; done", hour - 1));
    }
    assert_eq!(stage.gateway.counters().secret_shared_alarms, 0);
}

/// Each from a network of its own, so that no pair of identity and address is too fast.
#[test]
fn one_secret_from_many_networks_logs_in_no_faster_than_one_device() {
    let mut stage = Stage::new();
    for number in 1..=20 {
        stage.play(&format!("h{number} wants p,d,2,60; found; h{number} connects; done"));
    }
    // Warnings of a second device with this secret, too.
    while !stage.asked.is_empty() {
        stage.play("done");
    }
    let logins = stage.logins.len();
    let too_many = stage.play("h21 wants p,d,2,60; found; h21 connects");
    assert_eq!(too_many, "look up p/d, h21 key, s21 close, write rate_limited");
    stage.play("done");
    for number in 22..=40 {
        let more = stage.play(&format!("h{number} wants p,d,2,60; found; h{number} connects"));
        assert_eq!(more, format!("look up p/d, h{number} key, s{number} close"), "one line in a pause");
    }
    assert_eq!(stage.logins.len(), logins, "nothing is written of them");
    let report = stage.play("s20 posts; on; done");
    assert!(report.ends_with("write report, tell report, s20 2.04"), "its session stays: {report}");
    let other = stage.play("h41 wants p,e,2,60; found e; h41 connects");
    assert_eq!(other, "look up p/e, h41 key, write login", "another device");
    // Who has the product's secret can neither be held back by that nor hold the device back.
    let by_product = stage.play("done; h42 wants p,d,3,60; found; h42 connects");
    assert!(by_product.ends_with("h42 key, s42 close in 60s, look up p/d"), "{by_product}");
    stage.play("found");
    let again = stage.play("wait 10; h43 wants p,d,2,60; found; h43 connects");
    assert!(again.ends_with("h43 key, write login"), "{again}");
}

#[test]
fn what_was_counted_of_handshakes_is_forgotten_where_nobody_comes_any_more() {
    let mut stage = Stage::new();
    let counted = |stage: &Stage| format!("{:?}", stage.gateway).contains("pairs: Some(1)");
    assert_eq!(stage.play("h1 wants p,d,2,60; found; h1 ends"), "look up p/d, h1 key");
    assert!(counted(&stage));
    stage.play("wait 9");
    assert!(counted(&stage), "it is not as if nothing had come before ten seconds are over");
    stage.play("wait 3");
    assert!(!counted(&stage));
    assert_eq!(stage.gateway.poll_timeout(), None, "nothing is left to do");
}
