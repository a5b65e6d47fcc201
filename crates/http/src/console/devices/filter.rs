//! Which devices: the query of the list's address, its form, and its chips.

use maud::{Markup, html};
use narrowgate_api::{
    device::ShownState,
    job::DeviceFilter,
    names::UnixMillis,
    query::{DeviceList, DeviceSort},
};
use serde::{Deserialize, Serialize};

use super::PATH;
use crate::{
    console::{
        ask::with_query,
        visit::Visit,
        words::{self, Word},
    },
    form::Form,
};

/// What stands in the address. What is empty does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Filter {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) q: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) product: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) tag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) firmware: String,
    /// Hours for which they were not heard.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) silent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) sort: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) cursor: String,
    /// Of a part of a list by the time: when its first part was asked for, for which alone a cursor is valid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::console) began: String,
    /// Typed into the search of the bar: one device that is called exactly so is opened.
    #[serde(skip_serializing)]
    pub(in crate::console) go: String,
}

const STATES: [(&str, ShownState, Word); 4] = [
    ("online", ShownState::Online, words::STATE_ONLINE),
    ("offline", ShownState::Offline, words::STATE_OFFLINE),
    ("inactive", ShownState::Inactive, words::STATE_INACTIVE),
    ("disabled", ShownState::Disabled, words::STATE_DISABLED),
];

const SORTS: [(&str, DeviceSort, Word); 3] = [
    ("", DeviceSort::Created, words::SORT_CREATED),
    ("newest", DeviceSort::NewestFirst, words::SORT_NEWEST),
    ("key", DeviceSort::Key, words::SORT_KEY),
];

/// Hours that are offered.
const SILENT: [u64; 5] = [1, 6, 24, 7 * 24, 30 * 24];

/// More than a store may be old.
const SILENT_HOURS_MAX: i64 = 24 * 366 * 100;

impl Filter {
    /// Those of a form that has them as hidden fields.
    pub(super) fn take(form: &mut Form) -> Self {
        let [q, product, state, tag, firmware, silent] =
            ["q", "product", "state", "tag", "firmware", "silent"].map(|name| form.text(name));
        Self { q, product, state, tag, firmware, silent, ..Self::default() }
    }

    /// What says which devices, each with its name.
    pub(super) fn values(&self) -> [(&'static str, &str); 6] {
        [
            ("q", &self.q),
            ("product", &self.product),
            ("state", &self.state),
            ("tag", &self.tag),
            ("firmware", &self.firmware),
            ("silent", &self.silent),
        ]
    }

    /// The same as hidden fields of a form.
    pub(super) fn fields(&self) -> Markup {
        html! {
            @for (name, value) in self.values().iter().filter(|(_, value)| !value.is_empty()) {
                input type="hidden" name=(name) value=(value);
            }
        }
    }

    /// The same from the beginning.
    pub(super) fn first(&self) -> Self {
        Self { cursor: String::new(), began: String::new(), go: String::new(), ..self.clone() }
    }

    /// The address of the list.
    pub(in crate::console) fn path(&self) -> String {
        with_query(PATH, self)
    }

    /// The address of a further part of it.
    pub(super) fn at(&self, cursor: &str, now: UnixMillis) -> String {
        let is_by_time = self.silent_hours().is_some();
        let began = if is_by_time { self.moment(now).0.to_string() } else { String::new() };
        Self { cursor: cursor.to_owned(), began, ..self.first() }.path()
    }

    /// When its first part was asked for.
    fn moment(&self, now: UnixMillis) -> UnixMillis {
        self.began.parse().map_or(now, UnixMillis)
    }

    pub(super) fn is_search(&self) -> bool {
        !self.go.is_empty() && !self.q.is_empty()
    }

    /// Whether it is a filter of all devices.
    pub(super) fn is_any(&self) -> bool {
        Self { sort: String::new(), ..self.first() } == Self::default()
    }

    /// What of it is not understood, as its name and what is said: it would hold for nothing, and all devices
    /// would be there.
    pub(super) fn unknown(&self, visit: &Visit) -> Option<String> {
        let is_state = self.state.is_empty() || self.shown_state().is_some();
        let is_silent = self.silent.is_empty() || self.silent_hours().is_some();
        let is_sort = SORTS.iter().any(|(name, ..)| *name == self.sort);
        let known = [
            (is_state, words::FILTER_STATE, &self.state),
            (is_silent, words::FILTER_SILENT, &self.silent),
            (is_sort, words::FILTER_SORT, &self.sort),
        ];
        let (_, word, value) = known.into_iter().find(|(is_known, ..)| !is_known)?;
        Some(visit.say(words::FILTER_UNKNOWN, &[("name", visit.t(word)), ("value", value)]))
    }

    fn silent_hours(&self) -> Option<i64> {
        self.silent.parse().ok().filter(|hours| (1..=SILENT_HOURS_MAX).contains(hours))
    }

    fn silent_before(&self, now: UnixMillis) -> Option<UnixMillis> {
        Some(UnixMillis(self.moment(now).0.saturating_sub(self.silent_hours()? * 3_600_000)))
    }

    fn shown_state(&self) -> Option<ShownState> {
        STATES.into_iter().find(|(name, ..)| *name == self.state).map(|(_, state, _)| state)
    }

    /// What the API is asked for.
    pub(super) fn list(&self, now: UnixMillis, limit: u32) -> DeviceList {
        let sort = SORTS.into_iter().find(|(name, ..)| *name == self.sort).map(|(_, sort, _)| sort);
        DeviceList {
            sort: sort.filter(|sort| *sort != DeviceSort::Created),
            limit: Some(limit),
            cursor: given(&self.cursor),
            ..self.bulk(now).into()
        }
    }

    /// The same for what is done to all of them.
    pub(super) fn bulk(&self, now: UnixMillis) -> DeviceFilter {
        DeviceFilter {
            product: given(&self.product),
            state: self.shown_state(),
            q: given(&self.q),
            tag: given(&self.tag),
            seen_before: self.silent_before(now),
            seen_after: None,
            firmware: given(&self.firmware),
        }
    }

    /// What holds, each with its word, its value, and the filter without it.
    fn held(&self, visit: &Visit) -> Vec<(Word, String, Self)> {
        let first = self.first();
        let mut held = Vec::new();
        let mut add = |word, value: &str, without| {
            if !value.is_empty() {
                held.push((word, value.to_owned(), without));
            }
        };
        let state = STATES.into_iter().find(|(name, ..)| *name == self.state);
        let state = state.map_or("", |(.., word)| visit.t(word));
        let hours = self.silent_hours().map(i64::unsigned_abs);
        let silent = hours.map(|hours| visit.preferences.duration(3_600 * hours));
        add(words::CHIP_SEARCH, &self.q, Self { q: String::new(), ..first.clone() });
        add(words::FILTER_PRODUCT, &self.product, Self { product: String::new(), ..first.clone() });
        add(words::FILTER_STATE, state, Self { state: String::new(), ..first.clone() });
        add(words::FILTER_TAG, &self.tag, Self { tag: String::new(), ..first.clone() });
        add(words::FILTER_FIRMWARE, &self.firmware, Self { firmware: String::new(), ..first.clone() });
        add(
            words::FILTER_SILENT,
            silent.as_deref().unwrap_or_default(),
            Self { silent: String::new(), ..first },
        );
        held
    }

    /// What holds, to be taken away one by one.
    pub(super) fn chips(&self, visit: &Visit) -> Markup {
        html! {
            div.chips {
                @for (word, value, without) in self.held(visit) {
                    @let said = visit.say(words::CHIP, &[("name", visit.t(word)), ("value", &value)]);
                    (visit.chip(&said, &without.path()))
                }
            }
        }
    }

    /// The search and the state, and the rest behind a click where none of it holds: the list has the room.
    pub(super) fn form(&self, visit: &Visit) -> Markup {
        let more = [&self.silent, &self.product, &self.tag, &self.firmware, &self.sort];
        html! {
            form.filters action=(PATH) {
                label.wide {
                    (visit.t(words::SEARCH_HINT))
                    input type="search" name="q" value=(self.q) autocapitalize="none" spellcheck="false";
                }
                (select(visit, (words::FILTER_STATE, "state", &self.state), &STATES.map(|(name, _, word)| {
                    (name.to_owned(), visit.t(word).to_owned())
                })))
                button { (visit.t(words::FILTER)) }
                details.more open[more.iter().any(|value| !value.is_empty())] {
                    summary { (visit.t(words::MORE_FILTERS)) }
                    div.filters { (self.further(visit)) }
                }
            }
        }
    }

    /// The fields that are asked for less often.
    fn further(&self, visit: &Visit) -> Markup {
        html! {
            (select(visit, (words::FILTER_SILENT, "silent", &self.silent), &SILENT.map(|hours| {
                (hours.to_string(), visit.preferences.duration(3_600 * hours))
            })))
            (field(visit, words::FILTER_PRODUCT, "product", &self.product))
            (field(visit, words::FILTER_TAG, "tag", &self.tag))
            (field(visit, words::FILTER_FIRMWARE, "firmware", &self.firmware))
            label {
                (visit.t(words::FILTER_SORT))
                select name="sort" {
                    @for (name, _, word) in SORTS {
                        option value=(name) selected[name == self.sort] { (visit.t(word)) }
                    }
                }
            }
        }
    }
}

fn field(visit: &Visit, word: Word, name: &str, value: &str) -> Markup {
    html! {
        label {
            (visit.t(word))
            input name=(name) value=(value) autocapitalize="none" spellcheck="false";
        }
    }
}

fn select(visit: &Visit, (word, name, value): (Word, &str, &str), all: &[(String, String)]) -> Markup {
    html! {
        label {
            (visit.t(word))
            select name=(name) {
                option value="" { (visit.t(words::FILTER_ANY)) }
                @for (option, said) in all {
                    option value=(option) selected[option == value] { (said) }
                }
            }
        }
    }
}

fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
