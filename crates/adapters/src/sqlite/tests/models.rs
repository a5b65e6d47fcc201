//! Damage to the versions of a thing model, and to its numbers.

use narrowgate_platform::{
    ports::{Registry as _, RegistryChanges as _, StoreError},
    rules::models::{Expected, ModelPut},
    testing::{
        block_on,
        store::fixtures::{add_product, at},
    },
};

use super::{open, opening::hurt_registry};
use crate::sqlite::SqliteStore;

fn put(store: &SqliteStore, points: &[&str], second: i64) -> Option<String> {
    let points: Vec<_> =
        points.iter().map(|name| format!(r#"{{"identifier":"{name}","dataType":"INT"}}"#)).collect();
    let json = format!(r#"{{"modelId":"m","measurepoints":[{}]}}"#, points.join(","));
    let put = ModelPut { model_json: Some(json), expected: Expected::Whatever };
    let stands = block_on(store.put_model("pk".to_owned(), put, None, at(second)));
    stands.expect("the product is in order").expect("it is permitted").model_json
}

#[test]
fn a_damaged_version_is_left_out_and_the_next_one_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    for n in 1..=3_i64 {
        put(&store, &[&format!("p{n}")], n);
    }
    drop(store);
    hurt_registry(&data, "models", "json = replace(json, 'p2', 'p9') WHERE version = 2");
    let store = open(&data);
    let page = block_on(store.model_versions("pk")).unwrap();
    let versions: Vec<u32> = page.items.iter().map(|about| about.version).collect();
    assert_eq!((versions, page.damaged.count), (vec![3, 1], 1));
    let what = page.damaged.first.unwrap_or_default();
    assert!(what.starts_with("version 2 of the model of the product in row 1 is not as it was"), "{what}");
    let found = block_on(store.model_version("pk", 2));
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    assert!(put(&store, &["p4"], 4).is_some_and(|json| json.contains(r#""identifier":"p4""#)));
    assert_eq!(block_on(store.model_versions("pk")).unwrap().items[0].version, 4);
}

#[test]
fn damaged_numbers_are_taken_from_the_versions_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    put(&store, &["a", "b"], 1);
    put(&store, &["c"], 2);
    drop(store);
    hurt_registry(&data, "model_numbers", "json = '{}'");
    let store = open(&data);
    let json = put(&store, &["d", "a"], 3).unwrap_or_default();
    assert!(json.contains(r#""identifier":"d","dataType":"INT","number":4"#), "{json}");
    assert!(json.contains(r#""identifier":"a","dataType":"INT","number":1"#), "{json}");
    drop(store);
    let json = put(&open(&data), &["b"], 4).unwrap_or_default();
    assert!(json.contains(r#""identifier":"b","dataType":"INT","number":2"#), "{json}");
}
