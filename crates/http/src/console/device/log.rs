//! The log of a device as one timeline, by kind.

use axum::{
    Router,
    extract::{Path, Query},
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::{history::LogView, log::LogEvent, page::Page};
use serde::{Deserialize, Serialize};

use super::{Keys, Tab, api_path, read};
use crate::console::{
    ask::with_query,
    parts::Tone,
    visit::{Shown, Trouble, Visit},
    words::{self, Word, of_reason},
};

/// Entries of a page.
const ENTRIES: usize = 50;
/// How often so many are asked for to find those of a kind, and with how many a page is long enough: it ends
/// where one of the API does, so it has up to so many and [`ENTRIES`].
const LOOKS: usize = 20;
const ENOUGH: usize = 25;

pub(super) fn routes() -> Router {
    Router::new().route("/console/devices/{product}/{device}/log", get(show))
}

/// What stands in the address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cursor: String,
}

const KINDS: [(&str, Word); 5] = [
    ("", words::KIND_ALL),
    ("presence", words::KIND_PRESENCE),
    ("refused", words::KIND_REFUSED),
    ("commands", words::KIND_COMMANDS),
    ("operators", words::KIND_OPERATORS),
];

/// The kind of an event, its tone and its words.
fn told(event: LogEvent) -> (&'static str, Tone, Word) {
    match event {
        LogEvent::Activated => ("presence", Tone::Good, words::EVENT_ACTIVATED),
        LogEvent::Login => ("presence", Tone::Good, words::EVENT_LOGIN),
        LogEvent::Online => ("presence", Tone::Good, words::EVENT_ONLINE),
        LogEvent::Offline => ("presence", Tone::Calm, words::EVENT_OFFLINE),
        LogEvent::SecretIssued => ("presence", Tone::Good, words::EVENT_SECRET_ISSUED),
        LogEvent::Refused => ("refused", Tone::Act, words::EVENT_REFUSED),
        LogEvent::Warning => ("refused", Tone::Watch, words::EVENT_WARNING),
        LogEvent::CommandSent => ("commands", Tone::Calm, words::EVENT_COMMAND),
        LogEvent::CommandsCancelled => ("commands", Tone::Calm, words::EVENT_COMMANDS_CANCELLED),
        LogEvent::SecretShown => ("operators", Tone::Watch, words::EVENT_SECRET_SHOWN),
        LogEvent::Created => ("operators", Tone::Calm, words::EVENT_CREATED),
        LogEvent::Disabled => ("operators", Tone::Watch, words::EVENT_DISABLED),
        LogEvent::Enabled => ("operators", Tone::Calm, words::EVENT_ENABLED),
        LogEvent::Renamed => ("operators", Tone::Calm, words::EVENT_RENAMED),
        LogEvent::Reset => ("operators", Tone::Watch, words::EVENT_RESET),
        LogEvent::SecretRotated => ("operators", Tone::Watch, words::EVENT_SECRET_ROTATED),
        LogEvent::Deleted => ("operators", Tone::Act, words::EVENT_DELETED),
        LogEvent::AttributesChanged => ("operators", Tone::Calm, words::EVENT_ATTRIBUTES),
        LogEvent::TagsChanged => ("operators", Tone::Calm, words::EVENT_TAGS),
    }
}

async fn show(visit: Visit, Path(keys): Path<Keys>, Query(wanted): Query<Wanted>) -> Shown {
    let detail = read(&visit, &keys).await?;
    let (entries, next) = entries(&visit, &keys, &wanted).await?;
    let path = detail.path() + "/log";
    let at = |cursor: &str| with_query(&path, &Wanted { cursor: cursor.to_owned(), ..wanted.clone() });
    let first = (!wanted.cursor.is_empty()).then(|| at(""));
    let next = next.as_deref().map(at);
    let content = html! {
        (detail.head(&visit, Tab::Log))
        nav.chips aria-label=(visit.t(words::FILTER)) {
            @for (kind, word) in KINDS {
                @let path = with_query(&path, &Wanted { kind: kind.to_owned(), ..Wanted::default() });
                a.chip href=(path) aria-current=[(kind == wanted.kind).then_some("true")] { (visit.t(word)) }
            }
        }
        (visit.fresh_rows())
        section.panel {
            @if entries.is_empty() && next.is_none() {
                (visit.empty(words::LOG_NONE, words::LOG_NONE_TEXT, &html! {}))
            }
            (timeline(&visit, &entries))
        }
        (visit.pages(first.as_deref(), next.as_deref()))
    };
    Ok(visit.page_with_heading(detail.sheet().follows(detail.events("presence,refusal,command")), &content))
}

/// Entries of the wanted kind, and where the next ones begin. Of a rare kind only so many are looked for.
async fn entries(
    visit: &Visit,
    keys: &Keys,
    wanted: &Wanted,
) -> Result<(Vec<LogView>, Option<String>), Trouble> {
    let (mut found, mut next) = (Vec::new(), Some(wanted.cursor.clone()));
    for _ in 0..LOOKS {
        let Some(cursor) = next.take() else { break };
        let mut query = vec![("limit", ENTRIES.to_string())];
        if !cursor.is_empty() {
            query.push(("cursor", cursor));
        }
        let path = with_query(&format!("{}/log", api_path(keys)), &query);
        let page: Page<LogView> = visit.read(&path).await?;
        let is_wanted = |entry: &LogView| wanted.kind.is_empty() || told(entry.event).0 == wanted.kind;
        found.extend(page.items.into_iter().filter(is_wanted));
        next = page.next_cursor;
        if found.len() >= ENOUGH {
            break;
        }
    }
    Ok((found, next))
}

/// What happened, the newest first, each with the reason in plain words and with advice.
pub(super) fn timeline(visit: &Visit, entries: &[LogView]) -> Markup {
    html! {
        ol.timeline {
            @for entry in entries {
                @let (_, tone, word) = told(entry.event);
                li data-row {
                    div.soft { (visit.exact_time(entry.time)) }
                    div {
                        p {
                            (visit.word(tone, visit.t(word)))
                            @if entry.reason.is_some() || entry.event == LogEvent::Refused {
                                " · " b { (visit.t(of_reason(entry.reason).0)) }
                            }
                            @if let Some(code) = entry.code {
                                " · " span.soft { (visit.t(words::CODE_NUMBER)) " " (code) }
                            }
                            @if let Some(peer) = &entry.peer {
                                " " span.soft { (visit.say(words::FROM_PEER, &[("peer", peer)])) }
                            }
                        }
                        @if let Some(detail) = &entry.detail { p lang="en" { (detail) } }
                        @if entry.reason.is_some() { p.hint { (visit.t(of_reason(entry.reason).1)) } }
                    }
                }
            }
        }
    }
}
