//! A new device, whose secret is shown once.

use axum::{Router, extract::Query, http::Method, routing::get};
use maud::html;
use narrowgate_api::{
    device::{DeviceCreated, NewDeviceRequest},
    page::Page,
    problem::Problem,
    product::ProductRow,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;

use super::path_of;
use crate::console::{
    ask::Act,
    device,
    layout::{Here, Sheet},
    parts::ONCE,
    visit::{Sent, Shown, Trouble, Visit},
    words,
};

const PATH: &str = "/console/devices/new";

/// Products that are offered in a list.
const PRODUCTS_MAX: usize = 200;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(ask).post(create))
}

/// What is in the fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Fields {
    product: String,
    key: String,
    name: String,
}

async fn ask(visit: Visit, Query(fields): Query<Fields>) -> Shown {
    visit.require(Needs::Administer)?;
    page(&visit, &fields, None).await
}

async fn page(visit: &Visit, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let products: Page<ProductRow> = visit.read("/api/v1/products").await?;
    let sheet = Sheet::new(Here::Devices, visit.t(words::CREATE_TITLE));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    let mut known: Vec<_> = products
        .items
        .iter()
        .filter_map(|row| match row {
            ProductRow::Intact(product) => Some((&product.product_key, &product.name)),
            ProductRow::Damaged(_) => None,
        })
        .collect();
    // The API gives all of them.
    let are_all = known.len() <= PRODUCTS_MAX;
    known.truncate(PRODUCTS_MAX);
    let content = html! {
        @if let Some(problem) = problem { (visit.problem(problem)) }
        @if known.is_empty() {
            p.notice.watch { (visit.t(words::CREATE_NO_PRODUCT)) }
            p { a.button.first href="/console/new-product" { (visit.t(words::PRODUCTS_NONE_STEP)) } }
        } @else {
            form.narrow.panel method="post" action=(PATH) {
                (visit.token_field())
                (visit.once_field())
                label {
                    (visit.t(words::CREATE_PRODUCT))
                    @if are_all {
                        select name="product" required {
                            @for (key, name) in &known {
                                option value=(key) selected[**key == fields.product] { (name) " · " (key) }
                            }
                        }
                    } @else {
                        input name="product" value=(fields.product) list="products" required;
                        datalist #products { @for (key, name) in &known { option value=(key) { (name) } } }
                    }
                }
                label {
                    (visit.t(words::CREATE_KEY))
                    input name="key" value=(fields.key) autocapitalize="none" spellcheck="false"
                        autocomplete="off" aria-describedby="key-hint";
                }
                p.hint #key-hint { (visit.t(words::CREATE_KEY_HINT)) }
                label {
                    (visit.t(words::CREATE_NAME))
                    input name="name" value=(fields.name) autocomplete="off" aria-describedby="name-hint";
                }
                p.hint #name-hint { (visit.t(words::CREATE_NAME_HINT)) }
                p.buttons { button.first { (visit.t(words::CREATE)) } }
            }
        }
    };
    Ok(visit.page(sheet, &content))
}

async fn create(visit: Visit, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let [product, key, name] = ["product", "key", "name"].map(|name| form.text(name));
    let once = form.text(ONCE);
    let fields = Fields { product, key, name };
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let new = NewDeviceRequest {
        device_key: given(&fields.key),
        name: given(&fields.name),
        ..NewDeviceRequest::default()
    };
    let path = format!("/api/v1/products/{}/devices", path_part(&fields.product));
    match visit.act(Act::new(Method::POST, &path).once(&once).secret(), &new).await {
        Ok(created) => created_page(&visit, &created).await,
        Err(Trouble(problem)) => page(&visit, &fields, Some(&*problem)).await,
    }
}

async fn created_page(visit: &Visit, created: &DeviceCreated) -> Shown {
    let DeviceCreated { asset_id, product_key, device_key, device_secret, warnings } = created;
    let path = path_of(product_key, device_key);
    let keys = device::keys_of(visit, product_key, device_key).await;
    let title = visit.say(words::CREATED_TITLE, &[("device", device_key)]);
    let content = html! {
        p.notice role="status" { (visit.t(words::SECRET_ONCE)) }
        @for warning in warnings { p.notice.watch lang="en" { (warning) } }
        section.panel {
            dl.facts {
                dt { (visit.t(words::PRODUCT)) } dd { (visit.copyable(product_key)) }
                dt { (visit.t(words::CREATE_KEY)) } dd { (visit.copyable(device_key)) }
                dt { (visit.t(words::SECRET)) } dd { (visit.copyable(device_secret.expose())) }
                dt { (visit.t(words::ASSET)) } dd { (visit.copyable(asset_id)) }
            }
        }
        @if let Ok(keys) = &keys { (device::lines_of(visit, keys)) }
        p { a.button.first href=(path) { (visit.t(words::WAIT_FOR_IT)) } }
    };
    Ok(visit.page(Sheet::new(Here::Devices, title), &content))
}
