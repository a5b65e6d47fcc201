//! Attributes and tags: every topic, every code, every fault.

use serde_json::Value;

use super::*;
use crate::model::{
    property::{Properties, PropertyEdit, PropertyKind},
    thing_model::ThingModel,
};

const ATTRIBUTE: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/attribute";
const TAG: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/tag";

fn model(passthrough: bool) -> ThingModel {
    let json = format!(
        r#"{{"modelId":"meter","passthrough":{passthrough},"attributes":[
            {{"identifier":"place","dataType":"STRING","required":true}},
            {{"identifier":"size","dataType":"INT","default":7}},
            {{"identifier":"axis","dataType":{{"type":"STRUCT","members":[
                {{"identifier":"x","dataType":"INT"}}]}}}}]}}"#
    );
    ThingModel::parse(&json).expect("the model is valid")
}

fn asked(root: &str, verb: &str, params: &str, model: Option<&ThingModel>) -> Action {
    let body = format!(r#"{{"id":"1","version":"1.0","params":{params}}}"#);
    let request = Request::post(&format!("{root}/{verb}"), 50, &*body);
    handle(&session(SecureMode::DeviceSecret), &request, ProductState::On(model), NOW)
}

#[track_caller]
fn edit(action: Action) -> PropertyEdit {
    let Action::Edit(wanted) = action else { panic!("it is a change: {action:?}") };
    assert_eq!(wanted.response.code, Code::CHANGED);
    assert_eq!(text(&wanted.response), r#"{"id":"1","code":200,"data":{}}"#);
    wanted.edit
}

/// What a device that has `all` is answered.
#[track_caller]
fn answered(action: Action, all: &str) -> String {
    let Action::Query(wanted) = action else { panic!("it is a query: {action:?}") };
    let (response, refusal) = wanted.answer(&Properties::from_json(all)).into_parts();
    assert_eq!(refusal, None);
    text(&response)
}

fn set(edit: &PropertyEdit) -> String {
    Properties::default().after(edit).expect("it is small").to_json()
}

#[test]
fn attributes_are_set_as_they_were_written() {
    let set_ones =
        edit(asked(ATTRIBUTE, "update", r#"{"attributes":{"b":1.50,"a":{ "z" : [1, 2] }}}"#, None));
    assert_eq!((set_ones.kind, set_ones.replaces), (PropertyKind::Attribute, false));
    assert_eq!(set(&set_ones), r#"{"a":{"z":[1,2]},"b":1.50}"#);
    let model = model(false);
    let params = r#"{"attributes":{"place":"cellar","axis":{"x":1}}}"#;
    assert_eq!(
        set(&edit(asked(ATTRIBUTE, "update", params, Some(&model)))),
        params[14..params.len() - 1]
            .replace(r#""place":"cellar","axis":{"x":1}"#, r#""axis":{"x":1},"place":"cellar""#)
    );
    let body = r#"{"id":"1","method":"thing.attribute.update","params":{"attributes":{"a":1}}}"#;
    edit(post(&format!("{ATTRIBUTE}/update"), body));
}

#[test]
fn tags_are_texts_by_key() {
    let params = r#"[{"tagKey":"site/1","tagValue":"B\u00e4r"},{"tagKey":"_x","tagValue":""}]"#;
    let set_ones = edit(asked(TAG, "update", params, None));
    assert_eq!(set_ones.kind, PropertyKind::Tag);
    assert_eq!(set(&set_ones), r#"{"_x":"","site/1":"B\u00e4r"}"#);
    // No model says anything about tags.
    edit(asked(TAG, "update", params, Some(&model(false))));
    let gone = edit(asked(TAG, "delete", r#"{"tags":["site/1"]}"#, None));
    assert_eq!((gone.set.len(), gone.unset), (0, vec!["site/1".to_owned()]));
    let all = r#"{"a":"1","b":"2"}"#;
    let reply = answered(asked(TAG, "query", r#"{"tags":["b","missing"]}"#, None), all);
    assert_eq!(reply, r#"{"id":"1","code":200,"data":{"b":"2"}}"#);
    let reply = answered(asked(TAG, "query", r#"{"tags":[]}"#, None), all);
    assert_eq!(reply, format!(r#"{{"id":"1","code":200,"data":{all}}}"#));
}

#[test]
fn a_query_answers_what_is_set_and_else_the_default_of_the_model() {
    let (model, all) = (model(false), r#"{"place":"cellar"}"#);
    let data = |names: &str, model, all: &str| {
        let reply = answered(asked(ATTRIBUTE, "query", &format!(r#"{{"attributes":{names}}}"#), model), all);
        let reply: Value = serde_json::from_str(&reply).expect("it is JSON");
        reply["data"].to_string()
    };
    assert_eq!(data("[]", None, all), all);
    assert_eq!(data("[]", Some(&model), all), r#"{"place":"cellar","size":7}"#);
    assert_eq!(data("[]", Some(&model), r#"{"size":8}"#), r#"{"size":8}"#);
    assert_eq!(data(r#"["size","unknown"]"#, Some(&model), all), r#"{"size":7}"#);
    assert_eq!(data(r#"["place"]"#, Some(&model), all), all);
    assert_eq!(data(r#"["axis"]"#, Some(&model), all), "{}");
    // What was set before the model came is answered still.
    assert_eq!(data("[]", Some(&model), r#"{"old":1}"#), r#"{"old":1,"size":7}"#);
}

#[test]
fn a_required_attribute_cannot_be_deleted() {
    let model = model(false);
    let (code, detail) =
        fault(asked(ATTRIBUTE, "delete", r#"{"attributes":["size","place"]}"#, Some(&model)));
    assert_eq!(code, 1209);
    assert_eq!(detail, "/params/attributes/1: model meter requires attribute place: it cannot be deleted");
    edit(asked(ATTRIBUTE, "delete", r#"{"attributes":["size","unknown"]}"#, Some(&model)));
    edit(asked(ATTRIBUTE, "delete", r#"{"attributes":["place"]}"#, None));
}

#[test]
fn a_value_is_what_the_model_says() {
    let (strict, lax) = (model(false), model(true));
    let long = format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "x".repeat(4096));
    for (params, model, words) in [
        (r#"{"attributes":{"plaice":"x"}}"#, Some(&strict), "plaice: model meter has no such attribute"),
        (
            r#"{"attributes":{"size":"7"}}"#,
            Some(&strict),
            "size: must be an integer of 32 bits; received \"7\"",
        ),
        (r#"{"attributes":{"axis":{"x":1.5}}}"#, Some(&strict), "axis/x: must be an integer of 32 bits; rec"),
        (r#"{"attributes":{"axis":{"y":1}}}"#, Some(&lax), "axis/y: the structure has no such member"),
        (r#"{"attributes":{"other":null}}"#, Some(&lax), "other: must not be null"),
        (r#"{"attributes":{"a":null}}"#, None, "a: must not be null"),
        (r#"{"attributes":{"a b":1}}"#, None, "a b: an identifier is 1 to 128 of"),
        (&long, None, "a: has 4098 bytes; at most 4096 are kept"),
    ] {
        let (code, detail) = fault(asked(ATTRIBUTE, "update", params, model));
        assert_eq!(code, 1204, "{params}");
        assert!(detail.starts_with(&format!("/params/attributes/{words}")), "{detail}");
    }
    edit(asked(ATTRIBUTE, "update", r#"{"attributes":{"other":[1]}}"#, Some(&lax)));
}

/// Some members, or elements, more than are allowed.
fn too_many(open: char, member: impl Fn(usize) -> String, close: char) -> String {
    let members: Vec<String> = (0..201).map(member).collect();
    format!("{open}{}{close}", members.join(","))
}

#[test]
fn each_topic_has_its_code_for_a_wrong_form() {
    let names = too_many('[', |n| format!("\"a{n}\""), ']');
    let members = too_many('{', |n| format!("\"a{n}\":1"), '}');
    let tags = too_many('[', |n| format!(r#"{{"tagKey":"a{n}","tagValue":""}}"#), ']');
    let long = format!(r#"[{{"tagKey":"k","tagValue":"{}"}}]"#, "x".repeat(4096));
    for (root, verb, code, params, words) in [
        (ATTRIBUTE, "update", 1207, "7", "/params: must be an object; received 7"),
        (ATTRIBUTE, "update", 1207, "null", "/params: is missing"),
        (ATTRIBUTE, "update", 1207, "{}", "/params/attributes: is missing; the object is empty"),
        (
            ATTRIBUTE,
            "update",
            1207,
            r#"{"attribute":{}}"#,
            "/params/attributes: is missing; there is attribute",
        ),
        (ATTRIBUTE, "update", 1207, r#"{"attributes":["a"]}"#, "/params/attributes: must be an object"),
        (ATTRIBUTE, "update", 1207, r#"{"attributes":{}}"#, "/params/attributes: has 0 attributes; 1 to 200"),
        (ATTRIBUTE, "update", 1207, &format!(r#"{{"attributes":{members}}}"#), "/params/attributes: has 201"),
        (ATTRIBUTE, "query", 1208, "[]", "/params: must be an object"),
        (ATTRIBUTE, "query", 1208, "{}", "/params/attributes: is missing"),
        (ATTRIBUTE, "query", 1208, r#"{"attributes":"a"}"#, "/params/attributes: must be an array"),
        (ATTRIBUTE, "query", 1208, r#"{"attributes":["a",7]}"#, "/params/attributes/1: must be a string"),
        (ATTRIBUTE, "query", 1208, &format!(r#"{{"attributes":{names}}}"#), "/params/attributes: has 201"),
        (ATTRIBUTE, "delete", 1209, "{}", "/params/attributes: is missing"),
        (ATTRIBUTE, "delete", 1209, r#"{"attributes":{"a":1}}"#, "/params/attributes: must be an array"),
        (ATTRIBUTE, "delete", 1209, r#"{"attributes":[]}"#, "/params/attributes: has 0 attributes; 1 to 200"),
        (ATTRIBUTE, "delete", 1209, r#"{"attributes":[null]}"#, "/params/attributes/0: must be a string"),
        (TAG, "update", 1200, r#"{"tags":{}}"#, "/params: must be an array"),
        (TAG, "update", 1200, "[]", "/params: has 0 tags; 1 to 200"),
        (TAG, "update", 1200, &tags, "/params: has 201 tags"),
        (TAG, "update", 1200, "[7]", "/params/0: must be an object"),
        (TAG, "update", 1200, r#"[{"tagValue":"v"}]"#, "/params/0/tagKey: is missing; received tagValue"),
        (TAG, "update", 1200, r#"[{"tagKey":"k","value":"v"}]"#, "/params/0/tagValue: is missing"),
        (TAG, "update", 1200, r#"[{"tagKey":7,"tagValue":"v"}]"#, "/params/0/tagKey: must be a string"),
        (TAG, "update", 1200, r#"[{"tagKey":"9","tagValue":"v"}]"#, "/params/0/tagKey: a key is 1 to 100"),
        (
            TAG,
            "update",
            1200,
            r#"[{"tagKey":"k","tagValue":7}]"#,
            "/params/0/tagValue: must be a string; received 7",
        ),
        (TAG, "update", 1200, &long, "/params/0/tagValue: has 4098 bytes"),
        (
            TAG,
            "update",
            1200,
            r#"[{"tagKey":"k","tagValue":"1"},{"tagKey":"\u006b","tagValue":"2"}]"#,
            "/params/1/tagKey: occurs twice",
        ),
        (TAG, "query", 1200, r#"{"attributes":[]}"#, "/params/tags: is missing; received attributes"),
        (TAG, "query", 1200, r#"{"tags":["a b"]}"#, "/params/tags/0: a key is 1 to 100"),
        (TAG, "delete", 1200, r#"{"tags":[]}"#, "/params/tags: has 0 tags; 1 to 200"),
    ] {
        let (answered, detail) = fault(asked(root, verb, params, None));
        assert_eq!(answered, code, "{verb} {params}");
        assert!(detail.starts_with(words), "{verb} {params}: {detail}");
    }
}

#[test]
fn the_envelope_is_checked_as_with_reports() {
    for (root, verb) in
        [ATTRIBUTE, TAG].into_iter().flat_map(|root| ["update", "query", "delete"].map(|verb| (root, verb)))
    {
        let path = format!("{root}/{verb}");
        let (code, detail) = fault(post(&path, r#"{"method":"thing.measurepoint.post","params":{}}"#));
        let kind = if root == TAG { "tag" } else { "attribute" };
        assert_eq!((code, detail.contains(&format!("thing.{kind}.{verb}"))), (1260, true), "{detail}");
        assert_eq!(fault(post(&path, r#"{"id":[],"params":{}}"#)).0, 1200);
        let malformed = (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None);
        assert_eq!(outcome(post(&path, "")), malformed);
        assert_eq!(outcome(post(&path, "[]")), malformed);
        let too_large = format!(r#"{{"params":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
        assert_eq!(outcome(post(&path, &too_large)).0, Code::REQUEST_ENTITY_TOO_LARGE);
        let get = ask(SecureMode::DeviceSecret, &Request::get(&path));
        assert_eq!(outcome(get), (Code::METHOD_NOT_ALLOWED, Some(Reason::MethodWrong), Some(1260)));
        let mode_3 = ask(SecureMode::ProductSecret, &Request::post(&path, 50, "{}"));
        assert_eq!(outcome(mode_3), (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009)));
        let other = path.replace("15bBZlRknc", "other");
        assert_eq!(outcome(post(&other, "{}")), (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009)));
        let xml = ask(SecureMode::DeviceSecret, &Request::post(&path, 41, "{}"));
        assert_eq!(outcome(xml).0, Code::UNSUPPORTED_CONTENT_FORMAT);
        let accept = ask(SecureMode::DeviceSecret, &Request::post(&path, 50, "{}").accept(41));
        assert_eq!(outcome(accept).0, Code::NOT_ACCEPTABLE);
    }
}

#[test]
fn what_would_be_too_much_is_told_by_its_own_code() {
    let action = asked(ATTRIBUTE, "update", r#"{"attributes":{"a":1}}"#, None);
    let Action::Edit(wanted) = action else { panic!("it is a change: {action:?}") };
    let (response, refusal) = wanted.too_much(9000).into_parts();
    let words = "/params: the device's attributes would take 9000 bytes as JSON; 8192 are kept";
    let expected = format!(r#"{{"id":"1","code":1008,"message":"{words}","data":{{}}}}"#);
    assert_eq!((response.code, text(&response)), (Code::CHANGED, expected));
    let refusal = refusal.expect("it is logged");
    assert_eq!((refusal.reason, refusal.code()), (Some(Reason::TooLarge), Some(1008)));
}

/// A model that was stored before defaults had a limit.
#[test]
fn an_answer_that_would_be_too_long_says_to_ask_for_less() {
    let attribute = |n| {
        let default = "x".repeat(4000);
        format!(
            r#"{{"identifier":"a{n}","dataType":{{"type":"STRING","maxLength":4000}},"default":"{default}"}}"#
        )
    };
    let json =
        format!(r#"{{"modelId":"m","attributes":[{},{},{}]}}"#, attribute(1), attribute(2), attribute(3));
    let model = ThingModel::parse(&json).expect("what is stored is read all the same");
    for (names, advice) in [("", "name those that are wanted"), (r#""a1","a2","a3""#, "name fewer")] {
        let params = format!(r#"{{"attributes":[{names}]}}"#);
        let Action::Query(wanted) = asked(ATTRIBUTE, "query", &params, Some(&model)) else {
            panic!("it is a query")
        };
        let (response, refusal) = wanted.answer(&Properties::default()).into_parts();
        let words = format!("/params/attributes: 12025 bytes of attributes, 10240 can be sent: {advice}");
        let expected = format!(r#"{{"id":"1","code":1008,"message":"{words}","data":{{}}}}"#);
        assert_eq!((response.code, text(&response)), (Code::CHANGED, expected));
        let refusal = refusal.expect("it is logged");
        assert_eq!((refusal.reason, refusal.code()), (Some(Reason::TooLarge), Some(1008)));
        assert!(refusal.detail.ends_with("an operator can give it shorter ones"), "{}", refusal.detail);
    }
    let two = asked(ATTRIBUTE, "query", r#"{"attributes":["a1","a3"]}"#, Some(&model));
    assert!(answered(two, "{}").len() > 8000);
}
