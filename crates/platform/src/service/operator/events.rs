//! What to listen to.

use narrowgate_api::{device::NamedDevice, happening::HappeningKind, problem::Problem, query::EventsQuery};

use super::{Named, Operator};
use crate::service::error::ServiceError;

/// Which events a listener wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    product_key: Option<String>,
    device_key: Option<String>,
    /// Empty: all.
    kinds: Vec<HappeningKind>,
    /// Also refusals of strangers.
    strangers: bool,
}

impl EventFilter {
    /// Whether events of a kind are wanted.
    pub fn wants_kind(&self, kind: HappeningKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether an event of a device is wanted; its keys as far as they are known.
    pub fn wants(&self, product_key: Option<&str>, device_key: Option<&str>) -> bool {
        let fits = |wanted: &Option<String>, found| wanted.is_none() || wanted.as_deref() == found;
        fits(&self.product_key, product_key) && fits(&self.device_key, device_key)
    }

    /// Whether an event of this kind is wanted of somebody who is no device that is known: whoever waits for
    /// a device wants to see it also where it says that it is another one, or says nothing.
    pub fn wants_of_strangers(&self, kind: HappeningKind) -> bool {
        self.strangers && kind == HappeningKind::Refusal && self.wants_kind(kind)
    }
}

impl Operator {
    /// A filter for a product and a device that exist: with a mistyped key, a listener would wait for ever.
    ///
    /// # Errors
    /// There is no such product or device, or several may be meant.
    pub async fn listen(&self, query: EventsQuery) -> Result<EventFilter, Problem> {
        let named = Named::events(&query);
        let filter = self.filter(query).await;
        self.tell("cannot listen", named, filter).await
    }

    async fn filter(&self, query: EventsQuery) -> Result<EventFilter, ServiceError> {
        let (kinds, strangers) = (kinds(query.types.as_deref())?, query.strangers);
        let all = EventFilter { kinds, strangers, ..EventFilter::default() };
        let name = match (query.product, query.device) {
            (None, None) => return Ok(all),
            (Some(product_key), None) => {
                self.registrar.product(&product_key).await?;
                return Ok(EventFilter { product_key: Some(product_key), ..all });
            }
            (product, Some(device)) => NamedDevice { product, device },
        };
        let device = self.resolved(&name).await?;
        let (product_key, device_key) = (Some(device.product_key), Some(device.device_key));
        Ok(EventFilter { product_key, device_key, ..all })
    }
}

fn kinds(types: Option<&str>) -> Result<Vec<HappeningKind>, ServiceError> {
    let kind = |word: &str| {
        HappeningKind::parse(word).ok_or_else(|| {
            let known = HappeningKind::ALL.map(HappeningKind::word).join(", ");
            ServiceError::Invalid { field: "types", message: format!("has {word:?}; there are {known}") }
        })
    };
    types.map_or(Ok(Vec::new()), |types| types.split(',').map(|word| kind(word.trim())).collect())
}
