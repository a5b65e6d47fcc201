//! A row of attributes that is not as it was stored is never shown and never changed, and hides no other.

use PropertyKind::{Attribute, Tag};
use narrowgate_platform::{
    model::property::{PropertyEdit, PropertyKind},
    ports::{Journal as _, Registry as _, RegistryChanges as _, StoreError, Written},
    testing::{
        block_on,
        store::{
            fixtures::{add_device, add_product, append, at, report},
            properties::{change, edit},
        },
    },
};

use super::{open, opening::hurt_registry};

#[test]
fn a_damaged_row_of_attributes_is_an_error_to_who_asks_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    add_product(&store, "pk");
    let [hurt, other] = ["dk-1", "dk-2"].map(|key| add_device(&store, "pk", key).id);
    let set = |kind, value: &str| edit(kind, &[("a", value)], &[]);
    for device in [hurt, other] {
        append(&store, vec![change(device, set(Attribute, "1")), change(device, set(Tag, "\"t\""))]);
    }
    block_on(store.close()).unwrap();
    drop(store);
    for kind in ["attribute", "tag"] {
        let row = format!("device = {} AND kind = '{kind}'", hurt.0);
        hurt_registry(&data, "properties", &format!("json = replace(json, 'a', 'b') WHERE {row}"));
    }

    let store = open(&data);
    let all = |device, kind| block_on(store.properties(device, kind)).map(|all| all.to_json());
    let Err(StoreError::Damaged(what)) = all(hurt, Attribute) else { panic!("it is damaged") };
    assert!(what.contains(&format!("the row of attributes of device {}", hurt.0)), "{what}");
    assert_eq!(all(other, Attribute).unwrap(), r#"{"a":1}"#);
    // The change of the one is left out, everybody else's is stored.
    let written = append(
        &store,
        vec![
            report(other, at(1), r#"{"n":1}"#),
            change(hurt, set(Attribute, "2")),
            change(other, set(Attribute, "2")),
        ],
    );
    assert_eq!(written, [Written::Done, Written::Damaged, Written::Done]);
    assert_eq!(all(other, Attribute).unwrap(), r#"{"a":2}"#);
    let by_operator = block_on(store.edit_properties(hurt, at(2), set(Tag, "\"u\""), None));
    assert!(matches!(by_operator, Err(StoreError::Damaged(_))), "{by_operator:?}");
    // What replaces all of them needs nothing of the old row.
    let instead = PropertyEdit { replaces: true, ..set(Tag, "\"u\"") };
    let instead = block_on(store.edit_properties(hurt, at(3), instead, None)).unwrap().unwrap();
    assert_eq!(instead.to_json(), r#"{"a":"u"}"#);
    assert_eq!(all(hurt, Tag).unwrap(), r#"{"a":"u"}"#);
    // And the device can be deleted with it.
    block_on(store.delete_device(hurt, at(4))).unwrap();
    assert_eq!(all(hurt, Attribute).unwrap(), "{}");
}
