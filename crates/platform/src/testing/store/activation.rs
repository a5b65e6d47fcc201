//! Checks of dynamic activation (device protocol, section 3).

use super::fixtures::{
    activating_product, add_device, at, credentials, credentials_of, events, issue, issue_for, log, login,
    login_with, product, write,
};
use crate::{
    ids::DeviceId,
    model::{
        log::{LogEvent, Reason},
        product::{DynamicActivation, Product},
    },
    ports::{Issued, Store, Written},
    rules::issuing::NotIssued,
    secret::Secret,
    testing::block_on,
};

fn activating_device(store: &dyn Store) -> DeviceId {
    block_on(store.create_product(activating_product("pk"))).unwrap();
    add_device(store, "pk", "dk-1").id
}

/// Asking does not activate, so asking again is allowed.
pub fn a_secret_is_issued_again_and_again_until_the_login(store: &dyn Store) {
    let id = activating_device(store);
    for (n, secret) in ["first", "second", "third"].into_iter().enumerate() {
        assert_eq!(issue(store, id, secret, at(n as i64)), Issued::Done);
        let found = credentials(store, "pk", "dk-1");
        assert_eq!((found.device_secret.expose(), found.activated), (secret, false));
        assert_eq!(found.secret_version, n as u32 + 2);
    }
    assert_eq!(events(store, id)[..3], [LogEvent::SecretIssued; 3]);
    assert_eq!(log(store, id)[0].peer.as_deref(), Some("192.0.2.1:5"));
}

/// Of two secrets the one issued last is valid.
pub fn an_issued_secret_supersedes_the_former(store: &dyn Store) {
    let id = activating_device(store);
    issue(store, id, "first", at(1));
    issue(store, id, "second", at(2));
    assert_eq!(write(store, login_with(id, at(3), 2)), Written::SecretSuperseded);
    assert_eq!(write(store, login_with(id, at(4), 3)), Written::Activated);
}

/// By reset and by dynamic activation, newest first.
pub fn former_secrets_are_remembered_until_the_device_is_deleted(store: &dyn Store) {
    let id = activating_device(store);
    let former = || block_on(store.former_secrets(id)).unwrap();
    assert!(former().is_empty());
    issue(store, id, "second", at(1));
    block_on(store.reset_device(id, Secret::new("third".to_owned()), at(2))).unwrap();
    let texts: Vec<_> = former().iter().map(|secret| secret.expose().to_owned()).collect();
    assert_eq!(texts, ["second", "secret of dk-1"]);
    block_on(store.delete_device(id, at(3))).unwrap();
    assert!(former().is_empty());
}

/// A wish that was under way while an operator reset the device would void the secret that he was shown.
pub fn attack_203_a_secret_that_an_operator_has_replaced_stays(store: &dyn Store) {
    let id = activating_device(store);
    block_on(store.reset_device(id, Secret::new("the operator's".to_owned()), at(1))).unwrap();
    let (_, mark) = credentials_of(store, id);
    assert_eq!(
        issue_for(store, id, ("other", 1, mark), at(2)),
        Issued::Refused(NotIssued::SecretSuperseded),
        "it was to replace the first one"
    );
    let found = credentials(store, "pk", "dk-1");
    assert_eq!((found.device_secret.expose(), found.secret_version), ("the operator's", 2));
    let entry = &log(store, id)[0];
    assert_eq!((entry.event, entry.reason), (LogEvent::Refused, Some(Reason::WrongKey)));
    assert_eq!(issue_for(store, id, ("other", 2, mark), at(3)), Issued::Done);
}

/// A wish that was looked up before an operator replaced the product's secret, which may be stolen.
pub fn attack_208_a_product_secret_that_was_replaced_gets_no_secret_of_a_device(store: &dyn Store) {
    let id = activating_device(store);
    let (version, stolen) = credentials_of(store, id);
    block_on(store.rotate_product_secret("pk".to_owned(), Secret::new("new".to_owned()), at(1))).unwrap();
    assert_eq!(
        issue_for(store, id, ("other", version, stolen), at(2)),
        Issued::Refused(NotIssued::ProductSecretReplaced)
    );
    assert_eq!(credentials(store, "pk", "dk-1").secret_version, version);
    let entry = &log(store, id)[0];
    assert_eq!((entry.event, entry.reason), (LogEvent::Refused, Some(Reason::WrongKey)));
    assert_eq!(issue(store, id, "other", at(3)), Issued::Done, "with the new one");
}

/// 771.
pub fn an_activated_device_keeps_its_secret(store: &dyn Store) {
    let id = activating_device(store);
    write(store, login(id, at(1)));
    assert_eq!(issue(store, id, "other", at(2)), Issued::Refused(NotIssued::AlreadyActivated));
    let found = credentials(store, "pk", "dk-1");
    assert_eq!((found.device_secret.expose(), found.secret_version), ("secret of dk-1", 1));
    let entry = &log(store, id)[0];
    assert_eq!((entry.event, entry.reason), (LogEvent::Refused, Some(Reason::AlreadyActivated)));
    assert_eq!(entry.code, Some(771));
}

/// 770: switched off, and past its end (which is exclusive).
pub fn nothing_is_issued_while_dynamic_activation_is_off_or_over(store: &dyn Store) {
    block_on(store.create_product(product("pk"))).unwrap();
    let id = add_device(store, "pk", "dk-1").id;
    assert_eq!(issue(store, id, "other", at(1)), Issued::Refused(NotIssued::DynamicActivationOff));

    let until = |end| Product {
        dynamic_activation: DynamicActivation {
            enabled: true,
            ends_at: Some(at(end)),
            ..DynamicActivation::default()
        },
        ..product("pk")
    };
    block_on(store.update_product(until(10))).unwrap();
    assert_eq!(issue(store, id, "other", at(10)), Issued::Refused(NotIssued::DynamicActivationOff));
    let entry = &log(store, id)[0];
    assert_eq!((entry.reason, entry.code), (Some(Reason::DynamicActivationOff), Some(770)));
    assert_eq!(credentials(store, "pk", "dk-1").secret_version, 1);
    assert_eq!(issue(store, id, "other", at(9)), Issued::Done);
}

/// The switches, once more in the transaction.
pub fn nothing_is_issued_to_missing_or_disabled_devices(store: &dyn Store) {
    let id = activating_device(store);
    assert_eq!(issue(store, DeviceId(9999), "other", at(1)), Issued::Refused(NotIssued::DeviceUnavailable));
    block_on(store.set_device_enabled(id, false, at(1))).unwrap();
    assert_eq!(issue(store, id, "other", at(2)), Issued::Refused(NotIssued::DeviceUnavailable));
    assert_eq!(log(store, id)[0].reason, Some(Reason::DeviceDisabled));
    block_on(store.set_device_enabled(id, true, at(3))).unwrap();
    block_on(store.update_product(Product { enabled: false, ..activating_product("pk") })).unwrap();
    assert_eq!(issue(store, id, "other", at(4)), Issued::Refused(NotIssued::ProductUnavailable));
    assert_eq!(log(store, id)[0].reason, Some(Reason::ProductDisabled));
    assert_eq!(credentials(store, "pk", "dk-1").secret_version, 1);
}

/// The quota is the product's, per clock hour, and refusals do not use it up.
pub fn the_quota_counts_per_product_and_hour(store: &dyn Store) {
    for key in ["pk", "pk-other"] {
        let mut product = activating_product(key);
        product.dynamic_activation.quota_per_hour = 2;
        block_on(store.create_product(product)).unwrap();
    }
    let a = add_device(store, "pk", "dk-a").id;
    let b = add_device(store, "pk", "dk-b").id;
    let other = add_device(store, "pk-other", "dk-c").id;
    assert_eq!(issue(store, a, "a1", at(3590)), Issued::Done);
    assert_eq!(issue(store, b, "b1", at(3591)), Issued::Done);
    assert_eq!(issue(store, a, "a2", at(3592)), Issued::Refused(NotIssued::QuotaExceeded));
    assert_eq!(log(store, a)[0].reason, Some(Reason::RateLimited));
    assert_eq!(issue(store, other, "c1", at(3593)), Issued::Done);
    assert_eq!(issue(store, a, "a3", at(3600)), Issued::Done, "a new clock hour");
    assert_eq!(issue(store, b, "b2", at(3601)), Issued::Done);
    assert_eq!(issue(store, b, "b3", at(3602)), Issued::Refused(NotIssued::QuotaExceeded));
    assert_eq!(credentials(store, "pk", "dk-b").device_secret.expose(), "b2");
}

/// One event, one reason, one text: the device's log has what [`NotIssued::refusal`] gives to listeners and
/// to the metric, and the product's switch is checked before the device's, as in a handshake.
pub fn a_refusal_is_logged_with_the_words_that_listeners_get(store: &dyn Store) {
    let id = activating_device(store);
    let change = |product: Product| block_on(store.update_product(product)).unwrap();
    let is_logged = |time, why: NotIssued| {
        assert_eq!(issue(store, id, "other", at(time)), Issued::Refused(why));
        let (entry, refusal) = (&log(store, id)[0], why.refusal());
        assert_eq!((entry.event, entry.time), (LogEvent::Refused, at(time)), "{why:?}");
        assert_eq!((entry.reason, entry.code), (refusal.reason, refusal.code()), "{why:?}");
        assert_eq!(entry.detail.as_deref(), Some(&*refusal.detail));
    };
    let mut used_up = activating_product("pk");
    used_up.dynamic_activation.quota_per_hour = 0;
    change(used_up);
    is_logged(1, NotIssued::QuotaExceeded);
    change(product("pk"));
    is_logged(2, NotIssued::DynamicActivationOff);
    write(store, login(id, at(3)));
    is_logged(4, NotIssued::AlreadyActivated);
    block_on(store.set_device_enabled(id, false, at(5))).unwrap();
    is_logged(6, NotIssued::DeviceUnavailable);
    change(Product { enabled: false, ..product("pk") });
    is_logged(7, NotIssued::ProductUnavailable);
}
