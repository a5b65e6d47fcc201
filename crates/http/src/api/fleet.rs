//! `/api/v1/system`: the fleet in numbers.

use axum::Json;
use narrowgate_api::fleet::Status;
use narrowgate_platform::model::access::Needs;

use super::asked::{Asked, Routes};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    Routes::default().get("/api/v1/system", Needs::ReadAll, status).reads_much()
}

async fn status(Asked(api): Asked) -> Result<Json<Status>, Refused> {
    Ok(Json(api.operator.show_status((api.host)()).await?))
}
