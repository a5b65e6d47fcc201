//! What a device says besides points, and asks: attributes, tags and events.

use serde_json::{Value, json};

use crate::{
    client::{Client, Protection},
    coap,
    harness::{PRODUCT_KEY, Server},
};

/// The code of the answer to a POST below the device's topics, and its JSON.
fn ask(client: &mut Client, topic: &str, body: &str) -> (u8, Value) {
    let mid = client.next_mid();
    let path = format!("topic/sys/{PRODUCT_KEY}/{}/thing/{topic}", client.device.key);
    let answer = client.exchange(&coap::post(mid, &path, body));
    // Behind the header, whose Message ID may be anything.
    let payload = answer[4..].iter().position(|byte| *byte == 0xff).map(|at| &answer[at + 5..]);
    let reply = payload.map_or(Value::Null, |payload| serde_json::from_slice(payload).expect("JSON"));
    (coap::code_of(&answer, mid), reply)
}

/// The data of a reply of success.
fn data(client: &mut Client, topic: &str, params: &str) -> Value {
    let (code, reply) = ask(client, topic, &format!(r#"{{"id":"7","params":{params}}}"#));
    assert_eq!((code, &reply["code"], &reply["id"]), (0x44, &json!(200), &json!("7")), "{topic}: {reply}");
    reply["data"].clone()
}

/// The code of a reply that says no, and its message.
fn refused(client: &mut Client, topic: &str, params: &str) -> (u64, String) {
    let (code, reply) = ask(client, topic, &format!(r#"{{"id":"7","params":{params}}}"#));
    assert_eq!(code, 0x44, "{reply}");
    (reply["code"].as_u64().expect("a number"), reply["message"].as_str().expect("a text").to_owned())
}

#[test]
fn attributes_and_tags_are_kept_answered_told_and_shown() {
    let mut server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let key = client.device.key.clone();
        let listener = server.listen(&["--product", PRODUCT_KEY, "--device", &key]);
        let set = r#"{"attributes":{"place":"cellar","size":1.50}}"#;
        assert_eq!(data(&mut client, "attribute/update", set), json!({}));
        data(&mut client, "tag/update", r#"[{"tagKey":"site","tagValue":"north"}]"#);
        data(&mut client, "attribute/delete", r#"{"attributes":["place"]}"#);
        // The login is told when it is committed, which may be later than `listen` begins.
        let events = std::iter::repeat_with(|| listener.next_event());
        let told: Vec<Value> = events.filter(|event| event["peer"].is_null()).take(3).collect();
        let names: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["attributes", "tags", "attributes"]);
        assert_eq!(told[0]["set"], json!({"place": "cellar", "size": 1.50}));
        assert_eq!((&told[2]["set"], &told[2]["deleted"]), (&Value::Null, &json!(["place"])));
        assert_eq!(data(&mut client, "attribute/query", r#"{"attributes":[]}"#), json!({"size": 1.50}));
        assert_eq!(data(&mut client, "tag/query", r#"{"tags":["site","none"]}"#), json!({"site": "north"}));
        assert_eq!(server.json(&["device", "attributes", PRODUCT_KEY, &key]), json!({"size": 1.50}));
        // What the operator changes is what the device is answered.
        server.json(&["device", "tags", PRODUCT_KEY, &key, "--set", r#"{"site":"south"}"#]);
        assert_eq!(data(&mut client, "tag/query", r#"{"tags":[]}"#), json!({"site": "south"}));
        client.assert_reports();
    }
    let mut client = server.connect(Protection::Ccm8);
    data(&mut client, "attribute/update", r#"{"attributes":{"kept":1}}"#);
    let device = client.device.clone();
    server.restart(&[]);
    let mut client = server.connect_again(device, Protection::Ccm8);
    assert_eq!(data(&mut client, "attribute/query", r#"{"attributes":["kept"]}"#), json!({"kept": 1}));
    server.assert_alive();
}

#[test]
fn a_wrong_change_is_refused_with_its_code_and_stands_in_the_log() {
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    for (topic, params, code, words) in [
        ("attribute/update", "{}", 1207, "/params/attributes: is missing"),
        ("attribute/update", r#"{"attributes":{"a b":1}}"#, 1204, "/params/attributes/a b: an identifier"),
        ("attribute/query", "[]", 1208, "/params: must be an object"),
        ("attribute/delete", r#"{"attributes":[]}"#, 1209, "/params/attributes: has 0 attributes"),
        ("tag/update", r#"[{"tagKey":"9","tagValue":"v"}]"#, 1200, "/params/0/tagKey: a key is"),
        ("tag/query", r#"{"tags":[7]}"#, 1200, "/params/tags/0: must be a string"),
        ("tag/delete", "7", 1200, "/params: must be an object"),
    ] {
        let (answered, message) = refused(&mut client, topic, params);
        assert_eq!(answered, code, "{topic}: {message}");
        assert!(message.starts_with(words), "{topic}: {message}");
        let log = ["device", "log", PRODUCT_KEY, &client.device.key, "--limit", "1"];
        let written = format!(r#""code":{code},"#);
        server.wait_for_json(&log, |log| log.contains(&written) && log.contains(words));
    }
    // Two fit, a third does not; then the log says so, and what there was stands.
    let fat = "x".repeat(3000);
    for (name, code) in [("a", 200), ("b", 200), ("c", 1008)] {
        let body = format!(r#"{{"params":{{"attributes":{{"{name}":"{fat}"}}}}}}"#);
        assert_eq!(ask(&mut client, "attribute/update", &body).1["code"], json!(code), "{name}");
    }
    let log = ["device", "log", PRODUCT_KEY, &client.device.key, "--limit", "1"];
    server.wait_for_json(&log, |log| log.contains(r#""code":1008"#) && log.contains("too_large"));
    let shown = server.json(&["device", "attributes", PRODUCT_KEY, &client.device.key]);
    assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    client.assert_reports();
    server.assert_alive();
}

#[test]
fn events_are_kept_told_and_shown_newest_first() {
    let mut server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let key = client.device.key.clone();
        let listener = server.listen(&["--product", PRODUCT_KEY, "--device", &key]);
        for (event, time) in [("tilted", 1_700_000_001_000_i64), ("opened", 1_700_000_003_000)] {
            let params = format!(r#"{{"events":{{"n":1.50}},"time":{time}}}"#);
            assert_eq!(data(&mut client, &format!("event/{event}/post"), &params), json!({}));
        }
        data(&mut client, "event/tilted/post", r#"{"events":{},"time":1700000002000}"#);
        let events = std::iter::repeat_with(|| listener.next_event());
        let told: Vec<Value> = events.filter(|event| event["peer"].is_null()).take(3).collect();
        assert_eq!((&told[0]["event"], &told[0]["eventId"]), (&json!("event"), &json!("tilted")));
        assert_eq!(
            (&told[0]["output"], &told[0]["time"]),
            (&json!({"n": 1.5}), &json!(1_700_000_001_000_i64))
        );
        let shown = |more: &[&str]| {
            let rows = server.json(&[&["device", "events", PRODUCT_KEY, &key], more].concat());
            let rows = rows.as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap().to_owned());
            rows.collect::<Vec<_>>()
        };
        assert_eq!(shown(&[]), ["opened", "tilted", "tilted"]);
        assert_eq!(shown(&["--type", "tilted", "--limit", "1"]), ["tilted"]);
        assert_eq!(shown(&["--from", "1700000002000", "--to", "1700000003000"]), ["tilted"]);
        let text = server.text(&["device", "events", PRODUCT_KEY, &key, "--type", "opened", "-o", "json"]);
        assert_eq!(text, "[{\"event\":\"opened\",\"time\":1700000003000,\"output\":{\"n\":1.50}}]\n");
        let points = server.json(&["device", "points", PRODUCT_KEY, &key]);
        assert_eq!(points, json!([]), "an event has no points");
        client.assert_reports();
    }
    let mut client = server.connect(Protection::Ccm8);
    data(&mut client, "event/kept/post", r#"{"events":{}}"#);
    let key = client.device.key.clone();
    server.restart(&[]);
    let kept = server.json(&["device", "events", PRODUCT_KEY, &key]);
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["event"]), (1, &json!("kept")));
    server.assert_alive();
}

#[test]
fn an_event_that_the_model_does_not_have_is_refused() {
    let server = Server::start();
    let model = r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}],
        "attributes":[{"identifier":"size","dataType":"INT","default":7,"required":true}],
        "events":[{"identifier":"tilted","eventType":"WARN","outputData":[
            {"identifier":"angle","dataType":"FLOAT"}]}]}"#;
    let file = server.file("model.json", model);
    server.json(&["product", "update", PRODUCT_KEY, "--model", &file]);
    let mut client = server.connect(Protection::Ccm8);
    data(&mut client, "event/tilted/post", r#"{"events":{"angle":7.5}}"#);
    for (topic, params, code, words) in [
        ("event/opened/post", r#"{"events":{}}"#, 1204, "the path: model m has no event opened"),
        ("event/tilted/post", r#"{"events":{"n":1}}"#, 1204, "/params/events/n: event tilted has no such"),
        ("event/tilted/post", r#"{"events":{"angle":"7"}}"#, 1204, "/params/events/angle: must be a number"),
        ("event/tilted/post", "7", 1200, "/params: must be an object"),
        (
            "attribute/update",
            r#"{"attributes":{"size":1.5}}"#,
            1204,
            "/params/attributes/size: must be an int",
        ),
        (
            "attribute/update",
            r#"{"attributes":{"other":1}}"#,
            1204,
            "/params/attributes/other: model m has no",
        ),
        ("attribute/delete", r#"{"attributes":["size"]}"#, 1209, "/params/attributes/0: model m requires"),
    ] {
        let (answered, message) = refused(&mut client, topic, params);
        assert_eq!(answered, code, "{topic}: {message}");
        assert!(message.starts_with(words), "{topic}: {message}");
    }
    assert_eq!(data(&mut client, "attribute/query", r#"{"attributes":[]}"#), json!({"size": 7}));
    let device = [PRODUCT_KEY, &client.device.key];
    let of_type = |kind: &str| {
        let all = server.json(&[&["device", "events"], &device[..], &["--type", kind]].concat());
        all.as_array().unwrap().len()
    };
    assert_eq!((of_type("WARN"), of_type("ERROR"), of_type("tilted")), (1, 0, 1));
    client.assert_reports();
    server.assert_alive();
}
