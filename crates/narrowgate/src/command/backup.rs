//! `backup` and `restore`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use narrowgate_adapters::sqlite::{
    OpenError,
    backup::{Alone, BackupError, BackupOptions, Copied, Lacking, Quiet, RestoreOptions, restore, take},
};
use narrowgate_platform::ports::Clock as _;
use serde::Serialize;

use super::status::bytes;
use crate::{
    cli::{BackupArgs, Output, RestoreArgs},
    client::{Call, Client, LOCK_WAIT_MAX, LOCK_WAIT_STEP},
    config::{Config, StoreKind},
    directory,
    failure::{Exit, Failure},
    output::{self, Layout},
    store,
    system::SystemClock,
};

/// Time between two notes of how far it is, where no terminal shows them.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// … and where one does.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// What was done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    files: usize,
    bytes: u64,
    batch: i64,
    /// Images of firmware whose files are missing or damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images_without_file: Vec<String>,
    /// Why the audit log was left out, where it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_log_damaged: Option<String>,
}

/// `narrowgate backup DIR`.
pub(super) fn back_up(arguments: &BackupArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let headline = "cannot back up the store";
    directory::check(&config.data)?;
    if config.store.kind == StoreKind::Memory {
        return Err(Failure::failed(headline)
            .file(config.data.display())
            .reason("store.kind is memory: nothing of it is in files")
            .hint("choose store.kind = \"sqlite\""));
    }
    let options = BackupOptions {
        data: config.data.clone(),
        data_key: config.store.data_key_file.clone(),
        target: arguments.directory.clone(),
        with_key: !arguments.without_key,
        clock: || SystemClock.now(),
    };
    let mut quiet = quiet(config)?;
    let mut progress = Progress::new("backed up");
    let taken = take(&options, &mut *quiet, &mut |done, all| progress.show(done, all));
    progress.end();
    let taken = taken.map_err(|error| failure(headline, config, &error))?;
    show(&taken, output)?;
    if !arguments.without_key {
        let key = arguments.directory.join("data.key");
        output::note(format_args!(
            "{} is in it: who has this backup can read every secret; --without-key leaves the key out",
            key.display()
        ));
    }
    // Nothing is acknowledged before what was printed: only now the server continues.
    drop(quiet);
    if let Some(damage) = &taken.audit_damage {
        let failure = Failure::failed("the audit log is damaged and not backed up; everything else is")
            .file(config.data.join("audit.db").display())
            .reason(damage);
        let failure = taken.lacking.iter().fold(failure, name_lacking);
        return Err(failure.hint("move audit.db away and keep it: the log begins anew, and says so"));
    }
    match &*taken.lacking {
        [] => Ok(()),
        lacking => Err(incomplete(lacking)),
    }
}

/// There is a backup, and some images of firmware are not whole in it.
fn incomplete(lacking: &[Lacking]) -> Failure {
    let images = if lacking.len() == 1 { "image of firmware has" } else { "images of firmware have" };
    let headline = format!("{} {images} no whole file; everything else is backed up", lacking.len());
    let named = lacking.iter().fold(Failure::failed(headline), name_lacking);
    named.hint(
        "upload the same files again (narrowgate firmware upload FILE --product PK --version V) and back up \
         again; or delete the images",
    )
}

fn name_lacking(failure: Failure, lacking: &Lacking) -> Failure {
    let Lacking { image, product_key, version, reason } = lacking;
    failure.part("image", format_args!("{image} (version {version} of {product_key}): {reason}"))
}

/// `narrowgate restore BACKUP`.
pub(super) fn bring_back(arguments: &RestoreArgs, config: &Config, output: Output) -> Result<(), Failure> {
    directory::check(&config.data)?;
    let options = RestoreOptions {
        backup: arguments.backup.clone(),
        data: config.data.clone(),
        data_key: config.store.data_key_file.clone(),
        key: arguments.key.clone(),
        clock: || SystemClock.now(),
    };
    let mut progress = Progress::new("restored");
    let restored = restore(&options, &mut |done, all| progress.show(done, all));
    progress.end();
    let restored = restored.map_err(|error| failure("cannot restore the backup", config, &error))?;
    show(&restored, output)?;
    if let Some(what) = store::broken_audit(&config.data) {
        output::note(format_args!("warning: the audit log of this backup is broken: {what}"));
    }
    let data = config.data.display();
    output::note(format_args!(
        "start it: narrowgate serve --data {data}; and do not start the original again"
    ));
    Ok(())
}

fn show(copied: &Copied, output: Output) -> Result<(), Failure> {
    let Copied { files, bytes, batch, ref lacking, ref audit_damage } = *copied;
    let images_without_file = lacking.iter().map(|lacking| lacking.image.clone()).collect();
    let audit_log_damaged = audit_damage.clone();
    let done = Done { files, bytes, batch, images_without_file, audit_log_damaged };
    output::print(output, &done, Layout::Record)
}

/// Who stops the one who writes: the running server, or nobody, as long as this process has the lock.
fn quiet(config: &Config) -> Result<Box<dyn Quiet>, Failure> {
    let ends = Instant::now() + LOCK_WAIT_MAX;
    loop {
        if Client::connect(&config.data)?.is_some() {
            return Ok(Box::new(Server { data: config.data.clone(), client: None }));
        }
        if !store::exists(config) {
            return Err(Failure::failed("cannot back up the store")
                .file(config.data.display())
                .reason(directory::why_no_store(&config.data))
                .hint("check --data and NARROWGATE_DATA"));
        }
        match Alone::take(&config.data) {
            Ok(alone) => return Ok(Box::new(alone)),
            // Another command, or a server that starts or stops.
            Err(OpenError::InUse { .. }) if Instant::now() < ends => thread::sleep(LOCK_WAIT_STEP),
            Err(error) => return Err(failure("cannot back up the store", config, &error.into())),
        }
    }
}

/// A running server, which stops writing while it is asked to.
struct Server {
    data: PathBuf,
    client: Option<Client>,
}

impl Quiet for Server {
    fn hold(&mut self) -> Result<(), String> {
        let client = Client::connect(&self.data).map_err(|failure| in_words(&failure))?;
        let mut client = client.ok_or("it has ended")?;
        client.listen(Call::hold_writes()).map_err(|failure| in_words(&failure))?;
        self.client = Some(client);
        Ok(())
    }

    fn is_held(&mut self) -> bool {
        self.client.as_mut().is_some_and(|client| !client.has_ended())
    }

    fn release(&mut self) {
        self.client = None;
    }
}

/// A failure within another one.
fn in_words(failure: &Failure) -> String {
    let reason = failure.parts.iter().find(|(label, _)| label == "reason");
    reason.map_or_else(|| failure.headline.clone(), |(_, reason)| format!("{}: {reason}", failure.headline))
}

fn failure(headline: &str, config: &Config, error: &BackupError) -> Failure {
    if let BackupError::Open(error) = error {
        return Failure { headline: headline.to_owned(), ..store::explain(config, error) };
    }
    let exit = if error.is_usage() { Exit::Usage } else { Exit::Failed };
    let text = error.to_string();
    let reason = |file: &Path| text.strip_prefix(&format!("{}: ", file.display())).map(str::to_owned);
    let failure = Failure::new(exit, headline);
    let failure = match error.file() {
        Some(file) => failure.file(file.display()).reason(reason(file).unwrap_or_else(|| text.clone())),
        None => failure.reason(&text),
    };
    failure.hint(error.advice())
}

/// Says how far it is, where that takes long.
pub(super) struct Progress {
    verb: &'static str,
    is_terminal: bool,
    next: Instant,
    has_shown: bool,
}

impl Progress {
    pub(super) fn new(verb: &'static str) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let every = if is_terminal { SHOW_EVERY } else { NOTE_EVERY };
        Self { verb, is_terminal, next: Instant::now() + every, has_shown: false }
    }

    pub(super) fn show(&mut self, done: u64, all: u64) {
        if Instant::now() < self.next {
            return;
        }
        let text = format!("{} {} of {}", self.verb, bytes(Some(done)), bytes(Some(all)));
        if self.is_terminal {
            self.next = Instant::now() + SHOW_EVERY;
            // Ignored: standard error may be closed. Blanks cover what a longer text has left.
            let _ = write!(io::stderr().lock(), "\r{text:<50}");
        } else {
            self.next = Instant::now() + NOTE_EVERY;
            output::note(text);
        }
        self.has_shown = true;
    }

    /// Ends the line.
    pub(super) fn end(&self) {
        if self.is_terminal && self.has_shown {
            let _ = writeln!(io::stderr().lock());
        }
    }
}
