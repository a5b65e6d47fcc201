//! The ledger of commands finds what it is there to find.

use std::time::Duration;

use narrowgate_platform::{ids::DeviceId, model::command::CommandId};

use super::*;
use crate::world::start;

const SET: &str = "measurepoint/set";

/// Commands 1 and 2 of device 17, which has asked once, as the gateway has read them. Each waits for 60 s,
/// and is the device's for 5 s.
fn two() -> Commands {
    let mut commands = Commands::default();
    for id in [1, 2] {
        let new = NewOrder { number: 70 + u64::from(id), id, topic: SET, ttl_s: 60, timeout_s: 5 };
        assert!(commands.sent(17, new, UnixMillis(0), start()).is_ok());
    }
    commands.read(17, start());
    commands.devices.entry(17).or_default().gets.entry(SET.to_owned()).or_default().0 = 1;
    commands
}

/// A step at so many milliseconds.
fn is_right(commands: &mut Commands, id: u32, step: CommandStep, ms: i64) -> bool {
    let (device, id, at) = (DeviceId(1), CommandId(id), UnixMillis(ms));
    let now = start() + Duration::from_millis(ms.unsigned_abs());
    let step = CommandMove { device, id, session: None, step, at };
    commands.moved(17, &step, Written::Done, now).is_ok()
}

fn answer(code: i64) -> CommandStep {
    CommandStep::Reply { code, data_json: Some(r#"{"n":71}"#.into()), message: None }
}

#[test]
fn a_command_is_fetched_by_a_device_that_asks_the_oldest_first() {
    assert!(!is_right(&mut two(), 2, CommandStep::Fetch, 1), "there is an older one");
    assert!(!is_right(&mut two(), 3, CommandStep::Fetch, 1), "nobody has sent it");
    let mut commands = two();
    assert!(is_right(&mut commands, 1, CommandStep::Fetch, 1));
    assert!(!is_right(&mut commands, 1, CommandStep::Fetch, 5_000), "it is the device's");
    assert!(!is_right(&mut commands, 1, CommandStep::Fetch, 5_001), "its device has asked once");
}

#[test]
fn a_command_is_answered_as_its_device_has_said_after_it_was_received() {
    let mut commands = two();
    assert!(!is_right(&mut commands, 1, answer(200), 1), "it was not fetched");
    assert!(is_right(&mut commands, 1, CommandStep::Fetch, 1));
    commands.answers(17, 1, 1101);
    assert!(!is_right(&mut commands, 1, answer(1101), 2), "its device has not received it");
    assert!(commands.received(17, (1, 72, SET)).is_err(), "it has another number");
    assert!(commands.received(17, (1, 71, SET)).is_ok());
    assert!(!is_right(&mut commands, 1, answer(200), 2), "its device has said something else");
    assert!(is_right(&mut commands, 1, answer(1101), 2));
    assert_eq!(commands.state(17, 1), Some(CommandState::Failed));
    assert!(!is_right(&mut commands, 1, answer(1101), 3), "it has ended");
    assert!(commands.answer_taken(17, 1).is_ok());
    assert!(commands.received(17, (1, 71, SET)).is_err(), "its answer was taken");
}

#[test]
fn a_command_is_over_when_its_time_is_and_not_before() {
    let mut commands = two();
    assert!(!is_right(&mut commands, 2, CommandStep::TimePasses, 59_999));
    assert!(is_right(&mut commands, 2, CommandStep::TimePasses, 60_000));
    assert!(is_right(&mut commands, 1, CommandStep::Fetch, 58_000));
    assert!(!is_right(&mut commands, 1, CommandStep::TimePasses, 62_999));
    assert!(is_right(&mut commands, 1, CommandStep::TimePasses, 63_000));
    let states = [1, 2].map(|id| commands.state(17, id));
    assert_eq!(states, [Some(CommandState::TimedOut), Some(CommandState::Expired)]);
}

#[test]
fn an_id_is_used_once_and_nothing_is_lost() {
    let mut commands = two();
    let again = NewOrder { number: 73, id: 2, topic: SET, ttl_s: 60, timeout_s: 5 };
    assert!(commands.sent(17, again, UnixMillis(0), start()).is_err());
    let mut commands = two();
    assert!(commands.compare(17, &[], true).is_err(), "both are lost");
    assert!(commands.cancelled(17, &[2], UnixMillis(1)).is_ok());
    assert!(commands.cancelled(17, &[2], UnixMillis(1)).is_err(), "it has ended");
    assert_eq!(commands.open(17, UnixMillis(59_999)), [1]);
}

#[test]
fn a_full_queue_takes_a_command_in_the_place_of_one_whose_time_is_over() {
    let mut commands = two();
    let new = |id, ttl_s| NewOrder { number: 70 + u64::from(id), id, topic: SET, ttl_s, timeout_s: 5 };
    for id in 3..=50 {
        assert!(commands.sent(17, new(id, 600), UnixMillis(0), start()).is_ok());
    }
    assert!(commands.not_sent(17, UnixMillis(59_999)));
    assert!(commands.sent(17, new(51, 600), UnixMillis(60_000), start()).is_ok());
    assert_eq!(commands.state(17, 1), Some(CommandState::Expired), "the first two make room");
    assert!(!commands.not_sent(17, UnixMillis(60_000)));
}

#[test]
fn a_get_may_take_a_second_command_where_the_first_ran_out_before_it_was_answered() {
    let mut commands = two();
    let new = NewOrder { number: 73, id: 3, topic: SET, ttl_s: 600, timeout_s: 5 };
    assert!(commands.sent(17, new, UnixMillis(50_000), start()).is_ok());
    assert!(is_right(&mut commands, 1, CommandStep::Fetch, 58_000));
    assert!(!is_right(&mut commands, 3, CommandStep::Fetch, 62_000), "the first one is the device's");
    assert!(is_right(&mut commands, 3, CommandStep::Fetch, 63_000));
    assert!(!is_right(&mut commands, 3, CommandStep::Fetch, 68_000), "its device has asked once");
}
