//! `narrowgate device simulate`.

use clap::{Args, ValueEnum};
use narrowgate_coap::format;
use narrowgate_platform::firmware::check_version;

use super::{device::DeviceArgs, paging::number};

/// Reports of a device with a fault, unless told otherwise.
const COUNT_WITH_FAULT: u32 = 1;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Where the server is
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5684")]
    pub(crate) server: String,
    /// The device's secret; with --mode 3 the product's. -: the first line of standard input
    #[arg(long, value_name = "SECRET|-")]
    pub(crate) secret: String,
    /// 2: the device has a secret. 3: it fetches one first, with the product's
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = number::<2, 3>)]
    pub(crate) mode: u32,
    /// Seconds of silence after which the device counts as offline
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = number::<30, 86_400>)]
    pub(crate) lifetime: u32,
    /// Pause between two reports
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = number::<0, 86_400>)]
    pub(crate) interval: u32,
    /// End after this many reports [default: with --fault 1, else none]
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000_000_000>)]
    count: Option<u32>,
    /// What a report says, as a JSON object; {number} in it becomes the number of the report
    #[arg(long, value_name = "JSON", default_value = r#"{"temp":21.5}"#)]
    pub(crate) points: String,
    /// Attributes to set once, as a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) attributes: Option<String>,
    /// An event to send once, with its parameters as a JSON object
    #[arg(long, value_name = "ID=JSON")]
    pub(crate) event: Option<String>,
    /// Code with which commands are answered; none: they are fetched and not answered
    #[arg(
        long,
        value_name = "CODE|none",
        default_value = "200",
        value_parser = reply,
        allow_negative_numbers = true
    )]
    pub(crate) reply: Reply,
    /// Take the firmware that the server offers: fetch it, check its SHA-256, and end with the new version
    #[arg(long)]
    pub(crate) update: bool,
    /// The version of the firmware that the device says it has
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) firmware: Option<String>,
    /// Datagrams lost on the way, each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = number::<0, 100>)]
    pub(crate) loss: u32,
    /// What messages are written in
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
    /// Do this wrong, to see what the server says
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
}

impl SimulateArgs {
    /// Reports after which the device ends.
    pub(crate) fn count(&self) -> Option<u32> {
        self.count.or(self.fault.map(|_| COUNT_WITH_FAULT))
    }
}

/// How commands are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Code(i32),
    Never,
}

fn version(text: &str) -> Result<String, String> {
    check_version(text).map(|()| text.to_owned()).map_err(|fault| fault.to_string())
}

fn reply(text: &str) -> Result<Reply, String> {
    match text {
        "none" => Ok(Reply::Never),
        code => code.parse().map(Reply::Code).map_err(|_| format!("{code} is neither a number nor none")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    /// As short as it can be, with the same keys; what is printed is its JSON
    Cbor,
}

impl Format {
    /// Its number as a Content-Format.
    pub(crate) const fn content_format(self) -> u16 {
        match self {
            Self::Json => format::JSON,
            Self::Cbor => format::CBOR,
        }
    }
}

/// What a device can do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// The secret has another last letter
    WrongKey,
    /// SecureMode 3 with the device's secret; with --mode 3: 2 with the product's
    WrongMode,
    /// A device that is not registered
    UnknownDevice,
    /// A PSK identity with a field too many
    BadIdentity,
    /// A lifetime of 7 seconds
    BadLifetime,
    /// A report without its last brace; in CBOR without its last byte
    BadJson,
    /// A report without a body
    EmptyBody,
    /// A topic that does not exist
    WrongTopic,
    /// The topic of another device
    ForeignTopic,
    /// A report by GET
    WrongMethod,
    /// A report in XML
    WrongFormat,
    /// A report with a critical option that nobody knows
    CriticalOption,
    /// The first answer to each request is lost, and the request comes again
    Duplicate,
    /// Each datagram is sent twice
    Replay,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_code_or_none() {
        assert_eq!(reply("none"), Ok(Reply::Never));
        assert_eq!(reply("-3"), Ok(Reply::Code(-3)));
        assert!(reply("soon").is_err());
    }
}
