//! Attributes and tags of devices.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// All attributes, or all tags, of a device by identifier: `{"id":value}`, values to the last digit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PropertiesView(#[serde(deserialize_with = "once_each")] pub BTreeMap<String, Box<RawValue>>);

/// What to change of them, as a JSON merge patch (RFC 7396): null takes away.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PropertiesPatch(
    #[serde(deserialize_with = "once_each")] pub BTreeMap<String, Option<Box<RawValue>>>,
);

/// Reads an object. A name that stands twice is an error: nobody can know which value was meant.
fn once_each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    struct Once<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Once<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, T>()? {
                if all.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("{name:?} stands twice")));
                }
                all.insert(name, value);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_map(Once(PhantomData))
}

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

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        for json in [r#"{"a":1,"a":null}"#, r#"{"a":1,"b":2,"\u0061":1}"#] {
            let error = serde_json::from_str::<PropertiesPatch>(json).expect_err("it is ambiguous");
            assert!(error.to_string().starts_with("\"a\" stands twice"), "{error}");
        }
        assert!(serde_json::from_str::<PropertiesView>(r#"{"a":1,"a":1}"#).is_err());
        let error = serde_json::from_str::<PropertiesView>("[]").expect_err("it is no object");
        assert!(error.to_string().contains("expected an object"), "{error}");
    }
}
