//! The sessions of a shard and whose they are, by slot.

use std::{ops::Range, sync::Arc};

use narrowgate_dtls::CipherSuite;
use narrowgate_engine::event::{SessionId, ShardCommand};
use narrowgate_platform::model::product::Profile;

use crate::{outbox::Outbox, requests::Whose};

/// A session and whose it is.
#[derive(Debug)]
pub(crate) struct Known {
    generation: u32,
    /// Whether a warning about its reports was written down.
    pub(crate) warned: bool,
    /// What the shard was told; at first the default one.
    pub(crate) profile: Profile,
    /// By which it is protected; `None`: it is plain CoAP.
    pub(crate) suite: Option<CipherSuite>,
    /// Whose requests come in it.
    pub(crate) asker: Arc<Whose>,
}

// There is one for each session.
const _: () = assert!(size_of::<Option<Known>>() <= 16);

impl Known {
    /// Tells the shard of a profile that the session does not have yet.
    pub(super) fn set_profile(&mut self, out: &mut Outbox, session: SessionId, profile: Profile) {
        if self.profile == profile {
            return;
        }
        self.profile = profile;
        let profile = match profile {
            Profile::Default => narrowgate_coap::Profile::Default,
            Profile::Nbiot => narrowgate_coap::Profile::Nbiot,
        };
        out.command(session.shard, ShardCommand::SetProfile { session, profile });
    }
}

/// See the module. The shard fills its slots from below, so a list has few holes.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Vec<Option<Known>>);

impl Sessions {
    pub(crate) fn insert(
        &mut self,
        session: SessionId,
        suite: Option<CipherSuite>,
        asker: Arc<Whose>,
    ) -> &mut Known {
        let slot = session.slot as usize;
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || None);
        }
        let (generation, profile) = (session.generation, Profile::Default);
        self.0[slot].insert(Known { generation, warned: false, profile, suite, asker })
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

    /// As [`Self::range`].
    pub(crate) fn range_mut(
        &mut self,
        shard: u16,
        slots: Range<u32>,
    ) -> (u32, impl Iterator<Item = (SessionId, &mut Known)>) {
        let id = move |slot, generation| SessionId { shard, slot, generation };
        let known = self.0.iter_mut().skip(slots.start as usize).take(slots.len());
        let looked_at = known.len() as u32;
        let known = (slots.start..).zip(known).filter_map(|(slot, known)| Some((slot, known.as_mut()?)));
        (looked_at, known.map(move |(slot, known)| (id(slot, known.generation), known)))
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
