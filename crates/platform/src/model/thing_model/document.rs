//! A document that an operator gives, in the strict way: what is stored already was checked by the rules of
//! its time, and [`ThingModel::parse`] reads it back.

use std::{collections::BTreeSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, error::Category};

use super::{
    DEFAULTS_BYTES_MAX, Fault, MODEL_BYTES_MAX, Numbers, REPLY_SUFFIX, ThingModel, is_topic_identifier,
    push_step,
};

/// Deepest nesting of arrays and objects in a document; a model needs 11.
pub const DEPTH_MAX: usize = 32;

/// Keys by which the JSON library marks values of its own: it would misread theirs.
const RESERVED: &str = "$serde_json::private::";

impl ThingModel {
    /// Reads a document that is to become the model of a product: as [`Self::parse`] does, and refuses also
    /// one that is too long or too deep, a key or a number that occurs twice, and defaults that are too long
    /// for an answer.
    ///
    /// # Errors
    /// The first thing that is wrong, with its JSON pointer.
    pub fn accept(json: &str) -> Result<Self, Fault> {
        check_length(json, "the model has")?;
        walk(json, "", "the model is not JSON")?;
        let model = Self::parse(json)?;
        check_topics(json)?;
        let bytes = model.defaults.bytes();
        if bytes > DEFAULTS_BYTES_MAX {
            let message = format!(
                "the defaults have {bytes} bytes as one JSON object; at most {DEFAULTS_BYTES_MAX} are \
                 allowed, so that an answer with all attributes fits"
            );
            return Err(Fault::new("/attributes", message));
        }
        let (numbered, _) = Numbers::default().number(json)?;
        check_length(&numbered, "with its numbers the model has")?;
        Ok(model)
    }
}

/// Checks that devices can reach what has a topic of its own. A model that was stored before this was checked
/// is read all the same.
fn check_topics(json: &str) -> Result<(), Fault> {
    // It was read before.
    let model: Value = serde_json::from_str(json).unwrap_or_default();
    for kind in ["services", "events"] {
        for (index, element) in model[kind].as_array().into_iter().flatten().enumerate() {
            let identifier = element["identifier"].as_str().unwrap_or_default();
            let fault = |said: &str| Err(Fault::new(&format!("/{kind}/{index}/identifier"), said));
            if !is_topic_identifier(identifier) {
                return fault("must not be . or ..: it is part of a topic, and no part of a CoAP path is");
            }
            if kind == "services" && identifier.ends_with(REPLY_SUFFIX) {
                return fault("must not end with _reply: its topic would be that of replies");
            }
        }
    }
    Ok(())
}

fn check_length(json: &str, what: &str) -> Result<(), Fault> {
    let bytes = json.len();
    if bytes <= MODEL_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::new("", format!("{what} {bytes} bytes; at most {MODEL_BYTES_MAX} are allowed")))
}

/// Checks that a value that an operator gives, and which stands at `pointer`, is not too deep, and has no key
/// twice: what is stored is cut into pieces without looking for that again.
///
/// # Errors
/// The first thing that is wrong, with its JSON pointer.
pub fn check_value(json: &str, pointer: &str) -> Result<(), Fault> {
    walk(json, pointer, "is not acceptable JSON")
}

/// Checks that a text is JSON, not too deep, and has no key twice. It stands at `from`.
fn walk(json: &str, from: &str, not_json: &str) -> Result<(), Fault> {
    let mut pointer = from.to_owned();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let walked = Walk { depth: 1, pointer: &mut pointer }.deserialize(&mut deserializer);
    walked.and_then(|()| deserializer.end()).map_err(|error| match error.classify() {
        Category::Data => {
            let said = error.to_string();
            Fault::new(&pointer, said.split(" at line ").next().unwrap_or_default())
        }
        _ => Fault::new(from, format!("{not_json}: {error}")),
    })
}

/// Walks over one value. Where it fails, the pointer stays at what is wrong.
struct Walk<'a> {
    /// How deep a value inside this one is.
    depth: usize,
    pointer: &'a mut String,
}

impl Walk<'_> {
    fn enter<E: Error>(&self) -> Result<(), E> {
        if self.depth > DEPTH_MAX {
            Err(E::custom(format_args!("is nested more than {DEPTH_MAX} deep")))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.enter()?;
        let length = self.pointer.len();
        for index in 0_usize.. {
            push_step(self.pointer, &index.to_string());
            let walk = Walk { depth: self.depth + 1, pointer: self.pointer };
            if values.next_element_seed(walk)?.is_none() {
                break;
            }
            self.pointer.truncate(length);
        }
        self.pointer.truncate(length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.enter()?;
        let length = self.pointer.len();
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            push_step(self.pointer, &key);
            if key.starts_with(RESERVED) {
                return Err(A::Error::custom("there is no such key"));
            }
            if !keys.insert(key) {
                return Err(A::Error::custom("the key occurs twice"));
            }
            entries.next_value_seed(Walk { depth: self.depth + 1, pointer: self.pointer })?;
            self.pointer.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        ThingModel::accept(json).expect_err("it is refused").to_string()
    }

    #[test]
    fn attack_169_a_document_that_is_nested_too_deep_is_refused_with_the_place() {
        // The stack stays flat, whatever the depth.
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let bomb = open.repeat(100_000) + "1" + &close.repeat(100_000);
            let said = refused(&bomb);
            assert!(said.ends_with(": is nested more than 32 deep"), "{said}");
            assert!(refused(&open.repeat(100_000)).ends_with(": is nested more than 32 deep"));
        }
        let nested = |depth: usize| {
            let default = "[".repeat(depth - 3) + &"]".repeat(depth - 3);
            let attribute = format!(r#"{{"identifier":"a","dataType":"INT","default":{default}}}"#);
            refused(&format!(r#"{{"modelId":"m","attributes":[{attribute}]}}"#))
        };
        assert_eq!(nested(DEPTH_MAX), "/attributes/0/default: must be an integer of 32 bits");
        let pointer = "/attributes/0/default".to_owned() + &"/0".repeat(DEPTH_MAX - 3);
        assert_eq!(nested(DEPTH_MAX + 1), format!("{pointer}: is nested more than 32 deep"));
    }

    #[test]
    fn attack_170_oddities_of_json_are_refused_with_the_place() {
        for (json, said) in [
            (r#"{"modelId":"m","modelId":"n"}"#, "/modelId: the key occurs twice"),
            (r#"{"modelId":"m","model\u0049d":"n"}"#, "/modelId: the key occurs twice"),
            (
                r#"{"modelId":"m","events":[{"identifier":"e"},{"identifier":"f","identifier":"g"}]}"#,
                "/events/1/identifier: the key occurs twice",
            ),
            (
                r#"{"$serde_json::private::RawValue":"{\"modelId\":\"m\"}"}"#,
                "/$serde_json::private::RawValue: there is no such key",
            ),
            (r#"{"modelId":"\ud800"}"#, "the model is not JSON: unexpected end of hex escape"),
            (r#"{"modelId":1e999999}"#, "the model is not JSON: number out of range"),
            ("\u{feff}{\"modelId\":\"m\"}", "the model is not JSON: expected value"),
            (r#"{"modelId":"m"} x"#, "the model is not JSON: trailing characters"),
            ("", "the model is not JSON: EOF while parsing a value"),
            (r#"{"modelId":-0}"#, "/modelId: must be a string"),
        ] {
            let fault = refused(json);
            assert!(fault.starts_with(said), "{json}: {fault}");
        }
        let keys: Vec<String> = (0..10_000).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(refused(&format!("{{{}}}", keys.join(","))).contains("there is no such key; known ones"));
    }

    #[test]
    fn a_document_that_is_too_long_is_refused_before_it_is_read() {
        let said = refused(&"[".repeat(MODEL_BYTES_MAX + 1));
        assert!(said.starts_with("the model has 1048577 bytes"), "{said}");
        // With its numbers it would be too long: what is shown of it could not be given again.
        let event = |n: usize| format!(r#"{{"identifier":"{n}","name":"{}"}}"#, "x".repeat(470));
        let events: Vec<_> = (1000..3000).map(event).collect();
        let mut json = format!(r#"{{"modelId":"m","events":[{}]}}"#, events.join(","));
        ThingModel::accept(&json).expect("it is long, and not too long");
        json += &" ".repeat(MODEL_BYTES_MAX - json.len());
        assert!(refused(&json).starts_with("with its numbers the model has "));
    }

    #[test]
    fn defaults_that_an_answer_has_no_room_for_are_refused_with_their_size() {
        let of = |length: usize| {
            let attribute = |n: u8| {
                let default = "x".repeat(length);
                format!(r#"{{"identifier":"a{n}","dataType":"STRING","default":"{default}"}}"#)
            };
            format!(r#"{{"modelId":"m","attributes":[{},{}]}}"#, attribute(1), attribute(2))
        };
        // {"a1":"…","a2":"…"}
        let most = (DEFAULTS_BYTES_MAX - 17) / 2;
        let model = ThingModel::accept(&of(most)).expect("it fits");
        assert_eq!(model.defaults.bytes(), 17 + 2 * most);
        assert_eq!(
            refused(&of(most + 1)),
            "/attributes: the defaults have 1793 bytes as one JSON object; at most 1792 are allowed, so that \
             an answer with all attributes fits"
        );
        ThingModel::parse(&of(1000)).expect("what is stored is read all the same");
    }

    #[test]
    fn what_no_device_can_ever_reach_is_refused_with_the_place() {
        for (elements, said) in [
            (
                r#""services":[{"identifier":"ok"},{"identifier":".."}]"#,
                "/services/1/identifier: must not be . or",
            ),
            (r#""services":[{"identifier":"x_reply"}]"#, "/services/0/identifier: must not end with _reply"),
            (r#""events":[{"identifier":"."}]"#, "/events/0/identifier: must not be . or .."),
        ] {
            let json = format!(r#"{{"modelId":"m",{elements}}}"#);
            assert!(refused(&json).starts_with(said), "{}", refused(&json));
            ThingModel::parse(&json).expect("what is stored is read all the same");
        }
        let json = r#"{"modelId":"m","events":[{"identifier":"x_reply"}],"measurepoints":[
            {"identifier":"..","dataType":"INT"}],"services":[{"identifier":"a..b","inputData":[
            {"identifier":".","dataType":"INT"}]}]}"#;
        ThingModel::accept(json).expect("these are no parts of a path");
    }

    #[test]
    fn more_elements_than_a_kind_may_have_are_refused() {
        let events: Vec<_> = (0..2001).map(|n| format!(r#"{{"identifier":"e{n}"}}"#)).collect();
        let of = |count: usize| format!(r#"{{"modelId":"m","events":[{}]}}"#, events[..count].join(","));
        ThingModel::accept(&of(2000)).expect("so many may be");
        assert_eq!(refused(&of(2001)), "/events: has 2001 elements; at most 2000 are allowed");
    }
}
