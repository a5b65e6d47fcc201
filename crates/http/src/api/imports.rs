//! `POST /api/v1/products/{product}/devices:import`: many devices at once, from a file of CSV or JSON lines
//! that is read as it comes, from a list of keys, which is held whole, or from rows of JSON; and the secrets
//! that were generated for them.
//!
//! * A file is read piece by piece in a thread of its own, and each piece is durable before the next one is
//!   read: the peer waits meanwhile. Only where all rows are wanted or none are they held, and tried first.
//! * Where the file ends in the middle, or the peer leaves, what was read is imported, and the problem has
//!   what was done. The same file is sent again then: devices that exist are skipped, and secrets that nobody
//!   has seen come with the answer.
//! * Before each piece it is looked up whether the token still holds, and it waits for its turn: a few pieces
//!   are worked on at a time, by turns of their organisation units. A file that comes slowly takes a place,
//!   but no turn.
//! * Where all rows are wanted or none, no other import of that kind works on the product meanwhile.
//!
//! Limits: [`incoming::FILE_BYTES_MAX`], [`incoming::LIST_BYTES_MAX`], [`IMPORT_TIME_MAX`], [`IMPORTS`] at a
//! time, and those of [`run`].

mod alone;
mod fetch;
mod incoming;
mod run;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, FromRequestParts as _, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};
use narrowgate_api::{
    import::{ImportAnswer, ImportMode, ImportReport, ImportRow, ImportRows},
    problem::{Code, Problem},
    query::ImportQuery,
};
use narrowgate_platform::{
    model::access::Needs,
    service::{DeedTo, Operator},
};
use schemars::SchemaGenerator;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use self::{
    alone::Alone,
    incoming::{FILE_BYTES_MAX, Incoming, LIST_BYTES_MAX, Unfed, feed, too_long},
    run::{Run, copy},
};
use super::{
    asked::{Asked, Lasting, Routes},
    audited::{Made, Place},
    described::{Either, Sketch, Takes},
    extract::{Body as JsonBody, Product, Query, essence, parameter},
    idempotency::is_keyed,
};
use crate::{
    device_file::Format,
    problem::Refused,
    secret::Secretive,
    shares::{Holder, Lot, ShareMax, Shares},
    turns::Turns,
};

/// How long a file may take.
const IMPORT_TIME_MAX: Duration = Duration::from_secs(900);
/// Parts of a body that wait to be read.
const PARTS: usize = 4;

/// Media types of files, and what a file of each can be.
const FILES: [(&str, &[Format]); 3] = [
    ("text/csv", &[Format::Csv, Format::Enos]),
    ("application/x-ndjson", &[Format::Ndjson]),
    ("text/plain", &[Format::Psk]),
];

const TITLE: &str = "cannot import the devices";

/// Files at a time. Those that come slowly are here for long, so there is room for those of many units.
static IMPORTS: LazyLock<Arc<Shares>> =
    LazyLock::new(|| Shares::new(ShareMax { all: 32, token: 2, unit: 2 }));
/// Of these, files that are held in memory: those of which all rows are wanted or none, and lists of keys.
static HELD: LazyLock<Arc<Shares>> = LazyLock::new(|| Shares::new(ShareMax { all: 8, token: 2, unit: 2 }));
/// Pieces that are worked on: four at a time, two of a unit.
static TURNS: LazyLock<Arc<Turns>> = LazyLock::new(|| Turns::new(4, 2));

pub(super) fn routes() -> Routes {
    Routes::default()
        .post("/api/v1/products/{product}/devices:import", Needs::Administer, import)
        .get("/api/v1/imports/{import}/secrets", Needs::Administer, fetch::secrets)
        .reads_much()
}

/// How many files are being imported.
pub(super) fn under_way() -> u64 {
    IMPORTS.taken()
}

/// Whether the body of a request is read by its handler, piece by piece: where it has no idempotency key, for
/// which it is compared.
pub(crate) fn reads_its_body(request: &Request) -> bool {
    request.method() == Method::POST
        && request.uri().path().ends_with("/devices:import")
        && media_type(request.headers()).is_some()
        && !is_keyed(request)
}

/// What a body says it is, where it is a file.
fn media_type(headers: &HeaderMap) -> Option<&'static str> {
    let essence = essence(headers)?;
    FILES.into_iter().map(|(media_type, _)| media_type).find(|media_type| *media_type == essence)
}

/// What a file of this media type is, as its sender says. Plain text could be anything, so it is told.
fn file_format(media_type: &str, told: Option<Format>) -> Result<Format, Box<Refused>> {
    let of_type = FILES.into_iter().find(|(known, _)| *known == media_type).map_or(&[][..], |(_, all)| all);
    let wrong = match (told, of_type) {
        (Some(told), _) if of_type.contains(&told) => return Ok(told),
        (None, [first, ..]) if *first != Format::Psk => return Ok(*first),
        (None, _) => "a file of text/plain is a list of keys, and says so: format=psk".to_owned(),
        (Some(told), _) => {
            let (wanted, _) = FILES.into_iter().find(|(_, all)| all.contains(&told)).unwrap_or(FILES[0]);
            format!("a file of this format comes as {wanted}, and this one is {media_type}")
        }
    };
    Err(Box::new(unsupported(wrong)))
}

fn unsupported(detail: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::MediaTypeWrong, detail)
}

/// Why a file is none that can be read, by what its headers say.
fn unreadable(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Some("the file is compressed (Content-Encoding); send it as it is".to_owned());
    }
    let is_utf = |charset: &str| ["utf-", "us-ascii"].iter().any(|known| charset.starts_with(known));
    if let Some(charset) = parameter(headers, "charset").filter(|charset| !is_utf(charset)) {
        return Some(format!("the file is in {charset:?}; send it in UTF-8"));
    }
    let header = parameter(headers, "header").filter(|header| header == "absent");
    header.map(|_| "a file of CSV needs a header, with deviceKey".to_owned())
}

/// What is imported.
enum Import {
    Rows(Vec<ImportRow>),
    /// Its format, and its bytes as far as they are known.
    File(Body, Format, Option<u64>),
}

impl<S: Send + Sync> FromRequest<S> for Import {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let Query(ImportQuery { format, .. }) = Query::from_request_parts(&mut parts, state).await?;
        let request = Request::from_parts(parts, body);
        if let Some(media_type) = media_type(request.headers()) {
            let length = request.headers().get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            if let Some(detail) = unreadable(request.headers()) {
                return Err(unsupported(detail));
            }
            let format = file_format(media_type, format).map_err(|refused| *refused)?;
            return Ok(Self::File(request.into_body(), format, length));
        }
        let JsonBody(ImportRows { rows }) = JsonBody::from_request(request, state).await?;
        if format.is_some() {
            return Err(unsupported("format= says what a file is, and the body is JSON"));
        }
        Ok(Self::Rows(rows))
    }
}

impl Takes for Import {
    fn takes(sketch: &mut Sketch) {
        JsonBody::<ImportRows>::takes(sketch);
        sketch
            .bodies
            .extend(FILES.map(|(media_type, _)| (media_type, SchemaGenerator::subschema_for::<String> as _)));
    }
}

/// What an import answers: to rows of JSON with their secrets, to a file without.
type Imported = Either<Secretive<ImportReport>, Json<ImportAnswer>>;

/// Imports, and says for the log what became of it.
async fn import(
    asked: Asked,
    lasting: Lasting,
    product: Product,
    Query(query): Query<ImportQuery>,
    import: Import,
) -> Made<Result<Imported, Refused>> {
    let imported = import_as_asked((asked, lasting, product), query, import).await;
    let counts = match &imported {
        Ok(Either::One(Secretive(report))) => {
            Some((report.created, report.skipped, report.failed.len() as u64, None))
        }
        Ok(Either::Other(Json(answer))) => Some(counts_of(answer)),
        // So much at least, of a file that ended before its end.
        Err(Refused(problem)) => problem.import.as_deref().map(counts_of),
    };
    let mut place = Place::of(DeedTo::Nothing).with("mode", &query.mode);
    if query.dry_run {
        place = place.with("dryRun", &true);
    }
    if let Some((created, skipped, failed, secrets)) = counts {
        place = place.with("created", &created).with("skipped", &skipped).with("failed", &failed);
        place =
            place.with_some("secrets", secrets).partly(imported.is_err() && created > 0 && !query.dry_run);
    }
    place.has(imported)
}

/// Created, skipped, failed, and where the secrets are.
fn counts_of(answer: &ImportAnswer) -> (u64, u64, u64, Option<&String>) {
    let failed = answer.failed.len() as u64 + answer.more_failed;
    (answer.created, answer.skipped, failed, answer.secrets.as_ref())
}

async fn import_as_asked(
    (Asked(api), Lasting { standing, peer }, Product(product_key)): (Asked, Lasting, Product),
    query: ImportQuery,
    import: Import,
) -> Result<Imported, Refused> {
    // Where its length is known: before the first row, and not after those that fit.
    if let Import::File(_, format, Some(length)) = &import
        && let max = bytes_max(*format)
        && *length > max as u64
    {
        return Err(Refused(too_long(&format!("has {length} bytes; it may have {max}"))));
    }
    let mut alone = None;
    if query.mode == ImportMode::All && !query.dry_run {
        // Without rows: whether the caller sees such a product.
        api.operator.import_devices(&product_key, Vec::new(), true).await?;
        let detail = "an import of this product with mode=all is under way, and there is one at a time";
        alone = Some(Alone::new(&product_key).ok_or_else(|| busy(detail.to_owned()))?);
    }
    Ok(match import {
        Import::Rows(rows) => {
            let report = import_rows(&api.operator, &product_key, query, rows).await;
            drop(alone);
            Either::One(Secretive(report?))
        }
        Import::File(body, format, _) => {
            let stopping = api.events.map(|source| source.stopping);
            let lot = peer.holder.lot().unwrap_or(Lot::Owner);
            let run = Run { operator: api.operator, standing, product_key, query, lot, stopping };
            Either::Other(Json(import_file((run, alone), &peer.holder, body, format).await?))
        }
    })
}

/// Bytes of a file.
fn bytes_max(format: Format) -> usize {
    if format == Format::Psk { LIST_BYTES_MAX } else { FILE_BYTES_MAX }
}

fn busy(detail: String) -> Refused {
    let status = StatusCode::TOO_MANY_REQUESTS.as_u16();
    Refused(Problem { detail: Some(detail), ..Problem::new(status, Code::Busy, TITLE) })
}

/// The rows of one body; as [`Run`] does it with those of a file.
async fn import_rows(
    operator: &Operator,
    product_key: &str,
    ImportQuery { dry_run, mode, .. }: ImportQuery,
    rows: Vec<ImportRow>,
) -> Result<ImportReport, Refused> {
    if mode == ImportMode::Valid {
        return Ok(operator.import_devices(product_key, rows, dry_run).await?);
    }
    let faults = |failed| ImportReport { failed, ..ImportReport::default() };
    let tried = operator.import_devices(product_key, rows.iter().map(copy).collect(), true).await?;
    if !tried.failed.is_empty() {
        return Ok(faults(tried.failed));
    }
    if dry_run {
        return Ok(tried);
    }
    let report = operator.import_devices(product_key, rows, false).await?;
    if report.failed.is_empty() {
        return Ok(report);
    }
    let created = operator.take_back_import(product_key, &report.made).await?;
    Ok(ImportReport { created, ..faults(report.failed) })
}

/// Hands the body over to a thread that imports it, and that has the right to be alone until it has ended:
/// nothing that becomes of the request ends it.
async fn import_file(
    (run, alone): (Run, Option<Alone>),
    holder: &Holder,
    body: Body,
    format: Format,
) -> Result<ImportAnswer, Refused> {
    let share = IMPORTS.take(holder, 1).map_err(|full| busy(full.told("imports of files")))?;
    let is_held = run.query.mode == ImportMode::All || format == Format::Psk;
    let held = is_held.then(|| HELD.take(holder, 1)).transpose();
    let held = held.map_err(|full| busy(full.told("imports with mode=all or of lists of keys")))?;
    let (parts, taken) = mpsc::channel(PARTS);
    let running = spawn_blocking(move || {
        let _held = (share, held, alone);
        run.run(Incoming::new(taken), format)
    });
    let fed = timeout(IMPORT_TIME_MAX, feed(body, bytes_max(format), parts)).await;
    let fed = fed.unwrap_or(Err(Unfed::Late));
    match running.await {
        Ok(Ok(answer)) => Ok(answer),
        // The thread knows how far it came, and this one why no more came.
        Ok(Err(ended)) => Err(ended.tell(fed.err())),
        Err(error) => Err(Refused(Problem {
            detail: Some(error.to_string()),
            ..Problem::new(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), Code::Internal, TITLE)
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::tests::holder;

    #[test]
    fn three_units_with_slow_files_leave_a_place_to_a_fourth() {
        let take = |unit: &str, shares: &Arc<Shares>| shares.take(&holder(unit, Some(unit)), 1);
        for shares in [&*IMPORTS, &*HELD] {
            let mut taken = Vec::new();
            for unit in ["north", "south", "west"] {
                taken.extend([(); 2].map(|()| take(unit, shares).expect("it may have two")));
                take(unit, shares).expect_err("it has two");
            }
            take("quiet", shares).expect("there is room");
        }
    }
}
