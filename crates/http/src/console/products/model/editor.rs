//! The page of a model as it is shown.

use maud::{Markup, html};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde_json::Value;

use super::{
    KINDS, ModelPage,
    changes::{Change, changes},
    draft::TYPES,
    example,
    tree::Node,
};
use crate::console::{
    parts::Tone,
    products::{
        path_of,
        place::excerpt,
        show::{Tab, head},
    },
    words,
};

/// Elements, changes and versions that are shown.
const ROWS_MAX: usize = 100;
/// Letters of an element that are shown.
const LETTERS_MAX: usize = 200;

impl ModelPage<'_> {
    pub(super) fn content(&self) -> Markup {
        let (visit, may) = (self.visit, self.visit.may(Needs::Administer));
        let is_empty = self.present.json.is_none() && !self.draft.is_looked_at;
        html! {
            (head(visit, self.product, Tab::Model))
            @if is_empty { (self.none(may)) }
            @if let Some(problem) = &self.draft.problem { (visit.problem(problem)) }
            @if let Some(note) = &self.draft.note {
                @let is_refused = self.draft.problem.is_some() || self.draft.is_not_added;
                p.notice.watch[is_refused] role="status" { (note) }
            }
            @if !self.draft.left_out.is_empty() {
                p { (visit.t(words::MODEL_LEFT_OUT)) }
                ul { @for said in self.draft.left_out.iter().take(ROWS_MAX) { li lang="en" { (said) } } }
            }
            @if may {
                form method="post" action={ (path_of(&self.product.product_key)) "/model" } {
                    (visit.token_field())
                    input type="hidden" name="tag" value=(self.draft.tag);
                    div.split {
                        div { (self.editor()) (self.add()) }
                        div { (self.looked_at()) (self.elements(true)) (self.example()) (self.versions()) }
                    }
                }
            } @else if !is_empty {
                div.split {
                    div { (self.elements(false)) (self.example()) }
                    div { (self.source()) (self.versions()) }
                }
            }
        }
    }

    fn none(&self, may: bool) -> Markup {
        let step = html! {
            @if may { (self.visit.t(words::MODEL_NONE_STEP)) }
            @else { (self.visit.t(words::MODEL_NONE_VIEWER)) }
        };
        self.visit.empty(words::MODEL_NONE, words::MODEL_NONE_TEXT, &step)
    }

    /// The document, with what is wrong with it at its place.
    fn editor(&self) -> Markup {
        let (visit, draft) = (self.visit, &self.draft);
        let rows = draft.text.lines().count().clamp(12, 32);
        html! {
            section.panel {
                label for="model" { (visit.t(words::MODEL_EDITOR)) }
                @if let Some(wrong) = &draft.wrong {
                    div.alert #wrong role="alert" {
                        p.what { (visit.t(words::MODEL_WRONG)) }
                        p {
                            @let [line, column] = [wrong.place.line, wrong.place.column]
                                .map(|number| visit.number(number as u64));
                            b { (visit.say(words::MODEL_AT, &[("line", &line), ("column", &column)])) }
                            @if !wrong.pointer.is_empty() { " " code { (wrong.pointer) } }
                        }
                        p lang="en" { (wrong.message) }
                        (excerpt(visit, &draft.text, wrong.place))
                    }
                }
                @let described = draft.wrong.is_some().then_some("wrong");
                textarea #model name="model" rows=(rows) spellcheck="false" autocapitalize="none"
                    autocomplete="off" wrap="off" aria-describedby=[described] { (draft.text) }
                p.buttons {
                    button.first name="do" value="look" { (visit.t(words::MODEL_LOOK)) }
                    button name="do" value="infer" { (visit.t(words::MODEL_INFER)) }
                }
            }
        }
    }

    fn source(&self) -> Markup {
        html! {
            section.panel {
                h2 { (self.visit.t(words::MODEL_EDITOR)) }
                (self.visit.line_to_paste(&self.draft.text))
            }
        }
    }

    /// A form for an element, for who does not know the JSON.
    fn add(&self) -> Markup {
        let visit = self.visit;
        html! {
            section.panel {
                h2 { (visit.t(words::MODEL_ADD_TITLE)) }
                div.filters {
                    label {
                        (visit.t(words::MODEL_KIND))
                        select name="kind" {
                            @for (list, word) in KINDS { option value=(list) { (visit.t(word)) } }
                        }
                    }
                    label {
                        (visit.t(words::MODEL_IDENTIFIER))
                        input name="identifier" autocapitalize="none" spellcheck="false" autocomplete="off";
                    }
                    label { (visit.t(words::PRODUCT_NAME)) input name="name" autocomplete="off"; }
                    label {
                        (visit.t(words::MODEL_TYPE))
                        select name="type" { @for name in TYPES { option { (name) } } }
                    }
                    label { (visit.t(words::MODEL_UNIT)) input name="unit" autocomplete="off"; }
                    button name="do" value="add" { (visit.t(words::MODEL_ADD)) }
                }
            }
        }
    }

    /// What it changes of the model that stands, and the button that saves it.
    fn looked_at(&self) -> Markup {
        let (visit, draft) = (self.visit, &self.draft);
        if !draft.is_looked_at || draft.wrong.is_some() {
            return html! {};
        }
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_default();
        let before = self.present.json.as_deref().map(|json| value(json.get()));
        let found = changes(before.as_ref(), &value(&draft.text));
        html! {
            section.panel {
                h2 { (visit.t(words::MODEL_CHANGES)) }
                @if found.is_empty() { p.notice role="status" { (visit.t(words::MODEL_NO_CHANGE)) } }
                @else {
                    (self.changes_table(&found))
                    (self.more(found.len()))
                    p.hint { (visit.t(words::MODEL_CHANGES_HINT)) }
                    p.buttons { button.first name="do" value="save" { (visit.t(words::MODEL_SAVE)) } }
                }
            }
        }
    }

    fn changes_table(&self, found: &[Change]) -> Markup {
        let visit = self.visit;
        let labels = [words::MODEL_CHANGE, words::MODEL_IDENTIFIER, words::MODEL_SAYS];
        let labels = labels.map(|word| visit.t(word));
        html! {
            div.scroll {
                table.rows {
                    thead { tr { @for label in labels { th { (label) } } } }
                    tbody {
                        @for change in found.iter().take(ROWS_MAX) {
                            @let (tone, word) = match (&change.before, &change.after) {
                                (None, _) => (Tone::Good, words::MODEL_ADDED),
                                (_, None) => (Tone::Act, words::MODEL_REMOVED),
                                _ => (Tone::Watch, words::MODEL_CHANGED),
                            };
                            tr {
                                td data-label=(labels[0]) { (visit.word(tone, visit.t(word))) }
                                th scope="row" data-label=(labels[1]) {
                                    code { (change.identifier) } " "
                                    span.soft { (visit.t(change.kind)) }
                                }
                                td data-label=(labels[2]) {
                                    div.difference {
                                        @if let Some(before) = &change.before {
                                            del { "− " code { (on_a_line(before)) } }
                                        }
                                        @if let Some(after) = &change.after {
                                            ins { "+ " code { (on_a_line(after)) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn more(&self, count: usize) -> Markup {
        let more = count.saturating_sub(ROWS_MAX);
        html! { @if more > 0 { p.hint { (self.visit.count(words::MODEL_MORE, more as u64)) } } }
    }

    /// The elements of the draft, in its order; one can be taken away.
    fn elements(&self, may: bool) -> Markup {
        let visit = self.visit;
        let Ok(value) = serde_json::from_str::<Value>(&self.draft.text) else { return html! {} };
        let all: Vec<_> = KINDS
            .iter()
            .flat_map(|(list, word)| {
                let items = value[list].as_array().into_iter().flatten().enumerate();
                items.map(move |(index, element)| (*list, *word, index, element))
            })
            .collect();
        let labels = [
            words::MODEL_IDENTIFIER,
            words::MODEL_KIND,
            words::PRODUCT_NAME,
            words::MODEL_TYPE,
            words::MODEL_UNIT,
        ];
        let labels = labels.map(|word| visit.t(word));
        html! {
            section.panel {
                h2 { (visit.t(words::MODEL_ELEMENTS)) }
                @if all.is_empty() {
                    @let none = if may { words::MODEL_NO_ELEMENTS } else { words::MODEL_NO_ELEMENTS_VIEWER };
                    p { (visit.t(none)) }
                } @else {
                    div.scroll {
                        table.rows {
                            thead { tr { @for label in labels { th { (label) } } @if may { th {} } } }
                            tbody {
                                @for (list, word, index, element) in all.iter().take(ROWS_MAX) {
                                    tr data-row {
                                        (cells(element, (visit.t(*word), labels)))
                                        @if may {
                                            td {
                                                button.quiet name="do" value=(taking(list, *index)) {
                                                    (visit.t(words::MODEL_TAKE))
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    (self.more(all.len()))
                }
            }
        }
    }

    fn example(&self) -> Markup {
        let visit = self.visit;
        let Some(model) = &self.draft.model else { return html! {} };
        let key = path_part(&self.product.product_key);
        let topic = format!("/topic/sys/{key}/{{deviceKey}}/thing/measurepoint/post");
        html! {
            section.panel {
                h2 { (visit.t(words::MODEL_EXAMPLE)) }
                @match example::report(model, visit.now.0) {
                    Some(report) => {
                        p { (visit.t(words::MODEL_EXAMPLE_TO)) " " code { (topic) } }
                        (visit.line_to_paste(&report))
                        @if model.measurepoints.len() > example::POINTS_MAX {
                            @let count = visit.number(example::POINTS_MAX as u64);
                            p.hint { (visit.say(words::MODEL_EXAMPLE_SOME, &[("n", &count)])) }
                        }
                    }
                    None => p { (visit.t(words::MODEL_EXAMPLE_NONE)) },
                }
            }
        }
    }

    fn versions(&self) -> Markup {
        let visit = self.visit;
        let path = path_of(&self.product.product_key) + "/model?version=";
        html! {
            @if !self.versions.is_empty() {
                section.panel {
                    h2 { (visit.t(words::MODEL_VERSIONS)) }
                    ul.plain {
                        @for (index, row) in self.versions.iter().take(ROWS_MAX).enumerate() {
                            @let number = visit.number(u64::from(row.version));
                            @let said = visit.say(words::MODEL_VERSION, &[("n", &number)]);
                            li {
                                @if row.model_id.is_some() {
                                    a href={ (path) (row.version) } { (said) }
                                } @else { (said) " · " (visit.t(words::MODEL_VERSION_NONE)) }
                                @if index == 0 { " · " b { (visit.t(words::MODEL_VERSION_NOW)) } }
                                " · " span.soft { (visit.time(row.created_at)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The act that takes an element away.
fn taking(list: &str, index: usize) -> String {
    format!("take:{list}/{index}")
}

/// The cells of an element.
fn cells(element: &Value, (kind, labels): (&str, [&str; 5])) -> Markup {
    let text = |key: &str| element[key].as_str().unwrap_or_default();
    let data_type = match &element["dataType"] {
        Value::Null => String::new(),
        Value::String(name) => name.clone(),
        other => short(&other.to_string()),
    };
    html! {
        th scope="row" data-label=(labels[0]) { code { (short(text("identifier"))) } }
        td data-label=(labels[1]) { (kind) }
        td data-label=(labels[2]) { (short(text("name"))) }
        td data-label=(labels[3]) { (short(&data_type)) }
        td data-label=(labels[4]) { (short(text("unit"))) }
    }
}

/// A value with blanks at which its line may end.
fn on_a_line(json: &str) -> String {
    short(&Node::parse(json).map_or_else(|| json.to_owned(), |node| node.on_a_line()))
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LETTERS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
