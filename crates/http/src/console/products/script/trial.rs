//! A trial of a script: with bytes, a text, a message to a device, or with what a device has sent of late.

use axum::http::Method;
use maud::{Markup, html};
use narrowgate_api::{
    problem::{Code, Problem},
    script::{Replayed, ReplayedItem, TriedOnce, TryScript},
};
use serde_json::value::RawValue;

use super::super::{
    api_path,
    model::laid_out,
    place::{Place, excerpt},
};
use crate::{
    console::{
        ask::Act,
        parts::Tone,
        visit::{Trouble, Visit},
        words::{self, Word},
    },
    form::Form,
};

/// What can be tried, by its word in the form.
pub(super) const DIRECTIONS: [(&str, Word); 4] = [
    ("hex", words::SCRIPT_FROM_HEX),
    ("text", words::SCRIPT_FROM_TEXT),
    ("json", words::SCRIPT_TO_JSON),
    ("from", words::SCRIPT_FROM_DEVICE),
];

/// Letters of bytes and of results in a table.
const LETTERS_MAX: usize = 300;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Trial {
    pub(super) direction: String,
    pub(super) payload: String,
    came_to: Option<CameTo>,
}

#[derive(Debug)]
enum CameTo {
    Once(TriedOnce),
    Replayed(Replayed),
}

impl Trial {
    pub(super) fn take(form: &mut Form) -> Self {
        // A text is tried as it is, also with blanks around it.
        let payload = form.take("payload").into_text().replace("\r\n", "\n");
        Self { direction: form.text("direction"), payload, came_to: None }
    }

    /// What the API is asked for.
    fn wanted(&self, visit: &Visit, source: &str) -> Result<TryScript, Box<Problem>> {
        let payload = self.payload.trim();
        let mut wanted = TryScript { source: Some(source.to_owned()), ..TryScript::default() };
        match &*self.direction {
            "text" => wanted.hex = Some(hex::encode(&self.payload)),
            "json" => match RawValue::from_string(payload.to_owned()) {
                Ok(json) => wanted.json = Some(json),
                Err(_) => {
                    let wrong = Problem::new(422, Code::Invalid, visit.t(words::SCRIPT_NOT_JSON));
                    return Err(Box::new(wrong));
                }
            },
            "from" => wanted.from = Some(payload.to_owned()),
            _ => {
                let is_digit = |letter: &char| !letter.is_ascii_whitespace();
                wanted.hex = Some(payload.chars().filter(is_digit).collect());
            }
        }
        Ok(wanted)
    }

    pub(super) async fn run(&mut self, visit: &Visit, key: &str, source: &str) -> Result<(), Trouble> {
        let wanted = self.wanted(visit, source).map_err(|wrong| *wrong)?;
        let path = api_path(key) + "/script:try";
        let act = Act::new(Method::POST, &path);
        self.came_to = Some(match wanted.from {
            Some(_) => CameTo::Replayed(visit.act(act, &wanted).await?),
            None => CameTo::Once(visit.act(act, &wanted).await?),
        });
        Ok(())
    }

    /// What came of it, where something was tried.
    pub(super) fn result(&self, visit: &Visit, source: &str) -> Markup {
        html! {
            @if let Some(came_to) = &self.came_to {
                section.panel #result aria-live="polite" {
                    h2 { (visit.t(words::SCRIPT_RESULT)) }
                    @match came_to {
                        CameTo::Once(once) => (told(visit, source, once)),
                        CameTo::Replayed(replayed) => (replayed_table(visit, replayed)),
                    }
                }
            }
        }
    }
}

fn told(visit: &Visit, source: &str, once: &TriedOnce) -> Markup {
    html! {
        @match once {
            TriedOnce::Json(json) => {
                p { (visit.word(Tone::Good, visit.t(words::SCRIPT_GAVE_JSON))) }
                (visit.line_to_paste(&laid_out(json)))
            }
            TriedOnce::Hex(hex) => {
                p { (visit.word(Tone::Good, visit.t(words::SCRIPT_GAVE_HEX))) }
                (visit.line_to_paste(hex))
            }
            TriedOnce::Error(error) => {
                p { (visit.word(Tone::Act, visit.t(words::SCRIPT_FAILED))) }
                p lang="en" { (error.message) }
                (at_line(visit, source, error.line))
            }
        }
    }
}

/// The line at which a script fails.
pub(super) fn at_line(visit: &Visit, source: &str, line: Option<u32>) -> Markup {
    let line = line.and_then(|line| usize::try_from(line).ok()).filter(|line| *line > 0);
    html! {
        @if let Some(line) = line {
            p { b { (visit.say(words::SCRIPT_LINE, &[("line", &visit.number(line as u64))])) } }
            (excerpt(visit, source, Place { line, column: 1 }))
        }
    }
}

fn replayed_table(visit: &Visit, replayed: &Replayed) -> Markup {
    let labels = [
        words::SCRIPT_ARRIVED,
        words::SCRIPT_BYTES,
        words::SCRIPT_BY_DRAFT,
        words::SCRIPT_BY_PUBLISHED,
        words::SCRIPT_CHANGED,
    ];
    let labels = labels.map(|word| visit.t(word));
    html! {
        @if replayed.items.is_empty() { p { (visit.t(words::SCRIPT_NOTHING_SENT)) } }
        @else {
            div.scroll {
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for ReplayedItem { received_at, hex, published, draft, differs } in &replayed.items {
                            tr {
                                td data-label=(labels[0]) { (visit.time(*received_at)) }
                                td data-label=(labels[1]) { code { (short(hex)) } }
                                td data-label=(labels[2]) { (in_short(draft.as_ref())) }
                                td data-label=(labels[3]) { (in_short(published.as_ref())) }
                                td data-label=(labels[4]) {
                                    @if *differs {
                                        (visit.word(Tone::Watch, visit.t(words::SCRIPT_DIFFERS)))
                                    } @else if draft.is_some() && published.is_some() {
                                        (visit.t(words::SCRIPT_SAME))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if replayed.left_out > 0 {
            p.hint { (visit.count(words::SCRIPT_LEFT_OUT, replayed.left_out as u64)) }
        }
        @if let Some(reason) = &replayed.left_out_reason { p.hint lang="en" { (reason) } }
    }
}

fn in_short(once: Option<&TriedOnce>) -> Markup {
    html! {
        @match once {
            None => {}
            Some(TriedOnce::Json(json)) => code { (short(json.get())) },
            Some(TriedOnce::Hex(hex)) => code { (short(hex)) },
            Some(TriedOnce::Error(error)) => span.act lang="en" {
                (short(&error.message))
                @if let Some(line) = error.line { " :" (line) }
            },
        }
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LETTERS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
