//! The fleet: its products and devices, and what an operator does with them.
#![expect(clippy::result_large_err, reason = "a problem is what the verbs of an operator return")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use narrowgate_api::{
    device::{NamedDevice, NewDeviceRequest},
    product::{NewDynamicActivation, NewProduct},
    secret::SecretText,
};
use narrowgate_dtls::CipherSuite;
use narrowgate_platform::{
    ids::DeviceId,
    model::device::DeviceState,
    ports::{Clock, Entropy, Registry as _},
    service::Operator,
    testing::block_on,
};

use super::{
    Campaign, PRODUCT_SECRET, PRODUCTS,
    agent::{Agent, Nature, device_key},
};
use crate::device::SecureMode;

impl Campaign {
    /// Creates products and devices, and switches the devices on one after the other.
    pub(super) fn register(&mut self) {
        for key in PRODUCTS {
            let new = NewProduct {
                name: key.to_owned(),
                product_key: Some(key.to_owned()),
                product_secret: Some(SecretText::new(PRODUCT_SECRET.to_owned())),
                dynamic_activation: NewDynamicActivation {
                    enabled: true,
                    quota_per_hour: Some(100_000),
                    ..NewDynamicActivation::default()
                },
                ..NewProduct::default()
            };
            self.administer(|operator| block_on(operator.create_product(new))).expect("a new product");
        }
        for number in 0..self.plan.devices {
            let product = self.random.below(2) as usize;
            let secret = format!("secret-{number}-{:016x}", self.random.next_u64());
            let request = NewDeviceRequest {
                device_key: Some(device_key(number)),
                device_secret: Some(SecretText::new(secret.clone())),
                ..NewDeviceRequest::default()
            };
            self.administer(|operator| block_on(operator.create_device(PRODUCTS[product], request)))
                .expect("a new device");
            let id = self.id_of(number);
            let lifetime_s = [30, 60, 120, 300, 600][self.random.below(5) as usize];
            self.ledger.register(number, id, lifetime_s, &secret);
            let unactivated = self.random.chance(self.plan.unactivated_per_mille);
            let suite = CipherSuite::ALL[self.random.below(2) as usize];
            let (mode, secret) = if unactivated {
                (SecureMode::Product, PRODUCT_SECRET.to_owned())
            } else {
                (SecureMode::Device, secret)
            };
            let address = self.new_address();
            let begins = self.now + Duration::from_millis(self.random.below(30_000));
            let hurry = if self.plan.twins || self.plan.orders.is_some() { 8 } else { 1 };
            let interval = Duration::from_millis(2_000 + self.random.below(60_000)) / hurry;
            self.add(Nature {
                number,
                address,
                product_key: PRODUCTS[product].to_owned(),
                secret,
                mode,
                lifetime_s,
                suite,
                interval,
                begins,
                is_twin: false,
                timed: self.plan.wild_clock && number.is_multiple_of(2),
                has_duties: self.plan.orders.is_some(),
                is_plain: self.plan.is_plain(number),
            });
        }
        if self.plan.twins {
            self.add_twins();
        }
    }

    /// A second device for each, with the same keys and secrets: each takes the other's session.
    fn add_twins(&mut self) {
        for number in 0..self.plan.devices {
            let address = self.new_address();
            let begins = self.now + Duration::from_millis(self.random.below(60_000));
            let nature = self.agents[number as usize].nature();
            self.add(Nature { address, begins, is_twin: true, ..nature });
        }
    }

    fn add(&mut self, nature: Nature) {
        let index = self.agents.len();
        self.addresses.insert(nature.address, index);
        self.agents.push(Agent::new(nature));
        self.timers.push(None);
        self.refresh(index);
    }

    pub(super) fn new_address(&mut self) -> SocketAddr {
        self.next_port += 1;
        let host = 1 + (self.next_port / 60_000) as u8;
        SocketAddr::from(([198, 51, 100, host], 1_024 + (self.next_port % 60_000) as u16))
    }

    /// Does what an operator does; sessions feel it at once.
    pub(super) fn administer<T>(&mut self, act: impl FnOnce(Operator) -> T) -> T {
        let done = self.act(act);
        self.feel_changes();
        done
    }

    /// Does what an operator does; sessions do not feel it yet.
    pub(super) fn act<T>(&mut self, act: impl FnOnce(Operator) -> T) -> T {
        self.operators_clock.set(self.wall().wall);
        let clock: Arc<dyn Clock> = self.operators_clock.clone();
        let entropy: Arc<dyn Entropy> = self.entropy.clone();
        // Operators wait for the store; here they find it free.
        act(Operator::new(self.store.durable(), clock, entropy, self.live.clone()))
    }

    /// Sessions feel what operators did.
    pub(super) fn feel_changes(&mut self) {
        let now = self.wall();
        for change in self.live.take() {
            if let Some(server) = &mut self.server {
                server.process.handle_change(now, &change);
                server.process.settle(now, &mut self.store);
            }
        }
        self.take_notes();
    }

    fn id_of(&mut self, number: u32) -> DeviceId {
        let name = NamedDevice::by_name(device_key(number));
        self.administer(|operator| block_on(operator.resolve(&name))).expect("it is registered").id
    }

    /// What the store holds of a device's presence.
    pub(super) fn is_online(&self, number: u32) -> bool {
        let device = block_on(self.store.durable().device_by_id(self.ledger.id_of(number)));
        device.ok().flatten().is_some_and(|device| device.state == DeviceState::Online)
    }
}
