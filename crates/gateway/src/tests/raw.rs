//! Bytes of devices: what a script makes of them goes the way of its message, and the reply comes back as
//! bytes. The script `copy` returns what it is given.

use narrowgate_platform::model::command::CommandState;

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

/// Nobody could fetch them: their topic is 4.03, and each answer would name it until they ran out.
#[test]
fn commands_in_bytes_end_when_their_device_is_heard_of_a_product_that_speaks_json_now() {
    let mut stage = with_script("copy");
    stage.play("send raw; commands; send set; commands; change p; on");
    assert_eq!(stage.play("s1 posts"), "write refuse 1, write report");
    assert_eq!(stage.play("done"), "tell command");
    assert_eq!(stage.play("done"), "tell report, s1 2.04 (set)");
    assert_eq!(stage.told, [CommandState::Created, CommandState::Created, CommandState::Failed]);
    let path = "/topic/sys/p/d/thing/model/down_raw";
    assert_eq!(stage.play(&format!("s1 GET {path}")), "s1 4.03 (set), write topic_foreign");
    stage.play("done");
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 2, tell command, s1 2.05 #2");
    // Those of a product that takes bytes again wait as ever.
    stage.play("change p; custom copy; send raw; commands");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (down_raw)");
    assert_eq!(stage.play(&format!("s1 GET {path}; done")), "write fetch 3, tell command, s1 2.05 raw #3");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_command_in_bytes_that_is_being_refused_is_neither_named_nor_handed_out() {
    let mut stage = with_script("copy");
    stage.play("send raw; commands; change p; short");
    assert_eq!(stage.play("s1 GET /c"), "write refuse 1");
    assert_eq!(stage.play("s1 GET /x"), "s1 4.04, write path_unknown");
    // What the store could not write is tried again.
    assert_eq!(stage.play("write fails"), "s1 4.04");
    stage.play("done");
    assert!(stage.play("wait 6").contains("read commands"));
    assert_eq!(stage.play("commands"), "write refuse 1");
    assert_eq!(stage.play("done"), "tell command");
    assert_eq!(stage.play("s1 GET /c"), "s1 4.04");
}

const DOWN: &str = "s1 GET /topic/sys/p/d/thing/model/down_raw";
const OFFER: &str = r#"{"id":"1","version":"1.0","params":{},"method":"ota.device.upgrade"}"#;

/// With an offer of firmware in the queue of the device.
fn with_offer(word: &str) -> Stage {
    let mut stage = with_script(word);
    stage.play("send upgrade; commands");
    stage
}

#[test]
fn an_offer_of_firmware_is_named_fetched_and_answered_as_bytes() {
    let mut stage = with_offer("copy");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (down_raw)");
    assert_eq!(stage.play(DOWN), format!("encode {OFFER}"));
    assert_eq!(stage.play("runs"), "write fetch 1", "before the device has it");
    let answer = format!("s1 2.05 {OFFER}");
    assert_eq!(stage.play("upgrade sent"), format!("tell command, tell upgrade, {answer}"));
    // The answer was lost. Nothing is kept of it, and the same is made again.
    let again = format!("encode {OFFER}, write fetch 1, {answer}");
    assert_eq!(stage.play(&format!("{DOWN}; runs; unchanged")), again);
    let played = stage.play(r#"s1 sends {"id":"1","code":200}; runs; upgrade accepted"#);
    let replied = "write reply 1 200, tell command, tell upgrade, s1 2.04";
    assert!(played.ends_with(replied), "{played}");
    assert_eq!(stage.upgrades.last().expect("it is told").code, Some(200));
    assert_eq!(stage.play(DOWN), "s1 4.04");
    assert!(stage.gateway.is_settled() && stage.open.is_empty());
}

#[test]
fn an_offer_in_bytes_has_its_place_among_the_other_commands_in_bytes() {
    let mut stage = with_offer("copy");
    stage.play("send raw; commands");
    let played = stage.play(&format!("{DOWN}; runs; upgrade sent"));
    assert!(played.ends_with(&format!("s1 2.05 {OFFER} (down_raw)")), "{played}");
    stage.play(r#"s1 sends {"id":"1","code":200}; runs; upgrade accepted"#);
    assert_eq!(stage.play(&format!("{DOWN}; done")), "write fetch 2, tell command, s1 2.05 raw #2");
}

/// The devices of such a product may speak JSON.
#[test]
fn an_offer_is_json_at_its_own_topic() {
    let mut stage = with_offer("throws");
    let json = "write fetch 1, tell command, tell upgrade, s1 2.05";
    assert_eq!(stage.play("s1 gets upgrade; upgrade sent"), json);
    let replied = "write reply 1 200, tell command, tell upgrade, s1 2.04";
    assert_eq!(stage.play("s1 replies upgrade 1 200; upgrade accepted"), replied);
    // Where all speak JSON, there is no other.
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; send upgrade; commands");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (upgrade)");
    assert_eq!(stage.play(DOWN), "s1 4.03 (upgrade), write topic_foreign");
}

#[test]
fn an_offer_that_the_script_cannot_encode_has_failed_with_11810_and_its_words() {
    for word in ["throws", "time", "memory", "stack", "output", "crashed", "return_type"] {
        let mut stage = with_offer("copy");
        stage.play("send raw; commands");
        let played = stage.play(&format!("{DOWN}; fails {word}"));
        assert_eq!(played, format!("encode {OFFER}, write no bytes of 1"));
        // The GET gets what comes next.
        assert_eq!(stage.play("upgrade failed"), "tell command, tell upgrade, write fetch 2");
        assert_eq!(stage.told.last(), Some(&CommandState::Failed));
        let told = stage.upgrades.last().expect("it is told");
        let said = told.desc.as_deref().unwrap_or_default();
        assert!(told.code == Some(11810) && said.ends_with("(11810): no (line 3)"), "{said}");
        assert_eq!(stage.play("done"), "tell command, s1 2.05 raw #2");
    }
    for bytes in [0, 1025] {
        let mut stage = with_offer("copy");
        assert!(stage.play(&format!("{DOWN}; returns {bytes}")).ends_with("write no bytes of 1"));
        assert_eq!(stage.play("upgrade failed"), "tell command, tell upgrade, s1 4.04");
        assert!(stage.gateway.is_settled() && stage.open.is_empty());
    }
    // It is not written, and tried again when the device comes again.
    let mut stage = with_offer("copy");
    stage.play(&format!("{DOWN}; fails throws"));
    assert_eq!(stage.play("write fails"), "s1 5.03 (down_raw), read commands");
    assert_eq!(stage.play(&format!("commands; {DOWN}")), format!("encode {OFFER}"));
    // An operator was quicker.
    assert_eq!(stage.play("fails throws; cancel 1; over"), "write no bytes of 1, read commands");
    assert_eq!(stage.play("commands"), "tell command, s1 4.04");
}

#[test]
fn an_offer_waits_on_where_no_script_can_be_run_now() {
    for word in ["busy", "unavailable"] {
        let mut stage = with_offer("copy");
        assert_eq!(stage.play(&format!("{DOWN}; fails {word}")), {
            format!("encode {OFFER}, s1 5.03 (down_raw)")
        });
        assert_eq!(stage.play(DOWN), format!("encode {OFFER}"));
    }
    let mut stage = with_offer("unreadable");
    assert_eq!(stage.play(DOWN), "s1 5.03 (down_raw)");
    let mut stage = with_offer("none");
    assert_eq!(stage.play(DOWN), "s1 4.03 (down_raw), write topic_foreign");
    assert_eq!(stage.play(&format!("done; change p; custom copy; {DOWN}")), {
        format!("tell refused, read p, encode {OFFER}")
    });
    // While the product is read after a change, it speaks what it did.
    let mut stage = with_offer("copy");
    let named = "write report, read p, tell report, s1 2.04 (down_raw)";
    assert_eq!(stage.play("s1 posts; change p; done"), named);
}

#[test]
fn an_offer_waits_on_where_its_session_ends_while_the_script_runs() {
    let mut stage = with_offer("copy");
    stage.play(DOWN);
    let played = stage.play("s1 leaves");
    assert!(played.starts_with("give up"), "{played}");
    assert_eq!(stage.play("runs; done"), "tell offline");
    let played = stage.play("h2 wants p,d,2,60; found; h2 connects; done");
    assert!(!played.contains("fetch"), "{played}");
    assert_eq!(stage.play(&DOWN.replace("s1", "s2")), format!("encode {OFFER}"));
    assert_eq!(stage.play("runs"), "write fetch 1");
}

#[test]
fn while_the_script_runs_the_other_commands_of_the_device_wait() {
    let mut stage = with_offer("copy");
    stage.play(DOWN);
    assert_eq!(stage.play(&format!("{DOWN}; s1 posts; done")), {
        "write report, tell report, s1 2.04 (down_raw)"
    });
    assert_eq!(stage.play("runs"), "write fetch 1");
    let both = format!("tell command, tell upgrade, s1 2.05 {OFFER}, encode {OFFER}");
    assert_eq!(stage.play("upgrade sent"), both);
    // Taken back meanwhile: it is not handed out.
    assert_eq!(stage.play("cancel 1"), "");
    assert_eq!(stage.play("runs; commands"), "read commands, tell command, s1 4.04");
    assert!(stage.gateway.is_settled());
}
