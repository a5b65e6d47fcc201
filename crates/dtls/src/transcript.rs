//! The running hash over the handshake's messages (RFC 6347, section 4.2.6): each one with its DTLS header as
//! if it had not been fragmented, without the first ClientHello and the HelloVerifyRequest. Only the hash
//! state is kept.

use sha2::{Digest, Sha256};

use crate::message::MessageHeader;

/// Hash of all messages so far.
#[derive(Clone)]
pub(crate) struct Transcript(Sha256);

impl Transcript {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds a received message.
    pub(crate) fn add_received(&mut self, header: &MessageHeader, body: &[u8]) {
        self.0.update(header.whole().to_bytes());
        self.0.update(body);
    }

    /// Adds a sent message: header and body, unfragmented.
    pub(crate) fn add_sent(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    /// The hash up to here.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}
