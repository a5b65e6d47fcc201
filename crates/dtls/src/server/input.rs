//! Handles what arrives in a server's handshake, record by record and message by message, with one function
//! for each state's input.

use std::time::Instant;

use super::{
    AwaitFinished, AwaitKeyExchange, AwaitPsk, HandshakeEvent, KeyExchangeFault, Outcome,
    RejectedKeyExchange, ServerHandshake, State,
};
use crate::{
    Random,
    codes::{ContentType, HandshakeType, Version},
    diagnose::FailedFinished,
    discard::Discard,
    flight::Entry,
    limits,
    message::{
        MessageHeader,
        client_hello::{ClientHello, MaxFragmentLength},
        emit, finished, key_exchange,
        server_hello::ServerHello,
    },
    negotiation,
    reassembly::Message,
    record::{Layout, RecordHeader, split_record},
    refusal::Refusal,
    schedule::{Agreement, Role},
    transcript::Transcript,
    wire::Reader,
};

/// The input of one datagram, and its outcome.
pub(super) struct Input<'a> {
    now: Instant,
    rng: &'a mut dyn Random,
    /// The peer repeats its flight because it has not received ours.
    pub(super) flight_wanted: bool,
    /// First reason for dropping something.
    pub(super) dropped: Option<Discard>,
}

impl<'a> Input<'a> {
    pub(super) fn new(now: Instant, rng: &'a mut dyn Random) -> Self {
        Self { now, rng, flight_wanted: false, dropped: None }
    }

    fn note(&mut self, outcome: Result<(), Discard>) {
        if let Err(reason) = outcome {
            self.dropped.get_or_insert(reason);
        }
    }
}

impl ServerHandshake {
    pub(super) fn handle_records(&mut self, datagram: &mut [u8], input: &mut Input<'_>) {
        if datagram.is_empty() {
            input.note(Err(Discard::Short));
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let (record, tail) = match Layout::Plain.split(rest) {
                Ok(split) => split,
                Err(broken) => return input.note(Err(broken)),
            };
            let outcome = self.handle_record(record, input);
            input.note(outcome);
            rest = tail;
        }
    }

    fn handle_record(&mut self, record: &mut [u8], input: &mut Input<'_>) -> Result<(), Discard> {
        if self.is_over() {
            return Err(Discard::HandshakeOver);
        }
        let (header, fragment) = Layout::Plain.parse(record)?;
        if !header.content_type.is_known() {
            return Err(Discard::ContentType);
        }
        let is_hello = header.content_type == ContentType::HANDSHAKE
            && fragment.first() == Some(&HandshakeType::CLIENT_HELLO.0);
        if header.version != Version::DTLS_1_2 && !(is_hello && header.version == Version::DTLS_1_0) {
            return Err(Discard::RecordVersion);
        }
        match header.number.epoch {
            0 => self.handle_plaintext(&header, fragment, input),
            1 => self.handle_protected(record, input),
            _ => Err(Discard::Epoch),
        }
    }

    fn handle_plaintext(
        &mut self,
        header: &RecordHeader,
        fragment: &[u8],
        input: &mut Input<'_>,
    ) -> Result<(), Discard> {
        // Anybody can send records of epoch 0, so a number below the window only shows that somebody sent a
        // high one.
        if self.rx_window.check(header.number.sequence) == Err(Discard::Replayed) {
            return Err(Discard::Replayed);
        }
        match header.content_type {
            ContentType::HANDSHAKE => self.handle_handshake(fragment, input)?,
            ContentType::CHANGE_CIPHER_SPEC => self.handle_change_cipher_spec(fragment, input)?,
            // Dropped: an alert is not authenticated here. The handshake continues, and expires if the peer
            // is gone.
            ContentType::ALERT => return Err(Discard::PlaintextAlert),
            _ => return Err(Discard::PlaintextApplicationData),
        }
        self.rx_window.mark(header.number.sequence);
        Ok(())
    }

    /// Handles all fragments in a record.
    fn handle_handshake(&mut self, fragment: &[u8], input: &mut Input<'_>) -> Result<(), Discard> {
        let mut reader = Reader::new(fragment);
        if reader.is_empty() {
            return Err(Discard::Malformed);
        }
        let mut outcome = Ok(());
        while !reader.is_empty() {
            let start = reader;
            let parsed = MessageHeader::parse(&mut reader);
            if parsed == Err(Discard::MessageTooLong) {
                self.note_long_key_exchange(start);
            }
            let (header, bytes) = parsed?;
            outcome = outcome.and(self.handle_fragment(&header, bytes, input));
        }
        outcome
    }

    fn handle_fragment(
        &mut self,
        header: &MessageHeader,
        bytes: &[u8],
        input: &mut Input<'_>,
    ) -> Result<(), Discard> {
        let expected = match self.state {
            State::AwaitClientHello => HandshakeType::CLIENT_HELLO,
            State::AwaitKeyExchange(_) => {
                if self.is_our_hello_again(header, bytes) {
                    input.flight_wanted = true;
                    return Ok(());
                }
                HandshakeType::CLIENT_KEY_EXCHANGE
            }
            _ if header.message_seq < self.reassembly.next() => return Err(Discard::RepeatedMessage),
            _ => return Err(Discard::UnexpectedMessage),
        };
        if header.message_seq < self.reassembly.next() {
            return Err(Discard::RepeatedMessage);
        }
        if header.message_type != expected {
            return Err(Discard::UnexpectedMessage);
        }
        // Neither state awaits more than one message, so a message ahead can never be used.
        if header.message_seq != self.reassembly.next() {
            return Err(Discard::MessageSequence);
        }
        if header.fragment_length == header.length {
            self.reassembly.pass();
            return self.handle_message(header, bytes, input);
        }
        self.reassembly.insert(header, bytes)?;
        match self.reassembly.take() {
            Some(Message { header, body }) => self.handle_message(&header, &body, input),
            None => Ok(()),
        }
    }

    /// Reports a ClientKeyExchange that is dropped because it is too long to be reassembled, if it is the
    /// awaited one.
    fn note_long_key_exchange(&mut self, mut reader: Reader<'_>) {
        let Ok(header) = MessageHeader::read(&mut reader) else { return };
        let is_awaited = matches!(self.state, State::AwaitKeyExchange(_))
            && header.message_type == HandshakeType::CLIENT_KEY_EXCHANGE
            && header.message_seq == self.reassembly.next();
        let bytes = header.length.saturating_sub(2);
        // Only the first fragment shows whose identity it is; a vector has 65,535 bytes at most.
        if is_awaited && header.fragment_offset == 0 && bytes <= usize::from(u16::MAX) {
            // Another message may follow in the record.
            let rest = reader.rest();
            let fragment = &rest[..rest.len().min(header.fragment_length)];
            self.reject_key_exchange(fragment, KeyExchangeFault::TooLong(bytes));
        }
    }

    fn reject_key_exchange(&mut self, body: &[u8], fault: KeyExchangeFault) {
        if std::mem::replace(&mut self.key_exchange_rejected, true) {
            return;
        }
        let identity = body.iter().skip(2).take(limits::REJECTED_IDENTITY_BYTES_MAX).copied().collect();
        let rejected = Box::new(RejectedKeyExchange { identity, fault });
        self.events.push_back(HandshakeEvent::KeyExchangeRejected(rejected));
    }

    /// Whether this is the start of the ClientHello that flight 4 answered.
    fn is_our_hello_again(&self, header: &MessageHeader, bytes: &[u8]) -> bool {
        header.message_type == HandshakeType::CLIENT_HELLO
            && header.message_seq == self.hello.message_seq
            && header.fragment_offset == 0
            && bytes.get(2..34) == Some(&self.hello.random)
    }

    fn handle_message(
        &mut self,
        header: &MessageHeader,
        body: &[u8],
        input: &mut Input<'_>,
    ) -> Result<(), Discard> {
        match std::mem::replace(&mut self.state, State::Over(Outcome::Expired)) {
            State::AwaitClientHello => {
                self.state = State::AwaitClientHello;
                self.handle_client_hello(header, body, input);
                Ok(())
            }
            State::AwaitKeyExchange(waiting) => self.handle_key_exchange(waiting, header, body),
            other => {
                self.state = other;
                Err(Discard::UnexpectedMessage)
            }
        }
    }

    /// AwaitClientHello -> AwaitKeyExchange, with flight 4, or Over with an alert.
    fn handle_client_hello(&mut self, header: &MessageHeader, body: &[u8], input: &mut Input<'_>) {
        let chosen = ClientHello::parse(body)
            .and_then(|hello| Ok((hello, negotiation::choose(&self.config, &hello)?)));
        let (hello, choice) = match chosen {
            Ok(chosen) => chosen,
            Err(refusal) => return self.refuse(refusal),
        };
        if hello.start.random != &self.hello.random {
            // Only the first fragment carries the random, and it had arrived when this handshake began.
            return self.refuse(Refusal::IllegalParameter);
        }
        let mut random = [0; 32];
        input.rng.fill(&mut random);
        let answer = ServerHello { random, suite: choice.suite, extensions: choice.extensions };
        let numbers = self.numbers();
        let server_hello = answer.emit(numbers.server_hello);
        let server_hello_done = emit(HandshakeType::SERVER_HELLO_DONE, numbers.server_hello_done, |_| ());
        let mut transcript = Transcript::new();
        transcript.add_received(header, body);
        transcript.add_sent(&server_hello);
        transcript.add_sent(&server_hello_done);
        self.choice = Some(choice);
        if let Some(length) = choice.extensions.max_fragment_length {
            self.sender.fragment_bytes_max = MaxFragmentLength::bytes(length);
        }
        self.state = State::AwaitKeyExchange(AwaitKeyExchange {
            agreement: Agreement {
                suite: choice.suite,
                encrypt_then_mac: choice.extensions.encrypt_then_mac,
                extended_master_secret: choice.extensions.extended_master_secret,
                client_random: self.hello.random,
                server_random: random,
            },
            transcript,
            flight: vec![Entry::Handshake(server_hello), Entry::Handshake(server_hello_done)],
        });
        self.send_flight();
        self.timer.start(input.now);
    }

    /// AwaitKeyExchange -> AwaitPsk.
    fn handle_key_exchange(
        &mut self,
        waiting: AwaitKeyExchange,
        header: &MessageHeader,
        body: &[u8],
    ) -> Result<(), Discard> {
        let Ok(identity) = key_exchange::parse(body) else {
            self.state = State::AwaitKeyExchange(waiting);
            self.reassembly.await_again();
            self.reject_key_exchange(body, KeyExchangeFault::Malformed);
            return Err(Discard::Malformed);
        };
        let AwaitKeyExchange { agreement, mut transcript, .. } = waiting;
        transcript.add_received(header, body);
        let decoy = self.config.decoy.psk(identity);
        self.timer.stop();
        self.state = State::AwaitPsk(AwaitPsk { agreement, transcript, decoy, change_cipher_spec: false });
        self.events.push_back(HandshakeEvent::PskWanted { identity: identity.to_vec() });
        Ok(())
    }

    fn handle_change_cipher_spec(&mut self, fragment: &[u8], input: &mut Input<'_>) -> Result<(), Discard> {
        if fragment != [1] {
            return Err(Discard::Malformed);
        }
        match &mut self.state {
            State::AwaitPsk(waiting) => waiting.change_cipher_spec = true,
            State::AwaitFinished(waiting) => {
                if !std::mem::replace(&mut waiting.change_cipher_spec, true) {
                    self.handle_early_records(input);
                }
            }
            // Never before the ClientKeyExchange: the keys would be derived from nothing.
            _ => return Err(Discard::EarlyChangeCipherSpec),
        }
        Ok(())
    }

    fn handle_protected(&mut self, record: &mut [u8], input: &mut Input<'_>) -> Result<(), Discard> {
        match &self.state {
            State::AwaitClientHello | State::Over(_) => Err(Discard::EarlyProtected),
            State::AwaitFinished(waiting) if waiting.change_cipher_spec => {
                self.handle_finished(record, input)
            }
            _ => self.keep_early_record(record),
        }
    }

    fn keep_early_record(&mut self, record: &[u8]) -> Result<(), Discard> {
        if record.first() != Some(&ContentType::HANDSHAKE.0) {
            return Err(Discard::EarlyProtected);
        }
        self.early.keep(record)
    }

    pub(super) fn handle_early_records(&mut self, input: &mut Input<'_>) {
        let mut records = self.early.take();
        let mut rest = records.as_mut_slice();
        while let Some((record, tail)) = split_record(rest)
            && !self.is_over()
        {
            let outcome = self.handle_finished(record, input);
            input.note(outcome);
            rest = tail;
        }
    }

    /// AwaitFinished -> Over: established with flight 6, or refused; or still AwaitFinished.
    fn handle_finished(&mut self, record: &mut [u8], input: &mut Input<'_>) -> Result<(), Discard> {
        let State::AwaitFinished(waiting) = &mut self.state else {
            return Err(Discard::HandshakeOver);
        };
        if record.first() != Some(&ContentType::HANDSHAKE.0) {
            return Err(Discard::UnexpectedMessage);
        }
        match waiting.verify(record) {
            Verified::NotYet => Ok(()),
            Verified::Yes => {
                self.establish(input);
                Ok(())
            }
            Verified::No(reason, failed) => {
                self.events.extend(failed.map(|failed| HandshakeEvent::FinishedRejected(Box::new(failed))));
                Err(reason)
            }
            // RFC 5246 7.4.9: a Finished under the right keys that covers other messages.
            Verified::WrongContent => {
                self.refuse(Refusal::DecryptError);
                Ok(())
            }
        }
    }

    fn establish(&mut self, input: &mut Input<'_>) {
        let State::AwaitFinished(waiting) =
            std::mem::replace(&mut self.state, State::Over(Outcome::Established))
        else {
            return;
        };
        let AwaitFinished { master, mut session, transcript, .. } = *waiting;
        let verify_data = master.verify_data(Role::Server, &transcript.hash());
        let message_seq = self.numbers().server_finished;
        let message = finished::emit(message_seq, &verify_data);
        let flight = [Entry::ChangeCipherSpec, Entry::Finished(message)];
        self.sender.send(&flight, Some(&mut session), input.rng);
        session.keep_last_flight(verify_data, message_seq, self.sender.sequence);
        self.end(Outcome::Established);
        self.events.push_back(HandshakeEvent::Established(Box::new(session)));
    }
}

/// The outcome of a Finished.
enum Verified {
    /// Pieces are missing.
    NotYet,
    Yes,
    /// Dropped; the first time with what is needed to find out why.
    No(Discard, Option<FailedFinished>),
    WrongContent,
}

impl AwaitFinished {
    /// Opens a record that should be the client's Finished or a piece of it, and adds the Finished to the
    /// transcript if it verifies.
    fn verify(&mut self, record: &mut [u8]) -> Verified {
        // Opening overwrites the bytes.
        let mut copy = [0; limits::EARLY_RECORD_BYTES_MAX];
        let copy = copy.get_mut(..record.len()).filter(|_| !self.rejected).map(|copy| {
            copy.copy_from_slice(record);
            &*copy
        });
        let transcript_hash = self.transcript_hash;
        let failed_before = self.session.failed_opens();
        let content = match self.session.open_record(record) {
            Ok((_, content)) if !bool::from(self.is_decoy) => content,
            // Too short for a tag: it says nothing about the peer's key.
            Err(Discard::Unauthentic) if self.session.failed_opens() == failed_before => {
                return Verified::No(Discard::Unauthentic, None);
            }
            Ok(_) | Err(Discard::Unauthentic) => {
                let agreement = &self.agreement;
                let failed = copy.map(|record| FailedFinished {
                    agreement: agreement.clone(),
                    transcript_hash,
                    finished_seq: self.finished.message_seq(),
                    record: record.to_vec(),
                });
                self.rejected |= failed.is_some();
                return Verified::No(Discard::Unauthentic, failed);
            }
            Err(reason) => return Verified::No(reason, None),
        };
        let verify_data = match self.finished.insert(content) {
            Ok(Some(verify_data)) => verify_data,
            Ok(None) => return Verified::NotYet,
            Err(reason) => return Verified::No(reason, None),
        };
        if !self.master.verify_data(Role::Client, &transcript_hash).matches(&verify_data) {
            return Verified::WrongContent;
        }
        self.transcript.add_received(&finished::header(self.finished.message_seq()), &verify_data);
        Verified::Yes
    }
}
