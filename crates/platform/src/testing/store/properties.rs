//! Checks of attributes and tags.

use super::fixtures::{
    add_device, add_product, append, at, events, log, login, name, new_device, one_device, write,
};
use crate::{
    ids::{DeviceId, LoginNumber},
    model::{
        device::NewDevice,
        json_text::JsonText,
        log::{LogEntry, LogEvent},
        property::{BYTES_MAX, Properties, PropertyEdit, PropertyKind, PropertyWrite},
    },
    ports::{Change, DEVICE_CHANGES_MAX, NotEdited, Store, StoreError, Write, Written},
    secret::Secret,
    testing::block_on,
};
use PropertyKind::{Attribute, Tag};

/// A change: members of a JSON object are set, names are taken away.
pub fn edit(kind: PropertyKind, set: &[(&str, &str)], unset: &[&str]) -> PropertyEdit {
    PropertyEdit {
        kind,
        replaces: false,
        set: set.iter().map(|(name, value)| ((*name).to_owned(), JsonText::new(value))).collect(),
        unset: unset.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// A change by a device, in the session of whatever login it has.
pub fn change(device: DeviceId, edit: PropertyEdit) -> Write {
    of_session(device, None, 1, edit)
}

fn of_session(
    device: DeviceId,
    login: Option<LoginNumber>,
    secret_version: u32,
    edit: PropertyEdit,
) -> Write {
    Write::Properties(Box::new(PropertyWrite { device, login, secret_version, at: at(9), edit }))
}

fn json(store: &dyn Store, device: DeviceId, kind: PropertyKind) -> String {
    block_on(store.properties(device, kind)).expect("the store reads").to_json()
}

/// They are there from its first moment on, and its log says so.
pub fn a_device_begins_with_its_first_tags_and_attributes(store: &dyn Store) {
    add_product(store, "pk");
    let (tags, attributes) = (edit(Tag, &[("site", r#""n""#)], &[]), edit(Attribute, &[("a", "1.50")], &[]));
    let new = |key| NewDevice { properties: vec![tags.clone(), attributes.clone()], ..new_device("pk", key) };
    let made = block_on(store.create_devices(vec![new("dk-1"), new("dk-1")], at(1))).expect("it writes");
    assert!(matches!(made[1], Err(StoreError::Exists { what: "device", .. })));
    let id = made[0].as_ref().expect("it is new").id;
    assert_eq!(
        (json(store, id, Tag), json(store, id, Attribute)),
        (r#"{"site":"n"}"#.into(), r#"{"a":1.50}"#.into())
    );
    let logged = [LogEvent::AttributesChanged, LogEvent::TagsChanged, LogEvent::Created];
    assert_eq!(events(store, id), logged);
}

/// Each kind of each device stands for itself, and values come back to the last digit.
pub fn attributes_and_tags_are_set_and_deleted_by_name(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let other = add_device(store, "pk", "dk-2").id;
    assert_eq!(json(store, id, Attribute), "{}");
    let first = edit(Attribute, &[("b", "1.50"), ("a", r#"{"z":1,"y":"\u00e4"}"#)], &[]);
    let written = append(
        store,
        vec![
            change(id, first),
            change(id, edit(Tag, &[("k/1", r#""v""#)], &[])),
            change(other, edit(Attribute, &[("a", "7")], &[])),
            change(id, edit(Attribute, &[("c", "true")], &["b", "missing"])),
        ],
    );
    assert_eq!(written, [Written::Done; 4]);
    assert_eq!(json(store, id, Attribute), r#"{"a":{"z":1,"y":"\u00e4"},"c":true}"#);
    assert_eq!(json(store, id, Tag), r#"{"k/1":"v"}"#);
    assert_eq!(json(store, other, Attribute), r#"{"a":7}"#);
    assert_eq!(json(store, other, Tag), "{}");
}

/// What would be too much is refused as a whole, and is told with its size.
pub fn more_than_is_kept_of_a_device_is_refused(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let fat = format!("\"{}\"", "x".repeat(4000));
    let two = edit(Attribute, &[("a", &fat), ("b", &fat)], &[]);
    assert_eq!(write(store, change(id, two)), Written::Done);
    let before = json(store, id, Attribute);
    assert!(before.len() <= BYTES_MAX);
    let third = edit(Attribute, &[("c", &fat), ("small", "1")], &[]);
    let Written::TooMuch(bytes) = write(store, change(id, third.clone())) else { panic!("it is too much") };
    assert_eq!(bytes as usize, before.len() + 4007 + r#","small":1"#.len());
    let by_operator = block_on(store.edit_properties(id, at(1), third, None)).expect("the store writes");
    assert_eq!(by_operator, Err(NotEdited::TooMuch(bytes as usize)));
    assert_eq!(json(store, id, Attribute), before);
    // Each kind has its own room, and so has each device.
    assert_eq!(write(store, change(id, edit(Tag, &[("c", &fat)], &[]))), Written::Done);
    let instead = edit(Attribute, &[("c", &fat)], &["a"]);
    assert_eq!(write(store, change(id, instead)), Written::Done);
}

/// As with reports: only the session of the newest login, with the secret that the device has.
pub fn a_change_of_a_superseded_session_is_not_stored(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let set = |value: &str| edit(Attribute, &[("a", value)], &[]);
    let number = |seconds| Some(LoginNumber(at(seconds).0.unsigned_abs()));
    assert_eq!(write(store, of_session(id, number(1), 1, set("0"))), Written::LoginUnknown);
    append(store, vec![login(id, at(1)), of_session(id, number(1), 1, set("1"))]);
    let written = append(store, vec![login(id, at(2)), of_session(id, number(1), 1, set("2"))]);
    assert_eq!(written[1], Written::LoginSuperseded);
    assert_eq!(json(store, id, Attribute), r#"{"a":1}"#);
    let reset = Change::ResetDevice { device: id, secret: Secret::new("another".into()), at: at(3) };
    block_on(store.change(reset)).expect("the store writes");
    assert_eq!(write(store, of_session(id, number(2), 1, set("3"))), Written::SecretSuperseded);
    assert_eq!(json(store, id, Attribute), r#"{"a":1}"#, "a reset keeps them");
    block_on(store.set_device_enabled(id, false, at(4))).expect("the store writes");
    assert_eq!(write(store, change(id, set("4"))), Written::DeviceUnavailable);
    assert_eq!(write(store, change(DeviceId(999), set("5"))), Written::DeviceUnavailable);
    assert_eq!(json(store, id, Attribute), r#"{"a":1}"#);
}

/// An operator's change of whatever the device has.
fn by_operator(
    store: &dyn Store,
    device: DeviceId,
    second: i64,
    edit: PropertyEdit,
) -> Result<String, NotEdited> {
    let all = block_on(store.edit_properties(device, at(second), edit, None)).expect("the store writes");
    all.map(|all| all.to_json())
}

/// An operator's change is answered with all that the device has then, and leaves an entry in its log.
pub fn an_operator_changes_or_replaces_them(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let after = by_operator(store, id, 1, edit(Tag, &[("a", r#""1""#)], &[]));
    assert_eq!(after.as_deref(), Ok(r#"{"a":"1"}"#));
    let all = PropertyEdit { replaces: true, ..edit(Tag, &[("b", r#""2""#)], &[]) };
    assert_eq!(by_operator(store, id, 2, all.clone()).as_deref(), Ok(r#"{"b":"2"}"#));
    assert_eq!(json(store, id, Tag), r#"{"b":"2"}"#);
    // Also of a device that is switched off.
    block_on(store.set_device_enabled(id, false, at(3))).expect("the store writes");
    assert_eq!(by_operator(store, id, 4, edit(Tag, &[], &["b"])).as_deref(), Ok("{}"));
    assert_eq!(by_operator(store, id, 5, edit(Attribute, &[("a", "1")], &[])).as_deref(), Ok(r#"{"a":1}"#));
    let none = edit(Tag, &[], &["b"]);
    let nobody = block_on(store.edit_properties(DeviceId(999), at(5), none, None));
    assert!(matches!(nobody, Err(StoreError::Missing { .. })), "{nobody:?}");
    let entries = log(store, id);
    assert_eq!(entries[1], LogEntry::properties_changed(id, at(4), &edit(Tag, &[], &["b"])));
    assert_eq!(entries[3], LogEntry::properties_changed(id, at(2), &all));
    use LogEvent::{AttributesChanged, Created, Disabled, TagsChanged};
    let expected = [AttributesChanged, TagsChanged, Disabled, TagsChanged, TagsChanged, Created];
    assert_eq!(events(store, id), expected);
}

/// What was read and has changed since is not changed by mistake.
pub fn a_change_of_what_is_expected_changes_nothing_else(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let change = |from: &str, to: &str| {
        let only_from = Some(Properties::from_json(from));
        let edit = PropertyEdit { replaces: true, ..edit(Tag, &[("a", to)], &[]) };
        block_on(store.edit_properties(id, at(1), edit, only_from)).expect("the store writes")
    };
    assert_eq!(change("{}", r#""1""#).map(|all| all.to_json()).as_deref(), Ok(r#"{"a":"1"}"#));
    assert_eq!(change("{}", r#""2""#), Err(NotEdited::NotAsExpected));
    assert_eq!(json(store, id, Tag), r#"{"a":"1"}"#);
    assert!(change(r#"{"a":"1"}"#, r#""3""#).is_ok());
    assert_eq!(events(store, id).len(), 3, "nothing is noted of what was not done");
}

/// A program that changes something every minute erases no login.
pub fn changes_by_operators_push_out_changes_and_nothing_else(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for second in 1..=DEVICE_CHANGES_MAX as i64 + 40 {
        assert!(by_operator(store, id, second, edit(Tag, &[("a", r#""1""#)], &[])).is_ok());
    }
    let kept = log(store, id);
    assert_eq!(kept.len(), DEVICE_CHANGES_MAX + 1);
    assert_eq!(
        (kept[0].time, kept[DEVICE_CHANGES_MAX - 1].time),
        (at(DEVICE_CHANGES_MAX as i64 + 40), at(41))
    );
    assert_eq!(kept[DEVICE_CHANGES_MAX].event, LogEvent::Created);
}

/// They go with the device; one that is registered anew under its key has none.
pub fn a_deleted_device_leaves_no_attributes_and_tags(store: &dyn Store) {
    add_product(store, "pk");
    let id = add_device(store, "pk", "dk-1").id;
    let both =
        vec![change(id, edit(Attribute, &[("a", "1")], &[])), change(id, edit(Tag, &[("k", r#""v""#)], &[]))];
    append(store, both);
    block_on(store.delete_device(id, at(1))).expect("it is there");
    assert_eq!((json(store, id, Attribute), json(store, id, Tag)), ("{}".to_owned(), "{}".to_owned()));
    add_device(store, "pk", "dk-1");
    let again =
        block_on(store.device(&name("pk", "dk-1"))).expect("the store reads").expect("it is there").id;
    assert_eq!(json(store, again, Attribute), "{}");
}
