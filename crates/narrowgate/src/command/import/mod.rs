//! `device import`: registers the devices of a file, piece by piece, and reports the place of every fault.
//!
//! The file is read as a stream: only one piece and a hash of each key are held in memory. A regular file is
//! read twice, first to check whether it can be imported at all; a pipe is read once. Each piece is durable
//! on its own. An interrupted import is simply run again: devices that exist are skipped. Where all rows are
//! wanted or none, the file is read once more before, and every row is tried.

mod gateway;
mod report;
mod secrets;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read, Seek as _, Write as _},
    path::Path,
};

use narrowgate_api::{import::ImportRow, names::UnixMillis, product::DynamicActivation};
use narrowgate_http::device_file::{Entry, Rows, Unusable};
use narrowgate_platform::ports::Clock as _;

use self::{
    gateway::Gateway,
    report::{Summary, report},
    secrets::SecretsFile,
};
use crate::{
    cli::{ImportArgs, ImportMode, Output},
    client::{Call, IMPORT_ROWS_MAX},
    config::Config,
    failure::{Exit, Failure},
    output,
    system::SystemClock,
};

/// Files with at least this many rows show their progress.
const PROGRESS_FROM: u64 = 5000;

/// Of tags and attributes in one request, but for its last row: beside 500 rows there is room for them.
const PROPERTY_BYTES_MAX: usize = 512 * 1024;

/// Where the rows come from.
enum Source {
    /// A file that can be read twice.
    File(File),
    /// A pipe or another stream.
    Stream(Box<dyn Read>),
}

/// What a file holds, counted before the import begins.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    rows: u64,
    without_secret: u64,
}

/// Where generated secrets go.
enum Generated {
    Into(Box<SecretsFile>),
    /// They are not needed: the product's devices fetch their own, or nothing is created.
    Unused,
    /// They have nowhere to go, so none may be generated.
    Refused,
}

pub(super) fn run(arguments: &ImportArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let named = |failure: Failure| failure.file(arguments.file.display());
    let mut source = open(&arguments.file)?;
    let expected = count(&mut source, arguments).map_err(named)?;
    let mut gateway = Gateway::new(config, expected.is_some());
    let activation = activation(&arguments.product, &mut gateway)?;
    if arguments.mode == ImportMode::All {
        try_all(arguments, &mut source, &mut gateway, output)?;
    }
    let mut generated = prepare(arguments, expected, &activation)?;

    let input: &mut dyn Read = match &mut source {
        Source::File(file) => file,
        Source::Stream(stream) => stream,
    };
    let mut summary = Summary::default();
    let imported = rows_of(input, arguments)
        .map_err(|unusable| named(unusable.into()))
        .and_then(|rows| import(arguments, rows, expected, &mut generated, &mut gateway, &mut summary));
    let closed = gateway.close();
    let finished = match generated {
        Generated::Into(secrets) => {
            secrets.finish(imported.is_err()).map(|unknown| summary.unknown_secrets = unknown)
        }
        Generated::Unused | Generated::Refused => Ok(()),
    };

    let ended = imported.and(closed).and(finished);
    if ended.is_ok() || !summary.is_empty() {
        summary.failed.sort_by_key(|fault| fault.line);
        report(&summary, arguments.dry_run, output)?;
    }
    // After a part was imported the import has failed, even where the cause is bad usage.
    ended.map_err(
        |failure| if summary.is_empty() { failure } else { Failure { exit: Exit::Failed, ..failure } },
    )?;
    let not_imported = match summary.failed.len() {
        0 => return Ok(()),
        1 => "1 row was not imported".to_owned(),
        count => format!("{count} rows were not imported"),
    };
    Err(Failure::failed(not_imported)
        .file(arguments.file.display())
        .hint("correct these lines and import the file again; devices that exist are skipped"))
}

fn open(path: &Path) -> Result<Source, Failure> {
    if path == Path::new("-") {
        return Ok(Source::Stream(Box::new(io::stdin().lock())));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
    match opened {
        Ok((true, file)) if is_workbook(&file) => Err(Failure::failed("cannot read the devices")
            .file(path.display())
            .reason("this is an Excel workbook")
            .hint("save it as CSV, and import that")),
        Ok((true, file)) => Ok(Source::File(file)),
        Ok((false, file)) => Ok(Source::Stream(Box::new(file))),
        Err(error) => Err(Failure::failed("cannot read the devices").file(path.display()).reason(error)),
    }
}

/// Whether a file begins as an .xlsx does: as a ZIP archive.
fn is_workbook(file: &File) -> bool {
    use std::os::unix::fs::FileExt as _;
    let mut first = [0; 4];
    file.read_exact_at(&mut first, 0).is_ok() && first == *b"PK\x03\x04"
}

fn rows_of<R: Read>(input: R, arguments: &ImportArgs) -> Result<Rows<R>, Unusable> {
    Rows::open_as(input, &arguments.product, arguments.format.map(Into::into))
}

/// Tries every row of a file, so that all of them can be imported, or none.
fn try_all(
    arguments: &ImportArgs,
    source: &mut Source,
    gateway: &mut Gateway<'_>,
    output: Output,
) -> Result<(), Failure> {
    let Source::File(file) = source else {
        return Err(Failure::usage("--mode all reads its rows twice")
            .reason("they come from a pipe, which can be read once")
            .hint("save them to a file, or give --mode valid"));
    };
    let named = |failure: Failure| failure.file(arguments.file.display());
    let mut rows = rows_of(&mut *file, arguments).map_err(|unusable| named(unusable.into()))?;
    let mut summary = Summary::default();
    loop {
        let piece = piece(&mut rows, &mut summary).map_err(named)?;
        if piece.is_empty() {
            break;
        }
        summary.add(gateway.call(Call::import_devices(&arguments.product, piece, true))?);
    }
    drop(rows);
    rewind(file)?;
    if summary.failed.is_empty() {
        return Ok(());
    }
    (summary.created, summary.skipped, summary.same_secret) = (0, 0, 0);
    summary.weak_secrets = None;
    summary.failed.sort_by_key(|fault| fault.line);
    report(&summary, arguments.dry_run, output)?;
    Err(Failure::failed("nothing was imported")
        .file(arguments.file.display())
        .reason(format_args!("{} of its rows cannot be imported", summary.failed.len()))
        .hint("correct these lines, or import the others with --mode valid"))
}

fn rewind(file: &mut File) -> Result<(), Failure> {
    file.rewind().map_err(|error| Failure::failed("cannot read the devices").reason(error))
}

/// Reads a file once and counts its rows; `None` for a stream.
fn count(source: &mut Source, arguments: &ImportArgs) -> Result<Option<Expected>, Failure> {
    let Source::File(file) = source else { return Ok(None) };
    let mut expected = Expected::default();
    let mut rows = rows_of(&mut *file, arguments)?;
    while let Some(entry) = rows.next()? {
        if let Entry::Row(row) = entry {
            expected.rows += 1;
            expected.without_secret += u64::from(row.device_secret.is_none());
        }
    }
    drop(rows);
    rewind(file)?;
    Ok(Some(expected))
}

/// Dynamic activation of the product.
fn activation(product_key: &str, gateway: &mut Gateway<'_>) -> Result<DynamicActivation, Failure> {
    let product = gateway.call(Call::show_product(product_key)).map_err(|failure| Failure {
        headline: failure.headline.replace("cannot show the product", "cannot import the devices"),
        ..failure
    })?;
    Ok(product.dynamic_activation)
}

/// Whether devices may now fetch their own secrets.
fn is_on(activation: &DynamicActivation, now: UnixMillis) -> bool {
    activation.enabled && activation.ends_at.is_none_or(|ends_at| now < ends_at)
}

/// Decides where generated secrets go, before anything is imported.
///
/// # Errors
/// Secrets would be generated and have nowhere to go.
fn prepare(
    arguments: &ImportArgs,
    expected: Option<Expected>,
    activation: &DynamicActivation,
) -> Result<Generated, Failure> {
    match &arguments.secrets_out {
        _ if arguments.dry_run => Ok(Generated::Unused),
        Some(path) => {
            let secrets = SecretsFile::open(path, &arguments.product)?;
            if let Some(count) = secrets.earlier() {
                let path = path.display();
                output::note(format_args!(
                    "continuing {path}, left by an interrupted import; secrets in it so far: {count}"
                ));
            }
            Ok(Generated::Into(Box::new(secrets)))
        }
        None if is_on(activation, SystemClock.now()) => Ok(Generated::Unused),
        None => match expected.map_or(0, |expected| expected.without_secret) {
            0 => Ok(Generated::Refused),
            count => Err(no_place(&format!("{} no secret", output::counted_have(count, "device")))),
        },
    }
}

fn no_place(what: &str) -> Failure {
    Failure::usage(what)
        .reason("secrets would be generated, and nobody would see them")
        .hint("give --secrets-out FILE: it is created, with mode 0600")
}

fn import<R: Read>(
    arguments: &ImportArgs,
    mut rows: Rows<R>,
    expected: Option<Expected>,
    generated: &mut Generated,
    gateway: &mut Gateway<'_>,
    summary: &mut Summary,
) -> Result<(), Failure> {
    summary.names_assets = rows.names_assets();
    let (mut done, mut last_line) = (0, 0);
    loop {
        let located = move |failure: Failure| so_far(failure, done, last_line);
        let named = |failure: Failure| located(failure.file(arguments.file.display()));
        let mut piece = piece(&mut rows, summary).map_err(named)?;
        let Some(last) = piece.last() else { break };
        let (count, piece_end) = (piece.len(), last.line);
        match generated {
            Generated::Into(secrets) => secrets.draw(&mut piece).map_err(located)?,
            Generated::Refused => {
                if let Some(row) = piece.iter().find(|row| row.device_secret.is_none()) {
                    return Err(named(no_place(&format!("the device on line {} has no secret", row.line))));
                }
            }
            Generated::Unused => {}
        }
        let call = Call::import_devices(&arguments.product, piece, arguments.dry_run);
        let report = gateway.call(call).map_err(located)?;
        let settled = match generated {
            Generated::Into(secrets) => secrets.settle(&report.generated),
            Generated::Unused | Generated::Refused => {
                summary.unused_secrets += report.generated.len() as u64;
                Ok(())
            }
        };
        summary.add(report);
        (done, last_line) = (done + count as u64, piece_end);
        settled.map_err(|failure| so_far(failure, done, last_line))?;
        progress(done, expected);
    }
    summary.similar = rows.similar().clone();
    Ok(())
}

/// Adds to a failure how far the import came.
fn so_far(failure: Failure, done: u64, last_line: u64) -> Failure {
    match done {
        0 => failure,
        _ => failure.part(
            "done",
            format_args!("rows up to line {last_line} were processed; import the file again for the rest"),
        ),
    }
}

/// The next rows to send; faults go into the summary.
fn piece<R: Read>(rows: &mut Rows<R>, summary: &mut Summary) -> Result<Vec<ImportRow>, Failure> {
    let (mut piece, mut bytes) = (Vec::new(), 0);
    while piece.len() < IMPORT_ROWS_MAX && bytes < PROPERTY_BYTES_MAX {
        match rows.next()? {
            Some(Entry::Row(row)) => {
                bytes += row.properties().map(|(name, value)| name.len() + value.get().len()).sum::<usize>();
                piece.push(row);
            }
            Some(Entry::Fault(fault)) => summary.failed.push(fault),
            None => break,
        }
    }
    Ok(piece)
}

/// Shows the progress. The number of rows in a stream is not known before its end.
fn progress(done: u64, expected: Option<Expected>) {
    let total = expected.map(|expected| expected.rows);
    if total.unwrap_or(done) < PROGRESS_FROM {
        return;
    }
    let is_last = total == Some(done);
    let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
    if io::stderr().is_terminal() {
        let end = if is_last { "\n" } else { "" };
        // Ignored: standard error may be closed.
        let _ = write!(io::stderr().lock(), "\r{done}{of}{end}");
    } else if is_last || done.is_multiple_of(10 * IMPORT_ROWS_MAX as u64) {
        output::note(format_args!("{done}{of}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_fetch_their_secrets_until_dynamic_activation_ends() {
        let fetch = |json: &str, now: i64| is_on(&serde_json::from_str(json).unwrap(), UnixMillis(now));
        let until_7 = r#"{"enabled":true,"endsAt":7,"quotaPerHour":1}"#;
        assert!(fetch(until_7, 6) && !fetch(until_7, 7));
        assert!(fetch(r#"{"enabled":true,"endsAt":null,"quotaPerHour":1}"#, 7));
        assert!(!fetch(r#"{"enabled":false,"endsAt":null,"quotaPerHour":1}"#, 7));
    }
}
