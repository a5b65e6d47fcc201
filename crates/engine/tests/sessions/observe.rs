//! A device that observes (RFC 7641), over records. The numbers are those of the product's catalogue of
//! attacks, group I.

use std::time::Duration;

use narrowgate_coap::{Code, Message, ObservationEnd, OptionNumber, Response};
use narrowgate_dtls::{ClientConfig, Opened, Session};
use narrowgate_engine::{
    event::{SessionId, ShardCommand},
    shard::stats::Counter,
};
use narrowgate_testkit::SeededRandom;

use crate::{World, both_suites};

/// A device that observes /c with token 07.
struct Device {
    session: Session,
    world: World,
}

fn content(text: &str) -> Response {
    Response::new(Code::CONTENT).option(OptionNumber::OBSERVE, []).payload(text)
}

impl Device {
    fn observing(config: ClientConfig) -> Self {
        let (mut world, session) = World::connected(config);
        world.answer = content("now");
        let mut device = Self { session, world };
        let answers = device.say(&[0x41, 1, 0, 1, 7, 0x60, 0x51, b'c']);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0][..5], [0x61, 0x45, 0, 1, 7]);
        assert_eq!(number(&answers[0]), Some(1));
        device
    }

    /// Sends a message; returns what comes back.
    fn say(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let mut record = Vec::new();
        self.session.seal(message, &mut SeededRandom::new(3), &mut record).expect("it fits");
        let came = self.world.give(&record);
        self.open(came)
    }

    fn open(&mut self, came: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let open = |mut record: Vec<u8>| match self.session.open(&mut record) {
            Ok(Opened::Application(plain)) => plain.to_vec(),
            other => panic!("{other:?}"),
        };
        came.into_iter().map(open).collect()
    }

    fn notify(&mut self, session: SessionId, response: Response) -> Vec<Vec<u8>> {
        let now = self.world.now;
        self.world.shard.handle_command(now, ShardCommand::Notify { session, response });
        let came = self.world.drain();
        self.open(came)
    }

    /// The session, of which there is one.
    fn id(&self) -> SessionId {
        self.world.sessions[0]
    }
}

fn number(message: &[u8]) -> Option<u32> {
    let message = Message::parse(message).expect("a message");
    let observe = message.options().find(|(number, _)| *number == OptionNumber::OBSERVE);
    observe.map(|(_, value)| value.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
}

#[test]
fn a_notification_goes_out_at_once_and_its_acknowledgement_is_a_sign_of_life() {
    for config in both_suites() {
        let mut device = Device::observing(config);
        let id = device.id();
        let told = device.notify(id, content("{\"waiting\":1}"));
        let [told] = &told[..] else { panic!("one notification") };
        assert_eq!((told[0], told[1], number(told)), (0x41, 0x45, Some(2)));
        assert!(told.ends_with(b"{\"waiting\":1}"));
        let heard = device.world.heard;
        assert!(device.say(&[0x60, 0, told[2], told[3]]).is_empty());
        assert_eq!(device.world.heard, heard + 1);
        assert_eq!((device.world.count(Counter::Notifications), device.world.observed.len()), (1, 0));
    }
}

#[test]
fn attack_148_and_150_a_dead_observer_is_given_up_after_five_times_and_its_session_stands() {
    let [config, _] = both_suites();
    let mut device = Device::observing(config);
    let id = device.id();
    let first = device.notify(id, content("more"));
    assert_eq!(first.len(), 1);
    let (mut times, mut seconds) = (1, 0.0);
    while device.world.observed.is_empty() {
        let came = device.world.advance(Duration::from_millis(100));
        for again in device.open(came) {
            assert_eq!(again, first[0], "the same message in a record of its own");
            times += 1;
        }
        seconds += 0.1;
        assert!(seconds < 100.0, "it is never given up");
    }
    assert_eq!((times, seconds > 62.0), (5, true), "{seconds}");
    assert_eq!(device.world.observed, [ObservationEnd::TimedOut]);
    assert_eq!(device.world.count(Counter::ObservationsLost), 1);
    // Nobody is told any more, and the session goes on: another registration counts.
    assert!(device.notify(id, content("more")).is_empty());
    let answers = device.say(&[0x41, 1, 0, 2, 9, 0x60, 0x51, b'c']);
    assert_eq!((answers[0][0], number(&answers[0]).is_some()), (0x61, true));
    assert_eq!(device.notify(id, content("more")).len(), 1);
}

#[test]
fn attack_132_a_reset_or_a_cancellation_is_told_to_the_platform_once_nobody_is_left() {
    let [config, _] = both_suites();
    let mut device = Device::observing(config);
    let id = device.id();
    device.say(&[0x41, 1, 0, 2, 8, 0x60, 0x51, b'c']);
    assert_eq!(device.say(&[0x41, 1, 0, 3, 8, 0x61, 1, 0x51, b'c']).len(), 1);
    assert_eq!(device.world.observed, [], "the other one observes");
    let told = device.notify(id, content("more"));
    assert_eq!(told.len(), 1);
    assert!(device.say(&[0x70, 0, told[0][2], told[0][3]]).is_empty());
    assert_eq!(device.world.observed, [ObservationEnd::Reset]);
    assert!(device.world.advance(Duration::from_secs(10)).is_empty());
}

#[test]
fn a_notification_that_does_not_fit_a_short_record_goes_without_what_it_can_do_without() {
    let [config, _] = both_suites();
    let mut device = Device::observing(ClientConfig { max_fragment_length: Some(1), ..config });
    let id = device.id();
    let long = content("{\"waiting\":1}").option(OptionNumber(2100), "x".repeat(600));
    let told = device.notify(id, long);
    assert_eq!((told.len(), number(&told[0])), (1, Some(3)));
    assert!(told[0].ends_with(b"\xff{\"waiting\":1}") && told[0].len() < 30, "{:02x?}", told[0]);
    device.say(&[0x60, 0, told[0][2], told[0][3]]);
    assert!(device.notify(id, content(&"x".repeat(600))).is_empty(), "it is lost");
    assert_eq!(device.world.count(Counter::MessagesTooLarge), 2);
}

#[test]
fn who_observes_and_leaves_is_told_nothing_more() {
    let [config, _] = both_suites();
    let mut device = Device::observing(config);
    let id = device.id();
    let now = device.world.now;
    device.world.shard.handle_command(now, ShardCommand::Close { session: id });
    device.world.drain();
    assert!(device.notify(id, content("more")).is_empty());
    assert_eq!(device.world.shard.stats().gauges.stored_answer_bytes, 0);
}
