//! The routes and the headers that every answer carries.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use narrowgate_api::problem::Code;
use narrowgate_platform::rules::rate::Rate;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    api::{self, Api},
    browser,
    console::{self, Console},
    forwarded::Way,
    gate::{Gate, Peer},
    health::{Findings, Health, Phase},
    limiter::Limiter,
    metrics::{self, Detail, MetricsSource, prometheus_text},
    openapi,
    page::{self, About},
    pages::{self, Logins},
    places::Seat,
    problem::Refused,
    request_id,
    serve::REQUEST_TIME_MAX,
    shares::Holder,
    throttle::Throttle,
    work::{self, Work},
};

/// Headers of every answer: it must not be cached, framed or sniffed, and may load nothing.
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

/// Texts of metrics that are made for scrapes on TCP: some at once, and then twenty a second.
const TEXTS: Rate = Rate { every: Duration::from_millis(50), burst: 20 };

/// How long a file may take that a page of the console sends.
const FILE_TIME_MAX: Duration = Duration::from_secs(300);

/// How long a browser that came by TLS asks a host without it no more, where nothing else is said: a year.
pub const TLS_ONLY: Duration = Duration::from_secs(31_536_000);

/// The routes on TCP: what is open to everyone, and the operator's verbs for holders of tokens and users who
/// have logged in, each of whom asks at this rate at most (`None`: any number of times). It needs a
/// multi-threaded runtime.
pub fn router(about: About, health: Health, metrics: MetricsSource, api: Api, rate: Option<Rate>) -> Router {
    router_with(about, health, metrics, api, (rate, Logins::default(), Some(TLS_ONLY)))
}

/// The same where users log in in these ways, and browsers that come by TLS ask without it no more for so
/// long (`None`: they may).
pub fn router_with(
    about: About,
    health: Health,
    metrics: MetricsSource,
    api: Api,
    (rate, logins, tls_only): (Option<Rate>, Logins, Option<Duration>),
) -> Router {
    let gate = Arc::new(Gate::new(api.operator.clone(), rate));
    let throttle = Arc::new(Throttle::default());
    let pages = pages::routes(api.operator.clone(), Arc::clone(&throttle), logins);
    let counted = Arc::clone(&gate);
    let metrics: MetricsSource = Arc::new(move |detail| {
        let mut samples = metrics(detail);
        samples.extend(counted.samples());
        samples.extend(throttle.samples());
        samples.extend(api::audit_samples());
        samples.extend(api::api_samples());
        samples
    });
    let work = Work::new(api::rows(), Some(Arc::clone(&gate)));
    // The last layer is the first to see a request: nothing is read of a body before it is known whose it is.
    let operator = api.operator.clone();
    let worked = api::routes(api).layer(middleware::from_fn_with_state(work, work::run));
    let console = Console::new(Arc::clone(&gate), operator, worked.clone(), Arc::clone(&metrics));
    let verbs = worked
        .layer(middleware::from_fn(request_id::note))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&gate), let_in));
    open_routes(
        about,
        health,
        Scrape { source: metrics, gate: Some(Arc::clone(&gate)), texts: Arc::default() },
    )
    .merge(pages)
    .merge(console::routes(&console))
    .layer(middleware::from_fn(answer_in_time))
    .merge(verbs)
    .fallback(not_found)
    .method_not_allowed_fallback(method_not_allowed)
    .layer(middleware::from_fn(pages::for_people))
    .layer(middleware::from_fn(pages::speak))
    .layer(middleware::from_fn_with_state(tls_only, harden))
    .layer(middleware::from_fn(request_id::identify))
}

/// The same routes, of a process that makes backups.
pub fn with_backups(router: Router, backups: Arc<dyn api::Backups>) -> Router {
    router.layer(Extension(api::Maker(backups)))
}

/// What is open to everyone and the operator's verbs, for peers that are the owner. It needs a multi-threaded
/// runtime.
pub fn control_router(about: About, health: Health, metrics: MetricsSource, api: Api) -> Router {
    open_routes(about, health, Scrape { source: metrics, gate: None, texts: Arc::default() })
        .merge(api::routes(api).layer(middleware::from_fn(api::as_owner)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Work::new(api::rows(), None), work::run))
        .layer(middleware::from_fn_with_state(None::<Duration>, harden))
        .layer(middleware::from_fn(request_id::identify))
}

/// Lets a request in whose token or session is valid. The answer to a session has the token that changes
/// take.
async fn let_in(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let way = Way::of(request.extensions());
    let seat = request.extensions().get::<Seat>().cloned();
    let admitted = {
        let _answering = seat.as_ref().map(Seat::answer);
        let admitted = gate.admit(request.method(), request.headers(), (peer, way)).await;
        admitted.map(|(asker, session)| (asker, session.and_then(browser::form_token_header)))
    };
    match admitted {
        Ok((asker, form_token)) => {
            if let Some(seat) = seat {
                seat.note_request(Some(Holder::of(&asker.caller)));
            }
            request.headers_mut().remove(header::AUTHORIZATION);
            request.headers_mut().remove(header::COOKIE);
            request.extensions_mut().insert(asker);
            let mut response = next.run(request).await;
            if let Some(form_token) = form_token {
                response.headers_mut().insert(browser::FORM_TOKEN, form_token);
            }
            response
        }
        Err(refused) => refused,
    }
}

/// Where metrics come from, and who lets in whoever may see products; without a gate everybody may.
#[derive(Clone)]
struct Scrape {
    source: MetricsSource,
    gate: Option<Arc<Gate>>,
    /// Strangers may scrape, so those who come on TCP share texts where they come too often.
    texts: Arc<Texts>,
}

/// Texts of metrics, made so often at most. Who comes too soon waits, and all who wait get one text: none is
/// older than the question.
struct Texts {
    rate: Limiter<bool>,
    /// Of totals, and with products.
    last: [tokio::sync::Mutex<Option<Made>>; 2],
}

/// When it was begun, and the text.
type Made = (Instant, Arc<str>);

impl Default for Texts {
    fn default() -> Self {
        Self { rate: Limiter::new(TEXTS, 2), last: Default::default() }
    }
}

impl Texts {
    async fn of(&self, detail: Detail, source: &MetricsSource) -> Result<Arc<str>, Refused> {
        let (with_products, asked) = (detail == Detail::Products, Instant::now());
        let mut last = self.last[usize::from(with_products)].lock().await;
        if let Some((_, text)) = last.as_ref().filter(|(begun, _)| *begun >= asked) {
            return Ok(Arc::clone(text));
        }
        while let Err(wait) = self.rate.permit(with_products, Instant::now()) {
            sleep(wait).await;
        }
        let begun = Instant::now();
        let text: Arc<str> = text_of(source, detail).await?.into();
        *last = Some((begun, Arc::clone(&text)));
        Ok(text)
    }
}

async fn text_of(source: &MetricsSource, detail: Detail) -> Result<String, Refused> {
    let samples = metrics::read(source, detail).await;
    let failed = |error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, format!("{error}"));
    samples.map(|samples| prometheus_text(&samples)).map_err(failed)
}

fn open_routes(about: About, health: Health, metrics: Scrape) -> Router {
    Router::new()
        .route("/", get(async move || ([openapi::POLICY], Html(about.html()))))
        .route(
            page::STYLE_PATH,
            get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)),
        )
        .route("/health/live", get(async || Json(json!({"status": "live"}))))
        .route("/health/ready", get(ready).with_state(health))
        .route("/metrics", get(metrics_text).with_state(metrics))
        .merge(openapi::routes())
}

/// 200 only while devices are served, so that a load balancer removes the process before it stops, and where
/// it stands still.
async fn ready(State(health): State<Health>) -> Response {
    let (phase, Findings { stuck, warnings }) = (health.phase(), health.findings());
    let is_stuck = phase == Phase::Ready && !stuck.is_empty();
    let status = if phase == Phase::Ready && !is_stuck { 200 } else { 503 };
    let mut body = json!({"status": if is_stuck { "stuck" } else { phase.name() }});
    for (name, texts) in [("stuck", stuck), ("warnings", warnings)] {
        if !texts.is_empty() {
            body[name] = texts.into();
        }
    }
    (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response()
}

/// Everybody may scrape; a token for all organisation units also shows products.
async fn metrics_text(State(scrape): State<Scrape>, request: Request) -> Response {
    let Scrape { source, gate, texts } = scrape;
    let detail = match gate {
        None => return shown(text_of(&source, Detail::Products).await),
        Some(_) if !request.headers().contains_key(header::AUTHORIZATION) => Detail::Totals,
        Some(gate) => {
            let peer = request.extensions().get::<Peer>().copied();
            let way = Way::of(request.extensions());
            match gate.admit(request.method(), request.headers(), (peer, way)).await {
                Ok((asker, _)) if asker.caller.unit().is_none() => Detail::Products,
                Ok(_) => Detail::Totals,
                Err(refused) => return refused,
            }
        }
    };
    shown(texts.of(detail, &source).await.map(|text| text.to_string()))
}

fn shown(text: Result<String, Refused>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    text.map_or_else(Refused::into_response, |text| (kind, text).into_response())
}

pub(crate) async fn not_found(uri: Uri) -> Refused {
    let detail = format!("there is nothing at {}; / lists what there is", uri.path());
    Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail)
}

pub(crate) async fn method_not_allowed(method: Method) -> Refused {
    let detail = format!("{method} is not answered here; the header Allow names what is");
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodWrong, detail)
}

async fn answer_in_time(request: Request, next: Next) -> Response {
    // Of a stranger who sends a body: not before it is there (module `pages`).
    let seat = request.extensions().get::<Seat>().filter(|_| request.method().is_safe());
    let _answering = seat.map(Seat::answer);
    let is_file = console::takes_file(request.method(), request.uri().path());
    let time_max = if is_file { FILE_TIME_MAX } else { REQUEST_TIME_MAX };
    let answer = timeout(time_max, next.run(request)).await;
    answer.unwrap_or_else(|_| {
        let detail = "the answer took too long";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail).into_response()
    })
}

/// Adds the headers of every answer. A connection that was not let in ends with it where others wait.
async fn harden(State(tls_only): State<Option<Duration>>, request: Request, next: Next) -> Response {
    let (seat, way) = (request.extensions().get::<Seat>().cloned(), Way::of(request.extensions()));
    if let Some(seat) = &seat {
        seat.note_request(None);
    }
    let mut response = next.run(request).await;
    for (name, value) in SECURITY_HEADERS {
        // A page that loads its own style says so.
        response.headers_mut().entry(name).or_insert(value);
    }
    if let Some(tls_only) = tls_only.filter(|_| way.is_tls())
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", tls_only.as_secs()))
    {
        // RFC 6797: a browser that came by TLS asks without it no more.
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if response.extensions_mut().remove::<pages::SendsForms>().is_some() {
        for (name, value) in pages::SECURITY_HEADERS {
            response.headers_mut().insert(name, value);
        }
    }
    if seat.is_some_and(|seat| seat.is_wanted()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicU64, Ordering},
        },
        thread,
    };

    use axum::body::{Body, to_bytes};
    use narrowgate_platform::{
        ids::UnixMillis,
        memory::MemoryStore,
        ports::NobodyConnected,
        service::Operator,
        testing::{ManualClock, SeededEntropy},
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::Metric;

    fn api() -> Api {
        let (clock, entropy) = (Arc::new(ManualClock::new(UnixMillis(0))), Arc::new(SeededEntropy::new(1)));
        let store = Arc::new(MemoryStore::default());
        let operator = Operator::new(store, clock, entropy, Arc::new(NobodyConnected));
        Api { operator, host: Arc::new(|| unreachable!("nobody asks for it")), events: None }
    }

    async fn ask(health: &Health, method: &str, path: &str) -> (StatusCode, String, String) {
        let own = thread::current().id();
        let metrics: MetricsSource = Arc::new(move |_| {
            assert_ne!(thread::current().id(), own, "a source may wait");
            vec![Metric::gauge("sessions", "Sessions now.").is(2)]
        });
        let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let router = router(about, health.clone(), metrics, api(), None);
        let response = router.oneshot(request).await.unwrap();
        for (name, value) in SECURITY_HEADERS {
            let found = response.headers().get(&name).expect("each answer has it");
            let found = found.to_str().expect("it is text").replace(" style-src 'self';", "");
            assert_eq!(found, value, "{method} {path}");
        }
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 10_000_000).await.unwrap();
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
    async fn what_keeps_it_from_serving_is_answered_with_503_and_a_warning_with_200() {
        let health = Health::default();
        health.set(Phase::Ready);
        let found = Arc::new(Mutex::new(Findings::default()));
        let look = found.clone();
        health.set_look(Box::new(move || look.lock().unwrap().clone()));
        let warnings = vec!["the clock is behind".to_owned()];
        for (stuck, status, expected) in [
            (vec![], 200, r#"{"status":"ready","warnings":["the clock is behind"]}"#),
            (
                vec!["shard 1 stands still".to_owned()],
                503,
                r#"{"status":"stuck","stuck":["shard 1 stands still"],"warnings":["the clock is behind"]}"#,
            ),
        ] {
            *found.lock().unwrap() = Findings { stuck, warnings: warnings.clone() };
            let (answered, _, body) = ask(&health, "GET", "/health/ready").await;
            assert_eq!((answered.as_u16(), body.as_str()), (status, expected));
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
    async fn metrics_are_made_so_often_at_most_and_are_no_older_than_the_question() {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let source: MetricsSource = Arc::new(move |_| {
            let made = count.fetch_add(1, Ordering::Relaxed) + 1;
            vec![Metric::gauge("made", "Texts.").is(made)]
        });
        let texts = Arc::new(Texts::default());
        // As many as are made at once, one more, and one for all that come meanwhile.
        for number in 1..=21 {
            let text = texts.of(Detail::Totals, &source).await.expect("it reads");
            assert!(text.contains(&format!("made {number}\n")), "{text}");
        }
        let scrapes: Vec<_> = (0..1000)
            .map(|_| {
                let (texts, source) = (Arc::clone(&texts), Arc::clone(&source));
                tokio::spawn(async move { texts.of(Detail::Totals, &source).await })
            })
            .collect();
        for scrape in scrapes {
            let text = scrape.await.expect("it is answered").expect("it reads");
            assert!(!text.contains("made 21\n"), "older than the question: {text}");
        }
        let made = made.load(Ordering::Relaxed);
        assert!(made < 100, "{made}");
        let text = texts.of(Detail::Products, &source).await.expect("it reads");
        assert!(text.contains(&format!("made {}\n", made + 1)), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_on_the_control_socket_carry_the_same_headers() {
        let about = About { version: "0", dtls: "127.0.0.1:5684".into() };
        let router = control_router(about, Health::default(), Arc::new(|_| Vec::new()), api());
        for path in ["/health/live", "/api/v1/me", "/nothing"] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            for (name, value) in SECURITY_HEADERS {
                assert_eq!(response.headers().get(&name), Some(&value), "{path}");
            }
            assert!(response.headers().contains_key("x-request-id"), "{path}");
        }
    }

    #[tokio::test]
    async fn the_page_links_every_route() {
        let (status, _, body) = ask(&Health::default(), "GET", "/").await;
        assert_eq!(status, 200);
        for path in ["/health/live", "/health/ready", "/metrics", "/api/docs", "/api/v1/openapi.json"] {
            assert!(body.contains(&format!("href=\"{path}\"")), "{path}");
        }
    }

    #[tokio::test]
    async fn the_document_of_the_api_and_its_page_are_open_and_load_nothing_from_elsewhere() {
        let (status, kind, body) = ask(&Health::default(), "GET", "/api/v1/openapi.json").await;
        assert_eq!((status.as_u16(), kind.as_str()), (200, "application/json"));
        assert_eq!(body, openapi::DOCUMENT);
        let (status, kind, _) = ask(&Health::default(), "GET", "/api/docs.css").await;
        assert_eq!((status.as_u16(), kind.as_str()), (200, "text/css; charset=utf-8"));
        let (status, kind, _) = ask(&Health::default(), "GET", "/api/docs").await;
        assert_eq!((status.as_u16(), kind.as_str()), (200, "text/html; charset=utf-8"));
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
