//! The program narrowgate: a gateway for fleets of NB-IoT devices that connect by CoAP over DTLS-PSK.
//!
//! This crate only wires: the command line and the configuration, the shell around `serve`, the control
//! socket by which the command line talks to a running server, and the gateway, which it runs on tokio.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod command;
mod config;
mod directory;
mod doctor;
mod failure;
mod feed;
mod gateway;
mod host;
mod live;
mod output;
mod passwords;
mod scripts;
mod serve;
mod socket;
mod store;
mod system;
mod trace;

use std::process::ExitCode;

use clap::Parser as _;
use narrowgate_api::time;
use nix::sys::{
    resource::{Resource, setrlimit},
    signal::{SigSet, Signal},
};

use crate::failure::Exit;

/// Runs the program with the arguments and the environment of the process.
pub fn run() -> ExitCode {
    // A write to a file at its size limit (`ulimit -f`) sends SIGXFSZ, which would end the process. While it
    // is blocked, here and in all later threads, the write fails as on a full disk.
    let mut file_size = SigSet::empty();
    file_size.add(Signal::SIGXFSZ);
    // Ignored: without the block everything else still works.
    let _ = file_size.thread_block();
    leave_no_core();
    if scripts::is_worker() {
        return narrowgate_adapters::script::run_worker();
    }
    let done = match cli::Cli::try_parse() {
        Ok(cli) => command::run(cli),
        Err(mut error) if error.use_stderr() => {
            let arguments: Vec<_> = std::env::args_os().collect();
            cli::tips::add(&mut error, &arguments);
            output::usage(&error);
            return Exit::Usage.into();
        }
        // Help and version are not errors.
        Err(error) => output::help(&error),
    };
    let code = done.map_or_else(
        |failure| {
            failure.print();
            failure.exit.into()
        },
        |()| ExitCode::SUCCESS,
    );
    output::finish();
    code
}

/// Keeps the memory, in which secrets are, out of core dumps: of files by their limit, and of what a program
/// like systemd-coredump is given by the kernel's filter, which selects no part of it.
fn leave_no_core() {
    // Ignored: then what the system dumps is up to its operator.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
}
