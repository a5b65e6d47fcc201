//! Scripts of products whose devices speak bytes: drafted, tried, published, rolled back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::names::{DeviceName, UnixMillis};

/// A draft that an operator gives, in the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewScript {
    /// The JavaScript.
    pub source: String,
}

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishScript {
    /// The JavaScript; the draft where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Which version is to be published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollBackScript {
    /// The version.
    pub version: u32,
}

/// The version that is published from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptPublished {
    /// Its number, from 1 on.
    pub version: u32,
    /// What the operator should know; left out when there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The scripts of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptView {
    /// What is not published yet; null where there is none.
    pub draft: Option<ScriptDraftView>,
    /// What runs; null where none was published.
    pub published: Option<ScriptVersionView>,
}

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptDraftView {
    /// When it was given.
    pub saved_at: UnixMillis,
    /// The JavaScript.
    pub source: String,
}

/// A version in a list; the newest one is the one that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptVersionRow {
    /// Which one, from 1 on.
    pub version: u32,
    /// When it was published.
    pub created_at: UnixMillis,
    /// By whom.
    pub by: String,
    /// The version that was published again by it; null where the source was new.
    pub restores: Option<u32>,
    /// Bytes of its source.
    pub bytes: u32,
}

/// A version with its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptVersionView {
    /// Which one, when and by whom.
    #[serde(flatten)]
    pub about: ScriptVersionRow,
    /// The JavaScript.
    pub source: String,
}

/// A trial of a script: exactly one of `hex`, `json` and `from`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TryScript {
    /// Bytes of a device, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// A message to a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// A device of the product, `PK/DK` or its key: what it sent of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The JavaScript; the draft where there is none, and where there is no draft what is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What came of a trial. Who asked knows which of them it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Tried {
    /// What a device sent of late, through both scripts.
    Replayed(Replayed),
    /// One call.
    Once(TriedOnce),
}

/// What one call came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TriedOnce {
    /// Of bytes: the message.
    Json(Box<RawValue>),
    /// Of a message: the bytes, in hexadecimal digits.
    Hex(String),
    /// The script failed.
    Error(ScriptError),
}

/// How a script failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptError {
    /// Why, for its author.
    pub message: String,
    /// The line of the source, from 1 on; null where none is known.
    pub line: Option<u32>,
}

/// What a device sent of late, through the draft and through what is published.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Which device.
    pub device: DeviceName,
    /// Newest first.
    pub items: Vec<ReplayedItem>,
    /// Older bodies that were not tried.
    #[serde(default)]
    pub left_out: usize,
    /// Why not, where it is not that all of them would have taken too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_reason: Option<String>,
}

/// A body that was replayed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedItem {
    /// When it arrived.
    pub received_at: UnixMillis,
    /// What was sent, in hexadecimal digits.
    pub hex: String,
    /// What the published script makes of it; null where none is published.
    pub published: Option<TriedOnce>,
    /// What the draft makes of it; null where there is none.
    pub draft: Option<TriedOnce>,
    /// Whether both are there, and say something else.
    pub differs: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_says_one_thing_under_its_name() {
        for json in [
            r#"{"json":{"id":"1","z":1.50}}"#,
            r#"{"hex":"0a"}"#,
            r#"{"error":{"message":"Error: no","line":3}}"#,
            r#"{"error":{"message":"too long","line":null}}"#,
        ] {
            let tried = Tried::Once(serde_json::from_str(json).expect("it can be read"));
            assert_eq!(serde_json::to_string(&tried).expect("it can be written"), json);
        }
        for end in ["}", r#","leftOutReason":"trials rest"}"#] {
            let replayed = [
                r#"{"device":{"productKey":"pk","deviceKey":"dk"},"items":[{"receivedAt":7,"hex":"01","#,
                r#""published":null,"draft":{"hex":"02"},"differs":false}],"leftOut":3"#,
                end,
            ]
            .concat();
            let tried = Tried::Replayed(serde_json::from_str(&replayed).expect("it can be read"));
            assert_eq!(serde_json::to_string(&tried).expect("it can be written"), replayed);
        }
    }

    #[test]
    fn a_version_crosses_with_its_source() {
        let json = r#"{"version":2,"createdAt":7,"by":"owner","restores":1,"bytes":3,"source":"a\n\""}"#;
        let view: ScriptVersionView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&view).expect("it can be written"), json);
        assert!(serde_json::from_str::<NewScript>(r#"{"source":"","x":1}"#).is_err());
    }
}
