//! Commands to devices.

use std::time::Duration;

use axum::{
    Json,
    http::{StatusCode, Uri},
};
use narrowgate_api::{
    command::{CommandAnswer, CommandCreated, CommandView, CommandsCancelled, NewCommand},
    device::NamedDevice,
    page::Page,
    problem::{Code, Problem},
    query::Paging,
};
use narrowgate_platform::{model::access::Needs, service::DeedTo};
use tokio::time::{Instant, sleep};

use super::{
    Api,
    asked::{Acts, Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, tagged},
    described::{Answers as _, Created, Either, Listed, Status},
    export::{Accepted, ENTRIES, listed},
    extract::{Body, Named, Part, Query, given},
};
use crate::{problem::Refused, shares::Full, work::Attended};

/// How often somebody who waits looks whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const ACTS: Acts = &[("cancel", Needs::Operate, <Json<CommandView>>::answers)];

/// The answer of the device, or the command, which goes on: as it was sent, where it could not be read since.
type Awaited = Either<Json<CommandAnswer>, Status<504, Either<Json<CommandView>, Json<CommandCreated>>>>;

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default();
    for device in super::DEVICE_PATHS {
        let (all, one) = (format!("{device}/commands"), format!("{device}/commands/{{id}}"));
        routes = routes
            .get(&all, Needs::Read, list)
            .post(&all, Needs::Operate, send)
            .post(&format!("{all}:cancel"), Needs::Operate, cancel_all)
            .get(&one, Needs::Read, show)
            .acts(&one, ACTS, act);
    }
    routes
}

async fn send(
    Asked(api): Asked,
    peer: Attended,
    Named(name): Named,
    Body(new): Body<NewCommand>,
) -> Result<Made<Either<Created<Json<CommandCreated>>, Awaited>>, Refused> {
    let wait = new.wait;
    let place = Place::of(DeedTo::Nothing).with("kind", &new.kind).with_some("service", new.service.as_ref());
    // Before anything is sent: who may not wait is to send it again. A request that came by no connection
    // keeps nobody out.
    let seat = peer.seat.as_ref().filter(|_| wait.is_some());
    let _waiting = seat.map(|seat| seat.wait(&peer.holder)).transpose().map_err(too_many)?;
    let created: CommandCreated = api.operator.send_command(&name, new).await?;
    let place = place.with("id", &created.id);
    Ok(place.has(match wait {
        None => Either::One(Status(Json(created))),
        Some(seconds) => {
            let wait = Duration::from_secs(seconds.into());
            Either::Other(answer(&api, &name, created, wait, &peer).await)
        }
    }))
}

fn too_many(full: Full) -> Refused {
    let who = match full {
        Full::All(max) => format!("{max} requests wait for the answers of devices already, as many as may"),
        Full::Token(max) => format!("{max} requests of this token wait for devices already, as many as may"),
        Full::Unit(max) => {
            format!("{max} requests of this organisation unit wait for devices already, as many as may")
        }
    };
    Refused(Problem {
        detail: Some(format!("{who}; nothing was sent")),
        hint: Some("try again later, or leave wait out and ask for the command by its id".to_owned()),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS.as_u16(), Code::Busy, "cannot wait for the device")
    })
}

/// Waits for the end of a command: 200 with the answer, or 504 with the command, which goes on; also where
/// the server stops or the peer leaves. It was sent: where it cannot be read now, that is no answer.
async fn answer(
    api: &Api,
    name: &NamedDevice,
    created: CommandCreated,
    wait: Duration,
    peer: &Attended,
) -> Awaited {
    let until = Instant::now() + wait;
    let is_stopping = || api.events.as_ref().is_some_and(|events| *events.stopping.borrow());
    let mut last = None;
    loop {
        match api.operator.show_command(name, &created.id).await {
            Ok(command) if command.state.has_ended() => {
                return Either::One(Json(CommandAnswer::from(command)));
            }
            Ok(command) => last = Some(command),
            Err(problem) => tracing::debug!(%problem, "a command that somebody waits for cannot be read"),
        }
        if Instant::now() >= until || is_stopping() || peer.has_left() {
            let last = last.map(|command| Either::One(Json(command)));
            return Either::Other(Status(last.unwrap_or(Either::Other(Json(created)))));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn list(
    Asked(api): Asked,
    Named(name): Named,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<CommandView>>, Refused> {
    let read = move |paging: Paging| {
        let (operator, name) = (api.operator.clone(), name.clone());
        async move { operator.list_commands(&name, &paging).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}

async fn show(Asked(api): Asked, Named(name): Named, Part(id): Part) -> Result<Tagged<CommandView>, Refused> {
    Ok(tagged(api.operator.show_command(&name, &id).await?))
}

async fn cancel_all(Asked(api): Asked, Named(name): Named) -> Result<Json<CommandsCancelled>, Refused> {
    Ok(Json(api.operator.cancel_commands(&name).await?))
}

/// `POST …/commands/{id}:cancel`.
async fn act(
    Asked(api): Asked,
    Named(name): Named,
    Part(part): Part,
    uri: Uri,
) -> Result<Json<CommandView>, Refused> {
    match part.rsplit_once(':') {
        Some((id, "cancel")) => {
            let id = given(id.to_owned());
            Ok(Json(api.operator.cancel_command(&name, &id).await?))
        }
        _ => {
            let detail = format!("there is nothing at {}; it ends in :cancel", uri.path());
            Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail))
        }
    }
}
