//! Requests of the peer that the application is working on (RFC 7252, sections 5.2.1 to 5.2.3).
//!
//! ```text
//!   CON request --> Fresh --- separate_after: empty ACK --> Acknowledged
//!   NON request --> Unacknowledgeable                            |
//!                     |        |                                 |
//!           response: NON     ACK with the response           empty ACK stays stored, CON with the response
//! ```
//!
//! In each case the exchange ends with the response; what answered the request's message is stored for its
//! duplicates.

use std::time::Instant;

use crate::{
    block::BlockOptions,
    cache_key::CacheKey,
    code::Code,
    fingerprint::Digest,
    message::{HEADER_BYTES, Kind, Message, Token},
    params::Params,
};

/// Identifies an exchange with the peer of one endpoint. Other endpoints use the same values: the user keeps
/// them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId {
    serial: u32,
    mid: u16,
    /// No-Response (RFC 7967, section 2): the classes of answers that the peer does not want.
    unwanted: u8,
}

impl ExchangeId {
    pub(crate) const fn new(serial: u32, mid: u16, unwanted: u8) -> Self {
        Self { serial, mid, unwanted }
    }

    /// The Message ID of the request.
    #[must_use]
    pub const fn mid(self) -> u16 {
        self.mid
    }

    /// By how many exchanges and requests of the endpoint it is newer than the first one.
    pub(crate) const fn serial(self) -> u32 {
        self.serial
    }

    /// Whether the peer does not want an answer of this code (RFC 7967, section 2.1): then none is sent.
    #[must_use]
    pub const fn is_unwanted(self, code: Code) -> bool {
        let class = code.class();
        class > 0 && self.unwanted >> (class - 1) & 1 == 1
    }
}

/// What the answer needs to know of the message of its request. Kept with the effect of the request, it
/// allows making the answer again after a restart ([`crate::Endpoint::restore_answer`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The Message ID.
    pub mid: u16,
    /// The token.
    pub token: Token,
    /// Whether the message is confirmable.
    pub confirmable: bool,
}

/// An exchange that waits for the application.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: ExchangeId,
    pub(crate) token: Token,
    /// Of its message, with the body if that came in blocks.
    pub(crate) digest: Digest,
    pub(crate) stage: Stage,
    /// When the Message ID may be reused.
    pub(crate) expires: Instant,
    /// What the budget was charged for it.
    pub(crate) cost: usize,
    /// What the answer is to look like.
    pub(crate) wish: Wish,
}

/// What a request says of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// The block of its own body that it carried, and the block of the answer that it wants.
    pub(crate) blocks: BlockOptions,
    /// Which requests may fetch the rest of an answer that is sent in blocks.
    pub(crate) key: CacheKey,
    /// The request may run again where an answer in blocks is not kept: it is a GET.
    pub(crate) is_safe: bool,
    /// The peer wants to observe: a GET with Observe 0.
    pub(crate) observes: bool,
}

impl Wish {
    /// Whether a GET asks for what follows the first block of its answer.
    pub(crate) fn is_for_a_later_block(&self) -> bool {
        self.is_safe && self.blocks.block2.is_some_and(|block| block.number > 0)
    }
}

/// How the response may still be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Confirmable and not acknowledged yet: inside the acknowledgement, before this time.
    Fresh { acknowledge_at: Instant },
    /// Confirmable and acknowledged: in a confirmable message of its own.
    Acknowledged,
    /// Non-confirmable: in a non-confirmable message.
    Unacknowledgeable,
}

impl Exchange {
    /// What an exchange costs the budget beside the bytes of its request.
    pub(crate) const COST: usize = size_of::<Self>();

    pub(crate) fn new(
        now: Instant,
        id: ExchangeId,
        (message, digest): (&Message<'_>, Digest),
        (cost, wish): (usize, Wish),
        params: &Params,
    ) -> Self {
        let confirmable = message.kind == Kind::Confirmable;
        let token = message.token;
        let stage = if confirmable {
            Stage::Fresh { acknowledge_at: now + params.separate_after }
        } else {
            Stage::Unacknowledgeable
        };
        Self { id, token, digest, stage, expires: now + params.lifetime(confirmable), cost, wish }
    }

    pub(crate) const fn origin(&self) -> Origin {
        let confirmable = !matches!(self.stage, Stage::Unacknowledgeable);
        Origin { mid: self.id.mid, token: self.token, confirmable }
    }

    /// Header, token, options, and the whole body.
    pub(crate) fn request_bytes(&self) -> usize {
        HEADER_BYTES + self.token.as_bytes().len() + self.cost - Self::COST
    }

    /// When something is to be done for it.
    pub(crate) fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Fresh { acknowledge_at } => acknowledge_at.min(self.expires),
            Stage::Acknowledged | Stage::Unacknowledgeable => self.expires,
        }
    }
}

const _: () = assert!(size_of::<ExchangeId>() <= 8, "an exchange is named in every queue");
