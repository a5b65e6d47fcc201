//! Bytes of devices: what a script makes of them goes the way of its message, and the reply comes back as
//! bytes. The script `copy` returns what it is given.

use super::stage::{Kind, Stage};
use crate::raw::AT_ONCE_MAX;

const REPORT: &str = r#"{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"a":1}}}"#;

/// A device of a product whose script is this word.
fn with_script(word: &str) -> Stage {
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done");
    stage.play(&format!("s1 posts; custom {word}; done"));
    stage
}

fn hex(text: &str) -> String {
    narrowgate_platform::hex::write(text.as_bytes())
}

#[test]
fn a_report_in_bytes_is_stored_once_its_reply_can_be_written() {
    let mut stage = with_script("copy");
    let asked = format!("keep {} bytes, decode {}", REPORT.len(), hex(REPORT));
    assert_eq!(stage.play(&format!("s1 sends {REPORT}")), asked);
    assert_eq!(stage.play("runs"), r#"encode {"id":"7","code":200,"data":""}"#);
    assert_eq!(stage.play("runs"), "write report");
    assert_eq!(stage.play("done"), r#"tell report, s1 2.04 {"id":"7","code":200,"data":""}"#);
    assert!(stage.gateway.is_settled());
}

#[test]
fn attack_173_what_a_script_cannot_do_stores_nothing_and_is_4_00() {
    for word in ["throws", "time", "memory", "stack", "output", "crashed", "return_type"] {
        let mut stage = with_script("copy");
        stage.play(&format!("s1 sends {REPORT}"));
        let refused = "s1 4.00, write body_malformed";
        assert_eq!(stage.play(&format!("fails {word}")), refused, "reading");
        let mut stage = with_script("copy");
        stage.play(&format!("s1 sends {REPORT}; runs"));
        assert_eq!(stage.play(&format!("fails {word}")), refused, "writing");
    }
    for text in ["nonsense", "[1]", r#"{"id":"7"}"#, r#"{"id":"7","code":"x"}"#] {
        let mut stage = with_script("copy");
        let played = stage.play(&format!("s1 sends {text}; runs"));
        assert!(!played.contains("write report"), "{played}");
        let is_refused =
            played.ends_with("s1 4.00, write body_malformed") || played.contains(r#""code":1200"#);
        assert!(is_refused, "{played}");
    }
}

/// The device could not be sent it, and would send its report again.
#[test]
fn a_reply_longer_than_a_message_may_be_is_4_00_and_stores_nothing() {
    let mut stage = with_script("copy");
    stage.play(&format!("s1 sends {REPORT}; runs"));
    assert_eq!(stage.play("returns 10241"), "s1 4.00, write body_malformed");
    stage.play(&format!("done; s1 sends {REPORT}; runs"));
    assert_eq!(stage.play("returns 10240"), "write report");
    let stored = stage.play("done");
    assert!(stored.starts_with("tell report, s1 2.04 xxx"), "{stored}");
}

#[test]
fn who_cannot_be_served_now_is_to_come_again() {
    for word in ["busy", "unavailable"] {
        let mut stage = with_script("copy");
        stage.play(&format!("s1 sends {REPORT}"));
        assert_eq!(stage.play(&format!("fails {word}")), "s1 5.03");
        stage.play(&format!("s1 sends {REPORT}; runs"));
        assert_eq!(stage.play(&format!("fails {word}")), "s1 5.03");
    }
}

/// Once it could not be read; JSON and the sessions of the product go on meanwhile.
#[test]
fn a_script_that_could_not_be_read_is_read_again_beside_all_else() {
    let mut stage = with_script("unreadable");
    assert_eq!(stage.play("s1 sends x"), "keep 1 bytes, s1 5.03");
    assert_eq!(stage.play("wait 1"), "read p");
    // The read is under way.
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!(stage.play("s1 sends x"), "keep 1 bytes, s1 5.03");
    assert_eq!(stage.play("custom unreadable"), "", "nobody is disconnected");
    // The store cannot read the product at all: what is known of it stays.
    assert_eq!(stage.play("wait 1"), "read p");
    assert_eq!(stage.play("read fails; s1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!(stage.play("wait 1"), "read p");
    assert_eq!(stage.play("custom copy; s1 sends x"), "keep 1 bytes, decode 78");
    assert_eq!(stage.play("wait 5"), "");
}

/// Also where operators change the product again and again meanwhile.
#[test]
fn a_script_that_cannot_be_read_is_asked_for_once_a_second() {
    let mut stage = with_script("unreadable");
    for _ in 0..5 {
        stage.play("change p; custom unreadable");
    }
    assert_eq!(stage.play("wait 1"), "read p");
    assert_eq!(stage.count(Kind::Product), 1);
    // A change that comes while it is read again counts: what is read then is not used.
    assert_eq!(stage.play("change p; custom copy"), "read p");
    assert_eq!(stage.play("off"), "s1 close, write offline, list p");
}

#[test]
fn bytes_are_refused_without_a_script_and_where_the_format_is_json() {
    let mut stage = with_script("none");
    let refused = "s1 4.03, write topic_foreign";
    assert_eq!(stage.play("s1 sends x"), format!("keep 1 bytes, {refused}"));
    // What is published from now on reaches the sessions that stand.
    stage.play("done; change p; custom copy");
    assert_eq!(stage.play("s1 sends x"), "keep 1 bytes, decode 78");
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done");
    assert_eq!(stage.play("s1 sends x"), refused);
}

#[test]
fn a_refused_message_is_answered_in_bytes_too() {
    let mut stage = with_script("copy");
    let text = r#"{"id":"7","method":"thing.nothing","params":{}}"#;
    let played = stage.play(&format!("s1 sends {text}; runs"));
    let reply = r#"{"id":"7","code":1260,"message":"/method: no topic has it","data":""}"#;
    assert!(played.ends_with(&format!("write body_malformed, encode {reply}")) || played.contains(reply));
    let played = stage.play("runs");
    assert!(played.contains(&format!("s1 2.04 {reply}")), "{played}");
}

#[test]
fn of_a_session_that_has_ended_nothing_is_stored() {
    let mut stage = with_script("copy");
    stage.play(&format!("s1 sends {REPORT}; s1 sends {REPORT}"));
    let played = stage.play("s1 leaves");
    assert!(played.starts_with("give up, give up"), "{played}");
    assert_eq!(stage.play("runs; runs"), "");
    stage.play("done");
    assert!(stage.gateway.is_settled());
}

/// What was read is stored: its reply, which nobody gets, is made all the same.
#[test]
fn a_report_that_was_read_when_its_session_ended_is_stored() {
    let mut stage = with_script("copy");
    stage.play(&format!("s1 sends {REPORT}; runs"));
    let played = stage.play("s1 leaves");
    assert!(!played.contains("give up"), "{played}");
    assert_eq!(stage.play("runs"), "write report");
}

#[test]
fn a_device_has_four_messages_with_its_script_at_once() {
    let mut stage = with_script("copy");
    for _ in 0..AT_ONCE_MAX {
        assert!(stage.play(&format!("s1 sends {REPORT}")).contains("decode"));
    }
    let (kept, refused) = (format!("keep {} bytes", REPORT.len()), "s1 4.29, write rate_limited");
    assert_eq!(stage.play(&format!("s1 sends {REPORT}")), format!("{kept}, {refused}"));
    // A reply that is being made counts too; JSON does not.
    stage.play("runs");
    assert!(stage.play(&format!("s1 sends {REPORT}")).contains("4.29"));
    assert_eq!(stage.play("newest done; s1 posts"), "tell refused, write report");
    // A sibling has its own four.
    stage.play("h2 wants p,e,2,60; found e; h2 connects");
    assert!(stage.play(&format!("s2 sends to e {REPORT}")).contains("decode"));
    // Once a message is answered there is room for another one, and again after the session.
    stage.play("runs; runs; runs; runs");
    assert!(stage.play(&format!("s1 sends {REPORT}")).contains("decode"));
    stage.play("s1 leaves; h3 wants p,d,2,60; found; h3 connects");
    assert!(stage.play(&format!("s3 sends {REPORT}")).contains("decode"));
}

const INFORM: &str = r#"{"id":"7","method":"ota.device.inform","params":{"version":"2.0"}}"#;
const PROGRESS: &str = r#"{"id":"7","method":"ota.device.progress","params":{"step":"50"}}"#;

#[test]
fn what_a_device_says_of_its_firmware_is_stored_once_its_reply_can_be_written() {
    let reply = r#"{"id":"7","code":200,"data":""}"#;
    for (message, written) in [(INFORM, "write inform 2.0"), (PROGRESS, "write progress 50")] {
        let mut stage = with_script("copy");
        let played = stage.play(&format!("s1 sends {message}; runs"));
        assert!(played.ends_with(&format!("encode {reply}")), "{played}");
        assert_eq!(stage.play("runs"), written);
        assert_eq!(stage.play("moved"), format!("tell upgrade, s1 2.04 {reply}"));
        assert!(stage.gateway.is_settled());
        // Where the reply cannot be written, nothing is.
        for (word, answer) in [("throws", "s1 4.00, write body_malformed"), ("busy", "s1 5.03")] {
            let mut stage = with_script("copy");
            stage.play(&format!("s1 sends {message}; runs"));
            assert_eq!(stage.play(&format!("fails {word}")), answer, "{message}");
        }
    }
    // What the store says decides the reply where nothing is stored.
    let mut stage = with_script("copy");
    stage.play(&format!("s1 sends {PROGRESS}; runs; runs"));
    let played = stage.play("no upgrade");
    assert!(
        played.contains(r#"encode {"id":"7","code":764"#) && played.contains("write no_upgrade"),
        "{played}"
    );
    let played = stage.play("runs");
    assert!(played.starts_with(r#"s1 2.04 {"id":"7","code":764"#), "{played}");
    let mut stage = with_script("copy");
    stage.play(&format!("s1 sends {INFORM}; runs; runs"));
    assert_eq!(stage.play("write fails"), "s1 5.03");
}

/// Nothing is stored, so the reply is made of what is read.
#[test]
fn versions_are_told_in_bytes() {
    let mut stage = with_script("copy");
    let message = r#"{"id":"7","method":"ota.device.getversion"}"#;
    assert!(stage.play(&format!("s1 sends {message}; runs")).ends_with("read upgrades"));
    let sign = "07".repeat(32);
    let offer = format!(
        r#"{{"version":"2.0","sign":"{sign}","signMethod":"SHA256",{}}}"#,
        r#""fileUrl":"coaps://gateway.example/ota/Ab3dEf7h","fileSize":10240"#
    );
    let reply = format!(r#"{{"id":"7","code":200,"data":[{offer}]}}"#);
    assert_eq!(stage.play("offers 2.0"), format!("encode {reply}"));
    assert_eq!(stage.play("runs"), format!("s1 2.04 {reply}"));
}

#[test]
fn a_command_in_bytes_is_fetched_at_its_topic_and_answered_through_the_script() {
    let mut stage = with_script("copy");
    stage.play("send raw; commands");
    let played = stage.play(&format!("s1 sends {REPORT}; runs; runs; done"));
    assert!(played.ends_with("(down_raw)"), "{played}");
    let path = "/topic/sys/p/d/thing/model/down_raw";
    assert_eq!(stage.play(&format!("s1 GET {path}; done")), "write fetch 1, tell command, s1 2.05 raw #1");
    let played = stage.play(r#"s1 sends {"id":"1","code":"200","data":{}}; runs; done"#);
    assert!(played.ends_with("write reply 1 200, tell command, s1 2.04"), "{played}");
}
