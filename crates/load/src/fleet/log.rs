//! A log of one line for each step, handed to the kernel before the next step.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use crate::LoadError;

/// See the module. Lines survive the end of this process, but not a power cut, which is not tested here.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        OpenOptions::new().append(true).create(true).open(path).map(Self).map_err(LoadError::Log)
    }

    /// Writes a line, without a buffer.
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) -> Result<(), LoadError> {
        self.0.write_all(format!("{text}\n").as_bytes()).map_err(LoadError::Log)
    }
}
