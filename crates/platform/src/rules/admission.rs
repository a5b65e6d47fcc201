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
        product::Profile,
    },
    rules::{
        identity::{Identity, IdentityFault, SecureMode},
        names::IMPORTED_CHARACTERS_MAX,
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
    /// The product's key, the device's, and the asset id, in one allocation.
    names: Box<str>,
    /// Length of the product's key, bytes. Keys have at most [`IMPORTED_CHARACTERS_MAX`], one byte each.
    product_key_bytes: u8,
    /// Length of the device's key, bytes.
    device_key_bytes: u8,
    /// Whose secret was proved.
    pub mode: SecureMode,
    /// How patient the server is in the session.
    pub profile: Profile,
    /// Silence after which the device is offline, seconds.
    pub lifetime_s: u32,
    /// Version of the device's secret at the time of the look-up.
    pub secret_version: u32,
    /// In SecureMode 3 the mark of the product's secret that was proved, else 0: see [`psk::mark`].
    pub product_secret_mark: u32,
}

// There is one for each session.
const _: () = assert!(size_of::<Grant>() <= 40);
const _: () = assert!(IMPORTED_CHARACTERS_MAX <= u8::MAX as usize);

impl Grant {
    /// A grant of the default profile, with these keys of the product and of the device, this asset id, this
    /// lifetime and version of the device's secret. Keys are cut at 255 bytes; none of an [`Identity`] is as
    /// long as that.
    pub fn new(
        device: DeviceId,
        [product_key, device_key, asset_id]: [&str; 3],
        mode: SecureMode,
        (lifetime_s, secret_version): (u32, u32),
    ) -> Self {
        let longest = |key: &str| u8::try_from(key.len()).unwrap_or(u8::MAX);
        let cut = |key: &str| (0..=longest(key)).rev().find(|end| key.is_char_boundary((*end).into()));
        let product_key_bytes = cut(product_key).unwrap_or(0);
        let device_key_bytes = cut(device_key).unwrap_or(0);
        let product_key = &product_key[..product_key_bytes.into()];
        let device_key = &device_key[..device_key_bytes.into()];
        let names = [product_key, device_key, asset_id].concat().into();
        let product_secret_mark = 0;
        Self {
            device,
            names,
            product_key_bytes,
            device_key_bytes,
            mode,
            profile: Profile::Default,
            lifetime_s,
            secret_version,
            product_secret_mark,
        }
    }

    /// Key of the product, as in the identity.
    pub fn product_key(&self) -> &str {
        &self.names[..self.product_key_bytes.into()]
    }

    /// Key of the device, as in the identity.
    pub fn device_key(&self) -> &str {
        let begin = usize::from(self.product_key_bytes);
        &self.names[begin..begin + usize::from(self.device_key_bytes)]
    }

    /// The device's asset id.
    pub fn asset_id(&self) -> &str {
        &self.names[usize::from(self.product_key_bytes) + usize::from(self.device_key_bytes)..]
    }
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
    if credentials.unit_suspended {
        let detail = format!("the organisation unit of product {product_key} is suspended");
        return refuse(Refusal::new(Reason::UnitSuspended, detail));
    }
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
    let Identity { name, mode, lifetime_s, .. } = identity;
    let names = [&*name.product_key, &*name.device_key, &*credentials.asset_id];
    let mut grant = Grant::new(credentials.device, names, *mode, (*lifetime_s, credentials.secret_version));
    grant.profile = credentials.profile;
    if *mode == SecureMode::ProductSecret {
        grant.product_secret_mark = psk::mark(secret);
    }
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
            unit_suspended: false,
            profile: Profile::Nbiot,
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
            assert_eq!((grant.product_key(), grant.device_key(), grant.asset_id()), ("pk", "dk", "asset001"));
            assert_eq!(grant.profile, Profile::Nbiot);
        }
    }

    #[test]
    fn names_of_any_length_stay_apart() {
        let long = "k".repeat(IMPORTED_CHARACTERS_MAX);
        let (umlauts, too_long) = ("ä".repeat(200), "d".repeat(300));
        for (names, lengths) in [
            ([&*long, &*long, "a"], [128, 128, 1]),
            (["", "", ""], [0, 0, 0]),
            ([&*umlauts, &*too_long, "asset"], [254, 255, 5]),
        ] {
            let grant = Grant::new(DeviceId(7), names, SecureMode::DeviceSecret, (60, 1));
            let split = [grant.product_key(), grant.device_key(), grant.asset_id()];
            assert_eq!(split.map(str::len), lengths);
            assert!(std::iter::zip(names, split).all(|(whole, kept)| whole.starts_with(kept)));
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
        let all_off = || {
            let off = Credentials { device_enabled: false, product_enabled: false, ..credentials() };
            found(Credentials { unit_suspended: true, ..off })
        };
        let known = Some(DeviceId(7));
        for (identity, lookup, reason, code, device) in [
            ("pk,dk,2,60", Some(CredentialLookup::ProductUnknown), Reason::ProductUnknown, None, None),
            ("pk,dk,2,60", None, Reason::ProductUnknown, None, None),
            ("pk,dk,2,60", Some(CredentialLookup::DeviceUnknown), Reason::DeviceUnknown, Some(705), None),
            ("pk,dk,2,60", Some(device_off()), Reason::DeviceDisabled, Some(723), known),
            ("pk,dk,3,60", Some(device_off()), Reason::DeviceDisabled, Some(723), known),
            ("pk,dk,2,60", Some(both_off()), Reason::ProductDisabled, Some(723), known),
            ("pk,dk,2,60", Some(all_off()), Reason::UnitSuspended, Some(723), known),
            ("pk,dk,3,60", Some(all_off()), Reason::UnitSuspended, Some(723), known),
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
