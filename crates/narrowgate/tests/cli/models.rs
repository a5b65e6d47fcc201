//! Thing models: checked, shown, drafted.

use std::{io::Write as _, process::Stdio};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceName, UnixMillis},
    ports::{Journal as _, Registry as _},
    testing::{
        block_on,
        store::fixtures::{append, report_arriving},
    },
};
use serde_json::{Value, json};

use crate::harness::program_with_device;

const MODEL: &str = r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}]}"#;

#[test]
fn a_model_is_checked_with_the_place_of_its_fault() {
    let program = program_with_device();
    let good = program.file("good.json", MODEL);
    assert_eq!(program.text(&["model", "check", &good, "-o", "json"]), format!("{MODEL}\n"));
    let said = program.text(&["model", "check", &good]);
    assert_eq!(said, "model m is right: 0 attributes, 1 measurepoint, 0 services, 0 events\n");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (model, words) in [
        ("{}", ["/modelId", "is missing"]),
        ("[]", ["the document", "must be an object"]),
        (r#"{"modelId":"m","points":[]}"#, ["/points", "there is no such key; known ones"]),
        (
            r#"{"modelId":"m","measurepoints":[{"identifier":"t","dataType":"REAL"}]}"#,
            ["/measurepoints/0/dataType", "there is no such type; known ones: INT, FLOAT"],
        ),
        (
            r#"{"modelId":"m","attributes":[{"identifier":"s","dataType":"INT","default":"7"}]}"#,
            ["/attributes/0/default", "must be an integer of 32 bits"],
        ),
        ("{", ["line 1 column 1", "it is not JSON"]),
        (r#"{"modelId":"m","modelId":"m"}"#, ["/modelId", "the key occurs twice"]),
        (
            r#"{"modelId":"m","events":[{"identifier":"e","number":7},{"identifier":"f","number":7}]}"#,
            ["/events/1/number", "7 occurs twice: /events/0 has it too"],
        ),
        (&deep, ["/0/0/0/0", "is nested more than 32 deep"]),
    ] {
        let file = program.file("wrong.json", model);
        program.run(&["model", "check", &file]).failed(1, &["wrong.json", words[0], words[1]]);
    }
    program.run(&["model", "check", "none.json"]).failed(1, &["cannot read the thing model", "none.json"]);
}

#[test]
fn a_model_is_shown_and_drafted() {
    let program = program_with_device();
    program.run(&["model", "show", "pk"]).failed(1, &["product pk has none", "model infer"]);
    let file = program.file("model.json", MODEL);
    program.json(&["product", "update", "pk", "--model", &file]);
    let numbered = MODEL.replace(r#""DOUBLE"}"#, r#""DOUBLE","number":1}"#);
    assert_eq!(program.text(&["model", "show", "pk", "-o", "json"]), format!("{numbered}\n"));
    let lines = "{\n  \"modelId\":\"m\",\n  \"measurepoints\":[\n    \
                 {\"identifier\":\"temp\",\"dataType\":\"DOUBLE\",\"number\":1}\n  ]\n}\n";
    assert_eq!(program.text(&["model", "show", "pk"]), lines);
    let product = program.text(&["product", "show", "pk"]);
    assert!(product.contains(" model id ") && !product.contains("measurepoints"), "{product}");
    program.run(&["model", "show", "none"]).failed(1, &["there is no product none"]);
    program.json(&["product", "update", "pk", "--no-model"]);

    let set = r#"{"place":"roof","size":7,"odd":[[1]]}"#;
    program.json(&["device", "attributes", "dk-1", "--set", set]);
    let drafted = program.run(&["model", "infer", "pk"]);
    assert!(drafted.stdout.starts_with("{\n  \"modelId\":\"meters\",\n"), "{drafted:?}");
    let draft: Value = serde_json::from_str(&drafted.stdout).expect("the draft is JSON");
    let expected = json!([
        {"identifier": "place", "dataType": "STRING"},
        {"identifier": "size", "dataType": "INT"},
    ]);
    assert_eq!((&draft["modelId"], &draft["attributes"]), (&json!("meters"), &expected));
    for words in ["made of what 1 device sent", "left out: attribute odd: no type takes all values"] {
        assert!(drafted.stderr.contains(words), "{}", drafted.stderr);
    }
    let file = program.file("draft.json", &drafted.stdout);
    program.text(&["model", "check", &file]);
    program
        .run(&["model", "infer", "none"])
        .failed(1, &["cannot draft a thing model", "there is no product"]);
}

/// What a device has sent is given to a draft and to the product's model, and changes nothing.
#[test]
fn what_a_device_has_sent_is_replayed_into_a_draft() {
    let program = program_with_device();
    program.json(&["device", "attributes", "dk-1", "--set", r#"{"size":7.5,"place":"roof"}"#]);
    let store = SqliteStore::open(SqliteOptions::new(program.data())).unwrap();
    let name = DeviceName { product_key: "pk".into(), device_key: "dk-1".into() };
    let id = block_on(store.device(&name)).unwrap().unwrap().id;
    let at = UnixMillis(1_767_225_600_000);
    let points = r#"{"temp":21.5,"n":3,"q":{"value":7.5,"quality":2}}"#;
    append(&store, vec![report_arriving(id, at, at, points)]);
    block_on(store.close()).unwrap();

    let model = |points: &str| {
        let text = format!(
            r#"{{"modelId":"m","attributes":[{{"identifier":"size","dataType":"DOUBLE"}},
            {{"identifier":"place","dataType":"STRING"}}],"measurepoints":[{points}]}}"#
        );
        program.file("draft.json", &text)
    };
    let good = r#"{"identifier":"temp","dataType":"DOUBLE"},{"identifier":"n","dataType":"INT"},
        {"identifier":"q","dataType":"DOUBLE","hasQuality":true}"#;
    let file = model(good);
    let right = json!({"values": 5, "refused": 0, "differing": 0, "items": []});
    for serving in [false, true] {
        let _server = serving.then(|| program.serve());
        assert_eq!(program.json(&["model", "check", &file, "--from", "pk/dk-1"]), right);
    }
    let shown = program.run(&["model", "check", &file, "--from", "pk/dk-1"]);
    assert!(shown.code == 0 && shown.stderr.contains("the draft refuses 0"), "{shown:?}");

    program.json(&["product", "update", "pk", "--model", &file]);
    let file = model(&good.replace(r#""n","dataType":"INT""#, r#""n","dataType":"STRING""#));
    let ran = program.run(&["model", "check", &file, "--from", "pk/dk-1", "-o", "json"]);
    let found: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((ran.code, &found["refused"], &found["differing"]), (1, &json!(1), &json!(1)), "{ran:?}");
    let item = &found["items"][0];
    assert_eq!(
        (&item["element"], &item["value"], &item["published"]),
        (&json!("point n"), &json!(3), &Value::Null)
    );
    assert!(item["draft"].as_str().is_some_and(|why| why.contains("must be")), "{item}");
    assert!(ran.stderr.contains("the draft refuses what the device has sent"), "{ran:?}");
    program.run(&["model", "check", &file, "--from", "pk/none"]).failed(1, &["there is no device"]);
    program.run(&["model", "check", "none.json", "--from", "pk/dk-1"]).failed(1, &["none.json"]);
}

/// What is shown can be given again, and changes nothing; an older version is shown and put back.
#[test]
fn versions_are_listed_shown_and_put_back() {
    let program = program_with_device();
    assert_eq!(program.json(&["model", "versions", "pk"]), json!([]));
    let update = |name: &str, model: &str| {
        let file = program.file(name, model);
        program.json(&["product", "update", "pk", "--model", &file])["model"].clone()
    };
    let first = update("first.json", MODEL);
    let shown = program.text(&["model", "show", "pk", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("it is JSON"), first);
    let again = program.file("again.json", &shown);
    program.text(&["model", "check", &again]);
    for same in [&shown, MODEL, &shown.replace(",", " , ")] {
        assert_eq!(update("same.json", same), first);
    }
    let versions = || -> Vec<(u64, Option<String>)> {
        let listed = program.json(&["model", "versions", "pk"]);
        let listed = listed.as_array().expect("it is a list").clone();
        let row = |row: &Value| {
            assert!(row["createdAt"].as_i64().is_some_and(|at| at > 1_700_000_000_000), "{row}");
            let version = row["version"].as_u64().expect("it has a number");
            (version, row["modelId"].as_str().map(str::to_owned))
        };
        listed.iter().map(row).collect()
    };
    let m = Some("m".to_owned());
    assert_eq!(versions(), [(1, m.clone())]);
    let second = r#"{"modelId":"n","measurepoints":[{"identifier":"power","dataType":"INT"}]}"#;
    assert_eq!(update("second.json", second)["measurepoints"][0]["number"], 2, "1 is that of temp");
    program.json(&["product", "update", "pk", "--no-model"]);
    assert_eq!(versions(), [(3, None), (2, Some("n".to_owned())), (1, m.clone())]);
    assert_eq!(program.text(&["model", "show", "pk", "--version", "1", "-o", "json"]), shown);
    assert_eq!(update("back.json", &shown), first);
    assert_eq!(versions()[0], (4, m));
    let table = program.text(&["model", "versions", "pk"]);
    assert!(table.trim_start().starts_with("VERSION  CREATED") && table.lines().count() == 5, "{table}");
    program.run(&["model", "show", "pk", "--version", "3"]).failed(1, &["version 3 is its removal"]);
    program.run(&["model", "show", "pk", "--version", "9"]).failed(1, &["there is no version 9"]);
    program.run(&["model", "versions", "none"]).failed(1, &["there is no product none"]);
    let taken = r#"{"modelId":"n","events":[{"identifier":"e","number":2}]}"#;
    let file = program.file("taken.json", taken);
    program.run(&["product", "update", "pk", "--model", &file]).failed(
        1,
        &[
            "taken.json",
            "/events/0/number: 2 is that of power in measurepoints, here or in an earlier version",
        ],
    );
}

#[test]
fn a_dash_stands_for_standard_input() {
    let program = program_with_device();
    let given = |arguments: &[&str], input: &str| {
        let mut command = program.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // Ignored: it need not read all of what is wrong.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    };
    let checked = given(&["model", "check", "-"], MODEL);
    assert_eq!(
        String::from_utf8_lossy(&checked.stdout),
        "model m is right: 0 attributes, 1 measurepoint, 0 services, 0 events\n"
    );
    let wrong = given(&["model", "check", "-"], "\n{");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("standard input line 2 column 1"), "{said}");
    let long = given(&["model", "check", "-"], &" ".repeat((1 << 20) + 1));
    let said = String::from_utf8_lossy(&long.stderr).into_owned();
    assert!(!long.status.success() && said.contains("longer than 1048576 bytes"), "{said}");
    let updated = given(&["product", "update", "pk", "--model", "-", "-o", "json"], MODEL);
    assert!(updated.status.success());
    assert!(program.text(&["model", "show", "pk"]).contains(r#""number":1"#));
}
