//! `/api/v1/backup`: a backup is made (module [`made`]). `/api/v1/backup:hold`: the store stands still
//! while a backup copies its last part.
//!
//! The answer begins once it stands still, with the number of its last batch, and goes on until the store may
//! continue: because its peer has left, or because [`HOLD_TIME_MAX`] is over. After its peer has left it
//! waits for another [`LINGER`]: who waits for the end of the command notices it before anything more is
//! acknowledged.

mod made;

use std::{convert::Infallible, marker::PhantomData, time::Duration};

use axum::{body::Body, http::header, response::IntoResponse as _};
use futures_util::stream;
use narrowgate_platform::{
    model::access::Needs,
    ports::{HOLD_TIME_MAX, Pause},
};
use schemars::JsonSchema;
use tokio::runtime::Handle;

pub(crate) use self::made::Maker;
pub use self::made::{BackingUp, Backups};
use super::{
    asked::{Asked, Routes},
    described::Streamed,
};
use crate::problem::Refused;

/// How long the store is held after its peer has left.
const LINGER: Duration = Duration::from_millis(100);

pub(super) fn routes() -> Routes {
    Routes::default().post("/api/v1/backup", Needs::AdministerAll, made::make).post(
        "/api/v1/backup:hold",
        Needs::Own,
        hold,
    )
}

/// How the store stands still.
#[derive(JsonSchema)]
struct Held {
    /// The number of its last batch.
    #[expect(dead_code, reason = "it is written by hand, and this is its form")]
    batch: u64,
}

async fn hold(Asked(api): Asked) -> Result<Streamed<Held>, Refused> {
    let pause = api.operator.hold_writes().await?;
    let first = format!("{{\"batch\":{}}}\n", pause.batch);
    let parts = stream::unfold((Some(first), Lingering(Some(pause))), next);
    let answer = ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(parts)).into_response();
    Ok(Streamed(answer, PhantomData))
}

/// The next part of the answer; it ends with the pause.
async fn next(
    (first, pause): (Option<String>, Lingering),
) -> Option<(Result<String, Infallible>, (Option<String>, Lingering))> {
    match first {
        Some(first) => Some((Ok(first), (None, pause))),
        None => {
            tokio::time::sleep(HOLD_TIME_MAX).await;
            None
        }
    }
}

/// A pause that ends a moment after it is dropped.
struct Lingering(Option<Pause>);

impl Drop for Lingering {
    fn drop(&mut self) {
        let pause = self.0.take();
        // Without a runtime the server has ended.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                drop(pause);
            });
        }
    }
}
