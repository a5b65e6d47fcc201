//! What happened last, in memory, for those who are up to date.

use std::{collections::VecDeque, sync::Arc};

use narrowgate_http::Piece;
use narrowgate_platform::model::happened::StreamPlace;

/// Happenings that are kept for the slowest of those who follow closely; the others read the store.
pub(super) const TOLD_MAX: usize = 4096;
/// Bytes of them.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// Pieces one after the other, without a hole between them.
#[derive(Debug)]
pub(super) struct Ring {
    /// It has everything behind this place, up to its end.
    from: StreamPlace,
    /// Its end: nothing behind it was read yet.
    upto: StreamPlace,
    /// In their order.
    pieces: VecDeque<Arc<Piece>>,
    told: usize,
    bytes: usize,
}

/// What comes behind a place.
#[derive(Debug)]
pub(super) enum Behind {
    /// This, or a part of it.
    Piece(Arc<Piece>),
    /// Nothing yet.
    Nothing,
    /// The ring begins later, or ends before that place: the store knows whether there is such a place.
    NotThere,
}

impl Ring {
    /// Without anything, from a place on.
    pub(super) fn new(from: StreamPlace) -> Self {
        Self { from, upto: from, pieces: VecDeque::new(), told: 0, bytes: 0 }
    }

    /// Adds what follows, and gives up the oldest where there is too much. A piece with nothing in it is as
    /// good as none: the one after it begins where the last one ended.
    pub(super) fn push(&mut self, piece: Piece) {
        self.upto = self.upto.max(piece.upto);
        if piece.told.is_empty() && !piece.is_damaged {
            return;
        }
        self.told += piece.told.len();
        self.bytes += piece.bytes();
        self.pieces.push_back(Arc::new(piece));
        while self.told > TOLD_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.pieces.pop_front() else { return };
            self.told -= oldest.told.len();
            self.bytes -= oldest.bytes();
            self.from = oldest.upto;
        }
    }

    /// What comes behind a place.
    pub(super) fn behind(&self, at: StreamPlace) -> Behind {
        if at < self.from || at > self.upto {
            return Behind::NotThere;
        }
        let next = self.pieces.partition_point(|piece| piece.upto <= at);
        self.pieces.get(next).map_or(Behind::Nothing, |piece| Behind::Piece(Arc::clone(piece)))
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::happening::{Happening, Presence};
    use narrowgate_http::Told;
    use narrowgate_platform::ids::{Position, UnixMillis};

    use super::*;

    fn place(sequence: u64) -> StreamPlace {
        StreamPlace::last(Position { epoch: 1, sequence })
    }

    fn piece(sequence: u64, told: usize) -> Piece {
        let offline = |_| Presence { time: UnixMillis(1), device: None, detail: None };
        let told = (0..told).map(|n| Told::of_nobody(Some(place(sequence)), &Happening::Offline(offline(n))));
        Piece { told: told.collect(), upto: place(sequence), is_damaged: false }
    }

    fn ends(ring: &Ring, mut at: StreamPlace) -> Vec<StreamPlace> {
        let mut ends = Vec::new();
        while let Behind::Piece(piece) = ring.behind(at) {
            at = piece.upto;
            ends.push(at);
        }
        ends
    }

    #[test]
    fn who_is_up_to_date_gets_each_piece_once_and_who_is_not_reads_elsewhere() {
        let mut ring = Ring::new(place(5));
        assert!(matches!(ring.behind(place(4)), Behind::NotThere));
        assert!(matches!(ring.behind(place(5)), Behind::Nothing));
        ring.push(piece(7, 1));
        ring.push(piece(9, 0));
        ring.push(piece(12, 2));
        assert_eq!(ends(&ring, place(5)), [place(7), place(12)]);
        assert_eq!(ends(&ring, place(6)), [place(7), place(12)], "the end of a piece that began before");
        assert_eq!(ends(&ring, place(9)), [place(12)]);
        assert!(matches!(ring.behind(place(12)), Behind::Nothing));
        assert!(matches!(ring.behind(place(13)), Behind::NotThere), "it may be the place of another store");
        ring.push(piece(20, 0));
        assert!(matches!(ring.behind(place(20)), Behind::Nothing));
        assert!(matches!(ring.behind(place(21)), Behind::NotThere));
    }

    #[test]
    fn the_oldest_are_given_up_and_their_followers_sent_elsewhere() {
        let mut ring = Ring::new(place(0));
        for sequence in 1..=100 {
            ring.push(piece(sequence, 100));
        }
        let kept = TOLD_MAX as u64 / 100;
        assert!(matches!(ring.behind(place(100 - kept - 1)), Behind::NotThere));
        assert_eq!(ends(&ring, place(100 - kept)).len() as u64, kept);
        ring.push(piece(101, TOLD_MAX + 1));
        assert!(matches!(ring.behind(place(100)), Behind::NotThere), "one that is too large is not kept");
        assert!(matches!(ring.behind(place(101)), Behind::Nothing));
    }
}
