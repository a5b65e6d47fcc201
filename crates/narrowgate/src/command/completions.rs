//! `completions`: the completion script for a shell.

use clap::CommandFactory as _;

use crate::{cli::Cli, failure::Failure, output};

pub(super) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "narrowgate", &mut script);
    output::exact(String::from_utf8_lossy(&script).trim_end())
}
