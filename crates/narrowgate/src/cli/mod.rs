//! The command line as clap knows it: names, options and short help with examples. `command` runs the
//! commands.

mod access;
mod audit;
mod backup;
mod device;
mod downlink;
mod firmware;
mod model;
mod paging;
mod product;
mod script;
mod server;
mod simulate;
pub(crate) mod tips;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use access::{NewTokenArgs, NewUserArgs, TokenCommand, UnitCommand, UserCommand};
pub(crate) use audit::{AuditCommand, AuditListArgs, AuditVerifyArgs};
use backup::{ADOPT_HELP, BACKUP_HELP, RESTORE_HELP};
pub(crate) use backup::{AdoptArgs, BackupArgs, RestoreArgs};
pub(crate) use device::{
    CreateArgs as DeviceCreateArgs, DeleteArgs, DeviceCommand, EventsArgs, ExportArgs, ImportArgs,
    ImportMode, ListArgs, LogArgs, PointsArgs, PropertiesArgs, ResetArgs, WhyArgs,
};
pub(crate) use downlink::{Cancel, CancelArgs, CommandArgs, CommandListArgs, DownlinkCommand, SendArgs};
pub(crate) use firmware::{FirmwareCommand, OfferArgs, StatusArgs, UploadArgs};
pub(crate) use model::ModelCommand;
pub(crate) use paging::{Paging, PagingArgs};
pub(crate) use product::{
    CreateArgs as ProductCreateArgs, DeleteArgs as ProductDeleteArgs, ProductCommand, RotateSecretArgs,
    Switch, UpdateArgs,
};
pub(crate) use script::{ScriptCommand, TryArgs};
use server::DOCTOR_HELP;
pub(crate) use server::{DoctorArgs, ServerArgs};
pub(crate) use simulate::{Fault, Reply, SimulateArgs};

/// A gateway for NB-IoT devices: CoAP over DTLS-PSK.
#[derive(Debug, Parser)]
#[command(
    name = "narrowgate",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "The first message within two minutes:\n  narrowgate demo\n\nOr step by step:\n  \
                  narrowgate serve &\n  narrowgate product create meters\n  \
                  narrowgate device create --product PRODUCT_KEY\n\n\
                  Exit codes: 0 done, 1 failed, 64 bad usage, 78 bad configuration."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes, before or after the verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Data directory (registry, messages, keys) [default: NARROWGATE_DATA, else ./narrowgate-data]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value_os_t = default_data(),
        hide_default_value = true
    )]
    pub(crate) data: PathBuf,
    /// Configuration file [default: NARROWGATE_CONFIG, else DIR/narrowgate.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Format of standard output: a table, or one JSON document [default: table; for listen: json]
    #[arg(short, long, global = true, value_enum)]
    pub(crate) output: Option<Output>,
}

/// An empty environment variable counts as not set.
fn default_data() -> PathBuf {
    let named = std::env::var_os("NARROWGATE_DATA").filter(|name| !name.is_empty());
    named.map_or_else(|| PathBuf::from("./narrowgate-data"), PathBuf::from)
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve devices until SIGTERM
    #[command(after_help = "Example:\n  narrowgate serve --data /var/lib/narrowgate --dtls 0.0.0.0:5684")]
    Serve(ServerArgs),
    /// Serve with a sample product and devices, and print commands to try them
    #[command(after_help = "Example:\n  narrowgate demo --data /tmp/demo --dtls 127.0.0.1:5684")]
    Demo(ServerArgs),
    /// Create, list, change and delete products (kinds of devices)
    #[command(subcommand)]
    Product(ProductCommand),
    /// Show, check and draft thing models (what devices of a product may send)
    #[command(subcommand)]
    Model(ModelCommand),
    /// Publish and try scripts, which turn bytes of devices into messages and back
    #[command(subcommand)]
    Script(ScriptCommand),
    /// Register, list, inspect and disable devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Send commands to devices, and see what became of them
    #[command(subcommand, name = "command")]
    Downlink(DownlinkCommand),
    /// Upload images of firmware, offer them to devices, and follow that
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Create, list and revoke tokens for programs that use the HTTP API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Create, list, reset and delete users, who log in with a browser
    #[command(subcommand)]
    User(UserCommand),
    /// Create and list organisation units, which own products
    #[command(subcommand, name = "ou")]
    Unit(UnitCommand),
    /// List, export and verify the log of what operators changed
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List refused handshakes and requests, of devices and of strangers, newest first
    #[command(after_help = "Examples:\n  narrowgate refused --limit 20\n  narrowgate refused --all -o json")]
    Refused(RefusedArgs),
    /// Show the fleet in numbers: devices by state and product, refusals, reports, disk
    #[command(after_help = "Example:\n  narrowgate status -o json | jq .devices")]
    Status,
    /// Check this machine, the data directory and the running server, and say what to do
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Print events as they happen, one JSON line each (needs a running server)
    #[command(after_help = LISTEN_HELP)]
    Listen(ListenArgs),
    /// Copy the store into a new directory, also while a server runs
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArgs),
    /// Restore a backup into an empty data directory
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Go on with files that do not belong together, where a start refuses them
    #[command(after_help = ADOPT_HELP)]
    Adopt(AdoptArgs),
    /// Show every setting, its value and where it came from
    #[command(after_help = "Each key has an environment variable: dtls.listen is NARROWGATE_DTLS_LISTEN.")]
    Config {
        /// Only this setting, for example dtls.listen
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Print the completion script for a shell
    #[command(after_help = "Example:\n  narrowgate completions bash > /etc/bash_completion.d/narrowgate")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the pages of the manual into a directory, one for each command
    #[command(after_help = "Example:\n  narrowgate man /usr/local/share/man/man1")]
    Man {
        /// Where they go; it has to exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

const LISTEN_HELP: &str = "It goes on when the server restarts, and misses nothing.\n\n\
    Examples:\n  narrowgate listen --product MuGsF6W4 | jq .points\n  \
    narrowgate listen --types presence,refusal\n  \
    narrowgate listen -o json --with-cursor --from \"$last\"";

/// Refusals: 50 by default, 10,000 at most.
#[derive(Debug, Args)]
pub(crate) struct RefusedArgs {
    #[command(flatten)]
    pub(crate) paging: PagingArgs<50, 10_000>,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Only of this product
    #[arg(long, value_name = "PK")]
    pub(crate) product: Option<String>,
    /// Only of this device, as DK or PK/DK
    #[arg(long, value_name = "DK")]
    pub(crate) device: Option<String>,
    /// Only these kinds, separated by commas: report, presence, refusal, command, event
    #[arg(long, value_name = "KINDS")]
    pub(crate) types: Option<String>,
    /// With --product or --device: also refusals of those who are no device that is known
    #[arg(long)]
    pub(crate) strangers: bool,
    /// First what has happened since the event with this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) from: Option<String>,
    /// With -o json: print the cursor of each event with it
    #[arg(long)]
    pub(crate) with_cursor: bool,
    /// End when the server stops, instead of going on when it is back
    #[arg(long)]
    pub(crate) no_resume: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_finds_no_fault_in_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for arguments in [
            ["narrowgate", "--data", "/d", "-o", "json", "product", "list"],
            ["narrowgate", "product", "list", "-o", "json", "--data", "/d"],
            ["narrowgate", "product", "-o", "json", "list", "--data", "/d"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.global.output, Some(Output::Json));
            assert_eq!(cli.global.data, PathBuf::from("/d"));
        }
    }

    #[test]
    fn every_command_has_a_help_that_fits_a_line() {
        fn walk(command: &clap::Command) {
            let about = command
                .get_about()
                .unwrap_or_else(|| panic!("{} has no help", command.get_name()))
                .to_string();
            assert!(about.len() <= 90, "{}: {about}", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    /// clap makes a line break of it.
    #[test]
    fn no_help_has_what_clap_takes_for_a_line_break() {
        fn walk(command: &clap::Command) {
            let of_arguments =
                command.get_arguments().flat_map(|argument| [argument.get_help(), argument.get_long_help()]);
            let of_command = [command.get_after_help(), command.get_long_about(), command.get_about()];
            for text in of_arguments.chain(of_command).flatten() {
                assert!(!text.to_string().contains("{n}"), "{}: {text}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
