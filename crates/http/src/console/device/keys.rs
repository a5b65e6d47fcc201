//! The secret of a device, its key of DTLS, and whole lines for clients: shown when somebody asks, which is
//! written down.

use axum::{Router, extract::Path, routing::post};
use maud::{Markup, html};
use narrowgate_api::secret::SecretText;
use serde::Deserialize;

use super::{Detail, Keys, Tab, api_path, read};
use crate::console::{
    visit::{Shown, Trouble, Visit},
    words,
};

pub(super) fn routes() -> Router {
    Router::new().route("/console/devices/{product}/{device}/key", post(show))
}

/// What the API shows of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::console) struct KeyShown {
    device_secret: SecretText,
    psk_hex: SecretText,
    identity: String,
    #[serde(default)]
    client_lines: Vec<Line>,
}

/// A command to paste.
#[derive(Debug, Deserialize)]
struct Line {
    tool: String,
    line: SecretText,
}

/// The key of a device. It is written into the log that it was shown.
///
/// # Errors
/// The API's problem.
pub(in crate::console) async fn keys_of(
    visit: &Visit,
    product: &str,
    device: &str,
) -> Result<KeyShown, Trouble> {
    visit.read_secret(&format!("{}/secret", api_path(&(product.to_owned(), device.to_owned())))).await
}

/// A button that shows it.
pub(super) fn offer(visit: &Visit, detail: &Detail) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::KEYS_TITLE)) }
            p { (visit.t(words::KEYS_TEXT)) }
            (visit.button(&(detail.path() + "/key"), words::KEYS_SHOW))
        }
    }
}

/// By a form, not by a link: what shows a secret is asked for by the page alone.
async fn show(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let detail = read(&visit, &keys).await?;
    let shown = keys_of(&visit, &keys.0, &keys.1).await?;
    let content = html! {
        (detail.head(&visit, Tab::Overview))
        section.panel {
            dl.facts { dt { (visit.t(words::SECRET)) } dd { (visit.copyable(shown.device_secret.expose())) } }
        }
        (lines_of(&visit, &shown))
        p { a.button href=(detail.path()) { (visit.t(words::WAIT_FOR_IT)) } }
    };
    Ok(visit.page_with_heading(detail.sheet(), &content))
}

/// Identity, key and lines.
pub(in crate::console) fn lines_of(visit: &Visit, shown: &KeyShown) -> Markup {
    html! {
        section.panel {
            h2 { (visit.t(words::KEYS_TITLE)) }
            dl.facts {
                dt { (visit.t(words::KEYS_IDENTITY)) } dd { (visit.copyable(&shown.identity)) }
                dt { (visit.t(words::KEYS_PSK)) } dd { (visit.copyable(shown.psk_hex.expose())) }
            }
            @if !shown.client_lines.is_empty() {
                h3 { (visit.t(words::KEYS_LINES)) }
                @for Line { tool, line } in &shown.client_lines {
                    p.hint { (tool) }
                    (visit.line_to_paste(line.expose()))
                }
            }
        }
    }
}
