//! Opens the configured store, and explains to the operator why it cannot be opened.

use std::{io::ErrorKind, path::Path, sync::Arc};

use narrowgate_adapters::{
    images::ImageFiles,
    sqlite::{AuditFile, AuditOptions, AuditTie, OpenError, SqliteOptions, SqliteStore},
};
use narrowgate_platform::{
    memory::MemoryStore,
    ports::{Clock as _, Entropy as _, Stores},
    rules::commands::KEPT,
};

use crate::{
    config::{self, Config, Origin, StoreKind},
    failure::Failure,
    system::{SystemClock, SystemEntropy},
};

/// An open store.
pub(crate) struct OpenedStore {
    pub(crate) stores: Stores,
    /// The secret behind the keys of unknown identities. It is stable across restarts if the store is.
    pub(crate) decoy: [u8; 32],
}

/// Why a store was not opened.
pub(crate) enum StoreFailure {
    /// Another process holds it; that may change.
    InUse(Failure),
    Other(Failure),
}

/// Whether the data directory holds a store, or parts of one. An unreadable directory counts too: opening it
/// reports the reason.
pub(crate) fn exists(config: &Config) -> bool {
    ["registry.db", "log.db", "messages"]
        .iter()
        .any(|name| config.data.join(name).try_exists().unwrap_or(true))
}

/// Opens the store. Creates the data directory if it does not exist.
pub(crate) fn open(config: &Config) -> Result<OpenedStore, StoreFailure> {
    match config.store.kind {
        StoreKind::Memory => open_memory(config).map_err(StoreFailure::Other),
        StoreKind::Sqlite => match SqliteStore::open(options(config)) {
            Ok(store) => {
                let mut decoy = [0; 32];
                hex::decode_to_slice(store.decoy_secret().expose(), &mut decoy)
                    .expect("the store derives 32 bytes and writes them in hex");
                let store = Arc::new(store);
                let images = Arc::new(ImageFiles::new(&config.data, store.clone()));
                let audit = open_audit(config, store.audit_tie()).map_err(StoreFailure::Other)?;
                Ok(OpenedStore { stores: Stores { images, audit, ..store.into() }, decoy })
            }
            Err(error @ OpenError::InUse { .. }) => Err(StoreFailure::InUse(explain(config, &error))),
            Err(error) => Err(StoreFailure::Other(explain(config, &error))),
        },
    }
}

/// The audit log beside the store, whose lock this process has.
fn open_audit(config: &Config, tie: Arc<AuditTie>) -> Result<Arc<AuditFile>, Failure> {
    let options = AuditOptions {
        data: config.data.clone(),
        entries_max: config.store.audit_entries,
        clock: || SystemClock.now(),
        tie,
    };
    let opened = AuditFile::new(options).map_err(|error| {
        let failure = Failure::failed("cannot open the audit log").file(config.data.display());
        failure.because(&error, "raise the limit of threads (ulimit -u)")
    });
    opened.map(Arc::new)
}

/// What is wrong with the audit log of a data directory, where something is. It is followed to its end.
pub(crate) fn broken_audit(data: &Path) -> Option<String> {
    match AuditFile::verify(data) {
        Ok(None | Some(Ok(_))) => None,
        Ok(Some(Err(broken))) => Some(broken.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// The options of a store in files.
pub(crate) fn options(config: &Config) -> SqliteOptions {
    SqliteOptions {
        data_key: config.store.data_key_file.clone(),
        cache_bytes: config.store.cache_bytes,
        retention_days: config.store.retention_days,
        retention_classes: config.store.retention_classes.clone(),
        log_days: config.store.log_days,
        command_days: u32::try_from(KEPT.as_secs() / 86_400).ok(),
        device_log_entries_max: config.store.log_entries,
        device_refusals_max: config.store.log_entries / 2,
        device_changes_max: config.store.log_entries / 2,
        presence_changes_max: config.store.log_entries,
        happenings_bytes: config.store.live_events_bytes,
        open_commands_max: config.limits.device_commands,
        clock: || SystemClock.now(),
        ..SqliteOptions::new(&config.data)
    }
}

/// Opens a store in memory. The directory is created because the control socket needs it.
fn open_memory(config: &Config) -> Result<OpenedStore, Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
    made.map_err(|error| {
        Failure::failed("cannot create the data directory").file(config.data.display()).cannot_make(
            &config.data,
            &error,
            "choose another directory with --data",
        )
    })?;
    let mut decoy = [0; 32];
    SystemEntropy.fill(&mut decoy);
    let store = MemoryStore::with_open_commands_max(config.limits.device_commands);
    Ok(OpenedStore { stores: Arc::new(store).into(), decoy })
}

/// The failure for a store that cannot be opened.
pub(crate) fn explain(config: &Config, error: &OpenError) -> Failure {
    let key = config.values.origin(&config::store::DATA_KEY_FILE);
    let place = match error.file() {
        file if file == config.store.data_key_file && *key != Origin::Default => {
            format!("{}   (store.data_key_file, {key})", file.display())
        }
        file => file.display().to_string(),
    };
    let headline = match error {
        OpenError::InUse { .. } => "the data directory is in use",
        _ => "cannot open the store",
    };
    // The file is printed as a part of its own.
    let text = error.to_string();
    let reason = text.strip_prefix(&format!("{}: ", error.file().display())).unwrap_or(&text).to_owned();
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{reason}: {source}"),
        None => reason,
    };
    // Where nothing can be created, another directory helps, not a look at the disk.
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let elsewhere = source.is_some_and(|source| {
        matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::Unsupported)
    });
    let advice = match elsewhere {
        true => "choose another directory with --data".to_owned(),
        false => error.advice(),
    };
    Failure::failed(headline).file(place).reason(reason).hint(advice)
}
