//! Requests to short paths: any body.

use std::{borrow::Cow, cell::OnceCell};

use narrowgate_coap::{Code, Request, Response, format};
use narrowgate_platform::{
    device_api::{
        self, Action, Answer, CommandWanted, ProductState,
        cbor::{self, Limits},
        points::{BATCH_MAX, POINTS_MAX},
        properties::IN_A_MESSAGE_MAX,
        short::{self, CommandReply},
    },
    ids::{DeviceId, UnixMillis},
    model::{
        command::{CommandStep, CommandTopic},
        message::{MessageKind, read_event},
        property::{Properties, PropertyEdit},
        thing_model::{ElementKind, ThingModel, is_identifier},
    },
    ports::Write,
    rules::{admission::Grant, identity::SecureMode},
};
use serde_json::Value;

use crate::script::Script;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY_MS: i64 = 86_400_000;
const MODEL: &str = r#"{"modelId":"m",
    "attributes":[{"identifier":"x","dataType":"STRING","number":10,"default":"?"},
                  {"identifier":"y","dataType":"INT","number":11}],
    "measurepoints":[{"identifier":"a","dataType":"DOUBLE","number":1},
                     {"identifier":"b","dataType":"INT","hasQuality":true,"number":2},
                     {"identifier":"s","number":3,"dataType":{"type":"STRUCT",
                        "members":[{"identifier":"m","dataType":"INT"}]}}],
    "services":[{"identifier":"r","number":20,
                 "outputData":[{"identifier":"u","dataType":"INT","number":1}]}],
    "events":[{"identifier":"e","number":30,
               "outputData":[{"identifier":"p","dataType":"DOUBLE","number":1}]}]}"#;
const PATHS: [&str; 8] = ["/p", "/r", "/a", "/e/30", "/c", "/e/7", "/p", "/a"];
/// Every code that a fault of a message has.
const CODES: [u64; 6] = [1008, 1200, 1204, 1206, 1207, 1208];
/// Longest message of a fault, with its quotation marks.
const MESSAGE_BYTES_MAX: usize = 256;

thread_local! {
    static FIXED: OnceCell<(Grant, ThingModel)> = const { OnceCell::new() };
}

/// What is stored is what was sent, under the identifiers that the numbers stand for; an element stands there
/// once; a fault is answered in two elements and leaves nothing. The first byte chooses path and model.
pub fn short(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    FIXED.with(|fixed| {
        let (session, model) = fixed.get_or_init(|| {
            let session =
                Grant::new(DeviceId(7), ["pk", "dk", "As5etId1"], SecureMode::DeviceSecret, (60, 1));
            (session, ThingModel::parse(MODEL).expect("the model is valid"))
        });
        let path = PATHS[usize::from(choice & 7)];
        let model = (choice & 8 != 0).then_some(model);
        let request = Request::post(path, format::CBOR, script.rest());
        match device_api::handle(session, &request, ProductState::OnWithShortPaths(model), NOW) {
            Action::Store { writes, response, .. } => {
                assert_eq!(response, Response::new(Code::CHANGED), "a success has no payload");
                check_writes(&request, model, &writes);
            }
            Action::Edit(wanted) => {
                assert_eq!(wanted.response, Response::new(Code::CHANGED));
                check_edit(&wanted.edit, model);
                check_fault(&short::shorten(wanted.too_much(9000)));
            }
            Action::Query(wanted) => {
                let answer = short::answer_query(&wanted, &Properties::default(), model);
                assert!(answer.refusal().is_none() && read(answer.response()).is_object());
            }
            Action::ShortReply(reply) => check_reply(&reply, model),
            Action::Respond(answer) if answer.response().code == Code::CHANGED => check_fault(&answer),
            Action::Respond(answer) => {
                assert!(is_refusal(answer.response().code), "{answer:?}");
                assert!(answer.response().payload.is_empty() && answer.refusal().is_some());
            }
            other => panic!("{path} does nothing else: {other:?}"),
        }
    });
}

/// No message, or one whose JSON is too long.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::BAD_REQUEST | Code::REQUEST_ENTITY_TOO_LARGE)
}

/// The JSON of an answer; keys that are numbers become digits.
fn read(response: &Response) -> Value {
    let digits = |_: usize, number: u64| Some(number.to_string().into());
    let json = cbor::to_json(&response.payload, Limits::BODY, Some(&digits)).expect("an answer is CBOR");
    serde_json::from_str(&json).expect("it is JSON")
}

fn check_fault(answer: &Answer) {
    let (said, refusal) = (read(answer.response()), answer.refusal().expect("it says why"));
    let (code, message) = (said[0].as_u64().expect("a code"), said[1].as_str().expect("a message"));
    assert!(CODES.contains(&code) && refusal.code().map(u64::from) == Some(code), "{said}");
    assert!(said[1].to_string().len() <= MESSAGE_BYTES_MAX && refusal.detail == message, "{said}");
}

/// The body as JSON, read anew: numbers of the outermost map are elements of this kind.
fn sent(request: &Request, model: Option<&ThingModel>, kind: ElementKind) -> Value {
    let name_of = |depth: usize, number: u64| {
        let number = u16::try_from(number).ok().filter(|_| depth == 0)?;
        let name = match kind {
            ElementKind::Event => {
                model?.events["e"].output.find_numbered(number).map(|field| &*field.identifier)
            }
            kind => model?.element(number).filter(|(found, _)| *found == kind).map(|(_, name)| name),
        };
        name.map(Cow::Borrowed)
    };
    let json = cbor::to_json(&request.payload, Limits::BODY, Some(&name_of));
    serde_json::from_str(&json.expect("each number stands for something")).expect("it is JSON")
}

fn check_writes(request: &Request, model: Option<&ThingModel>, writes: &[Write]) {
    let kind = match request.path_text().starts_with("/e/") {
        true => ElementKind::Event,
        false => ElementKind::Measurepoint,
    };
    let sent = sent(request, model, kind);
    let reports = match &sent {
        Value::Array(pairs) if pairs[0].is_array() => pairs.iter().collect(),
        one => vec![one],
    };
    assert_eq!(reports.len(), writes.len(), "all of it is stored");
    assert!((1..=BATCH_MAX).contains(&writes.len()));
    for (report, write) in reports.into_iter().zip(writes) {
        let Write::Message(message) = write else { panic!("only messages are stored: {write:?}") };
        let (time, map) = match report {
            Value::Array(pair) => (pair[0].as_i64().expect("a time"), &pair[1]),
            map => (NOW.0, map),
        };
        assert_eq!((message.device, message.arrival, message.time.0), (DeviceId(7), NOW, time));
        assert!((0..=NOW.0 + DAY_MS).contains(&time));
        let stored = match message.kind {
            MessageKind::Event => {
                let (event, output) = read_event(&message.points_json).expect("an event is stored as one");
                assert_eq!(event, "e");
                output.get().to_owned()
            }
            _ => message.points_json.to_string(),
        };
        assert_eq!(&serde_json::from_str::<Value>(&stored).expect("it is JSON"), map);
        let map = map.as_object().expect("points are an object");
        assert!(map.len() <= POINTS_MAX && map.keys().all(|name| is_identifier(name)), "{stored}");
    }
}

fn check_edit(edit: &PropertyEdit, model: Option<&ThingModel>) {
    assert!(edit.unset.is_empty() && (1..=IN_A_MESSAGE_MAX).contains(&edit.set.len()));
    for (name, _) in &edit.set {
        assert!(is_identifier(name) && model.is_none_or(|model| model.attributes.contains_key(name)));
    }
}

fn check_reply(reply: &CommandReply, model: Option<&ThingModel>) {
    let service = CommandTopic::Service("r".into());
    for topic in [None, Some(&CommandTopic::Set), Some(&service)] {
        match reply.read(topic, model) {
            Ok(CommandWanted::Reply { topic: None, id, step }) => {
                assert_eq!(id, reply.id());
                let CommandStep::Reply { data_json, .. } = step else { panic!("{step:?}") };
                let read = |json: Box<str>| serde_json::from_str::<Value>(&json).is_ok();
                assert!(data_json.is_none_or(read), "data is JSON");
            }
            Ok(other) => panic!("it is a reply: {other:?}"),
            Err(answer) => assert!(is_refusal(answer.response().code), "{answer:?}"),
        }
    }
}
