//! Firmware over the air (device protocol, section 11): images of products, which devices get them, and how
//! far each device is. Rules only: a store reads an [`Upgrade`], applies a step, and writes what came of it.
//!
//! # What a device's side calls
//!
//! * It says its version, how far it is, or fetches the first or the last block of an image (that is not
//!   needed, and tells people more): [`Write::Firmware`] with a [`FirmwareStep`]. The version is recorded as
//!   the device's firmware, and an upgrade to it is done. [`Written::NoUpgrade`] is 764,
//!   [`Written::UpgradeNotStarted`] is 765.
//! * It asks which versions it may fetch: [`FirmwareQuery::Device`], of which [`Upgrade::is_open`]; a
//!   [`UpgradeOffer`] for each.
//! * It fetches a block: [`Images::read`], `None` where the image was not offered to its product.
//! * It fetches the command that offers an image: the queue of commands, [`CommandTopic::Upgrade`], with
//!   [`UpgradeOffer::params_json`].
//! * It answers that: [`Write::Command`], as with any command; a store moves the upgrade in the same step.
//!
//! # The upgrade of a device
//!
//! ```text
//!  waiting ──▶ offered ──▶ sent ──▶ accepted ──▶ downloading ──▶ verifying ──▶ burning ──▶ done
//!     ▲           │          │          │             └──────────────┴─────────────┴──▶ failed
//!     └───────────┴──────────┘
//!        the command is over: offered again       a step below 0, a refusal, or a week of silence
//! ```
//!
//! * A device has at most one upgrade that was offered to it or is under way. A newer offer cancels those
//!   that the device does not know of yet, and waits for the one that is under way.
//! * A command that nobody fetched or answered in its time is sent again, as often as it takes. The end of an
//!   upgrade takes its command back, where the device has not answered it.
//! * A device that is reset or switched off has no upgrade under way any more: what it was told of is
//!   cancelled.
//! * Only the version that a device says ends an upgrade well, in whatever state it is.
//! * A rollout pauses by itself where too many fail ([`Rollout::note`]): then nothing is offered any more,
//!   and what no device has fetched is taken back. What is under way goes on.
//!
//! [`Write::Firmware`]: crate::ports::Write::Firmware
//! [`Write::Command`]: crate::ports::Write::Command
//! [`Written::NoUpgrade`]: crate::ports::Written::NoUpgrade
//! [`Written::UpgradeNotStarted`]: crate::ports::Written::UpgradeNotStarted
//! [`FirmwareQuery::Device`]: crate::ports::FirmwareQuery::Device
//! [`Images::read`]: crate::ports::Images::read
//! [`CommandTopic::Upgrade`]: crate::model::command::CommandTopic::Upgrade

mod image;
mod rollout;
mod upgrade;

pub use narrowgate_api::firmware::{ImageFile, PausedBy, UpgradeFailure, UpgradeState};

pub use self::{
    image::{
        ETAG_BYTES, IMAGE_BYTES_FETCHABLE, IMAGE_BYTES_MAX, IMAGE_ID_LEN, IMAGES_PER_PRODUCT_MAX, Image,
        ImageId, NoImageId, ServerName, Sha256Sum, UpgradeOffer, VERSION_BYTES_MAX, VersionFault,
        check_version,
    },
    rollout::{FAILED_MIN, FAILED_PERCENT_MAX, Rollout, is_in_share},
    upgrade::{
        DESC_BYTES_MAX, Ended, Fetched, FirmwareMove, FirmwareStep, Moved, NoUpgrade, NotQueued,
        OFFER_TIMEOUT_S, OFFER_TTL_S, SILENT_MAX, SendUpgrade, Upgrade, UpgradeStep, cut_desc, meant,
    },
};
