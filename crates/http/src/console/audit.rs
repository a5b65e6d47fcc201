//! The audit log: who did what, and what was refused?

use axum::{Router, routing::get};
use maud::{Markup, html};
use narrowgate_api::{
    audit::{AuditEntry, AuditOutcome},
    page::Page,
    time,
};
use serde::{Deserialize, Serialize};

use super::{
    ask::with_query,
    layout::{Here, Sheet},
    parts::Tone,
    visit::{Shown, Visit},
    words::{self, Word, of_action},
};

const PATH: &str = "/console/audit";
const EXPORT: &str = "/console/audit/export";
const LIST: &str = "/api/v1/audit";

/// Entries of a page.
const ROWS: u32 = 50;
/// Characters of a target that a row has; what is opened has all of it.
const TARGET_CHARACTERS_MAX: usize = 64;

/// What actions begin with, as filters that are offered.
const KINDS: [&str; 11] = [
    "devices", "products", "users", "tokens", "ous", "firmware", "rollouts", "jobs", "backup", "store",
    "audit",
];

pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(show)).route(EXPORT, get(export))
}

/// What the address says: filters, where the list begins, and the open row. What is empty does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    actor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    action: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    target: String,
    /// As a field for local times has it, Unix milliseconds, or RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    to: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cursor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    open: String,
    /// How an export is written.
    #[serde(skip_serializing_if = "String::is_empty")]
    format: String,
}

impl Wanted {
    fn of(visit: &Visit) -> Self {
        serde_urlencoded::from_str(visit.uri.query().unwrap_or_default()).unwrap_or_default()
    }

    fn path(&self) -> String {
        with_query(PATH, self)
    }

    /// The same from the newest entry on.
    fn first(&self) -> Self {
        Self { cursor: String::new(), open: String::new(), format: String::new(), ..self.clone() }
    }

    fn has_filter(&self) -> bool {
        self.first() != Self::default()
    }

    /// What the API is asked for. A time that cannot be read is the API's to refuse.
    fn asked(&self, visit: &Visit, limit: Option<u32>) -> String {
        let zone = visit.preferences.chart_zone();
        let moment = |text: &str| match time::parse(text).ok().or_else(|| zone.moment(text)) {
            Some(time) => time.to_string(),
            None => text.to_owned(),
        };
        let mut query: Vec<(&str, String)> = Vec::new();
        for (name, value) in [("actor", &self.actor), ("action", &self.action), ("target", &self.target)] {
            query.push((name, value.clone()));
        }
        query.push(("from", moment(&self.from)));
        query.push(("to", moment(&self.to)));
        query.push(("cursor", self.cursor.clone()));
        query.push(("limit", limit.map(|limit| limit.to_string()).unwrap_or_default()));
        query.retain(|(_, value)| !value.is_empty());
        with_query(LIST, &query)
    }

    /// What holds, each with the list without it.
    fn held(&self) -> Vec<(Word, &str, Self)> {
        let first = self.first();
        let held = [
            (words::AUDIT_WHO, self.actor.as_str(), Self { actor: String::new(), ..first.clone() }),
            (words::AUDIT_WHAT, self.action.as_str(), Self { action: String::new(), ..first.clone() }),
            (words::AUDIT_TARGET, self.target.as_str(), Self { target: String::new(), ..first.clone() }),
            (words::AUDIT_FROM, self.from.as_str(), Self { from: String::new(), ..first.clone() }),
            (words::AUDIT_TO, self.to.as_str(), Self { to: String::new(), ..first }),
        ];
        held.into_iter().filter(|(_, value, _)| !value.is_empty()).collect()
    }
}

async fn show(visit: Visit) -> Shown {
    let wanted = Wanted::of(&visit);
    let page: Page<AuditEntry> = visit.read(&wanted.asked(&visit, Some(ROWS))).await?;
    let is_newest = wanted.cursor.is_empty() && !wanted.has_filter();
    let content = html! {
        p.soft { (visit.t(words::AUDIT_LEAD)) }
        (form(&visit, &wanted))
        (chips(&visit, &wanted))
        @if page.items.is_empty() { (nothing(&visit, &wanted, page.next_cursor.is_some())) }
        @else { (table(&visit, &wanted, &page.items)) }
        (pages(&visit, &wanted, page.next_cursor.as_deref()))
        @if let Some(newest) = page.items.first().filter(|_| is_newest) { (end_of_chain(&visit, newest)) }
    };
    Ok(visit.page(Sheet::new(Here::Audit, visit.t(words::AUDIT)), &content))
}

fn form(visit: &Visit, wanted: &Wanted) -> Markup {
    let is_other = !wanted.action.is_empty() && !KINDS.contains(&&*wanted.action);
    let text = |word: Word, name: &str, value: &str| {
        html! {
            label {
                (visit.t(word))
                input name=(name) value=(value) autocapitalize="none" autocomplete="off" spellcheck="false";
            }
        }
    };
    let zone = visit.preferences.zone_name(visit.now);
    let moment = |word: Word, name: &str, value: &str| {
        html! {
            label { (visit.t(word)) " (" (zone) ")" input type="datetime-local" name=(name) value=(value); }
        }
    };
    html! {
        form.filters action=(PATH) {
            (text(words::AUDIT_ACTOR, "actor", &wanted.actor))
            label {
                (visit.t(words::AUDIT_WHAT))
                select name="action" {
                    option value="" { (visit.t(words::AUDIT_ANY)) }
                    @if is_other {
                        option value=(wanted.action) selected { (said(visit, &wanted.action)) }
                    }
                    @for kind in KINDS {
                        option value=(kind) selected[wanted.action == kind] { (said(visit, kind)) }
                    }
                }
            }
            (text(words::AUDIT_TARGET_BEGINS, "target", &wanted.target))
            (moment(words::AUDIT_FROM, "from", &wanted.from))
            (moment(words::AUDIT_TO, "to", &wanted.to))
            button { (visit.t(words::AUDIT_SHOW)) }
        }
        p.soft {
            (visit.t(words::EXPORT)) ": "
            @for (n, (format, word)) in [("csv", words::EXPORT_CSV), ("ndjson", words::EXPORT_LINES)]
                .into_iter().enumerate() {
                @if n > 0 { " · " }
                @let export = Wanted { format: format.to_owned(), ..wanted.first() };
                a href=(with_query(EXPORT, &export)) { (visit.t(word)) }
            }
        }
    }
}

fn chips(visit: &Visit, wanted: &Wanted) -> Markup {
    html! {
        @if wanted.has_filter() {
            div.chips {
                @for (word, value, without) in wanted.held() {
                    @let is_action = word == words::AUDIT_WHAT;
                    @let value = if is_action { said(visit, value) } else { value.to_owned() };
                    @let said = visit.say(words::CHIP, &[("name", visit.t(word)), ("value", &value)]);
                    (visit.chip(&said, &without.path()))
                }
            }
        }
    }
}

/// A page of the API may end before it has found one.
fn nothing(visit: &Visit, wanted: &Wanted, goes_on: bool) -> Markup {
    let all = html! { a.button href=(PATH) { (visit.t(words::AUDIT_ALL)) } };
    match (goes_on, wanted.has_filter()) {
        (true, _) => html! { p { (visit.t(words::AUDIT_GOES_ON)) } },
        (false, true) => visit.empty(words::AUDIT_NONE, words::AUDIT_NONE_TEXT, &all),
        (false, false) => visit.empty(words::AUDIT_EMPTY, words::AUDIT_EMPTY_TEXT, &html! {}),
    }
}

fn pages(visit: &Visit, wanted: &Wanted, next: Option<&str>) -> Markup {
    let next = next.map(|next| Wanted { cursor: next.to_owned(), ..wanted.first() }.path());
    let first = (!wanted.cursor.is_empty()).then(|| wanted.first().path());
    visit.pages(first.as_deref(), next.as_deref())
}

fn table(visit: &Visit, wanted: &Wanted, entries: &[AuditEntry]) -> Markup {
    let labels =
        [words::WHEN, words::AUDIT_WHO, words::AUDIT_WHAT, words::AUDIT_TARGET, words::AUDIT_OUTCOME];
    let [when, who, what, target, outcome] = labels.map(|word| visit.t(word));
    html! {
        div.scroll {
            table.rows {
                thead { tr { th { (when) } th { (what) } th { (target) } th { (who) } th { (outcome) } } }
                tbody {
                    @for (id, entry) in ids(entries).iter().zip(entries) {
                        @let is_open = wanted.open == *id;
                        @let open = if is_open { String::new() } else { id.clone() };
                        @let anchor = format!("e{id}");
                        @let to = format!("{}#{anchor}", Wanted { open, ..wanted.clone() }.path());
                        tr data-row id=(anchor) {
                            td data-label=(when) { (visit.time(entry.time)) }
                            th scope="row" data-label=(what) {
                                a href=(to) aria-expanded=(if is_open { "true" } else { "false" }) {
                                    (said(visit, &entry.action))
                                }
                            }
                            td data-label=(target) { code { (shortened(&entry.target)) } }
                            td data-label=(who) { (actor(visit, entry)) }
                            td data-label=(outcome) { (outcome_of(visit, entry)) }
                        }
                        @if is_open { tr.here { td colspan="5" { (opened(visit, entry)) } } }
                    }
                }
            }
        }
    }
}

/// Names of rows, which stay the same while others come: the number of an entry, or its time where the number
/// is not shown.
fn ids(entries: &[AuditEntry]) -> Vec<String> {
    let (mut same, mut before) = (0, None);
    let mut id = |entry: &AuditEntry| {
        same = if before == Some(entry.time) { same + 1 } else { 0 };
        before = Some(entry.time);
        if entry.seq > 0 { entry.seq.to_string() } else { format!("{}-{same}", entry.time.0) }
    };
    entries.iter().map(&mut id).collect()
}

/// An action in words: those of its parts, one after another. A part that has none stands as it is.
fn said(visit: &Visit, action: &str) -> String {
    let parts = action.split('.').map(|part| of_action(part).map_or(part, |word| visit.t(word)));
    parts.collect::<Vec<_>>().join(" · ")
}

fn actor(visit: &Visit, entry: &AuditEntry) -> Markup {
    html! {
        @match (&entry.user, &entry.token) {
            (Some(user), _) => { b { (user) } }
            (None, Some(token)) => { b { (token) } " " span.soft { (visit.t(words::AUDIT_TOKEN)) } }
            (None, None) => { span.soft { (visit.t(words::AUDIT_NOBODY)) } }
        }
    }
}

fn outcome_of(visit: &Visit, entry: &AuditEntry) -> Markup {
    let (tone, word) = match entry.outcome {
        AuditOutcome::Done => (Tone::Good, words::AUDIT_DONE),
        AuditOutcome::Partly => (Tone::Watch, words::AUDIT_PARTLY),
        AuditOutcome::Failed => (Tone::Watch, words::AUDIT_FAILED),
        AuditOutcome::Refused => (Tone::Act, words::AUDIT_REFUSED),
        AuditOutcome::Unknown => (Tone::Act, words::AUDIT_UNKNOWN),
    };
    visit.word(tone, visit.t(word))
}

/// What the outcome means for who reads it.
fn meaning(outcome: AuditOutcome) -> Word {
    match outcome {
        AuditOutcome::Done => words::AUDIT_DONE_MEANS,
        AuditOutcome::Partly => words::AUDIT_PARTLY_MEANS,
        AuditOutcome::Failed => words::AUDIT_FAILED_MEANS,
        AuditOutcome::Refused => words::AUDIT_REFUSED_MEANS,
        AuditOutcome::Unknown => words::AUDIT_UNKNOWN_MEANS,
    }
}

/// All that an entry says.
fn opened(visit: &Visit, entry: &AuditEntry) -> Markup {
    let unit = |ou: &Option<String>, none: Word| match ou {
        Some(ou) => visit.say(words::OF_UNIT, &[("ou", ou)]),
        None => visit.t(none).to_owned(),
    };
    html! {
        dl.facts {
            dt { (visit.t(words::WHEN)) } dd { (visit.exact_time(entry.time)) }
            dt { (visit.t(words::AUDIT_WHAT)) }
            dd { (said(visit, &entry.action)) " " code { (entry.action) } }
            dt { (visit.t(words::AUDIT_TARGET)) }
            dd {
                (visit.copyable(&entry.target))
                @if entry.ou.is_some() { " " span.soft { (unit(&entry.ou, words::OF_ALL_UNITS)) } }
            }
            dt { (visit.t(words::AUDIT_WHO)) }
            dd {
                (actor(visit, entry))
                @if entry.user.is_some() || entry.token.is_some() {
                    " " span.soft { (unit(&entry.caller_ou, words::OF_ALL_UNITS)) }
                }
            }
            dt { (visit.t(words::AUDIT_ADDRESS)) }
            dd {
                @match &entry.address {
                    Some(address) => { (visit.copyable(address)) }
                    None => { (visit.t(words::AUDIT_NO_ADDRESS)) }
                }
            }
            dt { (visit.t(words::AUDIT_OUTCOME)) }
            dd {
                (outcome_of(visit, entry))
                @if let Some(status) = entry.status {
                    " · " (visit.say(words::AUDIT_STATUS, &[("status", &status.to_string())]))
                }
                @if let Some(code) = &entry.code { " · " code { (code) } }
                p.hint { (visit.t(meaning(entry.outcome))) }
            }
            (more(visit, entry))
        }
        (ways(visit, entry))
    }
}

/// What only some entries have, and the number and the hash.
fn more(visit: &Visit, entry: &AuditEntry) -> Markup {
    html! {
        @if !entry.detail.is_empty() {
            dt { (visit.t(words::AUDIT_DETAIL)) }
            dd {
                @for (name, value) in &entry.detail { div { code { (name) } " " (value) } }
            }
        }
        @if let Some(left_out) = entry.left_out {
            dt { (visit.t(words::AUDIT_LEFT_OUT)) } dd { (visit.count(words::AUDIT_LEFT_OUT_SAID, left_out)) }
        }
        @if let Some(id) = &entry.request_id {
            dt { (visit.t(words::AUDIT_REQUEST)) } dd { (visit.copyable(id)) }
        }
        @if entry.seq > 0 {
            dt { (visit.t(words::AUDIT_ENTRY)) } dd { (visit.number(entry.seq)) }
            dt { (visit.t(words::AUDIT_HASH)) } dd { (visit.copyable(&entry.hash)) }
        }
    }
}

/// From an entry to what it is about, and to others like it.
fn ways(visit: &Visit, entry: &AuditEntry) -> Markup {
    let actor = entry.user.as_ref().or(entry.token.as_ref());
    let of_actor = actor.map(|actor| Wanted { actor: actor.clone(), ..Wanted::default() }.path());
    // A target that was cut off is found by what is left of it.
    let target = entry.target.trim_end_matches('…').to_owned();
    let of_target = Wanted { target, ..Wanted::default() }.path();
    html! {
        p.buttons {
            @if let Some(device) = device_of(&entry.target) {
                a.button href=(device) { (visit.t(words::OPEN_DEVICE)) }
            }
            a.button href=(of_target) { (visit.t(words::AUDIT_OF_TARGET)) }
            @if let Some(of_actor) = of_actor {
                a.button href=(of_actor) { (visit.t(words::AUDIT_OF_ACTOR)) }
            }
        }
    }
}

/// The page of the device that a target is, or is a part of. Its keys are escaped already.
fn device_of(target: &str) -> Option<String> {
    let mut parts = target.split('/').skip(1);
    let keys = match [parts.next()?, parts.next()?, parts.next()?, parts.next()?] {
        ["products", product, "devices", device] => [product, device],
        _ => return None,
    };
    let is_whole = |key: &str| !key.is_empty() && key.is_ascii();
    let is_named = keys.iter().all(|key| is_whole(key));
    is_named.then(|| format!("/console/devices/{}/{}", keys[0], keys[1]))
}

/// What is to be kept elsewhere, so that it can be told later whether the log was changed.
fn end_of_chain(visit: &Visit, newest: &AuditEntry) -> Markup {
    let (count, head) = (newest.seq.to_string(), &*newest.hash);
    html! {
        @if newest.seq > 0 {
            details {
                summary { (visit.t(words::AUDIT_CHAIN)) }
                p { (visit.t(words::AUDIT_CHAIN_TEXT)) }
                (visit.line_to_paste(&visit.say(words::AUDIT_VERIFY, &[("count", &count), ("head", head)])))
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TARGET_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// All entries of the filter, as a file. It is an entry of the log itself.
async fn export(visit: Visit) -> Shown {
    let wanted = Wanted::of(&visit);
    let (kind, file) = match &*wanted.format {
        "ndjson" => ("application/x-ndjson", "audit.ndjson"),
        _ => ("text/csv", "audit.csv"),
    };
    visit.pass_on(&wanted.first().asked(&visit, None), kind, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_leads_to_its_device() {
        for (target, page) in [
            ("/products/pk/devices/a%2Fb", Some("/console/devices/pk/a%2Fb")),
            ("/products/pk/devices/a/commands/7", Some("/console/devices/pk/a")),
            ("/products/pk/devices", None),
            ("/products/pk", None),
            ("/users/ann/sessions/x/y", None),
            ("/products//devices/a", None),
            ("/products/pk/devices/a…", None),
            ("", None),
        ] {
            assert_eq!(device_of(target).as_deref(), page, "{target}");
        }
    }
}
