//! The page of an import: how far it is, what came of it, and its faults.

use axum::extract::Path;
use maud::{Markup, html};
use narrowgate_api::{
    import::{ImportAnswer, ImportFault},
    problem::Problem,
};
use narrowgate_platform::model::access::Needs;

use super::{
    PATH, gone, mode_word, path_of,
    runs::{Run, State},
};
use crate::console::{
    layout::{Here, Sheet},
    parts::Tone,
    products,
    visit::{Shown, Visit},
    words::{self, Word},
};

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Shown {
    visit.require(Needs::Administer)?;
    let run = visit.console.imports.find(&visit, &id).ok_or_else(|| gone(&visit))?;
    let state = run.state();
    let values = [("file", &*run.wanted.file_name), ("product", &*run.wanted.product)];
    let sheet = Sheet::new(Here::Import, visit.say(words::IMPORT_OF, &values));
    let sheet = if matches!(state, State::Running) { sheet.refreshed_every(1) } else { sheet };
    let content = html! {
        div #import data-live {
            section.panel {
                p aria-live="polite" {
                    (word(&visit, &state))
                    @if run.wanted.dry_run { " · " (visit.t(words::IMPORT_DRY)) }
                }
                @match &state {
                    State::Running => (progress(&visit, &run)),
                    State::Done(answer) => (came_to(&visit, &run, answer)),
                    State::Refused(problem) => (refused(&visit, &run, problem)),
                }
            }
            @if let Some(answer) = answer(&state) { (faults(&visit, answer)) }
        }
        p { a.button href=(PATH) { (visit.t(words::IMPORT_AGAIN)) } }
    };
    Ok(visit.page(sheet, &content))
}

/// What became of the rows, where anything did.
fn answer(state: &State) -> Option<&ImportAnswer> {
    match state {
        State::Running => None,
        State::Done(answer) => Some(answer),
        State::Refused(problem) => problem.import.as_deref(),
    }
}

fn faulty(answer: &ImportAnswer) -> u64 {
    answer.failed.len() as u64 + answer.more_failed
}

fn word(visit: &Visit, state: &State) -> Markup {
    let (tone, word): (Tone, Word) = match state {
        State::Running => (Tone::Watch, words::IMPORT_RUNNING),
        State::Done(answer) if faulty(answer) == 0 => (Tone::Good, words::IMPORT_DONE),
        State::Done(_) => (Tone::Watch, words::IMPORT_FAULTY),
        State::Refused(_) => (Tone::Act, words::IMPORT_REFUSED),
    };
    visit.word(tone, visit.t(word))
}

fn progress(visit: &Visit, run: &Run) -> Markup {
    let [read, size] = [run.read(), run.size].map(|bytes| visit.preferences.bytes(bytes as u64));
    let said = visit.say(words::IMPORT_READ, &[("read", &read), ("size", &size)]);
    html! {
        p { (said) }
        progress max=(run.size) value=(run.read()) aria-label=(said) {}
    }
}

fn came_to(visit: &Visit, run: &Run, answer: &ImportAnswer) -> Markup {
    let said = if run.wanted.dry_run { words::IMPORT_SAID_DRY } else { words::IMPORT_SAID };
    html! {
        p.what {
            (visit.count(said, answer.created))
            @if run.wanted.dry_run { " " (visit.t(words::IMPORT_SAID_NOTHING)) }
        }
        (numbers(visit, run, answer))
        @if run.wanted.dry_run && run.has_file() && answer.created > 0 {
            (visit.button(&(path_of(run) + "/go"), words::IMPORT_NOW))
            p.hint { (visit.t(words::IMPORT_NOW_HINT)) }
        }
        (secrets_button(visit, run))
        @if !run.wanted.dry_run && answer.created > 0 {
            p { a.button href=(products::list_of(&run.wanted.product)) { (visit.t(words::IMPORT_DEVICES)) } }
        }
    }
}

fn refused(visit: &Visit, run: &Run, problem: &Problem) -> Markup {
    html! {
        (visit.problem(problem))
        @if let Some(answer) = &problem.import { (numbers(visit, run, answer)) }
        (secrets_button(visit, run))
    }
}

fn numbers(visit: &Visit, run: &Run, answer: &ImportAnswer) -> Markup {
    let created = if run.wanted.dry_run { words::IMPORT_WOULD_CREATE } else { words::IMPORT_CREATED };
    html! {
        dl.facts {
            dt { (visit.t(created)) } dd { (visit.number(answer.created)) }
            dt { (visit.t(words::IMPORT_SKIPPED)) } dd { (visit.number(answer.skipped)) }
            dt { (visit.t(words::IMPORT_FAILED)) } dd { (visit.number(faulty(answer))) }
            dt { (visit.t(words::IMPORT_MODE)) } dd { (visit.t(mode_word(run.wanted.mode))) }
            @if let Some(weak) = &answer.weak_secrets {
                @let line = visit.number(weak.weakest_line);
                dt { (visit.t(words::IMPORT_WEAK)) }
                dd { (visit.count_with(words::IMPORT_WEAK_SAID, weak.count, &[("line", &line)])) }
            }
        }
    }
}

/// By a form, not by a link: the file is there once.
fn secrets_button(visit: &Visit, run: &Run) -> Markup {
    html! {
        @if run.secrets().is_some() {
            div.notice.watch {
                p { (visit.t(words::IMPORT_SECRETS_TEXT)) }
                (visit.button(&(path_of(run) + "/secrets"), words::IMPORT_SECRETS))
            }
        }
    }
}

/// Hands the file of secrets over, once.
pub(super) async fn secrets(visit: Visit, Path(id): Path<String>) -> Shown {
    visit.require(Needs::Administer)?;
    let run = visit.console.imports.find(&visit, &id).ok_or_else(|| gone(&visit))?;
    let path = run.secrets().ok_or_else(|| gone(&visit))?;
    let file = visit.file(&path).await?;
    run.forget_secrets();
    Ok(file)
}

fn faults(visit: &Visit, answer: &ImportAnswer) -> Markup {
    let labels = [words::IMPORT_LINE, words::IMPORT_COLUMN, words::WHAT_IS_WRONG].map(|word| visit.t(word));
    let more = answer.more_failed;
    html! {
        @if !answer.failed.is_empty() {
            section.panel {
                h2 { (visit.t(words::IMPORT_FAILED)) }
                table.rows {
                    thead { tr { th.number { (labels[0]) } th { (labels[1]) } th { (labels[2]) } } }
                    tbody {
                        @for ImportFault { line, column, message } in &answer.failed {
                            tr {
                                th.number scope="row" data-label=(labels[0]) { (visit.number(*line)) }
                                td data-label=(labels[1]) {
                                    @if let Some(column) = column { code { (column) } }
                                }
                                td lang="en" data-label=(labels[2]) { (message) }
                            }
                        }
                    }
                }
                @if more > 0 { p { (visit.count(words::IMPORT_MORE, more)) } }
            }
        }
    }
}

/// The imports of who asks, newest first.
pub(super) fn list(visit: &Visit) -> Markup {
    let runs = visit.console.imports.own(visit);
    let labels = [words::IMPORT_FILE, words::STATE, words::PRODUCT, words::IMPORT_BEGUN];
    let labels = labels.map(|word| visit.t(word));
    html! {
        @if !runs.is_empty() {
            section.panel {
                h2 { (visit.t(words::IMPORT_LIST)) }
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for run in &runs {
                            tr data-row {
                                th scope="row" data-label=(labels[0]) {
                                    a href=(path_of(run)) { (run.wanted.file_name) }
                                    @if run.wanted.dry_run { " · " (visit.t(words::IMPORT_DRY)) }
                                }
                                td data-label=(labels[1]) { (word(visit, &run.state())) }
                                td data-label=(labels[2]) {
                                    a href=(products::path_of(&run.wanted.product)) { (run.wanted.product) }
                                }
                                td data-label=(labels[3]) { (visit.time(run.begun_at)) }
                            }
                        }
                    }
                }
                p.hint { (visit.t(words::IMPORT_LIST_TEXT)) }
            }
        }
    }
}
