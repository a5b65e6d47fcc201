//! What a process knows about itself and its disk: the part of `status` that is not in the store.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use narrowgate_api::{
    fleet::{Disk, Host as Facts, RefusedByStore},
    names::UnixMillis,
};

use crate::serve::BACKUPS;

/// Where the data is, and since when it is served.
pub(crate) struct Host {
    /// When the server started; `None` without a server.
    pub(crate) since: Option<UnixMillis>,
    pub(crate) data: PathBuf,
    /// What a server refuses because the store cannot write.
    pub(crate) refused_by_store: Box<dyn Fn() -> Option<RefusedByStore> + Send + Sync>,
}

impl Host {
    /// Collects the facts anew at each call.
    pub(crate) fn source(self) -> Arc<dyn Fn() -> Facts + Send + Sync> {
        Arc::new(move || Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            refused_by_store: (self.refused_by_store)(),
            disk: Self::disk(&self.data),
        })
    }

    /// Sizes of the files. Files that appear or disappear meanwhile may be missed.
    pub(crate) fn disk(data: &Path) -> Disk {
        disk(data)
    }

    /// Bytes of the files that are the store: what a backup of it takes at most.
    pub(crate) fn store_bytes(data: &Path) -> u64 {
        let is_of_store = |name: &str| {
            let name = name.strip_suffix("-wal").unwrap_or(name);
            ["registry.db", "log.db", "audit.db"].contains(&name)
        };
        let files = files(data).into_iter().filter(|(name, _)| is_of_store(name)).map(|(_, bytes)| bytes);
        let below = ["messages", "firmware"].map(|name| bytes_below(&data.join(name), 1));
        files.chain(below).sum()
    }
}

/// Sizes of the files. Files that appear or disappear meanwhile may be missed.
fn disk(data: &Path) -> Disk {
    let mut disk = Disk {
        registry_bytes: 0,
        logs_bytes: 0,
        messages_bytes: bytes_below(&data.join("messages"), 1),
        backups_bytes: backups(data),
        other_bytes: bytes_below(&data.join("firmware"), 1),
        free_bytes: free(data),
    };
    for (name, bytes) in files(data) {
        if name.starts_with("registry.db") {
            disk.registry_bytes += bytes;
        } else if name.starts_with("log.db") {
            disk.logs_bytes += bytes;
        } else {
            disk.other_bytes += bytes;
        }
    }
    disk
}

/// Bytes of the backups, where they are on the disk of the data.
fn backups(data: &Path) -> u64 {
    let directory = data.join(BACKUPS);
    let disk = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    if disk(&directory) == disk(data) { bytes_below(&directory, 3) } else { 0 }
}

/// Bytes of the files in a directory, and of those so many levels below it. Links are not followed.
fn bytes_below(directory: &Path, levels: u32) -> u64 {
    let own: u64 = files(directory).into_iter().map(|(_, bytes)| bytes).sum();
    if levels <= 1 {
        return own;
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let below = entries.filter(is_directory).map(|entry| bytes_below(&entry.path(), levels - 1));
    own + below.sum::<u64>()
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

/// Bytes that this user can still write there.
pub(crate) fn free(directory: &Path) -> Option<u64> {
    let statistics = nix::sys::statvfs::statvfs(directory).ok()?;
    statistics.blocks_available().checked_mul(statistics.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_each_kind_of_file_are_counted() {
        let data = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| fs::write(data.path().join(name), vec![0; bytes]).unwrap();
        for name in ["messages", "firmware", "backups/20261130T000000Z/messages"] {
            fs::create_dir_all(data.path().join(name)).unwrap();
        }
        for (name, bytes) in [
            ("registry.db", 100),
            ("registry.db-wal", 10),
            ("log.db", 20),
            ("log.db-wal", 5),
            ("data.key", 1),
            ("messages/2026-01-01.db", 1000),
            ("messages/2026-01-02.db-wal", 2000),
            ("audit.db", 7),
            ("firmware/an-image", 50),
            ("backups/20261130T000000Z/registry.db", 10_000),
            ("backups/20261130T000000Z/messages/2026-01-01.db", 20_000),
        ] {
            write(name, bytes);
        }
        let found = disk(data.path());
        assert_eq!((found.registry_bytes, found.logs_bytes, found.messages_bytes), (110, 25, 3000));
        assert_eq!((found.other_bytes, found.backups_bytes), (58, 30_000));
        assert_eq!(Host::store_bytes(data.path()), 110 + 25 + 3000 + 7 + 50);
        assert!(found.free_bytes.is_some_and(|bytes| bytes > 0));
        let nowhere = disk(Path::new("/nowhere"));
        assert_eq!(
            nowhere,
            Disk {
                registry_bytes: 0,
                logs_bytes: 0,
                messages_bytes: 0,
                backups_bytes: 0,
                other_bytes: 0,
                free_bytes: None
            }
        );
    }
}
