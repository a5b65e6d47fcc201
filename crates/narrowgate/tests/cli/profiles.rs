//! The profile of a product: how patient the server is with its devices.

use serde_json::json;

use crate::harness::program;

#[test]
fn a_product_has_a_profile_which_stays_until_it_is_changed() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["product", "create", "valves", "--product-key", "slow", "--profile", "nbiot"]);
    let profile = |key: &str| program.json(&["product", "show", key])["profile"].clone();
    assert_eq!((profile("pk"), profile("slow")), (json!("default"), json!("nbiot")));
    let changed = program.json(&["product", "update", "pk", "--profile", "nbiot"]);
    assert_eq!(changed["profile"], "nbiot");
    program.json(&["product", "update", "pk", "--name", "water meters"]);
    program.json(&["product", "update", "slow", "--profile", "default"]);
    assert_eq!((profile("pk"), profile("slow")), (json!("nbiot"), json!("default")));
    let list = program.json(&["product", "list"]);
    assert_eq!((&list[0]["profile"], &list[1]["profile"]), (&json!("nbiot"), &json!("default")));
    program.run(&["product", "update", "pk", "--profile", "lora"]).failed(64, &["lora", "nbiot"]);
}
