//! Messages in CBOR: what becomes of them is what becomes of the same messages in JSON.

use narrowgate_coap::format;

use super::*;
use crate::{
    model::{
        command::{Command, CommandId, CommandStep, CommandTopic, Order},
        property::Properties,
    },
    ports::Issued,
    secret::Secret,
};

const SYS: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/";

/// The same request in CBOR.
fn in_cbor(path: &str, json: &str) -> Request {
    Request::post(&format!("{SYS}{path}"), format::CBOR, cbor::from_json(json.as_bytes()))
}

fn in_json(path: &str, json: &str) -> Request {
    Request::post(&format!("{SYS}{path}"), format::JSON, json)
}

/// The content of an answer as JSON, from the format that it says it has.
#[track_caller]
fn content(response: &Response, content_format: u16) -> String {
    let said = response.options.find_uint(OptionNumber::CONTENT_FORMAT);
    assert_eq!(said, Some(content_format.into()), "{response:?}");
    match content_format {
        format::CBOR => cbor::to_json(&response.payload, cbor::Limits::BODY, None).expect("it is CBOR"),
        _ => String::from_utf8(response.payload.to_vec()).expect("it is text"),
    }
}

/// All that an action says, with its answer as JSON.
fn told(action: Action, content_format: u16) -> String {
    match action {
        Action::Respond(answer) if answer.response().code == Code::CHANGED => {
            let (response, refusal) = answer.into_parts();
            format!("{} {refusal:?}", content(&response, content_format))
        }
        Action::Store { writes, response, warning } => {
            format!("{writes:?} {} {warning:?}", content(&response, content_format))
        }
        Action::Edit(wanted) => {
            let too_much = wanted.too_much(9000).into_parts().0;
            let (done, refused) =
                (content(&wanted.response, content_format), content(&too_much, content_format));
            format!("{:?} {done} {refused}", wanted.edit)
        }
        Action::Query(wanted) => {
            let answer = wanted.answer(&Properties::default());
            content(answer.response(), content_format)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn a_message_in_cbor_is_handled_as_the_same_message_in_json() {
    for (path, json) in [
        (
            "measurepoint/post",
            r#"{"id":"123","params":{"measurepoints":{"temp":21.5,"n":[1,-2],"ok":true}}}"#,
        ),
        ("measurepoint/post", r#"{"id":7,"params":{"measurepoints":{"a":{"value":1.5,"quality":3}}}}"#),
        (
            "measurepoint/resume",
            r#"{"id":-1.5,"params":{"measurepoints":{"a":"x\"y"},"time":1699999999000}}"#,
        ),
        ("measurepoint/post", r#"{"id":"ä","version":"1.0","params":{"measurepoints":{"a":null}}}"#),
        ("measurepoint/post", r#"{"id":"1","params":{"measurepoints":{"a":1},"time":1}}"#),
        ("measurepoint/post", r#"{"id":"1","params":{},"method":"thing.measurepoint.post"}"#),
        ("measurepoint/post", r#"{"id":"1","params":{},"method":"thing.event.x.post"}"#),
        ("measurepoint/post", r#"{"id":{},"params":{"measurepoints":{"a":1}}}"#),
        ("measurepoint/post", r#"{"params":{"measurepoints":{"a":1}}}"#),
        (
            "measurepoint/post/batch",
            r#"{"params":[{"measurepoints":{"a":1},"time":5},{"measurepoints":{"a":2},"time":6}]}"#,
        ),
        (
            "measurepoint/resume/batch",
            r#"{"id":1,"skipInvalidMeasurepoints":true,"params":[{"measurepoints":{"a":1,"b c":2}}]}"#,
        ),
        ("measurepoint/post/batch", r#"{"id":1,"params":[{"measurepoints":{"a":1},"deviceKey":"other"}]}"#),
        ("attribute/update", r#"{"id":"1","params":{"attributes":{"size":[1.5,{"a":null}]}}}"#),
        ("attribute/update", r#"{"id":"1","params":{"attributes":[]}}"#),
        ("attribute/query", r#"{"id":"1","params":{"attributes":[]}}"#),
        ("attribute/delete", r#"{"id":"1","params":{"attributes":["size"]}}"#),
        ("tag/update", r#"{"id":"1","params":[{"tagKey":"site","tagValue":"north"}]}"#),
        ("tag/update", r#"{"id":"1","params":[{"tagKey":"site","tagValue":7}]}"#),
        ("tag/query", r#"{"id":"1","params":{"tags":["site"]}}"#),
        ("tag/delete", r#"{"id":"1","params":{"tags":["site"]}}"#),
        ("event/tilted/post", r#"{"id":"1","params":{"events":{"angle":7.5}}}"#),
        ("event/tilted/post", r#"{"id":"1","params":{"events":[1]}}"#),
        ("service/measurepoint/set_reply", r#"{"id":"20","code":200,"data":{"a":1.5},"message":"done"}"#),
        ("service/measurepoint/get_reply", r#"{"id":20,"code":"200","data":[1]}"#),
        ("service/restart_reply", r#"{"id":"20"}"#),
    ] {
        let ask = |request: Request| ask(SecureMode::DeviceSecret, &request);
        // Places in a body differ, so does what is told of them.
        let without_places = |told: String| told.split("; received").next().unwrap_or_default().to_owned();
        let by_json = without_places(told(ask(in_json(path, json)), format::JSON));
        let by_cbor = without_places(told(ask(in_cbor(path, json)), format::CBOR));
        assert_eq!(by_cbor, by_json, "{path} {json}");
    }
}

#[test]
fn a_login_by_plain_coap_may_be_in_cbor() {
    let json = br#"{"secureMode":2,"lifetime":60,"sign":"AB"}"#;
    let request = Request::post(AUTH, format::CBOR, cbor::from_json(json));
    let login = login::read(&request, MessageLimit::default()).expect("it is a login");
    assert_eq!((login.shown.as_str(), &*login.sign), ("MuGsF6W4,15bBZlRknc,2,60", "AB"));
}

#[test]
fn an_answer_has_the_format_of_accept_or_else_that_of_the_request() {
    let json = r#"{"id":"1","params":{"measurepoints":{"a":1}}}"#;
    for (request, answered) in [
        (in_cbor("measurepoint/post", json), format::CBOR),
        (in_cbor("measurepoint/post", json).accept(format::CBOR), format::CBOR),
        (in_cbor("measurepoint/post", json).accept(format::JSON), format::JSON),
        (in_cbor("measurepoint/post", json).accept(format::TEXT_PLAIN), format::TEXT_PLAIN),
        (in_json("measurepoint/post", json).accept(format::CBOR), format::CBOR),
        (in_json("measurepoint/post", json), format::JSON),
    ] {
        let Action::Store { response, .. } = ask(SecureMode::DeviceSecret, &request) else {
            panic!("it is stored");
        };
        assert_eq!(content(&response, answered), r#"{"id":"1","code":200,"data":{}}"#);
    }
    let other = in_cbor("measurepoint/post", json).accept(112);
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &other)).0, Code::NOT_ACCEPTABLE);
}

#[test]
fn an_id_comes_back_with_the_type_with_which_it_came() {
    // 7, -7, "7", 1.5 (as a double), 2^64, h'…' is none.
    let (int, text) = ("07", "6137");
    for (sent, back) in [
        (int, int),
        ("26", "26"),
        (text, text),
        ("1807", int),
        ("fb3ff8000000000000", "f93e00"),
        ("fb3ff199999999999a", "fb3ff199999999999a"),
        ("f93c00", "f93c00"),
        ("1bffffffffffffffff", "1bffffffffffffffff"),
        ("c249010000000000000000", "c249010000000000000000"),
        ("7f613161326133ff", "63313233"),
    ] {
        let body = format!("a2626964{sent}66706172616d73a16d6d656173757265706f696e7473a1616101");
        let request = Request::post(POST, format::CBOR, hex::decode(body).expect("hex"));
        let Action::Store { response, .. } = ask(SecureMode::DeviceSecret, &request) else {
            panic!("{sent}: it is stored");
        };
        let expected = format!("a3626964{back}64636f646518c86464617461a0");
        assert_eq!(hex::encode(&response.payload), expected, "{sent}");
    }
}

#[test]
fn what_is_no_map_in_cbor_is_a_bad_request_and_the_log_says_why() {
    for (body, words) in [
        ("", "the body is not CBOR at byte 1: the body is empty"),
        ("ff", "the body is not CBOR at byte 1: a break"),
        ("80", "the body is not a CBOR map: it is an array; a batch is"),
        ("07", "the body is not a CBOR map: it is a number, 7"),
        ("6161", "the body is not a CBOR map: it is a text, \"a\""),
        ("f6", "the body is not a CBOR map: it is null"),
        ("a16161f97e00", "the body is refused at byte 4: NaN"),
        ("a2616101616102", "the body is refused at byte 1: a key occurs twice"),
        ("a0f6", "the body is not CBOR at byte 2: 1 byte follows"),
        // {"a":1}
        ("7b2261223a317d", "the body is JSON, and its content format is 60 (application/cbor): use 50"),
    ] {
        let request = Request::post(POST, format::CBOR, hex::decode(body).expect("hex"));
        let (response, refusal) = response(ask(SecureMode::DeviceSecret, &request));
        let refusal = refusal.expect("it says why");
        assert_eq!((response.code, response.payload.len()), (Code::BAD_REQUEST, 0), "{body}");
        assert_eq!(refusal.reason, Some(Reason::BodyMalformed), "{body}");
        assert!(refusal.detail.starts_with(words), "{body}: {}", refusal.detail);
    }
    let grows = [&b"\xa1\x61a\x79\x1f\x40"[..], &[1; 8000]].concat();
    let request = Request::post(POST, format::CBOR, grows);
    let too_long = (Code::REQUEST_ENTITY_TOO_LARGE, Some(Reason::TooLarge), Some(1008));
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &request)), too_long);
}

#[test]
fn the_log_names_the_byte_of_the_cbor_that_was_sent() {
    let (code, detail) = {
        let json = r#"{"id":"1","params":{"measurepoints":{"a":null}}}"#;
        let (response, refusal) =
            response(ask(SecureMode::DeviceSecret, &in_cbor("measurepoint/post", json)));
        (response.code, refusal.expect("it says why").detail)
    };
    assert_eq!(code, Code::CHANGED);
    // a2 62"id" 61"1" 66"params" a1 6d"measurepoints" a1 61"a" f6
    assert!(detail.contains("received null at byte 32;"), "{detail}");
}

#[test]
fn an_id_is_as_long_as_it_was_sent() {
    let sent = |id: &str| {
        let json = format!(r#"{{"id":"{id}","params":{{"measurepoints":{{"a":1}}}}}}"#);
        ask(SecureMode::DeviceSecret, &in_cbor("measurepoint/post", &json))
    };
    for (id, times) in [("\\u0001", 30), ("\\u0001", 128), ("\\\"", 128), ("ä", 64), ("x", 128)] {
        let id = id.repeat(times);
        let Action::Store { response, .. } = sent(&id) else { panic!("{id}") };
        let reply = format!(r#"{{"id":"{id}","code":200,"data":{{}}}}"#);
        assert_eq!(content(&response, format::CBOR), reply);
    }
    for (id, times) in [("\\u0001", 129), ("\\\"", 129), ("ä", 65), ("x", 129)] {
        assert_eq!(fault_in_cbor(sent(&id.repeat(times))), 1200, "{id}");
    }
    // JSON is measured as it is written, as ever.
    let escaped = "\\u0001".repeat(22);
    let json = format!(r#"{{"id":"{escaped}","params":{{"measurepoints":{{"a":1}}}}}}"#);
    let action = ask(SecureMode::DeviceSecret, &in_json("measurepoint/post", &json));
    assert_eq!(response(action).1.and_then(|refusal| refusal.code()), Some(1200));
}

/// The code of a reply in CBOR that refuses a message.
#[track_caller]
fn fault_in_cbor(action: Action) -> u16 {
    let (response, refusal) = response(action);
    let code = refusal.and_then(|refusal| refusal.code()).expect("it is refused with a number");
    let reply = content(&response, format::CBOR);
    assert!(reply.starts_with(&format!(r#"{{"code":{code},"#)), "{reply}");
    code
}

#[test]
fn a_command_is_delivered_in_cbor_where_that_is_accepted_or_rides_in_cbor() {
    let path = format!("{SYS}service/measurepoint/set");
    let request = Request::get(&path).accept(format::CBOR);
    let Action::Command(CommandWanted::Fetch { topic, content_format }) =
        ask(SecureMode::DeviceSecret, &request)
    else {
        panic!("it is a fetch");
    };
    assert_eq!((&topic, content_format), (&CommandTopic::Set, format::CBOR));
    let order = Order {
        topic: CommandTopic::Set,
        params_json: r#"{"temp":30.50}"#.into(),
        pending_ttl_s: 0,
        timeout_s: 30,
        raw: None,
    };
    let command = Command::new(CommandId(20), order, UnixMillis(0));
    let delivered = commands::deliver(&command, content_format);
    let json =
        r#"{"id":"20","version":"1.0","params":{"temp":30.5},"method":"thing.service.measurepoint.set"}"#;
    assert_eq!(content(&delivered, format::CBOR), json);
    assert_eq!(delivered.options.find_uint(OptionNumber::MAX_AGE), Some(0));

    let response = Response::new(Code::CHANGED);
    let session = session(SecureMode::DeviceSecret);
    for (response, first) in [
        (answer::with_json(response.clone(), format::CBOR, b"{}".to_vec()), 0xa4),
        (answer::with_json(response.clone(), format::JSON, b"{}".to_vec()), b'{'),
        (response, b'{'),
    ] {
        let carried = carried::with_command(&response, &session, &command).expect("it fits");
        assert_eq!(carried.options.find(carried::COMMAND).map(|command| command[0]), Some(first));
    }
}

#[test]
fn a_reply_in_cbor_keeps_the_data_to_the_last_digit() {
    let body =
        r#"{"id":"20","code":200,"data":{"big":123456789012345678901234567890,"half":0.1,"none":-0.0}}"#;
    let action = ask(SecureMode::DeviceSecret, &in_cbor("service/measurepoint/set_reply", body));
    let Action::Command(CommandWanted::Reply { id, step, .. }) = action else { panic!("{action:?}") };
    let data_json = Some(r#"{"big":123456789012345678901234567890,"half":0.1,"none":-0.0}"#.into());
    assert_eq!((id, step), (Some(CommandId(20)), CommandStep::Reply { code: 200, data_json, message: None }));
}

#[test]
fn how_many_commands_wait_and_the_secret_of_an_activation_come_in_cbor_too() {
    let request = Request::get(&format!("{SYS}commands")).accept(format::CBOR);
    let Action::CountCommands(wanted) = ask(SecureMode::DeviceSecret, &request) else { panic!("it counts") };
    assert_eq!(content(&waiting::tell(wanted, 2), format::CBOR), r#"{"waiting":2}"#);

    let grant = session(SecureMode::ProductSecret);
    let action = ask(SecureMode::ProductSecret, &Request::get(INFO).accept(format::CBOR));
    let Action::IssueSecret(wanted) = action else { panic!("it is issued") };
    let secret = Secret::new("Z5YtZaQpK5IWocakV7zQ".into());
    let answer = answer_secret(&grant, &wanted, &Issued::Done, &secret);
    let json = content(&answer.response, format::CBOR);
    assert!(json.contains(r#""deviceSecret":"Z5YtZaQpK5IWocakV7zQ"}}"#), "{json}");
}
