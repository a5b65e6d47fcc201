//! Lifetimes by hand, and against the rule itself.

use proptest::prelude::*;

use super::*;

const A: DeviceId = DeviceId(1);
const B: DeviceId = DeviceId(2);

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be made in no other way; the tests count from it"
)]
fn start() -> Instant {
    Instant::now()
}

fn timeout(tracker: &mut Tracker, now: Instant) -> Vec<Transition> {
    let mut transitions = Vec::new();
    tracker.handle_timeout(now, usize::MAX >> 1, &mut transitions);
    transitions
}

fn offline(device: DeviceId, lifetime_s: u32) -> Transition {
    Transition { device, state: DeviceState::Offline, cause: Cause::Silent { lifetime_s } }
}

#[test]
fn attack_168_silence_for_the_lifetime_is_one_offline_event_at_the_deadline() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(30)));
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_millis(29_999)), []);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)), [offline(A, 30)]);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(86_400)), [], "it comes exactly once");
    assert_eq!(tracker.poll_timeout(), None);
}

#[test]
fn hearing_a_device_restarts_its_lifetime_without_touching_its_timer() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    assert_eq!(tracker.handle_heard(A, t0 + Duration::from_secs(20)), None);
    assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(30)), "the timer stays");
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)), []);
    assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(50)), "and moves when it fires");
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(50)), [offline(A, 30)]);
}

#[test]
fn an_offline_device_that_is_heard_is_online_again_without_a_login() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(31)).len(), 1);
    assert_eq!((tracker.len(), tracker.online()), (1, 0));
    let heard = tracker.handle_heard(A, t0 + Duration::from_secs(100)).expect("it was offline");
    assert_eq!((heard.state, heard.cause.to_string()), (DeviceState::Online, "heard again".to_owned()));
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(130)), [offline(A, 30)]);
}

#[test]
fn a_closed_session_is_offline_at_once_and_not_again_later() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    let closed = tracker.handle_closed(A, t0 + Duration::from_secs(1)).expect("it was online");
    assert_eq!((closed.state, closed.cause), (DeviceState::Offline, Cause::Closed));
    assert_eq!(tracker.handle_closed(A, t0 + Duration::from_secs(1)), None);
    assert_eq!(
        tracker.handle_heard(A, t0 + Duration::from_secs(2)),
        None,
        "its last datagrams do not bring it back"
    );
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(100)), []);
    assert!(tracker.is_empty());
}

#[test]
fn a_device_that_is_offline_already_does_not_become_so_by_closing() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(30)).len(), 1);
    assert_eq!(tracker.handle_closed(A, t0 + Duration::from_secs(31)), None);
}

#[test]
fn a_new_login_may_shorten_and_lengthen_the_lifetime() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 86_400, t0);
    tracker.handle_login(A, 30, t0 + Duration::from_secs(1));
    assert_eq!(tracker.poll_timeout(), Some(t0 + Duration::from_secs(31)));
    tracker.handle_login(A, 3600, t0 + Duration::from_secs(2));
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(31)), []);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(3602)), [offline(A, 3600)]);
}

#[test]
fn the_stored_login_is_known_until_the_device_leaves() {
    let (t0, login) = (start(), LoginNumber(7));
    let mut tracker = Tracker::new(t0);
    tracker.handle_stored(A, login);
    assert_eq!(tracker.stored_login(A), None, "nobody is there");
    tracker.handle_login(A, 30, t0);
    assert_eq!(tracker.stored_login(A), None);
    tracker.handle_stored(A, login);
    tracker.handle_login(A, 60, t0);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(60)), [offline(A, 60)]);
    assert_eq!(tracker.stored_login(A), Some(login), "a newer login is not stored yet");
    tracker.handle_closed(A, t0);
    tracker.handle_login(A, 30, t0);
    assert_eq!(tracker.stored_login(A), None);
}

#[test]
fn a_forgotten_device_makes_no_events() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    tracker.handle_login(A, 30, t0);
    tracker.handle_login(B, 40, t0);
    tracker.forget(A);
    assert_eq!(tracker.handle_heard(A, t0), None);
    assert_eq!(timeout(&mut tracker, t0 + Duration::from_secs(60)), [offline(B, 40)]);
}

#[test]
fn a_restart_grants_a_full_lifetime() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    let ready = t0 + Duration::from_secs(5);
    tracker.restore(A, 30, ready);
    assert_eq!(timeout(&mut tracker, ready + Duration::from_millis(29_999)), []);
    let grace = Duration::from_millis(grace_ms(A, 30).into());
    assert_eq!(timeout(&mut tracker, ready + Duration::from_secs(30)), []);
    assert_eq!(tracker.poll_timeout(), Some(ready + Duration::from_secs(30) + grace));
    assert_eq!(timeout(&mut tracker, ready + Duration::from_secs(33)), [offline(A, 30)]);
}

#[test]
fn a_device_that_is_heard_after_a_restart_has_its_own_lifetime_again() {
    let t0 = start();
    for heard_s in [0, 1, 29] {
        let mut tracker = Tracker::new(t0);
        tracker.restore(A, 30, t0);
        tracker.handle_heard(A, t0 + Duration::from_secs(heard_s));
        let end = t0 + Duration::from_secs(heard_s + 30);
        assert_eq!(timeout(&mut tracker, end - Duration::from_millis(1)), []);
        assert_eq!(timeout(&mut tracker, end), [offline(A, 30)], "heard after {heard_s} s");
    }
}

#[test]
fn after_a_restart_the_deadlines_of_a_fleet_are_spread_over_a_tenth_of_its_lifetime() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    let (devices, lifetime_s) = (100_000, 3600_u32);
    (1..=devices).for_each(|device| tracker.restore(DeviceId(device), lifetime_s, t0));
    let end = t0 + Duration::from_secs(lifetime_s.into());
    assert_eq!(timeout(&mut tracker, end - Duration::from_millis(1)), []);
    // Timers are moved some at a time.
    (0..100).for_each(|_| assert_eq!(timeout(&mut tracker, end - Duration::from_millis(1)), []));
    let mut silent = 0;
    for second in 1..=360 {
        let mut now = Vec::new();
        let at = end + Duration::from_secs(second);
        while tracker.poll_timeout().is_some_and(|due| due <= at) {
            now.extend(timeout(&mut tracker, at));
        }
        // 278 a second on the average.
        assert!(now.len() < 500, "{} in second {second}", now.len());
        silent += now.len();
    }
    assert_eq!(silent, devices as usize, "all of them, once");
}

#[test]
fn a_call_makes_no_more_transitions_than_it_may_and_the_rest_stays_due() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    (1..=10).for_each(|device| tracker.handle_login(DeviceId(device), 30, t0));
    let end = t0 + Duration::from_secs(40);
    let mut transitions = Vec::new();
    for (max, silent) in [(0, 0), (4, 4), (4, 8)] {
        tracker.handle_timeout(end, max, &mut transitions);
        assert_eq!(transitions.len(), silent);
    }
    assert!(tracker.poll_timeout().is_some_and(|due| due <= end));
    assert_eq!(tracker.handle_heard(DeviceId(9), end), None, "nobody noticed its silence");
    tracker.handle_timeout(end, 4, &mut transitions);
    assert_eq!((transitions.len(), tracker.online()), (9, 1));
}

#[test]
fn no_device_ever_has_two_timers() {
    let t0 = start();
    let mut tracker = Tracker::new(t0);
    for round in 0..1000_u64 {
        let now = t0 + Duration::from_secs(round);
        tracker.handle_login(A, if round % 2 == 0 { 86_400 } else { 30 }, now);
        if round % 7 == 0 {
            tracker.handle_closed(A, now);
        }
        assert!(tracker.timers.len() <= 1);
    }
}

/// The rule itself, without timers: checks every device every time.
#[derive(Default)]
struct Naive(std::collections::BTreeMap<DeviceId, (u64, u32, bool)>);

impl Naive {
    fn timeout(&mut self, now_ms: u64) -> Vec<DeviceId> {
        let mut silent = Vec::new();
        for (device, (heard_ms, lifetime_s, online)) in &mut self.0 {
            if *online && now_ms >= *heard_ms + u64::from(*lifetime_s) * 1000 {
                *online = false;
                silent.push(*device);
            }
        }
        silent
    }
}

#[derive(Debug, Clone)]
enum Step {
    Login(i64, u32),
    Heard(i64),
    Closed(i64),
    Forget(i64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..4_i64;
    prop_oneof![
        (device.clone(), 30..120_u32).prop_map(|(device, lifetime_s)| Step::Login(device, lifetime_s)),
        device.clone().prop_map(Step::Heard),
        device.clone().prop_map(Step::Closed),
        device.prop_map(Step::Forget),
        (0..50_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn timers_find_the_same_transitions_as_asking_everyone(
        steps in proptest::collection::vec(step(), 0..100),
    ) {
        let t0 = start();
        let (mut tracker, mut naive, mut now_ms) = (Tracker::new(t0), Naive::default(), 0);
        for step in steps {
            let now = t0 + Duration::from_millis(now_ms);
            match step {
                Step::Login(device, lifetime_s) => {
                    tracker.handle_login(DeviceId(device), lifetime_s, now);
                    naive.0.insert(DeviceId(device), (now_ms, lifetime_s, true));
                }
                Step::Heard(device) => {
                    let again = naive.0.get_mut(&DeviceId(device)).is_some_and(|entry| {
                        entry.0 = now_ms;
                        !std::mem::replace(&mut entry.2, true)
                    });
                    prop_assert_eq!(tracker.handle_heard(DeviceId(device), now).is_some(), again);
                }
                Step::Closed(device) => {
                    let was_online = naive.0.remove(&DeviceId(device)).is_some_and(|entry| entry.2);
                    prop_assert_eq!(tracker.handle_closed(DeviceId(device), now).is_some(), was_online);
                }
                Step::Forget(device) => {
                    tracker.forget(DeviceId(device));
                    naive.0.remove(&DeviceId(device));
                }
                Step::Wait(wait_ms) => {
                    // As a driver does: at each time that the tracker asks for, and at the end.
                    now_ms += wait_ms;
                    let end = t0 + Duration::from_millis(now_ms);
                    let mut transitions = Vec::new();
                    while let Some(at) = tracker.poll_timeout().filter(|at| *at <= end) {
                        tracker.handle_timeout(at, 100, &mut transitions);
                    }
                    let devices = transitions.iter().map(|transition| transition.device);
                    let mut silent: Vec<_> = devices.collect();
                    silent.sort();
                    prop_assert_eq!(silent, naive.timeout(now_ms));
                }
            }
            prop_assert_eq!(tracker.online(), naive.0.values().filter(|entry| entry.2).count());
            prop_assert_eq!(tracker.len(), naive.0.len());
        }
    }
}
