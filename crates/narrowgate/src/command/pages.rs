//! Paged lists: prints one page, or all pages one by one, so that a list of any length needs the memory of
//! one page. As JSON the output is one document either way.
//!
//! What is not part of the document goes to standard error: the next cursor and what is damaged.

use narrowgate_api::{
    command::CommandView,
    device::DeviceRow,
    history::{BucketView, EventView, LogView, PointView, RefusalView},
    model::ModelVersionRow,
    page::{LeftOut, Page},
    script::ScriptVersionRow,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    cli::{Output, Paging},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Layout},
};

/// Rows of a page when many are wanted: as many as a call returns.
const PAGE_ROWS: u32 = 1000;

/// What a list looks like.
pub(super) struct List {
    pub(super) layout: Layout,
    pub(super) frame: Frame,
}

/// The JSON document around the rows.
pub(super) enum Frame {
    /// A bare array.
    Array,
    /// `{"devices":[…],"nextCursor":…}`.
    Devices,
}

/// A row of a list.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// What is wrong with it, if anything.
    fn damage(&self) -> Option<&str> {
        None
    }
}

impl Row for DeviceRow {
    fn damage(&self) -> Option<&str> {
        DeviceRow::damage(self)
    }
}

impl Row for CommandView {}

impl Row for LogView {}

impl Row for ModelVersionRow {}

impl Row for RefusalView {}

impl Row for ScriptVersionRow {}

impl Row for PointView {}

impl Row for BucketView {}

impl Row for EventView {}

/// Prints the part of a list that was asked for.
///
/// # Errors
/// Those of the request; after the first page they cut the document short.
pub(super) fn run<T: Row>(
    list: &List,
    paging: Paging,
    config: &Config,
    output: Output,
    call: impl Fn(u32, Option<String>) -> Call<Page<T>>,
) -> Result<(), Failure> {
    run_shown(list, paging, config, output, call, &shown)
}

/// The same with rows that are written for people by `show`.
///
/// # Errors
/// As with [`run`].
pub(super) fn run_shown<T: Row>(
    list: &List,
    paging: Paging,
    config: &Config,
    output: Output,
    call: impl Fn(u32, Option<String>) -> Call<Page<T>>,
    show: &dyn Fn(&T) -> Result<Box<RawValue>, Failure>,
) -> Result<(), Failure> {
    let Paging { limit, mut cursor, all } = paging;
    let mut left = limit;
    let mut printer = Printer { list, output, begun: false, rows: 0 };
    let mut damage = Damage::default();
    let mut access = Access::open(config)?;
    let printed = loop {
        let page = match access.call(call(if all { PAGE_ROWS } else { left.min(PAGE_ROWS) }, cursor.take())) {
            Ok(page) => page,
            Err(failure) => break Err(failure),
        };
        damage.note(&page);
        left = left.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        // A page may end before it is full: where little is found in much, or what is found is large.
        let goes_on = (all || left > 0) && page.next_cursor.is_some();
        match printer.page(&page, !goes_on, show) {
            Ok(true) if goes_on => cursor = page.next_cursor,
            Ok(_) => break Ok(page.next_cursor.filter(|_| !all)),
            Err(failure) => break Err(failure),
        }
        access = access.reopen(config)?;
    };
    let closed = access.close();
    damage.warn();
    if let Some(cursor) = printed? {
        output::note(format_args!("more with --cursor {cursor} (or all of it with --all)"));
    }
    closed
}

/// Prints page after page as one document.
struct Printer<'a> {
    list: &'a List,
    output: Output,
    /// The document was begun.
    begun: bool,
    /// Rows printed so far.
    rows: usize,
}

impl Printer<'_> {
    /// Returns `false` if the reader has gone.
    fn page<T: Row>(
        &mut self,
        page: &Page<T>,
        is_last: bool,
        show: &dyn Fn(&T) -> Result<Box<RawValue>, Failure>,
    ) -> Result<bool, Failure> {
        let before = self.rows;
        self.rows += page.items.len();
        match self.output {
            Output::Json => {
                let begins = !std::mem::replace(&mut self.begun, true);
                output::piece(&self.json(page, (begins, before), is_last)?)
            }
            // `(none)` is printed only for a list without rows, not for a page without rows.
            Output::Table if page.items.is_empty() && (before > 0 || !is_last) => Ok(true),
            Output::Table => {
                let rows: Vec<_> = page.items.iter().map(show).collect::<Result<_, _>>()?;
                output::print_page(&rows, self.list.layout)
            }
        }
    }

    /// A piece of the document, which perhaps begins, behind so many rows.
    fn json<T: Serialize>(
        &self,
        page: &Page<T>,
        (begins, before): (bool, usize),
        is_last: bool,
    ) -> Result<String, Failure> {
        let mut text = String::new();
        if begins {
            text += match self.list.frame {
                Frame::Array => "[",
                Frame::Devices => "{\"devices\":[",
            };
        }
        for (index, item) in page.items.iter().enumerate() {
            if index > 0 || before > 0 {
                text.push(',');
            }
            text += &output::written(item)?;
        }
        if is_last {
            match self.list.frame {
                Frame::Array => text += "]\n",
                Frame::Devices => {
                    let cursor = output::written(&page.next_cursor)?;
                    text += &format!("],\"nextCursor\":{cursor}}}\n");
                }
            }
        }
        Ok(text)
    }
}

/// A row of a table. A damaged row says so in place of its state.
pub(super) fn shown(row: &impl Row) -> Result<Box<RawValue>, Failure> {
    shown_with_damage(row, row.damage().is_some())
}

/// The same for a row whose damage the caller knows.
pub(super) fn shown_with_damage(row: &impl Serialize, is_damaged: bool) -> Result<Box<RawValue>, Failure> {
    let unwritten = |error| Failure::failed("cannot write the answer").reason(error);
    if !is_damaged {
        return to_raw_value(row).map_err(unwritten);
    }
    let mut fields = serde_json::to_value(row).map_err(unwritten)?;
    for field in ["state", "name"] {
        if fields.get(field).is_some_and(Value::is_null) {
            fields[field] = "damaged".into();
            break;
        }
    }
    to_raw_value(&fields).map_err(unwritten)
}

/// Counts the damaged rows of a list: shown as damaged, or left out.
#[derive(Default)]
pub(super) struct Damage {
    shown: u64,
    left_out: u64,
    first: Option<String>,
}

impl Damage {
    pub(super) fn note<T: Row>(&mut self, page: &Page<T>) {
        for row in &page.items {
            self.note_row(row.damage());
        }
        if let Some(LeftOut { count, first }) = &page.damaged {
            self.left_out += count;
            self.first.get_or_insert_with(|| first.clone());
        }
    }

    /// Counts a row that is shown, if it is damaged.
    pub(super) fn note_row(&mut self, damage: Option<&str>) {
        if let Some(damage) = damage {
            self.shown += 1;
            self.first.get_or_insert_with(|| damage.to_owned());
        }
    }

    /// Prints the counts to standard error.
    pub(super) fn warn(&self) {
        let Some(first) = &self.first else { return };
        for (count, what) in [(self.shown, "shown as damaged"), (self.left_out, "left out as damaged")] {
            let rows = if count == 1 { "row is" } else { "rows are" };
            if count > 0 {
                output::note(format_args!(
                    "warning: {count} {rows} {what}; first: {} (docs/operating.md, Damage)",
                    output::printable(first)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[&str], next_cursor: Option<&str>) -> Page<Box<RawValue>> {
        let items = items.iter().map(|item| RawValue::from_string((*item).to_owned()).unwrap()).collect();
        Page { items, next_cursor: next_cursor.map(str::to_owned), damaged: None }
    }

    #[test]
    fn pages_are_one_document() {
        for (frame, empty, whole) in [
            (Frame::Array, "[]\n", "[1,2,3]\n"),
            (
                Frame::Devices,
                "{\"devices\":[],\"nextCursor\":null}\n",
                "{\"devices\":[1,2,3],\"nextCursor\":\"c\"}\n",
            ),
        ] {
            let list = List { layout: Layout::Rows(&[]), frame };
            let printer = Printer { list: &list, output: Output::Json, begun: false, rows: 0 };
            let json =
                |page: &Page<Box<RawValue>>, begins, is_last| printer.json(page, begins, is_last).unwrap();
            assert_eq!(json(&page(&[], None), (true, 0), true), empty);
            let pages = [
                json(&page(&[], Some("a")), (true, 0), false),
                json(&page(&["1", "2"], Some("b")), (false, 0), false),
                json(&page(&[], Some("b")), (false, 2), false),
                json(&page(&["3"], Some("c")), (false, 2), true),
            ];
            assert_eq!(pages.concat(), whole);
        }
    }

    #[test]
    fn a_damaged_row_says_so_where_its_state_would_stand() {
        let show = |json: &str, is_damaged| {
            let row = RawValue::from_string(json.to_owned()).unwrap();
            shown_with_damage(&row, is_damaged).unwrap().get().to_owned()
        };
        let row = |json| show(json, true);
        for json in [r#"{"name":null,"state":"online"}"#, r#"{"damaged":false,"state":null}"#] {
            assert_eq!(show(json, false), json);
        }
        assert_eq!(
            row(r#"{"damaged":true,"name":null,"state":null}"#),
            r#"{"damaged":true,"name":null,"state":"damaged"}"#
        );
        assert_eq!(row(r#"{"damaged":true,"name":null}"#), r#"{"damaged":true,"name":"damaged"}"#);
    }
}
