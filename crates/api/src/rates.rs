//! How many reports came, and what was refused, over the last day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{fleet::RefusalCount, names::UnixMillis};

/// Which counts to show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatesWanted {
    /// How much time is put together; a minute where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<RateBucket>,
    /// Only of this organisation unit, by its key or its name; a unit's own token sees that unit alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ou: Option<String>,
}

/// Times for which counts are put together. They begin in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum RateBucket {
    #[default]
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "1h")]
    Hour,
}

impl RateBucket {
    /// How many minutes it has.
    pub fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::FiveMinutes => 5,
            Self::QuarterHour => 15,
            Self::Hour => 60,
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RatesView {
    /// How much time is put together, milliseconds.
    pub bucket: i64,
    /// Where the first bucket begins.
    pub from: UnixMillis,
    /// Up to when it was counted: the last bucket may not be over.
    pub to: UnixMillis,
    /// Buckets of which it is known what was counted, rising. In those that are left out no server ran, or
    /// what it counted is lost.
    pub items: Vec<RateView>,
}

/// What was counted in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateView {
    /// Where it begins.
    pub time: UnixMillis,
    /// Reports that were stored.
    pub reports: u64,
    /// Refusals of handshakes, logins and requests by reason, also those that are not in a log, most first.
    pub refusals: Vec<RefusalCount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_back_as_they_were_written() {
        let json = concat!(
            r#"{"bucket":900000,"from":0,"to":960000,"items":[{"time":900000,"reports":7,"#,
            r#""refusals":[{"reason":"wrong_key","count":2},{"reason":null,"count":1}]}]}"#
        );
        let view: RatesView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&view).expect("it can be written"), json);
        let wanted: RatesWanted = serde_json::from_str(r#"{"bucket":"15m"}"#).expect("it can be read");
        assert_eq!(wanted.bucket.map(RateBucket::minutes), Some(15));
        assert!(serde_json::from_str::<RatesWanted>(r#"{"bucket":"7m"}"#).is_err());
    }
}
