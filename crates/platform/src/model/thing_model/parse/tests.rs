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
    assert_eq!(model.defaults.find("place").map(|default| default.get()), Some("\"?\""));
    let temp = &model.measurepoints["temp"];
    assert_eq!(
        (&temp.data_type, temp.has_quality, temp.signal_type),
        (&DataType::Double, true, SignalType::Analog)
    );
    assert_eq!(model.measurepoints["mode"].data_type, DataType::Enum(EnumKeys::Integers([0, 1].into())));
    let element = Box::new(DataType::String { length_max: 5 });
    assert_eq!(model.measurepoints["phases"].data_type, DataType::Array { element, length_max: 3 });
    assert_eq!(model.services["restart"].call_type, CallType::Async);
    let angle = model.events["tilted"].output.find("angle").expect("it has an angle");
    assert_eq!(angle.data_type, DataType::Float);
}

#[test]
fn what_has_a_number_is_found_by_it() {
    let model = ThingModel::parse(
        r#"{"modelId":"m",
            "attributes":[{"identifier":"a","number":65535,"dataType":"INT"}],
            "measurepoints":[{"identifier":"p","number":1,"dataType":"INT"},
                             {"identifier":"q","dataType":"INT"}],
            "services":[{"identifier":"s","number":300,
                         "inputData":[{"identifier":"x","number":2,"dataType":"INT"}],
                         "outputData":[{"identifier":"x","number":1,"dataType":"BOOL"}]}],
            "events":[{"identifier":"e","number":24,
                       "outputData":[{"identifier":"y","number":1,"dataType":"INT"}]}]}"#,
    )
    .expect("it is valid");
    for (number, found) in [
        (1, Some((ElementKind::Measurepoint, "p"))),
        (2, None),
        (24, Some((ElementKind::Event, "e"))),
        (300, Some((ElementKind::Service, "s"))),
        (65535, Some((ElementKind::Attribute, "a"))),
    ] {
        assert_eq!(model.element(number), found);
    }
    let service = &model.services["s"];
    assert_eq!(service.input.find_numbered(2).map(|field| &*field.identifier), Some("x"));
    assert_eq!(service.output.find_numbered(1).map(|field| &field.data_type), Some(&DataType::Bool));
    assert_eq!(service.output.find_numbered(2), None);
    assert_eq!(model.events["e"].output.find_numbered(1).map(|field| &*field.identifier), Some("y"));
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
    (
        r#"{"modelId":"m","attributes":[{"identifier":"a","dataType":"INT","required":"yes"}]}"#,
        "/attributes/0/required: must be true or false",
    ),
    (
        r#"{"modelId":"m","services":[{"identifier":"s","callType":"LATER"}]}"#,
        "/services/0/callType: must be one of SYNC, ASYNC",
    ),
    (
        r#"{"modelId":"m","events":[{"identifier":"e","eventType":"FATAL"}]}"#,
        "/events/0/eventType: must be one of INFO, WARN, ERROR",
    ),
    (
        r#"{"modelId":"m","services":[{"identifier":"s","inputData":[{"identifier":"x"}]}]}"#,
        "/services/0/inputData/0/dataType: is missing",
    ),
    (
        r#"{"modelId":"m","services":[{"identifier":"s","outputData":[
            {"identifier":"x","number":0,"dataType":"INT"}]}]}"#,
        "/services/0/outputData/0/number: must be an integer from 1 to 65535",
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
        r#"{"identifier":"a","number":65536,"dataType":"INT"}"#,
        "/measurepoints/0/number: must be an integer from 1 to 65535",
    ),
    (
        r#"{"identifier":"a","number":"1","dataType":"INT"}"#,
        "/measurepoints/0/number: must be an integer from 1 to 65535",
    ),
    (
        r#"{"identifier":"a","number":1.0,"dataType":"INT"}"#,
        "/measurepoints/0/number: must be an integer from 1 to 65535",
    ),
    (
        r#"{"identifier":"a","dataType":{"type":"STRUCT","members":[
            {"identifier":"x","number":1,"dataType":"INT"}]}}"#,
        "/measurepoints/0/dataType/members/0/number: there is no such key",
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

proptest! {
    #[test]
    fn any_text_never_panics(text in ".{0,200}") {
        let _ = ThingModel::accept(&text);
    }

    #[test]
    fn a_model_with_a_piece_torn_out_never_panics(start in 0..FULL.len(), length in 0..40_usize) {
        let torn = start..start + length;
        let kept = FULL.char_indices().filter(|(at, _)| !torn.contains(at));
        let kept: String = kept.map(|(_, character)| character).collect();
        let (accepted, parsed) = (ThingModel::accept(&kept), ThingModel::parse(&kept));
        // Whatever is accepted is read back the same.
        if let Ok(model) = accepted {
            prop_assert_eq!(parsed, Ok(model));
        }
    }
}
