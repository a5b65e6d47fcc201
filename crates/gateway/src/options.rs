//! What a gateway is made of.

use narrowgate_engine::shard::throttle::ByteLimit;
use narrowgate_platform::{
    device_api::MessageLimit,
    firmware::ServerName,
    model::command::OpenCommand,
    ports::OnlineDevice,
    rules::{clock::NewestArrival, rate::Rate},
};

/// What a gateway is made of.
pub struct Options {
    /// How many shards it serves: those of DTLS, and behind them those of plain CoAP.
    pub shards: u16,
    /// How many of them are of plain CoAP.
    pub plain_shards: u16,
    /// Seed of the secrets that it issues. Unpredictable, and never used before.
    pub seed: [u8; 32],
    /// The devices that were online when the last one ended: they get a full lifetime from now on.
    pub online: Vec<OnlineDevice>,
    /// The commands that had not ended when the last one ended, those of a device in their order.
    pub commands: Vec<OpenCommand>,
    /// The store's epoch: logins are numbered from it on.
    pub epoch: u64,
    /// The newest arrival in the store.
    pub newest_arrival: Option<NewestArrival>,
    /// What a device may take.
    pub limits: Limits,
    /// What devices call this server.
    pub server: ServerName,
}

/// What a device may take (device protocol, section 12). Only its messages are limited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Handshakes of one identity from one address.
    pub device_handshakes: Option<Rate>,
    /// Bytes in its sessions: the limit of the shards, which a new session does not begin anew.
    pub device_bytes: Option<ByteLimit>,
    /// The longest body of a request.
    pub message: MessageLimit,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shards, online, epoch, limits, .. } = self;
        let mut shown = f.debug_struct("Options");
        shown.field("shards", shards).field("online", online).field("epoch", epoch).field("limits", limits);
        shown.finish_non_exhaustive()
    }
}
