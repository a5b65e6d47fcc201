//! The pages of a device: what happened to this one? A head with its state, tabs, and a page for each.

mod acts;
mod commands;
mod data;
mod keys;
mod log;
mod overview;
mod units;
mod waiting;

use axum::Router;
use maud::{Markup, html};
use narrowgate_api::{
    device::{DeviceView, ShownState},
    names::UnixMillis,
    properties::PropertiesView,
};
use narrowgate_platform::service::path_part;
use serde::Deserialize;

pub(super) use self::keys::{keys_of, lines_of};
use super::{
    devices::path_of,
    layout::{Here, Sheet},
    visit::{Trouble, Visit},
    words::{self, Word},
};

pub(super) fn routes() -> Router {
    Router::new()
        .merge(overview::routes())
        .merge(acts::routes())
        .merge(commands::routes())
        .merge(data::routes())
        .merge(keys::routes())
        .merge(log::routes())
}

/// A tab of the page of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Data,
    Commands,
    Log,
    Session,
}

/// The tabs in their order, each with the end of its path.
const TABS: &[(Tab, &str, Word)] = &[
    (Tab::Overview, "", words::TAB_OVERVIEW),
    (Tab::Data, "/data", words::DATA),
    (Tab::Commands, "/commands", words::TAB_COMMANDS),
    (Tab::Log, "/log", words::TAB_LOG),
    (Tab::Session, "/session", words::TAB_SESSION),
];

/// A device as the API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) device: DeviceView,
    #[serde(default)]
    tags: PropertiesView,
    firmware: Option<String>,
    #[serde(default)]
    session: Option<Session>,
}

/// Its session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    peer: String,
    suite: Option<String>,
    cid: Option<String>,
    since: UnixMillis,
}

/// A device by both keys, as the path of a page has them.
pub(super) type Keys = (String, String);

/// Where the API has a device.
pub(super) fn api_path((product, device): &Keys) -> String {
    format!("/api/v1/products/{}/devices/{}", path_part(product), path_part(device))
}

/// A device for one of its pages.
///
/// # Errors
/// The API's problem.
pub(super) async fn read(visit: &Visit, keys: &Keys) -> Result<Detail, Trouble> {
    visit.read(&api_path(keys)).await
}

impl Detail {
    /// The path of its first page.
    pub(super) fn path(&self) -> String {
        path_of(&self.device.product_key, &self.device.device_key)
    }

    /// Since when its state is what it is.
    fn since(&self) -> Option<UnixMillis> {
        match self.device.state {
            ShownState::Inactive => Some(self.device.created_time),
            ShownState::Online => self.device.last_online_time,
            ShownState::Offline => self.device.last_offline_time,
            ShownState::Disabled => None,
        }
    }

    /// The frame of one of its pages.
    pub(super) fn sheet(&self) -> Sheet {
        let DeviceView { device_key, name, .. } = &self.device;
        let title = if name.is_empty() { device_key.clone() } else { format!("{name} · {device_key}") };
        Sheet::new(Here::Devices, title).back_to(self.path())
    }

    /// The events of this device, for `Sheet::follows`.
    pub(super) fn events(&self, types: &str) -> String {
        let DeviceView { product_key, device_key, .. } = &self.device;
        format!("product={}&device={}&types={types}", path_part(product_key), path_part(device_key))
    }

    /// What each of its pages begins with.
    pub(super) fn head(&self, visit: &Visit, tab: Tab) -> Markup {
        let DeviceView { device_key, name, state, .. } = &self.device;
        html! {
            div.verdict {
                h1 { @if name.is_empty() { (device_key) } @else { (name) } }
                p #state data-live {
                    (visit.device_state(*state))
                    @if let Some(since) = self.since() {
                        @let time = visit.preferences.length(since, visit.now);
                        " " span.soft title=(visit.preferences.exact(since)) {
                            (visit.say(words::SINCE, &[("time", &time)]))
                        }
                    }
                }
            }
            nav.tabs aria-label=(visit.t(words::TABS)) {
                @for (other, end, word) in TABS {
                    a href={ (self.path()) (end) } aria-current=[(*other == tab).then_some("page")] {
                        (visit.t(*word))
                    }
                }
            }
        }
    }
}
