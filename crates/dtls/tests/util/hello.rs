//! ClientHellos written by hand, right or wrong.

use std::sync::Arc;

use narrowgate_dtls::{FrontDoor, Listener, ServerConfig};

use super::bystander::Bystander;
use super::{TestRandom, peer, start};

/// Every field of a ClientHello and of the record around it.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) record_version: u16,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    pub(crate) message_seq: u16,
    pub(crate) version: u16,
    pub(crate) session_id: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) suites: Vec<u8>,
    pub(crate) compression: Vec<u8>,
    /// With their types and lengths; `None` leaves the block out.
    pub(crate) extensions: Option<Vec<u8>>,
}

impl Hello {
    pub(crate) fn new() -> Self {
        Self {
            record_version: 0xfefd,
            epoch: 0,
            sequence: 0,
            message_seq: 0,
            version: 0xfefd,
            session_id: Vec::new(),
            cookie: Vec::new(),
            suites: vec![0xc0, 0xa8],
            compression: vec![0],
            extensions: None,
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([0x33; 32]);
        for vector in [&self.session_id, &self.cookie] {
            body.push(vector.len() as u8);
            body.extend(vector);
        }
        body.extend((self.suites.len() as u16).to_be_bytes());
        body.extend(&self.suites);
        body.push(self.compression.len() as u8);
        body.extend(&self.compression);
        if let Some(extensions) = &self.extensions {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        body
    }

    /// A datagram with part of the message, whatever the header then says about the whole.
    pub(crate) fn fragment(&self, offset: usize, bytes: &[u8], length: usize) -> Vec<u8> {
        let mut message = vec![1];
        message.extend(&(length as u32).to_be_bytes()[1..]);
        message.extend(self.message_seq.to_be_bytes());
        message.extend(&(offset as u32).to_be_bytes()[1..]);
        message.extend(&(bytes.len() as u32).to_be_bytes()[1..]);
        message.extend(bytes);
        record(22, self.record_version, self.epoch, self.sequence, &message)
    }

    pub(crate) fn datagram(&self) -> Vec<u8> {
        let body = self.body();
        self.fragment(0, &body, body.len())
    }

    /// The same with the cookie that the listener wants.
    pub(crate) fn with_cookie(mut self, door: &mut Door) -> Self {
        let plain = Self { cookie: Vec::new(), message_seq: 0, ..self.clone() };
        let body = plain.body();
        let length = (2 + 32 + 1 + plain.session_id.len() + 1).min(body.len());
        assert!(matches!(
            door.knock(&plain.fragment(0, &body[..length], body.len())),
            FrontDoor::HelloVerify
        ));
        self.cookie = door.reply[28..].to_vec();
        self.message_seq = 1;
        self.sequence = 1;
        self
    }
}

/// A record of any kind.
pub(crate) fn record(content_type: u8, version: u16, epoch: u16, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type];
    record.extend(version.to_be_bytes());
    record.extend(epoch.to_be_bytes());
    record.extend(&sequence.to_be_bytes()[2..]);
    record.extend((fragment.len() as u16).to_be_bytes());
    record.extend(fragment);
    record
}

/// A listener and its last reply. After each case, at its end, a device that did nothing wrong connects.
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) reply: Vec<u8>,
    pub(crate) rng: TestRandom,
}

impl Door {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let mut rng = TestRandom::new(3);
        Self { listener: Listener::new(Arc::new(config), start(), &mut rng), reply: Vec::new(), rng }
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
