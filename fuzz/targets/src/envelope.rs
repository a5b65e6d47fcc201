//! Requests of a session at the device API: any path, any body.
//!
//! The first byte chooses topic, mode and formats; a path of the script's own is as long as the second byte
//! says.

use std::cell::OnceCell;

use narrowgate_coap::{Code, OptionNumber, Request, Response, UriPath, format};
use narrowgate_platform::{
    device_api::{
        self, Action, CommandWanted, CountWanted, ProductState,
        cbor::{self, Limits},
        json,
        ota::{OtaMessage, OtaWanted, image::BlockWanted},
        points,
        properties::IN_A_MESSAGE_MAX,
    },
    firmware::{FirmwareStep, NoUpgrade, UpgradeOffer, check_version},
    ids::{DeviceId, UnixMillis},
    model::{
        message::{MessageKind, read_event},
        property::Properties,
        thing_model::ThingModel,
    },
    ports::Write,
    rules::{admission::Grant, identity::SecureMode},
};
use serde_json::{Map, Value, value::RawValue};

use crate::script::Script;

pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY_MS: i64 = 86_400_000;
pub(crate) const MODEL: &str = r#"{"modelId":"m","measurepoints":[
    {"identifier":"a","dataType":"DOUBLE"},
    {"identifier":"b","dataType":"STRING"}
]}"#;
const PATHS: [&str; 8] = [
    "/topic/sys/pk/dk/thing/measurepoint/post",
    "/topic/sys/pk/dk/thing/measurepoint/post/batch",
    "/topic/sys/pk/dk/thing/measurepoint/resume",
    "/topic/sys/pk/dk/thing/measurepoint/resume/batch",
    "/topic/ext/session/pk/dk/thing/activate/info",
    "/topic/ext/session/pk/dk/thing/activate/info_reply",
    "/auth/pk/dk",
    "/topic/sys/pk/other/thing/measurepoint/post",
];

thread_local! {
    static FIXED: OnceCell<Fixed> = const { OnceCell::new() };
}

/// What does not change from run to run.
struct Fixed {
    grants: [Grant; 2],
    paths: [UriPath; 8],
    model: ThingModel,
}

impl Fixed {
    fn new() -> Self {
        Self {
            grants: [grant(SecureMode::DeviceSecret), grant(SecureMode::ProductSecret)],
            paths: PATHS.map(UriPath::parse),
            model: ThingModel::parse(MODEL).expect("the model is valid"),
        }
    }
}

/// What the device pk/dk may do.
pub(crate) fn grant(mode: SecureMode) -> Grant {
    Grant::new(DeviceId(7), ["pk", "dk", "As5etId1"], mode, (60, 1))
}

/// Only a session of the device's secret stores, only on its own topics; what is stored is JSON, not longer
/// than the JSON of what was sent, and of a time that is possible; what is answered is JSON or CBOR with the
/// id that was sent.
pub fn envelope(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    FIXED.with(|fixed| {
        let fixed = fixed.get_or_init(Fixed::new);
        let known = usize::from(choice & 7);
        let mut request = Request::new(Code::POST, "");
        let is_own = choice & 0x18 != 0x18;
        request.path = if is_own {
            fixed.paths[known].clone()
        } else {
            let length = usize::from(script.byte());
            UriPath::parse(&String::from_utf8_lossy(script.take(length)))
        };
        if choice & 0x60 == 0x60 {
            request.method = Code(1 + (script.byte() & 7));
            request.accept = [None, Some(50), Some(0), Some(60)][usize::from(script.byte() & 3)];
            let formats = [Some(50), None, Some(0), Some(42), Some(60), Some(60), Some(50), Some(60)];
            request.content_format = formats[usize::from(script.byte() & 7)];
        } else {
            request.method = if known == 4 { Code::GET } else { Code::POST };
            request.content_format = Some(50);
        }
        let session = &fixed.grants[usize::from(choice & 0x60 == 0x20)];
        let model = (choice & 0x80 != 0).then_some(&fixed.model);
        request.payload = script.rest().to_vec();
        match device_api::handle(session, &request, ProductState::On(model), NOW) {
            Action::Store { writes, response, .. } => {
                assert_eq!((session.mode, response.code), (SecureMode::DeviceSecret, Code::CHANGED));
                assert!(
                    request.method == Code::POST
                        && request.path_text().starts_with("/topic/sys/pk/dk/thing/")
                );
                check_writes(&json_of(&request), &writes);
                check_reply(&request, &response);
            }
            action @ (Action::Edit(_) | Action::Query(_)) => check_properties(session, &request, action),
            Action::ShortReply(_) | Action::Decode(_) => panic!("there are neither short paths nor bytes"),
            Action::Unavailable(response) => panic!("the product can be read: {response:?}"),
            Action::Command(wanted) => check_command(session, &request, &wanted),
            Action::CountCommands(wanted) => check_count(session, &request, wanted),
            Action::Ota(wanted) => check_firmware(session, &request, &wanted),
            Action::ReadBlock(wanted) => check_block(session, &request, &wanted),
            Action::IssueSecret(_) => {
                assert_eq!((session.mode, request.method), (SecureMode::ProductSecret, Code::GET));
                assert_eq!(request.path, fixed.paths[4], "only on its own topic");
            }
            Action::Respond(answer) => {
                let (response, refusal) = answer.into_parts();
                assert!(response.code.is_response());
                assert!(response.code.is_success() || refusal.is_some(), "a refusal says why: {response:?}");
                check_payload(&request, &response);
                assert!(!is_own || known != 7 || response.code == Code::FORBIDDEN, "another device's topic");
                if let Some(refusal) = refusal {
                    assert!((1..=2 * data.len() + 400).contains(&refusal.detail.len()), "{refusal:?}");
                }
            }
        }
    });
}

/// What a device says of its firmware has its bounds.
pub(crate) fn check_firmware(session: &Grant, request: &Request, wanted: &OtaWanted) {
    assert_eq!((session.mode, request.method), (SecureMode::DeviceSecret, Code::POST));
    match &wanted.message {
        OtaMessage::Step(FirmwareStep::Inform { version }) => assert_eq!(check_version(version), Ok(())),
        OtaMessage::Step(FirmwareStep::Progress { step, .. }) => assert!((-5..=100).contains(step)),
        OtaMessage::Step(other) => panic!("no message says this: {other:?}"),
        OtaMessage::GetVersion => {
            let offer = UpgradeOffer {
                version: "1.0".to_owned(),
                sign: "0".repeat(64),
                sign_method: "SHA256",
                file_url: "coaps://localhost/ota/Ab3dEf7h".to_owned(),
                file_size: 1,
            };
            let reply = reply_of(wanted.versions([offer]).response());
            return assert_eq!(reply["data"][0]["version"], "1.0");
        }
    }
    check_reply(request, wanted.done().response());
    for why in [NoUpgrade::None, NoUpgrade::NotStarted] {
        check_reply(request, wanted.no_upgrade(why).response());
    }
}

/// A block of an image is fetched by GET, and what does not exist is 4.04.
fn check_block(session: &Grant, request: &Request, wanted: &BlockWanted) {
    assert_eq!((session.mode, request.method), (SecureMode::DeviceSecret, Code::GET));
    assert!(wanted.piece("pk").len <= 1024, "a block is not larger");
    assert_eq!(wanted.answer(None).response().code, Code::NOT_FOUND);
}

/// How many commands wait is asked by GET alone.
fn check_count(session: &Grant, request: &Request, wanted: CountWanted) {
    assert_eq!((session.mode, request.method), (SecureMode::DeviceSecret, Code::GET));
    assert_eq!(wanted.observes, request.observe == Some(0));
}

/// What an answer carries: the list of topics, a reply, or nothing.
pub(crate) fn check_payload(request: &Request, response: &Response) {
    if response.code == Code::CONTENT {
        assert_eq!((request.method, request.path.as_str()), (Code::GET, "/.well-known/core"));
    } else if !response.payload.is_empty() {
        check_reply(request, response);
    }
}

/// The body of a request, as JSON.
fn json_of(request: &Request) -> Vec<u8> {
    match request.content_format {
        Some(format::CBOR) => {
            let json = cbor::to_json(&request.payload, Limits::BODY, None);
            json.expect("only a body that was read is answered so").into_bytes()
        }
        _ => request.payload.clone(),
    }
}

/// A command is fetched or answered.
fn check_command(session: &Grant, request: &Request, wanted: &CommandWanted) {
    assert_eq!(session.mode, SecureMode::DeviceSecret);
    let is_fetch = !matches!(wanted, CommandWanted::Reply { .. });
    assert_eq!(request.method, if is_fetch { Code::GET } else { Code::POST });
}

/// What is done with attributes and tags.
pub(crate) fn check_properties(session: &Grant, request: &Request, action: Action) {
    assert_eq!((session.mode, request.method), (SecureMode::DeviceSecret, Code::POST));
    let wanted = match action {
        Action::Edit(wanted) => wanted,
        Action::Query(wanted) => {
            return check_reply(request, wanted.answer(&Properties::default()).response());
        }
        other => panic!("it is about points: {other:?}"),
    };
    let edit = &wanted.edit;
    assert!((1..=IN_A_MESSAGE_MAX).contains(&(edit.set.len() + edit.unset.len())));
    let set = edit.set.iter().map(|(name, value)| name.len() + value.get().len());
    assert!(set.sum::<usize>() <= json_of(request).len(), "more is stored than was sent");
    check_reply(request, &wanted.response);
}

pub(crate) fn check_writes(body: &[u8], writes: &[Write]) {
    assert!(!writes.is_empty() && writes.len() <= points::BATCH_MAX);
    let sent: Value = serde_json::from_slice(body).expect("only JSON is stored");
    if let [Write::Message(message)] = writes
        && message.kind == MessageKind::Event
    {
        let (_, output) = read_event(&message.points_json).expect("an event is stored as one");
        assert_eq!(time_of(&sent["params"]), message.time);
        assert_eq!(serde_json::from_str::<Value>(output.get()).ok().as_ref(), sent["params"].get("events"));
        return;
    }
    let (reports, skips) = match &sent["params"] {
        Value::Array(reports) => (&reports[..], sent["skipInvalidMeasurepoints"] == true),
        report => (std::slice::from_ref(report), false),
    };
    assert!(skips || reports.len() == writes.len(), "all reports are stored");
    let mut reports = reports.iter();
    let mut total = 0;
    for write in writes {
        let Write::Message(message) = write else { panic!("only reports are stored: {write:?}") };
        assert_eq!((message.device, message.arrival), (DeviceId(7), NOW));
        assert!((0..=NOW.0 + DAY_MS).contains(&message.time.0));
        total += message.points_json.len();
        let points = &*message.points_json;
        let Ok(Value::Object(map)) = serde_json::from_str(points) else { panic!("not an object: {points}") };
        assert!((1..=points::POINTS_MAX).contains(&map.len()));
        assert_eq!(&*json::compact(points), points, "what is stored is compact");
        let is_sent = |report: &Value| time_of(report) == message.time && holds(report, &map, skips);
        assert!(reports.any(is_sent), "what is stored was not sent, or in another order: {points}");
    }
    assert!(total <= body.len(), "more is stored than was sent");
}

/// Whether these are the points of a report; with `skips`, some of them.
fn holds(report: &Value, stored: &Map<String, Value>, skips: bool) -> bool {
    let Some(sent) = report["measurepoints"].as_object() else { return false };
    let same = stored.iter().all(|(identifier, value)| sent.get(identifier) == Some(value));
    same && (skips || stored.len() == sent.len())
}

fn time_of(report: &Value) -> UnixMillis {
    match &report["time"] {
        Value::Null => NOW,
        // The only integer that is read as a double is -0.
        time => UnixMillis(time.as_i64().unwrap_or(0)),
    }
}

/// What a response carries, as JSON.
fn reply_of(response: &Response) -> Value {
    if response.options.find_uint(OptionNumber::CONTENT_FORMAT) == Some(format::CBOR.into()) {
        let json = cbor::to_json(&response.payload, Limits::BODY, None).expect("a reply is CBOR");
        return serde_json::from_str(&json).expect("it is JSON");
    }
    serde_json::from_slice(&response.payload).expect("a reply is JSON")
}

pub(crate) fn check_reply(request: &Request, response: &Response) {
    let reply = reply_of(response);
    assert!(reply["code"].is_u64() && reply["data"].is_object());
    let body = json_of(request);
    let body = json::check(&body).expect("only a body that was read is answered so");
    let sent: std::collections::HashMap<&str, &RawValue> = serde_json::from_str(body).unwrap_or_default();
    if let (Some(sent), Some(answered)) = (sent.get("id"), reply.get("id")) {
        let sent: Value = serde_json::from_str(sent.get()).expect("it was checked");
        assert_eq!(&sent, answered, "the id comes back");
    }
}
