//! The machine itself: passes events and answers to the parts that handle them.

use std::{collections::VecDeque, time::Instant};

use narrowgate_engine::event::ShardEvent;
use narrowgate_platform::{
    ids::DeviceId,
    model::log::Reason,
    ports::StoreError,
    rules::{clock::ArrivalClock, rate::Seldom},
};

use crate::{
    ERRORS_EVERY,
    clock::Clock,
    commands::{Commands, Punctuality},
    desk::{Desk, Reach},
    diagnosis,
    effect::{Answer, Effect, LiveChange, Now, Outcomes, Token},
    firmware::Firmware,
    issuing::Issuing,
    leaving::Leaving,
    observers::Observers,
    options::Options,
    outbox::{Followers, Outbox, Pending},
    pace::Pace,
    products::{Products, Read},
    properties::Queries,
    quotas::ReportQuotas,
    raw::ScriptCalls,
    refusals::{REASONS, Refusals},
    requests::{Counts, Requests},
    residence::{Residence, presence::Presence},
    shared::Shared,
    spent::SpentBytes,
    unwritten::Unwritten,
    upgrades::{Said, Served, Upgrades},
};

/// Slots of sessions that are looked at in one go when a product is switched off.
const SLOTS_AT_ONCE: u32 = 4096;

/// See the crate.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) desks: Vec<Desk>,
    pub(crate) shared: Shared,
    /// Products that changed, and which of their sessions were reached.
    changing: VecDeque<Changing>,
    /// Set when it settles: what is being looked into is then given up.
    settles_at: Option<Instant>,
}

/// A product whose sessions are being closed or changed, some slots at a time.
#[derive(Debug)]
struct Changing {
    product_key: String,
    reach: Reach,
    /// The desk that is next, and its first slot.
    desk: usize,
    slot: u32,
    since: Instant,
}

/// What is counted of everything that the machine decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Devices online.
    pub online: usize,
    /// Devices with a session by their own secret.
    pub connected: usize,
    /// Devices that observe their commands.
    pub observing: usize,
    /// Refusals that were only counted, because there were too many.
    pub refusals_unlogged: u64,
    /// Refusals that were folded into an entry with their number.
    pub refusals_folded: u64,
    /// Requests for a secret that were answered 5.03 because too many of their product wait.
    pub activations_deferred: u64,
    /// Sessions by a product's secret that were closed because their device had too many.
    pub activations_closed: u64,
    /// Alarms that two devices use one secret.
    pub secret_shared_alarms: u64,
    /// Handshakes and plain logins that were not counted for the limit of their pair, because too many pairs
    /// are.
    pub handshakes_uncounted: u64,
    refusals: [u64; REASONS],
    requests: Counts,
    commands: Punctuality,
    firmware: Served,
}

impl Counters {
    /// Refusals of handshakes, logins and requests by their reason, also those that are not written down;
    /// `None`: those without a name.
    pub fn refusals(&self) -> impl Iterator<Item = (Option<Reason>, u64)> {
        Reason::ALL.into_iter().map(Some).chain([None]).zip(self.refusals)
    }

    /// Requests that were not served, by the label of the reason.
    pub fn requests_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.requests.labelled()
    }

    /// Commands for which a time was expected, by what came of that.
    pub fn commands_expected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.commands.labelled()
    }

    /// Upgrades to images of firmware that have ended, by how.
    pub fn upgrades_ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.firmware.ended()
    }

    /// Blocks of images that devices were given, and the bytes in them.
    pub fn image_blocks(&self) -> (u64, u64) {
        self.firmware.blocks()
    }
}

impl Gateway {
    /// A gateway that serves nobody yet.
    pub fn new(options: Options, now: Now) -> Self {
        let Options { shards, plain_shards, seed, online, commands, epoch, newest_arrival, limits, server } =
            options;
        let presence = Presence::new(online, now.instant);
        let mut clock = Clock::new(ArrivalClock::new(newest_arrival), now);
        let now = clock.stamp(now);
        Self {
            desks: (0..shards).map(Desk::new).collect(),
            shared: Shared {
                clock,
                plain_from: shards.saturating_sub(plain_shards),
                out: Outbox::new(),
                residence: Residence::new(presence, epoch, now.instant),
                products: Products::new(),
                queries: Queries::new(),
                firmware: Firmware::new(server),
                upgrades: Upgrades::default(),
                leaving: Leaving::new(),
                refusals: Refusals::new(now),
                requests: Requests::default(),
                issuing: Issuing::new(seed),
                commands: Commands::new(commands, now),
                observers: Observers::default(),
                pace: Pace::new(limits.device_handshakes, seed),
                plain_pace: Pace::new(limits.device_handshakes, seed),
                spent: SpentBytes::new(limits.device_bytes),
                quotas: ReportQuotas::default(),
                message_limit: limits.message,
                lookup_errors: Seldom::new(ERRORS_EVERY),
                script_calls: ScriptCalls::new(),
            },
            changing: VecDeque::new(),
            settles_at: None,
        }
    }

    /// What is followed: other events are not sent.
    pub fn set_followers(&mut self, followers: Followers) {
        self.shared.out.set_followers(followers);
    }

    /// An event of a shard.
    pub fn handle_event(&mut self, now: Now, shard: u16, event: ShardEvent) {
        let now = self.shared.clock.stamp(now);
        if let Some(desk) = self.desks.get_mut(usize::from(shard)) {
            desk.handle_event(&mut self.shared, now, event);
        }
    }

    /// A question is answered. Answers to questions that were given up are ignored.
    ///
    /// What was committed together is answered together: effects are drained after the last of its answers.
    /// Then a session that a newer login ends is closed after its reports are answered.
    pub fn handle_answer(&mut self, now: Now, token: Token, answer: Answer<'_>) {
        let now = self.shared.clock.stamp(now);
        if let Some(pending) = self.shared.out.take(token) {
            match &pending {
                Pending::Decode(decoding) => {
                    self.shared.script_calls.leave(decoding.asker.grant.device, token);
                }
                Pending::Encode(encoding) => {
                    self.shared.script_calls.leave(encoding.asker.grant.device, token);
                }
                Pending::EncodeCommand(encoding) => {
                    self.shared.script_calls.leave(encoding.device, token);
                }
                _ => {}
            }
            self.take_answer(now, pending, answer);
            self.shared.go_on_leaving(now);
        }
    }

    fn take_answer(&mut self, now: Now, pending: Pending, answer: Answer<'_>) {
        match (pending, answer) {
            (Pending::Handshake(asked), Answer::Lookup(answer)) => {
                self.shared.out.end_look_up();
                if let Some(desk) = self.desks.get_mut(usize::from(asked.handshake.shard)) {
                    desk.decide_handshake(&mut self.shared, now, *asked, answer);
                }
            }
            (Pending::Plain(asked), Answer::Lookup(answer)) => {
                self.shared.out.end_look_up();
                if let Some(desk) = self.desks.get_mut(usize::from(asked.handshake.shard)) {
                    desk.decide_login(&mut self.shared, now, *asked, answer);
                }
            }
            (Pending::Activation { session, grant }, Answer::Lookup(answer)) => {
                self.shared.out.end_look_up();
                self.shared.decide_activation(session, &grant, &answer);
            }
            (Pending::Wish(wish), Answer::Lookup(answer)) => {
                self.shared.out.end_look_up();
                self.shared.handle_wish(now, *wish, answer);
            }
            (Pending::Claimed(claimed), Answer::Lookup(answer)) => {
                let Shared { refusals, out, .. } = &mut self.shared;
                out.end_look_up();
                refusals.handle_claimed(out, now, *claimed, &answer);
            }
            (Pending::Product(product_key), Answer::Product(answer)) => {
                let Shared { products, out, quotas, .. } = &mut self.shared;
                quotas.know(&answer);
                if let Some(read) = products.read(out, now.instant, &product_key, answer) {
                    self.take_up(now, &product_key, &read);
                }
            }
            (Pending::Query(queried), Answer::Properties(answer)) => {
                self.shared.handle_properties(now, *queried, answer);
            }
            (Pending::OnlineOf(question), Answer::OnlineOf(answer)) => {
                self.shared.handle_online_of(now, question, answer);
            }
            (Pending::Commands(device), Answer::Commands(answer)) => {
                self.shared.handle_commands_read(now, device, answer);
            }
            (Pending::Diagnosis(examined), Answer::Diagnosed(found)) => {
                let Shared { refusals, out, .. } = &mut self.shared;
                refusals.handle_diagnosed(out, now, *examined, found);
            }
            (Pending::Decode(decoding), Answer::Decoded(answer)) => {
                if let Some(desk) = self.desks.get_mut(usize::from(decoding.ticket.session.shard)) {
                    desk.handle_decoded(&mut self.shared, now, *decoding, &answer);
                }
            }
            (Pending::Encode(encoding), Answer::Encoded(answer)) => {
                self.shared.handle_encoded(now, *encoding, answer);
            }
            (pending, Answer::Written(outcomes)) => self.handle_written(now, pending, outcomes),
            (pending, answer) => self.take_firmware(now, pending, answer),
        }
    }

    fn take_firmware(&mut self, now: Now, pending: Pending, answer: Answer<'_>) {
        match (pending, answer) {
            (Pending::EncodeCommand(encoding), Answer::Encoded(answer)) => {
                self.shared.handle_command_encoded(now, *encoding, answer);
            }
            (Pending::Versions(asked), Answer::Upgrades(answer)) => {
                self.shared.handle_upgrades(now, *asked, answer);
            }
            (Pending::Block(asked), Answer::ImagePiece(answer)) => {
                self.shared.handle_piece(now, *asked, answer);
            }
            (pending, answer) => tracing::error!(?pending, ?answer, "an answer to another question"),
        }
    }

    fn handle_written(&mut self, now: Now, pending: Pending, outcomes: Result<Outcomes<'_>, &StoreError>) {
        let shared = &mut self.shared;
        let first = outcomes.ok().map(|outcomes| outcomes.first);
        let outcomes = outcomes.map(|outcomes| outcomes.written);
        let is_report = match &pending {
            Pending::Report { .. } | Pending::Edit(_) => true,
            Pending::Firmware(told) => told.is_request(),
            _ => false,
        };
        shared.requests.note_outcome(now, is_report, outcomes);
        match pending {
            Pending::Report { ticket, response, asker, happenings, reports, counted } => {
                shared.give_back_unless_stored(&asker, counted, outcomes);
                shared.tell_reports(first, happenings, outcomes);
                shared.handle_stored(now, (ticket, response), (&asker, reports), outcomes);
            }
            Pending::Edit(edited) => shared.handle_edited(now, *edited, first, outcomes),
            Pending::Firmware(told) => shared.handle_firmware_written(now, *told, first, outcomes),
            Pending::Login(asked) => shared.handle_login_written(now, &asked, first, outcomes),
            Pending::Presence(change, number) => {
                let presence = &mut shared.residence.presence;
                presence.handle_written(&mut shared.out, now, (change, number), first, outcomes);
            }
            Pending::Seen => shared.residence.presence.handle_seen_written(),
            Pending::QuotaTold => {}
            Pending::UnitReports(ou) => shared.quotas.handle_written(&ou, outcomes.is_ok()),
            Pending::Rates(minute) => shared.handle_rates_written(minute, outcomes.is_ok()),
            Pending::Log(told) => shared.refusals.handle_written(&mut shared.out, told, first, outcomes),
            Pending::CommandsMoved(moving) => shared.handle_commands_moved(now, *moving, first, outcomes),
            Pending::Issue(wish, secret) => shared.handle_issued(now, *wish, &secret, first, outcomes),
            pending => tracing::error!(?pending, "an answer to another question"),
        }
    }

    /// A product was read: serves what waited for it, and ends its sessions where it was switched off.
    fn take_up(&mut self, now: Now, product_key: &str, read: &Read) {
        for session in &read.waiting {
            if let Some(desk) = self.desks.get_mut(usize::from(session.shard)) {
                desk.serve_parked(&mut self.shared, now, *session, read.product.as_ref());
            }
        }
        if let Some(reach) = read.reach {
            self.reach_sessions(now, product_key.to_owned(), reach);
        }
    }

    /// A product changed in a way that its sessions feel.
    fn reach_sessions(&mut self, now: Now, product_key: String, reach: Reach) {
        self.changing.push_back(Changing { product_key, reach, desk: 0, slot: 0, since: now.instant });
        self.change_some(now);
    }

    /// Closes or changes sessions of a product that changed: those of some slots, so that a large product
    /// keeps nobody waiting. The rest follows with the next time-outs.
    fn change_some(&mut self, now: Now) {
        let mut slots = SLOTS_AT_ONCE;
        while slots > 0
            && let Some(changing) = self.changing.front_mut()
        {
            let Some(desk) = self.desks.get_mut(changing.desk) else {
                let reached = self.changing.pop_front();
                if let Some(Changing { product_key, reach: Reach::CloseAll(off), .. }) = reached {
                    let until = self.shared.residence.last_login();
                    self.shared.leaving.enter(product_key, until, off);
                }
                continue;
            };
            let range = changing.slot..changing.slot.saturating_add(slots);
            let (product_key, reach) = (&*changing.product_key, changing.reach);
            let looked_at = desk.change_product(&mut self.shared, now, (product_key, reach), range);
            if looked_at < slots {
                (changing.desk, changing.slot) = (changing.desk + 1, 0);
            } else {
                changing.slot += looked_at;
            }
            slots -= looked_at;
        }
    }

    /// Whether answers to a device tell of all of its commands that were sent before: none of its queue is to
    /// be read or written yet.
    pub fn knows_commands(&self, device: DeviceId) -> bool {
        self.shared.commands.are_known(device)
    }

    /// Whether a device observes its commands, in a session over which it can be told of one.
    pub fn observes_commands(&self, device: DeviceId) -> bool {
        self.shared.observers.observes(device)
    }

    /// An operator changed something that affects sessions.
    pub fn handle_change(&mut self, now: Now, change: &LiveChange) {
        let now = self.shared.clock.stamp(now);
        let Shared { out, residence, products, issuing, leaving, .. } = &mut self.shared;
        match change {
            LiveChange::CloseDevice { device, cause } => {
                residence.close_device(out, now, *device, cause);
                // A reset device has none any more, and a deleted one neither.
                self.shared.change_commands_of_known(now, *device);
            }
            LiveChange::CommandsChanged { device } => self.shared.change_commands(now, *device),
            LiveChange::PropertiesEdited { name, edit } => self.shared.tell_edit(now, name, edit),
            LiveChange::UpgradeMoved { device, name, moved } => {
                self.shared.note_upgrade(now, None, (*device, || name.clone()), moved, Said::default());
            }
            LiveChange::ProductChanged { product_key } => {
                // It may be on again: what is read now decides.
                self.changing.retain(|changing| {
                    !matches!(changing.reach, Reach::CloseAll(_)) || changing.product_key != *product_key
                });
                leaving.drop_of(product_key);
                products.change(out, product_key);
                issuing.forget_used_up(product_key);
            }
            LiveChange::ProductSecretReplaced { product_key } => {
                self.reach_sessions(now, product_key.clone(), Reach::CloseActivating);
            }
        }
        self.shared.go_on_leaving(now);
    }

    /// Unpredictable bytes for the next secret. To be called for every [`Effect::Entropy`]; without it
    /// secrets are drawn on from the bytes that there were.
    pub fn handle_entropy(&mut self, fresh: [u8; 32]) {
        self.shared.issuing.handle_entropy(fresh);
    }

    /// Everything that had arrived at the sockets until then was handed over: no silence is noticed that is
    /// younger, and the time of no command is over that ends later. `None`: nothing is known of the sockets,
    /// and what was not handed over did not arrive.
    pub fn handle_read_until(&mut self, until: Option<Instant>) {
        self.shared.commands.unread.read_until(until);
        self.shared.residence.presence.read_until(until);
    }

    /// Does what is due. Call it when [`Self::poll_timeout`] says so; an earlier call does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.shared.clock.stamp(now);
        let Shared { out, residence, products, refusals, pace, plain_pace, quotas, .. } = &mut self.shared;
        pace.handle_timeout(now.instant);
        plain_pace.handle_timeout(now.instant);
        residence.presence.handle_timeout(out, now);
        products.handle_timeout(out, now.instant);
        refusals.handle_timeout(out, now, false);
        quotas.handle_timeout(out, now.instant);
        if self.settles_at.is_some_and(|at| at <= now.instant) {
            self.settles_at = None;
            if out.give_up_diagnoses() {
                tracing::warn!("refusals that were being looked into are not in the log");
            }
        }
        self.change_some(now);
        self.shared.handle_commands_timeout(now);
        self.shared.handle_observers_timeout(now);
        self.shared.go_on_leaving(now);
    }

    /// When [`Self::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Shared { residence, products, refusals, leaving, commands, observers, .. } = &self.shared;
        let Shared { pace, plain_pace, quotas, .. } = &self.shared;
        let changing = self.changing.front().map(|changing| changing.since);
        let due = [residence.presence.poll_timeout(), products.poll_timeout(), refusals.poll_timeout()];
        // Without room it is the store's answer that goes on.
        let leaving = leaving.poll_timeout().filter(|_| residence.presence.room() > 0);
        let of_commands = [commands.poll_timeout(), observers.poll_timeout()];
        let paces = [pace.poll_timeout(), plain_pace.poll_timeout(), quotas.poll_timeout()];
        let timeouts =
            due.into_iter().chain([self.settles_at, changing, leaving]).chain(of_commands).chain(paces);
        timeouts.flatten().min()
    }

    /// The shards receive nothing more: writes down everything that waits. What is being looked into is given
    /// up some seconds later. Call it again once [`Self::is_settled`], for what was heard last.
    pub fn handle_settle(&mut self, now: Now) {
        let now = self.shared.clock.stamp(now);
        for desk in &mut self.desks {
            desk.record_all_held(&mut self.shared, now);
        }
        let Shared { refusals, out, leaving, quotas, .. } = &mut self.shared;
        leaving.stop();
        out.give_up_lists();
        refusals.handle_timeout(out, now, true);
        quotas.write_all(out);
        self.shared.residence.presence.flush(&mut self.shared.out);
        self.settles_at = Some(now.instant + diagnosis::SETTLE_MAX);
    }

    /// Whether every question is answered, and nothing waits for one.
    pub fn is_settled(&self) -> bool {
        self.shared.out.is_settled() && self.shared.issuing.is_empty() && self.changing.is_empty()
    }

    /// The next thing that the gateway asks for.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.shared.out.poll()
    }

    /// The clock by which arrivals are written down, as it is now.
    pub fn clock(&self) -> ArrivalClock {
        self.shared.clock.arrivals()
    }

    /// What is counted.
    pub fn counters(&self) -> Counters {
        let Shared { residence, requests, refusals, issuing, commands, observers, upgrades, .. } =
            &self.shared;
        Counters {
            online: residence.presence.online(),
            connected: residence.directory.len(),
            observing: observers.len(),
            refusals: refusals.by_reason,
            requests: requests.counts,
            commands: commands.punctuality,
            firmware: upgrades.served,
            refusals_unlogged: refusals.unlogged,
            refusals_folded: refusals.folded,
            activations_deferred: issuing.deferred,
            activations_closed: residence.directory.too_many,
            secret_shared_alarms: residence.directory.rivals,
            handshakes_uncounted: self.shared.pace.uncounted() + self.shared.plain_pace.uncounted(),
        }
    }

    /// Requests that are answered 5.03 because the store cannot write.
    pub fn unwritten(&self) -> &Unwritten {
        &self.shared.requests.unwritten
    }
}
