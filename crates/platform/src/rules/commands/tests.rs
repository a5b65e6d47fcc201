use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::model::{
    command::{CommandTopic, Order},
    product::DataFormat,
};
use CommandState::{Cancelled, Created, Expired, Failed, Sent, Succeeded, TimedOut};

const CREATED_S: i64 = 1000;

fn at(seconds: i64) -> UnixMillis {
    UnixMillis((CREATED_S + seconds) * 1000)
}

fn order(topic: CommandTopic, pending_ttl_s: u32, timeout_s: u32) -> Arc<Order> {
    Arc::new(Order { topic, params_json: "{}".into(), pending_ttl_s, timeout_s, raw: None })
}

/// Created at second 0.
fn command(id: u32, pending_ttl_s: u32, timeout_s: u32) -> Command {
    Command::new(CommandId(id), order(CommandTopic::Set, pending_ttl_s, timeout_s), at(0))
}

/// In this state since second 5, if it was sent: created with a time to live of 100 s and 30 s to answer.
fn in_state(state: CommandState) -> Command {
    let was_sent = !matches!(state, Created | Expired);
    let (sent, ended) = (was_sent.then(|| at(5)), state.has_ended().then(|| at(9)));
    Command { state, sent, ended, ..command(1, 100, 30) }
}

fn reply(code: i64) -> CommandStep {
    CommandStep::Reply { code, data_json: Some("{}".into()), message: None }
}

#[test]
fn every_state_meets_every_step() {
    const OVER: Result<bool, NotOpen> = Err(NotOpen);
    // State, fetched, answered 200, answered 1101, cancelled, looked at: what came of it, at second 10.
    let table = [
        (Created, (Ok(true), Sent), OVER, OVER, Ok(false)),
        (Sent, (Ok(false), Sent), Ok(true), Ok(true), Ok(false)),
        (Cancelled, (OVER, Cancelled), OVER, OVER, Ok(false)),
        (Expired, (OVER, Expired), OVER, OVER, Ok(false)),
        (Succeeded, (OVER, Succeeded), OVER, OVER, Ok(false)),
        (Failed, (OVER, Failed), OVER, OVER, Ok(false)),
        (TimedOut, (OVER, TimedOut), OVER, OVER, Ok(false)),
    ];
    for (state, fetched, success, failure, looked_at) in table {
        let step = |step: CommandStep| {
            let mut command = in_state(state);
            let result = command.step(&step, at(10));
            if result != Ok(true) {
                assert_eq!(command, in_state(state), "{step:?}");
            }
            (result, command.state)
        };
        assert_eq!(step(CommandStep::Fetch), fetched, "{state:?}");
        let answered =
            |result: Result<bool, NotOpen>, then| (result, if result.is_ok() { then } else { state });
        assert_eq!(step(reply(200)), answered(success, Succeeded), "{state:?}");
        assert_eq!(step(reply(0)), answered(success, Succeeded), "{state:?}");
        assert_eq!(step(reply(1101)), answered(failure, Failed), "{state:?}");
        let cancelled = if state.has_ended() { (OVER, state) } else { (Ok(true), Cancelled) };
        assert_eq!(step(CommandStep::Cancel), cancelled, "{state:?}");
        let refused = if state.has_ended() { (OVER, state) } else { (Ok(true), Failed) };
        assert_eq!(step(CommandStep::RefuseBytes), refused, "{state:?}");
        assert_eq!(step(CommandStep::NotEncoded { message: "no".into() }), refused, "{state:?}");
        assert_eq!(step(CommandStep::TimePasses), (looked_at, state), "{state:?}");
    }
}

#[test]
fn a_command_stands_where_its_times_say() {
    let sent = |command: Command, second| Command { state: Sent, sent: Some(at(second)), ..command };
    let (cached, instant) = (command(1, 100, 30), command(1, 0, 30));
    for (command, second, standing) in [
        (&cached, 99, Standing::Waiting(at(100))),
        (&cached, 100, Standing::Over(Expired, at(100))),
        (&instant, 29, Standing::Waiting(at(30))),
        (&instant, 30, Standing::Over(Expired, at(30))),
        (&sent(cached.clone(), 10), 39, Standing::InProgress(at(40))),
        (&sent(cached.clone(), 10), 40, Standing::Waiting(at(100))),
        (&sent(cached.clone(), 10), 100, Standing::Over(TimedOut, at(100))),
        (&sent(cached.clone(), 90), 110, Standing::InProgress(at(120))),
        (&sent(cached.clone(), 90), 120, Standing::Over(TimedOut, at(120))),
        (&sent(instant.clone(), 20), 49, Standing::InProgress(at(50))),
        (&sent(instant.clone(), 20), 50, Standing::Over(TimedOut, at(50))),
        (&in_state(Failed), 500, Standing::Over(Failed, at(9))),
    ] {
        assert_eq!(command.standing(at(second)), standing, "{command:?} at {second}");
    }
}

#[test]
fn a_late_answer_counts_while_the_command_is_offered_again_and_not_after_its_end() {
    let mut late = command(1, 100, 30);
    assert_eq!(late.step(&CommandStep::Fetch, at(1)), Ok(true));
    let mut too_late = late.clone();
    assert_eq!(late.step(&reply(200), at(99)), Ok(true));
    assert_eq!((late.state, late.code, late.ended), (Succeeded, Some(200), Some(at(99))));
    assert_eq!(too_late.step(&reply(200), at(100)), Err(NotOpen));
    assert_eq!(too_late.step(&CommandStep::TimePasses, at(500)), Ok(true));
    assert_eq!((too_late.state, too_late.code, too_late.ended), (TimedOut, None, Some(at(100))));
}

#[test]
fn a_command_whose_bytes_nobody_takes_any_more_says_so() {
    let mut refused = in_state(Created);
    assert_eq!(refused.step(&CommandStep::RefuseBytes, at(10)), Ok(true));
    assert_eq!((refused.state, refused.code, refused.ended), (Failed, Some(11810), Some(at(10))));
    assert!(refused.message.is_some_and(|message| message.contains("json")));
}

#[test]
fn what_no_bytes_are_made_of_has_failed_with_11810_and_the_words() {
    for state in [Created, Sent] {
        let mut it = in_state(state);
        assert_eq!(it.step(&CommandStep::NotEncoded { message: "line 3".into() }, at(10)), Ok(true));
        let ended = (it.state, it.code, it.message.as_deref(), it.ended);
        assert_eq!(ended, (Failed, Some(11810), Some("line 3"), Some(at(10))));
    }
}

/// Three commands of these topics, the first of which is made into bytes when it is fetched.
#[test]
fn an_offer_of_firmware_is_in_its_place_among_the_commands_in_bytes() {
    let raw = |id| {
        let order = order(CommandTopic::Raw, 100, 30);
        let order = Order { raw: Some([1].into()), ..(*order).clone() };
        Command::new(CommandId(id), order, at(0))
    };
    let offer = |id| Command::new(CommandId(id), order(CommandTopic::Upgrade, 100, 30), at(0));
    let mut queue = Queue::new([offer(1), raw(2), offer(3)]);
    let id = |found: Option<&Command>| found.map(|command| command.id.0);
    let of = |queue: &Queue, topic, format| id(queue.oldest_of((&topic, format), at(1), Way::Protected));
    for (format, raw, upgrade) in [(DataFormat::Custom, 1, 1), (DataFormat::Json, 2, 1)] {
        assert_eq!(of(&queue, CommandTopic::Raw, format), Some(raw), "{format:?}");
        assert_eq!(of(&queue, CommandTopic::Upgrade, format), Some(upgrade), "{format:?}");
    }
    // No image is served by plain CoAP, so no offer is.
    let plain = queue.oldest_of((&CommandTopic::Raw, DataFormat::Custom), at(1), Way::Plain);
    assert_eq!(id(plain), Some(2));
    queue.step(CommandId(1), &CommandStep::Fetch, at(1)).expect("it waits");
    // A reply belongs to the command of its id, whichever of the two topics it came to.
    for topic in [CommandTopic::Raw, CommandTopic::Upgrade] {
        assert_eq!(id(queue.answered(Some(CommandId(1)), Some(&topic))), Some(1), "{topic:?}");
    }
    assert_eq!(id(queue.answered(Some(CommandId(1)), Some(&CommandTopic::Set))), None);
    queue.step(CommandId(1), &reply(200), at(1)).expect("it is fetched");
    assert_eq!(of(&queue, CommandTopic::Raw, DataFormat::Custom), Some(2));
}

#[test]
fn who_may_be_sent_a_command() {
    let case = SendCase { activated: true, online: true, open: 0, open_max: 7, pending_ttl_s: 0 };
    let full = NotSent::QueueFull { open_max: 7 };
    for (case, result) in [
        (case, Ok(())),
        (SendCase { online: false, ..case }, Err(NotSent::Offline)),
        (SendCase { online: false, pending_ttl_s: 1, ..case }, Ok(())),
        (SendCase { open: 6, ..case }, Ok(())),
        (SendCase { open: 7, ..case }, Err(full)),
        (SendCase { activated: false, open: 7, ..case }, Err(NotSent::NotActivated)),
    ] {
        assert_eq!(case.permit(), result, "{case:?}");
    }
    let codes = [NotSent::NotActivated, NotSent::Offline, full].map(NotSent::code);
    assert_eq!(codes, [11888, 11900, 11902]);
    assert_eq!(
        [Expired, TimedOut, Failed, Cancelled].map(code_of_end),
        [Some(11904), Some(11915), None, None]
    );
}

#[test]
fn ids_count_up_and_begin_anew_and_one_that_is_kept_is_left_out() {
    let at = |last: Option<u32>, kept: &[u32], at: i64| {
        next_id(last.map(CommandId), UnixMillis(at), |id| kept.contains(&id.0)).0
    };
    let next = |last, kept: &[u32]| at(last, kept, 0);
    assert_eq!(next(None, &[]), 1);
    assert_eq!(next(Some(20), &[19, 20]), 21);
    assert_eq!(next(Some(CommandId::MAX.0), &[1, 2]), 3);
    // Registered anew, or restored: the clock has gone on.
    let now = 1_790_812_800_000 + 1_000_000;
    assert_eq!(
        (at(None, &[], now), at(Some(20), &[20], now), at(Some(1000), &[1000], now)),
        (1000, 1000, 1001)
    );
    assert_eq!(at(None, &[], i64::MAX), CommandId::MAX.0);
}

/// What happens to the naive model and to the queue.
#[derive(Debug, Clone)]
enum Event {
    Send { topic: usize, ttl: u32, timeout: u32 },
    Get(usize),
    Reply(u32, i64),
    Cancel(u32),
    Wait(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let timeout = 1..=8_u32;
    let event = prop_oneof![
        (0..3_usize, prop_oneof![Just(0_u32), 1..40_u32], timeout)
            .prop_map(|(topic, ttl, timeout)| Event::Send { topic, ttl, timeout }),
        (0..3_usize).prop_map(Event::Get),
        (0..3_usize).prop_map(Event::Get),
        (1..12_u32, prop_oneof![Just(200_i64), Just(0), Just(1102)])
            .prop_map(|(id, code)| Event::Reply(id, code)),
        (1..12_u32).prop_map(Event::Cancel),
        (1..12_i64).prop_map(Event::Wait),
    ];
    vec(event, 1..60)
}

fn topic(number: usize) -> CommandTopic {
    [CommandTopic::Set, CommandTopic::Get, CommandTopic::Service("restart".into())][number].clone()
}

/// A command as somebody would keep it who looks at it every second.
#[derive(Debug, Clone)]
struct Naive {
    id: u32,
    topic: usize,
    state: CommandState,
    /// Seconds for which it still waits, and for which the device still has it.
    ttl_left: i64,
    answer_left: i64,
    timeout: u32,
    is_instant: bool,
}

impl Naive {
    fn second_passes(&mut self) {
        self.ttl_left -= 1;
        self.answer_left -= 1;
        match self.state {
            Created if self.ttl_left <= 0 => self.state = Expired,
            Sent if self.answer_left <= 0 && (self.is_instant || self.ttl_left <= 0) => self.state = TimedOut,
            _ => {}
        }
    }

    fn waits(&self) -> bool {
        self.state == Created || (self.state == Sent && self.answer_left <= 0)
    }
}

/// The queue, and what somebody has noted of the same commands.
#[derive(Default)]
struct Both {
    naive: Vec<Naive>,
    queue: Queue,
    now: i64,
}

impl Both {
    fn meet(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Send { topic, ttl, timeout } => self.send(topic, ttl, timeout),
            Event::Get(topic) => return self.get(topic),
            Event::Reply(id, code) => {
                let state = if code == 1102 { Failed } else { Succeeded };
                return self.end(id, &reply(code), |it| it.state == Sent, state);
            }
            Event::Cancel(id) => {
                return self.end(id, &CommandStep::Cancel, |it| !it.state.has_ended(), Cancelled);
            }
            Event::Wait(seconds) => return self.wait(seconds),
        }
        Ok(())
    }

    fn send(&mut self, number: usize, ttl: u32, timeout: u32) {
        let id = self.naive.len() as u32 + 1;
        let ttl_left = i64::from(if ttl == 0 { timeout } else { ttl });
        let (state, is_instant, answer_left) = (Created, ttl == 0, 0);
        self.naive.push(Naive { id, topic: number, state, ttl_left, answer_left, timeout, is_instant });
        self.queue.push(Command::new(CommandId(id), order(topic(number), ttl, timeout), at(self.now)));
    }

    fn get(&mut self, number: usize) -> Result<(), TestCaseError> {
        let wanted = self.naive.iter_mut().find(|it| it.topic == number && !it.state.has_ended());
        let topic = (&topic(number), DataFormat::Json);
        let found = self.queue.oldest_of(topic, at(self.now), Way::Protected).map(|command| command.id);
        prop_assert_eq!(found.map(|id| id.0), wanted.as_ref().map(|it| it.id));
        if let (Some(it), Some(id)) = (wanted, found) {
            let is_new = it.waits();
            if is_new {
                (it.state, it.answer_left) = (Sent, i64::from(it.timeout));
            }
            let moved = self.queue.step(id, &CommandStep::Fetch, at(self.now));
            prop_assert_eq!(moved.map(|command| command.is_some()), Ok(is_new));
        }
        Ok(())
    }

    fn end(
        &mut self,
        id: u32,
        step: &CommandStep,
        may_end: fn(&Naive) -> bool,
        state: CommandState,
    ) -> Result<(), TestCaseError> {
        let open = self.naive.iter_mut().find(|it| it.id == id && may_end(it));
        let moved = self.queue.step(CommandId(id), step, at(self.now));
        prop_assert_eq!(moved.is_ok(), open.is_some());
        if let Some(it) = open {
            it.state = state;
        }
        Ok(())
    }

    fn wait(&mut self, seconds: i64) -> Result<(), TestCaseError> {
        for _ in 0..seconds {
            self.naive.iter_mut().for_each(Naive::second_passes);
        }
        self.now += seconds;
        let over: Vec<CommandId> = self.queue.over(at(self.now)).map(|command| command.id).collect();
        for id in over {
            let ended = self.queue.step(id, &CommandStep::TimePasses, at(self.now)).expect("it is there");
            let it = self.naive.iter().find(|it| it.id == id.0).expect("it was sent");
            prop_assert_eq!(ended.map(|command| command.state), Some(it.state));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_queue_does_what_looking_at_each_command_every_second_does(events in events()) {
        let mut both = Both::default();
        for event in &events {
            both.meet(event)?;
            let Both { naive, queue, now } = &both;
            let waiting = naive.iter().find(|it| it.waits()).map(|it| it.id);
            let oldest = queue.oldest_waiting(at(*now), Way::Protected);
            prop_assert_eq!(oldest.map(|command| command.id.0), waiting);
            let open: Vec<u32> = naive.iter().filter(|it| !it.state.has_ended()).map(|it| it.id).collect();
            prop_assert_eq!(queue.iter().map(|command| command.id.0).collect::<Vec<_>>(), open);
            prop_assert!(queue.due(at(*now)).is_none_or(|due| due > at(*now)));
        }
    }
}

#[test]
fn the_newest_ended_commands_are_kept_as_far_as_count_and_bytes_reach() {
    let kept = |bytes: &[usize]| ended_kept(bytes.iter().copied());
    assert_eq!(kept(&[]), 0);
    assert_eq!([kept(&[0; ENDED_MAX]), kept(&[0; ENDED_MAX + 1])], [ENDED_MAX; 2]);
    assert_eq!(ENDED_REPLY_BYTES_MAX, 1_048_576);
    assert_eq!(kept(&[1_048_576, 0, 0]), 3, "to the last byte");
    assert_eq!(kept(&[1_048_575, 2, 0, 0]), 1, "what is older than one that goes, goes too");
    assert_eq!(kept(&[1000; ENDED_MAX]), ENDED_MAX);
    assert_eq!(kept(&[2000; ENDED_MAX]), 524);
}
