//! Requests in, actions out: the device API as a device and an attacker see it.

mod as_cbor;
mod authority;
mod events;
mod explained;
mod guide;
mod ota;
mod properties;
mod raw;
mod short;
mod types;

use narrowgate_coap::{OptionNumber, Response, format};
use proptest::prelude::*;

use super::*;
use crate::{
    ids::DeviceId,
    model::message::{Message, MessageKind},
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const POST: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post";
const BATCH: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post/batch";
const INFO: &str = "/topic/ext/session/MuGsF6W4/15bBZlRknc/thing/activate/info";
const AUTH: &str = "/auth/MuGsF6W4/15bBZlRknc";

fn named(names: [&str; 3], mode: SecureMode) -> Grant {
    Grant::new(DeviceId(7), names, mode, (60, 1))
}

pub(super) fn session(mode: SecureMode) -> Grant {
    named(["MuGsF6W4", "15bBZlRknc", "As5etId1"], mode)
}

fn ask(mode: SecureMode, request: &Request) -> Action {
    handle(&session(mode), request, ProductState::On(None), NOW)
}

fn post(path: &str, body: &str) -> Action {
    ask(SecureMode::DeviceSecret, &Request::post(path, 50, body))
}

#[track_caller]
fn response(action: Action) -> (Response, Option<Refusal>) {
    let Action::Respond(answer) = action else { panic!("it is answered at once: {action:?}") };
    answer.into_parts()
}

/// Code, reason and number of a request that is answered at once.
#[track_caller]
fn outcome(action: Action) -> (Code, Option<Reason>, Option<u16>) {
    let (response, refusal) = response(action);
    assert!(response.payload.is_empty(), "4.xx and empty answers have no payload");
    (
        response.code,
        refusal.as_ref().and_then(|refusal| refusal.reason),
        refusal.and_then(|refusal| refusal.code()),
    )
}

/// The reports that are stored, and the reply.
#[track_caller]
fn stored(action: Action) -> (Vec<Message>, String) {
    let Action::Store { writes, response, .. } = action else { panic!("it is stored: {action:?}") };
    assert_eq!(response.code, Code::CHANGED);
    let messages = writes.into_iter().map(|write| match write {
        Write::Message(message) => message,
        other => panic!("only reports are stored: {other:?}"),
    });
    (messages.collect(), text(&response))
}

/// The JSON code of a report that is refused in the reply, and the words of the log, which begin with the
/// message of the reply.
#[track_caller]
fn fault(action: Action) -> (u64, String) {
    let (response, refusal) = response(action);
    assert_eq!(response.code, Code::CHANGED);
    let reply: serde_json::Value = serde_json::from_slice(&response.payload).expect("the reply is JSON");
    let refusal = refusal.expect("it is logged");
    let message = reply["message"].as_str().expect("a fault has a message");
    let hint = refusal.detail.strip_prefix(message).expect("the log says what the device is told");
    assert!(hint.is_empty() || hint.starts_with("; "), "{}", refusal.detail);
    assert_eq!(refusal.code().map(u64::from), reply["code"].as_u64());
    (reply["code"].as_u64().expect("a number"), refusal.detail.into_owned())
}

fn text(response: &Response) -> String {
    String::from_utf8(response.payload.to_vec()).expect("it is text")
}

#[test]
fn a_report_is_stored_and_answered_with_its_id() {
    let body = r#"{"id":"123","version":"1.0","params":{"measurepoints":{"temp":21.5},
        "time":1699999999000},"method":"thing.measurepoint.post"}"#;
    let (messages, reply) = stored(post(POST, body));
    assert_eq!(reply, r#"{"id":"123","code":200,"data":{}}"#);
    let [message] = &messages[..] else { panic!("one report") };
    assert_eq!((message.device, message.kind), (DeviceId(7), MessageKind::Points));
    assert_eq!((message.time, message.arrival), (UnixMillis(1_699_999_999_000), NOW));
    assert_eq!(&*message.points_json, r#"{"temp":21.5}"#);
}

#[test]
fn a_report_needs_neither_id_nor_version_nor_method_nor_time() {
    let (messages, reply) =
        stored(post(POST, r#" { "params" : { "measurepoints" : { "a" : 1 , "b" : [ 1, 2 ] } } } "#));
    assert_eq!(reply, r#"{"code":200,"data":{}}"#);
    assert_eq!((messages[0].time, &*messages[0].points_json), (NOW, r#"{"a":1,"b":[1,2]}"#));
    for body in [
        r#"{"id":null,"version":null,"method":null,"params":{"measurepoints":{"a":1},"time":null}}"#,
        // The version is not looked at.
        r#"{"version":"2.0","params":{"measurepoints":{"a":1}}}"#,
        r#"{"version":2,"params":{"measurepoints":{"a":1}}}"#,
    ] {
        let (messages, _) = stored(post(POST, body));
        assert_eq!(messages[0].time, NOW, "{body}");
    }
}

#[test]
fn a_resumed_report_is_history() {
    let path = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/resume";
    let (messages, _) =
        stored(post(path, r#"{"params":{"measurepoints":{"a":1}},"method":"thing.measurepoint.resume"}"#));
    assert_eq!(messages[0].kind, MessageKind::PointsResumed);
}

#[test]
fn an_answer_has_the_format_that_the_device_accepts() {
    let body = r#"{"params":{"measurepoints":{"a":1}}}"#;
    for (accept, format) in [(None, 50), (Some(50), 50), (Some(0), 0)] {
        let request = Request { accept, ..Request::post(POST, 50, body) };
        let Action::Store { response, .. } = ask(SecureMode::DeviceSecret, &request) else {
            panic!("it is stored")
        };
        assert_eq!(response.options.find_uint(OptionNumber::CONTENT_FORMAT), Some(format));
    }
    let request = Request::post(POST, 50, body).accept(41);
    let expected = (Code::NOT_ACCEPTABLE, Some(Reason::NotAcceptable), None);
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &request)), expected);
}

#[test]
fn json_is_read_whether_called_json_or_text() {
    let body = r#"{"params":{"measurepoints":{"a":1}}}"#;
    for content_format in [None, Some(0), Some(50)] {
        stored(ask(SecureMode::DeviceSecret, &Request { content_format, ..Request::post(POST, 50, body) }));
    }
    for content_format in [1, 42, 112, 11_050] {
        let request = Request::post(POST, content_format, body);
        let expected = (Code::UNSUPPORTED_CONTENT_FORMAT, Some(Reason::BodyMalformed), None);
        assert_eq!(outcome(ask(SecureMode::DeviceSecret, &request)), expected);
    }
}

#[test]
fn a_body_that_is_no_json_object_is_a_bad_request() {
    for body in [
        "",
        " ",
        "temp=21",
        "[]",
        "null",
        "{",
        "{}x",
        r#"{"id":1,"id":2,"params":{"measurepoints":{"a":1}}}"#,
    ] {
        assert_eq!(
            outcome(post(POST, body)),
            (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None),
            "{body:?}"
        );
    }
}

#[test]
fn faults_of_a_message_are_told_in_the_reply() {
    let points = |points: &str| format!(r#"{{"id":1,"params":{{"measurepoints":{points}}}}}"#);
    let time = |time: &str| format!(r#"{{"id":1,"params":{{"measurepoints":{{"a":1}},"time":{time}}}}}"#);
    let many: Vec<String> = (0..201).map(|index| format!("\"p{index}\":1")).collect();
    for (body, code, said) in [
        (r#"{"id":1}"#.to_owned(), 1200, "/params: is missing"),
        (r#"{"id":1,"params":[{"a":1},2]}"#.to_owned(), 1200, "/params: must be an object"),
        (r#"{"id":1,"params":7}"#.to_owned(), 1200, "/params: must be an object"),
        (r#"{"id":{},"params":{"measurepoints":{"a":1}}}"#.to_owned(), 1200, "/id: must be"),
        (
            r#"{"id":1,"method":"thing.event.x.post","params":{}}"#.to_owned(),
            1260,
            "/method: this topic's method is thing.measurepoint.post",
        ),
        (r#"{"id":1,"params":{}}"#.to_owned(), 1204, "/params/measurepoints: is missing"),
        (points("[]"), 1204, "/params/measurepoints: must be an object"),
        (points("{}"), 1204, "/params/measurepoints: has 0 points; 1 to 200 are allowed"),
        (points(&format!("{{{}}}", many.join(","))), 1204, "/params/measurepoints: has 201 points"),
        (points(r#"{"a":null}"#), 1204, "/params/measurepoints/a: must not be null"),
        (points(r#"{"a b":1}"#), 1204, "/params/measurepoints/a b: an identifier is"),
        (points(r#"{"":1}"#), 1204, "/params/measurepoints/: an identifier is"),
        (points(r#"{"a/~":1}"#), 1204, "/params/measurepoints/a~1~0: an identifier is"),
        (time("1.5"), 1204, "/params/time: must be an integer"),
        (time("1e3"), 1204, "/params/time: must be an integer"),
        (time("\"1\""), 1204, "/params/time: must be an integer"),
        (time("99999999999999999999"), 1204, "/params/time: must be an integer"),
        (time("-1"), 1204, "/params/time: must not be negative"),
        (time("-0"), 1204, "/params/time: must be an integer, Unix milliseconds"),
        (time(&(NOW.0 + 86_400_001).to_string()), 1204, "/params/time: lies more than a day ahead"),
    ] {
        let (given, message) = fault(post(POST, &body));
        assert_eq!(given, code, "{body}: {message}");
        assert!(message.starts_with(said), "{body}: {message}");
    }
    stored(post(POST, &time("0")));
    stored(post(POST, &time(&(NOW.0 + 86_400_000).to_string())));
}

/// Code, reason and words of a request that is refused at once.
#[track_caller]
#[test]
fn a_model_is_kept() {
    let model =
        ThingModel::parse(r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}]}"#)
            .expect("it is valid");
    let ask = |body: &str| {
        let product = ProductState::On(Some(&model));
        handle(&session(SecureMode::DeviceSecret), &Request::post(POST, 50, body), product, NOW)
    };
    stored(ask(r#"{"params":{"measurepoints":{"temp":21.5}}}"#));
    let (code, message) = fault(ask(r#"{"params":{"measurepoints":{"temp":"hot"}}}"#));
    let said =
        "/params/measurepoints/temp: must be a number; received \"hot\" at byte 36; a number is expected";
    assert!(code == 1204 && message.starts_with(said), "{message}");
    let (code, message) = fault(ask(r#"{"params":{"measurepoints":{"temp":1,"tmp":2}}}"#));
    assert_eq!((code, message.as_str()), (1204, "/params/measurepoints/tmp: model m has no such point"));
}

#[test]
fn a_batch_is_stored_as_a_whole() {
    let body = r#"{"id":"9","params":[{"measurepoints":{"a":1},"time":5},
        {"productKey":"MuGsF6W4","deviceKey":"15bBZlRknc","measurepoints":{"a":2}}],
        "method":"thing.measurepoint.post.batch"}"#;
    let (messages, reply) = stored(post(BATCH, body));
    let times: Vec<_> = messages.iter().map(|message| message.time).collect();
    assert_eq!((times, reply.as_str()), (vec![UnixMillis(5), NOW], r#"{"id":"9","code":200,"data":{}}"#));
    let (messages, _) =
        stored(post(&BATCH.replace("post", "resume"), r#"{"params":[{"measurepoints":{"a":1}}]}"#));
    assert_eq!(messages[0].kind, MessageKind::PointsResumed);
}

#[test]
fn one_bad_element_fails_a_batch() {
    let many = vec![r#"{"measurepoints":{"a":1}}"#; BATCH_TOO_MANY];
    for (params, code, said) in [
        ("{}", 1206, "/params: must be an array"),
        ("[]", 1206, "/params: has 0 elements"),
        (&format!("[{}]", many.join(",")), 1206, "/params: has 201 elements"),
        (r#"[{"measurepoints":{"a":1}},7]"#, 1206, "/params/1: must be an object"),
        (
            r#"[{"measurepoints":{"a":1}},{"measurepoints":{"a":null}}]"#,
            1204,
            "/params/1/measurepoints/a: must not be null",
        ),
        (r#"[{"measurepoints":{"a":1},"time":-0}]"#, 1204, "/params/0/time: must be an integer, Unix"),
        (r#"[{"measurepoints":{"a":1},"time":-1}]"#, 1204, "/params/0/time: must not be negative"),
        (
            r#"[{"measurepoints":{"a":1},"deviceKey":"other"}]"#,
            1212,
            "/params/0/deviceKey: is another device's",
        ),
        (
            r#"[{"measurepoints":{"a":1},"productKey":"other"}]"#,
            1212,
            "/params/0/productKey: is another device's",
        ),
        (r#"[{"measurepoints":{"a":1},"deviceKey":7}]"#, 1206, "/params/0/deviceKey: must be a string"),
    ] {
        let (given, message) = fault(post(BATCH, &format!(r#"{{"id":1,"params":{params}}}"#)));
        assert_eq!(given, code, "{params}: {message}");
        assert!(message.starts_with(said), "{params}: {message}");
    }
}

const BATCH_TOO_MANY: usize = points::BATCH_MAX + 1;

#[test]
fn a_batch_may_be_stored_without_its_invalid_points() {
    let skip = |params: &str| {
        post(
            BATCH,
            &format!(r#"{{"params":{params},"skipInvalidMeasurepoints":true,"allowOfflineSubDevice":true}}"#),
        )
    };
    let partly = || {
        skip(
            r#"[{"measurepoints":{"a":1, "b":null, "c d":2, "e": [3, 4]}},{"measurepoints":{"b":null}},
                {"measurepoints":{"f":1}}]"#,
        )
    };
    let Action::Store { warning: Some(warning), .. } = partly() else { panic!("the log says so") };
    assert_eq!(warning.reason, Reason::ModelInvalid);
    let said = "stored without its invalid points; left out: 3 points, the first is \
                /params/0/measurepoints/b: must not be null";
    assert!(warning.detail.starts_with(said), "{}", warning.detail);
    let (messages, _) = stored(partly());
    let kept: Vec<&str> = messages.iter().map(|message| &*message.points_json).collect();
    assert_eq!(kept, [r#"{"a":1,"e":[3,4]}"#, r#"{"f":1}"#]);
    // Nothing is left to store: the device is told 200, as it wished, and the log says why nothing came.
    let (response, refusal) = response(skip(r#"[{"measurepoints":{"b":null}}]"#));
    assert_eq!(text(&response), r#"{"code":200,"data":{}}"#);
    let refusal = refusal.expect("it leaves a trace");
    assert_eq!((refusal.reason, refusal.code()), (Some(Reason::ModelInvalid), Some(1204)));
    let said = "nothing was stored: the batch skips invalid points, and it has no other; left out: \
                /params/0/measurepoints/b: must not be null";
    assert!(refusal.detail.starts_with(said), "{}", refusal.detail);
    assert_eq!(fault(skip(r#"[{"measurepoints":{"a":1},"deviceKey":"other"}]"#)).0, 1212);
}
