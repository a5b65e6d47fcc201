//! `POST /api/v1/devices:bulk`: the same for many devices, by a filter or by a list; and `/api/v1/jobs`, how
//! far it is.
//!
//! * A job works in a thread of its own, in steps of [`IMPORT_CHUNK`] devices, which are committed together;
//!   between two of them the store takes what devices send. Each page of devices that it reads waits for its
//!   turn at the store, and each step for one among those of other jobs: both go from unit to unit.
//! * Before each step it is looked up whether its token still holds, and whether somebody has cancelled it.
//! * The answer waits a moment ([`ANSWERED_WITHIN`]): what is little is done by then.
//! * Where there are more devices than `matchedMax` says, it ends before it has changed one; where others
//!   change into the filter while it works, before it has changed more.
//! * A filter is worked off from the newest device that there was when it was asked for to the oldest: those
//!   that are registered meanwhile are not met. Each is looked at again before it is changed.
//! * The audit log has the request, and entries of the job when it ends; where the server ends before, they
//!   say that it is not known what was done (module `entries`).
//!
//! Limits: [`JOBS`] at a time, [`BULK_DEVICES_MAX`] devices of a list.

mod entries;
mod run;

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use narrowgate_api::{
    device::NamedDevice,
    job::{BULK_DEVICES_MAX, BulkAction, BulkRequest, DeviceFilter, JobView},
    names::DeviceName,
    page::Page,
    problem::{Code, Problem},
    query::{DeviceList, DeviceSort},
};
#[cfg(doc)]
use narrowgate_platform::service::IMPORT_CHUNK;
use narrowgate_platform::{
    model::access::Needs,
    rules::names::IMPORTED_CHARACTERS_MAX as KEY_CHARACTERS_MAX,
    service::{AskedFrom, Deed, DeedTo},
};
use tokio::{task::spawn_blocking, time::timeout};

use self::{
    entries::Entries,
    run::{Of, Run},
};
use super::{
    asked::{Acts, Asked, Lasting, Routes, forbidden},
    audited::{Made, Place, asked_from},
    described::{Answers as _, Either, Status, Takes},
    extract::{Body, Part, given},
};
use crate::{
    problem::Refused,
    shares::{ShareMax, Shares},
    turns::Turns,
};

const TITLE: &str = "cannot change the devices";

/// How long the answer waits for the end of a job.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Jobs at a time. They may take long, so there is room for those of many units.
pub(super) static JOBS: LazyLock<Arc<Shares>> =
    LazyLock::new(|| Shares::new(ShareMax { all: 32, token: 2, unit: 2 }));
/// Steps that are worked on: four at a time, two of a unit.
static STEPS: LazyLock<Arc<Turns>> = LazyLock::new(|| Turns::new(4, 2));

const ACTS: Acts = &[("cancel", Needs::Operate, <Json<JobView>>::answers)];

pub(super) fn routes() -> Routes {
    Routes::default()
        .post("/api/v1/devices:bulk", Needs::Operate, bulk)
        .get("/api/v1/jobs", Needs::Read, list)
        .get("/api/v1/jobs/{job}", Needs::Read, show)
        .acts("/api/v1/jobs/{job}", ACTS, act)
}

/// How many work.
pub(super) fn under_way() -> u64 {
    JOBS.taken()
}

/// Where the request comes from, for the audit log.
struct Origin(AskedFrom);

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(asked_from(&parts.extensions)))
    }
}

impl Takes for Origin {}

/// It has ended, or goes on.
type Begun = Made<Either<Json<JobView>, Status<202, Json<JobView>>>>;

async fn bulk(
    Asked(api): Asked,
    Lasting { standing, peer }: Lasting,
    Origin(asked): Origin,
    Body(request): Body<BulkRequest>,
) -> Result<Begun, Refused> {
    let BulkRequest { action, filter, devices, tags, dry_run, matched_max } = request;
    // Whoever operates devices changes them; to delete them takes more.
    if action == BulkAction::Delete && !Needs::Administer.permits(api.operator.caller()) {
        return Err(forbidden(Needs::Administer, api.operator.caller()));
    }
    let meant = meant(action, filter, devices).map_err(|(field, message)| invalid(field, &message))?;
    let act = api.operator.bulk_act(action, tags).await?;
    // Before anything is looked for.
    let share = JOBS.take(&peer.holder, 1).map_err(|full| {
        let (status, detail) = (StatusCode::TOO_MANY_REQUESTS.as_u16(), full.told("jobs"));
        Refused(Problem { detail: Some(detail), ..Problem::new(status, Code::Busy, TITLE) })
    })?;
    let of = match meant {
        // What is wrong with the filter is told at once; what is registered from now on is not met.
        Meant::Filter(list) => Of::Filter(Box::new(api.operator.members(&list).await?)),
        Meant::Devices(names) => Of::Devices(names),
    };
    // Whose all of them are, where they are of one unit.
    let ou = match (api.operator.caller().unit(), of.product()) {
        (Some(own), _) => Some(own.to_owned()),
        (None, Some(product_key)) => {
            api.operator.deed_place(&DeedTo::Product(product_key.to_owned())).await.ou
        }
        (None, None) => None,
    };
    let (job, begun) = api.operator.begin_job(&act, dry_run);
    let id = begun.id;
    let place = of.told(Place::new(&["jobs", &id], DeedTo::Unit(ou.clone())));
    let entries = match dry_run {
        true => None,
        false => {
            let (action, target) = (format!("jobs.{}", action.name()), format!("/jobs/{id}"));
            let deed = Deed { action, target, ou, asked };
            Some(Entries::begin(api.operator.clone(), deed, place.detail.clone()).await?)
        }
    };
    let place = place.with("action", &action).with("dryRun", &dry_run);
    let stopping = api.events.map(|source| source.stopping);
    let operator = api.operator.clone();
    let peer = peer.without_seat();
    let run = Run { operator, standing, peer, act, of, dry_run, matched_max, entries, stopping };
    let running = spawn_blocking(move || {
        run.run(job);
        drop(share);
    });
    // Ignored: it goes on, or a fault of ours has ended it, which the job says.
    let _ = timeout(ANSWERED_WITHIN, running).await;
    let shown = api.operator.show_job(&id).await?;
    Ok(place.has(match shown.state.has_ended() {
        true => Either::One(Json(shown)),
        false => Either::Other(Status(Json(shown))),
    }))
}

/// Which devices are meant.
enum Meant {
    Filter(DeviceList),
    Devices(Vec<NamedDevice>),
}

/// Which devices are meant; or which field is at fault, and why.
fn meant(
    action: BulkAction,
    filter: Option<DeviceFilter>,
    devices: Option<Vec<DeviceName>>,
) -> Result<Meant, (&'static str, String)> {
    // An empty beginning is what everything begins with.
    let filter = filter.map(|filter| DeviceFilter { q: filter.q.filter(|q| !q.is_empty()), ..filter });
    match (filter, devices) {
        (Some(filter), None) if action == BulkAction::Delete && filter == DeviceFilter::default() => {
            Err(("filter", "is empty: name at least a product, or the devices, to delete them".to_owned()))
        }
        (Some(filter), None) => {
            Ok(Meant::Filter(DeviceList { sort: Some(DeviceSort::NewestFirst), ..filter.into() }))
        }
        (None, Some(devices)) if (1..=BULK_DEVICES_MAX).contains(&devices.len()) => {
            // Faults name the keys, and are kept.
            let is_long = |key: &String| key.chars().count() > KEY_CHARACTERS_MAX;
            let are_long = |name: &DeviceName| is_long(&name.product_key) || is_long(&name.device_key);
            if let Some(row) = devices.iter().position(are_long) {
                let message = format!(
                    "has a key in row {} that no device can have: it is longer than {KEY_CHARACTERS_MAX} \
                     characters",
                    row + 1
                );
                return Err(("devices", message));
            }
            let named =
                |DeviceName { product_key, device_key }| NamedDevice::by_keys(product_key, device_key);
            Ok(Meant::Devices(devices.into_iter().map(named).collect()))
        }
        (None, Some(_)) => {
            Err(("devices", format!("must name 1 to {BULK_DEVICES_MAX} devices; a filter finds more")))
        }
        (None, None) => Err(("filter", "is missing, and so is devices: one of them says which".to_owned())),
        (Some(_), Some(_)) => Err(("devices", "stands beside filter: one of them says which".to_owned())),
    }
}

fn invalid(field: &str, message: &str) -> Refused {
    Refused(Problem {
        detail: Some(format!("{field} {message}")),
        place: Some(format!("/{field}")),
        ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY.as_u16(), Code::Invalid, TITLE)
    })
}

async fn list(Asked(api): Asked) -> Json<Page<JobView>> {
    Json(api.operator.list_jobs())
}

async fn show(Asked(api): Asked, Part(id): Part) -> Result<Json<JobView>, Refused> {
    Ok(Json(api.operator.show_job(&id).await.map_err(forgotten)?))
}

/// `POST …/jobs/{job}:cancel`, the only act.
async fn act(Asked(api): Asked, Part(last): Part) -> Result<Json<JobView>, Refused> {
    let id = given(last.rsplit_once(':').map_or(&*last, |(id, _)| id).to_owned());
    Ok(Json(api.operator.cancel_job(&id).await.map_err(forgotten)?))
}

/// There may have been one.
fn forgotten(problem: Problem) -> Refused {
    let hint = "a job is forgotten when the server ends, and when many have ended since; what it had done \
                stays: ask for it again";
    let hint = if problem.code == Code::Missing { Some(hint.to_owned()) } else { problem.hint };
    Refused(Problem { hint, ..problem })
}

#[cfg(test)]
mod tests;
