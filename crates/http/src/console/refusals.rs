//! Refusals: why was it refused?

use std::{cmp::Reverse, collections::BTreeMap, net::SocketAddr};

use axum::{Router, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    history::{LogView, RefusalView},
    log::Reason,
    page::Page,
};
use serde::{Deserialize, Serialize};

use super::{
    ask::with_query,
    devices::{self, path_of},
    layout::{Here, Sheet},
    parts::Tone,
    visit::{Shown, Visit},
    words::{self, Word, of_reason},
};

const PATH: &str = "/console/refusals";

/// Refusals that are grouped and looked through for a page.
const LOOKED_AT: u32 = 1000;
/// Of which so many are rows.
const ROWS_MAX: usize = 30;
/// Characters of a name of a peer that a row has; what is opened has all of it.
const WHO_CHARACTERS_MAX: usize = 48;
/// The most frequent of a grouping.
const GROUPS_MAX: usize = 6;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(show))
}

/// What the address says: filters, the open row, and where the list begins.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Wanted {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl Wanted {
    fn path(&self) -> String {
        with_query(PATH, self)
    }

    fn is_of(&self, row: &Row<'_>) -> bool {
        let fits = |wanted: &Option<String>, of: &str| wanted.as_deref().is_none_or(|wanted| wanted == of);
        fits(&self.reason, &row.reason) && fits(&self.product, row.product) && fits(&self.source, &row.source)
    }

    fn has_filter(&self) -> bool {
        self.reason.is_some() || self.product.is_some() || self.source.is_some()
    }
}

/// A refusal, with the keys of its groups.
struct Row<'a> {
    refusal: &'a RefusalView,
    id: String,
    reason: String,
    product: &'a str,
    source: String,
}

async fn show(visit: Visit) -> Shown {
    let wanted: Wanted =
        serde_urlencoded::from_str(visit.uri.query().unwrap_or_default()).unwrap_or_default();
    let cursor = wanted.cursor.as_deref();
    let asked =
        with_query("/api/v1/refusals", &[("limit", Some(&*LOOKED_AT.to_string())), ("cursor", cursor)]);
    let page: Page<RefusalView> = visit.read(&asked).await?;
    let over_time = match cursor {
        None => Some(visit.day_of_refusals().await),
        Some(_) => None,
    };
    let sheet = Sheet::new(Here::Refusals, visit.t(words::REFUSALS)).refreshed_every(15);
    Ok(visit.page(
        sheet,
        &html! {
            p.soft { (visit.t(words::REFUSALS_LEAD)) }
            div #refusals data-live { (content(&visit, &wanted, &page, over_time.as_ref())) }
        },
    ))
}

fn content(visit: &Visit, wanted: &Wanted, page: &Page<RefusalView>, over_time: Option<&Markup>) -> Markup {
    let rows = rows(&page.items);
    html! {
        @if rows.is_empty() && page.next_cursor.is_none() && wanted.cursor.is_none() {
            @let step = html! { a.button href=(devices::PATH) { (visit.t(words::DEVICES_SHOW)) } };
            (visit.empty(words::REFUSALS_EMPTY, words::REFUSALS_EMPTY_TEXT, &step))
        } @else {
            @if let Some(over_time) = over_time {
                section.panel { h2 { (visit.t(words::DAY_OF_REFUSALS)) } (over_time) }
            }
            (groups(visit, wanted, &rows))
            (chips(visit, wanted, &rows))
            (table(visit, wanted, &rows))
            @let older = page.next_cursor.as_ref().map(|next| {
                Wanted { cursor: Some(next.clone()), open: None, ..wanted.clone() }.path()
            });
            @let newest = wanted.cursor.as_ref().map(|_| {
                Wanted { cursor: None, open: None, ..wanted.clone() }.path()
            });
            (visit.pages(newest.as_deref(), older.as_deref()))
        }
    }
}

fn rows(items: &[RefusalView]) -> Vec<Row<'_>> {
    let mut same = 0;
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(items.len());
    for (n, refusal) in items.iter().enumerate() {
        let time = refusal.entry.time;
        let is_same = n.checked_sub(1).is_some_and(|before| items[before].entry.time == time);
        same = if is_same { same + 1 } else { 0 };
        rows.push(Row {
            id: format!("{}-{same}", time.0),
            reason: name_of(refusal.entry.reason),
            product: refusal.product_key.as_deref().unwrap_or_default(),
            source: source_of(refusal.entry.peer.as_deref()),
            refusal,
        });
    }
    rows
}

/// The stable name of a reason; `none` of what has no name.
fn name_of(reason: Option<Reason>) -> String {
    let name = reason.and_then(|reason| serde_json::to_value(reason).ok());
    name.as_ref().and_then(|name| name.as_str()).unwrap_or("none").to_owned()
}

/// The address without its port: that of a device may change with each try.
fn source_of(peer: Option<&str>) -> String {
    let peer = peer.unwrap_or_default();
    peer.parse::<SocketAddr>().map_or_else(|_| peer.to_owned(), |peer| peer.ip().to_string())
}

/// The most frequent keys of rows with how many have them, each with what it is called.
fn counted<'r>(rows: &'r [Row<'_>], key: impl Fn(&'r Row<'_>) -> &'r str) -> Vec<(&'r str, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *counts.entry(key(row)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(GROUPS_MAX);
    counts
}

fn groups(visit: &Visit, wanted: &Wanted, rows: &[Row<'_>]) -> Markup {
    let reason_of =
        |key: &str| rows.iter().find(|row| row.reason == key).and_then(|row| row.refusal.entry.reason);
    let or = |key: &str, word: Word| if key.is_empty() { visit.t(word).to_owned() } else { shortened(key) };
    let by_reason = counted(rows, |row| &row.reason).into_iter().map(|(key, count)| {
        let to = Wanted { reason: Some(key.to_owned()), open: None, ..wanted.clone() };
        (visit.t(of_reason(reason_of(key)).0).to_owned(), to, count)
    });
    let by_product = counted(rows, |row| row.product).into_iter().map(|(key, count)| {
        (
            or(key, words::STRANGERS),
            Wanted { product: Some(key.to_owned()), open: None, ..wanted.clone() },
            count,
        )
    });
    let by_source = counted(rows, |row| &row.source).into_iter().map(|(key, count)| {
        (
            or(key, words::NO_SOURCE),
            Wanted { source: Some(key.to_owned()), open: None, ..wanted.clone() },
            count,
        )
    });
    html! {
        p.soft { (visit.count(words::REFUSALS_LOOKED_AT, rows.len() as u64)) }
        div.cards {
            (group(visit, words::BY_REASON, by_reason))
            (group(visit, words::BY_PRODUCT_OF, by_product))
            (group(visit, words::BY_SOURCE, by_source))
        }
    }
}

fn group(visit: &Visit, title: Word, rows: impl Iterator<Item = (String, Wanted, u64)>) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(title)) }
            table.plain {
                @for (said, to, count) in rows {
                    tr {
                        th scope="row" { a href=(to.path()) { (said) } }
                        td.number { (visit.number(count)) }
                    }
                }
            }
        }
    }
}

/// A reason that no row has is called as the address calls it.
fn chips(visit: &Visit, wanted: &Wanted, rows: &[Row<'_>]) -> Markup {
    let said = |filter: &Option<String>, empty: Word| {
        let filter = filter.as_deref()?;
        Some(if filter.is_empty() { visit.t(empty).to_owned() } else { shortened(filter) })
    };
    let row = rows.iter().find(|row| Some(&row.reason) == wanted.reason.as_ref());
    let reason = row.map(|row| visit.t(of_reason(row.refusal.entry.reason).0).to_owned());
    let without = [
        (
            words::REASON,
            reason.or_else(|| said(&wanted.reason, words::REASON)),
            Wanted { reason: None, open: None, ..wanted.clone() },
        ),
        (
            words::PRODUCT,
            said(&wanted.product, words::STRANGERS),
            Wanted { product: None, open: None, ..wanted.clone() },
        ),
        (
            words::SOURCE,
            said(&wanted.source, words::NO_SOURCE),
            Wanted { source: None, open: None, ..wanted.clone() },
        ),
    ];
    html! {
        @if wanted.has_filter() {
            p.chips {
                @for (word, filter, without) in &without {
                    @if let Some(filter) = filter {
                        @let said = visit.say(words::CHIP, &[("name", visit.t(*word)), ("value", filter)]);
                        (visit.chip(&said, &without.path()))
                    }
                }
            }
        }
    }
}

fn table(visit: &Visit, wanted: &Wanted, rows: &[Row<'_>]) -> Markup {
    let labels = [words::WHEN, words::REASON, words::WHO, words::SOURCE];
    let [when, reason, who, source] = labels.map(|word| visit.t(word));
    let found: Vec<_> = rows.iter().filter(|row| wanted.is_of(row)).take(ROWS_MAX).collect();
    html! {
        @if found.is_empty() {
            p { (visit.t(words::REFUSALS_NO_MATCH)) " " a href=(PATH) { (visit.t(words::REFUSALS_CLEAR)) } }
        } @else {
            div.scroll {
                table.rows {
                    thead { tr { th { (when) } th { (reason) } th { (who) } th { (source) } } }
                    tbody {
                        @for row in found {
                            @let (said, _) = of_reason(row.refusal.entry.reason);
                            @let is_open = wanted.open.as_deref() == Some(&*row.id);
                            @let open = (!is_open).then(|| row.id.clone());
                            @let path = Wanted { open, ..wanted.clone() }.path();
                            @let anchor = format!("r{}", row.id);
                            @let to = format!("{path}#{anchor}");
                            tr data-row id=(anchor) {
                                td data-label=(when) { (visit.time(row.refusal.entry.time)) }
                                th scope="row" data-label=(reason) {
                                    a href=(to) aria-expanded=(if is_open { "true" } else { "false" }) {
                                        (visit.word(Tone::Act, visit.t(said)))
                                    }
                                }
                                td data-label=(who) { (who_of(row.refusal)) }
                                td data-label=(source) { code { (row.source) } }
                            }
                            @if is_open { tr.here { td colspan="4" { (opened(visit, row.refusal)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn who_of(refusal: &RefusalView) -> Markup {
    let said = match (&refusal.product_key, &refusal.device_key) {
        (Some(product), Some(device)) => format!("{product}/{device}"),
        (Some(key), None) | (None, Some(key)) => key.clone(),
        (None, None) => refusal.identity.clone().unwrap_or_default(),
    };
    html! { code { (shortened(&said)) } }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(WHO_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What was offered, what is expected, and what is probably wrong.
fn opened(visit: &Visit, refusal: &RefusalView) -> Markup {
    let RefusalView { entry, identity, product_key, device_key } = refusal;
    let (said, advice) = of_reason(entry.reason);
    let device = product_key.as_ref().zip(device_key.as_ref());
    html! {
        dl.facts {
            dt { (visit.t(words::WHEN)) } dd { (visit.exact_time(entry.time)) }
            dt { (visit.t(words::REASON)) }
            dd {
                (visit.t(said)) " " code { (name_of(entry.reason)) }
                @if let Some(code) = entry.code { " · " (visit.t(words::CODE_NUMBER)) " " (code) }
            }
            dt { (visit.t(words::OFFERED)) }
            dd {
                @if let Some(identity) = identity {
                    (visit.t(words::IDENTITY)) " " (visit.copyable(identity)) " · "
                }
                @if let Some(peer) = &entry.peer { (visit.t(words::SOURCE)) " " (visit.copyable(peer)) }
            }
            dt { (visit.t(words::EXPECTED)) } dd { (visit.t(expected(entry.reason))) }
            dt { (visit.t(words::MISTAKE)) }
            dd {
                @match entry.mistake.as_ref().or(entry.detail.as_ref()) {
                    Some(detail) => { span lang="en" { (detail) } }
                    None => { (visit.t(words::MISTAKE_NONE)) }
                }
            }
            dt { (visit.t(words::ADVICE)) }
            dd {
                @match advice_of(entry) {
                    Some(said) => { span lang="en" { (said) } }
                    None => { (visit.t(advice)) }
                }
            }
        }
        @if let Some((product, device)) = device {
            p { a.button href=(path_of(product, device)) { (visit.t(words::OPEN_DEVICE)) } }
        }
    }
}

/// What to do about this mistake, where that is more than what is said of its reason.
fn advice_of(entry: &LogView) -> Option<&str> {
    let said = entry.advice.as_deref()?;
    (entry.reason.map(Reason::advice) != Some(said)).then_some(said)
}

/// What a peer should have sent: to log in, or as a request.
fn expected(reason: Option<Reason>) -> Word {
    match reason {
        Some(
            Reason::IdentityMalformed
            | Reason::ProductUnknown
            | Reason::DeviceUnknown
            | Reason::ModeUnknown
            | Reason::LifetimeOutOfRange
            | Reason::DynamicActivationOff
            | Reason::AlreadyActivated
            | Reason::WrongKey,
        ) => words::EXPECTED_IDENTITY,
        Some(Reason::NoCommonCipherSuite | Reason::VersionUnsupported | Reason::NotDtls) => {
            words::EXPECTED_DTLS
        }
        Some(
            Reason::DeviceDisabled
            | Reason::ProductDisabled
            | Reason::UnitSuspended
            | Reason::RateLimited
            | Reason::SecretShared,
        ) => words::EXPECTED_NOTHING,
        _ => words::EXPECTED_SERVED,
    }
}
