//! `audit …`: what operators changed, its export, and whether its chain is whole.

mod chain;
mod export;

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use narrowgate_api::{
    audit::{AuditEnds, AuditEntry, AuditQuery},
    names::UnixMillis,
};
use narrowgate_platform::rules::audit::ChainEnd;
use serde::Serialize;

use self::chain::{Check, Followed};
use super::pages::{self, Frame, List, Row};
use crate::{
    cli::{AuditCommand, AuditListArgs, AuditVerifyArgs, Output},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout},
};

const COLUMNS: &[Column] = &[
    Column { field: "seq", title: "ENTRY" },
    Column { field: "time", title: "TIME" },
    Column { field: "user", title: "USER" },
    Column { field: "token", title: "TOKEN" },
    Column { field: "address", title: "ADDRESS" },
    Column { field: "action", title: "ACTION" },
    Column { field: "target", title: "TARGET" },
    Column { field: "outcome", title: "OUTCOME" },
    Column { field: "code", title: "CODE" },
];

impl Row for AuditEntry {}

/// What was verified.
#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    ends: AuditEnds,
    /// Entries that were compared.
    entries: u64,
}

pub(super) fn run(command: AuditCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        AuditCommand::List(arguments) => list(arguments, config, output),
        AuditCommand::Export { file } => export::run(&file, config, output),
        AuditCommand::Verify(arguments) => verify(&arguments, config, output),
    }
}

fn list(arguments: AuditListArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let AuditListArgs { from, to, actor, action, target, paging } = arguments;
    let (from, to) = (from.map(UnixMillis), to.map(UnixMillis));
    let query = AuditQuery { from, to, actor, action, target, limit: None, cursor: None };
    let list = List { layout: Layout::Rows(COLUMNS), frame: Frame::Array };
    pages::run(&list, paging.into(), config, output, |limit, cursor| {
        Call::list_audit(&AuditQuery { limit: Some(limit), cursor, ..query.clone() })
    })
}

fn verify(arguments: &AuditVerifyArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let kept = match (&arguments.head, arguments.count) {
        (Some(head), Some(count)) => Some(ChainEnd {
            count,
            head: head
                .parse()
                .map_err(|_| Failure::usage("--head is no hash").reason("it has 64 hexadecimal digits"))?,
        }),
        _ => None,
    };
    let Followed { ends, cut } = match &arguments.file {
        Some(file) => verify_file(file, kept)?,
        None => verify_store(config, kept)?,
    };
    warn_of_cut(cut.as_deref());
    let entries = ends.end.count.saturating_sub(ends.pruned);
    output::print(output, &Verified { ends, entries }, Layout::Record)
}

/// Reads the whole chain of the store. Entries that are added meanwhile are not waited for.
fn verify_store(config: &Config, kept: Option<ChainEnd>) -> Result<Followed, Failure> {
    let mut access = Access::open(config)?;
    let verified = chain::walk(&mut access, (kept, false), |_| Ok(()));
    access.close()?;
    verified
}

fn verify_file(file: &Path, kept: Option<ChainEnd>) -> Result<Followed, Failure> {
    let ends = last_line(file)?;
    let mut check = Check::new(Some(file), &ends, kept)?;
    // All but the last one.
    let mut before: Option<String> = None;
    for line in lines(file)? {
        let line = line.map_err(|error| unreadable(file, &error))?;
        if let Some(line) = before.replace(line) {
            check.take(&line)?;
        }
    }
    check.finish(ends, true)
}

/// The chain is whole, and says itself that entries are missing.
fn warn_of_cut(cut: Option<&str>) {
    if let Some(cut) = cut {
        output::note(format_args!("warning: {cut}"));
    }
}

type Lines = std::io::Lines<BufReader<File>>;

fn lines(file: &Path) -> Result<Lines, Failure> {
    let open = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(BufReader::new(open).lines())
}

/// The ends of the chain, which the last line has.
fn last_line(file: &Path) -> Result<AuditEnds, Failure> {
    let mut last = String::new();
    for line in lines(file)? {
        last = line.map_err(|error| unreadable(file, &error))?;
    }
    serde_json::from_str(&last).map_err(|_| {
        Failure::failed("the audit log is broken")
            .file(file.display())
            .reason("its last line is not the head and the count of an export: it was cut short, or is none")
            .hint("export it again: narrowgate audit export FILE")
    })
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::failed("cannot read the export").file(file.display()).reason(error)
}
