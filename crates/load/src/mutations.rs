//! Mutations over the socket: handshakes, sessions and messages of many devices, each under fire from
//! datagrams much like its own, beside long-standing sessions that must not be affected.
//!
//! The mutations are of ClientHellos without and with a valid cookie, of the client's last flight, of records
//! of live sessions in all three protections, and of CoAP messages inside authentic records. A ping of a
//! long-standing session after each volley paces the run: the server handles the datagrams of a socket in
//! order, so everything before is done when the answer arrives.
//!
//! The server must have a single shard, and a product with a strict thing model; otherwise the mutations
//! would create measuring points of their own.

mod message;
mod outcome;
mod peer;

use std::{
    thread,
    time::{Duration, Instant},
};

use narrowgate_sim::{mutation::mutate, random::SeededRandom};

use self::{
    message::mutate_message,
    peer::{PROTECTIONS, Peer},
};
use super::{
    LoadConfig, LoadError, check_range,
    metrics::Page,
    server::Measurement,
    target::Target,
    wire::{Wait, Wire},
};

pub use self::outcome::{Memory, MutationsOutcome};

/// Most mutations of one run.
pub const COUNT_MAX: u32 = 100_000_000;
/// Devices with sessions that last as long as the run.
const STANDING: u32 = 4;
/// Devices that come and go.
const VISITORS: u32 = 60;
/// How many devices must be registered.
pub const DEVICES: u32 = STANDING + VISITORS;
/// Most datagrams kept to take parts from.
const CORPUS_MAX: usize = 200;
/// Messages of one visit.
const MESSAGES_PER_VISIT: usize = 10;
/// The part of the run before memory is first measured.
const WARM_UP_PART: u32 = 10;
/// How long anything honest may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a handshake under fire is waited for: if it was ruined, nothing comes.
const PATIENCE_UNDER_FIRE: Duration = Duration::from_millis(15);
/// Reports with other Message IDs until one is taken.
const ATTEMPTS: u32 = 5;
/// Code 2.04.
const CHANGED: u8 = 0x44;
/// Growth of resident memory that is allowed, percent.
const GROWTH_MAX: f64 = 2.0;

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Mutations {
    /// How many.
    pub count: u32,
    /// Everything but the server's randomness follows from it.
    pub seed: u64,
    /// Where the server shows its metrics.
    pub http: Target,
    /// How long the server keeps a handshake that is not done.
    pub handshake_lifetime: Duration,
}

/// Runs the mutations; the outcome says what is wrong.
///
/// # Errors
/// When the socket, the process or the metrics cannot be read, or the long-standing devices cannot connect.
pub fn run(
    config: &LoadConfig,
    mutations: &Mutations,
    server: &Measurement,
) -> Result<MutationsOutcome, LoadError> {
    check_range("count", mutations.count, COUNT_MAX)?;
    let mut campaign = Campaign::new(config, mutations.seed)?;
    let begun = Instant::now();
    campaign.connect_standing()?;
    let quiet = mutations.handshake_lifetime + PATIENCE;
    campaign.run(mutations.count / WARM_UP_PART)?;
    campaign.settle(quiet)?;
    let after_warm_up = server.take()?.resident_bytes();
    campaign.run(mutations.count)?;
    campaign.settle(quiet)?;
    let at_end = server.take()?.resident_bytes();
    let mut outcome = campaign.outcome;
    outcome.seconds = begun.elapsed().as_secs_f64();
    outcome.memory = Memory { after_warm_up, at_end };
    if outcome.memory.growth_percent() > GROWTH_MAX {
        outcome.violate(format!("resident memory grew by {:.1} %", outcome.memory.growth_percent()));
    }
    let page = Page::fetch(mutations.http).map_err(LoadError::Exchange)?;
    let expected = [("sessions", STANDING), ("handshakes", 0), ("lookups", 0), ("requests_in_flight", 0)];
    for (name, expected) in expected {
        let value = page.gauge(name);
        if value != Some(f64::from(expected)) {
            outcome.violate(format!("narrowgate_{name} is {value:?} instead of {expected} at the end"));
        }
        outcome.gauges.push((name, value.unwrap_or(f64::NAN)));
    }
    outcome.handshakes_begun = page.counter("handshakes_begun_total");
    Ok(outcome)
}

struct Campaign {
    config: LoadConfig,
    wire: Wire,
    random: SeededRandom,
    dice: SeededRandom,
    corpus: Vec<Vec<u8>>,
    standing: Vec<Peer>,
    visitor: Option<Peer>,
    visits: u32,
    outcome: MutationsOutcome,
}

impl Campaign {
    fn new(config: &LoadConfig, seed: u64) -> Result<Self, LoadError> {
        Ok(Self {
            config: config.clone(),
            wire: Wire::open(config.target).map_err(LoadError::Socket)?,
            random: SeededRandom::new(seed ^ 0x5eed),
            dice: SeededRandom::new(seed),
            corpus: Vec::new(),
            standing: Vec::new(),
            visitor: None,
            visits: 0,
            outcome: MutationsOutcome::default(),
        })
    }

    fn connect_standing(&mut self) -> Result<(), LoadError> {
        for number in 1..=STANDING {
            if !self.connect(number, false)? {
                return Err(LoadError::NotConnected { failed: STANDING + 1 - number, count: STANDING });
            }
            let peer = self.visitor.take();
            self.standing.extend(peer);
        }
        Ok(())
    }

    /// Continues until this many mutations were sent in total.
    fn run(&mut self, count: u32) -> Result<(), LoadError> {
        while self.outcome.mutations < count && self.outcome.violations.is_empty() {
            self.visit()?;
            if self.visits.is_multiple_of(16) {
                self.disturb_standing()?;
            }
        }
        Ok(())
    }

    /// One device connects, sends something and closes.
    fn visit(&mut self) -> Result<(), LoadError> {
        let number = STANDING + 1 + self.visits % VISITORS;
        self.visits += 1;
        if !self.connect(number, true)? {
            self.outcome.ruined += 1;
            if !self.connect(number, false)? {
                self.outcome
                    .violate(format!("device {number} cannot connect after its handshake was ruined"));
                return Ok(());
            }
        }
        for _ in 0..MESSAGES_PER_VISIT {
            let Some(peer) = &mut self.visitor else { return Ok(()) };
            let message = peer.message(&mut self.dice);
            let record = peer.seal(&message, &mut self.random);
            let mutated = peer.seal(&mutate_message(&message, &mut self.dice), &mut self.random);
            self.fire(number, &record)?;
            self.wire.send(number, &mutated).map_err(LoadError::Exchange)?;
            self.outcome.mutations += 1;
            self.outcome.messages += 1;
            if self.dice.index(2) == 0 {
                self.wire.send(number, &record).map_err(LoadError::Exchange)?;
            }
            self.keep(record);
        }
        self.pace()?;
        self.report_of_visitor()?;
        self.leave()
    }

    /// Checks that the session survived. A mutation may have used the report's Message ID already, or earlier
    /// messages may still be under way and a limit reached: then it tries again, as a device would.
    fn report_of_visitor(&mut self) -> Result<(), LoadError> {
        let number = STANDING + 1 + self.visits.wrapping_sub(1) % VISITORS;
        let mut refusals = Vec::new();
        for _ in 0..ATTEMPTS {
            let Some(peer) = &mut self.visitor else { return Ok(()) };
            peer.choose_mid(&mut self.random);
            let (mid, report) = peer.report();
            let record = peer.seal(&report, &mut self.random);
            self.wire.send(peer.number, &record).map_err(LoadError::Exchange)?;
            let mut answered = None;
            self.wait(PATIENCE, |campaign| {
                answered = campaign.visitor.as_mut().and_then(|peer| peer.took_answer(mid));
                answered.is_some()
            })?;
            match answered {
                Some(CHANGED) => return Ok(()),
                Some(code) => refusals.push(format!("{}.{:02}", code >> 5, code & 31)),
                None => {
                    refusals.push("nothing".to_owned());
                    break;
                }
            }
        }
        let answers = refusals.join(", ");
        self.outcome.violate(format!(
            "device {number} gets no 2.04 in its session after the mutations, but {answers}"
        ));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LoadError> {
        let Some(mut peer) = self.visitor.take() else { return Ok(()) };
        let goodbye = peer.close(&mut self.random);
        self.wire.send(peer.number, &goodbye).map_err(LoadError::Exchange)
    }

    /// Connects a device again; returns whether it succeeded.
    fn connect(&mut self, number: u32, under_fire: bool) -> Result<bool, LoadError> {
        let protection = PROTECTIONS[self.dice.index(PROTECTIONS.len())];
        self.outcome.handshakes += 1;
        self.visitor = Some(Peer::new(&self.config, number, protection, &mut self.random));
        // ClientHello, ClientHello with cookie, last flight.
        for flight in 0..3 {
            let Some(datagram) = self.visitor.as_mut().and_then(Peer::poll_transmit) else {
                return Ok(false);
            };
            if under_fire {
                for _ in 0..self.dice.index(6) {
                    self.fire(number, &datagram)?;
                }
            }
            self.wire.send(number, &datagram).map_err(LoadError::Exchange)?;
            self.keep(datagram);
            if under_fire {
                self.pace()?;
            }
            let patience = if under_fire { PATIENCE_UNDER_FIRE } else { PATIENCE };
            let went_on = self.wait(patience, |campaign| {
                campaign.visitor.as_ref().is_some_and(|peer| match flight {
                    2 => peer.is_connected(),
                    _ => peer.has_to_send(),
                })
            })?;
            if !went_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends the share of the long-standing sessions, which then report.
    fn disturb_standing(&mut self) -> Result<(), LoadError> {
        for index in 0..self.standing.len() {
            let peer = &mut self.standing[index];
            let (number, (mid, report)) = (peer.number, peer.report());
            let record = peer.seal(&report, &mut self.random);
            for _ in 0..4 {
                self.fire(number, &record)?;
            }
            self.wire.send(number, &record).map_err(LoadError::Exchange)?;
            if !self.wait(PATIENCE, |campaign| campaign.standing[index].took_changed(mid))? {
                self.outcome.violate(format!("the long-standing session of device {number} gets no 2.04"));
            }
        }
        Ok(())
    }

    /// Sends a mutation of this datagram from the address of this device.
    fn fire(&mut self, number: u32, template: &[u8]) -> Result<(), LoadError> {
        let datagram = match self.dice.index(5) {
            0 if !self.corpus.is_empty() => {
                let other = self.dice.index(self.corpus.len());
                mutate(&self.corpus[other], &self.corpus, &mut self.dice)
            }
            _ => mutate(template, &self.corpus, &mut self.dice),
        };
        self.outcome.mutations += 1;
        self.wire.send(number, &datagram).map_err(LoadError::Exchange)
    }

    fn keep(&mut self, datagram: Vec<u8>) {
        if self.corpus.len() < CORPUS_MAX {
            self.corpus.push(datagram);
        } else {
            let index = self.dice.index(CORPUS_MAX);
            self.corpus[index] = datagram;
        }
    }

    /// Waits until the server has handled everything that was sent.
    fn pace(&mut self) -> Result<(), LoadError> {
        let index = self.dice.index(self.standing.len());
        let peer = &mut self.standing[index];
        let (mid, ping) = peer.ping();
        let record = peer.seal(&ping, &mut self.random);
        let number = peer.number;
        self.wire.send(number, &record).map_err(LoadError::Exchange)?;
        if !self.wait(PATIENCE, |campaign| campaign.standing[index].took_reset(mid))? {
            self.outcome
                .violate(format!("the long-standing session of device {number} does not answer a ping"));
        }
        Ok(())
    }

    /// Receives datagrams until it is done; returns whether it was in time.
    fn wait(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, LoadError> {
        let end = Instant::now() + patience;
        loop {
            while self.take(Wait::No)? {}
            if done(self) {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            self.take(Wait::Briefly)?;
        }
    }

    fn take(&mut self, wait: Wait) -> Result<bool, LoadError> {
        let Self { wire, standing, visitor, random, .. } = self;
        let Some((number, datagram)) = wire.receive(wait).map_err(LoadError::Exchange)? else {
            return Ok(false);
        };
        let peer = standing.iter_mut().chain(visitor).find(|peer| peer.number == number);
        if let Some(peer) = peer {
            peer.handle_datagram(datagram, random);
        }
        Ok(true)
    }

    /// Closes the sessions of all visitors, and waits until what they left half open has ended.
    fn settle(&mut self, quiet: Duration) -> Result<(), LoadError> {
        for number in STANDING + 1..=DEVICES {
            if !self.connect(number, false)? {
                self.outcome.violate(format!("device {number} cannot connect when all is over"));
                continue;
            }
            self.report_of_visitor()?;
            self.leave()?;
        }
        thread::sleep(quiet);
        self.disturb_standing()?;
        self.pace()
    }
}
