//! What a wrong key was probably meant to be.
//!
//! After a handshake whose Finished did not verify, the server still holds the transcript and can try other keys on it, off the data
//! path. The keys of the likely mistakes are made here, each with the words that help whoever made it. None of them grants access.

use zeroize::Zeroizing;

use crate::{
    model::credential::Credentials,
    rules::{
        identity::SecureMode,
        psk::{hash, middle, psk},
    },
    secret::Secret,
};

/// A key that a client may have used by mistake.
#[derive(Debug)]
pub struct Mistake {
    /// The key, at most 130 bytes.
    pub psk: Zeroizing<Vec<u8>>,
    /// What to tell people if this key fits.
    pub detail: &'static str,
}

/// The likely mistakes for an identity of this mode, likeliest first; at most 16. The right key is never among them.
pub fn candidates(credentials: &Credentials, mode: SecureMode) -> Vec<Mistake> {
    let (right, other, other_detail) = match mode {
        SecureMode::DeviceSecret => (
            &credentials.device_secret,
            &credentials.product_secret,
            "the key fits the product's secret; an identity with secure mode 2 needs the device's",
        ),
        SecureMode::ProductSecret => (
            &credentials.product_secret,
            &credentials.device_secret,
            "the key fits the device's secret; an identity with secure mode 3 needs the product's",
        ),
    };
    let right_key = psk(right);
    let mut mistakes = vec![Mistake { psk: owned(&psk(other)[..]), detail: other_detail }];
    mistakes.extend(wrong_cuts(right));
    mistakes.extend(wrong_forms(right, &right_key[..]));
    mistakes.extend(wrong_texts(right));
    mistakes.retain(|mistake| mistake.psk[..] != right_key[..]);
    mistakes
}

/// The right hash, cut at the wrong place.
fn wrong_cuts(secret: &Secret) -> Vec<Mistake> {
    let hash = hash(secret.expose().as_bytes());
    let hash_hex = Zeroizing::new(hex::encode(*hash));
    let cut = |bytes: &[u8], detail| Mistake { psk: owned(bytes), detail };
    vec![
        cut(
            &hash[..16],
            "the key is the start of the hash; take bytes 9 to 24 of SHA-256 of the secret, counted from 1",
        ),
        cut(
            &hash[9..25],
            "the key is cut one byte too late; take bytes 9 to 24 counted from 1 (offset 8, length 16)",
        ),
        cut(
            &hash[7..23],
            "the key is cut one byte too early; take bytes 9 to 24 counted from 1 (offset 8, length 16)",
        ),
        cut(
            &hash[9..24],
            "the key has 15 bytes; take bytes 9 to 24 counted from 1, both included (offset 8, length 16)",
        ),
        cut(
            &hash[16..],
            "the key is the end of the hash; take bytes 9 to 24 of SHA-256 of the secret, counted from 1",
        ),
        cut(
            &hash[..],
            "the key is the whole hash of 32 bytes; take only bytes 9 to 24 of it, counted from 1",
        ),
        cut(
            &hash_hex.as_bytes()[8..24],
            "the key is cut out of the hash's hex text; cut the 32 raw bytes instead",
        ),
    ]
}

/// The right key or secret, in the wrong form.
fn wrong_forms(secret: &Secret, key: &[u8]) -> Vec<Mistake> {
    let lower = Zeroizing::new(hex::encode(key));
    let upper = Zeroizing::new(hex::encode_upper(key));
    let prefixed = Zeroizing::new(["0x", lower.as_str()].concat());
    let form = |bytes: &[u8], detail| Mistake { psk: owned(bytes), detail };
    vec![
        form(
            lower.as_bytes(),
            "the key is the hex text of the right key; give the client the 16 raw bytes (many tools want 0x before hex)",
        ),
        form(
            upper.as_bytes(),
            "the key is the hex text of the right key; give the client the 16 raw bytes (many tools want 0x before hex)",
        ),
        form(
            prefixed.as_bytes(),
            "the client took 0x and the hex digits as the key's text; give it the 16 raw bytes (libcoap before 4.3.5 knows no 0x)",
        ),
        form(
            secret.expose().as_bytes(),
            "the key is the secret itself; hash it first: bytes 9 to 24 of SHA-256 of the secret",
        ),
    ]
}

/// The right derivation, from a secret with something around it.
fn wrong_texts(secret: &Secret) -> Vec<Mistake> {
    let around = |before: &str, after: &str, detail| {
        let text = Zeroizing::new([before, secret.expose(), after].concat());
        Mistake { psk: owned(&middle(&hash(text.as_bytes()))[..]), detail }
    };
    vec![
        around(
            "",
            "\n",
            "the secret was hashed with a line end after it; hash it without (echo -n, printf %s)",
        ),
        around("", "\r\n", "the secret was hashed with a line end (CR LF) after it; hash it without"),
        around("", "\0", "the secret was hashed with its terminating NUL; hash strlen bytes"),
        around("", " ", "the secret was hashed with a space after it; hash it without"),
        around("\"", "\"", "the secret was hashed with quotation marks around it; hash it without"),
    ]
}

fn owned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::DeviceId, model::product::DynamicActivation};

    fn credentials() -> Credentials {
        Credentials {
            device: DeviceId(1),
            asset_id: "asset001".into(),
            device_secret: Secret::new("Z5YtZaQpK5IWocakV7zQ".into()),
            secret_version: 1,
            device_enabled: true,
            activated: false,
            product_secret: Secret::new("c3PW03srd6c".into()),
            product_enabled: true,
            dynamic_activation: DynamicActivation::default(),
        }
    }

    /// What is said about the key given in hex.
    #[track_caller]
    fn said(mode: SecureMode, key_hex: &str) -> &'static str {
        let key = hex::decode(key_hex).expect("the test gives hex");
        let mistakes = candidates(&credentials(), mode);
        let fitting = mistakes.iter().find(|mistake| *mistake.psk == key);
        fitting.unwrap_or_else(|| panic!("{key_hex} is a candidate")).detail
    }

    #[test]
    fn the_other_secret_is_recognised_in_both_directions() {
        assert!(
            said(SecureMode::DeviceSecret, "be7d6a5e5b2ba12f59024d7633b964e8")
                .contains("fits the product's secret")
        );
        assert!(
            said(SecureMode::ProductSecret, "2e87da0cb9cad2c1fb7369531ce9644a")
                .contains("fits the device's secret")
        );
    }

    #[test]
    fn wrong_cuts_of_the_hash_are_recognised() {
        // SHA-256: d43bab56e58970df 2e87da0cb9cad2c1fb7369531ce9644a 805c36e5058c324b
        for (key, words) in [
            ("d43bab56e58970df2e87da0cb9cad2c1", "start of the hash"),
            ("87da0cb9cad2c1fb7369531ce9644a80", "one byte too late"),
            ("df2e87da0cb9cad2c1fb7369531ce964", "one byte too early"),
            ("87da0cb9cad2c1fb7369531ce9644a", "has 15 bytes"),
            ("fb7369531ce9644a805c36e5058c324b", "end of the hash"),
            ("d43bab56e58970df2e87da0cb9cad2c1fb7369531ce9644a805c36e5058c324b", "whole hash"),
            (&hex::encode("e58970df2e87da0c"), "hash's hex text"),
        ] {
            assert!(said(SecureMode::DeviceSecret, key).contains(words), "{words}");
        }
    }

    #[test]
    fn wrong_forms_of_key_and_secret_are_recognised() {
        for (key, words) in [
            ("2e87da0cb9cad2c1fb7369531ce9644a", "hex text of the right key"),
            ("2E87DA0CB9CAD2C1FB7369531CE9644A", "hex text of the right key"),
            ("0x2e87da0cb9cad2c1fb7369531ce9644a", "0x and the hex digits"),
            ("Z5YtZaQpK5IWocakV7zQ", "the secret itself"),
        ] {
            assert!(said(SecureMode::DeviceSecret, &hex::encode(key)).contains(words), "{words}");
        }
    }

    #[test]
    fn secrets_with_something_around_them_are_recognised() {
        // printf 'Z5YtZaQpK5IWocakV7zQ\n' | sha256sum | cut -c17-48, and so on.
        for (text, words) in [
            ("Z5YtZaQpK5IWocakV7zQ\n", "line end after it"),
            ("Z5YtZaQpK5IWocakV7zQ\r\n", "CR LF"),
            ("Z5YtZaQpK5IWocakV7zQ\0", "terminating NUL"),
            ("Z5YtZaQpK5IWocakV7zQ ", "space after it"),
            ("\"Z5YtZaQpK5IWocakV7zQ\"", "quotation marks"),
        ] {
            let key = psk(&Secret::new(text.to_owned()));
            assert!(said(SecureMode::DeviceSecret, &hex::encode(*key)).contains(words), "{words}");
        }
    }

    #[test]
    fn the_right_key_is_never_called_a_mistake() {
        let same =
            Credentials { product_secret: Secret::new("Z5YtZaQpK5IWocakV7zQ".into()), ..credentials() };
        for mode in [SecureMode::DeviceSecret, SecureMode::ProductSecret] {
            let mistakes = candidates(&same, mode);
            assert!((14..=16).contains(&mistakes.len()), "{}", mistakes.len());
            assert!(mistakes.iter().all(|mistake| mistake.psk[..] != psk(&same.device_secret)[..]));
            assert!(mistakes.iter().all(|mistake| mistake.psk.len() <= 130));
        }
    }
}
