//! What is done to a device: rename, switch, disconnect, reset, delete.

use axum::{
    Router,
    extract::Path,
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::device::{DevicePatch, DeviceReset, DeviceRow, DeviceView};
use narrowgate_platform::model::access::Needs;

use super::{Detail, Keys, Tab, api_path, keys, read};
use crate::console::{
    ask::Act,
    devices,
    layout::Sheet,
    parts::{Confirm, ONCE, TYPED},
    see_other,
    visit::{Sent, Shown, Trouble, Visit},
    words::{self, Word},
};

pub(super) fn routes() -> Router {
    let device = "/console/devices/{product}/{device}";
    Router::new()
        .route(&format!("{device}/name"), post(rename))
        .route(&format!("{device}/enable"), post(enable))
        .route(&format!("{device}/disconnect"), post(disconnect))
        .route(&format!("{device}/disable"), get(ask_disable).post(disable))
        .route(&format!("{device}/reset"), get(ask_reset).post(reset))
        .route(&format!("{device}/delete"), get(ask_delete).post(delete))
}

pub(super) fn panel(visit: &Visit, detail: &Detail) -> Markup {
    let path = detail.path();
    html! {
        section.panel {
            h2 { (visit.t(words::ACTS)) }
            form.filters method="post" action={ (path) "/name" } {
                (visit.token_field())
                label.wide {
                    (visit.t(words::NAME))
                    input name="name" value=(detail.device.name) autocomplete="off";
                }
                button { (visit.t(words::RENAME)) }
            }
            div.buttons {
                @if detail.device.enabled {
                    a.button href={ (path) "/disable" } { (visit.t(words::SWITCH_OFF)) }
                    (visit.button(&format!("{path}/disconnect"), words::DISCONNECT))
                } @else {
                    (visit.button(&format!("{path}/enable"), words::SWITCH_ON))
                }
                @if visit.may(Needs::Administer) {
                    a.button href={ (path) "/reset" } { (visit.t(words::RESET)) }
                    a.button.danger href={ (path) "/delete" } { (visit.t(words::DELETE)) }
                }
            }
        }
    }
}

/// An act that needs no question.
async fn act(visit: &Visit, keys: &Keys, act: &str) -> Shown {
    let path = format!("{}:{act}", api_path(keys));
    let _: DeviceView = visit.act(Act::new(Method::POST, &path), &()).await?;
    Ok(see_other(&devices::path_of(&keys.0, &keys.1)))
}

async fn enable(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    act(&visit, &keys, "enable").await
}

async fn disconnect(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    act(&visit, &keys, "disconnect").await
}

async fn rename(visit: Visit, Path(keys): Path<Keys>, mut form: Sent) -> Shown {
    let patch = DevicePatch { name: form.text("name") };
    let _: DeviceView = visit.act(Act::new(Method::PATCH, &api_path(&keys)), &patch).await?;
    Ok(see_other(&devices::path_of(&keys.0, &keys.1)))
}

/// What is asked before something is done that is not undone by a click.
struct Question {
    /// The end of its path.
    end: &'static str,
    does: Word,
    button: Word,
    needs: Needs,
}

const DISABLE: Question = Question {
    end: "/disable",
    does: words::DOES_SWITCH_OFF,
    button: words::SWITCH_OFF,
    needs: Needs::Operate,
};
const RESET: Question =
    Question { end: "/reset", does: words::DOES_RESET, button: words::RESET, needs: Needs::Administer };
const DELETE: Question = Question {
    end: "/delete",
    does: words::DOES_DELETE_ONE,
    button: words::DELETE,
    needs: Needs::Administer,
};

async fn ask(visit: &Visit, keys: &Keys, question: &Question, wrong: bool) -> Shown {
    visit.require(question.needs)?;
    let detail = read(visit, keys).await?;
    let (path, name) = (detail.path(), &detail.device.device_key);
    let said = wrong.then(|| visit.not_confirmed(name));
    let confirm = Confirm {
        action: &format!("{path}{}", question.end),
        does: &visit.say(question.does, &[("device", name)]),
        name,
        button: question.button,
        back: &path,
        fields: visit.once_field(),
        said: said.as_deref(),
    };
    let content = html! { (detail.head(visit, Tab::Overview)) section.panel { (visit.confirm(&confirm)) } };
    let sheet = detail.sheet().with_status(if wrong { 422 } else { 200 });
    Ok(visit.page_with_heading(sheet, &content))
}

async fn ask_disable(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    ask(&visit, &keys, &DISABLE, false).await
}

async fn ask_reset(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    ask(&visit, &keys, &RESET, false).await
}

async fn ask_delete(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    ask(&visit, &keys, &DELETE, false).await
}

async fn disable(visit: Visit, Path(keys): Path<Keys>, mut form: Sent) -> Shown {
    match form.text(TYPED) == keys.1 {
        true => act(&visit, &keys, "disable").await,
        false => ask(&visit, &keys, &DISABLE, true).await,
    }
}

async fn reset(visit: Visit, Path(keys): Path<Keys>, mut form: Sent) -> Shown {
    if form.text(TYPED) != keys.1 {
        return ask(&visit, &keys, &RESET, true).await;
    }
    let (path, once) = (format!("{}:reset", api_path(&keys)), form.text(ONCE));
    let reset: DeviceReset = visit.act(Act::new(Method::POST, &path).once(&once).secret(), &()).await?;
    let shown = keys::keys_of(&visit, &keys.0, &keys.1).await;
    let title = visit.say(words::RESET_TITLE, &[("device", &keys.1)]);
    let content = html! {
        p.notice role="status" { (visit.t(words::SECRET_ONCE)) }
        section.panel {
            dl.facts { dt { (visit.t(words::SECRET)) } dd { (visit.copyable(reset.device_secret.expose())) } }
        }
        @if let Ok(shown) = &shown { (keys::lines_of(&visit, shown)) }
        p { a.button href=(devices::path_of(&keys.0, &keys.1)) { (visit.t(words::WAIT_FOR_IT)) } }
    };
    let sheet = Sheet::new(crate::console::layout::Here::Devices, title);
    Ok(visit.page(sheet.back_to(devices::path_of(&keys.0, &keys.1)), &content))
}

async fn delete(visit: Visit, Path(keys): Path<Keys>, mut form: Sent) -> Shown {
    if form.text(TYPED) != keys.1 {
        return ask(&visit, &keys, &DELETE, true).await;
    }
    let deleted: Result<DeviceRow, Trouble> =
        visit.act(Act::new(Method::DELETE, &api_path(&keys)), &()).await;
    deleted?;
    let filter = devices::Filter { product: keys.0, ..devices::Filter::default() };
    Ok(see_other(&filter.path()))
}
