//! What the gateway asks of the outside, and what the outside answers.

use std::{sync::Arc, time::Instant};

use narrowgate_api::happening::Happening;
use narrowgate_engine::event::ShardCommand;
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, Position, UnixMillis},
    model::{
        access::Unit,
        command::Command,
        credential::CredentialLookup,
        product::{DataFormat, Product},
        property::{Properties, PropertyEdit, PropertyKind},
    },
    ports::{
        AccessReads as _, Fault, ImagePiece, ImagePieceWanted, OfferedUpgrade, Registry, StoreError,
        UpgradeMoved, Write, Written,
    },
};

use crate::{
    diagnosis::Diagnosis,
    leaving::OnlineOf,
    raw::{Decode, Encode, Received},
};

/// Now, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For measuring time; never goes back.
    pub instant: Instant,
    /// For times that are written down; may jump.
    pub wall: UnixMillis,
}

/// Names a question until it is answered; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    pub(crate) slot: u32,
    pub(crate) number: u32,
}

/// What the gateway asks for. Effects are carried out in their order.
#[derive(Debug)]
pub enum Effect {
    /// For the shard of this number.
    Command(u16, ShardCommand),
    /// What the store knows of these keys. Answered by [`Answer::Lookup`].
    Lookup(Token, DeviceName),
    /// The product of this key, with its script: [`ProductRead::of`] reads both. Answered by
    /// [`Answer::Product`].
    Product(Token, String),
    /// All attributes, or all tags, of a device. Answered by [`Answer::Properties`].
    Properties(Token, DeviceId, PropertyKind),
    /// The commands of a device that have not ended. Answered by [`Answer::Commands`].
    Commands(Token, DeviceId),
    /// The upgrades of a device. Answered by [`Answer::Upgrades`].
    Upgrades(Token, DeviceId),
    /// A part of an image. Answered by [`Answer::ImagePiece`].
    ImagePiece(Token, ImagePieceWanted),
    /// A page of the online devices of a product that is off. Answered by [`Answer::OnlineOf`].
    OnlineOf(Token, OnlineOf),
    /// To be committed together, after all earlier writes. Answered by [`Answer::Written`].
    Write(Token, Vec<Write>),
    /// Unpredictable bytes for the next secret, by [`crate::Gateway::handle_entropy`].
    Entropy,
    /// A refusal to be looked into, where that delays nobody. Answered by [`Answer::Diagnosed`].
    Diagnose(Token, Box<Diagnosis>),
    /// Bytes that a script is to make a message of. Answered by [`Answer::Decoded`].
    Decode(Token, Box<Decode>),
    /// A reply or a command that a script is to make bytes of. Answered by [`Answer::Encoded`].
    Encode(Token, Box<Encode>),
    /// What this names need not be decoded or encoded any more. No answer is due.
    GiveUp(Token),
    /// Bytes of a device, for trials: to be kept within limits, or not.
    Received(Received),
    /// For listeners, with its place if it was committed. With a device if the sender still has to look up
    /// its keys.
    Tell(Option<Position>, Happening, Option<DeviceId>),
}

/// The outside's answer to a question. An answer of another kind than its question is ignored.
#[derive(Debug)]
pub enum Answer<'a> {
    /// To [`Effect::Lookup`].
    Lookup(Result<CredentialLookup, StoreError>),
    /// To [`Effect::Product`]; `None`: there is none of this key.
    Product(Result<Option<ProductRead>, StoreError>),
    /// To [`Effect::Properties`].
    Properties(Result<Properties, StoreError>),
    /// To [`Effect::Commands`]: in the order of their sending.
    Commands(Result<Vec<Command>, StoreError>),
    /// To [`Effect::Upgrades`]: the newest offer first.
    Upgrades(Result<Vec<OfferedUpgrade>, StoreError>),
    /// To [`Effect::ImagePiece`]; `None`: there is no such image for that product.
    ImagePiece(Result<Option<ImagePiece>, StoreError>),
    /// To [`Effect::OnlineOf`]: their ids, rising, at most as many as were asked for.
    OnlineOf(Result<Vec<DeviceId>, StoreError>),
    /// To [`Effect::Write`]: an outcome for each write, or why none of them is stored.
    Written(Result<Outcomes<'a>, &'a StoreError>),
    /// To [`Effect::Diagnose`]: what was found, in words.
    Diagnosed(Option<String>),
    /// To [`Effect::Decode`]: the message.
    Decoded(Result<String, Fault>),
    /// To [`Effect::Encode`]: the bytes.
    Encoded(Result<Vec<u8>, Fault>),
}

/// A product and its script.
#[derive(Debug)]
pub struct ProductRead {
    /// The product.
    pub product: Product,
    /// The source that is published; `None`: none is.
    pub script: Result<Option<Arc<str>>, StoreError>,
    /// Its organisation unit; `None`: the default one, or one whose row is damaged, which is not limited.
    pub unit: Option<Box<Unit>>,
}

impl ProductRead {
    /// Reads both. Without its script, all but the bytes of its devices is served.
    ///
    /// # Errors
    /// The product cannot be read.
    pub async fn of(registry: &dyn Registry, product_key: &str) -> Result<Option<Self>, StoreError> {
        let Some(product) = registry.product(product_key).await? else { return Ok(None) };
        let script = match product.data_format {
            DataFormat::Json => Ok(None),
            DataFormat::Custom => {
                let script = registry.script(product_key).await;
                script.map(|script| script.published.map(|published| published.source))
            }
        };
        let unit = match registry.unit(&product.ou).await {
            Err(StoreError::Damaged(_)) => None,
            found => found?.map(Box::new),
        };
        Ok(Some(Self { product, script, unit }))
    }
}

/// What became of the writes of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcomes<'a> {
    /// Where the first of them stands in the order of the commits; the others follow.
    pub first: Position,
    /// An outcome for each write.
    pub written: &'a [Written],
}

/// A change by an operator that affects sessions, or of which listeners hear.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveChange {
    /// A device was disabled, reset, given another secret or deleted: its sessions end.
    CloseDevice {
        /// Whose sessions.
        device: DeviceId,
        /// Why it is then offline, for people.
        cause: &'static str,
    },
    /// Commands of a device were sent or taken back: they are read again.
    CommandsChanged {
        /// Whose.
        device: DeviceId,
    },
    /// Attributes or tags of a device were changed: listeners hear of it.
    PropertiesEdited {
        /// Whose.
        name: DeviceName,
        /// What was set, and what was taken away.
        edit: PropertyEdit,
    },
    /// Time has moved the upgrade of a device to an image of firmware: listeners and counters hear of it.
    UpgradeMoved {
        /// Whose.
        device: DeviceId,
        /// Its keys; without them, listeners look them up.
        name: Option<DeviceName>,
        /// What became of it.
        moved: UpgradeMoved,
    },
    /// A product's model or switches changed: it is read again, and if it is switched off or gone, its
    /// sessions end and its devices are offline. Also to be told at the start, of a product that is off.
    ProductChanged {
        /// Which one.
        product_key: String,
    },
    /// A product's secret was replaced: sessions that proved it (SecureMode 3) end.
    ProductSecretReplaced {
        /// Which one's.
        product_key: String,
    },
}
