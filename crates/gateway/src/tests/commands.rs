//! Commands: when a device hears of one, when it gets it, and what becomes of its answer.

use std::time::Duration;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::command::{Command, CommandState, CommandStep, Expected},
};

use super::{
    stage::{Kind, Stage, command, device_id},
    stories::served,
};
use crate::{commands::READS_MAX, effect::LiveChange};

/// A device that is served, with commands of these topics.
fn with_commands(topics: &[&str]) -> Stage {
    let mut stage = served();
    for topic in topics {
        stage.play(&format!("send {topic}; commands"));
    }
    stage
}

#[test]
fn a_response_names_a_command_only_once_it_is_committed_and_read() {
    let mut stage = served();
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    let knows = |stage: &Stage| stage.gateway.knows_commands(device_id("d"));
    assert!(knows(&stage));
    assert_eq!(stage.play("send set"), "read commands");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04", "it is not known yet");
    assert!(!knows(&stage), "who sent it waits");
    assert_eq!(stage.play("s1 gets set"), "", "the device waits for what is being read");
    assert_eq!(stage.play("commands"), "tell command, write fetch 1");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #1");
    assert!(knows(&stage));
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04", "the device has it");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04 (get)");
}

/// Also those that refuse something, and those to other questions.
#[test]
fn every_response_to_its_device_names_the_oldest_command_that_waits() {
    let mut stage = with_commands(&["get", "set", "restart"]);
    let refused = "s1 4.00 (get), write body_malformed, tell refused";
    assert_eq!(stage.play("s1 posts nonsense; done"), refused);
    assert_eq!(stage.play("s1 posts; write fails"), "write report, s1 5.03 (get)");
    assert_eq!(stage.play("s1 gets nothing"), "s1 4.04 (get)");
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 2, tell command, s1 2.05 #2 (get)");
    assert_eq!(stage.play("s1 gets get; done"), "write fetch 1, tell command, s1 2.05 #1 (restart)");
    assert_eq!(stage.play("s1 gets restart; done"), "write fetch 3, tell command, s1 2.05 #3");
    // Another device hears nothing of it, and a session by the product's secret neither.
    let mut stage = with_commands(&["get"]);
    stage.play("h2 wants p,e,2,60; found e; h2 connects; done");
    assert_eq!(stage.play("s2 posts p/e; done"), "write report, tell report, s2 2.04");
    stage.play("h3 wants p,d,3,60; found; h3 connects; found");
    assert_eq!(stage.play("s3 posts"), "s3 4.03, write topic_foreign");
}

#[test]
fn a_command_is_handed_out_when_that_is_durable_and_not_before() {
    let mut stage = with_commands(&["set"]);
    assert_eq!(stage.play("s1 gets set"), "write fetch 1");
    assert_eq!(stage.play("write fails"), "s1 5.03 (set), read commands", "it waits as before");
    assert_eq!(stage.play("commands; s1 gets set"), "write fetch 1");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #1");
    // The answer was lost: the same command under the same id, while it is the device's.
    assert_eq!(stage.play("wait 9; s1 gets set; unchanged"), "write fetch 1, s1 2.05 #1");
    let offered_again = "write seen, write report, tell report, s1 2.04 (set)";
    assert_eq!(stage.play("wait 1; done; s1 posts; done"), offered_again);
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 1, tell command, s1 2.05 #1");
}

#[test]
fn the_next_command_of_a_topic_comes_when_the_one_before_has_ended() {
    let mut stage = with_commands(&["set", "set"]);
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 1, tell command, s1 2.05 #1 (set)");
    assert_eq!(stage.play("s1 gets set; unchanged"), "write fetch 1, s1 2.05 #1 (set)");
    assert_eq!(stage.play("s1 replies set 1 200"), "write reply 1 200");
    assert_eq!(stage.play("s1 gets set"), "", "it waits until it is known what has become of the first");
    assert_eq!(stage.play("done"), "tell command, s1 2.04 (set), write fetch 2");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #2");
    assert_eq!(stage.play("s1 replies set 2 1102; done"), "write reply 2 1102, tell command, s1 2.04");
    assert_eq!(stage.play("s1 gets set"), "s1 4.04");
    assert!(stage.gateway.is_settled());
}

#[test]
fn a_reply_is_acknowledged_when_it_is_durable_and_one_that_is_not_comes_again() {
    let mut stage = with_commands(&["set"]);
    stage.play("s1 gets set; done");
    assert_eq!(stage.play("s1 replies set 1 200"), "write reply 1 200");
    assert_eq!(stage.play("write fails"), "s1 5.03, read commands");
    assert_eq!(
        stage.play("commands; s1 replies set 1 200; done"),
        "write reply 1 200, tell command, s1 2.04"
    );
    assert_eq!(stage.play("s1 replies set 1 200"), "write command_not_open, s1 2.04", "it changes nothing");
}

#[test]
fn a_reply_to_what_is_unknown_not_fetched_or_of_another_topic_changes_nothing() {
    let mut stage = served();
    assert_eq!(stage.play("s1 replies set 7 200"), "write command_not_open, s1 2.04");
    let mut stage = with_commands(&["set"]);
    assert_eq!(stage.play("s1 replies set 1 200"), "write command_not_open, s1 2.04 (set)");
    stage.play("done; s1 gets set; done");
    assert_eq!(stage.play("s1 replies get 1 200"), "write command_not_open, s1 2.04");
    assert_eq!(stage.play("s1 replies set x 200"), "write command_not_open, s1 2.04");
    assert_eq!(stage.play("s1 replies set 1 x"), "s1 4.00, write body_malformed");
}

#[test]
fn a_command_that_is_taken_back_is_not_handed_out() {
    let mut stage = with_commands(&["set", "set"]);
    stage.play("s1 gets set; done");
    // The operator's change is committed before the gateway hears of it.
    assert_eq!(stage.play("s1 gets set"), "write fetch 1");
    assert_eq!(stage.play("cancel 1"), "", "what is under way comes first");
    assert_eq!(stage.play("over"), "read commands");
    assert_eq!(stage.play("commands"), "tell command, write fetch 2");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #2");
    assert_eq!(stage.play("s1 replies set 1 200"), "write command_not_open, s1 2.04");
    assert_eq!(stage.play("cancel 2; s1 gets set"), "read commands");
    assert_eq!(stage.play("commands"), "tell command, s1 4.04");
}

/// The store took its time: the answer looks at the clock, not at when its write began.
#[test]
fn a_command_that_ran_out_while_its_get_was_written_is_not_handed_out() {
    let mut stage = served();
    stage.play("send set; commands; wait 58; s1 gets set; wait 12");
    assert_eq!(stage.play("done"), "tell command, s1 4.04, write end 1");
    assert_eq!(stage.play("newest done"), "tell command");
    assert_eq!(stage.open, []);
    // The next one of its topic is handed out in its place.
    let mut stage = served();
    stage.play("send set; commands; wait 58; send set; commands; s1 gets set; wait 12");
    assert_eq!(stage.play("done"), "tell command, write fetch 2");
    assert_eq!(stage.play("newest done"), "tell command, s1 2.05 #2, write end 1");
}

#[test]
fn a_copy_of_a_get_is_not_answered_with_a_command_that_ran_out_meanwhile() {
    let mut stage = served();
    stage.play("send set; commands; wait 55; s1 gets set; done; wait 9; s1 gets set; wait 1");
    assert_eq!(stage.play("unchanged"), "s1 4.04, write end 1");
}

#[test]
fn a_command_that_waits_again_when_its_get_is_written_is_handed_out_all_the_same() {
    let mut stage = with_commands(&["set"]);
    stage.play("s1 gets set; wait 11");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #1 (set)");
    assert_eq!(stage.play("s1 replies set 1 200; newest done"), "write reply 1 200, tell command, s1 2.04");
}

/// RFC 7967: the answer to such a GET is not sent, and the command in it would be lost until its time-out.
#[test]
fn a_get_whose_answer_is_not_wanted_takes_no_command() {
    let mut stage = with_commands(&["set"]);
    assert_eq!(stage.play("s1 gets set quietly"), "s1 2.05 (set)");
    assert_eq!(stage.play("s1 gets get quietly"), "s1 4.04 (set)");
    assert_eq!(stage.play("s1 gets set; s1 gets set quietly"), "write fetch 1, s1 2.05 (set)");
    assert_eq!(stage.play("done"), "tell command, s1 2.05 #1");
}

#[test]
fn what_a_superseded_session_asks_is_refused() {
    let mut stage = with_commands(&["set"]);
    let refused = "write fetch 1, write log, s1 4.03 (set), read commands";
    assert_eq!(stage.play("s1 gets set; outrun"), refused);
    stage.play("commands; done");
    assert_eq!(stage.play("s1 gets set; unknown login"), "write fetch 1, s1 5.03 (set), read commands");
}

#[test]
fn a_command_is_over_in_time_and_what_could_not_be_written_is_written_later() {
    let mut stage = with_commands(&["set", "get"]);
    stage.play("s1 gets get; done");
    stage.play("wait 30; done; s1 posts; done; wait 29");
    assert_eq!(stage.count(Kind::Write), 0);
    assert_eq!(stage.play("wait 1"), "write end 1+end 2");
    assert_eq!(stage.play("s1 posts"), "write report", "nothing is offered any more");
    assert_eq!(stage.play("write fails; newest done"), "tell report, s1 2.04");
    assert_eq!(stage.play("wait 4"), "");
    assert_eq!(stage.play("wait 1; commands"), "read commands, write end 1+end 2");
    assert_eq!(stage.play("ends"), "tell command, tell command");
    assert_eq!(stage.open, []);
}

/// The commit to the registry was durable, and then the batch failed: its file of messages had lost its name.
#[test]
fn what_is_stored_although_its_batch_failed_is_read_and_a_reply_to_it_counts() {
    for is_read_at_once in [true, false] {
        let mut stage = with_commands(&["set"]);
        stage.play("s1 gets set");
        let fetched = stage.open[0].step(&CommandStep::Fetch, stage.now.wall);
        assert_eq!(fetched, Ok(true));
        assert_eq!(stage.play("write fails"), "s1 5.03 (set), read commands");
        if is_read_at_once {
            assert_eq!(stage.play("commands; s1 gets set; unchanged"), "write fetch 1, s1 2.05 #1");
        } else {
            let delivered = "write fetch 1, s1 2.05 #1 (set), read commands";
            assert_eq!(stage.play("commands fail; s1 gets set; unchanged"), delivered);
            assert_eq!(stage.play("commands"), "");
        }
        let replied = "write reply 1 200, tell command, s1 2.04";
        assert_eq!(stage.play("s1 replies set 1 200; done"), replied);
    }
}

/// What is gone from the store was taken back, unless it is known better.
#[test]
fn listeners_hear_how_a_command_ended_also_where_its_batch_failed_or_its_time_was_over() {
    let told = |stage: &mut Stage, play: &str| {
        stage.told.clear();
        stage.play(play);
        stage.told.clone()
    };
    let mut stage = with_commands(&["set"]);
    stage.play("s1 gets set; done; s1 replies set 1 200");
    // The reply is stored all the same.
    stage.open.clear();
    assert_eq!(told(&mut stage, "write fails; commands"), [CommandState::Succeeded]);
    let mut stage = with_commands(&["set"]);
    // An operator's command needed its place.
    stage.play("wait 30; s1 posts; done; wait 30");
    stage.open.clear();
    assert_eq!(told(&mut stage, "write fails; wait 5; commands"), [CommandState::Expired]);
    let mut stage = with_commands(&["set"]);
    stage.play("s1 gets set; done; s1 replies set 1 200; write fails");
    assert_eq!(told(&mut stage, "commands; cancel 1; commands"), [CommandState::Cancelled]);
}

#[test]
fn what_the_store_does_not_take_is_tried_again_later_and_not_at_once() {
    let mut stage = with_commands(&["set"]);
    stage.play("wait 30; s1 posts; done; wait 29");
    assert_eq!(stage.play("wait 1"), "write end 1");
    for _ in 0..3 {
        // The row of its device is damaged.
        assert_eq!(stage.play("refused; wait 4"), "");
        assert_eq!(stage.play("wait 1; commands"), "read commands, write end 1");
    }
}

#[test]
fn commands_are_taken_up_after_a_restart() {
    let wall = UnixMillis(1_700_000_000_000);
    let open = vec![command(4, "set", wall), command(7, "get", UnixMillis(wall.0 - 70_000))];
    let mut stage = Stage::with(Vec::new(), open);
    assert_eq!(stage.play("wait 0"), "write end 7");
    stage.play("done; h1 wants p,d,2,60; found; h1 connects; done");
    assert_eq!(stage.play("s1 posts; on; done"), "read p, write report, tell report, s1 2.04 (set)");
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 4, tell command, s1 2.05 #4");
}

#[test]
fn what_cannot_be_read_is_read_again() {
    let mut stage = served();
    assert_eq!(stage.play("send set; commands fail"), "read commands");
    assert_eq!(stage.play("s1 gets set"), "s1 4.04");
    assert_eq!(stage.play("wait 5"), "read commands");
    assert_eq!(
        stage.play("commands; s1 posts; done"),
        "tell command, write report, tell report, s1 2.04 (set)"
    );
    // What is changed while it is read, is read once more.
    assert_eq!(stage.play("send get; send restart"), "read commands");
    assert_eq!(stage.play("commands"), "tell command, tell command, read commands");
    assert_eq!(stage.play("commands"), "");
    // A device that is closed may have none any more.
    stage.open.clear();
    assert_eq!(stage.play("close d"), "s1 close, write offline, read commands");
    assert_eq!(stage.play("commands"), "tell command, tell command, tell command");
}

/// Each is counted once, when it is first known: at the first GET, or when the command is over.
#[test]
fn it_is_counted_how_good_what_was_expected_was() {
    let expected = |stage: &Stage, id, seconds: i64| {
        let created = stage.now.wall;
        let at = UnixMillis(created.0 + seconds * 1000);
        Command { expected: Some(Expected { at, spread: 5_000 }), ..command(id, "set", created) }
    };
    let counted = |stage: &Stage| {
        let counts = stage.gateway.counters();
        counts.commands_expected().map(|(_, count)| count).collect::<Vec<_>>()
    };
    for (seconds, counts) in [(3, [1, 0, 0]), (20, [0, 1, 0]), (-20, [0, 0, 1])] {
        let mut stage = served();
        let command = expected(&stage, 1, seconds);
        stage.open.push(command);
        stage.play("cancel 99; commands");
        assert_eq!(counted(&stage), [0, 0, 0]);
        stage.play("s1 gets set; done");
        assert_eq!(counted(&stage), counts, "{seconds}");
        stage.play("s1 gets set; unchanged; wait 11; s1 gets set; done");
        assert_eq!(counted(&stage), counts, "it is offered again");
    }
    let mut stage = served();
    let command = expected(&stage, 1, 20);
    stage.open.push(command);
    stage.play("cancel 99; commands; wait 30; s1 posts; done; wait 29");
    assert_eq!(stage.play("wait 1"), "write end 1");
    stage.play("done");
    assert_eq!(counted(&stage), [0, 0, 1], "nobody came");
}

#[test]
fn a_store_that_hangs_is_asked_for_no_more_queues_than_it_may() {
    let mut stage = served();
    let devices = READS_MAX as i64 + 3;
    for device in (10..10 + devices).map(DeviceId) {
        // A device that changes again waits for its read.
        for _ in 0..2 {
            stage.gateway.handle_change(stage.now, &LiveChange::CommandsChanged { device });
        }
    }
    stage.play("wait 0");
    assert_eq!(stage.count(Kind::Commands), READS_MAX);
    assert_eq!(stage.play("commands fail"), "read commands", "the next one is read");
    for _ in 0..3 {
        while stage.count(Kind::Commands) > 0 {
            stage.play("commands");
        }
        stage.play("wait 5");
    }
    assert!(stage.gateway.is_settled());
}

#[test]
fn attack_206_a_command_ends_in_its_time_while_the_servers_clock_is_days_behind() {
    for back_ms in [2 * 86_400_000, 3_600_000] {
        let mut stage = with_commands(&["set"]);
        stage.now.wall.0 -= back_ms;
        stage.play("wait 30; s1 posts; done; wait 29");
        assert_eq!(stage.play("wait 1"), "write end 1", "{back_ms} ms");
    }
}

#[test]
fn a_server_that_stood_still_reads_a_reply_that_waits_before_the_commands_time_is_over() {
    for replies in [true, false] {
        let mut stage = with_commands(&["set"]);
        stage.play("s1 gets set; done");
        stage.gateway.handle_read_until(Some(stage.now.instant));
        let (sent, still) = (stage.now.wall, Duration::from_secs(75));
        stage.now.instant += still;
        stage.now.wall.0 += 75_000;
        stage.gateway.handle_timeout(stage.now);
        assert_eq!(stage.effects(), "write seen", "what waits in the sockets is not read");
        let due = stage.gateway.poll_timeout().expect("its time is over");
        assert!(due > stage.now.instant, "it looks again soon, and not at once");
        if replies {
            assert_eq!(stage.play("s1 replies set 1 200"), "write reply 1 200");
            let at: Vec<UnixMillis> = stage.steps.values().flatten().map(|step| step.at).collect();
            assert_eq!(at, [sent], "it counts as come before the standstill");
            assert_eq!(stage.play("done; done"), "tell command, s1 2.04");
        } else {
            stage.gateway.handle_read_until(Some(stage.now.instant));
            let later = stage.play("wait 1");
            assert!(later.contains("write end 1"), "{later}");
        }
    }
}
