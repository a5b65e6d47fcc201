//! `man`: the pages of the manual, one for each command, made of the command line's own help.

use std::path::Path;

use clap::CommandFactory as _;

use crate::{cli::Cli, failure::Failure};

pub(super) fn run(folder: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| {
        Failure::failed("cannot write the pages of the manual").file(folder.display()).cannot_make(
            folder,
            &error,
            "name a directory that exists and that this user may write to",
        )
    })
}
