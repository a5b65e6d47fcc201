//! Thing models of products, and their versions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::names::UnixMillis;

/// The present thing model of a product. In HTTP the document is the body, and the version the `ETag`.
#[derive(Debug, Clone)]
pub struct PresentModel {
    /// Its version, from 1 on.
    pub version: u32,
    /// The document, with the numbers of all elements.
    pub model: Box<RawValue>,
}

/// What a change of a model is to replace (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: a model, of whatever version.
    Any,
    /// A model of one of these versions.
    OneOf(Vec<u32>),
}

/// A version of a thing model in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersionRow {
    /// Which one, from 1 on.
    pub version: u32,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Id of the model; null where the model was removed.
    pub model_id: Option<String>,
}

/// A version of a thing model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersionView {
    /// Which one, from 1 on.
    pub version: u32,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Id of the model; null where the model was removed.
    pub model_id: Option<String>,
    /// The document; null where the model was removed.
    pub model: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_crosses_with_its_document_as_it_is_written() {
        let json = r#"{"version":2,"createdAt":7,"modelId":"m","model":{"modelId":"m","z":1.50}}"#;
        let view: ModelVersionView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&view).expect("it can be written"), json);
        let json = r#"{"version":3,"createdAt":8,"modelId":null,"model":null}"#;
        let view: ModelVersionView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&view).expect("it can be written"), json);
        assert!(view.model.is_none());
        let row = ModelVersionRow { version: 3, created_at: UnixMillis(8), model_id: None };
        let json = serde_json::to_string(&row).expect("it can be written");
        assert_eq!(json, r#"{"version":3,"createdAt":8,"modelId":null}"#);
    }
}
