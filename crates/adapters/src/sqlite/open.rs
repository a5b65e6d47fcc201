//! Opening a data directory: first everything is checked, and only when all of it is in order is anything
//! changed.

use std::{fs, io, sync::Arc, time::Instant};

use narrowgate_platform::ids::{Position, UnixMillis};
use rusqlite::Connection;

use super::{
    Shared, belonging,
    day::Day,
    error::OpenError,
    files::{Inspected, LOGS, LOGS_SINCE, Layout, MESSAGES, REGISTRY, make_directory, read_as_it_is},
    key::DataKey,
    lock::DataLock,
    migration::migrate,
    options::SqliteOptions,
    place::Places,
    readers::Readers,
    registry::{
        Registry, clock_day, key_check, new_store_id, set_confirmed_arrival, set_files_named, set_key_check,
        set_store_id,
    },
    retention::{Kept, Retention},
    stream,
    volume::Volume,
    writer::Writer,
};

/// Connections for what followers of live events read: one for all who are up to date, and two for those who
/// are not.
const STREAM_READERS: usize = 3;

/// Opens the store in `options.data`, or makes one where there is none. On a full disk, old messages are
/// deleted first; not for an upgrade, which is refused before anything is changed.
pub(super) fn open(options: &SqliteOptions) -> Result<(Arc<Shared>, Writer), OpenError> {
    let mut lost = None;
    loop {
        match try_open(options) {
            Err(OpenError::DiskFull { .. }) if make_room(options, &mut lost) => {}
            Ok((shared, mut writer)) => {
                if let Some(lost) = lost {
                    writer.note_lost(lost);
                }
                return Ok((shared, writer));
            }
            failed => return failed,
        }
    }
}

/// Deletes the oldest file whose time is over; returns whether there was one, and the place of its last
/// message. The last one of each class stays, since it may hold latest values that are nowhere else.
fn make_room(options: &SqliteOptions, lost: &mut Option<Position>) -> bool {
    let layout = Layout { data: options.data.clone() };
    let Ok(volumes) = layout.volumes() else { return false };
    let registry = read_as_it_is(&layout.registry());
    let Ok(kept) = registry.map(|registry| kept(&registry, &volumes, options)) else { return false };
    let is_last =
        |volume: &Volume| !volumes.iter().any(|other| other.class == volume.class && other.day > volume.day);
    let Some(oldest) = volumes.iter().find(|volume| kept.is_over(**volume) && !is_last(volume)) else {
        return false;
    };
    if MESSAGES.check(&layout.volume(*oldest)).is_err() {
        return false;
    }
    let Ok(_lock) = DataLock::take(&layout.data) else { return false };
    *lost = (*lost).max(stream::end_of(&layout.volume(*oldest)).ok().flatten());
    let removed = layout.remove_volume(*oldest);
    match &removed {
        Ok(()) => {
            tracing::info!(file = %oldest, "the disk is full: messages deleted after their retention time");
        }
        Err(error) => {
            tracing::warn!(file = %oldest, %error, "the disk is full, and old messages could not be deleted");
        }
    }
    removed.is_ok()
}

/// What is kept, by the clock that is believed; older messages may have been deleted.
pub(super) fn kept(registry: &Connection, volumes: &[Volume], options: &SqliteOptions) -> Kept {
    let today = Day::of((options.clock)());
    let mut earlier: Vec<Day> = volumes.iter().map(|volume| volume.day).filter(|day| *day < today).collect();
    earlier.dedup();
    let known = clock_day(registry).ok().flatten();
    let now = Instant::now();
    Retention::new(options.classes(), known, now).kept(today, &earlier, now)
}

fn try_open(options: &SqliteOptions) -> Result<(Arc<Shared>, Writer), OpenError> {
    let layout = Layout { data: options.data.clone() };
    let mut lock = if is_new(&layout)? { prepare_new(&layout)? } else { DataLock::take(&layout.data)? };
    // Another process may have made the store just before the lock was ours.
    let key = match is_new(&layout) {
        Ok(true) => make(&layout, options).map(|key| (key, Looked::new(REGISTRY.version))),
        Ok(false) => look(&layout, options),
        Err(error) => Err(error),
    };
    let ready = key.and_then(|(key, looked)| {
        if looked.format != REGISTRY.version {
            migrate(&layout, looked.format)?;
        }
        lock.sign().map(|()| (key, looked))
    });
    let (key, looked) = match ready {
        Ok((key, looked)) => (Arc::new(key), looked),
        Err(error) => {
            lock.undo();
            return Err(error);
        }
    };
    make_directory(&layout.messages())?;
    let former = Arc::default();
    let places = Arc::new(Places::new());
    let registry =
        Registry::open(&layout, options, Arc::clone(&key), Arc::clone(&former), Arc::clone(&places))?;
    if let Some(finding) = looked.index_misfit {
        tracing::error!(finding, "an index does not fit its rows and is made anew");
        registry.make_indexes_anew().map_err(|error| OpenError::Damaged {
            file: layout.registry(),
            reason: format!("{finding}: {error}"),
        })?;
    }
    let readers = [
        Readers::open_with_one_kept(&layout, options, options.readers)?,
        Readers::open(&layout, options, STREAM_READERS)?,
    ];
    let audit = registry.audit_tie().map_err(|error| OpenError::sqlite(&layout.registry(), error))?;
    let tied = (places, Arc::new(audit));
    let shared = Arc::new(Shared::new(options.clone(), layout, key, readers, former, tied));
    let mut writer = Writer::new(Arc::clone(&shared), registry, lock);
    writer.undo_half_batch(&looked.halves)?;
    if let Some(finding) = looked.derived_damage {
        tracing::error!(finding, "the table of latest values is damaged");
        writer.rebuild_latest();
    }
    if let Some(finding) = looked.statistics_damage {
        writer.make_rates_anew(&finding);
    }
    writer.restore()?;
    Ok((shared, writer))
}

/// Whether there is no store yet. Messages or logs without a registry are not a new store: they would be
/// given to other devices.
fn is_new(layout: &Layout) -> Result<bool, OpenError> {
    let registry = layout.registry();
    match fs::metadata(&registry) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io(&registry, "cannot be looked at", error))
        }
        Err(_) if !layout.volumes()?.is_empty() || layout.log().exists() => {
            Err(OpenError::RegistryMissing { file: registry })
        }
        Err(_) => Ok(true),
    }
}

fn prepare_new(layout: &Layout) -> Result<DataLock, OpenError> {
    if !layout.data.exists() {
        make_directory(&layout.data)?;
    }
    DataLock::take(&layout.data)
}

/// A new store: a key, unless one was provided, and an empty registry that knows it. The file of logs is made
/// when the registry is opened.
fn make(layout: &Layout, options: &SqliteOptions) -> Result<DataKey, OpenError> {
    let key = match DataKey::read(&options.data_key) {
        Err(OpenError::KeyMissing { .. }) => DataKey::create(&options.data_key)?,
        read => read?,
    };
    REGISTRY.create(&layout.registry(), |registry| {
        set_key_check(registry, &key.check_value())?;
        set_store_id(registry, &new_store_id()?)?;
        set_confirmed_arrival(registry, UnixMillis(0))?;
        set_files_named(registry)
    })?;
    Ok(key)
}

/// What was found in an existing store, beside what is in order.
struct Looked {
    /// Of the registry.
    format: u32,
    /// An index that does not match its rows.
    index_misfit: Option<String>,
    /// Damage to latest values.
    derived_damage: Option<String>,
    /// … and to counts of minutes.
    statistics_damage: Option<String>,
    /// Message files that have half a batch.
    halves: Vec<Volume>,
}

impl Looked {
    fn new(format: u32) -> Self {
        Self { format, index_misfit: None, derived_damage: None, statistics_damage: None, halves: Vec::new() }
    }
}

/// An existing store: its key, and what was found in its files. Nothing is changed before all of this is in
/// order.
fn look(layout: &Layout, options: &SqliteOptions) -> Result<(DataKey, Looked), OpenError> {
    let file = layout.registry();
    REGISTRY.check(&file)?;
    let key = DataKey::read(&options.data_key)?;
    let Inspected { connection, format, mut index_misfit, derived_damage, statistics_damage } =
        REGISTRY.inspect(&file)?;
    let check = key_check(&connection).map_err(|error| OpenError::sqlite(&file, error))?;
    let Some(check) = check else {
        return Err(OpenError::Damaged {
            file,
            reason: "it does not say which data key it belongs to".to_owned(),
        });
    };
    if !key.is_checked_by(&check) {
        return Err(OpenError::KeyWrong { file: options.data_key.clone() });
    }
    let volumes = layout.volumes()?;
    for volume in &volumes {
        MESSAGES.check(&layout.volume(*volume))?;
    }
    // The files that were written last are those that a crash or a bad disk has most likely hurt.
    let last = volumes.last().map(|volume| volume.day);
    for volume in volumes.iter().filter(|volume| Some(volume.day) == last) {
        MESSAGES.inspect(&layout.volume(*volume))?;
    }
    let log = layout.log();
    if format >= LOGS_SINCE && log.exists() {
        LOGS.check(&log)?;
        index_misfit = index_misfit.or(LOGS.inspect(&log)?.index_misfit);
    }
    let halves = belonging::check(&connection, layout, &volumes, &kept(&connection, &volumes, options))?;
    Ok((key, Looked { format, index_misfit, derived_damage, statistics_damage, halves }))
}
