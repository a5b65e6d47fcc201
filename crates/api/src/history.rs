//! What devices reported and what happened to them, as it was kept.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    device::ShownState,
    log::{LogEvent, Reason},
    names::UnixMillis,
};

/// A value of one point at one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PointView {
    /// Identifier of the point.
    pub point: String,
    /// The value (or `{"value":…,"quality":…}`): the JSON that the device sent, to the last digit.
    pub value: Box<RawValue>,
    /// When.
    pub time: UnixMillis,
}

/// An event of a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventView {
    /// Its identifier.
    pub event: String,
    /// When.
    pub time: UnixMillis,
    /// Its parameters: the JSON object that the device sent, to the last digit.
    pub output: Box<RawValue>,
}

/// An entry of a device's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A refusal, also one that belongs to no known device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let refusal = concat!(
            r#"{"time":7,"event":"refused","reason":"wrong_key","code":742,"peer":null,"detail":null,"#,
            r#""identity":"pk,dk,2,60","productKey":"pk","deviceKey":"dk"}"#
        );
        let back: RefusalView = serde_json::from_str(refusal).expect("it can be read");
        assert_eq!(serde_json::to_string(&back).expect("it can be written"), refusal);
    }
}
