//! The profile of a session: how long the server waits before it acknowledges by an empty message and before
//! it repeats, and the blocks of its answers.

use std::time::Duration;

use narrowgate_coap::{Code, Message, OptionNumber, Profile, Response};
use narrowgate_dtls::{Opened, Session};
use narrowgate_engine::event::{SessionId, ShardCommand, ShardEvent, Ticket};
use narrowgate_testkit::SeededRandom;

use crate::{World, both_suites};

const POST: [u8; 5] = [0x40, 2, 0, 1, 0xb0];

/// A device whose session has a profile, and a request of it that the platform has not answered.
struct Asked {
    session: Session,
    world: World,
    ticket: Ticket,
}

impl Asked {
    fn with(profile: Profile) -> Self {
        let [config, _] = both_suites();
        let (mut world, mut session) = World::connected(config);
        let (now, id) = (world.now, world.sessions[0]);
        world.shard.handle_command(now, ShardCommand::SetProfile { session: id, profile });
        let mut record = Vec::new();
        session.seal(&POST, &mut SeededRandom::new(3), &mut record).expect("it fits");
        world.shard.handle_datagram(now, world.peer, &mut record);
        let events = std::iter::from_fn(|| world.shard.poll_event());
        let ticket = events.filter_map(|event| match event {
            ShardEvent::Request { ticket, .. } => Some(ticket),
            _ => None,
        });
        let ticket = ticket.last().expect("it is handed over");
        Self { session, world, ticket }
    }

    fn respond(&mut self, response: Response) -> Vec<Vec<u8>> {
        let (now, ticket) = (self.world.now, self.ticket);
        self.world.shard.handle_command(now, ShardCommand::Respond { ticket, response });
        let came = self.world.drain();
        self.open(came)
    }

    /// The next message that comes, and after how many seconds.
    fn next(&mut self) -> (Duration, Vec<u8>) {
        let begin = self.world.now;
        loop {
            let came = self.world.advance(Duration::from_millis(100));
            if let Some(message) = self.open(came).pop() {
                return (self.world.now - begin, message);
            }
            assert!(self.world.now - begin < Duration::from_secs(400), "nothing comes");
        }
    }

    fn open(&mut self, came: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let open = |mut record: Vec<u8>| match self.session.open(&mut record) {
            Ok(Opened::Application(plain)) => plain.to_vec(),
            other => panic!("{other:?}"),
        };
        came.into_iter().map(open).collect()
    }
}

#[test]
fn an_answer_that_takes_long_is_confirmable_and_repeated_by_the_timers_of_the_profile() {
    for (profile, acknowledged_s, repeated_s) in [(Profile::Default, 2, 2..4), (Profile::Nbiot, 6, 9..15)] {
        let mut asked = Asked::with(profile);
        let (after, empty) = asked.next();
        assert_eq!(empty, [0x60, 0, 0, 1], "{profile:?}");
        assert_eq!(after.as_secs(), acknowledged_s, "{profile:?}");
        let answer = asked.respond(Response::new(Code::CHANGED).payload("late"));
        assert_eq!((answer.len(), answer[0][0], answer[0][1]), (1, 0x40, 0x44), "a confirmable message");
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let (after, again) = asked.next();
            assert_eq!(again, answer[0]);
            pauses.push(after.as_secs_f64());
        }
        assert!(repeated_s.contains(&(pauses[0] as u32)), "{profile:?}: {pauses:?}");
        assert!(pauses.windows(2).all(|pair| (pair[1] / pair[0] - 2.0).abs() < 0.1), "{pauses:?}");
    }
}

/// The device repeats its request when the answer is there already: the empty acknowledgement is by the
/// profile that the request met, all else by the new one.
#[test]
fn a_profile_that_changes_leaves_what_is_under_way_its_timers() {
    let mut asked = Asked::with(Profile::Default);
    let (now, id) = (asked.world.now, asked.world.sessions[0]);
    asked.world.shard.handle_command(now, ShardCommand::SetProfile { session: id, profile: Profile::Nbiot });
    assert_eq!(asked.next().0.as_secs(), 2);
    asked.respond(Response::new(Code::CHANGED));
    let (repeated, _) = asked.next();
    assert!((9..15).contains(&repeated.as_secs()), "{repeated:?}");
    // A session that has ended meanwhile is no other one's.
    let gone = SessionId { generation: id.generation + 1, ..id };
    asked
        .world
        .shard
        .handle_command(now, ShardCommand::SetProfile { session: gone, profile: Profile::Nbiot });
}

#[test]
fn an_answer_in_time_rides_on_the_acknowledgement_and_its_blocks_are_those_of_the_profile() {
    for (profile, waits_s, bytes) in [(Profile::Default, 1, 900), (Profile::Nbiot, 5, 512)] {
        let mut asked = Asked::with(profile);
        asked.world.advance(Duration::from_secs(waits_s));
        let answer = asked.respond(Response::new(Code::CONTENT).payload("x".repeat(900)));
        let message = Message::parse(&answer[0]).expect("a message");
        assert_eq!((answer[0][0], message.payload.len()), (0x60, bytes), "{profile:?}");
        let block = message.options().find(|(number, _)| *number == OptionNumber::BLOCK2);
        assert_eq!(block.map(|(_, value)| value.to_vec()), (bytes == 512).then(|| vec![0x0d]));
    }
}
