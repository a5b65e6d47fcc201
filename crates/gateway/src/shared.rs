//! What all desks share.

use narrowgate_platform::{device_api::MessageLimit, rules::rate::Seldom};

use crate::{
    clock::Clock, commands::Commands, firmware::Firmware, issuing::Issuing, leaving::Leaving,
    observers::Observers, outbox::Outbox, pace::Pace, products::Products, properties::Queries,
    quotas::ReportQuotas, raw::ScriptCalls, refusals::Refusals, requests::Requests, residence::Residence,
    spent::SpentBytes, upgrades::Upgrades,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// The first shard of plain CoAP; without one, as many as there are.
    pub(crate) plain_from: u16,
    pub(crate) out: Outbox,
    pub(crate) residence: Residence,
    pub(crate) products: Products,
    pub(crate) queries: Queries,
    pub(crate) firmware: Firmware,
    pub(crate) upgrades: Upgrades,
    pub(crate) leaving: Leaving,
    pub(crate) refusals: Refusals,
    pub(crate) requests: Requests,
    pub(crate) issuing: Issuing,
    pub(crate) commands: Commands,
    pub(crate) observers: Observers,
    /// Of handshakes.
    pub(crate) pace: Pace,
    /// Of logins by plain CoAP. Their addresses may be forged, so they have a count of their own.
    pub(crate) plain_pace: Pace,
    pub(crate) spent: SpentBytes,
    pub(crate) quotas: ReportQuotas,
    pub(crate) message_limit: MessageLimit,
    /// Of look-ups that the store cannot answer.
    pub(crate) lookup_errors: Seldom,
    pub(crate) script_calls: ScriptCalls,
}
