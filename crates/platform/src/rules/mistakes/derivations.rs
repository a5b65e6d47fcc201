//! Other derivations than the right one: another hash, a MAC, another text that has the secret in it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Mistake, base64, texts::derived};
use crate::{
    model::credential::Credentials,
    rules::{identity::Identity, psk::hash},
    secret::Secret,
};

use zeroize::Zeroizing;

/// Both cuts of some hash.
fn cuts(bytes: &[u8], detail: &'static str) -> [Mistake; 2] {
    [Mistake::new(&bytes[8..24], detail), Mistake::new(&bytes[..16], detail)]
}

/// Other hashes of the secret.
pub(super) fn hashes(secret: &Secret) -> Vec<Mistake> {
    let text = secret.expose().as_bytes();
    let sha_224 = Zeroizing::new(Sha224::digest(text).to_vec());
    let sha_384 = Zeroizing::new(Sha384::digest(text).to_vec());
    let sha_512 = Zeroizing::new(Sha512::digest(text).to_vec());
    let base64_of_hash = base64::encode(&hash(text)[..]);
    let mut mistakes = vec![Mistake::new(
        &base64_of_hash[8..24],
        "the key is cut out of the base64 text of the hash; cut the 32 raw bytes instead",
    )];
    for (bytes, detail) in [
        (&sha_512, "the key was made by SHA-512 of the secret; the hash is SHA-256"),
        (&sha_384, "the key was made by SHA-384 of the secret; the hash is SHA-256"),
        (&sha_224, "the key was made by SHA-224 of the secret; the hash is SHA-256"),
    ] {
        mistakes.extend(cuts(bytes, detail));
    }
    mistakes
}

/// HMAC-SHA256 with the secret.
pub(super) fn macs(secret: &Secret, identity: &Identity) -> Vec<Mistake> {
    const DETAIL: &str = "the key was made by HMAC-SHA256; take bytes 9 to 24 of plain SHA-256 of the secret";
    let secret = secret.expose().as_bytes();
    let product_key = identity.name.product_key.as_bytes();
    let device_key = identity.name.device_key.as_bytes();
    let pairs: [(&[u8], &[u8]); 6] = [
        (b"", secret),
        (product_key, secret),
        (device_key, secret),
        (secret, b""),
        (secret, product_key),
        (secret, device_key),
    ];
    let mut mistakes = Vec::new();
    for (key, text) in pairs {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { continue };
        mac.update(text);
        let bytes = Zeroizing::new(mac.finalize().into_bytes().to_vec());
        mistakes.extend(cuts(&bytes, DETAIL));
    }
    mistakes
}

/// Other texts, with or without the secret.
pub(super) fn joined(secret: &Secret, credentials: &Credentials, identity: &Identity) -> Vec<Mistake> {
    let secret = secret.expose();
    let (product_key, device_key) = (identity.name.product_key.as_str(), identity.name.device_key.as_str());
    let texts: [(&[&str], &'static str); 6] = [
        (
            &[product_key, secret],
            "the product key and the secret were hashed together; hash the secret alone",
        ),
        (
            &[secret, product_key],
            "the secret and the product key were hashed together; hash the secret alone",
        ),
        (&[device_key, secret], "the device key and the secret were hashed together; hash the secret alone"),
        (&[secret, device_key], "the secret and the device key were hashed together; hash the secret alone"),
        (&[&identity.to_string()], "the identity was hashed instead of a secret; hash the secret"),
        (&[&credentials.asset_id], "the asset id was hashed instead of a secret; hash the secret"),
    ];
    texts.map(|(parts, detail)| derived(&Zeroizing::new(parts.concat().into_bytes()), detail)).into()
}
