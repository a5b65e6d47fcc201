//! Checks of thing models and their versions.

use super::fixtures::{T0, add_device, add_product, at, product};
use crate::{
    model::product::Product,
    ports::{Store, StoreError},
    rules::models::{Expected, ModelPut, ModelStands, ModelVersion, NotPut, VERSIONS_MAX, VersionedModel},
    testing::block_on,
};

/// A model of these points, without numbers.
fn model(points: &[&str]) -> String {
    let point = |name: &&str| format!(r#"{{"identifier":"{name}","dataType":"INT"}}"#);
    let points: Vec<_> = points.iter().map(point).collect();
    format!(r#"{{"modelId":"m","measurepoints":[{}]}}"#, points.join(","))
}

/// The same with numbers.
fn numbered(points: &[(&str, u16)]) -> String {
    let point = |(name, number): &(&str, u16)| {
        format!(r#"{{"identifier":"{name}","dataType":"INT","number":{number}}}"#)
    };
    let points: Vec<_> = points.iter().map(point).collect();
    format!(r#"{{"modelId":"m","measurepoints":[{}]}}"#, points.join(","))
}

fn put_where(
    store: &dyn Store,
    model_json: Option<String>,
    expected: Expected,
    second: i64,
) -> Result<ModelStands, NotPut> {
    let put = ModelPut { model_json, expected };
    block_on(store.put_model("pk".to_owned(), put, None, at(second))).expect("there is such a product")
}

fn put(store: &dyn Store, model_json: Option<String>, second: i64) -> ModelStands {
    put_where(store, model_json, Expected::Whatever, second).expect("it is permitted")
}

fn stands(version: u32, model_json: Option<String>) -> ModelStands {
    ModelStands { version, model_json }
}

fn present(store: &dyn Store) -> Option<String> {
    block_on(store.product("pk")).expect("the store reads").expect("it exists").model_json
}

fn versions(store: &dyn Store) -> Vec<u32> {
    let page = block_on(store.model_versions("pk")).expect("the store reads");
    page.items.iter().map(|about| about.version).collect()
}

/// Each change is a version with its time, the model's removal too; what says the same is none.
pub fn each_change_of_a_model_is_a_version(store: &dyn Store) {
    add_product(store, "pk");
    assert_eq!(put(store, None, 1), stands(0, None), "there is nothing to take away");
    assert_eq!(versions(store), [0_u32; 0]);
    let first = numbered(&[("a", 1), ("b", 2)]);
    assert_eq!(put(store, Some(model(&["a", "b"])), 2), stands(1, Some(first.clone())));
    assert_eq!(put(store, Some(model(&["a", "b"])), 3), stands(1, Some(first.clone())));
    assert_eq!(put(store, Some(first.replace(":[", " : [ ")), 4), stands(1, Some(first.clone())));
    assert_eq!(put(store, None, 5), stands(2, None));
    assert_eq!((present(store), put(store, None, 6)), (None, stands(2, None)));
    assert_eq!(put(store, Some(first.clone()), 7), stands(3, Some(first.clone())));
    assert_eq!(present(store), Some(first.clone()));
    let about = |version, second, model_id: Option<&str>| ModelVersion {
        version,
        created: at(second),
        model_id: model_id.map(str::to_owned),
    };
    let all = [about(3, 7, Some("m")), about(2, 5, None), about(1, 2, Some("m"))];
    let listed = block_on(store.model_versions("pk")).expect("the store reads");
    assert_eq!((listed.items.as_slice(), listed.next, listed.damaged.count), (&all[..], None, 0));
    let found = |version| block_on(store.model_version("pk", version)).expect("the store reads");
    let [_, second, third] = all;
    assert_eq!(found(1), Some(VersionedModel { about: third, model_json: Some(first) }));
    assert_eq!(found(2), Some(VersionedModel { about: second, model_json: None }));
    assert_eq!((found(0), found(4)), (None, None));
    assert_eq!(block_on(store.model_versions("none")).expect("the store reads").items, []);
    assert_eq!(block_on(store.model_version("none", 1)).expect("the store reads"), None);
}

/// A product that has a model from its beginning, and one that is created anew under the key of another.
pub fn the_model_of_a_new_product_is_its_first_version(store: &dyn Store) {
    let create = || {
        let new = Product { model_json: Some(model(&["a"])), created: at(3), ..product("pk") };
        block_on(store.create_product(new)).expect("its key is free");
    };
    create();
    let first = Some(numbered(&[("a", 1)]));
    let listed = block_on(store.model_versions("pk")).expect("the store reads").items;
    assert_eq!(listed, [ModelVersion { version: 1, created: at(3), model_id: Some("m".to_owned()) }]);
    assert_eq!(present(store), first);
    assert_eq!(put(store, Some(model(&["b"])), 4), stands(2, Some(numbered(&[("b", 2)]))));
    block_on(store.delete_product("pk".to_owned())).expect("it has no devices");
    assert_eq!(versions(store), [0_u32; 0]);
    create();
    assert_eq!((versions(store), present(store)), (vec![1], first));
    assert_eq!(put(store, Some(model(&["b"])), 5), stands(2, Some(numbered(&[("b", 2)]))));
}

/// Numbers stay taken, also over versions that are kept no longer and over a time without a model.
pub fn a_number_of_a_model_is_never_given_to_another_element(store: &dyn Store) {
    add_product(store, "pk");
    put(store, Some(model(&["a", "b"])), 1);
    put(store, None, 2);
    for n in 0..VERSIONS_MAX as i64 + 3 {
        put(store, Some(model(&[["c", "d"][n as usize % 2]])), 3 + n);
    }
    let first = versions(store).into_iter().min();
    assert!(first > Some(1), "the version that had a is kept no longer");
    let back = put(store, Some(model(&["e", "a"])), 90);
    assert_eq!(back.model_json, Some(numbered(&[("e", 5), ("a", 1)])));
    let before = (versions(store), present(store));
    let refused = put_where(store, Some(numbered(&[("e", 5), ("f", 2)])), Expected::Whatever, 91);
    let Err(NotPut::Fault(fault)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        fault.to_string(),
        "/measurepoints/1/number: 2 is that of b in measurepoints, here or in an earlier version: \
         no other may get it"
    );
    assert_eq!((versions(store), present(store)), before, "nothing changes");
}

/// The newest are kept, and the numbers of versions go on.
pub fn a_product_keeps_its_newest_versions_of_a_model(store: &dyn Store) {
    add_product(store, "pk");
    add_product(store, "other");
    let other = ModelPut { model_json: Some(model(&["z"])), expected: Expected::Whatever };
    block_on(store.put_model("other".to_owned(), other, None, at(1))).expect("it exists").expect("it is new");
    let last = VERSIONS_MAX as u32 + 2;
    for n in 1..=last {
        let stands = put(store, Some(model(&[&format!("p{n}")])), n.into());
        assert_eq!(stands.version, n);
    }
    let kept: Vec<u32> = (3..=last).rev().collect();
    assert_eq!(versions(store), kept);
    assert_eq!(block_on(store.model_version("pk", 2)).expect("the store reads"), None);
    let others = block_on(store.model_versions("other")).expect("the store reads").items;
    assert_eq!(others.len(), 1);
}

/// What is to be replaced must be there.
pub fn a_model_replaces_only_the_version_that_it_is_to_replace(store: &dyn Store) {
    add_product(store, "pk");
    let try_put = |name: &str, expected| put_where(store, Some(model(&[name])), expected, 1);
    assert_eq!(try_put("a", Expected::AModel), Err(NotPut::OtherVersion(0)));
    assert_eq!(try_put("a", Expected::Whatever).map(|stands| stands.version), Ok(1));
    assert_eq!(try_put("b", Expected::OneOf(vec![2])), Err(NotPut::OtherVersion(1)));
    assert_eq!(try_put("b", Expected::OneOf(vec![1])).map(|stands| stands.version), Ok(2));
    assert_eq!(try_put("c", Expected::OneOf(vec![1])), Err(NotPut::OtherVersion(2)));
    assert_eq!(try_put("c", Expected::AModel).map(|stands| stands.version), Ok(3));
    assert_eq!(present(store), Some(numbered(&[("c", 3)])), "what was refused has taken no number");
}

/// A model and the rest of a product change in one step, or neither does.
pub fn a_model_and_its_product_change_together(store: &dyn Store) {
    add_product(store, "pk");
    let device = add_device(store, "pk", "dk-1");
    let change = |expected| {
        let put = ModelPut { model_json: Some(model(&["a"])), expected };
        let with = Product { name: "new".to_owned(), enabled: false, created: at(9), ..product("pk") };
        block_on(store.put_model("pk".to_owned(), put, Some(Box::new(with)), at(1)))
    };
    assert_eq!(change(Expected::AModel).expect("it exists"), Err(NotPut::OtherVersion(0)));
    let kept = || block_on(store.product("pk")).expect("the store reads").expect("it exists");
    assert_eq!((kept().name.as_str(), kept().enabled), ("product pk", true));
    change(Expected::Whatever).expect("it exists").expect("it is permitted");
    assert_eq!((kept().name.as_str(), kept().enabled, kept().created), ("new", false, T0));
    assert_eq!(kept().model_json, Some(numbered(&[("a", 1)])));
    // Where the model says the same, the rest changes all the same.
    let again = ModelPut { model_json: kept().model_json, expected: Expected::Whatever };
    let with = Some(Box::new(product("pk")));
    block_on(store.put_model("pk".to_owned(), again, with, at(2)))
        .expect("it exists")
        .expect("it is permitted");
    assert_eq!((kept().name.as_str(), versions(store)), ("product pk", vec![1]));
    let name = &device.device_key;
    assert!(super::fixtures::credentials(store, "pk", name).product_enabled, "its devices may connect again");
    let none = ModelPut { model_json: None, expected: Expected::Whatever };
    let missing = block_on(store.put_model("none".to_owned(), none, None, at(3)));
    assert!(matches!(missing, Err(StoreError::Missing { what: "product", key }) if key == "none"));
}
