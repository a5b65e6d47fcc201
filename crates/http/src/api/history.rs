//! What devices reported and what happened to them.

use axum::Json;
use narrowgate_api::{
    history::{EventView, LogView, PointValues, PointView, RefusalView},
    page::Page,
    problem::Problem,
    query::{DeviceEventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    described::Listed,
    export::{Accepted, Pages, VALUES, stream_lines},
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
    Accepted { lines, reader }: Accepted,
) -> Result<Listed<Page<PointView>>, Refused> {
    let Some(lines) = lines else {
        return Ok(Listed::Page(Json(api.operator.list_values(&name, query).await?)));
    };
    let limit = query.limit;
    let first = query.cursor.clone();
    let read = move |cursor| {
        let (operator, name) = (api.operator.clone(), name.clone());
        let query = ValuesQuery { limit: Some(VALUES), cursor, ..query.clone() };
        async move { operator.list_values(&name, query).await }
    };
    stream_lines(lines, reader, limit, Pages::new(first, read)).await.map(Listed::Lines)
}

async fn point_values(
    Asked(api): Asked,
    Named(name): Named,
    Part(point): Part,
    Query(query): Query<PointValuesQuery>,
    Accepted { lines, reader }: Accepted,
) -> Result<Listed<PointValues>, Refused> {
    let Some(lines) = lines.filter(|_| query.bucket.is_none()) else {
        return Ok(Listed::Page(Json(api.operator.list_point_values(&name, point, query).await?)));
    };
    let limit = query.limit;
    let first = query.cursor.clone();
    let read = move |cursor| {
        let (operator, name, point) = (api.operator.clone(), name.clone(), point.clone());
        let query = PointValuesQuery { limit: Some(VALUES), cursor, ..query.clone() };
        async move {
            match operator.list_point_values(&name, point, query).await? {
                PointValues::Values(page) => Ok::<_, Problem>(page),
                PointValues::Buckets(_) => Ok(Page::last(Vec::new())),
            }
        }
    };
    stream_lines(lines, reader, limit, Pages::new(first, read)).await.map(Listed::Lines)
}

async fn events(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<DeviceEventsQuery>,
    Accepted { lines, reader }: Accepted,
) -> Result<Listed<Page<EventView>>, Refused> {
    let Some(lines) = lines else {
        return Ok(Listed::Page(Json(api.operator.list_device_events(&name, query).await?)));
    };
    let limit = query.limit;
    let first = query.cursor.clone();
    let read = move |cursor| {
        let (operator, name) = (api.operator.clone(), name.clone());
        let query = DeviceEventsQuery { limit: Some(VALUES), cursor, ..query.clone() };
        async move { operator.list_device_events(&name, query).await }
    };
    stream_lines(lines, reader, limit, Pages::new(first, read)).await.map(Listed::Lines)
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
