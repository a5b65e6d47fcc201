//! Bytes: what is refused before a script runs, and what is done with the message that it makes.

use super::*;
use crate::{
    device_api::{commands::CommandWanted, raw},
    model::command::{CommandId, CommandTopic},
    ports::{Fault, FaultKind},
};

const UP: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/model/up_raw";
const DOWN: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/model/down_raw";
const REPLY: &str = "/topic/sys/MuGsF6W4/15bBZlRknc/thing/model/down_raw_reply";
const BYTES: ProductState<'_> = ProductState::OnWithBytes { model: None, short_paths: false };

fn ask_raw(request: &Request) -> Action {
    handle(&session(SecureMode::DeviceSecret), request, BYTES, NOW)
}

fn decoded(text: &str) -> Action {
    raw::decoded(&session(SecureMode::DeviceSecret), text, None, NOW.into())
}

#[test]
fn bytes_go_to_a_script_where_the_format_of_the_product_says_so() {
    for path in [UP, REPLY] {
        for content_format in [Some(format::OCTET_STREAM), None] {
            let request = Request { content_format, ..Request::post(path, 42, [0, 255]) };
            let Action::Decode(bytes) = ask_raw(&request) else { panic!("{path}") };
            assert_eq!(bytes, [0, 255]);
        }
        let posted = Request::post(path, 42, [0]);
        assert_eq!(outcome(ask(SecureMode::DeviceSecret, &posted)).0, Code::FORBIDDEN);
        assert_eq!(outcome(ask_raw(&Request::get(path))).0, Code::METHOD_NOT_ALLOWED);
        assert_eq!(outcome(ask_raw(&Request::post(path, 50, "{}"))).0, Code::UNSUPPORTED_CONTENT_FORMAT);
        let accept = Request::post(path, 42, [0]).accept(format::JSON);
        assert_eq!(outcome(ask_raw(&accept)).0, Code::NOT_ACCEPTABLE);
        let empty = outcome(ask_raw(&Request::post(path, 42, [])));
        assert_eq!(empty, (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None));
        let long = Request::post(path, 42, vec![0; BODY_BYTES_MAX + 1]);
        let Action::Respond(answer) = ask_raw(&long) else { panic!("it is refused") };
        assert_eq!(answer.response().code, Code::REQUEST_ENTITY_TOO_LARGE);
        let activating = handle(&session(SecureMode::ProductSecret), &posted, BYTES, NOW);
        assert_eq!(outcome(activating).0, Code::FORBIDDEN);
    }
}

#[test]
fn a_command_in_bytes_is_fetched_at_its_topic() {
    let Action::Command(wanted) = ask_raw(&Request::get(DOWN)) else { panic!("it is fetched") };
    let content_format = format::OCTET_STREAM;
    assert_eq!(wanted, CommandWanted::Fetch { topic: CommandTopic::Raw, content_format });
    let refused = outcome(ask(SecureMode::DeviceSecret, &Request::get(DOWN)));
    assert_eq!(refused, (Code::FORBIDDEN, Some(Reason::TopicForeign), Some(1009)));
    assert!(matches!(ask_raw(&Request::get(DOWN).accept(42)), Action::Command(_)));
    // RFC 7252, section 5.10.4: bytes are no JSON, no CBOR and no text.
    for other in [41, 50, 60, 0] {
        let refused = outcome(ask_raw(&Request::get(DOWN).accept(other)));
        assert_eq!(refused, (Code::NOT_ACCEPTABLE, Some(Reason::NotAcceptable), None), "{other}");
    }
}

#[test]
fn a_decoded_message_goes_the_way_of_its_method() {
    let report = r#"{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"a":1.50}}}"#;
    let (messages, reply) = stored(decoded(report));
    assert_eq!((&*messages[0].points_json, &*reply), (r#"{"a":1.50}"#, r#"{"id":"7","code":200,"data":{}}"#));
    let batch = r#"{"method":"thing.measurepoint.post.batch","params":[{"measurepoints":{"a":1}}]}"#;
    assert_eq!(stored(decoded(batch)).0.len(), 1);
    let resumed = report.replace("post", "resume");
    assert_eq!(stored(decoded(&resumed)).0[0].kind, MessageKind::PointsResumed);
    let event = r#"{"method":"thing.event.a.b.post","params":{"events":{"x":1}}}"#;
    let (messages, _) = stored(decoded(event));
    assert_eq!(messages[0].kind, MessageKind::Event);
    assert!(messages[0].points_json.contains("a.b"), "{}", messages[0].points_json);
    let update = r#"{"method":"thing.attribute.update","params":{"attributes":{"x":1}}}"#;
    assert!(matches!(decoded(update), Action::Edit(_)));
    assert!(matches!(decoded(r#"{"method":"thing.tag.query","params":{"tags":[]}}"#), Action::Query(_)));
    for method in ["thing.event.post", "thing.event..post", "thing.commands", "thing.model.up_raw", ""] {
        let (code, said) = fault(decoded(&format!(r#"{{"id":"7","method":"{method}","params":{{}}}}"#)));
        assert_eq!(code, 1260, "{method}");
        assert!(said.starts_with("/method: no topic has it; the product's script returned"), "{said}");
    }
    let (code, said) = fault(decoded(r#"{"method":"thing.measurepoint.post","params":7}"#));
    assert_eq!((code, &said[..8]), (1200, "/params:"), "{said}");
}

#[test]
fn a_message_without_a_method_is_the_reply_to_a_command() {
    let Action::Command(wanted) = decoded(r#"{"id":"20","code":"200","data":{"x":1}}"#) else {
        panic!("it is a reply")
    };
    let CommandWanted::Reply { topic, id, .. } = wanted else { panic!("it is a reply") };
    assert_eq!((topic, id), (Some(CommandTopic::Raw), Some(CommandId(20))));
    for text in [r#"{"id":"20"}"#, r#"{"code":200}"#, "{}", r#"{"method":null,"id":"7"}"#] {
        let refused = outcome(decoded(text));
        assert_eq!(refused, (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None), "{text}");
    }
}

#[test]
fn attack_173_what_a_script_returns_is_checked_as_a_body_is() {
    let deep = "[".repeat(100_000);
    for text in ["", "nonsense", "[]", "7", r#"{"id":"7","id":"8"}"#, "{\"a\":1e999999}", "{} {}", &deep] {
        let Action::Respond(answer) = decoded(text) else { panic!("it is refused") };
        assert_eq!(answer.response().code, Code::BAD_REQUEST);
        let said = &answer.refusal().expect("it is logged").detail;
        assert!(said.contains("rawDataToJsonStr") || !said.contains("the body"), "{said}");
    }
}

#[test]
fn faults_of_a_script_are_4_00_and_those_of_the_engine_5_03() {
    for kind in FaultKind::ALL {
        match raw::failed(&Fault::at(kind, "no", Some(3)), "rawDataToJsonStr") {
            Ok(answer) => {
                assert!(kind.is_of_script());
                assert_eq!(answer.response().code, Code::BAD_REQUEST);
                let said = &answer.refusal().expect("it is logged").detail;
                let word = kind.word();
                let expected =
                    format!("the product's script failed in rawDataToJsonStr ({word}): no (line 3)");
                assert_eq!(**said, *expected);
            }
            Err(response) => {
                assert!(!kind.is_of_script());
                assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
                assert!(response.options.find_uint(OptionNumber::MAX_AGE) >= Some(5));
            }
        }
    }
}

#[test]
fn the_reply_is_what_a_script_expects_and_its_bytes_are_the_answer() {
    let Action::Store { response, .. } =
        decoded(r#"{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"a":1}}}"#)
    else {
        panic!("it is stored")
    };
    let json = raw::reply_for_script(&response).expect("it has a reply");
    assert_eq!(json, r#"{"id":"7","code":200,"data":""}"#);
    let encoded = |bytes| raw::encoded(&response, bytes).map_err(|fault| fault.kind);
    let answer = encoded(vec![0, 200]).expect("it fits");
    assert_eq!((answer.code, &*answer.payload), (Code::CHANGED, &[0, 200][..]));
    assert_eq!(answer.options.find_uint(OptionNumber::CONTENT_FORMAT), Some(42));
    assert_eq!(raw::reply_for_script(&answer), None);
    assert_eq!(encoded(vec![]), Ok(Response::new(Code::CHANGED)));
    assert!(encoded(vec![0; BODY_BYTES_MAX]).is_ok());
    assert_eq!(encoded(vec![0; BODY_BYTES_MAX + 1]), Err(FaultKind::Output));
    assert_eq!(raw::reply_for_script(&Response::new(Code::FORBIDDEN)), None);
}
