//! Something that is done to many devices, and the jobs that do it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    device::ShownState,
    names::{DeviceName, UnixMillis},
    problem::Code,
    properties::PropertiesPatch,
    query::DeviceList,
};

/// Devices that a list may name.
pub const BULK_DEVICES_MAX: usize = 10_000;

/// What to do with which devices: those of `filter`, or those of `devices`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkRequest {
    /// What to do with each of them.
    pub action: BulkAction,
    /// All devices for which all of this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<DeviceFilter>,
    /// These devices, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<DeviceName>>,
    /// For `tag`: what to change of the tags of each; null takes one away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PropertiesPatch>,
    /// Change nothing, and report the same.
    #[serde(default)]
    pub dry_run: bool,
    /// At most so many devices, such as those that a dry run has counted: where there are more, the job has
    /// failed before it has changed one. Where others change into the filter while it works, it ends before
    /// it has changed more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_max: Option<u64>,
}

/// What can be done to many devices. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Switch them on.
    Enable,
    /// Switch them off; their sessions end.
    Disable,
    /// Delete them; what they sent stays until its time is over.
    Delete,
    /// Change their tags.
    Tag,
}

impl BulkAction {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Tag => "tag",
        }
    }
}

/// Which devices: as a list of them is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceFilter {
    /// Only of the product with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ShownState>,
    /// Only those whose key or name begins with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only those with this tag: `key:value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only those last heard before this time (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_before: Option<UnixMillis>,
    /// Only those last heard from this time on (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_after: Option<UnixMillis>,
    /// Only those whose firmware has said this version last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
}

impl From<DeviceFilter> for DeviceList {
    fn from(filter: DeviceFilter) -> Self {
        let DeviceFilter { product, state, q, tag, seen_before, seen_after, firmware } = filter;
        Self { product, state, q, tag, seen_before, seen_after, firmware, ..Self::default() }
    }
}

/// How far a job is. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It looks which devices there are; nothing is changed yet.
    Counting,
    /// It works.
    Running,
    /// It has come to the end of its devices.
    Done,
    /// Somebody ended it before. What was done stays.
    Cancelled,
    /// It could not go on; `detail` says why. What was done stays.
    Failed,
}

impl JobState {
    /// Whether nothing more becomes of it.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Counting | Self::Running)
    }
}

/// A job: something that is done to many devices, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub action: BulkAction,
    /// Whether it changes nothing, and `done` counts what would be done.
    pub dry_run: bool,
    /// How far it is.
    pub state: JobState,
    /// Devices that were found so far, or are named; all of them, once `state` is not `counting`.
    pub matched: u64,
    /// Devices that were changed.
    pub done: u64,
    /// Devices that were so already, of `enable` and `disable`.
    pub unchanged: u64,
    /// Devices that were not changed, and why; the first ones of many.
    pub failed: Vec<JobFault>,
    /// How many more were not; left out when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_failed: u64,
    /// Why it could not go on; left out where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMillis,
    /// When it ended; null while it works.
    pub ended_at: Option<UnixMillis>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why a device was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFault {
    /// Which of `devices`, from 1 on; null of a filter.
    pub row: Option<u64>,
    /// Key of its product; null: it is damaged, and leads to no product.
    pub product_key: Option<String>,
    /// Its own key.
    pub device_key: String,
    /// What kind of fault it is, as in a problem.
    pub code: Code,
    /// What is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_filter_is_no_filter_of_all() {
        let read = |json: &str| serde_json::from_str::<BulkRequest>(json);
        let right = read(r#"{"action":"tag","filter":{"tag":"site:north"},"tags":{"a":"1","b":null}}"#);
        let right = right.expect("it can be read");
        assert_eq!(right.filter.and_then(|filter| filter.tag).as_deref(), Some("site:north"));
        for wrong in [
            r#"{"action":"delete","filter":{"produkt":"pk"}}"#,
            r#"{"action":"delete","filters":{"product":"pk"}}"#,
            r#"{"action":"reset","filter":{"product":"pk"}}"#,
            r#"{"action":"delete","filter":{"limit":1}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_job_comes_back_as_it_was_written() {
        let json = concat!(
            r#"{"id":"j","action":"disable","dryRun":false,"state":"failed","matched":3,"done":1,"#,
            r#""unchanged":1,"failed":[{"row":2,"productKey":"pk","deviceKey":"dk","code":"missing","#,
            r#""message":"there is no device pk/dk"}],"detail":"the server stops","createdAt":7,"#,
            r#""endedAt":8}"#
        );
        let job: JobView = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&job).expect("it can be written"), json);
    }
}
