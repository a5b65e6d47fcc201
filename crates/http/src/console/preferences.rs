//! Language and zone of time, which a browser keeps in cookies. Strangers may choose, too.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};

use super::{
    locale::{LANGUAGE, Language, UTC, ZONE},
    see_other,
    visit::{HOME, way_back},
};
use crate::{
    browser::{CameBy, Origin, origin, set_cookie},
    form::Form,
    forwarded::Way,
};

/// Where the form is sent.
pub(super) const PATH: &str = "/console/preferences";

/// Seconds for which a choice is kept: a year.
const LASTS_S: i64 = 365 * 86_400;

pub(super) fn routes() -> Router {
    Router::new().route(PATH, post(choose))
}

/// Without a token: another site cannot send it, and it changes nothing but how pages look.
async fn choose(request: Request) -> Response {
    let way = Way::of(request.extensions());
    let came_by = match origin(request.headers(), way) {
        Origin::Own(_) if way.is_tls() => CameBy::Tls,
        Origin::Own(came_by) => came_by,
        Origin::Unsaid | Origin::Foreign => return StatusCode::FORBIDDEN.into_response(),
    };
    let Ok(mut form) = Form::read(request).await else { return StatusCode::BAD_REQUEST.into_response() };
    let back = form.text("back");
    let is_login = back == "/login" || back.starts_with("/login?");
    let back = way_back(&back).or(is_login.then_some(&back)).unwrap_or(HOME);
    let mut response = see_other(back);
    let (language, zone) = (form.text("language"), form.text("zone"));
    if let Some((_, tag, _)) = Language::ALL.into_iter().find(|(_, tag, _)| *tag == language) {
        keep(&mut response, set_cookie(LANGUAGE, tag, LASTS_S, came_by));
    }
    match &*zone {
        UTC => keep(&mut response, set_cookie(ZONE, UTC, LASTS_S, came_by)),
        "local" => keep(&mut response, set_cookie(ZONE, "", 0, came_by)),
        _ => {}
    }
    response
}

fn keep(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
