//! Going on with files that do not belong together, where a start refuses them and nothing better is left.
//!
//! The registry is brought to a state in which nothing of what the files have is taken for something else:
//! its transactions and its epoch continue beyond all that the files know of, and no device gets an id that
//! they use. What the registry lacks stays lacking: devices that it does not know are not registered, and
//! their reports are not shown.

use std::path::Path;

use rusqlite::Connection;

use super::{
    audit::{OwnDeed, append_own},
    belonging::{self, Facts, Misfit, Origin, Part},
    error::OpenError,
    files::{LOGS, LOGS_SINCE, Layout, MESSAGES, REGISTRY, open_existing},
    key::DataKey,
    lock::DataLock,
    open::kept,
    options::SqliteOptions,
    registry,
};

/// What the audit log says of it.
const ADOPTED: &str = "store.adopt";

/// Most misfits that an entry names.
const MISFITS_MAX: usize = 20;

/// What does not belong together in a data directory, for people; with `apply` it is made to. Nothing of what
/// a start does not refuse is changed.
///
/// # Errors
/// There is more that is wrong than this, or a file is of another store: that one can only be moved away.
pub fn adopt(options: &SqliteOptions, apply: bool) -> Result<Vec<String>, OpenError> {
    let layout = Layout { data: options.data.clone() };
    let file = layout.registry();
    if !file.exists() {
        return Err(OpenError::RegistryMissing { file });
    }
    let lock = DataLock::take(&layout.data)?;
    let adopted = adopt_locked(&layout, options, apply);
    lock.undo();
    adopted
}

fn adopt_locked(layout: &Layout, options: &SqliteOptions, apply: bool) -> Result<Vec<String>, OpenError> {
    let file = layout.registry();
    let sqlite = |error| OpenError::sqlite(&file, error);
    REGISTRY.check(&file)?;
    let key = DataKey::read(&options.data_key)?;
    let inspected = REGISTRY.inspect(&file)?;
    let check = registry::key_check(&inspected.connection).map_err(sqlite)?;
    if !check.is_some_and(|check| key.is_checked_by(&check)) {
        return Err(OpenError::KeyWrong { file: options.data_key.clone() });
    }
    let volumes = layout.volumes()?;
    volumes.iter().try_for_each(|volume| MESSAGES.check(&layout.volume(*volume)))?;
    if inspected.format >= LOGS_SINCE && layout.log().exists() {
        LOGS.check(&layout.log())?;
    }
    let kept = kept(&inspected.connection, &volumes, options);
    let (known, facts) = belonging::read(&inspected.connection, layout, &volumes)?;
    drop(inspected);
    let misfits = known.misfits(&facts, &kept);
    if let Some(Misfit::OfAnotherStore(part)) =
        misfits.iter().find(|misfit| matches!(misfit, Misfit::OfAnotherStore(_)))
    {
        return Err(OpenError::OfAnotherStore { file: part.file(layout) });
    }
    if apply && !misfits.is_empty() {
        let registry = open_existing(&file).map_err(sqlite)?;
        mend(&registry, layout, &facts, &misfits, options)?;
        note_adopted(layout, options, &misfits);
    }
    Ok(misfits.iter().map(Misfit::words).collect())
}

/// The audit log says it. Where that cannot be written, the files are adopted all the same: a start needs
/// them.
fn note_adopted(layout: &Layout, options: &SqliteOptions, misfits: &[Misfit]) {
    let fields = misfits.iter().take(MISFITS_MAX).zip(1..);
    let detail = fields.map(|(misfit, n)| (n.to_string(), misfit.words())).collect();
    let (data, clock) = (&*layout.data, options.clock);
    let deed = OwnDeed { data, action: ADOPTED, clock, detail, store_id: None };
    if let Err(error) = append_own(deed) {
        tracing::error!(%error, "the audit log cannot be written");
    }
}

/// Makes the registry fit the files.
fn mend(
    registry: &Connection,
    layout: &Layout,
    facts: &[(Part, Facts)],
    misfits: &[Misfit],
    options: &SqliteOptions,
) -> Result<(), OpenError> {
    let file = layout.registry();
    let device = last_device(layout, facts)?;
    let mended = || -> rusqlite::Result<Origin> {
        registry.pragma_update(None, "synchronous", "full")?;
        let transaction = registry.unchecked_transaction()?;
        let batch = facts.iter().map(|(_, facts)| facts.batch.abs()).max().unwrap_or(0);
        registry::raise_batch(&transaction, batch)?;
        let known = facts.iter().filter_map(|(_, facts)| Some(facts.origin.as_ref()?.epoch)).max();
        let seconds = (options.clock)().0.div_euclid(1000);
        let clock = u64::try_from(seconds).unwrap_or(0).max(known.unwrap_or(0));
        let epoch = registry::leap_epoch(&transaction, clock, registry::random()?)?;
        transaction
            .execute("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'devices'", [device])?;
        transaction.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'devices', ?1 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'devices')",
            [device],
        )?;
        registry::forget_newest(&transaction)?;
        for misfit in misfits {
            match misfit {
                Misfit::Missing(Part::Messages(volume)) | Misfit::Older { volume, .. } => {
                    registry::forget_mark(&transaction, *volume)?;
                }
                Misfit::Missing(Part::Logs) | Misfit::LogsOlder { .. } => {
                    registry::forget_log_batch(&transaction)?;
                }
                _ => {}
            }
        }
        let store_id = match registry::store_id(&transaction)? {
            Some(id) => id,
            None => {
                let of_files = facts.iter().find_map(|(_, facts)| Some(facts.origin.clone()?.store_id));
                let id = of_files.map_or_else(registry::new_store_id, Ok)?;
                registry::set_store_id(&transaction, &id)?;
                id
            }
        };
        transaction.commit()?;
        Ok(Origin { store_id, epoch })
    };
    let origin = mended().map_err(|error| OpenError::sqlite(&file, error))?;
    for misfit in misfits {
        if let Misfit::OfNoStore(part) = misfit {
            let file = part.file(layout);
            let named = open_existing(&file).and_then(|file| origin.write(&file));
            named.map_err(|error| OpenError::sqlite(&file, error))?;
        }
    }
    Ok(())
}

/// The greatest id of a device that has sent something, or has a log.
fn last_device(layout: &Layout, facts: &[(Part, Facts)]) -> Result<i64, OpenError> {
    let mut last = 0;
    for (part, _) in facts {
        let file = part.file(layout);
        let sql = match part {
            Part::Logs => "SELECT coalesce(max(device), 0) FROM log",
            Part::Messages(_) => "SELECT coalesce(max(device), 0) FROM messages",
        };
        let greatest = |file: &Path| -> rusqlite::Result<i64> {
            super::files::open_to_look(file)?.query_row(sql, [], |row| row.get(0))
        };
        last = last.max(greatest(&file).map_err(|error| OpenError::sqlite(&file, error))?);
    }
    Ok(last)
}
