//! `device import`: registers the devices of a file, in pieces, with the place of every fault.
//!
//! The whole file is read and checked first; then rows go to the registry in pieces, each durable on its own. An
//! import that was cut off is simply run again: devices that exist are skipped.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::import_file::{Fault, ImportFile};
use crate::{
    cli::{ImportArgs, Output},
    config::Config,
    control::{Access, IMPORT_ROWS_MAX, ImportRow, Request},
    failure::Failure,
    output::{self, printable},
};

/// Files with more rows show their progress.
const PROGRESS_FROM: usize = 5000;

/// Faults that a person is shown; the rest is counted.
const FAULTS_SHOWN_MAX: usize = 20;

/// What became of a file.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    created: u64,
    skipped: u64,
    failed: Vec<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weak_secrets: Option<WeakSecrets>,
}

/// Secrets that may be guessed offline from one recorded handshake.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WeakSecrets {
    count: u64,
    weakest_bits: u32,
    weakest_line: u64,
}

impl WeakSecrets {
    /// Those of two pieces of a file together.
    fn with(self, other: Self) -> Self {
        let weakest = if other.weakest_bits < self.weakest_bits { other } else { self };
        Self { count: self.count + other.count, ..weakest }
    }
}

/// What became of one piece, as the registry tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    created: u64,
    skipped: u64,
    failed: Vec<Fault>,
    #[serde(default)]
    secrets: Vec<NewSecret>,
    weak_secrets: Option<WeakSecrets>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSecret {
    asset_id: String,
    product_key: String,
    device_key: String,
    device_secret: String,
}

pub(super) fn run(arguments: &ImportArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let file = read(&arguments.file)?;
    let secrets = prepare_secrets(arguments, &file)?;
    let mut access = Access::open(config)?;
    let imported = import(arguments, file, secrets, &mut access);
    let closed = access.close();
    let mut summary = imported?;
    closed?;
    summary.failed.sort_by_key(|fault| fault.line);
    report(&summary, arguments.dry_run, output)?;
    if summary.failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format_args!("not imported: {}", output::counted(summary.failed.len(), "row")))
        .file(arguments.file.display())
        .hint("correct these lines and import the file again: what exists is skipped"))
}

fn read(path: &Path) -> Result<ImportFile, Failure> {
    let parsed = if path == Path::new("-") {
        ImportFile::read(io::stdin().lock())
    } else {
        let file = File::open(path)
            .map_err(|error| Failure::failed("cannot read the devices").file(path.display()).reason(error))?;
        ImportFile::read(file)
    };
    parsed.map_err(|failure| failure.file(path.display()))
}

/// Secrets that will be generated must have a place to go before anything is done.
fn prepare_secrets(arguments: &ImportArgs, file: &ImportFile) -> Result<Option<SecretsFile>, Failure> {
    let without = file.rows.iter().filter(|row| row.device_secret.is_none()).count();
    if arguments.dry_run {
        return Ok(None);
    }
    match &arguments.secrets_out {
        Some(path) => SecretsFile::create(path).map(Some),
        None if without == 0 => Ok(None),
        None => Err(Failure::usage(match without {
            1 => "1 device comes without a secret".to_owned(),
            count => format!("{count} devices come without a secret"),
        })
        .reason("secrets would be generated, and nobody would see them")
        .hint("give --secrets-out FILE: it is created, with mode 0600")),
    }
}

fn import(
    arguments: &ImportArgs,
    file: ImportFile,
    mut secrets: Option<SecretsFile>,
    access: &mut Access,
) -> Result<Summary, Failure> {
    let total = file.rows.len();
    let mut summary = Summary { failed: file.faults, ..Summary::default() };
    let mut rows = file.rows.into_iter();
    let (mut done, mut last_line) = (0, 0);
    loop {
        let piece: Vec<ImportRow> = rows.by_ref().take(IMPORT_ROWS_MAX).collect();
        // An empty file is asked about too: the product may be unknown.
        if piece.is_empty() && done > 0 {
            break;
        }
        let count = piece.len();
        let piece_end = piece.last().map_or(last_line, |row| row.line);
        let product_key = arguments.product.clone();
        let request = Request::ImportDevices { product_key, rows: piece, dry_run: arguments.dry_run };
        let so_far = |failure: Failure| match done {
            0 => failure,
            _ => failure.part(
                "done",
                format_args!("everything up to line {last_line}; import the file again for the rest"),
            ),
        };
        let answer = access.request(request).map_err(so_far)?;
        let piece: Piece = serde_json::from_str(answer.get())
            .map_err(|error| Failure::failed("cannot read the answer").reason(error))?;
        if let Some(secrets) = &mut secrets {
            secrets.append(&piece.secrets)?;
        }
        summary.created += piece.created;
        summary.skipped += piece.skipped;
        summary.failed.extend(piece.failed);
        summary.weak_secrets = match (summary.weak_secrets, piece.weak_secrets) {
            (Some(before), Some(now)) => Some(before.with(now)),
            (before, now) => before.or(now),
        };
        (done, last_line) = (done + count, piece_end);
        progress(done, total);
        if count < IMPORT_ROWS_MAX {
            break;
        }
    }
    Ok(summary)
}

fn progress(done: usize, total: usize) {
    if total < PROGRESS_FROM {
        return;
    }
    if io::stderr().is_terminal() {
        // Where standard error is closed there is nobody left to tell.
        let _ = write!(io::stderr().lock(), "\r{done} of {total}{}", if done == total { "\n" } else { "" });
    } else if done == total || done.is_multiple_of(10 * IMPORT_ROWS_MAX) {
        output::note(format_args!("{done} of {total}"));
    }
}

fn report(summary: &Summary, dry_run: bool, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return output::json(summary);
    }
    if let Some(WeakSecrets { count, weakest_bits, weakest_line }) = summary.weak_secrets {
        let have = if count == 1 { "has" } else { "have" };
        output::note(format_args!(
            "warning: {count} of the secrets {have} fewer than 128 bits and may be guessed offline from one recorded handshake; \
             the weakest, in line {weakest_line}, has about {weakest_bits}"
        ));
    }
    let verb = if dry_run { "would be created" } else { "created" };
    output::line(&format!(
        "{} {verb}, {} skipped, {} failed",
        summary.created,
        summary.skipped,
        summary.failed.len()
    ))?;
    for fault in summary.failed.iter().take(FAULTS_SHOWN_MAX) {
        let column = fault.column.as_ref().map(|column| format!(", {column}")).unwrap_or_default();
        output::line(&format!("  line {}{column}: {}", fault.line, printable(&fault.message)))?;
    }
    match summary.failed.len() {
        0..=FAULTS_SHOWN_MAX => Ok(()),
        count => output::line(&format!("  and {} more; -o json lists all", count - FAULTS_SHOWN_MAX)),
    }
}

/// Where generated secrets go.
struct SecretsFile {
    file: File,
    path: String,
}

impl SecretsFile {
    /// Creates the file for its owner alone; one that exists is not touched.
    fn create(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                let mut secrets = Self { file, path: shown };
                secrets.write("assetId,productKey,deviceKey,deviceSecret\n")?;
                Ok(secrets)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::failed("the file for the secrets exists already")
                    .file(shown)
                    .hint("name another file by --secrets-out: an existing one is never overwritten"))
            }
            Err(error) => {
                Err(Failure::failed("cannot create the file for the secrets").file(shown).reason(error))
            }
        }
    }

    fn append(&mut self, secrets: &[NewSecret]) -> Result<(), Failure> {
        if secrets.is_empty() {
            return Ok(());
        }
        let mut lines = csv::Writer::from_writer(Vec::new());
        for secret in secrets {
            let fields = [&secret.asset_id, &secret.product_key, &secret.device_key, &secret.device_secret];
            lines.write_record(fields).map_err(|error| self.cannot(error))?;
        }
        let lines = lines.into_inner().map_err(|error| self.cannot(error))?;
        self.write(&String::from_utf8_lossy(&lines))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| self.cannot(error))
    }

    fn cannot(&self, error: impl std::fmt::Display) -> Failure {
        Failure::failed("cannot write the secrets")
            .file(&self.path)
            .reason(error)
            .hint("the devices are registered; narrowgate device secret shows what is missing here")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_for_secrets_is_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.csv");
        let mut secrets = SecretsFile::create(&path).unwrap();
        let secret = |key: &str| NewSecret {
            asset_id: "a".into(),
            product_key: "p".into(),
            device_key: key.into(),
            device_secret: "s\"1".into(),
        };
        secrets.append(&[secret("d1"), secret("d2")]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "assetId,productKey,deviceKey,deviceSecret\na,p,d1,\"s\"\"1\"\na,p,d2,\"s\"\"1\"\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretsFile::create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
