//! What pages are made of: times, identifiers, states, chips, forms, pages of lists, problems.

use maud::{Markup, html};
use narrowgate_api::{device::ShownState, names::UnixMillis, problem::Problem, time::rfc3339};

use super::{
    visit::{TOKEN, Visit},
    words::{self, Word},
};

/// The field by which a form that is sent twice is done once.
pub(super) const ONCE: &str = "once";

/// The field of a destructive form, into which a name is typed.
pub(super) const TYPED: &str = "typed";

/// How urgent something is; each has a colour, a shape and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Green.
    Good,
    /// Grey.
    Calm,
    /// Amber.
    Watch,
    /// Red.
    Act,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Calm => "calm",
            Self::Watch => "watch",
            Self::Act => "act",
        }
    }

    /// Read by nobody: the word beside it says it.
    fn shape(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Calm => "○",
            Self::Watch => "▲",
            Self::Act => "■",
        }
    }
}

impl Visit {
    /// A text of the catalogue.
    pub(super) fn t(&self, word: Word) -> &'static str {
        self.preferences.t(word)
    }

    /// A text with what stands in its braces.
    pub(super) fn say(&self, word: Word, values: &[(&str, &str)]) -> String {
        self.preferences.say(word, values)
    }

    /// A text about so many things.
    pub(super) fn count(&self, word: Word, count: u64) -> String {
        self.preferences.count(word, count)
    }

    /// The same with more in its braces.
    pub(super) fn count_with(&self, word: Word, count: u64, values: &[(&str, &str)]) -> String {
        self.preferences.count_with(word, count, values)
    }

    /// A number.
    pub(super) fn number(&self, number: u64) -> String {
        self.preferences.number(number)
    }

    /// A time twice: how long ago to read, and exactly.
    pub(super) fn time(&self, time: UnixMillis) -> Markup {
        let exact = self.preferences.exact(time);
        html! {
            time datetime=(rfc3339(time.0)) title=(exact) data-ago=(time.0) {
                (self.preferences.ago(time, self.now))
            }
        }
    }

    /// The same, or that there is none.
    pub(super) fn time_or_never(&self, time: Option<UnixMillis>) -> Markup {
        match time {
            Some(time) => self.time(time),
            None => html! { span.none { (self.t(words::NEVER)) } },
        }
    }

    /// A time to the second, as lists of what happened begin with it.
    pub(super) fn exact_time(&self, time: UnixMillis) -> Markup {
        html! {
            time datetime=(rfc3339(time.0)) title=(self.preferences.ago(time, self.now)) data-exact=(time.0) {
                (self.preferences.exact(time))
            }
        }
    }

    /// An identifier that can be copied: selected at a click without script, by a button with it.
    pub(super) fn copyable(&self, text: &str) -> Markup {
        html! {
            span.copyable {
                code { (text) }
                button.copy type="button" data-copy=(text) aria-label=(self.t(words::COPY))
                    title=(self.t(words::COPY)) { (self.t(words::COPY)) }
            }
        }
    }

    /// A line to paste.
    pub(super) fn line_to_paste(&self, text: &str) -> Markup {
        html! {
            div.paste {
                pre tabindex="0" { code { (text) } }
                button.copy type="button" data-copy=(text) { (self.t(words::COPY)) }
            }
        }
    }

    /// A word with its colour and shape.
    pub(super) fn word(&self, tone: Tone, text: &str) -> Markup {
        html! { span.state.(tone.class()) { span aria-hidden="true" { (tone.shape()) } " " (text) } }
    }

    /// The state of a device.
    pub(super) fn device_state(&self, state: ShownState) -> Markup {
        let (tone, word) = match state {
            ShownState::Online => (Tone::Good, words::STATE_ONLINE),
            ShownState::Offline => (Tone::Calm, words::STATE_OFFLINE),
            ShownState::Inactive => (Tone::Watch, words::STATE_INACTIVE),
            ShownState::Disabled => (Tone::Act, words::STATE_DISABLED),
        };
        self.word(tone, self.t(word))
    }

    /// A filter that holds, which is taken away by a click.
    pub(super) fn chip(&self, said: &str, without: &str) -> Markup {
        let label = self.say(words::FILTER_OFF, &[("filter", said)]);
        html! { a.chip href=(without) aria-label=(label) { (said) " " span aria-hidden="true" { "×" } } }
    }

    /// A list without rows: what will be here, and the one step that brings it.
    pub(super) fn empty(&self, title: Word, text: Word, step: &Markup) -> Markup {
        html! {
            div.empty {
                p.what { (self.t(title)) }
                p { (self.t(text)) }
                @if !step.0.is_empty() { p { (step) } }
            }
        }
    }

    /// What every form begins with, inside of it: the token of the session.
    pub(super) fn token_field(&self) -> Markup {
        html! { input type="hidden" name=(TOKEN) value=(self.token); }
    }

    /// A field by which what is sent twice is done once: `Act::once`.
    pub(super) fn once_field(&self) -> Markup {
        let mut random = [0; 16];
        // Without it a form that is sent twice is done twice.
        let once = getrandom::fill(&mut random).map(|()| hex::encode(random)).unwrap_or_default();
        html! { input type="hidden" name=(ONCE) value=(once); }
    }

    /// A button that does something at once.
    pub(super) fn button(&self, action: &str, said: Word) -> Markup {
        html! {
            form.inline method="post" action=(action) {
                (self.token_field())
                button { (self.t(said)) }
            }
        }
    }

    /// The form of a destructive act: what it will do to how many, and the name that is to be typed.
    pub(super) fn confirm(&self, confirm: &Confirm<'_>) -> Markup {
        let Confirm { action, does, name, button, back, fields, said } = confirm;
        html! {
            form.confirm method="post" action=(action) {
                (self.token_field())
                (fields)
                p.does { (does) }
                @if let Some(said) = said { p.alert role="alert" { (said) } }
                label {
                    (self.say(words::CONFIRM_TYPE, &[("name", name)]))
                    input name=(TYPED) autocomplete="off" autocapitalize="none" spellcheck="false" required;
                }
                p.buttons {
                    button.danger { (self.t(*button)) }
                    a.button href=(back) { (self.t(words::CANCEL)) }
                }
            }
        }
    }

    /// What is said where another name was typed.
    pub(super) fn not_confirmed(&self, name: &str) -> String {
        self.say(words::CONFIRM_WRONG, &[("name", name)])
    }

    /// Where a list goes on.
    pub(super) fn pages(&self, first: Option<&str>, next: Option<&str>) -> Markup {
        html! {
            @if first.is_some() || next.is_some() {
                nav.pages aria-label=(self.t(words::PAGES)) {
                    @if let Some(first) = first { a.button href=(first) { (self.t(words::FIRST_PAGE)) } }
                    @if let Some(next) = next {
                        a.button rel="next" href=(next) { (self.t(words::NEXT_PAGE)) }
                    }
                }
            }
        }
    }

    /// What the API says that is wrong. It says so in English.
    pub(super) fn problem(&self, problem: &Problem) -> Markup {
        html! {
            div.alert role="alert" {
                p.what lang="en" { (problem.title) }
                @if let Some(detail) = &problem.detail { p lang="en" { (detail) } }
                @if let Some(place) = &problem.place {
                    p { (self.say(words::WHERE, &[("place", place)])) }
                }
                @if let Some(hint) = &problem.hint {
                    p { (self.t(words::TRY)) " " span lang="en" { (hint) } }
                }
            }
        }
    }

    /// A button-like link that leads to where more rows of a list have come; it is shown when some have.
    pub(super) fn fresh_rows(&self) -> Markup {
        html! {
            p.fresh aria-live="polite" {
                a hidden data-fresh=(self.t(words::NEW_ROWS)) href=(self.uri.to_string()) {}
            }
        }
    }
}

/// A destructive act, before it is done.
pub(super) struct Confirm<'a> {
    /// Where its form is sent.
    pub(super) action: &'a str,
    /// What it will do to how many.
    pub(super) does: &'a str,
    /// What is to be typed.
    pub(super) name: &'a str,
    pub(super) button: Word,
    /// Where somebody goes who does not want it.
    pub(super) back: &'a str,
    /// Further fields.
    pub(super) fields: Markup,
    /// What was wrong the last time.
    pub(super) said: Option<&'a str>,
}
