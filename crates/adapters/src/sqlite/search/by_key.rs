//! Devices in the order of their keys: one walk, over the index that keeps keys apart, of all organisation
//! units.

use narrowgate_platform::{ids::DeviceId, ports::SearchPlace};
use rusqlite::types::Value;

use super::{Heard, Look};

impl Look<'_> {
    /// In the order of keys: the first devices that are wanted, and where the page ends that looks at no more
    /// rows than it may; `None`: with the last row.
    pub(super) fn by_key(
        &self,
        limit: usize,
        heard: Heard<'_>,
    ) -> rusqlite::Result<(Vec<DeviceId>, Option<SearchPlace>)> {
        let (follows, direction) = self.direction();
        let mut select = self.registry.prepare_cached(&self.question_of_end_by_key())?;
        let mut rows = self.query(&mut select, &[])?;
        let end = match rows.next()? {
            Some(row) => Some(SearchPlace::Key { device_key: row.get(0)?, ou: row.get(1)? }),
            None => None,
        };
        drop(rows);
        let mut span = self.span_by_key();
        let mut values = Vec::new();
        if let Some(SearchPlace::Key { device_key, ou }) = &end {
            let until = if follows == ">" { "<=" } else { ">=" };
            span += &format!(" AND (d.device_key, d.ou) {until} (:end_key, :end_ou)");
            let text = |text: &String| Value::Text(text.clone());
            values = vec![(":end_key", text(device_key)), (":end_ou", text(ou))];
        }
        let order = format!("d.device_key {direction}, d.ou {direction}");
        Ok((self.wanted("devices d", &span, &order, &values, limit, heard)?, end))
    }

    fn question_of_end_by_key(&self) -> String {
        let (span, (_, direction)) = (self.span_by_key(), self.direction());
        format!(
            "SELECT d.device_key, d.ou FROM devices d WHERE {span} \
             ORDER BY d.device_key {direction}, d.ou {direction} LIMIT 1 OFFSET :looks - 1"
        )
    }

    fn span_by_key(&self) -> String {
        match self.search.after {
            // A condition on the key, so that its index is taken.
            None => "d.device_key >= ''".to_owned(),
            Some(_) => format!("(d.device_key, d.ou) {} (:key, :key_ou)", self.direction().0),
        }
    }

    /// Where a page ends that ends with this device.
    pub(super) fn place_of(&self, last: DeviceId) -> rusqlite::Result<SearchPlace> {
        if !self.search.order.is_by_key() {
            return Ok(SearchPlace::Id(last));
        }
        let mut select = self.registry.prepare_cached("SELECT device_key, ou FROM devices WHERE id = ?1")?;
        select.query_row([last.0], |row| Ok(SearchPlace::Key { device_key: row.get(0)?, ou: row.get(1)? }))
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::ports::{DeviceOrder, DeviceSearch};
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::{schema, search::values};

    #[test]
    fn the_order_of_keys_is_that_of_an_index() {
        let registry = Connection::open_in_memory().expect("it opens");
        registry.execute_batch(&schema::registry::schema()).expect("it is valid");
        let after = || Some(SearchPlace::Key { device_key: "dk".to_owned(), ou: "o".to_owned() });
        for order in [DeviceOrder::ByKey, DeviceOrder::ByKeyDown] {
            for after in [None, after()] {
                let ou = Some("o".to_owned());
                let search = DeviceSearch { order, after, ou, looks_max: 20_000, ..DeviceSearch::default() };
                let look = Look { registry: &registry, search: &search, values: values(&search) };
                let sql = format!("EXPLAIN QUERY PLAN {}", look.question_of_end_by_key());
                let mut plan = registry.prepare(&sql).expect("it is valid");
                let mut rows = plan.raw_query();
                let mut steps = Vec::new();
                while let Some(row) = rows.next().expect("it is explained") {
                    steps.push(row.get::<_, String>("detail").expect("it is a text"));
                }
                assert_eq!(steps.len(), 1, "nothing is sorted: {steps:?}");
                assert!(steps[0].starts_with("SEARCH d USING COVERING INDEX"), "{steps:?}");
            }
        }
    }
}
