//! What happened, in the order in which a store committed it: what followers of live events are told.

pub use narrowgate_api::happening::{Happening, Login};

use crate::ids::{DeviceId, Position};

/// The place of a happening among all: that of the write or the change that caused it, and its number among
/// those of the same cause. What a follower has been told is everything up to such a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPlace {
    /// Of the cause.
    pub position: Position,
    /// Counts from 0.
    pub part: u16,
}

impl StreamPlace {
    /// Before all happenings.
    pub const START: Self = Self::last(Position { epoch: 0, sequence: 0 });

    /// The first one of a cause.
    pub const fn first(position: Position) -> Self {
        Self { position, part: 0 }
    }

    /// Behind all of a cause.
    pub const fn last(position: Position) -> Self {
        Self { position, part: u16::MAX }
    }
}

/// Something that happened, as it is stored.
#[derive(Debug, Clone)]
pub struct Happened {
    /// Where it stands.
    pub place: StreamPlace,
    /// To which device, if the store knows it. Its keys are looked up by who shows it.
    pub device: Option<DeviceId>,
    /// What. Of a device that is known it has no keys; else those that somebody claimed, if any.
    pub happening: Happening,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_the_commits_and_then_of_what_one_of_them_caused() {
        let position = |epoch, sequence| Position { epoch, sequence };
        let order = [
            StreamPlace::START,
            StreamPlace::first(position(1, 1)),
            StreamPlace { position: position(1, 1), part: 1 },
            StreamPlace::last(position(1, 1)),
            StreamPlace::first(position(1, 2)),
            StreamPlace::last(position(1, u64::MAX)),
            StreamPlace::first(position(2, 1)),
        ];
        assert!(order.is_sorted_by(|one, next| one < next));
    }
}
