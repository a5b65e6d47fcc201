//! Attributes and tags of devices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// All attributes, or all tags, of a device by identifier: `{"id":value}`, values to the last digit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PropertiesView(pub BTreeMap<String, Box<RawValue>>);

/// What to change of them, as a JSON merge patch (RFC 7396): null takes away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PropertiesPatch(pub BTreeMap<String, Option<Box<RawValue>>>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_written_and_null_takes_away() {
        let json = r#"{"a":{"z":1.50,"b":2},"k/1":"v"}"#;
        let view: PropertiesView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&view).expect("it can be written"), json);
        let json = r#"{"a":1.50,"b":null}"#;
        let patch: PropertiesPatch = serde_json::from_str(json).expect("it can be read");
        assert!(patch.0["a"].is_some() && patch.0["b"].is_none());
        assert_eq!(serde_json::to_string(&patch).expect("it can be written"), json);
    }
}
