//! An image is offered: to a device, or to a share of its product's devices.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::firmware::{ImageView, NewRollout, RolloutOffered};
use narrowgate_platform::model::access::Needs;
use serde::Deserialize;

use super::{image::head, path_of, read, sheet};
use crate::{
    console::{
        ask::Act,
        parts::{Confirm, TYPED},
        visit::{Sent, Shown, Trouble, Visit},
        words,
    },
    serve::REQUEST_TIME_MAX,
};

/// How long one form offers, part by part: each takes two seconds where the product has more devices.
const OFFER_TIME_MAX: Duration = Duration::from_secs(4);
/// A part that begins just before that time is over, on a store that is slow, and what the page reads.
const REST_TIME: Duration = Duration::from_secs(5);

// Else the page would not be answered, and nobody could go on where it ended.
const _: () = assert!(OFFER_TIME_MAX.as_secs() + REST_TIME.as_secs() < REQUEST_TIME_MAX.as_secs());

pub(super) fn routes() -> Router {
    Router::new().route("/console/firmware/{image}/offer", get(ask).post(offer))
}

/// To whom, as forms and the address of the page that asks have it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Whom {
    /// A key of a device, or `PK/DK`.
    device: String,
    /// Percent, where no device is named.
    share: String,
    /// Where an offer goes on.
    cursor: String,
}

impl Whom {
    fn request(&self, image: &ImageView) -> NewRollout {
        let share = self.share.parse().unwrap_or(0);
        NewRollout {
            image_id: image.image_id.clone(),
            device: Some(self.device.clone()).filter(|device| !device.is_empty()),
            share: self.device.is_empty().then_some(share),
            cursor: Some(self.cursor.clone()).filter(|cursor| !cursor.is_empty()),
        }
    }

    fn fields(&self) -> Markup {
        let values = [("device", &self.device), ("share", &self.share), ("cursor", &self.cursor)];
        html! { @for (name, value) in values { input type="hidden" name=(name) value=(value); } }
    }
}

/// On the page of the image: one device first, then a share.
pub(super) fn form(visit: &Visit, image: &ImageView) -> Markup {
    let action = path_of(&image.image_id) + "/offer";
    let share = image.rollout.and_then(|rollout| rollout.share);
    let next = match share.unwrap_or(0) {
        0..10 => 10,
        10..50 => 50,
        _ => 100,
    };
    html! {
        section.panel {
            h2 { (visit.t(words::FW_OFFER)) }
            p.hint { (visit.t(words::FW_OFFER_HINT)) }
            form.filters action=(action) {
                label.wide {
                    (visit.t(words::FW_OFFER_DEVICE))
                    input name="device" autocapitalize="none" spellcheck="false" autocomplete="off" required;
                }
                button { (visit.t(words::FW_OFFER_TO_DEVICE)) }
            }
            form.filters action=(action) {
                label {
                    (visit.t(words::FW_OFFER_SHARE))
                    input type="number" name="share" min=(share.unwrap_or(1)) max="100" value=(next) required;
                }
                button { (visit.t(words::FW_OFFER_TO_SHARE)) }
            }
        }
    }
}

async fn ask(visit: Visit, Path(id): Path<String>, Query(whom): Query<Whom>) -> Shown {
    visit.require(Needs::Administer)?;
    question(&visit, &read(&visit, &id).await?, &whom, None, None)
}

/// What is asked before it is offered; what was wrong the last time, and what of it with its status.
fn question(
    visit: &Visit,
    image: &ImageView,
    whom: &Whom,
    said: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let path = path_of(&image.image_id);
    let (version, product) = (("version", &*image.version), ("product", &*image.product_key));
    let does = match whom.device.is_empty() {
        false => visit.say(words::FW_DOES_DEVICE, &[version, product, ("device", &whom.device)]),
        true => visit.say(words::FW_DOES_SHARE, &[version, product, ("share", &whom.share)]),
    };
    let confirm = Confirm {
        action: &format!("{path}/offer"),
        does: &does,
        name: &image.version,
        button: words::FW_OFFER,
        back: &path,
        fields: whom.fields(),
        said,
    };
    let status = trouble.map_or(if said.is_some() { 422 } else { 200 }, |Trouble(problem)| problem.status);
    let content = html! {
        (head(visit, image))
        @if let Some(Trouble(problem)) = trouble { (visit.problem(problem)) }
        section.panel { (visit.confirm(&confirm)) }
    };
    Ok(visit.page_with_heading(sheet(image).with_status(status), &content))
}

async fn offer(visit: Visit, Path(id): Path<String>, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let image = read(&visit, &id).await?;
    let [device, share, cursor, typed] = ["device", "share", "cursor", TYPED].map(|name| form.text(name));
    let mut whom = Whom { device, share, cursor };
    if typed != image.version.trim() {
        return question(&visit, &image, &whom, Some(&visit.not_confirmed(&image.version)), None);
    }
    let (began, mut all) = (Instant::now(), None);
    loop {
        let act = Act::new(Method::POST, "/api/v1/rollouts");
        let part: RolloutOffered = match visit.act(act, &whom.request(&image)).await {
            Ok(part) => part,
            Err(trouble) => return question(&visit, &image, &whom, None, Some(&trouble)),
        };
        whom.cursor = part.next_cursor.clone().unwrap_or_default();
        all = Some(sum(all, part));
        if whom.cursor.is_empty() || began.elapsed() >= OFFER_TIME_MAX {
            break;
        }
    }
    // Read anew: it is offered now.
    let image = read(&visit, &id).await?;
    let content = html! {
        (head(&visit, &image))
        @if let Some(all) = all { (offered(&visit, &image, &whom, &all)) }
    };
    Ok(visit.page_with_heading(sheet(&image), &content))
}

/// Two parts of an offer as one.
fn sum(before: Option<RolloutOffered>, part: RolloutOffered) -> RolloutOffered {
    let Some(before) = before else { return part };
    RolloutOffered {
        devices: before.devices + part.devices,
        already_in: before.already_in + part.already_in,
        have_it: before.have_it + part.have_it,
        never_logged_in: before.never_logged_in + part.never_logged_in,
        chosen: before.chosen + part.chosen,
        of: before.of + part.of,
        ..part
    }
}

/// What came of it.
fn offered(visit: &Visit, image: &ImageView, whom: &Whom, all: &RolloutOffered) -> Markup {
    let path = path_of(&image.image_id);
    let facts = [
        (words::FW_OFFERED_NEW, all.devices),
        (words::FW_OFFERED_BEFORE, all.already_in),
        (words::FW_OFFERED_HAVE, all.have_it),
        (words::FW_OFFERED_NEVER, all.never_logged_in),
        (words::FW_OFFERED_CHOSEN, all.chosen),
        (words::FW_OFFERED_OF, all.of),
    ];
    html! {
        @if all.chosen == 0 { p.notice.watch role="status" { (visit.t(words::FW_OFFERED_NOBODY)) } }
        @else { p.notice role="status" { (visit.count(words::FW_OFFERED_TOLD, all.devices)) } }
        @if all.paused_by.is_some() { p.notice.watch { (visit.t(words::FW_OFFERED_PAUSED)) } }
        section.panel {
            dl.facts { @for (word, count) in facts { dt { (visit.t(word)) } dd { (visit.number(count)) } } }
        }
        @if whom.cursor.is_empty() {
            p { a.button.first href=(path) { (visit.t(words::FW_OFFERED_SHOW)) } }
        } @else {
            p { (visit.t(words::FW_OFFER_MORE)) }
            form method="post" action={ (path) "/offer" } {
                (visit.token_field())
                (whom.fields())
                input type="hidden" name=(TYPED) value=(image.version);
                button.first { (visit.t(words::FW_OFFER_ON)) }
            }
        }
    }
}
