//! A name that does not exist, and the one that was probably meant: for the words of a refusal. Names are
//! compared as bytes, and nothing here admits anybody.

use std::cmp::Ordering;

use crate::{ids::DeviceName, model::log::Reason, ports::SimilarNames};

/// Most look-ups in the sorted list of keys for one search.
pub const SEEKS_MAX: usize = 256;

/// Finds a stored key that equals `key` except for case. `seek` returns the first stored key that is not less
/// than its argument, in the order of bytes.
///
/// Jumps from one spelling of the key to the next one that can be stored, so the number of spellings does not
/// matter.
///
/// # Errors
/// What `seek` fails with.
pub fn find_ignoring_case<E>(
    key: &str,
    mut seek: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    // Capitals come before small letters: the first spelling.
    let mut spelling = key.to_ascii_uppercase();
    for _ in 0..SEEKS_MAX {
        let Some(stored) = seek(&spelling)? else { return Ok(None) };
        if stored.eq_ignore_ascii_case(key) {
            return Ok(Some(stored));
        }
        match next_spelling(key.as_bytes(), stored.as_bytes()) {
            Some(next) => spelling = next,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The first spelling of `key` that comes after `stored`, which is not a spelling of it.
fn next_spelling(key: &[u8], stored: &[u8]) -> Option<String> {
    let same = key.iter().zip(stored).take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count();
    let spelled = |kept: usize, byte: Option<u8>| {
        let rest = key[kept + usize::from(byte.is_some())..].iter().map(u8::to_ascii_uppercase);
        // `None` only for a key that is not ASCII.
        String::from_utf8(stored[..kept].iter().copied().chain(byte).chain(rest).collect()).ok()
    };
    if same == stored.len() && same < key.len() {
        return spelled(same, None);
    }
    if let (Some(wanted), Some(found)) = (key.get(same), stored.get(same)) {
        let spellings = [wanted.to_ascii_uppercase(), wanted.to_ascii_lowercase()];
        if let Some(byte) = spellings.into_iter().find(|byte| byte.cmp(found) == Ordering::Greater) {
            return spelled(same, Some(byte));
        }
    }
    // The last capital letter before it can become a small one.
    let capital = stored[..same].iter().rposition(u8::is_ascii_uppercase)?;
    spelled(capital, Some(stored[capital].to_ascii_lowercase()))
}

/// The name without quotation marks and the like around its keys; `None` if it has none.
pub fn trimmed(name: &DeviceName) -> Option<DeviceName> {
    let trim = |key: &str| key.trim_matches(|character: char| !character.is_ascii_alphanumeric()).to_owned();
    let trimmed = DeviceName { product_key: trim(&name.product_key), device_key: trim(&name.device_key) };
    (trimmed != *name).then_some(trimmed)
}

/// The name with its keys exchanged.
pub fn exchanged(name: &DeviceName) -> DeviceName {
    DeviceName { product_key: name.device_key.clone(), device_key: name.product_key.clone() }
}

/// Other spellings of a device key that is an IMEI: without dashes, with its check digit, without the version
/// of an IMEISV. At most thirteen, and none of any other key.
pub fn imei_spellings(key: &str) -> Vec<String> {
    let digits = key.replace(['-', '.', '/', '_', ':'], "");
    if !(14..=16).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let body = &digits[..14];
    let mut spellings = vec![format!("{body}{}", check_digit(body)), digits.clone(), body.to_owned()];
    if digits.len() != 15 {
        // With a wrong check digit too, as IMEIs of a lab have.
        spellings.extend((0..10).map(|digit| format!("{body}{digit}")));
    }
    spellings.retain(|spelling| spelling != key);
    spellings
}

/// The last digit of an IMEI (Luhn's).
fn check_digit(body: &str) -> u32 {
    let added = |(at, byte): (usize, u8)| {
        let digit = u32::from(byte - b'0') << (at % 2);
        digit / 10 + digit % 10
    };
    (10 - body.bytes().enumerate().map(added).sum::<u32>() % 10) % 10
}

/// What to tell people where a device key is another spelling of an IMEI that exists.
pub fn explain_imei(name: &DeviceName, found: &DeviceName) -> String {
    let DeviceName { product_key, device_key } = name;
    let of = match found.product_key == *product_key {
        true => String::new(),
        false => format!(" of product {}", found.product_key),
    };
    format!(
        "product {product_key} has no device {device_key}, but there is {}{of}: write an IMEI the same \
         way everywhere, by default as 15 digits with its check digit",
        found.device_key
    )
}

/// What to tell people where an asset id stands in the place of the device key.
pub fn explain_asset_id(name: &DeviceName, found: &DeviceName) -> String {
    let DeviceName { product_key, device_key } = name;
    format!(
        "product {product_key} has no device {device_key}; this is the asset id of {}/{}: the identity has \
         the device key",
        found.product_key, found.device_key
    )
}

/// What to tell people about a name that is unknown for this reason, where something like it exists.
pub fn explain(reason: Reason, name: &DeviceName, similar: &SimilarNames) -> Option<String> {
    let DeviceName { product_key, device_key } = name;
    let device = similar.device.as_ref();
    match reason {
        Reason::ProductUnknown => {
            if let Some(meant) = &similar.product_key {
                return Some(format!(
                    "there is no product {product_key}, but {}",
                    spelled(meant, product_key)
                ));
            }
            let device = device.filter(|device| device.device_key == *device_key)?;
            let meant = &device.product_key;
            Some(format!("there is no product {product_key}; device {device_key} belongs to product {meant}"))
        }
        Reason::DeviceUnknown => {
            let device = device?;
            let head = format!("product {product_key} has no device {device_key}");
            if device.product_key == *product_key {
                return Some(format!("{head}, but {}", spelled(&device.device_key, device_key)));
            }
            let (meant, of) = (&device.device_key, &device.product_key);
            Some(format!("{head}; there is a device {meant} of product {of}: check both keys"))
        }
        _ => None,
    }
}

/// What to tell people where the keys of an identity stand in the wrong order, if `found` is a product by
/// the second.
pub fn explain_exchanged(name: &DeviceName, found: &SimilarNames) -> Option<String> {
    let DeviceName { product_key, device_key } = name;
    (found.product_key.as_ref() == Some(device_key)).then(|| {
        format!(
            "there is no product {product_key}, but {device_key} is one: the identity begins with the \
             product key"
        )
    })
}

fn spelled(meant: &str, given: &str) -> String {
    if meant.eq_ignore_ascii_case(given) {
        format!("{meant}: keys are case-sensitive")
    } else {
        format!("{meant}: a key has nothing around it")
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, convert::Infallible};

    use proptest::prelude::*;

    use super::*;

    /// What is found among these, and by how many look-ups.
    fn find(key: &str, stored: &BTreeSet<String>) -> (Option<String>, usize) {
        let mut seeks = 0;
        let found = find_ignoring_case(key, |from| {
            seeks += 1;
            Ok::<_, Infallible>(stored.range(from.to_owned()..).next().cloned())
        });
        let Ok(found) = found;
        (found, seeks)
    }

    #[test]
    fn a_key_of_another_case_is_found_among_a_million_by_few_looks() {
        let mut stored: BTreeSet<String> =
            (0..1_000_000).map(|number| format!("METER-{number:08}")).collect();
        stored.insert("15bBZlRknc".into());
        for (key, meant) in [
            ("meter-00999999", Some("METER-00999999")),
            ("15BBZLRKNC", Some("15bBZlRknc")),
            ("15bbzlrknc", Some("15bBZlRknc")),
            ("15bBZlRknc", Some("15bBZlRknc")),
            ("meter-", None),
            ("meter-999999990", None),
            ("zzzzzzzzzzzzzzzz", None),
            ("", None),
        ] {
            let (found, seeks) = find(key, &stored);
            assert_eq!(found.as_deref(), meant, "{key}");
            assert!(seeks <= 8, "{key}: {seeks} looks");
        }
    }

    #[test]
    fn an_imei_is_looked_for_in_its_other_spellings() {
        for (key, first) in [
            ("86772503009643", Some("867725030096436")),
            ("8677250300964378", Some("867725030096436")),
            ("49-015420-323751-8", Some("490154203237518")),
            ("867725030096431", Some("867725030096436")),
            ("49-015420-323751", Some("490154203237518")),
            ("8677250300964", None),
            ("86772503009643178", None),
            ("15bBZlRknc", None),
            ("\u{661}86772503009643", None),
        ] {
            let spellings = imei_spellings(key);
            assert_eq!(spellings.first().map(String::as_str), first, "{key}");
            assert!(spellings.len() <= 13 && spellings.iter().all(|spelling| spelling != key), "{key}");
        }
        for key in ["86772503009643", "8677250300964378", "86-772503-009643-1"] {
            assert!(imei_spellings(key).contains(&"867725030096431".to_owned()), "{key}");
        }
    }

    #[test]
    fn an_imei_and_an_asset_id_are_named() {
        let name = |product: &str, device: &str| DeviceName {
            product_key: product.into(),
            device_key: device.into(),
        };
        let asked = name("pk", "86772503009643");
        let own = explain_imei(&asked, &name("pk", "867725030096431"));
        assert!(own.starts_with(
            "product pk has no device 86772503009643, but there is 867725030096431: write an IMEI"
        ));
        assert!(
            explain_imei(&asked, &name("p2", "867725030096431")).contains("867725030096431 of product p2: ")
        );
        let asset = explain_asset_id(&name("pk", "asset001"), &name("pk", "dk"));
        assert!(asset.contains("asset001; this is the asset id of pk/dk"), "{asset}");
    }

    #[test]
    fn a_search_ends_however_the_keys_are_chosen() {
        // All spellings of twelve letters that end with another one.
        let stored: BTreeSet<String> = (0..1 << 12)
            .map(|bits: u32| {
                let letter = |at| if bits >> at & 1_u32 == 1 { 'a' } else { 'A' };
                (0_u32..12).map(letter).chain(['x']).collect()
            })
            .collect();
        assert_eq!(find("aaaaaaaaaaaay", &stored), (None, SEEKS_MAX));
    }

    fn name(product_key: &str, device_key: &str) -> DeviceName {
        DeviceName { product_key: product_key.into(), device_key: device_key.into() }
    }

    #[test]
    fn what_was_meant_is_said() {
        let said = |reason, given: (&str, &str), product: Option<&str>, device: Option<(&str, &str)>| {
            let device = device.map(|(product_key, device_key)| name(product_key, device_key));
            let similar = SimilarNames { product_key: product.map(str::to_owned), device };
            explain(reason, &name(given.0, given.1), &similar).unwrap_or_default()
        };
        use Reason::{DeviceUnknown, LifetimeOutOfRange, ProductUnknown};
        for (reason, given, product, device, words) in [
            (
                ProductUnknown,
                ("PK", "d"),
                Some("pk"),
                None,
                "there is no product PK, but pk: keys are case-sensitive",
            ),
            (ProductUnknown, ("\"pk", "d"), Some("pk"), None, "but pk: a key has nothing around it"),
            (ProductUnknown, ("pq", "d"), None, Some(("pk", "d")), "device d belongs to product pk"),
            (ProductUnknown, ("pq", "d"), None, Some(("pk", "D")), ""),
            (ProductUnknown, ("pq", "d"), None, None, ""),
            (DeviceUnknown, ("pk", "D"), Some("pk"), Some(("pk", "d")), "pk has no device D, but d: keys"),
            (
                DeviceUnknown,
                ("pk", "d."),
                Some("pk"),
                Some(("pk", "d")),
                "but d: a key has nothing around it",
            ),
            (DeviceUnknown, ("pk", "d"), Some("pk"), Some(("p2", "d")), "a device d of product p2"),
            (DeviceUnknown, ("pk", "d"), Some("pk"), None, ""),
            (LifetimeOutOfRange, ("PK", "D"), Some("pk"), Some(("pk", "d")), ""),
        ] {
            let said = said(reason, given, product, device);
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{given:?}: {said}");
        }
        let found = SimilarNames { product_key: Some("pk".into()), device: None };
        let said = explain_exchanged(&name("d", "pk"), &found).expect("pk is a product");
        assert!(said.contains("pk is one: the identity begins with the product key"), "{said}");
        assert_eq!(explain_exchanged(&name("d", "PK"), &found), None);
        assert_eq!(trimmed(&name("\"pk\"", "d;")), Some(name("pk", "d")));
        assert_eq!(trimmed(&name("pk", "d-1")), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_all_keys_finds(
            key in "[a-cA-C0]{1,4}", stored in proptest::collection::btree_set("[a-cA-C0]{0,5}", 0..40),
        ) {
            let expected = stored.iter().find(|other| other.eq_ignore_ascii_case(&key)).cloned();
            prop_assert_eq!(find(&key, &stored).0, expected);
        }

        #[test]
        fn any_keys_never_panic(
            key in "\\PC{0,20}", stored in proptest::collection::btree_set("\\PC{0,20}", 0..20),
        ) {
            find(&key, &stored);
        }
    }
}
