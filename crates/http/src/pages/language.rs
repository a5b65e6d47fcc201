//! The language of the page that is being answered: that of its request, wherever its texts are put together.

use axum::{extract::Request, middleware::Next, response::Response};

use crate::{
    console::{Language, Preferences, words::Word},
    forwarded::Way,
};

tokio::task_local! {
    static PREFERENCES: Preferences;
}

/// Answers in the language of the request.
pub(crate) async fn speak(request: Request, next: Next) -> Response {
    let preferences = Preferences::of(request.headers(), Way::of(request.extensions()));
    PREFERENCES.scope(preferences, next.run(request)).await
}

/// The language.
pub(super) fn language() -> Language {
    PREFERENCES.try_with(|preferences| preferences.language).unwrap_or(Language::English)
}

/// A text of the catalogue.
pub(super) fn t(word: Word) -> &'static str {
    word.of(language())
}

/// A text with what stands in its braces.
pub(super) fn say(word: Word, values: &[(&str, &str)]) -> String {
    word.say(language(), values)
}
