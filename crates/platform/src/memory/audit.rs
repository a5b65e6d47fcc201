//! The audit log in the process's memory: the reference.

use std::{
    collections::{BTreeMap, VecDeque},
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use narrowgate_api::audit::{AuditEntry, AuditOutcome};

use crate::{
    ports::{AUDIT_READ_MAX, AuditLog, AuditPage, AuditRead, NoteId, PortFuture, StoreError},
    rules::audit::{ChainEnd, Line},
};

/// Entries that are kept: what fits into memory.
const ENTRIES_MAX: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub struct MemoryAudit(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    entries_max: usize,
    lines: VecDeque<Line>,
    begin: ChainEnd,
    end: ChainEnd,
    notes: BTreeMap<NoteId, AuditEntry>,
    last_note: i64,
}

impl Default for MemoryAudit {
    fn default() -> Self {
        Self::with_entries_max(ENTRIES_MAX)
    }
}

impl MemoryAudit {
    /// An empty one that keeps so many entries.
    #[must_use]
    pub fn with_entries_max(entries_max: usize) -> Self {
        let (begin, end) = (ChainEnd::EMPTY, ChainEnd::EMPTY);
        let (lines, notes) = (VecDeque::new(), BTreeMap::new());
        Self(Mutex::new(Kept { entries_max, lines, begin, end, notes, last_note: 0 }))
    }

    /// Does what another process does that opens the log.
    pub fn restart(&self) {
        let mut kept = self.lock();
        for entry in std::mem::take(&mut kept.notes).into_values() {
            kept.append(&AuditEntry { outcome: AuditOutcome::Unknown, ..entry });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn append(&mut self, entry: &AuditEntry) {
        let line = self.end.append(entry);
        self.lines.push_back(line);
        while self.lines.len() > self.entries_max {
            let gone = self.lines.pop_front();
            self.begin = gone.map_or(self.begin, |gone| ChainEnd { count: gone.seq, head: gone.hash });
        }
    }

    fn read(&self, read: AuditRead) -> AuditPage {
        let lines = match read {
            AuditRead::Newest { before } => {
                let is_before = |line: &&Line| before.is_none_or(|before| line.seq < before);
                self.lines.iter().rev().filter(is_before).take(AUDIT_READ_MAX).cloned().collect()
            }
            AuditRead::Behind(seq) => {
                self.lines.iter().filter(|line| line.seq > seq).take(AUDIT_READ_MAX).cloned().collect()
            }
        };
        AuditPage { lines, begin: self.begin, end: self.end, noted: Some(self.end) }
    }
}

impl AuditLog for MemoryAudit {
    fn begin(&self, entry: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        let mut kept = self.lock();
        kept.last_note += 1;
        let note = NoteId(kept.last_note);
        kept.notes.insert(note, entry);
        Box::pin(ready(Ok(note)))
    }

    fn end(&self, note: Option<NoteId>, entry: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        let mut kept = self.lock();
        if let Some(note) = note {
            kept.notes.remove(&note);
        }
        kept.append(&entry);
        Box::pin(ready(Ok(())))
    }

    fn read(&self, read: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        Box::pin(ready(Ok(self.lock().read(read))))
    }
}

#[cfg(test)]
mod conformance {
    use super::*;
    use crate::audit_conformance;

    /// A log that is opened again keeps what it has.
    fn make(entries_max: usize) -> (MemoryAudit, impl Fn(MemoryAudit) -> MemoryAudit) {
        let reopen = |log: MemoryAudit| {
            log.restart();
            log
        };
        (MemoryAudit::with_entries_max(entries_max), reopen)
    }

    audit_conformance!(make);
}
