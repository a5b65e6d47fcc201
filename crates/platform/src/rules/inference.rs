//! A draft of a thing model from what devices really sent: the narrowest type that takes every value that was
//! seen. What no type takes is left out, and the draft says so.
//!
//! | seen | type |
//! |---|---|
//! | `true`, `false` (and 0 or 1 beside them) | BOOL |
//! | integers of 32 bits | INT |
//! | integers from [`MILLIS_FROM`] to [`MILLIS_TO`] only | TIMESTAMP |
//! | other numbers | DOUBLE |
//! | `yyyy-MM-dd HH:mm:ss` only | DATE |
//! | other strings | STRING, with a `maxLength` where one was longer than 1024 |
//! | `{"value":…,"quality":0..9}` of a number only | the number's type, with `hasQuality` |
//! | other objects without objects in them | STRUCT |
//! | arrays of numbers or of strings | ARRAY |

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::thing_model::{
    ARRAY_LENGTH_MAX, DataType, ELEMENTS_MAX, STRING_LENGTH_DEFAULT, is_identifier,
};

/// Unix milliseconds that are taken for such: 2001 …
pub const MILLIS_FROM: i64 = 1_000_000_000_000;
/// … to 2096.
pub const MILLIS_TO: i64 = 4_000_000_000_000;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Inference {
    attributes: BTreeMap<String, Shape>,
    points: BTreeMap<String, Shape>,
    events: BTreeMap<String, BTreeMap<String, Shape>>,
}

/// A draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The model as a JSON document.
    pub model: Value,
    /// What is left out, each with why, for people.
    pub left_out: Vec<String>,
}

/// Of what kind the values of one name are.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Bool,
    /// 0 or 1.
    Bit,
    Int,
    Millis,
    Number,
    Date,
    /// The longest, in characters.
    Text(usize),
    Quality(Box<Shape>),
    Object(BTreeMap<String, Shape>),
    /// Of its elements, if there were some, and the longest.
    List(Option<Box<Shape>>, usize),
    /// Several that have no type in common.
    Mixed,
}

impl Inference {
    /// An attribute of a device.
    pub fn attribute(&mut self, identifier: &str, value: &Value) {
        see(&mut self.attributes, identifier, Shape::of(value));
    }

    /// A value of a measurepoint.
    pub fn point(&mut self, identifier: &str, value: &Value) {
        see(&mut self.points, identifier, Shape::of_point(value));
    }

    /// An event, with its parameters.
    pub fn event(&mut self, identifier: &str, output: &Value) {
        let parameters = self.events.entry(identifier.to_owned()).or_default();
        for (name, value) in output.as_object().into_iter().flatten() {
            see(parameters, name, Shape::of(value));
        }
    }

    /// The draft, of a model with this id.
    pub fn draft(&self, model_id: &str) -> Draft {
        let mut left_out = Vec::new();
        let attributes = elements(&self.attributes, "attribute", &mut left_out);
        let points = elements(&self.points, "measurepoint", &mut left_out);
        let mut events = Vec::new();
        for (identifier, parameters) in &self.events {
            if events.len() >= ELEMENTS_MAX {
                left_out.push(format!("event {identifier}: a model has at most {ELEMENTS_MAX}"));
                continue;
            }
            let output = elements(parameters, &format!("event {identifier}, parameter"), &mut left_out);
            events.push(json!({ "identifier": identifier, "outputData": output }));
        }
        let model = json!({
            "modelId": model_id,
            "attributes": attributes,
            "measurepoints": points,
            "events": events,
        });
        Draft { model, left_out }
    }
}

impl Draft {
    /// The model as text, with the keys of each object in the order in which people read them.
    pub fn written(&self) -> String {
        let mut text = String::new();
        write_value(&self.model, &mut text);
        text
    }
}

/// Keys that stand before others, in this order.
const FIRST_KEYS: [&str; 6] = ["modelId", "identifier", "dataType", "type", "attributes", "measurepoints"];

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let place = |key: &str| FIRST_KEYS.iter().position(|first| *first == key);
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(key, _)| place(key).unwrap_or(FIRST_KEYS.len()));
            text.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_value(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_value(value, text);
            }
            text.push(']');
        }
        single => text.push_str(&single.to_string()),
    }
}

fn see(known: &mut BTreeMap<String, Shape>, identifier: &str, shape: Shape) {
    let joined = match known.remove(identifier) {
        Some(before) => before.join(shape),
        None => shape,
    };
    known.insert(identifier.to_owned(), joined);
}

/// The elements that have a type.
fn elements(known: &BTreeMap<String, Shape>, kind: &str, left_out: &mut Vec<String>) -> Vec<Value> {
    let mut elements = Vec::new();
    for (identifier, shape) in known {
        let (inner, has_quality) = match shape {
            Shape::Quality(inner) => (&**inner, true),
            shape => (shape, false),
        };
        match inner.data_type(Nesting::Outermost) {
            Some(data_type) if elements.len() < ELEMENTS_MAX => {
                let mut element = Map::new();
                element.insert("identifier".to_owned(), identifier.as_str().into());
                element.insert("dataType".to_owned(), data_type);
                if has_quality {
                    element.insert("hasQuality".to_owned(), true.into());
                }
                elements.push(element.into());
            }
            Some(_) => left_out.push(format!("{kind} {identifier}: a model has at most {ELEMENTS_MAX}")),
            None => left_out.push(format!("{kind} {identifier}: no type takes all values that were sent")),
        }
    }
    elements
}

/// Where a type stands: what is possible there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outermost,
    InStruct,
    InArray,
}

impl Shape {
    /// A point may come with a quality.
    fn of_point(value: &Value) -> Self {
        let with_quality = value.as_object().filter(|map| map.len() == 2);
        let pair = with_quality.and_then(|map| map.get("value").zip(map.get("quality")));
        match pair {
            Some((inner, quality)) if inner.is_number() && matches!(quality.as_u64(), Some(0..=9)) => {
                let inner = match Self::of(inner) {
                    Self::Bit => Self::Int,
                    Self::Millis => Self::Number,
                    other => other,
                };
                Self::Quality(Box::new(inner))
            }
            _ => Self::of(value),
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Mixed,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) => match number.as_i64() {
                Some(0 | 1) => Self::Bit,
                Some(integer) if i32::try_from(integer).is_ok() => Self::Int,
                Some(MILLIS_FROM..=MILLIS_TO) => Self::Millis,
                _ => Self::Number,
            },
            Value::String(_) if DataType::Date.check(value, &mut String::new()).is_ok() => Self::Date,
            Value::String(text) => Self::Text(text.chars().count()),
            Value::Array(values) => {
                let elements = values.iter().map(Self::of).reduce(Self::join);
                Self::List(elements.map(Box::new), values.len())
            }
            Value::Object(map) => {
                Self::Object(map.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
        }
    }

    /// What takes both.
    fn join(self, other: Self) -> Self {
        /// As long as a date is written.
        const DATE: usize = 19;
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Self::Text(one.max(other)),
            (Self::Date, Self::Text(length)) | (Self::Text(length), Self::Date) => {
                Self::Text(length.max(DATE))
            }
            (Self::Bool, Self::Bit) | (Self::Bit, Self::Bool) => Self::Bool,
            (Self::Bit, Self::Int) | (Self::Int, Self::Bit) => Self::Int,
            (Self::Quality(one), Self::Quality(other)) => Self::Quality(Box::new(one.join(*other))),
            (Self::Object(mut one), Self::Object(other)) => {
                for (name, shape) in other {
                    see(&mut one, &name, shape);
                }
                Self::Object(one)
            }
            (Self::List(one, length), Self::List(other, longer)) => {
                let elements = match (one, other) {
                    (Some(one), Some(other)) => Some(Box::new(one.join(*other))),
                    (one, other) => one.or(other),
                };
                Self::List(elements, length.max(longer))
            }
            (one, other) if one == other => one,
            (one, other) if one.is_number() && other.is_number() => Self::Number,
            _ => Self::Mixed,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Bit | Self::Int | Self::Millis | Self::Number)
    }

    /// As a model writes it; `None`: it has no type there.
    fn data_type(&self, nesting: Nesting) -> Option<Value> {
        let in_array = nesting == Nesting::InArray;
        Some(match self {
            Self::Bit | Self::Int => "INT".into(),
            Self::Millis | Self::Number if in_array => "DOUBLE".into(),
            Self::Date if in_array => "STRING".into(),
            Self::Bool if !in_array => "BOOL".into(),
            Self::Millis => "TIMESTAMP".into(),
            Self::Number => "DOUBLE".into(),
            Self::Date => "DATE".into(),
            Self::Text(length) if *length > STRING_LENGTH_DEFAULT => {
                json!({ "type": "STRING", "maxLength": length })
            }
            Self::Text(_) => "STRING".into(),
            Self::Object(members) if nesting == Nesting::Outermost && members.len() <= ELEMENTS_MAX => {
                let member = |(name, shape): (&String, &Self)| {
                    let data_type = shape.data_type(Nesting::InStruct)?;
                    is_identifier(name).then(|| json!({ "identifier": name, "dataType": data_type }))
                };
                let members: Option<Vec<Value>> = members.iter().map(member).collect();
                json!({ "type": "STRUCT", "members": members? })
            }
            Self::List(elements, length) if !in_array && *length <= ARRAY_LENGTH_MAX => {
                let element = match elements {
                    Some(elements) => elements.data_type(Nesting::InArray)?,
                    None => "DOUBLE".into(),
                };
                json!({ "type": "ARRAY", "elementType": element })
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::thing_model::ThingModel;

    /// The type of a point that had these values; `-`: it is left out.
    fn of(values: &[&str]) -> String {
        let mut seen = Inference::default();
        for value in values {
            seen.point("p", &serde_json::from_str(value).expect("the test gives JSON"));
        }
        let Draft { model, left_out } = seen.draft("m");
        assert_eq!(left_out.len(), usize::from(model["measurepoints"] == json!([])));
        let element = &model["measurepoints"][0];
        let quality = if element["hasQuality"] == true { " with quality" } else { "" };
        match &element["dataType"] {
            Value::Null => "-".to_owned(),
            Value::String(name) => format!("{name}{quality}"),
            other => other.to_string(),
        }
    }

    #[test]
    fn the_narrowest_type_takes_all_values() {
        for (values, data_type) in [
            (&["true", "0"][..], "BOOL"),
            (&["0", "1"], "INT"),
            (&["0", "-70000"], "INT"),
            (&["1700000000000", "1700000000001"], "TIMESTAMP"),
            (&["1700000000000", "7"], "DOUBLE"),
            (&["5000000000"], "DOUBLE"),
            (&["1", "1.0"], "DOUBLE"),
            (&["-0"], "DOUBLE"),
            (&[r#""2026-01-31 10:00:00""#], "DATE"),
            (&[r#""2026-01-31 10:00:00""#, r#""x""#], "STRING"),
            (&[r#"{"value":1,"quality":0}"#], "INT with quality"),
            (&[r#"{"value":1,"quality":0}"#, r#"{"value":1.5,"quality":9}"#], "DOUBLE with quality"),
            (&[r#"{"value":1,"quality":0}"#, "1"], "-"),
            (&["[1,2]", "[]"], r#"{"elementType":"INT","type":"ARRAY"}"#),
            (&["[]"], r#"{"elementType":"DOUBLE","type":"ARRAY"}"#),
            (&["[1,1.5]", r#"["a"]"#], "-"),
            (&["[true]"], "-"),
            (&["[[1]]"], "-"),
            (
                &[r#"{"x":1}"#, r#"{"y":"a"}"#],
                concat!(
                    r#"{"members":[{"dataType":"INT","identifier":"x"},"#,
                    r#"{"dataType":"STRING","identifier":"y"}],"type":"STRUCT"}"#
                ),
            ),
            (&[r#"{"x":{"y":1}}"#], "-"),
            (&["1", r#""1""#], "-"),
        ] {
            assert_eq!(of(values), data_type, "{values:?}");
        }
        let long = format!("\"{}\"", "x".repeat(2000));
        assert_eq!(of(&[&long]), r#"{"maxLength":2000,"type":"STRING"}"#);
    }

    #[test]
    fn a_draft_is_written_as_people_read_it() {
        let mut seen = Inference::default();
        seen.attribute("place", &json!("a\"b"));
        seen.point("temp", &json!({"value": 1.5, "quality": 0}));
        seen.point("at", &json!({"x": [1]}));
        seen.event("tilted", &json!({"angle": 1}));
        let draft = seen.draft("meter");
        let expected = concat!(
            r#"{"modelId":"meter","attributes":[{"identifier":"place","dataType":"STRING"}],"#,
            r#""measurepoints":[{"identifier":"at","dataType":{"type":"STRUCT","members":["#,
            r#"{"identifier":"x","dataType":{"type":"ARRAY","elementType":"INT"}}]}},"#,
            r#"{"identifier":"temp","dataType":"DOUBLE","hasQuality":true}],"#,
            r#""events":[{"identifier":"tilted","outputData":[{"identifier":"angle","dataType":"INT"}]}]}"#,
        );
        assert_eq!(draft.written(), expected);
        assert_eq!(serde_json::from_str::<Value>(expected).expect("it is JSON"), draft.model);
    }

    #[test]
    fn events_beyond_those_that_a_model_has_are_named() {
        let mut seen = Inference::default();
        for n in 1000..=1000 + ELEMENTS_MAX {
            seen.event(&format!("e{n}"), &json!({"angle": 1}));
        }
        let Draft { model, left_out } = seen.draft("meter");
        assert_eq!(model["events"].as_array().map(Vec::len), Some(ELEMENTS_MAX));
        assert_eq!(left_out, ["event e3000: a model has at most 2000"]);
    }

    #[test]
    fn what_is_left_out_is_named() {
        let mut seen = Inference::default();
        seen.attribute("size", &json!(7));
        seen.attribute("odd", &json!([[1]]));
        seen.event("tilted", &json!({"angle": 1.5}));
        seen.event("tilted", &json!({"odd": "1"}));
        seen.event("tilted", &json!({"odd": 1}));
        seen.event("opened", &json!({}));
        let Draft { model, left_out } = seen.draft("meter");
        assert_eq!(
            left_out,
            [
                "attribute odd: no type takes all values that were sent",
                "event tilted, parameter odd: no type takes all values that were sent",
            ]
        );
        let model = ThingModel::parse(&model.to_string()).expect("a draft is a model");
        assert_eq!((model.model_id.as_str(), model.passthrough), ("meter", false));
        assert_eq!((model.attributes.len(), model.events.len()), (1, 2));
        assert_eq!(model.events["tilted"].output.iter().count(), 1);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(json!("2026-01-31 10:00:00")),
            "[a-z]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abv]|value|quality", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// A draft is a model, and takes everything that it was made of.
        #[test]
        fn a_draft_takes_what_it_was_made_of(values in proptest::collection::vec(value(), 1..5)) {
            let values: Vec<Value> = values.into_iter().filter(|value| !value.is_null()).collect();
            let mut seen = Inference::default();
            for value in &values {
                seen.point("p", value);
                seen.attribute("a", value);
            }
            let Draft { model, .. } = seen.draft("m");
            let model = ThingModel::parse(&model.to_string()).expect("a draft is a model");
            for value in &values {
                if model.measurepoints.contains_key("p") {
                    prop_assert_eq!(model.check_point("p", value, &mut String::new()), Ok(()));
                }
                if model.attributes.contains_key("a") {
                    prop_assert_eq!(model.check_attribute("a", value, &mut String::new()), Ok(()));
                }
            }
        }
    }
}
