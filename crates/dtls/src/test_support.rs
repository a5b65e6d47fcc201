//! Doors for tests and fuzz targets into what is private; with those of [`crate::Session`] they make the
//! feature `test-support`, which nothing that is shipped sets.

use crate::{
    discard::Discard,
    listener::FirstHello,
    message::{
        MessageHeader,
        client_hello::{ClientHello, MaxFragmentLength},
    },
    reassembly::Reassembly,
    refusal::Refusal,
    wire::Reader,
};

/// The suite that stands for renegotiation_info (RFC 5746, section 3.3).
pub const EMPTY_RENEGOTIATION_INFO_SCSV: u16 = crate::codes::EMPTY_RENEGOTIATION_INFO_SCSV;

/// Bytes of a handshake header.
pub const MESSAGE_HEADER_BYTES: usize = crate::message::MESSAGE_HEADER_BYTES;

/// A handshake fragment as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// msg_type.
    pub message_type: u8,
    /// Length of the whole message.
    pub length: usize,
    /// message_seq.
    pub message_seq: u16,
    /// fragment_offset.
    pub offset: usize,
    /// The bytes at the offset.
    pub bytes: &'a [u8],
    header: MessageHeader,
}

impl<'a> Fragment<'a> {
    /// Reads the first fragment of a record's content; the rest comes back with it.
    ///
    /// # Errors
    /// Why nothing of the content is used.
    pub fn parse(content: &'a [u8]) -> Result<(Self, &'a [u8]), Discard> {
        let mut reader = Reader::new(content);
        let (header, bytes) = MessageHeader::parse(&mut reader)?;
        let fragment = Self {
            message_type: header.message_type.0,
            length: header.length,
            message_seq: header.message_seq,
            offset: header.fragment_offset,
            bytes,
            header,
        };
        Ok((fragment, &content[MESSAGE_HEADER_BYTES + bytes.len()..]))
    }

    /// The header, written.
    pub fn header_bytes(&self) -> [u8; MESSAGE_HEADER_BYTES] {
        self.header.to_bytes()
    }
}

/// A reassembly on its own.
#[derive(Debug)]
pub struct Fragments(Reassembly);

impl Fragments {
    /// Awaits the message with this message_seq.
    pub fn new(next: u16) -> Self {
        Self(Reassembly::new(next))
    }

    /// Takes a fragment in.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn insert(&mut self, fragment: &Fragment<'_>) -> Result<(), Discard> {
        self.0.insert(&fragment.header, fragment.bytes)
    }

    /// Type, message_seq and body of the awaited message, once it is complete.
    pub fn take(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        self.0.take().map(|message| (message.header.message_type.0, message.header.message_seq, message.body))
    }

    /// message_seq of the awaited message.
    pub fn next(&self) -> u16 {
        self.0.next()
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

/// What a ClientHello says to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// client_version.
    pub version: u16,
    /// random.
    pub random: &'a [u8; 32],
    /// session_id.
    pub session_id: &'a [u8],
    /// cookie.
    pub cookie: &'a [u8],
    /// Extended master secret is offered.
    pub extended_master_secret: bool,
    /// Encrypt-then-MAC is offered.
    pub encrypt_then_mac: bool,
    /// renegotiation_info, or the suite that stands for it, is there.
    pub renegotiation_info: bool,
    /// Longest plaintext that is asked for, in bytes.
    pub fragment_bytes_max: Option<usize>,
    /// Which of the suites asked about are offered.
    pub offers: [bool; 2],
}

/// Reads the body of a ClientHello, and looks for two suites in it.
///
/// # Errors
/// Why it would be refused.
pub fn client_hello(body: &[u8], suites: [u16; 2]) -> Result<Hello<'_>, Refusal> {
    let hello = ClientHello::parse(body)?;
    Ok(Hello {
        version: hello.start.version.0,
        random: hello.start.random,
        session_id: hello.start.session_id,
        cookie: hello.start.cookie,
        extended_master_secret: hello.extensions.extended_master_secret,
        encrypt_then_mac: hello.extensions.encrypt_then_mac,
        renegotiation_info: hello.wants_renegotiation_info(),
        fragment_bytes_max: hello.extensions.max_fragment_length.map(MaxFragmentLength::bytes),
        offers: suites.map(|suite| hello.offers(suite)),
    })
}

/// The client_random of a datagram that starts with a ClientHello that a front door would read.
pub fn client_hello_random(datagram: &[u8]) -> Option<&[u8; 32]> {
    FirstHello::parse(datagram).ok().map(|hello| hello.start.random)
}
