//! What firmware needs of the outside: rows of images, rollouts and upgrades in the registry, and the bytes
//! of images beside them.

use super::{PortFuture, Registry, StoreError, UpgradeMoved};
use crate::{
    firmware::{
        ETAG_BYTES, IMAGES_PER_PRODUCT_MAX, Image, ImageFile, ImageId, ServerName, Sha256Sum, Upgrade,
        UpgradeFailure, UpgradeState,
    },
    ids::{DeviceId, DeviceName, UnixMillis},
    paging::{Page, Part},
};

/// What to read of the registry. By name: [`FirmwareReads`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareQuery {
    /// All images, or those of a product, oldest first.
    Images {
        /// Of which product; `None`: all.
        product_key: Option<String>,
    },
    /// One image with its rollout.
    Image {
        /// Which.
        image: ImageId,
    },
    /// The upgrades of a device with their images, the newest offer first.
    Device {
        /// Whose.
        device: DeviceId,
    },
    /// The version that a device has said last.
    Version {
        /// Whose.
        device: DeviceId,
    },
    /// How many devices are how far with an image.
    Counts {
        /// Which.
        image: ImageId,
    },
    /// Why upgrades to an image failed, of so many that did.
    Failures {
        /// Which.
        image: ImageId,
        /// Of how many at most, those that were registered first.
        limit: usize,
    },
    /// The devices of a rollout, in the order of their registration.
    Upgrades {
        /// Of which image.
        image: ImageId,
        /// Which part.
        part: Part,
    },
    /// Whether [`FirmwareChange::Advance`] has something to do at this time.
    Due {
        /// When.
        at: UnixMillis,
    },
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum FirmwareFound {
    /// Images, all in one page.
    Images(Page<Image>),
    /// One, where there is one.
    Image(Option<Image>),
    /// Upgrades of a device.
    Device(Vec<OfferedUpgrade>),
    /// A version.
    Version(Option<String>),
    /// Counts, in the order of the states, without those that are 0.
    Counts(Vec<(UpgradeState, u64)>),
    /// Failures, in the order of the reasons, without those that are 0.
    Failures(Vec<(UpgradeFailure, u64)>),
    /// Upgrades with the names of their devices.
    Upgrades(Page<(DeviceName, Upgrade)>),
    /// Whether something is due.
    Due(bool),
}

impl FirmwareFound {
    fn is_wrong(&self) -> ! {
        panic!("the store answers another query of firmware than it was asked: {self:?}")
    }
}

/// The words of every store for what it refuses.
impl ImageId {
    /// There is no such image.
    pub fn is_missing(self) -> StoreError {
        StoreError::Missing { what: "firmware image", key: self.to_string() }
    }

    /// It has no rollout that could be paused or resumed.
    pub fn has_no_rollout(self) -> StoreError {
        StoreError::Conflict(format!("image {self} was not offered to anybody"))
    }
}

/// The words of every store for what it refuses.
impl Image {
    /// The product has another image of this version.
    pub fn is_another(&self) -> StoreError {
        let key = format!("{} of product {} with other bytes", self.version, self.product_key);
        StoreError::Exists { what: "firmware", key }
    }

    /// The product has as many as are kept.
    pub fn is_one_too_many(&self) -> StoreError {
        StoreError::Conflict(format!(
            "product {} has {IMAGES_PER_PRODUCT_MAX} images of firmware, and more are not kept",
            self.product_key
        ))
    }

    /// A device of another product cannot get it.
    pub fn is_of_another_product(&self) -> StoreError {
        let Self { id, product_key, .. } = self;
        StoreError::Conflict(format!("image {id} is of product {product_key}, and the device is not"))
    }

    /// A share does not shrink.
    pub fn has_greater_share(&self, share: u8) -> StoreError {
        StoreError::Conflict(format!("image {} is offered to {share} % already; a share only grows", self.id))
    }
}

/// An upgrade, and the image that it is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedUpgrade {
    /// How far it is.
    pub upgrade: Upgrade,
    /// To what.
    pub image: Image,
}

/// The queries of a registry by name.
pub trait FirmwareReads: Registry {
    /// See [`FirmwareQuery::Images`].
    fn images(&self, product_key: Option<String>) -> PortFuture<'_, Result<Page<Image>, StoreError>> {
        read(self, FirmwareQuery::Images { product_key }, |found| match found {
            FirmwareFound::Images(images) => images,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Image`].
    fn image(&self, image: ImageId) -> PortFuture<'_, Result<Option<Image>, StoreError>> {
        read(self, FirmwareQuery::Image { image }, |found| match found {
            FirmwareFound::Image(image) => image,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Device`].
    fn upgrades_of(&self, device: DeviceId) -> PortFuture<'_, Result<Vec<OfferedUpgrade>, StoreError>> {
        read(self, FirmwareQuery::Device { device }, |found| match found {
            FirmwareFound::Device(upgrades) => upgrades,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Version`].
    fn version_of(&self, device: DeviceId) -> PortFuture<'_, Result<Option<String>, StoreError>> {
        read(self, FirmwareQuery::Version { device }, |found| match found {
            FirmwareFound::Version(version) => version,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Counts`].
    fn upgrade_counts(&self, image: ImageId) -> PortFuture<'_, Result<Vec<(UpgradeState, u64)>, StoreError>> {
        read(self, FirmwareQuery::Counts { image }, |found| match found {
            FirmwareFound::Counts(counts) => counts,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Failures`].
    fn upgrade_failures(
        &self,
        image: ImageId,
        limit: usize,
    ) -> PortFuture<'_, Result<Vec<(UpgradeFailure, u64)>, StoreError>> {
        read(self, FirmwareQuery::Failures { image, limit }, |found| match found {
            FirmwareFound::Failures(failures) => failures,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Upgrades`].
    fn upgrades(
        &self,
        image: ImageId,
        part: Part,
    ) -> PortFuture<'_, Result<Page<(DeviceName, Upgrade)>, StoreError>> {
        read(self, FirmwareQuery::Upgrades { image, part }, |found| match found {
            FirmwareFound::Upgrades(page) => page,
            other => other.is_wrong(),
        })
    }

    /// See [`FirmwareQuery::Due`].
    fn upgrades_due(&self, at: UnixMillis) -> PortFuture<'_, Result<bool, StoreError>> {
        read(self, FirmwareQuery::Due { at }, |found| match found {
            FirmwareFound::Due(due) => due,
            other => other.is_wrong(),
        })
    }
}

impl<R: Registry + ?Sized> FirmwareReads for R {}

fn read<'a, T: 'a>(
    registry: &'a (impl Registry + ?Sized),
    query: FirmwareQuery,
    found: fn(FirmwareFound) -> T,
) -> PortFuture<'a, Result<T, StoreError>> {
    let read = registry.firmware(query);
    Box::pin(async move { read.await.map(found) })
}

/// A change of images, rollouts or upgrades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareChange {
    /// Adds an image whose bytes are there. Where the product has one of that version and of the same bytes,
    /// that one is returned and nothing is changed; of other bytes it is `Exists`. `Conflict` where the
    /// product has as many as are kept ([`IMAGES_PER_PRODUCT_MAX`]).
    Add(Image),
    /// Removes an image with its rollout, where nobody needs it any more.
    Delete {
        /// Which.
        image: ImageId,
    },
    /// Offers an image: a step of that, for a share. Begins its rollout, where it has none. `Missing` where
    /// there is no such image or device, `Conflict` where the device is of another product.
    Offer {
        /// Which.
        image: ImageId,
        /// To whom.
        to: OfferTo,
        /// When.
        at: UnixMillis,
    },
    /// Pauses or resumes a rollout; `Missing` where there is none.
    Switch {
        /// Of which image.
        image: ImageId,
        /// Whether it goes on.
        on: bool,
    },
    /// Does what is due of all upgrades: queues commands, takes back those of rollouts that are paused, and
    /// ends upgrades of devices that are silent; so many upgrades at most: those of the oldest images first,
    /// and of an image those that were due first.
    Advance {
        /// At most this many.
        limit: usize,
        /// What the commands call this server.
        server: ServerName,
        /// When.
        at: UnixMillis,
    },
}

/// Whom an image is offered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferTo {
    /// One device, also where its upgrade to this image has ended already.
    Device(DeviceId),
    /// A share of the product's devices: those that were not offered it before.
    Share {
        /// In percent, 1 to 100; never less than it was.
        percent: u8,
        /// Only devices after this one: where the last step ended.
        after: Option<DeviceId>,
        /// Looks at this many devices at most.
        limit: usize,
    },
}

/// What one step of an offer did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offered {
    /// Devices that it was offered to, and had not been.
    pub devices: u64,
    /// Devices that it had been offered to before, and whose upgrades have not ended.
    pub again: u64,
    /// Devices among those that were never activated.
    pub never_seen: u64,
    /// Devices that run the version already.
    pub have_it: u64,
    /// Devices that were named, or are in the share, whatever they were offered before.
    pub chosen: u64,
    /// Of so many devices.
    pub of: u64,
    /// Devices whose queue of commands is another now: an older offer was taken back.
    pub queues: Vec<DeviceId>,
    /// Where the next step goes on; `None`: it is done.
    pub next: Option<DeviceId>,
}

/// What one step of the time of upgrades did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advanced {
    /// Devices whose queue of commands is another now.
    pub devices: Vec<DeviceId>,
    /// Upgrades that are further, or ended, or are offered no more, with their devices.
    pub moved: Vec<(DeviceId, UpgradeMoved)>,
    /// Rollouts that paused by themselves.
    pub paused: Vec<ImageId>,
    /// More is due at this time.
    pub more: bool,
}

/// Why an image, or its rollout, was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDeleted {
    /// Its rollout goes on, and so many devices are to get it still.
    RolloutGoesOn(u64),
    /// So many devices are at work with it.
    UnderWay(u64),
}

/// A file of firmware that comes in pieces. Two with the same values are the same upload, and it goes on
/// where it was, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Whose product it is: the organisation unit.
    pub ou: String,
    /// For the devices of which product.
    pub product_key: String,
    /// What a device says that runs it.
    pub version: String,
    /// Bytes; at least 1.
    pub size: u64,
    /// Of all its bytes.
    pub sha256: Sha256Sum,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceTaken {
    /// So many bytes are there: the next piece begins here.
    Received(u64),
    /// All are there, and are an image under this id, durably. Nobody knows it before it is registered.
    Complete(ImageId),
    /// All are there, and are not what the upload said: this is their SHA-256. They are gone.
    AnotherSum(Sha256Sum),
}

/// A part of an image that a device wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePieceWanted {
    /// Of which image.
    pub image: ImageId,
    /// The product of the device.
    pub product_key: String,
    /// From which byte.
    pub offset: u64,
    /// At most this many bytes.
    pub len: usize,
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePiece {
    /// The bytes; fewer than were wanted only at the end, none behind it.
    pub bytes: Vec<u8>,
    /// Bytes of the whole image.
    pub size: u64,
    /// The ETag of the image: the same for each of its parts, another one for other bytes.
    pub etag: [u8; ETAG_BYTES],
}

/// The bytes of images. Which there are, and for whom, stands in the [`Registry`].
pub trait Images: Send + Sync + 'static {
    /// A part of an image, `None` where no such image was offered to the product's devices. The whole image
    /// is compared with its SHA-256 before the first part of it is given.
    ///
    /// Never holds a whole image in memory, and waits for the disk in a thread of its own.
    fn read(&self, wanted: ImagePieceWanted) -> PortFuture<'_, Result<Option<ImagePiece>, StoreError>>;

    /// How the files of these images are, in their order: whether they are there and have their sizes, and
    /// what comparisons have found. Reads no bytes of them.
    fn glance(&self, images: Vec<Image>) -> PortFuture<'_, Result<Vec<ImageFile>, StoreError>>;

    /// Compares the file of an image with its SHA-256, unless that was done already. `Damaged` where it is
    /// missing or other bytes.
    fn compare(&self, image: Image) -> PortFuture<'_, Result<(), StoreError>>;

    /// How far an upload is; begins it where there is none. `Conflict` where too many have begun.
    fn begin(&self, upload: Upload) -> PortFuture<'_, Result<PieceTaken, StoreError>>;

    /// Takes a piece of an upload that has begun, at this byte of it. What is there already is ignored, a
    /// piece that would leave a gap is refused with `Conflict`. The last one completes it: the image gets the
    /// id, where its bytes are what the upload said. A file that the image of that id has is replaced.
    fn take(
        &self,
        upload: Upload,
        offset: u64,
        bytes: Vec<u8>,
        id: ImageId,
    ) -> PortFuture<'_, Result<PieceTaken, StoreError>>;

    /// Removes the uploads of a product that have begun.
    fn remove_uploads(&self, product_key: String) -> PortFuture<'_, Result<(), StoreError>>;

    /// Removes the bytes of an image that is not registered (any more).
    fn remove(&self, image: ImageId) -> PortFuture<'_, Result<(), StoreError>>;
}
