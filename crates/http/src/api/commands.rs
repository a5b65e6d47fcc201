//! Commands to devices.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use narrowgate_api::{
    command::{CommandAnswer, CommandCreated, CommandView, CommandsCancelled, NewCommand},
    device::NamedDevice,
    page::Page,
    problem::Code,
    query::Paging,
};
use tokio::time::{Instant, sleep};

use super::{
    Api,
    extract::{Body, Named, Part, Query},
};
use crate::problem::Refused;

/// How often somebody who waits looks whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn routes() -> Router<Api> {
    let mut routes = Router::new();
    for device in super::DEVICE_PATHS {
        routes = routes
            .route(&format!("{device}/commands"), get(list).post(send))
            .route(&format!("{device}/commands:cancel"), post(cancel_all))
            .route(&format!("{device}/commands/{{id}}"), get(show).post(act));
    }
    routes
}

async fn send(
    State(api): State<Api>,
    Named(name): Named,
    Body(new): Body<NewCommand>,
) -> Result<Response, Refused> {
    let wait = new.wait;
    let created: CommandCreated = api.operator.send_command(&name, new).await?;
    match wait {
        None => Ok((StatusCode::CREATED, Json(created)).into_response()),
        Some(seconds) => answer(&api, &name, &created.id, Duration::from_secs(seconds.into())).await,
    }
}

/// Waits for the end of a command: 200 with the answer, or 504 with the command, which goes on.
async fn answer(api: &Api, name: &NamedDevice, id: &str, wait: Duration) -> Result<Response, Refused> {
    let until = Instant::now() + wait;
    loop {
        let command = api.operator.show_command(name, id).await?;
        if command.state.has_ended() {
            return Ok(Json(CommandAnswer::from(command)).into_response());
        }
        if Instant::now() >= until {
            return Ok((StatusCode::GATEWAY_TIMEOUT, Json(command)).into_response());
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn list(
    State(api): State<Api>,
    Named(name): Named,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CommandView>>, Refused> {
    Ok(Json(api.operator.list_commands(&name, &paging).await?))
}

async fn show(
    State(api): State<Api>,
    Named(name): Named,
    Part(id): Part,
) -> Result<Json<CommandView>, Refused> {
    Ok(Json(api.operator.show_command(&name, &id).await?))
}

async fn cancel_all(State(api): State<Api>, Named(name): Named) -> Result<Json<CommandsCancelled>, Refused> {
    Ok(Json(api.operator.cancel_commands(&name).await?))
}

/// `POST …/commands/{id}:cancel`.
async fn act(
    State(api): State<Api>,
    Named(name): Named,
    Part(part): Part,
    uri: Uri,
) -> Result<Json<CommandView>, Refused> {
    match part.rsplit_once(':') {
        Some((id, "cancel")) => Ok(Json(api.operator.cancel_command(&name, id).await?)),
        _ => {
            let detail = format!("there is nothing at {}; it ends in :cancel", uri.path());
            Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail))
        }
    }
}
