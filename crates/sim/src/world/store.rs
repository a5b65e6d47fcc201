//! A store that takes its time, fails at times, and loses what a crash finds under way: a journal and
//! look-ups around the platform's store in memory, which stands for what is durable.
//!
//! Batches are committed in the order in which they were handed over, as the port promises. Reading what a
//! refusal may have meant, and what an operator does, neither fails nor takes its time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_coap::Response;
use narrowgate_engine::event::Ticket;
use narrowgate_gateway::{Answer, OnlineOf, ProductRead, Token};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, LoginNumber, UnixMillis},
    memory::{MemoryImages, MemoryStore},
    model::property::PropertyKind,
    ports::{
        Batch, Committed, FirmwareReads as _, ImagePieceWanted, Images as _, Issued, Journal as _, Recovered,
        Registry as _, StoreError, Write, Written,
    },
    testing::block_on,
};

use crate::random::SeededRandom;

/// How often things go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreConditions {
    /// Of a thousand batches so many are refused.
    pub failing_per_mille: u16,
    /// Of a thousand batches so many take seconds instead of milliseconds.
    pub slow_per_mille: u16,
    /// Of a thousand look-ups so many fail, and as many take their time.
    pub reads_failing_per_mille: u16,
}

/// How long everything takes.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As the dice say.
    Dice(StoreConditions),
    /// As it is told; `None`: it never ends.
    Told {
        /// A batch.
        commit: Option<Duration>,
        /// A look-up of credentials.
        look_up: Option<Duration>,
    },
}

/// A write that is durable now, or a change of presence or a login that was asked for.
#[derive(Debug, Clone)]
pub enum Note {
    /// The batch with this write was handed over.
    Asked(Write),
    /// The gateway has taken up a login and wants it written.
    TakenUp {
        /// Whose.
        device: DeviceId,
        /// Its number.
        login: LoginNumber,
        /// The peer's address and port.
        peer: Box<str>,
    },
    /// The write is durable, with this outcome.
    Applied(Write, Written),
    /// A batch was refused.
    Refused,
    /// The device has this secret now.
    Issued(DeviceId, Box<str>),
    /// The gateway has read the open commands of a device.
    CommandsRead(DeviceId),
    /// The gateway has answered a request, after all that is noted before.
    Responded(Ticket, Box<Response>),
}

/// What is done.
#[derive(Debug)]
pub enum Done {
    /// A batch is committed, or refused.
    Batch(Result<Committed, StoreError>),
    /// A look-up is answered.
    Read(Token, Answer<'static>),
}

#[derive(Debug)]
enum Work {
    Batch { batch: Batch, fails: bool },
    LookUp { token: Token, name: DeviceName, fails: bool },
    Product { token: Token, product_key: String, fails: bool },
    Properties { token: Token, device: DeviceId, kind: PropertyKind, fails: bool },
    OnlineOf { token: Token, page: OnlineOf, fails: bool },
    Commands { token: Token, device: DeviceId, fails: bool },
    Upgrades { token: Token, device: DeviceId, fails: bool },
    Piece { token: Token, wanted: ImagePieceWanted, fails: bool },
}

/// The bytes of images.
struct Images(Arc<MemoryImages>);

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Images")
    }
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    durable: Arc<MemoryStore>,
    images: Images,
    random: SeededRandom,
    pace: Pace,
    /// In the order in which it was handed over; with the instant at which it is done.
    under_way: BTreeMap<u64, (Option<Instant>, Work)>,
    next: u64,
    notes: Vec<Note>,
    /// When changes of presence were decided, by device and the time that they carry.
    decided: BTreeMap<(DeviceId, UnixMillis), Vec<Instant>>,
}

impl Store {
    /// An empty store that does everything at once.
    pub fn new(seed: u64) -> Self {
        let at_once = Some(Duration::ZERO);
        let durable = Arc::new(MemoryStore::default());
        Self {
            images: Images(Arc::new(MemoryImages::new(durable.clone()))),
            durable,
            random: SeededRandom::new(seed),
            pace: Pace::Told { commit: at_once, look_up: at_once },
            under_way: BTreeMap::new(),
            next: 0,
            notes: Vec::new(),
            decided: BTreeMap::new(),
        }
    }

    /// From now on it behaves like this; what is under way ends as it would have.
    pub const fn change(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// From now on a batch takes so long; `None`: it never ends.
    pub const fn commit_takes(&mut self, takes: Option<Duration>) {
        if let Pace::Told { commit, .. } = &mut self.pace {
            *commit = takes;
        }
    }

    /// From now on a look-up of credentials takes so long; `None`: it never ends.
    pub const fn look_up_takes(&mut self, takes: Option<Duration>) {
        if let Pace::Told { look_up, .. } = &mut self.pace {
            *look_up = takes;
        }
    }

    /// Batches are committed at once from now on, also those that are under way.
    pub fn commit_now(&mut self, now: Instant) {
        self.commit_takes(Some(Duration::ZERO));
        for (due, work) in self.under_way.values_mut() {
            if matches!(work, Work::Batch { .. }) {
                *due = Some(now);
            }
        }
    }

    /// What is durable, without delays and failures.
    pub fn durable(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.durable)
    }

    /// The images of firmware, without delays and failures.
    pub fn images(&self) -> Arc<MemoryImages> {
        Arc::clone(&self.images.0)
    }

    /// A server starts: what it has to take up.
    pub fn open(&self) -> Recovered {
        block_on(self.durable.recover()).expect("a store in memory that is not closed can be read")
    }

    /// The gateway wants these writes, in this moment.
    pub fn note_decided(&mut self, now: Instant, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Presence { device, at, .. } => {
                    let decided = self.decided.entry((*device, *at)).or_default();
                    // One that was refused is wanted again.
                    decided.push(now);
                }
                Write::Login { device, number, peer, .. } => {
                    let (device, login, peer) = (*device, *number, peer.as_str().into());
                    self.notes.push(Note::TakenUp { device, login, peer });
                }
                _ => {}
            }
        }
    }

    /// When a change of presence may have been decided: it carries the time of then, which a clock that was
    /// set back has shown twice.
    pub fn decided(&self, device: DeviceId, at: UnixMillis) -> &[Instant] {
        self.decided.get(&(device, at)).map_or(&[], Vec::as_slice)
    }

    /// The gateway has answered these requests.
    pub fn note_responses(&mut self, responses: Vec<(Ticket, Response)>) {
        let note = |(ticket, response)| Note::Responded(ticket, Box::new(response));
        self.notes.extend(responses.into_iter().map(note));
    }

    /// What happened since this was last asked.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// When something that is under way will be done.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.values().filter_map(|(due, _)| *due).min()
    }

    /// Takes a batch to be committed.
    pub fn append(&mut self, now: Instant, batch: Batch) {
        let (takes, fails) = match self.pace {
            Pace::Told { commit, .. } => (commit, false),
            Pace::Dice(StoreConditions { failing_per_mille, slow_per_mille, .. }) => {
                let fails = self.random.chance(failing_per_mille);
                let ms = if self.random.chance(slow_per_mille) {
                    500 + self.random.below(8_000)
                } else {
                    1 + self.random.below(4)
                };
                (Some(Duration::from_millis(ms)), fails)
            }
        };
        let asked = batch.writes.iter().filter(|write| matches!(write, Write::Presence { .. }));
        self.notes.extend(asked.cloned().map(Note::Asked));
        let mut due = takes.map(|takes| now + takes);
        for (before, work) in self.under_way.values() {
            if matches!(work, Work::Batch { .. }) {
                due = due.and_then(|due| before.map(|before| due.max(before)));
            }
        }
        self.begin(due, Work::Batch { batch, fails });
    }

    /// Looks up the credentials of these keys.
    pub fn look_up(&mut self, now: Instant, token: Token, name: DeviceName) {
        let (takes, fails) = match self.pace {
            Pace::Told { look_up, .. } => (look_up, false),
            Pace::Dice(conditions) => self.read(conditions),
        };
        self.begin(takes.map(|takes| now + takes), Work::LookUp { token, name, fails });
    }

    /// Reads a product.
    pub fn product(&mut self, now: Instant, token: Token, product_key: String) {
        let fails = match self.pace {
            Pace::Told { .. } => false,
            Pace::Dice(conditions) => self.read(conditions).1,
        };
        self.begin(Some(now), Work::Product { token, product_key, fails });
    }

    /// Reads attributes or tags of a device.
    pub fn properties(&mut self, now: Instant, token: Token, device: DeviceId, kind: PropertyKind) {
        let (takes, fails) = self.read_at_its_pace();
        self.begin(takes.map(|takes| now + takes), Work::Properties { token, device, kind, fails });
    }

    /// Lists devices that are online.
    pub fn list_online(&mut self, now: Instant, token: Token, page: OnlineOf) {
        let (takes, fails) = self.read_at_its_pace();
        self.begin(takes.map(|takes| now + takes), Work::OnlineOf { token, page, fails });
    }

    /// Reads the open commands of a device.
    pub fn read_commands(&mut self, now: Instant, token: Token, device: DeviceId) {
        let (takes, fails) = self.read_at_its_pace();
        self.begin(takes.map(|takes| now + takes), Work::Commands { token, device, fails });
    }

    /// Reads the upgrades of a device.
    pub fn read_upgrades(&mut self, now: Instant, token: Token, device: DeviceId) {
        let (takes, fails) = self.read_at_its_pace();
        self.begin(takes.map(|takes| now + takes), Work::Upgrades { token, device, fails });
    }

    /// Reads a part of an image.
    pub fn read_piece(&mut self, now: Instant, token: Token, wanted: ImagePieceWanted) {
        let (takes, fails) = self.read_at_its_pace();
        self.begin(takes.map(|takes| now + takes), Work::Piece { token, wanted, fails });
    }

    fn read_at_its_pace(&mut self) -> (Option<Duration>, bool) {
        match self.pace {
            Pace::Told { .. } => (Some(Duration::ZERO), false),
            Pace::Dice(conditions) => self.read(conditions),
        }
    }

    /// How long a read takes, and whether it fails.
    fn read(&mut self, conditions: StoreConditions) -> (Option<Duration>, bool) {
        let per_mille = conditions.reads_failing_per_mille;
        let fails = self.random.chance(per_mille);
        let slow = self.random.chance(per_mille);
        let ms = if slow { 1 + self.random.below(3_000) } else { 0 };
        (Some(Duration::from_millis(ms)), fails)
    }

    fn begin(&mut self, due: Option<Instant>, work: Work) {
        self.under_way.insert(self.next, (due, work));
        self.next += 1;
    }

    /// The next thing that is done by now.
    pub fn poll_done(&mut self, now: Instant) -> Option<Done> {
        let due = self.under_way.iter().filter_map(|(number, (due, _))| Some(((*due)?, *number)));
        let (_, number) = due.min().filter(|(due, _)| *due <= now)?;
        let (_, work) = self.under_way.remove(&number)?;
        let refusal = || StoreError::Unavailable("the simulated disk is full".to_owned());
        Some(match work {
            Work::Batch { fails: true, .. } => {
                self.notes.push(Note::Refused);
                Done::Batch(Err(refusal()))
            }
            Work::Batch { batch, fails: false } => Done::Batch(self.apply(batch)),
            Work::LookUp { token, fails: true, .. } => Done::Read(token, Answer::Lookup(Err(refusal()))),
            Work::LookUp { token, name, fails: false } => {
                let found = block_on(self.durable.credentials(&name.product_key, &name.device_key));
                Done::Read(token, Answer::Lookup(found))
            }
            Work::Product { token, fails: true, .. } => Done::Read(token, Answer::Product(Err(refusal()))),
            Work::Product { token, product_key, fails: false } => {
                Done::Read(token, Answer::Product(block_on(ProductRead::of(&*self.durable, &product_key))))
            }
            Work::Properties { token, fails: true, .. } => {
                Done::Read(token, Answer::Properties(Err(refusal())))
            }
            Work::Properties { token, device, kind, fails: false } => {
                Done::Read(token, Answer::Properties(block_on(self.durable.properties(device, kind))))
            }
            Work::Commands { token, fails: true, .. } => Done::Read(token, Answer::Commands(Err(refusal()))),
            Work::Commands { token, device, fails: false } => {
                self.notes.push(Note::CommandsRead(device));
                Done::Read(token, Answer::Commands(block_on(self.durable.open_commands(device))))
            }
            Work::Upgrades { token, fails: true, .. } => Done::Read(token, Answer::Upgrades(Err(refusal()))),
            Work::Upgrades { token, device, fails: false } => {
                Done::Read(token, Answer::Upgrades(block_on(self.durable.upgrades_of(device))))
            }
            Work::Piece { token, fails: true, .. } => Done::Read(token, Answer::ImagePiece(Err(refusal()))),
            Work::Piece { token, wanted, fails: false } => {
                Done::Read(token, Answer::ImagePiece(block_on(self.images.0.read(wanted))))
            }
            Work::OnlineOf { token, fails: true, .. } => Done::Read(token, Answer::OnlineOf(Err(refusal()))),
            Work::OnlineOf { token, page, fails: false } => {
                Done::Read(token, Answer::OnlineOf(block_on(page.run(&*self.durable))))
            }
        })
    }

    /// The server dies. Of what is under way the first few are durable all the same; the dice say how many.
    pub fn crash(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        let kept = self.random.below(under_way.len() as u64 + 1) as usize;
        for (_, work) in under_way.into_values().take(kept) {
            if let Work::Batch { batch, fails: false, .. } = work {
                // Nobody is left who could be told.
                drop(self.apply(batch));
            }
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let committed = block_on(self.durable.append(batch.clone()))?;
        for (write, outcome) in batch.writes.into_iter().zip(&committed.outcomes) {
            match write {
                Write::IssueSecret { device, secret, .. } => {
                    if *outcome == Written::Issue(Issued::Done) {
                        self.notes.push(Note::Issued(device, secret.expose().into()));
                    }
                }
                write => self.notes.push(Note::Applied(write, *outcome)),
            }
        }
        Ok(committed)
    }
}
