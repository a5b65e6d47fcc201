//! Devices: which need me?

mod bulk;
mod create;
mod filter;
mod jobs;

use axum::{Router, extract::Query, response::Response, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    device::{DeviceRow, DeviceView},
    page::Page,
    problem::Problem,
};
use narrowgate_platform::{model::access::Needs, service::path_part};

pub(super) use self::filter::Filter;
use super::{
    ask::with_query,
    layout::{Here, Sheet},
    parts::Tone,
    see_other,
    visit::{Shown, Trouble, Visit},
    words,
};

pub(super) const PATH: &str = "/console/devices";

/// A list with more rows has a way over it: each row stops Tab three times.
const SKIPPED_FROM: usize = 10;

/// Rows of a page: with 100, hostile names would make it too long.
const ROWS: u32 = 50;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(list)).merge(bulk::routes()).merge(create::routes()).merge(jobs::routes())
}

/// The path of the page of a device.
pub(super) fn path_of(product_key: &str, device_key: &str) -> String {
    format!("{PATH}/{}/{}", path_part(product_key), path_part(device_key))
}

async fn list(visit: Visit, Query(filter): Query<Filter>) -> Shown {
    if let Some(said) = filter.unknown(&visit) {
        return Ok(not_understood(&visit, &filter, &said));
    }
    let asked = filter.list(visit.now, ROWS);
    let read: Result<Page<DeviceRow>, _> = visit.read(&with_query("/api/v1/devices", &asked)).await;
    let page = match read {
        Ok(page) => page,
        // Such as a product that there is not: the filter is there to be corrected.
        Err(Trouble(problem)) => return Ok(refused(&visit, &filter, &problem)),
    };
    if let (true, [DeviceRow::Intact(device)], None) = (filter.is_search(), &*page.items, &page.next_cursor)
        && device.device_key == filter.q
    {
        return Ok(see_other(&path_of(&device.product_key, &device.device_key)));
    }
    let sheet = Sheet::new(Here::Devices, visit.t(words::DEVICES));
    // Of a server without devices there is nothing to be found.
    let is_new = filter == Filter::default() && page.items.is_empty();
    let content = html! {
        div.verdict {
            h1 { (visit.t(words::DEVICES)) }
            @if visit.may(Needs::Administer) {
                a.button.first href={ (PATH) "/new" } { (visit.t(words::NEW_DEVICE)) }
            }
            a.button href="/console/jobs" { (visit.t(words::JOBS)) }
        }
        @if !is_new { (filter.form(&visit)) }
        (filter.chips(&visit))
        (rows(&visit, &filter, &page))
    };
    Ok(visit.page_with_heading(sheet, &content))
}

fn refused(visit: &Visit, filter: &Filter, problem: &Problem) -> Response {
    let sheet = Sheet::new(Here::Devices, visit.t(words::DEVICES)).with_status(problem.status);
    let content = html! {
        (filter.form(visit))
        (filter.chips(visit))
        (visit.problem(problem))
        (without_filters(visit))
    };
    visit.page(sheet, &content)
}

/// Where somebody goes on who does not see what is wrong with a filter.
fn without_filters(visit: &Visit) -> Markup {
    html! { p { a.button href=(PATH) { (visit.t(words::NONE_FOUND_STEP)) } } }
}

/// The filter is there to be corrected.
pub(super) fn not_understood(visit: &Visit, filter: &Filter, said: &str) -> Response {
    let sheet = Sheet::new(Here::Devices, visit.t(words::DEVICES)).with_status(422);
    let content = html! {
        (filter.form(visit))
        (filter.chips(visit))
        p.alert role="alert" { (said) }
        (without_filters(visit))
    };
    visit.page(sheet, &content)
}

fn rows(visit: &Visit, filter: &Filter, page: &Page<DeviceRow>) -> Markup {
    let next = page.next_cursor.as_deref().map(|cursor| filter.at(cursor, visit.now));
    let first = (!filter.cursor.is_empty()).then(|| filter.first().path());
    let pages = visit.pages(first.as_deref(), next.as_deref());
    if page.items.is_empty() {
        return html! {
            @if next.is_some() { p.notice { (visit.t(words::MORE_BEHIND)) } }
            @else { (nothing(visit, filter)) }
            (pages)
        };
    }
    let is_long = page.items.len() > SKIPPED_FROM;
    let table = html! {
        @if is_long { a.skip href="#behind" { (visit.t(words::SKIP_LIST)) } }
        div.scroll {
            table.rows {
                thead {
                    tr {
                        @if visit.may(Needs::Operate) { th {} }
                        @for label in labels(visit) { th { (label) } }
                    }
                }
                tbody {
                    @for device in &page.items {
                        tr data-row { (row(visit, filter, device)) }
                    }
                }
            }
        }
        @if is_long { div #behind tabindex="-1" {} }
    };
    html! {
        @if visit.may(Needs::Operate) {
            form method="post" action=(bulk::PATH) {
                (visit.token_field())
                (filter.fields())
                (table)
                (bulk::choice(visit, filter))
            }
        } @else { (table) }
        (pages)
    }
}

fn labels(visit: &Visit) -> [&'static str; 6] {
    let columns =
        [words::STATE, words::KEY, words::NAME, words::PRODUCT, words::LAST_SEEN, words::LIFETIME_COLUMN];
    columns.map(|word| visit.t(word))
}

fn row(visit: &Visit, filter: &Filter, device: &DeviceRow) -> Markup {
    match device {
        DeviceRow::Intact(device) => intact(visit, filter, device),
        DeviceRow::Damaged(device) => html! {
            @if visit.may(Needs::Operate) { td {} }
            td { (visit.word(Tone::Act, visit.t(words::STATE_DAMAGED))) }
            th scope="row" { code { (device.device_key) } }
            td {}
            td { (device.product_key.as_deref().unwrap_or_default()) }
            td lang="en" { (device.detail) }
            td {}
        },
    }
}

fn intact(visit: &Visit, filter: &Filter, device: &DeviceView) -> Markup {
    let [state, key, name, product, seen, lifetime] = labels(visit);
    let of_product = Filter { product: device.product_key.clone(), ..filter.first() };
    let value = [&device.product_key, &device.device_key].map(|key| path_part(key)).join("/");
    html! {
        @if visit.may(Needs::Operate) {
            td {
                input type="checkbox" name="device" value=(value)
                    aria-label=(visit.say(words::CHOOSE, &[("name", &device.device_key)]));
            }
        }
        td data-label=(state) { (visit.device_state(device.state)) }
        th scope="row" data-label=(key) {
            a href=(path_of(&device.product_key, &device.device_key)) { (device.device_key) }
        }
        td data-label=(name) { (device.name) }
        td data-label=(product) { a href=(of_product.path()) { (device.product_key) } }
        td data-label=(seen) { (visit.time_or_never(device.last_seen_time)) }
        td data-label=(lifetime) {
            @if let Some(lifetime) = device.lifetime { (visit.preferences.duration(u64::from(lifetime))) }
        }
    }
}

fn nothing(visit: &Visit, filter: &Filter) -> Markup {
    if filter.is_any() {
        let step = html! {
            @if visit.may(Needs::Administer) {
                a.button.first href={ (PATH) "/new" } { (visit.t(words::NO_DEVICES_STEP)) }
            }
        };
        return visit.empty(words::NO_DEVICES, words::NO_DEVICES_TEXT, &step);
    }
    let step = html! { a.button href=(PATH) { (visit.t(words::NONE_FOUND_STEP)) } };
    visit.empty(words::NONE_FOUND, words::NONE_FOUND_TEXT, &step)
}
