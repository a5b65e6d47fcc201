//! What devices reported and what happened to them.

use axum::{Json, Router, extract::State, routing::get};
use narrowgate_api::{
    history::{EventView, LogView, PointValues, PointView, RefusalView},
    page::Page,
    query::{DeviceEventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};

use super::{
    Api,
    extract::{Named, Part, Query},
};
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    let mut routes = Router::new().route("/api/v1/refusals", get(refusals));
    for device in super::DEVICE_PATHS {
        routes = routes
            .route(&format!("{device}/points"), get(points))
            .route(&format!("{device}/points/{{point}}/values"), get(point_values))
            .route(&format!("{device}/values"), get(values))
            .route(&format!("{device}/events"), get(events))
            .route(&format!("{device}/log"), get(log));
    }
    routes
}

async fn points(
    State(api): State<Api>,
    Named(name): Named,
    Query(query): Query<LatestQuery>,
) -> Result<Json<Page<PointView>>, Refused> {
    Ok(Json(api.operator.list_latest_values(&name, query).await?))
}

async fn values(
    State(api): State<Api>,
    Named(name): Named,
    Query(query): Query<ValuesQuery>,
) -> Result<Json<Page<PointView>>, Refused> {
    Ok(Json(api.operator.list_values(&name, query).await?))
}

async fn point_values(
    State(api): State<Api>,
    Named(name): Named,
    Part(point): Part,
    Query(query): Query<PointValuesQuery>,
) -> Result<Json<PointValues>, Refused> {
    Ok(Json(api.operator.list_point_values(&name, point, query).await?))
}

async fn events(
    State(api): State<Api>,
    Named(name): Named,
    Query(query): Query<DeviceEventsQuery>,
) -> Result<Json<Page<EventView>>, Refused> {
    Ok(Json(api.operator.list_device_events(&name, query).await?))
}

async fn log(
    State(api): State<Api>,
    Named(name): Named,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<LogView>>, Refused> {
    Ok(Json(api.operator.list_device_log(&name, &paging).await?))
}

async fn refusals(
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<RefusalView>>, Refused> {
    Ok(Json(api.operator.list_refusals(&paging).await?))
}
