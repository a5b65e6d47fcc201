//! What a query gets for attributes that a device does not have: made once for each model, shared by all
//! answers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::json_text::JsonText;

/// Longest defaults of a model, as one JSON object in bytes. With all that a device may have of its own, and
/// the envelope around both, an answer stays within the longest body that goes out in blocks.
pub const DEFAULTS_BYTES_MAX: usize = 1792;

// The envelope of a reply has less than 200 bytes, its id of 128 among them.
const _: () = assert!(
    DEFAULTS_BYTES_MAX + crate::model::property::BYTES_MAX + 200 <= crate::device_api::BODY_BYTES_MAX
);

/// The default of each attribute that has one.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Defaults(BTreeMap<String, JsonText>);

impl Defaults {
    pub(super) fn new(defaults: BTreeMap<String, JsonText>) -> Self {
        Self(defaults)
    }

    /// The default of an attribute.
    pub fn find(&self, attribute: &str) -> Option<&JsonText> {
        self.0.get(attribute)
    }

    /// All of them, by attribute.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &JsonText)> {
        self.0.iter().map(|(attribute, value)| (attribute.as_str(), value))
    }

    /// How many bytes they have as one JSON object.
    pub fn bytes(&self) -> usize {
        // Never fails: keys are text and values are JSON.
        serde_json::to_string(self).unwrap_or_default().len()
    }
}
