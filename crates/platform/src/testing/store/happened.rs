//! What followers of live events read.

use super::{
    fixtures::{
        SUITE, add_device, append, at, device, issue, login, one_device, presence, refusal, report, write,
    },
    random::happened,
};
use crate::{
    ids::{DeviceId, Position},
    model::{
        command::{CommandMove, CommandStep, CommandTopic, Order},
        device::DeviceState,
        happened::{Happened, StreamPlace},
        json_text::JsonText,
        log::Reason,
        property::{PropertyEdit, PropertyKind, PropertyWrite},
    },
    ports::{HappenedPage, Lost, Store, WhyLost, Write, Written},
    testing::block_on,
};

fn page(store: &dyn Store, after: StreamPlace, limit: usize) -> HappenedPage {
    block_on(store.happened(Some(after), limit)).expect("the store reads")
}

/// Where the newest stands.
fn head(store: &dyn Store) -> StreamPlace {
    let page = block_on(store.happened(None, 10)).expect("the store reads");
    assert!(page.items.is_empty() && page.lost.is_none());
    assert_eq!(page.upto, page.head);
    page.head
}

fn names(items: &[Happened]) -> Vec<&'static str> {
    items.iter().map(|happened| happened.happening.name()).collect()
}

fn tags(set: &[(&str, &str)]) -> PropertyEdit {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), JsonText::new(value))).collect();
    PropertyEdit { kind: PropertyKind::Tag, replaces: false, set, unset: Vec::new() }
}

/// A device that has done a bit of everything.
fn busy(store: &dyn Store) -> DeviceId {
    let id = one_device(store, "dk");
    assert_eq!(write(store, login(id, at(1))), Written::Activated);
    append(
        store,
        vec![
            report(id, at(2), r#"{"t":1.50}"#),
            Write::Log(refusal(None, Some("pk,other,2,300"), at(3))),
            presence(id, DeviceState::Offline, at(4), "silent for 300 s"),
            report(id, at(5), r#"{"t":2}"#),
        ],
    );
    block_on(store.edit_properties(id, at(6), tags(&[("a", "\"1\"")]), None)).unwrap().unwrap();
    let write_own = PropertyWrite { device: id, login: None, secret_version: 1, at: at(7), edit: tags(&[]) };
    assert_eq!(write(store, Write::Properties(Box::new(write_own))), Written::Done);
    let order = Order {
        topic: CommandTopic::Get,
        params_json: "{}".into(),
        pending_ttl_s: 3600,
        timeout_s: 30,
        raw: None,
    };
    let command = block_on(store.send_command(id, order, at(8))).unwrap().expect("it may be sent");
    let step = CommandStep::Fetch;
    let fetched = CommandMove { device: id, id: command.id, session: None, step, at: at(9) };
    assert_eq!(write(store, Write::Command(fetched)), Written::Done);
    block_on(store.cancel_commands(id, None, at(10))).expect("the store writes");
    id
}

/// Each in its place, wherever it is stored.
pub fn what_happens_is_told_in_the_order_of_the_commits(store: &dyn Store) {
    let id = busy(store);
    let told = [
        format!(r#"{{"time":{},"event":"activated","peer":"192.0.2.1:5","detail":"{SUITE}"}}"#, at(1).0),
        format!(r#"{{"time":{},"event":"login","peer":"192.0.2.1:5","detail":"{SUITE}"}}"#, at(1).0),
        format!(r#"{{"time":{0},"receivedAt":{0},"event":"report","points":{{"t":1.50}}}}"#, at(2).0),
        format!(
            concat!(
                r#"{{"time":{},"event":"refused","productKey":"pk","deviceKey":"other","#,
                r#""identity":"pk,other,2,300","reason":"wrong_key","code":742,"#,
                r#""peer":"192.0.2.9:40000","detail":"the product's secret was used","#,
                r#""mistake":"the product's secret was used","advice":"{}"}}"#
            ),
            at(3).0,
            Reason::WrongKey.advice()
        ),
        format!(r#"{{"time":{},"event":"offline","detail":"silent for 300 s"}}"#, at(4).0),
        format!(r#"{{"time":{0},"receivedAt":{0},"event":"report","points":{{"t":2}}}}"#, at(5).0),
        format!(r#"{{"time":{},"event":"tags","set":{{"a":"1"}}}}"#, at(6).0),
        format!(r#"{{"time":{},"event":"tags"}}"#, at(7).0),
    ];
    let found = happened(store, 100);
    for (n, (found, told)) in found.iter().zip(&told).enumerate() {
        let device = if n == 3 { None } else { Some(id) };
        assert_eq!(*found, format!("{device:?} {told}"));
    }
    let commands: Vec<_> =
        found[told.len()..].iter().map(|told| told.contains(r#""event":"command""#)).collect();
    assert!(matches!(commands[..], [true, true] | [true, true, true]), "{found:?}");
    assert!(found[told.len()].contains(r#""kind":"get","state":"created""#), "{found:?}");
}

/// From every place on, in pages of any size, comes the same.
pub fn pages_of_what_happened_lose_and_repeat_nothing(store: &dyn Store) {
    busy(store);
    let whole = page(store, StreamPlace::START, 100);
    assert_eq!(whole.upto, whole.head);
    for limit in 1..5 {
        assert_eq!(happened(store, limit), happened(store, 100));
    }
    for (n, from) in whole.items.iter().enumerate() {
        let rest = page(store, from.place, 100);
        assert_eq!(names(&rest.items), names(&whole.items[n + 1..]));
    }
    assert!(page(store, whole.head, 100).items.is_empty());
    // Two that one write has caused are told apart.
    let two = page(store, StreamPlace::START, 2).items;
    let [first, second] = &two[..] else { panic!("there are more") };
    assert_eq!(first.place.position, second.place.position);
    assert!(first.place < second.place);
}

/// What comes later stands behind all that a reader has seen.
pub fn what_comes_later_is_read_from_where_a_reader_stands(store: &dyn Store) {
    let start = head(store);
    let id = one_device(store, "dk");
    let registered = head(store);
    assert!(registered >= start);
    for n in 1..20 {
        let before = head(store);
        append(store, vec![report(id, at(n), "{}"), Write::Seen { device: id, login: None, at: at(n) }]);
        let page = page(store, before, 10);
        assert_eq!((names(&page.items), page.upto), (vec!["report"], page.head));
        assert_eq!(page.head, head(store));
    }
    assert_eq!(page(store, registered, 100).items.len(), 19);
}

/// What changes nothing is not told.
pub fn what_is_refused_is_not_told(store: &dyn Store) {
    let id = one_device(store, "dk");
    block_on(store.set_device_enabled(id, false, at(1))).expect("the store writes");
    let before = head(store);
    append(store, vec![report(id, at(2), "{}"), login(id, at(3)), report(DeviceId(99), at(4), "{}")]);
    let refused = issue(store, id, "another secret", at(5));
    assert_eq!(issue(store, id, "another secret", at(6)), refused);
    let told = page(store, before, 10).items;
    assert_eq!(names(&told), ["refused", "refused"], "of a wish the refusal is told");
}

/// A follower of another store, or of one that has lost its end, is told so.
pub fn a_place_that_was_never_reached_is_unknown(store: &dyn Store) {
    busy(store);
    let head = head(store);
    let Position { epoch, sequence } = head.position;
    for position in [Position { epoch, sequence: sequence + 1 }, Position { epoch: epoch + 1, sequence: 1 }] {
        let page = page(store, StreamPlace::first(position), 10);
        assert!(page.items.is_empty());
        assert_eq!(page.upto, head);
        assert_eq!(page.lost, Some(Lost::all(WhyLost::Unknown, head)));
    }
}

/// Of a device that is purged nothing is told any more, and of others all.
pub fn a_purged_device_is_told_of_no_more(store: &dyn Store) {
    let id = busy(store);
    let other = add_device(store, "pk", "dk-2").id;
    append(store, vec![report(other, at(20), "{}")]);
    let mut steps = 0;
    while block_on(store.device_by_id(id)).expect("the store reads").is_some() {
        block_on(store.purge_device(id, at(30))).expect("the store writes");
        steps += 1;
        assert!(steps < 100);
    }
    let told = page(store, StreamPlace::START, 100).items;
    let devices: Vec<_> = told.iter().map(|happened| happened.device).collect();
    assert_eq!(devices, [None, Some(other)], "the refusal of a stranger, and the report of another");
    assert_eq!(device(store, other).id, other);
}
