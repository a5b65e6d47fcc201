//! New firmware for a fleet, through the whole server: an operator uploads an image and offers it to all
//! devices of a product; each fetches it block by block over a network that loses and repeats, says how far
//! it is, and informs of its new version. The server dies in the middle, devices lose their power and the
//! coverage, the store fails at times, and some devices fail to burn what they have fetched.
//!
//! It ends when every device has the new version, has failed, or is not to get it because the rollout has
//! paused by itself. What the devices know is then compared with what the store holds.

mod agent;
mod fleet;

use std::{fmt, time::Duration};

pub use self::fleet::run;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Devices.
    pub devices: u32,
    /// Bytes of the image.
    pub bytes: usize,
    /// Of a thousand datagrams so many are lost, each way.
    pub lost_per_mille: u16,
    /// … and so many come twice.
    pub repeated_per_mille: u16,
    /// Of a thousand devices so many cannot burn the image.
    pub failing_per_mille: u16,
    /// Times that the server dies while devices fetch.
    pub crashes: u32,
    /// The operator lets a rollout go on that has paused.
    pub resumes: bool,
    /// Where all randomness comes from.
    pub seed: u64,
}

impl Plan {
    /// So many devices and bytes, a loss of a twentieth, and a crash in the middle.
    pub const fn new(devices: u32, bytes: usize, seed: u64) -> Self {
        Self {
            devices,
            bytes,
            lost_per_mille: 50,
            repeated_per_mille: 20,
            failing_per_mille: 0,
            crashes: 1,
            resumes: true,
            seed,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What was tried.
    pub plan: Plan,
    /// Devices that have the new version: their image had the sum of the one that was uploaded.
    pub updated: u32,
    /// Devices that have failed, and were to.
    pub failed: u32,
    /// Devices that were offered nothing when the rollout had paused.
    pub spared: u32,
    /// Devices of which the store knows something else than they do.
    pub unlike: u32,
    /// Devices that have ended in any other way.
    pub stuck: u32,
    /// Blocks that devices got.
    pub blocks: u64,
    /// Blocks that a whole image has, for each device that has it.
    pub blocks_needed: u64,
    /// Sessions.
    pub sessions: u64,
    /// Times that a device went on in another session than it had begun in.
    pub went_on: u64,
    /// Deaths of the server.
    pub crashes: u32,
    /// Times that the rollout paused by itself.
    pub pauses: u32,
    /// Requests that were answered 4.29.
    pub throttled: u64,
    /// Datagrams lost and repeated.
    pub lost_and_repeated: (u64, u64),
    /// Bytes of stored answers in the server, at most.
    pub answer_bytes_max: usize,
    /// Virtual time.
    pub took: Duration,
}

impl Outcome {
    /// Whether all is as promised: every device has the image or was to fail, or, where the rollout has
    /// paused and stays so, was not offered it; the store knows that; and no block was fetched twice but by
    /// devices whose answer was lost.
    pub fn holds(&self) -> bool {
        let Self { plan, updated, failed, spared, unlike, stuck, pauses, .. } = *self;
        let is_complete = updated + failed + spared == plan.devices && stuck == 0 && unlike == 0;
        is_complete && (spared == 0 || pauses > 0 && !plan.resumes)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { devices, bytes, lost_per_mille, .. } = self.plan;
        let lost = f64::from(lost_per_mille) / 10.0;
        writeln!(f, "{devices} devices, an image of {bytes} bytes, {lost} % of the datagrams lost each way")?;
        let (lost, repeated) = self.lost_and_repeated;
        for (name, number) in [
            ("updated, with the right SHA-256", u64::from(self.updated)),
            ("failed, as they had to", u64::from(self.failed)),
            ("not offered, the rollout had paused", u64::from(self.spared)),
            ("the store knows something else", u64::from(self.unlike)),
            ("ended in another way", u64::from(self.stuck)),
            ("blocks fetched", self.blocks),
            ("blocks of all these images", self.blocks_needed),
            ("sessions", self.sessions),
            ("downloads that went on in another", self.went_on),
            ("deaths of the server", u64::from(self.crashes)),
            ("pauses of the rollout", u64::from(self.pauses)),
            ("requests answered 4.29", self.throttled),
            ("datagrams lost", lost),
            ("datagrams repeated", repeated),
            ("bytes of stored answers at most", self.answer_bytes_max as u64),
            ("virtual seconds", self.took.as_secs()),
        ] {
            writeln!(f, "{name:<37} {number:>12}")?;
        }
        Ok(())
    }
}
