//! Damage to the scripts of a product.

use narrowgate_platform::{
    ports::{Registry as _, RegistryChanges as _, StoreError},
    rules::scripts::{ScriptPut, ScriptStands},
    testing::{
        block_on,
        store::fixtures::{add_product, at},
    },
};

use super::{open, opening::hurt_registry};
use crate::sqlite::SqliteStore;

fn publish(store: &SqliteStore, source: &str, second: i64) -> u32 {
    let put = ScriptPut::Publish { source: source.into(), by: "owner".to_owned() };
    let stands = block_on(store.put_script("pk".to_owned(), put, at(second)));
    let ScriptStands(version) = stands.expect("the product is in order").expect("it is permitted");
    version
}

#[test]
fn a_damaged_script_does_not_run_and_the_next_one_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    for n in 1..=3 {
        assert_eq!(publish(&store, &format!("script {n}"), n), n as u32);
    }
    drop(store);
    hurt_registry(&data, "scripts", "source = replace(source, 'script 3', 'script 9') WHERE version = 3");
    let store = open(&data);
    let found = block_on(store.script("pk"));
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    let page = block_on(store.script_versions("pk")).unwrap();
    let versions: Vec<u32> = page.items.iter().map(|about| about.version).collect();
    assert_eq!((versions, page.damaged.count), (vec![2, 1], 1));
    let what = page.damaged.first.unwrap_or_default();
    assert!(what.starts_with("version 3 of the script of the product in row 1 is not as it was"), "{what}");
    assert_eq!(publish(&store, "script 4", 4), 4);
    assert_eq!(&*block_on(store.script("pk")).unwrap().published.unwrap().source, "script 4");
}
