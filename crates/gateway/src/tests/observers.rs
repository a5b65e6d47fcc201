//! Devices that observe their commands.

use super::{
    stage::{Kind, Stage, device_id},
    stories::served,
};

/// A device that is served and observes; nothing waits.
fn observed() -> Stage {
    let mut stage = served();
    assert_eq!(stage.play("s1 observes"), "s1 2.05");
    stage
}

#[test]
fn who_observes_is_told_of_a_command_as_soon_as_it_is_known_to_be_committed() {
    let mut stage = observed();
    assert_eq!(stage.play("send set"), "read commands");
    assert_eq!(stage.play("commands"), "tell command, s1 told 1 (set)");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command, s1 told 2 (set)");
    // Only a GET makes it sent.
    assert_eq!(stage.open.iter().filter(|command| command.sent.is_none()).count(), 2);
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 1, tell command, s1 2.05 #1 (get)");
    assert_eq!(stage.play("s1 counts"), "s1 2.05 (get)");
}

#[test]
fn what_makes_the_number_smaller_is_no_news() {
    let mut stage = observed();
    stage.play("send set; commands; send set; commands; send get; commands");
    assert_eq!(stage.play("cancel 3; commands"), "read commands, tell command");
    stage.play("s1 gets set; done");
    assert_eq!(stage.play("s1 replies set 1 200; done"), "write reply 1 200, tell command, s1 2.04 (set)");
    assert_eq!(stage.play("wait 60"), "write seen, write offline, write end 2");
}

#[test]
fn a_command_that_is_offered_again_is_news_again() {
    let mut stage = observed();
    stage.play("send set; commands; s1 gets set; done");
    assert_eq!(stage.play("wait 9"), "");
    // It had ten seconds to answer.
    assert_eq!(stage.play("wait 1"), "write seen, s1 told 1 (set)");
}

#[test]
fn a_command_that_waits_when_a_device_begins_to_observe_is_in_the_answer_and_not_told_again() {
    let mut stage = served();
    stage.play("send set; commands");
    assert_eq!(stage.play("s1 observes"), "s1 2.05 (set)");
    assert_eq!(stage.play("cancel 9; commands"), "read commands");
    // One that is read meanwhile is told after the answer.
    stage = served();
    assert_eq!(
        stage.play("send set; s1 observes; commands"),
        "read commands, s1 2.05, tell command, s1 told 1 (set)"
    );
}

#[test]
fn attack_148_who_observes_is_told_again_before_24_hours_are_over() {
    let mut stage = observed();
    assert_eq!(stage.play("wait 82799"), "write seen, write offline");
    assert_eq!(stage.play("wait 1"), "s1 told 0");
    // What is told meanwhile puts it off.
    assert_eq!(stage.play("wait 80000; send set; commands"), "read commands, tell command, s1 told 1 (set)");
    assert_eq!(stage.play("wait 82799; done"), "write end 1");
    assert_eq!(stage.play("wait 1"), "s1 told 0");
}

#[test]
fn attack_150_a_lost_notification_leaves_the_command_waiting_and_is_in_the_log() {
    let mut stage = observed();
    stage.play("send set; commands");
    assert_eq!(stage.play("s1 is dead; done"), "write notification_lost, tell warning");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command", "nobody observes any more");
    // The answer to the next message names them, and the device may observe anew.
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (set)");
    assert_eq!(stage.play("s1 observes"), "s1 2.05 (set)");
    assert_eq!(stage.play("s1 resets; s1 observes; s1 cancels"), "s1 2.05 (set)");
    assert_eq!(stage.play("send set; commands"), "read commands, tell command");
    // It goes on by its time.
    assert_eq!(stage.play("wait 60"), "write seen, write offline, write end 1+end 2+end 3");
}

#[test]
fn nothing_is_written_down_where_nothing_waits() {
    let mut stage = observed();
    assert_eq!(stage.play("s1 is dead"), "");
    assert_eq!(stage.count(Kind::Write), 0);
}

#[test]
fn a_registration_ends_with_its_session_and_the_newest_login_wins() {
    let mut stage = observed();
    stage.play("h2 wants p,d,2,60; found; h2 connects");
    // The older one stands until the newer login is durable.
    assert_eq!(stage.play("send set; commands"), "read commands, tell command, s1 told 1 (set)");
    assert_eq!(stage.play("s2 observes"), "s2 2.05 (set)");
    assert_eq!(stage.play("s1 observes"), "s1 2.05 (set)", "plainly");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command, s2 told 2 (set)");
    assert_eq!(stage.play("done; s1 ends"), "tell login, s1 superseded");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command, s2 told 3 (set)");
    assert!(stage.gateway.observes_commands(device_id("d")));
    stage.play("s2 leaves; done");
    assert!(!stage.gateway.observes_commands(device_id("d")));
    assert_eq!(stage.play("send get; commands"), "read commands, tell command");
}

#[test]
fn a_device_that_is_switched_off_is_told_nothing_more() {
    let mut stage = observed();
    assert_eq!(stage.play("close d; s1 ends"), "s1 close, write offline");
    assert_eq!(stage.play("send set; commands"), "read commands, tell command");
}
