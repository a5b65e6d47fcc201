//! `narrowgate product …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    /// Create a product; prints its key and secret
    #[command(after_help = "Examples:\n  narrowgate product create meters\n  \
                            narrowgate product create meters --dynamic-activation --model meter.json")]
    Create(CreateArgs),
    /// All products, without secrets
    List,
    /// One product, without its secret
    Show {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Change a product; what is not named stays
    #[command(after_help = "Examples:\n  narrowgate product update MuGsF6W4 --dynamic-activation on \
                            --activation-ends 2027-01-31T18:00:00Z\n  \
                            narrowgate product update MuGsF6W4 --disable\n  \
                            narrowgate product update MuGsF6W4 --no-model --no-activation-ends")]
    Update(UpdateArgs),
    /// Remove a product that has no devices; asks first
    #[command(
        after_help = "With --force its devices, their secrets and logs go too, and their sessions end.\n\
                            Stored reports stay until their retention ends.\n\n\
                            Examples:\n  narrowgate product delete MuGsF6W4\n  \
                            narrowgate product delete MuGsF6W4 --force --yes"
    )]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Key of the product
    #[arg(value_name = "PK")]
    pub(crate) product_key: String,
    /// Also with devices, which are deleted too
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What people call it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Key to import, instead of a generated one
    #[arg(long, value_name = "PK")]
    pub(crate) product_key: Option<String>,
    /// Secret to import, instead of a generated one
    #[arg(long, value_name = "SECRET")]
    pub(crate) product_secret: Option<String>,
    /// Let registered devices fetch their own secrets with the product's (SecureMode 3)
    #[arg(long)]
    pub(crate) dynamic_activation: bool,
    /// Thing model (JSON); without one every point is accepted
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) activation: ActivationArgs,
}

/// Bounds of dynamic activation.
#[derive(Debug, Args)]
pub(crate) struct ActivationArgs {
    /// Dynamic activation ends at this time (RFC 3339 or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_clap)]
    pub(crate) activation_ends: Option<i64>,
    /// Secrets issued per hour at most
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
    /// What people call it
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
    /// Thing model (JSON) that replaces the present one
    #[arg(long, value_name = "FILE", conflicts_with = "no_model")]
    pub(crate) model: Option<PathBuf>,
    /// Take the thing model away: every point is accepted then
    #[arg(long)]
    pub(crate) no_model: bool,
    #[command(flatten)]
    pub(crate) activation: ActivationArgs,
    /// Dynamic activation has no end
    #[arg(long, conflicts_with = "activation_ends")]
    pub(crate) no_activation_ends: bool,
    /// As many secrets issued per hour as for a new product: 1000
    #[arg(long, conflicts_with = "quota")]
    pub(crate) default_quota: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}
