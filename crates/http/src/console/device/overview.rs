//! The first page of a device, and its session.

use axum::{Router, extract::Path, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    history::{LogView, PointView},
    page::Page,
    properties::PropertiesView,
};
use narrowgate_platform::model::access::Needs;

use super::{Detail, Keys, Session, Tab, acts, api_path, keys, log, read, units::Units, waiting};
use crate::console::{
    products,
    visit::{Shown, Visit},
    words,
};

/// Points that are shown.
const POINTS: u32 = 20;
/// Entries of the log that are shown.
const ENTRIES: u32 = 5;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/console/devices/{product}/{device}", get(show))
        .route("/console/devices/{product}/{device}/session", get(session))
}

async fn show(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let detail = read(&visit, &keys).await?;
    let path = api_path(&keys);
    let points: Page<PointView> = visit.read(&format!("{path}/points?limit={POINTS}")).await?;
    let log: Page<LogView> = visit.read(&format!("{path}/log?limit={ENTRIES}")).await?;
    let units = Units::read(&visit, &keys.0).await?;
    let waits = waiting::is_awaited(&visit, &detail);
    let content = html! {
        (detail.head(&visit, Tab::Overview))
        @if waits { (waiting::panel(&visit, &detail, (&points.items, &units), &log.items)) }
        div.split {
            div {
                @if waits && visit.may(Needs::Administer) { (keys::offer(&visit, &detail)) }
                @if !waits {
                    section.panel #values data-live {
                        h2 { (visit.t(words::VALUES)) }
                        (values(&visit, &points.items, &units))
                    }
                }
                section.panel #newest data-live {
                    h2 { (visit.t(words::LOG_NEWEST)) }
                    (log::timeline(&visit, &log.items))
                    p { a href={ (detail.path()) "/log" } { (visit.t(words::LOG_ALL)) } }
                }
            }
            div {
                (identity(&visit, &detail))
                @if !waits && visit.may(Needs::Administer) { (keys::offer(&visit, &detail)) }
                @if visit.may(Needs::Operate) { (acts::panel(&visit, &detail)) }
            }
        }
    };
    let sheet = detail.sheet().follows(detail.events("report,presence,refusal"));
    // Without script a device is awaited by loading the page anew. Once its first value is there, that would
    // only disturb who writes into a form.
    let sheet = if waits && points.items.is_empty() { sheet.refreshed_every(3) } else { sheet };
    Ok(visit.page_with_heading(sheet, &content))
}

fn identity(visit: &Visit, detail: &Detail) -> Markup {
    let device = &detail.device;
    html! {
        section.panel #identity data-live {
            h2 { (visit.t(words::IDENTITY)) }
            dl.facts {
                dt { (visit.t(words::PRODUCT_KEY)) }
                dd {
                    (visit.copyable(&device.product_key)) " "
                    a href=(products::path_of(&device.product_key)) { (visit.t(words::PRODUCT_OPEN)) }
                }
                dt { (visit.t(words::DEVICE_KEY)) } dd { (visit.copyable(&device.device_key)) }
                dt { (visit.t(words::ASSET)) } dd { (visit.copyable(&device.asset_id)) }
                dt { (visit.t(words::LAST_SEEN)) } dd { (visit.time_or_never(device.last_seen_time)) }
                dt { (visit.t(words::FIRST_LOGIN)) } dd { (visit.time_or_never(device.active_time)) }
                dt { (visit.t(words::REGISTERED_AT)) } dd { (visit.time(device.created_time)) }
                dt { (visit.t(words::LIFETIME)) }
                dd {
                    @match device.lifetime {
                        Some(lifetime) => { (visit.preferences.duration(u64::from(lifetime))) }
                        None => { span.none { (visit.t(words::LIFETIME_NONE)) } }
                    }
                }
                dt { (visit.t(words::FIRMWARE)) }
                dd {
                    @match &detail.firmware {
                        Some(version) => { (version) }
                        None => { span.none { (visit.t(words::FIRMWARE_NONE)) } }
                    }
                }
                dt { (visit.t(words::TAGS)) }
                dd { (tags(visit, &detail.tags)) }
            }
        }
    }
}

fn tags(visit: &Visit, tags: &PropertiesView) -> Markup {
    let json = serde_json::to_value(tags).unwrap_or_default();
    let pairs: Vec<_> = json.as_object().into_iter().flatten().collect();
    html! {
        @if pairs.is_empty() { span.none { (visit.t(words::TAGS_NONE)) } }
        @for (key, value) in pairs { span.chip { (key) ":" (value.as_str().unwrap_or_default()) } " " }
    }
}

/// Points with their values, as they were sent.
pub(super) fn values(visit: &Visit, points: &[PointView], units: &Units) -> Markup {
    let [point, value, when] = [words::POINT, words::VALUE, words::WHEN].map(|word| visit.t(word));
    html! {
        @if points.is_empty() { p { (visit.t(words::VALUES_NONE)) } }
        @else {
            table {
                thead { tr { th { (point) } th.number { (value) } th { (when) } } }
                tbody {
                    @for view in points {
                        tr {
                            th scope="row" { (view.point) }
                            td.number { (short(view.value.get())) (units.shown(&view.point)) }
                            td { (visit.time(view.time)) }
                        }
                    }
                }
            }
        }
    }
}

/// A value as it stands in a table.
fn short(json: &str) -> String {
    const LETTERS_MAX: usize = 60;
    let mut text: String = json.chars().take(LETTERS_MAX).collect();
    if text.len() < json.len() {
        text.push('…');
    }
    text
}

async fn session(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let detail = read(&visit, &keys).await?;
    let content = html! {
        (detail.head(&visit, Tab::Session))
        section.panel #session data-live {
            @match &detail.session {
                Some(session) => (session_facts(&visit, session)),
                None => ({
                    let path = detail.path() + "/log?kind=presence";
                    let step = html! { a.button href=(path) { (visit.t(words::SESSION_NONE_STEP)) } };
                    visit.empty(words::SESSION_NONE, words::SESSION_NONE_TEXT, &step)
                }),
            }
        }
    };
    Ok(visit.page_with_heading(detail.sheet().follows(detail.events("presence")), &content))
}

fn session_facts(visit: &Visit, session: &Session) -> Markup {
    html! {
        dl.facts {
            dt { (visit.t(words::SESSION_PEER)) } dd { (visit.copyable(&session.peer)) }
            dt { (visit.t(words::SESSION_SUITE)) }
            dd { (session.suite.as_deref().unwrap_or(visit.t(words::SESSION_PLAIN))) }
            dt { (visit.t(words::SESSION_CID)) }
            dd {
                @match &session.cid {
                    Some(cid) => (visit.copyable(cid)),
                    None => span.none { (visit.t(words::SESSION_NO_CID)) },
                }
            }
            dt { (visit.t(words::SESSION_SINCE)) } dd { (visit.time(session.since)) }
        }
    }
}
