//! The first page of a product: its devices by state, what it is, its settings.

use axum::{
    Router,
    extract::{Path, Query},
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::{
    device::{DeviceRow, ShownState},
    fleet::CountsView,
    names::UnixMillis,
    page::Page,
    problem::Problem,
    product::{ContentCode, ProductView, Profile},
    query::DeviceList,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;

use super::{activation, acts, api_path, format_word, model_id, path_of, settings, state};
use crate::console::{
    ask::with_query,
    counted, devices,
    layout::{Here, Sheet},
    parts::Tone,
    visit::{Shown, Trouble, Visit},
    words::{self, Word},
};

/// Devices that are counted one by one; of more, the server's own count has to be asked for.
const COUNTED_MAX: u32 = 1000;

/// The query by which all are counted.
const COUNT: &str = "?count=1";

pub(super) fn routes() -> Router {
    Router::new().route("/console/products/{product}", get(show))
}

/// A tab of the page of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Model,
    Script,
}

/// The tabs in their order, each with the end of its path.
const TABS: &[(Tab, &str, Word)] = &[
    (Tab::Overview, "", words::TAB_OVERVIEW),
    (Tab::Model, "/model", words::TAB_MODEL),
    (Tab::Script, "/script", words::TAB_SCRIPT),
];

/// A product, with the tag by which it is changed.
///
/// # Errors
/// The API's problem.
pub(super) async fn read(visit: &Visit, key: &str) -> Result<(ProductView, String), Trouble> {
    visit.read_tagged(&api_path(key)).await
}

pub(super) fn sheet(product: &ProductView) -> Sheet {
    Sheet::new(Here::Products, format!("{} · {}", product.name, product.product_key))
}

/// What each page of a product begins with.
pub(super) fn head(visit: &Visit, product: &ProductView, tab: Tab) -> Markup {
    let path = path_of(&product.product_key);
    html! {
        div.verdict {
            h1 { (product.name) }
            p #state data-live { (state(visit, product)) }
        }
        nav.tabs aria-label=(visit.t(words::PRODUCT)) {
            @for (other, end, word) in TABS {
                a href={ (path) (end) } aria-current=[(*other == tab).then_some("page")] {
                    (visit.t(*word))
                }
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// Whether all devices are to be counted, however many there are.
    count: String,
}

async fn show(visit: Visit, Path(key): Path<String>, Query(wanted): Query<Wanted>) -> Shown {
    let (product, tag) = read(&visit, &key).await?;
    let counted = match wanted.count.is_empty() {
        true => counts(&visit, &key).await?,
        false => count_all(&visit, &key).await?,
    };
    Ok(page(&visit, &product, &tag, (&counted, None)))
}

/// The page with what was wrong with its forms; `product` as it was typed.
pub(super) async fn refused(visit: &Visit, product: &ProductView, tag: &str, problem: &Problem) -> Shown {
    let counted = counts(visit, &product.product_key).await?;
    Ok(page(visit, product, tag, (&counted, Some(problem))))
}

fn page(
    visit: &Visit,
    product: &ProductView,
    tag: &str,
    (counted, problem): (&Counted, Option<&Problem>),
) -> axum::response::Response {
    let may = visit.may(Needs::Administer);
    let content = html! {
        (head(visit, product, Tab::Overview))
        @if let Some(problem) = problem {
            (visit.problem(problem))
            @if problem.status == 412 {
                p { a.button href=(path_of(&product.product_key)) { (visit.t(words::SETTINGS_MOVED)) } }
            }
        }
        div.split {
            div {
                (devices_panel(visit, product, counted))
                (facts(visit, product))
                @if may { (acts::panel(visit, product)) }
            }
            @if may {
                div {
                    (settings::panel(visit, product, tag))
                    (settings::activation_panel(visit, product, tag))
                    (acts::secret_panel(visit, product))
                }
            }
        }
    };
    let sheet = sheet(product).with_status(problem.map_or(200, |problem| problem.status));
    let is_late = matches!(counted, Counted::Counting | Counted::Earlier(..));
    let sheet = if is_late { sheet.refreshed_every(counted::SOON_S) } else { sheet };
    visit.page_with_heading(sheet, &content)
}

/// Devices of a product.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    /// All of them.
    All(CountsView),
    /// All of them, as they were counted earlier; they are being counted anew.
    Earlier(CountsView, UnixMillis),
    /// There are more than [`COUNTED_MAX`].
    Many,
    /// They were to be counted, and that goes on.
    Counting,
    /// They were to be counted, and the server counts them with those of other products.
    WithOthers,
}

impl Counted {
    /// So many devices, in words.
    pub(super) fn told(&self, visit: &Visit) -> String {
        match self {
            Self::All(counts) | Self::Earlier(counts, _) => visit.count(words::DEVICES_SOME, counts.total),
            _ => visit.count(words::DEVICES_MANY, u64::from(COUNTED_MAX)),
        }
    }
}

/// Counts a part of the list: a page is fast also of a product with a million devices.
pub(super) async fn counts(visit: &Visit, key: &str) -> Result<Counted, Trouble> {
    let list =
        DeviceList { product: Some(key.to_owned()), limit: Some(COUNTED_MAX), ..DeviceList::default() };
    let page: Page<DeviceRow> = visit.read(&with_query("/api/v1/devices", &list)).await?;
    if page.next_cursor.is_some() {
        return Ok(Counted::Many);
    }
    let mut counts = CountsView { total: page.items.len() as u64, ..CountsView::default() };
    for row in &page.items {
        match row {
            DeviceRow::Intact(device) => match device.state {
                ShownState::Online => counts.online += 1,
                ShownState::Offline => counts.offline += 1,
                ShownState::Inactive => counts.inactive += 1,
                ShownState::Disabled => counts.disabled += 1,
            },
            DeviceRow::Damaged(_) => *counts.damaged_devices.get_or_insert(0) += 1,
        }
    }
    Ok(Counted::All(counts))
}

/// The server's own count, which takes longer the more devices it has.
async fn count_all(visit: &Visit, key: &str) -> Result<Counted, Trouble> {
    let counted::Counted { status, said } = counted::Counted::read(visit).await?;
    let is_late = said.is_some();
    let Some(fleet) = status.fleet else {
        return Ok(if is_late { Counted::Counting } else { Counted::WithOthers });
    };
    let found = fleet.products.into_iter().find(|product| product.product_key == key);
    Ok(match (found, status.counted_at.filter(|_| is_late)) {
        (None, _) => Counted::WithOthers,
        (Some(product), None) => Counted::All(product.devices),
        (Some(product), Some(at)) => Counted::Earlier(product.devices, at),
    })
}

const STATES: [(&str, Tone, Word); 4] = [
    ("online", Tone::Good, words::STATE_ONLINE),
    ("offline", Tone::Calm, words::STATE_OFFLINE),
    ("inactive", Tone::Watch, words::STATE_INACTIVE),
    ("disabled", Tone::Act, words::STATE_DISABLED),
];

/// The list of all devices of a product.
pub(in crate::console) fn list_all(key: &str) -> String {
    list_of(key, "")
}

/// The list of its devices.
pub(super) fn list_of(key: &str, state: &str) -> String {
    let (product, state) = (key.to_owned(), state.to_owned());
    devices::Filter { product, state, ..devices::Filter::default() }.path()
}

fn devices_panel(visit: &Visit, product: &ProductView, counted: &Counted) -> Markup {
    let key = &product.product_key;
    let numbers = match counted {
        Counted::All(counts) | Counted::Earlier(counts, _) => {
            [counts.online, counts.offline, counts.inactive, counts.disabled].map(Some)
        }
        _ => [None; 4],
    };
    html! {
        section.panel #devices data-live {
            h2 { (visit.t(words::PRODUCT_DEVICES)) }
            @match counted {
                Counted::All(counts) if counts.total == 0 => (no_devices(visit)),
                Counted::All(counts) | Counted::Earlier(counts, _) => {
                    p.figure {
                        @let total = visit.count(words::PRODUCT_DEVICES_TOTAL, counts.total);
                        a href=(list_of(key, "")) { (total) }
                    }
                    @if let Some(damaged) = counts.damaged_devices {
                        @let word = visit.word(Tone::Act, visit.t(words::STATE_DAMAGED));
                        p { (word) " " (visit.number(damaged)) }
                    }
                }
                Counted::Counting => p role="status" { (visit.t(words::COUNTING)) },
                Counted::Many => {
                    p.what { (visit.count(words::PRODUCT_DEVICES_MANY, u64::from(COUNTED_MAX))) }
                    @if visit.may(Needs::ReadAll) {
                        @let path = path_of(key) + COUNT;
                        p { a href=(path) { (visit.t(words::PRODUCT_DEVICES_COUNT)) } }
                    }
                }
                Counted::WithOthers => p { (visit.t(words::PRODUCT_DEVICES_UNCOUNTED)) },
            }
            @if let Counted::Earlier(_, at) = counted {
                @let ago = visit.preferences.ago(*at, visit.now);
                p.soft role="status" { (visit.say(words::COUNTED_AGO, &[("time", &ago)])) }
            }
            @if !matches!(counted, Counted::All(counts) if counts.total == 0) {
                dl.facts {
                    @for ((state, tone, word), number) in STATES.into_iter().zip(numbers) {
                        dt { (visit.word(tone, visit.t(word))) }
                        dd {
                            a href=(list_of(key, state)) {
                                @match number {
                                    Some(number) => (visit.number(number)),
                                    None => (visit.t(words::PRODUCT_SHOW_DEVICES)),
                                }
                            }
                        }
                    }
                }
            }
            @if visit.may(Needs::Administer) { (beginnings(visit, key)) }
        }
    }
}

fn no_devices(visit: &Visit) -> Markup {
    let word = match visit.may(Needs::Administer) {
        true => words::PRODUCT_NO_DEVICES,
        false => words::PRODUCT_NO_DEVICES_VIEWER,
    };
    html! { p { (visit.t(word)) } }
}

/// How it gets more devices.
fn beginnings(visit: &Visit, key: &str) -> Markup {
    let key = path_part(key);
    html! {
        p.buttons {
            a.button href={ "/console/devices/new?product=" (key) } { (visit.t(words::NEW_DEVICE)) }
            a.button href={ "/console/import?product=" (key) } { (visit.t(words::PRODUCT_IMPORT)) }
        }
    }
}

fn facts(visit: &Visit, product: &ProductView) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::PRODUCT_FACTS)) }
            dl.facts {
                dt { (visit.t(words::PRODUCT_KEY)) } dd { (visit.copyable(&product.product_key)) }
                dt { (visit.t(words::PRODUCT_UNIT)) } dd { (product.ou) }
                dt { (visit.t(words::CREATED_AT)) } dd { (visit.time(product.created_at)) }
                dt { (visit.t(words::PRODUCT_MODEL)) } dd { (model_id(visit, product)) }
                dt { (visit.t(words::PRODUCT_FORMAT)) } dd { (visit.t(format_word(product.data_format))) }
                dt { (visit.t(words::ACTIVATION)) } dd { (activation(visit, product.dynamic_activation)) }
                dt { (visit.t(words::PROFILE)) } dd { (visit.t(profile_word(product.profile))) }
                dt { (visit.t(words::SHORT_PATHS)) }
                dd { (visit.t(settings::short_paths_word(product.short_paths))) }
                dt { (visit.t(words::CONTENT_CODE)) } dd { (visit.t(code_word(product.content_code))) }
                dt { (visit.t(words::RETENTION)) } dd { (product.retention) }
            }
        }
    }
}

pub(super) fn profile_word(profile: Profile) -> Word {
    match profile {
        Profile::Default => words::PROFILE_DEFAULT,
        Profile::Nbiot => words::PROFILE_NBIOT,
    }
}

pub(super) fn code_word(code: ContentCode) -> Word {
    match code {
        ContentCode::Content => words::CONTENT_205,
        ContentCode::Changed => words::CONTENT_204,
    }
}
