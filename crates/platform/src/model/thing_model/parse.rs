//! Reads a thing model; every error says where.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    ARRAY_LENGTH_MAX, Attribute, CallType, DataType, ELEMENTS_MAX, EnumKeys, Event, EventType, Fault, Field,
    MODEL_BYTES_MAX, Measurepoint, STRING_LENGTH_DEFAULT, Service, SignalType, ThingModel, is_identifier,
    push_step,
};

impl ThingModel {
    /// Reads a model from its JSON document.
    ///
    /// # Errors
    /// The first thing that is wrong, with its JSON pointer.
    pub fn parse(json: &str) -> Result<Self, Fault> {
        if json.len() > MODEL_BYTES_MAX {
            return Err(Fault::new(
                "",
                format!("the model has {} bytes; at most {MODEL_BYTES_MAX} are allowed", json.len()),
            ));
        }
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Fault::new("", format!("the model is not JSON: {error}")))?;
        let model = Place { value: &value, pointer: String::new() }.object(&[
            "modelId",
            "name",
            "description",
            "passthrough",
            "attributes",
            "measurepoints",
            "services",
            "events",
        ])?;
        Ok(Self {
            model_id: model.needed("modelId")?.text(1, 64)?,
            name: model.text("name")?,
            description: model.text("description")?,
            passthrough: model.flag("passthrough")?,
            attributes: model.elements("attributes", attribute)?,
            measurepoints: model.elements("measurepoints", measurepoint)?,
            services: model.elements("services", service)?,
            events: model.elements("events", event)?,
        })
    }
}

fn attribute(place: Place<'_>) -> Result<(String, Attribute), Fault> {
    let object = place.object(&["identifier", "name", "dataType", "required", "default"])?;
    let data_type = object.needed("dataType")?.data_type(Nesting::Outermost)?;
    let default = match object.find("default") {
        None => None,
        Some(mut default) => {
            data_type.check(default.value, &mut default.pointer)?;
            Some(default.value.clone())
        }
    };
    Ok((
        object.identifier()?,
        Attribute { name: object.text("name")?, data_type, required: object.flag("required")?, default },
    ))
}

fn measurepoint(place: Place<'_>) -> Result<(String, Measurepoint), Fault> {
    let object = place.object(&["identifier", "name", "dataType", "hasQuality", "signalType", "unit"])?;
    let data_type = object.needed("dataType")?.data_type(Nesting::Outermost)?;
    let has_quality = object.flag("hasQuality")?;
    if has_quality && !matches!(data_type, DataType::Int | DataType::Float | DataType::Double) {
        return Err(Fault::new(
            &object.pointer_of("hasQuality"),
            "only INT, FLOAT and DOUBLE points have a quality",
        ));
    }
    let signal_types = [
        ("AI", SignalType::Analog),
        ("DI", SignalType::Digital),
        ("PI", SignalType::Pulse),
        ("Generic", SignalType::Generic),
    ];
    let signal_type = object.one_of("signalType", &signal_types)?.unwrap_or(SignalType::Generic);
    let measurepoint = Measurepoint {
        name: object.text("name")?,
        data_type,
        has_quality,
        signal_type,
        unit: object.text("unit")?,
    };
    Ok((object.identifier()?, measurepoint))
}

fn service(place: Place<'_>) -> Result<(String, Service), Fault> {
    let object = place.object(&["identifier", "name", "inputData", "outputData", "callType"])?;
    let call_types = [("SYNC", CallType::Sync), ("ASYNC", CallType::Async)];
    let service = Service {
        name: object.text("name")?,
        input: object.fields("inputData", Nesting::Outermost)?,
        output: object.fields("outputData", Nesting::Outermost)?,
        call_type: object.one_of("callType", &call_types)?.unwrap_or(CallType::Sync),
    };
    Ok((object.identifier()?, service))
}

fn event(place: Place<'_>) -> Result<(String, Event), Fault> {
    let object = place.object(&["identifier", "name", "eventType", "outputData"])?;
    let event_types = [("INFO", EventType::Info), ("WARN", EventType::Warn), ("ERROR", EventType::Error)];
    let event = Event {
        name: object.text("name")?,
        event_type: object.one_of("eventType", &event_types)?.unwrap_or(EventType::Info),
        output: object.fields("outputData", Nesting::Outermost)?,
    };
    Ok((object.identifier()?, event))
}

/// Where a type stands; decides which types are allowed there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outermost,
    InStruct,
    InArray,
}

/// A value of the document and where it stands.
struct Place<'a> {
    value: &'a Value,
    pointer: String,
}

/// An object of the document, all of whose keys are known ones.
struct Object<'a> {
    map: &'a Map<String, Value>,
    pointer: String,
}

impl<'a> Place<'a> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(&self.pointer, message)
    }

    fn object(self, keys: &[&str]) -> Result<Object<'a>, Fault> {
        let Some(map) = self.value.as_object() else { return Err(self.fault("must be an object")) };
        let object = Object { map, pointer: self.pointer };
        match map.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(Fault::new(
                &object.pointer_of(key),
                format!("there is no such key; known ones: {}", keys.join(", ")),
            )),
            None => Ok(object),
        }
    }

    fn list(&self) -> Result<Vec<Place<'a>>, Fault> {
        let Some(values) = self.value.as_array() else { return Err(self.fault("must be an array")) };
        if values.len() > ELEMENTS_MAX {
            return Err(
                self.fault(format!("has {} elements; at most {ELEMENTS_MAX} are allowed", values.len()))
            );
        }
        let place = |(index, value)| Place { value, pointer: format!("{}/{index}", self.pointer) };
        Ok(values.iter().enumerate().map(place).collect())
    }

    fn text(&self, characters_min: usize, characters_max: usize) -> Result<String, Fault> {
        let text = self.value.as_str().ok_or_else(|| self.fault("must be a string"))?;
        if (characters_min..=characters_max).contains(&text.chars().count()) {
            Ok(text.to_owned())
        } else {
            Err(self.fault(format!("must have {characters_min} to {characters_max} characters")))
        }
    }

    fn length(&self, length_max: usize) -> Result<usize, Fault> {
        let length = self.value.as_u64().and_then(|length| usize::try_from(length).ok());
        match length {
            Some(length) if (1..=length_max).contains(&length) => Ok(length),
            _ => Err(self.fault(format!("must be an integer from 1 to {length_max}"))),
        }
    }

    fn data_type(&self, nesting: Nesting) -> Result<DataType, Fault> {
        let (name, parameters) = match self.value {
            Value::String(name) => (name.as_str(), None),
            Value::Object(map) => {
                let object = Object { map, pointer: self.pointer.clone() };
                let name = object.map.get("type").and_then(Value::as_str);
                let name =
                    name.ok_or_else(|| Fault::new(&object.pointer_of("type"), "must be the name of a type"))?;
                (name, Some(object))
            }
            _ => return Err(self.fault("must be the name of a type, or an object with \"type\"")),
        };
        if nesting == Nesting::InStruct && name == "STRUCT" {
            return Err(self.fault("a member of a STRUCT cannot be a STRUCT"));
        }
        if nesting == Nesting::InArray && !matches!(name, "INT" | "FLOAT" | "DOUBLE" | "STRING") {
            return Err(self.fault("an ARRAY is of INT, FLOAT, DOUBLE or STRING"));
        }
        let keys: &[&str] = match name {
            "STRING" => &["type", "maxLength"],
            "ENUM" => &["type", "values"],
            "STRUCT" => &["type", "members"],
            "ARRAY" => &["type", "elementType", "maxLength"],
            _ => &["type"],
        };
        let parameters = match parameters {
            Some(_) => Some(Place { value: self.value, pointer: self.pointer.clone() }.object(keys)?),
            None => None,
        };
        self.data_type_named(name, parameters.as_ref())
    }

    fn data_type_named(&self, name: &str, parameters: Option<&Object<'a>>) -> Result<DataType, Fault> {
        let length_max = |default, most| match parameters.and_then(|object| object.find("maxLength")) {
            Some(place) => place.length(most),
            None => Ok(default),
        };
        let needed = |key: &str| match parameters {
            Some(object) => object.needed(key),
            None => Err(self.fault(format!("{name} needs {{\"type\":\"{name}\",\"{key}\":…}}"))),
        };
        Ok(match name {
            "INT" => DataType::Int,
            "FLOAT" => DataType::Float,
            "DOUBLE" => DataType::Double,
            "BOOL" => DataType::Bool,
            "TIMESTAMP" => DataType::Timestamp,
            "DATE" => DataType::Date,
            "STRING" => DataType::String { length_max: length_max(STRING_LENGTH_DEFAULT, usize::MAX)? },
            "ENUM" => DataType::Enum(needed("values")?.enum_keys()?),
            "STRUCT" => DataType::Struct(needed("members")?.fields(Nesting::InStruct)?),
            "ARRAY" => DataType::Array {
                element: Box::new(needed("elementType")?.data_type(Nesting::InArray)?),
                length_max: length_max(ARRAY_LENGTH_MAX, ARRAY_LENGTH_MAX)?,
            },
            _ => {
                let known = "INT, FLOAT, DOUBLE, ENUM, BOOL, STRING, TIMESTAMP, DATE, STRUCT, ARRAY";
                return Err(self.fault(format!("there is no such type; known ones: {known}")));
            }
        })
    }

    fn enum_keys(&self) -> Result<EnumKeys, Fault> {
        let (mut integers, mut strings) = (BTreeSet::new(), BTreeSet::new());
        let values = self.list()?;
        for value in &values {
            let object =
                Place { value: value.value, pointer: value.pointer.clone() }.object(&["key", "name"])?;
            object.text("name")?;
            let key = object.needed("key")?;
            let added = match (key.value.as_i64(), key.value.as_str()) {
                (Some(integer), _) => integers.insert(integer),
                (_, Some(string)) => strings.insert(string.to_owned()),
                _ => return Err(key.fault("must be an integer or a string")),
            };
            if !added {
                return Err(key.fault("the key is there twice"));
            }
        }
        match (integers.is_empty(), strings.is_empty()) {
            (false, true) => Ok(EnumKeys::Integers(integers)),
            (true, false) => Ok(EnumKeys::Strings(strings)),
            (true, true) => Err(self.fault("must have at least one value")),
            (false, false) => Err(self.fault("the keys must be all integers or all strings")),
        }
    }

    fn fields(&self, nesting: Nesting) -> Result<Vec<Field>, Fault> {
        let mut fields: Vec<Field> = Vec::new();
        let mut seen = BTreeSet::new();
        for place in self.list()? {
            let object = place.object(&["identifier", "name", "dataType"])?;
            let identifier = object.identifier()?;
            if !seen.insert(identifier.clone()) {
                return Err(Fault::new(&object.pointer_of("identifier"), "the identifier is there twice"));
            }
            let data_type = object.needed("dataType")?.data_type(nesting)?;
            fields.push(Field { identifier, name: object.text("name")?, data_type });
        }
        Ok(fields)
    }
}

impl<'a> Object<'a> {
    fn pointer_of(&self, key: &str) -> String {
        let mut pointer = self.pointer.clone();
        push_step(&mut pointer, key);
        pointer
    }

    fn find(&self, key: &str) -> Option<Place<'a>> {
        self.map.get(key).map(|value| Place { value, pointer: self.pointer_of(key) })
    }

    fn needed(&self, key: &str) -> Result<Place<'a>, Fault> {
        self.find(key).ok_or_else(|| Fault::new(&self.pointer_of(key), "is missing"))
    }

    fn identifier(&self) -> Result<String, Fault> {
        let place = self.needed("identifier")?;
        match place.value.as_str() {
            Some(text) if is_identifier(text) => Ok(text.to_owned()),
            _ => Err(place.fault("must be 1 to 128 of A-Z a-z 0-9 _ . -")),
        }
    }

    /// A text for people; empty if it is absent.
    fn text(&self, key: &str) -> Result<String, Fault> {
        self.find(key).map_or(Ok(String::new()), |place| place.text(0, 1000))
    }

    /// A switch; off if it is absent.
    fn flag(&self, key: &str) -> Result<bool, Fault> {
        self.find(key).map_or(Ok(false), |place| {
            place.value.as_bool().ok_or_else(|| place.fault("must be true or false"))
        })
    }

    fn one_of<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Fault> {
        let Some(place) = self.find(key) else { return Ok(None) };
        match choices.iter().find(|(name, _)| place.value.as_str() == Some(*name)) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                Err(place.fault(format!("must be one of {}", names.join(", "))))
            }
        }
    }

    fn fields(&self, key: &str, nesting: Nesting) -> Result<Vec<Field>, Fault> {
        self.find(key).map_or(Ok(Vec::new()), |place| place.fields(nesting))
    }

    fn elements<T>(
        &self,
        key: &str,
        element: fn(Place<'a>) -> Result<(String, T), Fault>,
    ) -> Result<BTreeMap<String, T>, Fault> {
        let mut elements = BTreeMap::new();
        let Some(list) = self.find(key) else { return Ok(elements) };
        for place in list.list()? {
            let pointer = place.pointer.clone();
            let (identifier, value) = element(place)?;
            if elements.insert(identifier, value).is_some() {
                return Err(Fault {
                    pointer: pointer + "/identifier",
                    message: "the identifier is there twice".into(),
                });
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = r#"{
      "modelId": "meter", "name": "Electricity meter", "description": "d", "passthrough": true,
      "attributes": [{"identifier": "place", "name": "n", "dataType": "STRING", "required": true, "default": "?"}],
      "measurepoints": [
        {"identifier": "temp", "dataType": {"type": "DOUBLE"}, "hasQuality": true, "signalType": "AI", "unit": "°C"},
        {"identifier": "mode", "dataType": {"type": "ENUM", "values": [{"key": 0, "name": "off"}, {"key": 1}]}},
        {"identifier": "phases", "dataType": {"type": "ARRAY", "elementType": {"type": "STRING", "maxLength": 5}, "maxLength": 3}},
        {"identifier": "place", "dataType": {"type": "STRUCT", "members": [{"identifier": "x", "dataType": "INT"}]}}],
      "services": [{"identifier": "restart", "callType": "ASYNC", "inputData": [{"identifier": "delay", "dataType": "INT"}]}],
      "events": [{"identifier": "tilted", "eventType": "WARN", "outputData": [{"identifier": "angle", "dataType": "FLOAT"}]}]
    }"#;

    #[test]
    fn a_full_model_is_read() {
        let model = ThingModel::parse(FULL).expect("it is valid");
        assert_eq!((model.model_id.as_str(), model.passthrough), ("meter", true));
        assert_eq!(model.attributes["place"].default, Some("?".into()));
        let temp = &model.measurepoints["temp"];
        assert_eq!(
            (&temp.data_type, temp.has_quality, temp.signal_type),
            (&DataType::Double, true, SignalType::Analog)
        );
        assert_eq!(model.measurepoints["mode"].data_type, DataType::Enum(EnumKeys::Integers([0, 1].into())));
        let element = Box::new(DataType::String { length_max: 5 });
        assert_eq!(model.measurepoints["phases"].data_type, DataType::Array { element, length_max: 3 });
        assert_eq!(model.services["restart"].call_type, CallType::Async);
        assert_eq!(model.events["tilted"].output[0].data_type, DataType::Float);
    }

    #[test]
    fn a_model_needs_no_more_than_its_id() {
        let model = ThingModel::parse(r#"{"modelId":"m"}"#).expect("it is valid");
        assert!(!model.passthrough && model.measurepoints.is_empty());
    }

    #[test]
    fn an_error_says_where_and_what() {
        let point = |text: &str| format!(r#"{{"modelId":"m","measurepoints":[{text}]}}"#);
        for (json, said) in [
            ("[]".to_owned(), "must be an object"),
            ("{".to_owned(), "the model is not JSON: EOF while parsing an object at line 1 column 1"),
            ("{}".to_owned(), "/modelId: is missing"),
            (r#"{"modelId":""}"#.to_owned(), "/modelId: must have 1 to 64 characters"),
            (r#"{"modelId":7}"#.to_owned(), "/modelId: must be a string"),
            (
                r#"{"modelId":"m","Passthrough":true}"#.to_owned(),
                "/Passthrough: there is no such key; known ones: modelId,",
            ),
            (r#"{"modelId":"m","passthrough":1}"#.to_owned(), "/passthrough: must be true or false"),
            (r#"{"modelId":"m","measurepoints":{}}"#.to_owned(), "/measurepoints: must be an array"),
            (point("7"), "/measurepoints/0: must be an object"),
            (point(r#"{"dataType":"INT"}"#), "/measurepoints/0/identifier: is missing"),
            (
                point(r#"{"identifier":"a b","dataType":"INT"}"#),
                "/measurepoints/0/identifier: must be 1 to 128 of",
            ),
            (point(r#"{"identifier":"a"}"#), "/measurepoints/0/dataType: is missing"),
            (
                point(r#"{"identifier":"a","dataType":"int"}"#),
                "/measurepoints/0/dataType: there is no such type; known ones: INT,",
            ),
            (
                point(r#"{"identifier":"a","dataType":{"type":"INT","min":1}}"#),
                "/measurepoints/0/dataType/min: there is no such key",
            ),
            (point(r#"{"identifier":"a","dataType":"ENUM"}"#), "/measurepoints/0/dataType: ENUM needs"),
            (
                point(r#"{"identifier":"a","dataType":{"type":"ENUM","values":[]}}"#),
                "/measurepoints/0/dataType/values: must have at least",
            ),
            (
                point(r#"{"identifier":"a","dataType":"BOOL","hasQuality":true}"#),
                "/measurepoints/0/hasQuality: only INT,",
            ),
            (
                point(r#"{"identifier":"a","dataType":"INT","signalType":"X"}"#),
                "/measurepoints/0/signalType: must be one of AI,",
            ),
            (
                point(r#"{"identifier":"a","dataType":"INT"},{"identifier":"a","dataType":"INT"}"#),
                "/measurepoints/1/identifier: the identifier is there twice",
            ),
            (
                point(r#"{"identifier":"a","dataType":{"type":"ARRAY","elementType":"BOOL"}}"#),
                "/measurepoints/0/dataType/elementType: an ARRAY is of",
            ),
            (
                point(
                    r#"{"identifier":"a","dataType":{"type":"ARRAY","elementType":"INT","maxLength":1025}}"#,
                ),
                "/measurepoints/0/dataType/maxLength: must be an integer from 1 to 1024",
            ),
            (
                point(
                    r#"{"identifier":"a","dataType":{"type":"STRUCT","members":[{"identifier":"x","dataType":{"type":"STRUCT","members":[]}}]}}"#,
                ),
                "/measurepoints/0/dataType/members/0/dataType: a member of a STRUCT cannot be a STRUCT",
            ),
            (
                r#"{"modelId":"m","attributes":[{"identifier":"a","dataType":"INT","default":"x"}]}"#
                    .to_owned(),
                "/attributes/0/default: must be",
            ),
        ] {
            let fault = ThingModel::parse(&json).expect_err(&json).to_string();
            assert!(fault.starts_with(said), "{json}: {fault}");
        }
    }

    #[test]
    fn a_model_that_is_too_long_is_refused_before_it_is_read() {
        let fault = ThingModel::parse(&" ".repeat(MODEL_BYTES_MAX + 1)).expect_err("it is too long");
        assert!(fault.to_string().contains("at most 1048576"));
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in ".{0,200}") {
            let _ = ThingModel::parse(&text);
        }

        #[test]
        fn a_model_with_a_piece_torn_out_never_panics(start in 0..FULL.len(), length in 0..40_usize) {
            let kept: String = FULL.char_indices().filter(|(at, _)| !(start..start + length).contains(at)).map(|(_, kept)| kept).collect();
            let _ = ThingModel::parse(&kept);
        }
    }
}
