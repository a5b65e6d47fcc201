//! An attacker with a stolen product secret tries every possible device key.

use narrowgate_platform::{
    memory::MemoryStore,
    model::{log::Reason, product::DynamicActivation},
    ports::{Issued, RegistryChanges as _},
    rules::issuing::NotIssued,
    testing::{
        block_on,
        store::fixtures::{
            T0, activating_product, at, credentials, device, issue, new_device, product, refusals,
        },
    },
};

#[test]
fn attack_163_a_sweep_of_a_hundred_thousand_keys() {
    const KEYS: usize = 100_000;
    const AT_ONCE: usize = 1000;
    assert!(!product("pk").dynamic_activation.enabled, "off by default");
    let store = MemoryStore::default();
    block_on(store.create_product(activating_product("pk"))).unwrap();
    let mut devices = Vec::new();
    for first in (0..KEYS).step_by(AT_ONCE) {
        let batch =
            (first..first + AT_ONCE).map(|number| new_device("pk", &format!("86{number:013}"))).collect();
        devices.extend(
            block_on(store.create_devices(batch, T0)).unwrap().into_iter().map(|device| device.unwrap().id),
        );
    }
    let mut issued = Vec::new();
    for (number, &id) in devices.iter().enumerate() {
        // Thirty a second: all keys within the hour.
        match issue(&store, id, "stolen", at(number as i64 / 30)) {
            Issued::Done => issued.push(number),
            other => assert_eq!(other, Issued::Refused(NotIssued::QuotaExceeded)),
        }
    }
    let quota = DynamicActivation::QUOTA_PER_HOUR as usize;
    assert_eq!(issued, Vec::from_iter(0..quota), "an hour gives an hour's quota, whoever asks");
    // The operator sees it, and the devices that were not reached keep their secrets.
    let seen = refusals(&store, 10);
    assert!(
        !seen.is_empty() && seen.iter().all(|entry| entry.reason == Some(Reason::RateLimited)),
        "{seen:?}"
    );
    let untouched = device(&store, devices[quota]);
    assert_eq!(credentials(&store, "pk", &untouched.device_key).secret_version, 1);
}
