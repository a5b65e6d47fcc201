//! Attributes and tags: what a device is and what people call it, by identifier. They are kept until they are
//! deleted, or the device is; there is no history.
//!
//! Limits: [`VALUE_BYTES_MAX`] of one value, [`BYTES_MAX`] of all attributes (or tags) of a device as one
//! JSON object. A change that would exceed the second is refused as a whole: nothing is dropped for it. So an
//! answer with all of them is at most as long as the longest message to a device, whatever
//! `limits.message_bytes` says of those from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{json_text::JsonText, thing_model::Defaults};
use crate::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    rules::latest::for_each_point,
};

/// Longest value, as JSON text in bytes.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Most that a device has of a kind, as one JSON object in bytes.
pub const BYTES_MAX: usize = 8192;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PropertyKind {
    /// Checked by the thing model; any JSON.
    Attribute,
    /// Free, and always text.
    Tag,
}

/// All attributes, or all tags, of a device.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, JsonText>);

/// A change of a device's attributes or tags.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyEdit {
    /// Of which.
    pub kind: PropertyKind,
    /// Whether all others are taken away.
    pub replaces: bool,
    /// What is set, each to a value.
    pub set: Vec<(String, JsonText)>,
    /// What is taken away. What is not there stays away.
    pub unset: Vec<String>,
}

/// A change that a device makes of its own attributes or tags.
#[derive(Debug, Clone)]
pub struct PropertyWrite {
    /// Whose.
    pub device: DeviceId,
    /// The login in whose session it came; `None`: whatever login the device has.
    pub login: Option<LoginNumber>,
    /// The version of the secret that this session proved; counts only where there is a login.
    pub secret_version: u32,
    /// When.
    pub at: UnixMillis,
    /// The change.
    pub edit: PropertyEdit,
}

impl PropertyKind {
    /// The word for several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Attribute => "attributes",
            Self::Tag => "tags",
        }
    }

    /// The word for one of them.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Tag => "tag",
        }
    }

    /// Words about a change that would be too much.
    pub fn too_much(self, bytes: usize) -> String {
        format!("the device's {} would take {bytes} bytes as JSON; {BYTES_MAX} are kept", self.plural())
    }
}

impl PropertyEdit {
    /// This change and a later one, as one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let is_changed =
            |name: &String| later.unset.contains(name) || later.set.iter().any(|(set, _)| set == name);
        self.set.retain(|(name, _)| !later.replaces && !is_changed(name));
        self.unset.retain(|name| !is_changed(name));
        self.set.extend(later.set);
        self.unset.extend(later.unset);
        self.replaces |= later.replaces;
        self
    }
}

impl Properties {
    /// Reads what [`Self::to_json`] has written; what is no object gives nothing.
    pub fn from_json(json: &str) -> Self {
        let mut all = BTreeMap::new();
        for_each_point(json, |identifier, value| {
            all.insert(identifier.to_owned(), value.into());
        });
        Self(all)
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        // Never fails: keys are text and values are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What they are after a change.
    ///
    /// # Errors
    /// How many bytes they would have, where that is more than [`BYTES_MAX`].
    pub fn after(mut self, edit: &PropertyEdit) -> Result<Self, usize> {
        if edit.replaces {
            self.0.clear();
        }
        for identifier in &edit.unset {
            self.0.remove(identifier);
        }
        self.0.extend(edit.set.iter().cloned());
        let bytes = self.to_json().len();
        if bytes > BYTES_MAX { Err(bytes) } else { Ok(self) }
    }

    /// A value.
    pub fn find(&self, identifier: &str) -> Option<&JsonText> {
        self.0.get(identifier)
    }

    /// All of them, by identifier.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &JsonText)> {
        self.0.iter().map(|(identifier, value)| (identifier.as_str(), value))
    }

    /// Adds those that are not there yet.
    #[must_use]
    pub fn or(mut self, others: impl IntoIterator<Item = (String, JsonText)>) -> Self {
        for (identifier, value) in others {
            self.0.entry(identifier).or_insert(value);
        }
        self
    }

    /// These, or all where none is named, as one JSON object; where one is not set, its default.
    pub fn to_json_of(&self, names: &[String], defaults: &Defaults) -> String {
        let mut of: BTreeMap<&str, &JsonText> = BTreeMap::new();
        if names.is_empty() {
            of.extend(defaults.iter());
            of.extend(self.iter());
        }
        for name in names {
            of.extend(self.find(name).or_else(|| defaults.find(name)).map(|value| (name.as_str(), value)));
        }
        // Never fails, as above.
        serde_json::to_string(&of).unwrap_or_default()
    }
}

/// Whether a text can be the key of a tag: 1 to 100 characters, a letter or `_` first, then letters, digits,
/// `_`, `-` and `/`.
pub fn is_tag_key(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::thing_model::ThingModel;

    fn edit(set: &[(&str, &str)], unset: &[&str]) -> PropertyEdit {
        PropertyEdit {
            kind: PropertyKind::Attribute,
            replaces: false,
            set: set.iter().map(|(name, value)| ((*name).to_owned(), JsonText::new(value))).collect(),
            unset: unset.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_change_sets_and_takes_away_and_keeps_the_digits() {
        let first = Properties::default().after(&edit(&[("b", "1.50"), ("a", r#"{"z":1,"y":2}"#)], &[]));
        let first = first.expect("it is small");
        assert_eq!(first.to_json(), r#"{"a":{"z":1,"y":2},"b":1.50}"#);
        assert_eq!(Properties::from_json(&first.to_json()), first);
        let second = first.clone().after(&edit(&[("c", "true")], &["b", "missing"])).expect("it is small");
        assert_eq!(second.to_json(), r#"{"a":{"z":1,"y":2},"c":true}"#);
        let replaced = first.after(&PropertyEdit { replaces: true, ..edit(&[("d", "4")], &[]) });
        assert_eq!(replaced.expect("it is small").to_json(), r#"{"d":4}"#);
    }

    #[test]
    fn two_changes_as_one_come_to_the_same() {
        let before = Properties::from_json(r#"{"a":1,"b":2,"c":3}"#);
        let replacing = PropertyEdit { replaces: true, ..edit(&[("a", "8")], &[]) };
        for (first, second) in [
            (edit(&[("a", "7"), ("d", "4")], &["b"]), edit(&[("b", "5")], &["a"])),
            (edit(&[("a", "7")], &["b"]), edit(&[("a", "8")], &["b", "c"])),
            (edit(&[("d", "7")], &["b"]), replacing.clone()),
            (replacing, edit(&[("d", "7")], &["a"])),
        ] {
            let after_both = before.clone().after(&first).and_then(|after| after.after(&second));
            let both = first.then(second);
            assert_eq!(before.clone().after(&both), after_both, "{both:?}");
        }
    }

    #[test]
    fn what_would_be_too_much_is_refused_with_its_size() {
        let fat = format!("\"{}\"", "x".repeat(4000));
        let two = Properties::default().after(&edit(&[("a", &fat), ("b", &fat)], &[])).expect("it fits");
        assert!(two.to_json().len() <= BYTES_MAX);
        assert_eq!(two.clone().after(&edit(&[("c", &fat)], &[])), Err(12_022));
        // In place of another one it fits.
        assert!(two.after(&edit(&[("c", &fat)], &["a"])).is_ok());
    }

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let set = Properties::from_json(r#"{"a":1,"z":{"y":1.50}}"#);
        let model = r#"{"modelId":"m","attributes":[{"identifier":"a","dataType":"INT","default":7},
            {"identifier":"b","dataType":"INT","default":8},{"identifier":"c","dataType":"INT"}]}"#;
        let model = ThingModel::parse(model).expect("it is valid");
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            set.to_json_of(&names, &model.defaults)
        };
        assert_eq!(of(&[]), r#"{"a":1,"b":8,"z":{"y":1.50}}"#);
        assert_eq!(of(&["z", "b", "c", "d", "b"]), r#"{"b":8,"z":{"y":1.50}}"#);
        assert_eq!(set.to_json_of(&[], &Defaults::default()), set.to_json());
    }

    #[test]
    fn keys_of_tags_begin_with_a_letter_and_are_short() {
        for key in ["k", "_", "a/b-c_9", &"x".repeat(100)] {
            assert!(is_tag_key(key), "{key}");
        }
        for text in ["", "9a", "-a", "/a", "a b", "a.b", "ä", &"x".repeat(101)] {
            assert!(!is_tag_key(text), "{text}");
        }
    }
}
