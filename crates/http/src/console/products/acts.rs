//! What is done to a product: its secret is shown or replaced, it is switched, it is deleted.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::Path,
    http::Method,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    product::{ProductDeleted, ProductPatch, ProductSecretRotated, ProductSecretShown, ProductView},
    secret::SecretText,
};
use narrowgate_platform::model::access::Needs;

use super::{
    PATH, api_path, path_of,
    show::{self, Tab, head, sheet},
};
use crate::console::{
    ask::Act,
    parts::{Confirm, ONCE, TYPED},
    see_other,
    visit::{Sent, Shown, Visit},
    words::{self, Word},
};

/// How long one request deletes devices: each of its steps takes up to 500 of them.
const DELETE_TIME_MAX: Duration = Duration::from_secs(3);

pub(super) fn routes() -> Router {
    let product = "/console/products/{product}";
    Router::new()
        .route(&format!("{product}/secret"), post(show_secret))
        .route(&format!("{product}/enable"), post(enable))
        .route(&format!("{product}/disable"), get(ask_disable).post(disable))
        .route(&format!("{product}/rotate"), get(ask_rotate).post(rotate))
        .route(&format!("{product}/delete"), get(ask_delete).post(delete))
}

pub(super) fn panel(visit: &Visit, product: &ProductView) -> Markup {
    let path = path_of(&product.product_key);
    html! {
        section.panel {
            h2 { (visit.t(words::PRODUCT_ACTS)) }
            div.buttons {
                @if product.enabled {
                    a.button href={ (path) "/disable" } { (visit.t(words::PRODUCT_DISABLE)) }
                } @else {
                    (visit.button(&format!("{path}/enable"), words::PRODUCT_ENABLE))
                }
                a.button.danger href={ (path) "/delete" } { (visit.t(words::PRODUCT_DELETE)) }
            }
        }
    }
}

/// Its secret is shown by a form, not by a link: it is asked for by the page alone.
pub(super) fn secret_panel(visit: &Visit, product: &ProductView) -> Markup {
    let path = path_of(&product.product_key);
    html! {
        section.panel {
            h2 { (visit.t(words::PRODUCT_SECRET)) }
            p { (visit.t(words::PRODUCT_SECRET_TEXT)) }
            div.buttons {
                (visit.button(&format!("{path}/secret"), words::PRODUCT_SECRET_SHOW))
                a.button href={ (path) "/rotate" } { (visit.t(words::PRODUCT_ROTATE)) }
            }
        }
    }
}

async fn show_secret(visit: Visit, Path(key): Path<String>) -> Shown {
    let (product, _) = show::read(&visit, &key).await?;
    let shown: ProductSecretShown = visit.read_secret(&(api_path(&key) + "/secret")).await?;
    let ProductSecretShown { product_secret, psk_hex } = &shown;
    let content = html! {
        (head(&visit, &product, Tab::Overview))
        (secret(&visit, product_secret, Some(psk_hex)))
        p { a.button href=(path_of(&key)) { (visit.t(words::PRODUCT_OPEN)) } }
    };
    Ok(visit.page_with_heading(sheet(&product), &content))
}

fn secret(visit: &Visit, secret: &SecretText, psk_hex: Option<&SecretText>) -> Markup {
    html! {
        section.panel {
            dl.facts {
                dt { (visit.t(words::PRODUCT_SECRET)) } dd { (visit.copyable(secret.expose())) }
                @if let Some(psk_hex) = psk_hex {
                    dt { (visit.t(words::PRODUCT_SECRET_PSK)) } dd { (visit.copyable(psk_hex.expose())) }
                }
            }
        }
    }
}

/// Whether its devices may connect.
async fn switch(visit: &Visit, key: &str, enabled: bool) -> Shown {
    let patch = ProductPatch { enabled: Some(enabled), ..ProductPatch::default() };
    let _: ProductView = visit.act(Act::new(Method::PATCH, &api_path(key)), &patch).await?;
    Ok(see_other(&path_of(key)))
}

async fn enable(visit: Visit, Path(key): Path<String>) -> Shown {
    switch(&visit, &key, true).await
}

/// What is asked before something is done that is not undone by a click.
struct Question {
    /// The end of its path.
    end: &'static str,
    does: Word,
    button: Word,
}

const DISABLE: Question =
    Question { end: "/disable", does: words::DOES_PRODUCT_DISABLE, button: words::PRODUCT_DISABLE };
const ROTATE: Question =
    Question { end: "/rotate", does: words::DOES_PRODUCT_ROTATE, button: words::PRODUCT_ROTATE };
const DELETE: Question =
    Question { end: "/delete", does: words::DOES_PRODUCT_DELETE, button: words::PRODUCT_DELETE };

/// What it will do to how many; the key is to be typed.
async fn ask(visit: &Visit, key: &str, question: &Question, wrong: bool) -> Shown {
    visit.require(Needs::Administer)?;
    let (product, _) = show::read(visit, key).await?;
    let path = path_of(key);
    let counted = show::counts(visit, key).await?.told(visit);
    let said = wrong.then(|| visit.not_confirmed(key));
    let confirm = Confirm {
        action: &format!("{path}{}", question.end),
        does: &visit.say(question.does, &[("product", &product.name), ("devices", &counted)]),
        name: key,
        button: question.button,
        back: &path,
        fields: visit.once_field(),
        said: said.as_deref(),
    };
    let content = html! {
        (head(visit, &product, Tab::Overview))
        section.panel { (visit.confirm(&confirm)) }
    };
    let sheet = sheet(&product).with_status(if wrong { 422 } else { 200 });
    Ok(visit.page_with_heading(sheet, &content))
}

async fn ask_disable(visit: Visit, Path(key): Path<String>) -> Shown {
    ask(&visit, &key, &DISABLE, false).await
}

async fn ask_rotate(visit: Visit, Path(key): Path<String>) -> Shown {
    ask(&visit, &key, &ROTATE, false).await
}

async fn ask_delete(visit: Visit, Path(key): Path<String>) -> Shown {
    ask(&visit, &key, &DELETE, false).await
}

async fn disable(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    match form.text(TYPED) == key {
        true => switch(&visit, &key, false).await,
        false => ask(&visit, &key, &DISABLE, true).await,
    }
}

async fn rotate(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    if form.text(TYPED) != key {
        return ask(&visit, &key, &ROTATE, true).await;
    }
    let (product, _) = show::read(&visit, &key).await?;
    let (path, once) = (api_path(&key) + "/secret:rotate", form.text(ONCE));
    let rotated: ProductSecretRotated =
        visit.act(Act::new(Method::POST, &path).once(&once).secret(), &()).await?;
    let title = visit.say(words::PRODUCT_ROTATED_TITLE, &[("product", &product.name)]);
    let content = html! {
        h1 { (title) }
        p.notice role="status" { (visit.t(words::PRODUCT_SECRET_ONCE)) }
        (secret(&visit, &rotated.product_secret, None))
        p { a.button href=(path_of(&key)) { (visit.t(words::PRODUCT_OPEN)) } }
    };
    Ok(visit.page_with_heading(sheet(&product), &content))
}

/// Step by step for a short time; where more is left, the page says so and goes on by its button.
async fn delete(visit: Visit, Path(key): Path<String>, mut form: Sent) -> Shown {
    if form.text(TYPED) != key {
        return ask(&visit, &key, &DELETE, true).await;
    }
    let (began, mut devices) = (Instant::now(), 0);
    let (product, _) = show::read(&visit, &key).await?;
    let path = api_path(&key) + "?force=true";
    loop {
        let step: ProductDeleted = visit.act(Act::new(Method::DELETE, &path), &()).await?;
        devices += step.devices;
        if step.done {
            return Ok(see_other(PATH));
        }
        if began.elapsed() > DELETE_TIME_MAX {
            return Ok(goes_on(&visit, &product, devices));
        }
    }
}

fn goes_on(visit: &Visit, product: &ProductView, devices: u64) -> Response {
    let key = &product.product_key;
    let content = html! {
        (head(visit, product, Tab::Overview))
        p.notice.watch role="status" { (visit.count(words::PRODUCT_DELETING, devices)) }
        form method="post" action={ (path_of(key)) "/delete" } {
            (visit.token_field())
            input type="hidden" name=(TYPED) value=(key);
            p.buttons {
                button.danger { (visit.t(words::PRODUCT_DELETE_ON)) }
                a.button href=(path_of(key)) { (visit.t(words::CANCEL)) }
            }
        }
    };
    visit.page_with_heading(sheet(product), &content)
}
