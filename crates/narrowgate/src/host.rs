//! What a process knows about itself and its disk: the part of `status` that is not in the store.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use narrowgate_api::{
    fleet::{Disk, Host as Facts, RefusedByStore},
    names::UnixMillis,
};

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
}

/// Sizes of the files. Files that appear or disappear meanwhile may be missed.
fn disk(data: &Path) -> Disk {
    let mut disk =
        Disk { registry_bytes: 0, logs_bytes: 0, messages_bytes: 0, other_bytes: 0, free_bytes: free(data) };
    for (name, bytes) in files(data) {
        if name.starts_with("registry.db") {
            disk.registry_bytes += bytes;
        } else if name.starts_with("log.db") {
            disk.logs_bytes += bytes;
        } else {
            disk.other_bytes += bytes;
        }
    }
    disk.messages_bytes = files(&data.join("messages")).into_iter().map(|(_, bytes)| bytes).sum();
    disk
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
fn free(directory: &Path) -> Option<u64> {
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
        fs::create_dir(data.path().join("messages")).unwrap();
        for (name, bytes) in [
            ("registry.db", 100),
            ("registry.db-wal", 10),
            ("log.db", 20),
            ("log.db-wal", 5),
            ("data.key", 1),
            ("messages/2026-01-01.db", 1000),
            ("messages/2026-01-02.db-wal", 2000),
        ] {
            write(name, bytes);
        }
        let found = disk(data.path());
        assert_eq!((found.registry_bytes, found.logs_bytes, found.messages_bytes), (110, 25, 3000));
        assert_eq!(found.other_bytes, 1);
        assert!(found.free_bytes.is_some_and(|bytes| bytes > 0));
        let nowhere = disk(Path::new("/nowhere"));
        assert_eq!(
            nowhere,
            Disk { registry_bytes: 0, logs_bytes: 0, messages_bytes: 0, other_bytes: 0, free_bytes: None }
        );
    }
}
