//! What devices reported and what happened to them, as it was kept.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{
    device::ShownState,
    log::{LogEvent, Reason},
    names::UnixMillis,
    page::Page,
};

/// A value of one point at one time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PointView {
    /// Identifier of the point.
    pub point: String,
    /// The value: the JSON that the device sent, to the last digit.
    pub value: Box<RawValue>,
    /// When.
    pub time: UnixMillis,
    /// 0 to 9, where the device sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
}

/// A value of a point that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ValueView {
    /// When.
    pub time: UnixMillis,
    /// The value: the JSON that the device sent, to the last digit.
    pub value: Box<RawValue>,
    /// 0 to 9, where the device sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
}

/// What the values of a point come to in a bucket of time. A field is there where it was asked for; its JSON
/// is null where the bucket has no such value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BucketView {
    /// When the bucket begins.
    pub time: UnixMillis,
    /// The smallest number: the JSON that the device sent.
    #[serde(default, deserialize_with = "as_written", skip_serializing_if = "Option::is_none")]
    pub min: Option<Box<RawValue>>,
    /// The greatest number.
    #[serde(default, deserialize_with = "as_written", skip_serializing_if = "Option::is_none")]
    pub max: Option<Box<RawValue>>,
    /// The mean of all numbers, an `f64`.
    #[serde(default, deserialize_with = "as_written", skip_serializing_if = "Option::is_none")]
    pub avg: Option<Box<RawValue>>,
    /// The latest value, a number or not.
    #[serde(default, deserialize_with = "as_written", skip_serializing_if = "Option::is_none")]
    pub last: Option<Box<RawValue>>,
    /// How many values, numbers or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// Also `null`, which an `Option` would take for nothing.
fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// Values of one point, or what they come to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PointValues {
    /// Each of them.
    Values(Page<ValueView>),
    /// Bucket by bucket.
    Buckets(Page<BucketView>),
}

/// An event of a device.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Its identifier.
    pub event: String,
    /// When.
    pub time: UnixMillis,
    /// Its parameters: the JSON object that the device sent, to the last digit.
    pub output: Box<RawValue>,
}

/// An entry of a device's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// When.
    pub time: UnixMillis,
    /// What happened.
    pub event: LogEvent,
    /// Why, for refusals.
    pub reason: Option<Reason>,
    /// The protocol's number, where it has one.
    pub code: Option<u16>,
    /// The peer's address and port.
    pub peer: Option<String>,
    /// Words for people.
    pub detail: Option<String>,
    /// Of a refusal or a warning, what is probably wrong, where that is known.
    #[serde(default)]
    pub mistake: Option<String>,
    /// Of a refusal or a warning, what to do about it.
    #[serde(default)]
    pub advice: Option<String>,
}

/// A refusal, also one that belongs to no known device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusalView {
    /// What was refused, when and why.
    #[serde(flatten)]
    pub entry: LogView,
    /// The identity as the peer gave it.
    pub identity: Option<String>,
    /// Key of the product, as far as it is known.
    pub product_key: Option<String>,
    /// Key of the device, as far as it is known.
    pub device_key: Option<String>,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceView {
    /// When.
    pub time: UnixMillis,
    /// To which state.
    pub state: ShownState,
    /// Why.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_refusals_come_back_as_they_were_written() {
        let point = r#"{"point":"temp","value":{"z":1.50,"a":123456789012345678901234567890},"time":7}"#;
        let back: PointView = serde_json::from_str(point).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), point);
        let point = r#"{"point":"temp","value":1.50,"time":7,"quality":0}"#;
        let back: PointView = serde_json::from_str(point).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), point);
        let bucket = r#"{"time":7,"min":null,"avg":0.10000000000000002,"last":"x","count":3}"#;
        let back: BucketView = serde_json::from_str(bucket).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), bucket);
        let refusal = concat!(
            r#"{"time":7,"event":"refused","reason":"wrong_key","code":742,"peer":null,"detail":null,"#,
            r#""mistake":null,"advice":"compare","identity":"pk,dk,2,60","productKey":"pk","deviceKey":"dk"}"#
        );
        let back: RefusalView = serde_json::from_str(refusal).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), refusal);
    }
}
