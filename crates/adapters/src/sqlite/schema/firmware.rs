//! The tables of firmware in the registry. The bytes of images are files of their own.

use narrowgate_platform::{
    firmware::{ImageId, PausedBy, Sha256Sum, UpgradeFailure, UpgradeState},
    ids::{DeviceId, UnixMillis},
};

use super::table;

table! {
    /// An image, and its rollout. `n` is the order in which they came.
    IMAGES of ImageRow: "images" as "i", summed as "image" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        id: ImageId = "TEXT NOT NULL UNIQUE",
        product_key: String = "TEXT NOT NULL",
        version: String = "TEXT NOT NULL",
        size: u64 = "INTEGER NOT NULL",
        sha256: Sha256Sum = "BLOB NOT NULL",
        uploaded: UnixMillis = "INTEGER NOT NULL",
        /// When its rollout began; NULL: there is none.
        since: Option<UnixMillis> = "INTEGER",
        /// In percent; NULL: it was offered by name alone.
        share: Option<u32> = "INTEGER",
        paused: Option<PausedBy> = "TEXT",
        /// Upgrades that ended since it began or was resumed.
        done: u32 = "INTEGER NOT NULL",
        failed: u32 = "INTEGER NOT NULL",
    } ",\n  UNIQUE (product_key, version)\n)"
}

table! {
    /// The upgrade of a device to an image.
    UPGRADES of UpgradeRow: "upgrades" as "u", summed as "upgrade" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        /// The number of its image.
        image: i64 = "INTEGER NOT NULL",
        device: DeviceId = "INTEGER NOT NULL",
        state: UpgradeState = "TEXT NOT NULL",
        failure: Option<UpgradeFailure> = "TEXT",
        /// The last command that offered it.
        command: Option<u32> = "INTEGER",
        attempts: u32 = "INTEGER NOT NULL",
        /// The last step that the device said.
        progress: Option<i64> = "INTEGER",
        /// What it said of that.
        said: Option<String> = "TEXT",
        since: UnixMillis = "INTEGER NOT NULL",
        moved: UnixMillis = "INTEGER NOT NULL",
        due: Option<UnixMillis> = "INTEGER",
    } ",\n  UNIQUE (image, device)\n)"
}

table! {
    /// The version that a device has said last.
    VERSIONS of VersionRow: "versions" as "v", summed as "version" {
        device: DeviceId = "INTEGER PRIMARY KEY",
        version: String = "TEXT NOT NULL",
        said: UnixMillis = "INTEGER NOT NULL",
    } "\n)"
}

/// What finds the upgrades of a device, those of an image by state, and those that are due.
pub(in crate::sqlite) const INDEXES: &str = "CREATE INDEX upgrades_device ON upgrades (device);\n\
     CREATE INDEX upgrades_state ON upgrades (image, state, device);\n\
     CREATE INDEX upgrades_due ON upgrades (image, due, device) WHERE due IS NOT NULL;\n";
