//! Who is admitted to a handshake with its real key, and with which rights (device protocol, sections 2 and
//! 3).
//!
//! A refused client gets a handshake with a decoy key, which looks like a wrong key from outside. A mode-3
//! handshake is admitted even where no secret will be issued (dynamic activation off, device already
//! activated): its request is then answered by 4.03, so that the device's maker sees a protocol answer
//! instead of silence.

use crate::{
    ids::DeviceId,
    model::{
        credential::{CredentialLookup, Credentials},
        log::Reason,
    },
    rules::{
        identity::{Identity, IdentityFault, SecureMode},
        psk,
        refusal::Refusal,
    },
    secret::Secret,
};

/// What a session may do: for whom, as what, how long it may be silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The device.
    pub device: DeviceId,
    /// The device's asset id.
    pub asset_id: Box<str>,
    /// Key of the product, as in the identity.
    pub product_key: Box<str>,
    /// Key of the device, as in the identity.
    pub device_key: Box<str>,
    /// Whose secret was proved.
    pub mode: SecureMode,
    /// Silence after which the device is offline, seconds.
    pub lifetime_s: u32,
    /// Version of the device's secret at the time of the look-up.
    pub secret_version: u32,
    /// In SecureMode 3 the mark of the product's secret that was proved, else 0: see [`psk::mark`].
    pub product_secret_mark: u32,
}

/// How a handshake goes on.
#[derive(Debug)]
pub enum Decision {
    /// With the key of this secret. Nothing is proved until the client's Finished has been verified.
    Admit {
        /// Its hash gives the key.
        secret: Secret,
        /// What the session may do once the key is proved.
        grant: Grant,
    },
    /// With the decoy key; the reason goes into the log.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// Into whose log it goes, where the device is known.
        device: Option<DeviceId>,
    },
}

/// Decides how a handshake goes on. `lookup` is the store's answer for the keys of the identity, or of its
/// fault where that names them; an identity without an answer counts as one of an unknown product.
pub fn decide(identity: &Result<Identity, IdentityFault>, lookup: Option<&CredentialLookup>) -> Decision {
    let found = match lookup {
        Some(CredentialLookup::Found(credentials)) => Some(&**credentials),
        _ => None,
    };
    let refuse = |refusal| Decision::Refuse { refusal, device: found.map(|known| known.device) };
    let identity = match identity {
        Ok(identity) => identity,
        Err(fault) => return refuse(fault.refusal.clone()),
    };
    let product_key = &identity.name.product_key;
    let device_key = &identity.name.device_key;
    let Some(credentials) = found else {
        return if let Some(CredentialLookup::DeviceUnknown) = lookup {
            let detail = format!(
                "product {product_key} has no device {device_key}; register it, or check the device key"
            );
            refuse(Refusal::new(Reason::DeviceUnknown, detail))
        } else {
            let detail = format!("there is no product {product_key}; check the product key");
            refuse(Refusal::new(Reason::ProductUnknown, detail))
        };
    };
    if !credentials.product_enabled {
        let detail = format!("product {product_key} is switched off");
        return refuse(Refusal::new(Reason::ProductDisabled, detail));
    }
    if !credentials.device_enabled {
        let detail = format!("device {device_key} is switched off");
        return refuse(Refusal::new(Reason::DeviceDisabled, detail));
    }
    admit(identity, credentials)
}

fn admit(identity: &Identity, credentials: &Credentials) -> Decision {
    let secret = match identity.mode {
        SecureMode::DeviceSecret => &credentials.device_secret,
        SecureMode::ProductSecret => &credentials.product_secret,
    };
    let grant = Grant {
        device: credentials.device,
        asset_id: credentials.asset_id.as_str().into(),
        product_key: identity.name.product_key.as_str().into(),
        device_key: identity.name.device_key.as_str().into(),
        mode: identity.mode,
        lifetime_s: identity.lifetime_s,
        secret_version: credentials.secret_version,
        product_secret_mark: match identity.mode {
            SecureMode::DeviceSecret => 0,
            SecureMode::ProductSecret => psk::mark(secret),
        },
    };
    Decision::Admit { secret: secret.clone(), grant }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::product::DynamicActivation;

    fn credentials() -> Credentials {
        Credentials {
            device: DeviceId(7),
            asset_id: "asset001".into(),
            device_secret: Secret::new("device".into()),
            secret_version: 3,
            device_enabled: true,
            activated: true,
            product_secret: Secret::new("product".into()),
            product_enabled: true,
            dynamic_activation: DynamicActivation::default(),
        }
    }

    fn decide_for(identity: &str, lookup: &CredentialLookup) -> Decision {
        decide(&Identity::parse(identity.as_bytes()), Some(lookup))
    }

    fn found(credentials: Credentials) -> CredentialLookup {
        CredentialLookup::Found(Box::new(credentials))
    }

    #[test]
    fn each_mode_gets_its_own_secret() {
        for (identity, expected, mode) in [
            ("pk,dk,2,60", "device", SecureMode::DeviceSecret),
            ("pk,dk,3,60", "product", SecureMode::ProductSecret),
        ] {
            let Decision::Admit { secret, grant } = decide_for(identity, &found(credentials())) else {
                panic!("{identity} is admitted")
            };
            assert_eq!(secret.expose(), expected);
            assert_eq!(
                (grant.mode, grant.lifetime_s, grant.secret_version, grant.device),
                (mode, 60, 3, DeviceId(7))
            );
            assert_eq!((&*grant.product_key, &*grant.device_key, &*grant.asset_id), ("pk", "dk", "asset001"));
        }
    }

    #[test]
    fn a_mode_3_handshake_is_admitted_even_where_its_request_will_be_refused() {
        let off_and_activated = credentials();
        assert!(!off_and_activated.dynamic_activation.enabled && off_and_activated.activated);
        assert!(matches!(decide_for("pk,dk,3,60", &found(off_and_activated)), Decision::Admit { .. }));
    }

    #[test]
    fn every_cause_of_a_refusal_has_its_reason() {
        let device_off = || found(Credentials { device_enabled: false, ..credentials() });
        let both_off =
            || found(Credentials { device_enabled: false, product_enabled: false, ..credentials() });
        let known = Some(DeviceId(7));
        for (identity, lookup, reason, code, device) in [
            ("pk,dk,2,60", Some(CredentialLookup::ProductUnknown), Reason::ProductUnknown, None, None),
            ("pk,dk,2,60", None, Reason::ProductUnknown, None, None),
            ("pk,dk,2,60", Some(CredentialLookup::DeviceUnknown), Reason::DeviceUnknown, Some(705), None),
            ("pk,dk,2,60", Some(device_off()), Reason::DeviceDisabled, Some(723), known),
            ("pk,dk,3,60", Some(device_off()), Reason::DeviceDisabled, Some(723), known),
            ("pk,dk,2,60", Some(both_off()), Reason::ProductDisabled, Some(723), known),
            ("pk,dk,2", None, Reason::IdentityMalformed, None, None),
            ("pk,dk,4,60", Some(found(credentials())), Reason::ModeUnknown, None, known),
            ("pk,dk,2,29", Some(found(credentials())), Reason::LifetimeOutOfRange, None, known),
            ("pk,dk,2,29", Some(CredentialLookup::DeviceUnknown), Reason::LifetimeOutOfRange, None, None),
        ] {
            let decision = decide(&Identity::parse(identity.as_bytes()), lookup.as_ref());
            let Decision::Refuse { refusal, device: given_device } = decision else {
                panic!("{identity} {reason:?} is refused")
            };
            let given = (refusal.reason, refusal.code(), given_device);
            assert_eq!(given, (Some(reason), code, device), "{identity}: {}", refusal.detail);
            assert!(!refusal.detail.is_empty());
        }
    }
}
