//! Checks of reports: latest values, history, batches.

use serde_json::json;

use super::fixtures::{
    add_device, add_product, append, at, device, history, login, one_device, product, report,
    report_arriving, resumed, write,
};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{json_text::JsonText, message::PointValue, product::Product},
    ports::{HistoryQuery, Store, Write, Written},
    testing::block_on,
};

fn latest(store: &dyn Store, device: DeviceId) -> Vec<PointValue> {
    block_on(store.points_latest(device)).unwrap().items
}

#[expect(clippy::needless_pass_by_value, reason = "json! gives values")]
fn value(point: &str, value: serde_json::Value, time: UnixMillis) -> PointValue {
    PointValue { point: point.to_owned(), value: JsonText::new(&value.to_string()), time }
}

fn everything() -> HistoryQuery {
    HistoryQuery { limit: 1000, ..HistoryQuery::default() }
}

/// A report changes only the points that it holds; points are sorted by identifier.
pub fn latest_values_are_merged_point_by_point(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert!(latest(store, id).is_empty());
    write(store, report(id, at(1), r#"{"temp":20,"power":5}"#));
    write(store, report(id, at(2), r#"{"temp":21}"#));
    assert_eq!(latest(store, id), [value("power", json!(5), at(1)), value("temp", json!(21), at(2))]);
}

/// Order of arrival is not order of time; equal times: the later arrival.
pub fn an_older_report_does_not_replace_a_newer_value(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, report(id, at(10), r#"{"temp":10}"#));
    write(store, report_arriving(id, at(5), at(11), r#"{"temp":5,"power":5}"#));
    assert_eq!(latest(store, id), [value("power", json!(5), at(5)), value("temp", json!(10), at(10))]);
    write(store, report(id, at(10), r#"{"temp":11}"#));
    assert_eq!(latest(store, id)[1], value("temp", json!(11), at(10)));
}

/// `resume` never moves the latest values.
pub fn resumed_reports_are_history_only(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    assert_eq!(write(store, resumed(id, at(10), r#"{"temp":1}"#)), Written::Done);
    assert!(latest(store, id).is_empty());
    write(store, report(id, at(5), r#"{"temp":2}"#));
    assert_eq!(latest(store, id), [value("temp", json!(2), at(5))]);
    assert_eq!(
        history(store, id, everything()),
        [value("temp", json!(1), at(10)), value("temp", json!(2), at(5))]
    );
}

/// `from` is inside, `to` is not; the limit counts values.
pub fn history_is_newest_first_within_its_bounds(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for n in [3, 1, 5, 2, 4] {
        write(store, report_arriving(id, at(n), at(100), &format!(r#"{{"temp":{n}}}"#)));
    }
    let times = |query| history(store, id, query).into_iter().map(|value| value.time).collect::<Vec<_>>();
    assert_eq!(times(everything()), [at(5), at(4), at(3), at(2), at(1)]);
    assert_eq!(times(HistoryQuery { from: Some(at(2)), to: Some(at(4)), ..everything() }), [at(3), at(2)]);
    assert_eq!(times(HistoryQuery { limit: 2, ..HistoryQuery::default() }), [at(5), at(4)]);
    assert_eq!(times(HistoryQuery { from: Some(at(6)), ..everything() }), []);
    assert_eq!(times(HistoryQuery::default()), [], "a limit of nothing gives nothing");
    assert_eq!(history(store, DeviceId(9999), everything()), []);
}

/// A report is stored by its arrival and found by its own time.
pub fn history_finds_reports_that_arrived_days_late(store: &dyn Store) {
    const DAY: i64 = 86_400;
    let id = one_device(store, "dk-1");
    // (time, arrival) in days
    for (time, arrival) in [(0, 0), (1, 1), (0, 3), (3, 3), (2, 4), (4, 5), (5, 5)] {
        let points = format!(r#"{{"t":{time},"a":{arrival}}}"#);
        write(store, report_arriving(id, at(time * DAY), at(arrival * DAY), &points));
    }
    let of_a = |query: HistoryQuery| -> Vec<i64> {
        let query = HistoryQuery { point: Some("a".to_owned()), ..query };
        let values = history(store, id, query).into_iter();
        values.map(|value| value.value.get().parse().expect("days were reported")).collect()
    };
    assert_eq!(of_a(everything()), [5, 5, 3, 4, 1, 3, 0], "equal times: the later arrival first");
    assert_eq!(of_a(HistoryQuery { limit: 3, ..HistoryQuery::default() }), [5, 5, 3]);
    assert_eq!(of_a(HistoryQuery { to: Some(at(DAY)), ..everything() }), [3, 0]);
    assert_eq!(of_a(HistoryQuery { from: Some(at(2 * DAY)), to: Some(at(4 * DAY)), ..everything() }), [3, 4]);
}

/// Only reports that hold the point count.
pub fn history_of_one_point_skips_the_others(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    for n in 1..=40 {
        let point = if n % 10 == 0 { "rare" } else { "common" };
        write(store, report(id, at(n), &format!(r#"{{"{point}":{n}}}"#)));
    }
    let query = HistoryQuery { point: Some("rare".to_owned()), limit: 3, ..HistoryQuery::default() };
    let expected = [40, 30, 20].map(|n| value("rare", json!(n), at(n)));
    assert_eq!(history(store, id, query), expected);
}

/// A report in flight when the device is switched off or deleted.
pub fn reports_of_missing_and_disabled_devices_are_not_stored(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    block_on(store.set_device_enabled(id, false, at(2))).unwrap();
    assert_eq!(write(store, report(id, at(3), r#"{"temp":1}"#)), Written::DeviceUnavailable);
    assert_eq!(write(store, report(DeviceId(9999), at(3), r#"{"temp":1}"#)), Written::DeviceUnavailable);
    block_on(store.set_device_enabled(id, true, at(4))).unwrap();
    block_on(store.update_product(Product { enabled: false, ..product("pk") })).unwrap();
    assert_eq!(write(store, report(id, at(5), r#"{"temp":1}"#)), Written::DeviceUnavailable);
    assert_eq!(history(store, id, everything()), []);
    assert!(latest(store, id).is_empty());
    block_on(store.update_product(product("pk"))).unwrap();
    assert_eq!(write(store, report(id, at(6), r#"{"temp":1}"#)), Written::Done);
}

/// One outcome for each write, in order; a refused one does not stop the others.
pub fn a_batch_is_applied_in_order(store: &dyn Store) {
    add_product(store, "pk");
    let a = add_device(store, "pk", "dk-a").id;
    let b = add_device(store, "pk", "dk-b").id;
    let outcome = append(
        store,
        vec![
            login(a, at(1)),
            report(a, at(2), r#"{"n":1}"#),
            report(DeviceId(9999), at(2), r#"{"n":9}"#),
            login(b, at(2)),
            report(b, at(3), r#"{"n":2}"#),
            report(a, at(4), r#"{"n":3}"#),
            Write::Seen { device: a, login: None, at: at(9) },
            Write::Log(super::fixtures::refusal(Some(a), None, at(9))),
        ],
    );
    use Written::{Activated, DeviceUnavailable, Done};
    assert_eq!(outcome, [Activated, Done, DeviceUnavailable, Activated, Done, Done, Done, Done]);
    assert_eq!(latest(store, a), [value("n", json!(3), at(4))]);
    assert_eq!(latest(store, b), [value("n", json!(2), at(3))]);
    assert_eq!(history(store, a, everything()).len(), 2);
    assert_eq!(append(store, Vec::new()), []);
}

/// A device that reports was seen when the report arrived.
pub fn a_report_moves_the_time_last_seen(store: &dyn Store) {
    let id = one_device(store, "dk-1");
    write(store, login(id, at(1)));
    write(store, report_arriving(id, at(5), at(60), r#"{"temp":1}"#));
    assert_eq!(device(store, id).last_seen_time, Some(at(60)));
}

/// Numbers keep their digits, objects the order of their members, strings their escapes.
pub fn values_come_back_as_they_were_sent(store: &dyn Store) {
    const SENT: [(&str, &str); 14] = [
        ("b", "true"),
        ("d", "-0.5"),
        ("e", "1E+2"),
        ("f", "23.308445025757262"),
        ("g", "123456789012345678901234567890"),
        ("h", "0.10"),
        ("i", "9007199254740993"),
        ("j", "-0"),
        ("k", "1e-400"),
        ("n", "null"),
        ("q", r#"{"value":1.50,"quality":9}"#),
        ("s", r#""a\"\u00e9\/""#),
        ("u", r#""é""#),
        ("v", r#"[1,2.0,{"z":1,"a":3.1415926535897932384626}]"#),
    ];
    let id = one_device(store, "dk-1");
    let points: Vec<String> = SENT.iter().map(|(point, sent)| format!(r#""{point}":{sent}"#)).collect();
    write(store, report(id, at(1), &format!("{{{}}}", points.join(","))));
    for values in [latest(store, id), history(store, id, everything())] {
        let values: Vec<(&str, &str)> =
            values.iter().map(|value| (value.point.as_str(), value.value.get())).collect();
        assert_eq!(values, SENT);
    }
}
