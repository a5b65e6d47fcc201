//! Checks of events: messages beside the reports, with no influence on points.

use super::fixtures::{add_device, append, at, history, one_device, report, write};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        message::{EventValue, Message, MessageKind, event_json},
        retention::RetentionClass,
    },
    paging::Page,
    ports::{EventQuery, HistoryQuery, Store, Write, Written},
    testing::block_on,
};

/// An event that arrives when it happened.
pub fn event(device: DeviceId, time: UnixMillis, name: &str, output: &str) -> Write {
    event_arriving(device, time, time, name, output)
}

fn event_arriving(
    device: DeviceId,
    time: UnixMillis,
    arrival: UnixMillis,
    name: &str,
    output: &str,
) -> Write {
    Write::Message(Message {
        device,
        kind: MessageKind::Event,
        time,
        arrival,
        login: None,
        secret_version: 1,
        session: 0,
        retention: RetentionClass::STANDARD,
        points_json: event_json(name, output),
    })
}

fn page(store: &dyn Store, device: DeviceId, query: EventQuery) -> Page<EventValue> {
    block_on(store.events(device, query)).expect("the store reads")
}

/// Identifier, seconds, and parameters.
fn said(items: &[EventValue]) -> Vec<(String, i64, String)> {
    let said = |event: &EventValue| {
        (event.event.clone(), (event.time.0 - at(0).0) / 1000, event.output.get().to_owned())
    };
    items.iter().map(said).collect()
}

fn all(limit: usize) -> EventQuery {
    EventQuery { limit, ..EventQuery::default() }
}

/// Newest first, to the last digit, and apart from points.
pub fn events_are_read_by_time_and_are_no_points(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    let other = add_device(store, "pk", "dk-2").id;
    let written = append(
        store,
        vec![
            report(id, at(1), r#"{"event":1,"output":2}"#),
            event(id, at(2), "opened", "{}"),
            event(id, at(3), "tilted", r#"{"angle":1.50}"#),
            event(other, at(4), "opened", r#"{"n":1}"#),
            // Days late.
            event_arriving(id, at(0), at(300_000), "late", r#"{"n":2}"#),
        ],
    );
    assert_eq!(written, [Written::Done; 5]);
    let found = said(&page(store, id, all(100)).items);
    let expected = [
        ("tilted".to_owned(), 3, r#"{"angle":1.50}"#.to_owned()),
        ("opened".to_owned(), 2, "{}".to_owned()),
        ("late".to_owned(), 0, r#"{"n":2}"#.to_owned()),
    ];
    assert_eq!(found, expected);
    assert_eq!(page(store, other, all(100)).items.len(), 1);
    let values = history(store, id, HistoryQuery { limit: 100, ..HistoryQuery::default() });
    assert_eq!(values.len(), 2, "the points of the report");
    assert_eq!(block_on(store.points_latest(id)).expect("the store reads").items.len(), 2);
    assert_eq!(page(store, DeviceId(999), all(9)), Page::empty());
}

/// From a time on, up to another, and of some identifiers.
pub fn events_are_found_by_span_and_identifier(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for n in 0..6 {
        write(store, event(id, at(n), if n % 3 == 0 { "rare" } else { "common" }, "{}"));
    }
    let times = |query| said(&page(store, id, query).items).iter().map(|event| event.1).collect::<Vec<_>>();
    let span = EventQuery { from: Some(at(1)), to: Some(at(4)), ..all(9) };
    assert_eq!(times(span.clone()), [3, 2, 1]);
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(times(EventQuery { events: names(&["rare"]), ..all(9) }), [3, 0]);
    assert_eq!(times(EventQuery { events: names(&["rare", "common"]), ..all(2) }), [5, 4]);
    assert_eq!(times(EventQuery { events: names(&["rare"]), ..span }), [3]);
    assert_eq!(times(EventQuery { events: names(&[]), ..all(9) }), [0_i64; 0]);
}

/// Also where several have the same time, and reports stand between them.
pub fn pages_of_events_lose_and_repeat_nothing(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for n in 0..12 {
        let output = format!(r#"{{"n":{n}}}"#);
        append(store, vec![event(id, at(n / 3), "e", &output), report(id, at(n / 3), r#"{"p":1}"#)]);
    }
    for limit in [1, 2, 5, 12, 20] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = page(store, id, EventQuery { after, ..all(limit) });
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().map(|event| event.output.get().to_owned()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<String> = (0..12).rev().map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        assert_eq!(found, expected, "pages of {limit}");
    }
}
