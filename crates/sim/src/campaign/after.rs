//! Calm, in which everybody comes back, and the end, at which nothing may be left.

use std::time::Duration;

use narrowgate_engine::shard::stats::Gauges;
use narrowgate_platform::{
    model::device::DeviceState,
    paging::Part,
    ports::{HistoryReads as _, Registry as _},
    testing::block_on,
};

use super::{CALM, Campaign, IDLE, agent::Agent};
use crate::{
    net::Conditions,
    world::store::{Pace, StoreConditions},
};

impl Campaign {
    /// Nothing goes wrong any more; everybody comes back.
    pub(super) fn calm(&mut self) {
        self.in_trouble = false;
        self.network.change(Conditions::good());
        if self.plan.wild_clock {
            // The time server is reached.
            self.clock.set_wrong_by(0);
        }
        self.store.change(Pace::Dice(StoreConditions::default()));
        if self.plan.limits.is_some() {
            // The operator has raised the limits.
            self.crash();
            self.start_server();
        }
        if let Some(product) = self.product_off.take() {
            self.switch_product(product, true);
        }
        for index in self.plan.devices as usize..self.agents.len() {
            let now = self.now;
            self.agents[index].power_off(now, &mut self.random);
            self.refresh(index);
        }
        for index in 0..self.plan.devices as usize {
            if !self.agents[index].is_powered() {
                let now = self.now;
                self.agents[index].power_on(now);
                self.refresh(index);
            }
        }
        self.agents.iter_mut().for_each(Agent::be_diligent);
        let before: Vec<u64> =
            (0..self.plan.devices).map(|number| self.agents[number as usize].reports()).collect();
        let end = self.now + CALM;
        self.run_until(end);
        for number in 0..self.plan.devices {
            self.nothing_is_left_to_do(number);
            let agent = &self.agents[number as usize];
            if self.disabled.contains(&number) {
                self.require(!self.is_online(number), Some(number), "it is switched off and online");
            } else if agent.has_own_secret() {
                let stored = self.ledger.stored_after(number, before[number as usize]);
                self.require(
                    // A login by plain CoAP ends with the lifetime, and may be on its way again.
                    (agent.is_connected() || agent.is_plain()) && stored > 0,
                    Some(number),
                    "minutes of calm, and no report of it is stored",
                );
                let right = self
                    .ledger
                    .should_be_online(number, self.now)
                    .is_none_or(|online| online == self.is_online(number));
                self.require(right, Some(number), "its presence is not what its last sign of life makes it");
                self.values_are_latest(number);
            } else {
                self.require(false, Some(number), "minutes of calm, and it has no secret of its own");
            }
        }
    }

    /// A device that does its best has answered everything by now, and what it could not has ended.
    fn nothing_is_left_to_do(&self, number: u32) {
        let may_be_left = self.disabled.contains(&number) || !self.agents[number as usize].has_own_secret();
        let open = self.ledger.commands.open(number, self.wall().wall);
        self.require(
            may_be_left || open.is_empty(),
            Some(number),
            format_args!("minutes of calm, and its commands {open:?} have not ended"),
        );
    }

    /// The latest value is that of the last report, and the device was heard when that arrived, whatever the
    /// clock has shown before.
    fn values_are_latest(&self, number: u32) {
        let Some((last, arrival)) = self.ledger.latest(number) else { return };
        let id = self.ledger.id_of(number);
        let points = block_on(self.store.durable().points_latest(id));
        let points = points.map_or_else(|_| Vec::new(), |page| page.items);
        let value = points.iter().find(|point| point.point == "n").map(|point| point.value.get().to_owned());
        let right = value.as_deref() == Some(&*last.to_string());
        self.require(
            right,
            Some(number),
            format_args!("its latest value is {value:?}, and report {last} came last"),
        );
        let device = block_on(self.store.durable().device_by_id(id)).ok().flatten();
        let seen = device.and_then(|device| device.last_seen_time);
        // Pings are written every ten seconds.
        let right = seen.is_some_and(|seen| seen >= arrival && seen.0 - arrival.0 < 600_000);
        self.require(
            right,
            Some(number),
            format_args!("last seen {seen:?}, and its last report came at {arrival:?}"),
        );
    }

    /// All devices lose their current; then the last lifetime, handshake and session must end.
    pub(super) fn end(&mut self) {
        for index in 0..self.agents.len() {
            let now = self.now;
            self.agents[index].power_off(now, &mut self.random);
            self.refresh(index);
        }
        let end = self.now + IDLE + Duration::from_secs(3_700);
        self.run_until(end);
        for number in 0..self.plan.devices {
            self.require(
                !self.is_online(number),
                Some(number),
                "it has been silent for its lifetime and is online",
            );
            let id = self.ledger.id_of(number);
            let history = block_on(self.store.durable().presence_history(id, Part::first(10_000)));
            let history = history.map_or_else(|_| Vec::new(), |page| page.items);
            let alternates = history.windows(2).all(|pair| pair[0].state != pair[1].state);
            self.require(
                alternates,
                Some(number),
                format_args!("its presence does not alternate: {history:?}"),
            );
            let offline = history.first().is_none_or(|newest| newest.state != DeviceState::Online);
            self.require(offline, Some(number), "the last word about it is that it is online");
        }
        if self.plan.orders.is_some() {
            self.commands_are_stored();
        }
        let (handshakes, sessions) = self.ledger.open();
        self.require(
            handshakes == 0 && sessions == 0,
            None,
            format_args!("{handshakes} handshakes and {sessions} sessions have no end"),
        );
        let gauges: Vec<Gauges> = self
            .server
            .as_mut()
            .map(|server| server.process.server.shards.iter_mut().map(|shard| shard.stats().gauges).collect())
            .unwrap_or_default();
        for gauge in gauges {
            let Gauges { sessions, handshakes, lookups, requests_in_flight, stored_answer_bytes, timers: _ } =
                gauge;
            let left = [sessions, handshakes, lookups, requests_in_flight, stored_answer_bytes];
            self.require(left == [0; 5], None, format_args!("something is left in a shard: {gauge:?}"));
        }
        if let Some(server) = &self.server {
            let gateway = server.process.server.gateway();
            let counters = gateway.counters();
            let left = (counters.online, counters.connected, gateway.is_settled());
            self.require(
                left == (0, 0, true),
                None,
                format_args!("something is left in the gateway: {left:?}"),
            );
        }
    }
}
