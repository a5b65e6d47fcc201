//! What pages load: style, module and icon, under a path with a sum of all of them, so that browsers keep
//! them for ever. A module may import another one by `./name.js`.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

/// Name, media type, text.
const ASSETS: &[(&str, &str, &str)] = &[
    (
        "console.css",
        "text/css; charset=utf-8",
        concat!(include_str!("assets/console.css"), include_str!("assets/charts.css")),
    ),
    ("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("upload.js", "text/javascript; charset=utf-8", include_str!("assets/upload.js")),
    ("charts.js", "text/javascript; charset=utf-8", include_str!("assets/charts.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// The same as long as none of them changes.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut sum = Sha256::new();
    ASSETS.iter().for_each(|(name, _, text)| sum.update(format!("{name}\0{}\0{text}", text.len())));
    hex::encode(&sum.finalize()[..8])
});

/// The path of one of them.
pub(super) fn asset(name: &str) -> String {
    format!("/console/assets/{}/{name}", *VERSION)
}

pub(super) fn routes() -> Router {
    Router::new().route("/console/assets/{version}/{name}", get(serve))
}

/// One of another version is as good as none: its page is loaded anew.
async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let found = ASSETS.iter().find(|(known, ..)| *known == name).filter(|_| version == *VERSION);
    let Some((_, kind, text)) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_all_is_small() {
        let mut bytes = 0;
        for (name, _, text) in ASSETS {
            bytes += text.len();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for loads in ["http:", "https:", "url(", "@import", "eval(", "innerHTML", "document.write"] {
                assert!(!text.contains(loads), "{name} has {loads}");
            }
        }
        assert!(bytes < 48 << 10, "{bytes} bytes are much beside a page of 100 KB");
    }
}
