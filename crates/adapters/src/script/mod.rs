//! Scripts of products in QuickJS, in processes of their own.
//!
//! ```text
//! Pool      the port: queues of products, which take turns, and a thread for each process
//!   turns     whose turn it is
//!   process   a process as the thread sees it: asks, waits, ends one that does not answer
//! run_worker  the process itself: one call after the other
//!   frame     what goes between the two
//!   engine    QuickJS within its limits
//! ```
//!
//! The engine is a program in C that runs what strangers wrote, so it does not share a process with secrets
//! and sessions. It interrupts a script at its limit of processor time; some of its built-ins cannot be
//! interrupted (`[].indexOf.call({length: 2 ** 53}, 0)`), and one that has a fault may crash. Then
//! its process is ended, the call fails, and the next one gets a new process.
//! A process has no environment, no files but its socket, and ends with its parent.

pub mod engine;
mod frame;
mod pool;
mod process;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

pub use self::{
    engine::Limits,
    pool::{Options, Pool},
    process::Command,
    worker::run_worker,
};
