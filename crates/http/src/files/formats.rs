//! Files that others have written: lists of keys as Californium has them, and sheets of EnOS.

use super::*;

const PSK: &str = "?format=psk";

/// Line and column of each fault.
pub(super) fn places(answer: &Value) -> Vec<(u64, Option<&str>)> {
    let faults = answer["failed"].as_array().expect("they are a list").iter();
    faults.map(|fault| (fault["line"].as_u64().unwrap(), fault["column"].as_str())).collect()
}

async fn secret_of(world: &World, key: &str) -> String {
    let (_, text) = world.get(&format!("/api/v1/devices/{key}/secret"), "application/json").await;
    let shown: Value = serde_json::from_str(&text).expect("it is JSON");
    shown["deviceSecret"].as_str().expect("it is text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_keys_is_imported_as_the_command_line_does_it() {
    let world = world().await;
    let list = "# keys\r\nd1=c2VjcmV0UFNL\r\nd2=:0x00ff10\r\nd3='plain text'\r\nd4\r\nd5=!\r\n\
                d1=c2VjcmV0UFNL\r\n";
    let (status, answer) = world.import("?format=psk&dryRun=true", "text/plain", list).await;
    let column = |name| Some(name);
    let faults = [(5, column("deviceKey")), (6, column("deviceSecret")), (7, column("deviceKey"))];
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &3.into()), "{answer}");
    assert_eq!((places(&answer), world.count().await), (faults.to_vec(), 0), "{answer}");

    let (_, none) = world.import("?format=psk&mode=all", "text/plain", list).await;
    assert_eq!((&none["created"], places(&none)[0]), (&0.into(), (5, column("deviceKey"))), "{none}");
    assert_eq!(world.count().await, 0);

    let (_, answer) = world.import(PSK, "text/plain; charset=utf-8", list).await;
    assert_eq!((&answer["created"], places(&answer)), (&3.into(), faults.to_vec()), "{answer}");
    assert_eq!(answer["secrets"], Value::Null, "each has its own");
    for (key, secret) in [("d1", "secretPSK"), ("d2", "00ff10"), ("d3", "plain text")] {
        assert_eq!(secret_of(&world, key).await, secret);
    }
    // Again without harm, and no secret is replaced.
    let (_, again) = world.import(PSK, "text/plain", "d1=c2VjcmV0UFNL\nd2=:0x00ff11\n").await;
    assert_eq!(
        (&again["created"], &again["skipped"], &again["sameSecret"]),
        (&0.into(), &1.into(), &1.into())
    );
    assert_eq!(places(&again), [(2, Some("deviceSecret"))], "{again}");
    assert_eq!(secret_of(&world, "d2").await, "00ff10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_devices_gives_names_and_never_a_group_for_a_secret() {
    let world = world().await;
    let store = "Demo1=MonitoringGroup1\n.psk='client',c2VjcmV0UFNL\nDemo2=MonitoringGroup1\n";
    let (_, answer) = world.import("?format=psk&mode=valid", "text/plain", store).await;
    assert_eq!((&answer["created"], places(&answer)), (&1.into(), vec![(3, None)]), "{answer}");
    let (_, shown) = world.get("/api/v1/devices/client", "application/json").await;
    assert!(shown.contains("\"name\":\"Demo1\""), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sheet_of_enos_is_imported_by_its_header_for_people() {
    let world = world().await;
    let sheet = "\u{feff}Product Key,Device Key,Device Secret,Device Name,Time Zone\r\n\
                 pk,d1,secretOfTheFirst1234,first,+08:00\r\n\
                 other,d2,secretOfTheSecond123,second,+08:00\r\n\
                 pk,d3\r\n\
                 pk,d4,secretOfTheFourth123,fourth,+08:00,too,many\r\n";
    let (status, answer) = world.import("?format=enos", "text/csv", sheet).await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &1.into()), "{answer}");
    assert_eq!(places(&answer), [(3, Some("productKey")), (4, None), (5, None)], "{answer}");
    assert_eq!(secret_of(&world, "d1").await, "secretOfTheFirst1234");
    // Without the word it is CSV, whose header it has not.
    let (status, problem) = world.import("", "text/csv", sheet).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_is_does_not_contradict_its_media_type() {
    let world = world().await;
    for (query, media_type, said) in [
        ("", "text/plain", "format=psk"),
        ("?format=csv", "text/plain", "text/csv"),
        (PSK, "text/csv", "text/plain"),
        ("?format=enos", "application/x-ndjson", "text/csv"),
        ("?format=ndjson", "text/csv", "application/x-ndjson"),
        (PSK, "application/json", "the body is JSON"),
        (PSK, "text/plain; charset=gbk", "in UTF-8"),
    ] {
        let body = if media_type == "application/json" { "{\"rows\":[]}" } else { "d1=c2VjcmV0UFNL\n" };
        let (status, problem) = world.import(query, media_type, body).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{query} {media_type}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{query} {media_type}: {problem}");
    }
    let (status, problem) = world.import("?format=xls", "text/csv", "deviceKey\nd1\n").await;
    assert_eq!((status, &problem["where"]), (StatusCode::BAD_REQUEST, &"format".into()), "{problem}");
    for (query, media_type) in [("?format=csv", "text/csv"), ("?format=ndjson", "application/x-ndjson")] {
        let (status, _) = world.import(query, media_type, "").await;
        assert_ne!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert_eq!(world.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lists_cost_what_they_are_long_and_no_more() {
    let world = world().await;
    // A line of two megabytes, NULs, bytes that are no text: each is a fault of its own line.
    let mut list = vec![b'x'; 2 << 20];
    list.extend(b"\nd\0=c2VjcmV0UFNL\nd2='a\0b'\n\xff\xfe=c2VjcmV0UFNL\nd3=:0x0\n");
    let blank = 1 << 20;
    list.extend(vec![b'\n'; blank]);
    list.extend(b"d9=c2VjcmV0UFNL\nd9");
    let parts = list.chunks(64 << 10).map(|part| io::Result::Ok(part.to_vec())).collect();
    let (status, answer) = world.import_parts(PSK, "text/plain", parts).await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &1.into()), "{answer}");
    let last = 6 + u64::try_from(blank).unwrap() + 1;
    let (key, secret) = (Some("deviceKey"), Some("deviceSecret"));
    assert_eq!(places(&answer), [(1, None), (2, key), (3, secret), (4, None), (5, secret), (last, key)]);

    // Beyond what is held of one: nothing is made of it.
    let parts = (0..17).map(|_| io::Result::Ok(b"a=c2VjcmV0UFNL\n\n".repeat(1 << 16))).collect();
    let (status, problem) = world.import_parts(PSK, "text/plain", parts).await;
    assert_eq!((status, &problem["try"]), (StatusCode::PAYLOAD_TOO_LARGE, &"split it".into()), "{problem}");
    assert_eq!((&problem["import"], world.count().await), (&Value::Null, 1));

    // Of CSV one line of any length is one fault.
    let mut parts = vec![io::Result::Ok(b"deviceKey,name\n".to_vec())];
    parts.extend((0..8).map(|_| io::Result::Ok(vec![b'x'; 1 << 20])));
    parts.push(Ok(b"\nd4,one\n\"d5\0\",two\n".to_vec()));
    let (_, answer) = world.import_parts("", "text/csv", parts).await;
    assert_eq!((&answer["created"], places(&answer)), (&1.into(), vec![(2, None), (4, None)]), "{answer}");
}
