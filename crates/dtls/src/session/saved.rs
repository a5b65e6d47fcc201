//! A session as bytes, so that it can outlive its process. Two rules make a restored copy safe:
//!
//! * What it **sends** begins where the copy's reservation ends. [`Session::save`] reserves numbers ahead,
//!   and the session uses none of them before [`Session::mark_saved`] says that the copy is durable; so a
//!   restored copy uses no number again, and no nonce repeats (RFC 5288, section 3, says what follows if one
//!   does).
//! * What it **receives** begins above the highest number that the copy knows. The caller makes
//!   [`Session::received_below`] durable together with the effects of a record, by
//!   [`SavedSession::set_received_below`]; so a record takes effect once (RFC 6347, section 4.1.2.6, across a
//!   restart).
//!
//! An older copy must never be restored in place of a newer one: its reservation ends too early. The bytes
//! are key material, to be encrypted where they rest.
//!
//! ```text
//! format 1 | suite 2 | flags 1 | plaintext max 2 | reserved below 8 | received below 8 | failed opens 4
//!          | keys of what is sent | keys of what is received | last flight, where there is one: 12, 2, 8
//! ```

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use super::{LastFlight, Session};
use crate::{
    codes::CipherSuite,
    limits,
    replay::ReplayWindow,
    schedule::VerifyData,
    suite::{CbcOrder, DirectionKeys},
    wire::{Malformed, Reader},
};

/// End of the usable numbers of a session that no copy exists of: all may be used.
pub(super) const NEVER_SAVED: u64 = u64::MAX;

const FORMAT: u8 = 1;
/// Where the first of the two marks lies.
const RESERVED_AT: usize = 6;
const RECEIVED_AT: usize = RESERVED_AT + 8;

const EXTENDED_MASTER_SECRET: u8 = 1;
const ENCRYPT_THEN_MAC: u8 = 2;
const LAST_FLIGHT: u8 = 4;

/// A session as bytes: see [`Session::save`] and [`Session::restore`].
#[derive(Clone, PartialEq, Eq)]
pub struct SavedSession(Zeroizing<Vec<u8>>);

/// Why bytes are not a saved session that this version can restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SavedSessionError {
    /// Written in another format: by a newer version, or by something else.
    #[error("restore a session: its format is {0}, this version knows {FORMAT}")]
    Format(u8),
    /// Cut off, too long, or with values that no session has.
    #[error("restore a session: it is damaged")]
    Damaged,
}

impl From<Malformed> for SavedSessionError {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

impl SavedSession {
    /// Wraps bytes that [`SavedSession::as_bytes`] returned. [`Session::restore`] checks them.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes: secret keys, some 60 to 150.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Sets the mark below which records were received (see the module), for a copy that is kept and written
    /// again.
    pub fn set_received_below(&mut self, received_below: u64) {
        if let Some(mark) = self.0.get_mut(RECEIVED_AT..RECEIVED_AT + 8) {
            mark.copy_from_slice(&received_below.to_be_bytes());
        }
    }

    /// First record number that is not reserved: a restored session begins with it.
    pub fn reserved_below(&self) -> u64 {
        let mark = self.0.get(RESERVED_AT..RECEIVED_AT).and_then(|mark| mark.try_into().ok());
        mark.map_or(0, u64::from_be_bytes)
    }
}

impl fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SavedSession(…)")
    }
}

impl Session {
    /// A copy that may outlive this session, with the next `ahead` record numbers reserved for this one. From
    /// now on the session uses only reserved numbers, and these ones only after [`Session::mark_saved`]; then
    /// it fails with [`crate::SealError::NotReserved`] until the next copy.
    pub fn save(&mut self, ahead: u64) -> SavedSession {
        if self.tx_end == NEVER_SAVED {
            self.tx_end = self.tx_next;
        }
        // One more than the last number can still be restored: such a session sends nothing.
        let reserved_below = self.tx_next.saturating_add(ahead).min(limits::SEQUENCE_MAX + 1);
        let mut flags = 0;
        for (flag, is_set) in [
            (EXTENDED_MASTER_SECRET, self.extended_master_secret),
            (ENCRYPT_THEN_MAC, self.encrypt_then_mac()),
            (LAST_FLIGHT, self.last_flight.is_some()),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        let mut out = Zeroizing::new(Vec::with_capacity(160));
        out.push(FORMAT);
        out.extend_from_slice(&self.suite().id().to_be_bytes());
        out.push(flags);
        out.extend_from_slice(&self.plaintext_bytes_max.to_be_bytes());
        out.extend_from_slice(&reserved_below.to_be_bytes());
        out.extend_from_slice(&self.received_below().to_be_bytes());
        out.extend_from_slice(&self.failed_opens.to_be_bytes());
        self.tx.write_to(&mut out);
        self.rx.write_to(&mut out);
        if let Some(last_flight) = &self.last_flight {
            out.extend_from_slice(&last_flight.verify_data.0);
            out.extend_from_slice(&last_flight.message_seq.to_be_bytes());
            out.extend_from_slice(&last_flight.sequence().to_be_bytes());
        }
        SavedSession(out)
    }

    /// Tells the session that the copy is durable: it may now use the numbers that the copy reserves.
    pub fn mark_saved(&mut self, copy: &SavedSession) {
        self.tx_end = self.tx_end.max(copy.reserved_below());
    }

    /// How many records may still be sent before the next copy must be durable.
    pub fn reserved_left(&self) -> u64 {
        self.tx_end.saturating_sub(self.tx_next)
    }

    /// One more than the highest record number received: to be made durable with the effects of the records.
    pub fn received_below(&self) -> u64 {
        self.rx_window.next()
    }

    /// Restores the session from its newest durable copy. It sends nothing until it is saved again, and
    /// accepts only records above the copy's mark.
    ///
    /// # Errors
    /// The bytes are of another format or damaged.
    pub fn restore(copy: &SavedSession) -> Result<Self, SavedSessionError> {
        let mut reader = Reader::new(copy.as_bytes());
        match reader.u8()? {
            FORMAT => {}
            format => return Err(SavedSessionError::Format(format)),
        }
        let id = reader.u16()?;
        let suite = CipherSuite::ALL.into_iter().find(|suite| suite.id() == id);
        let suite = suite.ok_or(SavedSessionError::Damaged)?;
        let flags = reader.u8()?;
        let plaintext_bytes_max = reader.u16()?;
        let (reserved_below, received_below) = (reader.u64()?, reader.u64()?);
        let failed_opens = reader.u32()?;
        let order =
            if flags & ENCRYPT_THEN_MAC == 0 { CbcOrder::MacThenEncrypt } else { CbcOrder::EncryptThenMac };
        let tx = DirectionKeys::read(suite, order, &mut reader)?;
        let rx = DirectionKeys::read(suite, order, &mut reader)?;
        let last_flight = if flags & LAST_FLIGHT == 0 { None } else { Some(read_last_flight(&mut reader)?) };
        reader.finish()?;
        if reserved_below > limits::SEQUENCE_MAX + 1 || received_below > limits::SEQUENCE_MAX + 1 {
            return Err(SavedSessionError::Damaged);
        }
        Ok(Self {
            tx,
            rx,
            tx_next: reserved_below,
            tx_end: reserved_below,
            rx_window: ReplayWindow::closed_below(received_below),
            last_flight,
            failed_opens,
            plaintext_bytes_max,
            last_flights_left: limits::DEMANDED_RESENDS_MAX,
            empty_records: 0,
            warnings: 0,
            extended_master_secret: flags & EXTENDED_MASTER_SECRET != 0,
        })
    }
}

fn read_last_flight(reader: &mut Reader<'_>) -> Result<LastFlight, Malformed> {
    let verify_data = VerifyData(*reader.array()?);
    let (message_seq, sequence) = (reader.u16()?, reader.u64()?);
    // What it is sent with again has room above it.
    if sequence > limits::SEQUENCE_MAX - u64::from(limits::DEMANDED_RESENDS_MAX) {
        return Err(Malformed);
    }
    Ok(LastFlight::new(verify_data, message_seq, sequence))
}
