//! Twenty thousand changes to real flights, records and messages. The campaign with a million of them, and
//! with memory measured, is `narrowgate-load mutations`.

use narrowgate_testkit::{SeededRandom, mutate};

use crate::{
    client::{ALERT, APPLICATION_DATA, Client, HANDSHAKE, Protection},
    coap,
    harness::Server,
};

const MUTATIONS: usize = 20_000;
const PER_ROUND: usize = 40;
const DEVICES: usize = 20;

/// What a round aims at.
#[derive(Debug, Clone, Copy)]
enum Aim {
    Hello,
    HelloWithCookie,
    Flight5,
    Records,
    /// Changed before it is sealed, so that it is authentic.
    Messages,
    /// The same for alerts and handshake messages in epoch 1.
    InnerRecords,
}

const AIMS: [Aim; 6] =
    [Aim::Hello, Aim::HelloWithCookie, Aim::Flight5, Aim::Records, Aim::Messages, Aim::InnerRecords];

struct Campaign {
    server: Server,
    dice: SeededRandom,
    corpus: Vec<Vec<u8>>,
}

impl Campaign {
    fn fire(&mut self, client: &Client, template: &[u8]) {
        for index in 0..PER_ROUND {
            let datagram = mutate(template, &self.corpus, &mut self.dice);
            client.send(&datagram);
            if index % 10 == 9 {
                self.server.marker();
            }
        }
        if self.corpus.len() == 100 {
            self.corpus.swap_remove(0);
        }
        self.corpus.push(template.to_vec());
    }

    /// Content with a few bytes changed, cut or added.
    fn change(&mut self, content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        for _ in 0..=self.dice.index(4) {
            let at = self.dice.index(content.len().max(1));
            match self.dice.index(5) {
                0 => content.truncate(at),
                1 => content.insert(at.min(content.len()), self.dice.index(256) as u8),
                2 => content.extend((0..self.dice.index(40)).map(|byte| (byte * 37) as u8)),
                _ if content.is_empty() => content.push(0xff),
                3 => content[0] ^= 1 << self.dice.index(8),
                _ => {
                    let last = content.len() - 1;
                    content[at.min(last)] = self.dice.index(256) as u8;
                }
            }
        }
        content
    }

    fn round(&mut self, client: &mut Client, aim: Aim) {
        match aim {
            Aim::Hello => self.fire(client, &client.hello.datagram()),
            Aim::HelloWithCookie => {
                client.ask_cookie();
                self.fire(client, &client.hello.datagram());
            }
            Aim::Flight5 => {
                client.ask_cookie();
                client.take_server_hello();
                let flight = client.flight_5();
                self.fire(client, &flight);
            }
            Aim::Records => {
                client.connect();
                let mid = client.next_mid();
                let report = coap::report(mid, &client.device.report_path(), 1);
                let record = client.data(&report);
                self.fire(client, &record);
            }
            Aim::Messages | Aim::InnerRecords => {
                client.connect();
                for _ in 0..PER_ROUND {
                    let mid = client.next_mid();
                    let report = coap::report(mid, &client.device.report_path(), 1);
                    let (content_type, content) = match aim {
                        Aim::Messages => (APPLICATION_DATA, self.change(&report)),
                        _ if self.dice.index(2) == 0 => (ALERT, self.change(&[1, 90])),
                        _ => (HANDSHAKE, self.change(&crate::client::message(20, 4, &[0; 12]))),
                    };
                    let record = client.seal(content_type, &content);
                    client.send(&record);
                }
                self.server.marker();
            }
        }
    }
}

#[test]
fn twenty_thousand_mutations_change_nothing_for_anybody_else() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..DEVICES).map(|number| server.client(Protection::ALL[number % 3])).collect();
    let mut campaign = Campaign { server, dice: SeededRandom::new(20_000), corpus: Vec::new() };
    for round in 0..MUTATIONS / PER_ROUND {
        let client = &mut clients[round % DEVICES];
        client.start_anew();
        let aim = campaign.dice.pick(&AIMS);
        campaign.round(client, aim);
        campaign.server.marker();
        client.drain();
        // The device itself, from the same address.
        client.start_anew();
        client.connect();
        client.assert_reports();
        client.close();
        campaign.server.marker();
        client.drain();
        if round % 50 == 0 {
            campaign.server.assert_alive();
        }
    }
    let server = campaign.server;
    server.assert_alive();
    server.assert_nothing_left();
    assert_eq!(
        server.wait_for_metric("narrowgate_sessions", |sessions| sessions == 3),
        3,
        "the standing ones"
    );
}
