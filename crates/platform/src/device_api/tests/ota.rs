//! Firmware: what a device says of it, and the image, block by block.

use narrowgate_coap::{Block, format};

use super::*;
use crate::{
    device_api::ota::{OtaMessage, OtaWanted, image::BlockWanted},
    firmware::{FirmwareStep, NoUpgrade, UpgradeOffer},
    ports::ImagePiece,
};

const IMAGE: &str = "/ota/Ab3dEf7h";
const TAG: [u8; 8] = *b"\x01sha256.";

fn path(topic: &str) -> String {
    format!("/topic/sys/MuGsF6W4/15bBZlRknc/ota/device/{topic}")
}

fn told(topic: &str, params: &str) -> Action {
    post(&path(topic), &format!(r#"{{"id":"1","version":"1.0","params":{params}}}"#))
}

#[track_caller]
fn wanted(action: Action) -> OtaWanted {
    let Action::Ota(wanted) = action else { panic!("{action:?}") };
    *wanted
}

fn inform(version: &str) -> OtaMessage {
    OtaMessage::Step(FirmwareStep::Inform { version: version.to_owned() })
}

fn progress(step: i8, desc: Option<&str>) -> OtaMessage {
    OtaMessage::Step(FirmwareStep::Progress { step, desc: desc.map(str::to_owned) })
}

#[test]
fn a_device_says_its_version_and_how_far_it_is() {
    for (topic, params, message) in [
        ("inform", r#"{"version":"2.1"}"#, inform("2.1")),
        ("inform", r#"{"version":"v 2 \"b\"","more":1}"#, inform("v 2 \"b\"")),
        ("progress", r#"{"step":"50","desc":"half"}"#, progress(50, Some("half"))),
        ("progress", r#"{"step":100}"#, progress(100, None)),
        ("progress", r#"{"step":"-5","desc":null}"#, progress(-5, None)),
        ("getversion", "{}", OtaMessage::GetVersion),
        ("getversion", "null", OtaMessage::GetVersion),
    ] {
        assert_eq!(wanted(told(topic, params)).message, message, "{params}");
    }
    let body = r#"{"id":7,"method":"ota.device.inform","params":{"version":"1"}}"#;
    let done = wanted(post(&path("inform"), body)).done();
    assert_eq!(done.response().payload, *br#"{"id":7,"code":200,"data":{}}"#);
}

#[test]
fn the_answers_say_what_there_is() {
    let asked = || wanted(told("getversion", "{}"));
    let shown = |answer: Answer| String::from_utf8(answer.response().payload.to_vec()).expect("text");
    assert_eq!(shown(asked().versions([])), r#"{"id":"1","code":200,"data":[]}"#);
    let offer = |version: &str| UpgradeOffer {
        version: version.to_owned(),
        sign: "5f".to_owned(),
        sign_method: "SHA256",
        file_url: "coaps://h/ota/Ab3dEf7h".to_owned(),
        file_size: 9,
    };
    let entry = |version: &str| {
        let rest = r#""sign":"5f","signMethod":"SHA256","fileUrl":"coaps://h/ota/Ab3dEf7h","fileSize":9}"#;
        format!("{{\"version\":{version},{rest}")
    };
    let data = [entry(r#""1""#), entry(r#""a\"b""#)].join(",");
    let expected = format!(r#"{{"id":"1","code":200,"data":[{data}]}}"#);
    assert_eq!(shown(asked().versions([offer("1"), offer("a\"b")])), expected);
    for (why, code) in [(NoUpgrade::None, 764), (NoUpgrade::NotStarted, 765)] {
        let answer = wanted(told("progress", r#"{"step":"1"}"#)).no_upgrade(why);
        assert_eq!(fault(Action::Respond(answer)).0, code);
    }
}

#[test]
fn what_is_wrong_with_a_message_is_named() {
    for (topic, params, code, words) in [
        ("inform", "null", 1200, "/params: is missing"),
        ("inform", "[]", 1200, "/params: must be an object"),
        ("getversion", "7", 1200, "/params: must be an object"),
        ("inform", r#"{"ver":"1"}"#, 1200, "/params/version: is missing; received ver"),
        ("inform", r#"{"version":1}"#, 1204, "/params/version: must be a text; received 1 at byte"),
        ("inform", r#"{"version":""}"#, 1204, "/params/version: is empty"),
        ("inform", r#"{"version":"1\n"}"#, 1204, "/params/version: has a control character"),
        ("progress", "{}", 1200, "/params/step: is missing"),
        ("progress", r#"{"step":"101"}"#, 1204, "/params/step: must be an integer from -5 to 100"),
        ("progress", r#"{"step":-6}"#, 1204, "/params/step: must be an integer from -5 to 100"),
        ("progress", r#"{"step":50.0}"#, 1204, "/params/step: must be an integer from -5 to 100"),
        ("progress", r#"{"step":"half"}"#, 1204, "/params/step: must be an integer from -5 to 100"),
        ("progress", r#"{"step":[]}"#, 1204, "/params/step: must be an integer from -5 to 100"),
        ("progress", r#"{"step":1,"desc":7}"#, 1204, "/params/desc: must be a text; received 7"),
    ] {
        let (given, said) = fault(told(topic, params));
        assert_eq!(given, code, "{params}: {said}");
        assert!(said.starts_with(words), "{params}: {said}");
    }
    let long = format!(r#"{{"version":"{}"}}"#, "1".repeat(65));
    assert!(fault(told("inform", &long)).1.starts_with("/params/version: has 65 bytes"));
    let body = r#"{"method":"ota.device.progress","params":{"version":"1"}}"#;
    assert_eq!(fault(post(&path("inform"), body)).0, 1260);
}

#[track_caller]
fn block(action: Action) -> BlockWanted {
    let Action::ReadBlock(wanted) = action else { panic!("{action:?}") };
    wanted
}

fn get(number: u32, bytes: usize) -> Request {
    Request { block2: Block::new(number, false, bytes), ..Request::get(IMAGE) }
}

fn read(bytes: &[u8]) -> Option<ImagePiece> {
    Some(ImagePiece { etag: TAG, size: 5000, bytes: bytes.to_vec() })
}

#[test]
fn any_block_of_any_size_is_read_where_it_lies() {
    let ask_for = |request: Request| block(ask(SecureMode::DeviceSecret, &request));
    for (number, bytes, offset) in
        [(0, 1024, 0), (4, 1024, 4096), (7, 16, 112), (1_048_575, 1024, 1_073_740_800)]
    {
        let piece = ask_for(get(number, bytes)).piece("p");
        assert_eq!((piece.offset, piece.len, &*piece.product_key), (offset, bytes, "p"));
        assert_eq!(piece.image.as_str(), "Ab3dEf7h");
    }
    let whole = ask_for(Request::get(IMAGE)).piece("p");
    assert_eq!((whole.offset, whole.len), (0, 1024));
    let answer = ask_for(get(4, 1024).accept(format::OCTET_STREAM)).answer(read(b"tail"));
    let response = answer.response();
    assert_eq!(
        (response.code, response.is_block(), &response.payload[..]),
        (Code::CONTENT, true, &b"tail"[..])
    );
    assert_eq!(response.options.find(OptionNumber::ETAG), Some(&TAG[..]));
    assert_eq!(response.options.find_uint(OptionNumber::SIZE2), Some(5000));
    assert_eq!(response.options.find_uint(OptionNumber::CONTENT_FORMAT), Some(42));
}

#[test]
fn attack_144_a_block_behind_the_end_is_refused() {
    let wanted = block(ask(SecureMode::DeviceSecret, &get(1_048_575, 1024)));
    let (response, refusal) = wanted.answer(read(b"")).into_parts();
    assert_eq!((response.code, response.payload.len()), (Code::BAD_REQUEST, 0));
    let detail = refusal.expect("it is logged").detail;
    assert!(detail.contains("behind the end of the image, which has 5000 bytes"), "{detail}");
}

#[test]
fn who_has_the_image_already_is_told_so_at_its_first_block() {
    let with_tag = |number, tag: &[u8]| get(number, 1024).option(OptionNumber::ETAG, tag);
    let code = |request: Request| {
        block(ask(SecureMode::DeviceSecret, &request)).answer(read(b"bytes")).response().code
    };
    assert_eq!(code(with_tag(0, &TAG)), Code::VALID);
    assert_eq!(code(with_tag(1, &TAG)), Code::CONTENT);
    assert_eq!(code(with_tag(0, b"another.")), Code::CONTENT);
    assert_eq!(code(with_tag(0, b"short")), Code::CONTENT);
    let several = with_tag(0, b"another.").option(OptionNumber::ETAG, TAG).option(OptionNumber::ETAG, b"z");
    assert_eq!(code(several), Code::VALID);
}

#[test]
fn blocks_whose_numbers_end_before_the_image_are_refused() {
    for (bytes, size, code) in [
        (16, 16 << 20, Code::CONTENT),
        (16, (16 << 20) + 1, Code::BAD_REQUEST),
        (512, 1 << 30, Code::BAD_REQUEST),
        (1024, 1 << 30, Code::CONTENT),
    ] {
        let wanted = block(ask(SecureMode::DeviceSecret, &get(0, bytes)));
        let piece = ImagePiece { etag: TAG, size, bytes: vec![0; bytes] };
        let (response, refusal) = wanted.answer(Some(piece)).into_parts();
        assert_eq!(response.code, code, "{bytes} {size}");
        let Some(refusal) = refusal else {
            let told = response.options.find_uint(OptionNumber::SIZE2);
            assert_eq!(told, Some(u32::try_from(size).expect("it fits")), "{bytes} {size}");
            continue;
        };
        let least = if bytes == 16 { "blocks of 32 bytes" } else { "blocks of 1024 bytes" };
        assert!(refusal.detail.contains(least), "{}", refusal.detail);
    }
}

#[test]
fn what_is_wrong_with_a_request_for_an_image_is_refused() {
    let own = SecureMode::DeviceSecret;
    for (mode, request, code, reason) in [
        (own, Request::get("/ota/Ab3dEf7"), Code::NOT_FOUND, Reason::PathUnknown),
        (own, Request::get("/ota/"), Code::NOT_FOUND, Reason::PathUnknown),
        (own, Request::get("/ota/Ab3dEf7h/x"), Code::NOT_FOUND, Reason::PathUnknown),
        (own, Request::get("/ota/..%2F..%2Fa"), Code::NOT_FOUND, Reason::PathUnknown),
        (own, Request::get("/f/Ab3dEf7h"), Code::NOT_FOUND, Reason::PathUnknown),
        (own, Request::post(IMAGE, 42, "x"), Code::METHOD_NOT_ALLOWED, Reason::MethodWrong),
        (own, Request::get(IMAGE).accept(50), Code::NOT_ACCEPTABLE, Reason::NotAcceptable),
        (
            own,
            Request::get(IMAGE).option(OptionNumber::IF_MATCH, TAG),
            Code::PRECONDITION_FAILED,
            Reason::OptionUnsupported,
        ),
        (SecureMode::ProductSecret, Request::get(IMAGE), Code::FORBIDDEN, Reason::TopicForeign),
    ] {
        let (given, said, _) = outcome(ask(mode, &request));
        assert_eq!((given, said), (code, Some(reason)), "{request:?}");
    }
    let wanted = block(ask(own, &Request::get(IMAGE)));
    assert_eq!(outcome(Action::Respond(wanted.answer(None))).0, Code::NOT_FOUND);
    assert_eq!(outcome(Action::Respond(BlockWanted::unprotected())).0, Code::FORBIDDEN);
    assert_eq!(BlockWanted::too_many().code, Code::TOO_MANY_REQUESTS);
}

#[track_caller]
fn short(request: &Request) -> Action {
    handle(&session(SecureMode::DeviceSecret), request, ProductState::OnWithShortPaths(None), NOW)
}

fn short_post(json: &str) -> Action {
    short(&Request::post("/o", format::CBOR, cbor::from_json(json.as_bytes())))
}

#[test]
fn a_short_path_takes_a_map_of_each() {
    assert_eq!(wanted(short_post(r#"{"version":"2.1"}"#)).message, inform("2.1"));
    assert_eq!(wanted(short_post(r#"{"step":-3,"desc":"no"}"#)).message, progress(-3, Some("no")));
    assert_eq!(block(short(&Request::get("/f/Ab3dEf7h"))).image.as_str(), "Ab3dEf7h");
    for (json, code, words) in [
        (r#"{"version":"1","step":1}"#, 1200, "must be a map with version, or with step"),
        ("{}", 1200, "must be a map with version, or with step"),
        ("[1]", 1200, "must be a map with version, or with step"),
        (r#"{"version":7}"#, 1204, "/version: must be a text"),
        (r#"{"step":"x"}"#, 1204, "/step: must be an integer from -5"),
    ] {
        let (response, refusal) = response(short_post(json));
        assert_eq!(response.code, Code::CHANGED);
        let said = cbor::to_json(&response.payload, cbor::Limits::BODY, None).expect("CBOR");
        assert!(said.starts_with(&format!("[{code},\"{words}")), "{json}: {said}");
        assert_eq!(refusal.and_then(|refusal| refusal.code()), Some(code));
    }
    for (request, code) in [
        (Request::get("/o"), Code::METHOD_NOT_ALLOWED),
        (Request::post("/o", 50, "{}"), Code::UNSUPPORTED_CONTENT_FORMAT),
        (Request::post("/o", 60, "x"), Code::BAD_REQUEST),
        (Request::get("/f/none"), Code::NOT_FOUND),
        (Request::get("/f/Ab3dEf7h").accept(60), Code::NOT_ACCEPTABLE),
        (Request::post("/f/Ab3dEf7h", 60, "x"), Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(response(short(&request)).0.code, code, "{request:?}");
    }
}
