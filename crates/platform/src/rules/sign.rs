//! The sign of a login by plain CoAP (device protocol, section 8): uppercase hex of SHA-256 of
//! `deviceKey{dk}lifetime{n}productKey{pk}secureMode2{deviceSecret}`. It proves the device's secret; whoever
//! sees it can send it again. One that covers the Echo of its login (RFC 9175), of
//! `deviceKey{dk}echo{ECHO}lifetime{n}productKey{pk}secureMode2{deviceSecret}` with the Echo in upper-case
//! hex, is of no use with another one.
//!
//! For a wrong one, the likely mistakes are tried, off the data path, each with words that help to correct
//! it.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    ids::DeviceName,
    model::credential::Credentials,
    rules::{identity::Identity, psk::psk},
    secret::Secret,
};

/// Characters of a sign.
pub const SIGN_CHARACTERS: usize = 64;

/// The sign of a login: 64 characters.
pub fn sign(identity: &Identity, secret: &Secret) -> String {
    hex::encode_upper(Sha256::digest(text(identity, secret.expose())))
}

/// The sign of a login that covers its Echo: 64 characters.
pub fn sign_with_echo(identity: &Identity, echo: &[u8], secret: &Secret) -> String {
    hex::encode_upper(Sha256::digest(text_with(identity, Some(echo), secret.expose())))
}

/// Whether a sign is the one of this secret, be it without the Echo of its login or with it. Takes the same
/// time for every sign of the same length.
pub fn is_right(identity: &Identity, secret: &Secret, (given, echo): (&str, Option<&[u8]>)) -> bool {
    let is_given = |right: String| right.as_bytes().ct_eq(given.as_bytes());
    let without = is_given(sign(identity, secret));
    let with = echo.map(|echo| is_given(sign_with_echo(identity, echo, secret)));
    with.map_or(without, |with| with | without).into()
}

/// What a sign that is wrong was probably meant to be; `None`: nothing usual.
pub fn mistake(identity: &Identity, credentials: &Credentials, given: &str) -> Option<Cow<'static, str>> {
    let (own, product) = (&credentials.device_secret, &credentials.product_secret);
    if given.eq_ignore_ascii_case(&sign(identity, own)) {
        return Some("the sign is right, but for its lower case; send it in upper case".into());
    }
    if is_right_in_any_case(identity, product, given) {
        let detail = "the sign fits the product's secret; a login by plain CoAP is signed with the device's";
        return Some(detail.into());
    }
    let fits = |hash: &[u8]| given.eq_ignore_ascii_case(&hex::encode(hash));
    let fitting = other_texts(identity, own).into_iter().find(|(text, _)| fits(&Sha256::digest(text)));
    if let Some((_, detail)) = fitting {
        return Some(detail.into());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(own.expose().as_bytes()).ok()?;
    mac.update(text(identity, "").as_bytes());
    fits(&mac.finalize().into_bytes()).then_some(
        "the sign was made by HMAC-SHA256; it is the plain SHA-256 of the text with the secret".into(),
    )
}

/// Words for a sign that fits a secret which the device had before; `None`: it does not.
pub fn former(identity: &Identity, secret: &Secret, given: &str) -> Option<&'static str> {
    is_right_in_any_case(identity, secret, given).then_some(
        "the sign fits a secret that the device had before; an operator or dynamic activation replaced it: \
         give the device its present one (narrowgate device secret)",
    )
}

/// Words for a sign that fits the secret of another device; `None`: it does not.
pub fn of_another_device(
    identity: &Identity,
    (secret, name): (&Secret, &DeviceName),
    given: &str,
) -> Option<String> {
    let DeviceName { product_key, device_key } = name;
    is_right_in_any_case(identity, secret, given).then(|| {
        format!(
            "the sign fits the secret of another device, {product_key}/{device_key}; give this device its \
             own, and check which secret the other one has"
        )
    })
}

fn is_right_in_any_case(identity: &Identity, secret: &Secret, given: &str) -> bool {
    given.eq_ignore_ascii_case(&sign(identity, secret))
}

/// What is hashed.
fn text(identity: &Identity, secret: &str) -> Zeroizing<String> {
    text_with(identity, None, secret)
}

/// The same, with an Echo.
fn text_with(identity: &Identity, echo: Option<&[u8]>, secret: &str) -> Zeroizing<String> {
    let Identity { name: DeviceName { product_key, device_key }, mode, lifetime_s } = identity;
    let digit = mode.digit();
    let echo = echo.map_or_else(String::new, |echo| format!("echo{}", hex::encode_upper(echo)));
    Zeroizing::new(format!(
        "deviceKey{device_key}{echo}lifetime{lifetime_s}productKey{product_key}secureMode{digit}{secret}"
    ))
}

/// Other texts with the secret, and what is wrong with them.
fn other_texts(identity: &Identity, secret: &Secret) -> Vec<(Zeroizing<String>, &'static str)> {
    let Identity { name: DeviceName { product_key, device_key }, lifetime_s, .. } = identity;
    let secret = secret.expose();
    let own = |text: String| Zeroizing::new(text);
    let with = |end: &str| Zeroizing::new([text(identity, secret).as_str(), end].concat());
    const ORDER: &str = "the sign was made of the right parts in another order; it is deviceKey, lifetime, \
                         productKey, secureMode, each followed by its value, then the secret";
    vec![
        (text(identity, ""), "the sign was made without the secret; put the device's secret at the end"),
        (with("\n"), "the sign was made with a line end after the secret; hash the text without"),
        (with("\r\n"), "the sign was made with a line end (CR LF) after the secret; hash the text without"),
        (with("\0"), "the sign was made with the terminating NUL; hash strlen bytes"),
        (own(format!("{secret}{}", &*text(identity, ""))), ORDER),
        (
            own(format!(
                "productKey{product_key}deviceKey{device_key}lifetime{lifetime_s}secureMode2{secret}"
            )),
            ORDER,
        ),
        (
            own(format!(
                "productKey{product_key}deviceKey{device_key}secureMode2lifetime{lifetime_s}{secret}"
            )),
            ORDER,
        ),
        (
            own(format!(
                "deviceKey{device_key}productKey{product_key}lifetime{lifetime_s}secureMode2{secret}"
            )),
            ORDER,
        ),
        (
            own(format!("deviceKey{device_key}productKey{product_key}{secret}")),
            "the sign was made without lifetime and secureMode; both are part of it",
        ),
        (
            own(format!("{device_key}{lifetime_s}{product_key}2{secret}")),
            "the sign was made of the values alone; each follows its name",
        ),
        (
            text(identity, &hex::encode(*psk(&Secret::new(secret.to_owned())))),
            "the sign was made with the key of DTLS; it is made with the secret itself",
        ),
        (own(secret.to_owned()), "the sign is the hash of the secret alone; the names stand before it"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::DeviceId,
        model::product::{DynamicActivation, Profile},
        rules::identity::SecureMode,
    };

    /// Lines of `deviceKey lifetime productKey deviceSecret sign`, from the device protocol.
    const VECTORS: &str = include_str!("../../../../vectors/sign.txt");

    fn identity(product_key: &str, device_key: &str, lifetime_s: u32) -> Identity {
        let name = DeviceName { product_key: product_key.into(), device_key: device_key.into() };
        Identity { name, mode: SecureMode::DeviceSecret, lifetime_s }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn signs_are_the_published_vectors() {
        let mut count = 0;
        for line in VECTORS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [device_key, lifetime, product_key, device_secret, right] = words[..] else {
                panic!("a vector has five words: {line}");
            };
            let identity = identity(product_key, device_key, lifetime.parse().expect("seconds"));
            assert_eq!(sign(&identity, &secret(device_secret)), right);
            assert!(is_right(&identity, &secret(device_secret), (right, None)));
            assert_eq!(right.len(), SIGN_CHARACTERS);
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn whatever_differs_in_any_character_is_wrong() {
        let (identity, secret) = (identity("MuGsF6W4", "15bBZlRknc", 3600), secret("Z5YtZaQpK5IWocakV7zQ"));
        let right = sign(&identity, &secret);
        for at in 0..right.len() {
            let mut wrong = right.clone().into_bytes();
            wrong[at] ^= 1;
            assert!(!is_right(&identity, &secret, (&String::from_utf8(wrong).expect("ASCII"), None)));
        }
        for wrong in ["", &right[1..], &format!("{right} "), &right.to_ascii_lowercase()] {
            assert!(!is_right(&identity, &secret, (wrong, None)), "{wrong}");
        }
        assert!(!is_right(&Identity { lifetime_s: 3601, ..identity.clone() }, &secret, (&right, None)));
        assert!(!is_right(&identity, &self::secret("Z5YtZaQpK5IWocakV7zR"), (&right, None)));
    }

    /// Made by Python's `hashlib`.
    #[test]
    fn a_sign_may_cover_the_echo_of_its_login_and_is_then_right_with_that_alone() {
        let (identity, secret) = (identity("MuGsF6W4", "15bBZlRknc", 3600), secret("Z5YtZaQpK5IWocakV7zQ"));
        let echo = hex::decode("0011223344556677889900aa").expect("it is hex");
        let given = "1A53FFAEC0F91673D97A5F8D87A452D3892B3078DD248E83FF9E1143CFF18F88";
        assert_eq!(sign_with_echo(&identity, &echo, &secret), given);
        let is_right = |given: &str, echo: Option<&[u8]>| is_right(&identity, &secret, (given, echo));
        assert!(is_right(given, Some(&echo)));
        assert!(!is_right(given, None) && !is_right(given, Some(b"another")) && !is_right(given, Some(b"")));
        // One that covers none goes with any.
        assert!(is_right(&sign(&identity, &secret), Some(&echo)));
    }

    #[test]
    fn a_usual_mistake_is_named() {
        let identity = identity("MuGsF6W4", "15bBZlRknc", 3600);
        let credentials = Credentials {
            device: DeviceId(1),
            asset_id: "asset001".into(),
            device_secret: secret("Z5YtZaQpK5IWocakV7zQ"),
            secret_version: 1,
            device_enabled: true,
            activated: false,
            product_secret: secret("c3PW03srd6c"),
            product_enabled: true,
            unit_suspended: false,
            profile: Profile::Default,
            dynamic_activation: DynamicActivation::default(),
        };
        let right = sign(&identity, &credentials.device_secret);
        let said = |given: &str| mistake(&identity, &credentials, given).map(Cow::into_owned);
        let hashed = |text: &str| hex::encode_upper(Sha256::digest(text));
        for (given, words) in [
            (right.to_ascii_lowercase(), "upper case"),
            (sign(&identity, &credentials.product_secret), "product's secret"),
            (hashed("deviceKey15bBZlRknclifetime3600productKeyMuGsF6W4secureMode2"), "without the secret"),
            (
                hashed("productKeyMuGsF6W4deviceKey15bBZlRknclifetime3600secureMode2Z5YtZaQpK5IWocakV7zQ"),
                "another order",
            ),
            (hashed("Z5YtZaQpK5IWocakV7zQ"), "secret alone"),
        ] {
            assert!(said(&given).is_some_and(|said| said.contains(words)), "{words}: {:?}", said(&given));
        }
        assert_eq!(said(&"0".repeat(64)), None);
        let other = secret("anotherSecretOfNoUse");
        let name = DeviceName { product_key: "p".into(), device_key: "d".into() };
        let given = sign(&identity, &other);
        assert!(former(&identity, &other, &given).is_some() && former(&identity, &other, &right).is_none());
        let of_other = of_another_device(&identity, (&other, &name), &given);
        assert!(of_other.is_some_and(|said| said.contains("another device, p/d")));
    }
}
