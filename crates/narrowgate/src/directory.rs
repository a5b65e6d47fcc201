//! The data directory as far as it can be seen: whether it is one, and whether this user may use it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::failure::Failure;

/// Why no store can be in `data`: it does not exist, it is a file, or it holds none.
pub(crate) fn why_no_store(data: &Path) -> &'static str {
    match data.metadata() {
        Ok(data) if !data.is_dir() => "it is not a directory",
        Ok(_) => "the directory holds no registry",
        Err(_) => "there is no such directory",
    }
}

/// Refuses what exists and is no directory, or cannot be looked into.
///
/// # Errors
/// Why it cannot be a data directory.
pub(crate) fn check(data: &Path) -> Result<(), Failure> {
    match fs::metadata(data) {
        Ok(found) if !found.is_dir() => Err(no_directory(data)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(no_directory(data)),
        // Looked up in the directory, so that its own permissions count.
        _ => match fs::symlink_metadata(data.join("narrowgate.toml")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(of_another_user(data)),
            _ => Ok(()),
        },
    }
}

/// What is there belongs to somebody else. Whether a server runs on it is not to be seen.
pub(crate) fn of_another_user(data: &Path) -> Failure {
    let reason = match data.metadata() {
        Ok(data) => format!("permission denied: it belongs to the user with the id {}", data.uid()),
        Err(error) => error.to_string(),
    };
    Failure::failed("cannot use the data directory")
        .file(data.display())
        .reason(reason)
        .hint("run this as that user or as root, or choose another directory with --data")
}

fn no_directory(data: &Path) -> Failure {
    Failure::failed("cannot use the data directory")
        .file(data.display())
        .reason("it is not a directory")
        .hint("name a directory with --data; it is created if it does not exist")
}
