//! Tags and attributes in a file of devices.

use narrowgate_api::product::ProductPatch;
use serde_json::{json, value::RawValue};

use super::{formats::places, *};

/// Tags and attributes of a device, as they are shown.
async fn of(world: &World, key: &str) -> [Value; 2] {
    let mut all = [Value::Null, Value::Null];
    for (shown, kind) in all.iter_mut().zip(["tags", "attributes"]) {
        let (_, text) = world.get(&format!("/api/v1/devices/{key}/{kind}"), "application/json").await;
        *shown = serde_json::from_str(&text).expect("it is JSON");
    }
    all
}

async fn with_model(world: &World) {
    let model = r#"{"modelId":"m","attributes":[{"identifier":"floor","dataType":"INT"},
        {"identifier":"place","dataType":"STRING"}]}"#;
    let model = RawValue::from_string(model.to_owned()).expect("it is JSON");
    let patch = ProductPatch { model: Some(Some(model)), ..ProductPatch::default() };
    world.operator.update_product("pk", patch).await.expect("it is a model");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_csv_give_tags_and_attributes_and_faults_name_their_column() {
    let world = world().await;
    with_model(&world).await;
    let file = "deviceKey,tag:site,attribute:floor,attribute:place,tag:old/x\n\
                d1,north,3,\"\"\"7\"\"\",\n\
                d2,,,cellar,12\n\
                d3,south,high,,\n\
                d4,south,4,5,\n\
                d5\n";
    for query in ["?dryRun=true", "?mode=all", ""] {
        let (status, answer) = world.import(query, "text/csv", file).await;
        assert_eq!(status, StatusCode::OK, "{query}: {answer}");
        let faults = [(4, Some("attribute:floor")), (5, Some("attribute:place")), (6, None)];
        assert_eq!(places(&answer), faults, "{query}: {answer}");
        let made = if query == "?mode=all" { 0 } else { 2 };
        assert_eq!(answer["created"], made, "{query}: {answer}");
        assert_eq!(world.count().await, if query.is_empty() { 2 } else { 0 }, "{query}");
    }
    assert_eq!(of(&world, "d1").await, [json!({"site": "north"}), json!({"floor": 3, "place": "7"})]);
    assert_eq!(of(&world, "d2").await, [json!({"old/x": "12"}), json!({"place": "cellar"})]);
    let (_, log) = world.get("/api/v1/devices/d1/log", "application/json").await;
    assert!(log.contains("tags_changed") && log.contains("attributes_changed"), "{log}");
    // A list of devices by their tags finds them at once.
    let (_, found) = world.get("/api/v1/devices?tag=site:north", "application/x-ndjson").await;
    assert_eq!(found.lines().count(), 1, "{found}");
    // Again without harm: what has been changed since stays.
    let (_, again) = world.import("", "text/csv", &file.replace("north", "east")).await;
    assert_eq!((&again["created"], &again["skipped"]), (&0.into(), &2.into()), "{again}");
    assert_eq!(of(&world, "d1").await[0], json!({"site": "north"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_json_lines_give_tags_and_attributes() {
    let world = world().await;
    let fat = "x".repeat(3000);
    let lines = [
        json!({"deviceKey": "d1", "tags": {"site": "north"}, "attributes": {"at": {"lat": 1.5, "lon": 2}}}),
        json!({"deviceKey": "d2", "tags": {}, "attributes": null}),
        json!({"deviceKey": "d3", "tags": {"a b": "north"}}),
        json!({"deviceKey": "d4", "tags": {"site": 7}}),
        json!({"deviceKey": "d5", "tags": "north"}),
        json!({"deviceKey": "d6", "attributes": ["a"]}),
        json!({"deviceKey": "d7", "tags": {"a": fat, "b": fat, "c": fat}}),
        json!({"deviceKey": "d8", "attributes": {"gone": null}}),
    ];
    let mut lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    lines.push(r#"{"deviceKey":"d9","tags":{"a":"1","a":"2"}}"#.to_owned());
    lines.push(r#"{"deviceKey":"d10","attributes":{"a":{"b":1,"b":2}}}"#.to_owned());
    let many: Vec<_> = (0..65).map(|n| format!("\"t{n}\":\"v\"")).collect();
    lines.push(format!("{{\"deviceKey\":\"d11\",\"tags\":{{{}}}}}", many.join(",")));
    let (status, answer) = world.import("", "application/x-ndjson", &lines.join("\n")).await;
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &2.into()), "{answer}");
    let columns = [
        (3, "tag:a b"),
        (4, "tag:site"),
        (5, "tags"),
        (6, "attributes"),
        (7, "tags"),
        (8, "attribute:gone"),
        (9, "tags"),
        (10, "attribute:a"),
        (11, "tags"),
    ];
    assert_eq!(places(&answer), columns.map(|(line, column)| (line, Some(column))), "{answer}");
    assert!(!answer.to_string().contains("north"), "values are not shown: {answer}");
    let at = json!({"at": {"lat": 1.5, "lon": 2}});
    assert_eq!(of(&world, "d1").await, [json!({"site": "north"}), at]);
    assert_eq!(of(&world, "d2").await, [json!({}), json!({})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_with_a_wrong_name_is_told_before_the_first_row() {
    let world = world().await;
    for (header, said) in [
        ("deviceKey,tag:a b", "line 1, column 2: tag:a b: a key is 1 to 100 characters"),
        ("deviceKey,tag:a,tag:a", "line 1, column 3: tag:a is named twice"),
        ("deviceKey,attribute:", "line 1, column 2: attribute:: an identifier is 1 to 128"),
    ] {
        let (status, problem) = world.import("", "text/csv", &format!("{header}\nd1,v\n")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{header}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{header}: {problem}");
    }
    assert_eq!(world.count().await, 0);
}
