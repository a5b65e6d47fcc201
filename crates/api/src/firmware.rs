//! Firmware: images of products, which devices get them, and how far that is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::UnixMillis;

/// How far the upgrade of a device to an image is. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeState {
    /// The device is to get it, and no command says so yet.
    Waiting,
    /// A command that offers it waits for the device.
    Offered,
    /// The device has fetched that command and has not answered it.
    Sent,
    /// The device has answered that it takes it.
    Accepted,
    /// The device fetches the image.
    Downloading,
    /// The device has fetched all of it.
    Verifying,
    /// The device has fetched all of it and says how far it is.
    Burning,
    /// The device has said that it runs this version.
    Done,
    /// The device refused it or could not do it, or was silent for too long.
    Failed,
    /// It was taken back: by an operator, or by an offer of another image.
    Cancelled,
}

impl UpgradeState {
    /// All of them, in the order in which they follow each other.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Offered,
        Self::Sent,
        Self::Accepted,
        Self::Downloading,
        Self::Verifying,
        Self::Burning,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing more becomes of it by itself.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// Whether the device knows of it and is at work.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Sent | Self::Accepted | Self::Downloading | Self::Verifying | Self::Burning)
    }

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Burning => "burning",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an upgrade failed. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeFailure {
    /// The device said -1: the upgrade as a whole.
    Upgrade,
    /// The device said -2: it could not fetch the image.
    Download,
    /// The device said -3: the image is not what it should be.
    Verify,
    /// The device said -4: it could not write the image.
    Burn,
    /// The device said -5, or answered the command with another code than 0 and 200; or the product's script
    /// made no bytes of the command (code 11810).
    Refused,
    /// The device began and was not heard of for too long.
    Silent,
}

impl UpgradeFailure {
    /// What a step below 0 says (device protocol, section 11); `None`: nothing.
    pub const fn of_step(step: i8) -> Option<Self> {
        match step {
            -1 => Some(Self::Upgrade),
            -2 => Some(Self::Download),
            -3 => Some(Self::Verify),
            -4 => Some(Self::Burn),
            -5 => Some(Self::Refused),
            _ => None,
        }
    }

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Burn => "burn",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}

/// Why a rollout is paused. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// An operator paused it.
    Operator,
    /// Too many upgrades failed.
    Failures,
}

/// How the file of an image is. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageFile {
    /// It is there.
    Stored,
    /// It is not there: no device gets the image. The same bytes uploaded again put it back.
    Missing,
    /// It is not as it was stored: the same.
    Damaged,
    /// It cannot be read now.
    Unreadable,
}

/// A file of firmware that is to be uploaded. The same one again is the same upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewImage {
    /// For the devices of which product.
    pub product_key: String,
    /// What a device says that runs it: 1 to 64 bytes.
    pub version: String,
    /// Bytes of the file.
    #[schemars(range(min = 1))]
    pub size: u64,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
}

/// A piece of such a file, whose bytes are the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagePieceQuery {
    /// As in [`NewImage`].
    pub product_key: String,
    /// As in [`NewImage`].
    pub version: String,
    /// As in [`NewImage`].
    pub size: u64,
    /// As in [`NewImage`].
    pub sha256: String,
    /// At which byte of the file the piece begins.
    pub offset: u64,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    /// So many bytes are there: the next piece begins here.
    pub received: u64,
    /// The image, once all bytes are there.
    pub image: Option<ImageView>,
}

/// An image of firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    /// Its id.
    pub image_id: String,
    /// For the devices of which product.
    pub product_key: String,
    /// What a device says that runs it.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// When all of it was there.
    pub uploaded_at: UnixMillis,
    /// How its file is.
    pub file: ImageFile,
    /// Who gets it; null: it was not offered to anybody.
    pub rollout: Option<RolloutShown>,
}

/// The rollout of an image, in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutShown {
    /// The share of the product's devices that get it, percent; null: only devices that were named.
    pub share: Option<u8>,
    /// Why nothing is offered now; null: it goes on.
    pub paused_by: Option<PausedBy>,
    /// When it began.
    pub since: UnixMillis,
}

/// Which images to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageList {
    /// Only of the product with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

/// To whom an image is offered: a device or a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRollout {
    /// Which image.
    pub image_id: String,
    /// One device, as `PK/DK` or by its key where that is unique. It is offered once more where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// A share of the product's devices, 1 to 100 percent; those that were in a smaller one stay in.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// `nextCursor` of the answer before, where an offer goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An offer that was made, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutOffered {
    /// Which image.
    pub image_id: String,
    /// Devices that it was offered to, and had not been.
    pub devices: u64,
    /// Devices that it had been offered to before, and that are not done with it.
    pub already_in: u64,
    /// Devices that run its version already.
    pub have_it: u64,
    /// Of `devices` and `already_in`: those that have never logged in, and are told after their first login.
    pub never_logged_in: u64,
    /// Why nothing is offered now; null: it goes on.
    pub paused_by: Option<PausedBy>,
    /// Devices that were named, or are in the share, whatever they were offered before.
    pub chosen: u64,
    /// Of so many devices.
    pub of: u64,
    /// Where the offer goes on; null: all of it was made.
    pub next_cursor: Option<String>,
}

/// A rollout: how many devices are how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the counts are those of `UpgradeState`")]
pub struct RolloutView {
    /// Which image.
    pub image_id: String,
    /// Of which product.
    pub product_key: String,
    /// Its version.
    pub version: String,
    /// How the image's file is.
    pub file: ImageFile,
    /// The share of the product's devices that get it, percent; null: only devices that were named.
    pub share: Option<u8>,
    /// Nothing is offered now.
    pub paused: bool,
    /// Why; null: it goes on.
    pub paused_by: Option<PausedBy>,
    /// When it began; null: it was not offered to anybody.
    pub since: Option<UnixMillis>,
    pub waiting: u64,
    pub offered: u64,
    pub sent: u64,
    pub accepted: u64,
    pub downloading: u64,
    pub verifying: u64,
    pub burning: u64,
    pub done: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Why upgrades failed, of the first 10,000 devices at which they did; left out where none did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureCount>,
}

/// How often upgrades failed for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureCount {
    /// Why.
    pub reason: UpgradeFailure,
    /// At how many devices.
    pub count: u64,
}

/// A rollout in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRow {
    /// Which image.
    pub image_id: String,
    /// Of which product.
    pub product_key: String,
    /// Its version.
    pub version: String,
    /// The share of the product's devices that get it, percent; null: only devices that were named.
    pub share: Option<u8>,
    /// Nothing is offered now.
    pub paused: bool,
    /// Why; null: it goes on.
    pub paused_by: Option<PausedBy>,
    /// When it began.
    pub since: UnixMillis,
}

/// A device of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeView {
    /// Key of the product.
    pub product_key: String,
    /// Key of the device.
    pub device_key: String,
    /// How far it is.
    pub state: UpgradeState,
    /// Why it failed.
    pub reason: Option<UpgradeFailure>,
    /// The last step that the device said, -5 to 100.
    pub progress: Option<i8>,
    /// What it said of that.
    pub desc: Option<String>,
    /// How often it was offered by a command.
    pub attempts: u32,
    /// When it was offered.
    pub since: UnixMillis,
    /// When something happened last.
    pub moved_at: UnixMillis,
}
