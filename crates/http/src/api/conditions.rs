//! Entity tags, and changes that are to be of what was read (RFC 9110, section 13.1.1): where somebody has
//! changed it since, nothing is changed.
//!
//! What a request compares and what it writes are two steps of the service, so changes of one thing follow
//! one another here; the process that serves the API is the only one that changes the store.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
};
use narrowgate_api::{
    device::DeviceView,
    problem::{Code, Problem},
};
use narrowgate_platform::service::{IfMatch, entity_tag};
use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use crate::problem::Refused;

/// JSON with its entity tag.
pub(super) type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

/// What is shown, with the tag of all of it.
pub(super) fn tagged<T: Serialize>(shown: T) -> Tagged<T> {
    ([(header::ETAG, entity_tag(&shown))], Json(shown))
}

/// The tag of a device: of what operators change. It stays the same while the device comes, goes and reports.
pub(super) fn tag_of_device(device: &DeviceView) -> String {
    let DeviceView { asset_id, product_key, device_key, name, enabled, .. } = device;
    entity_tag(&(asset_id, product_key, device_key, name, enabled))
}

/// Changes under way of different things that are kept apart; others wait for each other without need.
const THINGS: usize = 1024;

static CHANGING: [Mutex<()>; THINGS] = [const { Mutex::const_new(()) }; THINGS];

/// Nobody can choose a name that waits for another one: which do is another thing in each process.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Waits until nobody else changes the thing of this name, and keeps others from it.
pub(super) async fn alone(name: &str) -> MutexGuard<'static, ()> {
    let at = usize::try_from(HASHER.hash_one(name) % THINGS as u64).unwrap_or_default();
    CHANGING[at].lock().await
}

/// Permits a change of what has this tag now, where the request says of which it is.
///
/// # Errors
/// 412: it is of another.
pub(super) async fn permit(
    if_match: Option<IfMatch>,
    what: &str,
    tag: impl Future<Output = Result<String, Problem>>,
) -> Result<(), Refused> {
    let Some(IfMatch(tags)) = if_match else { return Ok(()) };
    if tags.contains(&tag.await?) {
        return Ok(());
    }
    let status = StatusCode::PRECONDITION_FAILED;
    Err(Refused(Problem {
        detail: Some(format!("{what} is not as If-Match says any more")),
        hint: Some("read it again, and make the change of what it is now".to_owned()),
        ..Problem::new(status.as_u16(), Code::PreconditionFailed, "nothing was changed")
    }))
}

/// Permits to replace the whole of something without `If-Match` only where there is nothing to lose. `title`:
/// of the change, where it cannot be looked whether there is.
///
/// # Errors
/// 428: there is something (RFC 6585, section 3).
pub(super) async fn need(
    is_given: bool,
    (title, what): (&str, &str),
    is_there: impl Future<Output = Result<bool, Problem>>,
) -> Result<(), Refused> {
    // What was tried is the change, and not the look.
    let of_change = |problem| Problem { title: title.to_owned(), ..problem };
    if is_given || !is_there.await.map_err(of_change)? {
        return Ok(());
    }
    let status = StatusCode::PRECONDITION_REQUIRED;
    Err(Refused(Problem {
        detail: Some(format!("{what} would be replaced as a whole, whatever somebody else has put there")),
        hint: Some("send the ETag of what was read as If-Match; or * for whatever is there".to_owned()),
        ..Problem::new(status.as_u16(), Code::PreconditionRequired, "nothing was changed")
    }))
}
