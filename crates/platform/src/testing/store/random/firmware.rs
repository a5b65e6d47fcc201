//! Operations on images, rollouts and upgrades.

use super::{dice::Dice, operation::DEVICES};
use crate::{
    firmware::{Fetched, FirmwareMove, FirmwareStep, Image, ImageId, ServerName, Sha256Sum},
    ids::{DeviceId, UnixMillis},
    model::command::CommandSession,
    paging::Part,
    ports::{self, Change, FirmwareReads as _, OfferTo, Store, Write},
    testing::block_on,
};

/// How many images there may be.
const IMAGES: u8 = 4;

/// An operator's change, or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FirmwareChange {
    Add { image: u8, product: u8, version: u8, form: u8 },
    Delete { image: u8 },
    OfferToDevice { image: u8, device: u8 },
    OfferToShare { image: u8, percent: u8, after: Option<i64>, limit: usize },
    Switch { image: u8, on: bool },
    Advance { limit: usize },
}

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FirmwareEvent {
    Inform { version: u8 },
    Progress { step: i8 },
    Fetching { image: u8, fetched: Fetched },
}

pub(super) fn draw_change(dice: &mut Dice, product: u8, device: u8) -> FirmwareChange {
    let image = dice.small(u64::from(IMAGES));
    match dice.below(16) {
        0..=2 => FirmwareChange::Add { image, product, version: dice.small(3), form: dice.small(4) / 3 },
        3 => FirmwareChange::Delete { image },
        4 | 5 => FirmwareChange::OfferToDevice { image, device },
        6..=8 => {
            let percent = [10, 50, 100, 100][dice.below(4) as usize];
            let after = dice.one_in(3).then(|| dice.below(u64::from(DEVICES)) as i64);
            FirmwareChange::OfferToShare { image, percent, after, limit: 1 + dice.below(8) as usize }
        }
        9 => FirmwareChange::Switch { image, on: dice.one_in(2) },
        _ => FirmwareChange::Advance { limit: 1 + dice.below(6) as usize },
    }
}

pub(super) fn draw_event(dice: &mut Dice) -> FirmwareEvent {
    match dice.below(8) {
        0 | 1 => FirmwareEvent::Inform { version: dice.small(3) },
        2..=5 => {
            let step = [0, 50, 100, -1, -2, -3, -4, -5][dice.below(8) as usize];
            FirmwareEvent::Progress { step }
        }
        _ => {
            let fetched = if dice.one_in(2) { Fetched::First } else { Fetched::Last };
            FirmwareEvent::Fetching { image: dice.small(u64::from(IMAGES)), fetched }
        }
    }
}

pub(super) fn change(wanted: FirmwareChange, id: impl Fn(u8) -> DeviceId, at: UnixMillis) -> Change {
    Change::Firmware(match wanted {
        FirmwareChange::Add { image, product, version, form } => ports::FirmwareChange::Add(Image {
            id: image_id(image),
            product_key: super::readout::product_key(product),
            version: version_text(version),
            size: 1 + u64::from(form),
            sha256: Sha256Sum([form; 32]),
            uploaded: at,
            rollout: None,
        }),
        FirmwareChange::Delete { image } => ports::FirmwareChange::Delete { image: image_id(image) },
        FirmwareChange::OfferToDevice { image, device } => {
            ports::FirmwareChange::Offer { image: image_id(image), to: OfferTo::Device(id(device)), at }
        }
        FirmwareChange::OfferToShare { image, percent, after, limit } => {
            let to = OfferTo::Share { percent, after: after.map(DeviceId), limit };
            ports::FirmwareChange::Offer { image: image_id(image), to, at }
        }
        FirmwareChange::Switch { image, on } => ports::FirmwareChange::Switch { image: image_id(image), on },
        FirmwareChange::Advance { limit } => {
            ports::FirmwareChange::Advance { limit, server: ServerName::default(), at }
        }
    })
}

pub(super) fn write(
    event: FirmwareEvent,
    device: DeviceId,
    session: CommandSession,
    (at, turn): (UnixMillis, usize),
) -> Write {
    let step = match event {
        FirmwareEvent::Inform { version } => FirmwareStep::Inform { version: version_text(version) },
        FirmwareEvent::Progress { step } => {
            FirmwareStep::Progress { step, desc: (turn % 2 == 0).then(|| format!("turn {turn}")) }
        }
        FirmwareEvent::Fetching { image, fetched } => {
            FirmwareStep::Fetching { image: image_id(image), fetched, percent: 50 }
        }
    };
    Write::Firmware(FirmwareMove { device, session, step, at })
}

/// What can be read of images and rollouts. `turn` varies the sizes of pages.
pub(super) fn read(store: &dyn Store, now: UnixMillis, turn: usize, lines: &mut Vec<String>) {
    let images = block_on(store.images(None)).expect("the store reads").items;
    for image in &images {
        let counts = block_on(store.upgrade_counts(image.id)).expect("the store reads");
        lines.push(format!("{image:?} {counts:?}"));
        let mut part = Part::first(1 + turn % 4);
        loop {
            let page = block_on(store.upgrades(image.id, part)).expect("the store reads");
            lines.extend(page.items.iter().map(|item| format!("{item:?}")));
            let Some(next) = page.next else { break };
            part.after = Some(next);
        }
    }
    for image in 0..IMAGES {
        lines.push(format!("{:?}", block_on(store.image(image_id(image))).expect("the store reads")));
    }
    let of_product = block_on(store.images(Some(super::readout::product_key(0)))).expect("the store reads");
    let due = block_on(store.upgrades_due(now)).expect("the store reads");
    lines.push(format!("{} images of the first product; due: {due}", of_product.items.len()));
}

/// What can be read of a device's firmware.
pub(super) fn read_device(store: &dyn Store, device: DeviceId) -> String {
    let version = block_on(store.version_of(device)).expect("the store reads");
    let upgrades = block_on(store.upgrades_of(device)).expect("the store reads");
    format!("firmware {version:?} {upgrades:?}")
}

fn image_id(image: u8) -> ImageId {
    format!("IMAGE00{image}").parse().expect("letters and digits")
}

fn version_text(version: u8) -> String {
    format!("1.{version}")
}
