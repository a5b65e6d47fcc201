//! The file that takes the place of the file of secrets at the end: beside it, under a name that nobody else
//! has chosen. An import that is interrupted while it writes one leaves it; the next import removes it.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use narrowgate_platform::ports::Entropy as _;

use crate::system::SystemEntropy;

const RANDOM_BYTES: usize = 8;
const END: &str = ".draft";

/// A new name: `.FILE.0123456789abcdef.draft`.
pub(super) fn name(file: &Path) -> PathBuf {
    let mut random = [0; RANDOM_BYTES];
    SystemEntropy.fill(&mut random);
    let mut name = beginning(file);
    name.push(hex::encode(random));
    name.push(END);
    file.with_file_name(name)
}

/// Removes those that imports have left which wrote to this file. It is locked: none is being written.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let beginning = beginning(file);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_draft(&entry.file_name(), &beginning) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn beginning(file: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".");
    name
}

fn is_draft(name: &OsStr, beginning: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(beginning.as_bytes());
    let random = random.and_then(|rest| rest.strip_suffix(END.as_bytes()));
    random.is_some_and(|random| random.len() == 2 * RANDOM_BYTES && random.iter().all(u8::is_ascii_hexdigit))
}
