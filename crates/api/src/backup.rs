//! Backups that are asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::UnixMillis;

/// How to make a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupQuery {
    /// Also with the data key: whoever has the backup can read every secret then.
    #[serde(default)]
    pub with_key: bool,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupView {
    /// Its directory in `backups` of the data directory.
    pub name: String,
    /// When it was begun.
    pub time: UnixMillis,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The store's last batch in it.
    pub batch: u64,
    /// Whether it has the data key.
    pub with_key: bool,
    /// Images of firmware whose files are not whole in it.
    pub images_without_file: Vec<String>,
    /// Why it has no audit log; null where it has it.
    pub audit_log_damaged: Option<String>,
}
