//! A search for devices among a million, in one short look.
//!
//! Each filter that an index answers is a walk: over the rows of the index, in the order of ids, from where
//! the last page ended. All other filters are looked at on the way. Of several walks the one is taken that
//! comes furthest within [`DeviceSearch::looks_max`] rows, so the rarest of the filters decides. Where that
//! is not to the end, the page ends there, perhaps with few devices or none, and the next one goes on.
//!
//! A walk reads no row that it does not count: its index has no others, so a page is bounded however many
//! devices there are and whatever else they have. What has tags has an index; which tag, is looked at.
//!
//! The order of keys has a walk of its own ([`by_key`]).
//!
//! When a device was last heard changes with each of its reports and has no index: it is compared row by row.

mod by_key;

use std::cmp::Reverse;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{damaged::DamagedDevice, device::Device, device::DeviceState},
    ports::{DeviceOrder, DeviceSearch, DevicesFound, SearchPlace},
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Rows, types::Value};

use super::{
    aside,
    names::Named,
    readers::Reader,
    rows::{self, select_device},
    schema::sql,
};

/// Devices on one page at most.
const PAGE_MAX: usize = 1000;

/// What is written down of when a device was last heard, and the device, give when it was heard.
pub(super) type Heard<'a> = &'a dyn Fn(Option<UnixMillis>, DeviceId) -> Option<UnixMillis>;

/// A way over ids in their order.
struct Walk {
    /// The table, with the index that is to be used.
    table: String,
    /// How a device is found from there.
    join: &'static str,
    /// The column with its id.
    id: &'static str,
    /// Which rows.
    only: &'static str,
}

impl Walk {
    fn new(table: &str, id: &'static str, only: &'static str) -> Self {
        let join = match id {
            "d.id" => "",
            "v.device" => " CROSS JOIN devices d ON d.id = v.device",
            "y.device" => " CROSS JOIN devices d ON d.id = y.device",
            _ => " CROSS JOIN devices d ON d.id = x.id",
        };
        Self { table: table.to_owned(), join, id, only }
    }
}

/// A search in one transaction of a reader.
struct Look<'a> {
    registry: &'a Connection,
    search: &'a DeviceSearch,
    values: Vec<(&'static str, Value)>,
}

/// See [`narrowgate_platform::ports::Registry::search_devices`].
pub(super) fn devices(
    reader: &Reader,
    search: &DeviceSearch,
    heard: Heard<'_>,
) -> rusqlite::Result<DevicesFound> {
    let limit = search.limit.clamp(1, PAGE_MAX);
    reader.at_one_moment(|registry| {
        let look = Look { registry, search, values: values(search) };
        let (mut ids, end) = match search.order.is_by_key() {
            true => look.by_key(limit + 1, heard)?,
            false => {
                let (walk, end) = look.choose()?;
                (look.find(&walk, end, limit + 1, heard)?, end.map(SearchPlace::Id))
            }
        };
        let next = if ids.len() > limit {
            ids.truncate(limit);
            ids.last().map(|last| look.place_of(*last)).transpose()?
        } else {
            end
        };
        let devices = aside::all_heard(registry, load(registry, &ids)?)?;
        let is_wanted = |row: &Result<Device, DamagedDevice>| {
            row.as_ref().map_or(true, |device| search.takes_seen(heard(device.last_seen_time, device.id)))
        };
        Ok(DevicesFound { devices: devices.into_iter().filter(is_wanted).collect(), next })
    })
}

impl Look<'_> {
    /// The walk that comes furthest, and where it ends; `None`: with the last row.
    fn choose(&self) -> rusqlite::Result<(Walk, Option<DeviceId>)> {
        if let Some(few) = self.few_by_prefix()? {
            return Ok((few, None));
        }
        let mut best = None;
        for walk in self.walks()? {
            let Some(end) = self.end(&walk)? else { return Ok((walk, None)) };
            let reach = match self.is_downward() {
                false => (end, Reverse(DeviceId(0))),
                true => (DeviceId(0), Reverse(end)),
            };
            if best.as_ref().is_none_or(|(furthest, _, _)| reach > *furthest) {
                best = Some((reach, walk, end));
            }
        }
        let (_, walk, end) = best.expect("the table itself is a walk");
        Ok((walk, Some(end)))
    }

    /// A walk for each filter that an index answers, and one over all devices.
    fn walks(&self) -> rusqlite::Result<Vec<Walk>> {
        let search = self.search;
        let mut walks = vec![Walk::new("devices d NOT INDEXED", "d.id", "1")];
        let mut by = |index: &str, id, only| -> rusqlite::Result<()> {
            // One that could not be made is missed by nobody: the search takes longer.
            if self.has_index(index)? {
                let table = match id {
                    "v.device" => "versions v",
                    "y.device" => "properties y",
                    _ => "devices d",
                };
                walks.push(Walk::new(&format!("{table} INDEXED BY {index}"), id, only));
            }
            Ok(())
        };
        if search.ou.is_some() {
            by("devices_by_unit", "d.id", "d.ou = :ou")?;
        }
        if search.product_key.is_some() {
            by("devices_product", "d.id", OF_PRODUCT)?;
        }
        match search.state {
            Some(DeviceState::Online) => by("devices_by_online", "d.id", "d.state = 'online'")?,
            Some(DeviceState::Inactive) => by("devices_by_inactive", "d.id", "d.state = 'inactive'")?,
            Some(DeviceState::Offline) | None => {}
        }
        if search.disabled == Some(true) {
            by("devices_by_disabled", "d.id", "d.enabled = 0")?;
        }
        if search.firmware.is_some() {
            by("versions_by_version", "v.device", "v.version = :firmware")?;
        }
        if search.tag.is_some() {
            // The table itself has all attributes of all devices, too.
            by("properties_tags", "y.device", "y.kind = 'tag'")?;
        }
        Ok(walks)
    }

    /// Where not many keys and names begin as they should: a walk over them.
    fn few_by_prefix(&self) -> rusqlite::Result<Option<Walk>> {
        if self.search.prefix.is_none() {
            return Ok(None);
        }
        let keys = format!("SELECT id FROM devices WHERE {}", begins("device_key", &self.values));
        let names = format!("SELECT id FROM devices WHERE name <> '' AND {}", begins("name", &self.values));
        let mut count = 0;
        for found in [&keys, &names] {
            let sql = format!("SELECT count(*) FROM ({found} LIMIT :looks)");
            let mut select = self.registry.prepare_cached(&sql)?;
            count += self.query(&mut select, &[])?.next()?.map_or(Ok(0), |row| row.get(0))?;
        }
        let looks = i64::try_from(self.search.looks_max).unwrap_or(i64::MAX);
        let few = || Walk::new(&format!("({keys} UNION {names}) x"), "x.id", "1");
        Ok((count < looks).then(few))
    }

    /// The last row of a walk that a page looks at; `None`: that is its end.
    fn end(&self, walk: &Walk) -> rusqlite::Result<Option<DeviceId>> {
        let mut select = self.registry.prepare_cached(&self.question_of_end(walk))?;
        let mut rows = self.query(&mut select, &[])?;
        rows.next()?.map(|row| row.get(0).map(DeviceId)).transpose()
    }

    fn question_of_end(&self, walk: &Walk) -> String {
        let Walk { table, id, only, .. } = walk;
        let (follows, direction) = self.direction();
        format!(
            "SELECT {id} FROM {table} WHERE {only} AND {id} {follows} :after ORDER BY {id} {direction} \
             LIMIT 1 OFFSET :looks - 1"
        )
    }

    /// The first devices of a walk that are wanted.
    fn find(
        &self,
        walk: &Walk,
        end: Option<DeviceId>,
        limit: usize,
        heard: Heard<'_>,
    ) -> rusqlite::Result<Vec<DeviceId>> {
        let Walk { table, join, id, only } = walk;
        let (follows, direction) = self.direction();
        let until = match (end, self.is_downward()) {
            (None, _) => String::new(),
            (Some(_), false) => format!(" AND {id} <= :end"),
            (Some(_), true) => format!(" AND {id} >= :end"),
        };
        let from = format!("{table}{join}");
        let span = format!("{only} AND {id} {follows} :after{until}");
        let end = end.map(|end| (":end", Value::Integer(end.0)));
        self.wanted(&from, &span, &format!("{id} {direction}"), end.as_slice(), limit, heard)
    }

    /// The first devices of a part of the table, in this order, that are wanted.
    fn wanted(
        &self,
        from: &str,
        span: &str,
        order: &str,
        values: &[(&'static str, Value)],
        limit: usize,
        heard: Heard<'_>,
    ) -> rusqlite::Result<Vec<DeviceId>> {
        let is_about_seen = self.search.is_about_seen();
        let (seen, latest) = match is_about_seen {
            true => ("d.last_seen_time, l.seen", " LEFT JOIN latest l ON l.device = d.id"),
            false => ("NULL, NULL", ""),
        };
        let filters = filters(self.search, &self.values);
        let sql = format!("SELECT d.id, {seen} FROM {from}{latest} WHERE {span}{filters} ORDER BY {order}");
        let stands = is_about_seen && aside::stands(self.registry)?;
        let mut select = self.registry.prepare_cached(&sql)?;
        let mut rows = self.query(&mut select, values)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let id = DeviceId(row.get(0)?);
            if is_about_seen {
                // A damaged time is none.
                let [own, latest] = [1, 2].map(|column| row.get(column).ok().flatten().map(UnixMillis));
                let latest = match latest {
                    None if stands => aside::seen(self.registry, id)?,
                    latest => latest,
                };
                if !self.search.takes_seen(heard(own.max(latest), id)) {
                    continue;
                }
            }
            found.push(id);
        }
        Ok(found)
    }

    fn is_downward(&self) -> bool {
        matches!(self.search.order, DeviceOrder::NewestFirst | DeviceOrder::ByKeyDown)
    }

    fn direction(&self) -> (&'static str, &'static str) {
        if self.is_downward() { ("<", "DESC") } else { (">", "ASC") }
    }

    fn has_index(&self, name: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1";
        let found = self.registry.prepare_cached(sql)?.query_row([name], |_| Ok(())).optional()?;
        Ok(found.is_some())
    }

    /// Runs a statement with those of the values that it names.
    fn query<'s>(
        &self,
        select: &'s mut CachedStatement<'_>,
        more: &[(&'static str, Value)],
    ) -> rusqlite::Result<Rows<'s>> {
        for (name, value) in self.values.iter().chain(more) {
            if let Some(index) = select.parameter_index(name)? {
                select.raw_bind_parameter(index, value)?;
            }
        }
        Ok(select.raw_query())
    }
}

/// The devices with these ids; they are read in the transaction in which they were found.
fn load(registry: &Connection, ids: &[DeviceId]) -> rusqlite::Result<Vec<Result<Device, DamagedDevice>>> {
    let mut select = registry.prepare_cached(sql!("{} WHERE d.id = ?1", select_device()))?;
    ids.iter().map(|id| select.query_row([id.0], rows::listed_device)).collect()
}

const OF_PRODUCT: &str = "d.product = (SELECT id FROM products WHERE product_key = :product)";

/// Conditions on row `d` of the devices. Each is a fixed piece of text, so that no name becomes syntax. `+`:
/// the walk has its index, and no other one is to be used.
fn filters(search: &DeviceSearch, values: &[(&'static str, Value)]) -> String {
    let mut text = String::new();
    let mut add = |condition: &str| text += &format!(" AND {condition}");
    if search.ou.is_some() {
        add("+d.ou = :ou");
    }
    if search.product_key.is_some() {
        add(&format!("+{OF_PRODUCT}"));
    }
    if search.state.is_some() {
        add("+d.state = :state");
    }
    if search.disabled.is_some() {
        add("+d.enabled = :enabled");
    }
    if search.prefix.is_some() {
        add(&format!("({} OR {})", begins("+d.device_key", values), begins("+d.name", values)));
    }
    if search.tag.is_some() {
        // A text that is no JSON is damaged, and has no tags.
        add("EXISTS (SELECT 1 FROM properties t WHERE t.device = d.id AND t.kind = 'tag' \
             AND CASE WHEN json_valid(t.json) THEN json_extract(t.json, :tag) END = :value)");
    }
    if search.firmware.is_some() {
        add("EXISTS (SELECT 1 FROM versions w WHERE w.device = d.id AND w.version = :firmware)");
    }
    text
}

/// A condition: the text of a column begins with the prefix.
fn begins(column: &str, values: &[(&'static str, Value)]) -> String {
    match values.iter().any(|(name, _)| *name == ":high") {
        true => format!("({column} >= :low AND {column} < :high)"),
        false => format!("({column} >= :low)"),
    }
}

/// All values that statements of a search may name.
fn values(search: &DeviceSearch) -> Vec<(&'static str, Value)> {
    let after = match (&search.after, search.order) {
        (Some(SearchPlace::Id(after)), _) => after.0,
        (_, DeviceOrder::NewestFirst) => i64::MAX,
        _ => 0,
    };
    let (key, key_ou) = match &search.after {
        Some(SearchPlace::Key { device_key, ou }) => (Some(&**device_key), Some(&**ou)),
        _ => (None, None),
    };
    let looks = i64::try_from(search.looks_max.max(1)).unwrap_or(i64::MAX);
    let text = |name, value: Option<&str>| value.map(|value| (name, Value::Text(value.to_owned())));
    let tag = search.tag.as_ref();
    // The key of a tag has no quotes.
    let path = tag.map(|(key, _)| format!("$.\"{key}\""));
    let enabled = search.disabled.map(|disabled| Value::Integer(i64::from(!disabled)));
    let texts = [
        text(":key", key),
        text(":key_ou", key_ou),
        text(":ou", search.ou.as_deref()),
        text(":product", search.product_key.as_deref()),
        text(":state", search.state.map(Named::word)),
        text(":low", search.prefix.as_deref()),
        text(":high", search.prefix.as_deref().and_then(following).as_deref()),
        text(":tag", path.as_deref()),
        text(":value", tag.map(|(_, value)| value.as_str())),
        text(":firmware", search.firmware.as_deref()),
        enabled.map(|enabled| (":enabled", enabled)),
    ];
    let numbers = [(":after", Value::Integer(after)), (":looks", Value::Integer(looks))];
    numbers.into_iter().chain(texts.into_iter().flatten()).collect()
}

/// The first text behind all that begin with this one; `None`: there is none.
fn following(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // No character stands between the two.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::ports::DeviceSearch;

    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn a_walk_reads_no_row_that_it_does_not_count() {
        let registry = Connection::open_in_memory().expect("it opens");
        registry.execute_batch(&schema::registry::schema()).expect("it is valid");
        let text = |text: &str| Some(text.to_owned());
        let all = || DeviceSearch { looks_max: 20_000, ..DeviceSearch::default() };
        let everything = |order| DeviceSearch {
            ou: text("o"),
            product_key: text("pk"),
            disabled: Some(true),
            tag: Some(("site".to_owned(), "s".to_owned())),
            firmware: text("1.0"),
            order,
            ..all()
        };
        let state = |state| DeviceSearch { state: Some(state), ..all() };
        let mut walked = Vec::new();
        for search in [
            everything(DeviceOrder::OldestFirst),
            everything(DeviceOrder::NewestFirst),
            state(DeviceState::Online),
            state(DeviceState::Inactive),
        ] {
            let look = Look { registry: &registry, search: &search, values: values(&search) };
            for walk in look.walks().expect("they are known") {
                let sql = format!("EXPLAIN QUERY PLAN {}", look.question_of_end(&walk));
                let mut plan = registry.prepare(&sql).expect("it is valid");
                let mut rows = plan.raw_query();
                let mut steps = Vec::new();
                while let Some(row) = rows.next().expect("it is explained") {
                    steps.push(row.get::<_, String>("detail").expect("it is a text"));
                }
                // One step, but for the look-up of a product: no sorting. It begins behind the last page.
                let walks: Vec<_> = steps.iter().filter(|step| !step.contains("SCALAR")).collect();
                let is_bounded = |step: &str| {
                    let by_row = step.contains("USING INTEGER PRIMARY KEY (rowid");
                    (by_row || step.contains("USING COVERING INDEX")) && step.starts_with("SEARCH")
                };
                assert!(is_bounded(walks[0]), "{sql}: {steps:?}");
                assert!(walks.iter().all(|step| step.starts_with("SEARCH")), "{sql}: {steps:?}");
                walked.push(walk.table);
            }
        }
        for index in ["devices_by_unit", "devices_product", "devices_by_disabled", "versions_by_version"] {
            assert!(walked.iter().any(|table| table.ends_with(index)), "{index}: {walked:?}");
        }
        for index in ["properties_tags", "devices_by_online", "devices_by_inactive"] {
            assert!(walked.iter().any(|table| table.ends_with(index)), "{index}: {walked:?}");
        }
    }

    #[test]
    fn the_text_behind_a_prefix_is_the_first_one_that_does_not_begin_so() {
        for (prefix, behind) in [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(following(prefix).as_deref(), behind, "{prefix}");
        }
    }
}
