//! The sessions of a shard and whose they are, by slot.

use std::ops::Range;

use narrowgate_engine::event::SessionId;

use crate::requests::Asker;

/// A session and whose it is.
#[derive(Debug)]
pub(crate) struct Known {
    generation: u32,
    /// Whether a warning about its reports was written down.
    pub(crate) warned: bool,
    /// Whose requests come in it.
    pub(crate) asker: Asker,
}

/// See the module. The shard fills its slots from below, so a list has few holes.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Vec<Option<Known>>);

impl Sessions {
    pub(crate) fn insert(&mut self, session: SessionId, asker: Asker) {
        let slot = session.slot as usize;
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot] = Some(Known { generation: session.generation, warned: false, asker });
    }

    pub(crate) fn find(&self, session: SessionId) -> Option<&Known> {
        let known = self.0.get(session.slot as usize)?.as_ref();
        known.filter(|known| known.generation == session.generation)
    }

    pub(crate) fn find_mut(&mut self, session: SessionId) -> Option<&mut Known> {
        let known = self.0.get_mut(session.slot as usize)?.as_mut();
        known.filter(|known| known.generation == session.generation)
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Known> {
        let slot = self.0.get_mut(session.slot as usize)?;
        slot.take_if(|known| known.generation == session.generation)
    }

    /// Those in these slots, by slot, and how many of the slots there are.
    pub(crate) fn range(
        &self,
        shard: u16,
        slots: Range<u32>,
    ) -> (u32, impl Iterator<Item = (SessionId, &Known)>) {
        let id = move |slot, generation| SessionId { shard, slot, generation };
        let known = self.0.iter().skip(slots.start as usize).take(slots.len());
        let looked_at = known.len() as u32;
        let known = (slots.start..).zip(known).filter_map(|(slot, known)| Some((slot, known.as_ref()?)));
        (looked_at, known.map(move |(slot, known)| (id(slot, known.generation), known)))
    }
}
