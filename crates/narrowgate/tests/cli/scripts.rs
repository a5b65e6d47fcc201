//! Scripts of products: published, tried, listed, rolled back. The vectors are in `vectors/raw`.

use std::{io::Write as _, process::Stdio};

use narrowgate_testkit::program::{Program, Ran};
use serde_json::{Value, json};

use crate::harness::program;

const TAGGED: &str = include_str!("../../../../vectors/raw/tagged_points.js");

const REPORT: &str = "0100000014010004000025f502000a6162636465666768696a0300083ff23d70a3d70a3d\
                      0400140000000100000003000000050000000700000009050005000001a703";
const SET: &str = "020000001401000025f502000a6162636465666768696a033ff23d70a3d70a3d\
                   0400140000000100000003000000050000000700000009\
                   05000001a703";

/// A product whose devices speak bytes.
fn with_product() -> Program {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk", "--data-format", "custom"]);
    program
}

fn points() -> Value {
    json!({
        "mp_int": 9717,
        "mp_string": "abcdefghij",
        "mp_double": 1.14,
        "mp_array": [1, 3, 5, 7, 9],
        "mp_int_quality": {"value": 423, "quality": 3},
    })
}

/// The one document on standard output of a script that failed; people read standard error.
fn error_of(ran: &Ran, words: &[&str]) -> Value {
    assert_eq!(ran.code, 1, "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is missing: {ran:?}");
    }
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Runs a command that reads this from standard input.
fn with_input(program: &Program, arguments: &[&str], input: &str) -> Ran {
    let mut command = program.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_product_says_what_its_devices_speak() {
    let program = with_product();
    assert_eq!(program.json(&["product", "show", "pk"])["dataFormat"], "custom");
    program.json(&["product", "create", "valves", "--product-key", "other"]);
    let list = program.json(&["product", "list"]);
    assert_eq!((&list[0]["dataFormat"], &list[1]["dataFormat"]), (&json!("custom"), &json!("json")));
    program.json(&["product", "update", "pk", "--name", "new"]);
    assert_eq!(program.json(&["product", "show", "pk"])["dataFormat"], "custom", "another change leaves it");
    assert_eq!(program.json(&["product", "update", "pk", "--data-format", "json"])["dataFormat"], "json");
    program.run(&["product", "update", "pk", "--data-format", "xml"]).failed(64, &["xml", "custom"]);
}

/// The engine runs in processes of the real program, within the limits that they set themselves.
#[test]
fn the_vectors_pass_through_the_real_program_both_ways() {
    let program = with_product();
    let file = program.file("tagged.js", TAGGED);
    let tried = program.json(&["script", "try", "pk", "--file", &file, "--hex", REPORT]);
    let message = json!({
        "id": "20",
        "version": "1.0",
        "method": "thing.measurepoint.post",
        "params": {"measurepoints": points()},
    });
    assert_eq!(tried, json!({"json": message}));
    assert_eq!(program.json(&["script", "publish", "pk", &file]), json!({"version": 1}));
    let tried = program.json(&["script", "try", "pk", "--hex", "11000004d2c80000000e"]);
    let reply = json!({"id": "1234", "code": "200", "data": {"output_int": 14}});
    assert_eq!(tried, json!({"json": reply}));
    let set = json!({"id": "20", "method": "thing.service.measurepoint.set", "params": points()});
    let run = json!({"id": "1234", "method": "thing.service.service1", "params": {"input_int": 12}});
    let answer = json!({"id": "20", "code": 200, "data": ""});
    for (message, hex) in [(set, SET), (run, "11000004d20000000c"), (answer, "0000001400c8")] {
        let json = program.file("message.json", &message.to_string());
        assert_eq!(program.json(&["script", "try", "pk", "--json", &json]), json!({"hex": hex}));
    }
    assert_eq!(program.text(&["script", "show", "pk"]), TAGGED);
}

/// The script of the chapter for authors.
#[test]
fn the_example_of_the_chapter_does_what_it_says() {
    let chapter = include_str!("../../../../docs/scripts.md");
    let (_, rest) = chapter.split_once("```javascript\n").unwrap();
    let (source, _) = rest.split_once("```").unwrap();
    let program = with_product();
    let file = program.file("chapter.js", source);
    program.json(&["script", "publish", "pk", &file]);
    let report = json!({"id": "20", "version": "1.0", "method": "thing.measurepoint.post",
        "params": {"measurepoints": {"temp": 21.5}}});
    let reply = json!({"id": "20", "code": 200, "data": {}});
    for (hex, message) in [("010000001400d7", report), ("0200000014c8", reply)] {
        assert_eq!(program.json(&["script", "try", "pk", "--hex", hex]), json!({"json": message}));
    }
    let set = json!({"id": "20", "method": "thing.service.measurepoint.set", "params": {"temp": -1.5}});
    for (message, hex) in
        [(set, "0200000014fff1"), (json!({"id": "20", "code": 200, "data": ""}), "0000001400c8")]
    {
        let json = program.file("message.json", &message.to_string());
        assert_eq!(program.json(&["script", "try", "pk", "--json", &json]), json!({"hex": hex}));
    }
}

#[test]
fn attack_173_what_a_script_does_in_the_real_program_is_told_with_its_line() {
    let program = with_product();
    let script = |body: &str| {
        let source = format!(
            "function rawDataToJsonStr(b) {{\n{body}\nreturn '{{}}';\n}}\n\
             function jsonStrToRawData(j) {{ return [1]; }}"
        );
        program.file("script.js", &source)
    };
    for (body, said, line) in [
        ("for (;;);", "took longer than", None),
        ("let a = []; for (;;) a.push(new Array(1000).fill(1));", "more memory", None),
        ("(function f() { return f() + 1; })();", "called itself too often", None),
        ("throw new Error('no such tag');", "Error: no such tag", Some(2)),
        ("console.log(b);", "a script cannot print", Some(2)),
        ("return 'no JSON';", "what rawDataToJsonStr returned", None),
        ("return b;", "a string", None),
        ("return 'x'.repeat(100000);", "too long", None),
    ] {
        let file = script(body);
        let failed = program.run(&["script", "try", "pk", "--file", &file, "--hex", "00", "-o", "json"]);
        let error = error_of(&failed, &["the script failed"]);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{body}: {error}");
        if let Some(line) = line {
            assert_eq!(error["error"]["line"], line, "{body}: {error}");
        }
        assert_eq!(error.as_object().unwrap().len(), 1);
    }
}

#[test]
fn a_script_that_cannot_be_run_is_refused_with_its_line_and_changes_nothing() {
    let program = with_product();
    let good = program.file("good.js", TAGGED);
    program.json(&["script", "publish", "pk", &good]);
    for (source, said, line) in [
        ("\nfunction rawDataToJsonStr(b) { return '' ", "SyntaxError", Some(())),
        ("function rawDataToJsonStr(b) { return ''; }", "jsonStrToRawData", None),
        ("\n\nthrow new Error('at once');", "at once", Some(())),
    ] {
        let file = program.file("bad.js", source);
        let refused = program.run(&["script", "publish", "pk", &file, "-o", "json"]);
        let error = error_of(&refused, &["cannot publish the script", "bad.js", said]);
        assert!(error["error"]["message"].as_str().unwrap().contains(said), "{error}");
        assert_eq!(error["error"]["line"].is_u64(), line.is_some(), "{error}");
    }
    let long = program.file("long.js", &format!("//{}", "x".repeat(64 << 10)));
    program.run(&["script", "publish", "pk", &long]).failed(1, &["longer than 65536 bytes"]);
    program.run(&["script", "publish", "pk", "none.js"]).failed(1, &["cannot read the script", "none.js"]);
    program.run(&["script", "publish", "none", &good]).failed(1, &["there is no product none"]);
    assert_eq!(program.json(&["script", "versions", "pk"]).as_array().unwrap().len(), 1);
    assert_eq!(program.text(&["script", "show", "pk"]), TAGGED);
}

#[test]
fn versions_are_listed_and_rolled_back() {
    let program = with_product();
    program.run(&["script", "show", "pk"]).failed(1, &["has none that is published", "script publish"]);
    program.run(&["script", "try", "pk", "--hex", "00"]).failed(1, &["there is no script of product pk"]);
    let first = program.file("first.js", TAGGED);
    let second = program.file("second.js", &format!("{TAGGED}\n// changed\n"));
    assert_eq!(program.json(&["script", "publish", "pk", &first])["version"], 1);
    assert_eq!(program.json(&["script", "publish", "pk", &first])["version"], 1, "nothing has changed");
    assert_eq!(program.json(&["script", "publish", "pk", &second])["version"], 2);
    assert_eq!(program.json(&["script", "rollback", "pk", "1"]), json!({"version": 3}));
    let versions = program.json(&["script", "versions", "pk"]);
    let of = |index: usize, field: &str| versions[index][field].clone();
    assert_eq!([of(0, "version"), of(0, "restores"), of(0, "by")], [json!(3), json!(1), json!("owner")]);
    assert_eq!([of(1, "version"), of(1, "restores"), of(2, "version")], [json!(2), json!(null), json!(1)]);
    assert!(of(0, "createdAt").is_i64() && of(0, "bytes") == TAGGED.len());
    assert!(program.text(&["script", "show", "pk", "--version", "2"]).ends_with("// changed\n"));
    program.run(&["script", "rollback", "pk", "9"]).failed(1, &["there is no version 9"]);
    program.run(&["script", "rollback", "pk", "x"]).failed(64, &["x"]);
    program.run(&["script", "show", "pk", "--version", "9"]).failed(1, &["there is no version 9"]);
}

#[test]
fn bad_usage_of_a_trial_is_told() {
    let program = with_product();
    let file = program.file("tagged.js", TAGGED);
    let of = |rest: &[&str]| program.run(&[&["script", "try", "pk", "--file", &file], rest].concat());
    of(&[]).failed(64, &["--hex"]);
    of(&["--hex", "00", "--from", "dk"]).failed(64, &["--hex"]);
    of(&["--hex", "0g"]).failed(64, &["--hex has 'g'"]);
    of(&["--hex", "000"]).failed(64, &["--hex has 3 digits"]);
    of(&["--hex", ""]).failed(64, &["--hex has no bytes"]);
    of(&["--json", "none.json"]).failed(1, &["cannot read the message"]);
    of(&["--from", "dk-1"]).failed(1, &["there is no device"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    let replayed = program.json(&["script", "try", "pk", "--file", &file, "--from", "pk/dk-1"]);
    assert_eq!(
        replayed,
        json!({"device": {"productKey": "pk", "deviceKey": "dk-1"}, "items": [], "leftOut": 0})
    );
    program.json(&["product", "create", "valves", "--product-key", "other"]);
    program.json(&["device", "create", "--product", "other", "--device-key", "dk-2"]);
    of(&["--from", "other/dk-2"]).failed(64, &["--from names a device of product other"]);
}

#[test]
fn a_product_that_speaks_json_gets_its_script_with_a_warning() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let file = program.file("tagged.js", TAGGED);
    for form in ["json", "table"] {
        let published = program.run(&["script", "publish", "pk", &file, "-o", form]);
        let said = format!("{}{}", published.stdout, published.stderr);
        assert_eq!(said.matches("data format is json").count(), 1, "once: {said}");
    }
    let rolled_back = program.json(&["script", "rollback", "pk", "1"]);
    assert_eq!((&rolled_back["version"], rolled_back["warnings"].as_array().unwrap().len()), (&json!(1), 1));
}

#[test]
fn empty_standard_input_is_called_so() {
    let program = with_product();
    let empty = ["cannot read the script", "standard input was empty"];
    with_input(&program, &["script", "publish", "pk", "-"], "").failed(1, &empty);
    with_input(&program, &["script", "try", "pk", "--file", "-", "--hex", "00"], "").failed(1, &empty);
    let file = program.file("empty.js", "");
    program.run(&["script", "publish", "pk", &file]).failed(1, &["empty.js", "it is empty"]);
    // Programs find it on standard output, as they find what is wrong with a source.
    for command in [
        &["script", "publish", "pk", &file][..],
        &["script", "try", "pk", "--file", &file, "--hex", "00"],
        &["script", "try", "pk", "--json", &file],
    ] {
        let ended = program.run(&[command, &["-o", "json"]].concat());
        assert!(ended.code == 1 && ended.stderr.contains("empty.js"), "{ended:?}");
        let told: Value = serde_json::from_str(&ended.stdout).expect("one document");
        assert_eq!(told, json!({"error": {"message": "it is empty", "line": null}}), "{command:?}");
    }
    let refused = with_input(&program, &["script", "publish", "pk", "-"], "function");
    refused.failed(1, &["cannot publish the script", "standard input", "SyntaxError"]);
}

/// `--hex` is an option of trials.
#[test]
fn a_command_in_bytes_is_refused_by_the_name_of_its_option() {
    let program = with_product();
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    let send = |bytes| program.run(&["command", "send", "pk/dk-1", "--raw", bytes]);
    send("0g").failed(64, &["--raw has 'g'"]);
    send("").failed(64, &["--raw has no bytes"]);
    program.json(&["product", "update", "pk", "--data-format", "json"]);
    send("00").failed(64, &["--raw does not go with a product whose data format is json"]);
}
