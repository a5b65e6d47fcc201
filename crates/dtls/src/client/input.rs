//! Handles what arrives in a client's handshake, record by record and message by message.

use std::time::Instant;

use super::{AwaitFinished, AwaitServerHelloDone, ClientEvent, ClientFailure, ClientHandshake, State};
use crate::{
    codes::{ContentType, HandshakeType, Version, alert_level},
    discard::Discard,
    flight::Entry,
    message::{
        MessageHeader,
        client_hello::MaxFragmentLength,
        finished::{self, Pieces},
        hello_verify, key_exchange,
        server_hello::ServerHello,
    },
    reassembly::Message,
    record::{Layout, split_record},
    refusal::Refusal,
    schedule::{Agreement, MasterSecret, Role},
    session::{Session, SessionParameters},
    transcript::Transcript,
    wire::Reader,
};

/// The outcome of one datagram.
#[derive(Default)]
pub(super) struct Input {
    pub(super) flight_wanted: bool,
    pub(super) dropped: Option<Discard>,
}

impl ClientHandshake {
    pub(super) fn handle_records(&mut self, now: Instant, datagram: &mut [u8]) -> Input {
        let mut input = Input::default();
        let mut rest = datagram;
        while !rest.is_empty() {
            let (record, tail) = match Layout::Plain.split(rest) {
                Ok(split) => split,
                Err(broken) => {
                    input.dropped.get_or_insert(broken);
                    break;
                }
            };
            if let Err(reason) = self.handle_record(now, record, &mut input) {
                input.dropped.get_or_insert(reason);
            }
            rest = tail;
        }
        input
    }

    fn handle_record(&mut self, now: Instant, record: &mut [u8], input: &mut Input) -> Result<(), Discard> {
        if matches!(self.state, State::Over) {
            return Err(Discard::HandshakeOver);
        }
        let (header, fragment) = Layout::Plain.parse(record)?;
        if header.version != Version::DTLS_1_2 && header.version != Version::DTLS_1_0 {
            return Err(Discard::RecordVersion);
        }
        match (header.number.epoch, header.content_type) {
            (0, ContentType::HANDSHAKE) => self.handle_handshake(now, fragment, input),
            (0, ContentType::CHANGE_CIPHER_SPEC) => self.handle_change_cipher_spec(fragment),
            (0, ContentType::ALERT) => self.handle_alert(fragment),
            (0, _) => Err(Discard::ContentType),
            (1, _) => self.handle_protected(record),
            _ => Err(Discard::Epoch),
        }
    }

    fn handle_handshake(&mut self, now: Instant, fragment: &[u8], input: &mut Input) -> Result<(), Discard> {
        let mut reader = Reader::new(fragment);
        while !reader.is_empty() {
            let (header, bytes) = MessageHeader::parse(&mut reader)?;
            if header.message_seq < self.reassembly.next() {
                // The server repeats flight 4 because it has not received flight 5.
                input.flight_wanted |= matches!(self.state, State::AwaitFinished(_));
                continue;
            }
            self.reassembly.insert(&header, bytes)?;
            while let Some(message) = self.reassembly.take() {
                self.handle_message(now, &message)?;
            }
        }
        Ok(())
    }

    fn handle_message(&mut self, now: Instant, message: &Message) -> Result<(), Discard> {
        match (std::mem::replace(&mut self.state, State::Over), message.header.message_type) {
            (State::AwaitServerHello { .. }, HandshakeType::HELLO_VERIFY_REQUEST) => {
                match hello_verify::parse(&message.body) {
                    Ok(cookie) => self.send_hello(now, cookie),
                    Err(_) => self.refuse(Refusal::DecodeError),
                }
            }
            (State::AwaitServerHello { transcript }, HandshakeType::SERVER_HELLO) => {
                self.handle_server_hello(transcript, message);
            }
            (State::AwaitServerHelloDone(mut waiting), HandshakeType::SERVER_KEY_EXCHANGE) => {
                waiting.transcript.add_received(&message.header, &message.body);
                self.state = State::AwaitServerHelloDone(waiting);
            }
            (State::AwaitServerHelloDone(waiting), HandshakeType::SERVER_HELLO_DONE) => {
                self.handle_server_hello_done(now, waiting, message);
            }
            (other, _) => {
                self.state = other;
                self.reassembly.await_again();
                return Err(Discard::UnexpectedMessage);
            }
        }
        Ok(())
    }

    fn handle_server_hello(&mut self, mut transcript: Transcript, message: &Message) {
        let hello = match ServerHello::parse(&message.body, &self.offer.suites, &self.offer.extensions) {
            Ok(hello) => hello,
            Err(refusal) => return self.refuse(refusal),
        };
        transcript.add_received(&message.header, &message.body);
        if let Some(length) = hello.extensions.max_fragment_length {
            self.sender.fragment_bytes_max = MaxFragmentLength::bytes(length);
        }
        let agreement = Agreement {
            suite: hello.suite,
            encrypt_then_mac: hello.extensions.encrypt_then_mac,
            extended_master_secret: hello.extensions.extended_master_secret,
            client_random: self.offer.random,
            server_random: hello.random,
        };
        self.state = State::AwaitServerHelloDone(AwaitServerHelloDone { agreement, transcript });
    }

    /// Derives the keys and sends flight 5.
    fn handle_server_hello_done(&mut self, now: Instant, waiting: AwaitServerHelloDone, message: &Message) {
        let AwaitServerHelloDone { agreement, mut transcript } = waiting;
        transcript.add_received(&message.header, &message.body);
        let key_exchange = key_exchange::emit_client(self.take_message_seq(), &self.config.identity);
        transcript.add_sent(&key_exchange);
        let hash = transcript.hash();
        let master = MasterSecret::derive(&self.config.psk, &agreement, &hash);
        let session = Session::new(SessionParameters {
            role: Role::Client,
            keys: master.expand(&agreement),
            datagram_bytes_max: self.config.datagram_bytes_max,
            fragment_bytes_max: self.sender.fragment_bytes_max,
            extended_master_secret: agreement.extended_master_secret,
        });
        let finished = finished::emit(self.take_message_seq(), &master.verify_data(Role::Client, &hash));
        transcript.add_sent(&finished);
        self.flight =
            vec![Entry::Handshake(key_exchange), Entry::ChangeCipherSpec, Entry::Finished(finished)];
        self.state = State::AwaitFinished(Box::new(AwaitFinished {
            master,
            session,
            transcript,
            change_cipher_spec: false,
            finished: Pieces::new(self.reassembly.next()),
        }));
        self.send_flight();
        self.timer.start(now);
    }

    fn handle_change_cipher_spec(&mut self, fragment: &[u8]) -> Result<(), Discard> {
        if fragment != [1] {
            return Err(Discard::Malformed);
        }
        let State::AwaitFinished(waiting) = &mut self.state else {
            return Err(Discard::EarlyChangeCipherSpec);
        };
        waiting.change_cipher_spec = true;
        let mut records = self.early.take();
        let mut rest = records.as_mut_slice();
        while let Some((record, tail)) = split_record(rest) {
            // Ignored: a record that cannot be used is dropped, as a later one would be.
            let _ = self.handle_protected(record);
            rest = tail;
        }
        Ok(())
    }

    fn handle_alert(&mut self, fragment: &[u8]) -> Result<(), Discard> {
        match *fragment {
            [alert_level::FATAL, description] => {
                self.end();
                self.events.push_back(ClientEvent::Failed(ClientFailure::Alert(description)));
                Ok(())
            }
            _ => Err(Discard::PlaintextAlert),
        }
    }

    fn handle_protected(&mut self, record: &mut [u8]) -> Result<(), Discard> {
        let State::AwaitFinished(waiting) = &mut self.state else {
            return Err(Discard::EarlyProtected);
        };
        if !waiting.change_cipher_spec {
            return self.early.keep(record);
        }
        let (content_type, content) = waiting.session.open_record(record)?;
        match content_type {
            ContentType::ALERT => self.handle_alert(content),
            ContentType::HANDSHAKE => match waiting.finished.insert(content)? {
                Some(verify_data) => self.handle_finished(&verify_data),
                None => Ok(()),
            },
            _ => Err(Discard::UnexpectedMessage),
        }
    }

    fn handle_finished(&mut self, verify_data: &[u8]) -> Result<(), Discard> {
        let State::AwaitFinished(waiting) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Discard::UnexpectedMessage);
        };
        let expected = waiting.master.verify_data(Role::Server, &waiting.transcript.hash());
        if expected.matches(verify_data) {
            self.end();
            self.events.push_back(ClientEvent::Established(Box::new(waiting.session)));
        } else {
            self.refuse(Refusal::DecryptError);
        }
        Ok(())
    }
}
