//! Names and secrets: which ones are accepted, and how new ones are made (device protocol, section 1).
//!
//! | item | generated | accepted when imported |
//! |---|---|---|
//! | product key | 8 of `[A-Za-z0-9]` | 1-128 printable ASCII without space and comma |
//! | product secret | 11 of `[A-Za-z0-9]` | 1-128 printable ASCII |
//! | device key | 10 of `[A-Za-z0-9]` | as the product key |
//! | device secret | 20 of `[A-Za-z0-9]` | as the product secret |
//! | asset id | 8 of `[A-Za-z0-9]` | never imported |
//!
//! A comma separates the fields of an identity, which has no spaces: a key with either could never log in.
//!
//! Generated secrets are drawn again while their key has a zero byte: shells, `strlen` and libcoap 4.3.1
//! cut it there. One secret in 16 is thrown away, which costs 0.09 bit.

use crate::{ports::Entropy, rules::psk::psk, secret::Secret};

/// Longest imported key or secret, in characters.
pub const IMPORTED_CHARACTERS_MAX: usize = 128;
/// Longest display name of a product or a device, in characters.
pub const DISPLAY_NAME_CHARACTERS_MAX: usize = 128;
/// Secrets that are estimated to have fewer bits than this can be guessed offline from one recorded handshake
/// (RFC 9257, section 4.2).
pub const SECRET_BITS_ENOUGH: u32 = 128;

const DEVICE_SECRET_CHARACTERS: usize = 20;
const DEVICE_SECRET_BITS: u32 = 119;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Why a name or a secret is not accepted. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is longer than allowed.
    #[error("has {characters} characters; at most {characters_max} are allowed")]
    TooLong {
        /// How many it has.
        characters: usize,
        /// How many it may have.
        characters_max: usize,
    },
    /// It is `.` or `..`.
    #[error("is . or .., which is no part of a path: browsers and other clients take it for another one")]
    Dots,
    /// One of its characters is not allowed.
    #[error("has {} at character {position}; {allowed}", describe(*character))]
    Character {
        /// The first such character.
        character: char,
        /// Where it stands, counted from 1.
        position: usize,
        /// Which ones are allowed, in words.
        allowed: &'static str,
    },
}

fn describe(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        ',' => "a comma".to_owned(),
        '\n' | '\r' => "a line end".to_owned(),
        '\t' => "a tab".to_owned(),
        _ if character.is_ascii_graphic() => format!("{character:?}"),
        _ => format!("U+{:04X}", u32::from(character)),
    }
}

/// Whether a byte may stand in a product key or a device key.
pub fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b','
}

/// Checks a product key or a device key that somebody chose.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_key(key: &str) -> Result<(), NameError> {
    const ALLOWED: &str = "keys are made of printable ASCII without spaces and commas";
    check(key, IMPORTED_CHARACTERS_MAX, ALLOWED, |character| u8::try_from(character).is_ok_and(is_key_byte))
}

/// Checks a product key or a device key that is to be registered. What is called `.` or `..` could not be
/// asked for by a path: clients resolve it before they ask (RFC 3986, section 5.2.4).
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_new_key(key: &str) -> Result<(), NameError> {
    if matches!(key, "." | "..") { Err(NameError::Dots) } else { check_key(key) }
}

/// Checks a secret that somebody chose. The error never contains more of it than one character that cannot be
/// part of a secret.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_secret(secret: &str) -> Result<(), NameError> {
    const ALLOWED: &str = "secrets are made of printable ASCII";
    check(secret, IMPORTED_CHARACTERS_MAX, ALLOWED, |character| matches!(character, ' '..='~'))
}

/// Checks a name for people: any text of one line, or none.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_display_name(name: &str) -> Result<(), NameError> {
    const ALLOWED: &str = "names have no control characters";
    if name.is_empty() {
        return Ok(());
    }
    check(name, DISPLAY_NAME_CHARACTERS_MAX, ALLOWED, |character| !character.is_control())
}

/// Checks the name of a user: printable ASCII, letters of one script beside it, and single spaces between
/// these. So hardly any two names look the same: no marks, nothing invisible, and no Cyrillic letter among
/// Latin ones.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_user_name(name: &str) -> Result<(), NameError> {
    const ALLOWED: &str = "names of users are made of printable ASCII and letters of one script, with single \
                           spaces between these";
    check(name, DISPLAY_NAME_CHARACTERS_MAX, ALLOWED, |character| {
        matches!(character, ' '..='~') || character.is_alphabetic()
    })?;
    let wrong = |(position, character)| NameError::Character { character, position, allowed: ALLOWED };
    let around = [' '].into_iter().chain(name.chars()).zip(name.chars().chain([' ']));
    if let Some((position, _)) = (1..).zip(around).find(|(_, around)| *around == (' ', ' ')) {
        return Err(wrong((position.min(name.chars().count()), ' ')));
    }
    let mut letters = (1..).zip(name.chars()).filter(|(_, character)| character.is_alphabetic());
    let is_latin = letters.next().is_some_and(|(_, first)| is_latin(first));
    letters.find(|(_, letter)| self::is_latin(*letter) != is_latin).map_or(Ok(()), |other| Err(wrong(other)))
}

fn is_latin(letter: char) -> bool {
    matches!(letter, 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

fn check(
    text: &str,
    characters_max: usize,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let characters = text.chars().count();
    if characters > characters_max {
        return Err(NameError::TooLong { characters, characters_max });
    }
    match text.chars().zip(1..).find(|(character, _)| !is_allowed(*character)) {
        Some((character, position)) => Err(NameError::Character { character, position, allowed }),
        None => Ok(()),
    }
}

/// A new product key.
pub fn new_product_key(entropy: &dyn Entropy) -> String {
    alphanumeric(&mut |out| entropy.fill(out), 8)
}

/// A new key of an organisation unit: `o` and 14 digits.
pub fn new_ou(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    // Of 2^64 numbers each 14 digits come as often as any other, but for one in 180,000.
    format!("o{:014}", u64::from_le_bytes(bytes) % 100_000_000_000_000)
}

/// Whether a text has the form of such a key.
pub fn is_ou(text: &str) -> bool {
    let digits = text.strip_prefix('o').unwrap_or_default();
    digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A new product secret: 65 bits, because the protocol fixes its form. Its key has no zero byte.
pub fn new_product_secret(entropy: &dyn Entropy) -> Secret {
    without_zero_byte(&mut |out| entropy.fill(out), 11)
}

/// A new device key.
pub fn new_device_key(entropy: &dyn Entropy) -> String {
    alphanumeric(&mut |out| entropy.fill(out), 10)
}

/// A new device secret: 119 bits, because the protocol fixes its form. Its key has no zero byte.
pub fn new_device_secret(entropy: &dyn Entropy) -> Secret {
    draw_device_secret(&mut |out| entropy.fill(out))
}

/// The same, from any function that fills a slice with unpredictable bytes.
pub fn draw_device_secret(fill: &mut dyn FnMut(&mut [u8])) -> Secret {
    without_zero_byte(fill, DEVICE_SECRET_CHARACTERS)
}

/// Whether a secret is no weaker than one that [`new_device_secret`] makes: it has its form, or at least its
/// bits. An estimate for a generated one is lower where a kind of character or variety happens to be missing,
/// which costs it a few bits.
pub fn is_as_generated(secret: &Secret) -> bool {
    let text = secret.expose().as_bytes();
    let has_form = text.len() == DEVICE_SECRET_CHARACTERS && text.iter().all(u8::is_ascii_alphanumeric);
    estimated_bits(secret) >= if has_form { DEVICE_SECRET_BITS - 19 } else { DEVICE_SECRET_BITS }
}

/// A new asset id.
pub fn new_asset_id(entropy: &dyn Entropy) -> String {
    alphanumeric(&mut |out| entropy.fill(out), 8)
}

/// Draws until the key of the secret has no zero byte, since some clients handle it as text.
fn without_zero_byte(fill: &mut dyn FnMut(&mut [u8]), characters: usize) -> Secret {
    // Each is good with a probability of 0.94. The bound is for a broken source that returns the same bytes
    // for ever.
    const DRAWS_MAX: usize = 64;
    let mut secret = Secret::new(alphanumeric(fill, characters));
    for _ in 1..DRAWS_MAX {
        if zero_byte(&secret).is_none() {
            break;
        }
        secret = Secret::new(alphanumeric(fill, characters));
    }
    secret
}

/// Where the key of this secret has its first zero byte, counted from 1.
pub fn zero_byte(secret: &Secret) -> Option<usize> {
    Some(psk(secret).iter().position(|byte| *byte == 0)? + 1)
}

fn alphanumeric(fill: &mut dyn FnMut(&mut [u8]), characters: usize) -> String {
    // Bytes from 248 on are thrown away: 248 is the greatest multiple of 62 in a byte, so all characters are
    // equally likely.
    const UNBIASED: u8 = 248;
    // Allocated at its final size: a string that grows leaves a copy of the secret behind.
    let mut text = String::with_capacity(characters);
    let mut random = zeroize::Zeroizing::new([0_u8; 32]);
    while text.len() < characters {
        fill(&mut random[..]);
        let wanted = characters - text.len();
        let drawn = random.iter().filter(|byte| **byte < UNBIASED).take(wanted);
        text.extend(drawn.map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    text
}

/// A rough upper estimate of a secret's bits: each character counts as one of the kinds of characters that
/// occur, except that one which goes on as the three before it did (`aaaa`, `3456`, `dcba`) counts one bit.
/// Words are not recognised.
pub fn estimated_bits(secret: &Secret) -> u32 {
    let bytes = secret.expose().as_bytes();
    let mut kinds: f64 = 0.0;
    for (characters, occurs) in [
        (10.0, bytes.iter().any(u8::is_ascii_digit)),
        (26.0, bytes.iter().any(u8::is_ascii_lowercase)),
        (26.0, bytes.iter().any(u8::is_ascii_uppercase)),
        (33.0, bytes.iter().any(|byte| !byte.is_ascii_alphanumeric())),
    ] {
        if occurs {
            kinds += characters;
        }
    }
    let is_hex = |also: fn(u8) -> bool| bytes.iter().all(|byte| byte.is_ascii_digit() || also(*byte));
    if kinds > 16.0
        && (is_hex(|byte| matches!(byte, b'a'..=b'f')) || is_hex(|byte| matches!(byte, b'A'..=b'F')))
    {
        kinds = 16.0;
    }
    let goes_on = |run: &&[u8]| {
        let step = i16::from(run[1]) - i16::from(run[0]);
        step.abs() <= 1 && run.windows(2).all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == step)
    };
    let predictable = bytes.windows(4).filter(goes_on).count();
    let free = bytes.len() - predictable;
    (free as f64 * f64::log2(kinds.max(1.0)) + predictable as f64) as u32
}

/// What to tell an operator whose secret has too few bits; `None` if it has enough.
pub fn weakness(secret: &Secret) -> Option<String> {
    let bits = estimated_bits(secret);
    (bits < SECRET_BITS_ENOUGH).then(|| {
        format!(
            "the secret has about {bits} bits; below {SECRET_BITS_ENOUGH} it may be guessed offline from one \
             recorded handshake"
        )
    })
}

/// What to tell an operator about a secret whose key has a zero byte; `None` if it has none.
pub fn cut_by_text(secret: &Secret) -> Option<String> {
    zero_byte(secret).map(|position| {
        format!(
            "byte {position} of the key that belongs to the secret is zero; clients that take the key as \
             text (libcoap 4.3.1, shells, strlen) cut it there"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicU64, Ordering},
    };

    use proptest::prelude::*;

    use super::*;
    use crate::testing::SeededEntropy;

    /// All byte values in turn: what a perfect random source gives on average.
    struct Counting(AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) {
            for byte in out {
                *byte = self.0.fetch_add(1, Ordering::Relaxed) as u8;
            }
        }
    }

    #[test]
    fn generated_names_have_the_lengths_and_characters_that_the_protocol_fixes() {
        let entropy = Counting(AtomicU64::new(7));
        let names = [
            (new_product_key(&entropy), 8),
            (new_product_secret(&entropy).expose().to_owned(), 11),
            (new_device_key(&entropy), 10),
            (new_device_secret(&entropy).expose().to_owned(), 20),
            (new_asset_id(&entropy), 8),
        ];
        for (name, length) in names {
            assert_eq!(name.len(), length, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        }
    }

    #[test]
    fn no_character_is_likelier_than_another() {
        let entropy = Counting(AtomicU64::new(0));
        let text = alphanumeric(&mut |out| entropy.fill(out), 62 * 4 * 3);
        let distinct: BTreeSet<char> = text.chars().collect();
        assert_eq!(distinct.len(), 62);
        for character in distinct {
            assert_eq!(text.chars().filter(|other| *other == character).count(), 12, "{character}");
        }
    }

    #[test]
    fn generated_secrets_have_keys_without_a_zero_byte() {
        let entropy = SeededEntropy::new(3);
        for _ in 0..1000 {
            for secret in [new_product_secret(&entropy), new_device_secret(&entropy)] {
                assert!(!psk(&secret).contains(&0), "{}", secret.expose());
            }
        }
    }

    #[test]
    fn a_source_that_gives_the_same_for_ever_is_not_asked_for_ever() {
        // printf 'CCCCCCCCCCC' | sha256sum: a zero byte in the key, and the same again whenever it is drawn.
        struct Stuck;
        impl Entropy for Stuck {
            fn fill(&self, out: &mut [u8]) {
                out.fill(2);
            }
        }
        assert!(zero_byte(&new_product_secret(&Stuck)).is_some());
    }

    #[test]
    fn a_brought_secret_whose_key_has_a_zero_byte_is_flagged() {
        // printf secret-4 | sha256sum | cut -c17-48
        let flagged = Secret::new("secret-4".to_owned());
        assert_eq!(zero_byte(&flagged), Some(5));
        assert!(cut_by_text(&flagged).is_some_and(|text| text.starts_with("byte 5 of the key ")));
        assert_eq!(cut_by_text(&Secret::new("Z5YtZaQpK5IWocakV7zQ".to_owned())), None);
    }

    #[test]
    fn an_error_says_which_character_and_where() {
        let said = |result: Result<(), NameError>| result.unwrap_err().to_string();
        assert_eq!(said(check_key("")), "is empty");
        assert_eq!(said(check_key(&"k".repeat(129))), "has 129 characters; at most 128 are allowed");
        assert!(said(check_key("ab,c")).starts_with("has a comma at character 3; "));
        assert!(said(check_key("ab c")).starts_with("has a space at character 3; "));
        assert!(said(check_key("abc\n")).starts_with("has a line end at character 4; "));
        assert!(said(check_key("zähler")).starts_with("has U+00E4 at character 2; "));
        assert!(said(check_secret("abc\u{7f}")).starts_with("has U+007F at character 4; "));
        assert!(said(check_display_name("a\u{1b}[0m")).starts_with("has U+001B at character 2; "));
    }

    #[test]
    fn imported_names_of_any_length_up_to_the_limit_are_accepted() {
        for key in ["a", "15bBZlRknc", "867725030096431", "a/b", "=cmd()", "<b>'\"", &"k".repeat(128)] {
            assert_eq!((check_key(key), check_new_key(key)), (Ok(()), Ok(())), "{key}");
        }
        assert_eq!([".", "..", "..."].map(|key| check_new_key(key).is_ok()), [false, false, true]);
        for secret in ["x", "with space, and comma", &"s".repeat(128)] {
            assert_eq!(check_secret(secret), Ok(()), "{secret}");
        }
        for name in ["", "Zähler 7 «Küche»", &"ä".repeat(128)] {
            assert_eq!(check_display_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn attack_083_weak_imported_secrets_are_flagged() {
        for (secret, bits) in [
            ("1", 3),
            ("12345678", 14),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 41),
            ("c3PW03srd6c", 65),
            ("Z5YtZaQpK5IWocakV7zQ", 119),
            ("0f8c3e71a5d2964b0f8c3e71a5d2964", 124),
        ] {
            let secret = Secret::new(secret.to_owned());
            assert_eq!(estimated_bits(&secret), bits, "{}", secret.expose());
            assert!(weakness(&secret).is_some_and(|text| text.contains(&format!("about {bits} bits"))));
        }
        for secret in ["0f8c3e71a5d2964b0f8c3e71a5d2964b", "Z5YtZaQpK5IWocakV7zQx8", "k7%Tq!z9.Lw(2}Vb@e1&"] {
            assert_eq!(weakness(&Secret::new(secret.to_owned())), None, "{secret}");
        }
    }

    #[test]
    fn a_secret_is_as_good_as_a_generated_one_by_its_form_or_its_bits() {
        let judged = |secret: &str| is_as_generated(&Secret::new(secret.to_owned()));
        for secret in [
            "Z5YtZaQpK5IWocakV7zQ",
            "abQpKLIWocakVXzQbcde",
            "0f8c3e71a5d2964b0f8c3e71a5d2964",
            "k7%Tq!z9.Lw(2}Vb@e1&",
        ] {
            assert!(judged(secret), "{secret}");
        }
        for secret in
            ["1", "c3PW03srd6c", "12345678901234567890", "aaaaaaaaaaaaaaaaaaaa", "Z5YtZaQpK5IWocakV7z"]
        {
            assert!(!judged(secret), "{secret}");
        }
        let entropy = crate::testing::SeededEntropy::new(1);
        assert!((0..1000).all(|_| is_as_generated(&new_device_secret(&entropy))));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
            let _ = (check_key(&text), check_secret(&text), check_display_name(&text));
            let _ = estimated_bits(&Secret::new(text));
        }

        #[test]
        fn an_accepted_key_has_only_bytes_that_an_identity_can_carry(text in ".{0,20}|[ -~]{0,20}") {
            if check_key(&text).is_ok() {
                prop_assert!(text.bytes().all(is_key_byte));
            }
        }
    }

    #[test]
    fn names_of_users_do_not_look_the_same() {
        for name in [
            "ann",
            "Ann",
            "a",
            "a.b_c-d@e+f",
            "auth0|1",
            "Bj\u{f6}rn",
            "Ann B. Lee",
            "o'neil",
            "\u{43e}\u{43b}\u{44f} 2",
        ] {
            assert_eq!(check_user_name(name), Ok(()), "{name}");
        }
        for (name, at) in [
            (" ann", 1),
            ("ann ", 4),
            ("a  b", 3),
            ("b\u{43e}ss", 2),
            ("\u{43e}b", 2),
            ("b\u{202e}oss", 2),
            ("a\u{308}", 2),
            ("a\u{a0}b", 2),
            ("a\u{200b}b", 2),
            ("a\tb", 2),
            ("\u{ff41}nn", 2),
        ] {
            let refused = check_user_name(name);
            assert!(
                matches!(refused, Err(NameError::Character { position, .. }) if position == at),
                "{name:?} {refused:?}"
            );
        }
        assert_eq!(check_user_name(""), Err(NameError::Empty));
    }
}
