//! Bodies in CBOR: any bytes.

use std::borrow::Cow;

use narrowgate_platform::device_api::{
    cbor::{self, Limits},
    json,
};
use serde_json::Value;

use crate::script::Script;

/// Integer keys that stand for a name; the name of 3 has to be escaped.
fn name_of(maps: usize, number: u64) -> Option<Cow<'static, str>> {
    match (maps, number) {
        (0, 1) => Some(Cow::Borrowed("temp")),
        (0, 2) => Some(Cow::Borrowed("a")),
        (1, 3) => Some(Cow::Borrowed("\"\n")),
        _ => None,
    }
}

/// What is accepted is JSON that everything behind it reads, is bounded, and has the same value when it comes
/// back; what is refused names a byte of the body. The first byte chooses whether integer keys stand for
/// names.
pub fn cbor(data: &[u8]) {
    let mut script = Script::new(data);
    let has_names = script.byte() & 1 == 1;
    let bytes = script.rest();
    let names: Option<cbor::NameOf<'_>> = if has_names { Some(&name_of) } else { None };
    let text = match cbor::to_json(bytes, Limits::BODY, names) {
        Ok(text) => text,
        Err(fault) => {
            assert!((1..=bytes.len() + 1).contains(&fault.at), "{fault}");
            assert!((1..400).contains(&fault.to_string().len()), "{fault}");
            return;
        }
    };
    assert!(text.len() <= Limits::BODY.json_bytes, "{} bytes", text.len());
    assert_eq!(json::check(text.as_bytes()).is_ok(), text.starts_with('{'), "{text}");
    let value: Value = serde_json::from_str(&text).expect("what is accepted is JSON");
    assert_eq!(&*json::compact(&text), &*text, "it has no white space");
    let again = cbor::from_json(text.as_bytes());
    // `0.1` has nine bytes in CBOR.
    assert!(again.len() <= 3 * text.len(), "{} bytes of {text}", again.len());
    let limits = Limits { json_bytes: usize::MAX, ..Limits::BODY };
    let read = cbor::to_json(&again, limits, None).expect("our own CBOR is read");
    let read_value = serde_json::from_str(&read).expect("it is JSON");
    assert!(is_same(&value, &read_value), "{text} {read}");
    // The shortest form is a fixed point.
    assert_eq!(cbor::from_json(read.as_bytes()), again, "{text}");
}

/// Whether two values are the same, all but the bits of doubles: the reader of JSON rounds the last ones of a
/// number with many digits in either direction. Those are compared by the fixed point, whose reader is exact.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has =
                |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => true,
        _ => one == other,
    }
}
