//! Requests in, actions out: the device API as a device and an attacker see it.

use narrowgate_coap::{OptionNumber, Response};
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

fn session(mode: SecureMode) -> Grant {
    Grant {
        device: DeviceId(7),
        asset_id: "As5etId1".into(),
        product_key: "MuGsF6W4".into(),
        device_key: "15bBZlRknc".into(),
        mode,
        lifetime_s: 60,
        secret_version: 1,
    }
}

fn ask(mode: SecureMode, request: &Request) -> Action {
    handle(&session(mode), request, None, NOW)
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
    (response.code, refusal.as_ref().map(|refusal| refusal.reason), refusal.and_then(|refusal| refusal.code))
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
    (messages.collect(), text(response))
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
    assert_eq!(refusal.code.map(u64::from), reply["code"].as_u64());
    (reply["code"].as_u64().expect("a number"), refusal.detail)
}

fn text(response: Response) -> String {
    String::from_utf8(response.payload).expect("it is text")
}

#[test]
fn a_report_is_stored_and_answered_with_its_id() {
    let body = r#"{"id":"123","version":"1.0","params":{"measurepoints":{"temp":21.5},"time":1699999999000},"method":"thing.measurepoint.post"}"#;
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
    let (messages, _) = stored(post(
        POST,
        r#"{"id":null,"version":null,"method":null,"params":{"measurepoints":{"a":1},"time":null}}"#,
    ));
    assert_eq!(messages[0].time, NOW);
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
    let request = Request::post(POST, 50, body).accept(60);
    let expected = (Code::NOT_ACCEPTABLE, Some(Reason::NotAcceptable), None);
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &request)), expected);
}

#[test]
fn only_json_is_read_whether_called_json_or_text() {
    let body = r#"{"params":{"measurepoints":{"a":1}}}"#;
    for content_format in [None, Some(0), Some(50)] {
        stored(ask(SecureMode::DeviceSecret, &Request { content_format, ..Request::post(POST, 50, body) }));
    }
    for content_format in [1, 42, 60, 11_050] {
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
fn refused(action: Action) -> (Code, Reason, String) {
    let (response, refusal) = response(action);
    let refusal = refusal.expect("it is logged");
    (response.code, refusal.reason, refusal.detail)
}

#[test]
fn an_unknown_path_names_the_probable_mistake() {
    const KEYS: &str = "MuGsF6W4/15bBZlRknc";
    for (path, words) in [
        ("/", "there is no path /: the request has no Uri-Path option"),
        (&format!("{POST}/"), "a trailing slash"),
        (&format!("/{POST}"), "a slash too many"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoint/Post"), "the case of a letter is wrong"),
        (&format!("/TOPIC/sys/{KEYS}/thing/measurepoint/post"), "the case of a letter is wrong"),
        (
            &format!("/sys/{KEYS}/thing/measurepoint/post"),
            "this is the MQTT topic, a CoAP path begins with /topic",
        ),
        (&format!("/ext/session/{KEYS}/thing/activate/info"), "this is the MQTT topic"),
        (
            &format!("//sys/{KEYS}/thing/measurepoint/post/"),
            "(a slash too many), and an empty segment stands at the end",
        ),
        (&POST[1..].replace('/', "%2F"), "several segments stand in one Uri-Path option"),
        (&POST.replace('/', "%2F"), "several segments stand in one Uri-Path option"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoint%252Fpost"), "percent-encoded"),
        (&format!("{POST}%3Ftoken=1"), "the query stands in the path"),
        (&format!("{POST}%00"), "a space or a NUL"),
        (&format!("{POST}%20"), "a space or a NUL"),
        (&format!("/coaps:/%00/host{POST}"), "scheme and host stand in the path"),
        (&format!("/topic/sys/{KEYS}/thing/measurepoints/post"), "perhaps thing/measurepoint/post is meant"),
        (
            &format!("/topic/sys/{KEYS}/thing/measurepoint/post/bach"),
            "perhaps thing/measurepoint/post/batch is meant",
        ),
        (
            &format!("/topic/sys/{KEYS}/thing/attribute/update"),
            "thing/attribute/… is not served by this version",
        ),
        (
            &format!("/topic/sys/{KEYS}/what/ever"),
            "a report goes to /topic/sys/{productKey}/{deviceKey}/thing",
        ),
        (&"/x".repeat(200), "…; a report goes to"),
    ] {
        let (code, reason, detail) = refused(post(path, "{}"));
        assert_eq!((code, reason), (Code::NOT_FOUND, Reason::PathUnknown), "{path}");
        assert!(detail.starts_with("there is no path /") && detail.contains(words), "{path}: {detail}");
        assert!(detail.len() < 400, "{detail}");
    }
}

#[test]
fn another_devices_path_names_the_probable_mistake() {
    let path = |keys: &str| format!("/topic/sys/{keys}/thing/measurepoint/post");
    for (path, words) in [
        (
            path("15bBZlRknc/MuGsF6W4"),
            "productKey and deviceKey are swapped; this session is MuGsF6W4/15bBZlRknc",
        ),
        (path("mugsf6w4/15bbzlrknc"), "the keys differ in the case of a letter"),
        (path("{productKey}/{deviceKey}"), "a placeholder was not filled in"),
        (path("MuGsF6W4/15bBZlRknc%00"), "a segment begins or ends with a space or a NUL"),
        (path("MuGsF6W4/other"), "; this session is MuGsF6W4/15bBZlRknc"),
        ("/auth/15bBZlRknc/MuGsF6W4".to_owned(), "swapped"),
        ("/topic/ext/session/15bBZlRknc/MuGsF6W4/thing/activate/info".to_owned(), "swapped"),
    ] {
        let (code, reason, detail) = refused(post(&path, "{}"));
        assert_eq!((code, reason), (Code::FORBIDDEN, Reason::TopicForeign), "{path}");
        assert!(detail.contains(words), "{path}: {detail}");
    }
}

#[test]
fn a_wrong_method_is_named_with_the_right_one() {
    for (method, path, words) in [
        (
            Code::GET,
            POST,
            "GET does not fit /topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post: it takes POST only; \
             a GET carries no body",
        ),
        (Code::PUT, POST, "it takes POST only"),
        (Code::POST, INFO, "it takes GET only; the secret is the answer to a GET"),
    ] {
        let (code, reason, detail) = refused(ask(SecureMode::DeviceSecret, &Request::new(method, path)));
        assert_eq!((code, reason), (Code::METHOD_NOT_ALLOWED, Reason::MethodWrong));
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn a_condition_is_never_ignored() {
    let report = Request::post(POST, 50, r#"{"params":{"measurepoints":{"a":1}}}"#);
    let confirm = Request::post(&format!("{INFO}_reply"), 50, "");
    let cases = [
        (SecureMode::DeviceSecret, report),
        (SecureMode::DeviceSecret, Request::post(AUTH, 50, "")),
        (SecureMode::DeviceSecret, confirm.clone()),
        (SecureMode::ProductSecret, confirm),
        (SecureMode::ProductSecret, Request::get(INFO)),
    ];
    for (mode, request) in cases {
        for (number, value, name) in [
            (OptionNumber::IF_MATCH, &b"tag"[..], "option 1 (If-Match)"),
            (OptionNumber::IF_MATCH, b"", "option 1 (If-Match)"),
            (OptionNumber::IF_NONE_MATCH, b"", "option 5 (If-None-Match)"),
        ] {
            let (code, reason, detail) = refused(ask(mode, &request.clone().option(number, value)));
            let expected = (Code::PRECONDITION_FAILED, Reason::OptionUnsupported);
            assert_eq!((code, reason), expected, "{request:?}");
            assert!(detail.starts_with(name), "{detail}");
        }
        // An entity-tag alone is no condition.
        let action = ask(mode, &request.option(OptionNumber::ETAG, "tag"));
        let is_done = match &action {
            Action::Respond(answer) => answer.refusal().is_none(),
            Action::Store { .. } | Action::IssueSecret(_) => true,
        };
        assert!(is_done, "{action:?}");
    }
}

#[test]
fn an_answer_of_another_format_is_not_acceptable() {
    let report = Request::post(POST, 50, r#"{"params":{"measurepoints":{"a":1}}}"#);
    for (mode, request) in
        [(SecureMode::DeviceSecret, report), (SecureMode::ProductSecret, Request::get(INFO))]
    {
        let (code, reason, detail) = refused(ask(mode, &request.accept(60)));
        assert_eq!((code, reason), (Code::NOT_ACCEPTABLE, Reason::NotAcceptable));
        assert!(
            detail.starts_with("Accept asks for format 60 (application/cbor); answers have format 50"),
            "{detail}"
        );
    }
}

#[test]
fn a_wrong_content_format_is_named_and_told_from_a_wrong_body() {
    let ask = |content_format, body: &str| {
        let request = Request { content_format: Some(content_format), ..Request::post(POST, 50, body) };
        refused(ask(SecureMode::DeviceSecret, &request)).2
    };
    assert!(ask(42, "{}").ends_with(
        "42 (application/octet-stream) is not supported; use 50 (application/json), which the body looks like"
    ));
    assert!(ask(60, "x").ends_with("60 (application/cbor) is not supported; use 50 (application/json)"));
}

#[test]
fn the_log_says_more_than_the_reply() {
    for (body, words) in [
        (r#"{"id":1,"Params":{}}"#, "/params: is missing; there is Params: the name is params"),
        (
            r#"{"id":1,"measurepoints":{"a":1}}"#,
            "/params: is missing; received id, measurepoints; measurepoints stands inside params",
        ),
        (r#"{"id":1,"params":"{\"measurepoints\":{\"a\":1}}"}"#, "the object was encoded twice"),
        (
            r#"{"id":1,"params":[{"measurepoints":{"a":1}}]}"#,
            "/params: must be an object; it is an array: a batch goes to the topic …/batch",
        ),
        (
            r#"{"id":1,"params":{"a":1}}"#,
            "/params/measurepoints: is missing; received a; points stand inside measurepoints",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":[1]}}"#,
            "/params/measurepoints: must be an object; received [1] at byte 35",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":"5"}}"#,
            r#"received "5" at byte 50; a number is not a string"#,
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":5.5}}"#,
            "received 5.5 at byte 50; an integer has no fraction",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":1700000000000000}}"#,
            "as microseconds it is near now",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":1},"time":1700000000000000000}}"#,
            "as nanoseconds it is near now",
        ),
        (
            r#"{"id":1,"params":{"measurepoints":{"a":null}}}"#,
            "received null at byte 40; leave the point out",
        ),
        (
            r#"{"id":1,"method":"thing.event.x.post","params":{}}"#,
            "method is thing.measurepoint.post; received thing.event.x.post",
        ),
    ] {
        let (_, detail) = fault(post(POST, body));
        assert!(detail.contains(words), "{body}: {detail}");
    }
    let (_, detail) = fault(post(BATCH, r#"{"id":1,"params":{"measurepoints":{"a":1}}}"#));
    assert!(detail.contains("it is an object: a single report goes to the topic without /batch"), "{detail}");
}

#[test]
fn a_value_that_the_model_does_not_take_is_shown_with_its_byte() {
    let model = ThingModel::parse(
        r#"{"modelId":"m","measurepoints":[{"identifier":"n","dataType":"INT"},
          {"identifier":"Temp_1","dataType":"DOUBLE"},
          {"identifier":"list","dataType":{"type":"ARRAY","elementType":"INT"}}]}"#,
    )
    .expect("it is valid");
    for (points, words) in [
        (r#"{"n":-0}"#, "/n: must be an integer of 32 bits; received -0 at byte 33; printf writes -0"),
        (r#"{"n":"7"}"#, r#"received "7" at byte 33; a number is not a string"#),
        (r#"{"list":[1,-0]}"#, "/list/1: must be an integer of 32 bits; received -0 in the value at byte 36"),
        (r#"{"temp1":7}"#, "model m has no such point; it has Temp_1: names must be written as in the model"),
        (r#"{"other":7}"#, "model m has no such point"),
    ] {
        let body = format!(r#"{{"params":{{"measurepoints":{points}}}}}"#);
        let request = Request::post(POST, 50, body);
        let (_, detail) = fault(handle(&session(SecureMode::DeviceSecret), &request, Some(&model), NOW));
        assert!(detail.contains(words), "{points}: {detail}");
    }
}

#[test]
fn a_doubtful_time_is_stored_with_a_warning() {
    let warning = |time: &str| {
        let body = format!(r#"{{"params":{{"measurepoints":{{"a":1}},"time":{time}}}}}"#);
        let Action::Store { warning, .. } = post(POST, &body) else { panic!("{time} is stored") };
        warning.map(|warning| (warning.reason, warning.detail))
    };
    let (reason, detail) = warning("1700000000").expect("seconds");
    assert_eq!(reason, Reason::TimeDoubtful);
    assert_eq!(
        detail,
        "/time: 1700000000 ms is 19 days after 1 January 1970; as seconds it is near now: \
         send milliseconds, that is 1000 times as much"
    );
    for uptime in ["0", "5230", "900000000"] {
        let (_, detail) = warning(uptime).expect("an uptime");
        assert!(detail.contains("the device's clock is not set"), "{detail}");
    }
    for good in ["null", "1700000000000", "1700000299000", "1577836800000", "1420070400000"] {
        assert_eq!(warning(good), None, "{good}");
    }
    for (time, words) in [
        // NOW is 1700000000000.
        (
            1_700_007_200_000_i64,
            "120 minutes ahead of the server: is local time sent as UTC? The latest value",
        ),
        (1_384_035_200_000, "as milliseconds since 6 January 1980 (GPS) it is near now"),
        (1_384_035_200, "as seconds since 6 January 1980 (GPS)"),
        (753_315_200, "as seconds since 1 January 2000"),
        (753_315_200_000, "as milliseconds since 1 January 2000"),
        (3_908_988_800, "as seconds since 1 January 1900 (NTP)"),
        (3_782_844_800, "as seconds since 1 January 1904"),
        (170_000_000_000, "as ticks of 10 ms"),
        (1_700_000_000_000 % (1 << 32), "cut to 32 bits"),
        (315_964_860_000, "is not set, and began at 6 January 1980"),
        (946_684_800_000, "is not set, and began at 1 January 2000"),
        (1_262_304_000_000, "the device's clock is probably not set"),
    ] {
        let (reason, detail) = warning(&time.to_string()).expect("it is doubtful");
        assert_eq!(reason, Reason::TimeDoubtful);
        assert!(detail.contains(words) && detail.len() < 200, "{time}: {detail}");
    }
    let batch = r#"{"params":[{"measurepoints":{"a":1}},{"measurepoints":{"a":2},"time":1700000000}]}"#;
    assert!(matches!(post(BATCH, batch), Action::Store { warning: Some(_), .. }));
}

#[test]
fn a_time_in_the_wrong_place_is_told() {
    let warning = |topic: &str, body: &str| {
        let Action::Store { writes, warning, .. } = post(topic, body) else { panic!("{body} is stored") };
        for write in writes {
            assert!(matches!(write, Write::Message(message) if message.arrival == NOW), "{body}");
        }
        warning.map(|warning| warning.detail)
    };
    for (topic, body, words) in [
        (
            POST,
            r#"{"time":1,"params":{"measurepoints":{"a":1}}}"#,
            "time stands outside of params and was not used",
        ),
        (
            POST,
            r#"{"ts":1,"timestamp":2,"time":"x","params":{"measurepoints":{"a":1}}}"#,
            "outside of params",
        ),
        (POST, r#"{"params":{"timestamp":1,"measurepoints":{"a":1}}}"#, "params has timestamp or ts"),
        (POST, r#"{"params":{"ts":1,"measurepoints":{"a":1}}}"#, "params has timestamp or ts"),
        (POST, r#"{"params":{"measurepoints":{"a":1,"time":1}}}"#, "a point has the name of a time"),
        (POST, r#"{"params":{"measurepoints":{"a":{"value":1,"time":1}}}}"#, "value has a time in it"),
        (
            BATCH,
            r#"{"params":[{"measurepoints":{"a":1},"time":1700000000000},{"measurepoints":{"a":1}}]}"#,
            "an element of the batch has no time",
        ),
    ] {
        let said = warning(topic, body).expect("it is told");
        assert!(said.contains(words) && said.contains("the time of arrival counts"), "{body}: {said}");
    }
    for (topic, body) in [
        (POST, r#"{"time":1,"params":{"measurepoints":{"time":1},"ts":1,"time":1700000000000}}"#),
        (POST, r#"{"params":{"measurepoints":{"a":{"quality":1,"value":1},"runtime":4}}}"#),
        (BATCH, r#"{"params":[{"measurepoints":{"a":1}}]}"#),
    ] {
        assert_eq!(warning(topic, body), None, "{body}");
    }
}

#[test]
fn a_model_is_kept() {
    let model =
        ThingModel::parse(r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}]}"#)
            .expect("it is valid");
    let ask = |body: &str| {
        handle(&session(SecureMode::DeviceSecret), &Request::post(POST, 50, body), Some(&model), NOW)
    };
    stored(ask(r#"{"params":{"measurepoints":{"temp":21.5}}}"#));
    let (code, message) = fault(ask(r#"{"params":{"measurepoints":{"temp":"hot"}}}"#));
    let said =
        "/params/measurepoints/temp: must be a number; received \"hot\" at byte 36; a number is wanted";
    assert!(code == 1204 && message.starts_with(said), "{message}");
    let (code, message) = fault(ask(r#"{"params":{"measurepoints":{"temp":1,"tmp":2}}}"#));
    assert_eq!((code, message.as_str()), (1204, "/params/measurepoints/tmp: model m has no such point"));
}

#[test]
fn a_batch_is_stored_as_a_whole() {
    let body = r#"{"id":"9","params":[{"measurepoints":{"a":1},"time":5},
        {"productKey":"MuGsF6W4","deviceKey":"15bBZlRknc","measurepoints":{"a":2}}],"method":"thing.measurepoint.post.batch"}"#;
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
    let (messages, _) = stored(skip(
        r#"[{"measurepoints":{"a":1, "b":null, "c d":2, "e": [3, 4]}},{"measurepoints":{"b":null}},{"measurepoints":{"f":1}}]"#,
    ));
    let kept: Vec<&str> = messages.iter().map(|message| &*message.points_json).collect();
    assert_eq!(kept, [r#"{"a":1,"e":[3,4]}"#, r#"{"f":1}"#]);
    let (response, refusal) = response(skip(r#"[{"measurepoints":{"b":null}}]"#));
    assert_eq!(
        (text(response).as_str(), refusal),
        (r#"{"code":200,"data":{}}"#, None),
        "nothing is left to store"
    );
    assert_eq!(fault(skip(r#"[{"measurepoints":{"a":1},"deviceKey":"other"}]"#)).0, 1212);
}

#[test]
fn an_explicit_login_and_a_confirmed_activation_have_no_effect() {
    let reply = format!("{INFO}_reply");
    for (mode, path) in [
        (SecureMode::DeviceSecret, AUTH),
        (SecureMode::DeviceSecret, reply.as_str()),
        (SecureMode::ProductSecret, reply.as_str()),
    ] {
        assert_eq!(
            outcome(ask(mode, &Request::post(path, 60, "whatever"))),
            (Code::CHANGED, None, None),
            "{path}"
        );
    }
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    for path in [
        "/",
        "/topic",
        "/topic/sys",
        "/topic/sys/MuGsF6W4",
        "/auth/MuGsF6W4",
        "/.well-known/core",
        "/topic/ext/MuGsF6W4/15bBZlRknc",
    ] {
        assert_eq!(outcome(post(path, "")), (Code::NOT_FOUND, Some(Reason::PathUnknown), None), "{path}");
    }
    for rest in [
        "",
        "/thing",
        "/thing/measurepoint",
        "/thing/measurepoint/post/batch/x",
        "/thing/measurepoint/post/",
        "/THING/measurepoint/post",
    ] {
        let path = format!("/topic/sys/MuGsF6W4/15bBZlRknc{rest}");
        assert_eq!(outcome(post(&path, "")), (Code::NOT_FOUND, Some(Reason::PathUnknown), None), "{path}");
    }
    for (method, path) in
        [(Code::GET, POST), (Code::PUT, POST), (Code::DELETE, BATCH), (Code::GET, AUTH), (Code::POST, INFO)]
    {
        let request = Request::new(method, path);
        assert_eq!(
            outcome(ask(SecureMode::DeviceSecret, &request)),
            (Code::METHOD_NOT_ALLOWED, Some(Reason::MethodWrong), Some(1260)),
            "{method} {path}"
        );
    }
}

#[test]
fn attack_152_another_devices_topic_is_forbidden_whatever_it_is() {
    for path in [
        "/topic/sys/MuGsF6W4/other/thing/measurepoint/post",
        "/topic/sys/MuGsF6W4/other/no/such/topic",
        "/topic/sys/other/15bBZlRknc/thing/measurepoint/post",
        "/topic/sys/mugsf6w4/15bBZlRknc/thing/measurepoint/post",
        "/topic/sys/MuGsF6W4/15bBZlRknc%20/thing/measurepoint/post",
        "/topic/ext/session/MuGsF6W4/other/thing/activate/info",
        "/auth/MuGsF6W4/other",
        "/topic/sys//15bBZlRknc/thing/measurepoint/post",
    ] {
        for method in [Code::GET, Code::POST] {
            let expected = (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009));
            assert_eq!(
                outcome(ask(SecureMode::DeviceSecret, &Request::new(method, path))),
                expected,
                "{path}"
            );
        }
    }
}

#[test]
fn attack_154_query_and_host_have_no_influence() {
    let request = Request::post(
        &format!("{POST}?user=other&deviceKey=other"),
        50,
        r#"{"params":{"measurepoints":{"a":1}}}"#,
    );
    stored(ask(SecureMode::DeviceSecret, &request));
    let foreign =
        Request::post("/topic/sys/MuGsF6W4/other/thing/measurepoint/post?deviceKey=15bBZlRknc", 50, "{}");
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &foreign)).0, Code::FORBIDDEN);
}

#[test]
fn attack_156_a_mode_3_session_may_only_ask_for_its_secret() {
    let report = r#"{"params":{"measurepoints":{"a":1}}}"#;
    let observe =
        Request { observe: Some(0), ..Request::get("/topic/sys/MuGsF6W4/15bBZlRknc/thing/commands") };
    for request in [
        Request::post(POST, 50, report),
        Request::post(BATCH, 50, report),
        Request::post(AUTH, 50, ""),
        Request::post(INFO, 50, ""),
        Request::get(&format!("{INFO}_reply")),
        Request::get("/"),
        Request::get("/topic/ext/session/MuGsF6W4/15bBZlRknc/thing/activate/info/x"),
        observe,
    ] {
        let expected = (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009));
        assert_eq!(outcome(ask(SecureMode::ProductSecret, &request)), expected, "{request:?}");
    }
    let action = ask(SecureMode::ProductSecret, &Request::get(INFO));
    assert!(
        matches!(action, Action::IssueSecret(SecretWanted { asked: NOW, content_format: 50 })),
        "{action:?}"
    );
}

#[test]
fn attack_157_a_mode_3_session_may_not_ask_for_another_device() {
    let request = Request::get("/topic/ext/session/MuGsF6W4/other/thing/activate/info");
    let (response, refusal) = response(ask(SecureMode::ProductSecret, &request));
    let refusal = refusal.expect("it is logged");
    assert_eq!((response.code, refusal.reason), (Code::FORBIDDEN, Reason::TopicForeign));
    assert!(
        refusal.detail.contains("names another device: /topic/ext/session/MuGsF6W4/other/"),
        "{}",
        refusal.detail
    );
}

#[test]
fn a_device_that_has_its_secret_is_not_given_another() {
    let expected = (Code::FORBIDDEN, Some(Reason::AlreadyActivated), Some(771));
    assert_eq!(outcome(ask(SecureMode::DeviceSecret, &Request::get(INFO))), expected);
}

#[test]
fn attack_170_numbers_are_kept_as_they_were_written() {
    let (messages, _) = stored(post(
        POST,
        r#"{"params":{"measurepoints":{"a":-0,"b":1.50,"c":12345678901234567890123,"d":1e5}}}"#,
    ));
    assert_eq!(&*messages[0].points_json, r#"{"a":-0,"b":1.50,"c":12345678901234567890123,"d":1e5}"#);
}

#[test]
fn attack_174_and_175_markup_and_metacharacters_are_only_text() {
    let (messages, _) = stored(post(
        POST,
        r#"{"params":{"measurepoints":{"a":"<script>alert(1)</script>'; DROP TABLE x;--"}}}"#,
    ));
    assert_eq!(&*messages[0].points_json, r#"{"a":"<script>alert(1)</script>'; DROP TABLE x;--"}"#);
    let (_, message) = fault(post(POST, r#"{"params":{"measurepoints":{"\"><script>":1}}}"#));
    assert!(
        message.contains("\"><script>"),
        "it is escaped by JSON in the reply and left to each viewer in the log"
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused_with_the_limit() {
    let body = format!(r#"{{"params":{{"measurepoints":{{"a":"{}"}}}}}}"#, "x".repeat(BODY_BYTES_MAX));
    let (response, refusal) = response(post(POST, &body));
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(response.options.find_uint(OptionNumber::SIZE1), Some(10_240));
    let refusal = refusal.expect("it goes into the log");
    assert_eq!((refusal.reason, refusal.code), (Reason::TooLarge, Some(1008)));
}

#[test]
fn a_key_with_a_slash_is_one_segment() {
    let session = Grant { device_key: "a/b c".into(), ..session(SecureMode::DeviceSecret) };
    let report = r#"{"params":{"measurepoints":{"a":1}}}"#;
    let request = Request::post("/topic/sys/MuGsF6W4/a%2Fb%20c/thing/measurepoint/post", 50, report);
    stored(handle(&session, &request, None, NOW));
}

const PATHS: [&str; 6] =
    [POST, BATCH, INFO, AUTH, "/topic/sys/MuGsF6W4/other/thing/measurepoint/post", "/nowhere"];

/// Whatever is no success has an entry for the log, of bounded length.
fn check_answer(action: &Action) -> Result<(), TestCaseError> {
    match action {
        Action::Respond(answer) => {
            let (response, refusal) = (answer.response(), answer.refusal());
            let reply = serde_json::from_slice::<serde_json::Value>(&response.payload).ok();
            let is_fault = reply.is_some_and(|reply| reply["code"] != 200);
            prop_assert_eq!(refusal.is_some(), !response.code.is_success() || is_fault, "{:?}", action);
            prop_assert!(
                refusal.is_none_or(|refusal| (1..600).contains(&refusal.detail.len())),
                "{:?}",
                refusal
            );
        }
        Action::Store { response, .. } => prop_assert_eq!(response.code, Code::CHANGED),
        Action::IssueSecret(_) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_request_never_panics(
        mode_2: bool, method in 0_u8..8, path in "(/(topic|sys|ext|session|auth|MuGsF6W4|15bBZlRknc|thing|measurepoint|post|batch|[a%é]{0,3})){0,9}",
        content_format: Option<u16>, accept: Option<u16>, condition: bool,
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mode = if mode_2 { SecureMode::DeviceSecret } else { SecureMode::ProductSecret };
        let request = Request { content_format, accept, ..Request::new(Code(method), &path) };
        let request = if condition { request.option(OptionNumber::IF_MATCH, "") } else { request };
        check_answer(&ask(mode, &Request { payload: body, ..request }))?;
    }

    #[test]
    fn every_answer_that_is_no_success_says_why(
        mode_2: bool, method in 1_u8..5, path in 0_usize..PATHS.len(),
        end in prop_oneof![Just(""), Just("/"), Just("x"), Just("%00")],
        content_format in proptest::option::of(prop_oneof![Just(50_u16), Just(0), any::<u16>()]),
        accept in proptest::option::of(prop_oneof![Just(50_u16), Just(0), any::<u16>()]), condition: bool,
        body in prop_oneof![
            Just(r#"{"params":{"measurepoints":{"a":1}}}"#.to_owned()),
            Just(r#"{"params":{"measurepoints":{"a":null}}}"#.to_owned()),
            Just("x".repeat(BODY_BYTES_MAX + 1)), "[{}\\[\\]:,\"a0-]{0,20}"
        ],
    ) {
        let mode = if mode_2 { SecureMode::DeviceSecret } else { SecureMode::ProductSecret };
        let request = Request::new(Code(method), &format!("{}{end}", PATHS[path]));
        let request = if condition { request.option(OptionNumber::IF_NONE_MATCH, "") } else { request };
        check_answer(&ask(mode, &Request { content_format, accept, payload: body.into_bytes(), ..request }))?;
    }

    #[test]
    fn any_json_like_report_never_panics(
        params in "(\\{|\\[|\\}|\\]|\"measurepoints\":|\"time\":|\"a\":|\"deviceKey\":|,|null|1|\"x\"|1e9| ){0,20}", batch: bool, skip: bool,
    ) {
        let body = format!(r#"{{"params":{params},"skipInvalidMeasurepoints":{skip}}}"#);
        if let Action::Store { writes, .. } = post(if batch { BATCH } else { POST }, &body) {
            for write in writes {
                let Write::Message(message) = write else { panic!("only reports are stored") };
                let points: serde_json::Value = serde_json::from_str(&message.points_json).expect("what is stored is JSON");
                prop_assert!(points.is_object());
            }
        }
    }
}
