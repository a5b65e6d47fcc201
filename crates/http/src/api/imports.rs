//! `POST /api/v1/products/{product}/devices:import`: many devices at once, from a file of CSV or JSON lines
//! that is read as it comes, or from rows of JSON; and the secrets that were generated for them.
//!
//! * A file is read piece by piece in a thread of its own, and each piece is durable before the next one is
//!   read: the peer waits meanwhile. Only where all rows are wanted or none are they held, and tried first.
//! * Where the file ends in the middle, or the peer leaves, what was read is imported. The same file is sent
//!   again then: devices that exist are skipped, and secrets that nobody has seen come with the answer.
//! * Before each piece it is looked up whether the token still holds.
//!
//! Limits: [`incoming::FILE_BYTES_MAX`], [`IMPORT_TIME_MAX`], [`IMPORTS`] at a time, [`FAULTS_MAX`] that are
//! told.

mod incoming;

use std::{
    io::{self, Read},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderValue, Method, StatusCode, header},
    response::IntoResponse as _,
};
use futures_util::stream;
use narrowgate_api::{
    import::{ImportAnswer, ImportFault, ImportMode, ImportReport, ImportRow, ImportRows},
    problem::{Code, Problem},
    query::ImportQuery,
    secret::SecretText,
};
use narrowgate_platform::{
    model::access::Needs,
    service::{ImportSecrets, Imported, Operator},
};
use schemars::SchemaGenerator;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use zeroize::Zeroizing;

use self::incoming::{Incoming, Unfed, feed};
use super::{
    asked::{Asked, Lasting, Routes, Standing},
    described::{CsvFile, Either, Sketch, Takes},
    extract::{Body as JsonBody, Part, Product, Query},
    idempotency::is_keyed,
};
use crate::{
    device_file::{Entry, Rows, Unusable, csv},
    problem::Refused,
    routes::method_not_allowed,
    secret::Secretive,
    shares::{Holder, ShareMax, Shares},
};

/// How long a file may take.
const IMPORT_TIME_MAX: Duration = Duration::from_secs(900);
/// Rows of a piece.
const PIECE: usize = 500;
/// Parts of a body that wait to be read.
const PARTS: usize = 4;
/// Faults that an answer names.
const FAULTS_MAX: usize = 10_000;
/// Bytes of a line of secrets: an asset id, two keys and a secret of 128 characters, all of them quotes.
const LINE_BYTES_MAX: usize = 1024;

/// Media types of files.
const FILES: [&str; 2] = ["text/csv", "application/x-ndjson"];

const TITLE: &str = "cannot import the devices";

/// Files at a time.
static IMPORTS: LazyLock<Arc<Shares>> = LazyLock::new(|| Shares::new(ShareMax::half(4)));

pub(super) fn routes() -> Routes {
    Routes::default().post("/api/v1/products/{product}/devices:import", Needs::Administer, import).get(
        "/api/v1/imports/{import}/secrets",
        Needs::Administer,
        secrets,
    )
}

/// Whether the body of a request is read by its handler, piece by piece: where it has no idempotency key, for
/// which it is compared.
pub(crate) fn reads_its_body(request: &Request) -> bool {
    request.method() == Method::POST
        && request.uri().path().ends_with("/devices:import")
        && is_file(request.headers().get(header::CONTENT_TYPE))
        && !is_keyed(request)
}

fn is_file(media_type: Option<&HeaderValue>) -> bool {
    let text = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    FILES.contains(&essence)
}

/// What is imported.
enum Import {
    Rows(Vec<ImportRow>),
    File(Body),
}

impl<S: Send + Sync> FromRequest<S> for Import {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if is_file(request.headers().get(header::CONTENT_TYPE)) {
            return Ok(Self::File(request.into_body()));
        }
        let JsonBody(ImportRows { rows }) = JsonBody::from_request(request, state).await?;
        Ok(Self::Rows(rows))
    }
}

impl Takes for Import {
    fn takes(sketch: &mut Sketch) {
        JsonBody::<ImportRows>::takes(sketch);
        sketch
            .bodies
            .extend(FILES.map(|media_type| (media_type, SchemaGenerator::subschema_for::<String> as _)));
    }
}

async fn import(
    Asked(api): Asked,
    Lasting { standing, peer }: Lasting,
    Product(product_key): Product,
    Query(query): Query<ImportQuery>,
    import: Import,
) -> Result<Either<Secretive<ImportReport>, Json<ImportAnswer>>, Refused> {
    let rows = match import {
        Import::Rows(rows) => rows,
        Import::File(body) => {
            let stopping = api.events.map(|source| source.stopping);
            let run = Run { operator: api.operator, standing, product_key, query, stopping };
            return Ok(Either::Other(Json(import_file(run, &peer.holder, body).await?)));
        }
    };
    let ImportQuery { dry_run, mode } = query;
    if mode == ImportMode::All && !dry_run {
        let tried = rows.iter().map(copy).collect();
        let tried = api.operator.import_devices(&product_key, tried, true).await?;
        if !tried.failed.is_empty() {
            let report = ImportReport { failed: tried.failed, ..ImportReport::default() };
            return Ok(Either::One(Secretive(report)));
        }
    }
    let report = api.operator.import_devices(&product_key, rows, dry_run).await?;
    Ok(Either::One(Secretive(report)))
}

/// Hands the body over to a thread that imports it.
async fn import_file(run: Run, holder: &Holder, body: Body) -> Result<ImportAnswer, Refused> {
    let share = IMPORTS.take(holder, 1).map_err(|full| {
        let status = StatusCode::TOO_MANY_REQUESTS.as_u16();
        let detail = Some(full.told("imports of files"));
        Refused(Problem { detail, ..Problem::new(status, Code::Busy, TITLE) })
    })?;
    let (parts, taken) = mpsc::channel(PARTS);
    let running = spawn_blocking(move || {
        let _share = share;
        run.run(Incoming::new(taken))
    });
    let fed = timeout(IMPORT_TIME_MAX, feed(body, parts)).await;
    let fed = fed.unwrap_or(Err(Unfed::Late));
    let ran = running.await.unwrap_or_else(|error| {
        Err(Box::new(Problem {
            detail: Some(error.to_string()),
            ..Problem::new(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), Code::Internal, TITLE)
        }))
    });
    match (ran, fed) {
        (Ok(answer), _) => Ok(answer),
        // The thread knows how far it came, and this one why no more came.
        (Err(problem), Err(unfed)) => Err(unfed.tell(*problem)),
        (Err(problem), Ok(())) => Err(Refused(*problem)),
    }
}

/// An import of a file, in a thread of its own.
struct Run {
    operator: Operator,
    standing: Standing,
    product_key: String,
    query: ImportQuery,
    /// Turns true when the server stops.
    stopping: Option<watch::Receiver<bool>>,
}

/// How far it is.
#[derive(Default)]
struct Tally {
    answer: ImportAnswer,
    imported: Imported,
    /// The last line that was imported.
    last_line: u64,
}

impl Run {
    fn run(self, file: impl Read) -> Result<ImportAnswer, Box<Problem>> {
        // Without rows: whether there is such a product.
        self.send(Vec::new(), true)?;
        let mut tally = Tally::default();
        let mut rows = Rows::open(file, &self.product_key).map_err(|unusable| refused(unusable, 0))?;
        let dry_run = self.query.dry_run;
        if self.query.mode == ImportMode::All {
            let all = self.take(&mut rows, &mut tally, usize::MAX)?;
            for piece in all.chunks(PIECE) {
                tally.add(self.send(piece.iter().map(copy).collect(), true)?);
            }
            if dry_run || !tally.answer.failed.is_empty() {
                return Ok(tally.tried());
            }
            tally = Tally::default();
            let mut left = all.into_iter();
            loop {
                let piece: Vec<_> = left.by_ref().take(PIECE).collect();
                if piece.is_empty() {
                    break;
                }
                self.import(piece, &mut tally)?;
            }
        } else {
            loop {
                let piece = self.take(&mut rows, &mut tally, PIECE)?;
                if piece.is_empty() {
                    break;
                }
                self.import(piece, &mut tally)?;
            }
        }
        Ok(tally.finish(&self))
    }

    /// The next rows; faults are counted.
    fn take(
        &self,
        rows: &mut Rows<impl Read>,
        tally: &mut Tally,
        limit: usize,
    ) -> Result<Vec<ImportRow>, Box<Problem>> {
        let mut piece = Vec::new();
        while piece.len() < limit {
            match rows.next().map_err(|unusable| refused(unusable, tally.last_line))? {
                Some(Entry::Row(row)) => piece.push(row),
                Some(Entry::Fault(fault)) => tally.note(fault),
                None => break,
            }
        }
        Ok(piece)
    }

    fn import(&self, piece: Vec<ImportRow>, tally: &mut Tally) -> Result<(), Box<Problem>> {
        let lines: Vec<_> = piece.iter().map(|row| row.line).collect();
        let sent = self.send(piece, self.query.dry_run);
        let report = sent.map_err(|problem| so_far(problem, tally.last_line))?;
        tally.last_line = lines.last().copied().unwrap_or(tally.last_line);
        tally.add(report);
        let is_stopping = self.stopping.as_ref().is_some_and(|stopping| *stopping.borrow());
        if is_stopping {
            let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            let detail = Some("the server stops".to_owned());
            let problem = Problem { detail, ..Problem::new(status, Code::Unavailable, TITLE) };
            return Err(so_far(Box::new(problem), tally.last_line));
        }
        Ok(())
    }

    /// A store reads and writes on the thread that asks.
    fn send(&self, rows: Vec<ImportRow>, dry_run: bool) -> Result<ImportReport, Box<Problem>> {
        let runtime = Handle::current();
        if !runtime.block_on(self.standing.holds()) {
            let status = StatusCode::UNAUTHORIZED.as_u16();
            let detail = Some("the token is not valid any more".to_owned());
            return Err(Box::new(Problem { detail, ..Problem::new(status, Code::Unauthorized, TITLE) }));
        }
        let imported = self.operator.import_devices(&self.product_key, rows, dry_run);
        runtime.block_on(imported).map_err(Box::new)
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
    }

    /// What a trial of all rows found. Where one has a fault, none is imported.
    fn tried(self) -> ImportAnswer {
        let mut answer = self.answer;
        answer.failed.sort_by_key(|fault| fault.line);
        match answer.failed.is_empty() {
            true => answer,
            false => {
                let (failed, more_failed) = (answer.failed, answer.more_failed);
                ImportAnswer { failed, more_failed, ..ImportAnswer::default() }
            }
        }
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

fn refused(unusable: Unusable, last_line: u64) -> Box<Problem> {
    let Unusable { headline, reason, hint } = unusable;
    let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
    let problem = Problem { detail: Some(reason), hint, ..Problem::new(status, Code::Invalid, headline) };
    so_far(Box::new(problem), last_line)
}

/// Says how far an import came that ends here.
fn so_far(mut problem: Box<Problem>, last_line: u64) -> Box<Problem> {
    if last_line > 0 {
        let detail = problem.detail.take().unwrap_or_default();
        problem.detail = Some(format!("{detail}; rows up to line {last_line} were processed"));
        problem.hint = Some("send the same file again: devices that exist are skipped".to_owned());
    }
    problem
}

fn copy(row: &ImportRow) -> ImportRow {
    let secret = row.device_secret.as_ref().map(|secret| SecretText::new(secret.expose().to_owned()));
    ImportRow {
        line: row.line,
        device_key: row.device_key.clone(),
        device_secret: secret,
        is_generated: row.is_generated,
        name: row.name.clone(),
    }
}

/// The file of secrets, once.
async fn secrets(
    Asked(api): Asked,
    asker: Lasting,
    method: Method,
    Part(name): Part,
) -> Result<CsvFile, Refused> {
    // It would be taken, and seen by nobody.
    if method == Method::HEAD {
        return Err(method_not_allowed(method).await);
    }
    let secrets = api.operator.take_import(&name).await?;
    let head = Some("assetId,productKey,deviceKey,deviceSecret\n");
    let parts = stream::try_unfold(Fetch { head, operator: api.operator, secrets, asker }, next_secrets);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"secrets.csv\"")),
    ];
    Ok(CsvFile((headers, Body::from_stream(parts)).into_response()))
}

/// Secrets while they are fetched.
struct Fetch {
    head: Option<&'static str>,
    operator: Operator,
    secrets: ImportSecrets,
    asker: Lasting,
}

async fn next_secrets(mut fetch: Fetch) -> io::Result<Option<(Bytes, Fetch)>> {
    if let Some(head) = fetch.head.take() {
        return Ok(Some((Bytes::from_static(head.as_bytes()), fetch)));
    }
    if !fetch.asker.standing.holds().await {
        return Err(io::Error::other("the secrets may not be fetched any more"));
    }
    let turn = fetch.asker.peer.turn().await;
    let read = spawn_blocking(move || {
        let found = Handle::current().block_on(fetch.operator.next_secrets(&mut fetch.secrets));
        drop(turn);
        (found, fetch)
    });
    let (found, fetch) = read.await.map_err(io::Error::other)?;
    let found = found.map_err(|problem| io::Error::other(problem.title))?;
    if found.is_empty() {
        return Ok(None);
    }
    // A text that grows would leave its beginnings behind.
    let mut text = Zeroizing::new(String::with_capacity(found.len() * LINE_BYTES_MAX));
    for made in &found {
        // To the letter, also where a spreadsheet would take it for a formula: devices are made with it.
        let fields = [&*made.asset_id, &made.product_key, &made.device_key, made.device_secret.expose()];
        csv::write_line(&fields, &mut text);
    }
    Ok(Some((Bytes::from_owner(text), fetch)))
}
