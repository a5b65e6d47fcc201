//! Every type of a thing model, wherever a value of it may stand: a fault names the place and what is
//! expected.

use super::*;
use crate::model::thing_model::ThingModel;

/// Each type, a value that is none of it, the pointer behind that of the value, and what is said.
const TYPES: &[(&str, &str, &str, &str)] = &[
    (r#""INT""#, "2147483648", "", "must be an integer of 32 bits"),
    (r#""FLOAT""#, "3.5e38", "", "must be a number that fits a 32-bit float"),
    (r#""DOUBLE""#, r#""21.5""#, "", "must be a number"),
    (r#""BOOL""#, "2", "", "must be true, false, 1 or 0"),
    (r#""STRING""#, "7", "", "must be a string"),
    (r#"{"type":"STRING","maxLength":2}"#, r#""äöü""#, "", "has 3 characters; at most 2 are allowed"),
    (r#""TIMESTAMP""#, "1700000000000.5", "", "must be Unix milliseconds"),
    (r#""DATE""#, r#""2023-02-29 00:00:00""#, "", "must be a date and time as yyyy-MM-dd HH:mm:ss"),
    (
        r#"{"type":"ENUM","values":[{"key":0},{"key":1}]}"#,
        "2",
        "",
        "must be one of the integers of the enumeration: 0, 1",
    ),
    (
        r#"{"type":"ENUM","values":[{"key":"on"},{"key":"off"}]}"#,
        r#""ON""#,
        "",
        "must be one of the strings of the enumeration: off, on",
    ),
    (r#"{"type":"STRUCT","members":[]}"#, "[]", "", "must be an object"),
    (r#"{"type":"STRUCT","members":[]}"#, r#"{"y":1}"#, "/y", "the structure has no such member"),
    (
        r#"{"type":"STRUCT","members":[{"identifier":"x","dataType":"DOUBLE"}]}"#,
        r#"{"x":true}"#,
        "/x",
        "must be a number",
    ),
    (
        r#"{"type":"STRUCT","members":[{"identifier":"x",
            "dataType":{"type":"ARRAY","elementType":{"type":"STRING","maxLength":1}}}]}"#,
        r#"{"x":["a","bc"]}"#,
        "/x/1",
        "has 2 characters; at most 1 are allowed",
    ),
    (r#"{"type":"ARRAY","elementType":"INT"}"#, "{}", "", "must be an array"),
    (
        r#"{"type":"ARRAY","elementType":"FLOAT"}"#,
        "[1,null]",
        "/1",
        "must be a number that fits a 32-bit float",
    ),
    (
        r#"{"type":"ARRAY","elementType":"DOUBLE","maxLength":2}"#,
        "[1,2,3]",
        "",
        "has 3 values; at most 2 are allowed",
    ),
];

fn model(data_type: &str) -> ThingModel {
    let field = format!(r#"{{"identifier":"v","dataType":{data_type}}}"#);
    let json = format!(
        r#"{{"modelId":"m","attributes":[{field}],"measurepoints":[{field}],
            "events":[{{"identifier":"e","outputData":[{field}]}}]}}"#
    );
    ThingModel::accept(&json).expect("the model is valid")
}

fn refused(model: &ThingModel, topic: &str, params: &str) -> (u64, String) {
    let path = format!("/topic/sys/MuGsF6W4/15bBZlRknc/thing/{topic}");
    let request = Request::post(&path, 50, format!(r#"{{"params":{params}}}"#));
    fault(handle(&session(SecureMode::DeviceSecret), &request, ProductState::On(Some(model)), NOW))
}

#[test]
fn a_value_of_another_type_is_refused_with_its_place_on_every_topic() {
    for (data_type, value, steps, said) in TYPES {
        let model = model(data_type);
        let one = format!(r#"{{"v":{value}}}"#);
        for (topic, params, pointer) in [
            ("measurepoint/post", format!(r#"{{"measurepoints":{one}}}"#), "/params/measurepoints/v"),
            ("measurepoint/resume", format!(r#"{{"measurepoints":{one}}}"#), "/params/measurepoints/v"),
            (
                "measurepoint/post/batch",
                format!(r#"[{{"measurepoints":{}}},{{"measurepoints":{one}}}]"#, good(data_type)),
                "/params/1/measurepoints/v",
            ),
            ("attribute/update", format!(r#"{{"attributes":{one}}}"#), "/params/attributes/v"),
            ("event/e/post", format!(r#"{{"events":{one}}}"#), "/params/events/v"),
        ] {
            let (code, detail) = refused(&model, topic, &params);
            let expected = format!("{pointer}{steps}: {said}");
            assert_eq!(code, 1204, "{data_type} {topic}");
            assert!(detail.starts_with(&expected), "{topic}: {detail}, not {expected}");
        }
    }
}

/// A report with a value of the type.
fn good(data_type: &str) -> String {
    let value = match data_type {
        text if text.contains("STRUCT") => "{}",
        text if text.contains("ARRAY") => "[]",
        text if text.contains(r#""key":"on""#) => r#""on""#,
        text if text.contains("STRING") => r#""a""#,
        text if text.contains("DATE") => r#""2024-02-29 00:00:00""#,
        _ => "1",
    };
    format!(r#"{{"v":{value}}}"#)
}

#[test]
fn what_the_model_does_not_have_is_refused_with_its_place() {
    let model = model(r#""INT""#);
    for (topic, params, said) in [
        (
            "measurepoint/post",
            r#"{"measurepoints":{"w":1}}"#,
            "/params/measurepoints/w: model m has no such point",
        ),
        (
            "attribute/update",
            r#"{"attributes":{"w":1}}"#,
            "/params/attributes/w: model m has no such attribute",
        ),
        ("event/f/post", r#"{"events":{}}"#, "the path: model m has no event f"),
        ("event/e/post", r#"{"events":{"w":1}}"#, "/params/events/w: event e has no such parameter"),
        (
            "measurepoint/post",
            r#"{"measurepoints":{"v":{"value":1,"quality":1}}}"#,
            "/params/measurepoints/v: must be an integer of 32 bits",
        ),
    ] {
        let (code, detail) = refused(&model, topic, params);
        assert_eq!(code, 1204, "{topic} {params}");
        assert!(detail.starts_with(said), "{detail}");
    }
}

/// All that a device may have of its own, all defaults beside it, and the longest id.
#[test]
fn the_longest_answer_with_all_attributes_fits_the_longest_body() {
    use crate::model::{
        property::{BYTES_MAX, Properties},
        thing_model::DEFAULTS_BYTES_MAX,
    };
    let text = |name: &str, length: usize| format!(r#""{name}":"{}""#, "x".repeat(length));
    // {"d":"…"}
    let default = "x".repeat(DEFAULTS_BYTES_MAX - 8);
    let model = format!(
        r#"{{"modelId":"m","passthrough":true,"attributes":[
            {{"identifier":"d","dataType":{{"type":"STRING","maxLength":4000}},"default":"{default}"}}]}}"#
    );
    let model = ThingModel::accept(&model).expect("it is valid");
    assert_eq!(model.defaults.bytes(), DEFAULTS_BYTES_MAX);
    // {"a":"…","b":"…","c":"…"}
    let all = format!("{{{},{},{}}}", text("a", 4000), text("b", 4000), text("c", BYTES_MAX - 8022));
    let all = Properties::from_json(&all);
    assert_eq!(all.to_json().len(), BYTES_MAX);
    let id = "1".repeat(128);
    let body = format!(r#"{{"id":"{id}","params":{{"attributes":[]}}}}"#);
    let path = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/attribute/query";
    let asked = Request::post(path, 50, body);
    let action = handle(&session(SecureMode::DeviceSecret), &asked, ProductState::On(Some(&model)), NOW);
    let Action::Query(wanted) = action else { panic!("it is a query: {action:?}") };
    let answer = super::text(&wanted.answer(&all).into_parts().0);
    assert!(answer.contains(&default) && answer.len() <= BODY_BYTES_MAX, "{} bytes", answer.len());
}
