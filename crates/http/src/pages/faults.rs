//! What is wrong with a form or with a new password, in the language of the page.

use axum::http::StatusCode;
use narrowgate_api::problem::Problem;
use narrowgate_platform::rules::passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, PasswordFault};

use super::{say, t};
use crate::console::words;

/// Why a form was not read, by the status of the answer.
pub(super) fn form_fault(status: StatusCode) -> &'static str {
    t(match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => words::FORM_NONE,
        StatusCode::PAYLOAD_TOO_LARGE => words::FORM_TOO_LONG,
        StatusCode::REQUEST_TIMEOUT => words::FORM_LATE,
        _ => words::FORM_UNREAD,
    })
}

/// Why a password is not taken. A problem of another kind is told as the API tells it.
pub(super) fn password_fault(problem: &Problem) -> String {
    let all = [
        (PasswordFault::TooShort, words::PASSWORD_TOO_SHORT, PASSWORD_CHARACTERS_MIN),
        (PasswordFault::TooLong, words::PASSWORD_TOO_LONG, PASSWORD_BYTES_MAX),
        (PasswordFault::TooCommon, words::PASSWORD_TOO_COMMON, 0),
    ];
    let said = problem.to_string();
    let found = all.into_iter().find(|(fault, ..)| said.ends_with(&fault.to_string()));
    match found {
        Some((_, word, limit)) => say(word, &[("n", &limit.to_string())]),
        None => format!("The {said}."),
    }
}
