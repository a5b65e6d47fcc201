//! An endpoint with its clock, limits and budget, spoken to in hexadecimal.

use std::time::{Duration, Instant};

use narrowgate_coap::{
    Budget, Code, Context, Discard, Endpoint, Event, ExchangeId, Params, Request, RequestError, RequestId,
    RespondError, Response,
};

/// The Message ID of the first message of its own.
pub(crate) const FIRST_MID: u16 = 0x0a00;

pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) params: Params,
    pub(crate) budget: Budget,
    pub(crate) now: Instant,
}

/// The instant from which a test counts.
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin, never read again")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::with(Params::default())
    }

    pub(crate) fn with(params: Params) -> Self {
        Self { endpoint: Endpoint::new(FIRST_MID), params, budget: Budget::new(1 << 20), now: start() }
    }

    /// Calls the endpoint.
    pub(crate) fn with_context<R>(&mut self, call: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> R) -> R {
        let Self { endpoint, params, budget, now } = self;
        call(endpoint, &mut Context { now: *now, params, budget })
    }

    /// Takes a datagram, given in hexadecimal with spaces for the reader.
    pub(crate) fn receive(&mut self, text: &str) {
        let bytes = hex::decode(text.replace(' ', "")).expect("the test writes hexadecimal");
        self.receive_bytes(&bytes);
    }

    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) {
        self.with_context(|endpoint, context| endpoint.handle_message(context, bytes));
    }

    /// Takes a datagram and returns what is sent at once.
    pub(crate) fn reply_to(&mut self, text: &str) -> Vec<String> {
        self.receive(text);
        self.sent()
    }

    /// What waits to be sent, in hexadecimal.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let mut message = Vec::new();
        let mut all = Vec::new();
        while self.endpoint.poll_transmit(&mut message) {
            all.push(hex::encode(&message));
        }
        all
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    /// The reasons among the events.
    pub(crate) fn discards(&mut self) -> Vec<Discard> {
        let reason = |event| if let Event::Discarded(reason) = event { Some(reason) } else { None };
        self.events().into_iter().filter_map(reason).collect()
    }

    /// The one request among the events.
    pub(crate) fn request_received(&mut self) -> (ExchangeId, Request) {
        match <[Event; 1]>::try_from(self.events()) {
            Ok([Event::Request { exchange, request }]) => (exchange, request),
            other => panic!("expected one request: {other:?}"),
        }
    }

    pub(crate) fn respond(&mut self, exchange: ExchangeId, response: Response) -> Result<(), RespondError> {
        self.with_context(|endpoint, context| endpoint.respond(context, exchange, response))
    }

    /// Takes a request and answers it by 2.04 with this payload.
    pub(crate) fn serve(&mut self, text: &str, payload: &str) -> Vec<String> {
        self.receive(text);
        let (exchange, _) = self.request_received();
        self.respond(exchange, Response::new(Code::CHANGED).payload(payload)).expect("the exchange is open");
        self.sent()
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<RequestId, RequestError> {
        self.with_context(|endpoint, context| endpoint.request(context, request))
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.with_context(Endpoint::handle_timeout);
    }

    /// Goes on to the next deadline and says how long that took.
    pub(crate) fn advance_to_timeout(&mut self) -> Duration {
        let deadline = self.endpoint.poll_timeout().expect("something is due");
        let pause = deadline - self.now;
        self.advance(pause);
        pause
    }
}
