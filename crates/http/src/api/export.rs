//! Lists as CSV or JSON lines, where `Accept` asks for them: streamed to the end, one page in memory.
//!
//! * The first page is read before the answer begins, so what is wrong with the question is a problem as
//!   ever.
//! * Each further page is one short read of the store, made when the reader has taken what is before it. No
//!   lock and no connection of the store is held in between, and a slow reader costs a page of memory. It may
//!   take [`EXPORT_TIME_MAX`] in all, and the connection has its limit of silence as every other one.
//! * Where devices have nothing to export, JSON lines have an empty one every [`SILENT_MAX`]: what is silent
//!   for a minute is cut off by proxies.
//! * Each page waits for its turn at the store ([`crate::turns`]), and for room among those that were not
//!   taken yet, so that others are not kept waiting, and the memory is not filled.
//! * Where a page cannot be read any more, or the reader's token is not valid any more, the connection is cut
//!   off in the middle of the body: a chunked body that has no end is an error for every client.

mod accept;
mod room;

use std::{
    collections::VecDeque,
    future::Future,
    io,
    marker::PhantomData,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use futures_util::stream;
use narrowgate_api::{
    device::NamedDevice,
    page::Page,
    problem::{Code, Problem},
    query::{DeviceList, Paging, ProductValuesQuery, ValuesQuery},
};
use narrowgate_platform::{model::access::Needs, service::Operator};
use tokio::{runtime::Handle, task::spawn_blocking};

pub(super) use self::accept::accepted;
use super::{
    asked::{Asked, Door, Lasting, Routes},
    described::{Lined, Listed, Sketch, Takes},
    extract::{Product, Query},
};
use crate::{
    answers::counted,
    problem::Refused,
    shares::{Full, Share, ShareMax, Shares},
    table::{DevicePoint, Lines, Row},
};

const TITLE: &str = "cannot export this";

/// How long an export may take.
pub(super) const EXPORT_TIME_MAX: Duration = Duration::from_secs(3600);
/// How long nothing may be sent where an empty line says nothing.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// Exports at a time.
static EXPORTS: LazyLock<Arc<Shares>> =
    LazyLock::new(|| Shares::new(ShareMax { all: 64, token: 8, unit: 16 }));
/// Devices of a page.
pub(super) const DEVICES: u32 = 500;
/// Entries of a page of a log, or commands.
pub(super) const ENTRIES: u32 = 500;
/// Values of a page, or events.
pub(super) const VALUES: u32 = 1000;

pub(super) fn routes() -> Routes {
    Routes::default().get("/api/v1/products/{product}/values", Needs::Read, product_values)
}

/// What a reader asks for.
pub(super) struct Accepted {
    /// Lines; `None`: pages of JSON.
    pub(super) lines: Option<Lines>,
    pub(super) reader: Lasting,
}

impl FromRequestParts<Door> for Accepted {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refused> {
        let reader = Lasting::from_request_parts(parts, door).await?;
        Ok(Self { lines: accepted(&parts.headers), reader })
    }
}

impl Takes for Accepted {
    fn takes(sketch: &mut Sketch) {
        sketch.streams = true;
    }
}

fn invalid(field: &str, message: &str) -> Refused {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Refused(Problem {
        detail: Some(format!("{field} {message}")),
        place: Some(field.to_owned()),
        ..Problem::new(status.as_u16(), Code::Invalid, TITLE)
    })
}

/// Where rows come from, page by page.
pub(super) trait Source: Send + 'static {
    type Row: Row + Send;

    /// The next rows, perhaps none now; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<Self::Row>>, Problem>> + Send;
}

/// A list whose pages follow one another by their cursors.
pub(super) struct Pages<T, F> {
    /// Reads a page: the first one without a cursor.
    read: F,
    /// `None`: the last page was read.
    cursor: Option<Option<String>>,
    rows: PhantomData<fn() -> T>,
}

impl<T, F> Pages<T, F> {
    pub(super) fn new<R: Future<Output = Result<Page<T>, Problem>> + Send>(
        cursor: Option<String>,
        read: F,
    ) -> Self
    where
        F: Fn(Option<String>) -> R,
    {
        Self { read, cursor: Some(cursor), rows: PhantomData }
    }
}

impl<T, F, R> Source for Pages<T, F>
where
    T: Row + Send + 'static,
    F: Fn(Option<String>) -> R + Send + 'static,
    R: Future<Output = Result<Page<T>, Problem>> + Send,
{
    type Row = T;

    async fn next(&mut self) -> Result<Option<Vec<T>>, Problem> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let page = (self.read)(cursor);
        let page = page.await?;
        self.cursor = page.next_cursor.map(Some);
        if let Some(damaged) = page.damaged {
            tracing::warn!(count = damaged.count, first = damaged.first, "damaged rows are not exported");
        }
        Ok(Some(page.items))
    }
}

/// A page of a list as JSON, or all of it as lines, of which so many are read at a time.
///
/// # Errors
/// The first page cannot be read.
pub(super) async fn listed<T, F, R>(
    Accepted { lines, reader }: Accepted,
    paging: Paging,
    at_a_time: u32,
    read: F,
) -> Result<Listed<Page<T>>, Refused>
where
    T: Row + Send + 'static,
    F: Fn(Paging) -> R + Send + 'static,
    R: Future<Output = Result<Page<T>, Problem>> + Send,
{
    let Some(lines) = lines else { return Ok(Listed::Page(Json(read(paging).await?))) };
    let Paging { limit, cursor } = paging;
    let read = move |cursor| read(Paging { limit: Some(at_a_time), cursor });
    stream_lines(lines, reader, limit, Pages::new(cursor, read)).await.map(Listed::Lines)
}

/// The same of a list that is one page.
///
/// # Errors
/// It cannot be read.
pub(super) async fn listed_whole<T, F, R>(accepted: Accepted, read: F) -> Result<Listed<Page<T>>, Refused>
where
    T: Row + Send + 'static,
    F: Fn() -> R + Send + 'static,
    R: Future<Output = Result<Page<T>, Problem>> + Send,
{
    listed(accepted, Paging::default(), ENTRIES, move |_| read()).await
}

/// Values of all devices of a product.
struct ProductValues {
    operator: Operator,
    product_key: String,
    query: ValuesQuery,
    /// Devices of the last page that are left.
    devices: VecDeque<String>,
    /// `None`: there is no further page of them.
    cursor: Option<Option<String>>,
    /// The device under way, with the page of its values that comes next.
    device: Option<(String, Option<String>)>,
}

impl ProductValues {
    fn new(operator: Operator, product_key: String, query: ValuesQuery) -> Self {
        let (devices, cursor, device) = (VecDeque::new(), Some(None), None);
        Self { operator, product_key, query, devices, cursor, device }
    }

    async fn read_devices(&mut self, cursor: Option<String>) -> Result<(), Problem> {
        let product = Some(self.product_key.clone());
        let list = DeviceList { product, limit: Some(DEVICES), cursor, ..DeviceList::default() };
        let page = self.operator.list_devices(&list).await?;
        self.cursor = page.next_cursor.map(Some);
        // One that is damaged cannot be named: its values are not known.
        let intact = page.items.iter().filter(|row| row.damage().is_none());
        self.devices = intact.map(|row| row.device_key().to_owned()).collect();
        Ok(())
    }

    async fn read_values(
        &mut self,
        device_key: String,
        cursor: Option<String>,
    ) -> Result<Vec<DevicePoint>, Problem> {
        let name = NamedDevice::by_keys(self.product_key.clone(), device_key.clone());
        let query = ValuesQuery { limit: Some(VALUES), cursor, ..self.query.clone() };
        let page = match self.operator.list_values(&name, query).await {
            Ok(page) => page,
            // It was deleted meanwhile.
            Err(problem) if problem.code == Code::Missing => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        self.device = page.next_cursor.map(|cursor| (device_key.clone(), Some(cursor)));
        let product_key = &self.product_key;
        let row = |point| {
            let (product_key, device_key) = (product_key.clone(), device_key.clone());
            DevicePoint { product_key, device_key, point }
        };
        Ok(page.items.into_iter().map(row).collect())
    }
}

impl Source for ProductValues {
    type Row = DevicePoint;

    async fn next(&mut self) -> Result<Option<Vec<DevicePoint>>, Problem> {
        if let Some((device_key, cursor)) = self.device.take() {
            return self.read_values(device_key, cursor).await.map(Some);
        }
        if let Some(device_key) = self.devices.pop_front() {
            return self.read_values(device_key, None).await.map(Some);
        }
        match self.cursor.take() {
            Some(cursor) => self.read_devices(cursor).await.map(|()| Some(Vec::new())),
            None => Ok(None),
        }
    }
}

async fn product_values(
    Asked(api): Asked,
    Product(product_key): Product,
    Query(ProductValuesQuery { point, from, to }): Query<ProductValuesQuery>,
    Accepted { lines, reader }: Accepted,
) -> Result<Lined, Refused> {
    let query = ValuesQuery { point, from, to, ..ValuesQuery::default() };
    let source = ProductValues::new(api.operator, product_key, query);
    stream_lines(lines.unwrap_or(Lines::Ndjson), reader, None, source).await
}

/// An export that is under way.
struct Export<S> {
    source: S,
    lines: Lines,
    reader: Lasting,
    share: Share,
    until: Instant,
    silent_max: Duration,
}

/// The answer with all rows of a source.
///
/// # Errors
/// The first page cannot be read.
pub(super) async fn stream_lines<S: Source>(
    lines: Lines,
    reader: Lasting,
    limit: Option<u32>,
    mut source: S,
) -> Result<Lined, Refused> {
    if limit.is_some() {
        return Err(invalid("limit", "goes with pages of JSON: lines go on to the end"));
    }
    let busy = |full: Full, what| {
        let status = StatusCode::TOO_MANY_REQUESTS.as_u16();
        let detail = Some(full.told(what));
        Refused(Problem { detail, ..Problem::new(status, Code::Busy, TITLE) })
    };
    let share = EXPORTS.take(&reader.peer.holder, 1).map_err(|full| busy(full, "exports"))?;
    let mut room = room::for_page(&reader.peer.holder).map_err(|full| busy(full, "bytes of exports"))?;
    let mut first = String::new();
    lines.begin::<S::Row>(&mut first);
    let has_more = match source.next().await? {
        Some(rows) => {
            write_rows(lines, &rows, &mut first).map_err(|error| unwritten(&error))?;
            true
        }
        None => false,
    };
    let until = Instant::now() + EXPORT_TIME_MAX;
    let export = Export { source, lines, reader, share, until, silent_max: SILENT_MAX };
    room.keep(first.len());
    let first = (!first.is_empty()).then(|| counted(first, room));
    let parts = stream::try_unfold((first, has_more.then_some(export)), next_part);
    let media_type = HeaderValue::from_static(lines.media_type());
    Ok(Lined(([(header::CONTENT_TYPE, media_type)], Body::from_stream(parts)).into_response()))
}

fn unwritten(error: &serde_json::Error) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, error.to_string())
}

/// What is ready, and the rest.
type State<S> = (Option<Bytes>, Option<Export<S>>);

async fn next_part<S: Source>((ready, export): State<S>) -> io::Result<Option<(Bytes, State<S>)>> {
    if let Some(ready) = ready {
        return Ok(Some((ready, (None, export))));
    }
    let Some(mut export) = export else { return Ok(None) };
    let asked = Instant::now();
    loop {
        if Instant::now() >= export.until || !export.reader.standing.holds().await {
            return Err(io::Error::other("the export may not go on"));
        }
        let Export { mut source, lines, reader, share, until, silent_max } = export;
        let (turn, mut room) = room::with_turn(&reader.peer, until).await?;
        // A store reads on the thread that asks.
        let read = spawn_blocking(move || {
            let rows = Handle::current().block_on(source.next());
            drop(turn);
            (rows, source)
        });
        let (rows, source) = read.await.map_err(io::Error::other)?;
        let rows = rows.map_err(|problem| {
            tracing::warn!(title = problem.title, detail = problem.detail, "an export was cut off");
            io::Error::other("a page cannot be read")
        })?;
        let Some(rows) = rows else { return Ok(None) };
        export = Export { source, lines, reader, share, until, silent_max };
        let mut text = String::new();
        write_rows(lines, &rows, &mut text).map_err(io::Error::other)?;
        if text.is_empty() && lines == Lines::Ndjson && asked.elapsed() >= silent_max {
            text.push('\n');
        }
        if !text.is_empty() {
            room.keep(text.len());
            return Ok(Some((counted(text, room), (None, Some(export)))));
        }
    }
}

fn write_rows<T: Row>(lines: Lines, rows: &[T], out: &mut String) -> serde_json::Result<()> {
    rows.iter().try_for_each(|row| lines.write(row, out))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt as _, StreamExt as _};
    use narrowgate_api::{history::PointView, names::UnixMillis};
    use narrowgate_platform::{
        memory::MemoryStore,
        ports::NobodyConnected,
        testing::{ManualClock, SeededEntropy},
    };
    use serde_json::value::RawValue;

    use super::*;
    use crate::{api::asked::Standing, work::Attended};

    /// So many pages of a row each, behind which nothing can be read any more.
    struct Failing {
        pages: usize,
        read: Arc<AtomicUsize>,
    }

    impl Source for Failing {
        type Row = DevicePoint;

        async fn next(&mut self) -> Result<Option<Vec<DevicePoint>>, Problem> {
            if self.read.fetch_add(1, Ordering::Relaxed) == self.pages {
                return Err(Problem::new(503, Code::Unavailable, "cannot read"));
            }
            let value = RawValue::from_string("1".into()).expect("it is JSON");
            let point = PointView { point: "a".into(), value, time: UnixMillis(1), quality: None };
            Ok(Some(vec![DevicePoint { product_key: "pk".into(), device_key: "dk".into(), point }]))
        }
    }

    fn reader() -> Lasting {
        let clock = Arc::new(ManualClock::new(UnixMillis(0)));
        let (store, entropy) = (Arc::new(MemoryStore::default()), Arc::new(SeededEntropy::new(1)));
        let operator = Operator::new(store, clock, entropy, Arc::new(NobodyConnected));
        Lasting { standing: Standing::of_owner(operator), peer: Attended::default() }
    }

    #[tokio::test]
    async fn an_export_that_cannot_go_on_is_cut_off_and_one_that_cannot_begin_is_a_problem() {
        let source = Failing { pages: 3, read: Arc::default() };
        let Lined(answer) = stream_lines(Lines::Csv, reader(), None, source).await.expect("it begins");
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(axum::body::to_bytes(answer.into_body(), 1 << 20).await.is_err(), "its end is missing");
        let source = Failing { pages: 0, read: Arc::default() };
        let refused = stream_lines(Lines::Csv, reader(), None, source).await.expect_err("nothing is read");
        assert_eq!(refused.0.status, 503);
    }

    /// Pages without a row.
    struct Silent;

    impl Source for Silent {
        type Row = DevicePoint;

        async fn next(&mut self) -> Result<Option<Vec<DevicePoint>>, Problem> {
            Ok(Some(Vec::new()))
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_line_for_long_gets_an_empty_one_where_that_is_no_row() {
        for (lines, silent_max, expected) in [
            (Lines::Ndjson, Duration::ZERO, Some("\n")),
            (Lines::Ndjson, SILENT_MAX, None),
            (Lines::Csv, Duration::ZERO, None),
        ] {
            let reader = reader();
            let share = EXPORTS.take(&reader.peer.holder, 1).expect("there is room");
            // Without an end but that of its time.
            let until = Instant::now() + Duration::from_millis(50);
            let export = Export { source: Silent, lines, reader, share, until, silent_max };
            let part = next_part((None, Some(export))).await.ok().flatten();
            assert_eq!(part.as_ref().map(|(bytes, _)| &**bytes), expected.map(str::as_bytes), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn no_page_is_read_before_its_reader_has_taken_the_one_before() {
        let read = Arc::new(AtomicUsize::new(0));
        let source = Failing { pages: 1000, read: read.clone() };
        let Lined(answer) = stream_lines(Lines::Ndjson, reader(), None, source).await.expect("it begins");
        let mut body = answer.into_body().into_data_stream();
        for taken in 1..10 {
            body.next().await.expect("there is more").expect("it can be read");
            assert!(read.load(Ordering::Relaxed) <= taken, "{taken}");
        }
    }

    #[tokio::test]
    async fn each_page_waits_for_a_turn_at_the_store_and_gives_it_back() {
        let source = Failing { pages: 1000, read: Arc::default() };
        let reader = reader();
        let peer = reader.peer.clone();
        let Lined(answer) = stream_lines(Lines::Ndjson, reader, None, source).await.expect("it begins");
        let mut body = answer.into_body().into_data_stream();
        body.next().await.expect("there is more").expect("it can be read");
        let held = [peer.turn().await, peer.turn().await];
        assert!(body.next().now_or_never().is_none(), "others of it read");
        drop(held);
        body.next().await.expect("there is more").expect("it can be read");
        let held = [peer.turn().now_or_never(), peer.turn().now_or_never()];
        assert!(held.iter().all(Option::is_some), "nothing is held between two pages");
    }
}
