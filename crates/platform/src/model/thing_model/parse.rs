//! Reads a thing model; every error says where.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    ARRAY_LENGTH_MAX, Attribute, CallType, DataType, Defaults, ELEMENTS_MAX, ElementKind, EnumKeys, Event,
    EventType, Fault, Field, Fields, Measurepoint, STRING_LENGTH_DEFAULT, Service, SignalType, ThingModel,
    is_identifier, push_step,
};
use crate::model::json_text::JsonText;

impl ThingModel {
    /// Reads a model back from its JSON document, once it was accepted (see [`Self::accept`]).
    ///
    /// # Errors
    /// The first thing that is wrong, with its JSON pointer.
    pub fn parse(json: &str) -> Result<Self, Fault> {
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
        let with_defaults = model.elements("attributes", attribute)?;
        let (mut attributes, mut defaults) = (BTreeMap::new(), BTreeMap::new());
        for (identifier, (attribute, default)) in with_defaults {
            defaults.extend(default.map(|default| (identifier.clone(), default)));
            attributes.insert(identifier, attribute);
        }
        let mut parsed = Self {
            model_id: model.require("modelId")?.text(1, 64)?,
            name: model.text("name")?,
            description: model.text("description")?,
            passthrough: model.flag("passthrough")?,
            attributes,
            measurepoints: model.elements("measurepoints", measurepoint)?,
            services: model.elements("services", service)?,
            events: model.elements("events", event)?,
            defaults: Arc::new(Defaults::new(defaults)),
            numbered: Vec::new(),
        };
        parsed.numbered = numbered(&parsed);
        Ok(parsed)
    }
}

/// The table of numbers.
fn numbered(model: &ThingModel) -> Vec<(u16, ElementKind, Box<str>)> {
    let with = |kind: ElementKind| {
        move |(number, identifier): (Option<u16>, &String)| {
            number.map(|number| (number, kind, identifier.as_str().into()))
        }
    };
    let attributes = model.attributes.iter().map(|(identifier, element)| (element.number, identifier));
    let points = model.measurepoints.iter().map(|(identifier, element)| (element.number, identifier));
    let services = model.services.iter().map(|(identifier, element)| (element.number, identifier));
    let events = model.events.iter().map(|(identifier, element)| (element.number, identifier));
    let mut numbered: Vec<_> = attributes
        .filter_map(with(ElementKind::Attribute))
        .chain(points.filter_map(with(ElementKind::Measurepoint)))
        .chain(services.filter_map(with(ElementKind::Service)))
        .chain(events.filter_map(with(ElementKind::Event)))
        .collect();
    numbered.sort_unstable_by_key(|(number, ..)| *number);
    numbered
}

/// With its default.
fn attribute(place: Place<'_>) -> Result<(String, (Attribute, Option<JsonText>)), Fault> {
    let object = place.object(&["identifier", "number", "name", "dataType", "required", "default"])?;
    let data_type = object.require("dataType")?.data_type(Nesting::Outermost)?;
    let default = match object.find("default") {
        None => None,
        Some(mut default) => {
            data_type.check(default.value, &mut default.pointer)?;
            Some(JsonText::new(&default.value.to_string()))
        }
    };
    let attribute = Attribute {
        name: object.text("name")?,
        number: object.number()?,
        data_type,
        required: object.flag("required")?,
    };
    Ok((object.identifier()?, (attribute, default)))
}

fn measurepoint(place: Place<'_>) -> Result<(String, Measurepoint), Fault> {
    let keys = ["identifier", "number", "name", "dataType", "hasQuality", "signalType", "unit"];
    let object = place.object(&keys)?;
    let data_type = object.require("dataType")?.data_type(Nesting::Outermost)?;
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
        number: object.number()?,
        data_type,
        has_quality,
        signal_type,
        unit: object.text("unit")?,
    };
    Ok((object.identifier()?, measurepoint))
}

fn service(place: Place<'_>) -> Result<(String, Service), Fault> {
    let object = place.object(&["identifier", "number", "name", "inputData", "outputData", "callType"])?;
    let call_types = [("SYNC", CallType::Sync), ("ASYNC", CallType::Async)];
    let service = Service {
        name: object.text("name")?,
        number: object.number()?,
        input: object.fields("inputData", Nesting::Outermost)?,
        output: object.fields("outputData", Nesting::Outermost)?,
        call_type: object.one_of("callType", &call_types)?.unwrap_or(CallType::Sync),
    };
    Ok((object.identifier()?, service))
}

fn event(place: Place<'_>) -> Result<(String, Event), Fault> {
    let object = place.object(&["identifier", "number", "name", "eventType", "outputData"])?;
    let event_types = [("INFO", EventType::Info), ("WARN", EventType::Warn), ("ERROR", EventType::Error)];
    let event = Event {
        name: object.text("name")?,
        number: object.number()?,
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

/// An object of the document with known keys only.
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
            Some(object) => object.require(key),
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
            let key = object.require("key")?;
            let added = match (key.value.as_i64(), key.value.as_str()) {
                (Some(integer), _) => integers.insert(integer),
                (_, Some(string)) => strings.insert(string.to_owned()),
                _ => return Err(key.fault("must be an integer or a string")),
            };
            if !added {
                return Err(key.fault("the key occurs twice"));
            }
        }
        match (integers.is_empty(), strings.is_empty()) {
            (false, true) => Ok(EnumKeys::Integers(integers)),
            (true, false) => Ok(EnumKeys::Strings(strings)),
            (true, true) => Err(self.fault("must have at least one value")),
            (false, false) => Err(self.fault("the keys must be all integers or all strings")),
        }
    }

    /// Only parameters, which are outermost, have numbers.
    fn fields(&self, nesting: Nesting) -> Result<Fields, Fault> {
        let mut fields: Vec<Field> = Vec::new();
        let mut seen = BTreeSet::new();
        let keys: &[&str] = match nesting {
            Nesting::Outermost => &["identifier", "number", "name", "dataType"],
            Nesting::InStruct | Nesting::InArray => &["identifier", "name", "dataType"],
        };
        for place in self.list()? {
            let object = place.object(keys)?;
            let identifier = object.identifier()?;
            if !seen.insert(identifier.clone()) {
                return Err(Fault::new(&object.pointer_of("identifier"), "the identifier occurs twice"));
            }
            let data_type = object.require("dataType")?.data_type(nesting)?;
            let (name, number) = (object.text("name")?, object.number()?);
            fields.push(Field { identifier, name, number, data_type });
        }
        Ok(Fields::new(fields))
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

    fn require(&self, key: &str) -> Result<Place<'a>, Fault> {
        self.find(key).ok_or_else(|| Fault::new(&self.pointer_of(key), "is missing"))
    }

    fn identifier(&self) -> Result<String, Fault> {
        let place = self.require("identifier")?;
        match place.value.as_str() {
            Some(text) if is_identifier(text) => Ok(text.to_owned()),
            _ => Err(place.fault("must be 1 to 128 of A-Z a-z 0-9 _ . -")),
        }
    }

    /// An integer key; whether another one has it is seen by [`super::Numbers`].
    fn number(&self) -> Result<Option<u16>, Fault> {
        let Some(place) = self.find("number") else { return Ok(None) };
        match place.value.as_u64().and_then(|number| u16::try_from(number).ok()) {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => Err(place.fault("must be an integer from 1 to 65535")),
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

    fn fields(&self, key: &str, nesting: Nesting) -> Result<Fields, Fault> {
        self.find(key).map_or(Ok(Fields::default()), |place| place.fields(nesting))
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
                    message: "the identifier occurs twice".into(),
                });
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
