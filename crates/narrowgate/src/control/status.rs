//! `status`: the fleet in numbers, and what the server and its disk say. All of it is of bounded size, and
//! costs one look at each device.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use narrowgate_gateway::RefusedByStore;
use narrowgate_platform::{
    ids::UnixMillis,
    ports::StoreError,
    service::{Operator, ServiceError, fleet::FleetView},
};
use serde::Serialize;

use super::execute::{Outcome, done, failed};
use crate::failure::Failure;

/// Where the registry is, and who serves it.
pub(crate) struct Host {
    /// When the server started; `None` where none runs.
    pub(crate) since: Option<UnixMillis>,
    pub(crate) data: PathBuf,
    /// What a server refuses because the store cannot write.
    pub(crate) refused_by_store: Box<dyn Fn() -> Option<RefusedByStore> + Send + Sync>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: &'static str,
    since: Option<UnixMillis>,
    /// Left out where the store cannot count them now.
    #[serde(flatten)]
    fleet: Option<FleetView>,
    /// Why it cannot.
    unreadable: Option<String>,
    /// Null where all is written.
    refused_by_store: Option<RefusedByStore>,
    disk: Disk,
}

/// Bytes in the data directory, and how many its file system has left; null where it does not say.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    registry_bytes: u64,
    messages_bytes: u64,
    other_bytes: u64,
    free_bytes: Option<u64>,
}

/// Puts it together.
///
/// # Errors
/// The store is damaged.
pub(super) async fn collect(registry: &Operator, host: &Host) -> Result<Outcome, Failure> {
    put_together(registry.overview().await, host)
}

/// A store that cannot work now, as on a full disk, hinders only what it would have counted.
fn put_together(counted: Result<FleetView, ServiceError>, host: &Host) -> Result<Outcome, Failure> {
    let (fleet, unreadable) = match counted {
        Ok(fleet) => (Some(fleet), None),
        Err(ServiceError::Store(StoreError::Unavailable(reason))) => (None, Some(reason)),
        Err(error) => return Err(failed("cannot count the devices")(error)),
    };
    done(&Status {
        version: env!("CARGO_PKG_VERSION"),
        since: host.since,
        fleet,
        unreadable,
        refused_by_store: (host.refused_by_store)(),
        disk: Disk::of(&host.data),
    })
}

impl Disk {
    /// Files that come and go meanwhile are counted or not.
    fn of(data: &Path) -> Self {
        let mut disk = Self { registry_bytes: 0, messages_bytes: 0, other_bytes: 0, free_bytes: free(data) };
        for (name, bytes) in files(data) {
            if name.starts_with("registry.db") {
                disk.registry_bytes += bytes;
            } else {
                disk.other_bytes += bytes;
            }
        }
        disk.messages_bytes = files(&data.join("messages")).into_iter().map(|(_, bytes)| bytes).sum();
        disk
    }
}

/// Names and sizes of the files in a directory.
fn files(directory: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| -> io::Result<Option<(String, u64)>> {
        let metadata = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok(metadata.is_file().then_some((name, metadata.len())))
    };
    entries.filter_map(|entry| file(entry).ok().flatten()).collect()
}

/// Bytes that this user may still write there.
fn free(directory: &Path) -> Option<u64> {
    let statistics = nix::sys::statvfs::statvfs(directory).ok()?;
    statistics.blocks_available().checked_mul(statistics.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_work_now_leaves_the_rest_of_the_answer() {
        let host = |data: &Path| Host {
            since: Some(UnixMillis(7)),
            data: data.to_owned(),
            refused_by_store: Box::new(|| None),
        };
        let data = tempfile::tempdir().unwrap();
        let full = ServiceError::Store(StoreError::Unavailable("the disk is full".into()));
        let answer = put_together(Err(full), &host(data.path())).unwrap().answer;
        let answer: serde_json::Value = serde_json::from_str(answer.get()).unwrap();
        assert_eq!((&answer["unreadable"], &answer["since"]), (&"the disk is full".into(), &7.into()));
        assert!(answer["disk"]["freeBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{answer}");
        let damaged = ServiceError::Store(StoreError::Damaged("a page".into()));
        assert!(put_together(Err(damaged), &host(data.path())).is_err());
    }

    #[test]
    fn the_bytes_of_each_kind_of_file_are_counted() {
        let data = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| fs::write(data.path().join(name), vec![0; bytes]).unwrap();
        fs::create_dir(data.path().join("messages")).unwrap();
        for (name, bytes) in [
            ("registry.db", 100),
            ("registry.db-wal", 10),
            ("data.key", 1),
            ("messages/2026-01-01.db", 1000),
            ("messages/2026-01-02.db-wal", 2000),
        ] {
            write(name, bytes);
        }
        let disk = Disk::of(data.path());
        assert_eq!((disk.registry_bytes, disk.messages_bytes, disk.other_bytes), (110, 3000, 1));
        assert!(disk.free_bytes.is_some_and(|bytes| bytes > 0));
        let nowhere = Disk::of(Path::new("/nowhere"));
        assert_eq!(nowhere, Disk { registry_bytes: 0, messages_bytes: 0, other_bytes: 0, free_bytes: None });
    }
}
