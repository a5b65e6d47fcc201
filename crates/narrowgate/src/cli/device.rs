//! `narrowgate device …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use narrowgate_api::{
    device::{NamedDevice, ShownState},
    names::UnixMillis,
    query::{DeviceList, DeviceSort},
};
use narrowgate_http::{device_file::Format, table::Lines};

use super::{PagingArgs, SimulateArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Register a device; prints its key and secret
    #[command(after_help = "Examples:\n  narrowgate device create --product MuGsF6W4\n  \
                            narrowgate device create --product MuGsF6W4 --device-key 867725030096431 \
                            --name 'cellar 3'")]
    Create(CreateArgs),
    /// Register many devices from a file
    #[command(
        after_help = "CSV has a header: deviceKey,deviceSecret,name (any order, the last two optional).\n\
                            Columns tag:KEY and attribute:ID give devices their first tags and attributes.\n\
                            Spaces around a field are ignored; those inside its quotes are kept.\n\
                            What --secrets-out writes can be imported. If an import was interrupted, run\n\
                            the same command again: it continues this file.\n\
                            JSON lines have the same names: {\"deviceKey\":\"867725030096431\"}\n\
                            A device that exists is skipped; its secret is never changed.\n\
                            --format psk reads identity=KEY lines and stores of devices with .psk=\n\
                            lines: the identity is the device's key; a key that is text is its secret,\n\
                            of others the hexadecimal digits are.\n\n\
                            Example:\n  narrowgate device import meters.csv --product MuGsF6W4 \
                            --secrets-out secrets.csv"
    )]
    Import(ImportArgs),
    /// List devices in the order of their registration
    #[command(after_help = "Examples:\n  narrowgate device list --product MuGsF6W4 --state offline\n  \
                            narrowgate device list --search 8677 --tag site:north\n  \
                            narrowgate device list --seen-before 2026-11-01\n  \
                            narrowgate device list --all -o json")]
    List(ListArgs),
    /// Write devices, or what they reported, to standard output, all of them
    #[command(after_help = "Examples:\n  narrowgate device export --product MuGsF6W4 > devices.csv\n  \
                            narrowgate device export --product MuGsF6W4 --values --from 2026-11-01 \
                            --format ndjson")]
    Export(ExportArgs),
    /// Show one device: its state and its times
    #[command(after_help = "Examples:\n  narrowgate device show MuGsF6W4 15bBZlRknc\n  \
                            narrowgate device show MuGsF6W4/15bBZlRknc\n  narrowgate device show 15bBZlRknc")]
    Show(DeviceArgs),
    /// Show what happened to a device, newest first
    #[command(after_help = "Examples:\n  narrowgate device log MuGsF6W4/15bBZlRknc --limit 10\n  \
                            narrowgate device log MuGsF6W4/15bBZlRknc --all")]
    Log(LogArgs),
    /// Show why a device was refused, newest first: the mistake, and what to do about it
    #[command(after_help = "Examples:\n  narrowgate device why MuGsF6W4/15bBZlRknc\n  \
                            narrowgate device why 15bBZlRknc --limit 1")]
    Why(WhyArgs),
    /// Change the display name of a device
    #[command(
        allow_missing_positional = true,
        after_help = "Examples:\n  narrowgate device rename MuGsF6W4/15bBZlRknc 'cellar 3'\n  \
                            narrowgate device rename MuGsF6W4 15bBZlRknc ''"
    )]
    Rename(RenameArgs),
    /// Refuse a device, end its session and take back its commands
    Disable(DeviceArgs),
    /// Let a disabled device connect again
    Enable(DeviceArgs),
    /// Give a device a new secret and make it inactive until it activates again; asks first
    #[command(after_help = "Example:\n  narrowgate device reset MuGsF6W4/15bBZlRknc --yes")]
    Reset(ResetArgs),
    /// Replace a device's secret at once and show the new one; asks first
    #[command(
        after_help = "The secret of before lets nobody in any more, and the session that proved it ends.\n\
                            All else stays: what the device sent, its commands, whether it is active.\n\n\
                            Example:\n  narrowgate device rotate-secret MuGsF6W4/15bBZlRknc --yes"
    )]
    RotateSecret(ResetArgs),
    /// Remove a device with its secret, log, attributes, tags and commands; asks first
    #[command(after_help = "What it sent can no longer be read, and stays in the message files until\n\
                            store.retention deletes them. With --purge it is written over there: the device\n\
                            is disabled first, and deleted once nothing is left. A purge that was\n\
                            interrupted continues with the same command.\n\
                            A damaged device can also be named by its asset id or its id; device list\n\
                            shows both.\n\n\
                            Examples:\n  narrowgate device delete MuGsF6W4/15bBZlRknc --yes\n  \
                            narrowgate device delete MuGsF6W4/15bBZlRknc --purge --yes")]
    Delete(DeleteArgs),
    /// Show a device's secret and key, with commands for clients; leaves an entry in its log
    Secret(DeviceArgs),
    /// Show the attributes of a device, or change some
    #[command(after_help = "Where an attribute is not set, the default of the thing model is shown.\n\n\
                            Examples:\n  narrowgate device attributes MuGsF6W4/15bBZlRknc\n  \
                            narrowgate device attributes 15bBZlRknc --set '{\"place\":\"cellar\"}' \
                            --unset size")]
    Attributes(PropertiesArgs),
    /// Show the tags of a device, or change some
    #[command(after_help = "Examples:\n  narrowgate device tags MuGsF6W4/15bBZlRknc\n  \
                            narrowgate device tags 15bBZlRknc --set '{\"site\":\"north\"}' --unset old")]
    Tags(PropertiesArgs),
    /// Show the events of a device, newest first
    #[command(after_help = "Examples:\n  narrowgate device events MuGsF6W4/15bBZlRknc\n  \
                            narrowgate device events 15bBZlRknc --type WARN --from 2026-11-01T00:00:00Z")]
    Events(EventsArgs),
    /// Show a device's latest values, its history (--from), or what that comes to (--bucket)
    #[command(after_help = "Examples:\n  narrowgate device points MuGsF6W4/15bBZlRknc\n  \
                            narrowgate device points 15bBZlRknc --point temp --from 2026-11-01T00:00:00Z\n  \
                            narrowgate device points 15bBZlRknc --from 2026-11-01T00:00:00Z --all -o json\n  \
                            narrowgate device points 15bBZlRknc --point temp --bucket 1d --fn min,max,avg \
                            --tz Europe/Berlin")]
    Points(PointsArgs),
    /// Be a device: connect to a server, report, fetch commands and answer them
    #[command(after_help = SIMULATE_HELP)]
    Simulate(SimulateArgs),
}

const SIMULATE_HELP: &str = "\
Prints a JSON line for all that is sent and received. Ends after --count reports, or on Ctrl-C. Exit code 0:
everything that was sent was acknowledged; with --fault: the server did what it has to do with that.

Examples:
  narrowgate device simulate PK/DK --secret - --interval 60 < SECRET_FILE
  narrowgate device simulate PK/DK --secret - --count 3 --loss 20 --points '{\"temp\":{number}}' < SECRET_FILE
  narrowgate device simulate PK/DK --secret - --mode 3 --count 1 < PRODUCT_SECRET_FILE
  narrowgate device simulate PK/DK --secret - --fault wrong-key < SECRET_FILE";

/// Names one device: `PK DK`, `PK/DK`, or `DK` where it is unique.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArgs {
    /// The device as PK/DK; or its key alone where it is unique; or the product's key, and then the device's
    #[arg(value_name = "PK/DK")]
    pub(crate) first: String,
    /// Key of the device, after the product's
    #[arg(value_name = "DK")]
    pub(crate) second: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Key of the product
    #[arg(long, value_name = "PK")]
    pub(crate) product: String,
    /// Key of the device, an IMEI for example; generated if not given
    #[arg(long, value_name = "DK")]
    pub(crate) device_key: Option<String>,
    /// Secret to import, instead of a generated one; `-`: it is the first line of standard input.
    #[arg(
        long,
        value_name = "SECRET|-",
        help = "Secret to import, instead of a generated one. -: it is the first line of standard input, \
                because arguments show in the list of processes (ps) and stay in the shell's history"
    )]
    pub(crate) device_secret: Option<String>,
    /// Display name
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// CSV with a header, or JSON lines; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Key of the product
    #[arg(long, value_name = "PK")]
    pub(crate) product: String,
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Import the rows that are valid, or nothing where one is not
    #[arg(long, value_enum, default_value_t = ImportMode::Valid)]
    pub(crate) mode: ImportMode,
    /// What the file is [default: CSV with a header or JSON lines, by its first line]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImportFormat>,
    /// New file (mode 0600) for the secrets of devices that had none
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_out: Option<PathBuf>,
}

/// Which rows are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportMode {
    /// All, or none where one is not valid
    All,
    /// Those that are valid
    Valid,
}

/// What a file of devices is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// CSV with a header
    Csv,
    /// JSON lines
    Ndjson,
    /// Identities and keys, as Californium's programs read them
    Psk,
    /// A sheet that EnOS exports: Product Key, Device Key, Device Secret, Device Name
    Enos,
}

impl From<ImportFormat> for Format {
    fn from(format: ImportFormat) -> Self {
        match format {
            ImportFormat::Csv => Self::Csv,
            ImportFormat::Ndjson => Self::Ndjson,
            ImportFormat::Psk => Self::Psk,
            ImportFormat::Enos => Self::Enos,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<100, 1000>,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// CSV with a header; what a spreadsheet would execute has an apostrophe before it
    Csv,
    /// A JSON object on each line
    Ndjson,
}

impl From<ExportFormat> for Lines {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Ndjson => Self::Ndjson,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What to write
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub(crate) format: ExportFormat,
    /// Write what the devices reported, of each the newest first, instead of the devices
    #[arg(long)]
    pub(crate) values: bool,
    /// Only values of this point
    #[arg(long, value_name = "ID", requires = "values")]
    pub(crate) point: Option<String>,
    /// Values from this time on (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse, requires = "values")]
    pub(crate) from: Option<i64>,
    /// Values before this time (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse, requires = "values")]
    pub(crate) to: Option<i64>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Which devices.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only of this product
    #[arg(long, value_name = "PK")]
    pub(crate) product: Option<String>,
    /// Only in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    /// Only those whose key or name begins with this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Only those with this tag
    #[arg(long, value_name = "KEY:VALUE")]
    pub(crate) tag: Option<String>,
    /// Only those last heard before this time (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) seen_before: Option<i64>,
    /// Only those last heard from this time on (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) seen_after: Option<i64>,
    /// Only those whose firmware said this version last
    #[arg(long, value_name = "VERSION")]
    pub(crate) firmware: Option<String>,
    /// The newest first
    #[arg(long)]
    pub(crate) newest: bool,
}

impl FilterArgs {
    /// The question, from its first page on.
    pub(crate) fn question(&self) -> DeviceList {
        DeviceList {
            product: self.product.clone(),
            state: self.state.map(Into::into),
            q: self.search.clone(),
            tag: self.tag.clone(),
            seen_before: self.seen_before.map(UnixMillis),
            seen_after: self.seen_after.map(UnixMillis),
            firmware: self.firmware.clone(),
            sort: self.newest.then_some(DeviceSort::NewestFirst),
            with: None,
            limit: None,
            cursor: None,
        }
    }
}

/// States as `device show` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Inactive,
    Online,
    Offline,
    Disabled,
}

impl From<State> for ShownState {
    fn from(state: State) -> Self {
        match state {
            State::Inactive => Self::Inactive,
            State::Online => Self::Online,
            State::Offline => Self::Offline,
            State::Disabled => Self::Disabled,
        }
    }
}

/// One name or two, as given on the command line.
impl From<&DeviceArgs> for NamedDevice {
    fn from(arguments: &DeviceArgs) -> Self {
        match &arguments.second {
            Some(device) => Self::by_keys(&arguments.first, device),
            None => Self::by_name(&arguments.first),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<50, 10_000>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<5, 10_000>,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// The new display name; '' removes it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Also remove what it sent, for good
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PropertiesArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Set these: a JSON object, {"id":value}; null takes away
    #[arg(long, value_name = "JSON")]
    pub(crate) set: Option<String>,
    /// Take this one away; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) unset: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Only events with this identifier; or of this type by the thing model: INFO, WARN or ERROR
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// From this time on (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) from: Option<i64>,
    /// Before this time (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) to: Option<i64>,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<100, 10_000>,
}

#[derive(Debug, Args)]
pub(crate) struct PointsArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Only this point
    #[arg(long, value_name = "ID")]
    pub(crate) point: Option<String>,
    /// History from this time on (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) from: Option<i64>,
    /// History before this time (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) to: Option<i64>,
    /// What the values come to in buckets of this width, the newest first: a number and s, m, h or d
    #[arg(long, value_name = "WIDTH", requires = "point")]
    pub(crate) bucket: Option<String>,
    /// What to print of each bucket, of its numbers and of all its values: min,max,avg,last,count
    #[arg(long = "fn", value_name = "LIST", requires = "bucket")]
    pub(crate) functions: Option<String>,
    /// Zone in which buckets begin, as the IANA database names it [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "bucket")]
    pub(crate) tz: Option<String>,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<100, 10_000>,
}
