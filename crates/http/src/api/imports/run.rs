//! An import of a file, in a thread of its own.

use std::io::Read;

use axum::http::StatusCode;
use narrowgate_api::{
    import::{ImportAnswer, ImportFault, ImportMode, ImportReport, ImportRow},
    problem::{Code, Problem},
    query::ImportQuery,
    secret::SecretText,
};
use narrowgate_platform::service::{Imported, Operator};
use tokio::{runtime::Handle, sync::watch};

use super::{
    TITLE, TURNS,
    incoming::{CUT_OFF, Unfed},
};
use crate::{
    api::asked::Standing,
    device_file::{Entry, Format, Rows, Unusable},
    problem::Refused,
    shares::Lot,
};

/// Rows of a piece.
const PIECE: usize = 500;
/// Faults that an answer names.
const FAULTS_MAX: usize = 10_000;
/// Rows of a file of which all are wanted or none: they are held in memory.
const ALL_ROWS_MAX: usize = 100_000;
/// Tags and attributes of such a file. Each takes about 100 bytes beside its own.
const ALL_PROPERTIES_MAX: usize = 500_000;

const AGAIN: &str = "send the same file again: devices that exist are skipped";
const AGAIN_WITH_TOKEN: &str =
    "send the same file again with a token that is valid: devices that exist are skipped";

/// See the module.
pub(super) struct Run {
    pub(super) operator: Operator,
    pub(super) standing: Standing,
    pub(super) product_key: String,
    pub(super) query: ImportQuery,
    /// With whom it takes turns.
    pub(super) lot: Lot,
    /// Turns true when the server stops.
    pub(super) stopping: Option<watch::Receiver<bool>>,
}

/// How far it is.
#[derive(Default)]
struct Tally {
    answer: ImportAnswer,
    imported: Imported,
    /// Keys of all devices that it made.
    made: Vec<String>,
    /// The last line that was imported.
    last_line: u64,
}

/// Why an import ends before its file.
enum Cause {
    /// The file cannot be read, or no further.
    File(Unusable),
    /// It may not or cannot go on.
    Refused(Box<Problem>),
    /// The server stops.
    Stopping,
}

/// An import that has ended before its file.
pub(super) struct Ended {
    cause: Cause,
    answer: ImportAnswer,
    last_line: u64,
}

impl Run {
    pub(super) fn run(self, file: impl Read, format: Format) -> Result<ImportAnswer, Box<Ended>> {
        let mut tally = Tally::default();
        let ended = self.import(file, format, &mut tally);
        let last_line = tally.last_line;
        let answer = tally.finish(&self);
        match ended {
            Ok(()) => Ok(answer),
            Err(cause) => Err(Box::new(Ended { cause, answer, last_line })),
        }
    }

    fn import(&self, file: impl Read, format: Format, tally: &mut Tally) -> Result<(), Cause> {
        // Without rows: whether there is such a product.
        self.send(Vec::new(), true)?;
        let mut rows = Rows::open_as(file, &self.product_key, Some(format)).map_err(Cause::File)?;
        if self.query.mode == ImportMode::All {
            return self.import_all(&mut rows, tally);
        }
        loop {
            let (piece, goes_on) = take(&mut rows, tally, PIECE);
            // Also the last rows before what cannot be read.
            self.import_piece(piece, tally)?;
            if !goes_on.map_err(Cause::File)? {
                return Ok(());
            }
        }
    }

    /// All rows, or none: they are tried first. Where one fails all the same, because somebody else has made
    /// its device meanwhile, those that were made are taken back.
    fn import_all(&self, rows: &mut Rows<impl Read>, tally: &mut Tally) -> Result<(), Cause> {
        let mut tried = Tally::default();
        let all = take_all(rows, &mut tried).map_err(Cause::File)?;
        for piece in all.chunks(PIECE) {
            tried.add(self.send(piece.iter().map(copy).collect(), true)?);
        }
        if self.query.dry_run || !tried.answer.failed.is_empty() {
            *tally = if tried.answer.failed.is_empty() { tried } else { tried.faults_alone() };
            return Ok(());
        }
        let mut left = all.into_iter();
        let ended = loop {
            let piece: Vec<_> = left.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break Ok(());
            }
            let ended = self.import_piece(piece, tally);
            if ended.is_err() || !tally.answer.failed.is_empty() {
                break ended;
            }
        };
        let is_whole = ended.is_ok() && tally.answer.failed.is_empty();
        // Where the server stops there is no time for it.
        if !is_whole && !matches!(ended, Err(Cause::Stopping)) {
            self.take_back(tally)?;
        }
        ended
    }

    fn take_back(&self, tally: &mut Tally) -> Result<(), Cause> {
        let (made, last_line) = (std::mem::take(&mut tally.made), tally.last_line);
        let kept = Handle::current().block_on(self.operator.take_back_import(&self.product_key, &made));
        let kept = kept.map_err(|problem| Cause::Refused(Box::new(problem)))?;
        *tally = std::mem::take(tally).faults_alone();
        // What has logged in meanwhile is there, and has its secret.
        (tally.answer.created, tally.last_line) = (kept, if kept > 0 { last_line } else { 0 });
        Ok(())
    }

    fn import_piece(&self, piece: Vec<ImportRow>, tally: &mut Tally) -> Result<(), Cause> {
        let Some(last_line) = piece.last().map(|row| row.line) else { return Ok(()) };
        tally.add(self.send(piece, self.query.dry_run)?);
        tally.last_line = last_line;
        match self.stopping.as_ref().is_some_and(|stopping| *stopping.borrow()) {
            true => Err(Cause::Stopping),
            false => Ok(()),
        }
    }

    /// A store reads and writes on the thread that asks.
    fn send(&self, rows: Vec<ImportRow>, dry_run: bool) -> Result<ImportReport, Cause> {
        let refused = |problem| Cause::Refused(Box::new(problem));
        let runtime = Handle::current();
        // Where the store cannot say, the token may well be valid.
        if !runtime.block_on(self.standing.look()).map_err(refused)? {
            let status = StatusCode::UNAUTHORIZED.as_u16();
            let detail = Some("the token or the session is not valid any more".to_owned());
            return Err(refused(Problem { detail, ..Problem::new(status, Code::Unauthorized, TITLE) }));
        }
        let imported = async {
            let _turn = TURNS.take(self.lot.clone()).await;
            self.operator.import_devices(&self.product_key, rows, dry_run).await
        };
        runtime.block_on(imported).map_err(refused)
    }
}

/// The next rows, and whether there are more; faults are counted.
fn take(
    rows: &mut Rows<impl Read>,
    tally: &mut Tally,
    limit: usize,
) -> (Vec<ImportRow>, Result<bool, Unusable>) {
    let mut piece = Vec::new();
    while piece.len() < limit {
        match rows.next() {
            Ok(Some(Entry::Row(row))) => piece.push(row),
            Ok(Some(Entry::Fault(fault))) => tally.note(fault),
            Ok(None) => return (piece, Ok(false)),
            Err(unusable) => return (piece, Err(unusable)),
        }
    }
    (piece, Ok(true))
}

/// All rows, which are held in memory; faults are counted.
fn take_all(rows: &mut Rows<impl Read>, tally: &mut Tally) -> Result<Vec<ImportRow>, Unusable> {
    let too_many = |what: String| Unusable {
        headline: TITLE,
        reason: format!("it has more than {what}, and all rows are wanted or none"),
        hint: Some("split the file, or import it with mode=valid".to_owned()),
    };
    let (mut all, mut properties) = (Vec::new(), 0);
    loop {
        let (piece, goes_on) = take(rows, tally, PIECE);
        properties += piece.iter().map(|row| row.properties().count()).sum::<usize>();
        all.extend(piece);
        if all.len() > ALL_ROWS_MAX {
            return Err(too_many(format!("{ALL_ROWS_MAX} rows")));
        }
        if properties > ALL_PROPERTIES_MAX {
            return Err(too_many(format!("{ALL_PROPERTIES_MAX} tags and attributes")));
        }
        if !goes_on? {
            return Ok(all);
        }
    }
}

impl Tally {
    fn note(&mut self, fault: ImportFault) {
        if self.answer.failed.len() < FAULTS_MAX {
            self.answer.failed.push(fault);
        } else {
            self.answer.more_failed += 1;
        }
    }

    fn add(&mut self, report: ImportReport) {
        self.answer.created += report.created;
        self.answer.skipped += report.skipped;
        self.answer.same_secret += report.same_secret;
        report.failed.into_iter().for_each(|fault| self.note(fault));
        self.answer.weak_secrets = match (self.answer.weak_secrets, report.weak_secrets) {
            (Some(before), Some(now)) => Some(before.with(now)),
            (before, now) => before.or(now),
        };
        self.imported.created.extend(report.generated.into_iter().map(|made| made.device_key));
        self.imported.unseen.extend(report.unseen);
        self.made.extend(report.made);
    }

    /// Where none is imported, since one has a fault.
    fn faults_alone(self) -> Self {
        let ImportAnswer { failed, more_failed, .. } = self.answer;
        Self { answer: ImportAnswer { failed, more_failed, ..ImportAnswer::default() }, ..Self::default() }
    }

    fn finish(self, run: &Run) -> ImportAnswer {
        let Self { mut answer, imported, .. } = self;
        answer.failed.sort_by_key(|fault| fault.line);
        if !run.query.dry_run && !imported.is_empty() {
            // A product that is gone has no secrets.
            let kept = Handle::current().block_on(run.operator.keep_import(&run.product_key, imported));
            answer.secrets = kept.ok().map(|name| format!("/api/v1/imports/{name}/secrets"));
        }
        answer
    }
}

impl Ended {
    /// The answer; `unfed`: why no more of the file came.
    pub(super) fn tell(self, unfed: Option<Unfed>) -> Refused {
        let Self { cause, answer, last_line } = self;
        let is_begun = last_line > 0;
        let (mut problem, again) = match (cause, unfed) {
            (Cause::File(unusable), Some(unfed)) if unusable.reason == CUT_OFF => {
                (unfed.problem(), unfed.is_worth_a_repetition().then_some(AGAIN))
            }
            (Cause::File(Unusable { headline, reason, hint }), _) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
                let problem = Problem::new(status, Code::Invalid, headline);
                (Problem { detail: Some(reason), hint, ..problem }, None)
            }
            (Cause::Refused(problem), _) => {
                let again = match problem.code {
                    Code::Unauthorized => Some(AGAIN_WITH_TOKEN),
                    Code::Unavailable | Code::Busy => Some(AGAIN),
                    _ => None,
                };
                (*problem, again)
            }
            (Cause::Stopping, _) => {
                let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
                let problem = Problem::new(status, Code::Unavailable, TITLE);
                (Problem { detail: Some("the server stops".to_owned()), ..problem }, Some(AGAIN))
            }
        };
        if is_begun {
            let detail = problem.detail.take().unwrap_or_default();
            problem.detail = Some(format!("{detail}; rows up to line {last_line} were processed"));
            problem.import = Some(Box::new(answer));
        }
        let again = again.filter(|_| is_begun).map(str::to_owned);
        let rest = (is_begun && again.is_none()).then(|| format!("rows up to line {last_line} are done"));
        let hints: Vec<_> = [problem.hint.take(), again, rest].into_iter().flatten().collect();
        problem.hint = (!hints.is_empty()).then(|| hints.join("; "));
        Refused(problem)
    }
}

pub(super) fn copy(row: &ImportRow) -> ImportRow {
    let secret = row.device_secret.as_ref().map(|secret| SecretText::new(secret.expose().to_owned()));
    ImportRow {
        line: row.line,
        device_key: row.device_key.clone(),
        device_secret: secret,
        is_generated: row.is_generated,
        name: row.name.clone(),
        tags: row.tags.clone(),
        attributes: row.attributes.clone(),
    }
}
