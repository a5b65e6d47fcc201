//! Checks that a body is a JSON object that all later steps can rely on. The check walks over the whole body
//! once, without building a tree; later steps cut it into pieces without looking for these faults again.
//!
//! One behaviour for each oddity, wherever in the body it stands:
//!
//! | input | result |
//! |---|---|
//! | nothing, not JSON, cut off, bytes after the object, a byte order mark, not UTF-8 | refused |
//! | array, string, number, literal instead of an object | refused |
//! | nested deeper than 32, the body's own object counted | refused, before the stack grows |
//! | a key twice in an object, also when written with different escapes | refused |
//! | a lone surrogate `"\ud800"` | refused |
//! | `NaN`, `Infinity`, `01`, `+1`, `1.`, comments, trailing commas | refused (not JSON) |
//! | a number beyond the range of a double: `1e999999` | refused |
//! | integers beyond 64 bits, `-0`, many digits | accepted, kept as written; read as doubles |
//! | white space | accepted, not kept |
//! | any number of keys | accepted; `points` has its own limit |
//! | keys that start with `$serde_json::private::` | refused: the JSON library would misread their values |

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::diagnosis;

/// Deepest nesting of arrays and objects; the protocol's own messages need 5.
pub const DEPTH_MAX: usize = 32;

/// Checks a body and returns it as text.
///
/// # Errors
/// Why it is refused, in words for people: what was received, at which byte, and what to send instead.
pub fn check(body: &[u8]) -> Result<&str, String> {
    if body.is_empty() {
        return Err("the body is empty; send a JSON object".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|error| diagnosis::not_text(body, error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut keys = Vec::new();
    Walk { depth: 1, keys: &mut keys }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| diagnosis::not_json(text, &error))?;
    if text.trim_ascii_start().starts_with('{') { Ok(text) } else { Err(diagnosis::not_an_object(text)) }
}

/// Walks over one value.
struct Walk<'a> {
    /// How deep a value inside this one is.
    depth: usize,
    /// Hashes of the keys of all objects that are open, the innermost's last. Two keys with one hash are as
    /// unlikely as a guess of 64 bits; a sender who constructs them only has their own message refused.
    keys: &'a mut Vec<u64>,
}

impl Walk<'_> {
    fn enter<E: Error>(&self) -> Result<(), E> {
        if self.depth > DEPTH_MAX {
            Err(E::custom(format_args!("nested more than {DEPTH_MAX} deep")))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.enter()?;
        while values.next_element_seed(Walk { depth: self.depth + 1, keys: self.keys })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.enter()?;
        let first = self.keys.len();
        while let Some(hash) = entries.next_key_seed(Key)? {
            self.keys.push(hash);
            entries.next_value_seed(Walk { depth: self.depth + 1, keys: self.keys })?;
        }
        let own = &mut self.keys[first..];
        own.sort_unstable();
        if own.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(A::Error::custom("a key occurs twice in one object"));
        }
        self.keys.truncate(first);
        Ok(())
    }
}

/// Reads a key as its hash.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<u64, E> {
        if key.starts_with("$serde_json::private::") {
            return Err(E::custom("a key is reserved"));
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(key.as_bytes());
        Ok(hasher.finish())
    }
}

/// A checked JSON text without the white space between its tokens.
pub fn compact(text: &str) -> Box<str> {
    // The usual report has no white space at all. This looks at many bytes at once.
    if !text.bytes().fold(false, |found, byte| found | (byte <= b' ')) {
        return text.into();
    }
    let mut in_string = false;
    let mut escaped = false;
    let mut is_kept = |byte: u8| {
        if in_string {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            in_string = !ends;
            return true;
        }
        in_string = byte == b'"';
        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    };
    // Bytes of non-ASCII characters are never white space.
    match text.bytes().position(|byte| !is_kept(byte)) {
        None => text.into(),
        Some(start) => {
            let mut kept = String::with_capacity(text.len());
            kept.push_str(&text[..start]);
            // The character at `start` was judged above and is left out.
            kept.extend(text[start + 1..].chars().filter(|character| match u8::try_from(*character) {
                Ok(byte) if byte.is_ascii() => is_kept(byte),
                // Not ASCII: inside a string, where a backslash before it would not be JSON.
                _ => true,
            }));
            kept.into_boxed_str()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn refused(body: &[u8]) -> String {
        check(body).expect_err("this body is refused")
    }

    #[test]
    fn attack_169_a_depth_bomb_is_refused_at_level_33() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
        assert!(refused(nested(DEPTH_MAX).as_bytes()).contains("nested more than 32 deep"));
        assert!(refused("[".repeat(100_000).as_bytes()).contains("nested more than 32 deep"));
        assert!(refused("{\"a\":".repeat(100_000).as_bytes()).contains("nested more than 32 deep"));
        let flat: Vec<String> = (0..100).map(|index| format!("\"{index}\":[[[]]]")).collect();
        assert!(check(format!("{{{}}}", flat.join(",")).as_bytes()).is_ok(), "depth is not a count");
    }

    #[test]
    fn attack_170_every_oddity_has_one_behaviour() {
        let bodies = [
            "",
            " ",
            "{",
            "{}}",
            "{}\0",
            "{} {}",
            "\u{feff}{}",
            "[]",
            "\"text\"",
            "7",
            "null",
            "true",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"x\":[{\"b\":1,\"b\":1}]}",
            "{\"a\":\"\\ud800\"}",
            "{\"\\udc00\":1}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1,}",
            "{\"a\":/**/1}",
            "{'a':1}",
            "{\"a\":1e999999}",
            "{\"a\":-1e999999}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\0\"}",
            "{\"a\":\"\\x41\"}",
            "{\"$serde_json::private::RawValue\":\"[\"}",
            "{\"p\":{\"$serde_json::private::Number\":\"x\"}}",
        ];
        for body in bodies {
            let said = refused(body.as_bytes());
            assert!(said.starts_with("the body is") && said.len() < 200, "{body:?}: {said}");
        }
        refused(b"{\"a\":\"\xff\"}");
        for body in [
            "{}",
            " {\t\"a\" : 1\r\n} ",
            "{\"a\":-0}",
            "{\"a\":1e-999999}",
            "{\"a\":123456789012345678901234567890}",
            "{\"a\":{\"b\":1},\"b\":{\"b\":1}}",
            "{\"a\":\"\\ud83d\\ude00\"}",
            "{\"\":1}",
        ] {
            assert_eq!(check(body.as_bytes()), Ok(body));
        }
        let many: Vec<String> = (0..10_000).map(|index| format!("\"{index}\":0")).collect();
        assert!(check(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
    }

    #[test]
    fn white_space_is_dropped_between_tokens_and_kept_in_strings() {
        for (text, expected) in [
            ("{}", "{}"),
            ("{ \"a b\" : [ 1 , \"x \\\" y\" ] }", "{\"a b\":[1,\"x \\\" y\"]}"),
            ("{\"ä ö\":\t\"\\\\\" ,\n\"u\": \"ü \"}", "{\"ä ö\":\"\\\\\",\"u\":\"ü \"}"),
        ] {
            assert_eq!(&*compact(text), expected);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~ä\\n\\\\\"]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[ a-cä\"\\\\]{0,3}", inner, 0..5)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&body);
        }

        #[test]
        fn any_text_of_json_characters_never_panics(body in "[\\[\\]{}:,\"\\\\0-9eE.+ tfn\\-]{0,60}") {
            if check(body.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&body).is_ok_and(|value| value.is_object()));
            }
        }

        #[test]
        fn what_is_compact_means_the_same(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("a value can be written");
            let plain = serde_json::to_string(&value).expect("a value can be written");
            prop_assert_eq!(&*compact(&pretty), plain.as_str());
            prop_assert_eq!(&*compact(&plain), plain.as_str());
            prop_assert_eq!(check(pretty.as_bytes()).is_ok(), value.is_object());
        }
    }
}
