use narrowgate_platform::ids::UnixMillis;
use serde_json::{Value, json};

use super::*;

mod hostile;
mod survivors;

const AT: Circumstances = Circumstances { arrival: UnixMillis(1_700_000_000_123), seed: 7 };
const TAGGED: &str = include_str!("../../../../../vectors/raw/tagged_points.js");
/// The second function, for scripts about the first one.
const NO_ENCODER: &str = "\nfunction jsonStrToRawData() { return []; }";

fn engine() -> Engine {
    Engine::new(Limits::default(), 8)
}

/// A decoder with this body, with `b` for the bytes.
fn decoder(body: &str) -> Script {
    Script::new("p", format!("function rawDataToJsonStr(b) {{ {body} }}{NO_ENCODER}"))
}

fn decoded(source: &str, bytes: &[u8]) -> Result<String, Fault> {
    engine().decode(&Script::new("p", source), bytes, AT)
}

/// What a decoder with this body returns.
fn ran(body: &str) -> Result<String, Fault> {
    engine().decode(&decoder(body), &[1, 2, 255], AT)
}

/// What an encoder with this body returns, with `j` for the text.
fn encoded(body: &str) -> Result<Vec<u8>, Fault> {
    let source = format!("function rawDataToJsonStr() {{}}\nfunction jsonStrToRawData(j) {{ {body} }}");
    engine().encode(&Script::new("p", source), "{\"é\":1}", AT)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Fault>) -> FaultKind {
    result.expect_err("it fails").kind
}

#[test]
fn the_vectors_of_the_tagged_layout_decode_and_encode() {
    let script = Script::new("p", TAGGED);
    let mut engine = engine();
    engine.check(&script).unwrap();
    let mut decode = |text: &str| -> Value {
        let decoded = engine.decode(&script, &hex::decode(text).unwrap(), AT).unwrap();
        serde_json::from_str(&decoded).unwrap()
    };
    let points = json!({
        "mp_int": 9717, "mp_string": "abcdefghij", "mp_double": 1.14, "mp_array": [1, 3, 5, 7, 9],
        "mp_int_quality": {"value": 423, "quality": 3}
    });
    let report = "0100000014010004000025f502000a6162636465666768696a0300083ff23d70a3d70a3d0400140000000100\
                  000003000000050000000700000009050005000001a703";
    let message = decode(report);
    assert_eq!((&message["method"], &message["id"]), (&json!("thing.measurepoint.post"), &json!("20")));
    assert_eq!(message["params"]["measurepoints"], points);
    let reply = decode("11000004d2c80000000e");
    assert_eq!(reply, json!({"id": "1234", "code": "200", "data": {"output_int": 14}}));

    let mut encode = |message: &Value| hex::encode(engine.encode(&script, &message.to_string(), AT).unwrap());
    let set = json!({
        "method": "thing.service.measurepoint.set", "id": "20", "version": "1.0", "params": points
    });
    let bytes = "020000001401000025f502000a6162636465666768696a033ff23d70a3d70a3d04001400000001000000030000\
                 0005000000070000000905000001a703";
    assert_eq!(encode(&set), bytes);
    let service = json!({
        "method": "thing.service.service1", "id": "1234", "version": "1.0", "params": {"input_int": 12}
    });
    assert_eq!(encode(&service), "11000004d20000000c");
    assert_eq!(encode(&json!({"id": "20", "code": 200, "data": ""})), "0000001400c8");
}

#[test]
fn bytes_go_in_and_out_as_numbers() {
    assert_eq!(ran("return JSON.stringify([b, Array.isArray(b)])").unwrap(), "[[1,2,255],true]");
    assert_eq!(encoded("return [0, 127, 128, 255, -1, -128]").unwrap(), [0, 127, 128, 255, 255, 128]);
    assert_eq!(encoded("return new Int8Array([-1, 5])").unwrap(), [255, 5]);
    assert_eq!(encoded("return new Uint8Array([7])").unwrap(), [7]);
    assert_eq!(encoded("return [JSON.parse(j)['é'], j.length]").unwrap(), [1, 7]);
    assert!(encoded("return []").unwrap().is_empty());
}

#[test]
fn what_is_returned_has_to_be_a_string_or_bytes() {
    let values = ["undefined", "null", "5", "true", "{}", "[1]", "Symbol()", "() => 1", "1n"];
    let tricks = [
        "{ toString() { return 'x'; } }",
        "new String('x')",
        "{ toJSON() { return 'x'; }, valueOf() { return 'x'; } }",
        "Object.create(String.prototype)",
    ];
    for value in values.into_iter().chain(tricks) {
        assert_eq!(kind(ran(&format!("return {value}"))), FaultKind::ReturnType, "{value}");
    }
    let values = ["undefined", "null", "'text'", "5", "{}", "{ length: 1, 0: 1 }", "new ArrayBuffer(2)"];
    let elements = [
        "[256]",
        "[-129]",
        "[1.5]",
        "['1']",
        "[NaN]",
        "[,1]",
        "[1n]",
        "[[1]]",
        "[{ valueOf() { return 1; } }]",
    ];
    for value in values.into_iter().chain(elements) {
        assert_eq!(kind(encoded(&format!("return {value}"))), FaultKind::ReturnType, "{value}");
    }
    assert_eq!(kind(ran("return '\\ud800'")), FaultKind::ReturnType);
    assert_eq!(ran("return '\\u0000\\ud83d\\ude00'").unwrap(), "\0\u{1f600}");
}

#[test]
fn a_fault_has_its_message_and_line() {
    let source =
        "function rawDataToJsonStr(b) {\n  return f();\n}\nfunction f() {\n  throw new RangeError('no');\n}";
    let fault = decoded(&format!("{source}{NO_ENCODER}"), b"").unwrap_err();
    assert_eq!(fault, Fault::at(FaultKind::Throws, "RangeError: no", Some(5)));
    assert_eq!(ran("throw 'text'").unwrap_err(), Fault::new(FaultKind::Throws, "text"));
    assert_eq!(ran("throw {}").unwrap_err(), Fault::new(FaultKind::Throws, "object thrown"));
    // The engine throws null where it has no memory for an error.
    assert_eq!(ran("throw null").unwrap_err().kind, FaultKind::Memory);
    assert_eq!(ran("throw undefined").unwrap_err().kind, FaultKind::Throws);
    let fault = ran("\nconsole.log(1)").unwrap_err();
    assert_eq!((fault.kind, fault.line), (FaultKind::Throws, Some(2)));
    assert!(fault.message.contains("a script cannot print"), "{fault}");
    let looping = ran("\n\nfor (;;) b.at(0);").unwrap_err();
    assert_eq!((looping.kind, looping.line), (FaultKind::Time, Some(3)));
}

#[test]
fn a_check_says_what_is_wrong_with_a_source() {
    let check = |source: &str| engine().check(&Script::new("p", source));
    check(TAGGED).unwrap();
    let both = "rawDataToJsonStr = function () {}; this.jsonStrToRawData = () => [];";
    check(both).unwrap();
    check("'use strict';\nconst rawDataToJsonStr = () => '', jsonStrToRawData = () => [] // end").unwrap();
    let fault = check("var a = 1;\nvar b = ;\n").unwrap_err();
    assert_eq!((fault.kind, fault.line), (FaultKind::Syntax, Some(2)), "{fault}");
    assert_eq!(kind(check("function rawDataToJsonStr() {}")), FaultKind::Missing);
    assert_eq!(kind(check("")), FaultKind::Missing);
    let fault = check("\nnull.x").unwrap_err();
    assert_eq!((fault.kind, fault.line), (FaultKind::Throws, Some(2)));
    for source in
        ["return 1", "}); (() => {", "export const a = 1", "import 'os'", "a\0b", "await 1", "/*", "`"]
    {
        assert_eq!(kind(check(source)), FaultKind::Syntax, "{source}");
    }
    assert_eq!(kind(check(&" ".repeat(SCRIPT_BYTES_MAX + 1))), FaultKind::Syntax);
    check(&format!("{both}{}", " ".repeat(SCRIPT_BYTES_MAX - both.len()))).unwrap();
    assert_eq!(kind(check("while (true);")), FaultKind::Time);
}

#[test]
fn the_clock_is_the_time_of_arrival() {
    let dates = "[Date.now(), +new Date(), new Date().toISOString(), new Date(5).getTime(), typeof Date(),
        new Date('1970-01-01T00:00:01Z').getTime(), Date.UTC(1970, 0, 2), new Date(new Date(9)).getTime(),
        new Date() instanceof Date, Object.getPrototypeOf(new Date()) === Date.prototype,
        Date.name, Date.length,
        new Date(2026, 10, 29).getMonth(), new Date().constructor === Date,
        new (class extends Date { plus() { return +this + 1; } })().plus(), String(new Date(NaN))]";
    let result: Value =
        serde_json::from_str(&ran(&format!("return JSON.stringify({dates})")).unwrap()).unwrap();
    let now = AT.arrival.0;
    let expected = json!([
        now,
        now,
        "2023-11-14T22:13:20.123Z",
        5,
        "string",
        1000,
        86_400_000,
        9,
        true,
        true,
        "Date",
        7,
        10,
        true,
        now + 1,
        "Invalid Date"
    ]);
    assert_eq!(result, expected);
    assert_eq!(ran("return String(typeof performance)").unwrap(), "undefined");
}

#[test]
fn chance_is_a_sequence_that_the_seed_gives() {
    let script = decoder("return JSON.stringify([Math.random(), Math.random(), Math.random()])");
    let mut engine = engine();
    let mut with = |seed| engine.decode(&script, b"", Circumstances { seed, ..AT }).unwrap();
    let first = with(1);
    assert_eq!(first, with(1));
    for seed in [0, 2, 1 << 32, u64::MAX] {
        let numbers: Vec<f64> = serde_json::from_str(&with(seed)).unwrap();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)) && numbers[0] != numbers[1]);
        assert_ne!(with(seed), first);
    }
}

#[test]
fn scripts_that_were_not_used_for_long_make_room() {
    let mut engine = Engine::new(Limits::default(), 2);
    let scripts: Vec<_> = ["1", "2", "3"].map(|n| decoder(&format!("return '{n}'"))).into();
    for (script, result) in scripts.iter().chain(&scripts).zip(["1", "2", "3", "1", "2", "3"]) {
        assert_eq!(engine.decode(script, b"", AT).as_deref(), Ok(result));
        assert!(engine.knows(script.digest()) && engine.kept.len() <= 2);
    }
    assert!(!engine.knows(scripts[0].digest()));
}
