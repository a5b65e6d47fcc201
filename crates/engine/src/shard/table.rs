//! The table of established sessions: a slab in pages, and an index from route to slot.
//!
//! A [`SessionId`] identifies a session for as long as the process lives: its slot, and the generation that
//! distinguishes it from others in the same slot. Pages of 1,024 slots are allocated one by one, so that
//! growing never copies a session and never stops the loop. The index holds four bytes per session: the route
//! is compared in the slot itself.

use std::{hash::BuildHasher, ops::Range};

use hashbrown::HashTable;

use crate::{
    event::SessionId,
    path::{PackedPath, Path},
    route::{ConnectionId, Route},
};

const PAGE: usize = 1024;

/// Sessions by their id and by their route.
#[derive(Debug)]
pub(super) struct Table<T> {
    shard: u16,
    pages: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: u32,
    by_route: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// Where the next search for a session to shed begins.
    hand: u32,
}

/// A session and its path.
#[derive(Debug)]
pub(super) struct Row<T> {
    path: PackedPath,
    connection_id: Option<ConnectionId>,
    /// The session itself.
    pub(super) session: T,
}

impl<T> Row<T> {
    /// Where the peer is, and the address at which it is heard.
    pub(super) fn path(&self) -> Path {
        self.path.unpack()
    }

    /// What the session is found by.
    pub(super) fn route(&self) -> Route {
        self.connection_id.map_or_else(|| Route::Peer(self.path()), Route::ConnectionId)
    }

    fn has_route(&self, route: &Route) -> bool {
        match route {
            Route::Peer(path) => self.connection_id.is_none() && self.path == PackedPath::of(*path),
            Route::ConnectionId(id) => self.connection_id.as_ref() == Some(id),
        }
    }
}

/// Bytes that the table takes for each session, besides the index.
pub(super) const fn slot_bytes<T>() -> usize {
    size_of::<Slot<T>>()
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    row: Option<Row<T>>,
}

impl<T> Table<T> {
    /// An empty table of this shard.
    pub(super) fn new(shard: u16) -> Self {
        Self {
            shard,
            pages: Vec::new(),
            free: Vec::new(),
            used: 0,
            by_route: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            hand: 0,
        }
    }

    /// Number of sessions.
    pub(super) fn len(&self) -> usize {
        self.by_route.len()
    }

    /// Adds a session whose peer is at `path`, found by its Connection ID if it has one, else by the path.
    /// The caller has removed an older one of the same route.
    pub(super) fn insert(
        &mut self,
        path: Path,
        connection_id: Option<ConnectionId>,
        session: T,
    ) -> SessionId {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.used;
            if index as usize == self.pages.len() * PAGE {
                self.pages.push((0..PAGE).map(|_| Slot { generation: 0, row: None }).collect());
            }
            self.used += 1;
            index
        });
        let row = Row { path: PackedPath::of(path), connection_id, session };
        let hash = self.hasher.hash_one(row.route());
        let slot = &mut self.pages[index as usize / PAGE][index as usize % PAGE];
        slot.generation = slot.generation.wrapping_add(1);
        slot.row = Some(row);
        let generation = slot.generation;
        let Self { pages, by_route, hasher, .. } = self;
        by_route.insert_unique(hash, index, |&other| match row_in(pages, other) {
            Some(row) => hasher.hash_one(row.route()),
            None => 0,
        });
        SessionId { shard: self.shard, slot: index, generation }
    }

    /// The session of a route.
    pub(super) fn find(&self, route: &Route) -> Option<SessionId> {
        let hash = self.hasher.hash_one(route);
        let has_route = |&index: &u32| row_in(&self.pages, index).is_some_and(|row| row.has_route(route));
        let index = *self.by_route.find(hash, has_route)?;
        let generation = slot_in(&self.pages, index)?.generation;
        Some(SessionId { shard: self.shard, slot: index, generation })
    }

    /// The session of this id, unless it has ended.
    pub(super) fn at(&mut self, id: SessionId) -> Option<&mut Row<T>> {
        let slot = self.pages.get_mut(id.slot as usize / PAGE)?.get_mut(id.slot as usize % PAGE)?;
        if slot.generation != id.generation || self.shard != id.shard {
            return None;
        }
        slot.row.as_mut()
    }

    /// Removes and returns the session of this id.
    pub(super) fn take(&mut self, id: SessionId) -> Option<Row<T>> {
        let route = self.at(id)?.route();
        let hash = self.hasher.hash_one(route);
        if let Ok(entry) = self.by_route.find_entry(hash, |&other| other == id.slot) {
            entry.remove();
        }
        self.free.push(id.slot);
        self.pages[id.slot as usize / PAGE][id.slot as usize % PAGE].row.take()
    }

    /// The session with the least key among the next few after the hand: an approximation of the oldest, at a
    /// cost that does not grow with the number of sessions.
    pub(super) fn shed_candidate<K: Ord>(&mut self, key: impl Fn(&T) -> K) -> Option<SessionId> {
        const LOOKED_AT: usize = 32;
        let mut best: Option<(K, SessionId)> = None;
        let mut looked_at = 0;
        for _ in 0..self.used {
            let index = self.hand;
            self.hand = if index + 1 >= self.used { 0 } else { index + 1 };
            let Some(Slot { generation, row: Some(row) }) = slot_in(&self.pages, index) else { continue };
            let key = key(&row.session);
            if best.as_ref().is_none_or(|(least, _)| key < *least) {
                best = Some((key, SessionId { shard: self.shard, slot: index, generation: *generation }));
            }
            looked_at += 1;
            if looked_at == LOOKED_AT {
                break;
            }
        }
        best.map(|(_, id)| id)
    }

    /// Number of slots that have ever had a session.
    pub(super) fn slots(&self) -> u32 {
        self.used
    }

    /// The sessions in these slots.
    pub(super) fn ids_in(&self, slots: Range<u32>) -> Vec<SessionId> {
        let slots = slots.start..slots.end.min(self.used);
        let occupied = slots.filter_map(|index| {
            let slot = slot_in(&self.pages, index).filter(|slot| slot.row.is_some())?;
            Some(SessionId { shard: self.shard, slot: index, generation: slot.generation })
        });
        occupied.collect()
    }
}

fn slot_in<T>(pages: &[Box<[Slot<T>]>], index: u32) -> Option<&Slot<T>> {
    pages.get(index as usize / PAGE)?.get(index as usize % PAGE)
}

fn row_in<T>(pages: &[Box<[Slot<T>]>], index: u32) -> Option<&Row<T>> {
    slot_in(pages, index)?.row.as_ref()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Local;

    fn peer(n: u32) -> Path {
        SocketAddr::from(([10, 0, (n >> 16) as u8, 1], n as u16)).into()
    }

    fn connection_id(n: u32) -> ConnectionId {
        ConnectionId::new(&n.to_be_bytes()).expect("four bytes")
    }

    /// A table of numbers, which are found by their path.
    fn table_of(numbers: std::ops::Range<u32>) -> (Table<u32>, Vec<SessionId>) {
        let mut table = Table::new(3);
        let ids = numbers.map(|n| table.insert(peer(n), None, n)).collect();
        (table, ids)
    }

    #[test]
    fn sessions_are_found_by_path_and_a_freed_slot_has_a_new_generation() {
        let (mut table, ids) = table_of(0..5000);
        for (n, id) in (0..).zip(&ids) {
            assert_eq!(table.find(&Route::Peer(peer(n))), Some(*id));
        }
        assert_eq!(table.ids_in(0..6000), ids);
        assert_eq!(table.ids_in(10..20), ids[10..20]);
        let taken = table.take(ids[17]).expect("it is there");
        assert_eq!((taken.path(), taken.session), (peer(17), 17));
        assert!(table.take(ids[17]).is_none());
        assert_eq!(table.find(&Route::Peer(peer(17))), None);
        let again = table.insert(peer(9999), None, 9999);
        assert_eq!(again.slot, ids[17].slot);
        assert_ne!(again.generation, ids[17].generation);
        assert!(table.at(ids[17]).is_none());
        assert!(table.take(ids[17]).is_none(), "the newer session stays");
        assert_eq!(table.at(again).map(|row| row.session), Some(9999));
        assert_eq!(table.len(), 5000);
    }

    #[test]
    fn one_peer_at_two_addresses_of_the_server_has_two_sessions() {
        let mut table = Table::new(0);
        let paths = [1, 2].map(|n| Path { local: Local::of([127, 0, 0, n].into(), 1), ..peer(1) });
        let routes = paths.map(Route::Peer);
        let [first, second] = paths.map(|path| table.insert(path, None, ()));
        assert_eq!(routes.map(|route| table.find(&route)), [Some(first), Some(second)]);
        assert_eq!(table.find(&Route::Peer(peer(1))), None);
        assert_eq!(table.take(first).map(|row| row.path()), Some(paths[0]));
        assert_eq!(routes.map(|route| table.find(&route)), [None, Some(second)]);
    }

    #[test]
    fn a_session_with_a_connection_id_is_found_by_that_alone() {
        let mut table = Table::new(0);
        let has_one = |n: u32| n.is_multiple_of(2);
        let ids: Vec<_> =
            (0..3000).map(|n| table.insert(peer(n), has_one(n).then(|| connection_id(n)), n)).collect();
        for (n, id) in (0..).zip(&ids) {
            let by_id = table.find(&Route::ConnectionId(connection_id(n)));
            let by_path = table.find(&Route::Peer(peer(n)));
            assert_eq!((by_id, by_path), if has_one(n) { (Some(*id), None) } else { (None, Some(*id)) });
        }
        let taken = table.take(ids[14]).expect("it is there");
        assert_eq!((taken.session, taken.route()), (14, Route::ConnectionId(connection_id(14))));
        assert_eq!(table.find(&taken.route()), None);
        assert_eq!(table.find(&Route::ConnectionId(connection_id(16))), Some(ids[16]));
        assert_eq!(table.len(), 2999);
    }

    #[test]
    fn two_peers_that_take_one_path_in_turn_keep_their_sessions_by_connection_id() {
        let mut table = Table::new(0);
        let first = table.insert(peer(1), Some(connection_id(1)), ());
        let second = table.insert(peer(1), Some(connection_id(2)), ());
        assert_eq!(table.find(&Route::Peer(peer(1))), None);
        assert_eq!(table.find(&Route::ConnectionId(connection_id(1))), Some(first));
        assert_eq!(table.find(&Route::ConnectionId(connection_id(2))), Some(second));
    }

    #[test]
    fn an_id_of_another_shard_names_nobody() {
        let (mut table, ids) = table_of(0..1);
        let foreign = SessionId { shard: 4, ..ids[0] };
        assert!(table.at(foreign).is_none() && table.take(foreign).is_none());
        assert!(table.at(ids[0]).is_some());
    }

    #[test]
    fn the_oldest_of_a_small_table_is_shed_first() {
        let (mut table, ids) = table_of(0..20);
        let oldest = table.shed_candidate(|n| (n + 7) % 20);
        assert_eq!(oldest, Some(ids[13]));
    }
}
