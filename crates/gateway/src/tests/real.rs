//! What only a real peer makes: a Finished with a wrong key, and an exchange that waits for its answer.

use std::{net::SocketAddr, sync::Arc};

use narrowgate_coap::{Budget, Context, Endpoint, Event, ExchangeId, Params};
use narrowgate_dtls::{
    ClientConfig, ClientHandshake, DecoySecret, FailedFinished, Psk, PskAnswer, Random, ServerConfig,
};
use narrowgate_engine::{
    event::{ShardCommand, ShardEvent},
    shard::{Shard, ShardConfig},
};

use super::start;

/// Bytes that differ. For tests only.
struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn key(bytes: [u8; 16]) -> Psk {
    Psk::new(&bytes).expect("16 bytes are within 1 to 64")
}

/// The Finished of a client that has `used`, at a server that has another key.
pub(super) fn failed_finished(used: [u8; 16]) -> Box<FailedFinished> {
    let (now, peer, mut random) = (start(), SocketAddr::from(([192, 0, 2, 1], 5684)), Counting(0));
    let config = ShardConfig::new(Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))));
    let mut shard = Shard::new(config, now, [1; 32]);
    let mut client = ClientHandshake::new(ClientConfig::new(b"anybody", key(used)), now, &mut random);
    let mut datagram = Vec::new();
    loop {
        assert!(client.poll_transmit(&mut datagram), "the client goes on until its Finished is refused");
        shard.handle_datagram(now, peer, &mut datagram);
        while let Some(event) = shard.poll_event() {
            match event {
                ShardEvent::PskWanted { handshake, .. } => {
                    let answer = PskAnswer::key(key([0x5a; 16]));
                    shard.handle_command(now, ShardCommand::ProvidePsk { handshake, answer });
                }
                ShardEvent::WrongKey { failed, .. } => return failed,
                other => panic!("{other:?}"),
            }
        }
        let came: Vec<_> = shard.outbox().iter().map(|(_, datagram)| datagram.to_vec()).collect();
        shard.outbox().clear();
        for mut datagram in came {
            client.handle_datagram(now, &mut datagram, &mut random);
        }
    }
}

/// The exchange of a request with this Message ID.
pub(super) fn exchange(mid: u16) -> ExchangeId {
    exchange_of(mid, &[])
}

/// The same of a request that wants no answer of class 2 (No-Response 2).
pub(super) fn quiet_exchange(mid: u16) -> ExchangeId {
    exchange_of(mid, &[0xd1, 245, 2])
}

fn exchange_of(mid: u16, options: &[u8]) -> ExchangeId {
    let (params, mut budget) = (Params::default(), Budget::new(1 << 20));
    let mut context = Context { now: start(), params: &params, budget: &mut budget };
    let mut endpoint = Endpoint::new(0);
    let [high, low] = mid.to_be_bytes();
    // A confirmable GET without token.
    let message = [&[0x40, 1, high, low], options].concat();
    endpoint.handle_message(&mut context, &message);
    match endpoint.poll_event() {
        Some(Event::Request { exchange, .. }) => exchange,
        other => panic!("{other:?}"),
    }
}
