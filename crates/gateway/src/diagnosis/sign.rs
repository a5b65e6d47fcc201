//! Which mistake a wrong sign of a login by plain CoAP fits.

use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    ports::Registry,
    rules::{identity::Identity, sign},
};

use super::{FORMER_MAX, credentials, names_beside};

/// What is said of a wrong sign that was not looked into.
pub(super) const NOT_EXAMINED: &str = "the sign is not the one of this device's secret; which mistake it \
                                       fits was not looked into: too many refusals at once";

/// As with a wrong key: the own secrets in other forms, the former ones, those of the neighbours.
pub(super) async fn of_wrong_sign(
    registry: &dyn Registry,
    identity: &Identity,
    device: DeviceId,
    given: &str,
) -> String {
    let Some(own) = credentials(registry, &identity.name).await else { return unexplained(identity) };
    if let Some(detail) = sign::mistake(identity, &own, given) {
        return detail.into_owned();
    }
    let former = registry.former_secrets(device).await.unwrap_or_default();
    let mut former = former.iter().take(FORMER_MAX);
    if let Some(detail) = former.find_map(|secret| sign::former(identity, secret, given)) {
        return detail.to_owned();
    }
    for name in names_beside(registry, identity, device).await {
        let Some(other) = credentials(registry, &name).await else { continue };
        if let Some(detail) = sign::of_another_device(identity, (&other.device_secret, &name), given) {
            return detail;
        }
    }
    unexplained(identity)
}

/// What is said of a wrong sign that none of the candidates explains.
fn unexplained(identity: &Identity) -> String {
    let Identity { name: DeviceName { product_key, device_key }, lifetime_s, .. } = identity;
    format!(
        "the sign is not the one of this device's secret, and fits none of the usual mistakes; it is upper \
         case hex of SHA-256 of deviceKey{device_key}lifetime{lifetime_s}productKey{product_key}secureMode2 \
         and the secret that `narrowgate device secret {product_key}/{device_key}` prints"
    )
}
