//! Models that are read, and what is said of those that are not.

use proptest::prelude::*;

use super::*;

const FULL: &str = r#"{
  "modelId": "meter", "name": "Electricity meter", "description": "d", "passthrough": true,
  "attributes": [
    {"identifier": "place", "name": "n", "dataType": "STRING", "required": true, "default": "?"}],
  "measurepoints": [
    {"identifier": "temp", "dataType": {"type": "DOUBLE"}, "hasQuality": true,
     "signalType": "AI", "unit": "°C"},
    {"identifier": "mode",
     "dataType": {"type": "ENUM", "values": [{"key": 0, "name": "off"}, {"key": 1}]}},
    {"identifier": "phases",
     "dataType": {"type": "ARRAY", "elementType": {"type": "STRING", "maxLength": 5}, "maxLength": 3}},
    {"identifier": "place",
     "dataType": {"type": "STRUCT", "members": [{"identifier": "x", "dataType": "INT"}]}}],
  "services": [{"identifier": "restart", "callType": "ASYNC",
                "inputData": [{"identifier": "delay", "dataType": "INT"}]}],
  "events": [{"identifier": "tilted", "eventType": "WARN",
              "outputData": [{"identifier": "angle", "dataType": "FLOAT"}]}]
}"#;

#[test]
fn a_full_model_is_read() {
    let model = ThingModel::parse(FULL).expect("it is valid");
    assert_eq!((model.model_id.as_str(), model.passthrough), ("meter", true));
    assert_eq!(model.attributes["place"].default, Some("?".into()));
    let temp = &model.measurepoints["temp"];
    assert_eq!(
        (&temp.data_type, temp.has_quality, temp.signal_type),
        (&DataType::Double, true, SignalType::Analog)
    );
    assert_eq!(model.measurepoints["mode"].data_type, DataType::Enum(EnumKeys::Integers([0, 1].into())));
    let element = Box::new(DataType::String { length_max: 5 });
    assert_eq!(model.measurepoints["phases"].data_type, DataType::Array { element, length_max: 3 });
    assert_eq!(model.services["restart"].call_type, CallType::Async);
    assert_eq!(model.events["tilted"].output[0].data_type, DataType::Float);
}

#[test]
fn a_model_needs_no_more_than_its_id() {
    let model = ThingModel::parse(r#"{"modelId":"m"}"#).expect("it is valid");
    assert!(!model.passthrough && model.measurepoints.is_empty());
}

/// Documents, and what is said of them.
const DOCUMENTS: &[(&str, &str)] = &[
    ("[]", "must be an object"),
    ("{", "the model is not JSON: EOF while parsing an object at line 1 column 1"),
    ("{}", "/modelId: is missing"),
    (r#"{"modelId":""}"#, "/modelId: must have 1 to 64 characters"),
    (r#"{"modelId":7}"#, "/modelId: must be a string"),
    (r#"{"modelId":"m","Passthrough":true}"#, "/Passthrough: there is no such key; known ones: modelId,"),
    (r#"{"modelId":"m","passthrough":1}"#, "/passthrough: must be true or false"),
    (r#"{"modelId":"m","measurepoints":{}}"#, "/measurepoints: must be an array"),
    (
        r#"{"modelId":"m","attributes":[{"identifier":"a","dataType":"INT","default":"x"}]}"#,
        "/attributes/0/default: must be",
    ),
];

/// Measurepoints of a document, and what is said of it.
const POINTS: &[(&str, &str)] = &[
    ("7", "/measurepoints/0: must be an object"),
    (r#"{"dataType":"INT"}"#, "/measurepoints/0/identifier: is missing"),
    (r#"{"identifier":"a b","dataType":"INT"}"#, "/measurepoints/0/identifier: must be 1 to 128 of"),
    (r#"{"identifier":"a"}"#, "/measurepoints/0/dataType: is missing"),
    (
        r#"{"identifier":"a","dataType":"int"}"#,
        "/measurepoints/0/dataType: there is no such type; known ones: INT,",
    ),
    (
        r#"{"identifier":"a","dataType":{"type":"INT","min":1}}"#,
        "/measurepoints/0/dataType/min: there is no such key",
    ),
    (r#"{"identifier":"a","dataType":"ENUM"}"#, "/measurepoints/0/dataType: ENUM needs"),
    (
        r#"{"identifier":"a","dataType":{"type":"ENUM","values":[]}}"#,
        "/measurepoints/0/dataType/values: must have at least",
    ),
    (r#"{"identifier":"a","dataType":"BOOL","hasQuality":true}"#, "/measurepoints/0/hasQuality: only INT,"),
    (
        r#"{"identifier":"a","dataType":"INT","signalType":"X"}"#,
        "/measurepoints/0/signalType: must be one of AI,",
    ),
    (
        r#"{"identifier":"a","dataType":"INT"},{"identifier":"a","dataType":"INT"}"#,
        "/measurepoints/1/identifier: the identifier occurs twice",
    ),
    (
        r#"{"identifier":"a","dataType":{"type":"ARRAY","elementType":"BOOL"}}"#,
        "/measurepoints/0/dataType/elementType: an ARRAY is of",
    ),
    (
        r#"{"identifier":"a","dataType":{"type":"ARRAY","elementType":"INT","maxLength":1025}}"#,
        "/measurepoints/0/dataType/maxLength: must be an integer from 1 to 1024",
    ),
    (
        r#"{"identifier":"a","dataType":{"type":"STRUCT","members":[{"identifier":"x",
            "dataType":{"type":"STRUCT","members":[]}}]}}"#,
        "/measurepoints/0/dataType/members/0/dataType: a member of a STRUCT cannot be a STRUCT",
    ),
];

#[test]
fn an_error_says_where_and_what() {
    let documents = DOCUMENTS.iter().map(|(json, said)| ((*json).to_owned(), *said));
    let with_point = |point: &str| format!(r#"{{"modelId":"m","measurepoints":[{point}]}}"#);
    let with_points = POINTS.iter().map(|(point, said)| (with_point(point), *said));
    for (json, said) in documents.chain(with_points) {
        let fault = ThingModel::parse(&json).expect_err(&json).to_string();
        assert!(fault.starts_with(said), "{json}: {fault}");
    }
}

#[test]
fn a_model_that_is_too_long_is_refused_before_it_is_read() {
    let fault = ThingModel::parse(&" ".repeat(MODEL_BYTES_MAX + 1)).expect_err("it is too long");
    assert!(fault.to_string().contains("at most 1048576"));
}

proptest! {
    #[test]
    fn any_text_never_panics(text in ".{0,200}") {
        let _ = ThingModel::parse(&text);
    }

    #[test]
    fn a_model_with_a_piece_torn_out_never_panics(start in 0..FULL.len(), length in 0..40_usize) {
        let torn = start..start + length;
        let kept = FULL.char_indices().filter(|(at, _)| !torn.contains(at));
        let kept: String = kept.map(|(_, character)| character).collect();
        let _ = ThingModel::parse(&kept);
    }
}
