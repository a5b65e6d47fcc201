//! The commands, one file each.

mod access;
mod adopt;
mod audit;
mod backup;
mod buckets;
mod completions;
mod config;
mod confirm;
mod demo;
mod demo_text;
mod device;
mod doctor;
mod downlink;
mod export;
mod firmware;
mod import;
mod listen;
mod man;
mod model;
mod pages;
mod product;
mod product_shown;
mod properties;
mod purge;
mod refused;
mod script;
mod secret_argument;
mod serve;
mod simulate;
mod status;
pub(crate) mod users;

pub(crate) use status::bytes;

use crate::{
    cli::{Cli, Command, Output, ServerArgs},
    config::Config,
    failure::Failure,
    output,
};

/// Runs the command.
///
/// # Errors
/// What the operator reads; it carries the exit code.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    if matches!(command, Command::Serve(_) | Command::Demo(_)) {
        // First of all, because every failure is written there.
        output::queue_stderr()?;
    }
    // These print the warnings themselves.
    if !matches!(command, Command::Serve(_) | Command::Demo(_) | Command::Config { .. }) {
        for warning in config::mistyped_warnings() {
            output::note(format_args!("warning: {warning}"));
        }
    }
    let load = |server: &ServerArgs| Config::load(&global, server);
    let load_server = |server: &ServerArgs| {
        let config = load(server)?;
        config.check_server().map(|()| config)
    };
    let form = global.output.unwrap_or(Output::Table);
    let offline = ServerArgs::default();
    match command {
        Command::Completions { shell } => completions::run(shell),
        Command::Man { directory } => man::run(&directory),
        Command::Config { key } => config::run(key.as_deref(), &load(&offline)?, form),
        Command::Serve(arguments) => serve::run(&load_server(&arguments)?),
        Command::Demo(arguments) => demo::run(&load_server(&arguments)?, form),
        Command::Product(command) => product::run(command, &load(&offline)?, form),
        Command::Model(command) => model::run(command, &load(&offline)?, form),
        Command::Script(command) => script::run(command, &load(&offline)?, form),
        Command::Downlink(command) => downlink::run(command, &load(&offline)?, form),
        Command::Firmware(command) => firmware::run(command, &load(&offline)?, form),
        Command::Token(command) => access::tokens(command, &load(&offline)?, form),
        Command::User(command) => users::run(command, &load(&offline)?, form),
        Command::Unit(command) => access::units(command, &load(&offline)?, form),
        Command::Audit(command) => audit::run(command, &load(&offline)?, form),
        Command::Device(command) => device::run(command, &load(&offline)?, form),
        Command::Refused(arguments) => refused::run(arguments, &load(&offline)?, form),
        Command::Backup(arguments) => backup::back_up(&arguments, &load(&offline)?, form),
        Command::Restore(arguments) => backup::bring_back(&arguments, &load(&offline)?, form),
        Command::Adopt(arguments) => adopt::run(&arguments, &load(&offline)?, form),
        Command::Doctor(arguments) => doctor::run(&arguments, &load(&arguments.server)?, form),
        Command::Status => status::run(&load(&offline)?, form),
        Command::Listen(arguments) => {
            listen::run(arguments, &load(&offline)?, global.output.unwrap_or(Output::Json))
        }
    }
}
