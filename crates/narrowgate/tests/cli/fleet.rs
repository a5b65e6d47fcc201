//! The fleet's numbers, other names, and products that change and go.

use serde_json::{Value, json};

use crate::harness::{program, program_with_device};

#[test]
fn the_status_counts_with_a_server_and_without() {
    let program = program_with_device();
    program.json(&["product", "create", "empty", "--product-key", "pk2"]);
    for key in ["dk-2", "dk-3"] {
        program.json(&["device", "create", "--product", "pk", "--device-key", key]);
    }
    program.json(&["device", "disable", "dk-3"]);
    let without = program.json(&["status"]);
    assert_eq!(without["since"], Value::Null);
    assert_eq!(
        without["devices"],
        json!({"total": 3, "inactive": 2, "online": 0, "offline": 0, "disabled": 1})
    );
    assert_eq!(without["products"][0]["productKey"], "pk");
    assert_eq!(
        (&without["products"][0]["disabled"], &without["products"][1]["total"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(without["otherProducts"], Value::Null);
    assert_eq!(without["refusalsLastHour"], json!([]));
    assert_eq!(without["reportsPerMinute"], json!({"lastMinute": 0, "lastHour": 0.0}));
    assert_eq!(without["version"], env!("CARGO_PKG_VERSION"));
    assert!(without["disk"]["registryBytes"].as_u64().unwrap() > 4096);
    assert!(without["disk"]["logsBytes"].as_u64().unwrap() > 4096);
    assert!(without["disk"]["freeBytes"].as_u64().unwrap() > 0);

    let server = program.serve();
    let with = program.json(&["status"]);
    assert!(with["since"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!((&with["devices"], &with["products"]), (&without["devices"], &without["products"]));
    let table = program.run(&["status"]).stdout;
    for words in ["running since ", "3 (2 inactive, 1 disabled)", "in the last hour: none", "free"] {
        assert!(table.contains(words), "{table}");
    }
    drop(server);
}

#[test]
fn a_device_gets_another_name_and_none() {
    let program = program_with_device();
    for (arguments, name) in [
        (&["pk/dk-1", "cellar 3"][..], "cellar 3"),
        (&["pk", "dk-1", "gr\u{fc}n"], "gr\u{fc}n"),
        (&["dk-1", ""], ""),
    ] {
        let renamed = program.json(&[&["device", "rename"], arguments].concat());
        assert_eq!(renamed["name"], name);
        let mut shown = program.json(&["device", "show", "dk-1"]);
        for more in ["firmware", "session", "tags"] {
            shown.as_object_mut().expect("a device is an object").remove(more);
        }
        assert_eq!(shown, renamed);
    }
    let log = program.json(&["device", "log", "dk-1"]);
    assert_eq!(
        (&log[2]["event"], &log[2]["detail"]),
        (&"renamed".into(), &r#"from "" to "cellar 3""#.into())
    );
    program.run(&["device", "rename", "dk-1"]).failed(64, &["NAME"]);
    program.run(&["device", "rename", "dk-9", "x"]).failed(1, &["there is no device dk-9"]);
    program.run(&["device", "rename", "dk-1", &"x".repeat(300)]).failed(64, &["name"]);
}

#[test]
fn a_model_an_end_and_a_quota_can_be_taken_away() {
    let program = program();
    let model = program.file("m.json", r#"{"modelId": "m"}"#);
    let create = ["product", "create", "n", "--product-key", "pk", "--dynamic-activation", "--model", &model];
    program.json(&[&create[..], &["--activation-ends", "2100-01-01T00:00:00Z", "--quota", "7"]].concat());
    let update = |options: &[&str]| program.json(&[&["product", "update", "pk"], options].concat());
    let fields = |product: &Value| {
        ["modelId", "dynamicActivationEndsAt", "dynamicActivationQuotaPerHour"]
            .map(|field| product[field].clone())
    };
    let ends = 4_102_444_800_000_i64;
    assert_eq!(fields(&update(&["--name", "x"])), [json!("m"), json!(ends), json!(7)]);
    assert_eq!(fields(&update(&["--no-model"])), [Value::Null, json!(ends), json!(7)]);
    assert_eq!(fields(&update(&["--no-activation-ends"])), [Value::Null, Value::Null, json!(7)]);
    assert_eq!(
        fields(&update(&["--default-quota", "--model", &model])),
        [json!("m"), Value::Null, json!(1000)]
    );
    assert_eq!(fields(&program.json(&["product", "show", "pk"])), [json!("m"), Value::Null, json!(1000)]);
    for both in [&["--model", "m.json", "--no-model"][..], &["--quota", "1", "--default-quota"]] {
        program.run(&[&["product", "update", "pk"], both].concat()).failed(64, &["cannot be used with"]);
    }
}

#[test]
fn a_product_is_deleted_when_it_is_empty_or_by_force_and_only_by_a_yes() {
    for serving in [false, true] {
        let program = program_with_device();
        let rows: String =
            (0..1200).map(|n| format!("many-{n},0f8c3e71a5d2964b0f8c3e71a5d{n:05}\n")).collect();
        let file = program.file("rows.csv", &format!("deviceKey,deviceSecret\n{rows}"));
        program.json(&["device", "import", &file, "--product", "pk"]);
        program.json(&["product", "create", "empty", "--product-key", "pk2"]);
        let server = serving.then(|| program.serve());

        program.run(&["product", "delete", "pk2"]).failed(64, &["nothing was deleted", "--yes"]);
        program.run(&["product", "delete", "pk", "--yes"]).failed(1, &["product pk has devices", "--force"]);
        assert_eq!(program.json(&["status"])["devices"]["total"], 1201);
        assert_eq!(
            program.json(&["product", "delete", "pk2", "--yes"]),
            json!({"productKey": "pk2", "devices": 0})
        );
        let deleted = program.json(&["product", "delete", "pk", "--force", "--yes"]);
        assert_eq!(deleted, json!({"productKey": "pk", "devices": 1201}));
        assert_eq!(program.json(&["product", "list"]), json!([]));
        assert_eq!(program.json(&["device", "list"])["devices"], json!([]));
        program.run(&["product", "delete", "pk", "--yes"]).failed(1, &["there is no product pk"]);

        // The key is free.
        program.json(&["product", "create", "again", "--product-key", "pk"]);
        program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
        drop(server);
    }
}
