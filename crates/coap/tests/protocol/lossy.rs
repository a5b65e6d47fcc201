//! Two endpoints under one virtual clock and a bad network between them.
//!
//! Whatever is lost, doubled or overtaken: a request runs at most once, ends with one response or one
//! failure, and a response means that it ran.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use narrowgate_coap::{Code, Event, ExchangeId, Request, RequestId, Response};
use narrowgate_testkit::SeededRandom;

use crate::peer::{Peer, start};

const REQUESTS: usize = 12;

/// Something that will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives { at_server: bool, bytes: Vec<u8> },
    IsDone { request: usize },
}

struct World {
    random: SeededRandom,
    now: Instant,
    client: Peer,
    server: Peer,
    /// What happens when; the number keeps equal times in order.
    agenda: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    count: u64,
    ids: BTreeMap<u32, usize>,
    open: Vec<Option<ExchangeId>>,
    runs: Vec<u32>,
    responses: Vec<u32>,
    failures: Vec<u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = start();
        let (mut client, mut server) = (Peer::new(), Peer::new());
        (client.now, server.now) = (now, now);
        Self {
            random: SeededRandom::new(seed),
            now,
            client,
            server,
            agenda: BinaryHeap::new(),
            count: 0,
            ids: BTreeMap::new(),
            open: vec![None; REQUESTS],
            runs: vec![0; REQUESTS],
            responses: vec![0; REQUESTS],
            failures: vec![0; REQUESTS],
        }
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.count += 1;
        self.agenda.push(Reverse((self.now + delay, self.count, happening)));
    }

    /// Hands a message to the network: 30 % are lost, 20 % doubled, all are late by up to 3 s and so overtake
    /// each other.
    fn send(&mut self, at_server: bool, bytes: &[u8]) {
        let copies = if self.random.chance(300) { 0 } else { 1 + u64::from(self.random.chance(200)) };
        for _ in 0..copies {
            let delay = Duration::from_millis(self.random.below(3000));
            self.plan(delay, Happening::Arrives { at_server, bytes: bytes.to_vec() });
        }
    }

    fn drain(&mut self) {
        for at_server in [false, true] {
            let sender = if at_server { &mut self.client } else { &mut self.server };
            let messages = sender.sent();
            for message in messages {
                self.send(at_server, &hex::decode(message).expect("we wrote it"));
            }
        }
        for event in self.server.events() {
            if let Event::Request { exchange, request } = event {
                let number: usize = request.path_text()[1..].parse().expect("the path is a number");
                self.runs[number] += 1;
                self.open[number] = Some(exchange);
                // A third takes longer than an acknowledgement may wait.
                let delay = Duration::from_millis(self.random.below(3000));
                self.plan(delay, Happening::IsDone { request: number });
            }
        }
        for event in self.client.events() {
            match event {
                Event::Response { id, response, .. } => {
                    let number = self.number(id);
                    assert_eq!(*response.payload, *number.to_string().as_bytes());
                    self.responses[number] += 1;
                }
                Event::RequestFailed { id, .. } => {
                    let number = self.number(id);
                    self.failures[number] += 1;
                }
                _ => {}
            }
        }
    }

    fn number(&self, id: RequestId) -> usize {
        self.ids[&id.number()]
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives { at_server: true, bytes } => self.server.receive_bytes(&bytes),
            Happening::Arrives { at_server: false, bytes } => self.client.receive_bytes(&bytes),
            Happening::IsDone { request } => {
                let exchange = self.open[request].take().expect("a request is done once");
                let response = Response::new(Code::CHANGED).payload(request.to_string());
                self.server.respond(exchange, response).expect("3 s are within its lifetime");
            }
        }
    }

    /// Runs until nothing is left to happen.
    fn run(&mut self) {
        for number in 0..REQUESTS {
            let mut request = Request::get(&format!("/{number}"));
            if number % 4 == 3 {
                request = request.non_confirmable();
            }
            let id = self.client.ask(request).expect("the queue is long enough");
            self.ids.insert(id.number(), number);
        }
        loop {
            self.drain();
            let next = self.agenda.peek().map(|Reverse((time, ..))| *time);
            let timeouts = [self.client.endpoint.poll_timeout(), self.server.endpoint.poll_timeout()];
            let Some(time) = timeouts.into_iter().flatten().chain(next).min() else { return };
            self.now = self.now.max(time);
            (self.client.now, self.server.now) = (self.now, self.now);
            if next == Some(time) {
                if let Some(Reverse((_, _, happening))) = self.agenda.pop() {
                    self.happen(happening);
                }
            } else {
                self.client.advance(Duration::ZERO);
                self.server.advance(Duration::ZERO);
            }
        }
    }
}

#[test]
fn every_request_runs_at_most_once_and_ends_once() {
    let (mut answered, mut failed) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.run();
        for number in 0..REQUESTS {
            let (runs, responses, failures) =
                (world.runs[number], world.responses[number], world.failures[number]);
            assert!(runs <= 1, "seed {seed}: request {number} ran {runs} times");
            assert_eq!(responses + failures, 1, "seed {seed}: request {number}");
            assert!(responses <= runs, "seed {seed}: request {number} was answered and did not run");
            answered += responses;
            failed += failures;
        }
        for peer in [&world.client, &world.server] {
            assert!(peer.endpoint.is_idle(), "seed {seed}");
            assert_eq!(peer.budget.bytes_used(), 0, "seed {seed}");
        }
    }
    // Three of four are confirmable and mostly get through; half of the others do.
    assert!(answered > 10 * failed / 3 && failed > 0, "{answered} answered, {failed} failed");
}
