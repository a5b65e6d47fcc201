//! Reports over open sessions: how many per second are acknowledged, and after how long.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    LoadConfig, LoadError, check_range,
    crowd::Crowd,
    forgery::Forger,
    outcome::{Latencies, Outcome},
    server::Measurement,
};
use narrowgate_sim::device::{DeviceCommand, DeviceEvent, Report};

/// Sessions at once: each keeps a device in memory, with its log.
const SESSIONS_MAX: u32 = 200_000;
/// Reports in one run.
const COUNT_MAX: u32 = 100_000_000;
/// Handshakes at once, before the reports.
const CONCURRENCY: usize = 128;
/// Forged records per second.
const FORGERIES_MAX: u32 = 1_000_000;
/// What a report says unless told otherwise: two points, as a small sensor has.
pub const POINTS: &str = r#"{"temperature":21.5,"battery":3.61}"#;

/// Stands for the number of a report in its points.
const NUMBER: &str = "{number}";

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Reports {
    /// How many devices report.
    pub sessions: u32,
    /// How many reports in total, or for how long.
    pub amount: Amount,
    /// How many at once, over all sessions; a session has one at a time.
    pub window: u32,
    /// How many per second, over all sessions; `None`: as many as are answered.
    pub rate: Option<u32>,
    /// The points of every report, a JSON object; `{number}` in it is replaced by the report's number.
    pub points: Arc<str>,
    /// Forged records per second, sent from the addresses of the devices.
    pub forgeries: u32,
}

/// When enough was reported.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// After so many reports.
    Count(u32),
    /// After this time. A server keeps answers for 247 s, so only what takes longer shows what it can do
    /// without end.
    Time(Duration),
}

impl Amount {
    /// Whether one more is to be sent.
    fn wants_more(self, sent: u32, elapsed: Duration) -> bool {
        match self {
            Self::Count(count) => sent < count,
            Self::Time(time) => elapsed < time && sent < COUNT_MAX,
        }
    }

    /// Whether all that is wanted has ended, so or so.
    fn is_done(self, ended: u32, sent: u32, elapsed: Duration) -> bool {
        match self {
            Self::Count(count) => ended >= count,
            Self::Time(_) => ended >= sent && !self.wants_more(sent, elapsed),
        }
    }
}

/// Connects the devices, then lets them report in turn. Each answer is checked: 2.04, and code 200 for this
/// report. The time limit counts from the end of [`Amount::Time`].
///
/// # Errors
/// The numbers, the socket, the process to be measured, or a device that cannot connect.
pub fn run(
    config: &LoadConfig,
    reports: Reports,
    server: Option<&Measurement>,
) -> Result<Outcome, LoadError> {
    let Reports { sessions, amount, window, rate, points, forgeries } = reports;
    check_range("sessions", sessions, SESSIONS_MAX)?;
    let time_limit = match amount {
        Amount::Count(count) => {
            check_range("count", count, COUNT_MAX)?;
            config.time_limit
        }
        Amount::Time(time) => time + config.time_limit,
    };
    check_range("window", window, sessions)?;
    check_range("rate", rate.unwrap_or(1), COUNT_MAX)?;
    check_range("forgeries", forgeries.max(1), FORGERIES_MAX)?;
    let mut crowd = Crowd::new(config.clone(), sessions)?;
    connect_all(&mut crowd, config, sessions)?;
    let before = server.map(Measurement::take).transpose()?;
    let begin = Instant::now();
    let mut run = Run {
        ready: (1..=sessions).collect(),
        begun: vec![begin; sessions as usize + 1],
        in_flight: 0,
        sent: 0,
        failed: 0,
        latencies: Latencies::default(),
        is_numbered: points.contains(NUMBER),
        points,
    };
    let mut forger = Forger::new(begin, forgeries, sessions);
    let mut events = Vec::new();
    loop {
        let elapsed = begin.elapsed();
        if amount.is_done(run.latencies.count() + run.failed, run.sent, elapsed) || elapsed >= time_limit {
            break;
        }
        let is_due = |sent| rate.is_none_or(|rate| f64::from(sent) < elapsed.as_secs_f64() * f64::from(rate));
        run.fill(&mut crowd, |sent| is_due(sent) && amount.wants_more(sent, elapsed), window)?;
        forger.turn(Instant::now(), &crowd)?;
        crowd.turn(&mut events)?;
        let now = Instant::now();
        for (number, event) in events.drain(..) {
            run.handle_event(now, number, &event);
        }
    }
    let elapsed = begin.elapsed();
    let after = server.map(Measurement::take).transpose()?;
    let wanted = if let Amount::Count(count) = amount { count } else { run.sent };
    Ok(Outcome::new("report", wanted, elapsed, run.latencies, before.zip(after)))
}

/// Connects all devices; one that cannot connect ends the run.
fn connect_all(crowd: &mut Crowd, config: &LoadConfig, sessions: u32) -> Result<(), LoadError> {
    let begin = Instant::now();
    let (mut next, mut connected, mut failed) = (1, 0, 0);
    let mut events = Vec::new();
    while connected < sessions && failed == 0 && begin.elapsed() < config.time_limit {
        while next <= sessions && ((next - 1 - connected) as usize) < CONCURRENCY {
            crowd.connect(Instant::now(), next)?;
            next += 1;
        }
        crowd.turn(&mut events)?;
        for (_, event) in events.drain(..) {
            match event {
                DeviceEvent::Connected { .. } => connected += 1,
                DeviceEvent::ConnectFailed(_) => failed += 1,
                _ => {}
            }
        }
    }
    let missing = sessions - connected;
    if missing == 0 { Ok(()) } else { Err(LoadError::NotConnected { failed: missing, count: sessions }) }
}

struct Run {
    /// Sessions without a report on its way.
    ready: VecDeque<u32>,
    /// When the report of a session was sent.
    begun: Vec<Instant>,
    in_flight: u32,
    sent: u32,
    failed: u32,
    latencies: Latencies,
    points: Arc<str>,
    /// Whether the points have a place for the number of the report.
    is_numbered: bool,
}

impl Run {
    fn fill(
        &mut self,
        crowd: &mut Crowd,
        wants_more: impl Fn(u32) -> bool,
        window: u32,
    ) -> Result<(), LoadError> {
        while self.in_flight < window && wants_more(self.sent) {
            let Some(number) = self.ready.pop_front() else { return Ok(()) };
            let now = Instant::now();
            self.begun[number as usize] = now;
            self.sent += 1;
            let report =
                Report { id: u64::from(self.sent), time_ms: None, points: self.points_of(self.sent) };
            if crowd.command(now, number, DeviceCommand::Report(report))? {
                self.in_flight += 1;
            } else {
                self.failed += 1;
            }
        }
        Ok(())
    }

    fn points_of(&self, sent: u32) -> Arc<str> {
        if self.is_numbered {
            self.points.replace(NUMBER, &sent.to_string()).into()
        } else {
            Arc::clone(&self.points)
        }
    }

    fn handle_event(&mut self, now: Instant, number: u32, event: &DeviceEvent) {
        match event {
            DeviceEvent::Acknowledged { .. } => self.latencies.add(now - self.begun[number as usize]),
            DeviceEvent::ReportRefused { .. } | DeviceEvent::Unanswered { .. } => self.failed += 1,
            _ => return,
        }
        self.in_flight -= 1;
        self.ready.push_back(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_its_last_answer() {
        let second = Duration::from_secs(1);
        let count = Amount::Count(10);
        assert!(count.wants_more(9, 9 * second) && !count.wants_more(10, second));
        assert!(!count.is_done(9, 10, 9 * second) && count.is_done(10, 10, second));
        let time = Amount::Time(5 * second);
        assert!(time.wants_more(1000, 4 * second) && !time.wants_more(1000, 5 * second));
        assert!(!time.is_done(1000, 1000, 4 * second), "the time is not over");
        assert!(!time.is_done(999, 1000, 6 * second), "one is not answered");
        assert!(time.is_done(1000, 1000, 6 * second));
    }
}
