//! A draft of a model, as it stands in the editor.

use narrowgate_api::problem::Problem;
use narrowgate_platform::model::thing_model::{ThingModel, is_identifier};
use serde_json::json;

use super::{KINDS, tree::Node};
use crate::{
    console::{products::place::Place, visit::Visit, words},
    form::Form,
};

/// What an element that is added may have as its type.
pub(super) const TYPES: [&str; 7] = ["DOUBLE", "FLOAT", "INT", "BOOL", "STRING", "TIMESTAMP", "DATE"];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    /// The tag of the model of which it was made; empty: there was none.
    pub(super) tag: String,
    /// Whether what it changes is to be shown.
    pub(super) is_looked_at: bool,
    /// What is said of it.
    pub(super) note: Option<String>,
    /// What was left out where it was made of what devices sent, in English.
    pub(super) left_out: Vec<String>,
    /// What is wrong with it.
    pub(super) wrong: Option<Wrong>,
    /// Why it was not saved, where nothing is wrong with it.
    pub(super) problem: Option<Problem>,
    /// The model, where nothing is wrong with it.
    pub(super) model: Option<ThingModel>,
    /// Whether an element could not be added.
    pub(super) is_not_added: bool,
}

/// The first thing that is wrong.
#[derive(Debug)]
pub(super) struct Wrong {
    /// In English.
    pub(super) message: String,
    /// As a JSON pointer; empty: none in particular.
    pub(super) pointer: String,
    pub(super) place: Place,
}

impl Draft {
    pub(super) fn of(text: String) -> Self {
        let model = ThingModel::accept(&text).ok();
        Self { text, model, ..Self::default() }
    }

    /// That of a form. Browsers send other ends of lines than they show.
    pub(super) fn take(form: &mut Form) -> Self {
        let text = form.take("model").into_text().replace("\r\n", "\n");
        Self { text, tag: form.text("tag"), ..Self::default() }
    }

    /// Checks it as the server does when it is saved.
    pub(super) fn look(&mut self) {
        self.is_looked_at = true;
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&self.text) {
            let place = Place { line: error.line().max(1), column: column_of(&self.text, &error) };
            let said = error.to_string();
            let message = said.split(" at line ").next().unwrap_or_default().to_owned();
            self.wrong = Some(Wrong { message, pointer: String::new(), place });
            return;
        }
        match ThingModel::accept(&self.text) {
            Ok(model) => self.model = Some(model),
            Err(fault) => self.wrong = Some(self.at(fault.pointer, fault.message)),
        }
    }

    fn at(&self, pointer: String, message: String) -> Wrong {
        let at = Node::parse(&self.text).map_or(0, |node| node.place(&pointer));
        Wrong { message, place: Place::of(&self.text, at), pointer }
    }

    /// Why the server does not take it.
    pub(super) fn refuse(&mut self, problem: &Problem) {
        let pointer = problem.place.clone().unwrap_or_default();
        let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
        self.wrong = Some(self.at(pointer, message));
    }

    /// Adds an element of the form.
    pub(super) fn add(&mut self, visit: &Visit, form: &mut Form) {
        let [list, identifier, name, data_type, unit] =
            ["kind", "identifier", "name", "type", "unit"].map(|name| form.text(name));
        let mut element = json!({ "identifier": identifier });
        if !name.is_empty() {
            element["name"] = name.into();
        }
        let has_type = matches!(&*list, "measurepoints" | "attributes");
        if has_type && TYPES.contains(&&*data_type) {
            element["dataType"] = data_type.into();
        }
        if list == "measurepoints" && !unit.is_empty() {
            element["unit"] = unit.into();
        }
        let is_list = KINDS.iter().any(|(known, _)| *known == list);
        let nodes = Node::parse(&self.text).zip(Node::parse(&element.to_string()));
        let added = nodes.filter(|_| is_list && is_identifier(&identifier));
        let added = added.and_then(|(mut node, element)| node.push(&list, element).then_some(node));
        match added {
            Some(node) => self.text = node.laid_out(),
            None => {
                self.is_not_added = true;
                self.note = Some(visit.t(words::MODEL_ADD_WRONG).to_owned());
            }
        }
    }

    /// Takes an element away: `measurepoints/3`.
    pub(super) fn take_away(&mut self, place: &str) {
        let Some((list, index)) = place.split_once('/') else { return };
        let (Some(mut node), Ok(index)) = (Node::parse(&self.text), index.parse()) else { return };
        if KINDS.iter().any(|(known, _)| *known == list) && node.take(list, index) {
            self.text = node.laid_out();
        }
    }
}

/// Of which character of its line an error is: the reader of JSON counts bytes.
fn column_of(text: &str, error: &serde_json::Error) -> usize {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default().as_bytes();
    let before = &line[..error.column().min(line.len())];
    String::from_utf8_lossy(before).chars().count().max(1)
}
