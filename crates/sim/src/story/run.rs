//! Lets a story happen in a world.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::Request;
use narrowgate_platform::{ids::DeviceId, model::product::Product};

use super::{
    Story, StoryError, kept, say,
    sentence::{
        Action, Check, Deed, Destination, DeviceSetup, Expectation, Kept, Order, Outcome, Sentence, Weather,
    },
};
use crate::{
    device::{DeviceCommand, Report},
    key::key_of,
    net::{Conditions, Packet},
    world::{HostId, PLAIN_SERVER, SERVER, World},
};

/// `a connects` takes no longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// Replayed datagrams follow one another at this distance.
const REPLAY_PAUSE: Duration = Duration::from_millis(100);
/// Somebody who is none of the devices.
const ELSEWHERE: ([u8; 4], u16) = ([203, 0, 113, 77], 9999);

/// `Err` holds what happened instead.
type Happened = Result<(), String>;

pub(super) fn story(story: &Story) -> Result<(), StoryError> {
    let mut stage = Stage {
        world: World::new(story.server.clone(), Conditions::good(), story.seed),
        hosts: HashMap::new(),
        ports: 20_000,
        reports: 0,
        posted: BTreeMap::new(),
        clears_up: None,
        recorded: Vec::new(),
        fetched: HashMap::new(),
    };
    let fail = |line, reason| StoryError { file: story.file.clone(), line, reason };
    for Sentence { line, after, action } in &story.sentences {
        stage.pass(*after);
        stage.act(action, story).map_err(|reason| fail(*line, reason))?;
    }
    let last = story.sentences.last().map_or(1, |sentence| sentence.line);
    stage.end().map_err(|reason| fail(last, format!("at the end of the story: {reason}")))
}

struct Stage {
    world: World,
    hosts: HashMap<String, Vec<HostId>>,
    /// The last port that was given to a device.
    ports: u16,
    /// The number of the last report.
    reports: u64,
    /// How often each device was told to post the same points.
    posted: BTreeMap<(DeviceId, String), usize>,
    /// When the network changes back, and to what.
    clears_up: Option<(Instant, Conditions)>,
    recorded: Vec<Packet>,
    /// The command that each device has fetched last.
    fetched: HashMap<HostId, say::Fetched>,
}

impl Stage {
    fn act(&mut self, action: &Action, story: &Story) -> Happened {
        match action {
            Action::Wait => Ok(()),
            Action::Device(setup) => self.add(setup),
            Action::Deed { who, deed } => self.do_deed(who, deed),
            Action::Network(weather) => {
                self.change_weather(weather);
                Ok(())
            }
            Action::Gateway(order) => self.obey(order, story),
            Action::Expect(Expectation::Device { who, outcome, within }) => {
                self.expect_of_device(who, outcome, *within)
            }
            Action::Expect(Expectation::Gateway { checks, within }) => {
                self.expect_of_gateway(checks, *within)
            }
            Action::Expect(Expectation::Store { who, point, values }) => {
                self.expect_of_store(who, point, values)
            }
            Action::Expect(Expectation::Kept { what, who, text }) => self.expect_kept(*what, who, text),
        }
    }

    fn hosts(&self, who: &str) -> Vec<HostId> {
        self.hosts.get(who).cloned().unwrap_or_default()
    }

    fn add(&mut self, setup: &DeviceSetup) -> Happened {
        let shared = setup.at.as_ref().and_then(|other| self.hosts(other).first().copied());
        let mut hosts = Vec::new();
        for number in 1..=setup.count.unwrap_or(1) {
            let mut config = setup.config.clone();
            if setup.count.is_some() {
                config.identity.device_key = format!("{}-{number}", config.identity.device_key);
            }
            if let Some(secret) = &setup.known {
                self.world.register(&config.identity, secret);
            }
            if setup.is_issued {
                let issued = self.world.issued(&config.identity.device_key);
                let issued = issued.ok_or("no device of this identity was given a secret")?;
                config.psk = key_of(issued.as_bytes());
            }
            if let Some(secret) = &setup.plain {
                let issued = self.world.issued(&config.identity.device_key).filter(|_| setup.is_issued);
                config = config.plain(issued.unwrap_or(secret));
            }
            let address = match shared {
                Some(other) => self.world.address(other),
                None => self.new_address()?,
            };
            hosts.push(self.world.add(address, config));
        }
        self.hosts.insert(setup.name.clone(), hosts);
        Ok(())
    }

    fn new_address(&mut self) -> Result<SocketAddr, String> {
        self.ports = self.ports.checked_add(1).ok_or("there are no ports left")?;
        Ok(SocketAddr::from(([198, 51, 100, 7], self.ports)))
    }

    fn do_deed(&mut self, who: &str, deed: &Deed) -> Happened {
        for host in self.hosts(who) {
            let command = match deed {
                Deed::Connect | Deed::TryToConnect => DeviceCommand::Connect,
                Deed::Post(points) => {
                    self.reports += 1;
                    self.note_posted(host, &json(points));
                    DeviceCommand::Report(Report {
                        id: self.reports,
                        time_ms: None,
                        points: points.as_str().into(),
                    })
                }
                Deed::Ping => DeviceCommand::Ping,
                Deed::Get(path) => DeviceCommand::Request(Request::get(path)),
                Deed::Say { topic, params } => {
                    if let Some(points) = json(params).get("measurepoints") {
                        self.note_posted(host, points);
                    }
                    let identity = self.world.device(host).identity();
                    DeviceCommand::Request(say::message(identity, topic, params))
                }
                Deed::FetchCommand => {
                    let named = self.world.device(host).command_waiting();
                    let path = named.ok_or("it has heard of no command")?;
                    DeviceCommand::Request(Request::get(path))
                }
                Deed::AnswerCommand(code) => {
                    let fetched = self.fetched.remove(&host).ok_or("it has fetched no command")?;
                    DeviceCommand::Request(fetched.answer(self.world.device(host).identity(), *code))
                }
                Deed::AskForSecret => DeviceCommand::AskActivation,
                Deed::Close => DeviceCommand::Close,
                Deed::PowerOff => DeviceCommand::PowerOff,
                Deed::Move => {
                    let address = self.new_address()?;
                    self.world.move_to(host, address);
                    continue;
                }
            };
            self.world.command(host, command).map_err(|error| error.to_string())?;
        }
        match deed {
            Deed::Connect => self.expect_of_device(who, &Outcome::Connected(None), CONNECT_WITHIN),
            _ => Ok(()),
        }
    }

    /// A device was told to post these points.
    fn note_posted(&mut self, host: HostId, points: &serde_json::Value) {
        if let Some(row) = self.world.find(&self.world.device(host).identity().device_key) {
            *self.posted.entry((row.id, points.to_string())).or_default() += 1;
        }
    }

    fn change_weather(&mut self, weather: &Weather) {
        match weather {
            Weather::Change { conditions, lasts } => {
                let before = match self.clears_up.take() {
                    Some((_, before)) => before,
                    None => self.world.network.conditions().clone(),
                };
                self.clears_up = lasts.map(|lasts| (self.world.now() + lasts, before));
                self.world.network.change(conditions.clone());
            }
            Weather::LoseNext { count, to: Destination::Gateway } => {
                self.world.network.lose_next(SERVER, *count);
                self.world.network.lose_next(PLAIN_SERVER, *count);
            }
            Weather::LoseNext { count, to: Destination::Device(who) } => {
                for host in self.hosts(who) {
                    let address = self.world.address(host);
                    self.world.network.lose_next(address, *count);
                }
            }
            Weather::Record => self.world.network.record(),
            Weather::Replay { from_elsewhere } => {
                let recorded = self.world.network.take_recorded();
                if !recorded.is_empty() {
                    let to_server = |packet: &Packet| [SERVER, PLAIN_SERVER].contains(&packet.to);
                    self.recorded = recorded.into_iter().filter(to_server).collect();
                }
                for Packet { from, to, bytes } in self.recorded.clone() {
                    let from = if *from_elsewhere { ELSEWHERE.into() } else { from };
                    self.world.network.handle_datagram(self.world.now(), from, to, &bytes);
                    self.pass(REPLAY_PAUSE);
                }
            }
        }
    }

    fn obey(&mut self, order: &Order, story: &Story) -> Happened {
        match order {
            Order::CommitAfter(takes) => self.world.store.commit_takes(*takes),
            Order::CommitNow => {
                let now = self.world.now();
                self.world.store.commit_now(now);
            }
            Order::LookUpAfter(takes) => self.world.store.look_up_takes(*takes),
            Order::Reset { who, secret } => {
                for device_key in self.device_keys(who) {
                    self.world.reset(&device_key, secret);
                }
            }
            Order::Disable(who) => {
                for device_key in self.device_keys(who) {
                    self.world.switch_device(&device_key, false);
                }
            }
            Order::SetProfile(profile) => {
                let profile = *profile;
                self.world.change_product(|product| Product { profile, ..product });
            }
            Order::Send { who, points, lasts } => {
                for device_key in self.device_keys(who) {
                    self.world.send_command(&device_key, say::order(points, *lasts))?;
                }
            }
            Order::Drain => self.world.drain(),
            Order::Restart => self.world.restart(story.server.clone()),
        }
        Ok(())
    }

    fn device_keys(&self, who: &str) -> Vec<String> {
        let device_key = |host| self.world.device(host).identity().device_key.clone();
        self.hosts(who).into_iter().map(device_key).collect()
    }

    fn expect_of_device(&mut self, who: &str, expected: &Outcome, within: Duration) -> Happened {
        let deadline = self.world.now() + within;
        for host in self.hosts(who) {
            let left = deadline.saturating_duration_since(self.world.now());
            self.wait(left, |world| world.has_event(host));
            let event = self.world.poll_event(host);
            let outcome = event.as_ref().map_or(Outcome::Nothing, Outcome::of);
            if let Some(fetched) = event.as_ref().and_then(say::Fetched::of) {
                self.fetched.insert(host, fetched);
            }
            if !outcome.meets(expected) {
                let device_key = &self.world.device(host).identity().device_key;
                return Err(format!("{device_key}: {outcome} instead of {expected}"));
            }
        }
        Ok(())
    }

    fn expect_of_gateway(&mut self, checks: &[Check], within: Duration) -> Happened {
        let holds = |world: &mut World| {
            checks.iter().all(|check| check.relation.holds(check.quantity.value(world), check.number))
        };
        if self.wait(within, holds) {
            return Ok(());
        }
        let values = checks
            .iter()
            .map(|Check { quantity, .. }| format!("{}={}", quantity.name(), quantity.value(&mut self.world)));
        Err(format!("the gateway has {}", values.collect::<Vec<_>>().join(" ")))
    }

    fn expect_of_store(&self, who: &str, point: &str, values: &str) -> Happened {
        for device_key in self.device_keys(who) {
            let id = self.world.find(&device_key).map(|device| device.id);
            let stored = self.world.stored().iter().filter(|(device, _)| Some(*device) == id);
            let stored: Vec<_> =
                stored.filter_map(|(_, points)| Some(json(points).get(point)?.to_string())).collect();
            let stored = stored.join(",");
            if stored != values {
                return Err(format!("{device_key}: {point}={stored} is stored"));
            }
        }
        Ok(())
    }

    fn expect_kept(&self, what: Kept, who: &str, text: &str) -> Happened {
        for device_key in self.device_keys(who) {
            let kept = kept::of(&self.world, &device_key, what)?;
            if kept != text {
                return Err(format!("{device_key}: {kept} is kept"));
            }
        }
        Ok(())
    }

    /// What holds at the end of every story.
    fn end(&mut self) -> Happened {
        for host in self.world.hosts() {
            if let Some(event) = self.world.poll_event(host) {
                let device_key = &self.world.device(host).identity().device_key;
                return Err(format!("{device_key}: {} was not expected", Outcome::of(&event)));
            }
        }
        let mut stored: BTreeMap<(DeviceId, String), usize> = BTreeMap::new();
        for (device, points) in self.world.stored() {
            *stored.entry((*device, json(points).to_string())).or_default() += 1;
        }
        let mut acknowledged: BTreeMap<(DeviceId, String), usize> = BTreeMap::new();
        for host in self.world.hosts() {
            let device = self.world.device(host);
            let Some(row) = self.world.find(&device.identity().device_key) else { continue };
            for report in device.acknowledged() {
                *acknowledged.entry((row.id, json(&report.report.points).to_string())).or_default() += 1;
            }
        }
        for (report, times) in &stored {
            if self.posted.get(report).is_none_or(|posted| times > posted) {
                return Err(format!("{} was stored {times} times", report.1));
            }
        }
        for (report, times) in &acknowledged {
            if stored.get(report).is_none_or(|stored| stored < times) {
                return Err(format!("{} was acknowledged and not stored", report.1));
            }
        }
        Ok(())
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.wait(time, |_| false);
    }

    /// Lets time pass until `done`, but no longer than `limit`; returns whether it came to that.
    fn wait(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.world.now() + limit;
        if let Some((at, before)) = self.clears_up.take_if(|(at, _)| *at <= end) {
            if self.run(at, &mut done) {
                self.clears_up = Some((at, before));
                return true;
            }
            self.world.network.change(before);
        }
        self.run(end, &mut done)
    }

    fn run(&mut self, end: Instant, done: &mut impl FnMut(&mut World) -> bool) -> bool {
        let left = end.saturating_duration_since(self.world.now());
        if self.world.run_until(left, &mut *done) {
            return true;
        }
        self.world.run_for(end.saturating_duration_since(self.world.now()));
        done(&mut self.world)
    }
}

/// Points as a value: how they are written does not matter.
fn json(points: &str) -> serde_json::Value {
    serde_json::from_str(points).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sentences: &str) -> Result<(), String> {
        let text = format!("# A test.\ndevice a psk=k1\n{sentences}");
        let story = Story::parse("test.story", &text).unwrap_or_else(|error| panic!("{error}"));
        story.run().map_err(|error| error.to_string())
    }

    #[test]
    fn a_story_that_is_true_ends_well() {
        assert_eq!(
            run("a connects\na posts temp=1\nexpect a 2.04 within 3s\nexpect store a temp=1\n"),
            Ok(())
        );
    }

    #[test]
    fn what_happens_instead_is_told_with_its_line() {
        for (sentences, reason) in [
            ("expect a pong within 1s\n", "line 3: a: nothing instead of pong"),
            ("a connects\n\nexpect gw sessions=2 within 5s\n", "line 5: the gateway has sessions=1"),
            ("a connects\na posts temp=1\nexpect store a temp=2\n", "line 5: a: temp= is stored"),
            ("a posts temp=1\nexpect gw sessions=0\n", "line 3: the device is not connected"),
            (
                "a connects\na pings\nafter 1s expect gw sessions=1\n",
                "line 5: at the end of the story: a: pong was not expected",
            ),
        ] {
            assert_eq!(run(sentences), Err(format!("test.story {reason}")));
        }
    }

    #[test]
    fn weather_that_lasts_a_while_clears_up_by_itself() {
        let during = "network loses everything for 10m\nafter 570s a tries to connect\n";
        assert_eq!(
            run(&format!("{during}expect a nothing within 29s\nexpect a connected within 3m\n")),
            Ok(())
        );
    }
}
