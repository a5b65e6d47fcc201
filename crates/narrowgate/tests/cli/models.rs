//! Thing models: checked, shown, drafted.

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
    assert_eq!(program.text(&["model", "show", "pk"]), format!("{MODEL}\n"));
    program.run(&["model", "show", "none"]).failed(1, &["there is no product none"]);
    program.json(&["product", "update", "pk", "--no-model"]);

    let set = r#"{"place":"roof","size":7,"odd":[[1]]}"#;
    program.json(&["device", "attributes", "dk-1", "--set", set]);
    let drafted = program.run(&["model", "infer", "pk"]);
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
