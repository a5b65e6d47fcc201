//! What devices reported and what happened to them, page by page.

use std::collections::HashMap;

use super::{LIMIT_MAX, Operator, ServiceError, checked_limit, cursor::List};
use crate::{
    ids::{DeviceId, DeviceName},
    model::{device::Device, log::LogEntry, message::PointValue},
    paging::{Page, Part, Place},
    ports::{HistoryQuery, HistoryReads as _, StoreError},
    rules::identity::Identity,
    service::{
        rows::{LeftOut, ListPage},
        view::{LogView, PresenceView, RefusalView},
    },
};

/// Which part of a list somebody wants.
#[derive(Debug, Clone)]
pub struct Paging {
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many; 1 to 10,000.
    pub limit: usize,
}

impl Paging {
    /// From the beginning.
    pub fn first(limit: usize) -> Self {
        Self { cursor: None, limit }
    }

    fn part(&self, list: List) -> Result<Part, ServiceError> {
        let limit = checked_limit(self.limit, LIMIT_MAX)?;
        Ok(Part { after: self.place(list)?, limit })
    }

    fn place(&self, list: List) -> Result<Option<Place>, ServiceError> {
        self.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()
    }
}

impl Operator {
    /// The latest value of every point of a device, by name; `point`: of this one alone.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000 or a cursor that is none.
    pub async fn points_latest(
        &self,
        device: &Device,
        point: Option<&str>,
        paging: &Paging,
    ) -> Result<ListPage<PointValue>, ServiceError> {
        let (list, limit) = (List::Latest(device.id), checked_limit(paging.limit, LIMIT_MAX)?);
        let behind = paging.cursor.as_deref().map(|cursor| list.point(cursor)).transpose()?;
        let Page { mut items, damaged, .. } = self.history.points_latest(device.id).await?;
        items.retain(|value| {
            point.is_none_or(|point| value.point == point)
                && behind.as_ref().is_none_or(|behind| value.point > *behind)
        });
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| list.cursor_behind(&last.point));
        // Once: each page has the same row behind it.
        let damaged = LeftOut::of(damaged).filter(|_| behind.is_none());
        Ok(ListPage { items, next_cursor, damaged })
    }

    /// Values of a device by time, newest first. The query's place and limit are those of `paging`.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000, a cursor that is none, or a time span that ends before
    /// it begins.
    pub async fn points_history(
        &self,
        device: &Device,
        query: HistoryQuery,
        paging: &Paging,
    ) -> Result<ListPage<PointValue>, ServiceError> {
        let list = List::History(device.id);
        let Part { after, limit } = paging.part(list)?;
        if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
            return Err(ServiceError::Invalid { field: "to", message: "lies before from".to_owned() });
        }
        let query = HistoryQuery { after, limit, ..query };
        Ok(shown(list, self.history.points_history(device.id, query).await?))
    }

    /// What happened to a device, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000 or a cursor that is none.
    pub async fn log(&self, device: &Device, paging: &Paging) -> Result<ListPage<LogView>, ServiceError> {
        let list = List::Log(device.id);
        let Page { items, next, damaged } = self.history.device_log(device.id, paging.part(list)?).await?;
        let items = items.into_iter().map(LogView::from).collect();
        Ok(shown(list, Page { items, next, damaged }))
    }

    /// When a device came and went, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000.
    pub async fn presence(&self, device: &Device, limit: usize) -> Result<Vec<PresenceView>, ServiceError> {
        let part = Part::first(checked_limit(limit, LIMIT_MAX)?);
        let changes = self.history.presence_history(device.id, part).await?;
        Ok(changes.items.into_iter().map(PresenceView::from).collect())
    }

    /// Refusals of all devices and of strangers, newest first, each with the names that are known of its peer.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 10,000 or a cursor that is none.
    pub async fn refusals(&self, paging: &Paging) -> Result<ListPage<RefusalView>, ServiceError> {
        let list = List::Refusals;
        let Page { items, next, damaged } = self.history.refusals(paging.part(list)?).await?;
        let mut known: HashMap<DeviceId, Option<DeviceName>> = HashMap::new();
        let mut views = Vec::with_capacity(items.len());
        for entry in items {
            views.push(self.refusal(entry, &mut known).await?);
        }
        Ok(shown(list, Page { items: views, next, damaged }))
    }

    async fn refusal(
        &self,
        mut entry: LogEntry,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<RefusalView, ServiceError> {
        let name = match entry.device {
            Some(device) => self.name_of(device, known).await?,
            None => entry.identity.as_deref().and_then(claimed_name),
        };
        let (product_key, device_key) = name.map(|name| (name.product_key, name.device_key)).unzip();
        let identity = entry.identity.take();
        Ok(RefusalView { entry: LogView::from(entry), identity, product_key, device_key })
    }

    async fn name_of(
        &self,
        id: DeviceId,
        known: &mut HashMap<DeviceId, Option<DeviceName>>,
    ) -> Result<Option<DeviceName>, ServiceError> {
        if let Some(name) = known.get(&id) {
            return Ok(name.clone());
        }
        let device = match self.registry.device_by_id(id).await {
            // The refusal is true, only the names of its device are not known.
            Err(StoreError::Damaged(_)) => None,
            found => found?,
        };
        let name = device
            .map(|device| DeviceName { product_key: device.product_key, device_key: device.device_key });
        known.insert(id, name.clone());
        Ok(name)
    }
}

fn shown<T>(list: List, page: Page<T>) -> ListPage<T> {
    let Page { items, next, damaged } = page;
    ListPage { items, next_cursor: next.map(|place| list.cursor(place)), damaged: LeftOut::of(damaged) }
}

/// The keys in an identity, which need not exist.
fn claimed_name(identity: &str) -> Option<DeviceName> {
    match Identity::parse(identity.as_bytes()) {
        Ok(identity) => Some(identity.name),
        Err(fault) => fault.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::UnixMillis,
        model::log::{LogEntry, LogEvent, Reason},
        ports::{Batch, Journal as _, Write},
        service::{
            NewDeviceRequest,
            fixtures::{NOW, operator_with_product, operator_with_product_and_store},
        },
        testing::block_on,
    };

    #[test]
    fn a_refusal_is_shown_with_the_names_that_are_known() {
        let (operator, store) = operator_with_product_and_store();
        let request = NewDeviceRequest {
            product_key: "pk".into(),
            device_key: Some("dk".into()),
            ..NewDeviceRequest::default()
        };
        block_on(operator.create_device(request)).expect("it is valid");
        let device = block_on(operator.resolve("dk", None)).expect("it exists");
        let refused = |device, identity: Option<&str>, reason| {
            Write::Log(LogEntry {
                time: NOW,
                device,
                identity: identity.map(str::to_owned),
                event: LogEvent::Refused,
                reason: Some(reason),
                code: Some(742),
                peer: Some("192.0.2.1:5000".into()),
                detail: None,
            })
        };
        let writes = vec![
            refused(Some(device.id), None, Reason::WrongKey),
            refused(None, Some("pk,other,2,60"), Reason::DeviceUnknown),
            refused(None, Some("pk,other,9,60"), Reason::ModeUnknown),
            refused(None, Some("nonsense"), Reason::IdentityMalformed),
        ];
        block_on(store.memory.append(Batch::new(0, writes))).expect("it works");
        let refusals = block_on(operator.refusals(&Paging::first(10))).expect("it works").items;
        let keys: Vec<_> = refusals.iter().map(|view| view.device_key.as_deref()).collect();
        assert_eq!(keys, [None, Some("other"), Some("other"), Some("dk")]);
        assert_eq!(
            serde_json::to_string(&refusals[1]).expect("it can be written"),
            format!(
                r#"{{"time":{},"event":"refused","reason":"mode_unknown","code":742,"peer":"192.0.2.1:5000","detail":null,"identity":"pk,other,9,60","productKey":"pk","deviceKey":"other"}}"#,
                NOW.0
            )
        );
    }

    #[test]
    fn limits_and_spans_are_checked() {
        let operator = operator_with_product();
        let request = NewDeviceRequest {
            product_key: "pk".into(),
            device_key: Some("dk".into()),
            ..NewDeviceRequest::default()
        };
        block_on(operator.create_device(request)).expect("it is valid");
        let device = block_on(operator.resolve("dk", None)).expect("it exists");
        let said = [
            block_on(operator.log(&device, &Paging::first(0))).map(|_| ()),
            block_on(operator.refusals(&Paging::first(10_001))).map(|_| ()),
            block_on(operator.points_history(
                &device,
                HistoryQuery {
                    from: Some(UnixMillis(2)),
                    to: Some(UnixMillis(1)),
                    ..HistoryQuery::default()
                },
                &Paging::first(1),
            ))
            .map(|_| ()),
        ]
        .map(|result| result.expect_err("it is refused").to_string());
        assert_eq!(
            said,
            [
                "limit is 0; it must be 1 to 10000",
                "limit is 10001; it must be 1 to 10000",
                "to lies before from",
            ]
        );
        assert!(block_on(operator.presence(&device, 1)).is_ok());
    }
}
