//! `narrowgate product …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use narrowgate_api::product::{ContentCode, DataFormat, Profile};

#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    /// Create a product; prints its key and secret
    #[command(after_help = "Examples:\n  narrowgate product create meters\n  \
                            narrowgate product create meters --dynamic-activation --model meter.json")]
    Create(CreateArgs),
    /// List all products, without secrets
    List,
    /// Show one product, without its secret
    Show {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Change a product; what is not named stays as it is
    #[command(after_help = "Examples:\n  narrowgate product update MuGsF6W4 --dynamic-activation on \
                            --activation-ends 2027-01-31T18:00:00Z\n  \
                            narrowgate product update MuGsF6W4 --disable\n  \
                            narrowgate product update MuGsF6W4 --no-model --no-activation-ends")]
    Update(UpdateArgs),
    /// Show a product's secret and key; leaves an entry in the audit log
    Secret {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Replace a product's secret at once and show the new one; asks first
    #[command(
        after_help = "The secret of before lets nobody in any more, and sessions that proved it (SecureMode\n\
                      3) end. Devices with a secret of their own notice nothing. Firmware that holds the\n\
                      product's secret needs the new one before its device can activate.\n\
                      The new secret is shown once.\n\n\
                      Example:\n  narrowgate product rotate-secret MuGsF6W4 --yes"
    )]
    RotateSecret(RotateSecretArgs),
    /// Remove a product that has no devices; asks first
    #[command(
        after_help = "--force also deletes its devices, their secrets and logs, and ends their sessions.\n\
                            Stored reports stay until their retention ends.\n\n\
                            Examples:\n  narrowgate product delete MuGsF6W4\n  \
                            narrowgate product delete MuGsF6W4 --force --yes"
    )]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RotateSecretArgs {
    /// Key of the product
    #[arg(value_name = "PK")]
    pub(crate) product_key: String,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Key of the product
    #[arg(value_name = "PK")]
    pub(crate) product_key: String,
    /// Delete its devices too
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Display name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Organisation unit that owns it, by its key or its name [default: default]
    #[arg(long, value_name = "OU")]
    pub(crate) ou: Option<String>,
    /// Key to import, instead of a generated one
    #[arg(long, value_name = "PK")]
    pub(crate) product_key: Option<String>,
    /// Secret to import, instead of a generated one; `-`: it is the first line of standard input.
    #[arg(
        long,
        value_name = "SECRET|-",
        help = "Secret to import, instead of a generated one. -: it is the first line of standard input, \
                because arguments show in the list of processes (ps) and stay in the shell's history"
    )]
    pub(crate) product_secret: Option<String>,
    /// Let registered devices fetch their own secrets with the product's (SecureMode 3)
    #[arg(long)]
    pub(crate) dynamic_activation: bool,
    /// Timers and blocks of its devices' sessions: default repeats after 2 to 3 s, nbiot after 9 to 13.5 s,
    /// for radio whose answers take seconds
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub(crate) profile: Option<ProfileArg>,
    /// Let its devices use short paths (/p instead of the topic of reports) with CBOR and the numbers of the
    /// thing model [default: off]
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub(crate) short_paths: Option<Switch>,
    /// What its devices speak: json, or custom for bytes that a script turns into messages [default: json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) data_format: Option<DataFormatArg>,
    /// Code that answers its devices' GETs: 2.05, or 2.04 for clients that test for that [default: 2.05]
    #[arg(long, value_enum, value_name = "CODE")]
    pub(crate) content_code: Option<ContentCodeArg>,
    /// Thing model (JSON), - reads standard input; without one every point is accepted
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Class of retention of what its devices report [default: standard]
    #[arg(long, value_name = "CLASS")]
    pub(crate) retention: Option<String>,
    #[command(flatten)]
    pub(crate) activation: ActivationArgs,
}

/// Limits of dynamic activation.
#[derive(Debug, Args)]
pub(crate) struct ActivationArgs {
    /// Dynamic activation ends at this time (RFC 3339 or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) activation_ends: Option<i64>,
    /// Issue at most this many secrets per hour
    #[arg(
        long,
        value_name = "N",
        value_parser = super::paging::number::<0, { u32::MAX }>,
        allow_negative_numbers = true
    )]
    pub(crate) quota: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Key of the product
    #[arg(value_name = "PK")]
    pub(crate) product_key: String,
    /// Display name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Let its devices connect
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Refuse its devices, and end their sessions
    #[arg(long)]
    pub(crate) disable: bool,
    /// Let registered devices fetch their own secrets (SecureMode 3)
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub(crate) dynamic_activation: Option<Switch>,
    /// Timers and blocks of its devices' sessions, from now on: default repeats after 2 to 3 s, nbiot after
    /// 9 to 13.5 s
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub(crate) profile: Option<ProfileArg>,
    /// Let its devices use short paths (/p instead of the topic of reports) with CBOR and the numbers of the
    /// thing model, from now on
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub(crate) short_paths: Option<Switch>,
    /// What its devices speak, from now on: json, or custom for bytes that a script turns into messages
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) data_format: Option<DataFormatArg>,
    /// Code that answers its devices' GETs, from now on: 2.05, or 2.04 for clients that test for that
    #[arg(long, value_enum, value_name = "CODE")]
    pub(crate) content_code: Option<ContentCodeArg>,
    /// Thing model (JSON) that replaces the present one; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "no_model")]
    pub(crate) model: Option<PathBuf>,
    /// Remove the thing model; every point is then accepted
    #[arg(long)]
    pub(crate) no_model: bool,
    /// Class of retention of what its devices report from now on
    #[arg(long, value_name = "CLASS")]
    pub(crate) retention: Option<String>,
    #[command(flatten)]
    pub(crate) activation: ActivationArgs,
    /// Remove the end of dynamic activation
    #[arg(long, conflicts_with = "activation_ends")]
    pub(crate) no_activation_ends: bool,
    /// Reset the quota to that of a new product: 1000
    #[arg(long, conflicts_with = "quota")]
    pub(crate) default_quota: bool,
}

/// As [`Profile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    Default,
    Nbiot,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Default => Self::Default,
            ProfileArg::Nbiot => Self::Nbiot,
        }
    }
}

/// As [`DataFormat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormatArg {
    Json,
    Custom,
}

impl From<DataFormatArg> for DataFormat {
    fn from(format: DataFormatArg) -> Self {
        match format {
            DataFormatArg::Json => Self::Json,
            DataFormatArg::Custom => Self::Custom,
        }
    }
}

/// As [`ContentCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContentCodeArg {
    #[value(name = "2.05")]
    Content,
    #[value(name = "2.04")]
    Changed,
}

impl From<ContentCodeArg> for ContentCode {
    fn from(code: ContentCodeArg) -> Self {
        match code {
            ContentCodeArg::Content => Self::Content,
            ContentCodeArg::Changed => Self::Changed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}
