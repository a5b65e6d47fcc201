//! What becomes of the changes that operators make.

#[cfg(doc)]
use super::Change;
use super::{Advanced, NotDeleted, Offered, StoreError, UpgradeMoved};
use crate::{
    firmware::Image,
    ids::DeviceId,
    model::{access::Unit, command::Command, device::Device, property::Properties},
    rules::{
        commands::NotSent,
        models::{ModelStands, NotPut},
        scripts::{NotChanged, ScriptStands},
    },
};

/// What became of a [`Change`].
#[derive(Debug)]
pub enum Changed {
    /// Of a product, of a removal, of a note: it is done.
    Done,
    /// The device as it stands now.
    Device(Box<Device>),
    /// A device was switched on or off, or reset.
    Switched(Box<Switched>),
    /// What became of each new device, in order.
    Created(Vec<Result<Device, StoreError>>),
    /// The devices that were removed.
    Deleted(Vec<DeviceId>),
    /// How far the purge of a device is.
    Purged(Purged),
    /// All attributes, or all tags, as they stand now, or why nothing was changed.
    Properties(Result<Properties, NotEdited>),
    /// The model that stands now, or why another was not put in its place.
    Model(Result<ModelStands, NotPut>),
    /// The version of the script that stands now, or why nothing was changed.
    Script(Result<ScriptStands, NotChanged>),
    /// The command that was sent, or why none was.
    Sent(Result<Command, NotSent>),
    /// The commands that were taken back, oldest first.
    Cancelled(Vec<Command>),
    /// An image with its rollout, as it stands now.
    Image(Box<Image>),
    /// Whether an image was removed.
    ImageDeleted(Result<(), NotDeleted>),
    /// How far an offer is.
    Offered(Offered),
    /// What time did to upgrades.
    Advanced(Advanced),
    /// An organisation unit was suspended, or is not any more.
    Unit(Box<UnitChanged>),
}

/// An organisation unit that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitChanged {
    /// The unit as it stands now.
    pub unit: Unit,
    /// Keys of all of its products, as they are read.
    pub products: Vec<String>,
}

/// A device that was switched on or off, or reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// The device as it stands now.
    pub device: Device,
    /// The upgrades that have ended by it.
    pub stopped: Vec<UpgradeMoved>,
}

impl Changed {
    /// The device that was switched or reset.
    ///
    /// # Panics
    /// Where the change was another one: a bug of the store.
    pub fn switched(self) -> Switched {
        match self {
            Self::Switched(switched) => *switched,
            other => other.is_wrong("a device that was switched"),
        }
    }

    /// The device that was changed.
    ///
    /// # Panics
    /// Where the change was not of one device: a bug of the store.
    pub fn device(self) -> Device {
        match self {
            Self::Device(device) => *device,
            other => other.is_wrong("a device"),
        }
    }

    /// What became of new devices.
    ///
    /// # Panics
    /// Where none were to be added.
    pub fn created(self) -> Vec<Result<Device, StoreError>> {
        match self {
            Self::Created(devices) => devices,
            other => other.is_wrong("new devices"),
        }
    }

    /// Which devices were removed.
    ///
    /// # Panics
    /// Where no product's devices were to be removed.
    pub fn deleted(self) -> Vec<DeviceId> {
        match self {
            Self::Deleted(devices) => devices,
            other => other.is_wrong("the devices that were removed"),
        }
    }

    /// How far a purge is.
    ///
    /// # Panics
    /// Where no device was to be purged.
    pub fn purged(self) -> Purged {
        match self {
            Self::Purged(purged) => purged,
            other => other.is_wrong("how far a purge is"),
        }
    }

    /// What a device has now.
    ///
    /// # Panics
    /// Where the change was not of attributes or tags.
    pub fn properties(self) -> Result<Properties, NotEdited> {
        match self {
            Self::Properties(properties) => properties,
            other => other.is_wrong("attributes or tags"),
        }
    }

    /// What became of a model.
    ///
    /// # Panics
    /// Where none was to be put in place.
    pub fn model(self) -> Result<ModelStands, NotPut> {
        match self {
            Self::Model(model) => model,
            other => other.is_wrong("a model"),
        }
    }

    /// What became of a script.
    ///
    /// # Panics
    /// Where none was to be changed.
    pub fn script(self) -> Result<ScriptStands, NotChanged> {
        match self {
            Self::Script(script) => script,
            other => other.is_wrong("a script"),
        }
    }

    /// The command that was sent.
    ///
    /// # Panics
    /// Where none was to be sent.
    pub fn sent(self) -> Result<Command, NotSent> {
        match self {
            Self::Sent(sent) => sent,
            other => other.is_wrong("a command"),
        }
    }

    /// Which commands were taken back.
    ///
    /// # Panics
    /// Where none were to be taken back.
    pub fn cancelled(self) -> Vec<Command> {
        match self {
            Self::Cancelled(commands) => commands,
            other => other.is_wrong("the commands that were taken back"),
        }
    }

    /// An image that was added or changed.
    ///
    /// # Panics
    /// Where none was.
    pub fn image(self) -> Image {
        match self {
            Self::Image(image) => *image,
            other => other.is_wrong("an image"),
        }
    }

    /// What became of an image that was to be removed.
    ///
    /// # Errors
    /// Why it was not.
    ///
    /// # Panics
    /// Where none was to be.
    pub fn image_deleted(self) -> Result<(), NotDeleted> {
        match self {
            Self::ImageDeleted(deleted) => deleted,
            other => other.is_wrong("whether an image was removed"),
        }
    }

    /// How far an offer is.
    ///
    /// # Panics
    /// Where nothing was offered.
    pub fn offered(self) -> Offered {
        match self {
            Self::Offered(offered) => offered,
            other => other.is_wrong("an offer"),
        }
    }

    /// What time did to upgrades.
    ///
    /// # Panics
    /// Where it was not asked for.
    pub fn advanced(self) -> Advanced {
        match self {
            Self::Advanced(advanced) => advanced,
            other => other.is_wrong("what time did"),
        }
    }

    /// A unit that was changed.
    ///
    /// # Panics
    /// Where none was.
    pub fn unit(self) -> UnitChanged {
        match self {
            Self::Unit(changed) => *changed,
            other => other.is_wrong("an organisation unit"),
        }
    }

    fn is_wrong(&self, wanted: &str) -> ! {
        panic!("the store answers a change with {self:?} instead of {wanted}")
    }
}

/// What one step of [`Change::PurgeDevice`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// How many messages it made unreadable.
    pub messages: u64,
    /// None is left, and the device is removed.
    pub done: bool,
}

/// Why attributes or tags were not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotEdited {
    /// The device would have more than is kept: so many bytes.
    TooMuch(usize),
    /// They are not what they must be for the change.
    NotAsExpected,
}
