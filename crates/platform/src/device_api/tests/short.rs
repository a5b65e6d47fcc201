//! Short paths: CBOR with the numbers of the thing model.

use narrowgate_coap::format;

use super::*;
use crate::{
    device_api::{
        cbor::{Limits, from_json, from_json_with_numbers, to_json},
        short::{self, CommandReply},
    },
    model::{
        command::{Command, CommandId, CommandStep, Order},
        message::read_event,
        property::Properties,
    },
};

const MODEL: &str = r#"{"modelId":"m",
    "attributes":[{"identifier":"place","dataType":"STRING","number":10,"default":"?"},
                  {"identifier":"size","dataType":"INT","number":11}],
    "measurepoints":[{"identifier":"temp","dataType":"DOUBLE","number":1},
                     {"identifier":"count","dataType":"INT","number":2},
                     {"identifier":"level","dataType":"DOUBLE","hasQuality":true,"number":3},
                     {"identifier":"shape","dataType":{"type":"STRUCT","members":[
                        {"identifier":"x","dataType":"INT"}]},"number":300}],
    "services":[{"identifier":"restart","number":20,
                 "inputData":[{"identifier":"delay","dataType":"INT","number":1}],
                 "outputData":[{"identifier":"uptime","dataType":"INT","number":2}]}],
    "events":[{"identifier":"tilted","number":30,
               "outputData":[{"identifier":"angle","dataType":"DOUBLE","number":1}]}]}"#;

fn model() -> ThingModel {
    ThingModel::parse(MODEL).expect("it is valid")
}

/// A body in which keys that are digits are numbers.
fn cbor(json: &str) -> Vec<u8> {
    from_json_with_numbers(json.as_bytes(), &|_, key| key.parse().ok())
}

/// The JSON of an answer, whose numbers in the place of keys become digits.
fn said(response: &Response) -> String {
    assert_eq!(response.options.find_uint(OptionNumber::CONTENT_FORMAT), Some(u32::from(format::CBOR)));
    let digits = |_: usize, number: u64| Some(number.to_string().into());
    to_json(&response.payload, Limits::BODY, Some(&digits)).expect("it is CBOR")
}

fn request(path: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(path, format::CBOR, body)
}

fn ask_with(request: &Request, model: Option<&ThingModel>) -> Action {
    handle(&session(SecureMode::DeviceSecret), request, ProductState::OnWithShortPaths(model), NOW)
}

fn ask_short(path: &str, json: &str) -> Action {
    ask_with(&request(path, cbor(json)), Some(&model()))
}

/// The reports or events that are stored: kind, time and JSON of each.
#[track_caller]
fn kept(action: Action) -> Vec<(MessageKind, i64, String)> {
    let Action::Store { writes, response, .. } = action else { panic!("it is stored: {action:?}") };
    assert_eq!(response, Response::new(Code::CHANGED), "a success has neither options nor a payload");
    let message = |write| match write {
        Write::Message(message) => (message.kind, message.time.0, message.points_json.to_string()),
        other => panic!("{other:?}"),
    };
    writes.into_iter().map(message).collect()
}

/// `[code, message]` as JSON, which the log has too.
#[track_caller]
fn refused(action: Action) -> String {
    let (response, refusal) = response(action);
    assert_eq!(response.code, Code::CHANGED);
    let refusal = refusal.expect("it is logged");
    let said = said(&response);
    let message = serde_json::Value::from(&*refusal.detail).to_string();
    assert_eq!(said, format!("[{},{message}]", refusal.code().expect("a number")));
    said
}

#[test]
fn a_report_is_a_map_of_numbers_and_its_success_has_no_payload() {
    let body = [0xa2, 0x01, 0xf9, 0x4d, 0x60, 0x02, 0x07];
    assert_eq!(cbor(r#"{"1":21.5,"2":7}"#), body);
    let post = |path: &str| kept(ask_with(&request(path, body), Some(&model())));
    let json = r#"{"temp":21.5,"count":7}"#.to_owned();
    assert_eq!(post("/p"), [(MessageKind::Points, NOW.0, json.clone())]);
    assert_eq!(post("/r"), [(MessageKind::PointsResumed, NOW.0, json)]);
}

#[test]
fn a_report_has_its_time_before_it_and_a_batch_is_an_array_of_such_pairs() {
    let early = NOW.0 - 1000;
    let one = |points: &str| (MessageKind::Points, early, points.to_owned());
    assert_eq!(kept(ask_short("/p", &format!(r#"[{early},{{"1":1}}]"#))), [one(r#"{"temp":1}"#)]);
    let batch = format!(r#"[[{early},{{"1":1}}],[{early},{{"count":2,"1":3.5}}]]"#);
    assert_eq!(
        kept(ask_short("/p", &batch)),
        [one(r#"{"temp":1}"#), one(r#"{"count":2,"temp":3.5}"#)],
        "text keys may stand beside numbers"
    );
    let resumed = kept(ask_short("/r", &batch));
    assert!(resumed.iter().all(|(kind, ..)| *kind == MessageKind::PointsResumed), "{resumed:?}");
}

#[test]
fn quality_and_structures_have_text_keys_inside() {
    let body = r#"{"3":{"value":1.5,"quality":3},"300":{"x":4}}"#;
    let json = r#"{"level":{"value":1.5,"quality":3},"shape":{"x":4}}"#;
    assert_eq!(kept(ask_short("/p", body))[0].2, json);
    assert_eq!(
        refused(ask_short("/p", r#"{"300":{"1":4}}"#)),
        r#"[1204,"/1: a key inside of a value is a text: only elements and parameters have numbers"]"#
    );
}

#[track_caller]
fn assert_refused(path: &str, body: &str, answer: &str) {
    assert_eq!(refused(ask_short(path, body)), answer, "{path} {body}");
}

#[test]
fn a_fault_of_a_report_is_answered_with_its_code_and_the_place_in_the_body() {
    let early = NOW.0 - 1000;
    let seconds = NOW.0 / 1000;
    for (path, body, answer) in [
        ("/p", "{}".to_owned(), "[1204,\"has 0 points; 1 to 200 are allowed\"]"),
        ("/p", r#"{"1":"x"}"#.into(), "[1204,\"/temp: must be a number\"]"),
        ("/p", r#"{"temp":"x"}"#.into(), "[1204,\"/temp: must be a number\"]"),
        ("/p", r#"{"9":1}"#.into(), "[1204,\"/9: the thing model has no point with this number\"]"),
        ("/p", r#"{"10":1}"#.into(), "[1204,\"/10: the thing model has no point with this number\"]"),
        ("/p", r#"{"70000":1}"#.into(), "[1204,\"/70000: the thing model has no point with this number\"]"),
        ("/p", r#"{"other":1}"#.into(), "[1204,\"/other: model m has no such point\"]"),
        ("/p", r#"{"3":1.5}"#.into(), "[1204,\"/level: must be {\\\"value\\\":…,\\\"quality\\\":0 to 9}\"]"),
        ("/p", format!(r#"[{early},{{"1":null}}]"#), "[1204,\"/1/temp: must be a number\"]"),
        ("/p", format!(r#"[{early},7]"#), "[1204,\"/1: must be an object\"]"),
        (
            "/p",
            format!(r#"[{seconds},{{"1":1}}]"#),
            "[1204,\"/0: looks like seconds; send Unix milliseconds\"]",
        ),
        ("/p", r#"[-5,{"1":1}]"#.into(), "[1204,\"/0: must be an unsigned integer, Unix milliseconds\"]"),
        ("/p", r#"[null,{"1":1}]"#.into(), "[1204,\"/0: must be an unsigned integer, Unix milliseconds\"]"),
        (
            "/p",
            format!("[{early}]"),
            "[1200,\"must be a map, [ms, map], or, of reports, an array of such pairs\"]",
        ),
        (
            "/r",
            format!(r#"[{early},{{"1":1}},7]"#),
            "[1200,\"must be a map, [ms, map], or, of reports, an array of such pairs\"]",
        ),
        ("/p", "[]".into(), "[1206,\"has 0 elements; 1 to 200 are allowed\"]"),
        (
            "/p",
            format!(r#"[[{early},{{"1":1}}],[{early}]]"#),
            "[1206,\"/1: an element of a batch is [ms, a map of points]\"]",
        ),
        (
            "/p",
            format!(r#"[[{early},{{"1":1}}],{{"1":1}}]"#),
            "[1206,\"/1: an element of a batch is [ms, a map of points]\"]",
        ),
        (
            "/p",
            format!(r#"[[{early},{{"1":1}}],[{early},{{"2":1.5}}]]"#),
            "[1204,\"/1/1/count: must be an integer of 32 bits\"]",
        ),
        (
            "/p",
            format!(r#"[[{early},{{"1":1}}],[{seconds},{{"2":1}}]]"#),
            "[1204,\"/1/0: looks like seconds; send Unix milliseconds\"]",
        ),
    ] {
        assert_refused(path, &body, answer);
    }
}

#[test]
fn a_fault_of_another_message_is_answered_alike() {
    for (path, body, answer) in [
        ("/a", "{}", "[1207,\"has 0 attributes; 1 to 200 are allowed\"]"),
        ("/a", r#"{"11":"x"}"#, "[1204,\"/size: must be an integer of 32 bits\"]"),
        ("/a", r#"{"1":1}"#, "[1204,\"/1: the thing model has no attribute with this number\"]"),
        ("/a", "[null]", "[1208,\"/0: must be a string\"]"),
        ("/e/30", r#"{"1":"x"}"#, "[1204,\"/angle: must be a number\"]"),
        ("/e/30", r#"{"2":1}"#, "[1204,\"/2: event tilted has no parameter with this number\"]"),
        ("/e/1", "{}", "[1204,\"the path: the thing model has no event with the number 1\"]"),
        ("/e/31", r#"{"1":1}"#, "[1204,\"the path: the thing model has no event with the number 31\"]"),
        ("/c", "[]", "[1200,\"must be [id, code, data]\"]"),
        ("/c", r#"["20",200,{}]"#, "[1200,\"/0: must be the id of the command, an unsigned integer\"]"),
        ("/c", "[20,2.5,{}]", "[1200,\"/1: must be an integer of 32 bits\"]"),
    ] {
        assert_refused(path, body, answer);
    }
}

#[test]
fn numbers_need_a_thing_model_and_text_does_not() {
    let without = |json: &str| ask_with(&request("/p", cbor(json)), None);
    assert_eq!(kept(without(r#"{"a":1}"#))[0].2, r#"{"a":1}"#);
    assert_eq!(
        refused(without(r#"{"1":1}"#)),
        r#"[1204,"/1: the product has no thing model, and only a model has numbers"]"#
    );
    // Nor is a number inside a value stored under a name that nobody gave.
    assert!(refused(without(r#"{"a":{"1":1}}"#)).starts_with("[1204,"));
    assert!(refused(ask_with(&request("/e/1", cbor("{}")), None)).starts_with("[1204,"));
}

#[test]
fn what_is_no_message_is_answered_4_00() {
    let malformed = (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None);
    for body in [
        Vec::new(),
        b"{}".to_vec(),
        vec![0xff],
        cbor("7"),
        cbor("\"text\""),
        cbor("null"),
        cbor(r#"{"1":1}"#)[..2].to_vec(),
        [cbor(r#"{"1":1}"#), vec![0]].concat(),
        // The same number twice.
        vec![0xa2, 0x01, 0x01, 0x01, 0x02],
    ] {
        for path in ["/p", "/r", "/a", "/e/30", "/c"] {
            let action = ask_with(&request(path, body.clone()), Some(&model()));
            assert_eq!(outcome(action), malformed, "{path} {body:02x?}");
        }
    }
    // The same element by its number and by its identifier.
    for (path, body) in [
        ("/p", r#"{"1":1,"temp":2}"#),
        ("/p", r#"{"temp":1,"1":2}"#),
        ("/r", r#"[1600000000000,{"1":1,"temp":2}]"#),
        ("/a", r#"{"11":1,"size":2}"#),
        ("/e/30", r#"{"1":1,"angle":2}"#),
    ] {
        assert_eq!(outcome(ask_short(path, body)), malformed, "{path} {body}");
    }
    assert_eq!(outcome(ask_short("/c", "{}")), malformed);
}

#[test]
fn a_body_whose_json_is_too_long_is_4_13_as_on_long_topics() {
    let long = "\\u0001".repeat(8000);
    let too_long = (Code::REQUEST_ENTITY_TOO_LARGE, Some(Reason::TooLarge), Some(1008));
    for (path, body) in [
        ("/p", format!(r#"{{"1":"{long}"}}"#)),
        ("/r", format!(r#"{{"1":"{long}"}}"#)),
        ("/a", format!(r#"["{long}"]"#)),
        ("/e/30", format!(r#"{{"1":"{long}"}}"#)),
        ("/c", format!(r#"[20,200,"{long}"]"#)),
        ("/o", format!(r#"{{"version":"{long}"}}"#)),
    ] {
        assert_eq!(outcome(ask_short(path, &body)), too_long, "{path}");
    }
}

#[test]
fn a_body_is_nested_as_deep_as_on_long_topics() {
    let ms = NOW.0 - 1000;
    for (path, before, after, own) in [
        ("/p", r#"{"a":"#.to_owned(), "}", 1),
        ("/p", format!(r#"[{ms},{{"a":"#), "}]", 2),
        ("/r", format!(r#"[[{ms},{{"a":"#), "}]]", 3),
        ("/a", r#"{"a":"#.to_owned(), "}", 1),
        ("/c", "[20,200,".to_owned(), "]", 1),
    ] {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - own), "]".repeat(depth - own));
            ask_with(&request(path, cbor(&format!("{before}{open}{close}{after}"))), None)
        };
        let deepest = nested(32);
        let is_taken = matches!(deepest, Action::Store { .. } | Action::Edit(_) | Action::ShortReply(_));
        assert!(is_taken, "{path} {before}: {deepest:?}");
        let refused = (Code::BAD_REQUEST, Some(Reason::BodyMalformed), None);
        assert_eq!(outcome(nested(33)), refused, "{path} {before}");
    }
}

#[test]
fn only_cbor_is_taken_and_answered() {
    let model = model();
    for path in ["/p", "/r", "/a", "/e/30", "/c"] {
        for content_format in [Some(50), Some(0), Some(42), None] {
            let request = Request { content_format, ..request(path, "{}") };
            let expected = (Code::UNSUPPORTED_CONTENT_FORMAT, Some(Reason::BodyMalformed), None);
            assert_eq!(outcome(ask_with(&request, Some(&model))), expected, "{path} {content_format:?}");
        }
        let json = request(path, cbor("{}")).accept(50);
        let expected = (Code::NOT_ACCEPTABLE, Some(Reason::NotAcceptable), None);
        assert_eq!(outcome(ask_with(&json, Some(&model))), expected);
        let long = request(path, vec![0; BODY_BYTES_MAX + 1]);
        let expected = (Code::REQUEST_ENTITY_TOO_LARGE, Some(Reason::TooLarge), Some(1008));
        assert_eq!(outcome(ask_with(&long, Some(&model))), expected);
        let condition = request(path, cbor("{}")).option(OptionNumber::IF_MATCH, "x");
        assert_eq!(outcome(ask_with(&condition, Some(&model))).0, Code::PRECONDITION_FAILED);
    }
    assert_eq!(outcome(ask_with(&Request::get("/c").accept(50), None)).0, Code::NOT_ACCEPTABLE);
    assert_eq!(kept(ask_with(&request("/p", cbor(r#"{"a":1}"#)).accept(60), None)).len(), 1);
}

#[test]
fn each_path_has_its_methods_and_is_there_only_where_it_is_switched_on() {
    for path in ["/p", "/r", "/a", "/e/30", "/c"] {
        let wrong = if path == "/c" { Request::new(Code(3), path) } else { Request::get(path) };
        let (code, reason, number) = outcome(ask_with(&wrong, None));
        assert_eq!(
            (code, reason, number),
            (Code::METHOD_NOT_ALLOWED, Some(Reason::MethodWrong), Some(1260)),
            "{path}"
        );
        let (off, refusal) = response(ask(SecureMode::DeviceSecret, &request(path, cbor("{}"))));
        let words = refusal.expect("it is logged").detail;
        assert_eq!(off.code, Code::NOT_FOUND);
        assert!(words.contains("narrowgate product update MuGsF6W4 --short-paths on"), "{words}");
        let of_product = session(SecureMode::ProductSecret);
        let product = ProductState::OnWithShortPaths(None);
        let forbidden = handle(&of_product, &request(path, cbor("{}")), product, NOW);
        assert_eq!(outcome(forbidden).0, Code::FORBIDDEN, "{path}");
    }
    for path in ["/e", "/e/0", "/e/tilted", "/e/70000", "/x", "/p/1"] {
        assert_eq!(outcome(ask_short(path, "{}")).0, Code::NOT_FOUND, "{path}");
    }
}

#[test]
fn an_event_has_its_number_in_the_path() {
    let early = NOW.0 - 1000;
    for (body, time) in [(r#"{"1":7.5}"#.to_owned(), NOW.0), (format!(r#"[{early},{{"1":7.5}}]"#), early)] {
        let [(kind, at, json)] = &kept(ask_short("/e/30", &body))[..] else { panic!("one event") };
        let (event, output) = read_event(json).expect("it is an event");
        assert_eq!((*kind, *at), (MessageKind::Event, time));
        assert_eq!((event.as_str(), output.get()), ("tilted", r#"{"angle":7.5}"#));
    }
    assert_eq!(kept(ask_short("/e/30", "{}")).len(), 1, "an event may have no parameters");
}

#[test]
fn a_map_updates_attributes_and_an_array_asks_for_them() {
    let Action::Edit(wanted) = ask_short("/a", r#"{"11":3,"place":"roof"}"#) else { panic!("an update") };
    assert_eq!(wanted.response, Response::new(Code::CHANGED));
    let set: Vec<_> = wanted.edit.set.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
    assert_eq!(set, [("size", "3"), ("place", "\"roof\"")]);
    let too_much = short::shorten(wanted.too_much(9000));
    let words = said(too_much.response());
    assert!(words.starts_with("[1008,\"") && !words.contains("/params"), "{words}");

    let model = model();
    let all = Properties::default().or(wanted.edit.set.iter().cloned());
    for (asked, answer) in [
        ("[]", r#"{"10":"roof","11":3}"#),
        ("[11]", r#"{"11":3}"#),
        (r#"["size",10]"#, r#"{"10":"roof","11":3}"#),
        // What there is not is left out, and a number of no attribute does not ask for all.
        ("[99]", "{}"),
        (r#"["none",1]"#, "{}"),
    ] {
        let Action::Query(wanted) = ask_short("/a", asked) else { panic!("a query") };
        let answer_to = short::answer_query(&wanted, &all, Some(&model));
        assert_eq!(said(answer_to.response()), answer, "{asked}");
    }
}

fn command(topic: CommandTopic, params: &str) -> Command {
    let order = Order { topic, params_json: params.into(), pending_ttl_s: 0, timeout_s: 30, raw: None };
    Command::new(CommandId(20), order, UnixMillis(0))
}

#[test]
fn a_command_has_the_numbers_of_the_model() {
    let model = model();
    let service = |id: &str| CommandTopic::Service(id.into());
    for (topic, params, with, without) in [
        (CommandTopic::Set, r#"{"temp":30.5}"#, r#"[20,1,{"1":30.5}]"#, r#"[20,1,{"temp":30.5}]"#),
        (CommandTopic::Get, r#"["count","x"]"#, r#"[20,2,[2,"x"]]"#, r#"[20,2,["count","x"]]"#),
        (service("restart"), r#"{"delay":5}"#, r#"[20,3,20,{"1":5}]"#, r#"[20,3,"restart",{"delay":5}]"#),
        (service("other"), r#"{"delay":5}"#, r#"[20,3,"other",{"delay":5}]"#, ""),
        (service("restart"), r#"{"delay":{"delay":1}}"#, r#"[20,3,20,{"1":{"delay":1}}]"#, ""),
    ] {
        let command = command(topic, params);
        let response = short::deliver(&command, Some(&model));
        assert_eq!((response.code, &*said(&response)), (Code::CONTENT, with));
        assert!(without.is_empty() || said(&short::deliver(&command, None)) == without, "{params}");
    }
    let set = short::deliver(&command(CommandTopic::Set, r#"{"temp":30.5}"#), Some(&model));
    assert_eq!(hex::encode(&set.payload), "831401a101f94fa0");
}

#[test]
fn the_oldest_command_of_all_is_fetched_and_answered_by_its_id() {
    for accept in [None, Some(format::CBOR), Some(format::OCTET_STREAM)] {
        let fetch = CommandWanted::FetchOldest { accept };
        let request = Request { accept, ..Request::get("/c") };
        assert!(matches!(ask_with(&request, None), Action::Command(wanted) if wanted == fetch));
    }
    let reply = |json: &str| match ask_short("/c", json) {
        Action::ShortReply(reply) => reply,
        other => panic!("{other:?}"),
    };
    let model = model();
    let read = |reply: &CommandReply, topic: Option<&CommandTopic>| {
        let wanted = reply.read(topic, Some(&model)).expect("it can be read");
        let CommandWanted::Reply { topic: None, id, step } = wanted else { panic!("{wanted:?}") };
        let CommandStep::Reply { code, data_json, message: None } = step else { panic!("{step:?}") };
        (id, code, data_json.map(String::from))
    };
    let service = CommandTopic::Service("restart".into());
    for (body, topic, id, code, data) in [
        ("[20,200]", None, Some(20), 200, None),
        ("[20,200,{}]", Some(&CommandTopic::Set), Some(20), 200, Some("{}")),
        (r#"[20,0,{"1":1.5,"x":2}]"#, Some(&CommandTopic::Get), Some(20), 0, Some(r#"{"temp":1.5,"x":2}"#)),
        (r#"[20,200,{"2":7}]"#, Some(&service), Some(20), 200, Some(r#"{"uptime":7}"#)),
        // What stands for nothing is kept as it is, as an unknown name is.
        (r#"[20,-3,{"9":7}]"#, Some(&service), Some(20), -3, Some(r#"{"9":7}"#)),
        ("[0,200,null]", None, None, 200, Some("null")),
        ("[4294967296,200,[1]]", None, None, 200, Some("[1]")),
    ] {
        let reply = reply(body);
        assert_eq!(reply.id(), id.map(CommandId), "{body}");
        let expected = (id.map(CommandId), code, data.map(str::to_owned));
        assert_eq!(read(&reply, topic), expected, "{body}");
    }
    let twice = reply(r#"[20,200,{"1":1,"temp":2}]"#);
    let answer = twice.read(Some(&CommandTopic::Get), Some(&model)).expect_err("a point stands there twice");
    let (response, refusal) = answer.into_parts();
    assert_eq!((response.code, refusal.is_some()), (Code::BAD_REQUEST, true));
}

#[test]
fn the_option_that_says_that_a_command_waits_is_empty_and_elective() {
    let response = short::with_command_waiting(Response::new(Code::CHANGED));
    assert_eq!(response.options.find(short::COMMAND_WAITING), Some(&[][..]));
    assert!(!short::COMMAND_WAITING.is_critical());
}

proptest! {
    #[test]
    fn any_body_is_answered_without_a_panic(
        path in "/(p|r|a|c|e/30|e/1)",
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = ask_with(&request(&path, body), Some(&model()));
    }

    #[test]
    fn a_report_is_stored_as_the_long_topic_stores_it(
        temp in any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()),
        count in any::<i32>(),
    ) {
        let points = format!(r#"{{"temp":{temp:?},"count":{count}}}"#);
        let long = format!(r#"{{"params":{{"measurepoints":{points}}}}}"#);
        let model = model();
        let long = handle(
            &session(SecureMode::DeviceSecret),
            &Request::post(POST, 50, long),
            ProductState::OnWithShortPaths(Some(&model)),
            NOW,
        );
        let short = kept(ask_with(&request("/p", from_json(points.as_bytes())), Some(&model)));
        let (long, _) = stored(long);
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).expect("it is JSON");
        prop_assert_eq!(read(&short[0].2), read(&long[0].points_json));
    }
}
