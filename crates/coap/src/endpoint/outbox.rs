//! What waits to be polled: messages for the peer, and events for the user.

use std::collections::VecDeque;

use crate::{discard::Discard, event::Event, message::Kind, payload::Payload};

/// Both queues, in order of occurrence.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// A message that waits for [`crate::Endpoint::poll_transmit`]. Bytes that are kept elsewhere are copied only
/// then.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transmit {
    /// A message of ours that waits for an acknowledgement.
    Outbound { mid: u16 },
    /// A message without content.
    Empty { kind: Kind, mid: u16 },
    /// Any other.
    Message(Payload),
}

impl Outbox {
    pub(super) fn transmit(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    pub(super) fn transmit_empty(&mut self, kind: Kind, mid: u16) {
        self.transmit(Transmit::Empty { kind, mid });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn discard(&mut self, reason: Discard) {
        self.event(Event::Discarded(reason));
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transmits.is_empty() && self.events.is_empty()
    }
}
