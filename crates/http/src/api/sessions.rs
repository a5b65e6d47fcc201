//! Sessions of users, one by one: a user's own under `/api/v1/me`, and for an administrator those of any
//! user. A session ends at once; event streams that it opened within a second.

use axum::Json;
use narrowgate_api::{
    page::Page,
    problem::{Code, Problem},
    user::UserSessionView,
};
use narrowgate_platform::{firmware::Sha256Sum, model::access::Needs, service::DeedTo};

use super::{
    asked::{Asked, Routes, Standing},
    audited::{Made, Place},
    extract::{First, Part},
};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/me/sessions", Needs::Read, list_own)
        .delete("/api/v1/me/sessions/{session}", Needs::Read, end_own)
        .get("/api/v1/users/{user}/sessions", Needs::AdministerAll, list)
        .delete("/api/v1/users/{user}/sessions/{session}", Needs::AdministerAll, end)
}

async fn list_own(standing: Standing) -> Result<Json<Page<UserSessionView>>, Refused> {
    Ok(Json(match standing.user() {
        Some((operator, user, own)) => operator.list_user_sessions(user, Some(own)).await?,
        // A token has none, and the owner neither.
        None => Page::last(Vec::new()),
    }))
}

async fn end_own(standing: Standing, Part(id): Part) -> Result<Json<UserSessionView>, Refused> {
    let Some((operator, user, own)) = standing.user() else {
        return Err(Refused(Problem {
            detail: Some("who asks is no user who has logged in, and has no sessions".to_owned()),
            ..Problem::new(404, Code::Missing, "cannot end the user's session")
        }));
    };
    Ok(Json(operator.end_user_session(user, &id, Some(own)).await?))
}

/// The session that asks, where a user does.
fn own(standing: &Standing) -> Option<Sha256Sum> {
    standing.user().map(|(_, _, own)| own)
}

async fn list(
    Asked(api): Asked,
    standing: Standing,
    First(user): First,
) -> Result<Json<Page<UserSessionView>>, Refused> {
    Ok(Json(api.operator.list_user_sessions(&user, own(&standing)).await?))
}

async fn end(
    Asked(api): Asked,
    standing: Standing,
    First(user): First,
    Part(id): Part,
) -> Result<Made<Json<UserSessionView>>, Refused> {
    let ended = api.operator.end_user_session(&user, &id, own(&standing)).await?;
    let of = api.operator.show_user(&user).await.map_or(DeedTo::Nothing, |user| DeedTo::Unit(user.ou));
    Ok(Place::of(of).has(Json(ended)))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Method, Request, StatusCode, header},
    };
    use narrowgate_api::access::Role;
    use narrowgate_platform::service::form_token;
    use serde_json::Value;

    use crate::{
        browser::{FORM_TOKEN, SESSION},
        document::world::{World, world},
    };

    fn request(method: Method, path: &str, text: &str) -> Request<Body> {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = match text.starts_with("ngs_") {
            false => request.header(header::AUTHORIZATION, format!("Bearer {text}")),
            true => request
                .header(header::HOST, "gate")
                .header(header::ORIGIN, "http://gate")
                .header(header::COOKIE, format!("{SESSION}={text}"))
                .header(FORM_TOKEN, form_token(text).expose()),
        };
        request.body(Body::empty()).expect("it is a request")
    }

    async fn ids(world: &World, path: &str, text: &str) -> Vec<(String, bool)> {
        let (status, page) = world.ask(request(Method::GET, path, text)).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().expect("it is a list").iter();
        let id = |item: &Value| (item["id"].as_str().unwrap_or_default().to_owned(), item["own"] == true);
        items.map(id).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_lists_and_ends_the_own_sessions_and_nobody_elses() {
        let world = world(None).await;
        let first = world.session("ann", Role::Viewer, Some("north")).await;
        let second = world.log_in_again("ann").await;
        let bob = world.session("bob", Role::Viewer, None).await;
        let token = world.token("ci", Role::Viewer, None).await;
        let own = ids(&world, "/me/sessions", &second).await;
        assert_eq!(own.iter().map(|(_, own)| *own).collect::<Vec<_>>(), [true, false]);
        let path = format!("/me/sessions/{}", own[1].0);
        for other in [&bob, &token] {
            let (status, problem) = world.ask(request(Method::DELETE, &path, other)).await;
            assert_eq!((status, problem["code"].as_str()), (StatusCode::NOT_FOUND, Some("missing")));
        }
        let (status, ended) = world.ask(request(Method::DELETE, &path, &second)).await;
        assert_eq!((status, ended["id"].as_str()), (StatusCode::OK, Some(&*own[1].0)));
        let me = world.ask(request(Method::GET, "/me", &first)).await.0;
        assert_eq!(me, StatusCode::UNAUTHORIZED, "it has ended at once");
        assert_eq!(ids(&world, "/me/sessions", &second).await.len(), 1);
        assert!(ids(&world, "/me/sessions", &token).await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_administrator_lists_and_ends_those_of_others() {
        let world = world(None).await;
        let ann = world.session("ann", Role::Viewer, Some("north")).await;
        let admin = world.session("admin", Role::Administrator, None).await;
        let listed = ids(&world, "/users/ann/sessions", &admin).await;
        assert_eq!(listed.iter().map(|(_, own)| *own).collect::<Vec<_>>(), [false]);
        assert!(ids(&world, "/users/admin/sessions", &admin).await[0].1);
        let path = format!("/users/ann/sessions/{}", listed[0].0);
        assert_eq!(world.ask(request(Method::DELETE, &path, &ann)).await.0, StatusCode::FORBIDDEN);
        let (status, _) = world.ask(request(Method::DELETE, &path, &admin)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(world.ask(request(Method::GET, "/me", &ann)).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(world.ask(request(Method::DELETE, &path, &admin)).await.0, StatusCode::NOT_FOUND);
        let unknown = request(Method::GET, "/users/eve/sessions", &admin);
        assert_eq!(world.ask(unknown).await.0, StatusCode::NOT_FOUND);
    }
}
