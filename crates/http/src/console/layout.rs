//! What every page has: its head, navigation, search, who is logged in, language, zone, and the keys.

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};
use narrowgate_api::{access::Role, problem::Problem};
use narrowgate_platform::model::access::Needs;

use super::{
    assets::asset,
    locale::{Language, Preferences, UTC},
    preferences,
    visit::{HOME, Trouble, Visit, problem_of},
    words::{self, Word},
};
/// A page loads our style, our module and our icon, asks this server alone, and is framed by nobody. Neither
/// a script nor a style stands in it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// A place of the console, in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    Devices,
    Products,
    Refusals,
    Firmware,
    Import,
    Users,
    Audit,
    System,
    /// None of them.
    Elsewhere,
}

/// A row of the navigation.
struct Place {
    here: Here,
    path: &'static str,
    name: Word,
    /// `g` and this letter lead there.
    letter: &'static str,
    /// What its page takes.
    needs: Needs,
}

/// The navigation, in its order.
const PLACES: &[Place] = &[
    Place { here: Here::Overview, path: HOME, name: words::OVERVIEW, letter: "o", needs: Needs::Read },
    Place {
        here: Here::Devices,
        path: "/console/devices",
        name: words::DEVICES,
        letter: "d",
        needs: Needs::Read,
    },
    Place {
        here: Here::Products,
        path: "/console/products",
        name: words::PRODUCTS,
        letter: "p",
        needs: Needs::Read,
    },
    Place {
        here: Here::Refusals,
        path: "/console/refusals",
        name: words::REFUSALS,
        letter: "r",
        needs: Needs::Read,
    },
    Place {
        here: Here::Firmware,
        path: "/console/firmware",
        name: words::FW,
        letter: "f",
        needs: Needs::Read,
    },
    Place {
        here: Here::Import,
        path: "/console/import",
        name: words::IMPORT,
        letter: "i",
        needs: Needs::Administer,
    },
    Place {
        here: Here::Users,
        path: "/console/users",
        name: words::USERS,
        letter: "u",
        needs: Needs::AdministerAll,
    },
    Place {
        here: Here::Audit,
        path: "/console/audit",
        name: words::AUDIT,
        letter: "a",
        needs: Needs::Administer,
    },
    Place {
        here: Here::System,
        path: "/console/system",
        name: words::SYSTEM,
        letter: "s",
        needs: Needs::ReadAll,
    },
];

/// A page, as far as its frame goes.
pub(super) struct Sheet {
    here: Here,
    title: String,
    /// Which events make its live parts new: a query of `/api/v1/events`.
    follows: Option<String>,
    /// Seconds after which it is loaded anew, also without script.
    refresh_s: Option<u32>,
    status: StatusCode,
    /// Where somebody is led who has changed the language of a page that is the answer to a form.
    back: Option<String>,
}

impl Sheet {
    pub(super) fn new(here: Here, title: impl Into<String>) -> Self {
        Self { here, title: title.into(), follows: None, refresh_s: None, status: StatusCode::OK, back: None }
    }

    /// Its parts with `data-live` and an id are replaced where one of these events comes; see `console.js`.
    pub(super) fn follows(self, query: impl Into<String>) -> Self {
        Self { follows: Some(query.into()), ..self }
    }

    /// The same after so many seconds, again and again.
    pub(super) fn refreshed_every(self, seconds: u32) -> Self {
        Self { refresh_s: Some(seconds), ..self }
    }

    /// The page that it belongs to, where it is the answer to a form; else the first one of its place.
    pub(super) fn back_to(self, path: impl Into<String>) -> Self {
        Self { back: Some(path.into()), ..self }
    }

    /// With another status than 200, such as that of a problem.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), ..self }
    }
}

impl Visit {
    /// The page. `content` begins below the heading, which is the title.
    pub(super) fn page(&self, sheet: Sheet, content: &Markup) -> Response {
        let body = html! {
            h1 { (sheet.title) }
            (content)
        };
        self.page_with_heading(sheet, &body)
    }

    /// The page, whose content has a heading of its own.
    pub(super) fn page_with_heading(&self, sheet: Sheet, content: &Markup) -> Response {
        let Sheet { here, title, follows, refresh_s, status, back } = sheet;
        // An answer to a form cannot be asked for again.
        let (follows, refresh_s) = if self.is_answer { (None, None) } else { (follows, refresh_s) };
        let back = if self.is_answer { back } else { Some(self.uri.to_string()) };
        let place = PLACES.iter().find(|place| place.here == here).map_or(HOME, |place| place.path);
        let body = html! {
            a.skip href="#content" { (self.t(words::SKIP)) }
            (self.bar(back.as_deref().unwrap_or(place)))
            (self.navigation(here))
            main #content tabindex="-1" data-follows=[follows] data-refresh=[refresh_s]
                data-answer[self.is_answer] { (content) }
            (self.keys_dialog())
        };
        let document = document(&self.preferences, (&title, refresh_s), &body);
        let body = match self.secrets.put_in(&document.0) {
            Some(page) => Bytes::from_owner(page),
            None => Bytes::from(document.0),
        };
        respond(status, body)
    }

    fn bar(&self, back: &str) -> Markup {
        html! {
            header.bar {
                a.brand href=(HOME) { "narrowgate" }
                form.search role="search" action="/console/devices" {
                    input type="hidden" name="go" value="1";
                    input #search type="search" name="q" aria-label=(self.t(words::SEARCH))
                        placeholder=(self.t(words::SEARCH_HINT)) autocapitalize="none" spellcheck="false";
                    kbd aria-hidden="true" { "/" }
                }
                div.who {
                    a href="/login" title=(self.t(words::ACCOUNT)) {
                        b { (self.caller().name()) } " " span.role { (self.role()) }
                    }
                    (self.choices(back))
                    form.inline method="post" action="/logout" {
                        (self.token_field())
                        button.quiet { (self.t(words::LOG_OUT)) }
                    }
                }
            }
        }
    }

    fn role(&self) -> String {
        let role = self.t(match self.caller().role() {
            Role::Viewer => words::ROLE_VIEWER,
            Role::Operator => words::ROLE_OPERATOR,
            Role::Administrator => words::ROLE_ADMINISTRATOR,
        });
        let unit = match self.caller().unit() {
            Some(ou) => self.say(words::OF_UNIT, &[("ou", ou)]),
            None => self.t(words::OF_ALL_UNITS).to_owned(),
        };
        format!("{role} · {unit}")
    }

    /// Language and zone, as buttons, and where they lead to.
    fn choices(&self, back: &str) -> Markup {
        let zone = match self.preferences.is_utc {
            true => ("local", words::ZONE_LOCAL),
            false => (UTC, words::ZONE_UTC),
        };
        html! {
            form.inline method="post" action=(preferences::PATH) {
                input type="hidden" name="back" value=(back);
                (language_buttons(&self.preferences))
                button.quiet name="zone" value=(zone.0) title=(self.t(words::ZONE)) { (self.t(zone.1)) }
            }
        }
    }

    fn navigation(&self, here: Here) -> Markup {
        html! {
            nav.places aria-label=(self.t(words::NAVIGATION)) {
                @for place in self.places() {
                    a href=(place.path) data-key=(place.letter)
                        aria-current=[(place.here == here).then_some("page")] { (self.t(place.name)) }
                }
                a.apart href="/api/docs" { (self.t(words::API)) }
                a.help href="/console/keys" data-keys title=(self.t(words::KEYS))
                    aria-label=(self.t(words::KEYS)) { kbd { "?" } }
            }
        }
    }

    /// Whether there is such a page: no link leads nowhere.
    pub(super) fn has(&self, path: &str) -> bool {
        self.places().any(|place| place.path == path)
    }

    fn places(&self) -> impl Iterator<Item = &'static Place> {
        PLACES.iter().filter(|place| self.may(place.needs))
    }

    fn keys_dialog(&self) -> Markup {
        html! {
            dialog #keys aria-labelledby="keys-title" {
                h2 #keys-title { (self.t(words::KEYS)) }
                (self.keys_table())
                form method="dialog" { button { (self.t(words::CLOSE)) } }
            }
        }
    }

    fn keys_table(&self) -> Markup {
        let keys = [
            ("/", words::KEY_SEARCH),
            ("j", words::KEY_DOWN),
            ("k", words::KEY_UP),
            ("Enter", words::KEY_OPEN),
            ("?", words::KEY_HELP),
        ];
        html! {
            table.keys {
                @for (key, does) in keys {
                    tr { th scope="row" { kbd { (key) } } td { (self.t(does)) } }
                }
                @for place in self.places() {
                    tr {
                        th scope="row" { kbd { "g" } " " kbd { (place.letter) } }
                        td { (self.say(words::KEY_GO, &[("page", self.t(place.name))])) }
                    }
                }
            }
        }
    }
}

/// A button for each language that it is not.
fn language_buttons(preferences: &Preferences) -> Markup {
    html! {
        @for (language, tag, name) in Language::ALL {
            @if language != preferences.language {
                button.quiet name="language" value=(tag) lang=(language.tag())
                    title=(preferences.t(words::LANGUAGE)) { (preferences.t(name)) }
            }
        }
    }
}

/// The keys as a page.
pub(super) fn keys_page(visit: &Visit) -> Response {
    visit.page(Sheet::new(Here::Elsewhere, visit.t(words::KEYS)), &visit.keys_table())
}

/// The answer of a handler as a page of this visit: trouble becomes one.
pub(super) fn finish(visit: &Visit, mut response: Response) -> Response {
    match response.extensions_mut().remove::<Trouble>() {
        Some(Trouble(problem)) => trouble(visit, &problem),
        None => response,
    }
}

/// What went wrong, as a page.
pub(super) fn trouble(visit: &Visit, problem: &Problem) -> Response {
    let sheet = Sheet::new(Here::Elsewhere, visit.t(title_of(problem))).with_status(problem.status);
    let id = visit.id.as_ref().map(|id| visit.say(words::TROUBLE_ID, &[("id", &id.0)]));
    let content = html! {
        (visit.problem(problem))
        @if problem.status >= 429 { p { (visit.t(words::TROUBLE_AGAIN)) } }
        p { a.button href=(HOME) { (visit.t(words::TROUBLE_HOME)) } }
        @if let Some(id) = id { p.hint { (id) } }
    };
    let mut response = visit.page(sheet, &content);
    if matches!(problem.status, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, 5.into());
    }
    response
}

/// Letters of a path that is no page's, as it is shown.
const PATH_LETTERS_MAX: usize = 100;

/// What is not there, or not to be opened, with the ways to what is near.
pub(super) fn no_page(visit: &Visit, status: StatusCode, said: Word) -> Response {
    let path = visit.uri.path();
    let shown: String = path.chars().take(PATH_LETTERS_MAX).collect();
    let shown = if shown.len() < path.len() { shown + "…" } else { shown };
    let is_near = |place: &&Place| {
        place.path != HOME && path.strip_prefix(place.path).is_some_and(|rest| rest.starts_with('/'))
    };
    let sheet = Sheet::new(Here::Elsewhere, visit.t(words::TROUBLE_NOT_FOUND)).with_status(status.as_u16());
    let content = html! {
        p.alert role="alert" { (visit.say(said, &[("path", &shown)])) }
        p.buttons {
            @if let Some(place) = visit.places().find(is_near) {
                a.button href=(place.path) { (visit.say(words::GO_TO, &[("page", visit.t(place.name))])) }
            }
            a.button href=(HOME) { (visit.t(words::TROUBLE_HOME)) }
        }
    };
    visit.page(sheet, &content)
}

/// What went wrong before it was known who asks.
pub(super) fn for_strangers(preferences: &Preferences, refused: Response) -> Response {
    let Some(problem) = problem_of(&refused) else { return refused };
    let title = preferences.t(title_of(&problem));
    let body = html! {
        main #content {
            h1 { (title) }
            div.alert role="alert" {
                p.what lang="en" { (problem.title) }
                @if let Some(detail) = &problem.detail { p lang="en" { (detail) } }
            }
        }
    };
    let document = document(preferences, (title, None), &body);
    let mut response = respond(refused.status(), Bytes::from(document.0));
    if let Some(after) = refused.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    response
}

fn title_of(problem: &Problem) -> Word {
    match problem.status {
        403 => words::TROUBLE_FORBIDDEN,
        404 => words::TROUBLE_NOT_FOUND,
        429 => words::TROUBLE_BUSY,
        500.. => words::TROUBLE_SERVER,
        _ => words::TROUBLE,
    }
}

fn document(preferences: &Preferences, (title, refresh_s): (&str, Option<u32>), body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(preferences.language.tag()) data-utc[preferences.is_utc] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · narrowgate" }
                link rel="icon" type="image/svg+xml" href=(asset("icon.svg"));
                link rel="stylesheet" href=(asset("console.css"));
                script type="module" src=(asset("console.js")) {}
                @if let Some(seconds) = refresh_s {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
            }
            body { (body) }
        }
    }
}

/// A page. Where it shows a secret, its memory is wiped; the secret is in no other (module `secrets`).
fn respond(status: StatusCode, body: Bytes) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer`, browsers would hide the origin of forms.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::VARY, HeaderValue::from_static("cookie, accept-language")),
    ];
    (status, headers, Body::from(body)).into_response()
}
