//! Firmware: images, who gets them, and how far that is.

mod acts;
mod image;
mod offer;

use axum::{Router, extract::Query, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    firmware::{ImageFile, ImageView, PausedBy, RolloutShown},
    page::Page,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::{Deserialize, Serialize};

use super::{
    ask::with_query,
    layout::{Here, Sheet},
    parts::Tone,
    visit::{Shown, Trouble, Visit},
    words::{self, Word},
};

const PATH: &str = "/console/firmware";

/// Images of a page.
const ROWS: usize = 100;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(list)).merge(image::routes()).merge(offer::routes()).merge(acts::routes())
}

/// The page of an image.
fn path_of(image: &str) -> String {
    format!("{PATH}/{}", path_part(image))
}

/// Where the API has it.
fn api_path(image: &str) -> String {
    format!("/api/v1/firmware/{}", path_part(image))
}

/// An image for one of its pages.
///
/// # Errors
/// The API's problem.
async fn read(visit: &Visit, image: &str) -> Result<ImageView, Trouble> {
    visit.read(&api_path(image)).await
}

/// The frame of one of its pages.
fn sheet(image: &ImageView) -> Sheet {
    Sheet::new(Here::Firmware, format!("{} · {}", image.version, image.product_key))
}

/// What stands in the address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    product: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
}

impl Wanted {
    fn path(&self) -> String {
        with_query(PATH, self)
    }
}

async fn list(visit: Visit, Query(wanted): Query<Wanted>) -> Shown {
    let query = Wanted { from: String::new(), ..wanted.clone() };
    let page: Result<Page<ImageView>, _> = visit.read(&with_query("/api/v1/firmware", &query)).await;
    let sheet = Sheet::new(Here::Firmware, visit.t(words::FW));
    let filter = filter(&visit, &wanted);
    let images = match page {
        Ok(page) => page.items,
        Err(Trouble(problem)) => {
            let content = html! { (filter) (visit.problem(&problem)) };
            return Ok(visit.page(sheet.with_status(problem.status), &content));
        }
    };
    let content = html! {
        @if !images.is_empty() || !wanted.product.is_empty() { (filter) }
        (table(&visit, &wanted, &images))
        @if visit.may(Needs::Administer) { (upload(&visit, &wanted)) }
    };
    Ok(visit.page(sheet, &content))
}

fn filter(visit: &Visit, wanted: &Wanted) -> Markup {
    html! {
        form.filters role="search" action=(PATH) {
            label.wide {
                (visit.t(words::FILTER_PRODUCT))
                input name="product" value=(wanted.product) autocapitalize="none" spellcheck="false";
            }
            button { (visit.t(words::FILTER)) }
        }
        @if !wanted.product.is_empty() {
            @let values = [("name", visit.t(words::FILTER_PRODUCT)), ("value", &*wanted.product)];
            div.chips { (visit.chip(&visit.say(words::CHIP, &values), PATH)) }
        }
    }
}

/// The list of a product's images.
fn of_product(product: &str) -> String {
    Wanted { product: product.to_owned(), ..Wanted::default() }.path()
}

/// The newest first.
fn table(visit: &Visit, wanted: &Wanted, images: &[ImageView]) -> Markup {
    let from = wanted.from.parse().unwrap_or(0_usize).min(images.len());
    let rows: Vec<_> = images.iter().rev().skip(from).take(ROWS).collect();
    let at = |from: String| Wanted { from, ..wanted.clone() }.path();
    let end = from + rows.len();
    let next = (end < images.len()).then(|| at(end.to_string()));
    let first = (from > 0).then(|| at(String::new()));
    let columns = [
        words::FW_VERSION,
        words::PRODUCT,
        words::FW_ROLLOUT,
        words::FW_SIZE,
        words::FW_UPLOADED,
        words::FW_FILE,
    ];
    let labels = columns.map(|word| visit.t(word));
    if rows.is_empty() {
        let word = match visit.may(Needs::Administer) {
            true => words::FW_NONE_STEP,
            false => words::FW_NONE_VIEWER,
        };
        return visit.empty(words::FW_NONE, words::FW_NONE_TEXT, &html! { (visit.t(word)) });
    }
    html! {
        div.scroll {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody {
                    @for image in rows {
                        tr data-row {
                            th scope="row" data-label=(labels[0]) {
                                a href=(path_of(&image.image_id)) { (image.version) }
                            }
                            td data-label=(labels[1]) {
                                a href=(of_product(&image.product_key)) { (image.product_key) }
                            }
                            td data-label=(labels[2]) { (rollout(visit, image.rollout)) }
                            td data-label=(labels[3]) { (visit.preferences.bytes(image.size)) }
                            td data-label=(labels[4]) { (visit.time(image.uploaded_at)) }
                            td data-label=(labels[5]) { (file(visit, image.file)) }
                        }
                    }
                }
            }
        }
        (visit.pages(first.as_deref(), next.as_deref()))
    }
}

/// To whom it is offered, and whether that goes on.
fn rollout(visit: &Visit, rollout: Option<RolloutShown>) -> Markup {
    let Some(RolloutShown { share, paused_by, .. }) = rollout else {
        return visit.word(Tone::Calm, visit.t(words::FW_NOT_OFFERED));
    };
    let (tone, word) = match paused_by {
        None => (Tone::Good, words::FW_GOES_ON),
        Some(PausedBy::Operator) => (Tone::Watch, words::FW_PAUSED),
        Some(PausedBy::Failures) => (Tone::Act, words::FW_PAUSED_BY_FAILURES),
    };
    html! {
        (visit.word(tone, visit.t(word)))
        " · " span.soft { (share_of(visit, share)) }
    }
}

fn share_of(visit: &Visit, share: Option<u8>) -> String {
    match share {
        Some(share) => visit.say(words::FW_SHARE, &[("share", &share.to_string())]),
        None => visit.t(words::FW_NAMED).to_owned(),
    }
}

fn file(visit: &Visit, file: ImageFile) -> Markup {
    let (tone, word) = match file {
        ImageFile::Stored => (Tone::Good, words::FW_STORED),
        ImageFile::Missing => (Tone::Act, words::FW_MISSING),
        ImageFile::Damaged => (Tone::Act, words::FW_DAMAGED),
        ImageFile::Unreadable => (Tone::Act, words::FW_UNREADABLE),
    };
    visit.word(tone, visit.t(word))
}

/// How an image gets here.
fn upload(visit: &Visit, wanted: &Wanted) -> Markup {
    let product = if wanted.product.is_empty() { "PK" } else { &wanted.product };
    html! {
        section.panel {
            h2 { (visit.t(words::FW_UPLOAD)) }
            form.narrow data-upload data-stopped=(visit.t(words::FW_UPLOAD_STOPPED)) {
                (visit.token_field())
                label {
                    (visit.t(words::FILTER_PRODUCT))
                    input name="product" value=(wanted.product) autocapitalize="none" spellcheck="false"
                        required;
                }
                label {
                    (visit.t(words::FW_VERSION))
                    input name="version" maxlength="64" autocapitalize="none" spellcheck="false"
                        autocomplete="off" required;
                }
                label { (visit.t(words::FW_FILE)) input type="file" name="file" required; }
                progress max="1" value="0" hidden aria-label=(visit.t(words::FW_UPLOAD)) {}
                p.alert role="alert" hidden {}
                // The script sends the form, and no browser by itself: the token would be in the address.
                p.buttons { button.first disabled { (visit.t(words::FW_UPLOAD_GO)) } }
            }
            p { (visit.t(words::FW_UPLOAD_TEXT)) }
            (visit.line_to_paste(&visit.say(words::FW_UPLOAD_LINE, &[("product", product)])))
        }
    }
}

/// What an image says in a list of facts, with its name.
fn fact(visit: &Visit, name: Word, value: &Markup) -> Markup {
    html! { dt { (visit.t(name)) } dd { (value) } }
}
