//! A part of the circle of Message IDs that holds all that are stored: a peer that counts its messages up
//! sends the next one outside of it, so that nothing has to be searched.

/// An arc of the circle of 65,536 Message IDs, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    first: u16,
    length: u16,
}

impl Span {
    /// The arc of one Message ID.
    pub(super) const fn of(mid: u16) -> Self {
        Self { first: mid, length: 0 }
    }

    /// Whether the Message ID lies within.
    pub(super) const fn contains(self, mid: u16) -> bool {
        mid.wrapping_sub(self.first) <= self.length
    }

    /// The arc grown to this Message ID, on the side where it grows less.
    pub(super) const fn with(self, mid: u16) -> Self {
        if self.contains(mid) {
            return self;
        }
        let forward = mid.wrapping_sub(self.first);
        let backward = self.first.wrapping_sub(mid);
        if forward - self.length <= backward {
            Self { first: self.first, length: forward }
        } else {
            // Cannot overflow: the arcs before and behind `mid` and the old one share the circle.
            Self { first: mid, length: self.length + backward }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_peer_that_counts_is_always_outside() {
        let mut span = Span::of(0xfff0);
        for step in 1..1000_u16 {
            let mid = 0xfff0_u16.wrapping_add(step);
            assert!(!span.contains(mid), "{mid}");
            span = span.with(mid);
        }
        assert_eq!(span, Span { first: 0xfff0, length: 999 });
        assert_eq!(span.with(0xffee), Span { first: 0xffee, length: 1001 });
        assert_eq!(Span { first: 1, length: u16::MAX - 1 }.with(0), Span { first: 1, length: u16::MAX });
    }

    proptest! {
        #[test]
        fn what_was_added_lies_within(mids in vec(any::<u16>(), 1..100)) {
            let span = mids.iter().fold(Span::of(mids[0]), |span, mid| span.with(*mid));
            prop_assert!(mids.iter().all(|mid| span.contains(*mid)));
        }
    }
}
