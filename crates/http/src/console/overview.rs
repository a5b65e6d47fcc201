//! The overview: is my fleet all right?

use std::cmp::Reverse;

use axum::{Router, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    fleet::{CountsView, Disk, FleetView, RefusalCount, Status},
    history::RefusalView,
    page::Page,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use tokio::time::Instant;

use super::{
    counted::Counted,
    devices,
    layout::{Here, Sheet},
    parts::Tone,
    visit::{HOME, Shown, Visit},
    vitals::Vital,
    words::{self, Word, of_reason},
};

/// Where all that was refused is.
pub(super) const REFUSALS: &str = "/console/refusals";

/// Reasons that are shown with their advice.
const REASONS_MAX: usize = 5;

/// Free space from which on the disk is worth a look, and needs somebody: the store keeps a reserve itself.
const FREE_WATCH_BYTES: u64 = 5 << 30;
const FREE_ACT_BYTES: u64 = 1 << 30;

/// Writes that wait from which on it is worth a look, and needs somebody.
const WAITING_WATCH: u64 = 1_000;
const WAITING_ACT: u64 = 10_000;

pub(super) fn routes() -> Router {
    Router::new().route(HOME, get(show))
}

async fn show(visit: Visit) -> Shown {
    let sheet = Sheet::new(Here::Overview, visit.t(words::OVERVIEW));
    if !visit.may(Needs::ReadAll) {
        let refused: Page<RefusalView> = visit.read(&format!("/api/v1/refusals?limit={REASONS_MAX}")).await?;
        let reports = visit.day_of_reports().await;
        return Ok(visit.page(sheet.refreshed_every(15), &of_unit(&visit, &refused.items, &reports)));
    }
    let counted = Counted::read(&visit).await?;
    let (vital, sheet) = (visit.console.vitals.read(Instant::now()).await, counted.refreshed(sheet));
    let Counted { status, said } = counted;
    let reports = visit.day_of_reports().await;
    let refused = visit.day_of_refusals().await;
    let content = match &status.fleet {
        Some(fleet) if fleet.devices.total == 0 && fleet.refusals_last_hour.is_empty() => html! {
            h1 { (visit.t(words::OVERVIEW)) }
            (nothing_yet(&visit))
            (server(&visit, &status, &vital))
        },
        fleet => html! {
            (verdict(&visit, words::OVERVIEW, &findings(&status, &vital)))
            @if let Some(said) = said { p.notice role="status" { (said) } }
            @if let Some(fleet) = fleet {
                (figures(&visit, fleet, &reports))
                (refusals(&visit, &fleet.refusals_last_hour))
                section.panel { h2 { (visit.t(words::DAY_OF_REFUSALS)) } (refused) }
            }
            (server(&visit, &status, &vital))
            @if let Some(fleet) = fleet { (products(&visit, fleet)) }
        },
    };
    let content = html! { div #overview data-live { (content) } };
    Ok(visit.page_with_heading(sheet, &content))
}

/// Of a user of one unit: the server's numbers are of all, so it has the ways to the unit's devices, their
/// reports, and what was refused of them last.
fn of_unit(visit: &Visit, refused: &[RefusalView], reports: &Markup) -> Markup {
    let states = [
        ("online", words::ONLINE_NOW),
        ("offline", words::SILENT),
        ("inactive", words::STATE_INACTIVE),
        ("disabled", words::STATE_DISABLED),
    ];
    html! {
        section.panel {
            p { (visit.t(words::UNIT_OVERVIEW)) }
            p.buttons {
                a.button.first href="/console/devices" { (visit.t(words::UNIT_DEVICES)) }
                @for (state, word) in states {
                    a.button href={ "/console/devices?state=" (state) } { (visit.t(word)) }
                }
            }
        }
        section.panel #reports data-live {
            h2 { (visit.t(words::REPORTS_PER_MINUTE)) }
            div.spark { (reports) }
        }
        section.panel #refused data-live {
            h2 { (visit.t(words::REFUSED_LAST)) }
            @if refused.is_empty() { p { (visit.t(words::REFUSED_NEVER)) } }
            ol.timeline { @for view in refused { li data-row { (refusal(visit, view)) } } }
        }
    }
}

fn refusal(visit: &Visit, view: &RefusalView) -> Markup {
    let (said, advice) = of_reason(view.entry.reason);
    html! {
        div.soft { (visit.exact_time(view.entry.time)) }
        div {
            p {
                (visit.word(Tone::Act, visit.t(said))) " "
                @if let (Some(product), Some(device)) = (&view.product_key, &view.device_key) {
                    a href=(devices::path_of(product, device)) { (device) }
                }
            }
            @if let Some(detail) = &view.entry.detail { p lang="en" { (detail) } }
            p.hint { (visit.t(advice)) }
        }
    }
}

fn nothing_yet(visit: &Visit) -> Markup {
    let step = html! {
        @if visit.may(Needs::Administer) {
            a.button.first href="/console/new-product" { (visit.t(words::PRODUCTS_NONE_STEP)) }
        } @else { code { (visit.t(words::EMPTY_FLEET_STEP)) } }
    };
    visit.empty(words::EMPTY_FLEET, words::EMPTY_FLEET_TEXT, &step)
}

/// A thing that was looked at: how it stands, what it is called, and where the page says more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) tone: Tone,
    pub(super) what: Word,
    pub(super) at: &'static str,
}

/// What was found of the server and of the fleet.
fn findings(status: &Status, vital: &Vital) -> Vec<Finding> {
    let mut found = findings_of_server(status, vital);
    if status.fleet.as_ref().is_some_and(|fleet| !fleet.refusals_last_hour.is_empty()) {
        found.push(Finding { tone: Tone::Watch, what: words::REFUSED_HOUR, at: "#refused" });
    }
    found
}

/// The same of the server alone.
pub(super) fn findings_of_server(status: &Status, vital: &Vital) -> Vec<Finding> {
    let found = [
        (disk_tone(&status.disk), words::DISK),
        (store_tone(status), words::STORE),
        (commit_tone(vital), words::COMMIT),
        (waiting_tone(vital), words::QUEUE),
    ];
    found.map(|(tone, what)| Finding { tone, what, at: "#server" }).into()
}

/// The heading, what all of these come to, and what of them needs somebody, the most urgent first.
pub(super) fn verdict(visit: &Visit, title: Word, found: &[Finding]) -> Markup {
    let mut named: Vec<_> = found.iter().filter(|finding| finding.tone > Tone::Calm).collect();
    named.sort_by_key(|finding| Reverse(finding.tone));
    let count = |tone| found.iter().filter(|finding| finding.tone == tone).count() as u64;
    let (tone, said) = match (count(Tone::Act), count(Tone::Watch)) {
        (0, 0) => (Tone::Good, visit.t(words::OVERVIEW_WELL).to_owned()),
        (0, watch) => (Tone::Watch, visit.count(words::OVERVIEW_WATCH, watch)),
        (act, _) => (Tone::Act, visit.count(words::OVERVIEW_ACT, act)),
    };
    html! {
        div.verdict {
            h1 { (visit.t(title)) }
            p {
                (visit.word(tone, &said))
                @for Finding { what, at, .. } in named { " · " a href=(at) { (visit.t(*what)) } }
            }
        }
    }
}

fn figures(visit: &Visit, fleet: &FleetView, reports: &Markup) -> Markup {
    let CountsView { total, inactive, online, offline, disabled, .. } = fleet.devices;
    let rate = fleet.reports_per_minute;
    // Tenths, without a float on the page.
    let average = format!("{:.1}", rate.last_hour);
    html! {
        div.cards {
            section.panel {
                h2 { (visit.t(words::ONLINE_NOW)) }
                p.figure { a href="/console/devices?state=online" { (visit.number(online)) } }
                p { (visit.count(words::OF_REGISTERED, total)) }
                p.soft {
                    a href="/console/devices?state=inactive" { (visit.count(words::INACTIVE_TOO, inactive)) }
                    @if disabled > 0 {
                        " · "
                        a href="/console/devices?state=disabled" {
                            (visit.count(words::DISABLED_TOO, disabled))
                        }
                    }
                }
            }
            section.panel {
                h2 { (visit.t(words::SILENT)) }
                p.figure { a href="/console/devices?state=offline" { (visit.number(offline)) } }
                @if offline == 0 { p { (visit.t(words::SILENT_NONE)) } }
                @else { p { a href="/console/devices?state=offline" { (visit.t(words::SILENT_SHOW)) } } }
            }
            section.panel {
                h2 { (visit.t(words::REPORTS_PER_MINUTE)) }
                p.figure { (visit.number(rate.last_minute)) }
                p { (visit.say(words::REPORTS_HOUR, &[("n", &average)])) }
                div.spark { (reports) }
            }
        }
    }
}

fn refusals(visit: &Visit, refused: &[RefusalCount]) -> Markup {
    html! {
        section.panel #refused {
            h2 { (visit.t(words::REFUSED_HOUR)) }
            @if refused.is_empty() { p { (visit.t(words::REFUSED_NONE)) } }
            @else {
                div.scroll {
                    table.rows {
                        thead {
                            tr {
                                th { (visit.t(words::REASON)) }
                                th.number { (visit.t(words::HOW_OFTEN)) }
                                th { (visit.t(words::ADVICE)) }
                            }
                        }
                        tbody {
                            @for RefusalCount { reason, count } in refused.iter().take(REASONS_MAX) {
                                @let (said, advice) = of_reason(*reason);
                                tr data-row {
                                    th scope="row" data-label=(visit.t(words::REASON)) {
                                        @let word = visit.word(Tone::Act, visit.t(said));
                                        @if visit.has(REFUSALS) { a href=(REFUSALS) { (word) } }
                                        @else { (word) }
                                    }
                                    td.number data-label=(visit.t(words::HOW_OFTEN)) {
                                        (visit.number(*count))
                                    }
                                    td data-label=(visit.t(words::ADVICE)) { (visit.t(advice)) }
                                }
                            }
                        }
                    }
                }
                @if visit.has(REFUSALS) { p { a href=(REFUSALS) { (visit.t(words::REFUSED_ALL)) } } }
            }
        }
    }
}

fn disk_tone(disk: &Disk) -> Tone {
    match disk.free_bytes {
        Some(..FREE_ACT_BYTES) => Tone::Act,
        Some(FREE_ACT_BYTES..FREE_WATCH_BYTES) => Tone::Watch,
        _ => Tone::Good,
    }
}

fn store_tone(status: &Status) -> Tone {
    let fails = status.refused_by_store.is_some() || status.unreadable.is_some();
    if fails { Tone::Act } else { Tone::Good }
}

/// Devices wait for each commit: a tenth of a second is slow, a second is a disk that fails.
fn commit_tone(vital: &Vital) -> Tone {
    match vital.commit_s.as_deref().map(|bound| bound.parse::<f64>().unwrap_or(f64::INFINITY)) {
        Some(bound) if bound > 1.0 => Tone::Act,
        Some(bound) if bound > 0.1 => Tone::Watch,
        _ => Tone::Good,
    }
}

fn waiting_tone(vital: &Vital) -> Tone {
    match vital.waiting {
        Some(WAITING_ACT..) => Tone::Act,
        Some(WAITING_WATCH..) => Tone::Watch,
        _ => Tone::Good,
    }
}

/// A thing of the server with its word: well, watch or act.
fn judged(visit: &Visit, tone: Tone) -> Markup {
    let word = match tone {
        Tone::Good | Tone::Calm => words::WORD_WELL,
        Tone::Watch => words::WORD_WATCH,
        Tone::Act => words::WORD_ACT,
    };
    visit.word(tone, visit.t(word))
}

pub(super) fn server(visit: &Visit, status: &Status, vital: &Vital) -> Markup {
    let Disk { registry_bytes, logs_bytes, messages_bytes, backups_bytes, other_bytes, free_bytes } =
        status.disk;
    let used = [registry_bytes, logs_bytes, messages_bytes, backups_bytes, other_bytes]
        .iter()
        .fold(0_u64, |all, bytes| all.saturating_add(*bytes));
    let used = visit.preferences.bytes(used);
    let disk = match free_bytes.map(|bytes| visit.preferences.bytes(bytes)) {
        Some(free) => visit.say(words::DISK_USED, &[("used", &used), ("free", &free)]),
        None => visit.say(words::DISK_USED_ALONE, &[("used", &used)]),
    };
    html! {
        section.panel #server {
            h2 { (visit.t(words::SERVER)) }
            dl.facts {
                dt { (visit.t(words::DISK)) }
                dd { (judged(visit, disk_tone(&status.disk))) " · " (disk) }
                dt { (visit.t(words::STORE)) }
                dd { (judged(visit, store_tone(status))) " · " (store(visit, status)) }
                (vitals(visit, vital))
                dt { (visit.t(words::RUNNING)) }
                dd { (running(visit, status)) }
            }
        }
    }
}

fn store(visit: &Visit, status: &Status) -> Markup {
    html! {
        @if let Some(refused) = &status.refused_by_store {
            (visit.count(words::STORE_REFUSES, refused.last_minute)) " "
            span lang="en" { (refused.reason) }
        } @else if let Some(why) = &status.unreadable {
            (visit.t(words::STORE_UNREADABLE)) " " span lang="en" { (why) }
        } @else {
            (visit.t(words::STORE_WELL))
        }
    }
}

fn vitals(visit: &Visit, vital: &Vital) -> Markup {
    html! {
        @if let Some(bound) = &vital.commit_s {
            dt { (visit.t(words::COMMIT)) }
            dd {
                (judged(visit, commit_tone(vital))) " · "
                @if bound == "+Inf" { (visit.t(words::COMMIT_LONG)) }
                @else { (visit.say(words::COMMIT_SAID, &[("time", bound)])) }
            }
        }
        @if let Some(waiting) = vital.waiting {
            dt { (visit.t(words::QUEUE)) }
            dd { (judged(visit, waiting_tone(vital))) " · " (visit.count(words::QUEUE_SAID, waiting)) }
        }
    }
}

fn running(visit: &Visit, status: &Status) -> Markup {
    let said = match status.since.map(|since| visit.preferences.length(since, visit.now)) {
        Some(time) => visit.say(words::RUNNING_FOR, &[("version", &status.version), ("time", &time)]),
        None => visit.say(words::RUNNING_VERSION, &[("version", &status.version)]),
    };
    html! { (said) }
}

fn products(visit: &Visit, fleet: &FleetView) -> Markup {
    let labels = [words::PRODUCT, words::REGISTERED, words::STATE_ONLINE, words::STATE_OFFLINE];
    let [product, registered, online, offline] = labels.map(|word| visit.t(word));
    html! {
        section.panel {
            h2 { (visit.t(words::BY_PRODUCT)) }
            div.scroll {
                table.rows {
                    thead {
                        tr {
                            th { (product) }
                            th.number { (registered) }
                            th.number { (online) }
                            th.number { (offline) }
                        }
                    }
                    tbody {
                        @for row in &fleet.products {
                            @let path = format!("/console/devices?product={}", path_part(&row.product_key));
                            tr data-row {
                                th scope="row" data-label=(product) {
                                    a href=(path) { (row.name.as_deref().unwrap_or(&row.product_key)) }
                                    " " code { (row.product_key) }
                                }
                                td.number data-label=(registered) { (visit.number(row.devices.total)) }
                                td.number data-label=(online) { (visit.number(row.devices.online)) }
                                td.number data-label=(offline) { (visit.number(row.devices.offline)) }
                            }
                        }
                        @if let Some(others) = fleet.other_products {
                            tr {
                                th scope="row" data-label=(product) {
                                    (visit.count(words::OTHER_PRODUCTS, others.products))
                                }
                                td.number data-label=(registered) { (visit.number(others.devices.total)) }
                                td.number data-label=(online) { (visit.number(others.devices.online)) }
                                td.number data-label=(offline) { (visit.number(others.devices.offline)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
