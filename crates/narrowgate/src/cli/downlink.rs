//! `narrowgate command …`.

use clap::{ArgGroup, Args, Subcommand};
use narrowgate_api::device::NamedDevice;
use narrowgate_platform::model::command::CommandId;

use super::{
    device::DeviceArgs,
    paging::{PagingArgs, number},
};

#[derive(Debug, Subcommand)]
pub(crate) enum DownlinkCommand {
    /// Send a command to a device: set or get points, or run a service
    #[command(
        after_help = "The device must be online, unless the command may wait for it (--pending-ttl).\n\n\
                      Examples:\n  narrowgate command send MuGsF6W4/15bBZlRknc --set '{\"temp\":30.5}' \
                      --wait\n  narrowgate command send 15bBZlRknc --get temp,power --pending-ttl 86400\n  \
                      narrowgate command send 15bBZlRknc --service restart --input '{\"delay\":5}'"
    )]
    Send(SendArgs),
    /// List the commands of a device, newest first
    #[command(after_help = "Example:\n  narrowgate command list MuGsF6W4/15bBZlRknc --limit 10 -o json")]
    List(CommandListArgs),
    /// Show one command of a device
    #[command(after_help = "Examples:\n  narrowgate command show MuGsF6W4/15bBZlRknc 20\n  \
                            narrowgate command show MuGsF6W4 15bBZlRknc 20")]
    Show(CommandArgs),
    /// Take back a command that has not ended, or all of a device
    #[command(after_help = "Examples:\n  narrowgate command cancel MuGsF6W4/15bBZlRknc 20\n  \
                            narrowgate command cancel MuGsF6W4/15bBZlRknc --yes")]
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["set", "get", "service"]))]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Points to set, as a JSON object: '{"temp":30.5}'
    #[arg(long, value_name = "JSON")]
    pub(crate) set: Option<String>,
    /// Points to report
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    pub(crate) get: Vec<String>,
    /// Service of the thing model to run
    #[arg(long, value_name = "ID")]
    pub(crate) service: Option<String>,
    /// Inputs of the service, as a JSON object [default: {}]
    #[arg(long, value_name = "JSON", requires = "service", conflicts_with_all = ["set", "get"])]
    pub(crate) input: Option<String>,
    /// How long the command may wait for the device; 0: the device must be online
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        value_parser = number::<0, 172_800>,
        allow_negative_numbers = true
    )]
    pub(crate) pending_ttl: u32,
    /// How long the device has to answer
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = number::<1, 60>,
        allow_negative_numbers = true
    )]
    pub(crate) timeout: u32,
    /// Wait for the device's answer; exit code 1 unless it succeeded
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CommandListArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<50, 10_000>,
}

#[derive(Debug, Args)]
pub(crate) struct CommandArgs {
    /// The device as PK/DK or DK, or as PK and DK; and the id of the command
    #[arg(value_names = ["PK/DK", "ID"], num_args = 2..=3, required = true)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The device as PK/DK or DK, or as PK and DK; and the id, a number: without it, all are taken back
    #[arg(value_name = "PK/DK [ID]", num_args = 1..=3, required = true)]
    names: Vec<String>,
    /// Take all back without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl CommandArgs {
    /// The device, and the id.
    pub(crate) fn parts(&self) -> (NamedDevice, &str) {
        match &self.names[..] {
            [product, device, id] => (NamedDevice::by_keys(product, device), id),
            [device, id] => (NamedDevice::by_name(device), id),
            _ => (NamedDevice::by_name(""), ""),
        }
    }
}

impl CancelArgs {
    /// The device, and the id if there is one: of two names, the second one where it can be an id. A device
    /// key that looks like one is written as PK/DK; where it is not, nothing is taken back.
    pub(crate) fn parts(&self) -> (NamedDevice, Option<&str>) {
        match &self.names[..] {
            [product, device, id] => (NamedDevice::by_keys(product, device), Some(id)),
            [device, id] if device.contains('/') || id.parse::<CommandId>().is_ok() => {
                (NamedDevice::by_name(device), Some(id))
            }
            [product, device] => (NamedDevice::by_keys(product, device), None),
            [device] => (NamedDevice::by_name(device), None),
            _ => (NamedDevice::by_name(""), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(line: &str) -> Option<DownlinkCommand> {
        let cli = Cli::try_parse_from(["narrowgate", "command"].into_iter().chain(line.split(' '))).ok()?;
        match cli.command {
            Command::Downlink(command) => Some(command),
            _ => None,
        }
    }

    #[test]
    fn exactly_one_thing_is_asked_for() {
        for (line, is_right) in [
            ("send p/d --set {}", true),
            ("send p d --get a,b --pending-ttl 172800 --timeout 60 --wait", true),
            ("send d --service s --input {}", true),
            ("send d", false),
            ("send d --set {} --get a", false),
            ("send d --set {} --input {}", false),
            ("send d --get a --timeout 61", false),
            ("send d --get a --pending-ttl 172801", false),
        ] {
            assert_eq!(parsed(line).is_some(), is_right, "{line}");
        }
    }

    #[test]
    fn a_device_is_named_by_one_name_or_two_before_the_id() {
        for (line, device, id) in [
            ("show p/d 7", NamedDevice::by_name("p/d"), Some("7")),
            ("show d 7", NamedDevice::by_name("d"), Some("7")),
            ("show p d 7", NamedDevice::by_keys("p", "d"), Some("7")),
            ("cancel p/d 7", NamedDevice::by_name("p/d"), Some("7")),
            ("cancel p d 7", NamedDevice::by_keys("p", "d"), Some("7")),
            ("cancel d 7", NamedDevice::by_name("d"), Some("7")),
            ("cancel p/d x", NamedDevice::by_name("p/d"), Some("x")),
            ("cancel p d", NamedDevice::by_keys("p", "d"), None),
            ("cancel p 867725030096431", NamedDevice::by_keys("p", "867725030096431"), None),
            ("cancel p 867725030096431 7", NamedDevice::by_keys("p", "867725030096431"), Some("7")),
            ("cancel d", NamedDevice::by_name("d"), None),
            ("cancel d -y", NamedDevice::by_name("d"), None),
        ] {
            let (found, found_id) = match parsed(line).expect(line) {
                DownlinkCommand::Show(arguments) => {
                    let (device, id) = arguments.parts();
                    (device, Some(id.to_owned()))
                }
                DownlinkCommand::Cancel(arguments) => {
                    let (device, id) = arguments.parts();
                    (device, id.map(str::to_owned))
                }
                other => panic!("{other:?}"),
            };
            assert_eq!((found, found_id.as_deref()), (device, id), "{line}");
        }
    }
}
