//! What goes wrong on purpose: crashes, mishaps of devices, acts of operators, jumps of the clock, a
//! stranger.
#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use std::time::{Duration, Instant};

use narrowgate_api::{
    device::NamedDevice,
    product::{ProductPatch, Profile},
};
use narrowgate_platform::testing::block_on;

use super::{Campaign, PRODUCTS, agent::device_key};
use crate::{
    net::Packet,
    world::{PLAIN_SERVER, SERVER, server::WALL_START_MS},
};

/// From the beginning of a handshake to the act of the operator who races it.
const RACE_MEAN: Duration = Duration::from_millis(1_500);

impl Campaign {
    /// Time in which things go wrong.
    pub(super) fn trouble(&mut self) {
        let end = self.now + self.plan.trouble;
        let mut happenings = [
            (self.plan.crashes, None),
            (Some(self.plan.mishaps), None),
            (self.plan.acts, None),
            (self.plan.jumps, None),
            (self.plan.strange, None),
            (self.plan.orders, None),
        ];
        for (mean, next) in &mut happenings {
            *next = mean.map(|mean| self.now + self.some_time(mean));
        }
        let mut restart = None;
        loop {
            let first =
                happenings.iter().enumerate().filter_map(|(kind, (_, next))| Some((((*next)?), kind))).min();
            let (at, kind) = first.unwrap_or((end, 0));
            let at = restart.map_or(at, |restart: Instant| at.min(restart));
            if at >= end {
                break;
            }
            self.run_until(at);
            if restart == Some(at) {
                self.start_server();
                restart = None;
                // Some die again at once.
                if self.random.chance(200) {
                    let alive = Duration::from_millis(1 + self.random.below(3_000));
                    self.run_until(at + alive);
                    self.crash();
                    restart = Some(self.now + Duration::from_millis(50 + self.random.below(2_000)));
                }
                continue;
            }
            match kind {
                0 if restart.is_none() => {
                    self.nobody_online_for_long();
                    self.crash();
                    restart = Some(self.now + Duration::from_millis(50 + self.random.below(40_000)));
                }
                0 => {}
                1 => self.mishap(),
                2 => self.operate(),
                3 => self.jump(),
                4 => self.stranger(),
                _ => self.order(),
            }
            happenings[kind].1 = happenings[kind].0.map(|mean| self.now + self.some_time(mean));
        }
        self.run_until(end);
        if self.server.is_some() {
            self.nobody_online_for_long();
        }
        if self.server.is_none() {
            self.start_server();
        }
    }

    /// Nobody is online in the store who has been silent for a lifetime and then some.
    fn nobody_online_for_long(&self) {
        for number in 0..self.plan.devices {
            let wrong = self.ledger.is_long_silent(number, self.now) && self.is_online(number);
            self.require(!wrong, Some(number), "it is online long after its lifetime was over");
        }
    }

    /// Around `mean`, in whole milliseconds, never none.
    fn some_time(&mut self, mean: Duration) -> Duration {
        Duration::from_millis(1 + self.random.below(2 * mean.as_millis() as u64))
    }

    fn mishap(&mut self) {
        self.happened.mishaps += 1;
        let index = self.random.below(self.agents.len() as u64) as usize;
        let now = self.now;
        match self.random.below(4) {
            0 => {
                self.move_agent(index);
            }
            1 => {
                self.agents[index].power_off(now, &mut self.random);
                self.agents[index].power_on(now);
            }
            _ if self.agents[index].is_powered() => self.agents[index].power_off(now, &mut self.random),
            _ => self.agents[index].power_on(now),
        }
        self.refresh(index);
    }

    fn operate(&mut self) {
        if self.server.is_none() {
            return;
        }
        self.happened.acts += 1;
        let number = self.random.below(self.plan.devices.into()) as u32;
        if self.plan.twins {
            return self.race(number);
        }
        match self.random.below(6) {
            0 | 1 => self.switch_device(number, false),
            2 => {
                if let Some(&disabled) = self.disabled.first() {
                    self.switch_device(disabled, true);
                }
            }
            3 => self.reset(number),
            _ => match self.product_off.take() {
                Some(product) => self.switch_product(product, true),
                None => {
                    let product = self.random.below(2) as usize;
                    self.product_off = Some(product);
                    self.switch_product(product, false);
                }
            },
        }
    }

    /// An operator acts while the device, which has a session, logs in again.
    fn race(&mut self, number: u32) {
        let index = number as usize;
        let now = self.now;
        self.agents[index].power_off(now, &mut self.random);
        self.agents[index].power_on(now);
        self.refresh(index);
        let soon = self.some_time(RACE_MEAN);
        self.run_until(now + soon);
        match self.random.below(4) {
            0 | 1 => {
                self.reset(number);
                if self.random.chance(500) {
                    let soon = self.some_time(RACE_MEAN);
                    self.run_until(self.now + soon);
                    self.reset(number);
                }
            }
            2 => self.switch_device(number, false),
            _ => {
                if let Some(&disabled) = self.disabled.first() {
                    self.switch_device(disabled, true);
                }
            }
        }
    }

    fn switch_device(&mut self, number: u32, enabled: bool) {
        if self.disabled.contains(&number) != enabled {
            return;
        }
        let name = NamedDevice::by_name(device_key(number));
        self.take_notes();
        let at = self.wall().wall;
        let switched = self.act(|operator| match enabled {
            true => block_on(operator.enable_device(&name)),
            false => block_on(operator.disable_device(&name)),
        });
        if !enabled {
            Self::orders_are_taken_back(&mut self.ledger, number, at);
        }
        self.feel_changes();
        switched.expect("it can be switched");
        if enabled {
            self.disabled.remove(&number);
            self.ledger.switched(number, true, self.now);
            self.hopeless.clear();
        } else {
            self.disabled.insert(number);
            self.ledger.switched(number, false, self.now);
        }
        self.agents[number as usize]
            .note(self.now, if enabled { "is switched on" } else { "is switched off" });
    }

    fn reset(&mut self, number: u32) {
        if self.disabled.contains(&number) {
            return;
        }
        let name = NamedDevice::by_name(device_key(number));
        let now = self.now;
        self.take_notes();
        self.ledger.replaced(number, None, now);
        let at = self.wall().wall;
        let reset = self.act(|operator| block_on(operator.reset_device(&name)));
        Self::orders_are_taken_back(&mut self.ledger, number, at);
        self.feel_changes();
        let secret = reset.expect("it can be reset").device_secret;
        self.ledger.replaced(number, Some(secret.expose()), now);
        self.agents[number as usize].take_secret(now, secret.expose());
        self.refresh(number as usize);
        // The twin has the former secret and a session, and gets the new one only sometimes.
        let twin = (self.plan.devices + number) as usize;
        if twin < self.agents.len() && self.random.chance(500) {
            self.agents[twin].take_secret(now, secret.expose());
            self.refresh(twin);
        }
    }

    pub(super) fn switch_product(&mut self, product: usize, enabled: bool) {
        let key = PRODUCTS[product];
        self.product_off_since = (!enabled).then_some(self.now);
        for agent in self.agents.iter().filter(|agent| agent.product_key() == PRODUCTS[product]) {
            self.ledger.product_switched(agent.number, enabled, self.now);
        }
        if enabled {
            // What is under way may arrive in time.
            self.hopeless.clear();
        }
        // What is switched on again comes back with another profile.
        let profile = Some(if enabled { Profile::Nbiot } else { Profile::Default });
        let patch = ProductPatch { enabled: Some(enabled), profile, ..ProductPatch::default() };
        self.administer(|operator| block_on(operator.update_product(key, patch)))
            .expect("it can be switched");
    }

    fn jump(&mut self) {
        if self.plan.wild_clock {
            return self.jump_far();
        }
        self.happened.jumps += 1;
        let size = [1_000, 60_000, 3_600_000, 86_400_000][self.random.below(4) as usize];
        let ms = self.random.below(size) as i64 * if self.random.chance(500) { 1 } else { -1 };
        self.clock.jump(ms);
    }

    /// The clock shows 1970, two days ago or a wrong year, or is set right. What is not known of the time
    /// before the first report cannot be told from a right clock.
    fn jump_far(&mut self) {
        if self.ledger.totals.stored == 0 {
            return;
        }
        self.happened.jumps += 1;
        const DAY_MS: i64 = 86_400_000;
        let wrong = [0, 0, -WALL_START_MS, -2 * DAY_MS, 2 * DAY_MS, 12 * 365 * DAY_MS];
        let ahead_ms = wrong[self.random.below(wrong.len() as u64) as usize];
        self.clock.set_wrong_by(ahead_ms);
    }

    /// Somebody plays a datagram again that was seen on the way, changed or as it was, from there or from
    /// elsewhere.
    fn stranger(&mut self) {
        if self.seen.is_empty() {
            return;
        }
        self.happened.strange += 1;
        let index = self.random.below(self.seen.len() as u64) as usize;
        let Packet { mut from, to, mut bytes } = self.seen[index].clone();
        if [from, to].contains(&PLAIN_SERVER) {
            return self.strange_and_plain(to, &bytes);
        }
        if self.random.chance(300) && to == SERVER {
            from = self.new_address();
        }
        for _ in 0..self.random.below(3) {
            let place = self.random.below(bytes.len().max(1) as u64) as usize;
            let value = self.random.next_u64() as u8;
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        self.network.handle_datagram(self.now, from, to, &bytes);
    }
}
