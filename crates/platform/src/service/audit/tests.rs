use narrowgate_api::{access::Role, device::NewDeviceRequest};

use super::*;
use crate::{
    ids::{DEFAULT_OU, UnixMillis},
    model::access::{Caller, Scope},
    service::fixtures::{NOW, registrar_and_clock, registrar_with_product},
    testing::{ManualClock, block_on},
};

fn deed(action: &str, target: &str, ou: Option<&str>) -> Deed {
    Deed {
        action: action.into(),
        target: target.into(),
        ou: ou.map(str::to_owned),
        asked: AskedFrom::default(),
    }
}

fn caller(name: &str, unit: Option<&str>) -> Caller {
    let scope = unit.map_or(Scope::All, |unit| Scope::Unit(unit.to_owned()));
    Caller::Token { name: name.into(), role: Role::Administrator, scope }
}

fn who(registrar: &Registrar) -> Me {
    let (token, user) = match &*registrar.caller {
        Caller::Token { name, .. } => (Some(name.clone()), None),
        _ => (None, Some("owner".to_owned())),
    };
    Me { token, user, role: registrar.caller.role(), ou: registrar.caller.unit().map(str::to_owned) }
}

fn act(registrar: &Registrar, deed: Deed) {
    let noted = block_on(registrar.note_deed(deed, who(registrar))).expect("it is noted");
    block_on(registrar.end_deed(noted)).expect("it is appended");
}

/// The numbers of the entries of all pages.
fn listed(registrar: &Registrar, query: &AuditQuery) -> Vec<u64> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let query = AuditQuery { cursor, ..query.clone() };
        let page = block_on(registrar.audit_entries(&query)).expect("it reads");
        found.extend(page.items.iter().map(|entry| entry.seq));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
}

#[test]
fn who_and_when_are_the_callers_and_pages_are_filtered_newest_first() {
    let (registrar, clock) = registrar_and_clock();
    act(&registrar, deed("products.create", "/products/a", None));
    clock.advance_ms(10);
    let token = registrar.of(caller("ci", None));
    act(&token, deed("products.secret.read", "/products/a/secret", None));
    act(&token, deed("productsx", "/products/b", None));
    let all = block_on(registrar.audit_entries(&AuditQuery::default())).expect("it reads").items;
    let seen: Vec<_> = all.iter().map(|entry| (entry.user.as_deref(), entry.token.as_deref())).collect();
    assert_eq!(seen, [(None, Some("ci")), (None, Some("ci")), (Some("owner"), None)]);
    assert_eq!((all[2].time, all[0].time), (NOW, UnixMillis(NOW.0 + 10)));
    let none = AuditQuery::default;
    let text = |text: &str| Some(text.to_owned());
    for (query, expected) in [
        (none(), vec![3, 2, 1]),
        (AuditQuery { limit: Some(1), ..none() }, vec![3, 2, 1]),
        (AuditQuery { actor: text("owner"), ..none() }, vec![1]),
        (AuditQuery { actor: text("ci"), ..none() }, vec![3, 2]),
        (AuditQuery { actor: text("c"), ..none() }, vec![]),
        (AuditQuery { action: text("products"), ..none() }, vec![2, 1]),
        (AuditQuery { action: text("products.secret.read"), ..none() }, vec![2]),
        (AuditQuery { target: text("/products/a"), ..none() }, vec![2, 1]),
        (AuditQuery { from: Some(UnixMillis(NOW.0 + 1)), ..none() }, vec![3, 2]),
        (AuditQuery { to: Some(UnixMillis(NOW.0 + 10)), ..none() }, vec![1]),
        (
            AuditQuery { from: Some(NOW), to: Some(UnixMillis(NOW.0 + 11)), limit: Some(2), ..none() },
            vec![3, 2, 1],
        ),
    ] {
        assert_eq!(listed(&registrar, &query), expected, "{query:?}");
    }
    for (query, said) in [
        (AuditQuery { limit: Some(0), ..none() }, "limit is 0; it must be 1 to 1000"),
        (AuditQuery { limit: Some(1001), ..none() }, "limit is 1001; it must be 1 to 1000"),
        (AuditQuery { from: Some(NOW), to: Some(UnixMillis(1)), ..none() }, "to lies before from"),
    ] {
        assert_eq!(block_on(registrar.audit_entries(&query)).expect_err("it is refused").to_string(), said);
    }
    let foreign = AuditQuery { cursor: text("r-1-2-3-4"), ..none() };
    assert!(block_on(registrar.audit_entries(&foreign)).is_err());
}

#[test]
fn a_unit_sees_what_it_did_and_what_was_done_to_it() {
    let (registrar, _) = registrar_and_clock();
    let of_unit = registrar.of(caller("north-ci", Some("o1")));
    act(&registrar, deed("products.create", "/products/a", Some("o1")));
    act(&registrar, deed("products.create", "/products/b", Some("o2")));
    act(&registrar, deed("ous.create", "/ous", None));
    act(&of_unit, deed("products.update", "/products/b", None));
    // Without their numbers, which count the deeds of all units.
    assert_eq!(listed(&of_unit, &AuditQuery::default()), [0, 0]);
    assert_eq!(listed(&registrar, &AuditQuery::default()), [4, 3, 2, 1]);
}

#[test]
fn a_unit_learns_nothing_of_others_from_what_it_sees() {
    let (registrar, _) = registrar_and_clock();
    let of_unit = registrar.of(caller("north-ci", Some("o1")));
    let from = |deed: Deed| {
        let asked = AskedFrom { address: "192.0.2.7".parse().ok(), request_id: None };
        Deed { asked, ..deed }
    };
    act(&registrar, from(deed("products.update", "/products/a", Some("o1"))));
    act(&of_unit, from(deed("products.update", "/products/b", Some("o1"))));
    let query = AuditQuery { limit: Some(1), ..AuditQuery::default() };
    let first = block_on(of_unit.audit_entries(&query)).expect("it reads");
    let again = block_on(of_unit.audit_entries(&query)).expect("it reads");
    let cursor = first.next_cursor.expect("there is more");
    assert!(cursor.len() > 100, "{cursor}");
    assert_ne!(again.next_cursor.as_ref(), Some(&cursor), "two of a place tell nothing");
    assert!(
        block_on(registrar.audit_entries(&AuditQuery { cursor: Some("a-2-0-0-0".into()), ..query.clone() }))
            .is_ok()
    );
    let guessed = AuditQuery { cursor: Some("a-2-0-0-0".into()), ..query.clone() };
    assert!(block_on(of_unit.audit_entries(&guessed)).is_err());
    let second =
        block_on(of_unit.audit_entries(&AuditQuery { cursor: Some(cursor), ..query })).expect("it reads");
    let seen =
        |entry: &AuditEntry| (entry.target.clone(), entry.address.clone(), entry.seq, entry.hash.clone());
    let none = String::new;
    assert_eq!(seen(&first.items[0]), ("/products/b".into(), Some("192.0.2.7".into()), 0, none()));
    assert_eq!(seen(&second.items[0]), ("/products/a".into(), None, 0, none()));
    let json = serde_json::to_string(&second.items[0]).expect("it can be written");
    assert!(!json.contains("seq") && !json.contains("hash"), "{json}");
    let all = block_on(registrar.audit_entries(&AuditQuery::default())).expect("it reads").items;
    assert!(all.iter().all(|entry| entry.address.is_some() && entry.seq > 0 && entry.hash.len() == 64));
}

#[test]
fn an_entry_has_the_time_of_the_wall_clock_after_a_leap() {
    let (registrar, _) = registrar_and_clock();
    let wall = Arc::new(ManualClock::new(UnixMillis(NOW.0 + 60_000)));
    let registrar = Registrar { wall, ..registrar };
    act(&registrar, deed("products.create", "/products/a", None));
    let entries = block_on(registrar.audit_entries(&AuditQuery::default())).expect("it reads").items;
    assert_eq!(entries[0].time, UnixMillis(NOW.0 + 60_000));
}

#[test]
fn few_of_many_are_found_over_pages_that_may_be_empty() {
    let (registrar, _) = registrar_and_clock();
    act(&registrar, deed("ous.create", "/ous", None));
    for _ in 0..READS_MAX * crate::ports::AUDIT_READ_MAX + 10 {
        let noted = registrar.deed(deed("devices.enable", "/devices/a", None), who(&registrar));
        block_on(registrar.end_deed(noted)).expect("it is appended");
    }
    let query = AuditQuery { action: Some("ous".into()), ..AuditQuery::default() };
    let first = block_on(registrar.audit_entries(&query)).expect("it reads");
    assert!(first.items.is_empty() && first.next_cursor.is_some());
    assert_eq!(listed(&registrar, &query), [1]);
}

#[test]
fn a_place_is_found_by_any_name_and_not_in_another_unit() {
    let registrar = registrar_with_product();
    let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
    block_on(registrar.create_device("pk", request)).expect("it is valid");
    let device = Some(DeviceName { product_key: "pk".into(), device_key: "dk".into() });
    let found = DeedPlace { device, ou: Some(DEFAULT_OU.into()) };
    let product = DeedPlace { device: None, ..found.clone() };
    let none = DeedPlace::default;
    let of_unit = registrar.of(caller("ci", Some("o1")));
    for (to, expected) in [
        (DeedTo::Device(NamedDevice::by_keys("pk", "dk")), found.clone()),
        (DeedTo::Device(NamedDevice::by_name("dk")), found),
        (DeedTo::Device(NamedDevice::by_keys("pk", "other")), product.clone()),
        (DeedTo::Device(NamedDevice::by_name("other")), none()),
        (DeedTo::Product("pk".into()), product),
        (DeedTo::Product("other".into()), none()),
        (DeedTo::Image("Ab3dEf7h".into()), none()),
        (DeedTo::Image("no id".into()), none()),
        (DeedTo::Nothing, none()),
    ] {
        assert_eq!(block_on(registrar.deed_place(&to)), expected, "{to:?}");
        assert_eq!(block_on(of_unit.deed_place(&to)), none(), "{to:?}");
    }
}

#[test]
fn a_target_is_not_longer_than_a_path_with_keys() {
    let (registrar, _) = registrar_and_clock();
    let target = |text: &str| registrar.deed(deed("a", text, None), who(&registrar)).entry.target.clone();
    let long = target(&"ä".repeat(TARGET_MAX + 1));
    assert_eq!(long.chars().count(), TARGET_MAX + 1);
    let short = "ä".repeat(TARGET_MAX);
    assert_eq!(target(&short), short);
}

#[test]
fn a_deed_that_is_cut_off_is_an_entry_of_which_nobody_knows_whether_it_happened() {
    let (registrar, _) = registrar_and_clock();
    let noted = block_on(registrar.note_deed(deed("devices.import", "/devices", None), who(&registrar)));
    assert!(listed(&registrar, &AuditQuery::default()).is_empty(), "it is under way");
    drop(noted.expect("it is noted"));
    drop(registrar.deed(deed("products.create", "/products", None), who(&registrar)));
    let all = block_on(registrar.audit_entries(&AuditQuery::default())).expect("it reads").items;
    let seen: Vec<_> = all.iter().map(|entry| (&*entry.action, entry.outcome, entry.status)).collect();
    assert_eq!(seen, [("devices.import", AuditOutcome::Unknown, None)]);
}
