//! What a source of events gives to those who follow.

use std::{future::Future, pin::Pin, sync::Arc};

use narrowgate_api::happening::{Happening, HappeningKind};
use narrowgate_platform::{model::happened::StreamPlace, ports::Lost};

use crate::shares::Lot;

/// What happens, for any number of followers.
pub trait Events: Send + Sync + 'static {
    /// Follows from behind a place; `None`: from now on, which is before it answers. Whoever reads what is
    /// stored takes turns by their lots.
    fn follow(
        &self,
        from: Option<StreamPlace>,
        lot: Lot,
    ) -> Pin<Box<dyn Future<Output = Box<dyn Subscription>> + Send + '_>>;
}

/// One follower. It misses nothing, however slowly it asks.
pub trait Subscription: Send + 'static {
    /// Waits for what comes next.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Next> + Send + '_>>;
}

/// What a follower gets next.
#[derive(Debug)]
pub enum Next {
    /// What comes next stands behind this place: at the beginning, and where it goes on elsewhere.
    At(StreamPlace),
    /// All that stands behind the place before it, up to this piece's end; it may begin earlier.
    Piece(Arc<Piece>),
    /// Something that is not stored, and is told to who follows at that moment.
    Lone(Arc<Told>),
    /// This is not there any more.
    Lost(Lost),
    /// There will be no more.
    Ended,
}

/// A part of what happened, which all followers share.
#[derive(Debug)]
pub struct Piece {
    /// In its order.
    pub told: Vec<Told>,
    /// Its end.
    pub upto: StreamPlace,
    /// Something in it could not be read.
    pub is_damaged: bool,
}

impl Piece {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.told.iter().map(|told| size_of::<Told>() + told.json.len()).sum()
    }
}

/// To whom something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The organisation unit of the device; `None`: it is of no device that is known.
    pub ou: Option<String>,
    /// The key of the product, if it has one.
    pub product_key: Option<String>,
    /// The key of the device, if it has one.
    pub device_key: Option<String>,
}

/// Something that happened, with the keys of its device.
#[derive(Debug)]
pub struct Told {
    /// Its place; `None`: it is not stored.
    pub place: Option<StreamPlace>,
    /// To whom.
    pub whose: Arc<Whose>,
    /// Of which kind it is.
    pub kind: HappeningKind,
    /// What happened, as one line of JSON.
    pub json: Box<str>,
}

impl Told {
    /// What happened to a device that is known.
    pub fn new(place: Option<StreamPlace>, whose: Arc<Whose>, happening: &Happening) -> Self {
        // A happening can always be serialised: keys are text, and points are already JSON.
        let json = serde_json::to_string(happening).unwrap_or_default().into();
        Self { place, whose, kind: happening.kind(), json }
    }

    /// What happened to no device that is known, whatever keys it names.
    pub fn of_nobody(place: Option<StreamPlace>, happening: &Happening) -> Self {
        let product_key = happening.product_key().map(str::to_owned);
        let device_key = happening.device().map(|device| device.device_key.clone());
        Self::new(place, Arc::new(Whose { ou: None, product_key, device_key }), happening)
    }
}
