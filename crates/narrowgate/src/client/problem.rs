//! Turns the router's answers into what the command line prints.

use axum::{body::Bytes, http::StatusCode};
use narrowgate_api::problem::{Code, Problem};
use serde::de::DeserializeOwned;

use crate::failure::{Exit, Failure};

/// Reads the answer.
///
/// # Errors
/// The problem that was answered, or that the answer cannot be understood.
pub(super) fn read<T: DeserializeOwned>(status: StatusCode, body: &Bytes) -> Result<T, Failure> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| other_version(&error.to_string()));
    }
    match serde_json::from_slice(body) {
        Ok(problem) => Err(failure(problem)),
        Err(_) => Err(other_version(&format!("it answers {status}"))),
    }
}

/// A problem in the words of the command line.
pub(super) fn failure(problem: Problem) -> Failure {
    let Problem { title, detail, code, hint, place, line, .. } = problem;
    let detail = detail.map(|detail| as_typed(detail, place.as_deref()));
    let failure = match code {
        Code::Malformed | Code::PathUnknown | Code::MethodWrong | Code::MediaTypeWrong => {
            let failure = Failure::failed("the running server does not know this request");
            let failure = detail.into_iter().fold(failure, Failure::reason);
            return failure.hint("use the same version of narrowgate as the server, or restart the server");
        }
        Code::TooLarge => return Failure::failed("the request is too long"),
        Code::Invalid => Failure::new(Exit::Usage, title),
        // An invalid model is no bad usage: it is a file's content, not an argument.
        _ => Failure::failed(title),
    };
    let failure = Failure { code: Some(code), ..failure };
    let failure = detail.into_iter().fold(failure, Failure::reason);
    let failure = line.into_iter().fold(failure, |failure, line| failure.part("line", line));
    hint.into_iter().fold(failure, Failure::hint)
}

/// Fields of requests that have another name on the command line.
const TYPED: [(&str, &str); 18] = [
    ("productKey", "--product-key"),
    ("productSecret", "--product-secret"),
    ("deviceKey", "--device-key"),
    ("deviceSecret", "--device-secret"),
    ("retention", "--retention"),
    ("bucket", "--bucket"),
    ("fn", "--fn"),
    ("tz", "--tz"),
    ("cursor", "--cursor"),
    ("points", "--set"),
    ("ids", "--get"),
    ("service", "--service"),
    ("input", "--input"),
    ("hex", "--hex"),
    ("from", "--from"),
    ("pendingTtl", "--pending-ttl"),
    ("timeout", "--timeout"),
    ("expiresAt", "--expires"),
];

/// A sentence about a field, which begins with its name, with what was typed in its place.
fn as_typed(detail: String, place: Option<&str>) -> String {
    // Behind the field may follow where in it.
    let field = place.and_then(|place| place.strip_prefix('/').unwrap_or(place).split('/').next());
    let typed = TYPED.iter().find(|(name, _)| field == Some(name));
    match typed.and_then(|(name, option)| Some((option, detail.strip_prefix(name)?))) {
        Some((option, rest)) if rest.starts_with(' ') => format!("{option}{rest}"),
        _ => detail,
    }
}

pub(super) fn other_version(reason: &str) -> Failure {
    Failure::failed("the running server answers in a way that this program does not know")
        .reason(reason)
        .hint("use the same version of narrowgate as the server, or restart the server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_what_was_typed() {
        for (place, detail, expected) in [
            (Some("/pendingTtl"), "pendingTtl is 9; it must be less", "--pending-ttl is 9; it must be less"),
            (Some("/points"), "points has 0 points", "--set has 0 points"),
            (Some("/points/n"), "points /n: must not be null", "--set /n: must not be null"),
            (Some("cursor"), "cursor is not one", "--cursor is not one"),
            (Some("/name"), "name is empty", "name is empty"),
            (Some("/service"), "serviceable", "serviceable"),
            (None, "points are wrong", "points are wrong"),
        ] {
            assert_eq!(as_typed(detail.to_owned(), place), expected);
        }
    }
}
