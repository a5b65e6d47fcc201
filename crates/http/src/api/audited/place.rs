//! What a handler says of what it did: goes with its answer, for the log.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use narrowgate_platform::service::{DeedTo, path_part};
use serde::Serialize;
use serde_json::Value;

use super::{ROOT, joined, without_secret};
use crate::api::described::{Answers, Sketch};

/// Most characters of a field of a detail.
const FIELD_MAX: usize = 200;

/// What a request was done to, and what was changed of it.
#[derive(Debug, Clone)]
pub(in crate::api) struct Place {
    /// Of what was made: the answer says where it is.
    pub(super) target: Option<String>,
    pub(super) of: DeedTo,
    pub(in crate::api) detail: BTreeMap<String, String>,
    /// Whether a part of it was done, although the answer is a problem.
    pub(super) is_partly: bool,
}

impl Place {
    /// What was made, at this path behind `/api/v1`. `of`: to whose unit it belongs, where the path of the
    /// request does not say so.
    pub(in crate::api) fn new(path: &[&str], of: DeedTo) -> Self {
        Self::of(of).made_at(path)
    }

    /// Which belongs to the unit of this.
    pub(in crate::api) fn belonging_to(self, of: DeedTo) -> Self {
        Self { of, ..self }
    }

    /// At this path behind `/api/v1`, where it was made.
    pub(in crate::api) fn made_at(self, path: &[&str]) -> Self {
        let path: Vec<String> = path.iter().map(|part| path_part(part)).collect();
        Self { target: Some(joined(path.iter())), ..self }
    }

    /// What is at the path of the request.
    pub(in crate::api) fn of(of: DeedTo) -> Self {
        Self { target: None, of, detail: BTreeMap::new(), is_partly: false }
    }

    /// With a field of what was changed. It must not be a secret.
    pub(in crate::api) fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        let text = match serde_json::to_value(value).unwrap_or_default() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let text = without_secret(&text).chars().take(FIELD_MAX).collect();
        self.detail.insert(name.to_owned(), text);
        self
    }

    /// With a field, where there is one.
    pub(in crate::api) fn with_some(self, name: &str, value: Option<&impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Of which a part was done, and the rest was not.
    pub(in crate::api) fn partly(self, is_partly: bool) -> Self {
        Self { is_partly, ..self }
    }

    /// The answer that says what is there.
    pub(in crate::api) fn has<A>(self, answer: A) -> Made<A> {
        Made(Box::new(self), answer)
    }
}

/// The answer to a request that changed something: with what the log needs, and with the place of what is new
/// in a header.
pub(in crate::api) struct Made<A>(Box<Place>, A);

impl<A: Answers> Answers for Made<A> {
    fn answers(sketch: &mut Sketch) {
        A::answers(sketch);
    }
}

impl<A: IntoResponse> IntoResponse for Made<A> {
    fn into_response(self) -> Response {
        let Self(place, answer) = self;
        let mut answer = answer.into_response();
        if let Some(target) = &place.target
            && let Ok(location) = HeaderValue::from_str(&format!("{ROOT}{target}"))
        {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        answer.extensions_mut().insert(*place);
        answer
    }
}
