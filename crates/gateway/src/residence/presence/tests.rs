//! Which login a change names, and a fleet that falls silent.

use super::*;
use crate::{effect::Effect, unread::UNREAD_MAX};

const DEVICE: DeviceId = DeviceId(1);

/// Logins that the written changes of presence name.
fn named(out: &mut Outbox) -> Vec<Option<LoginNumber>> {
    let effects = std::iter::from_fn(|| out.poll());
    let writes = effects.flat_map(|effect| match effect {
        Effect::Write(_, writes) => writes,
        other => panic!("only changes are written: {other:?}"),
    });
    let names = writes.map(|write| match write {
        Write::Presence { login, .. } | Write::Seen { login, .. } => login,
        other => panic!("only changes are written: {other:?}"),
    });
    names.collect()
}

#[test]
fn a_change_names_the_login_that_the_store_has() {
    let start = crate::tests::start();
    let now = Now { instant: start, wall: UnixMillis(0) };
    let [first, second, third] = [1, 2, 3].map(LoginNumber);
    // What became of logins, and what a change after that names. One under way is stored or refused
    // before the change is written.
    type Became = (LoginNumber, Option<bool>);
    let table: [(&[Became], Option<LoginNumber>); 6] = [
        (&[], Some(first)),
        (&[(second, Some(true))], Some(second)),
        (&[(second, Some(false))], Some(first)),
        (&[(second, None)], None),
        (&[(second, Some(true)), (third, Some(false))], Some(second)),
        (&[(second, Some(false)), (third, None)], None),
    ];
    for (logins, right) in table {
        let restarted = || {
            let online = OnlineDevice { device: DEVICE, lifetime_s: 30, login: Some(first) };
            let (mut out, mut presence) = (Outbox::new(), Presence::new(vec![online], start));
            for (number, stored) in logins {
                presence.login(&mut out, now, DEVICE, 30, *number);
                if let Some(stored) = stored {
                    presence.login_answered(DEVICE, *number, *stored);
                }
            }
            (out, presence)
        };
        let (mut out, mut presence) = restarted();
        let silent = Now { instant: start + Duration::from_secs(40), wall: UnixMillis(40_000) };
        presence.handle_timeout(&mut out, silent);
        presence.hear(&mut out, silent, (DEVICE, Some(first)), true);
        assert_eq!(named(&mut out), [right; 2], "silent and heard again: {logins:?}");
        let (mut out, mut presence) = restarted();
        presence.close(&mut out, now, DEVICE);
        assert_eq!(named(&mut out), [right], "closed by the device: {logins:?}");
    }
}

/// Takes what is written, and answers it as a store that writes everything.
fn commit(out: &mut Outbox, presence: &mut Presence, now: Now) -> usize {
    let effects: Vec<_> = std::iter::from_fn(|| out.poll()).collect();
    let mut written = 0;
    for effect in effects {
        let Effect::Write(token, writes) = effect else { panic!("only changes are written") };
        written += writes.len();
        match out.take(token) {
            Some(Pending::Presence(change, number)) => {
                presence.handle_written(out, now, (change, number), None, Ok(&[Written::Done]));
            }
            other => panic!("a change was asked for: {other:?}"),
        }
    }
    written
}

#[test]
fn a_fleet_that_falls_silent_at_once_never_fills_a_transaction() {
    let start = crate::tests::start();
    let lifetime_s = 30;
    let online = |device| OnlineDevice { device: DeviceId(device), lifetime_s, login: None };
    let devices = 100_000;
    let (mut out, mut presence) = (Outbox::new(), Presence::new((1..=devices).map(online).collect(), start));
    let (mut silent, mut transactions) = (0, 0);
    let mut now = Now { instant: start, wall: UnixMillis(0) };
    while silent < devices as usize {
        assert!(transactions < 2 * devices, "it comes to an end");
        // A transaction takes some milliseconds.
        now.instant += Duration::from_millis(5);
        if presence.poll_timeout().is_some_and(|at| at <= now.instant) {
            presence.handle_timeout(&mut out, now);
        }
        let written = commit(&mut out, &mut presence, now);
        assert!(written <= CHANGES_AT_ONCE, "{written} changes in one transaction");
        assert!(written == 0 || now.instant >= start + Duration::from_secs(lifetime_s.into()));
        silent += written;
        transactions += 1;
    }
    assert_eq!(presence.online(), 0);
    let took = now.instant - start;
    assert!(took < Duration::from_secs(40), "noticed in time: {took:?}");
}

#[test]
fn a_server_that_stood_still_notices_no_silence_before_what_arrived_meanwhile_is_known() {
    let start = crate::tests::start();
    let at = |ms| Now { instant: start + Duration::from_millis(ms), wall: UnixMillis(0) };
    let online = |device| OnlineDevice { device: DeviceId(device), lifetime_s: 30, login: None };
    let begin = || {
        let (mut out, mut presence) = (Outbox::new(), Presence::new(vec![online(1), online(2)], start));
        for device in [1, 2].map(DeviceId) {
            presence.hear(&mut out, at(1_000), (device, None), true);
        }
        presence.read_until(Some(at(1_500).instant));
        // It stands still for 36 seconds.
        presence.handle_timeout(&mut out, at(37_500));
        assert_eq!(presence.online(), 2, "what waits in the sockets is not read");
        (out, presence)
    };
    let (mut out, mut presence) = begin();
    presence.hear(&mut out, at(37_510), (DeviceId(1), None), true);
    presence.read_until(Some(at(37_505).instant));
    let due = presence.poll_timeout().expect("one is silent");
    assert!(due > at(37_500).instant && due <= at(37_760).instant, "it looks again soon, and not at once");
    presence.handle_timeout(&mut out, Now { instant: due, wall: UnixMillis(0) });
    assert_eq!((presence.online(), named(&mut out).len()), (1, 1), "one was heard");
    // A shard that never gets to the end delays it, and no longer.
    let (mut out, mut presence) = begin();
    let mut now = at(37_500);
    while presence.online() == 2 {
        now.instant = presence.poll_timeout().expect("they are silent");
        presence.handle_timeout(&mut out, now);
    }
    let late = now.instant - at(37_500).instant;
    assert!(late >= UNREAD_MAX && late < UNREAD_MAX + 2 * TICK, "{late:?}");
}

#[test]
fn changes_that_were_refused_are_tried_again_some_at_a_time() {
    let start = crate::tests::start();
    let online = |device| OnlineDevice { device: DeviceId(device), lifetime_s: 30, login: None };
    let (mut out, mut presence) = (Outbox::new(), Presence::new((1..=1000).map(online).collect(), start));
    let mut now = Now { instant: start, wall: UnixMillis(0) };
    let refused = StoreError::Unavailable("the disk is full".to_owned());
    for _ in 0..120 {
        now.instant += TICK;
        presence.handle_timeout(&mut out, now);
        for effect in std::iter::from_fn(|| out.poll()).collect::<Vec<_>>() {
            let Effect::Write(token, _) = effect else { panic!("only changes are written") };
            let Some(Pending::Presence(change, number)) = out.take(token) else { panic!("a change") };
            presence.handle_written(&mut out, now, (change, number), None, Err(&refused));
        }
    }
    while !presence.unwritten.is_empty() || presence.under_way > 0 || presence.online() > 0 {
        now.instant += TICK;
        presence.handle_timeout(&mut out, now);
        let written = commit(&mut out, &mut presence, now);
        assert!(written <= CHANGES_AT_ONCE, "{written}");
        assert!(now.instant < start + Duration::from_secs(60), "it comes to an end");
    }
}

#[test]
fn logins_are_kept_no_longer_than_their_device_is_there() {
    let start = crate::tests::start();
    let now = Now { instant: start, wall: UnixMillis(0) };
    let (mut out, mut presence) = (Outbox::new(), Presence::new(Vec::new(), start));
    for number in [1, 2].map(LoginNumber) {
        presence.login(&mut out, now, DEVICE, 30, number);
    }
    presence.login_answered(DEVICE, LoginNumber(1), true);
    presence.close(&mut out, now, DEVICE);
    presence.login_answered(DEVICE, LoginNumber(2), true);
    assert!(presence.tracker.is_empty() && presence.logins_under_way.is_empty());
}

#[test]
fn what_is_heard_names_the_login_of_its_session_and_an_operator_names_none() {
    let start = crate::tests::start();
    let now = Now { instant: start, wall: UnixMillis(0) };
    let mut out = Outbox::new();
    let mut presence = Presence::new(Vec::new(), start);
    let [older, newer] = [1, 2].map(LoginNumber);
    presence.login(&mut out, now, DEVICE, 30, newer);
    presence.login_answered(DEVICE, newer, true);
    presence.hear(&mut out, now, (DEVICE, Some(older)), false);
    presence.flush(&mut out);
    presence.forget(&mut out, now, DEVICE, "reset by an operator");
    assert_eq!(named(&mut out), [Some(older), None]);
}
