//! The switch of short paths of a product.

use serde_json::json;

use crate::harness::program;

#[test]
fn a_product_has_short_paths_once_they_are_switched_on() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let created = ["product", "create", "valves", "--product-key", "short", "--short-paths", "on"];
    program.json(&created);
    let switch = |key: &str| program.json(&["product", "show", key])["shortPaths"].clone();
    assert_eq!((switch("pk"), switch("short")), (json!(false), json!(true)));
    let changed = program.json(&["product", "update", "pk", "--short-paths", "on"]);
    assert_eq!(changed["shortPaths"], true);
    // Another change leaves it.
    program.json(&["product", "update", "pk", "--name", "new"]);
    program.json(&["product", "update", "short", "--short-paths", "off"]);
    let list = program.json(&["product", "list"]);
    assert_eq!((&list[0]["shortPaths"], &list[1]["shortPaths"]), (&json!(true), &json!(false)));
    program.run(&["product", "update", "pk", "--short-paths", "yes"]).failed(64, &["yes", "off"]);
}
