//! Checks of organisation units and tokens.

use super::fixtures::{at, new_device, product};
use crate::{
    firmware::Sha256Sum,
    ids::DEFAULT_OU,
    model::{
        access::{DEFAULT_UNIT_NAME, Role, Scope, Token, Unit},
        product::Product,
    },
    ports::{AccessChange, AccessReads as _, DeviceQuery, Store, StoreError, TOKENS_MAX, UNITS_MAX},
    testing::block_on,
};

/// A unit.
pub fn unit(number: u16) -> Unit {
    Unit { ou: format!("o{number:014}"), name: format!("unit {number}"), created: at(number.into()) }
}

/// A token of all units that is valid for ever.
pub fn token(name: &str, hash: u16) -> Token {
    let [high, low] = hash.to_be_bytes();
    let hash = std::array::from_fn(|place| if place == 0 { high } else { low });
    Token {
        name: name.to_owned(),
        role: Role::Operator,
        scope: Scope::All,
        created: at(7),
        expires: None,
        hash: Sha256Sum(hash),
    }
}

/// Makes a change.
///
/// # Errors
/// Those of the store.
pub fn change(store: &dyn Store, change: AccessChange) -> Result<(), StoreError> {
    block_on(store.change_access(change))
}

fn units(store: &dyn Store) -> Vec<Unit> {
    let page = block_on(store.units()).expect("the store reads");
    assert_eq!((page.next, page.damaged.count), (None, 0));
    page.items
}

fn tokens(store: &dyn Store) -> Vec<Token> {
    let page = block_on(store.tokens()).expect("the store reads");
    assert_eq!((page.next, page.damaged.count), (None, 0));
    page.items
}

/// Two units and three tokens, for a directory of the present format.
///
/// # Panics
/// Where the store refuses one of them.
pub fn fill(store: &dyn Store) {
    for number in [5, 3] {
        change(store, AccessChange::AddUnit(unit(number))).expect("it is new");
    }
    let part = Token { role: Role::Administrator, scope: Scope::Unit(unit(3).ou), ..token("Zähler", 2) };
    let old = Token { role: Role::Viewer, expires: Some(at(9)), ..token("old", 3) };
    for token in [token("whole", 1), part, old] {
        change(store, AccessChange::AddToken(token)).expect("it is new");
    }
}

/// All units and tokens, one in a line.
///
/// # Panics
/// Where the store cannot read.
pub fn lines(store: &dyn Store) -> String {
    let units = units(store).into_iter().map(|unit| format!("{unit:?}\n"));
    units.chain(tokens(store).into_iter().map(|token| format!("{token:?}\n"))).collect()
}

/// A key and a name are those of one unit; the default one is there from the first start on.
pub fn a_unit_is_added_once_and_listed_by_creation(store: &dyn Store) {
    assert_eq!(units(store), []);
    let add = |unit: Unit| change(store, AccessChange::AddUnit(unit));
    for number in [7, 3, 5] {
        add(unit(number)).expect("it is new");
    }
    assert_eq!(units(store), [unit(7), unit(3), unit(5)]);
    for taken in [
        Unit { name: "other".to_owned(), ..unit(3) },
        Unit { ou: unit(9).ou, ..unit(3) },
        Unit { ou: DEFAULT_OU.to_owned(), ..unit(9) },
        Unit { name: DEFAULT_UNIT_NAME.to_owned(), ..unit(9) },
    ] {
        let refused = add(taken);
        assert!(matches!(refused, Err(StoreError::Exists { what: "organisation unit", .. })), "{refused:?}");
    }
    assert_eq!(units(store).len(), 3);
}

/// There are so many and no more.
pub fn units_and_tokens_are_limited(store: &dyn Store) {
    let count = |max: usize| u16::try_from(max).expect("it is small");
    for number in 10..10 + count(UNITS_MAX) {
        change(store, AccessChange::AddUnit(unit(number))).expect("there is room");
    }
    let refused = change(store, AccessChange::AddUnit(unit(9)));
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    for number in 0..count(TOKENS_MAX) {
        let token = token(&format!("token {number}"), number);
        change(store, AccessChange::AddToken(token)).expect("there is room");
    }
    let one_more = || change(store, AccessChange::AddToken(token("one more", 60_000)));
    assert!(matches!(one_more(), Err(StoreError::Conflict(_))));
    change(store, AccessChange::RevokeToken { name: "token 7".to_owned() }).expect("it is there");
    one_more().expect("there is room again");
}

/// A token comes back as it was added, by its name and by its hash, until it is revoked.
pub fn a_token_is_found_by_its_hash_until_it_is_revoked(store: &dyn Store) {
    let of = |token: &Token| block_on(store.token_of(token.hash)).expect("the store reads");
    change(store, AccessChange::AddUnit(unit(3))).expect("it is new");
    let whole = token("whole", 1);
    let part = Token {
        role: Role::Administrator,
        scope: Scope::Unit(unit(3).ou),
        expires: Some(at(9)),
        ..token("'é\"", 2)
    };
    let ours = Token { role: Role::Viewer, scope: Scope::Unit(DEFAULT_OU.to_owned()), ..token("ours", 3) };
    assert_eq!(of(&whole), None);
    for token in [&whole, &part, &ours] {
        change(store, AccessChange::AddToken(token.clone())).expect("it is new");
    }
    assert_eq!(tokens(store), [part.clone(), ours.clone(), whole.clone()]);
    assert_eq!((of(&whole), of(&part)), (Some(whole.clone()), Some(part.clone())));
    for same in
        [Token { hash: token("", 9).hash, ..whole.clone() }, Token { name: "x".into(), ..whole.clone() }]
    {
        let refused = change(store, AccessChange::AddToken(same));
        assert!(matches!(refused, Err(StoreError::Exists { what: "token", .. })), "{refused:?}");
    }
    let foreign = Token { scope: Scope::Unit(unit(9).ou), ..token("foreign", 8) };
    let refused = change(store, AccessChange::AddToken(foreign));
    assert!(matches!(refused, Err(StoreError::Missing { what: "organisation unit", .. })), "{refused:?}");
    let revoke = || change(store, AccessChange::RevokeToken { name: part.name.clone() });
    revoke().expect("it is there");
    assert_eq!((of(&part), tokens(store)), (None, vec![ours, whole]));
    assert!(matches!(revoke(), Err(StoreError::Missing { what: "token", .. })));
}

/// A product belongs to a unit that exists, and its devices to the same; a key of a device is free in each.
pub fn a_product_belongs_to_a_unit_that_exists(store: &dyn Store) {
    let of = |ou: &str, key: &str| Product { ou: ou.to_owned(), ..product(key) };
    let refused = block_on(store.create_product(of(&unit(3).ou, "pk-3")));
    assert!(matches!(refused, Err(StoreError::Missing { what: "organisation unit", .. })), "{refused:?}");
    change(store, AccessChange::AddUnit(unit(3))).expect("it is new");
    block_on(store.create_product(of(&unit(3).ou, "pk-3"))).expect("its unit exists");
    block_on(store.create_product(of(DEFAULT_OU, "pk-0"))).expect("its unit exists");
    for key in ["pk-3", "pk-0"] {
        let created = block_on(store.create_devices(vec![new_device(key, "dk")], at(0)));
        created.expect("the store works").remove(0).expect("the key is free in this unit");
    }
    for (ou, key) in [(unit(3).ou, "pk-3"), (DEFAULT_OU.to_owned(), "pk-0")] {
        let query = DeviceQuery { ou: Some(ou.clone()), limit: 9, ..DeviceQuery::default() };
        let found = block_on(store.devices(query)).expect("the store reads");
        let found: Vec<_> = found.into_iter().map(|device| device.expect("it is intact")).collect();
        let names: Vec<_> = found.iter().map(|device| (&*device.ou, &*device.product_key)).collect();
        assert_eq!(names, [(&*ou, key)]);
    }
}
