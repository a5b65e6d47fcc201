//! What devices reported and what happened to them.

use axum::Json;
use narrowgate_api::{
    history::{EventView, LogView, PointValues, PointView, PresenceView, RefusalView},
    page::Page,
    problem::Problem,
    query::{DeviceEventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    described::Listed,
    export::{Accepted, ENTRIES, Pages, VALUES, listed, stream_lines},
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
            .get(&format!("{device}/log"), Needs::Read, log)
            .get(&format!("{device}/presence"), Needs::Read, presence)
            .get(&format!("{device}/refusals"), Needs::Read, refusals_of);
    }
    routes
}

async fn points(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<LatestQuery>,
    accepted: Accepted,
) -> Result<Listed<Page<PointView>>, Refused> {
    let paging = Paging { limit: query.limit, cursor: query.cursor.clone() };
    let read = move |Paging { limit, cursor }| {
        let (operator, name) = (api.operator.clone(), name.clone());
        let query = LatestQuery { limit, cursor, ..query.clone() };
        async move { operator.list_latest_values(&name, query).await }
    };
    listed(accepted, paging, VALUES, read).await
}

async fn values(
    Asked(api): Asked,
    Named(name): Named,
    Query(query): Query<ValuesQuery>,
    accepted: Accepted,
) -> Result<Listed<Page<PointView>>, Refused> {
    let paging = Paging { limit: query.limit, cursor: query.cursor.clone() };
    let read = move |Paging { limit, cursor }| {
        let (operator, name) = (api.operator.clone(), name.clone());
        let query = ValuesQuery { limit, cursor, ..query.clone() };
        async move { operator.list_values(&name, query).await }
    };
    listed(accepted, paging, VALUES, read).await
}

async fn point_values(
    Asked(api): Asked,
    Named(name): Named,
    Part(point): Part,
    Query(query): Query<PointValuesQuery>,
    Accepted { lines, reader }: Accepted,
) -> Result<Listed<PointValues>, Refused> {
    let Some(lines) = lines else {
        return Ok(Listed::Page(Json(api.operator.list_point_values(&name, point, query).await?)));
    };
    let (limit, first, has_buckets) = (query.limit, query.cursor.clone(), query.bucket.is_some());
    let read = move |cursor| {
        let (operator, name, point) = (api.operator.clone(), name.clone(), point.clone());
        let query = PointValuesQuery { limit: Some(VALUES), cursor, ..query.clone() };
        async move { operator.list_point_values(&name, point, query).await }
    };
    // The same question has the same kind of answer on each page.
    if has_buckets {
        let read = move |cursor| {
            let page = read(cursor);
            async move {
                match page.await? {
                    PointValues::Buckets(page) => Ok::<_, Problem>(page),
                    PointValues::Values(_) => Ok(Page::last(Vec::new())),
                }
            }
        };
        return stream_lines(lines, reader, limit, Pages::new(first, read)).await.map(Listed::Lines);
    }
    let read = move |cursor| {
        let page = read(cursor);
        async move {
            match page.await? {
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
    accepted: Accepted,
) -> Result<Listed<Page<EventView>>, Refused> {
    let paging = Paging { limit: query.limit, cursor: query.cursor.clone() };
    let read = move |Paging { limit, cursor }| {
        let (operator, name) = (api.operator.clone(), name.clone());
        let query = DeviceEventsQuery { limit, cursor, ..query.clone() };
        async move { operator.list_device_events(&name, query).await }
    };
    listed(accepted, paging, VALUES, read).await
}

async fn log(
    Asked(api): Asked,
    Named(name): Named,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<LogView>>, Refused> {
    let read = move |paging: Paging| {
        let (operator, name) = (api.operator.clone(), name.clone());
        async move { operator.list_device_log(&name, &paging).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}

async fn presence(
    Asked(api): Asked,
    Named(name): Named,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<PresenceView>>, Refused> {
    let read = move |paging: Paging| {
        let (operator, name) = (api.operator.clone(), name.clone());
        async move { operator.list_presence(&name, &paging).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}

async fn refusals_of(
    Asked(api): Asked,
    Named(name): Named,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<RefusalView>>, Refused> {
    let read = move |paging: Paging| {
        let (operator, name) = (api.operator.clone(), name.clone());
        async move { operator.list_device_refusals(&name, &paging).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}

async fn refusals(
    Asked(api): Asked,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<RefusalView>>, Refused> {
    let read = move |paging: Paging| {
        let operator = api.operator.clone();
        async move { operator.list_refusals(&paging).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}
