//! What devices reported and what happened to them.

use axum::Json;
use narrowgate_api::{
    history::{EventView, LogView, PointValues, PointView, RefusalView},
    page::Page,
    query::{DeviceEventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    extract::{Named, Part, Query},
};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().get("/api/v1/refusals", Needs::Read, refusals);
    for device in super::DEVICE_PATHS {
        routes = routes
            .get(&format!("{device}/points"), Needs::Read, points)
            .get(&format!("{device}/points/{{point}}/values"), Needs::Read, point_values)
            .get(&format!("{device}/values"), Needs::Read, values)
            .get(&format!("{device}/events"), Needs::Read, events)
            .get(&format!("{device}/log"), Needs::Read, log);
    }
    routes
}

async fn points(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<LatestQuery>,
) -> Result<Json<Page<PointView>>, Refused> {
    Ok(Json(api.operator.list_latest_values(&name, query).await?))
}

async fn values(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<ValuesQuery>,
) -> Result<Json<Page<PointView>>, Refused> {
    Ok(Json(api.operator.list_values(&name, query).await?))
}

async fn point_values(
    Asked(api): Asked,
    Named(name): Named,
    Part(point): Part,
    Query(query): Query<PointValuesQuery>,
) -> Result<Json<PointValues>, Refused> {
    Ok(Json(api.operator.list_point_values(&name, point, query).await?))
}

async fn events(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<DeviceEventsQuery>,
) -> Result<Json<Page<EventView>>, Refused> {
    Ok(Json(api.operator.list_device_events(&name, query).await?))
}

async fn log(
    Asked(api): Asked,
    Named(name): Named,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<LogView>>, Refused> {
    Ok(Json(api.operator.list_device_log(&name, &paging).await?))
}

async fn refusals(
    Asked(api): Asked,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<RefusalView>>, Refused> {
    Ok(Json(api.operator.list_refusals(&paging).await?))
}
