//! PSK identities, and who is admitted with them.

use std::cell::OnceCell;

use narrowgate_platform::{
    ids::DeviceId,
    model::{
        credential::{CredentialLookup, Credentials},
        product::{DynamicActivation, Profile},
    },
    rules::{
        admission::{Decision, decide},
        identity::{Identity, SecureMode},
    },
    secret::Secret,
};

thread_local! {
    static LOOKUPS: OnceCell<[Option<CredentialLookup>; 6]> = const { OnceCell::new() };
}

/// Accepted exactly where a second reader accepts; written again it is what was read; admitted only where the
/// product and the device exist and are switched on, as the one that was named, by the secret of the mode.
pub fn identity(data: &[u8]) {
    let parsed = Identity::parse(data);
    assert_eq!(parsed.is_ok(), is_good(data), "{parsed:?}");
    match &parsed {
        Ok(identity) => assert_eq!(identity.to_string().as_bytes(), data, "written again it is the same"),
        Err(fault) => assert!(fault.refusal.detail.len() < 250, "{}", fault.refusal.detail),
    }
    LOOKUPS.with(|lookups| {
        let lookups = lookups.get_or_init(lookups_of_all_kinds);
        let choice = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) % 8;
        // Known devices are tried most often.
        let lookup = lookups[usize::from(choice).min(5)].as_ref();
        match (decide(&parsed, lookup), &parsed) {
            (Decision::Admit { secret, grant }, Ok(identity)) => {
                assert!(choice >= 5, "only who is known and switched on is let in");
                assert_eq!(
                    (grant.product_key(), grant.device_key()),
                    (&*identity.name.product_key, &*identity.name.device_key)
                );
                assert_eq!((grant.mode, grant.lifetime_s), (identity.mode, identity.lifetime_s));
                let expected =
                    if grant.mode == SecureMode::DeviceSecret { "of the device" } else { "of the product" };
                assert_eq!(secret.expose(), expected);
            }
            (Decision::Admit { .. }, Err(_)) => panic!("a malformed identity is let in"),
            (Decision::Refuse { refusal, .. }, _) => {
                assert!(parsed.is_err() || choice < 5, "who is known and switched on is let in");
                assert!(refusal.detail.len() < 600);
            }
        }
    });
}

/// Nothing, unknown product, unknown device, product off, device off, all well.
fn lookups_of_all_kinds() -> [Option<CredentialLookup>; 6] {
    let known = |product_enabled, device_enabled| {
        Some(CredentialLookup::Found(Box::new(Credentials {
            device: DeviceId(7),
            asset_id: "As5etId1".into(),
            device_secret: Secret::new("of the device".into()),
            secret_version: 1,
            device_enabled,
            activated: true,
            product_secret: Secret::new("of the product".into()),
            product_enabled,
            unit_suspended: false,
            profile: Profile::Default,
            dynamic_activation: DynamicActivation::default(),
        })))
    };
    [
        None,
        Some(CredentialLookup::ProductUnknown),
        Some(CredentialLookup::DeviceUnknown),
        known(false, true),
        known(true, false),
        known(true, true),
    ]
}

/// The other reader, from the end to the start.
fn is_good(data: &[u8]) -> bool {
    let mut fields = data.rsplit(|byte| *byte == b',');
    let (Some(lifetime), Some(mode), Some(device_key), Some(product_key), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let is_key =
        |key: &[u8]| (1..=128).contains(&key.len()) && key.iter().all(|byte| (0x21..=0x7e).contains(byte));
    let is_lifetime = (2..=5).contains(&lifetime.len())
        && lifetime[0] != b'0'
        && lifetime.iter().all(u8::is_ascii_digit)
        && (30..=86_400).contains(&lifetime.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')));
    is_key(product_key) && is_key(device_key) && matches!(mode, b"2" | b"3") && is_lifetime
}
