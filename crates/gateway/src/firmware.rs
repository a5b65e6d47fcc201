//! Firmware: what devices say of theirs is written like a report, the versions that they ask for are read,
//! and so is each block of an image, anew for its request. Of a transfer nothing is kept: neither here nor in
//! the message layer (`coap::endpoint`, Blocks).
//!
//! That a device fetches an image is written down for people, with its first and last block and with those
//! that cross a tenth of the image: the place of the block says that, and a block that comes again is written
//! down again. Of a device that fetches slowly, one more block an hour is: it is not silent
//! (`alive`). Nobody waits for it. What listeners and counters hear of upgrades is in `upgrades`.
//!
//! Limits: [`BLOCKS_MAX`] blocks are read at the same time, and [`FIRST_BLOCKS_MAX`] of images of which none
//! was read yet, since such an image is compared first, and blocks of others do not wait for that;
//! [`WAITING_MAX`] wait for each, and further ones are answered 5.03; a device has [`AT_ONCE_MAX`] at the
//! same time, and gets 4.29 beyond.

use std::collections::{BTreeMap, BTreeSet};

use narrowgate_coap::Response;
use narrowgate_engine::event::Ticket;
use narrowgate_platform::{
    device_api::{
        self,
        commands::COMMAND_WAITING,
        ota::{
            OtaMessage, OtaWanted,
            image::{AT_ONCE_MAX, BlockWanted},
        },
    },
    firmware::{Fetched, FirmwareMove, FirmwareStep, ImageId, NoUpgrade, ServerName, UpgradeOffer, cut_desc},
    ids::{DeviceId, Position, UnixMillis},
    model::command::CommandSession,
    ports::{ImagePiece, OfferedUpgrade, StoreError, Write, Written},
    rules::{clock::Arrival, commands::Way, rate::Seldom},
};

use crate::{
    ERRORS_EVERY,
    alive::Alive,
    desk::response_after,
    effect::{Effect, Now},
    outbox::{Line, Outbox, Pending},
    raw::Then,
    requests::{Asker, name_of},
    shared::Shared,
    upgrades::Said,
};

/// Blocks that are read at the same time: fewer than look-ups of handshakes, which they must not delay.
pub(crate) const BLOCKS_MAX: usize = 48;
/// … and beside them of images of which none was read yet.
pub(crate) const FIRST_BLOCKS_MAX: usize = 16;
/// Images that are known to have been read. Beyond that, one is forgotten for each that comes.
const IMAGES_MAX: usize = 1024;
/// Blocks that wait for those: as many devices, and so much of their time out is not used up.
pub(crate) const WAITING_MAX: usize = 4096;
/// Writes that say that a device fetches an image, under way for all devices. Further ones are left out: what
/// the device says of its update counts, not this.
const FETCHING_MAX: usize = 4096;
/// Questions for versions that are read at the same time, and as many times more wait.
const VERSIONS_MAX: usize = 16;
/// Longest value of option 2100 beside a block of 1024 bytes: a longer one would not leave its room in a
/// message, and the block, with all that follow, would become a smaller one.
const WAITING_BYTES_MAX: usize = 88;

/// What a device says, under way.
#[derive(Debug)]
pub(crate) struct FirmwareTold {
    device: DeviceId,
    told: Told,
}

impl FirmwareTold {
    /// Whether it is a request, which is answered.
    pub(crate) fn is_request(&self) -> bool {
        matches!(self.told, Told::Message(_))
    }
}

/// What is written down for a device.
#[derive(Debug)]
enum Told {
    /// What it said, and who waits for the answer.
    Message(Box<Message>),
    /// That it fetches an image, and how much of it, in percent: nobody waits for that.
    Fetching(Box<Asker>, Fetched, u8),
}

impl FirmwareTold {
    /// Who says it, and what of it is told to people.
    fn said(&self) -> (&Asker, Said) {
        match &self.told {
            Told::Fetching(asker, _, percent) => (asker, Said::Fetched(*percent)),
            Told::Message(message) => match &message.wanted.message {
                OtaMessage::Step(FirmwareStep::Progress { desc, .. }) => {
                    (&message.asker, Said::Step { desc: desc.as_deref().map(cut_desc) })
                }
                _ => (&message.asker, Said::default()),
            },
        }
    }
}

/// What a device says of its firmware, and the reply to be sent once that is durable.
#[derive(Debug)]
pub(crate) struct Message {
    ticket: Ticket,
    asker: Asker,
    wanted: OtaWanted,
    done: Response,
}

/// A step that a message reports, until it is written.
#[derive(Debug)]
pub(crate) struct Step {
    step: FirmwareStep,
    at: UnixMillis,
    wanted: OtaWanted,
}

/// A question for versions under way.
#[derive(Debug)]
pub(crate) struct VersionsAsked {
    ticket: Ticket,
    asker: Asker,
    wanted: OtaWanted,
}

/// A block under way.
#[derive(Debug)]
pub(crate) struct BlockAsked {
    ticket: Ticket,
    asker: Asker,
    wanted: BlockWanted,
    /// No block of the image was read when it came.
    is_first: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Firmware {
    blocks: Line<BlockAsked>,
    /// Those of images of which none was read yet.
    first_blocks: Line<BlockAsked>,
    /// Images of which a block was read.
    read: BTreeSet<ImageId>,
    /// Blocks of each device that has some under way.
    of_devices: BTreeMap<DeviceId, usize>,
    versions: Line<VersionsAsked>,
    /// Of which devices it is being written down that they fetch a first or a last block. A device may ask
    /// for one block again and again while the store is slow: there is one such write of each kind for it.
    fetching: BTreeSet<(DeviceId, bool)>,
    alive: Alive,
    /// Which a device may fetch images from.
    server: ServerName,
    errors: Seldom,
}

impl Firmware {
    pub(crate) fn new(server: ServerName) -> Self {
        Self {
            server,
            alive: Alive::default(),
            blocks: Line::new(BLOCKS_MAX),
            first_blocks: Line::new(FIRST_BLOCKS_MAX),
            read: BTreeSet::new(),
            of_devices: BTreeMap::new(),
            versions: Line::new(VERSIONS_MAX),
            fetching: BTreeSet::new(),
            errors: Seldom::new(ERRORS_EVERY),
        }
    }

    fn ask(&mut self, out: &mut Outbox) {
        while let Some(asked) = self.blocks.poll().or_else(|| self.first_blocks.poll()) {
            let piece = asked.wanted.piece(asked.asker.grant.product_key());
            out.ask(Pending::Block(Box::new(asked)), |token| Effect::ImagePiece(token, piece));
        }
        while let Some(asked) = self.versions.poll() {
            let device = asked.asker.grant.device;
            out.ask(Pending::Versions(Box::new(asked)), |token| Effect::Upgrades(token, device));
        }
    }

    /// The line of blocks in which this one waits.
    fn line(&mut self, is_first: bool) -> &mut Line<BlockAsked> {
        if is_first { &mut self.first_blocks } else { &mut self.blocks }
    }

    /// What was read of an image.
    fn note_read(&mut self, image: ImageId, read: &Result<Option<ImagePiece>, StoreError>) {
        match read {
            Ok(Some(_)) => {
                if self.read.len() >= IMAGES_MAX && !self.read.contains(&image) {
                    self.read.pop_first();
                }
                self.read.insert(image);
            }
            // Its file may be put back, and is compared again then.
            Err(StoreError::Damaged(_)) => drop(self.read.remove(&image)),
            // Of another product, or the disk is slow.
            Ok(None) | Err(_) => {}
        }
    }

    /// Whether one more block of a device may be under way: then it counts as such.
    fn permit(&mut self, device: DeviceId) -> bool {
        let under_way = self.of_devices.entry(device).or_default();
        let is_permitted = *under_way < AT_ONCE_MAX;
        *under_way += usize::from(is_permitted);
        is_permitted
    }

    /// A block of a device is under way no more.
    fn leave(&mut self, device: DeviceId) {
        if let Some(under_way) = self.of_devices.get_mut(&device) {
            *under_way -= 1;
            if *under_way == 0 {
                self.of_devices.remove(&device);
            }
        }
    }
}

impl Shared {
    /// Has noted what a device says, or read what it asks; the answer follows.
    pub(crate) fn handle_ota(
        &mut self,
        now: Now,
        ticket: Ticket,
        asker: Asker,
        wanted: OtaWanted,
        arrived: Arrival,
    ) {
        if let OtaMessage::Step(step) = &wanted.message {
            let step = Step { step: step.clone(), at: arrived.time, wanted };
            return self.write_with_reply(ticket, asker, step);
        }
        if self.firmware.versions.waiting() >= VERSIONS_MAX * VERSIONS_MAX {
            self.requests.count_unavailable();
            return self.respond(now, ticket, &asker, device_api::unavailable());
        }
        self.firmware.versions.enter(VersionsAsked { ticket, asker, wanted });
        self.firmware.ask(&mut self.out);
    }

    /// Has a step written; where it came as bytes, once the reply to it is made.
    fn write_with_reply(&mut self, ticket: Ticket, asker: Asker, step: Step) {
        let (done, _) = asker.in_its_form(step.wanted.done()).into_parts();
        match asker.to_encode(&done) {
            Some(encode) => self.encode(ticket, asker, (done, encode), Then::Note(Box::new(step))),
            None => self.write_firmware(ticket, asker, step, done),
        }
    }

    /// Has a step written; `done` is sent once it is durable.
    pub(crate) fn write_firmware(&mut self, ticket: Ticket, asker: Asker, step: Step, done: Response) {
        let Step { step, at, wanted } = step;
        if let Some(write) = write_of(&asker, step, at) {
            let device = asker.grant.device;
            let told = Told::Message(Box::new(Message { ticket, asker, wanted, done }));
            self.out.write(vec![write], Pending::Firmware(Box::new(FirmwareTold { device, told })));
        }
    }

    /// What a device said is durable, or the store has refused it.
    pub(crate) fn handle_firmware_written(
        &mut self,
        now: Now,
        told: FirmwareTold,
        first: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        if let Ok([Written::Upgrade(moved)]) = outcomes {
            let (asker, said) = told.said();
            let name = || Some(name_of(&asker.grant));
            self.note_upgrade(now, first, (told.device, name), moved, said);
            if moved.commands_changed {
                self.change_commands(now, told.device);
            }
        }
        let Message { ticket, asker, wanted, done } = match told.told {
            Told::Message(message) => *message,
            Told::Fetching(_, fetched, _) => {
                self.firmware.fetching.remove(&(told.device, fetched == Fetched::Last));
                return;
            }
        };
        let answer = match outcomes {
            Ok([Written::Upgrade(_) | Written::Done | Written::Unchanged]) => {
                return self.respond(now, ticket, &asker, done);
            }
            Ok([Written::NoUpgrade]) => wanted.no_upgrade(NoUpgrade::None),
            Ok([Written::UpgradeNotStarted]) => wanted.no_upgrade(NoUpgrade::NotStarted),
            outcomes => {
                self.note(now, &asker, outcomes);
                let response = response_after(outcomes, device_api::unavailable());
                return self.respond(now, ticket, &asker, response);
            }
        };
        let (response, refusal) = asker.in_its_form(answer).into_parts();
        self.respond(now, ticket, &asker, response);
        if let Some(refusal) = refusal {
            self.refuse(now, &asker, refusal);
        }
    }

    /// The upgrades of a device are read, or could not be.
    pub(crate) fn handle_upgrades(
        &mut self,
        now: Now,
        asked: VersionsAsked,
        answer: Result<Vec<OfferedUpgrade>, StoreError>,
    ) {
        let VersionsAsked { ticket, asker, wanted } = asked;
        self.firmware.versions.leave();
        self.firmware.ask(&mut self.out);
        let Some(upgrades) = self.read_or_complain(now, &asker, answer) else {
            return self.respond(now, ticket, &asker, device_api::unavailable());
        };
        let open = upgrades.iter().filter(|offered| offered.upgrade.is_open());
        let offers = open.map(|offered| UpgradeOffer::of(&offered.image, &self.firmware.server));
        let (response, _) = wanted.versions(offers).into_parts();
        self.respond(now, ticket, &asker, response);
    }

    /// Has a block of an image read; the answer follows.
    pub(crate) fn fetch_block(&mut self, now: Now, ticket: Ticket, asker: Asker, wanted: BlockWanted) {
        if self.way_of(ticket.session.shard) == Way::Plain {
            let (response, refusal) = BlockWanted::unprotected().into_parts();
            self.respond(now, ticket, &asker, response);
            if let Some(refusal) = refusal {
                self.refuse(now, &asker, refusal);
            }
            return;
        }
        let is_first = !self.firmware.read.contains(&wanted.image);
        if self.firmware.line(is_first).waiting() >= WAITING_MAX {
            self.requests.count_unavailable();
            return self.respond(now, ticket, &asker, device_api::unavailable());
        }
        if !self.firmware.permit(asker.grant.device) {
            return self.respond(now, ticket, &asker, BlockWanted::too_many());
        }
        self.firmware.line(is_first).enter(BlockAsked { ticket, asker, wanted, is_first });
        self.firmware.ask(&mut self.out);
    }

    /// A block is read, or could not be.
    pub(crate) fn handle_piece(
        &mut self,
        now: Now,
        asked: BlockAsked,
        answer: Result<Option<ImagePiece>, StoreError>,
    ) {
        let BlockAsked { ticket, asker, wanted, is_first } = asked;
        self.firmware.line(is_first).leave();
        self.firmware.note_read(wanted.image, &answer);
        self.firmware.leave(asker.grant.device);
        self.firmware.ask(&mut self.out);
        let Some(read) = self.read_or_complain(now, &asker, answer) else {
            return self.respond(now, ticket, &asker, device_api::unavailable());
        };
        let fetched = read.as_ref().map(|piece| {
            let (offset, bytes) = (wanted.block.offset() as u64, piece.bytes.len() as u64);
            (to_note(offset, bytes, piece.size), percent(offset + bytes, piece.size))
        });
        let (response, refusal) = wanted.answer(read).into_parts();
        // Who has the image already fetches nothing.
        let fetched = fetched.filter(|_| response.is_block());
        self.upgrades.served.count_block(&response);
        let response = with_room(self.marked(now, &asker, asker.with_its_code(response)));
        self.out.respond(ticket, response);
        if let Some(refusal) = refusal {
            self.refuse(now, &asker, refusal);
        }
        if let Some((fetched, percent)) = fetched {
            let is_due = self.firmware.alive.permit(now.instant, asker.grant.device);
            if let Some(fetched) = fetched.or(is_due.then_some(Fetched::First)) {
                self.note_fetched(&asker, wanted.image, (fetched, percent));
            }
        }
    }

    fn note_fetched(&mut self, asker: &Asker, image: ImageId, (fetched, percent): (Fetched, u8)) {
        let (at, device) = (self.clock.now().time, asker.grant.device);
        let kind = (device, fetched == Fetched::Last);
        let fetching = &mut self.firmware.fetching;
        if fetching.contains(&kind) || fetching.len() >= FETCHING_MAX {
            return;
        }
        if let Some(write) = write_of(asker, FirmwareStep::Fetching { image, fetched, percent }, at) {
            fetching.insert(kind);
            let told = Told::Fetching(Box::new(asker.clone()), fetched, percent);
            let told = FirmwareTold { device, told };
            self.out.write(vec![write], Pending::Firmware(Box::new(told)));
        }
    }

    /// What was read; where it could not be, that is counted and said to operators.
    fn read_or_complain<T>(&mut self, now: Now, asker: &Asker, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(read) => Some(read),
            Err(error) => {
                if let Some(left_out) = self.firmware.errors.permit(now.instant) {
                    let device = asker.grant.device.0;
                    tracing::error!(device, %error, left_out, "the store cannot read firmware for a device");
                }
                self.requests.count_unavailable();
                None
            }
        }
    }
}

/// A step of a device's firmware, as it is written. A session by the product's secret has none.
fn write_of(asker: &Asker, step: FirmwareStep, at: UnixMillis) -> Option<Write> {
    let session = CommandSession { login: asker.login()?, secret_version: asker.grant.secret_version };
    Some(Write::Firmware(FirmwareMove { device: asker.grant.device, session, step, at }))
}

/// How much of an image so many bytes are.
fn percent(bytes: u64, size: u64) -> u8 {
    let percent = u128::from(bytes) * 100 / u128::from(size.max(1));
    u8::try_from(percent.min(100)).expect("it is at most 100")
}

/// What is written down of a block at this place of an image of so many bytes.
fn to_note(offset: u64, bytes: u64, size: u64) -> Option<Fetched> {
    let tenth = |at: u64| u128::from(at) * 10 / u128::from(size.max(1));
    match offset + bytes {
        _ if bytes == 0 => None,
        end if end >= size => Some(Fetched::Last),
        end if offset == 0 || tenth(offset) < tenth(end) => Some(Fetched::First),
        _ => None,
    }
}

/// A block without an option that would make it a smaller one.
fn with_room(mut response: Response) -> Response {
    let waiting = response.options.find(COMMAND_WAITING).map_or(0, <[u8]>::len);
    if response.is_block() && waiting > WAITING_BYTES_MAX {
        response.options.remove(COMMAND_WAITING);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_the_last_one_and_ten_between_are_written_down() {
        let size: u64 = 1_000_000;
        let noted: Vec<Fetched> = (0..size.div_ceil(1024))
            .filter_map(|n| to_note(n * 1024, 1024.min(size - n * 1024), size))
            .collect();
        assert_eq!(noted.len(), 11);
        assert_eq!(noted.iter().filter(|fetched| **fetched == Fetched::Last).count(), 1);
        assert_eq!(to_note(0, 10, 10), Some(Fetched::Last));
        assert_eq!(to_note(1024, 1024, 1 << 20), None);
        assert_eq!(to_note(2048, 0, 10), None);
    }
}
