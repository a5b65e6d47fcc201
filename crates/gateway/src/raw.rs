//! Bytes of devices whose product has the data format `custom`: a script makes a message of them, which is
//! then handled like any other, and bytes of the reply.
//!
//! Scripts are run by who carries out effects. A request waits for them under its token, as it does for the
//! store; its duplicates are the endpoint's. The reply to what is to be stored is made first: where the
//! script cannot make it, nothing is stored.
//!
//! Limits: [`AT_ONCE_MAX`] calls of a device, beyond which bytes of it are answered 4.29. How many calls of a
//! product may wait is decided where scripts are run, and the requests beyond that are answered 5.03. What a
//! session has sent is not read any more once it has ended.

use std::{collections::BTreeMap, sync::Arc};

use narrowgate_coap::Response;
use narrowgate_engine::event::{SessionId, Ticket};
use narrowgate_platform::{
    device_api::{self, Action, EditWanted, raw},
    ids::DeviceId,
    model::retention::RetentionClass,
    ports::{Circumstances, Fault, RawBody, Script, Write},
    rules::{clock::Arrival, rate::Seldom},
};

use crate::{
    ERRORS_EVERY,
    desk::Desk,
    effect::{Effect, Now, Token},
    firmware::Step,
    outbox::{Outbox, Pending},
    products::CachedProduct,
    requests::Asker,
    shared::Shared,
};

/// Calls of scripts that are under way for a device: then further bytes of it are answered 4.29, as further
/// blocks of an image are.
pub(crate) const AT_ONCE_MAX: usize = 4;

/// What a script is to make a message of.
#[derive(Debug)]
pub struct Decode {
    /// Whose bytes.
    pub device: DeviceId,
    /// The script.
    pub script: Script,
    /// What the device sent.
    pub body: Arc<[u8]>,
    /// What the script sees beside them.
    pub at: Circumstances,
}

/// What a script is to make bytes of.
#[derive(Debug)]
pub struct Encode {
    /// For whom.
    pub device: DeviceId,
    /// The script.
    pub script: Script,
    /// The reply, or the command.
    pub json: String,
    /// What the script sees beside it.
    pub at: Circumstances,
}

/// Bytes that a device has sent, for who tries scripts on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Which device.
    pub device: DeviceId,
    /// What it sent, and when.
    pub body: RawBody,
}

/// What is known of a request of bytes until it is answered.
#[derive(Debug)]
pub(crate) struct Conversation {
    script: Script,
    product: Arc<CachedProduct>,
    at: Circumstances,
}

/// A request whose bytes are being read.
#[derive(Debug)]
pub(crate) struct Decoding {
    pub(crate) ticket: Ticket,
    pub(crate) asker: Asker,
    arrived: Arrival,
}

/// A request whose reply is being written.
#[derive(Debug)]
pub(crate) struct Encoding {
    ticket: Ticket,
    pub(crate) asker: Asker,
    response: Response,
    then: Then,
}

/// What is done with the reply.
#[derive(Debug)]
pub(crate) enum Then {
    /// It is sent.
    Respond,
    /// These are stored, and it is sent.
    Store((RetentionClass, u32), Vec<Write>),
    /// This is changed, and it is sent.
    Edit(Box<EditWanted>, Arrival),
    /// This is noted of the device's firmware, and it is sent.
    Note(Box<Step>),
}

/// Calls of scripts that are under way, of each device that has some.
#[derive(Debug)]
pub(crate) struct ScriptCalls {
    of_devices: BTreeMap<DeviceId, Vec<UnderWay>>,
    /// What is said in the program's own log, seldom.
    errors: Seldom,
}

#[derive(Debug)]
struct UnderWay {
    token: Token,
    session: SessionId,
    purpose: Purpose,
}

/// What a script is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read what a device sent.
    Message,
    /// To write the reply to that.
    Reply,
    /// To write a command that the device is about to get.
    Command,
}

impl ScriptCalls {
    pub(crate) fn new() -> Self {
        Self { of_devices: BTreeMap::new(), errors: Seldom::new(ERRORS_EVERY) }
    }

    fn is_full(&self, device: DeviceId) -> bool {
        self.of_devices.get(&device).is_some_and(|calls| calls.len() >= AT_ONCE_MAX)
    }

    /// A call is asked for.
    pub(crate) fn begin(&mut self, device: DeviceId, token: Token, session: SessionId, purpose: Purpose) {
        self.of_devices.entry(device).or_default().push(UnderWay { token, session, purpose });
    }

    /// A call is answered.
    pub(crate) fn leave(&mut self, device: DeviceId, token: Token) {
        self.drop_of(device, |call| call.token == token);
    }

    /// A session has ended: what it has sent need not be read, nor what it was to get be written. The replies
    /// that are being made of what was read are, because that is then stored. Returns whether a command was
    /// being written.
    pub(crate) fn end_session(&mut self, out: &mut Outbox, device: DeviceId, session: SessionId) -> bool {
        let is_over = |call: &UnderWay| call.session == session && call.purpose != Purpose::Reply;
        let over = self.drop_of(device, is_over);
        over.iter().for_each(|call| out.give_up(call.token));
        over.iter().any(|call| call.purpose == Purpose::Command)
    }

    fn drop_of(&mut self, device: DeviceId, is_over: impl Fn(&UnderWay) -> bool) -> Vec<UnderWay> {
        let Some(calls) = self.of_devices.get_mut(&device) else { return Vec::new() };
        let over = calls.extract_if(.., |call| is_over(call)).collect();
        if calls.is_empty() {
            self.of_devices.remove(&device);
        }
        over
    }
}

impl Asker {
    /// What the product's script is to write, where this is the reply to bytes and no bytes itself.
    pub(crate) fn to_encode(&self, response: &Response) -> Option<Encode> {
        let Conversation { script, at, .. } = &**self.conversation()?;
        let json = raw::reply_for_script(response)?;
        Some(Encode { device: self.grant.device, script: script.clone(), json, at: *at })
    }
}

impl Shared {
    /// Has bytes read by the product's script, if there is one.
    pub(crate) fn decode(
        &mut self,
        now: Now,
        ticket: Ticket,
        asker: Asker,
        body: Vec<u8>,
        arrived: Arrival,
        product: &Arc<CachedProduct>,
    ) {
        let body: Arc<[u8]> = body.into();
        let device = asker.grant.device;
        let kept = RawBody { arrival: arrived.time, bytes: Arc::clone(&body) };
        self.out.received(Received { device, body: kept });
        let script = match product.custom.as_ref().map(|custom| &custom.script) {
            Some(Ok(Some(script))) => script.clone(),
            Some(Err(())) => {
                self.requests.count_unavailable();
                return self.respond(now, ticket, &asker, device_api::unavailable());
            }
            Some(Ok(None)) | None => {
                let (response, refusal) = raw::not_published().into_parts();
                self.respond(now, ticket, &asker, response);
                if let Some(refusal) = refusal {
                    self.refuse(now, &asker, refusal);
                }
                return;
            }
        };
        if self.script_calls.is_full(device) {
            let (response, refusal) = raw::too_many(AT_ONCE_MAX).into_parts();
            self.respond(now, ticket, &asker, response);
            if let Some(refusal) = refusal {
                self.refuse(now, &asker, refusal);
            }
            return;
        }
        let at = Circumstances::of(&body, arrived.time);
        let conversation = Conversation { script: script.clone(), product: Arc::clone(product), at };
        let asker = asker.of_bytes(Arc::new(conversation));
        let pending = Pending::Decode(Box::new(Decoding { ticket, asker, arrived }));
        let decode = Box::new(Decode { device, script, body, at });
        let token = self.out.ask(pending, |token| Effect::Decode(token, decode));
        self.script_calls.begin(device, token, ticket.session, Purpose::Message);
    }

    /// Has a reply written by the product's script.
    pub(crate) fn encode(
        &mut self,
        ticket: Ticket,
        asker: Asker,
        (response, encode): (Response, Encode),
        then: Then,
    ) {
        let (device, session) = (asker.grant.device, ticket.session);
        let pending = Pending::Encode(Box::new(Encoding { ticket, asker, response, then }));
        let token = self.out.ask(pending, |token| Effect::Encode(token, Box::new(encode)));
        self.script_calls.begin(device, token, session, Purpose::Reply);
    }

    /// Has reports written; where they came as bytes, once the reply to them is made.
    pub(crate) fn store_with_reply(
        &mut self,
        ticket: Ticket,
        asker: Asker,
        retention_and_counted: (RetentionClass, u32),
        writes: Vec<Write>,
        response: Response,
    ) {
        match asker.to_encode(&response) {
            Some(encode) => {
                let then = Then::Store(retention_and_counted, writes);
                self.encode(ticket, asker, (response, encode), then);
            }
            None => self.store(ticket, asker, retention_and_counted, writes, response),
        }
    }

    /// The same of a change of attributes or tags.
    pub(crate) fn edit_with_reply(
        &mut self,
        ticket: Ticket,
        asker: Asker,
        wanted: Box<EditWanted>,
        arrived: Arrival,
    ) {
        match asker.to_encode(&wanted.response) {
            Some(encode) => {
                let response = wanted.response.clone();
                self.encode(ticket, asker, (response, encode), Then::Edit(wanted, arrived));
            }
            None => self.edit(ticket, asker, *wanted, arrived),
        }
    }

    /// The script has written a reply, or not.
    pub(crate) fn handle_encoded(&mut self, now: Now, encoding: Encoding, answer: Result<Vec<u8>, Fault>) {
        let Encoding { ticket, asker, response, then } = encoding;
        let response = match answer.and_then(|bytes| raw::encoded(&response, bytes)) {
            Ok(response) => response,
            Err(fault) => {
                if let Then::Store((_, counted), _) = then {
                    self.give_back(&asker, counted);
                }
                return self.handle_fault(now, ticket, &asker, &fault, "jsonStrToRawData");
            }
        };
        match then {
            Then::Respond => self.respond(now, ticket, &asker, response),
            Then::Store(retention_and_counted, writes) => {
                self.store(ticket, asker, retention_and_counted, writes, response);
            }
            Then::Edit(mut wanted, arrived) => {
                wanted.response = response;
                self.edit(ticket, asker, *wanted, arrived);
            }
            Then::Note(step) => self.write_firmware(ticket, asker, *step, response),
        }
    }

    /// The script has not done its part: nothing is stored.
    pub(crate) fn handle_fault(
        &mut self,
        now: Now,
        ticket: Ticket,
        asker: &Asker,
        fault: &Fault,
        function: &str,
    ) {
        match raw::failed(fault, function) {
            Ok(answer) => {
                let (response, refusal) = answer.into_parts();
                self.respond(now, ticket, asker, response);
                if let Some(refusal) = refusal {
                    self.refuse(now, asker, refusal);
                }
            }
            Err(response) => {
                if let Some(left_out) = self.script_calls.errors.permit(now.instant) {
                    let product_key = asker.grant.product_key();
                    tracing::warn!(product_key, %fault, left_out, "a script was not run; devices wait");
                }
                self.requests.count_unavailable();
                self.respond(now, ticket, asker, response);
            }
        }
    }
}

impl Desk {
    /// The script has made a message of bytes, or not. Of a session that has ended meanwhile nothing is
    /// stored: its device has had no answer.
    pub(crate) fn handle_decoded(
        &mut self,
        shared: &mut Shared,
        now: Now,
        decoding: Decoding,
        answer: &Result<String, Fault>,
    ) {
        let Decoding { ticket, asker, arrived } = decoding;
        let Some(conversation) = asker.conversation() else { return };
        match answer {
            Ok(text) => {
                let product = Arc::clone(&conversation.product);
                let action = raw::decoded(&asker.grant, text, product.model.as_ref(), arrived);
                debug_assert!(!matches!(action, Action::Decode(_)), "a message has no bytes");
                self.act(shared, now, ticket, asker, action, arrived, Some(&product));
            }
            Err(fault) => shared.handle_fault(now, ticket, &asker, fault, "rawDataToJsonStr"),
        }
    }
}
