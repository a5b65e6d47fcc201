//! `POST /api/v1/backup`: a backup beside the running server, made by whoever the server gave us.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use narrowgate_api::{
    backup::{BackupQuery, BackupView},
    problem::{Code, Problem},
};
use narrowgate_platform::service::DeedTo;
use tokio::sync::Mutex;

use super::super::{
    audited::{Made, Place},
    described::{Created, Status, Takes},
    extract::Query,
};
use crate::problem::Refused;

const TITLE: &str = "cannot back up the store";

/// What a backup comes to.
pub type BackingUp = Pin<Box<dyn Future<Output = Result<BackupView, Problem>> + Send>>;

/// Makes backups of the store that this server has.
pub trait Backups: Send + Sync + 'static {
    /// Makes one, with the data key or without it. The store is served meanwhile.
    fn back_up(&self, with_key: bool) -> BackingUp;
}

/// The same, in the extensions of every request.
#[derive(Clone)]
pub(crate) struct Maker(pub(crate) Arc<dyn Backups>);

/// As a request finds it; `None`: this process makes none.
pub(super) struct Given(Option<Maker>);

impl<S: Send + Sync> FromRequestParts<S> for Given {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

impl Takes for Given {}

/// One is made at a time.
static MAKING: Mutex<()> = Mutex::const_new(());

pub(super) async fn make(
    Given(maker): Given,
    Query(BackupQuery { with_key }): Query<BackupQuery>,
) -> Result<Made<Created<axum::Json<BackupView>>>, Refused> {
    let Some(Maker(maker)) = maker else {
        return Err(refused(StatusCode::CONFLICT, Code::Conflict, "this server has no files to back up"));
    };
    let Ok(_making) = MAKING.try_lock() else {
        return Err(refused(StatusCode::TOO_MANY_REQUESTS, Code::Busy, "a backup is being made already"));
    };
    let made = maker.back_up(with_key).await?;
    let place = Place::of(DeedTo::Nothing).with("name", &made.name).with("withKey", &with_key);
    Ok(place.with("files", &made.files).with("bytes", &made.bytes).has(Status(axum::Json(made))))
}

fn refused(status: StatusCode, code: Code, detail: &str) -> Refused {
    Refused(Problem { detail: Some(detail.to_owned()), ..Problem::new(status.as_u16(), code, TITLE) })
}
