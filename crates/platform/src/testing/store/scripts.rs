//! Checks of the scripts of products.

use super::fixtures::{add_product, at};
use crate::{
    ports::{Store, StoreError},
    rules::scripts::{
        NotChanged, ProductScript, ScriptDraft, ScriptPut, ScriptStands, ScriptVersion, VERSIONS_MAX,
        VersionedScript,
    },
    testing::block_on,
};

fn put(store: &dyn Store, put: ScriptPut, second: i64) -> Result<u32, NotChanged> {
    let stands = block_on(store.put_script("pk".to_owned(), put, at(second)));
    stands.expect("there is such a product").map(|ScriptStands(version)| version)
}

fn draft(source: &str) -> ScriptPut {
    ScriptPut::Draft { source: source.into() }
}

fn publish(source: &str) -> ScriptPut {
    ScriptPut::Publish { source: source.into(), by: "owner".to_owned() }
}

fn back(version: u32) -> ScriptPut {
    ScriptPut::RollBack { version, by: "somebody".to_owned() }
}

fn script(store: &dyn Store) -> ProductScript {
    block_on(store.script("pk")).expect("the store reads")
}

fn published(store: &dyn Store) -> Option<(u32, String)> {
    script(store).published.map(|version| (version.about.version, version.source.to_string()))
}

fn versions(store: &dyn Store) -> Vec<u32> {
    let page = block_on(store.script_versions("pk")).expect("the store reads");
    page.items.iter().map(|about| about.version).collect()
}

fn version(store: &dyn Store, version: u32) -> Option<VersionedScript> {
    block_on(store.script_version("pk", version)).expect("the store reads")
}

/// Each publication is a version with its time and its author; what runs already is none.
pub fn each_publication_of_a_script_is_a_version(store: &dyn Store) {
    add_product(store, "pk");
    assert_eq!((script(store), versions(store)), (ProductScript::default(), vec![]));
    assert_eq!(put(store, publish("'é'\n"), 1), Ok(1));
    assert_eq!(put(store, publish("'é'\n"), 2), Ok(1));
    assert_eq!(put(store, publish("b"), 3), Ok(2));
    let about = |version, second, bytes| ScriptVersion {
        version,
        created: at(second),
        by: "owner".to_owned(),
        restores: None,
        bytes,
    };
    let listed = block_on(store.script_versions("pk")).expect("the store reads");
    assert_eq!((listed.items, listed.damaged.count), (vec![about(2, 3, 1), about(1, 1, 5)], 0));
    let first = VersionedScript { about: about(1, 1, 5), source: "'é'\n".into() };
    assert_eq!(version(store, 1), Some(first));
    assert_eq!((version(store, 0), version(store, 3)), (None, None));
    assert_eq!(published(store), Some((2, "b".to_owned())));
    assert_eq!(block_on(store.script("none")).expect("the store reads"), ProductScript::default());
    assert_eq!(block_on(store.script_versions("none")).expect("the store reads").items, []);
    assert_eq!(block_on(store.script_version("none", 1)).expect("the store reads"), None);
    let unknown = block_on(store.put_script("none".to_owned(), publish("b"), at(4)));
    assert!(matches!(unknown, Err(StoreError::Missing { what: "product", .. })), "{unknown:?}");
}

/// There is one draft; it goes when it is published, and stays when another source is.
pub fn a_draft_stays_until_it_is_published(store: &dyn Store) {
    add_product(store, "pk");
    assert_eq!(put(store, draft("a"), 1), Ok(0));
    assert_eq!(put(store, draft("b"), 2), Ok(0));
    let kept = |second, source: &str| Some(ScriptDraft { saved: at(second), source: source.into() });
    assert_eq!(script(store), ProductScript { draft: kept(2, "b"), published: None });
    assert_eq!(put(store, draft("b"), 3), Ok(0));
    assert_eq!((script(store).draft, versions(store)), (kept(2, "b"), vec![]), "a draft is no version");
    assert_eq!((version(store, 0), put(store, back(0), 4)), (None, Err(NotChanged::NoVersion(0))));
    assert_eq!(put(store, publish("c"), 5), Ok(1));
    assert_eq!(script(store).draft, kept(2, "b"));
    assert_eq!(put(store, publish("b"), 6), Ok(2));
    assert_eq!(script(store).draft, None);
    assert_eq!(put(store, draft("b"), 7), Ok(2));
    assert_eq!(put(store, publish("b"), 8), Ok(2));
    assert_eq!((script(store).draft, versions(store)), (None, vec![2, 1]));
}

/// The source of an older version is a version of its own again.
pub fn a_script_is_rolled_back_by_a_version_of_its_own(store: &dyn Store) {
    add_product(store, "pk");
    put(store, publish("a"), 1).expect("it is new");
    put(store, publish("b"), 2).expect("it is new");
    put(store, draft("a"), 3).expect("it is a draft");
    assert_eq!(put(store, back(1), 4), Ok(3));
    let about = version(store, 3).expect("it is kept").about;
    assert_eq!((about.restores, about.created, &*about.by), (Some(1), at(4), "somebody"));
    assert_eq!(published(store), Some((3, "a".to_owned())));
    assert!(script(store).draft.is_some(), "the draft stays");
    assert_eq!(put(store, back(1), 5), Ok(3), "it runs already");
    assert_eq!(put(store, back(9), 6), Err(NotChanged::NoVersion(9)));
    assert_eq!(versions(store), [3, 2, 1]);
}

/// The newest are kept, of each product for itself, until it is deleted.
pub fn a_product_keeps_its_newest_scripts(store: &dyn Store) {
    add_product(store, "pk");
    add_product(store, "other");
    block_on(store.put_script("other".to_owned(), publish("z"), at(1)))
        .expect("it exists")
        .expect("it is new");
    put(store, draft("draft"), 1).expect("it is a draft");
    let last = VERSIONS_MAX as u32 + 2;
    for n in 1..=last {
        assert_eq!(put(store, publish(&format!("s{n}")), n.into()), Ok(n));
    }
    assert_eq!(versions(store), (3..=last).rev().collect::<Vec<_>>());
    assert_eq!((version(store, 2), put(store, back(2), 90)), (None, Err(NotChanged::NoVersion(2))));
    assert!(script(store).draft.is_some());
    let others = block_on(store.script_versions("other")).expect("the store reads").items;
    assert_eq!(others.len(), 1);
    block_on(store.delete_product("pk".to_owned())).expect("it has no devices");
    assert_eq!((script(store), versions(store)), (ProductScript::default(), vec![]));
    add_product(store, "pk");
    assert_eq!((script(store), put(store, publish("a"), 91)), (ProductScript::default(), Ok(1)));
}
