//! The page of a script as it is shown.

use maud::{Markup, html};
use narrowgate_api::{
    product::DataFormat,
    script::{ScriptVersionRow, ScriptVersionView},
};
use narrowgate_platform::model::access::Needs;

use super::{
    ScriptPage,
    trial::{DIRECTIONS, at_line},
};
use crate::console::{
    products::{
        path_of,
        show::{Tab, head},
    },
    words,
};

/// Lines that are shown of a difference.
const LINES_MAX: usize = 40;
/// Versions that are shown.
const VERSIONS_MAX: usize = 50;

impl ScriptPage<'_> {
    fn path(&self) -> String {
        path_of(&self.product.product_key) + "/script"
    }

    pub(super) fn content(&self) -> Markup {
        let (visit, draft) = (self.visit, &self.draft);
        let may = visit.may(Needs::Administer);
        let is_empty = self.script.draft.is_none() && self.script.published.is_none();
        html! {
            (head(visit, self.product, Tab::Script))
            @if self.product.data_format == DataFormat::Json {
                p.notice.watch { (visit.t(words::SCRIPT_JSON_PRODUCT)) }
            }
            @if is_empty && draft.source.is_empty() { (self.none(may)) } @else { (self.standing()) }
            @if let Some(problem) = &draft.problem {
                (visit.problem(problem))
                (at_line(visit, &draft.source, problem.line))
            }
            @if let Some(note) = &draft.note {
                p.notice.watch[draft.problem.is_some()] role="status" { (note) }
            }
            @if may { (self.editor()) }
            @else if !draft.source.is_empty() {
                section.panel {
                    h2 { (visit.t(words::SCRIPT_SOURCE)) }
                    (visit.line_to_paste(&draft.source))
                }
            }
            (self.versions(may))
        }
    }

    fn none(&self, may: bool) -> Markup {
        let word = if may { words::SCRIPT_NONE_STEP } else { words::SCRIPT_NONE_VIEWER };
        let step = html! { (self.visit.t(word)) };
        self.visit.empty(words::SCRIPT_NONE, words::SCRIPT_NONE_TEXT, &step)
    }

    /// What runs, and when the draft was saved.
    fn standing(&self) -> Markup {
        let visit = self.visit;
        let ago = |time| visit.preferences.ago(time, visit.now);
        html! {
            p {
                @match &self.script.published {
                    Some(ScriptVersionView { about, .. }) => ({
                        let number = visit.number(u64::from(about.version));
                        let time = ago(about.created_at);
                        let values = [("n", &*number), ("time", &*time), ("who", &*about.by)];
                        visit.say(words::SCRIPT_RUNS, &values)
                    }),
                    None => (visit.t(words::SCRIPT_RUNS_NONE)),
                }
                @if let Some(saved) = &self.script.draft {
                    " " (visit.say(words::SCRIPT_DRAFT_SAVED, &[("time", &ago(saved.saved_at))]))
                }
            }
        }
    }

    fn editor(&self) -> Markup {
        let (visit, draft) = (self.visit, &self.draft);
        let rows = draft.source.lines().count().clamp(14, 32);
        html! {
            form method="post" action=(self.path()) {
                (visit.token_field())
                input type="hidden" name="tag" value=(draft.tag);
                div.split {
                    section.panel {
                        label for="source" { (visit.t(words::SCRIPT_EDITOR)) }
                        textarea #source name="source" rows=(rows) spellcheck="false" autocapitalize="none"
                            autocomplete="off" wrap="off" { (draft.source) }
                        p.buttons {
                            button name="do" value="draft" { (visit.t(words::SCRIPT_SAVE)) }
                            button name="do" value="publish" { (visit.t(words::SCRIPT_PUBLISH)) }
                        }
                        p.hint { (visit.t(words::SCRIPT_PUBLISH_HINT)) }
                        (self.difference())
                    }
                    div {
                        section.panel {
                            h2 { (visit.t(words::SCRIPT_TRY)) }
                            label {
                                (visit.t(words::SCRIPT_DIRECTION))
                                select name="direction" {
                                    @for (name, word) in DIRECTIONS {
                                        option value=(name) selected[name == draft.trial.direction] {
                                            (visit.t(word))
                                        }
                                    }
                                }
                            }
                            label {
                                (visit.t(words::SCRIPT_PAYLOAD))
                                textarea.short name="payload" rows="4" spellcheck="false"
                                    autocapitalize="none" autocomplete="off" { (draft.trial.payload) }
                            }
                            p.buttons {
                                button.first name="do" value="try" { (visit.t(words::SCRIPT_TRY)) }
                            }
                            p.hint { (visit.t(words::SCRIPT_TRY_HINT)) }
                        }
                        (draft.trial.result(visit, &draft.source))
                    }
                }
            }
        }
    }

    /// How the editor differs from what runs.
    fn difference(&self) -> Markup {
        let visit = self.visit;
        let Some(published) = &self.script.published else { return html! {} };
        let Some(Difference { line, gone, come }) = difference(&published.source, &self.draft.source) else {
            return html! {};
        };
        let line = visit.number(line as u64);
        html! {
            h3 { (visit.say(words::SCRIPT_CHANGES, &[("line", &line)])) }
            pre.difference tabindex="0" {
                @for line in gone.iter().take(LINES_MAX) { del { "− " (line) } (NEW_LINE) }
                @if gone.len() > LINES_MAX { "…" (NEW_LINE) }
                @for line in come.iter().take(LINES_MAX) { ins { "+ " (line) } (NEW_LINE) }
                @if come.len() > LINES_MAX { "…" (NEW_LINE) }
            }
        }
    }

    fn versions(&self, may: bool) -> Markup {
        let visit = self.visit;
        let labels = [words::SCRIPT_VERSION, words::SCRIPT_WHEN, words::SCRIPT_WHO, words::SCRIPT_SIZE];
        let labels = labels.map(|word| visit.t(word));
        html! {
            @if !self.versions.is_empty() {
                section.panel {
                    h2 { (visit.t(words::SCRIPT_VERSIONS)) }
                    table.rows {
                        thead { tr { @for label in labels { th { (label) } } @if may { th {} } } }
                        tbody {
                            @for (index, row) in self.versions.iter().take(VERSIONS_MAX).enumerate() {
                                tr data-row {
                                    (self.version(row, labels))
                                    @if may { td { @if index > 0 { (self.again(row)) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn version(&self, row: &ScriptVersionRow, labels: [&str; 4]) -> Markup {
        let visit = self.visit;
        let path = format!("{}?version={}", self.path(), row.version);
        html! {
            th scope="row" data-label=(labels[0]) {
                a href=(path) { (visit.number(u64::from(row.version))) }
                @if let Some(version) = row.restores {
                    @let number = visit.number(u64::from(version));
                    " " span.soft { (visit.say(words::SCRIPT_RESTORES, &[("n", &number)])) }
                }
            }
            td data-label=(labels[1]) { (visit.time(row.created_at)) }
            td data-label=(labels[2]) { (row.by) }
            td data-label=(labels[3]) { (visit.preferences.bytes(u64::from(row.bytes))) }
        }
    }

    fn again(&self, row: &ScriptVersionRow) -> Markup {
        html! {
            form.inline method="post" action={ (self.path()) "/rollback" } {
                (self.visit.token_field())
                input type="hidden" name="version" value=(row.version);
                button.quiet { (self.visit.t(words::SCRIPT_AGAIN)) }
            }
        }
    }
}

const NEW_LINE: &str = "\n";

/// The lines in which two texts differ: what is the same before and behind them is left out.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    /// The first of them, from 1 on.
    line: usize,
    gone: Vec<&'a str>,
    come: Vec<&'a str>,
}

fn difference<'a>(before: &'a str, after: &'a str) -> Option<Difference<'a>> {
    let [old, new] = [before, after].map(|text| text.lines().collect::<Vec<_>>());
    let head = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
    let (gone, come) = (old[..old.len() - tail].to_vec(), new[..new.len() - tail].to_vec());
    (!gone.is_empty() || !come.is_empty()).then_some(Difference { line: head + 1, gone, come })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        assert_eq!(difference("a\nb\nc", "a\nb\nc\n"), None);
        let told = |before, after| {
            let Difference { line, gone, come } = difference(before, after).expect("they differ");
            (line, gone.join("|"), come.join("|"))
        };
        assert_eq!(told("a\nb\nc", "a\nx\ny\nc"), (2, "b".to_owned(), "x|y".to_owned()));
        assert_eq!(told("a\na", "a"), (2, "a".to_owned(), String::new()));
        assert_eq!(told("", "a"), (1, String::new(), "a".to_owned()));
    }
}
