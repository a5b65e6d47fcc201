//! Scripts of products whose devices speak bytes: what turns bytes into a message, and a message into bytes.
//!
//! A script is JavaScript with two functions, `rawDataToJsonStr(bytes)` and `jsonStrToRawData(json)`. It runs
//! apart from everything else and within limits; every way in which it can fail is a [`Fault`]. A call begins
//! as if no other one had been before it.

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::PortFuture;
use crate::ids::{DeviceId, UnixMillis};

/// Bytes of the longest source that is run.
pub const SCRIPT_BYTES_MAX: usize = 64 << 10;

/// The source of a script of a product. Cheap to clone.
///
/// Two with the same product and source are one script, whatever version or draft they are: what was compiled
/// for one is used for the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Script {
    product: Arc<str>,
    source: Arc<str>,
    digest: [u8; 32],
}

impl Script {
    /// A script of this product; hashes the source once.
    pub fn new(product: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Self {
        let (product, source) = (product.into(), source.into());
        let mut hash = Sha256::new();
        // A product's key has no zero byte, so that no other pair gives the same bytes.
        hash.update(product.as_bytes());
        hash.update([0]);
        hash.update(source.as_bytes());
        Self { product, source, digest: hash.finalize().into() }
    }

    /// The key of the product, whose scripts take turns with those of others.
    pub fn product(&self) -> &Arc<str> {
        &self.product
    }

    /// The JavaScript.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// SHA-256 of product and source: the name under which the compiled script is kept.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({}, {} bytes)", self.product, self.source.len())
    }
}

/// What a call sees beside its argument. The same script, argument and circumstances give the same result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// What `Date` takes for now: the time of arrival.
    pub arrival: UnixMillis,
    /// From where the sequence of `Math.random` begins.
    pub seed: u64,
}

impl Circumstances {
    /// Of a message that came at this time: the same bytes at the same time give the same result again.
    pub fn of(message: &[u8], arrival: UnixMillis) -> Self {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let mut seed = [0; 8];
        seed.copy_from_slice(&digest[..8]);
        Self { arrival, seed: u64::from_be_bytes(seed) }
    }
}

/// For whom a script is run. Those of a product take turns, each with its oldest call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A device: what it sent, or the reply to that.
    Device(DeviceId),
    /// Who sends commands to devices of the product.
    Commands,
    /// An operator who tries a script, or has one checked. Trials of a product are apart from all else: what
    /// they take, and the limits that they run into, count for trials alone.
    Trial,
}

/// Runs scripts. No call waits for a script of another product longer than a turn takes, nor for another
/// caller of its product longer than a call.
pub trait Scripts: Send + Sync + 'static {
    /// Compiles a script, runs its top level once, and looks whether both functions are there: before a
    /// source is kept as a draft or published. A trial, see [`Caller::Trial`].
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    fn check(&self, script: &Script) -> PortFuture<'_, Result<(), Fault>>;

    /// `rawDataToJsonStr`: the string that it returned, which may be anything, JSON or not.
    ///
    /// # Errors
    /// How the script failed, or why it was not run. A call whose future is dropped before its turn is not
    /// run at all.
    fn decode(
        &self,
        script: &Script,
        bytes: &[u8],
        circumstances: Circumstances,
        caller: Caller,
    ) -> PortFuture<'_, Result<String, Fault>>;

    /// `jsonStrToRawData`: the bytes that it returned.
    ///
    /// # Errors
    /// How the script failed, or why it was not run.
    fn encode(
        &self,
        script: &Script,
        json: &str,
        circumstances: Circumstances,
        caller: Caller,
    ) -> PortFuture<'_, Result<Vec<u8>, Fault>>;
}

/// Where no script can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoScripts;

fn none<T: Send + 'static>() -> PortFuture<'static, Result<T, Fault>> {
    let fault = Fault::new(FaultKind::Unavailable, "this process runs no scripts");
    Box::pin(std::future::ready(Err(fault)))
}

impl Scripts for NoScripts {
    fn check(&self, _: &Script) -> PortFuture<'_, Result<(), Fault>> {
        none()
    }

    fn decode(
        &self,
        _: &Script,
        _: &[u8],
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<String, Fault>> {
        none()
    }

    fn encode(
        &self,
        _: &Script,
        _: &str,
        _: Circumstances,
        _: Caller,
    ) -> PortFuture<'_, Result<Vec<u8>, Fault>> {
        none()
    }
}

/// Bytes of the longest message of a fault; what a script throws is cut to it.
pub const FAULT_MESSAGE_BYTES_MAX: usize = 512;

/// How a script failed, or why it was not run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}", self.place())]
pub struct Fault {
    /// What kind of failure this is.
    pub kind: FaultKind,
    /// For the author of the script, or the operator: at most [`FAULT_MESSAGE_BYTES_MAX`] bytes, one line.
    pub message: String,
    /// The line of the source, counted from 1, where one is known.
    pub line: Option<u32>,
}

impl Fault {
    /// A fault without a line.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::at(kind, message, None)
    }

    /// A fault at a line. The message is cut to its longest, and control characters in it become spaces.
    pub fn at(kind: FaultKind, message: impl Into<String>, line: Option<u32>) -> Self {
        let mut message: String = message.into();
        let end = (0..=FAULT_MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        let message = message.replace(char::is_control, " ");
        Self { kind, message, line }
    }

    fn place(&self) -> String {
        self.line.map(|line| format!(" (line {line})")).unwrap_or_default()
    }
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The source is no JavaScript that can be run here, or too long.
    Syntax,
    /// A function is not there.
    Missing,
    /// The script threw.
    Throws,
    /// It took longer than a call may.
    Time,
    /// It wanted more memory than a call may have.
    Memory,
    /// It called itself too often.
    Stack,
    /// What it returned is too long.
    Output,
    /// It brought the engine down, or would not end although it was told to.
    Crashed,
    /// What it returned is neither a string nor bytes, whichever it had to be.
    ReturnType,
    /// Not run: too many calls of this product wait, or they rest after one that ran into a limit. The same
    /// call may succeed later.
    Busy,
    /// Not run, or not to its end, by no fault of the script: the engine is not there. The same call may
    /// succeed later.
    Unavailable,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Syntax,
        Self::Missing,
        Self::Throws,
        Self::Time,
        Self::Memory,
        Self::Stack,
        Self::Output,
        Self::Crashed,
        Self::ReturnType,
        Self::Busy,
        Self::Unavailable,
    ];

    /// A stable word for logs and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Missing => "missing",
            Self::Throws => "throws",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Output => "output",
            Self::Crashed => "crashed",
            Self::ReturnType => "return_type",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the script itself is to blame: the same call fails again.
    pub fn is_of_script(self) -> bool {
        !matches!(self, Self::Busy | Self::Unavailable)
    }

    /// Whether the script ran into a limit.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Time | Self::Memory | Self::Stack | Self::Output | Self::Crashed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_told_apart_by_product_and_source() {
        let one = Script::new("p1", "s");
        assert_eq!(one, Script::new("p1", "s"));
        for other in [Script::new("p2", "s"), Script::new("p1", "t"), Script::new("p", "1s")] {
            assert_ne!(one.digest(), other.digest());
        }
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let long = format!("a\n{}", "é".repeat(FAULT_MESSAGE_BYTES_MAX));
        let fault = Fault::at(FaultKind::Throws, long, Some(3));
        assert!(fault.message.starts_with("a é") && fault.message.len() <= FAULT_MESSAGE_BYTES_MAX);
        assert!(fault.to_string().ends_with("é (line 3)"));
        assert_eq!(Fault::new(FaultKind::Busy, "later").to_string(), "later");
    }

    #[test]
    fn words_are_unique() {
        for kind in FaultKind::ALL {
            assert_eq!(FaultKind::ALL.iter().filter(|other| other.word() == kind.word()).count(), 1);
            assert!(kind.is_of_script() || !kind.is_limit());
        }
    }
}
