//! Who observes the resource of an endpoint (RFC 7641).
//!
//! An endpoint has one resource that can be observed: the application marks its answers with Observe
//! ([`super::Endpoint::respond`]), and says what there is to tell ([`super::Endpoint::notify`]).
//!
//! ```text
//!   GET, Observe 0, marked answer --> registered -- GET, Observe 1 ----------------> gone
//!                                      |    ^    -- Reset of a notification --------> gone
//!                                notify|    |ACK -- no acknowledgement of one: all -> gone
//!                                      v    |
//!                                 notification on its way
//! ```
//!
//! A registration is known by its token (section 4.1); the same token again renews it. Notifications are
//! confirmable, so that an observer that is gone is noticed (4.5), and go one after the other: one that is
//! queued is replaced by a newer one, and one on its way is not (4.5.2).
//!
//! Limit: [`crate::Params::observers_max`]; beyond it a GET is answered without Observe (4.1).

use crate::{event::ObservationEnd, message::Token};

/// The number of a notification has 24 bits (section 4.4).
const SEQUENCE_MASK: u32 = (1 << 24) - 1;

/// The registrations of one endpoint, oldest first.
#[derive(Debug, Default)]
pub(super) struct Observers {
    tokens: Vec<Token>,
    /// The number of the last answer or notification, over all registrations: a renewed one goes on from it.
    sequence: u32,
    /// How the last registration has ended, as long as that is not reported.
    pub(super) held_end: Option<ObservationEnd>,
}

impl Observers {
    /// Whether a registration with this token is known, or may be added.
    pub(super) fn permit(&self, token: Token, observers_max: usize) -> bool {
        self.tokens.contains(&token) || self.tokens.len() < observers_max
    }

    /// Adds a registration, unless it is known.
    pub(super) fn insert(&mut self, token: Token) {
        if !self.tokens.contains(&token) {
            self.tokens.push(token);
        }
    }

    /// Removes a registration; returns whether there was one.
    pub(super) fn remove(&mut self, token: Token) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|other| *other != token);
        self.tokens.len() < before
    }

    /// Removes all registrations.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
    }

    /// Whether the peer has never observed: else numbers go on from the last one.
    pub(super) fn is_unused(&self) -> bool {
        self.tokens.is_empty() && self.sequence == 0 && self.held_end.is_none()
    }

    /// The tokens of all registrations.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The number of the next answer or notification.
    pub(super) const fn take_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & SEQUENCE_MASK;
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_registered_once_and_numbers_go_on_over_24_bits() {
        let mut observers = Observers { sequence: SEQUENCE_MASK - 1, ..Observers::default() };
        let (one, two) = (Token::from(1), Token::from(2));
        observers.insert(one);
        observers.insert(one);
        assert_eq!(observers.tokens(), [one]);
        assert!(observers.permit(one, 1) && !observers.permit(two, 1) && observers.permit(two, 2));
        assert_eq!(
            [observers.take_sequence(), observers.take_sequence(), observers.take_sequence()],
            [SEQUENCE_MASK, 0, 1]
        );
        assert!(observers.remove(one) && !observers.remove(one));
        assert_eq!(observers.take_sequence(), 2, "a registration that is made anew goes on");
    }
}
