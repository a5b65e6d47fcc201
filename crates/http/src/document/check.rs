//! Whether a value has the form that a schema asks for. Only what the document's schemas say is known here; a
//! word that is not known fails, so that nothing is taken for right because it was not read.

use serde_json::{Map, Value};

/// Words that ask for nothing.
const NOTES: &[&str] = &["description", "default", "format", "title", "examples", "$comment", "deprecated"];

/// What is wrong with `value`, with where; empty: nothing.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    match schema {
        Value::Bool(true) => Vec::new(),
        Value::Object(words) => {
            words.iter().flat_map(|word| fault(document, words, word, value, place)).collect()
        }
        other => vec![format!("{place}: {other} permits nothing")],
    }
}

fn fault(
    document: &Value,
    words: &Map<String, Value>,
    (word, says): (&String, &Value),
    value: &Value,
    place: &str,
) -> Vec<String> {
    let wrong = |is_right: bool| {
        if is_right { Vec::new() } else { vec![format!("{place}: {value} is not {word} {says}")] }
    };
    let count = || says.as_u64().expect("it is a number");
    let list = || says.as_array().expect("it is a list").iter();
    match &**word {
        note if NOTES.contains(&note) => Vec::new(),
        "$ref" => {
            let pointer =
                says.as_str().and_then(|says| says.strip_prefix('#')).expect("it is in the document");
            let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
            faults(document, schema, value, place)
        }
        "type" => match says {
            Value::Array(kinds) => wrong(kinds.iter().any(|kind| has_type(value, kind))),
            kind => wrong(has_type(value, kind)),
        },
        "const" => wrong(says == value),
        "enum" => wrong(list().any(|one| one == value)),
        "minimum" => wrong(value.as_f64() >= says.as_f64() || !value.is_number()),
        "maximum" => wrong(value.as_f64() <= says.as_f64() || !value.is_number()),
        "minLength" => wrong(length(value).is_none_or(|length| length >= count())),
        "maxLength" => wrong(length(value).is_none_or(|length| length <= count())),
        "allOf" => list().flat_map(|schema| faults(document, schema, value, place)).collect(),
        "anyOf" => wrong(list().any(|schema| faults(document, schema, value, place).is_empty())),
        "oneOf" => {
            wrong(list().filter(|schema| faults(document, schema, value, place).is_empty()).count() == 1)
        }
        "required" => wrong(list().all(|name| value.get(name.as_str().unwrap_or_default()).is_some())),
        "items" => {
            let items = value.as_array().into_iter().flatten().enumerate();
            items.flat_map(|(at, item)| faults(document, says, item, &format!("{place}/{at}"))).collect()
        }
        "properties" | "additionalProperties" => members(document, words, word, value, place),
        other => panic!("{place}: {other} is not known here"),
    }
}

fn members(
    document: &Value,
    words: &Map<String, Value>,
    word: &str,
    value: &Value,
    place: &str,
) -> Vec<String> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let known = words.get("properties");
    let check = |(name, value): (&String, &Value)| {
        let place = format!("{place}/{name}");
        match (word, known.and_then(|known| known.get(name))) {
            ("properties", Some(schema)) => faults(document, schema, value, &place),
            ("additionalProperties", None) => faults(document, &words[word], value, &place),
            _ => Vec::new(),
        }
    };
    members.iter().flat_map(check).collect()
}

/// Characters of a text.
fn length(value: &Value) -> Option<u64> {
    u64::try_from(value.as_str()?.chars().count()).ok()
}

fn has_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("{other:?} is no type"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_another_form_is_noticed() {
        let schema = json!({
            "type": "object",
            "required": ["a"],
            "additionalProperties": false,
            "properties": {
                "a": {"type": ["integer", "null"], "minimum": 0},
                "b": {"anyOf": [{"const": "x"}, {"enum": ["y", "z"]}]},
                "e": {"minLength": 1, "maxLength": 2},
                "c": {"type": "array", "items": {"$ref": "#/one"}},
            },
        });
        let document = json!({"one": {"type": "boolean"}});
        let check = |value: Value| faults(&document, &schema, &value, "").len();
        for right in [json!({"a": 1}), json!({"a": null, "b": "z", "c": [true, false]})] {
            assert_eq!(check(right.clone()), 0, "{right}");
        }
        for wrong in [
            json!([]),
            json!({}),
            json!({"a": -1}),
            json!({"a": 1.5}),
            json!({"a": 1, "b": "w"}),
            json!({"a": 1, "e": ""}),
            json!({"a": 1, "e": "äöü"}),
            json!({"a": 1, "c": [1]}),
            json!({"a": 1, "d": 1}),
        ] {
            assert!(check(wrong.clone()) > 0, "{wrong}");
        }
    }
}
