//! What devices report.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{json_piece::Piece, json_text::JsonText, retention::RetentionClass};
use crate::ids::{DeviceId, LoginNumber, UnixMillis};

/// The upstream topic on which a stored message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageKind {
    /// `thing/measurepoint/post`: moves the latest values.
    Points,
    /// `thing/measurepoint/resume`: history only.
    PointsResumed,
    /// `thing/event/{eventId}/post`: no points at all.
    Event,
}

/// One report of one device, as it is stored.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who reported.
    pub device: DeviceId,
    /// On which topic.
    pub kind: MessageKind,
    /// The report's own time, or its arrival where it has none.
    pub time: UnixMillis,
    /// When it arrived.
    pub arrival: UnixMillis,
    /// The login in whose session it came; `None`: whatever login the device has.
    pub login: Option<LoginNumber>,
    /// The version of the secret that this session proved; counts only where there is a login.
    pub secret_version: u32,
    /// The session, as the gateway calls it; 0 where it has no name.
    pub session: u64,
    /// How long it is kept: the class of its product when it arrived.
    pub retention: RetentionClass,
    /// The `measurepoints` object as compact JSON text: `{"temp":21.5}`. Of an event, what [`event_json`]
    /// makes of it.
    pub points_json: Box<str>,
}

/// An event of a device; `output` is the JSON that the device sent, to the last digit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventValue {
    /// Its identifier.
    pub event: String,
    /// The event's own time, or its arrival where it has none.
    pub time: UnixMillis,
    /// Its parameters: a JSON object.
    pub output: JsonText,
}

/// How an event is stored in a message: `{"event":"tilted","output":{"angle":7}}`. `output` is a JSON object.
pub fn event_json(event: &str, output: &str) -> Box<str> {
    format!("{{\"event\":{},\"output\":{output}}}", serde_json::Value::from(event)).into()
}

/// Identifier and parameters of what [`event_json`] has made; of anything else nothing.
pub fn read_event(json: &str) -> Option<(String, JsonText)> {
    let [event, output] = Piece::of(json).named(["event", "output"])?;
    Some((event?.text()?.into_owned(), output?.into()))
}

/// A value of one point at one time; `value` is the JSON that the device sent, to the last digit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointValue {
    /// Identifier of the point.
    pub point: String,
    /// The value (or `{"value":…,"quality":…}`).
    pub value: JsonText,
    /// When.
    pub time: UnixMillis,
}

/// The value and the quality of `{"value":21.5,"quality":0}`: a number, and a digit. Any other JSON is a
/// value without quality. What a device sends is read alike whether its product has a thing model or not.
pub fn split_quality(json: &str) -> (&str, Option<u8>) {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Qualified<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        #[serde(borrow)]
        quality: &'a RawValue,
    }
    if !json.starts_with('{') {
        return (json, None);
    }
    let Ok(Qualified { value, quality }) = serde_json::from_str(json) else { return (json, None) };
    let is_number = value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match quality.get().as_bytes() {
        [digit @ b'0'..=b'9'] if is_number => (value.get(), Some(digit - b'0')),
        _ => (json, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_digit_of_quality_is_taken_apart_and_nothing_else_is() {
        assert_eq!(split_quality(r#"{"value":1.50,"quality":9}"#), ("1.50", Some(9)));
        assert_eq!(split_quality(r#"{"quality":0,"value":-2E3}"#), ("-2E3", Some(0)));
        for other in [
            "21.5",
            "null",
            r#""text""#,
            r#"{"value":1}"#,
            r#"{"value":"1","quality":1}"#,
            r#"{"value":1,"quality":10}"#,
            r#"{"value":1,"quality":"1"}"#,
            r#"{"value":1,"quality":1,"more":1}"#,
            r#"{"value":1,"value":2,"quality":1}"#,
        ] {
            assert_eq!(split_quality(other), (other, None));
        }
    }
}
