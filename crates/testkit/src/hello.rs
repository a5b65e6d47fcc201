//! ClientHellos written by hand, right or wrong.

use crate::record::{HANDSHAKE, fragment, record};

/// Kind of the message.
const CLIENT_HELLO: u8 = 1;
/// Where the cookie begins in a HelloVerifyRequest that is a datagram of its own.
const COOKIE_AT: usize = 28;

/// Every field of a ClientHello and of the record around it.
#[derive(Debug, Clone)]
pub struct Hello {
    /// The version in the record's header.
    pub record_version: u16,
    /// The record's epoch.
    pub epoch: u16,
    /// The record's number.
    pub sequence: u64,
    /// The message's number.
    pub message_seq: u16,
    /// The version that the client offers.
    pub version: u16,
    /// The client's random bytes.
    pub random: [u8; 32],
    /// The session to take up again.
    pub session_id: Vec<u8>,
    /// What the server has asked to be sent back.
    pub cookie: Vec<u8>,
    /// The cipher suites, two bytes each.
    pub suites: Vec<u8>,
    /// The compression methods.
    pub compression: Vec<u8>,
    /// The extensions with their types and lengths; `None` leaves the block out.
    pub extensions: Option<Vec<u8>>,
}

impl Hello {
    /// The first ClientHello of an honest client that offers CCM_8 alone.
    pub fn new() -> Self {
        Self {
            record_version: 0xfefd,
            epoch: 0,
            sequence: 0,
            message_seq: 0,
            version: 0xfefd,
            random: [0x33; 32],
            session_id: Vec::new(),
            cookie: Vec::new(),
            suites: vec![0xc0, 0xa8],
            compression: vec![0],
            extensions: None,
        }
    }

    /// The message without its header.
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend(self.random);
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

    /// The datagram with the whole message.
    pub fn datagram(&self) -> Vec<u8> {
        self.around(&self.body())
    }

    /// The datagram around any body.
    pub fn around(&self, body: &[u8]) -> Vec<u8> {
        self.fragment(0, body, body.len())
    }

    /// A datagram with part of the message, whatever the header then says about the whole.
    pub fn fragment(&self, offset: usize, bytes: &[u8], length: usize) -> Vec<u8> {
        let fragment = fragment(CLIENT_HELLO, self.message_seq, offset, bytes, length);
        record(HANDSHAKE, self.record_version, self.epoch, self.sequence, &fragment)
    }

    /// The second ClientHello: the same with the cookie of the answer that `ask` gets to the first one. The
    /// first one ends behind the cookie's length, where all that a server needs to know for its cookie has
    /// been said.
    #[must_use]
    pub fn with_cookie(self, ask: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let first = Self { cookie: Vec::new(), message_seq: 0, ..self.clone() };
        let body = first.body();
        let length = (2 + 32 + 1 + first.session_id.len() + 1).min(body.len());
        let answer = ask(&first.fragment(0, &body[..length], body.len()));
        self.with_cookie_of(&answer)
    }

    /// The second ClientHello: the same with the cookie of this HelloVerifyRequest.
    #[must_use]
    pub fn with_cookie_of(self, answer: &[u8]) -> Self {
        Self { cookie: answer[COOKIE_AT..].to_vec(), message_seq: 1, sequence: 1, ..self }
    }
}

impl Default for Hello {
    fn default() -> Self {
        Self::new()
    }
}
