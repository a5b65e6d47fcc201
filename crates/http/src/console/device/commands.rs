//! Commands to a device: to be sent, and their states with the time that is expected.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    command::{
        CommandCreated, CommandKind, CommandState, CommandView, CommandsCancelled, NewCommand,
        TIMEOUT_S_DEFAULT,
    },
    history::PointView,
    page::Page,
    problem::{Code, Problem},
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Detail, Keys, Tab, api_path, read};
use crate::{
    console::{
        ask::{Act, with_query},
        devices::path_of,
        parts::{ONCE, Tone},
        see_other,
        visit::{Sent, Shown, Trouble, Visit},
        words::{self, Word},
    },
    form::Form,
};

/// Commands of a page.
const COMMANDS: &str = "50";

pub(super) fn routes() -> Router {
    let commands = "/console/devices/{product}/{device}/commands";
    Router::new()
        .route(commands, get(show).post(send))
        .route(&format!("{commands}/cancel"), post(cancel_all))
        .route(&format!("{commands}/{{id}}/cancel"), post(cancel))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    cursor: String,
}

fn state(visit: &Visit, state: CommandState) -> Markup {
    let (tone, word) = match state {
        CommandState::Created => (Tone::Watch, words::COMMAND_CREATED),
        CommandState::Cancelled => (Tone::Calm, words::COMMAND_CANCELLED),
        CommandState::Expired => (Tone::Act, words::COMMAND_EXPIRED),
        CommandState::Sent => (Tone::Watch, words::COMMAND_SENT),
        CommandState::Succeeded => (Tone::Good, words::COMMAND_SUCCEEDED),
        CommandState::Failed => (Tone::Act, words::COMMAND_FAILED),
        CommandState::TimedOut => (Tone::Act, words::COMMAND_TIMED_OUT),
    };
    visit.word(tone, visit.t(word))
}

fn kind(kind: CommandKind) -> Word {
    match kind {
        CommandKind::Set => words::KIND_SET,
        CommandKind::Get => words::KIND_GET,
        CommandKind::Service => words::KIND_SERVICE,
        CommandKind::Raw => words::KIND_RAW,
        CommandKind::Upgrade => words::KIND_UPGRADE,
    }
}

/// What is in the fields.
#[derive(Debug, Clone)]
struct Fields {
    kind: String,
    point: String,
    value: String,
    ids: String,
    service: String,
    input: String,
    hex: String,
    ttl: String,
}

impl Default for Fields {
    fn default() -> Self {
        let [kind, point, value, ids, service, input, hex, ttl] =
            [name(CommandKind::Set), "", "", "", "", "{}", "", "0"].map(str::to_owned);
        Self { kind, point, value, ids, service, input, hex, ttl }
    }
}

impl Fields {
    /// Those of the form that was sent; the others are as they are at first.
    fn take(form: &mut Form) -> Self {
        let first = Self::default();
        let [kind, point, value, ids, service, hex, ttl] =
            ["kind", "point", "value", "ids", "service", "hex", "ttl"].map(|name| form.text(name));
        let is_service = kind == name(CommandKind::Service);
        let input = if is_service { form.text("input") } else { first.input };
        Self { kind, point, value, ids, service, input, hex, ttl }
    }
}

async fn show(visit: Visit, Path(keys): Path<Keys>, Query(wanted): Query<Wanted>) -> Shown {
    page(&visit, &keys, &wanted.cursor, &Fields::default(), None).await
}

async fn page(visit: &Visit, keys: &Keys, cursor: &str, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let detail = read(visit, keys).await?;
    let mut query = vec![("limit", COMMANDS)];
    if !cursor.is_empty() {
        query.push(("cursor", cursor));
    }
    let path = api_path(keys);
    let commands: Page<CommandView> = visit.read(&with_query(&format!("{path}/commands"), &query)).await?;
    let points: Page<PointView> = visit.read(&format!("{path}/points?limit=100")).await?;
    let own = detail.path() + "/commands";
    let next = commands.next_cursor.as_deref().map(|cursor| with_query(&own, &[("cursor", cursor)]));
    let content = html! {
        (detail.head(visit, Tab::Commands))
        @if let Some(problem) = problem { (visit.problem(problem)) }
        @if visit.may(Needs::Operate) { (forms(visit, &detail, &points.items, fields)) }
        div #commands data-live { (list(visit, &detail, &commands.items)) }
        (visit.pages((!cursor.is_empty()).then_some(&*own), next.as_deref()))
    };
    let sheet = detail.sheet().follows(detail.events("command"));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    Ok(visit.page_with_heading(sheet, &content))
}

/// A form for each kind of command. What was refused is there to be corrected.
fn forms(visit: &Visit, detail: &Detail, points: &[PointView], fields: &Fields) -> Markup {
    let [point, value] = [words::FIELD_POINT, words::FIELD_VALUE].map(|word| visit.t(word));
    let form = |kind: CommandKind, own: &Markup| {
        let is_open = fields.kind == name(kind);
        let ttl: &str = if is_open { &fields.ttl } else { "0" };
        html! {
            details.panel open[is_open] {
                summary { (visit.t(self::kind(kind))) }
                form.filters method="post" action={ (detail.path()) "/commands" } {
                    (visit.token_field())
                    (visit.once_field())
                    input type="hidden" name="kind" value=(name(kind));
                    (own)
                    (time_to_live(visit, ttl))
                    button.first { (visit.t(words::SEND)) }
                }
            }
        }
    };
    html! {
        datalist #points { @for view in points { option value=(view.point) {} } }
        (form(CommandKind::Set, &html! {
            label {
                (point) input name="point" value=(fields.point) list="points" required autocomplete="off";
            }
            label { (value) input name="value" value=(fields.value) required autocomplete="off"; }
        }))
        (form(CommandKind::Get, &html! {
            label.wide {
                (visit.t(words::FIELD_POINTS))
                input name="ids" value=(fields.ids) required autocomplete="off";
            }
        }))
        (form(CommandKind::Service, &html! {
            label {
                (visit.t(words::FIELD_SERVICE))
                input name="service" value=(fields.service) required autocomplete="off";
            }
            label.wide {
                (visit.t(words::FIELD_INPUT)) input name="input" value=(fields.input) autocomplete="off";
            }
        }))
        (form(CommandKind::Raw, &html! {
            label.wide {
                (visit.t(words::FIELD_HEX)) input name="hex" value=(fields.hex) required autocomplete="off";
            }
        }))
    }
}

/// How long it may wait for the device, in seconds.
fn time_to_live(visit: &Visit, chosen: &str) -> Markup {
    html! {
        label {
            (visit.t(words::FIELD_TTL))
            select name="ttl" {
                option value="0" { (visit.t(words::TTL_NOW)) }
                @for seconds in [600_u64, 3_600, 86_400, 172_800] {
                    @let time = visit.preferences.duration(seconds);
                    option value=(seconds) selected[chosen == seconds.to_string()] {
                        (visit.say(words::TTL_WAIT, &[("time", &time)]))
                    }
                }
            }
        }
    }
}

fn name(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Set => "set",
        CommandKind::Get => "get",
        CommandKind::Service => "service",
        CommandKind::Raw => "raw",
        CommandKind::Upgrade => "upgrade",
    }
}

fn list(visit: &Visit, detail: &Detail, commands: &[CommandView]) -> Markup {
    if commands.is_empty() {
        let word = match visit.may(Needs::Operate) {
            true => words::COMMANDS_NONE_STEP,
            false => words::COMMANDS_NONE_VIEWER,
        };
        let step = html! { (visit.t(word)) };
        return visit.empty(words::COMMANDS_NONE, words::COMMANDS_NONE_TEXT, &step);
    }
    let labels = [
        words::COMMAND_SENT_AT,
        words::STATE,
        words::COMMAND_ASKS,
        words::COMMAND_STEPS,
        words::COMMAND_ANSWER,
    ];
    let labels = labels.map(|word| visit.t(word));
    let may_cancel = visit.may(Needs::Operate);
    let open = commands.iter().filter(|command| !command.state.has_ended()).count();
    html! {
        @if may_cancel && open > 1 {
            (visit.button(&format!("{}/commands/cancel", detail.path()), words::CANCEL_ALL))
        }
        div.scroll {
            table.rows {
                thead { tr { @for label in labels { th { (label) } } th {} } }
                tbody {
                    @for command in commands {
                        tr data-row {
                            td data-label=(labels[0]) { (visit.time(command.created_at)) }
                            th scope="row" data-label=(labels[1]) { (state(visit, command.state)) }
                            td data-label=(labels[2]) { (asks(visit, command)) }
                            td data-label=(labels[3]) { (steps(visit, command)) }
                            td data-label=(labels[4]) { (answer(visit, detail, command)) }
                            td {
                                @if may_cancel && !command.state.has_ended() {
                                    (visit.button(&cancel_path(detail, command), words::COMMAND_CANCEL))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cancel_path(detail: &Detail, command: &CommandView) -> String {
    format!("{}/commands/{}/cancel", detail.path(), path_part(&command.id))
}

fn asks(visit: &Visit, command: &CommandView) -> Markup {
    html! {
        (visit.t(kind(command.kind)))
        @if let Some(service) = &command.service { " " b { (service) } }
        br;
        code { (short(command.hex.as_deref().unwrap_or(command.params.get()))) }
    }
}

/// When it is expected, as long as it waits, and what came of it.
fn steps(visit: &Visit, command: &CommandView) -> Markup {
    let when = |word, time| visit.say(word, &[("time", &visit.preferences.ago(time, visit.now))]);
    html! {
        @if let (CommandState::Created, Some(expected)) = (command.state, command.expected) {
            @let spread = visit.preferences.duration(expected.spread.unsigned_abs() / 1000);
            @let time = visit.preferences.ago(expected.at, visit.now);
            @if expected.at < visit.now { p { (when(words::STEP_OVERDUE, expected.at)) } }
            @else { p { (visit.say(words::STEP_EXPECTED, &[("time", &time), ("spread", &spread)])) } }
        }
        @if let Some(time) = command.fetched_at.or(command.sent_at) {
            p { (when(words::STEP_FETCHED, time)) }
        }
        @if let Some(time) = command.ended_at { p { (when(words::STEP_ENDED, time)) } }
    }
}

fn answer(visit: &Visit, detail: &Detail, command: &CommandView) -> Markup {
    let texts = [
        Some(command.hex.as_deref().unwrap_or(command.params.get())),
        command.message.as_deref(),
        command.data.as_ref().map(|data| data.get()),
    ];
    let is_cut = texts.iter().flatten().any(|text| short(text) != **text);
    html! {
        @if let Some(code) = command.code { (visit.t(words::CODE_NUMBER)) " " (code) " " }
        @if let Some(message) = &command.message { span lang="en" { (short(message)) } " " }
        @if let Some(data) = &command.data { code { (short(data.get())) } }
        @if is_cut { p { a href=(whole(detail, command)) { (visit.t(words::COMMAND_WHOLE)) } } }
    }
}

/// Where the API has all of it.
fn whole(detail: &Detail, command: &CommandView) -> String {
    let keys = (detail.device.product_key.clone(), detail.device.device_key.clone());
    format!("{}/commands/{}", api_path(&keys), path_part(&command.id))
}

/// A text as it stands in the list: fifty commands are on a page.
fn short(text: &str) -> Cow<'_, str> {
    const LETTERS_MAX: usize = 200;
    match text.char_indices().nth(LETTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

async fn send(visit: Visit, Path(keys): Path<Keys>, mut form: Sent) -> Shown {
    let (path, once) = (format!("{}/commands", api_path(&keys)), form.text(ONCE));
    let fields = Fields::take(&mut form);
    let Some(new) = command(&fields) else {
        let problem = Problem::new(422, Code::Invalid, visit.t(words::NOT_JSON));
        return page(&visit, &keys, "", &fields, Some(&problem)).await;
    };
    let sent: Result<CommandCreated, Trouble> =
        visit.act(Act::new(Method::POST, &path).once(&once), &new).await;
    match sent {
        Ok(_) => Ok(see_other(&(path_of(&keys.0, &keys.1) + "/commands"))),
        Err(Trouble(problem)) => page(&visit, &keys, "", &fields, Some(&*problem)).await,
    }
}

/// The command of a form; `None`: what should be JSON is none.
fn command(fields: &Fields) -> Option<NewCommand> {
    let mut new = NewCommand {
        kind: CommandKind::Get,
        points: None,
        ids: None,
        service: None,
        input: None,
        hex: None,
        pending_ttl: fields.ttl.parse().unwrap_or_default(),
        timeout: TIMEOUT_S_DEFAULT,
        wait: None,
    };
    match &*fields.kind {
        "set" => {
            // What is no JSON is a text.
            let value =
                RawValue::from_string(fields.value.clone()).ok().or_else(|| as_text(&fields.value))?;
            let name = serde_json::to_string(&fields.point).ok()?;
            new.points = Some(RawValue::from_string(format!("{{{name}:{}}}", value.get())).ok()?);
            new.kind = CommandKind::Set;
        }
        "service" => {
            (new.kind, new.service) = (CommandKind::Service, Some(fields.service.clone()));
            let input = Some(fields.input.clone()).filter(|input| !input.is_empty());
            new.input = input.map(RawValue::from_string).transpose().ok()?;
        }
        "raw" => (new.kind, new.hex) = (CommandKind::Raw, Some(fields.hex.clone())),
        _ => {
            let ids = fields.ids.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
            new.ids = Some(ids.collect());
        }
    }
    Some(new)
}

fn as_text(value: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(serde_json::to_string(value).ok()?).ok()
}

async fn cancel(visit: Visit, Path((product, device, id)): Path<(String, String, String)>) -> Shown {
    let keys = (product, device);
    let path = format!("{}/commands/{}:cancel", api_path(&keys), path_part(&id));
    let _: CommandView = visit.act(Act::new(Method::POST, &path), &()).await?;
    Ok(see_other(&(path_of(&keys.0, &keys.1) + "/commands")))
}

async fn cancel_all(visit: Visit, Path(keys): Path<Keys>) -> Shown {
    let path = format!("{}/commands:cancel", api_path(&keys));
    let _: CommandsCancelled = visit.act(Act::new(Method::POST, &path), &()).await?;
    Ok(see_other(&(path_of(&keys.0, &keys.1) + "/commands")))
}
