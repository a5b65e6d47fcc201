//! Checks of organisation units and tokens.

use super::{
    fixtures::{add_device, at, credentials, history, login, new_device, presence, product, report, write},
    replay,
};
use crate::{
    firmware::Sha256Sum,
    ids::DEFAULT_OU,
    model::{
        access::{DEFAULT_UNIT_NAME, Quotas, QuotasPatch, ReportsOfDay, Role, Scope, Token, Unit},
        device::DeviceState,
        product::Product,
    },
    ports::{
        AccessChange, AccessReads as _, DeviceQuery, HistoryQuery, Quota, Store, StoreError, TOKENS_MAX,
        UNITS_MAX, UnitChanged, UnitChanges as _, Write, Written,
    },
    testing::block_on,
};

/// A unit.
pub fn unit(number: u16) -> Unit {
    let created = at(number.into());
    let (ou, name) = (format!("o{number:014}"), format!("unit {number}"));
    Unit { ou, name, created, suspended: None, quotas: Quotas::default(), reports: None }
}

/// How many reports of a unit were taken on a day.
fn reports_of(number: u16, day: i64, count: u32) -> Write {
    Write::UnitReports { ou: unit(number).ou.into(), reports: ReportsOfDay { day, count } }
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
    block_on(store.suspend_unit(unit(5).ou, Some(at(11)))).expect("it is there");
    let by = QuotasPatch { devices: Some(Some(9)), ..QuotasPatch::default() };
    block_on(store.set_quotas(unit(5).ou, by)).expect("it is there");
    write(store, reports_of(5, 20_000, 7));
    replay::begin(store, &replay::key("owner", 1), at(12)).expect("it is new");
    replay::keep(store, &replay::key("owner", 1), &replay::answer(7));
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
    // Formats before the seventeenth have none of it.
    const NEW: [&str; 3] = [
        ", suspended: None",
        ", quotas: Quotas { products: None, devices: None, reports_per_day: None }",
        ", reports: None",
    ];
    let line = |unit: &Unit| NEW.iter().fold(format!("{unit:?}\n"), |line, new| line.replace(new, ""));
    let units = units(store).iter().map(line).collect::<Vec<_>>().into_iter();
    let asked = replay::found(store, &replay::key("owner", 1)).map(|asked| format!("{asked:?}\n"));
    units.chain(tokens(store).into_iter().map(|token| format!("{token:?}\n"))).chain(asked).collect()
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

/// A unit that is suspended shows in it, in its products and in each look-up of its devices, from the commit
/// on until it is resumed; whatever else changes of them, also products that come meanwhile.
pub fn a_suspended_unit_suspends_its_products_and_no_others(store: &dyn Store) {
    for number in [3, 5] {
        change(store, AccessChange::AddUnit(unit(number))).expect("it is new");
    }
    let of = |number: u16, key: &str| Product { ou: unit(number).ou, ..product(key) };
    let create = |product: Product| {
        let key = product.product_key.clone();
        block_on(store.create_product(product)).expect("its unit exists");
        // A key is free once in each unit.
        let created = block_on(store.create_devices(vec![new_device(&key, &key)], at(0)));
        created.expect("the store works").remove(0).expect("the key is free");
    };
    for product in [of(3, "a"), of(5, "b"), product("c")] {
        create(product);
    }
    let suspended = || {
        let found = ["a", "b", "c", "d"].into_iter().filter(|key| {
            let Ok(Some(found)) = block_on(store.product(key)) else { return false };
            let seen = credentials(store, key, key).unit_suspended;
            assert_eq!((seen, found.may_connect()), (found.is_suspended, !found.is_suspended), "{key}");
            found.is_suspended
        });
        found.collect::<Vec<_>>()
    };
    let set = |number: u16, since| block_on(store.suspend_unit(unit(number).ou, since));
    let changed = set(3, Some(at(7))).expect("it is there");
    let shown = Unit { suspended: Some(at(7)), ..unit(3) };
    assert_eq!(changed, UnitChanged { unit: shown.clone(), products: vec!["a".to_owned()] });
    assert_eq!(suspended(), ["a"]);
    assert_eq!(set(3, Some(at(8))).expect("it is there"), changed, "it is so since then");
    create(of(3, "d"));
    assert_eq!(suspended(), ["a", "d"], "as its unit is");
    block_on(store.update_product(Product { name: "other".to_owned(), ..of(3, "a") })).expect("it is there");
    assert_eq!(suspended(), ["a", "d"]);
    assert_eq!(units(store), [shown.clone(), unit(5)]);
    assert_eq!(block_on(store.unit(&unit(3).ou)).expect("the store reads"), Some(shown));
    for none in [unit(9).ou, DEFAULT_OU.to_owned()] {
        assert_eq!(block_on(store.unit(&none)).expect("the store reads"), None);
        let refused = block_on(store.suspend_unit(none, Some(at(9))));
        assert!(matches!(refused, Err(StoreError::Missing { what: "organisation unit", .. })), "{refused:?}");
    }
    let changed = set(3, None).expect("it is there");
    let products = vec!["a".to_owned(), "d".to_owned()];
    assert_eq!(changed, UnitChanged { unit: unit(3), products });
    assert_eq!(suspended(), [""; 0]);
}

/// Nothing of a device of a suspended unit is stored, and what is stored of it stays: so are commands that
/// wait, and the device goes on where it was.
pub fn a_device_of_a_suspended_unit_stores_nothing_and_keeps_all(store: &dyn Store) {
    change(store, AccessChange::AddUnit(unit(3))).expect("it is new");
    block_on(store.create_product(Product { ou: unit(3).ou, ..product("pk") })).expect("its unit exists");
    let device = add_device(store, "pk", "dk").id;
    assert_eq!(write(store, login(device, at(1))), Written::Activated);
    let told = |seconds| write(store, report(device, at(seconds), r#"{"a":1}"#));
    let offline = || write(store, presence(device, DeviceState::Offline, at(5), "closed"));
    assert_eq!(told(2), Written::Done);
    block_on(store.suspend_unit(unit(3).ou, Some(at(3)))).expect("it is there");
    assert_eq!(told(4), Written::DeviceUnavailable);
    assert_eq!(write(store, login(device, at(4))), Written::DeviceUnavailable);
    assert_eq!(offline(), Written::Done, "it may still go offline");
    block_on(store.suspend_unit(unit(3).ou, None)).expect("it is there");
    assert_eq!(write(store, login(device, at(6))), Written::Done, "it was activated before");
    assert_eq!(told(7), Written::Done);
    let all = HistoryQuery { point: None, from: None, to: None, after: None, limit: 9 };
    let times: Vec<_> = history(store, device, all).iter().map(|value| value.time).collect();
    assert_eq!(times, [at(7), at(2)]);
}

/// A unit with quotas takes so many products and devices and no more, each row of an import for itself, until
/// one goes or the quota is another one. Other units have nothing to do with it.
pub fn a_unit_takes_as_many_products_and_devices_as_its_quotas_say(store: &dyn Store) {
    for number in [3, 5] {
        change(store, AccessChange::AddUnit(unit(number))).expect("it is new");
    }
    let set = |products, devices| {
        let by = QuotasPatch { products, devices, reports_per_day: None };
        block_on(store.set_quotas(unit(3).ou, by)).expect("it is there")
    };
    let create = |number: u16, key: &str| {
        block_on(store.create_product(Product { ou: unit(number).ou, ..product(key) }))
    };
    create(3, "a").expect("there is no quota");
    let changed = set(Some(Some(2)), Some(Some(3)));
    let quotas = Quotas { products: Some(2), devices: Some(3), reports_per_day: None };
    assert_eq!(changed, UnitChanged { unit: Unit { quotas, ..unit(3) }, products: vec!["a".to_owned()] });
    create(3, "b").expect("it is the second one");
    let full = |refused: Result<(), StoreError>, of: Quota, max: u32| {
        let is_right = matches!(&refused, Err(StoreError::QuotaExceeded { of: found, max: number })
            if *found == of && *number == max);
        assert!(is_right, "{refused:?}");
    };
    full(create(3, "c"), Quota::Products, 2);
    create(5, "d").expect("it is another unit's");
    let add = |product_key: &str, keys: &[&str]| {
        let devices = keys.iter().map(|key| new_device(product_key, key)).collect();
        block_on(store.create_devices(devices, at(0))).expect("the store works")
    };
    let created = add("a", &["1", "2"]);
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let [third, taken, fourth] = add("b", &["3", "2", "4"]).try_into().expect("one for each");
    let third = third.expect("there is room for it").id;
    assert!(matches!(taken, Err(StoreError::Exists { .. })), "a key that is taken is told first: {taken:?}");
    full(fourth.map(drop), Quota::Devices, 3);
    add("d", &["1"]).remove(0).expect("it is another unit's");
    block_on(store.delete_device(third, at(1))).expect("it is there");
    add("b", &["4"]).remove(0).expect("there is room again");
    full(add("b", &["5"]).remove(0).map(drop), Quota::Devices, 3);
    set(Some(None), Some(Some(1)));
    full(add("b", &["5"]).remove(0).map(drop), Quota::Devices, 1);
    create(3, "c").expect("there is no quota any more");
    set(None, Some(None));
    add("b", &["5"]).remove(0).expect("there is no quota any more");
    let by = QuotasPatch::default();
    let refused = block_on(store.set_quotas(unit(9).ou, by));
    assert!(matches!(refused, Err(StoreError::Missing { what: "organisation unit", .. })), "{refused:?}");
}

/// Reports that were counted show in their unit, also after another change of it.
pub fn reports_of_a_unit_are_counted(store: &dyn Store) {
    change(store, AccessChange::AddUnit(unit(3))).expect("it is new");
    for (number, count) in [(3, 7), (9, 1), (3, 9)] {
        assert_eq!(write(store, reports_of(number, 20_000, count)), Written::Done);
    }
    block_on(store.suspend_unit(unit(3).ou, None)).expect("it is there");
    let reports = Some(ReportsOfDay { day: 20_000, count: 9 });
    assert_eq!(units(store), [Unit { reports, ..unit(3) }]);
}
