//! Devices that are online without a session when their product or its organisation unit is switched off:
//! they go offline too.
//!
//! Who they are only the store knows: it is asked for the product's online devices page by page, in the order
//! of their ids. Limits: one page is being read at a time, of as many devices as may fall silent at once; so
//! a large product makes no report wait for more changes than silence does. A page that cannot be read is
//! asked for again after [`READ_AGAIN`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::{DeviceId, LoginNumber},
    model::device::DeviceState,
    ports::{DeviceQuery, Registry, StoreError},
    rules::rate::Seldom,
};

use crate::{
    ERRORS_EVERY,
    effect::{Effect, Now},
    outbox::{Outbox, Pending},
    products::Off,
    shared::Shared,
};

/// A page that could not be read is asked for again after this time.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Which devices of a product are online, by the store: a page of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineOf {
    pub(crate) product_key: String,
    /// Only ids greater than this one.
    pub(crate) after: Option<DeviceId>,
    pub(crate) limit: usize,
}

impl OnlineOf {
    /// Reads them, by id. A damaged row counts with what can be read of it.
    ///
    /// # Errors
    /// The store cannot read.
    pub async fn run(self, registry: &dyn Registry) -> Result<Vec<DeviceId>, StoreError> {
        let Self { product_key, after, limit } = self;
        let state = Some(DeviceState::Online);
        let query =
            DeviceQuery { product_key: Some(product_key), state, after, limit, ..DeviceQuery::default() };
        let devices = registry.devices(query).await?.into_iter();
        Ok(devices.map(|device| device.map_or_else(|damaged| damaged.id, |device| device.id)).collect())
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The first one is being asked about.
    products: VecDeque<Left>,
    /// Numbers the questions: an answer to one that was given up is ignored.
    questions: u64,
    /// The question under way, and how many devices it asks for.
    asked: Option<(u64, usize)>,
    /// When a question is repeated.
    again: Option<Instant>,
    has_stopped: bool,
    errors: Seldom,
}

/// A product whose devices leave.
#[derive(Debug)]
struct Left {
    product_key: String,
    /// Where the last page ended.
    after: Option<DeviceId>,
    /// The last login before its sessions were closed: a newer one was let in again.
    until: LoginNumber,
    /// Why.
    off: Off,
}

impl Leaving {
    pub(crate) fn new() -> Self {
        Self {
            products: VecDeque::new(),
            questions: 0,
            asked: None,
            again: None,
            has_stopped: false,
            errors: Seldom::new(ERRORS_EVERY),
        }
    }

    /// The sessions of a product are closed: those without one follow.
    pub(crate) fn enter(&mut self, product_key: String, until: LoginNumber, off: Off) {
        if !self.has_stopped {
            self.products.push_back(Left { product_key, after: None, until, off });
        }
    }

    /// The product changed: its devices stay, until it is read again.
    pub(crate) fn drop_of(&mut self, product_key: &str) {
        if self.products.front().is_some_and(|left| left.product_key == product_key) {
            (self.asked, self.again) = (None, None);
        }
        self.products.retain(|left| left.product_key != product_key);
    }

    /// The process ends: the rest is for the next one.
    pub(crate) fn stop(&mut self) {
        self.has_stopped = true;
        self.products.clear();
        (self.asked, self.again) = (None, None);
    }

    /// Asks for the next page, where there is room for its changes and none is being read.
    pub(crate) fn ask(&mut self, out: &mut Outbox, now: Instant, room: usize) {
        let waits = self.asked.is_some() || self.again.is_some_and(|at| at > now);
        let Some(Left { product_key, after, .. }) = self.products.front().filter(|_| !waits && room > 0)
        else {
            return;
        };
        self.questions += 1;
        (self.asked, self.again) = (Some((self.questions, room)), None);
        let asked = OnlineOf { product_key: product_key.clone(), after: *after, limit: room };
        out.ask(Pending::OnlineOf(self.questions), |token| Effect::OnlineOf(token, asked));
    }

    /// A page: its devices, and the last login of those that are to leave, and why. `None`: the question was
    /// given up, or is repeated.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        question: u64,
        answer: Result<Vec<DeviceId>, StoreError>,
    ) -> Option<(Vec<DeviceId>, (LoginNumber, Off))> {
        let (_, limit) = self.asked.take_if(|(asked, _)| *asked == question)?;
        let left = self.products.front_mut()?;
        let (until, off) = (left.until, left.off);
        match answer {
            Ok(devices) => {
                if devices.len() < limit {
                    self.products.pop_front();
                } else {
                    left.after = devices.last().copied();
                }
                Some((devices, (until, off)))
            }
            Err(error) => {
                self.again = Some(now + READ_AGAIN);
                if let Some(left_out) = self.errors.permit(now) {
                    let product_key = &*left.product_key;
                    tracing::error!(product_key, %error, left_out, "the store cannot list who is online");
                }
                // One that cannot be read keeps no other one waiting.
                self.products.rotate_left(1);
                None
            }
        }
    }

    /// When [`Self::ask`] is due next without an answer of the store.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.again
    }
}

impl Shared {
    /// A page of devices of a product that is off.
    pub(crate) fn handle_online_of(
        &mut self,
        now: Now,
        question: u64,
        answer: Result<Vec<DeviceId>, StoreError>,
    ) {
        let Some((devices, (until, off))) = self.leaving.answered(now.instant, question, answer) else {
            return;
        };
        for device in devices {
            self.residence.leave(&mut self.out, now, device, (until, off.cause()));
        }
    }

    /// The next page, where there is one and room for it.
    pub(crate) fn go_on_leaving(&mut self, now: Now) {
        let room = self.residence.presence.room();
        self.leaving.ask(&mut self.out, now.instant, room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(out: &mut Outbox) -> Option<String> {
        match out.poll() {
            Some(Effect::OnlineOf(_, page)) => Some(page.product_key),
            _ => None,
        }
    }

    #[test]
    fn a_product_that_cannot_be_read_keeps_no_other_one_waiting() {
        let (mut leaving, mut out, now) = (Leaving::new(), Outbox::default(), crate::tests::start());
        let until = LoginNumber(7);
        leaving.enter("bad".to_owned(), until, Off::Product);
        leaving.enter("good".to_owned(), until, Off::Unit);
        leaving.ask(&mut out, now, 10);
        assert_eq!(asked(&mut out).as_deref(), Some("bad"));
        assert!(leaving.answered(now, 1, Err(StoreError::Unavailable("damaged".to_owned()))).is_none());
        leaving.ask(&mut out, now, 10);
        assert_eq!(asked(&mut out), None, "not at once");
        let now = now + READ_AGAIN;
        leaving.ask(&mut out, now, 10);
        assert_eq!(asked(&mut out).as_deref(), Some("good"));
        assert!(leaving.answered(now, 2, Ok(vec![DeviceId(1)])).is_some());
        leaving.ask(&mut out, now, 10);
        assert_eq!(asked(&mut out).as_deref(), Some("bad"));
    }
}
