//! The routes of the API, each with what it takes of its caller, and the service as this caller sees it.
//!
//! A route is added by [`Routes`] alone, which asks for its [`Needs`]; and a handler reaches the service by
//! [`Asked`] alone, which is the service for the caller of the request. So no route can be without a role,
//! and no handler can show what belongs to another organisation unit. A request without a caller is refused.

use std::sync::Arc;

use axum::{
    Extension, RequestExt as _, Router,
    extract::{FromRequestParts, Path, Request},
    handler::Handler,
    http::{Method, StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, on},
};
use narrowgate_api::problem::{Code, Problem};
use narrowgate_platform::{
    firmware::Sha256Sum,
    model::access::{Caller, Needs},
    service::Operator,
};

use super::{
    Api,
    audited::{Recorder, Rule, permit},
    census::Census,
    described::{Answering, Sketch, Taking},
    extract::malformed,
    idempotency::Keeper,
};
use crate::{problem::Refused, work::Attended};

/// Who asks: what whoever lets a request in puts into its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Who it is.
    pub(crate) caller: Caller,
    /// What says so; `None` of the owner.
    pub(crate) credential: Option<Credential>,
}

/// What says who asks, by its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A token.
    Token(Sha256Sum),
    /// The session of a user.
    Session(Sha256Sum),
}

impl Credential {
    /// The SHA-256.
    pub(crate) fn hash(self) -> Sha256Sum {
        match self {
            Self::Token(hash) | Self::Session(hash) => hash,
        }
    }
}

impl Asker {
    /// The owner of the data directory.
    pub(crate) fn owner() -> Self {
        Self { caller: Caller::Owner, credential: None }
    }
}

/// What the routes work on; the service is opened by [`Asked`] only.
#[derive(Clone)]
pub(super) struct Door {
    api: Api,
    pub(super) census: Arc<Census>,
}

/// The service, as the caller of the request sees it.
pub(super) struct Asked(pub(super) Api);

impl FromRequestParts<Door> for Asked {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refused> {
        let asker = parts.extensions.get::<Asker>().ok_or_else(nobody)?;
        let Api { operator, host, events } = door.api.clone();
        Ok(Self(Api { operator: operator.of(asker.caller.clone()), host, events }))
    }
}

/// Whether the caller's token or session is still what it was, for what goes on for long.
pub(crate) struct Standing {
    operator: Operator,
    asker: Asker,
}

impl Standing {
    /// That of the owner.
    #[cfg(test)]
    pub(super) fn of_owner(operator: Operator) -> Self {
        Self { operator, asker: Asker::owner() }
    }

    /// That of somebody who was let in.
    pub(crate) fn new(operator: Operator, asker: Asker) -> Self {
        Self { operator, asker }
    }

    /// Whether it is.
    ///
    /// # Errors
    /// Only the store's.
    pub(crate) async fn look(&self) -> Result<bool, Problem> {
        let Some(credential) = self.asker.credential else { return Ok(true) };
        Ok(self.is_of(self.present(credential).await?.as_ref()))
    }

    /// What says who it is; `None`: the owner's, which always stands.
    pub(super) fn credential(&self) -> Option<Credential> {
        self.asker.credential
    }

    /// The user who asks, with the hash of the session and the service that knows all users; `None`: a token
    /// or the owner asks.
    pub(super) fn user(&self) -> Option<(&Operator, &str, Sha256Sum)> {
        match (&self.asker.caller, self.asker.credential) {
            (Caller::User { name, .. }, Some(Credential::Session(hash))) => {
                Some((&self.operator, &**name, hash))
            }
            _ => None,
        }
    }

    /// Who has its credential now.
    pub(super) async fn present(&self, credential: Credential) -> Result<Option<Caller>, Problem> {
        match credential {
            Credential::Token(hash) => self.operator.holder(hash).await,
            Credential::Session(hash) => self.operator.session_holder(hash).await,
        }
    }

    /// Whether it holds where this is who has its credential.
    pub(super) fn is_of(&self, present: Option<&Caller>) -> bool {
        present == Some(&self.asker.caller)
    }

    /// Whether the organisation unit of a caller is not suspended. Where the store cannot say, it is.
    pub(super) async fn is_served(&self, caller: &Caller) -> bool {
        self.operator.check_unit_of(caller).await.is_ok()
    }

    /// Passes where its organisation unit is not suspended.
    ///
    /// # Errors
    /// It is; or the store cannot say.
    pub(super) async fn check_unit(&self) -> Result<(), Problem> {
        self.operator.check_unit_of(&self.asker.caller).await
    }

    /// Whether it is, and its organisation unit is not suspended. Where the store cannot say, it is not.
    pub(super) async fn holds(&self) -> bool {
        self.look().await.unwrap_or(false) && self.is_served(&self.asker.caller).await
    }
}

impl FromRequestParts<Door> for Standing {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refused> {
        let asker = parts.extensions.get::<Asker>().ok_or_else(nobody)?.clone();
        Ok(Self::new(door.api.operator.clone(), asker))
    }
}

/// Who asks for what goes on for long.
pub(super) struct Lasting {
    pub(super) standing: Standing,
    pub(super) peer: Attended,
}

impl FromRequestParts<Door> for Lasting {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refused> {
        let standing = Standing::from_request_parts(parts, door).await?;
        let Ok(peer) = Attended::from_request_parts(parts, door).await;
        Ok(Self { standing, peer })
    }
}

/// Whoever lets requests in says who asks: that is missing only by a fault of the server.
pub(super) fn nobody() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "it is not known who asks")
}

/// The acts of a route by the word after the last colon of its path, each with what it takes of its caller,
/// and what it answers: `<Json<DeviceView>>::answers`.
pub(super) type Acts = &'static [(&'static str, Needs, fn(&mut Sketch))];

/// A handler whose requests and answers are described by its types.
pub(super) trait Described<T>: Handler<T, Door> + Taking<T> + Answering<T> {}

impl<T, H: Handler<T, Door> + Taking<T> + Answering<T>> Described<T> for H {}

/// A route as it was added.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its method.
    pub(crate) method: Method,
    /// Its path, with the names of its parts in braces.
    pub(crate) path: String,
    /// The act after the colon, of those that have some.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests read it"))]
    pub(crate) act: Option<&'static str>,
    /// What it takes of its caller.
    pub(crate) needs: Needs,
    /// What it takes of the request, and what it answers.
    pub(crate) sketch: Sketch,
}

/// The routes, while they are added.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Door>,
    rows: Vec<Row>,
}

impl Routes {
    /// `GET`, and `HEAD` with it.
    pub(super) fn get<H: Described<T>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.at(Method::GET, MethodFilter::GET, path, needs, handler)
    }

    /// `POST`
    pub(super) fn post<H: Described<T>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.at(Method::POST, MethodFilter::POST, path, needs, handler)
    }

    /// `PUT`
    pub(super) fn put<H: Described<T>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.at(Method::PUT, MethodFilter::PUT, path, needs, handler)
    }

    /// `PATCH`
    pub(super) fn patch<H: Described<T>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.at(Method::PATCH, MethodFilter::PATCH, path, needs, handler)
    }

    /// `DELETE`
    pub(super) fn delete<H: Described<T>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.at(Method::DELETE, MethodFilter::DELETE, path, needs, handler)
    }

    /// `POST` of a path whose last part names something and, after its last colon, an act.
    pub(super) fn acts<H: Handler<T, Door> + Taking<T>, T: 'static>(
        mut self,
        path: &str,
        acts: Acts,
        handler: H,
    ) -> Self {
        let all: Arc<[Rule]> =
            acts.iter().map(|(act, needs, _)| Rule::new(Method::POST, path, Some(act), *needs)).collect();
        let permit =
            middleware::from_fn(move |request: Request, next: Next| permit_act(all.clone(), request, next));
        self.router = self.router.route(path, on(MethodFilter::POST, handler).route_layer(permit));
        let row = |&(act, needs, answers): &(_, _, fn(&mut Sketch))| {
            let mut sketch = Sketch::default();
            H::takes(&mut sketch);
            answers(&mut sketch);
            Row { method: Method::POST, path: path.to_owned(), act: Some(act), needs, sketch }
        };
        self.rows.extend(acts.iter().map(row));
        self
    }

    fn at<H: Described<T>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        needs: Needs,
        handler: H,
    ) -> Self {
        let mut sketch = Sketch::default();
        H::takes(&mut sketch);
        H::answers(&mut sketch);
        let rule = Rule::new(method.clone(), path, None, needs).that_streams(sketch.streams);
        let permit =
            middleware::from_fn(move |request: Request, next: Next| permit(rule.clone(), request, next));
        self.router = self.router.route(path, on(filter, handler).route_layer(permit));
        self.rows.push(Row { method, path: path.to_owned(), act: None, needs, sketch });
        self
    }

    /// What was added last reads a lot of the store at once, although it takes no query: it waits for its
    /// turn.
    pub(super) fn reads_much(self) -> Self {
        self.reading(true)
    }

    /// What was added last reads one thing, although it takes a query: it waits for no turn.
    pub(super) fn reads_little(self) -> Self {
        self.reading(false)
    }

    fn reading(mut self, reads_much: bool) -> Self {
        if let Some(row) = self.rows.last_mut() {
            row.sketch.reads_much = reads_much;
        }
        self
    }

    /// These and others.
    pub(super) fn merge(mut self, others: Self) -> Self {
        self.rows.extend(others.rows);
        Self { router: self.router.merge(others.router), rows: self.rows }
    }

    /// All of them as a list.
    pub(super) fn rows(self) -> Vec<Row> {
        self.rows
    }

    /// What answers them. Whoever lets requests in must say who asks: an [`Asker`] in their extensions.
    pub(super) fn router(self, api: Api) -> Router {
        let (recorder, keeper) = (Recorder::new(api.operator.clone()), Keeper::new(api.operator.clone()));
        self.router
            .layer(Extension(recorder))
            .layer(Extension(keeper))
            .with_state(Door { api, census: Arc::default() })
    }
}

/// Answers an act where the caller may. The path is read as the handler reads it: an escaped colon is one,
/// too.
async fn permit_act(acts: Arc<[Rule]>, mut request: Request, next: Next) -> Response {
    let path = request.extract_parts::<Path<Vec<(String, String)>>>().await;
    let Path(parameters) = match path {
        Ok(path) => path,
        Err(rejection) => return malformed(format!("the path: {}", rejection.body_text())).into_response(),
    };
    let last = parameters.last().map_or("", |(_, value)| value);
    let act = last.rsplit_once(':').map_or("", |(_, act)| act);
    match acts.iter().find(|rule| rule.act == Some(act)) {
        Some(rule) => permit(rule.clone(), request, next).await,
        None => {
            let known: Vec<_> =
                acts.iter().filter_map(|rule| rule.act).map(|act| format!(":{act}")).collect();
            let detail =
                format!("there is nothing at {}; it ends in {}", request.uri().path(), one_of(&known));
            Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail).into_response()
        }
    }
}

/// `a`, or `a or b`, or `a, b or c`.
fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(crate) fn forbidden(needs: Needs, caller: &Caller) -> Refused {
    let status = StatusCode::FORBIDDEN;
    let role = match caller.role() {
        narrowgate_api::access::Role::Viewer => "a viewer",
        narrowgate_api::access::Role::Operator => "an operator",
        narrowgate_api::access::Role::Administrator => "an administrator",
    };
    let whose = if caller.unit().is_some() { " of one organisation unit" } else { "" };
    let (what, hint) = match caller {
        Caller::User { .. } => {
            ("user is", "an administrator gives users other roles: PATCH /api/v1/users/{user}")
        }
        Caller::Token { .. } | Caller::Owner => {
            ("token is that of", "narrowgate token create makes a token of another role")
        }
    };
    let detail = format!("it takes {}; the {what} {role}{whose}", needs.whose());
    let hint = hint.to_owned();
    let title = status.canonical_reason().unwrap_or("Forbidden");
    Refused(Problem {
        detail: Some(detail),
        hint: Some(hint),
        ..Problem::new(status.as_u16(), Code::Forbidden, title)
    })
}
