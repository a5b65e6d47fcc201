//! What the API counts beside requests, for metrics: of this process, whichever of its routers was asked.

use std::sync::atomic::{AtomicU64, Ordering};

use narrowgate_api::job::JobState;

use super::{imports, jobs};
use crate::metrics::{Metric, Samples};

const JOBS: Metric = Metric::gauge("narrowgate_jobs", "Bulk actions on devices that are under way.");

const JOBS_ENDED: Metric =
    Metric::counter("narrowgate_jobs_ended_total", "Bulk actions on devices that have ended, by how.")
        .by("state");

const IMPORTS: Metric =
    Metric::gauge("narrowgate_imports", "Files of devices that are being imported over HTTP.");

const GAPS: Metric = Metric::counter(
    "narrowgate_event_gaps_total",
    "Gaps that followers of live events were told of, by why.",
)
.by("reason");

const REPLAYED: Metric = Metric::counter(
    "narrowgate_replayed_answers_total",
    "Requests with an Idempotency-Key that got the answer of an earlier one.",
);

/// Why there is a gap: as it is told.
pub(super) const REASONS: [&str; 4] = ["expired", "restored", "unknown", "damaged"];
static GAPS_OF: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// How a job ends.
const ENDS: [(JobState, &str); 3] =
    [(JobState::Done, "done"), (JobState::Cancelled, "cancelled"), (JobState::Failed, "failed")];
static JOBS_OF: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

static REPLAYS: AtomicU64 = AtomicU64::new(0);

/// A follower is told of a gap.
pub(super) fn count_gap(why: &str) {
    if let Some(at) = REASONS.iter().position(|reason| *reason == why) {
        GAPS_OF[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// A job has ended.
pub(super) fn count_job(state: JobState) {
    if let Some(at) = ENDS.iter().position(|(end, _)| *end == state) {
        JOBS_OF[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer was given again.
pub(super) fn count_replay() {
    REPLAYS.fetch_add(1, Ordering::Relaxed);
}

/// All of it.
pub(crate) fn samples() -> [Samples; 5] {
    let read = |counts: &'static [AtomicU64]| counts.iter().map(|count| count.load(Ordering::Relaxed));
    [
        JOBS.is(jobs::under_way()),
        JOBS_ENDED.are(ENDS.iter().map(|(_, name)| *name).zip(read(&JOBS_OF))),
        IMPORTS.is(imports::under_way()),
        GAPS.are(REASONS.into_iter().zip(read(&GAPS_OF))),
        REPLAYED.is(REPLAYS.load(Ordering::Relaxed)),
    ]
}

#[cfg(test)]
mod tests;
