//! Products: what do its devices have in common, and how many are there? The list, and the pages of one.

mod acts;
mod create;
mod model;
mod place;
mod script;
mod settings;
mod show;

use axum::{Router, extract::Query, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    page::Page,
    product::{DataFormat, DynamicActivation, ProductRow, ProductView},
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::{Deserialize, Serialize};

use super::{
    ask::with_query,
    layout::{Here, Sheet},
    parts::Tone,
    visit::{Shown, Visit},
    words,
};

pub(super) use self::show::list_all as list_of;

pub(super) const PATH: &str = "/console/products";

/// Rows of a page.
const ROWS: usize = 50;

pub(super) fn routes() -> Router {
    Router::new()
        .route(PATH, get(list))
        .merge(create::routes())
        .merge(show::routes())
        .merge(settings::routes())
        .merge(acts::routes())
        .merge(model::routes())
        .merge(script::routes())
}

/// The path of the page of a product.
pub(super) fn path_of(product_key: &str) -> String {
    format!("{PATH}/{}", path_part(product_key))
}

/// Where the API has it.
pub(super) fn api_path(product_key: &str) -> String {
    format!("/api/v1/products/{}", path_part(product_key))
}

/// What stands in the address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    q: String,
    /// How many rows are passed over.
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
}

impl Wanted {
    fn finds(&self, row: &ProductRow) -> bool {
        let q = self.q.trim().to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&q);
        match row {
            ProductRow::Intact(product) => has(&product.product_key) || has(&product.name),
            ProductRow::Damaged(product) => has(&product.product_key),
        }
    }

    fn at(&self, from: usize) -> String {
        let from = if from == 0 { String::new() } else { from.to_string() };
        with_query(PATH, &Self { from, ..self.clone() })
    }
}

async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Shown {
    let page: Page<ProductRow> = visit.read("/api/v1/products").await?;
    let found: Vec<_> = page.items.iter().filter(|row| wanted.finds(row)).collect();
    let from = wanted.from.parse::<usize>().unwrap_or_default().min(found.len());
    let rest = found.get(from..).unwrap_or_default();
    let first = (from > 0).then(|| wanted.at(0));
    let next = (rest.len() > ROWS).then(|| wanted.at(from + ROWS));
    let content = html! {
        div.verdict {
            h1 { (visit.t(words::PRODUCTS)) }
            @if visit.may(Needs::Administer) {
                a.button.first href=(create::PATH) { (visit.t(words::NEW_PRODUCT)) }
            }
            @if !found.is_empty() {
                span.soft { (visit.count(words::PRODUCTS_COUNT, found.len() as u64)) }
            }
        }
        @if page.items.is_empty() { (nothing(&visit)) }
        @else {
            form.filters action=(PATH) {
                label.wide {
                    (visit.t(words::PRODUCTS_SEARCH))
                    input type="search" name="q" value=(wanted.q) autocapitalize="none" spellcheck="false";
                }
                button { (visit.t(words::FILTER)) }
            }
            @if rest.is_empty() {
                @let step = html! { a.button href=(PATH) { (visit.t(words::PRODUCTS_ALL)) } };
                (visit.empty(words::PRODUCTS_NOT_FOUND, words::PRODUCTS_NOT_FOUND_TEXT, &step))
            } @else { (table(&visit, rest)) }
        }
        (visit.pages(first.as_deref(), next.as_deref()))
    };
    Ok(visit.page_with_heading(Sheet::new(Here::Products, visit.t(words::PRODUCTS)), &content))
}

fn nothing(visit: &Visit) -> Markup {
    let step = html! {
        @if visit.may(Needs::Administer) {
            a.button.first href=(create::PATH) { (visit.t(words::PRODUCTS_NONE_STEP)) }
        } @else { (visit.t(words::PRODUCTS_NONE_VIEWER)) }
    };
    visit.empty(words::PRODUCTS_NONE, words::PRODUCTS_NONE_TEXT, &step)
}

fn table(visit: &Visit, rows: &[&ProductRow]) -> Markup {
    let labels = [
        words::STATE,
        words::PRODUCT_NAME,
        words::PRODUCT_KEY,
        words::PRODUCT_MODEL,
        words::PRODUCT_FORMAT,
        words::ACTIVATION,
        words::CREATED_AT,
    ];
    let labels = labels.map(|word| visit.t(word));
    html! {
        div.scroll {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody {
                    @for row in rows.iter().take(ROWS) {
                        tr data-row {
                            @match row {
                                ProductRow::Intact(product) => (intact(visit, product, labels)),
                                ProductRow::Damaged(product) => {
                                    td data-label=(labels[0]) {
                                        (visit.word(Tone::Act, visit.t(words::STATE_DAMAGED)))
                                    }
                                    td lang="en" data-label=(labels[1]) { (product.detail) }
                                    th scope="row" data-label=(labels[2]) { code { (product.product_key) } }
                                    td {} td {} td {} td {}
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn intact(visit: &Visit, product: &ProductView, labels: [&str; 7]) -> Markup {
    html! {
        td data-label=(labels[0]) { (state(visit, product)) }
        th scope="row" data-label=(labels[1]) {
            a href=(path_of(&product.product_key)) { (product.name) }
        }
        td data-label=(labels[2]) { code { (product.product_key) } }
        td data-label=(labels[3]) { (model_id(visit, product)) }
        td data-label=(labels[4]) { (visit.t(format_word(product.data_format))) }
        td data-label=(labels[5]) { (activation(visit, product.dynamic_activation)) }
        td data-label=(labels[6]) { (visit.time(product.created_at)) }
    }
}

fn state(visit: &Visit, product: &ProductView) -> Markup {
    match product.enabled {
        true => visit.word(Tone::Good, visit.t(words::PRODUCT_ON)),
        false => visit.word(Tone::Act, visit.t(words::PRODUCT_OFF)),
    }
}

fn model_id(visit: &Visit, product: &ProductView) -> Markup {
    match &product.model_id {
        Some(id) => html! { (id) },
        None => html! { span.none { (visit.t(words::PRODUCT_NO_MODEL)) } },
    }
}

fn format_word(format: DataFormat) -> words::Word {
    match format {
        DataFormat::Json => words::FORMAT_JSON,
        DataFormat::Custom => words::FORMAT_CUSTOM,
    }
}

/// The window in which devices may fetch secrets.
fn activation(visit: &Visit, activation: DynamicActivation) -> Markup {
    let until = |word, end| visit.say(word, &[("time", &visit.preferences.ago(end, visit.now))]);
    match (activation.enabled, activation.ends_at) {
        (false, _) => html! { span.none { (visit.t(words::ACTIVATION_IS_OFF)) } },
        (true, None) => visit.word(Tone::Watch, visit.t(words::ACTIVATION_ON)),
        (true, Some(end)) if end > visit.now => visit.word(Tone::Good, &until(words::ACTIVATION_UNTIL, end)),
        (true, Some(end)) => html! { span.none { (until(words::ACTIVATION_OVER, end)) } },
    }
}
