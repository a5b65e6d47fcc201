//! A new product, whose secret is shown once.

use axum::{Router, http::Method, routing::get};
use maud::html;
use narrowgate_api::{
    problem::Problem,
    product::{DataFormat, NewProduct, ProductCreated},
};
use narrowgate_platform::{model::access::Needs, service::path_part};

use super::{format_word, path_of};
use crate::console::{
    ask::Act,
    layout::{Here, Sheet},
    parts::ONCE,
    visit::{Sent, Shown, Trouble, Visit},
    words,
};

/// Not below the list: a product may be called by any word.
pub(super) const PATH: &str = "/console/new-product";

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(ask).post(create))
}

/// What is in the fields.
#[derive(Debug, Clone, Default)]
struct Fields {
    name: String,
    key: String,
    is_custom: bool,
}

async fn ask(visit: Visit) -> Shown {
    visit.require(Needs::Administer)?;
    page(&visit, &Fields::default(), None)
}

fn page(visit: &Visit, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let sheet = Sheet::new(Here::Products, visit.t(words::PRODUCT_CREATE_TITLE));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    let formats = [(DataFormat::Json, ""), (DataFormat::Custom, "custom")];
    let content = html! {
        @if let Some(problem) = problem { (visit.problem(problem)) }
        form.narrow.panel method="post" action=(PATH) {
            (visit.token_field())
            (visit.once_field())
            label {
                (visit.t(words::PRODUCT_NAME))
                input name="name" value=(fields.name) required autocomplete="off"
                    aria-describedby="name-hint";
            }
            p.hint #name-hint { (visit.t(words::PRODUCT_NAME_HINT)) }
            label {
                (visit.t(words::PRODUCT_FORMAT))
                select name="format" {
                    @for (format, value) in formats {
                        option value=(value) selected[fields.is_custom == (format == DataFormat::Custom)] {
                            (visit.t(format_word(format)))
                        }
                    }
                }
            }
            label {
                (visit.t(words::PRODUCT_KEY))
                input name="key" value=(fields.key) autocapitalize="none" spellcheck="false"
                    autocomplete="off" aria-describedby="key-hint";
            }
            p.hint #key-hint { (visit.t(words::PRODUCT_KEY_HINT)) }
            p.buttons { button.first { (visit.t(words::PRODUCT_CREATE)) } }
        }
    };
    Ok(visit.page(sheet, &content))
}

async fn create(visit: Visit, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let [name, key, format, once] = ["name", "key", "format", ONCE].map(|name| form.text(name));
    let fields = Fields { name, key, is_custom: format == "custom" };
    let new = NewProduct {
        name: fields.name.clone(),
        product_key: Some(fields.key.clone()).filter(|key| !key.is_empty()),
        data_format: fields.is_custom.then_some(DataFormat::Custom),
        ..NewProduct::default()
    };
    match visit.act(Act::new(Method::POST, "/api/v1/products").once(&once).secret(), &new).await {
        Ok(created) => Ok(created_page(&visit, &created)),
        Err(Trouble(problem)) => page(&visit, &fields, Some(&*problem)),
    }
}

fn created_page(visit: &Visit, created: &ProductCreated) -> axum::response::Response {
    let ProductCreated { product_key, product_secret, name, warnings, .. } = created;
    let title = visit.say(words::PRODUCT_CREATED_TITLE, &[("product", name)]);
    let device = format!("/console/devices/new?product={}", path_part(product_key));
    let content = html! {
        p.notice role="status" { (visit.t(words::PRODUCT_SECRET_ONCE)) }
        @for warning in warnings { p.notice.watch lang="en" { (warning) } }
        section.panel {
            dl.facts {
                dt { (visit.t(words::PRODUCT_KEY)) } dd { (visit.copyable(product_key)) }
                dt { (visit.t(words::PRODUCT_SECRET)) } dd { (visit.copyable(product_secret.expose())) }
            }
        }
        p.buttons {
            a.button.first href=(device) { (visit.t(words::PRODUCT_FIRST_DEVICE)) }
            a.button href=(path_of(product_key)) { (visit.t(words::PRODUCT_OPEN)) }
        }
    };
    visit.page(Sheet::new(Here::Products, title), &content)
}
