//! `narrowgate token …`, `narrowgate user …` and `narrowgate ou …`.

use clap::{Args, Subcommand, ValueEnum};
use narrowgate_api::access::Role;

use super::paging::number;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token; its text is shown once
    #[command(after_help = "A program sends it as the header Authorization: Bearer TOKEN.\n\n\
                            Examples:\n  narrowgate token create dashboard --role viewer\n  \
                            narrowgate token create ci --role administrator --ou north --expires 90")]
    Create(NewTokenArgs),
    /// List all tokens, without their texts
    List,
    /// Let a token open nothing any more, from now on
    #[command(after_help = "Requests with it are refused at once, and its event streams end within a \
                            second.\n\nExample:\n  narrowgate token revoke dashboard")]
    Revoke {
        /// Name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewTokenArgs {
    /// What it is called in lists
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// viewer reads; operator also changes devices and sends commands; administrator also makes products,
    /// models, scripts and firmware, registers devices and reads secrets
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) role: RoleArg,
    /// Only in this organisation unit, by its key or its name [default: all]
    #[arg(long, value_name = "OU")]
    pub(crate) ou: Option<String>,
    /// Valid for so many days, 1 to 3650 [default: until it is revoked]
    #[arg(
        long,
        value_name = "DAYS",
        value_parser = number::<1, 3650>,
        allow_negative_numbers = true
    )]
    pub(crate) expires: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user; prints a one-time link, by which the user sets a password
    #[command(
        after_help = "The link is valid once, for 24 hours. Users log in with a browser at /login.\n\n\
                            Examples:\n  narrowgate user create ann --role operator\n  \
                            narrowgate user create bob --role viewer --ou north"
    )]
    Create(NewUserArgs),
    /// List all users
    List,
    /// Put a new one-time link in the place of a user's password; the user's sessions end
    #[command(after_help = "Example:\n  narrowgate user reset ann")]
    Reset {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete a user, whose sessions end within a second
    #[command(after_help = "Example:\n  narrowgate user delete ann --yes")]
    Delete {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask; needed where there is no terminal
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewUserArgs {
    /// What the user logs in as
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// viewer reads; operator also changes devices and sends commands; administrator also makes products,
    /// models, scripts and firmware, registers devices and reads secrets
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) role: RoleArg,
    /// Only in this organisation unit, by its key or its name [default: all]
    #[arg(long, value_name = "OU")]
    pub(crate) ou: Option<String>,
}

/// As [`Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    Viewer,
    Operator,
    Administrator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Administrator => Self::Administrator,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum UnitCommand {
    /// Create an organisation unit
    #[command(
        after_help = "Its products belong to it (product create --ou), and a token of it sees nothing \
                            else.\n\nExample:\n  narrowgate ou create north"
    )]
    Create {
        /// What it is called
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List all organisation units
    List,
}
