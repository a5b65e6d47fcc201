//! The data of a device: what happened to its points, as charts of one time span, with the values below.

use axum::{Router, extract::Path, routing::get};
use maud::{Markup, PreEscaped, html};
use narrowgate_api::{
    history::{BucketView, PointView, ValueView},
    names::UnixMillis,
    page::Page,
    time,
};
use narrowgate_platform::service::path_part;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{Keys, Tab, api_path, read, units::Units};
use crate::console::{
    ask::with_query,
    charts::{Frame, Mark, Sample, Stay, TimeSpan, Zone, lanes, line, marks},
    devices::path_of,
    visit::{Shown, Trouble, Visit},
    words::{self, Word},
};

/// Charts of a page: each has some 10 KB at most.
const CHARTS_MAX: u32 = 6;
/// Values of a point that are read for lanes and marks; numbers are read in buckets.
const VALUES_MAX: u32 = 1000;
/// Values that are read for the numbers of a page, some ten microseconds each at most. Of a point with more
/// the last value of each bucket is drawn.
const NUMBERS_MAX: i64 = 12_000;
/// The newest values, by which it is seen how many there are.
const PROBED: u32 = 100;
/// Words of a point that have lanes; one with more is drawn as marks.
const WORDS_MAX: usize = 12;
/// Rows of the table.
const ROWS_MAX: u32 = 40;
/// A value of the table has so many characters at most; the export has all of it.
const VALUE_CHARACTERS_MAX: usize = 120;

const HOUR_MS: i64 = 3_600_000;

/// The spans that are offered, with their names in the address.
const SPANS: [(&str, i64, Word); 4] = [
    ("1h", HOUR_MS, words::DATA_LAST_HOUR),
    ("24h", 24 * HOUR_MS, words::DATA_LAST_DAY),
    ("7d", 7 * 24 * HOUR_MS, words::DATA_LAST_WEEK),
    ("30d", 30 * 24 * HOUR_MS, words::DATA_LAST_MONTH),
];

/// Widths of buckets, milliseconds, with their names for the API.
const BUCKETS: [(i64, &str); 13] = [
    (1_000, "1s"),
    (5_000, "5s"),
    (15_000, "15s"),
    (60_000, "1m"),
    (5 * 60_000, "5m"),
    (15 * 60_000, "15m"),
    (30 * 60_000, "30m"),
    (HOUR_MS, "1h"),
    (2 * HOUR_MS, "2h"),
    (4 * HOUR_MS, "4h"),
    (12 * HOUR_MS, "12h"),
    (24 * HOUR_MS, "1d"),
    (7 * 24 * HOUR_MS, "7d"),
];
/// As many buckets as a chart has columns, and the shortest ones where even those are not enough.
const BUCKETS_MAX: i64 = 300;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/console/devices/{product}/{device}/data", get(show))
        .route("/console/devices/{product}/{device}/data/export", get(export))
}

/// What the address says. Times are Unix milliseconds, RFC 3339, or what a field for local times has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Wanted {
    /// A name of [`SPANS`]; with `from` and `to` it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Where the points begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<String>,
    /// Where the rows of the table begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// How an export is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
}

impl Wanted {
    fn of(visit: &Visit) -> Self {
        serde_urlencoded::from_str(visit.uri.query().unwrap_or_default()).unwrap_or_default()
    }

    /// The span that is drawn.
    fn span(&self, zone: &Zone, now: UnixMillis) -> TimeSpan {
        let moment = |text: &Option<String>| {
            let text = text.as_deref()?;
            time::parse(text).ok().or_else(|| zone.moment(text))
        };
        if let (Some(from), Some(until)) = (moment(&self.from), moment(&self.to))
            && from < until
        {
            return TimeSpan { from, until };
        }
        let named = SPANS.iter().find(|(name, ..)| self.last.as_deref() == Some(*name)).unwrap_or(&SPANS[1]);
        // What comes in this very moment belongs to it.
        TimeSpan { from: now.0.saturating_sub(named.1), until: now.0.saturating_add(1) }
    }

    /// The same of another time.
    fn at(&self, TimeSpan { from, until }: TimeSpan) -> Self {
        let (from, to) = (Some(from.to_string()), Some(until.to_string()));
        Self { from, to, last: None, cursor: None, ..self.clone() }
    }

    fn last(&self, name: &str) -> Self {
        Self { last: Some(name.to_owned()), from: None, to: None, cursor: None, ..self.clone() }
    }
}

/// The device, the span, and where it stands.
struct Sight {
    wanted: Wanted,
    span: TimeSpan,
    zone: Zone,
    units: Units,
    /// The path of the page.
    page: String,
    /// The path of the device in the API.
    device: String,
}

impl Sight {
    fn of(visit: &Visit, keys: &Keys, units: Units) -> Self {
        let (wanted, zone) = (Wanted::of(visit), visit.preferences.chart_zone());
        Self {
            span: wanted.span(&zone, visit.now),
            wanted,
            zone,
            units,
            page: format!("{}/data", path_of(&keys.0, &keys.1)),
            device: api_path(keys),
        }
    }

    fn path(&self, wanted: &Wanted) -> String {
        with_query(&self.page, wanted)
    }

    /// A list of the API in the span.
    fn list(&self, list: &str, more: &[(&str, Option<&str>)]) -> String {
        let (from, to) = (self.span.from.to_string(), self.span.until.to_string());
        let span = [("from", Some(&*from)), ("to", Some(&*to))];
        with_query(&format!("{}/{list}", self.device), &[&span[..], more].concat())
    }
}

async fn show(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let detail = read(&visit, &keys).await?;
    let sight = Sight::of(&visit, &keys, Units::read(&visit, &keys.0).await?);
    let limit = CHARTS_MAX.to_string();
    let points = [("limit", Some(&*limit)), ("cursor", sight.wanted.points.as_deref())];
    let points: Page<PointView> =
        visit.read(&with_query(&format!("{}/points", sight.device), &points)).await?;
    let numbers = points.items.iter().filter(|point| is_number(point)).count() as i64;
    let (mut charts, values_max) = (Vec::new(), NUMBERS_MAX / numbers.max(1));
    for (n, point) in points.items.iter().enumerate() {
        charts.push((point.point.as_str(), chart(&visit, &sight, (n, values_max), point).await?));
    }
    let limit = ROWS_MAX.to_string();
    let rows = [("limit", Some(&*limit)), ("cursor", sight.wanted.cursor.as_deref())];
    let rows: Page<PointView> = visit.read(&sight.list("values", &rows)).await?;
    let has_nothing = points.items.is_empty() && sight.wanted.points.is_none() && rows.items.is_empty();
    let content = html! {
        (detail.head(&visit, Tab::Data))
        @if has_nothing {
            @let step = html! { a.button href=(detail.path()) { (visit.t(words::DATA_EMPTY_STEP)) } };
            (visit.empty(words::DATA_EMPTY, words::DATA_EMPTY_TEXT, &step))
        } @else {
            (ranges(&visit, &sight))
            (drawn(&visit, &sight, &charts, points.next_cursor.as_deref()))
            (table(&visit, &sight, &rows))
        }
    };
    Ok(visit.page_with_heading(detail.sheet(), &content))
}

/// What is drawn of a point, and what it comes to in words.
struct Chart {
    svg: String,
    said: String,
}

fn is_number(point: &PointView) -> bool {
    matches!(point.value.get().as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

async fn chart(
    visit: &Visit,
    sight: &Sight,
    (n, values_max): (usize, i64),
    point: &PointView,
) -> Result<Chart, Trouble> {
    let drawn = match is_number(point) {
        true => numbers(visit, sight, (n, values_max), &point.point).await,
        false => others(visit, sight, n, point).await,
    };
    match drawn {
        // One bucket has too many values.
        Err(Trouble(problem)) if problem.status == 422 => {
            Ok(Chart { svg: String::new(), said: visit.t(words::DATA_CROWDED).to_owned() })
        }
        drawn => drawn,
    }
}

fn frame<'a>(sight: &'a Sight, id: &'a str, title: &'a str, description: &'a str) -> Frame<'a> {
    Frame { id, title, description, span: sight.span, zone: &sight.zone }
}

/// A point that is a number, in buckets.
async fn numbers(
    visit: &Visit,
    sight: &Sight,
    (n, values_max): (usize, i64),
    point: &str,
) -> Result<Chart, Trouble> {
    let least = sight.span.length() / BUCKETS_MAX;
    let bucket = BUCKETS.iter().find(|(width, _)| *width >= least).or(BUCKETS.last());
    let (width, bucket) = bucket.copied().unwrap_or((24 * HOUR_MS, "1d"));
    let list = format!("points/{}/values", path_part(point));
    let probed = PROBED.to_string();
    let newest: Page<ValueView> = visit.read(&sight.list(&list, &[("limit", Some(&*probed))])).await?;
    let is_dense = newest.next_cursor.is_some() && estimate(&newest.items, sight.span) > values_max;
    let functions = if is_dense { "last" } else { "min,max,avg,count" };
    let more = [("bucket", Some(bucket)), ("fn", Some(functions)), ("limit", Some("500"))];
    let page: Page<BucketView> = visit.read(&sight.list(&list, &more)).await?;
    let samples: Vec<Sample> =
        page.items.iter().filter_map(|bucket| sample(bucket, sight.span, is_dense)).collect();
    let extreme = |of: fn(f64, f64) -> f64, each: fn(&Sample) -> f64| samples.iter().map(each).reduce(of);
    let said = match (extreme(f64::min, |it| it.min), extreme(f64::max, |it| it.max)) {
        (Some(min), Some(max)) => {
            let (min, max) = (min.to_string(), sight.units.beside(point, &max.to_string()));
            let values = [("min", &*min), ("max", &*max)];
            match is_dense {
                true => {
                    let time = visit.preferences.duration(width.unsigned_abs() / 1000);
                    visit.say(words::DATA_LAST_ALONE, &[&values[..], &[("time", &*time)][..]].concat())
                }
                false => {
                    let count = page.items.iter().filter_map(|bucket| bucket.count).sum();
                    visit.count_with(words::DATA_LINE_SAID, count, &values)
                }
            }
        }
        _ => visit.t(words::DATA_NONE_HERE).to_owned(),
    };
    let id = format!("c{n}");
    Ok(Chart { svg: line(&frame(sight, &id, point, &said), &samples, None), said })
}

/// What is drawn of a bucket; nothing where it has no number.
fn sample(bucket: &BucketView, span: TimeSpan, is_last_alone: bool) -> Option<Sample> {
    let number = |value: &Option<Box<RawValue>>| value.as_ref()?.get().parse::<f64>().ok();
    // One that begins before the span is of its begin.
    let time = bucket.time.0.max(span.from);
    if is_last_alone {
        let last = number(&bucket.last)?;
        return Some(Sample { time, min: last, max: last, mean: last });
    }
    let (min, max) = (number(&bucket.min)?, number(&bucket.max)?);
    Some(Sample { time, min, max, mean: number(&bucket.avg)? })
}

/// How many values there are in a span where all come as often as the newest of them.
fn estimate(newest: &[ValueView], span: TimeSpan) -> i64 {
    let (Some(last), Some(first)) = (newest.first(), newest.last()) else { return 0 };
    let covered = i128::from(last.time.0.saturating_sub(first.time.0).max(1));
    let all = i128::from(last.time.0.saturating_sub(span.from)) * newest.len() as i128 / covered;
    i64::try_from(all).unwrap_or(i64::MAX)
}

/// A point that is a switch or a word, as lanes; one with many words, or a structure, as marks.
async fn others(visit: &Visit, sight: &Sight, n: usize, point: &PointView) -> Result<Chart, Trouble> {
    let list = format!("points/{}/values", path_part(&point.point));
    let limit = VALUES_MAX.to_string();
    let page: Page<ValueView> = visit.read(&sight.list(&list, &[("limit", Some(&*limit))])).await?;
    let count = page.items.len() as u64;
    let said = match page.next_cursor {
        Some(_) => visit.count(words::DATA_NEWEST_ALONE, count),
        None if count == 0 => visit.t(words::DATA_NONE_HERE).to_owned(),
        None => visit.count(words::DATA_COUNT_SAID, count),
    };
    let words_of: Vec<Option<String>> = page.items.iter().map(|value| word(&value.value)).collect();
    let mut distinct: Vec<&String> = words_of.iter().flatten().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let id = format!("c{n}");
    let frame = frame(sight, &id, &point.point, &said);
    let is_structure = words_of.iter().any(Option::is_none) || word(&point.value).is_none();
    let svg = if is_structure || distinct.len() > WORDS_MAX {
        let times: Vec<Mark> = page.items.iter().map(|value| Mark { time: value.time.0 }).collect();
        marks(&frame, &times)
    } else {
        let stays = page.items.iter().zip(&words_of);
        let stays: Vec<Stay<'_>> = stays
            .filter_map(|(value, word)| Some(Stay { time: value.time.0, word: word.as_deref()? }))
            .collect();
        let is_switch = distinct.iter().all(|word| ["true", "false"].contains(&word.as_str()));
        let always: &[&str] = if is_switch { &["true", "false"] } else { &[] };
        lanes(&frame, &stays, always, (None, visit.t(words::DATA_OTHER_WORDS)))
    };
    Ok(Chart { svg, said })
}

/// A value that is one of few, as it is shown; `None`: it is a structure.
fn word(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Object(_) | Value::Array(_)) | Err(_) => None,
        Ok(other) => Some(other.to_string()),
    }
}

/// Which time is drawn: named ones, the one before and the one after, and any.
fn ranges(visit: &Visit, sight: &Sight) -> Markup {
    let Sight { wanted, span, zone, .. } = sight;
    let is_named = wanted.from.is_none() || wanted.to.is_none();
    let shown = wanted.last.as_deref().unwrap_or(SPANS[1].0);
    let length = span.length();
    let moved = |by: i64| {
        let (from, until) = (span.from.saturating_add(by), span.until.saturating_add(by));
        sight.path(&wanted.at(TimeSpan { from, until }))
    };
    let exact = |time: i64| visit.preferences.exact(UnixMillis(time));
    let zone_name = visit.preferences.zone_name(visit.now);
    let said = visit.say(words::DATA_SPAN, &[("from", &exact(span.from)), ("to", &exact(span.until))]);
    html! {
        nav.ranges aria-label=(visit.t(words::DATA_LAST)) {
            (visit.t(words::DATA_LAST))
            @for (name, _, said) in SPANS {
                a.button href=(sight.path(&wanted.last(name)))
                    aria-current=[(is_named && shown == name).then_some("true")] { (visit.t(said)) }
            }
            a.button href=(moved(-length)) { "‹ " (visit.t(words::DATA_BEFORE)) }
            @if span.until <= visit.now.0 {
                a.button href=(moved(length)) { (visit.t(words::DATA_AFTER)) " ›" }
            }
        }
        form.ranges action=(sight.page) {
            label.inline {
                (visit.t(words::DATA_FROM)) " (" (zone_name) ")"
                input type="datetime-local" name="from" value=(zone.field(span.from)) required;
            }
            label.inline {
                (visit.t(words::DATA_TO)) " (" (zone_name) ")"
                input type="datetime-local" name="to" value=(zone.field(span.until)) required;
            }
            button { (visit.t(words::DATA_SHOW)) }
            span.soft { (said) }
        }
    }
}

fn drawn(visit: &Visit, sight: &Sight, charts: &[(&str, Chart)], next: Option<&str>) -> Markup {
    let more =
        next.map(|next| Wanted { points: Some(next.to_owned()), cursor: None, ..sight.wanted.clone() });
    let first =
        sight.wanted.points.as_ref().map(|_| Wanted { points: None, cursor: None, ..sight.wanted.clone() });
    html! {
        p.hint.drag { (visit.t(words::DATA_DRAG)) }
        div.charts data-charts data-range {
            @for (point, chart) in charts {
                figure {
                    figcaption { span { code { (point) } (sight.units.shown(point)) } output {} }
                    (PreEscaped(&chart.svg))
                    p.soft { (chart.said) }
                }
            }
        }
        @if more.is_some() || first.is_some() {
            nav.pages aria-label=(visit.t(words::DATA_MORE_POINTS)) {
                @if let Some(first) = first {
                    a.button href=(sight.path(&first)) { (visit.t(words::FIRST_PAGE)) }
                }
                @if let Some(more) = more {
                    a.button href=(sight.path(&more)) { (visit.t(words::DATA_MORE_POINTS)) }
                }
            }
        }
    }
}

fn table(visit: &Visit, sight: &Sight, rows: &Page<PointView>) -> Markup {
    let labels = [words::WHEN, words::DATA_POINT, words::DATA_VALUE, words::DATA_QUALITY];
    let [when, point, value, quality] = labels.map(|word| visit.t(word));
    let fixed = sight.wanted.at(sight.span);
    let next = rows.next_cursor.as_ref().map(|next| Wanted { cursor: Some(next.clone()), ..fixed.clone() });
    let next = next.map(|next| sight.path(&next));
    let first = sight.wanted.cursor.as_ref().map(|_| sight.path(&fixed));
    let export = |format: &str| {
        let wanted = Wanted { format: Some(format.to_owned()), points: None, ..fixed.clone() };
        with_query(&format!("{}/export", sight.page), &wanted)
    };
    html! {
        section.panel {
            h2 { (visit.t(words::DATA_VALUES)) }
            p {
                (visit.t(words::EXPORT)) ": "
                a href=(export("csv")) { (visit.t(words::EXPORT_CSV)) } " · "
                a href=(export("ndjson")) { (visit.t(words::EXPORT_LINES)) }
            }
            @if rows.items.is_empty() { p { (visit.t(words::DATA_NONE_HERE)) } }
            @else {
                div.scroll {
                    table.rows {
                        thead {
                            tr { th { (when) } th { (point) } th.number { (value) } th.number { (quality) } }
                        }
                        tbody {
                            @for row in &rows.items {
                                tr {
                                    th scope="row" data-label=(when) { (visit.exact_time(row.time)) }
                                    td data-label=(point) { code { (row.point) } }
                                    td.number data-label=(value) {
                                        code { (value_of(&row.value)) } (sight.units.shown(&row.point))
                                    }
                                    td.number data-label=(quality) {
                                        @if let Some(quality) = row.quality { (quality) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (visit.pages(first.as_deref(), next.as_deref()))
        }
    }
}

/// A value as the device sent it, cut off where it is long.
fn value_of(value: &RawValue) -> String {
    let text = value.get();
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// All values of the span, as a file.
async fn export(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let sight = Sight::of(&visit, &keys, Units::default());
    let (kind, ending) = match sight.wanted.format.as_deref() {
        Some("ndjson") => ("application/x-ndjson", "ndjson"),
        _ => ("text/csv", "csv"),
    };
    let name = format!("{}-{}.{ending}", keys.0, keys.1);
    visit.pass_on(&sight.list("values", &[]), kind, &name).await
}
