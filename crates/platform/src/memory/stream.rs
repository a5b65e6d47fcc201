//! What happened, in the order of the commits: for followers of live events. The newest
//! [`HAPPENINGS_MAX`] are kept, or as many as have [`BYTES_MAX`].

use std::collections::VecDeque;

use super::model::Model;
use crate::{
    ids::{DeviceId, Position},
    model::happened::{Happened, Happening, StreamPlace},
    ports::{HappenedPage, Lost, WhyLost},
};

/// The oldest are dropped first.
const HAPPENINGS_MAX: usize = 50_000;
/// Of what devices said in them.
const BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    kept: VecDeque<(usize, Happened)>,
    bytes: usize,
    /// Where the next one stands.
    next: StreamPlace,
    /// The last one that was dropped.
    dropped: Option<StreamPlace>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0, next: StreamPlace::START, dropped: None }
    }
}

impl Stream {
    /// Something is written at this place: what happens from here on has it.
    pub(super) fn begin(&mut self, position: Position) {
        self.next = StreamPlace::first(position);
    }

    pub(super) fn add(&mut self, device: Option<DeviceId>, happening: Happening) {
        let bytes = said(&happening);
        self.bytes += bytes;
        self.kept.push_back((bytes, Happened { place: self.next, device, happening }));
        self.next.part = self.next.part.saturating_add(1);
        while self.kept.len() > HAPPENINGS_MAX || self.bytes > BYTES_MAX {
            let Some((bytes, dropped)) = self.kept.pop_front() else { break };
            self.bytes -= bytes;
            self.dropped = Some(dropped.place);
        }
    }

    /// A device is purged: nothing is told of it any more.
    pub(super) fn forget(&mut self, device: DeviceId) {
        self.kept.retain(|(_, happened)| happened.device != Some(device));
        self.bytes = self.kept.iter().map(|(bytes, _)| bytes).sum();
    }

    fn page(&self, after: StreamPlace, head: StreamPlace, limit: usize) -> HappenedPage {
        if after > head {
            let lost = Some(Lost::all(WhyLost::Unknown, head));
            return HappenedPage { items: Vec::new(), upto: head, head, lost, damaged: 0 };
        }
        let first = self.kept.partition_point(|(_, happened)| happened.place <= after);
        let behind = self.kept.len() - first;
        let items = self.kept.iter().skip(first).take(limit.max(1)).map(|(_, happened)| happened.clone());
        let items: Vec<Happened> = items.collect();
        let upto = match items.last() {
            Some(last) if items.len() < behind => last.place,
            _ => head,
        };
        let lost =
            self.dropped.filter(|dropped| after < *dropped).map(|upto| Lost::all(WhyLost::Expired, upto));
        HappenedPage { items, upto, head, lost, damaged: 0 }
    }
}

impl Model {
    pub(super) fn tell(&mut self, device: DeviceId, happening: Happening) {
        self.stream.add(Some(device), happening);
    }

    /// See [`crate::ports::Query::Happened`].
    pub(super) fn happened(&self, after: Option<StreamPlace>, limit: usize) -> HappenedPage {
        let head = StreamPlace::last(self.position());
        match after {
            Some(after) => self.stream.page(after, head, limit),
            None => HappenedPage { items: Vec::new(), upto: head, head, lost: None, damaged: 0 },
        }
    }
}

/// The bytes of what a device said.
fn said(happening: &Happening) -> usize {
    let said = match happening {
        Happening::Report(report) => report.points.as_ref(),
        Happening::Event(event) => event.output.as_ref(),
        Happening::Attributes(edit) | Happening::Tags(edit) => edit.set.as_ref(),
        Happening::Command(command) => command.data.as_ref(),
        _ => None,
    };
    said.map_or(0, |said| said.get().len())
}
