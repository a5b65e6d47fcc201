//! `/api/v1/system`: the fleet in numbers.

use axum::{Json, Router, extract::State, routing::get};
use narrowgate_api::fleet::Status;

use super::Api;
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/system", get(status))
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, Refused> {
    Ok(Json(api.operator.show_status((api.host)()).await?))
}
