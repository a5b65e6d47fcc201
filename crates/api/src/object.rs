//! Objects of JSON that stand inside a request: without this, an array would be read as one, its elements as
//! the fields in their order.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Reads an object.
pub(crate) fn one<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(object)| object)
}

/// Reads an array of objects.
pub(crate) fn all<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(object)| object).collect())
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use crate::{import::ImportRows, product::NewProduct};

    #[test]
    fn an_array_is_no_object_inside_a_request() {
        let product = |json: &str| serde_json::from_str::<NewProduct>(json);
        assert!(
            product(r#"{"name":"n","dynamicActivation":{"enabled":true}}"#)
                .unwrap()
                .dynamic_activation
                .enabled
        );
        let error = product(r#"{"name":"n","dynamicActivation":[true]}"#).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: sequence, expected an object"), "{error}");
        let rows = |json: &str| serde_json::from_str::<ImportRows>(json);
        assert_eq!(rows(r#"{"rows":[{"line":1,"deviceKey":"dk"}]}"#).unwrap().rows[0].device_key, "dk");
        let error = rows(r#"{"rows":[[1,"dk"]]}"#).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: sequence, expected an object"), "{error}");
    }
}
