//! What a draft of a model changes of the one that stands: element by element, whatever their order.

use std::collections::BTreeMap;

use serde_json::Value;

use super::KINDS;
use crate::console::words::{self, Word};

/// An element that is another one afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: Word,
    pub(super) identifier: String,
    /// As it was; `None`: it is new.
    pub(super) before: Option<String>,
    /// As it will be; `None`: it goes.
    pub(super) after: Option<String>,
}

/// What changes from one document to another one.
pub(super) fn changes(before: Option<&Value>, after: &Value) -> Vec<Change> {
    let none = Value::Null;
    let (old, new) = (elements(before.unwrap_or(&none)), elements(after));
    let mut all: Vec<_> = old.keys().chain(new.keys()).collect();
    all.sort_unstable();
    all.dedup();
    let mut found = Vec::new();
    for key in all {
        let (was, is) = (old.get(key), new.get(key));
        // What has no number gets the one that it had.
        if let (Some(was), Some(is)) = (was, is)
            && without_numbers(was, is) == **is
        {
            continue;
        }
        let (kind, identifier) = key;
        let kind = KINDS.get(*kind).map_or(words::MODEL_HEAD, |(_, word)| *word);
        let text = |value: &&Value| value.to_string();
        let (before, after) = (was.map(text), is.map(text));
        found.push(Change { kind, identifier: (*identifier).to_owned(), before, after });
    }
    found
}

/// Elements by kind and identifier, and what the model says of itself as elements of no kind.
fn elements(model: &Value) -> BTreeMap<(usize, &str), &Value> {
    let mut found = BTreeMap::new();
    for (key, value) in model.as_object().into_iter().flatten() {
        match KINDS.iter().position(|(list, _)| list == key) {
            Some(kind) => {
                for element in value.as_array().into_iter().flatten() {
                    let identifier = element["identifier"].as_str().unwrap_or_default();
                    found.insert((kind, identifier), element);
                }
            }
            None => {
                found.insert((KINDS.len(), key.as_str()), value);
            }
        }
    }
    found
}

/// A value without the numbers that the other one does not have.
fn without_numbers(value: &Value, other: &Value) -> Value {
    match (value, other) {
        (Value::Object(pairs), Value::Object(others)) => {
            let kept = pairs.iter().filter(|(key, _)| *key != "number" || others.contains_key("number"));
            let inside = |(key, value): (&String, &Value)| {
                (key.clone(), without_numbers(value, others.get(key).unwrap_or(&Value::Null)))
            };
            kept.map(inside).collect()
        }
        (Value::Array(items), Value::Array(others)) => {
            let with = |(index, value): (usize, &Value)| {
                without_numbers(value, others.get(index).unwrap_or(&Value::Null))
            };
            items.iter().enumerate().map(with).collect()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_is_told_by_element() {
        let before = json!({"modelId": "m", "measurepoints": [
            {"identifier": "a", "number": 1, "dataType": "INT"},
            {"identifier": "b", "number": 2, "dataType": "INT"},
        ], "services": [{"identifier": "s", "number": 3, "inputData": [{"identifier": "x", "number": 1}]}]});
        let after = json!({"measurepoints": [
            {"identifier": "c", "dataType": "INT"},
            {"dataType": "INT", "identifier": "a"},
        ], "services": [{"identifier": "s", "inputData": [{"identifier": "x"}]}], "modelId": "n"});
        let found = changes(Some(&before), &after);
        let told: Vec<_> = found
            .iter()
            .map(|change| (&*change.identifier, change.before.is_some(), change.after.is_some()))
            .collect();
        assert_eq!(told, [("b", true, false), ("c", false, true), ("modelId", true, true)]);
        assert_eq!(found[2].kind, words::MODEL_HEAD);
        assert!(changes(Some(&before), &before).is_empty());
        assert_eq!(changes(None, &after).len(), 4);
        // A number that is written is one.
        let other = json!({"modelId": "m", "measurepoints": [
            {"identifier": "a", "number": 9, "dataType": "INT"},
            {"identifier": "b", "dataType": "INT"},
        ], "services": before["services"]});
        assert_eq!(changes(Some(&before), &other).len(), 1);
    }
}
