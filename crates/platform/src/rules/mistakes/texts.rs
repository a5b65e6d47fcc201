//! The right derivation, from another text than the secret.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::{Mistake, owned};
use crate::{
    ids::DeviceName,
    rules::psk::{hash, middle},
    secret::Secret,
};

/// The key that belongs to some text.
pub(super) fn derived(text: &[u8], detail: impl Into<Cow<'static, str>>) -> Mistake {
    Mistake { psk: owned(&middle(&hash(text))[..]), detail: detail.into() }
}

/// The secret with something around it.
pub(super) fn around(secret: &Secret) -> Vec<Mistake> {
    let around: [(&str, &str, &'static str); 12] = [
        ("", "\n", "the secret was hashed with a line end after it; hash it without (echo -n, printf %s)"),
        ("", "\r\n", "the secret was hashed with a line end (CR LF) after it; hash it without"),
        ("", "\r", "the secret was hashed with a carriage return after it; hash it without"),
        ("", "\0", "the secret was hashed with its terminating NUL; hash strlen bytes"),
        ("", " ", "the secret was hashed with a space after it; hash it without"),
        (" ", "", "the secret was hashed with a space before it; hash it without"),
        (" ", " ", "the secret was hashed with spaces around it; hash it without"),
        ("", "\t", "the secret was hashed with a tab after it; hash it without"),
        ("\"", "\"", "the secret was hashed with quotation marks around it; hash it without"),
        ("'", "'", "the secret was hashed with quotation marks around it; hash it without"),
        ("\u{feff}", "", "the secret was hashed with a byte order mark before it; hash it without"),
        ("", ",", "the secret was hashed with a comma after it; hash it without"),
    ];
    let text = |(before, after, detail): (&str, &str, &'static str)| {
        let text = Zeroizing::new([before, secret.expose(), after].concat());
        derived(text.as_bytes(), detail)
    };
    around.map(text).into()
}

/// Other texts made of the secret.
pub(super) fn instead(secret: &Secret) -> Vec<Mistake> {
    let text = secret.expose();
    let bytes = text.as_bytes();
    let hashed = hash(bytes);
    let own = |text: String| Zeroizing::new(text.into_bytes());
    let texts: [(Zeroizing<Vec<u8>>, &'static str); 8] = [
        (own(text.to_ascii_lowercase()), "the secret was hashed in lower case; hash it as it is"),
        (own(text.to_ascii_uppercase()), "the secret was hashed in upper case; hash it as it is"),
        (own(hex::encode(bytes)), "the secret was hashed as hex text; hash its characters themselves"),
        (
            own(hex::encode(*hashed)),
            "the hash's hex text was hashed again; hash the secret once, and take bytes 9 to 24 of the hash",
        ),
        (
            owned(&hashed[..]),
            "the hash was hashed again; hash the secret once, and take bytes 9 to 24 of the hash",
        ),
        (
            owned(&bytes[..bytes.len().saturating_sub(1)]),
            "the secret was hashed without its last character; check the size of the buffer it is copied \
             to",
        ),
        (
            owned(b""),
            "nothing was hashed: the key is the one of an empty secret; check whether the secret was loaded",
        ),
        (
            Zeroizing::new(bytes.iter().flat_map(|byte| [*byte, 0]).collect()),
            "the secret was hashed as UTF-16, with two bytes for each character; hash it as ASCII",
        ),
    ];
    let mut mistakes: Vec<Mistake> = texts.iter().map(|(text, detail)| derived(text, *detail)).collect();
    for size in [32, 64, 128, 256] {
        if bytes.len() + 1 < size {
            let mut buffer = owned(bytes);
            buffer.resize(size, 0);
            mistakes.push(derived(
                &buffer,
                "the secret was hashed with the zeros that fill its buffer; hash strlen bytes, not sizeof",
            ));
        }
    }
    mistakes
}

/// Names in place of the secret.
pub(super) fn names(name: &DeviceName) -> Vec<Mistake> {
    [
        (&name.device_key, "the device's key was hashed instead of its secret; hash the secret"),
        (&name.product_key, "the product's key was hashed instead of a secret; hash the secret"),
    ]
    .map(|(text, detail)| derived(text.as_bytes(), detail))
    .into()
}
