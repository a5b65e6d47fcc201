//! `audit export`.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{
    chain::{self, Followed},
    warn_of_cut,
};
use crate::{
    cli::Output,
    client::Access,
    config::Config,
    failure::Failure,
    output::{self, Layout},
};

/// Writes the whole chain. One that is broken is written too, as it is, without its last line.
pub(super) fn run(file: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let mut access = Access::open(config)?;
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let new = new.map_err(|error| cannot_write(file, &error));
    let written = new.and_then(|new| {
        let mut out = BufWriter::new(new);
        let each = |line: &str| writeln!(out, "{line}").map_err(|error| cannot_write(file, &error));
        let Followed { ends, cut } = chain::walk(&mut access, (None, true), each)?;
        warn_of_cut(cut.as_deref());
        let ended = writeln!(out, "{}", output::written(&ends)?).and_then(|()| out.flush());
        let ended = ended.and_then(|()| out.get_ref().sync_all());
        ended.map_err(|error| cannot_write(file, &error)).map(|()| ends)
    });
    access.close()?;
    output::print(output, &written?, Layout::Record)
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    let failure = Failure::failed("cannot write the export").file(file.display()).reason(error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => failure.hint("name a file that does not exist yet"),
        _ => failure.hint("check the folder and its free space"),
    }
}
