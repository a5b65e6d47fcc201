//! The port of reading: what devices reported and what happened to them, page by page.

use std::collections::BTreeMap;

use super::{PortFuture, StoreError};
use crate::{
    ids::{DeviceId, UnixMillis},
    model::{
        command::Command,
        device::DeviceState,
        happened::{Happened, StreamPlace},
        log::LogEntry,
        message::{EventValue, PointValue},
    },
    paging::{Page, Part, Place},
    rules::buckets::{Bucket, Bucketing, Crowded, Functions},
};

/// What was reported and what happened. Read by name with [`HistoryReads`].
pub trait History: Send + Sync + 'static {
    /// Reads a page. A device that does not exist has empty lists, except that its reports may be read until
    /// retention removes them.
    fn read(&self, query: Query) -> PortFuture<'_, Result<HistoryPage, StoreError>>;
}

/// What to read.
#[derive(Debug, Clone)]
pub enum Query {
    /// Latest value of every point of a device, by identifier; all of them in one page. Where they are
    /// damaged, those that came since, and the damage: the next reports replace what is damaged.
    PointsLatest {
        /// Whose.
        device: DeviceId,
    },
    /// Values by time, newest first; of equal times the later arrival first.
    PointsHistory {
        /// Whose.
        device: DeviceId,
        /// Which of them.
        query: HistoryQuery,
    },
    /// What the values of a point come to, bucket by bucket, the newest first; at most
    /// [`crate::rules::buckets::BUCKETS_MAX`] of them.
    Buckets {
        /// Whose.
        device: DeviceId,
        /// Which of them.
        query: BucketQuery,
    },
    /// Events by time, in the order of values.
    Events {
        /// Whose.
        device: DeviceId,
        /// Which of them.
        query: EventQuery,
    },
    /// The device's log, newest first: refusals and all other entries, each with its own limit.
    DeviceLog {
        /// Whose.
        device: DeviceId,
        /// Which part.
        part: Part,
    },
    /// Refusals of all, newest first, those of unknown devices included (limited: the oldest are dropped
    /// first).
    Refusals {
        /// Which part.
        part: Part,
    },
    /// Commands of a device that are kept, newest first.
    Commands {
        /// Whose.
        device: DeviceId,
        /// Which part.
        part: Part,
    },
    /// When reports and events of a device arrived, newest first, for looking for a rhythm: one that is
    /// damaged may be left out or have another time. At most `limit`, in one page.
    Arrivals {
        /// Whose.
        device: DeviceId,
        /// At most this many, up to 1000.
        limit: usize,
    },
    /// Changes of presence, newest first.
    Presence {
        /// Whose.
        device: DeviceId,
        /// Which part.
        part: Part,
    },
    /// What happened behind a place, in the order of the commits: reports, events, logins, presence,
    /// refusals, issued secrets, commands, upgrades, and changes of attributes and tags.
    Happened {
        /// Only what comes behind it; `None`: nothing, but where the newest stands.
        after: Option<StreamPlace>,
        /// At most this many, 1 or more.
        limit: usize,
    },
}

/// The page that a [`Query`] asks for.
#[derive(Debug, Clone)]
pub enum HistoryPage {
    /// Of points, latest or by time.
    Points(Page<PointValue>),
    /// Of buckets.
    Buckets(Result<Page<Bucket>, Crowded>),
    /// Of events.
    Events(Page<EventValue>),
    /// Of a log or of refusals.
    Entries(Page<LogEntry>),
    /// Of commands.
    Commands(Page<Command>),
    /// When something arrived.
    Arrivals(Vec<UnixMillis>),
    /// Of changes of presence.
    Presence(Page<PresenceChange>),
    /// Of what happened.
    Happened(HappenedPage),
}

/// A part of what happened.
#[derive(Debug, Clone)]
pub struct HappenedPage {
    /// In their order.
    pub items: Vec<Happened>,
    /// All that happened up to here is among them, or was not behind the place that was asked for: the next
    /// page goes on from here.
    pub upto: StreamPlace,
    /// Nothing is committed behind it yet.
    pub head: StreamPlace,
    /// What is not there any more of what came behind the place that was asked for.
    pub lost: Option<Lost>,
    /// So many that are not as they were stored were left out.
    pub damaged: usize,
}

/// Something that followers can miss: it is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub why: WhyLost,
    /// It was somewhere up to this place.
    pub upto: StreamPlace,
    /// Reports and events may be among it, up to this place.
    pub messages: Option<StreamPlace>,
    /// All else may be, up to this place.
    pub others: Option<StreamPlace>,
    /// All else of these organisation units alone, up to their places; an empty one: of nobody.
    pub of_units: BTreeMap<String, StreamPlace>,
}

impl Lost {
    /// Anything up to a place may be among it.
    pub fn all(why: WhyLost, upto: StreamPlace) -> Self {
        Self { why, upto, messages: Some(upto), others: Some(upto), of_units: BTreeMap::new() }
    }

    /// Up to where something may be gone for one who follows this unit, or all of them, and `messages` or
    /// not; `None`: nothing is.
    pub fn of(&self, unit: Option<&str>, messages: bool) -> Option<StreamPlace> {
        let of_units = match unit {
            Some(unit) => self.of_units.get(unit).copied(),
            None => self.of_units.values().copied().max(),
        };
        self.messages.filter(|_| messages).max(self.others).max(of_units)
    }
}

/// Why something is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyLost {
    /// Its time is over, or there was too much of it.
    Expired,
    /// The store was restored from a backup or copied since, or was put right by hand.
    Restored,
    /// The store has never been so far: the place is another one's.
    Unknown,
}

impl HistoryPage {
    /// A page of points.
    ///
    /// # Panics
    /// Where something else was asked for: a bug of the store.
    pub fn points(self) -> Page<PointValue> {
        match self {
            Self::Points(page) => page,
            other => other.is_wrong("points"),
        }
    }

    /// A page of buckets.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn buckets(self) -> Result<Page<Bucket>, Crowded> {
        match self {
            Self::Buckets(page) => page,
            other => other.is_wrong("buckets"),
        }
    }

    /// A page of events.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn events(self) -> Page<EventValue> {
        match self {
            Self::Events(page) => page,
            other => other.is_wrong("events"),
        }
    }

    /// A page of entries.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn entries(self) -> Page<LogEntry> {
        match self {
            Self::Entries(page) => page,
            other => other.is_wrong("entries"),
        }
    }

    /// When something arrived.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn arrivals(self) -> Vec<UnixMillis> {
        match self {
            Self::Arrivals(arrivals) => arrivals,
            other => other.is_wrong("arrivals"),
        }
    }

    /// A page of changes of presence.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn presence(self) -> Page<PresenceChange> {
        match self {
            Self::Presence(page) => page,
            other => other.is_wrong("changes of presence"),
        }
    }

    /// What happened.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn happened(self) -> HappenedPage {
        match self {
            Self::Happened(page) => page,
            other => other.is_wrong("what happened"),
        }
    }

    /// A page of commands.
    ///
    /// # Panics
    /// Where something else was asked for.
    pub fn commands(self) -> Page<Command> {
        match self {
            Self::Commands(page) => page,
            other => other.is_wrong("commands"),
        }
    }

    fn is_wrong(&self, wanted: &str) -> ! {
        let found = match self {
            Self::Points(_) => "points",
            Self::Buckets(_) => "buckets",
            Self::Events(_) => "events",
            Self::Entries(_) => "entries",
            Self::Commands(_) => "commands",
            Self::Arrivals(_) => "arrivals",
            Self::Presence(_) => "changes of presence",
            Self::Happened(_) => "what happened",
        };
        panic!("the store answers a query for {wanted} with {found}")
    }
}

/// The queries of a [`History`] by name, each with the type of its page.
pub trait HistoryReads: History {
    /// See [`Query::PointsLatest`].
    fn points_latest(&self, device: DeviceId) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        read(self, Query::PointsLatest { device }, HistoryPage::points)
    }

    /// See [`Query::PointsHistory`].
    fn points_history(
        &self,
        device: DeviceId,
        query: HistoryQuery,
    ) -> PortFuture<'_, Result<Page<PointValue>, StoreError>> {
        read(self, Query::PointsHistory { device, query }, HistoryPage::points)
    }

    /// See [`Query::Buckets`].
    fn buckets(
        &self,
        device: DeviceId,
        query: BucketQuery,
    ) -> PortFuture<'_, Result<Result<Page<Bucket>, Crowded>, StoreError>> {
        read(self, Query::Buckets { device, query }, HistoryPage::buckets)
    }

    /// See [`Query::Events`].
    fn events(
        &self,
        device: DeviceId,
        query: EventQuery,
    ) -> PortFuture<'_, Result<Page<EventValue>, StoreError>> {
        read(self, Query::Events { device, query }, HistoryPage::events)
    }

    /// See [`Query::DeviceLog`].
    fn device_log(&self, device: DeviceId, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        read(self, Query::DeviceLog { device, part }, HistoryPage::entries)
    }

    /// See [`Query::Refusals`].
    fn refusals(&self, part: Part) -> PortFuture<'_, Result<Page<LogEntry>, StoreError>> {
        read(self, Query::Refusals { part }, HistoryPage::entries)
    }

    /// See [`Query::Commands`].
    fn commands(&self, device: DeviceId, part: Part) -> PortFuture<'_, Result<Page<Command>, StoreError>> {
        read(self, Query::Commands { device, part }, HistoryPage::commands)
    }

    /// See [`Query::Arrivals`].
    fn arrivals(
        &self,
        device: DeviceId,
        limit: usize,
    ) -> PortFuture<'_, Result<Vec<UnixMillis>, StoreError>> {
        let found = self.read(Query::Arrivals { device, limit });
        Box::pin(async move { found.await.map(HistoryPage::arrivals) })
    }

    /// See [`Query::Happened`].
    fn happened(
        &self,
        after: Option<StreamPlace>,
        limit: usize,
    ) -> PortFuture<'_, Result<HappenedPage, StoreError>> {
        read(self, Query::Happened { after, limit }, HistoryPage::happened)
    }

    /// See [`Query::Presence`].
    fn presence_history(
        &self,
        device: DeviceId,
        part: Part,
    ) -> PortFuture<'_, Result<Page<PresenceChange>, StoreError>> {
        read(self, Query::Presence { device, part }, HistoryPage::presence)
    }
}

impl<H: History + ?Sized> HistoryReads for H {}

fn read<T: 'static>(
    history: &(impl History + ?Sized),
    query: Query,
    page: fn(HistoryPage) -> T,
) -> PortFuture<'_, Result<T, StoreError>> {
    let found = history.read(query);
    Box::pin(async move { found.await.map(page) })
}

/// Which values of a device's history to read; newest first.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Only this point.
    pub point: Option<String>,
    /// From this time on (inclusive).
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    pub to: Option<UnixMillis>,
    /// Only what comes after this place: where the last page ended.
    pub after: Option<Place>,
    /// At most this many values.
    pub limit: usize,
}

/// Which buckets of a point of a device to read; newest first.
#[derive(Debug, Clone)]
pub struct BucketQuery {
    /// The point.
    pub point: String,
    /// Where they begin.
    pub bucketing: Bucketing,
    /// What is asked of each.
    pub functions: Functions,
    /// Values from this time on (inclusive).
    pub from: Option<UnixMillis>,
    /// Values up to this time (exclusive).
    pub to: Option<UnixMillis>,
    /// Only what comes after this place: where the last page ended.
    pub after: Option<Place>,
    /// At most this many.
    pub limit: usize,
}

impl BucketQuery {
    /// The last time that counts; `None`: there is none.
    pub fn last_time(&self) -> Option<UnixMillis> {
        let ends = [self.to.map(|to| to.0), self.after.map(|Place([begins, ..])| begins)];
        let last = ends.into_iter().flatten().min().map_or(Some(i64::MAX), |end| end.checked_sub(1));
        last.map(UnixMillis)
    }
}

/// Which events of a device to read; newest first.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only those with one of these identifiers.
    pub events: Option<Vec<String>>,
    /// From this time on (inclusive).
    pub from: Option<UnixMillis>,
    /// Up to this time (exclusive).
    pub to: Option<UnixMillis>,
    /// Only what comes after this place: where the last page ended.
    pub after: Option<Place>,
    /// At most this many.
    pub limit: usize,
}

/// A change of presence, from the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// When.
    pub at: UnixMillis,
    /// To which state.
    pub state: DeviceState,
    /// Why.
    pub cause: String,
}

/// Entries of a device's log, without refusals and changes by operators, that a store keeps by default; the
/// oldest are dropped first.
pub const DEVICE_LOG_ENTRIES_MAX: usize = 200;
/// Refusals in a device's log that a store keeps by default; the oldest are dropped first. They have a limit
/// of their own: anyone who knows a device's names can cause them, so they must push out nothing else.
pub const DEVICE_REFUSALS_MAX: usize = 100;
/// Commands and changes of attributes and tags by operators, in a device's log, that a store keeps by
/// default; the oldest are dropped first. They have a limit of their own: a program may make many, and they
/// must push out nothing else.
pub const DEVICE_CHANGES_MAX: usize = 100;
/// Refusals of unknown devices that a store keeps by default; the oldest are dropped first.
pub const UNKNOWN_REFUSALS_MAX: usize = 10_000;
/// Changes of presence that a store keeps of each device by default; the oldest are dropped first.
pub const PRESENCE_CHANGES_MAX: usize = 200;
