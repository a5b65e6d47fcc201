//! The program narrowgate: a gateway for fleets of NB-IoT devices that connect by CoAP over DTLS-PSK.
//!
//! This crate only wires: the command line and the configuration, the shell around `serve`, the control socket
//! by which the command line talks to a running server, and the bridge between the engine and the platform.
#![forbid(unsafe_code)]

pub mod bridge;
mod cli;
mod command;
mod config;
mod control;
mod directory;
mod failure;
pub mod feed;
mod output;
mod serve;
mod store;
pub mod system;
mod time;

use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::Exit;

/// Runs the program with the arguments and the environment of the process.
pub fn run() -> ExitCode {
    let done = match cli::Cli::try_parse() {
        Ok(cli) => command::run(cli),
        Err(mut error) if error.use_stderr() => {
            let arguments: Vec<_> = std::env::args_os().collect();
            cli::tips::add(&mut error, &arguments);
            output::usage(&error);
            return Exit::Usage.into();
        }
        // Help and version are no errors.
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
