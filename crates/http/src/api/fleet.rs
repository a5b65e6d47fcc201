//! `/api/v1/system`: the fleet in numbers.

use axum::Json;
use narrowgate_api::{
    fleet::Status,
    rates::{RatesView, RatesWanted},
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
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

async fn status(Asked(api): Asked) -> Result<Json<Status>, Refused> {
    Ok(Json(api.operator.show_status((api.host)()).await?))
}

async fn rates(Asked(api): Asked, Query(wanted): Query<RatesWanted>) -> Result<Json<RatesView>, Refused> {
    let since = (api.host)().since;
    Ok(Json(api.operator.show_rates(wanted, since).await?))
}
