//! Reads a line of JSON as a row. No message quotes a value of the line: it may be a secret.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use narrowgate_api::import::ImportFault;
use serde_json::value::RawValue;

use super::{RawRow, columns, fault, lines::Line};

const NUMBER: &str = "a number";

/// A value of an object.
enum Value {
    Text(String),
    /// Something else, in words.
    Other(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Object {
    device_key: Value,
    device_secret: Option<Value>,
    name: Option<Value>,
    product_key: Option<Value>,
    tags: Option<Box<RawValue>>,
    attributes: Option<Box<RawValue>>,
    /// Ignored: every device gets a new one.
    #[serde(rename = "assetId")]
    _asset_id: Option<IgnoredAny>,
}

/// Reads a line.
pub(super) fn read_json(line: &Line) -> Result<RawRow, ImportFault> {
    if !line.bytes.trim_ascii_start().starts_with(b"{") {
        return Err(fault(line.number, None, "it is not a JSON object, but the first line is one"));
    }
    let object: Object = serde_json::from_slice(&line.bytes).map_err(|error| {
        // serde_json gives the column in bytes; the row is one line.
        let (before, _) = line.bytes.split_at_checked(error.column()).unwrap_or((&line.bytes, &[]));
        let character = String::from_utf8_lossy(before).chars().count();
        let reason = match error.to_string() {
            reason if names_secret(&reason) => {
                "unknown field; its name is not shown, as it may be a secret".into()
            }
            reason => reason,
        };
        let reason = reason.split(" at line ").next().unwrap_or_default();
        fault(line.number, None, format!("{reason} (character {character})"))
    })?;
    let text = |column: &str, value: Value| match value {
        Value::Text(text) => Ok(text),
        Value::Other(what) => {
            let message = match what {
                NUMBER => format!("it is {NUMBER}; write it in quotation marks"),
                _ => format!("it is {what}, not text in quotation marks"),
            };
            Err(fault(line.number, Some(column), message))
        }
    };
    let optional = |column: &str, value: Option<Value>| value.map(|value| text(column, value)).transpose();
    let properties = |column: &str, value: Option<Box<RawValue>>| {
        let Some(value) = value else { return Ok(None) };
        let of = |message: &str| fault(line.number, Some(column), message);
        if !value.get().starts_with('{') {
            return Err(of("it is not an object of names and values"));
        }
        // The only fault that can be left: a name that stands twice, which is no secret.
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|error| of(error.to_string().split(" at line ").next().unwrap_or_default()))
    };
    Ok(RawRow {
        device_key: text(columns::DEVICE_KEY, object.device_key)?,
        device_secret: optional(columns::DEVICE_SECRET, object.device_secret)?,
        name: optional(columns::NAME, object.name)?,
        product_key: optional(columns::PRODUCT_KEY, object.product_key)?,
        tags: properties(columns::TAGS, object.tags)?,
        attributes: properties(columns::ATTRIBUTES, object.attributes)?,
    })
}

/// Whether a message quotes the name of a field that may be a secret in a wrong place.
fn names_secret(reason: &str) -> bool {
    let name = reason.strip_prefix("unknown field `").and_then(|rest| rest.rsplit_once("`, expected "));
    name.is_some_and(|(name, _)| columns::may_be_secret(name))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other(NUMBER))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other(NUMBER))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other(NUMBER))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other("true or false"))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let line = Line { number: 7, bytes: text.as_bytes().to_vec(), is_cut: false };
        let Err(fault) = read_json(&line) else { panic!("{text} was taken") };
        (fault.column.unwrap_or_default(), fault.message)
    }

    #[test]
    fn what_is_no_text_is_named_by_its_field_and_not_shown() {
        for (value, what) in [
            ("12345678901234", "a number; write it in quotation marks"),
            ("-12345678901234", "a number; write it in quotation marks"),
            ("1234567890.1234", "a number; write it in quotation marks"),
            ("[\"12345678901234\"]", "an array, not text in quotation marks"),
            ("{\"12345678901234\":1}", "an object, not text in quotation marks"),
            ("true", "true or false, not text in quotation marks"),
        ] {
            let (column, message) = refused(&format!("{{\"deviceKey\":\"a\",\"deviceSecret\":{value}}}"));
            assert_eq!((&*column, message), ("deviceSecret", format!("it is {what}")));
        }
        assert_eq!(refused("{\"deviceKey\":null}").0, "deviceKey");
    }

    #[test]
    fn a_secret_in_a_wrong_place_is_not_shown() {
        const SECRET: &str = "Z5YtZaQpK5IWocakV7zQ";
        for text in [
            format!("\"{SECRET}\""),
            format!("[\"a\",\"{SECRET}\"]"),
            format!("{{\"{SECRET}\":\"a\"}}"),
            format!("{{\"deviceKey\":\"a\",\"deviceSecret\":\"{SECRET}"),
            format!("{{\"deviceKey\":\"a\",\"deviceSecret\":{SECRET}}}"),
            format!("{{\"deviceKey\":\"a\"}} {SECRET}"),
        ] {
            let (_, message) = refused(&text);
            assert!(!message.contains("Z5Yt"), "{text}: {message}");
        }
    }

    #[test]
    fn the_place_of_a_fault_is_counted_in_characters() {
        let (_, message) = refused("{\"name\":\"水表\",}");
        assert_eq!(message, "trailing comma (character 14)");
    }
}
