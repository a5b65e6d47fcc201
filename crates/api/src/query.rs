//! What stands behind the `?` of a request.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    device::ShownState,
    import::{ImportFormat, ImportMode},
    names::UnixMillis,
    time,
};

/// Entries of a page where nothing is said.
pub const LIMIT_DEFAULT: u32 = 100;

/// Which part of a list somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// At most so many; [`LIMIT_DEFAULT`] where nothing is said.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Paging {
    /// From the beginning.
    pub fn first(limit: u32) -> Self {
        Self { limit: Some(limit), cursor: None }
    }
}

/// Which devices to list. All that is said must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceList {
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
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub seen_before: Option<UnixMillis>,
    /// Only those last heard from this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub seen_after: Option<UnixMillis>,
    /// Only those whose firmware has said this version last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// In which order; by registration where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<DeviceSort>,
    /// What else each device is shown with, which takes longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<DeviceWith>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What else a list of devices shows of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceWith {
    /// Its tags, and the version of its firmware.
    All,
}

/// Orders of a list of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeviceSort {
    /// In the order of their registration.
    #[default]
    #[serde(rename = "created")]
    Created,
    /// The newest first.
    #[serde(rename = "-created")]
    NewestFirst,
    /// By key, byte by byte.
    #[serde(rename = "key")]
    Key,
    /// The same from the last one on.
    #[serde(rename = "-key")]
    KeyDown,
}

/// How to show a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceQuery {
    /// Show a damaged one too, as a list shows it.
    #[serde(default)]
    pub damaged: bool,
}

/// How to delete a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteDevice {
    /// With what it sent.
    #[serde(default)]
    pub purge: bool,
}

/// Which of the latest values of a device to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatestQuery {
    /// Only of this point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which values of a device by time to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesQuery {
    /// Only of this point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// From this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which values of all devices of a product to give out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductValuesQuery {
    /// Only of this point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// From this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
}

/// Which values of one point by time to list, or what they come to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointValuesQuery {
    /// From this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Buckets of this width: `15m`, `1h`, `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// What to say of each bucket: some of `min,max,avg,last,count`; all of them where nothing is said.
    #[serde(default, rename = "fn", skip_serializing_if = "Option::is_none")]
    pub functions: Option<String>,
    /// The zone of the IANA database in which buckets begin; UTC where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
}

/// Which events of a device to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceEventsQuery {
    /// Only those with this identifier; or of this type by the thing model, `INFO`, `WARN` or `ERROR`. Any
    /// other name is refused, with those that there are.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// From this time on (inclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    #[schemars(with = "Option<TimeText>")]
    #[serde(default, deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// At most so many, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How to delete a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteProduct {
    /// Also with devices, which are deleted with it.
    #[serde(default)]
    pub force: bool,
}

/// How to import devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportQuery {
    /// Change nothing, and report the same.
    #[serde(default)]
    pub dry_run: bool,
    /// Which rows.
    #[serde(default, skip_serializing_if = "ImportMode::is_default")]
    pub mode: ImportMode,
    /// What the file is, where its media type may be of several: `enos` beside `text/csv`, and `psk`, which
    /// `text/plain` needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImportFormat>,
}

/// What to listen to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only of the product with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Only of this device: its key, or another name of it where no product is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only of these kinds, separated by commas: `report`, `presence`, `refusal`, `command`, `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// What follows the event of this `id:`, and then what happens. A header `Last-Event-ID` counts first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Of a product or a device, also refusals of those who are no device that is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strangers: bool,
}

/// How a time is written in a query.
#[derive(JsonSchema)]
#[serde(transparent)]
#[schemars(
    description = "Unix milliseconds, RFC 3339, or a date in UTC.",
    extend("examples" = ["2026-11-24T06:12:37Z", "1795500757000"])
)]
pub(crate) struct TimeText(#[expect(dead_code, reason = "only its schema is used")] String);

/// Unix milliseconds, or RFC 3339.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMillis>, D::Error> {
    let text = String::deserialize(deserializer)?;
    time::parse(&text).map(|time| Some(UnixMillis(time))).map_err(D::Error::custom)
}
