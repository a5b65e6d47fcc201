//! The PSK identity `{ProductKey},{DeviceKey},{SecureMode},{Lifetime}` (device protocol, section 2).
//!
//! Compared as bytes, never decoded, trimmed or case-folded. The first fault in this order counts: form of
//! the whole (`identity_malformed`), mode (`mode_unknown`), lifetime (`lifetime_out_of_range`).

use std::fmt;

use crate::{
    ids::DeviceName,
    model::log::Reason,
    rules::{
        names::{self, IMPORTED_CHARACTERS_MAX},
        refusal::Refusal,
    },
};

/// Longest identity that can be valid, in bytes: two imported keys, three commas, the mode and five digits.
pub const IDENTITY_BYTES_MAX: usize = 2 * IMPORTED_CHARACTERS_MAX + 9;
/// Shortest lifetime, in seconds.
pub const LIFETIME_S_MIN: u32 = 30;
/// Longest lifetime, in seconds.
pub const LIFETIME_S_MAX: u32 = 86_400;

/// Whose secret a session proves, and so what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecureMode {
    /// `2`: the device's secret; everything.
    DeviceSecret,
    /// `3`: the product's secret; only asking for the device's.
    ProductSecret,
}

impl SecureMode {
    /// The digit in the identity.
    pub fn digit(self) -> char {
        match self {
            Self::DeviceSecret => '2',
            Self::ProductSecret => '3',
        }
    }
}

/// A well-formed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who the client claims to be.
    pub name: DeviceName,
    /// Whose secret the client proves.
    pub mode: SecureMode,
    /// Silence after which the device is offline, seconds; 30 to 86400.
    pub lifetime_s: u32,
}

/// Why an identity is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFault {
    /// `IdentityMalformed`, `ModeUnknown` or `LifetimeOutOfRange`, in printable ASCII of about 150 characters
    /// at most.
    pub refusal: Refusal,
    /// The two keys, where they could be read: the refusal then belongs in the log of that device, if there
    /// is one.
    pub name: Option<DeviceName>,
}

impl Identity {
    /// Reads the identity that a client sent.
    ///
    /// # Errors
    /// The first fault, in the order of the module's description.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityFault> {
        let malformed = |mut detail: String| {
            let name = meant(bytes);
            if name.is_some() {
                detail += "; without blanks, line ends and NULs around its fields it would be valid";
            }
            IdentityFault { refusal: Refusal::new(Reason::IdentityMalformed, detail), name }
        };
        let [product_key, device_key, mode, lifetime] = split(bytes).map_err(malformed)?;
        let mode = match mode {
            "2" => Ok(SecureMode::DeviceSecret),
            "3" => Ok(SecureMode::ProductSecret),
            _ if is_integer(mode) => Err((
                Reason::ModeUnknown,
                format!(
                    "the secure mode is {}; it must be 2 (device secret) or 3 (product secret)",
                    shown(mode)
                ),
            )),
            _ => {
                return Err(malformed(format!(
                    "the third field, the secure mode, is {}; it must be 2 or 3",
                    shown(mode)
                )));
            }
        };
        let name = DeviceName { product_key: product_key.to_owned(), device_key: device_key.to_owned() };
        let checked = mode.and_then(|mode| Ok((mode, parse_lifetime(lifetime)?)));
        match checked {
            Ok((mode, lifetime_s)) => Ok(Self { name, mode, lifetime_s }),
            Err((reason, mut detail)) => {
                if bytes.starts_with(b"\"") && bytes.ends_with(b"\"") {
                    detail += "; the identity stands in quotation marks: send it without them";
                }
                Err(IdentityFault { refusal: Refusal::new(reason, detail), name: Some(name) })
            }
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mode, lifetime_s } = self;
        write!(f, "{},{},{},{lifetime_s}", name.product_key, name.device_key, mode.digit())
    }
}

/// The keys of a malformed identity that is a good one with something around its fields: a terminating NUL,
/// the line end of a configuration file, a blank behind a comma. Only for the log: it admits nobody.
fn meant(bytes: &[u8]) -> Option<DeviceName> {
    let text = std::str::from_utf8(bytes.get(..IDENTITY_BYTES_MAX).unwrap_or(bytes)).ok()?;
    let fields: Vec<&str> =
        text.split(',').map(|field| field.trim_matches([' ', '\t', '\r', '\n', '\0'])).collect();
    let clean = fields.join(",");
    if clean == text { None } else { Identity::parse(clean.as_bytes()).ok().map(|identity| identity.name) }
}

/// The four fields, if there are four, the keys are not empty, and every byte is one that an identity can
/// have.
fn split(bytes: &[u8]) -> Result<[&str; 4], String> {
    const FORM: &str = "it must be ProductKey,DeviceKey,SecureMode,Lifetime";
    if bytes.is_empty() {
        return Err(format!("the identity is empty; {FORM}"));
    }
    if bytes.len() > IDENTITY_BYTES_MAX {
        return Err(format!(
            "the identity has {} bytes; at most {IDENTITY_BYTES_MAX} can be valid",
            bytes.len()
        ));
    }
    if let Some(what) = other_text(bytes) {
        return Err(format!("the identity {what}; {FORM}"));
    }
    if let Some(at) = bytes.iter().position(|byte| !names::is_key_byte(*byte) && *byte != b',') {
        let what = match bytes[at] {
            b' ' => "a space".to_owned(),
            0 => "a NUL".to_owned(),
            b'\n' => "a line feed".to_owned(),
            b'\r' => "a carriage return".to_owned(),
            byte => format!("the byte 0x{byte:02x}"),
        };
        return Err(format!(
            "the identity has {what} at byte {}; only printable ASCII without spaces is allowed",
            at + 1
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the identity is not ASCII".to_owned())?;
    let mut fields = text.split(',');
    let mut next = || fields.next().unwrap_or_default();
    let four = [next(), next(), next(), next()];
    let count = 1 + bytes.iter().filter(|byte| **byte == b',').count();
    if count == 1 && percent_commas(text) == 3 {
        return Err(format!("the identity is percent-encoded (%2C for a comma); send it as it is: {FORM}"));
    }
    if count != 4 {
        return Err(format!("the identity has {count} field{}; {FORM}", if count == 1 { "" } else { "s" }));
    }
    for (key, what) in four.iter().zip(["product key", "device key"]) {
        match names::check_key(key) {
            Ok(()) => {}
            Err(fault) => return Err(format!("the {what} of the identity {fault}")),
        }
    }
    Ok(four)
}

/// What an identity in another encoding is.
fn other_text(bytes: &[u8]) -> Option<&'static str> {
    let has = |piece: &[u8]| bytes.windows(piece.len()).any(|window| window == piece);
    let zeros = |first: usize| {
        let mut every_other = bytes.iter().skip(first).step_by(2);
        bytes.len() >= 8 && bytes.len().is_multiple_of(2) && every_other.all(|byte| *byte == 0)
    };
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => Some("begins with a byte order mark (EF BB BF); send it without"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16; send ASCII"),
        _ if zeros(0) || zeros(1) => Some("is UTF-16; send ASCII"),
        _ if has("\u{ff0c}".as_bytes()) => Some("has a full-width comma (U+FF0C); send the plain one, 0x2C"),
        _ => None,
    }
}

fn percent_commas(text: &str) -> usize {
    text.as_bytes().windows(3).filter(|window| window.eq_ignore_ascii_case(b"%2c")).count()
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_lifetime(text: &str) -> Result<u32, (Reason, String)> {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    // A number too long for a u32 is out of range too.
    let seconds = if plain { text.parse::<u32>().ok() } else { None };
    match seconds {
        Some(seconds) if (LIFETIME_S_MIN..=LIFETIME_S_MAX).contains(&seconds) => Ok(seconds),
        _ => {
            let form = if plain { "" } else { "a plain decimal number, " };
            let detail = format!(
                "the lifetime is {}; it must be {form}{LIFETIME_S_MIN} to {LIFETIME_S_MAX} seconds",
                shown(text)
            );
            Err((Reason::LifetimeOutOfRange, detail))
        }
    }
}

/// A field (printable ASCII by now) as a detail text shows it: cut, so that texts stay short.
fn shown(field: &str) -> String {
    const CHARACTERS_MAX: usize = 24;
    match field.get(..CHARACTERS_MAX) {
        _ if field.is_empty() => "empty".to_owned(),
        Some(start) if field.len() > CHARACTERS_MAX => format!("{start}…"),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an identity is refused for.
    #[derive(Debug)]
    struct Fault {
        reason: Reason,
        name: Option<DeviceName>,
        detail: String,
    }

    #[track_caller]
    fn refused(bytes: &[u8]) -> Fault {
        let IdentityFault { refusal, name } = Identity::parse(bytes).expect_err("it is refused");
        let reason = refusal.reason.expect("a fault of an identity has a name");
        Fault { reason, name, detail: refusal.detail.into_owned() }
    }

    #[test]
    fn the_example_of_the_protocol_is_read() {
        let identity = Identity::parse(b"MuGsF6W4,15bBZlRknc,2,3600").expect("it is valid");
        assert_eq!(
            identity.name,
            DeviceName { product_key: "MuGsF6W4".into(), device_key: "15bBZlRknc".into() }
        );
        assert_eq!((identity.mode, identity.lifetime_s), (SecureMode::DeviceSecret, 3600));
        assert_eq!(identity.to_string(), "MuGsF6W4,15bBZlRknc,2,3600");
        assert_eq!(Identity::parse(b"p,d,3,30").map(|identity| identity.mode), Ok(SecureMode::ProductSecret));
    }

    #[test]
    fn attack_071_to_074_whatever_does_not_have_four_good_fields_is_malformed() {
        let commas = [b','; 10_000];
        let long = format!("{},dk,2,60", "k".repeat(129));
        let longer = [b'k'; 65_535];
        let cases: [&[u8]; 13] = [
            b"",
            b"pk",
            b"pk,dk",
            b"pk,dk,2",
            b"pk,dk,2,60,",
            b"pk,dk,2,60,1",
            b",,,",
            b"pk,,2,60",
            b",dk,2,60",
            &commas,
            long.as_bytes(),
            &longer,
            b"pk,d k,2,60",
        ];
        for bytes in cases {
            let fault = refused(bytes);
            assert_eq!(fault.reason, Reason::IdentityMalformed, "{}", fault.detail);
            assert_eq!(fault.name, None);
            assert!(fault.detail.len() < 200, "{}", fault.detail);
        }
    }

    #[test]
    fn a_good_identity_with_something_around_it_is_refused_into_the_log_of_its_device() {
        for (bytes, what) in [
            (&b"pk,dk,2,60\0"[..], "a NUL at byte 11; "),
            (b"pk,dk,2,60\n", "a line feed at byte 11; "),
            (b"pk,dk,2,60\r\n", "a carriage return at byte 11; "),
            (b"pk,dk\0\0,2,60", "a NUL at byte 6; "),
            (b" pk,dk,2,60", "a space at byte 1; "),
            (b"pk, dk, 2, 60", "a space at byte 4; "),
        ] {
            let fault = refused(bytes);
            assert_eq!(fault.reason, Reason::IdentityMalformed);
            assert_eq!(fault.name.map(|name| name.device_key).as_deref(), Some("dk"), "{bytes:?}");
            assert!(fault.detail.contains(what) && fault.detail.len() < 200, "{}", fault.detail);
            assert!(fault.detail.ends_with("around its fields it would be valid"), "{}", fault.detail);
        }
    }

    #[test]
    fn attack_075_modes_other_than_exactly_2_and_3_are_refused() {
        for mode in ["0", "1", "4", "-1", "+2", "02", "22", "18446744073709551616"] {
            let fault = refused(format!("pk,dk,{mode},60").as_bytes());
            assert_eq!(fault.reason, Reason::ModeUnknown, "{mode}: {}", fault.detail);
            assert_eq!(fault.name.map(|name| name.device_key), Some("dk".to_owned()), "{mode}");
        }
        for mode in ["", "x", "2.0", "2 ", " 2", "\u{ff12}", "0x2", "-"] {
            let fault = refused(format!("pk,dk,{mode},60").as_bytes());
            assert_eq!(fault.reason, Reason::IdentityMalformed, "{mode}: {}", fault.detail);
        }
    }

    #[test]
    fn attack_076_lifetimes_are_plain_decimal_numbers_from_30_to_86400() {
        for (lifetime, seconds) in
            [("30", 30), ("31", 31), ("3600", 3600), ("86399", 86_399), ("86400", 86_400)]
        {
            assert_eq!(
                Identity::parse(format!("pk,dk,2,{lifetime}").as_bytes()).map(|identity| identity.lifetime_s),
                Ok(seconds)
            );
        }
        let faults = [
            "",
            "0",
            "00",
            "29",
            "86401",
            "-1",
            "+60",
            "060",
            "60.0",
            "1e3",
            "0x3c",
            "sixty",
            "9223372036854775808",
            "99999999999999999999999999999999999999",
        ];
        for lifetime in faults {
            let fault = refused(format!("pk,dk,2,{lifetime}").as_bytes());
            assert_eq!(fault.reason, Reason::LifetimeOutOfRange, "{lifetime}: {}", fault.detail);
            assert!(fault.name.is_some(), "{lifetime}");
        }
        assert_eq!(refused(b"pk,dk,2,29").detail, "the lifetime is 29; it must be 30 to 86400 seconds");
        assert_eq!(
            refused(b"pk,dk,2,060").detail,
            "the lifetime is 060; it must be a plain decimal number, 30 to 86400 seconds"
        );
    }

    #[test]
    fn attack_078_keys_are_compared_as_bytes_and_never_decoded() {
        for (bytes, product_key) in
            [(&b"PK1,d,2,60"[..], "PK1"), (b"pk1,d,2,60", "pk1"), (b"%70k1,d,2,60", "%70k1")]
        {
            assert_eq!(
                Identity::parse(bytes).map(|identity| identity.name.product_key),
                Ok(product_key.to_owned())
            );
        }
        for text in ["p\u{e9},d,2,60", "pe\u{301},d,2,60"] {
            assert_eq!(refused(text.as_bytes()).reason, Reason::IdentityMalformed);
        }
        assert_eq!(
            refused(b"pk\xff,d,2,60").detail,
            "the identity has the byte 0xff at byte 3; only printable ASCII without spaces is allowed"
        );
    }

    #[test]
    fn an_identity_in_another_encoding_is_named() {
        let utf_16 =
            |order: fn(u16) -> [u8; 2]| "pk,dk,2,60".encode_utf16().flat_map(order).collect::<Vec<_>>();
        let marked = [b"\xff\xfe".as_slice(), &utf_16(u16::to_le_bytes)].concat();
        for (bytes, words) in [
            (&b"\xef\xbb\xbfpk,dk,2,60"[..], "begins with a byte order mark (EF BB BF)"),
            ("pk\u{ff0c}dk,2,60".as_bytes(), "has a full-width comma (U+FF0C)"),
            (b"pk%2Cdk%2c2%2C60", "is percent-encoded (%2C for a comma)"),
            (&utf_16(u16::to_le_bytes), "is UTF-16; send ASCII"),
            (&utf_16(u16::to_be_bytes), "is UTF-16; send ASCII"),
            (&marked, "is UTF-16; send ASCII"),
        ] {
            let fault = refused(bytes);
            assert_eq!(fault.reason, Reason::IdentityMalformed);
            assert!(fault.detail.contains(words) && fault.detail.len() < 200, "{}", fault.detail);
        }
    }

    #[test]
    fn faults_are_reported_in_a_fixed_order() {
        assert_eq!(refused(b"pk,dk,9,29,").reason, Reason::IdentityMalformed);
        assert_eq!(refused(b"pk,dk,9,29").reason, Reason::ModeUnknown);
        assert_eq!(refused(b"pk,dk,3,29").reason, Reason::LifetimeOutOfRange);
        let quoted = refused(b"\"pk,dk,2,3600\"");
        assert_eq!(quoted.reason, Reason::LifetimeOutOfRange);
        assert!(
            quoted.detail.ends_with("stands in quotation marks: send it without them"),
            "{}",
            quoted.detail
        );
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Identity::parse(&bytes);
        }

        #[test]
        fn a_valid_identity_reads_back_as_what_was_written(
            product_key in "[!-+\\--~]{1,128}", device_key in "[!-+\\--~]{1,128}",
            device_mode: bool, lifetime_s in 30_u32..=86_400,
        ) {
            let mode = if device_mode { SecureMode::DeviceSecret } else { SecureMode::ProductSecret };
            let identity = Identity { name: DeviceName { product_key, device_key }, mode, lifetime_s };
            prop_assert_eq!(Identity::parse(identity.to_string().as_bytes()), Ok(identity));
        }

        #[test]
        fn what_is_accepted_is_exactly_what_would_be_written(
            text in "[a-c]{0,2},[a-c]{0,2},[0-4]{0,2},[0-9+]{0,6}",
        ) {
            if let Ok(identity) = Identity::parse(text.as_bytes()) {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
