//! The table of established sessions: a slab in pages, and an index from path (peer and local address) to
//! slot.
//!
//! A slot's index and generation together name a session for as long as the process lives. Pages of 1,024 slots
//! are allocated one by one, so that growing never copies a session and never stops the loop. The index holds
//! four bytes per session: the address is compared in the slot itself.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::path::Path;

const PAGE: usize = 1024;

/// What the index needs of a session.
pub trait HasPath {
    /// Where the peer is, and where it is heard.
    fn path(&self) -> Path;
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Sessions by slot and by path.
#[derive(Debug)]
pub struct Table<T> {
    pages: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: u32,
    by_path: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// Where the next search for a session to shed begins.
    hand: u32,
}

impl<T: HasPath> Default for Table<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            used: 0,
            by_path: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            hand: 0,
        }
    }
}

impl<T: HasPath> Table<T> {
    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// Adds a session and returns its slot and generation. The caller has removed an older one of the same
    /// path.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.used;
            if index as usize == self.pages.len() * PAGE {
                self.pages.push((0..PAGE).map(|_| Slot { generation: 0, value: None }).collect());
            }
            self.used += 1;
            index
        });
        let hash = self.hasher.hash_one(value.path());
        let slot = self.slot_mut(index);
        slot.generation = slot.generation.wrapping_add(1);
        let generation = slot.generation;
        slot.value = Some(value);
        let Self { pages, by_path, hasher, .. } = self;
        by_path.insert_unique(hash, index, |&other| match value_in(pages, other) {
            Some(value) => hasher.hash_one(value.path()),
            None => 0,
        });
        (index, generation)
    }

    /// The session of a path.
    pub fn find(&self, path: Path) -> Option<u32> {
        let hash = self.hasher.hash_one(path);
        self.by_path
            .find(hash, |&index| value_in(&self.pages, index).is_some_and(|value| value.path() == path))
            .copied()
    }

    /// The session in a slot.
    pub fn at(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut(index as usize / PAGE)?[index as usize % PAGE].value.as_mut()
    }

    /// The session in a slot, where it is still the one of that generation.
    pub fn at_generation(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let slot = &mut self.pages.get_mut(index as usize / PAGE)?[index as usize % PAGE];
        (slot.generation == generation).then_some(slot.value.as_mut())?
    }

    /// The generation of a slot in use.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let slot = &self.pages.get(index as usize / PAGE)?[index as usize % PAGE];
        slot.value.is_some().then_some(slot.generation)
    }

    /// Removes and returns the session in a slot.
    pub fn take(&mut self, index: u32) -> Option<T> {
        let path = self.at(index)?.path();
        let hash = self.hasher.hash_one(path);
        if let Ok(entry) = self.by_path.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        let value = self.slot_mut(index).value.take();
        self.free.push(index);
        value
    }

    /// The least of `keys` over the next few occupied slots behind the hand: an approximation of the oldest that
    /// costs the same for a million sessions.
    pub fn shed_candidate<K: Ord>(&mut self, key: impl Fn(&T) -> K) -> Option<u32> {
        const LOOKED_AT: usize = 32;
        let mut best: Option<(K, u32)> = None;
        let mut looked_at = 0;
        for _ in 0..self.used {
            let index = self.hand;
            self.hand = if index + 1 >= self.used { 0 } else { index + 1 };
            let Some(value) = self.at(index) else { continue };
            let key = key(value);
            if best.as_ref().is_none_or(|(least, _)| key < *least) {
                best = Some((key, index));
            }
            looked_at += 1;
            if looked_at == LOOKED_AT {
                break;
            }
        }
        best.map(|(_, index)| index)
    }

    /// Slots in use, for a walk that ends the process (draining).
    pub fn indices(&self) -> Vec<u32> {
        (0..self.used).filter(|&index| value_in(&self.pages, index).is_some()).collect()
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}

fn value_in<T>(pages: &[Box<[Slot<T>]>], index: u32) -> Option<&T> {
    pages.get(index as usize / PAGE)?[index as usize % PAGE].value.as_ref()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Local;

    impl HasPath for Path {
        fn path(&self) -> Path {
            *self
        }
    }

    fn peer(n: u32) -> Path {
        SocketAddr::from(([10, 0, (n >> 16) as u8, 1], n as u16)).into()
    }

    #[test]
    fn sessions_are_found_by_path_and_a_freed_slot_has_a_new_generation() {
        let mut table = Table::default();
        let slots: Vec<_> = (0..5000).map(|n| table.insert(peer(n))).collect();
        for n in 0..5000 {
            assert_eq!(table.find(peer(n)), Some(slots[n as usize].0));
        }
        let (index, generation) = slots[17];
        assert_eq!(table.take(index), Some(peer(17)));
        assert_eq!(table.take(index), None);
        assert_eq!(table.find(peer(17)), None);
        let (again, next) = table.insert(peer(9999));
        assert_eq!(again, index);
        assert_ne!(next, generation);
        assert!(table.at_generation(index, generation).is_none());
        assert_eq!(table.len(), 5000);
    }

    #[test]
    fn one_peer_at_two_addresses_of_the_server_has_two_sessions() {
        let mut table = Table::default();
        let paths = [1, 2].map(|n| Path { local: Local::of([127, 0, 0, n].into(), 1), ..peer(1) });
        let [first, second] = paths.map(|path| table.insert(path).0);
        assert_eq!(paths.map(|path| table.find(path)), [Some(first), Some(second)]);
        assert_eq!(table.find(peer(1)), None);
        assert_eq!(table.take(first), Some(paths[0]));
        assert_eq!(paths.map(|path| table.find(path)), [None, Some(second)]);
    }

    #[test]
    fn the_oldest_of_a_small_table_is_shed_first() {
        let mut table = Table::default();
        let slots: Vec<_> = (0..20).map(|n| table.insert(peer(n)).0).collect();
        let oldest = table.shed_candidate(|path| (path.peer.port() + 7) % 20);
        assert_eq!(oldest, Some(slots[13]));
    }
}
