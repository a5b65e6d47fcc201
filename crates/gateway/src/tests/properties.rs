//! Stories of devices that change and ask for their attributes.

use super::{
    stage::{Kind, Stage},
    stories::served,
};
use crate::properties::{READS_MAX, WAITING_MAX};

#[test]
fn a_change_is_answered_when_it_is_durable_and_then_told() {
    let mut stage = served();
    assert_eq!(stage.play(r#"s1 sets "a":1"#), "write attributes");
    assert_eq!(stage.play("done"), "tell attributes, s1 2.04");
    assert_eq!(stage.play(r#"s1 deletes "a""#), "write attributes");
    assert_eq!(stage.play("done"), "tell attributes, s1 2.04");
    let (number, proved) = (stage.logins[0], stage.proved.clone());
    assert!(stage.logins.iter().all(|login| *login == number), "it names the login of its session");
    assert!(proved.iter().all(|(_, version)| *version == 1));
}

#[test]
fn a_change_that_is_not_stored_is_not_acknowledged() {
    for (outcome, effects) in [
        ("write fails", "s1 5.03"),
        ("unknown login", "s1 5.03"),
        ("superseded", "write wrong_key, s1 4.03"),
        ("refused", "write device_disabled, s1 4.03"),
        // Answered with a code of the protocol.
        ("too much", "write too_large, s1 2.04"),
    ] {
        let mut stage = served();
        stage.play(r#"s1 sets "a":1"#);
        assert_eq!(stage.play(outcome), effects, "{outcome}");
    }
}

#[test]
fn a_query_is_answered_when_it_was_read() {
    let mut stage = served();
    assert_eq!(stage.play("s1 queries"), "read attributes of 1");
    assert_eq!(stage.play("has a"), "s1 2.04");
    stage.play(r#"s1 queries "a""#);
    assert_eq!(stage.play("query fails"), "s1 5.03");
    stage.play("s1 queries");
    assert_eq!(stage.play("has too much"), "write too_large, s1 2.04", "and not 5.00");
    assert_eq!(stage.play("done"), "tell refused");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04", "nothing else waits");
    stage.play("s1 queries; s1 leaves; done");
    assert!(!stage.gateway.is_settled());
    stage.play("has a");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_store_that_hangs_is_asked_for_no_more_than_it_may() {
    let mut stage = served();
    (0..READS_MAX + WAITING_MAX).for_each(|_| drop(stage.play("s1 queries")));
    assert_eq!(stage.count(Kind::Properties), READS_MAX);
    assert_eq!(stage.play("s1 queries"), "s1 5.03");
    assert_eq!(stage.play("has a"), "read attributes of 1, s1 2.04", "the next one is read");
    for _ in 1..READS_MAX + WAITING_MAX {
        stage.play("has a");
    }
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_query_of_a_product_that_is_off_is_refused() {
    let mut stage = Stage::new();
    let effects = stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 queries; off");
    assert!(effects.ends_with("write product_disabled, s1 4.03") || effects.contains("s1 4.03"), "{effects}");
    assert_eq!(stage.count(Kind::Properties), 0);
}
