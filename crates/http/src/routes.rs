//! The routes and the headers that every answer carries.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::{
    health::{Health, Phase},
    metrics::{MetricsSource, prometheus_text},
    page::About,
    problem::Problem,
    serve::REQUEST_TIME_MAX,
};

/// Headers of every answer: nothing is cached, framed, sniffed or allowed to load anything.
const SECURITY_HEADERS: [(header::HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Everything that is answered over HTTP.
pub fn router(about: About, health: Health, metrics: MetricsSource) -> Router {
    Router::new()
        .route("/", get(async move || Html(about.html())))
        .route("/health/live", get(async || Json(json!({"status": "live"}))))
        .route("/health/ready", get(ready).with_state(health))
        .route("/metrics", get(metrics_text).with_state(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(answer_within_limits))
}

/// 200 only while devices are served: a load balancer takes the process out before it stops.
async fn ready(State(health): State<Health>) -> Response {
    let phase = health.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"status": phase.name()}))).into_response()
}

async fn metrics_text(State(source): State<MetricsSource>) -> Response {
    let text = prometheus_text(&source());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem {
        status: StatusCode::NOT_FOUND,
        detail: format!("there is nothing at {}; / lists what there is", uri.path()),
    }
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        detail: format!("{method} is not answered here; use GET"),
    }
}

async fn answer_within_limits(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        let detail = "the answer took too long".into();
        Problem { status: StatusCode::SERVICE_UNAVAILABLE, detail }.into_response()
    });
    response.headers_mut().extend(SECURITY_HEADERS);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::Metric;

    async fn ask(health: &Health, method: &str, path: &str) -> (StatusCode, String, String) {
        let metrics: MetricsSource = Arc::new(|| vec![Metric::gauge("sessions", "Sessions now.", 2.0)]);
        let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router(about, health.clone(), metrics).oneshot(request).await.unwrap();
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(response.headers().get(&name), Some(&value), "{method} {path}");
        }
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_is_answered_only_between_start_and_drain() {
        let health = Health::default();
        for (phase, status) in [(Phase::Starting, 503), (Phase::Ready, 200), (Phase::Draining, 503)] {
            health.set(phase);
            let (answered, _, body) = ask(&health, "GET", "/health/ready").await;
            assert_eq!(answered, status);
            assert_eq!(body, format!("{{\"status\":\"{}\"}}", phase.name()));
            assert_eq!(ask(&health, "GET", "/health/live").await.0, 200);
        }
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let (status, kind, body) = ask(&Health::default(), "GET", "/metrics").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(body.contains("sessions 2\n"), "{body}");
    }

    #[tokio::test]
    async fn the_page_links_every_route() {
        let (status, _, body) = ask(&Health::default(), "GET", "/").await;
        assert_eq!(status, 200);
        for path in ["/health/live", "/health/ready", "/metrics"] {
            assert!(body.contains(&format!("href=\"{path}\"")), "{path}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_a_problem_document() {
        for (method, path, status) in
            [("GET", "/nothing", 404), ("GET", "/metrics/", 404), ("POST", "/metrics", 405)]
        {
            let (answered, kind, body) = ask(&Health::default(), method, path).await;
            assert_eq!(
                (answered.as_u16(), kind.as_str()),
                (status, "application/problem+json"),
                "{method} {path}"
            );
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status);
        }
    }
}
