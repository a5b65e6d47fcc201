//! An established association: opens and seals records of epoch 1. There is no renegotiation, so no other
//! epoch.
//!
//! At most [`limits::SESSION_BYTES_MAX`] bytes, because there are millions; keys of CBC take 96 more, apart
//! from them. The flight with the server's Finished is rebuilt from its 12 bytes of verify_data if the peer
//! shows that it did not arrive.

mod saved;
#[cfg(feature = "test-support")]
mod test_support;

pub use saved::{SavedSession, SavedSessionError};

use std::fmt;

use crate::{
    Random,
    codes::{AlertDescription, CipherSuite, ContentType, HandshakeType, Version, alert_level},
    discard::Discard,
    error::SealError,
    limits,
    message::{MessageHeader, finished},
    record::{Layout, RecordHeader, RecordNumber, put_plaintext},
    replay::ReplayWindow,
    schedule::{KeyPair, Role, VerifyData},
    suite::DirectionKeys,
    wire::Reader,
};

/// The only epoch of protected records.
const EPOCH: u16 = 1;

/// One end of an established association.
pub struct Session {
    tx: DirectionKeys,
    rx: DirectionKeys,
    /// Number of the next record that we send.
    tx_next: u64,
    /// First record number that may not be used, because the last saved copy does not reserve it.
    tx_end: u64,
    rx_window: ReplayWindow,
    last_flight: Option<LastFlight>,
    failed_opens: u32,
    plaintext_bytes_max: u16,
    last_flights_left: u8,
    empty_records: u8,
    warnings: u8,
    extended_master_secret: bool,
}

const _: () = assert!(size_of::<Session>() <= limits::SESSION_BYTES_MAX);

/// What the server's ChangeCipherSpec and Finished are rebuilt from.
struct LastFlight {
    verify_data: VerifyData,
    message_seq: u16,
    /// Next record number of epoch 0, for the ChangeCipherSpec: 48 bits, the lowest first.
    sequence: [u16; 3],
}

impl LastFlight {
    fn new(verify_data: VerifyData, message_seq: u16, sequence: u64) -> Self {
        // No number is above SEQUENCE_MAX.
        let sequence = [0, 16, 32].map(|shift| (sequence >> shift) as u16);
        Self { verify_data, message_seq, sequence }
    }

    fn sequence(&self) -> u64 {
        let [low, middle, high] = self.sequence.map(u64::from);
        high << 32 | middle << 16 | low
    }
}

/// The content of an authentic record.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// Application data, decrypted in place.
    Application(&'a mut [u8]),
    /// Empty application data; legal, and accepted [`limits::EMPTY_RECORDS_MAX`] times in a row.
    Empty,
    /// The client repeats its Finished because it has not received ours. Answer with
    /// [`Session::seal_last_flight`].
    FinishedAgain,
    /// The peer ends the session, by an alert of either level. Answer with [`Session::seal_close_notify`].
    CloseNotify,
    /// The peer ends the session by a fatal alert with this description, which is not close_notify. Not
    /// answered (RFC 5246, section 7.2.2).
    FatalAlert(u8),
    /// One warning more than [`limits::WARNING_ALERTS_MAX`]: the session ends. Tell the peer with
    /// [`Session::seal_close_notify`].
    TooManyWarnings,
    /// A warning, with this description.
    WarningAlert(u8),
    /// The peer wants to renegotiate. Answer, if at all, with [`Session::seal_no_renegotiation`].
    RenegotiationAttempt,
    /// Authentic, but without effect.
    Ignored,
}

/// What a session starts with.
pub(crate) struct SessionParameters {
    pub(crate) role: Role,
    pub(crate) keys: KeyPair,
    pub(crate) datagram_bytes_max: usize,
    /// Longest plaintext by the extension of RFC 6066.
    pub(crate) fragment_bytes_max: usize,
    pub(crate) extended_master_secret: bool,
}

impl Session {
    pub(crate) fn new(parameters: SessionParameters) -> Self {
        let KeyPair { client, server } = parameters.keys;
        let (tx, rx) = match parameters.role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let fits = tx.plaintext_bytes_max(Layout::Plain, parameters.datagram_bytes_max);
        let plaintext_bytes_max =
            fits.min(parameters.fragment_bytes_max).min(limits::PLAINTEXT_BYTES_MAX) as u16;
        Self {
            tx,
            rx,
            tx_next: 0,
            tx_end: saved::NEVER_SAVED,
            rx_window: ReplayWindow::default(),
            last_flight: None,
            failed_opens: 0,
            plaintext_bytes_max,
            last_flights_left: limits::DEMANDED_RESENDS_MAX,
            empty_records: 0,
            warnings: 0,
            extended_master_secret: parameters.extended_master_secret,
        }
    }

    /// Opens one whole record, header included, in place. An `Err` means that the record must be dropped;
    /// then nothing but the count of failures has changed.
    pub fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<Opened<'a>, Discard> {
        let (content_type, content) = self.open_record(record)?;
        if content_type == ContentType::APPLICATION_DATA {
            return self.open_application(content);
        }
        self.empty_records = 0;
        match content_type {
            ContentType::ALERT => self.open_alert(content),
            ContentType::HANDSHAKE => self.open_handshake(content),
            _ => Ok(Opened::Ignored),
        }
    }

    fn open_application<'a>(&mut self, content: &'a mut [u8]) -> Result<Opened<'a>, Discard> {
        if !content.is_empty() {
            self.empty_records = 0;
            return Ok(Opened::Application(content));
        }
        if self.empty_records >= limits::EMPTY_RECORDS_MAX {
            return Err(Discard::EmptyFlood);
        }
        self.empty_records += 1;
        Ok(Opened::Empty)
    }

    fn open_alert<'a>(&mut self, content: &[u8]) -> Result<Opened<'a>, Discard> {
        match *content {
            // RFC 5246 7.2.1: it is answered. Some releases of tinydtls send it as fatal, and wait for the
            // answer.
            [alert_level::WARNING | alert_level::FATAL, description]
                if description == AlertDescription::CLOSE_NOTIFY.0 =>
            {
                Ok(Opened::CloseNotify)
            }
            [alert_level::FATAL, description] => Ok(Opened::FatalAlert(description)),
            [alert_level::WARNING, description] if self.warnings < limits::WARNING_ALERTS_MAX => {
                self.warnings += 1;
                Ok(Opened::WarningAlert(description))
            }
            [alert_level::WARNING, _] => Ok(Opened::TooManyWarnings),
            _ => Err(Discard::Malformed),
        }
    }

    fn open_handshake<'a>(&mut self, content: &[u8]) -> Result<Opened<'a>, Discard> {
        let (header, _) = MessageHeader::parse(&mut Reader::new(content))?;
        match header.message_type {
            HandshakeType::CLIENT_HELLO | HandshakeType::HELLO_REQUEST => Ok(Opened::RenegotiationAttempt),
            // A fragmented one counts once.
            HandshakeType::FINISHED if self.last_flight.is_some() && header.fragment_offset == 0 => {
                // Each one is a new authentic record, so only the peer can spend this budget.
                self.last_flights_left = self.last_flights_left.checked_sub(1).ok_or(Discard::RateLimited)?;
                Ok(Opened::FinishedAgain)
            }
            _ => Ok(Opened::Ignored),
        }
    }

    /// Opens a record of any content type.
    pub(crate) fn open_record<'a>(
        &mut self,
        record: &'a mut [u8],
    ) -> Result<(ContentType, &'a mut [u8]), Discard> {
        let (header, fragment) = Layout::Plain.parse(record)?;
        if !header.content_type.is_known() {
            return Err(Discard::ContentType);
        }
        if header.version != Version::DTLS_1_2 {
            return Err(Discard::RecordVersion);
        }
        if header.number.epoch != EPOCH {
            return Err(Discard::Epoch);
        }
        self.rx_window.check(header.number.sequence)?;
        let is_attempt = fragment.len() >= self.rx.fragment_bytes_min();
        let content = self.rx.open(Layout::Plain, &header, fragment).inspect_err(|_| {
            self.failed_opens = self.failed_opens.wrapping_add(u32::from(is_attempt));
        })?;
        // RFC 6347 4.1.2.6: the window moves only after the record proved authentic.
        self.rx_window.mark(header.number.sequence);
        if content.len() > limits::PLAINTEXT_BYTES_MAX {
            return Err(Discard::PlaintextTooLong);
        }
        Ok((header.content_type, content))
    }

    /// Appends one record with application data to `out`.
    pub fn seal(
        &mut self,
        plaintext: &[u8],
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if plaintext.len() > self.plaintext_bytes_max() {
            return Err(SealError::TooLarge { max: self.plaintext_bytes_max() });
        }
        // The last number is reserved for close_notify.
        if self.tx_next >= limits::SEQUENCE_MAX {
            return Err(SealError::SequenceExhausted);
        }
        self.seal_record(ContentType::APPLICATION_DATA, plaintext, rng, out)
    }

    pub(crate) fn seal_record(
        &mut self,
        content_type: ContentType,
        plaintext: &[u8],
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let sequence = self.tx_next;
        if sequence > limits::SEQUENCE_MAX {
            return Err(SealError::SequenceExhausted);
        }
        if sequence >= self.tx_end {
            return Err(SealError::NotReserved);
        }
        self.tx_next += 1;
        let number = RecordNumber { epoch: EPOCH, sequence };
        let header = RecordHeader { content_type, version: Version::DTLS_1_2, number };
        self.tx.seal(Layout::Plain, &header, plaintext, rng, out);
        Ok(())
    }

    /// Appends ChangeCipherSpec and Finished once more, with new record numbers: one datagram. For a server,
    /// when [`Opened::FinishedAgain`] was seen; a client has nothing to repeat and appends nothing.
    pub fn seal_last_flight(&mut self, rng: &mut dyn Random, out: &mut Vec<u8>) -> Result<(), SealError> {
        let Some(last_flight) = &mut self.last_flight else {
            return Ok(());
        };
        let sequence = last_flight.sequence();
        let LastFlight { verify_data, message_seq, .. } = last_flight;
        let message = finished::emit(*message_seq, verify_data);
        *last_flight = LastFlight::new(*verify_data, *message_seq, sequence + 1);
        put_plaintext(out, ContentType::CHANGE_CIPHER_SPEC, Version::DTLS_1_2, sequence, &[1]);
        self.seal_record(ContentType::HANDSHAKE, &message, rng, out)
    }

    /// Bytes that are kept apart from this.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tx.heap_bytes() + self.rx.heap_bytes()
    }

    /// Notes what [`Session::seal_last_flight`] needs: `sequence` is the next free record number of epoch 0.
    pub(crate) fn keep_last_flight(&mut self, verify_data: VerifyData, message_seq: u16, sequence: u64) {
        self.last_flight = Some(LastFlight::new(verify_data, message_seq, sequence));
    }

    /// Appends a close_notify. Appends nothing if even the last number is used, or none is reserved.
    pub fn seal_close_notify(&mut self, rng: &mut dyn Random, out: &mut Vec<u8>) {
        self.put_alert(alert_level::WARNING, AlertDescription::CLOSE_NOTIFY, rng, out);
    }

    /// Appends the warning that answers [`Opened::RenegotiationAttempt`] (RFC 5246, section 7.2.2).
    pub fn seal_no_renegotiation(&mut self, rng: &mut dyn Random, out: &mut Vec<u8>) {
        self.put_alert(alert_level::WARNING, AlertDescription::NO_RENEGOTIATION, rng, out);
    }

    /// Appends the fatal alert that answers [`Discard::PlaintextTooLong`]; the session is then over.
    pub fn seal_record_overflow(&mut self, rng: &mut dyn Random, out: &mut Vec<u8>) {
        self.put_alert(alert_level::FATAL, AlertDescription::RECORD_OVERFLOW, rng, out);
    }

    fn put_alert(
        &mut self,
        level: u8,
        description: AlertDescription,
        rng: &mut dyn Random,
        out: &mut Vec<u8>,
    ) {
        // Ignored: without a record number the alert is not sent; the session ends all the same.
        let _ = self.seal_record(ContentType::ALERT, &[level, description.0], rng, out);
    }

    /// Most bytes that [`Session::seal`] takes: what the datagram size and max_fragment_length leave.
    pub fn plaintext_bytes_max(&self) -> usize {
        usize::from(self.plaintext_bytes_max)
    }

    /// The suite in use.
    pub fn suite(&self) -> CipherSuite {
        self.tx.suite()
    }

    /// Whether the keys are bound to the handshake (RFC 7627).
    pub fn extended_master_secret(&self) -> bool {
        self.extended_master_secret
    }

    /// Whether CBC records are authenticated before they are decrypted (RFC 7366).
    pub fn encrypt_then_mac(&self) -> bool {
        self.tx.encrypt_then_mac()
    }

    /// How many records were not authentic, in all, modulo 2^32. One that is too short to hold a tag is no
    /// attempt to forge, and does not count. However many there are, the next genuine record is opened: see
    /// [`limits::FAILED_OPENS_ALARM`].
    pub fn failed_opens(&self) -> u32 {
        self.failed_opens
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Session");
        out.field("suite", &self.suite().name()).field("sent", &self.tx_next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::SeededRandom;

    use super::*;
    use crate::suite::CbcOrder;

    /// A server and a client, for each way to protect a record.
    fn pairs() -> Vec<(Session, Session)> {
        let direction = |index: usize, seed: u8| match index {
            0 => DirectionKeys::ccm8([seed; 16], [seed; 4]),
            1 => DirectionKeys::cbc([seed; 16], [seed; 32], CbcOrder::EncryptThenMac),
            _ => DirectionKeys::cbc([seed; 16], [seed; 32], CbcOrder::MacThenEncrypt),
        };
        let session = |role, index| {
            Session::new(SessionParameters {
                role,
                keys: KeyPair { client: direction(index, 1), server: direction(index, 2) },
                datagram_bytes_max: 1280,
                fragment_bytes_max: limits::PLAINTEXT_BYTES_MAX,
                extended_master_secret: true,
            })
        };
        let pair = |index| {
            let mut server = session(Role::Server, index);
            server.keep_last_flight(VerifyData([9; 12]), 3, 5);
            (server, session(Role::Client, index))
        };
        (0..3).map(pair).collect()
    }

    fn sealed(session: &mut Session, content_type: ContentType, content: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        session
            .seal_record(content_type, content, &mut SeededRandom::new(0), &mut record)
            .expect("numbers are left");
        record
    }

    #[test]
    fn attack_056_a_hello_inside_the_session_is_a_renegotiation_attempt() {
        for (mut server, mut client) in pairs() {
            for message_type in [0, 1] {
                let content = [message_type, 0, 0, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0];
                let mut record = sealed(&mut client, ContentType::HANDSHAKE, &content);
                assert_eq!(server.open(&mut record), Ok(Opened::RenegotiationAttempt));
            }
            let mut record = sealed(&mut client, ContentType::APPLICATION_DATA, b"x");
            assert_eq!(server.open(&mut record), Ok(Opened::Application(&mut [b'x'])));
        }
    }

    #[test]
    fn a_repeated_finished_is_answered_with_new_record_numbers_and_not_for_ever() {
        for (mut server, mut client) in pairs() {
            let finished = finished::emit(3, &VerifyData([7; 12]));
            for count in 0..20 {
                let mut record = sealed(&mut client, ContentType::HANDSHAKE, &finished);
                if count < limits::DEMANDED_RESENDS_MAX {
                    assert_eq!(server.open(&mut record), Ok(Opened::FinishedAgain));
                    assert_eq!(server.open(&mut record), Err(Discard::Replayed));
                } else {
                    assert_eq!(server.open(&mut record), Err(Discard::RateLimited));
                }
            }
            let mut flights = [Vec::new(), Vec::new()];
            for flight in &mut flights {
                server.seal_last_flight(&mut SeededRandom::new(0), flight).expect("numbers are left");
            }
            assert_eq!((flights[0][10], flights[1][10]), (5, 6), "ChangeCipherSpec in epoch 0");
            for flight in &mut flights {
                assert_eq!(client.open(&mut flight[14..]), Ok(Opened::Ignored), "the client is done");
            }
        }
    }

    #[test]
    fn attack_003_an_authentic_record_that_is_too_long_is_told_apart() {
        for (mut server, mut client) in pairs() {
            let mut record = sealed(&mut client, ContentType::APPLICATION_DATA, &[0; (1 << 14) + 1]);
            assert_eq!(server.open(&mut record), Err(Discard::PlaintextTooLong));
            let mut alert = Vec::new();
            server.seal_record_overflow(&mut SeededRandom::new(0), &mut alert);
            assert_eq!(client.open(&mut alert), Ok(Opened::FatalAlert(22)));
        }
    }

    #[test]
    fn attack_068_alerts_of_other_sizes_are_dropped() {
        for (mut server, mut client) in pairs() {
            for alert in [&[2][..], &[2, 40, 0], &[0; 300], &[3, 40]] {
                let mut record = sealed(&mut client, ContentType::ALERT, alert);
                assert_eq!(server.open(&mut record), Err(Discard::Malformed));
            }
            let mut record = sealed(&mut client, ContentType::ALERT, &[2, 40]);
            assert_eq!(server.open(&mut record), Ok(Opened::FatalAlert(40)));
        }
    }

    /// Some releases of tinydtls end their sessions by a close_notify of level fatal, and wait for an alert
    /// before they begin another.
    #[test]
    fn attack_067_a_close_notify_is_one_at_either_level() {
        for level in [1, 2] {
            for (mut server, mut client) in pairs() {
                let mut record = sealed(&mut client, ContentType::ALERT, &[level, 0]);
                assert_eq!(server.open(&mut record), Ok(Opened::CloseNotify), "level {level}");
            }
        }
    }
}
