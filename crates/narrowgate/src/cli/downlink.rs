//! `narrowgate command …`.

use clap::{ArgGroup, Args, Subcommand};
use narrowgate_api::device::NamedDevice;

use super::{
    device::DeviceArgs,
    paging::{PagingArgs, number},
};

#[derive(Debug, Subcommand)]
pub(crate) enum DownlinkCommand {
    /// Send a command to a device: set or get points, run a service, or send bytes
    #[command(
        after_help = "The device must be online, unless the command may wait for it (--pending-ttl).\n\n\
                      Examples:\n  narrowgate command send MuGsF6W4/15bBZlRknc --set '{\"temp\":30.5}' \
                      --wait\n  narrowgate command send 15bBZlRknc --get temp,power --pending-ttl 86400\n  \
                      narrowgate command send 15bBZlRknc --service restart --input '{\"delay\":5}'\n  \
                      narrowgate command send 15bBZlRknc --raw 02000000140101"
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
#[command(group = ArgGroup::new("what").required(true).args(["set", "get", "service", "raw"]))]
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
    #[arg(long, value_name = "JSON", requires = "service", conflicts_with_all = ["set", "get", "raw"])]
    pub(crate) input: Option<String>,
    /// Bytes for a device whose product has the data format custom, in hexadecimal digits
    #[arg(long, value_name = "HEX")]
    pub(crate) raw: Option<String>,
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

/// What the names of `command cancel` may mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancel<'a> {
    /// This command of the device.
    One(NamedDevice, &'a str),
    /// All commands of the device.
    All(NamedDevice),
    /// Two names of which the second one may be meant as the id of a command of the first one, or as the key
    /// of a device whose product is the first one.
    Either(&'a str, &'a str),
}

impl CancelArgs {
    pub(crate) fn parts(&self) -> Cancel<'_> {
        match &self.names[..] {
            [product, device, id] => Cancel::One(NamedDevice::by_keys(product, device), id),
            [device, id] if device.contains('/') || id.is_empty() => {
                Cancel::One(NamedDevice::by_name(device), id)
            }
            [first, second] => Cancel::Either(first, second),
            [device] => Cancel::All(NamedDevice::by_name(device)),
            _ => Cancel::All(NamedDevice::by_name("")),
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
            ("show p/d 7", NamedDevice::by_name("p/d"), "7"),
            ("show d 7", NamedDevice::by_name("d"), "7"),
            ("show p d 7", NamedDevice::by_keys("p", "d"), "7"),
        ] {
            let Some(DownlinkCommand::Show(arguments)) = parsed(line) else { panic!("{line}") };
            assert_eq!(arguments.parts(), (device, id), "{line}");
        }
    }

    #[test]
    fn what_is_taken_back_is_named_in_every_way() {
        for (line, wanted) in [
            ("cancel p/d 7", Cancel::One(NamedDevice::by_name("p/d"), "7")),
            ("cancel p d 7", Cancel::One(NamedDevice::by_keys("p", "d"), "7")),
            ("cancel p/d x", Cancel::One(NamedDevice::by_name("p/d"), "x")),
            ("cancel p/d ", Cancel::One(NamedDevice::by_name("p/d"), "")),
            ("cancel p d", Cancel::Either("p", "d")),
            ("cancel p 867725030096431", Cancel::Either("p", "867725030096431")),
            ("cancel p 867725030096431 7", Cancel::One(NamedDevice::by_keys("p", "867725030096431"), "7")),
            ("cancel p 12345678", Cancel::Either("p", "12345678")),
            ("cancel d 7", Cancel::Either("d", "7")),
            ("cancel d", Cancel::All(NamedDevice::by_name("d"))),
            ("cancel d -y", Cancel::All(NamedDevice::by_name("d"))),
        ] {
            let Some(DownlinkCommand::Cancel(arguments)) = parsed(line) else { panic!("{line}") };
            assert_eq!(arguments.parts(), wanted, "{line}");
        }
    }
}
