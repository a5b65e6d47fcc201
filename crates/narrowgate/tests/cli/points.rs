//! The history of a point: each value, and what they come to in buckets of time.

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceName, UnixMillis},
    ports::{Journal as _, Registry as _},
    testing::{
        block_on,
        store::{
            events::event,
            fixtures::{append, report_arriving},
        },
    },
};
use narrowgate_testkit::program::Program;
use serde_json::json;

use crate::harness::program_with_device;

/// 2026-01-01T00:00:00Z
const T0: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;

/// A device with a value every quarter of an hour for two days, some of which arrived a day late.
fn filled() -> Program {
    let program = program_with_device();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-1".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    let reports = (0..192).map(|n| {
        let time = UnixMillis(T0 + n * HOUR / 4);
        let arrival = if n % 5 == 0 { UnixMillis(time.0 + 24 * HOUR) } else { time };
        let value = match n % 8 {
            3 => r#""broken""#.to_owned(),
            5 => format!(r#"{{"value":{n}.50,"quality":3}}"#),
            _ => n.to_string(),
        };
        report_arriving(id, time, arrival, &format!(r#"{{"temp":{value}}}"#))
    });
    append(&store, reports.collect());
    block_on(store.close()).unwrap();
    program
}

#[test]
fn values_of_a_point_come_to_buckets_alike_with_and_without_a_server() {
    let program = filled();
    let days = ["device", "points", "dk-1", "--point", "temp", "--bucket", "1d", "--fn", "min,max,avg,count"];
    let hours = ["device", "points", "dk-1", "--point", "temp", "--bucket", "1h", "--all"];
    for serving in [false, true] {
        let _server = serving.then(|| program.serve());
        // 84 numbers of a day, without the broken ones, twelve of them with half a degree more.
        let mean = 4002.0 / 84.0;
        let expected = json!([
            {"time": T0 + 24 * HOUR, "min": 96, "max": 191, "avg": 96.0 + mean, "count": 96},
            {"time": T0, "min": 0, "max": 95, "avg": mean, "count": 96},
        ]);
        assert_eq!(program.json(&days), expected);
        let in_india = program.json(&[&days[..], &["--tz", "Asia/Kolkata"]].concat());
        assert_eq!(in_india.as_array().unwrap().len(), 3);
        assert_eq!(in_india[2]["time"], json!(T0 - 11 * HOUR / 2));
        let whole = program.json(&hours);
        assert_eq!(whole.as_array().unwrap().len(), 48);
        let second = json!({"time": T0 + HOUR, "min": 4, "max": 7, "avg": 5.625, "last": 7, "count": 4});
        assert_eq!(whole[46], second);
        let span = ["--from", "2026-01-01T01:15:00Z", "--to", "2026-01-01T01:45:00Z"];
        let span = program.json(&[&hours[..], &span].concat());
        assert_eq!(
            span,
            json!([{"time": T0 + HOUR, "min": 5.5, "max": 6, "avg": 5.75, "last": 6, "count": 2}])
        );
    }
}

#[test]
fn buckets_go_on_by_their_cursor_and_a_wrong_wish_says_what_is_right() {
    let program = filled();
    let hours = ["device", "points", "dk-1", "--point", "temp", "--bucket", "1h"];
    let first = program.run(&[&hours[..], &["--limit", "5", "-o", "json"]].concat());
    let cursor = first.stderr.strip_prefix("more with --cursor ").and_then(|said| said.split(' ').next());
    let rest = program.json(&[&hours[..], &["--cursor", cursor.expect("it goes on")]].concat());
    assert_eq!(rest.as_array().unwrap().len(), 43);
    let table = program.run(&[&hours[..], &["--fn", "count,last", "--limit", "1"]].concat());
    let lines: Vec<&str> = table.stdout.lines().map(str::trim).collect();
    assert_eq!(lines, ["TIME                  LAST  COUNT", "2026-01-02T23:00:00Z   191      4"]);
    // In a zone a table shows its time.
    let zoned = ["--fn", "last", "--limit", "1", "--tz", "Asia/Kathmandu"];
    let table = program.run(&[&hours[..], &zoned].concat());
    assert!(table.stdout.contains(" 2026-01-03T05:00:00+05:45  "), "{table:?}");
    let table = program.run(&["device", "points", "dk-1", "--from", "0", "--limit", "3"]);
    assert!(table.stdout.contains("189.50  2026-01-02T23:15:00Z  3"), "{table:?}");
    for (arguments, code, said) in [
        (&["--bucket", "1h"][..], 64, "--point"),
        (&["--point", "temp", "--fn", "min"], 64, "--bucket"),
        (&["--point", "temp", "--bucket", "1w"], 64, "a number with a unit (s, m, h or d)"),
        (&["--point", "temp", "--bucket", "1h", "--fn", "mean"], 64, "some of min,max,avg,last,count"),
        (&["--point", "temp", "--bucket", "1h", "--tz", "Berlin"], 64, "such as Europe/Berlin"),
        (&["--point", "temp", "--bucket", "1h", "--limit", "10001"], 64, "1 to 10000"),
    ] {
        program.run(&[&["device", "points", "dk-1"], arguments].concat()).failed(code, &[said]);
    }
    let none = program.run(&["device", "points", "dk-1", "--point", "tmp", "--bucket", "1h", "-o", "json"]);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("[]\n", "there is no point tmp; the device has temp\n")
    );
    // A time before 1970 is one like others.
    let all = program.run(&["device", "points", "dk-1", "--from", "1969-01-01", "--limit", "1"]);
    assert_eq!((all.code, all.stdout.lines().count()), (0, 2), "{all:?}");
}

/// A device may have a thousand points.
#[test]
fn of_many_points_some_are_named_where_one_does_not_exist() {
    let program = program_with_device();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-1".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    let points: Vec<String> = (0..21).map(|n| format!(r#""p{n:02}":{n}"#)).collect();
    append(
        &store,
        vec![report_arriving(id, UnixMillis(T0), UnixMillis(T0), &format!("{{{}}}", points.join(",")))],
    );
    block_on(store.close()).unwrap();
    let none = program.run(&["device", "points", "dk-1", "--point", "tmp"]);
    assert!(none.stderr.ends_with("p18, p19 and others\n"), "{none:?}");
}

/// More reports than a page looks at lie before what is asked for.
#[test]
fn what_is_rare_is_found_in_many_reports() {
    let program = program_with_device();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-1".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    let at = |n| UnixMillis(T0 + n);
    append(
        &store,
        vec![event(id, at(0), "tilted", "{}"), report_arriving(id, at(1), at(1), r#"{"rare":7}"#)],
    );
    let reports = (2..110_000).map(|n| report_arriving(id, at(n), at(n), r#"{"n":1}"#));
    append(&store, reports.collect());
    block_on(store.close()).unwrap();
    let rare = ["device", "points", "dk-1", "--point", "rare"];
    let events = program.json(&["device", "events", "dk-1", "--limit", "1"]);
    assert_eq!(events, json!([{"event": "tilted", "time": T0, "output": {}}]));
    let values = program.json(&[&rare[..], &["--from", "2026-01-01", "--limit", "1"]].concat());
    assert_eq!(values, json!([{"point": "rare", "value": 7, "time": T0 + 1}]));
    let table = program.text(&[&rare[..], &["--from", "2026-01-01"]].concat());
    assert_eq!(table.lines().count(), 2, "{table}");
    let none = ["device", "points", "dk-1", "--point", "none", "--from", "2026-01-01"];
    assert_eq!(program.text(&none).trim(), "(none)");
    let seconds = program.json(&[&rare[..], &["--bucket", "1s", "--fn", "last"]].concat());
    assert_eq!(seconds, json!([{"time": T0, "last": 7}]));
}
