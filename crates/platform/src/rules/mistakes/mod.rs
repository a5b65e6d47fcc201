//! What a wrong key was probably meant to be.
//!
//! After a handshake whose Finished did not verify, the server still holds the transcript and can try other
//! keys on it, off the data path. The keys of the likely mistakes are made here, each with words that help to
//! correct it. None of them grants access.

mod base64;
mod derivations;
mod encodings;
mod keys;
mod slips;
mod texts;

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::{
    ids::DeviceName,
    model::credential::Credentials,
    rules::{
        identity::{Identity, SecureMode},
        psk::psk,
    },
    secret::Secret,
};

/// Most candidates for one identity: about 200 for a generated secret; a slip in a long one has more places.
pub const CANDIDATES_MAX: usize = 320;

/// A key that a client may have used by mistake.
#[derive(Debug)]
pub struct Mistake {
    /// The key. May be empty, or longer than a client's key can be: then no client used it.
    pub psk: Zeroizing<Vec<u8>>,
    /// What to tell people if this key fits: what the device did, and what to do instead.
    pub detail: Cow<'static, str>,
}

impl Mistake {
    fn new(psk: &[u8], detail: impl Into<Cow<'static, str>>) -> Self {
        Self { psk: owned(psk), detail: detail.into() }
    }
}

/// The likely mistakes for this identity, the most likely first; at most [`CANDIDATES_MAX`], and never the
/// right key.
pub fn candidates(credentials: &Credentials, identity: &Identity) -> Vec<Mistake> {
    let (right, other, other_detail) = match identity.mode {
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
    let mut mistakes = vec![Mistake::new(&psk(other)[..], other_detail)];
    mistakes.extend(keys::cut_as_text(&right_key, identity.mode));
    mistakes.extend(keys::wrong_cuts(right));
    mistakes.extend(keys::wrong_forms(right, &right_key));
    mistakes.extend(texts::around(right));
    mistakes.extend(texts::instead(right));
    mistakes.extend(texts::names(&identity.name));
    mistakes.extend(keys::empty());
    mistakes.extend(encodings::of(&right_key));
    mistakes.extend(slips::of(right));
    mistakes.extend(derivations::hashes(right));
    mistakes.extend(derivations::joined(right, credentials, identity));
    mistakes.extend(derivations::macs(right, identity));
    mistakes.retain(|mistake| mistake.psk[..] != right_key[..]);
    mistakes
}

/// A secret that the device had before.
pub fn former(secret: &Secret) -> Mistake {
    Mistake::new(
        &psk(secret)[..],
        "the key fits a secret that the device had before; an operator or dynamic activation replaced it: \
         give the device its present one (narrowgate device secret)",
    )
}

/// The secret of another device.
pub fn of_another_device(secret: &Secret, name: &DeviceName) -> Mistake {
    let DeviceName { product_key, device_key } = name;
    let detail = format!(
        "the key fits the secret of another device, {product_key}/{device_key}; give this device its own, \
         and check which secret the other one has"
    );
    Mistake::new(&psk(secret)[..], detail)
}

fn owned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::DeviceId,
        model::product::{DynamicActivation, Profile},
    };

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
            unit_suspended: false,
            profile: Profile::Default,
            dynamic_activation: DynamicActivation::default(),
        }
    }

    fn identity(mode: SecureMode) -> Identity {
        let name = DeviceName { product_key: "MuGsF6W4".into(), device_key: "15bBZlRknc".into() };
        Identity { name, mode, lifetime_s: 3600 }
    }

    /// What is said about the key given in hex.
    #[track_caller]
    fn said_of(credentials: &Credentials, mode: SecureMode, key_hex: &str) -> String {
        let key = hex::decode(key_hex).expect("the test gives hex");
        let mistakes = candidates(credentials, &identity(mode));
        let fitting = mistakes.iter().find(|mistake| *mistake.psk == key);
        fitting.unwrap_or_else(|| panic!("{key_hex} is a candidate")).detail.clone().into_owned()
    }

    #[track_caller]
    fn said(mode: SecureMode, key_hex: &str) -> String {
        said_of(&credentials(), mode, key_hex)
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
        let digits = "d43bab56e58970df2e87da0cb9cad2c1fb7369531ce9644a805c36e5058c324b";
        for (key, words) in [
            ("d43bab56e58970df2e87da0cb9cad2c1", "start of the hash"),
            ("87da0cb9cad2c1fb7369531ce9644a80", "one byte too late"),
            ("df2e87da0cb9cad2c1fb7369531ce964", "one byte too early"),
            ("87da0cb9cad2c1fb7369531ce9644a", "has 15 bytes"),
            ("2e87da0cb9cad2c1fb7369531ce964", "has 15 bytes"),
            ("2e87da0cb9cad2c1fb7369531ce9644a80", "has 17 bytes"),
            ("fb7369531ce9644a805c36e5058c324b", "end of the hash"),
            (digits, "whole hash"),
            (&hex::encode("e58970df2e87da0c"), "hash's hex text"),
            (&hex::encode("E58970DF2E87DA0C"), "hash's hex text"),
            (&hex::encode(digits), "hex digits of the hash"),
            (&hex::encode(digits.to_uppercase()), "hex digits of the hash"),
            (&hex::encode(&digits[..32]), "hex digits of the hash"),
            (&hex::encode(&digits[..16]), "hex digits of the hash"),
            (&hex::encode("1DurVuWJcN8uh9oMucrSwftzaVMc6WRKgFw25QWMMks="), "base64 text of the hash"),
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
            ("2e87da0cb9cad2c1", "first half of the right key's hex text"),
            ("LofaDLnK0sH7c2lTHOlkSg==", "base64 text of the right key"),
            ("Z5YtZaQpK5IWocakV7zQ", "the secret itself"),
            ("Z5YtZaQpK5IWocak", "start of the secret itself"),
            ("WjVZdFphUXBLNUlXb2Nha1Y3elE=", "base64 text of the secret"),
        ] {
            assert!(said(SecureMode::DeviceSecret, &hex::encode(key)).contains(words), "{words}");
        }
        for (key, words) in [
            ("4a64e91c536973fbc1d2cab90cda872e", "in reverse order"),
            ("0cda872ec1d2cab9536973fb4a64e91c", "each 32-bit word"),
            ("00000000000000000000000000000000", "never set"),
            ("ffffffffffffffffffffffffffffffff", "erased"),
        ] {
            assert!(said(SecureMode::DeviceSecret, key).contains(words), "{words}");
        }
    }

    #[test]
    fn other_texts_than_the_secret_are_recognised() {
        // printf 'Z5YtZaQpK5IWocakV7zQ\n' | sha256sum | cut -c17-48, and so on.
        for (text, words) in [
            ("Z5YtZaQpK5IWocakV7zQ\n", "line end after it"),
            ("Z5YtZaQpK5IWocakV7zQ\r\n", "CR LF"),
            ("Z5YtZaQpK5IWocakV7zQ\0", "terminating NUL"),
            ("Z5YtZaQpK5IWocakV7zQ ", "space after it"),
            (" Z5YtZaQpK5IWocakV7zQ ", "spaces around it"),
            ("\"Z5YtZaQpK5IWocakV7zQ\"", "quotation marks"),
        ] {
            let key = psk(&Secret::new(text.to_owned()));
            assert!(said(SecureMode::DeviceSecret, &hex::encode(*key)).contains(words), "{words}");
        }
        for (key, words) in [
            ("982a32f108103bc54ee829a4f5e3c8ea", "carriage return after it"),
            ("8ee8248dbe42af4efc4211d904583a77", "space before it"),
            ("e2421dbe0527f4b527080aac1775a885", "tab after it"),
            ("7d8c8d70394f96c80ff542e14b9124c5", "quotation marks"),
            ("999d1780ab9f91b1fcca33927c33bbe9", "byte order mark"),
            ("19ea22cbc10f9c6f8c9ce134701349f2", "lower case"),
            ("ac0ed95e54ca1ee2a5f567474e4e8623", "upper case"),
            ("cc942f6272192e9e53034ccd10ab23ba", "hashed as hex text"),
            ("1eb2335b60d957e18465f607e868355e", "hash's hex text was hashed again"),
            ("a1a461e7564a3c2d4bdfe90d96591ba9", "the hash was hashed again"),
            ("8afeb2a1935bfd171418ec1672473270", "without its last character"),
            ("9afbf4c8996fb92427ae41e4649b934c", "empty secret"),
            ("3d29ef5c99eded5896af87ae40dcae98", "UTF-16"),
            ("4dee01769f4685e86fda15b9612a99bb", "not sizeof"),
            ("6cc5e487a30630cf582aeaea1d7c1ba3", "not sizeof"),
            ("e6e5a387aed74d235b4f2829860025b1", "the device's key was hashed"),
            ("4d1feeb246ef1230c434f29499c1e8bf", "the product's key was hashed"),
        ] {
            assert!(said(SecureMode::DeviceSecret, key).contains(words), "{words}");
        }
    }

    #[test]
    fn other_derivations_slips_and_orders_are_recognised() {
        for (key, words) in [
            ("634e387568396f4d756372537766747a", "base64 text of the hash"),
            ("57831b1148669f3913fce64c5c913ff9", "SHA-512"),
            ("35c4d0af4fa3b12457831b1148669f39", "SHA-512"),
            ("2d0211972d2ef5a63059f389448c5565", "SHA-384"),
            ("36570356f56f7a942d0211972d2ef5a6", "SHA-384"),
            ("b6702da0549d73686ff9480664a49c0a", "SHA-224"),
            ("9a820d25acfc96bbb6702da0549d7368", "SHA-224"),
            ("fc7afaf303a4c0fdaf91362e3f4e68e9", "HMAC-SHA256"),
            ("a69ec8f0d9f56295fc7afaf303a4c0fd", "HMAC-SHA256"),
            ("2f334d9c8d9da176ae2baa69cdd16215", "HMAC-SHA256"),
            ("4ba6dc55aabd0c232f334d9c8d9da176", "HMAC-SHA256"),
            ("03e1f2a1367c29ee76651e6818969c25", "HMAC-SHA256"),
            ("44fcd38e62478f8f03e1f2a1367c29ee", "HMAC-SHA256"),
            ("b47f02ae7ed92a8b0adf4e0af5085cad", "HMAC-SHA256"),
            ("c9ee594752b15993b47f02ae7ed92a8b", "HMAC-SHA256"),
            ("7c30c44abff4bb7c3bb0d10046f8856b", "product key and the secret"),
            ("8358fef9ba820a9f0de0473fcc2ffd2c", "secret and the product key"),
            ("c9e0a9dd54c58db4edde8930958fb215", "device key and the secret"),
            ("daed89f537b6a0d856d2cc50cd7cf69d", "identity was hashed"),
            ("d80af50d5116540d673431dcec85a79a", "asset id was hashed"),
            ("05d2b9ecca808ebb71c4d88bb6c8300b", "only the first 16 characters"),
            ("ecfe1d44505452ceae1e2009cd0199ed", "character 11 mistaken"),
            ("8d94c64e4a86fb462598afc5e1209cdf", "character 11 in the other case"),
            ("8c2dabe45837aeae87afd84c4514aaa2", "character 20 in the other case"),
            ("61c77881795fe00df6415c824816d66a", "characters 19 and 20 exchanged"),
            ("fb7369531ce9644a2e87da0cb9cad2c1", "halves"),
            ("872e0cdacab9c1d273fb5369e91c4a64", "16-bit"),
            ("c1d2cab90cda872e4a64e91c536973fb", "64-bit"),
            ("e278adc09bac2d1cbf379635c19e46a4", "hex digits of each byte exchanged"),
            ("2e87da0cb9cad2c1fb7369531ce9644a00000000000000000000000000000000", "filled with zeros"),
            ("2e87da0cb9cad2c1fb7369531ce9644a0000000000000000", "filled with zeros"),
            ("32653837646163623963616432633166623733363935333163653936343461", "%x"),
            ("3265666666666666383766666666666664613063666666666666623966666666", "negative numbers"),
            (
                "3265666666666666383766666666666664613063666666666666623966666666\
                 6666636166666666666664326666666666666331666666666666666237333639",
                "negative numbers",
            ),
            ("02e87dacb9cad2c1fb7369531ce9644a", "%x"),
            ("4c6f6661444c6e4b3073483763326c54484f6c6b5367", "base64"),
        ] {
            let said = said(SecureMode::DeviceSecret, key);
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn a_key_that_was_cut_at_its_zero_byte_is_recognised() {
        // printf secret-4 | sha256sum | cut -c17-48: 201807b500bdcdaeb6e5ac5159ec4394
        let device = Credentials { device_secret: Secret::new("secret-4".into()), ..credentials() };
        for (key, words) in [
            ("201807b5", "cut at its zero byte, byte 5 of 16"),
            ("201807b5000000000000000000000000", "byte 5 of 16, and filled with zeros"),
            ("201807b5bdcdaeb6e5ac5159ec4394", "lacks its zero bytes"),
        ] {
            let said = said_of(&device, SecureMode::DeviceSecret, key);
            assert!(said.contains(words), "{said}");
            assert_eq!(said.contains("narrowgate device reset"), key.len() != 30, "{said}");
        }
        let product = Credentials { product_secret: Secret::new("secret-4".into()), ..credentials() };
        let said = said_of(&product, SecureMode::ProductSecret, "201807b5");
        assert!(said.contains("libcoap 4.3.1") && !said.contains("device reset"), "{said}");
    }

    #[test]
    fn a_key_that_was_read_as_a_line_is_recognised() {
        // printf secret-1 | sha256sum | cut -c17-48: b6a2c67d0a9ec09bd718dadd7bfa8d6b
        let device = Credentials { device_secret: Secret::new("secret-1".into()), ..credentials() };
        let said = said_of(&device, SecureMode::DeviceSecret, "b6a2c67d");
        assert!(said.contains("cut at its byte 5, which is a line end"), "{said}");
    }

    #[test]
    fn a_secret_of_before_and_one_of_another_device_are_named() {
        let secret = Secret::new("Z5YtZaQpK5IWocakV7zQ".into());
        let former = former(&secret);
        assert!(former.detail.contains("had before"), "{}", former.detail);
        let name = DeviceName { product_key: "pk".into(), device_key: "dk".into() };
        let other = of_another_device(&secret, &name);
        assert!(other.detail.contains("another device, pk/dk;"), "{}", other.detail);
        for mistake in [former, other] {
            assert_eq!(hex::encode(&*mistake.psk), "2e87da0cb9cad2c1fb7369531ce9644a");
        }
    }

    #[test]
    fn the_right_key_is_never_called_a_mistake_and_the_number_is_bounded() {
        let long = ["l1I0Oab"; 18].concat();
        for secret in ["Z5YtZaQpK5IWocakV7zQ", "secret-4", "secret-1", "x", "", &long] {
            let same = Credentials {
                device_secret: Secret::new(secret.into()),
                product_secret: Secret::new(secret.into()),
                ..credentials()
            };
            for mode in [SecureMode::DeviceSecret, SecureMode::ProductSecret] {
                let mistakes = candidates(&same, &identity(mode));
                assert!((50..=CANDIDATES_MAX).contains(&mistakes.len()), "{}", mistakes.len());
                assert!(mistakes.iter().all(|mistake| mistake.psk[..] != psk(&same.device_secret)[..]));
                assert!(mistakes.iter().all(|mistake| mistake.detail.len() < 300));
            }
        }
    }
}
