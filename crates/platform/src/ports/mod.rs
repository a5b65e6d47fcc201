//! What the platform needs of the outside: a store, a clock, randomness, and a way to end sessions. Every
//! outside system implements these; one conformance suite (`testing`) runs against all stores.
//!
//! A store is three ports: the data path writes to the [`Journal`], operators read and change the
//! [`Registry`], and both are read through [`History`]. Reads see every committed write.

mod access;
mod audit;
mod changed;
mod error;
mod firmware;
mod history;
mod journal;
mod lookups;
mod registry;
mod replay;
mod scripts;
mod search;
mod sessions;
mod users;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

pub use self::{
    access::{AccessChange, AccessFound, AccessQuery, AccessReads, TOKENS_MAX, UNITS_MAX, UnitChanges},
    audit::{AUDIT_CUT, AUDIT_FOREIGN, AUDIT_READ_MAX, AUDIT_USER, AuditLog, AuditPage, AuditRead, NoteId},
    changed::{Changed, NotEdited, Purged, Switched, UnitChanged},
    error::{Quota, StoreError},
    firmware::{
        Advanced, FirmwareChange, FirmwareFound, FirmwareQuery, FirmwareReads, ImagePiece, ImagePieceWanted,
        Images, NotDeleted, OfferTo, Offered, OfferedUpgrade, PieceTaken, Upload,
    },
    history::{
        BucketQuery, DEVICE_CHANGES_MAX, DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX, EventQuery,
        HappenedPage, History, HistoryPage, HistoryQuery, HistoryReads, Lost, PRESENCE_CHANGES_MAX,
        PresenceChange, Query, UNKNOWN_REFUSALS_MAX, WhyLost,
    },
    journal::{
        Batch, Committed, HOLD_TIME_MAX, Issued, Journal, OnlineDevice, Pause, Recovered, SessionMark,
        UpgradeMoved, Write, Written,
    },
    lookups::{DeviceQuery, FORMER_SECRETS_MAX, SimilarNames},
    registry::{Change, Registry, RegistryChanges},
    replay::{ANSWERS_BYTES_MAX, REQUEST_LIFE_MS, REQUESTS_MAX, ReplayChange, Replays, bytes_of},
    scripts::{
        Caller, Circumstances, FAULT_MESSAGE_BYTES_MAX, Fault, FaultKind, NoScripts, SCRIPT_BYTES_MAX,
        Script, Scripts,
    },
    search::{DeviceOrder, DeviceSearch, DevicesFound, SearchPlace},
    sessions::{LiveSessions, NobodyConnected, RawBody},
    users::{
        Applicant, NoPasswords, NotHashed, Passwords, SESSIONS_OF_USER_MAX, Spares, TakenFor, USERS_MAX,
        UserChange, UserFound, UserQuery, UserReads,
    },
};
use crate::{
    ids::UnixMillis,
    memory::{MemoryAudit, MemoryImages},
};

/// A boxed future, as the methods of object-safe ports return it.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;

    /// A time that goes on as the process does, whatever becomes of the wall clock: by it something is old
    /// that was noted by [`Self::now`]. It may be behind, by the time in which no server ran.
    fn steady(&self) -> UnixMillis {
        self.now()
    }
}

/// A cryptographic random source.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);
}

/// One value that is all three ports of a store.
pub trait Store: Journal + RegistryChanges + HistoryReads {}

impl<S: Journal + Registry + History> Store for S {}

/// The ports of a store, which may be values of their own: a wrapper around one of them leaves the others as
/// they are. Where it is made of a store that is all three, images and the audit log are in memory. Cheap to
/// clone; all copies are one store.
#[derive(Clone)]
pub struct Stores {
    /// Where the data path writes.
    pub journal: Arc<dyn Journal>,
    /// Products and devices.
    pub registry: Arc<dyn Registry>,
    /// What was reported, and what happened.
    pub history: Arc<dyn History>,
    /// The bytes of images of firmware.
    pub images: Arc<dyn Images>,
    /// What operators changed.
    pub audit: Arc<dyn AuditLog>,
}

impl<S: Store> From<Arc<S>> for Stores {
    fn from(store: Arc<S>) -> Self {
        let images = Arc::new(MemoryImages::new(store.clone()));
        let audit = Arc::new(MemoryAudit::default());
        Self { journal: store.clone(), registry: store.clone(), history: store, images, audit }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}
