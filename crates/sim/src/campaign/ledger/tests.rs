//! The ledger finds what it is there to find.

use narrowgate_engine::event::CloseCause;
use narrowgate_platform::model::{device::DeviceState, message::MessageKind, retention::RetentionClass};

use super::{presence::LATE_MAX, *};

fn message(device: i64, points: &str) -> Write {
    Write::Message(Message {
        device: DeviceId(device),
        kind: MessageKind::Points,
        time: UnixMillis(0),
        arrival: UnixMillis(0),
        login: None,
        secret_version: 0,
        session: 0,
        retention: RetentionClass::STANDARD,
        points_json: points.into(),
    })
}

/// A report of device 17.
fn report(number: u64, secret: &str) -> String {
    format!(r#"{{"d":17,"n":{number},"s":{}}}"#, tag_of(secret))
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.register(17, DeviceId(1), 30, "a");
    ledger.register(18, DeviceId(2), 30, "a");
    ledger.sent(17, 1);
    ledger
}

#[test]
fn a_report_is_stored_once_as_its_own_before_it_is_acknowledged() {
    let (mut ledger, now) = (ledger(), crate::world::start());
    let stored = |ledger: &mut Ledger, device, points: &str| {
        ledger.applied(&message(device, points), Written::Done, now)
    };
    assert!(ledger.acknowledged(17, 1).is_err(), "it is not stored");
    let points = report(1, "a");
    assert!(stored(&mut ledger, 1, &points).is_ok());
    assert!(ledger.acknowledged(17, 1).is_ok());
    assert!(stored(&mut ledger, 1, &points).is_err(), "twice");
    for (device, points) in [(2, report(1, "a")), (1, report(2, "a")), (1, "{}".to_owned())] {
        assert!(stored(&mut ledger, device, &points).is_err(), "{points}");
    }
}

/// A session of device 17 by its own secret, from this place.
fn begin(ledger: &mut Ledger, slot: u8) -> SessionId {
    let session = SessionId { shard: 0, slot: slot.into(), generation: 1 + ledger.sessions.len() as u32 };
    let begun = crate::world::start();
    let standing = Standing {
        number: 17,
        begun,
        peer: peer(slot),
        is_login: true,
        is_plain: false,
        sign: None,
        heard: begun,
        login: None,
        superseded: None,
    };
    ledger.sessions.insert(session, standing);
    ledger.of_device.entry(17).or_default().push(session);
    session
}

fn peer(slot: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, slot], 5684))
}

fn take_up(ledger: &mut Ledger, login: u64, slot: u8) {
    ledger.taken_up(DeviceId(1), LoginNumber(login), &peer(slot).to_string());
}

#[test]
fn what_is_stored_of_a_session_with_a_replaced_secret_is_found_and_that_the_session_stands() {
    let (mut ledger, start) = (ledger(), crate::world::start());
    let sessions = [1, 2].map(|slot| begin(&mut ledger, slot));
    take_up(&mut ledger, 1, 1);
    take_up(&mut ledger, 2, 2);
    let superseded = |ledger: &Ledger| sessions.map(|session| ledger.sessions[&session].superseded.is_some());
    ledger.logged_in(DeviceId(1), LoginNumber(1), start);
    assert_eq!(superseded(&ledger), [false, false]);
    ledger.logged_in(DeviceId(1), LoginNumber(2), start);
    assert_eq!(superseded(&ledger), [true, false]);
    ledger.replaced(17, None, start);
    assert_eq!(superseded(&ledger), [true, true]);
    let write = message(1, &report(1, "a"));
    assert!(ledger.applied(&write, Written::Done, start).is_err(), "it is being replaced");
    ledger.replaced(17, Some("b"), start);
    assert!(ledger.applied(&write, Written::Done, start).is_err(), "it was replaced");
}

#[test]
fn a_login_that_is_durable_ends_the_sessions_before_it_and_not_those_after_it() {
    let (mut ledger, start) = (ledger(), crate::world::start());
    let first = begin(&mut ledger, 1);
    take_up(&mut ledger, 1, 1);
    let twin = begin(&mut ledger, 2);
    take_up(&mut ledger, 2, 2);
    // The first one logs in anew from where it is, before its first login is durable.
    ledger.event(&ShardEvent::Closed { session: first, cause: CloseCause::Replaced }, start).expect("it may");
    let again = begin(&mut ledger, 1);
    take_up(&mut ledger, 3, 1);
    let superseded =
        |ledger: &Ledger| [twin, again].map(|session| ledger.sessions[&session].superseded.is_some());
    ledger.logged_in(DeviceId(1), LoginNumber(1), start);
    assert_eq!(superseded(&ledger), [false, false], "both are newer");
    ledger.sessions.remove(&again);
    ledger.logged_in(DeviceId(1), LoginNumber(3), start);
    assert!(ledger.sessions[&twin].superseded.is_some(), "also where the newest has ended meanwhile");
}

#[test]
fn a_session_that_the_gateway_never_took_up_ends_with_the_next_login() {
    let (mut ledger, start) = (ledger(), crate::world::start());
    let [unknown, known] = [1, 2].map(|slot| begin(&mut ledger, slot));
    take_up(&mut ledger, 1, 2);
    ledger.logged_in(DeviceId(1), LoginNumber(1), start);
    assert!(ledger.sessions[&unknown].superseded.is_some());
    assert!(ledger.sessions[&known].superseded.is_none());
}

#[test]
fn a_copy_of_a_record_that_is_taken_as_new_is_found() {
    let mut ledger = ledger();
    let [here, there] = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 5684)));
    assert!(ledger.accepted(here, vec![23, 1]).is_ok());
    assert!(ledger.accepted(here, vec![23, 2]).is_ok());
    assert!(ledger.accepted(there, vec![23, 1]).is_ok());
    assert!(ledger.accepted(here, vec![23, 1]).is_err());
}

#[test]
fn a_device_counts_as_long_silent_when_its_lifetime_is_long_over() {
    let start = crate::world::start();
    let mut ledger = ledger();
    assert!(ledger.is_long_silent(17, start), "it was never heard");
    ledger.heard(17, start);
    let due = start + Duration::from_secs(30) + LATE_MAX + STORED_WITHIN;
    assert!(!ledger.is_long_silent(17, due));
    assert!(ledger.is_long_silent(17, due + STEP));
}

#[test]
fn a_record_number_that_is_used_again_is_found() {
    let mut ledger = ledger();
    let record = |number: u8| [23, 254, 253, 0, 1, 0, 0, 0, 0, 0, number, 0, 1, 7];
    let to = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(ledger.transmitted(to, &record(1)).is_ok());
    assert!(ledger.transmitted(to, &[record(2), record(3)].concat()).is_ok());
    assert!(ledger.transmitted(to, &record(3)).is_err());
}

#[test]
fn silence_is_offline_at_its_end_and_not_before_or_long_after() {
    let start = crate::world::start();
    let at = |ms| start + Duration::from_millis(ms);
    let mut ledger = ledger();
    ledger.heard(17, start);
    let cause = "silent for 30 s".to_owned();
    let write = Write::Presence {
        device: DeviceId(1),
        login: None,
        state: DeviceState::Offline,
        at: UnixMillis(0),
        cause,
    };
    assert!(ledger.presence_decided(&write, at(29_900)).is_err());
    assert!(ledger.presence_decided(&write, at(30_250)).is_ok());
    assert!(ledger.presence_decided(&write, at(31_100)).is_err());
    ledger.heard(17, at(40_000));
    assert!(ledger.presence_decided(&write, at(30_250)).is_ok(), "decided before it was heard again");
    assert!(ledger.presence_decided(&write, at(41_100)).is_err());
    ledger.heard(17, at(70_250));
    assert!(ledger.presence_decided(&write, at(70_250)).is_ok(), "heard in the same moment");
}
