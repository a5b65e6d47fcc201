//! Jobs: what is done to many devices, and how far it is.

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    job::{BulkAction, JobState, JobView},
    page::Page,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;

use super::{PATH as DEVICES, path_of};
use crate::console::{
    ask::Act,
    layout::{Here, Sheet},
    parts::Tone,
    see_other,
    visit::{Shown, Visit},
    words::{self, Word},
};

const PATH: &str = "/console/jobs";

pub(super) fn routes() -> Router {
    Router::new()
        .route(PATH, get(list))
        .route("/console/jobs/{job}", get(show))
        .route("/console/jobs/{job}/cancel", post(cancel))
}

/// The page of a job.
pub(super) fn path(id: &str) -> String {
    format!("{PATH}/{}", path_part(id))
}

/// Where the API has it.
pub(super) fn api_path(id: &str) -> String {
    format!("/api/v1/jobs/{}", path_part(id))
}

fn action(action: BulkAction) -> Word {
    match action {
        BulkAction::Enable => words::ACT_ENABLE,
        BulkAction::Disable => words::ACT_DISABLE,
        BulkAction::Delete => words::ACT_DELETE,
        BulkAction::Tag => words::ACT_TAG,
    }
}

fn state(visit: &Visit, job: &JobView) -> Markup {
    let (tone, word) = match job.state {
        JobState::Counting => (Tone::Calm, words::JOB_COUNTING),
        JobState::Running => (Tone::Watch, words::JOB_RUNNING),
        JobState::Done => (Tone::Good, words::JOB_DONE),
        JobState::Cancelled => (Tone::Calm, words::JOB_CANCELLED),
        JobState::Failed => (Tone::Act, words::JOB_FAILED),
    };
    visit.word(tone, visit.t(word))
}

fn title(visit: &Visit, job: &JobView) -> String {
    visit.say(words::CHIP, &[("name", visit.t(words::JOB)), ("value", visit.t(action(job.action)))])
}

/// Jobs of a page.
const ROWS: usize = 100;

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    /// How many newer ones are left out.
    from: usize,
}

async fn list(visit: Visit, Query(Part { from }): Query<Part>) -> Shown {
    let mut page: Page<JobView> = visit.read("/api/v1/jobs").await?;
    // The API gives all of them.
    let next = from.saturating_add(ROWS);
    let next = (page.items.len() > next).then(|| format!("{PATH}?from={next}"));
    page.items = page.items.into_iter().skip(from).take(ROWS).collect();
    let sheet = Sheet::new(Here::Devices, visit.t(words::JOBS));
    let labels = [words::ACT, words::STATE, words::JOB_CHANGED, words::JOB_MATCHED, words::JOB_BEGUN];
    let labels = labels.map(|word| visit.t(word));
    let content = html! {
        @if page.items.is_empty() {
            @let step = html! { a.button href=(DEVICES) { (visit.t(words::CHOOSE_DEVICES)) } };
            (visit.empty(words::NO_JOBS, words::NO_JOBS_TEXT, &step))
        } @else {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } } }
                tbody {
                    @for job in &page.items {
                        tr data-row {
                            th scope="row" data-label=(labels[0]) {
                                a href=(path(&job.id)) { (visit.t(action(job.action))) }
                                @if job.dry_run { " · " (visit.t(words::JOB_DRY)) }
                            }
                            td data-label=(labels[1]) { (state(&visit, job)) }
                            td data-label=(labels[2]) { (visit.number(job.done)) }
                            td data-label=(labels[3]) { (visit.number(job.matched)) }
                            td data-label=(labels[4]) { (visit.time(job.created_at)) }
                        }
                    }
                }
            }
        }
        (visit.pages((from > 0).then_some(PATH), next.as_deref()))
    };
    Ok(visit.page(sheet, &content))
}

async fn show(visit: Visit, Path(id): Path<String>) -> Shown {
    let job: JobView = visit.read(&api_path(&id)).await?;
    let sheet = Sheet::new(Here::Devices, title(&visit, &job));
    let sheet = if job.state.has_ended() { sheet } else { sheet.refreshed_every(1) };
    let content = html! {
        div #job data-live { (progress(&visit, &job)) (faults(&visit, &job)) }
        p.buttons {
            a.button href=(DEVICES) { (visit.t(words::DEVICES_SHOW)) }
            a.button href=(PATH) { (visit.t(words::JOBS_SHOW)) }
        }
    };
    Ok(visit.page(sheet, &content))
}

fn progress(visit: &Visit, job: &JobView) -> Markup {
    let faults = job.failed.len() as u64 + job.more_failed;
    let met = job.done + job.unchanged + faults;
    html! {
        section.panel {
            p aria-live="polite" {
                (state(visit, job))
                @if job.dry_run { " · " (visit.t(words::JOB_DRY)) }
            }
            @if !job.state.has_ended() {
                @if job.state == JobState::Counting { progress aria-label=(visit.t(words::JOB_COUNTING)) {} }
                @else {
                    progress max=(job.matched) value=(met) aria-label=(visit.t(words::JOB_RUNNING)) {}
                }
            }
            @if let Some(detail) = &job.detail { p lang="en" { (detail) } }
            dl.facts {
                dt { (visit.t(words::JOB_MATCHED)) } dd { (visit.number(job.matched)) }
                dt { (visit.t(words::JOB_CHANGED)) } dd { (visit.number(job.done)) }
                dt { (visit.t(words::JOB_UNCHANGED)) } dd { (visit.number(job.unchanged)) }
                dt { (visit.t(words::JOB_FAULTS)) } dd { (visit.number(faults)) }
                dt { (visit.t(words::JOB_BEGUN)) } dd { (visit.time(job.created_at)) }
                @if let Some(ended) = job.ended_at {
                    dt { (visit.t(words::JOB_ENDED)) } dd { (visit.time(ended)) }
                }
            }
            @if !job.state.has_ended() && visit.may(Needs::Operate) {
                (visit.button(&format!("{}/cancel", path(&job.id)), words::JOB_CANCEL))
            }
        }
    }
}

fn faults(visit: &Visit, job: &JobView) -> Markup {
    html! {
        @if !job.failed.is_empty() {
            h2 { (visit.t(words::JOB_FAULTS)) }
            table {
                thead { tr { th { (visit.t(words::KEY)) } th { (visit.t(words::WHAT_IS_WRONG)) } } }
                tbody {
                    @for fault in job.failed.iter().take(100) {
                        tr {
                            th scope="row" {
                                @if let Some(product) = &fault.product_key {
                                    a href=(path_of(product, &fault.device_key)) { (fault.device_key) }
                                } @else { (fault.device_key) }
                            }
                            td lang="en" { (fault.message) }
                        }
                    }
                }
            }
            @let more = job.more_failed + job.failed.len().saturating_sub(100) as u64;
            @if more > 0 { p { (visit.count(words::JOB_MORE_FAULTS, more)) } }
        }
    }
}

async fn cancel(visit: Visit, Path(id): Path<String>) -> Shown {
    let act = format!("{}:cancel", api_path(&id));
    let _: JobView = visit.act(Act::new(Method::POST, &act), &()).await?;
    Ok(see_other(&path(&id)))
}
