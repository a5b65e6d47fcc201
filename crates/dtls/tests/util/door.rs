//! The front door alone, and whoever knocks at it.

use std::sync::Arc;

use narrowgate_dtls::{FrontDoor, Listener, ServerConfig};
use narrowgate_testkit::SeededRandom;

use super::{bystander::Bystander, peer, start};

/// A listener and its last reply. After each case, at its end, a device that did nothing wrong connects.
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) reply: Vec<u8>,
    pub(crate) rng: SeededRandom,
}

impl Door {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let mut rng = SeededRandom::new(3);
        Self { listener: Listener::new(Arc::new(config), start(), &mut rng), reply: Vec::new(), rng }
    }

    /// The HelloVerifyRequest for this ClientHello.
    pub(crate) fn verify(&mut self, hello: &[u8]) -> Vec<u8> {
        assert!(matches!(self.knock(hello), FrontDoor::HelloVerify));
        self.reply.clone()
    }

    pub(crate) fn knock(&mut self, datagram: &[u8]) -> FrontDoor {
        self.listener.handle_datagram(start(), peer(), datagram, &mut self.rng, &mut self.reply)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Bystander::connect(&mut self.listener, start()).assert_alive();
        }
    }
}
