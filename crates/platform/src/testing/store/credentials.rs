//! Checks of the look-up that every handshake makes.

use super::fixtures::{T0, add_device, add_product, at, credentials, name, one_device, product};
use crate::{
    model::{
        credential::CredentialLookup,
        product::{DynamicActivation, Profile},
    },
    ports::{SimilarNames, Store},
    testing::block_on,
};

/// No product, no device, both.
pub fn names_that_do_not_exist_are_told_apart(store: &dyn Store) {
    one_device(store, "dk-1");
    let look_up = |product_key, device_key| block_on(store.credentials(product_key, device_key)).unwrap();
    assert!(matches!(look_up("none", "dk-1"), CredentialLookup::ProductUnknown));
    assert!(matches!(look_up("pk", "none"), CredentialLookup::DeviceUnknown));
    assert!(matches!(look_up("PK", "dk-1"), CredentialLookup::ProductUnknown), "keys keep their case");
    assert!(matches!(look_up("pk", "dk-1"), CredentialLookup::Found(_)));
}

/// Everything that a handshake asks.
pub fn a_look_up_gives_secrets_and_switches(store: &dyn Store) {
    add_product(store, "pk");
    let created = add_device(store, "pk", "dk-1");
    let found = credentials(store, "pk", "dk-1");
    assert_eq!(found.device, created.id);
    assert_eq!(found.asset_id, created.asset_id);
    assert_eq!(found.device_secret.expose(), "secret of dk-1");
    assert_eq!(found.product_secret.expose(), "secret of pk");
    assert_eq!(found.secret_version, 1);
    assert!(found.device_enabled && found.product_enabled && !found.activated);
    assert_eq!((found.dynamic_activation, found.profile), (DynamicActivation::default(), Profile::Default));
}

/// A switch takes effect with its commit, and so does a profile.
pub fn switches_show_in_the_next_look_up(store: &dyn Store) {
    let device = one_device(store, "dk-1");
    block_on(store.set_device_enabled(device, false, T0)).unwrap();
    assert!(!credentials(store, "pk", "dk-1").device_enabled);

    let dynamic_activation = DynamicActivation { enabled: true, ends_at: Some(at(60)), quota_per_hour: 7 };
    let changed = crate::model::product::Product {
        enabled: false,
        dynamic_activation: dynamic_activation.clone(),
        profile: Profile::Nbiot,
        ..product("pk")
    };
    block_on(store.update_product(changed)).unwrap();
    let found = credentials(store, "pk", "dk-1");
    assert!(!found.product_enabled);
    assert_eq!((found.dynamic_activation, found.profile), (dynamic_activation, Profile::Nbiot));
    block_on(store.update_product(product("pk"))).unwrap();
    assert_eq!(credentials(store, "pk", "dk-1").profile, Profile::Default);
}

/// A device is asked for together with its product.
pub fn a_device_of_another_product_is_unknown(store: &dyn Store) {
    add_product(store, "pk-a");
    add_product(store, "pk-b");
    add_device(store, "pk-a", "dk-1");
    let found = block_on(store.credentials("pk-b", "dk-1")).unwrap();
    assert!(matches!(found, CredentialLookup::DeviceUnknown));
}

/// A key in another case is found as similar; the look-up itself treats it as another key.
pub fn names_of_another_case_are_found(store: &dyn Store) {
    for product_key in ["Meters", "other"] {
        add_product(store, product_key);
    }
    add_device(store, "Meters", "15bBZlRknc");
    add_device(store, "other", "dk-1");
    let similar = |product_key, device_key| {
        let found = block_on(store.similar_names(&name(product_key, device_key))).unwrap();
        (found.product_key.unwrap_or_default(), found.device)
    };
    let none = |product_key: &str| (product_key.to_owned(), None);
    assert_eq!(similar("METERS", "15BBZLRKNC"), ("Meters".into(), Some(name("Meters", "15bBZlRknc"))));
    assert_eq!(similar("meters", "DK-1"), ("Meters".into(), Some(name("other", "dk-1"))));
    assert_eq!(similar("other", "dk-1"), ("other".into(), Some(name("other", "dk-1"))));
    assert_eq!(similar("other", "dk-"), none("other"));
    assert_eq!(similar("Meter", "dk-11"), none(""));
    let nothing = block_on(store.similar_names(&name("", ""))).unwrap();
    assert_eq!(nothing, SimilarNames::default());
}
