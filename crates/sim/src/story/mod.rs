//! Stories: what devices live through, in sentences that are parsed, run under virtual time and checked.
//!
//! A story is a text file. Its first line says after `#` what it shows; then there is one sentence a line,
//! and `after 40m` before a sentence lets time pass first. Durations are written `250ms`, `3s`, `5m`, `48h`,
//! `7d`.
//!
//! | sentence | meaning |
//! |---|---|
//! | `server idle_timeout=10m` | settings of the gateway, before all others (1) |
//! | `device a psk=k1` | a device, switched off, with its settings (2) |
//! | `a connects` | the handshake succeeds within a minute; `a tries to connect` leaves that open |
//! | `a posts temp=21.5`, `a posts 900 bytes`, `a pings` | what a device sends in a session |
//! | `a gets /path`, `a asks for its secret` | the same |
//! | `a says thing/tag/query {"tags":[]}` | a message to a topic of its own, with its `params` |
//! | `a fetches its command`, `a answers its command with 200` | the one that was named last |
//! | `a closes`, `a powers off`, `a moves to a new port` | with a word, without a word, without knowing |
//! | `network is good`, `network is bad`, `network loses everything for 48h` | how datagrams travel (3) |
//! | `network loses the next 2 to a` | whatever the conditions; `to gw` for the other direction |
//! | `network records`, `network replays` | what devices sent in between arrives again |
//! | `network replays from elsewhere` | the same, from another address |
//! | `gw answers after 5s`, `gw answers nothing`, `gw answers now` | how long a commit takes (4) |
//! | `gw looks up after 5s`, `gw looks up nothing` | the same for keys |
//! | `gw tells a to set {"temp":30.5} within 48h` | a command of an operator, with its time to live |
//! | `gw resets a psk=k2`, `gw disables a`, `gw drains`, `gw restarts` | what an operator does |
//! | `gw sets the profile nbiot`, `gw sets the profile default` | the same, of the product of all devices |
//! | `expect a 2.04 within 3s` | the next thing that the device reports (5) |
//! | `expect gw sessions=1 posts>=2` | see [`Quantity`]; with `within 5s` it may take that long |
//! | `expect store a temp=21.5,22.0` | all values of a point that were stored for a device, in order |
//! | `expect attributes a {"size":1}` | what is kept; also `tags`, `events a opened`, `commands a sent` |
//!
//! (1) `idle_timeout`, `sessions_max`, `requests_max`, `handshakes_max`, `suites`, `seed`.
//!
//! (2) `psk` (a secret, or `issued`: the one that it was given), `known` (`no`, or the secret that it is
//! registered with), `suite`, `lifetime`, `mode=product`, `identity`, `at` (the address of another device),
//! `retransmit`, `ack_timeout`, `count` (how many of them share one name).
//!
//! (3) Also `loses 300 of 1000`, `repeats 100 of 1000`, `holds back 100 of 1000 by 3s`,
//! `flips a bit in 100 of 1000`, `delays 2s`, `carries 300 bytes`, joined by `and`.
//!
//! (4) `now` also ends what is under way.
//!
//! (5) A CoAP code, `connected`, `connected ccm8`, `refused`, `gave up`, `timeout`, `pong`, `secret`,
//! `closed`, or `nothing`.
//!
//! They run on the real gateway with all its rules. A device that is registered already, under another name,
//! stays as it is.
//!
//! At the end of every story holds besides: nothing that a device told was left unexpected, every report that
//! was acknowledged was stored, and none was stored twice.

mod kept;
mod parse;
mod quantity;
mod run;
mod say;
mod sentence;

use narrowgate_engine::shard::ShardConfig;

pub use quantity::Quantity;
use sentence::Sentence;

/// A story, understood.
#[derive(Debug)]
pub struct Story {
    file: String,
    title: String,
    server: ShardConfig,
    seed: u64,
    sentences: Vec<Sentence>,
}

/// A sentence is not understood, or something else happened than it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {reason}")]
pub struct StoryError {
    /// Which file.
    pub file: String,
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Story {
    /// Parses a story; `file` is for its errors.
    ///
    /// # Errors
    /// A line is not understood.
    pub fn parse(file: &str, text: &str) -> Result<Self, StoryError> {
        parse::story(file, text)
    }

    /// What it shows, in its own words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// Something else happened.
    pub fn run(&self) -> Result<(), StoryError> {
        run::story(self)
    }
}
