//! Checks of the data directory: whether it is one, and whether this user may use it.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::failure::Failure;

/// Why there is no store in `data`: it does not exist, is a file, or holds none.
pub(crate) fn why_no_store(data: &Path) -> &'static str {
    match data.metadata() {
        Ok(data) if !data.is_dir() => "it is not a directory",
        Ok(_) => "the directory holds no registry",
        Err(_) => "there is no such directory",
    }
}

/// Refuses a path that is not a directory, or that this user may not read.
///
/// # Errors
/// Why it cannot be the data directory.
pub(crate) fn check(data: &Path) -> Result<(), Failure> {
    match fs::metadata(data) {
        Ok(found) if !found.is_dir() => Err(no_directory(data)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(no_directory(data)),
        // Looks up a file in the directory, because that checks the directory's own permissions.
        _ => match fs::symlink_metadata(data.join("narrowgate.toml")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(of_another_user(data)),
            _ => Ok(()),
        },
    }
}

/// The failure for a directory of another user, in which this user cannot see whether a server runs.
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
