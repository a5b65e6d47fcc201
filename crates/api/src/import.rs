//! Many devices at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{device::DeviceCreated, object, properties::PropertiesView, secret::SecretText};

/// Rows of a file of devices.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRows {
    /// The rows, in their order.
    #[serde(deserialize_with = "object::all")]
    pub rows: Vec<ImportRow>,
}

/// A row of a file of devices.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRow {
    /// Its line in the file, from 1; for messages.
    pub line: u64,
    /// Key of the device.
    pub device_key: String,
    /// Its secret; generated where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_secret: Option<SecretText>,
    /// Whether the secret was generated for this import, and the file itself has none.
    #[serde(default)]
    pub is_generated: bool,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tags that it begins with. A device that exists keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<PropertiesView>,
    /// The attributes that it begins with. A device that exists keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<PropertiesView>,
}

impl ImportRow {
    /// Its tags and attributes, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&String, &RawValue)> {
        let all = [&self.tags, &self.attributes].into_iter().flatten();
        all.flat_map(|all| &all.0).map(|(name, value)| (name, &**value))
    }
}

/// What became of an import.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Devices that were created, or would be in a dry run.
    pub created: u64,
    /// Devices that exist already, with the row's secret or where the row has none. They are as they were.
    pub skipped: u64,
    /// How many of the skipped rows have a secret, which is the device's; left out when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub same_secret: u64,
    /// Rows that were not imported.
    pub failed: Vec<ImportFault>,
    /// Devices whose secret was generated and is in force, with it. Belongs into a file of mode 0600, not on
    /// a terminal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generated: Vec<DeviceCreated>,
    /// Secrets that may be guessed; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak_secrets: Option<WeakSecrets>,
    /// Keys of skipped devices that have never logged in and whose rows have no secret: an import that was
    /// cut off may have made them, and nobody has seen their secrets.
    #[serde(skip)]
    pub unseen: Vec<String>,
    /// Keys of all devices that were created; of a dry run none.
    #[serde(skip)]
    pub made: Vec<String>,
}

/// Which rows of a file are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ImportMode {
    /// All of them, or none where one is not valid: they are tried first, and where one fails all the same,
    /// those that were created are deleted again. Where the server itself ends meanwhile, what was created
    /// stays.
    All,
    /// Those that are valid.
    #[default]
    Valid,
}

impl ImportMode {
    /// Whether it is what holds where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a file of devices is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ImportFormat {
    /// CSV with a header: `deviceKey,deviceSecret,name`.
    Csv,
    /// JSON lines with the same names.
    Ndjson,
    /// A list of pre-shared keys as Californium's programs read it: `identity=key` on each line, or a store
    /// of devices with `.psk=` lines.
    Psk,
    /// CSV with a header for people, as EnOS exports it.
    Enos,
}

/// What became of a file of devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportAnswer {
    /// Devices that were created, or would be in a dry run.
    pub created: u64,
    /// Devices that exist already, with the row's secret or where the row has none. They are as they were.
    pub skipped: u64,
    /// Rows that were not imported, or why none was; the first ones of many.
    pub failed: Vec<ImportFault>,
    /// How many more were not; left out when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_failed: u64,
    /// How many of the skipped rows have a secret, which is the device's; left out when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub same_secret: u64,
    /// Secrets that may be guessed; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak_secrets: Option<WeakSecrets>,
    /// Where the secrets that were generated can be fetched, once and within an hour; null: there are none.
    pub secrets: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why a row was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportFault {
    /// The row's line in the file, from 1; the header is a line.
    pub line: u64,
    /// The column at fault: `deviceKey`, `deviceSecret`, `name`, `tags`, `attributes`, `tag:KEY` or
    /// `attribute:ID`, as in a header of CSV; null for the whole row.
    pub column: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// Secrets of created devices that were brought and have so few bits that they may be guessed offline from
/// one recorded handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeakSecrets {
    /// How many.
    pub count: u64,
    /// Estimated bits of the weakest.
    pub weakest_bits: u32,
    /// Its line in the file.
    pub weakest_line: u64,
    /// How many of them are no weaker than those that the platform itself generates, whose form the protocol
    /// fixes.
    pub as_generated: u64,
}

impl WeakSecrets {
    /// These and others together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let weakest = if other.weakest_bits < self.weakest_bits { other } else { self };
        let (count, as_generated) = (self.count + other.count, self.as_generated + other.as_generated);
        Self { count, as_generated, ..weakest }
    }
}
