//! What an operator may choose about the store, with the defaults and the reasons for them.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use narrowgate_platform::{
    ids::UnixMillis,
    model::retention::{CLASSES_MAX, RetentionClass},
    ports::{
        DEVICE_CHANGES_MAX, DEVICE_LOG_ENTRIES_MAX, DEVICE_REFUSALS_MAX, PRESENCE_CHANGES_MAX,
        UNKNOWN_REFUSALS_MAX,
    },
    rules::commands::OPEN_MAX_DEFAULT,
};

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// After an fsync of each commit: survives a power cut. The default, and what the acknowledgement to a
    /// device means.
    #[default]
    Full,
    /// After the write: survives the end of the process, a power cut may take the last seconds.
    Normal,
}

/// Where and how [`super::SqliteStore`] keeps its files.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The data directory; made (0700) where it does not exist.
    pub data: PathBuf,
    /// File with the data key, 64 hexadecimal digits, readable for its owner only; made together with a new
    /// store. On another disk or in a secrets manager's mount, a copy of the data directory alone reveals no
    /// secret.
    pub data_key: PathBuf,
    /// Durability of a commit.
    pub synchronous: Synchronous,
    /// Latest values and times last seen are written at least this often. They can be restored from the
    /// messages, so this bounds only the work at the next start after a crash.
    pub flush_interval: Duration,
    /// … or as soon as this many devices have changed: bounds the memory (some hundred bytes each).
    pub changed_devices_max: usize,
    /// … or their values have grown by this many bytes.
    pub changed_bytes_max: usize,
    /// Batches that may wait for the writer; a further one is refused as `Unavailable` (the device hears
    /// 5.03).
    pub waiting_batches_max: usize,
    /// Writes that are committed together at most: bounds the wait of those who came first.
    pub group_writes_max: usize,
    /// Connections for reading, 1 or more: the number of long reads that run at the same time. There is one
    /// more for what reads a row or two; look-ups of the data path have their own.
    pub readers: usize,
    /// Bytes of pages that the writer keeps of the registry, and as many of the day's message file: an index
    /// is written all over its width. Of the file of logs it keeps a quarter: each device has pages of its
    /// own there. So does a reader of each file that it has open.
    pub cache_bytes: u64,
    /// Message files older than this many days are deleted: at the start, every hour, and before a new day's
    /// first report is stored; `None` keeps all. Where the clock is suddenly more than two days ahead, the
    /// age counts from the last day known before, until the process has run for 24 hours.
    pub retention_days: Option<u32>,
    /// The same for the other classes of retention, each of which has files of its own; at most
    /// [`CLASSES_MAX`] with the standard one. Messages of a class that is not here are kept with those of the
    /// standard class; files of such a class, which an earlier configuration had, are kept.
    pub retention_classes: Vec<(RetentionClass, Option<u32>)>,
    /// The wall clock, for retention alone.
    pub clock: fn() -> UnixMillis,
    /// Entries kept of each device's log, without refusals and changes by operators; the oldest are dropped
    /// first.
    pub device_log_entries_max: usize,
    /// Refusals kept in each device's log; the oldest are dropped first.
    pub device_refusals_max: usize,
    /// Commands and changes of attributes and tags by operators, kept in each device's log; the oldest are
    /// dropped first.
    pub device_changes_max: usize,
    /// Entries kept of refusals that belong to no device; the oldest are dropped first.
    pub unknown_refusals_max: usize,
    /// Presence changes kept of each device; the oldest are dropped first.
    pub presence_changes_max: usize,
    /// What happened beside reports is kept for followers of live events: so much of it in the file of logs,
    /// and a quarter of that in the registry; the oldest are dropped first.
    pub happenings_bytes: u64,
    /// Commands of a device that have not ended; a further one is refused.
    pub open_commands_max: usize,
    /// Log entries and presence changes older than this many days are deleted, within a day; `None` keeps
    /// them. Counted from the last day on which the clock is known to have been right, as the retention is.
    pub log_days: Option<u32>,
    /// Commands that ended more than this many days ago are deleted, as the former; `None` keeps them.
    pub command_days: Option<u32>,
}

/// The system's wall clock.
fn system_clock() -> UnixMillis {
    // A clock before 1970 is one that nobody set.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The part of the writer's cache that the file of logs has.
const LOG_CACHE_PART: u64 = 4;
/// … that a reader has.
const READER_CACHE_PART: u64 = 4;
/// … that a thread for look-ups has: it touches less of the registry, and there are as many as readers.
const LOOKUP_CACHE_PART: u64 = 16;

impl SqliteOptions {
    /// The defaults, in directory `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            data_key: data.join("data.key"),
            data,
            synchronous: Synchronous::Full,
            flush_interval: Duration::from_secs(5),
            changed_devices_max: 50_000,
            changed_bytes_max: 64 << 20,
            waiting_batches_max: 1024,
            group_writes_max: 4096,
            readers: 4,
            cache_bytes: 64 << 20,
            retention_days: None,
            retention_classes: Vec::new(),
            clock: system_clock,
            device_log_entries_max: DEVICE_LOG_ENTRIES_MAX,
            device_refusals_max: DEVICE_REFUSALS_MAX,
            device_changes_max: DEVICE_CHANGES_MAX,
            unknown_refusals_max: UNKNOWN_REFUSALS_MAX,
            presence_changes_max: PRESENCE_CHANGES_MAX,
            happenings_bytes: 256 << 20,
            open_commands_max: OPEN_MAX_DEFAULT,
            log_days: None,
            command_days: None,
        }
    }

    /// All classes of retention, the standard one first.
    pub(super) fn classes(&self) -> Vec<(RetentionClass, Option<u32>)> {
        let others = self.retention_classes.iter().copied().take(CLASSES_MAX - 1);
        std::iter::once((RetentionClass::STANDARD, self.retention_days)).chain(others).collect()
    }

    /// The class with whose messages those of `class` are kept.
    pub(super) fn class_of(&self, class: RetentionClass) -> RetentionClass {
        let mut others = self.retention_classes.iter().take(CLASSES_MAX - 1);
        match others.any(|(known, _)| *known == class) {
            true => class,
            false => RetentionClass::STANDARD,
        }
    }

    /// Bytes of what happened in the file of logs.
    pub(super) fn happenings_kept(&self) -> i64 {
        i64::try_from(self.happenings_bytes).unwrap_or(i64::MAX)
    }

    /// SQLite's `cache_size` for the writer: KiB, negative
    /// (<https://www.sqlite.org/pragma.html#pragma_cache_size>).
    pub(super) fn writer_cache(&self) -> i64 {
        cache_size(self.cache_bytes)
    }

    /// … for the writer of the file of logs.
    pub(super) fn log_cache(&self) -> i64 {
        cache_size(self.cache_bytes / LOG_CACHE_PART)
    }

    /// … for a reader.
    pub(super) fn reader_cache(&self) -> i64 {
        cache_size(self.cache_bytes / READER_CACHE_PART)
    }

    /// … for a thread that makes look-ups.
    pub(super) fn lookup_cache(&self) -> i64 {
        cache_size(self.cache_bytes / LOOKUP_CACHE_PART)
    }
}

fn cache_size(bytes: u64) -> i64 {
    -i64::try_from(bytes >> 10).unwrap_or(i64::MAX).max(1)
}
