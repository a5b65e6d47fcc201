//! Operations on a store, and how they are drawn.
//!
//! Products and devices are few, so that operations collide: a device is deleted and registered anew, an
//! asset id is taken, a quota is used up. The time begins shortly before a full hour.

use super::{
    access,
    dice::Dice,
    firmware::{FirmwareChange, FirmwareEvent, draw_change, draw_event},
    models::FORMS,
    scripts,
};

/// How many products there may be.
pub(super) const PRODUCTS: u8 = 3;
/// How many device keys there may be.
pub(super) const DEVICES: u8 = 6;
/// How many asset ids there may be.
const ASSETS: u64 = 9;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Time passes.
    Wait {
        /// How many seconds.
        seconds: i64,
    },
    /// The store is closed and opened again, where it can be.
    Restart,
    /// Adds a product.
    CreateProduct {
        /// Which.
        product: u8,
    },
    /// Changes a product.
    UpdateProduct {
        /// Which.
        product: u8,
        /// Its switch.
        enabled: bool,
        /// The switch of its dynamic activation.
        activation: bool,
        /// When that ends, from now on.
        ends_in_s: Option<i64>,
        /// Secrets an hour.
        quota: u32,
    },
    /// Changes the script of a product.
    PutScript {
        /// Which.
        product: u8,
        /// What becomes of it.
        form: u8,
    },
    /// Changes units or tokens.
    Access {
        /// How.
        form: u8,
    },
    /// Puts a model in the place of a product's.
    PutModel {
        /// Which.
        product: u8,
        /// Which model; 0: none.
        form: u8,
    },
    /// Gives a product another secret.
    RotateProductSecret {
        /// Which.
        product: u8,
    },
    /// Deletes a product.
    DeleteProduct {
        /// Which.
        product: u8,
    },
    /// Deletes devices of a product.
    DeleteDevicesOf {
        /// Which.
        product: u8,
        /// How many at most.
        limit: usize,
    },
    /// Adds a device.
    CreateDevice {
        /// Of which product.
        product: u8,
        /// Which.
        device: u8,
        /// Its asset id.
        asset: u8,
    },
    /// Changes a device.
    Change {
        /// Which.
        device: u8,
        /// How.
        kind: Kind,
    },
    /// Sends a command.
    Send {
        /// To which device.
        device: u8,
        /// Time to live.
        ttl_s: u32,
        /// Of which topic.
        topic: u8,
    },
    /// Takes back commands.
    Cancel {
        /// Of which device.
        device: u8,
        /// Which one; `None`: all.
        id: Option<u32>,
    },
    /// Changes images and rollouts, or lets time pass for them.
    Firmware(FirmwareChange),
    /// Commits a batch.
    Append(Vec<Step>),
}

/// How a device is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Rename,
    Enable,
    Disable,
    Reset,
    RotateSecret,
    Delete,
    Purge,
    EditProperties,
    NoteSecretShown,
}

/// What happens to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CommandEvent {
    Fetch,
    Reply { code: i64 },
    NotEncoded,
    TimePasses,
}

/// One write of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A login.
    Login {
        /// Who.
        device: u8,
        /// With the present secret (0) or an older one.
        versions_ago: u32,
        /// The next number (0), or one that was overtaken.
        logins_ago: u8,
    },
    /// A change of presence.
    Presence {
        /// Who.
        device: u8,
        /// In the session of the last login (0), of the one before, or of none (2).
        logins_ago: u8,
        /// Online; else offline.
        online: bool,
    },
    /// Something was heard.
    Seen {
        /// Who.
        device: u8,
        /// In whose session, as above.
        logins_ago: u8,
        /// When.
        seconds_ago: i64,
    },
    /// A report.
    Report {
        /// Who.
        device: u8,
        /// In whose session, as above.
        logins_ago: u8,
        /// Its own time.
        seconds_ago: i64,
        /// Which points it has; the odd ones move the latest values, the even ones do not.
        form: u8,
    },
    /// An event.
    Event {
        /// Who.
        device: u8,
        /// In whose session, as above.
        logins_ago: u8,
        /// Its own time.
        seconds_ago: i64,
        /// Which.
        form: u8,
    },
    /// A change of attributes or tags.
    Properties {
        /// Who.
        device: u8,
        /// In whose session, as above.
        logins_ago: u8,
        /// Which; a rare one is too much.
        form: u8,
    },
    /// A refusal.
    Refusal {
        /// Of whom; `None`: of a stranger.
        device: Option<u8>,
    },
    /// A step of a command.
    Command {
        /// Whose.
        device: u8,
        /// Which one.
        id: u32,
        /// In whose session, as above.
        logins_ago: u8,
        /// What happens.
        event: CommandEvent,
    },
    /// A step of firmware.
    Firmware {
        /// Who.
        device: u8,
        /// In whose session, as above.
        logins_ago: u8,
        /// What happens.
        event: FirmwareEvent,
    },
    /// A wish for a secret.
    Issue {
        /// Who.
        device: u8,
    },
}

/// The operations of a seed.
pub(super) fn draw(seed: u64, count: usize) -> Vec<Operation> {
    let mut dice = Dice::new(seed);
    // Something to work with.
    let mut operations: Vec<_> = (0..PRODUCTS).map(|product| Operation::CreateProduct { product }).collect();
    operations.extend((0..DEVICES).map(|device| Operation::CreateDevice {
        product: device % 2,
        device,
        asset: device,
    }));
    while operations.len() < count {
        operations.push(operation(&mut dice));
    }
    operations
}

fn operation(dice: &mut Dice) -> Operation {
    let product = dice.small(u64::from(PRODUCTS));
    let device = dice.small(u64::from(DEVICES));
    match dice.below(52) {
        0..=3 => Operation::Wait { seconds: seconds(dice) },
        4 => Operation::Restart,
        5 => Operation::CreateProduct { product },
        6..=8 => Operation::UpdateProduct {
            product,
            enabled: !dice.one_in(4),
            activation: !dice.one_in(4),
            ends_in_s: dice.one_in(3).then(|| dice.below(5000) as i64 - 500),
            quota: dice.below(4) as u32,
        },
        9 if dice.one_in(3) => Operation::DeleteProduct { product },
        10 if dice.one_in(4) => Operation::RotateProductSecret { product },
        10 if dice.one_in(3) => Operation::DeleteDevicesOf { product, limit: dice.below(4) as usize },
        9..=12 => Operation::CreateDevice { product, device, asset: dice.small(ASSETS) },
        13..=17 => Operation::Change { device, kind: kind(dice) },
        32..=34 => Operation::Send { device, ttl_s: ttl(dice), topic: dice.small(3) },
        40.. => Operation::Firmware(draw_change(dice, product % 2, device)),
        38 => Operation::Access { form: dice.small(access::FORMS) },
        37 if dice.small(2) == 0 => Operation::PutScript { product, form: dice.small(scripts::FORMS) },
        37.. => Operation::PutModel { product, form: dice.small(FORMS) },
        35 => Operation::Cancel { device, id: (!dice.one_in(3)).then(|| id(dice)) },
        _ => {
            let count = dice.below(6);
            Operation::Append((0..count).map(|_| step(dice)).collect())
        }
    }
}

/// Some seconds, or over the hour, or over the day.
fn seconds(dice: &mut Dice) -> i64 {
    let end = match dice.below(8) {
        0 => 90_000,
        1 | 2 => 4_000,
        _ => 30,
    };
    dice.below(end) as i64
}

/// Instant, or for a while; among them some for which it is too long.
fn ttl(dice: &mut Dice) -> u32 {
    if dice.one_in(3) { 0 } else { 1 + dice.below(5000) as u32 }
}

/// Ids begin at 1 for each device.
fn id(dice: &mut Dice) -> u32 {
    1 + dice.below(6) as u32
}

fn command_event(dice: &mut Dice) -> CommandEvent {
    match dice.below(6) {
        0 | 1 => CommandEvent::Fetch,
        2 => CommandEvent::Reply { code: 200 },
        3 => CommandEvent::Reply { code: 1102 },
        4 => CommandEvent::NotEncoded,
        _ => CommandEvent::TimePasses,
    }
}

fn kind(dice: &mut Dice) -> Kind {
    match dice.below(12) {
        0 => Kind::Rename,
        1..=3 => Kind::Enable,
        4 | 5 => Kind::Disable,
        6 => Kind::Reset,
        7 if dice.one_in(2) => Kind::Reset,
        7 => Kind::RotateSecret,
        8 if dice.one_in(2) => Kind::Purge,
        8 => Kind::Delete,
        9 | 10 => Kind::EditProperties,
        _ => Kind::NoteSecretShown,
    }
}

fn step(dice: &mut Dice) -> Step {
    let device = dice.small(u64::from(DEVICES));
    let logins_ago = if dice.one_in(4) { 1 + dice.small(2) } else { 0 };
    match dice.below(32) {
        24.. => Step::Firmware { device, logins_ago, event: draw_event(dice) },
        20.. => Step::Command { device, id: id(dice), logins_ago, event: command_event(dice) },
        0..=3 => Step::Login { device, versions_ago: u32::from(dice.one_in(4)), logins_ago },
        4..=6 => Step::Presence { device, logins_ago, online: dice.one_in(2) },
        7 => Step::Seen { device, logins_ago, seconds_ago: dice.below(60) as i64 },
        8..=12 => Step::Report { device, logins_ago, seconds_ago: ago(dice), form: dice.small(8) },
        18 | 19 => Step::Event { device, logins_ago, seconds_ago: ago(dice), form: dice.small(3) },
        16 | 17 => Step::Properties { device, logins_ago, form: dice.small(16) },
        13 => Step::Refusal { device: (!dice.one_in(3)).then_some(device) },
        _ => Step::Issue { device },
    }
}

/// Out of order, at equal times, and days late.
fn ago(dice: &mut Dice) -> i64 {
    match dice.below(6) {
        0 => dice.below(200_000) as i64,
        1 | 2 => dice.below(40) as i64,
        _ => 0,
    }
}
