//! Checks values against a thing model.

use serde_json::Value;

use super::{DataType, EnumKeys, Fault, Fields, ThingModel, push_step};

/// Keys of an enumeration that a fault names, and characters of each.
const KEYS_SHOWN: usize = 10;
const KEY_SHOWN: usize = 32;

impl ThingModel {
    /// Checks the value of one measurepoint. `pointer` is where it stands, for the fault; it is unchanged
    /// unless there is one.
    ///
    /// # Errors
    /// What is wrong, with a JSON pointer that starts with `pointer`.
    pub fn check_point(&self, identifier: &str, value: &Value, pointer: &mut String) -> Result<(), Fault> {
        let Some(point) = self.measurepoints.get(identifier) else {
            return if !self.passthrough {
                Err(Fault::new(pointer, format!("model {} has no such point", self.model_id)))
            } else if value.is_null() {
                Err(Fault::new(pointer, "must not be null"))
            } else {
                Ok(())
            };
        };
        if !point.has_quality {
            return point.data_type.check(value, pointer);
        }
        let Some((inner, quality)) = value
            .as_object()
            .filter(|map| map.len() == 2)
            .and_then(|map| map.get("value").zip(map.get("quality")))
        else {
            return Err(Fault::new(pointer, "must be {\"value\":…,\"quality\":0 to 9}"));
        };
        inside(pointer, "value", |pointer| point.data_type.check(inner, pointer))?;
        match quality.as_u64() {
            Some(0..=9) => Ok(()),
            _ => inside(pointer, "quality", |pointer| {
                Err(Fault::new(pointer, "must be an integer from 0 to 9"))
            }),
        }
    }
}

impl ThingModel {
    /// Checks the value of an attribute, as [`Self::check_point`] does.
    ///
    /// # Errors
    /// What is wrong, with a JSON pointer that starts with `pointer`.
    pub fn check_attribute(
        &self,
        identifier: &str,
        value: &Value,
        pointer: &mut String,
    ) -> Result<(), Fault> {
        match self.attributes.get(identifier) {
            Some(attribute) => attribute.data_type.check(value, pointer),
            None if !self.passthrough => {
                Err(Fault::new(pointer, format!("model {} has no such attribute", self.model_id)))
            }
            None if value.is_null() => Err(Fault::new(pointer, "must not be null")),
            None => Ok(()),
        }
    }

    /// Whether a device must have an attribute.
    pub fn requires(&self, attribute: &str) -> bool {
        self.attributes.get(attribute).is_some_and(|attribute| attribute.required)
    }
}

impl DataType {
    /// Checks that a value is of this type. `pointer` is where it stands, for the fault.
    ///
    /// # Errors
    /// What is wrong, with a JSON pointer that starts with `pointer`.
    pub fn check(&self, value: &Value, pointer: &mut String) -> Result<(), Fault> {
        let (is_valid, wanted) = match self {
            Self::Int => (
                value.as_i64().is_some_and(|integer| i32::try_from(integer).is_ok()),
                "an integer of 32 bits",
            ),
            Self::Float => (
                value.as_f64().is_some_and(|number| (number as f32).is_finite()),
                "a number that fits a 32-bit float",
            ),
            Self::Double => (value.is_number(), "a number"),
            Self::Bool => {
                (value.is_boolean() || matches!(value.as_u64(), Some(0 | 1)), "true, false, 1 or 0")
            }
            Self::Timestamp => (value.as_i64().is_some_and(|millis| millis >= 0), "Unix milliseconds"),
            Self::Date => (value.as_str().is_some_and(is_date), "a date and time as yyyy-MM-dd HH:mm:ss"),
            Self::Enum(keys) => return check_enum(keys, value, pointer),
            Self::String { length_max } => return check_string(value, *length_max, pointer),
            Self::Struct(members) => return check_struct(members, value, pointer),
            Self::Array { element, length_max } => return check_array(element, *length_max, value, pointer),
        };
        if is_valid { Ok(()) } else { Err(Fault::new(pointer, format!("must be {wanted}"))) }
    }
}

fn check_enum(keys: &EnumKeys, value: &Value, pointer: &str) -> Result<(), Fault> {
    let (is_valid, what) = match keys {
        EnumKeys::Integers(keys) => (value.as_i64().is_some_and(|key| keys.contains(&key)), "integers"),
        EnumKeys::Strings(keys) => (value.as_str().is_some_and(|key| keys.contains(key)), "strings"),
    };
    if is_valid {
        return Ok(());
    }
    let first = match keys {
        EnumKeys::Integers(keys) => first_of(keys.iter().map(ToString::to_string)),
        EnumKeys::Strings(keys) => first_of(keys.iter().map(|key| key.chars().take(KEY_SHOWN).collect())),
    };
    Err(Fault::new(pointer, format!("must be one of the {what} of the enumeration: {first}")))
}

/// The first few keys of an enumeration, for people.
fn first_of(keys: impl Iterator<Item = String>) -> String {
    let mut keys: Vec<String> = keys.take(KEYS_SHOWN + 1).collect();
    if keys.len() > KEYS_SHOWN {
        keys[KEYS_SHOWN] = "…".to_owned();
    }
    keys.join(", ")
}

fn check_string(value: &Value, length_max: usize, pointer: &str) -> Result<(), Fault> {
    let Some(text) = value.as_str() else { return Err(Fault::new(pointer, "must be a string")) };
    let characters = text.chars().count();
    if characters > length_max {
        return Err(Fault::new(
            pointer,
            format!("has {characters} characters; at most {length_max} are allowed"),
        ));
    }
    Ok(())
}

fn check_struct(members: &Fields, value: &Value, pointer: &mut String) -> Result<(), Fault> {
    let Some(map) = value.as_object() else { return Err(Fault::new(pointer, "must be an object")) };
    for (key, value) in map {
        inside(pointer, key, |pointer| match members.find(key) {
            Some(member) => member.data_type.check(value, pointer),
            None => Err(Fault::new(pointer, "the structure has no such member")),
        })?;
    }
    Ok(())
}

fn check_array(
    element: &DataType,
    length_max: usize,
    value: &Value,
    pointer: &mut String,
) -> Result<(), Fault> {
    let Some(values) = value.as_array() else { return Err(Fault::new(pointer, "must be an array")) };
    if values.len() > length_max {
        return Err(Fault::new(
            pointer,
            format!("has {} values; at most {length_max} are allowed", values.len()),
        ));
    }
    for (index, value) in values.iter().enumerate() {
        inside(pointer, &index.to_string(), |pointer| element.check(value, pointer))?;
    }
    Ok(())
}

/// Runs a check one step deeper.
fn inside(
    pointer: &mut String,
    step: &str,
    check: impl FnOnce(&mut String) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let length = pointer.len();
    push_step(pointer, step);
    let result = check(pointer);
    pointer.truncate(length);
    result
}

/// `yyyy-MM-dd HH:mm:ss`, of the Gregorian calendar, without leap seconds.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_form = bytes.len() == 19
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b' ',
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if !has_form {
        return false;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().fold(0_u32, |number, byte| number * 10 + u32::from(byte - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 0,
    };
    (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(passthrough: bool) -> ThingModel {
        let json = r#"{"modelId":"m","measurepoints":[
          {"identifier":"int","dataType":"INT"}, {"identifier":"float","dataType":"FLOAT"},
          {"identifier":"double","dataType":"DOUBLE"},
          {"identifier":"bool","dataType":"BOOL"},
          {"identifier":"text","dataType":{"type":"STRING","maxLength":3}},
          {"identifier":"timestamp","dataType":"TIMESTAMP"}, {"identifier":"date","dataType":"DATE"},
          {"identifier":"enum_i","dataType":{"type":"ENUM","values":[{"key":0},{"key":-7}]}},
          {"identifier":"enum_s","dataType":{"type":"ENUM","values":[{"key":"on"}]}},
          {"identifier":"struct","dataType":{"type":"STRUCT","members":[
             {"identifier":"x","dataType":"INT"},
             {"identifier":"y","dataType":{"type":"ARRAY","elementType":"DOUBLE"}}]}},
          {"identifier":"array","dataType":{"type":"ARRAY","elementType":"INT","maxLength":2}},
          {"identifier":"quality","dataType":"DOUBLE","hasQuality":true}]}"#;
        ThingModel { passthrough, ..ThingModel::parse(json).expect("it is valid") }
    }

    fn check(model: &ThingModel, point: &str, value: &str) -> Result<(), String> {
        let value = serde_json::from_str(value).expect("the test gives JSON");
        let mut pointer = "/params/measurepoints/p".to_owned();
        let result = model.check_point(point, &value, &mut pointer);
        assert_eq!(pointer, "/params/measurepoints/p");
        result.map_err(|fault| fault.to_string())
    }

    #[test]
    fn values_of_each_type_are_accepted() {
        let model = model(false);
        for (point, values) in [
            ("int", &["0", "-2147483648", "2147483647"][..]),
            ("float", &["1", "-1.5", "3.4e38", "1e-50"]),
            ("double", &["1", "-0", "1e308"]),
            ("bool", &["true", "false", "1", "0"]),
            ("text", &[r#""""#, r#""abc""#, r#""äöü""#]),
            ("timestamp", &["0", "1700000000000"]),
            ("date", &[r#""2024-02-29 23:59:59""#, r#""2000-02-29 00:00:00""#]),
            ("enum_i", &["0", "-7"]),
            ("enum_s", &[r#""on""#]),
            ("struct", &["{}", r#"{"x":1}"#, r#"{"y":[1,2.5],"x":1}"#]),
            ("array", &["[]", "[1,2]"]),
            ("quality", &[r#"{"value":1.5,"quality":0}"#, r#"{"quality":9,"value":1}"#]),
        ] {
            for value in values {
                assert_eq!(check(&model, point, value), Ok(()), "{point} {value}");
            }
        }
    }

    #[test]
    fn mistyped_values_are_refused_with_their_place() {
        let model = model(false);
        for (point, value, said) in [
            ("int", "2147483648", ": must be an integer of 32 bits"),
            ("int", "1.0", ": must be an integer of 32 bits"),
            // Of the readers of what is stored, the integer's would show 0 and the number's -0.0: neither is
            // what was sent.
            ("int", "-0", ": must be an integer of 32 bits"),
            ("int", "-0.0", ": must be an integer of 32 bits"),
            ("bool", "-0", ": must be true, false, 1 or 0"),
            ("timestamp", "-0", ": must be Unix milliseconds"),
            ("enum_i", "-0", ": must be one of the integers"),
            ("struct", r#"{"x":-0}"#, "/x: must be an integer of 32 bits"),
            ("array", "[1,-0]", "/1: must be an integer of 32 bits"),
            ("quality", r#"{"value":1,"quality":-0}"#, "/quality: must be an integer from 0 to 9"),
            ("int", "\"1\"", ": must be an integer of 32 bits"),
            ("int", "null", ": must be an integer of 32 bits"),
            ("float", "1e39", ": must be a number that fits a 32-bit float"),
            ("double", "true", ": must be a number"),
            ("bool", "2", ": must be true, false, 1 or 0"),
            ("bool", "\"true\"", ": must be true, false, 1 or 0"),
            ("text", "\"abcd\"", ": has 4 characters; at most 3 are allowed"),
            ("text", "1", ": must be a string"),
            ("timestamp", "-1", ": must be Unix milliseconds"),
            ("timestamp", "1.5", ": must be Unix milliseconds"),
            ("date", "\"2023-02-29 00:00:00\"", ": must be a date and time as"),
            ("date", "\"1900-02-29 00:00:00\"", ": must be a date and time as"),
            ("date", "\"2024-01-01T00:00:00\"", ": must be a date and time as"),
            ("date", "\"2024-13-01 00:00:00\"", ": must be a date and time as"),
            ("date", "\"2024-01-01 24:00:00\"", ": must be a date and time as"),
            ("enum_i", "1", ": must be one of the integers of the enumeration: -7, 0"),
            ("enum_i", "\"0\"", ": must be one of the integers"),
            ("enum_s", "\"ON\"", ": must be one of the strings of the enumeration: on"),
            ("struct", "[]", ": must be an object"),
            ("struct", r#"{"x":1.5}"#, "/x: must be an integer of 32 bits"),
            ("struct", r#"{"z/":1}"#, "/z~1: the structure has no such member"),
            ("struct", r#"{"y":[1,null]}"#, "/y/1: must be a number"),
            ("array", "[1,2,3]", ": has 3 values; at most 2 are allowed"),
            ("array", "[1,\"2\"]", "/1: must be an integer of 32 bits"),
            ("quality", "1.5", ": must be {\"value\""),
            ("quality", r#"{"value":1.5}"#, ": must be {\"value\""),
            ("quality", r#"{"value":1.5,"quality":10}"#, "/quality: must be an integer from 0 to 9"),
            ("quality", r#"{"value":"x","quality":1}"#, "/value: must be a number"),
            ("quality", r#"{"value":1,"quality":1,"more":1}"#, ": must be {\"value\""),
            ("unknown", "1", ": model m has no such point"),
        ] {
            let fault = check(&model, point, value).expect_err(value);
            let expected = format!("/params/measurepoints/p{said}");
            assert!(fault.starts_with(&expected), "{point} {value}: {fault}");
        }
    }

    #[test]
    fn a_fault_names_the_first_keys_of_a_long_enumeration() {
        let keys = DataType::Enum(EnumKeys::Integers((0..2000).collect()));
        let fault = keys.check(&(-1).into(), &mut String::new()).expect_err("it is none of them");
        assert_eq!(
            fault.message,
            "must be one of the integers of the enumeration: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"
        );
        let keys = DataType::Enum(EnumKeys::Strings(["x".repeat(5000)].into()));
        let fault = keys.check(&"y".into(), &mut String::new()).expect_err("it is none of them");
        assert_eq!(fault.message.len(), "must be one of the strings of the enumeration: ".len() + KEY_SHOWN);
    }

    #[test]
    fn passthrough_lets_unknown_points_in_and_nothing_else() {
        let model = model(true);
        assert_eq!(check(&model, "unknown", r#"{"any":["thing"]}"#), Ok(()));
        assert!(check(&model, "unknown", "null").is_err());
        assert!(check(&model, "int", "1.5").is_err());
    }
}
