//! Checks of logins and presence (device protocol, section 4).

use super::fixtures::{
    add_device, add_product, append, at, device, events, issue, login, login_with, moves, one_device, online,
    presence, product, report, write,
};
use crate::{
    ids::LoginNumber,
    model::{
        device::DeviceState::{self, Offline, Online},
        log::LogEvent,
        product::Product,
    },
    ports::{Issued, OnlineDevice, PRESENCE_CHANGES_MAX, PresenceChange, Store, Write, Written},
    testing::block_on,
};

fn history(store: &dyn Store, device: crate::ids::DeviceId) -> Vec<PresenceChange> {
    moves(store, device, usize::MAX)
}

/// Activation happens once.
pub fn the_first_login_activates_and_the_second_does_not(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert_eq!(write(store, login(id, at(10))), Written::Activated);
    let first = device(store, id);
    assert_eq!((first.state, first.active_time), (Online, Some(at(10))));
    assert_eq!((first.last_online_time, first.last_seen_time), (Some(at(10)), Some(at(10))));
    assert_eq!((first.lifetime_s, first.last_offline_time), (Some(300), None));

    assert_eq!(write(store, login(id, at(20))), Written::Done);
    assert_eq!(device(store, id).active_time, Some(at(10)));
    assert_eq!(events(store, id), [LogEvent::Login, LogEvent::Login, LogEvent::Activated, LogEvent::Created]);
    assert_eq!(super::fixtures::log(store, id)[0].peer.as_deref(), Some("192.0.2.1:5"));
}

/// The older secret proves nothing any more.
pub fn a_login_with_a_superseded_secret_changes_nothing(store: &dyn Store) {
    block_on(store.create_product(super::fixtures::activating_product("pk"))).unwrap();
    let id = add_device(store, "pk", "dk-1").id;
    assert_eq!(issue(store, id, "second", at(1)), Issued::Done);
    let before = (device(store, id), events(store, id));
    assert_eq!(write(store, login_with(id, at(2), 1)), Written::SecretSuperseded);
    assert_eq!((device(store, id), events(store, id)), before);
    assert!(history(store, id).is_empty());
    assert_eq!(write(store, login_with(id, at(3), 2)), Written::Activated);
}

/// Switched off and offline in one step: a crash after it leaves no device online that may not be.
pub fn a_device_that_is_switched_off_is_offline_at_once(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert_eq!(write(store, login(id, at(1))), Written::Activated);
    let switched = block_on(store.set_device_enabled(id, false, at(2))).unwrap().device;
    assert_eq!((switched.state, switched.last_offline_time), (Offline, Some(at(2))));
    assert!(online(store).is_empty());
    // What the gateway writes about it afterwards changes nothing.
    assert_eq!(write(store, presence(id, Offline, at(3), "closed")), Written::Unchanged);
    let states: Vec<DeviceState> = history(store, id).iter().map(|change| change.state).collect();
    assert_eq!(states, [Offline, Online]);
    block_on(store.set_device_enabled(id, true, at(4))).unwrap();
    assert_eq!(device(store, id).state, Offline, "it comes online by its next login");
}

/// Disabled between the look-up and the commit, the device itself or its product.
pub fn a_device_disabled_in_flight_is_not_logged_in(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    block_on(store.set_device_enabled(id, false, at(1))).unwrap();
    assert_eq!(write(store, login(id, at(2))), Written::DeviceUnavailable);
    assert_eq!(device(store, id).active_time, None);
    block_on(store.set_device_enabled(id, true, at(3))).unwrap();

    block_on(store.update_product(Product { enabled: false, ..product("pk") })).unwrap();
    assert_eq!(write(store, login(id, at(4))), Written::DeviceUnavailable);
    block_on(store.update_product(product("pk"))).unwrap();
    assert_eq!(write(store, login(id, at(5))), Written::Activated);
}

/// `lastOnlineTime` is the last change to online.
pub fn online_again_moves_the_online_time_and_a_second_login_does_not(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), login(id, at(2))]);
    assert_eq!(device(store, id).last_online_time, Some(at(1)));
    append(store, vec![presence(id, Offline, at(3), "closed by the device"), login(id, at(4))]);
    let now = device(store, id);
    assert_eq!((now.last_online_time, now.last_offline_time), (Some(at(4)), Some(at(3))));
    assert_eq!(history(store, id).len(), 3);
}

/// Offline by silence, online by the next record.
pub fn silence_and_return_are_presence_changes(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    assert_eq!(write(store, presence(id, Offline, at(301), "silent for 300 s")), Written::Done);
    assert_eq!(device(store, id).state, Offline);
    assert_eq!(write(store, presence(id, Online, at(400), "heard again")), Written::Done);
    let now = device(store, id);
    assert_eq!(
        (now.state, now.last_online_time, now.last_offline_time),
        (Online, Some(at(400)), Some(at(301)))
    );
    assert_eq!(now.last_seen_time, Some(at(400)), "whoever is heard again was seen");

    let changes: Vec<_> = history(store, id).into_iter().map(|change| (change.at, change.state)).collect();
    assert_eq!(changes, [(at(400), Online), (at(301), Offline), (at(1), Online)]);
    assert_eq!(history(store, id)[1].cause, "silent for 300 s");
    assert_eq!(events(store, id)[..2], [LogEvent::Online, LogEvent::Offline]);
    assert_eq!(super::fixtures::log(store, id)[1].detail.as_deref(), Some("silent for 300 s"));
}

/// Also where that is not written down yet.
pub fn the_answer_to_a_switch_says_when_the_device_was_last_heard(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    for (second, enabled) in [(10, false), (20, true)] {
        write(store, report(id, at(second), r#"{"temp":1}"#));
        let switched = block_on(store.set_device_enabled(id, enabled, at(second + 1))).unwrap().device;
        assert_eq!(switched.last_seen_time, device(store, id).last_seen_time);
        // The second report is refused: the device is off.
        assert_eq!(switched.last_seen_time, Some(at(10)));
    }
}

/// Offline twice is offline once.
pub fn a_presence_that_does_not_change_writes_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, vec![login(id, at(1)), presence(id, Offline, at(2), "closed by the device")]);
    let before = (device(store, id), events(store, id), history(store, id));
    assert_eq!(write(store, presence(id, Offline, at(3), "silent")), Written::Unchanged);
    assert_eq!((device(store, id), events(store, id), history(store, id)), before);
}

/// The session of a disabled device is closed, and that must be written.
pub fn a_disabled_device_may_still_go_offline(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    block_on(store.set_device_enabled(id, false, at(2))).unwrap();
    assert_eq!(write(store, presence(id, Online, at(3), "heard again")), Written::DeviceUnavailable);
    assert_eq!(write(store, presence(id, Offline, at(3), "disabled")), Written::Unchanged);
    assert_eq!(write(store, presence(id, Online, at(4), "heard again")), Written::DeviceUnavailable);
    assert_eq!(device(store, id).state, Offline);
}

/// A late change of presence leaves a new (or a reset) device inactive.
pub fn a_device_that_never_logged_in_has_no_presence(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for state in [Online, Offline, DeviceState::Inactive] {
        assert_eq!(write(store, presence(id, state, at(1), "late")), Written::DeviceUnavailable);
    }
    assert_eq!(device(store, id).state, DeviceState::Inactive);
    assert!(history(store, id).is_empty());
}

/// `lastSeenTime` never goes back.
pub fn seen_moves_forward_only(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    assert_eq!(write(store, Write::Seen { device: id, login: None, at: at(50) }), Written::Done);
    write(store, Write::Seen { device: id, login: None, at: at(40) });
    assert_eq!(device(store, id).last_seen_time, Some(at(50)));
    let nobody = Write::Seen { device: crate::ids::DeviceId(999), login: None, at: at(50) };
    assert_eq!(write(store, nobody), Written::DeviceUnavailable);
}

/// What the server reads at its start.
pub fn online_devices_are_listed_with_their_lifetimes(store: &dyn Store) {
    add_product(store, "pk");
    let ids: Vec<_> = (0..4).map(|n| add_device(store, "pk", &format!("dk-{n}")).id).collect();
    append(store, vec![login(ids[0], at(1)), login(ids[1], at(1)), login(ids[3], at(1))]);
    write(store, presence(ids[1], Offline, at(2), "closed by the device"));
    let mut online = online(store);
    online.sort_by_key(|online| online.device);
    let number = Some(LoginNumber(at(1).0.unsigned_abs()));
    assert_eq!(
        online,
        [ids[0], ids[3]].map(|device| OnlineDevice { device, lifetime_s: 300, login: number })
    );
}

/// The oldest changes are dropped first.
pub fn presence_history_is_newest_first_and_bounded(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(0)));
    let changes = PRESENCE_CHANGES_MAX as i64 + 300;
    let batch =
        (1..=changes).map(|n| presence(id, if n % 2 == 0 { Online } else { Offline }, at(n), "moved"));
    append(store, batch.collect());
    let kept = history(store, id);
    assert_eq!(kept.len(), PRESENCE_CHANGES_MAX);
    assert_eq!(kept[0].at, at(changes));
    assert!(kept.is_sorted_by_key(|change| std::cmp::Reverse(change.at)));
    assert_eq!(moves(store, id, 3), kept[..3]);
}
