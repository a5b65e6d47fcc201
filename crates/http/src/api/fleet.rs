//! `/api/v1/system`: the fleet in numbers.
#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use axum::Json;
use narrowgate_api::{
    fleet::{Host, Status, StatusCount, StatusWanted},
    problem::{Code, Problem},
    rates::{RatesView, RatesWanted},
};
use narrowgate_platform::model::access::Needs;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    asked::{Asked, Routes},
    census::{Count, Counted},
    extract::Query,
};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/system", Needs::ReadAll, status)
        .reads_much()
        .get("/api/v1/system/rates", Needs::Read, rates)
        .reads_little()
}

async fn status(
    Asked(api): Asked,
    Counted(census): Counted,
    Query(StatusWanted { counted }): Query<StatusWanted>,
) -> Result<Json<Status>, Refused> {
    let host = (api.host)();
    if counted != Some(StatusCount::Lately) {
        return Ok(Json(api.operator.show_status(host).await?));
    }
    let (operator, of_count) = (api.operator, host.clone());
    let count = move || async move {
        let at = operator.now();
        // The store reads on the thread that asks it.
        let counting = spawn_blocking(move || Handle::current().block_on(operator.show_status(of_count)));
        let ended = || Problem::new(500, Code::Internal, "the count of the devices ended before its end");
        let Status { fleet, unreadable, .. } = counting.await.map_err(|_| ended())??;
        Ok(Count { fleet, unreadable, at })
    };
    let count = census.latest(count).await.transpose()?;
    // What the process knows is of now in any case.
    let Host { version, since, refused_by_store, disk } = host;
    let counted_at = count.as_ref().filter(|count| count.fleet.is_some()).map(|count| count.at);
    let (fleet, unreadable) = count.map_or((None, None), |count| (count.fleet, count.unreadable));
    Ok(Json(Status { version, since, counted_at, fleet, unreadable, refused_by_store, disk }))
}

async fn rates(Asked(api): Asked, Query(wanted): Query<RatesWanted>) -> Result<Json<RatesView>, Refused> {
    Ok(Json(api.operator.show_rates(wanted).await?))
}
