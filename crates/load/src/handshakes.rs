//! Full handshakes of different devices: how many per second, and how long each takes. The sessions stay,
//! idle, on the server.

use std::time::Instant;

use super::{
    DEVICES_MAX, LoadConfig, LoadError, check_range,
    crowd::Crowd,
    outcome::{Latencies, Outcome},
    server::Measurement,
};
use narrowgate_sim::device::DeviceEvent;

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
pub struct Handshakes {
    /// How many devices connect, once each.
    pub count: u32,
    /// How many of them at once.
    pub concurrency: u32,
}

/// Connects the devices 1 to `count`.
///
/// # Errors
/// The numbers, the socket, or the process to be measured. A device that is refused is not an error; it is
/// counted.
pub fn run(
    config: &LoadConfig,
    handshakes: Handshakes,
    server: Option<&Measurement>,
) -> Result<Outcome, LoadError> {
    let Handshakes { count, concurrency } = handshakes;
    check_range("count", count, DEVICES_MAX)?;
    check_range("concurrency", concurrency, count)?;
    let mut crowd = Crowd::new(config.clone(), count)?;
    let before = server.map(Measurement::take).transpose()?;
    let begin = Instant::now();
    let mut connects = Connects { next: 1, count, begun: vec![begin; count as usize + 1] };
    let mut latencies = Latencies::default();
    let mut failed = 0;
    let mut events = Vec::new();
    while latencies.count() + failed < count && begin.elapsed() < config.time_limit {
        connects.fill(&mut crowd, concurrency)?;
        crowd.turn(&mut events)?;
        let now = Instant::now();
        for (number, event) in events.drain(..) {
            match event {
                DeviceEvent::Connected { .. } => latencies.add(now - connects.begun[number as usize]),
                DeviceEvent::ConnectFailed(_) => failed += 1,
                _ => continue,
            }
            crowd.forget(number);
        }
    }
    let elapsed = begin.elapsed();
    let after = server.map(Measurement::take).transpose()?;
    Ok(Outcome::new("handshake", count, elapsed, latencies, before.zip(after)))
}

/// The devices that are still to connect, and when the others began to.
struct Connects {
    next: u32,
    count: u32,
    begun: Vec<Instant>,
}

impl Connects {
    /// Starts devices until `concurrency` of them are connecting.
    fn fill(&mut self, crowd: &mut Crowd, concurrency: u32) -> Result<(), LoadError> {
        while crowd.present() < concurrency && self.next <= self.count {
            let now = Instant::now();
            self.begun[self.next as usize] = now;
            crowd.connect(now, self.next)?;
            self.next += 1;
        }
        Ok(())
    }
}
