//! The code that answers the GETs of a product's devices.

use serde_json::json;

use crate::harness::program;

#[test]
fn a_product_answers_by_2_05_unless_it_is_set_to_2_04() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["product", "create", "valves", "--product-key", "other", "--content-code", "2.04"]);
    let code = |key: &str| program.json(&["product", "show", key])["contentCode"].clone();
    assert_eq!((code("pk"), code("other")), (json!("2.05"), json!("2.04")));
    let changed = program.json(&["product", "update", "pk", "--content-code", "2.04"]);
    assert_eq!(changed["contentCode"], "2.04");
    // Another change leaves it.
    program.json(&["product", "update", "pk", "--name", "new"]);
    program.json(&["product", "update", "other", "--content-code", "2.05"]);
    let list = program.json(&["product", "list"]);
    assert_eq!((&list[0]["contentCode"], &list[1]["contentCode"]), (&json!("2.04"), &json!("2.05")));
    program.run(&["product", "update", "pk", "--content-code", "2.03"]).failed(64, &["2.03", "2.05"]);
}
