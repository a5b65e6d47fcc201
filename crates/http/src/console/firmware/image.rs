//! An image: how far its rollout is, at what upgrades failed, and each device of it.

use axum::{
    Router,
    extract::{Path, Query},
    routing::get,
};
use maud::{Markup, html};
use narrowgate_api::{
    firmware::{ImageFile, ImageView, PausedBy, RolloutView, UpgradeFailure, UpgradeState, UpgradeView},
    page::Page,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::{Deserialize, Serialize};

use super::{acts, fact, file, offer, path_of, read, rollout as rollout_state, sheet};
use crate::console::{
    ask::with_query,
    devices,
    parts::Tone,
    visit::{Shown, Visit},
    words::{self, Word},
};

/// Devices of a page.
const ROWS: u32 = 50;

pub(super) fn routes() -> Router {
    Router::new().route("/console/firmware/{image}", get(show))
}

/// What stands in the address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct At {
    #[serde(skip_serializing_if = "String::is_empty")]
    cursor: String,
}

/// Where the API has the devices of a rollout.
fn devices_path(image: &str, limit: u32, cursor: &str) -> String {
    let mut query = vec![("limit", limit.to_string())];
    if !cursor.is_empty() {
        query.push(("cursor", cursor.to_owned()));
    }
    with_query(&format!("/api/v1/rollouts/{}/devices", path_part(image)), &query)
}

async fn show(visit: Visit, Path(id): Path<String>, Query(at): Query<At>) -> Shown {
    let image = read(&visit, &id).await?;
    let rollout: RolloutView = visit.read(&format!("/api/v1/rollouts/{}", path_part(&id))).await?;
    let page: Page<UpgradeView> = visit.read(&devices_path(&id, ROWS, &at.cursor)).await?;
    let sheet = if is_moving(&rollout) { sheet(&image).refreshed_every(5) } else { sheet(&image) };
    let content = content(&visit, (&image, &rollout), (&page, &at));
    Ok(visit.page_with_heading(sheet, &content))
}

fn content(
    visit: &Visit,
    (image, rollout): (&ImageView, &RolloutView),
    (page, at): (&Page<UpgradeView>, &At),
) -> Markup {
    let next = page.next_cursor.as_deref();
    let next = next.map(|cursor| with_query(&path_of(&image.image_id), &At { cursor: cursor.to_owned() }));
    let first = (!at.cursor.is_empty()).then(|| path_of(&image.image_id));
    html! {
        (head(visit, image))
        @if image.file != ImageFile::Stored { p.alert role="alert" { (visit.t(words::FW_FILE_DO)) } }
        div.split {
            (facts(visit, image))
            @if visit.may(Needs::Administer) { (offer::form(visit, image)) }
        }
        @if rollout.since.is_some() {
            div #rollout data-live {
                (progress(visit, rollout))
                (failures(visit, rollout))
            }
            div #acts data-live { (acts::buttons(visit, image, rollout)) }
            h2 { (visit.t(words::FW_DEVICES)) }
            div #devices data-live { (table(visit, &page.items)) }
            (visit.pages(first.as_deref(), next.as_deref()))
        } @else {
            p.notice.watch { (visit.t(words::FW_NOT_OFFERED_TEXT)) }
            (acts::buttons(visit, image, rollout))
        }
    }
}

/// What each page of an image begins with.
pub(super) fn head(visit: &Visit, image: &ImageView) -> Markup {
    html! {
        div.verdict {
            h1 { (visit.say(words::FW_HEAD, &[("version", &image.version)])) }
            p #state data-live { (rollout_state(visit, image.rollout)) }
        }
    }
}

fn facts(visit: &Visit, image: &ImageView) -> Markup {
    let devices = devices::Filter { product: image.product_key.clone(), ..devices::Filter::default() };
    html! {
        section.panel {
            dl.facts {
                (fact(visit, words::PRODUCT, &html! { a href=(devices.path()) { (image.product_key) } }))
                (fact(visit, words::FW_VERSION, &visit.copyable(&image.version)))
                (fact(visit, words::FW_FILE, &file(visit, image.file)))
                (fact(visit, words::FW_SIZE, &html! { (visit.preferences.bytes(image.size)) }))
                (fact(visit, words::FW_UPLOADED, &visit.time(image.uploaded_at)))
                (fact(visit, words::FW_ID, &visit.copyable(&image.image_id)))
                (fact(visit, words::FW_SUM, &visit.copyable(&image.sha256)))
            }
        }
    }
}

/// The states in their order, each with how many devices are in it.
fn counts(rollout: &RolloutView) -> [(UpgradeState, u64); 10] {
    UpgradeState::ALL.map(|state| {
        let count = match state {
            UpgradeState::Waiting => rollout.waiting,
            UpgradeState::Offered => rollout.offered,
            UpgradeState::Sent => rollout.sent,
            UpgradeState::Accepted => rollout.accepted,
            UpgradeState::Downloading => rollout.downloading,
            UpgradeState::Verifying => rollout.verifying,
            UpgradeState::Burning => rollout.burning,
            UpgradeState::Done => rollout.done,
            UpgradeState::Failed => rollout.failed,
            UpgradeState::Cancelled => rollout.cancelled,
        };
        (state, count)
    })
}

/// Whether its numbers change by themselves.
fn is_moving(rollout: &RolloutView) -> bool {
    let counts = counts(rollout);
    let mut there = counts.iter().filter(|(_, count)| *count > 0).map(|(state, _)| *state);
    there.any(|state| state.is_under_way() || !rollout.paused && !state.has_ended())
}

/// A state's tone, name and meaning.
fn told(state: UpgradeState) -> (Tone, Word, Word) {
    match state {
        UpgradeState::Waiting => (Tone::Calm, words::FW_WAITING, words::FW_WAITING_IS),
        UpgradeState::Offered => (Tone::Calm, words::FW_OFFERED, words::FW_OFFERED_IS),
        UpgradeState::Sent => (Tone::Watch, words::FW_SENT, words::FW_SENT_IS),
        UpgradeState::Accepted => (Tone::Watch, words::FW_ACCEPTED, words::FW_ACCEPTED_IS),
        UpgradeState::Downloading => (Tone::Watch, words::FW_DOWNLOADING, words::FW_DOWNLOADING_IS),
        UpgradeState::Verifying => (Tone::Watch, words::FW_VERIFYING, words::FW_VERIFYING_IS),
        UpgradeState::Burning => (Tone::Watch, words::FW_BURNING, words::FW_BURNING_IS),
        UpgradeState::Done => (Tone::Good, words::FW_DONE, words::FW_DONE_IS),
        UpgradeState::Failed => (Tone::Act, words::FW_FAILED, words::FW_FAILED_IS),
        UpgradeState::Cancelled => (Tone::Calm, words::FW_CANCELLED, words::FW_CANCELLED_IS),
    }
}

fn progress(visit: &Visit, rollout: &RolloutView) -> Markup {
    let counts = counts(rollout);
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let said = visit.count_with(words::FW_PROGRESS, total, &[("done", &visit.number(rollout.done))]);
    let columns = [words::STATE, words::FW_COUNT, words::FW_MEANS].map(|word| visit.t(word));
    html! {
        section.panel {
            h2 { (visit.t(words::FW_ROLLOUT)) }
            p {
                (said)
                @if let Some(since) = rollout.since {
                    " · " (visit.t(words::FW_SINCE)) " " (visit.time(since))
                }
            }
            progress max=(total.max(1)) value=(rollout.done) aria-label=(said) {}
            @if rollout.paused_by == Some(PausedBy::Failures) {
                p.alert role="alert" { (visit.t(words::FW_PAUSED_DO)) }
            }
            table.rows {
                thead { tr { @for label in columns { th { (label) } } } }
                tbody {
                    @for (state, count) in counts {
                        @let (tone, name, means) = told(state);
                        tr {
                            th scope="row" data-label=(columns[0]) {
                                (visit.word(if count == 0 { Tone::Calm } else { tone }, visit.t(name)))
                            }
                            td data-label=(columns[1]) { (visit.number(count)) }
                            td.soft data-label=(columns[2]) { (visit.t(means)) }
                        }
                    }
                }
            }
        }
    }
}

/// The reasons in the order of an upgrade, each with its words and an advice.
const REASONS: [(UpgradeFailure, Word, Word); 6] = [
    (UpgradeFailure::Refused, words::FW_REFUSED, words::FW_REFUSED_DO),
    (UpgradeFailure::Download, words::FW_DOWNLOAD, words::FW_DOWNLOAD_DO),
    (UpgradeFailure::Verify, words::FW_VERIFY, words::FW_VERIFY_DO),
    (UpgradeFailure::Burn, words::FW_BURN, words::FW_BURN_DO),
    (UpgradeFailure::Upgrade, words::FW_UPGRADE, words::FW_UPGRADE_DO),
    (UpgradeFailure::Silent, words::FW_SILENT, words::FW_SILENT_DO),
];

/// At what upgrades failed; nothing where none did.
fn failures(visit: &Visit, rollout: &RolloutView) -> Markup {
    let of = |reason| rollout.failures.iter().filter(move |it| it.reason == reason).map(|it| it.count);
    let looked_at: u64 = rollout.failures.iter().map(|it| it.count).sum();
    let labels = [words::FW_STEP, words::FW_COUNT, words::FW_DO].map(|word| visit.t(word));
    html! {
        @if !rollout.failures.is_empty() {
            section.panel {
                h2 { (visit.t(words::FW_FAILURES)) }
                @if looked_at < rollout.failed {
                    p.hint { (visit.count(words::FW_FAILURES_OF, looked_at)) }
                }
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for (reason, name, advice) in REASONS {
                            @for count in of(reason) {
                                tr {
                                    th scope="row" data-label=(labels[0]) { (visit.t(name)) }
                                    td data-label=(labels[1]) { (visit.number(count)) }
                                    td data-label=(labels[2]) { (visit.t(advice)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(visit: &Visit, upgrades: &[UpgradeView]) -> Markup {
    let columns = [words::KEY, words::STATE, words::FW_SAID, words::FW_ATTEMPTS, words::FW_MOVED];
    let labels = columns.map(|word| visit.t(word));
    html! {
        @if upgrades.is_empty() { p.notice { (visit.t(words::FW_DEVICES_NONE)) } }
        @else {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody { @for upgrade in upgrades { tr data-row { (row(visit, upgrade, labels)) } } }
            }
        }
    }
}

fn row(visit: &Visit, upgrade: &UpgradeView, labels: [&str; 5]) -> Markup {
    let (tone, name, _) = told(upgrade.state);
    let reason = upgrade.reason.and_then(|reason| REASONS.into_iter().find(|(known, ..)| *known == reason));
    html! {
        th scope="row" data-label=(labels[0]) {
            a href=(devices::path_of(&upgrade.product_key, &upgrade.device_key)) { (upgrade.device_key) }
        }
        td data-label=(labels[1]) {
            (visit.word(tone, visit.t(name)))
            @if let Some((_, word, _)) = reason { " · " (visit.t(word)) }
        }
        td data-label=(labels[2]) {
            @if let Some(step) = upgrade.progress.filter(|step| *step >= 0) { (step) " %" }
            @if let Some(said) = &upgrade.desc { " " q { (said) } }
        }
        td data-label=(labels[3]) { (visit.number(u64::from(upgrade.attempts))) }
        td data-label=(labels[4]) { (visit.time(upgrade.moved_at)) }
    }
}
