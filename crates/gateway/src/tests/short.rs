//! Short paths: where they are served, and how their answers differ. Bodies are CBOR in hexadecimal: `a10101`
//! is `{1: 1}`.

use narrowgate_platform::model::command::CommandState;

use super::{stage::Stage, stories::served};

/// A device of a product that has switched them on, with commands of these topics.
fn with_commands(topics: &[&str]) -> Stage {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; short; done");
    for topic in topics {
        stage.play(&format!("send {topic}; commands"));
    }
    stage
}

#[test]
fn a_report_is_stored_where_short_paths_are_on_and_is_4_04_where_they_are_not() {
    let mut stage = with_commands(&[]);
    assert_eq!(stage.play("s1 POST /p a10101; done"), "write report, tell report, s1 2.04");
    // The switch reaches the sessions that stand.
    stage.play("change p; on");
    assert_eq!(stage.play("s1 POST /p a10101"), "s1 4.04, write path_unknown");
    stage.play("done; change p; short");
    assert_eq!(stage.play("s1 POST /p a10101; done"), "write report, tell report, s1 2.04");
    let mut stage = served();
    assert_eq!(stage.play("s1 POST /p a10101"), "s1 4.04, write path_unknown");
    // A session by the product's secret has none.
    let mut stage = with_commands(&[]);
    stage.play("h3 wants p,d,3,60; found; h3 connects; found");
    assert_eq!(stage.play("s3 POST /p a10101"), "s3 4.03, write topic_foreign");
}

/// Also where it waits for its product, or the store cannot write.
#[test]
fn every_answer_to_a_short_path_says_by_a_short_option_that_a_command_waits() {
    let mut stage = with_commands(&["set"]);
    let stored = "write report, tell report, s1 2.04 (one waits)";
    assert_eq!(stage.play("s1 POST /p a10101; done"), stored);
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (set)");
    assert_eq!(stage.play("s1 POST /p a10101; write fails"), "write report, s1 5.03 (one waits)");
    assert_eq!(stage.play("s1 POST /p ff; done"), "s1 4.00 (one waits), write body_malformed, tell refused");
    assert_eq!(stage.play("s1 GET /p"), "s1 4.05 (one waits), write method_wrong");
    assert_eq!(
        stage.play("done; s1 POST /a 80; query fails").rsplit(", ").next(),
        Some("s1 5.03 (one waits)")
    );
    stage.play("change p");
    assert_eq!(stage.play("s1 POST /p a10101; short; done"), stored);
    // A path that there is not is not a short one.
    assert_eq!(stage.play("s1 POST /x a0"), "s1 4.04 (set), write path_unknown");
}

#[test]
fn what_is_wrong_with_a_message_is_answered_in_two_elements() {
    let mut stage = with_commands(&[]);
    // [1204, "/9: …"]
    let refused = stage.play("s1 POST /p a10901");
    assert!(refused.starts_with("s1 2.04 821904b4"), "{refused}");
    // An attribute: a change, too much of them, what is there, more than an answer holds.
    assert_eq!(stage.play("done; s1 POST /a a10a01; done").rsplit(", ").next(), Some("s1 2.04"));
    let too_much = stage.play("s1 POST /a a10a01; too much");
    assert!(too_much.contains("s1 2.04 821903f0"), "{too_much}");
    let asked = stage.play("s1 POST /a 80; has a");
    assert_eq!(asked.rsplit(", ").next(), Some("s1 2.04 a10a01"));
    let long = stage.play("s1 POST /a 810a; has too much");
    assert!(long.contains("s1 2.04 821903f0"), "{long}");
}

#[test]
fn the_oldest_command_of_all_topics_is_handed_out_until_it_is_answered() {
    let mut stage = with_commands(&["restart", "set"]);
    // [1, 3, 20, {}], and the other one waits.
    let first = "write fetch 1, tell command, s1 2.05 84010314a0 (one waits)";
    assert_eq!(stage.play("s1 GET /c; done"), first);
    assert_eq!(stage.play("s1 GET /c; unchanged"), "write fetch 1, s1 2.05 84010314a0 (one waits)");
    // [1, 200, {1: 7}]
    let replied = "write reply 1 200, tell command, s1 2.04 (one waits)";
    assert_eq!(stage.play("s1 POST /c 830118c8a10107; done"), replied);
    assert_eq!(stage.play("s1 GET /c; done"), "write fetch 2, tell command, s1 2.05 830201a0");
    assert_eq!(stage.play("s1 POST /c 820218c8; done"), "write reply 2 200, tell command, s1 2.04");
    assert_eq!(stage.play("s1 GET /c"), "s1 4.04");
    assert!(stage.told.ends_with(&[CommandState::Succeeded]), "{:?}", stage.told);
    assert!(stage.gateway.is_settled());
}

/// Section 13: the oldest command, whatever its topic. What the option promises is there.
#[test]
fn bytes_are_handed_out_in_their_place_too() {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; both copy; done");
    stage.play("send raw; commands; send set; commands");
    let stored = "write report, tell report, s1 2.04 (one waits)";
    assert_eq!(stage.play("s1 POST /p a10101; done"), stored);
    let refused = "s1 4.06 (one waits), write not_acceptable";
    assert_eq!(stage.play("s1 GET /c for 60"), refused, "bytes are no CBOR");
    stage.play("done");
    let first = "s1 2.05 raw #1 (one waits)";
    assert_eq!(stage.play("s1 GET /c; done"), format!("write fetch 1, tell command, {first}"));
    assert_eq!(stage.play("s1 GET /c for 42; unchanged"), format!("write fetch 1, {first}"));
    let replied = "write reply 1 200, tell command, s1 2.04 (one waits)";
    assert_eq!(stage.play("s1 POST /c 820118c8; done"), replied);
    assert_eq!(stage.play("s1 GET /c for 42"), refused, "nor is CBOR bytes");
    stage.play("done");
    assert_eq!(stage.play("s1 GET /c for 60; done"), "write fetch 2, tell command, s1 2.05 830201a0");
    assert!(stage.gateway.is_settled());
}

/// And in CBOR for who accepts that.
#[test]
fn an_offer_of_firmware_is_bytes_where_the_product_speaks_them() {
    let offer = r#"{"id":"1","version":"1.0","params":{},"method":"ota.device.upgrade"}"#;
    for accept in ["", " for 42"] {
        let mut stage = Stage::new();
        stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; both copy; done");
        stage.play("send upgrade; commands");
        assert_eq!(stage.play(&format!("s1 GET /c{accept}")), format!("encode {offer}"));
        let told = format!("write fetch 1, tell command, tell upgrade, s1 2.05 {offer}");
        assert_eq!(stage.play("runs; upgrade sent"), told);
        let refused = "s1 4.06, write not_acceptable";
        assert_eq!(stage.play("s1 GET /c for 50"), refused);
        stage.play("done");
        let cbor = "write fetch 1, s1 2.05 830104a0";
        assert_eq!(stage.play("s1 GET /c for 60; unchanged"), cbor);
        let replied = "write reply 1 200, tell command, tell upgrade, s1 2.04";
        assert_eq!(stage.play("s1 POST /c 820118c8; upgrade accepted"), replied);
        assert!(stage.gateway.is_settled());
    }
}

#[test]
fn a_reply_to_no_open_command_changes_nothing_and_a_point_twice_is_refused() {
    let mut stage = with_commands(&[]);
    assert_eq!(stage.play("s1 POST /c 820718c8"), "write command_not_open, s1 2.04");
    let mut stage = with_commands(&["get"]);
    stage.play("s1 GET /c; done");
    // {1: 1, "temp": 2}
    let twice = "s1 4.00, write body_malformed";
    assert_eq!(stage.play("s1 POST /c 830118c8a201016474656d7002"), twice);
    stage.play("done");
    assert_eq!(stage.play("s1 POST /c 830118c8a10101"), "write reply 1 200");
    // Long and short topics have one queue.
    let mut stage = with_commands(&["set"]);
    stage.play("s1 gets set; done");
    assert_eq!(stage.play("s1 POST /c 820118c8"), "write reply 1 200");
}

#[test]
fn a_get_that_does_not_want_its_answer_gets_no_command() {
    let mut stage = with_commands(&["set"]);
    assert_eq!(stage.play("s1 GET /c quietly"), "s1 2.05 (one waits)");
    assert_eq!(stage.play("s1 GET /c; done"), "write fetch 1, tell command, s1 2.05 830101a0");
}
