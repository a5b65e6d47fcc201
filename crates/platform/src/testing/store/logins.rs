//! Checks of numbers of logins, and of the places of what happens: a session writes only while its login is
//! the device's newest, whatever races.

use super::fixtures::{
    add_device, add_product, at, batch, device, events, history, login, login_with, moves, one_device,
    online, presence, report, write,
};
use crate::{
    ids::{DeviceId, LoginNumber, Position, UnixMillis},
    model::{device::DeviceState, log::LogEvent},
    ports::{Change, HistoryQuery, Store, Write, Written},
    secret::Secret,
    testing::block_on,
};

const ALL: HistoryQuery = HistoryQuery { point: None, from: None, to: None, after: None, limit: 100 };

/// A login with this number.
fn numbered(write: Write, to: u64) -> Write {
    match write {
        Write::Login { device, at, lifetime_s, secret_version, peer, over, .. } => {
            Write::Login { device, number: LoginNumber(to), at, lifetime_s, secret_version, peer, over }
        }
        other => other,
    }
}

/// What a session of the login with this number writes: a report, a change of presence, a time last seen.
fn of_session(number: u64, device: DeviceId, time: UnixMillis) -> [Write; 3] {
    let login = Some(LoginNumber(number));
    let Write::Message(mut message) = report(device, time, r#"{"temp":1}"#) else {
        unreachable!("a report is one")
    };
    message.login = login;
    message.session = 7;
    let cause = "silent for 300 s".to_owned();
    [
        Write::Message(message),
        Write::Seen { device, login, at: time },
        Write::Presence { device, login, state: DeviceState::Offline, at: time, cause },
    ]
}

fn append(store: &dyn Store, writes: impl IntoIterator<Item = Write>) -> Vec<Written> {
    super::fixtures::append(store, writes.into_iter().collect())
}

/// A login that comes too late changes nothing; one with the same number is the same one.
pub fn an_older_login_is_refused_and_changes_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert_eq!(write(store, numbered(login(id, at(10)), 2 << 32)), Written::Activated);
    let before = (device(store, id), events(store, id));
    assert_eq!(write(store, numbered(login(id, at(20)), 1)), Written::LoginSuperseded);
    assert_eq!((device(store, id), events(store, id)), before);
    assert_eq!(write(store, numbered(login_with(id, at(20), 2), 9 << 32)), Written::SecretSuperseded);
    assert_eq!(online(store)[0].login, Some(LoginNumber(2 << 32)));
    assert_eq!(write(store, numbered(login(id, at(20)), (2 << 32) + 1)), Written::Done);
    assert_eq!(online(store)[0].login, Some(LoginNumber((2 << 32) + 1)));
}

/// What an older session writes is refused from the commit of the newer login on, in the same batch too.
pub fn only_the_session_of_the_newest_login_writes(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let first = numbered(login(id, at(1)), 1);
    assert_eq!(append(store, [first, of_session(1, id, at(2))[0].clone()])[1], Written::Done);
    let second = numbered(login(id, at(3)), 2);
    let [report, seen, silent] = of_session(1, id, at(4));
    let written = append(store, [second, report.clone(), seen, silent]);
    assert_eq!(
        written,
        [Written::Done, Written::LoginSuperseded, Written::LoginSuperseded, Written::LoginSuperseded]
    );
    assert_eq!(write(store, report), Written::LoginSuperseded);
    assert_eq!(history(store, id, ALL).len(), 1);
    let stands = device(store, id);
    assert_eq!((stands.state, stands.last_seen_time), (DeviceState::Online, Some(at(3))));
    assert_eq!(append(store, of_session(2, id, at(5))), [Written::Done; 3]);
    assert_eq!(history(store, id, ALL).len(), 2);
    assert_eq!(device(store, id).state, DeviceState::Offline);
    assert_eq!(events(store, id)[0], LogEvent::Offline);
}

/// A reset replaces the secret: a session that proved the former one stores nothing any more.
pub fn nothing_of_a_session_is_stored_after_a_reset(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, [numbered(login(id, at(1)), 5)]);
    let reset = Change::ResetDevice { device: id, secret: Secret::new("another".into()), at: at(2) };
    block_on(store.change(reset)).expect("the store writes");
    let refused = [Written::SecretSuperseded, Written::SecretSuperseded, Written::DeviceUnavailable];
    assert_eq!(append(store, of_session(5, id, at(3))), refused);
    // Nor once the device is back by its new secret.
    append(store, [numbered(login_with(id, at(4), 2), 6)]);
    let refused = [Written::SecretSuperseded, Written::LoginSuperseded, Written::LoginSuperseded];
    assert_eq!(append(store, of_session(5, id, at(5))), refused);
    // Even under the number of its login.
    assert_eq!(write(store, of_session(6, id, at(5))[0].clone()), Written::SecretSuperseded);
    assert!(history(store, id, ALL).is_empty());
    assert_eq!(device(store, id).last_seen_time, Some(at(4)));
    assert_eq!(moves(store, id, 9).len(), 3, "login, reset, login");
}

/// The same where its secret alone is replaced: what the session says of its end changes nothing.
pub fn nothing_of_a_session_is_stored_after_its_secret_was_replaced(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, [numbered(login(id, at(1)), 5)]);
    block_on(store.rotate_device_secret(id, Secret::new("another".into()), at(2))).expect("it writes");
    let stands = device(store, id);
    assert_eq!(append(store, of_session(5, id, at(3)))[0], Written::SecretSuperseded);
    assert_eq!((device(store, id).state, history(store, id, ALL).len()), (stands.state, 0));
    append(store, [numbered(login_with(id, at(4), 2), 6)]);
    let refused = [Written::SecretSuperseded, Written::LoginSuperseded, Written::LoginSuperseded];
    assert_eq!(append(store, of_session(5, id, at(5))), refused);
    assert_eq!(moves(store, id, 9).len(), 3, "login, replaced, login");
}

/// Neither the device's first login nor a later one: its reports are stored when it could be written.
pub fn what_follows_a_login_that_is_not_there_is_not_stored(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert_eq!(append(store, of_session(5, id, at(1)))[0], Written::LoginUnknown);
    append(store, [numbered(login(id, at(2)), 6)]);
    assert_eq!(append(store, of_session(7, id, at(3)))[0], Written::LoginUnknown);
    append(store, [numbered(login(id, at(4)), 7)]);
    assert_eq!(append(store, of_session(7, id, at(5)))[0], Written::Done);
    assert_eq!(history(store, id, ALL).len(), 1);
}

/// What belongs to no login is judged by the device alone.
pub fn what_names_no_login_is_about_whichever_the_device_has(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    append(store, [numbered(login(id, at(1)), 5)]);
    let silent = presence(id, DeviceState::Offline, at(2), "silent for 300 s");
    assert_eq!(append(store, [report(id, at(2), "{}"), silent]), [Written::Done; 2]);
    let nobody = DeviceId(999);
    assert_eq!(append(store, of_session(1, nobody, at(3))), [Written::DeviceUnavailable; 3]);
}

/// Every write has a place of its own, in the order of the commits, whatever became of it.
pub fn places_rise_with_every_write(store: &dyn Store) {
    add_product(store, "pk");
    let id = add_device(store, "pk", "dk-1").id;
    let mut last = Position { epoch: block_on(store.recover()).expect("it reads").epoch, sequence: 0 };
    assert!(last.epoch > 0);
    for n in 1..=3 {
        let writes = vec![login(id, at(n)), report(DeviceId(99), at(n), "{}"), report(id, at(n), "{}")];
        let committed = block_on(store.append(batch(writes))).expect("the store writes");
        assert_eq!(committed.outcomes.len(), 3);
        assert_eq!(committed.epoch, last.epoch);
        for index in 0..3 {
            assert!(committed.position(index) > last, "{n} {index}");
            last = committed.position(index);
        }
    }
}
