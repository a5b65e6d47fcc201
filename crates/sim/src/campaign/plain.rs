//! Plain CoAP in the campaign: its shards, its port, and what a stranger may do there.
//!
//! Who is on the path may forge everything of a device that talks plain CoAP; that is given up, and no
//! promise. So the stranger here is not there: it plays again what it has seen, from elsewhere.

use std::net::SocketAddr;

use narrowgate_engine::shard::ShardConfig;

use super::{Campaign, Incarnation, shard_config};
use crate::world::{PLAIN_SERVER, plain_config};

impl Campaign {
    /// The settings of the shards of plain CoAP, behind those of DTLS.
    pub(super) fn plain_configs(&self) -> impl Iterator<Item = ShardConfig> + use<> {
        let (first, limits) = (self.plan.shards, self.limits());
        (first..first + self.plan.plain_shards()).map(move |number| {
            let mut config = plain_config(number, shard_config(number, limits));
            if let (Some(limits), Some(plain)) = (limits, &mut config.plain) {
                plain.logins_waiting_max = limits.handshakes_max;
            }
            config
        })
    }

    /// A datagram arrives at the port of plain CoAP.
    pub(super) fn deliver_plain(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let hash = u64::from(from.port()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let index =
            usize::from(self.plan.shards) + hash as usize % usize::from(self.plan.plain_shards().max(1));
        let Some(Incarnation { process, events }) = &mut self.server else { return };
        if let (Some(shard), Some(pending)) = (process.server.shards.get_mut(index), events.get_mut(index)) {
            shard.handle_datagram(self.now, from, bytes);
            shard.drain_events(pending);
        }
    }

    /// An agent is elsewhere from now on.
    pub(super) fn move_agent(&mut self, index: usize) {
        let address = self.new_address();
        let agent = &mut self.agents[index];
        self.addresses.remove(&agent.address);
        self.addresses.insert(address, index);
        agent.note(self.now, format_args!("is at {address} from now on"));
        agent.address = address;
    }

    /// Somebody elsewhere plays a datagram again that was seen on its way to or from the port of plain CoAP.
    /// A login that is played again is one: the device's own ends, and it logs in again.
    pub(super) fn strange_and_plain(&mut self, to: SocketAddr, bytes: &[u8]) {
        if to == PLAIN_SERVER {
            let from = self.new_address();
            self.network.handle_datagram(self.now, from, to, bytes);
        }
    }
}
