//! What devices reported and what happened to them, page by page.

use std::collections::BTreeSet;

use narrowgate_api::{
    history::{EventView, LogView, PointValues, PointView, PresenceView},
    page::Page as ShownPage,
    query::{DeviceEventsQuery, Paging, PointValuesQuery},
    time,
};

use super::{
    cursor::List,
    error::ServiceError,
    registrar::{LIMIT_MAX, Registrar, checked_limit},
    view,
};
use crate::{
    ids::UnixMillis,
    model::{device::Device, property::PropertyKind, thing_model::EventType},
    paging::{Page, Part},
    ports::{BucketQuery, EventQuery, HistoryQuery, HistoryReads as _},
    rules::buckets::{BUCKET_REPORTS_MAX, BUCKETS_MAX, BucketFault, Bucketing, Crowded, Functions},
};

/// Events of a device that are looked at for names, where one is asked for that there is not.
const EVENTS_LOOKED_AT: usize = 100;
/// Names that are told then.
const EVENTS_NAMED: usize = 10;

impl List {
    /// The part that is asked for.
    pub(super) fn part(self, paging: &Paging) -> Result<Part, ServiceError> {
        let limit = checked_limit(paging.limit, LIMIT_MAX)?;
        let after = paging.cursor.as_deref().map(|cursor| self.place(cursor)).transpose()?;
        Ok(Part { after, limit })
    }
}

impl Registrar {
    /// The latest value of every point of a device, by name; `point`: of this one alone.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000 or a cursor that is none.
    pub(super) async fn points_latest(
        &self,
        device: &Device,
        point: Option<&str>,
        paging: &Paging,
    ) -> Result<ShownPage<PointView>, ServiceError> {
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
        let damaged = view::left_out(damaged).filter(|_| behind.is_none());
        Ok(ShownPage { items: items.into_iter().map(view::point).collect(), next_cursor, damaged })
    }

    /// Values of a device by time, newest first. The query's place and limit are those of `paging`.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000, a cursor that is none, or a time span that ends before
    /// it begins.
    pub(super) async fn points_history(
        &self,
        device: &Device,
        query: HistoryQuery,
        paging: &Paging,
    ) -> Result<ShownPage<PointView>, ServiceError> {
        let list = List::History(device.id);
        let Part { after, limit } = list.part(paging)?;
        check_span(query.from, query.to)?;
        let query = HistoryQuery { after, limit, ..query };
        Ok(shown(list, self.history.points_history(device.id, query).await?, view::point))
    }

    /// Values of one point of a device by time, or what they come to in buckets; newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000, a cursor that is none or of other
    /// buckets, a time span that ends before it begins, buckets that are none, or too many reports for one
    /// bucket.
    pub(super) async fn point_values(
        &self,
        device: &Device,
        point: String,
        query: PointValuesQuery,
    ) -> Result<PointValues, ServiceError> {
        let PointValuesQuery { from, to, limit, cursor, bucket, functions, tz } = query;
        check_span(from, to)?;
        let paging = Paging { limit, cursor };
        let Some(width) = bucket else {
            let given = [("fn", functions.is_some()), ("tz", tz.is_some())];
            if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                return Err(ServiceError::Invalid { field, message: "goes with bucket only".to_owned() });
            }
            let list = List::History(device.id);
            let Part { after, limit } = list.part(&paging)?;
            let query = HistoryQuery { point: Some(point), from, to, after, limit };
            let page = self.history.points_history(device.id, query).await?;
            return Ok(PointValues::Values(shown(list, page, view::value)));
        };
        let list = List::Buckets(device.id);
        let limit = checked_limit(paging.limit, BUCKETS_MAX)?;
        let bucketing = Bucketing::parse(&width, tz.as_deref())?;
        let after = paging.cursor.as_deref().map(|cursor| list.place_of(cursor, &bucketing)).transpose()?;
        let functions = functions.map_or(Ok(Functions::ALL), |list| Functions::parse(&list))?;
        let query = BucketQuery { point, bucketing, functions, from, to, after, limit };
        let page = self.history.buckets(device.id, query).await?.map_err(crowded)?;
        Ok(PointValues::Buckets(shown(list, page, |bucket| view::bucket(bucket, functions))))
    }

    /// Events of a device by time, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000, a cursor that is none, or a time span that ends before
    /// it begins, or a name that is neither a type nor that of an event; `Damaged` where a type is asked for
    /// and the thing model cannot be read.
    pub(super) async fn events(
        &self,
        device: &Device,
        query: DeviceEventsQuery,
    ) -> Result<ShownPage<EventView>, ServiceError> {
        let DeviceEventsQuery { kind, from, to, limit, cursor } = query;
        let list = List::Events(device.id);
        let Part { after, limit } = list.part(&Paging { limit, cursor })?;
        check_span(from, to)?;
        let events = match &kind {
            Some(kind) => Some(self.events_of_type(device, kind).await?),
            None => None,
        };
        let query = EventQuery { events, from, to, after, limit };
        let page = self.history.events(device.id, query).await?;
        if let Some(kind) = kind
            && page.items.is_empty()
            && page.next.is_none()
            && page.damaged.count == 0
            && after.is_none()
        {
            self.check_event_type(device, &kind).await?;
        }
        Ok(shown(list, page, view::event))
    }

    /// Checks that a name that found nothing is one: a type, an event of the model, or one that the device
    /// has sent.
    async fn check_event_type(&self, device: &Device, kind: &str) -> Result<(), ServiceError> {
        if event_type_of(kind).is_some() {
            return Ok(());
        }
        let model = match self.model_for(device, PropertyKind::Attribute).await {
            Err(ServiceError::Damaged { .. }) => None,
            model => model?,
        };
        let mut names: BTreeSet<String> =
            model.into_iter().flat_map(|model| model.events.into_keys()).collect();
        let sent = |events, limit| {
            let query = EventQuery { events, from: None, to: None, after: None, limit };
            self.history.events(device.id, query)
        };
        let own = sent(Some(vec![kind.to_owned()]), 1).await?;
        // A page that ends early may go on with it.
        if names.contains(kind) || !own.items.is_empty() || own.next.is_some() {
            return Ok(());
        }
        names.extend(sent(None, EVENTS_LOOKED_AT).await?.items.into_iter().map(|event| event.event));
        let mut there_are: Vec<&str> = names.iter().map(String::as_str).take(EVENTS_NAMED + 1).collect();
        if there_are.len() > EVENTS_NAMED {
            there_are[EVENTS_NAMED] = "…";
        }
        let events = match &there_are[..] {
            [] => "this device has sent no event".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        let message =
            format!("is {kind:?}; it must be INFO, WARN or ERROR, or the name of an event: {events}");
        Err(ServiceError::Invalid { field: "type", message })
    }

    /// The identifiers of a type of events, and the event of this name.
    async fn events_of_type(&self, device: &Device, kind: &str) -> Result<Vec<String>, ServiceError> {
        let Some(event_type) = event_type_of(kind) else { return Ok(vec![kind.to_owned()]) };
        let model = self.model_for(device, PropertyKind::Attribute).await?;
        let of_type = model.iter().flat_map(|model| &model.events);
        let of_type = of_type.filter(|(_, event)| event.event_type == event_type);
        Ok(of_type.map(|(identifier, _)| identifier.clone()).chain([kind.to_owned()]).collect())
    }

    /// What happened to a device, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000 or a cursor that is none.
    pub(super) async fn log(
        &self,
        device: &Device,
        paging: &Paging,
    ) -> Result<ShownPage<LogView>, ServiceError> {
        let list = List::Log(device.id);
        Ok(shown(list, self.history.device_log(device.id, list.part(paging)?).await?, view::log))
    }

    /// When a device came and went, newest first.
    ///
    /// # Errors
    /// `Invalid` for a limit outside of 1 to 1000 or a cursor that is none.
    pub(super) async fn presence(
        &self,
        device: &Device,
        paging: &Paging,
    ) -> Result<ShownPage<PresenceView>, ServiceError> {
        let list = List::Presence(device.id);
        let changes = self.history.presence_history(device.id, list.part(paging)?).await?;
        Ok(shown(list, changes, view::presence))
    }
}

fn event_type_of(word: &str) -> Option<EventType> {
    match word {
        "INFO" => Some(EventType::Info),
        "WARN" => Some(EventType::Warn),
        "ERROR" => Some(EventType::Error),
        _ => None,
    }
}

fn crowded(Crowded { begins }: Crowded) -> ServiceError {
    let begins = time::rfc3339(begins.0);
    let message = format!(
        "is too long: the one that begins at {begins} has more than {BUCKET_REPORTS_MAX} messages; ask \
         for shorter ones"
    );
    ServiceError::Invalid { field: "bucket", message }
}

impl From<BucketFault> for ServiceError {
    fn from(BucketFault { field, message }: BucketFault) -> Self {
        Self::Invalid { field, message }
    }
}

/// A span must not end before it begins.
fn check_span(from: Option<UnixMillis>, to: Option<UnixMillis>) -> Result<(), ServiceError> {
    match from.zip(to) {
        Some((from, to)) if from > to => {
            Err(ServiceError::Invalid { field: "to", message: "lies before from".to_owned() })
        }
        _ => Ok(()),
    }
}

pub(super) fn shown<T, S>(list: List, page: Page<T>, show: impl Fn(T) -> S) -> ShownPage<S> {
    let Page { items, next, damaged } = page;
    let next_cursor = next.map(|place| list.cursor(place));
    ShownPage { items: items.into_iter().map(show).collect(), next_cursor, damaged: view::left_out(damaged) }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{device::NewDeviceRequest, product::ProductPatch};

    use super::*;
    use crate::{
        ids::UnixMillis,
        ports::{Batch, Journal as _, RegistryChanges as _},
        service::fixtures::{registrar_with_product, registrar_with_product_and_store},
        testing::{block_on, store::events::event},
    };

    #[test]
    fn events_are_found_by_identifier_or_by_the_type_that_the_model_gives_them() {
        let (registrar, store) = registrar_with_product_and_store();
        let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", request)).expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
        let names = ["tilted", "opened", "INFO"];
        let writes = names.iter().zip(1..).map(|(name, n)| event(device.id, UnixMillis(n), name, "{}"));
        block_on(store.memory.append(Batch::new(0, writes.collect()))).expect("it works");
        let found = |kind: Option<&str>| {
            let kind = kind.map(str::to_owned);
            let query = DeviceEventsQuery { kind, ..DeviceEventsQuery::default() };
            let page = block_on(registrar.events(&device, query)).expect("it works");
            page.items.into_iter().map(|event| event.event).collect::<Vec<_>>()
        };
        assert_eq!(found(None), ["INFO", "opened", "tilted"]);
        assert_eq!((found(Some("WARN")).len(), found(Some("INFO"))), (0, vec!["INFO".to_owned()]));
        let model = r#"{"modelId":"m","events":[{"identifier":"tilted","eventType":"WARN"},
            {"identifier":"opened"}]}"#;
        let model = serde_json::value::RawValue::from_string(model.to_owned()).expect("it is JSON");
        let update = ProductPatch { model: Some(Some(model)), ..ProductPatch::default() };
        block_on(registrar.update_product("pk", update)).expect("the model is valid");
        assert_eq!(found(Some("WARN")), ["tilted"]);
        assert_eq!(found(Some("INFO")), ["INFO", "opened"], "and the event that is called so");
        assert_eq!(found(Some("opened")), ["opened"]);
        let later = DeviceEventsQuery { from: Some(UnixMillis(9)), ..DeviceEventsQuery::default() };
        let asked = |kind: &str| {
            let query = DeviceEventsQuery { kind: Some(kind.to_owned()), ..later.clone() };
            block_on(registrar.events(&device, query)).map(|page| page.items.len())
        };
        for known in ["INFO", "ERROR", "tilted", "opened"] {
            assert_eq!(asked(known).expect("there is one"), 0, "{known}");
        }
        for unknown in ["", "warn", "tilt"] {
            let said =
                "it must be INFO, WARN or ERROR, or the name of an event: there are INFO, opened, tilted";
            let error = asked(unknown).expect_err("there is none").to_string();
            assert_eq!(error, format!("type is {unknown:?}; {said}"));
        }
        let query = DeviceEventsQuery { limit: Some(0), ..DeviceEventsQuery::default() };
        assert!(block_on(registrar.events(&device, query)).is_err());
        let mut product = block_on(registrar.existing_product("pk")).expect("it exists");
        (product.product_key, product.model_json) = ("old".into(), Some("no model".into()));
        block_on(registrar.registry.create_product(product)).expect("it is stored as it is");
        let request = NewDeviceRequest { device_key: Some("other".into()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("old", request)).expect("it is valid");
        let device = block_on(registrar.resolve("other", None)).expect("it exists");
        let query = DeviceEventsQuery { kind: Some("WARN".into()), ..DeviceEventsQuery::default() };
        let error = block_on(registrar.events(&device, query)).expect_err("nobody knows its types");
        assert!(error.to_string().contains("the thing model of product old cannot be read"), "{error}");
    }

    #[test]
    fn limits_and_spans_are_checked() {
        let registrar = registrar_with_product();
        let request = NewDeviceRequest { device_key: Some("dk".into()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", request)).expect("it is valid");
        let device = block_on(registrar.resolve("dk", None)).expect("it exists");
        let said = [
            block_on(registrar.log(&device, &Paging::first(0))).map(|_| ()),
            block_on(registrar.refusals(&Paging::first(1001))).map(|_| ()),
            block_on(registrar.points_history(
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
                "limit is 0; it must be 1 to 1000",
                "limit is 1001; it must be 1 to 1000",
                "to lies before from",
            ]
        );
        assert!(block_on(registrar.presence(&device, &Paging::first(1))).is_ok());
    }
}
