//! A draft of a product's thing model, from what its devices have sent.
//!
//! Limits: the first [`DEVICES_MAX`] devices of the product, and no further one after [`TIME_MAX`]; of each
//! all latest values, attributes, and its newest [`VALUES_MAX`] values and events, as far as one page has
//! them.

use std::time::Duration;

use narrowgate_api::product::ModelDraft;
use serde_json::{Value, value::RawValue};

use super::{error::ServiceError, registrar::Registrar};
use crate::{
    ids::DeviceId,
    model::{json_text::JsonText, property::PropertyKind},
    ports::{DeviceQuery, EventQuery, HistoryQuery, HistoryReads as _},
    rules::inference::Inference,
};

/// Devices that are looked at: those of one product are of a kind.
const DEVICES_MAX: usize = 200;
/// Newest values, and events, of each: a type that changes from time to time shows in a day.
const VALUES_MAX: usize = 200;
/// Time after which no further device is looked at: who asks waits for half a minute.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest id of a model, in characters.
const MODEL_ID_MAX: usize = 64;

impl Registrar {
    /// The draft. Damaged devices and values are left out.
    ///
    /// # Errors
    /// There is no such product.
    pub(super) async fn infer_model(&self, product_key: &str) -> Result<ModelDraft, ServiceError> {
        let product = self.existing_product(product_key).await?;
        let query = DeviceQuery {
            product_key: Some(product_key.to_owned()),
            limit: DEVICES_MAX,
            ..DeviceQuery::default()
        };
        let (mut seen, mut devices) = (Inference::default(), 0);
        let begun = self.clock.now();
        for device in self.registry.devices(query).await?.into_iter().flatten() {
            if self.clock.now().0.saturating_sub(begun.0) > TIME_MAX.as_millis() as i64 {
                break;
            }
            self.look_at(device.id, &mut seen).await?;
            devices += 1;
        }
        let name: String = product.name.chars().take(MODEL_ID_MAX).collect();
        let draft = seen.draft(if name.is_empty() { product_key } else { &name });
        // What was written is JSON.
        let model = RawValue::from_string(draft.written()).unwrap_or_default();
        Ok(ModelDraft { model, devices, left_out: draft.left_out })
    }

    async fn look_at(&self, device: DeviceId, seen: &mut Inference) -> Result<(), ServiceError> {
        let latest = self.history.points_latest(device).await?.items;
        let query = HistoryQuery { limit: VALUES_MAX, ..HistoryQuery::default() };
        let newest = self.history.points_history(device, query).await?.items;
        for point in latest.iter().chain(&newest) {
            seen.point(&point.point, &read(&point.value));
        }
        let attributes = self.registry.properties(device, PropertyKind::Attribute).await?;
        attributes.iter().for_each(|(identifier, value)| seen.attribute(identifier, &read(value)));
        let query = EventQuery { limit: VALUES_MAX, ..EventQuery::default() };
        for event in self.history.events(device, query).await?.items {
            seen.event(&event.event, &read(&event.output));
        }
        Ok(())
    }
}

fn read(text: &JsonText) -> Value {
    serde_json::from_str(text.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use narrowgate_api::device::NewDeviceRequest;

    use super::*;
    use crate::{
        ids::UnixMillis,
        model::thing_model::ThingModel,
        ports::{Batch, Clock, Journal as _, Stores},
        service::fixtures::{NOW, registrar_with_product_and_store},
        testing::{
            SeededEntropy, block_on,
            store::{
                events::event,
                fixtures::report,
                properties::{change, edit},
            },
        },
    };

    /// Six seconds later with each look.
    struct Slow(AtomicI64);

    impl Clock for Slow {
        fn now(&self) -> UnixMillis {
            UnixMillis(NOW.0 + self.0.fetch_add(6000, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_draft_takes_no_longer_than_who_asks_for_it_waits() {
        let (fast, store) = registrar_with_product_and_store();
        for key in ["dk-1", "dk-2", "dk-3"] {
            let request = NewDeviceRequest { device_key: Some(key.into()), ..NewDeviceRequest::default() };
            block_on(fast.create_device("pk", request)).expect("it is valid");
        }
        let stores = Stores { registry: store.clone(), ..Stores::from(store.memory.clone()) };
        let clock = Arc::new(Slow(AtomicI64::new(0)));
        let slow = Registrar::new(stores, clock, Arc::new(SeededEntropy::new(1)));
        let devices =
            |registrar: &Registrar| block_on(registrar.infer_model("pk")).expect("it works").devices;
        assert_eq!((devices(&fast), devices(&slow)), (3, 1));
    }

    #[test]
    fn a_draft_is_made_of_points_attributes_and_events_of_all_devices() {
        let (registrar, store) = registrar_with_product_and_store();
        let ids = ["dk-1", "dk-2"].map(|key| {
            let request = NewDeviceRequest { device_key: Some(key.into()), ..NewDeviceRequest::default() };
            block_on(registrar.create_device("pk", request)).expect("it is valid");
            block_on(registrar.resolve(key, None)).expect("it exists").id
        });
        let writes = vec![
            report(ids[0], NOW, r#"{"temp":21}"#),
            report(ids[1], NOW, r#"{"temp":21.5,"odd":[[1]]}"#),
            event(ids[1], NOW, "tilted", r#"{"angle":1.5}"#),
            change(ids[0], edit(PropertyKind::Attribute, &[("place", r#""roof""#)], &[])),
        ];
        block_on(store.memory.append(Batch::new(0, writes))).expect("it works");
        let draft = block_on(registrar.infer_model("pk")).expect("there is such a product");
        assert_eq!(draft.devices, 2);
        assert_eq!(draft.left_out, ["measurepoint odd: no type takes all values that were sent"]);
        let model = ThingModel::parse(draft.model.get()).expect("a draft is a model");
        assert_eq!(model.model_id, "meters");
        let points: Vec<&str> = model.measurepoints.keys().map(String::as_str).collect();
        assert_eq!((points, model.attributes.len(), model.events.len()), (vec!["temp"], 1, 1));
        assert!(block_on(registrar.infer_model("none")).is_err());
    }
}
