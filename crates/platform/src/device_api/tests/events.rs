//! Events: the identifier in the path, and what comes with them.

use super::*;
use crate::model::thing_model::ThingModel;

fn path(event: &str) -> String {
    format!("/topic/sys/MuGsF6W4/15bBZlRknc/thing/event/{event}/post")
}

fn model(passthrough: bool) -> ThingModel {
    let json = format!(
        r#"{{"modelId":"meter","passthrough":{passthrough},"events":[
            {{"identifier":"tilted","eventType":"WARN","outputData":[
                {{"identifier":"angle","dataType":"FLOAT"}},
                {{"identifier":"at","dataType":{{"type":"STRUCT","members":[
                    {{"identifier":"x","dataType":"INT"}}]}}}}]}},
            {{"identifier":"opened"}}]}}"#
    );
    ThingModel::parse(&json).expect("the model is valid")
}

fn asked(event: &str, params: &str, model: Option<&ThingModel>) -> Action {
    let body = format!(r#"{{"id":"1","version":"1.0","params":{params}}}"#);
    let request = Request::post(&path(event), 50, &*body);
    handle(&session(SecureMode::DeviceSecret), &request, ProductState::On(model), NOW)
}

#[test]
fn an_event_is_stored_with_its_identifier_its_time_and_its_parameters() {
    let params = r#"{"events":{ "angle" : 1.50, "who": {"z":1,"a":2} },"time":1699999999000}"#;
    let (messages, reply) = stored(asked("tilted", params, None));
    assert_eq!(reply, r#"{"id":"1","code":200,"data":{}}"#);
    let [message] = &messages[..] else { panic!("one event") };
    assert_eq!((message.device, message.kind), (DeviceId(7), MessageKind::Event));
    assert_eq!((message.time, message.arrival), (UnixMillis(1_699_999_999_000), NOW));
    let expected = r#"{"event":"tilted","output":{"angle":1.50,"who":{"z":1,"a":2}}}"#;
    assert_eq!(&*message.points_json, expected);
    let (messages, _) = stored(asked("opened", r#"{"events":{}}"#, None));
    assert_eq!((messages[0].time, &*messages[0].points_json), (NOW, r#"{"event":"opened","output":{}}"#));
    let body = r#"{"method":"thing.event.a.b-1.post","params":{"events":{}}}"#;
    stored(post(&path("a.b-1"), body));
}

#[test]
fn an_event_is_what_the_model_says() {
    let (strict, lax) = (model(false), model(true));
    for (event, params) in [
        ("tilted", r#"{"events":{"angle":1.5,"at":{"x":1}}}"#),
        // Some may be absent, as the members of a structure.
        ("tilted", r#"{"events":{}}"#),
        ("opened", r#"{"events":{}}"#),
    ] {
        stored(asked(event, params, Some(&strict)));
    }
    stored(asked("closed", r#"{"events":{"anything":[1]}}"#, Some(&lax)));
    stored(asked("tilted", r#"{"events":{"anything":[1]}}"#, Some(&lax)));
    for (event, params, model, words) in [
        ("closed", r#"{"events":{}}"#, &strict, "the path: model meter has no event closed"),
        (
            "tilted",
            r#"{"events":{"angel":1}}"#,
            &strict,
            "/params/events/angel: event tilted has no such param",
        ),
        (
            "tilted",
            r#"{"events":{"angle":"1.5"}}"#,
            &strict,
            "/params/events/angle: must be a number that fits a 32-bit float; received \"1.5\" at byte",
        ),
        ("tilted", r#"{"events":{"at":{"x":1.5}}}"#, &lax, "/params/events/at/x: must be an integer of 32"),
        ("tilted", r#"{"events":{"anything":null}}"#, &lax, "/params/events/anything: must not be null"),
    ] {
        let (code, detail) = fault(asked(event, params, Some(model)));
        assert_eq!(code, 1204, "{params}");
        assert!(detail.starts_with(words), "{detail}");
    }
}

#[test]
fn a_wrong_event_is_refused_with_its_code() {
    let many: Vec<String> = (0..201).map(|n| format!("\"a{n}\":1")).collect();
    let many = format!(r#"{{"events":{{{}}}}}"#, many.join(","));
    for (params, code, words) in [
        ("null", 1200, "/params: is missing"),
        ("[]", 1200, "/params: must be an object"),
        ("{}", 1204, "/params/events: is missing; the object is empty"),
        (r#"{"event":{}}"#, 1204, "/params/events: is missing; there is event: the name is events"),
        (r#"{"events":[1]}"#, 1204, "/params/events: must be an object"),
        (&many, 1204, "/params/events: has 201 parameters; at most 200 are allowed"),
        (r#"{"events":{"a b":1}}"#, 1204, "/params/events/a b: an identifier is 1 to 128 of"),
        (r#"{"events":{"a":null}}"#, 1204, "/params/events/a: must not be null"),
        (r#"{"events":{},"time":"now"}"#, 1204, "/params/time: must be an integer, Unix milliseconds; rec"),
        (r#"{"events":{},"time":1700000000}"#, 1204, "/params/time: looks like seconds; send Unix milli"),
        (r#"{"events":{},"time":1700100000000}"#, 1204, "/params/time: lies more than a day ahead"),
    ] {
        let (answered, detail) = fault(asked("e", params, None));
        assert_eq!(answered, code, "{params}");
        assert!(detail.starts_with(words), "{params}: {detail}");
    }
    let long = "x".repeat(129);
    for event in ["a%20b", "%C3%A4", &*long, "{eventId}"] {
        let (code, detail) = fault(asked(event, r#"{"events":{}}"#, None));
        assert_eq!(code, 1204, "{event}");
        assert!(detail.starts_with("the path: the identifier of an event is 1 to 128 of"), "{detail}");
    }
    let other = r#"{"method":"thing.event.other.post","params":{"events":{}}}"#;
    let (code, detail) = fault(post(&path("e"), other));
    assert_eq!(
        (code, detail.contains("this topic's method is thing.event.e.post")),
        (1260, true),
        "{detail}"
    );
}

#[test]
fn the_path_of_an_event_has_one_segment_for_its_identifier() {
    let body = r#"{"params":{"events":{}}}"#;
    let unknown = (Code::NOT_FOUND, Some(Reason::PathUnknown), None);
    for path in [path("a/b"), path(""), path("e").replace("/post", ""), path("e") + "/batch"] {
        assert_eq!(outcome(post(&path, body)), unknown, "{path}");
    }
    assert_eq!(outcome(post(&path("e"), "")).0, Code::BAD_REQUEST);
    let get = ask(SecureMode::DeviceSecret, &Request::get(&path("e")));
    assert_eq!(outcome(get), (Code::METHOD_NOT_ALLOWED, Some(Reason::MethodWrong), Some(1260)));
    let mode_3 = ask(SecureMode::ProductSecret, &Request::post(&path("e"), 50, body));
    assert_eq!(outcome(mode_3), (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009)));
    let foreign = outcome(post(&path("e").replace("15bBZlRknc", "other"), body));
    assert_eq!(foreign, (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009)));
    let too_large = format!(r#"{{"params":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    assert_eq!(outcome(post(&path("e"), &too_large)).0, Code::REQUEST_ENTITY_TOO_LARGE);
}

#[test]
fn a_doubtful_time_of_an_event_is_warned_about() {
    let action = asked("e", r#"{"events":{},"time":1700000600000}"#, None);
    let Action::Store { warning: Some(warning), .. } = action else { panic!("{action:?}") };
    assert_eq!(warning.reason, Reason::TimeDoubtful);
}
