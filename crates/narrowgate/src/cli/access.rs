//! `narrowgate token …`, `narrowgate user …` and `narrowgate ou …`.

use clap::{Args, Subcommand, ValueEnum};
use narrowgate_api::{
    access::{QuotasPatch, Role},
    user::UserUpdate,
};

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
    /// Show one token, without its text
    Show {
        /// Name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
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
    /// Show one user
    Show {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Change a user's role or unit, or whether the user may log in; the user's sessions end
    #[command(after_help = "Examples:\n  narrowgate user update ann --role operator --ou north\n  \
                            narrowgate user update bob --disable")]
    Update {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        changes: UserChanges,
    },
    /// Put a new one-time link in the place of a user's password; the user's sessions end
    #[command(after_help = "Example:\n  narrowgate user reset ann")]
    Reset {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the sessions of a user: when the user logged in, and used it last
    Sessions {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// End one session of a user, at once
    #[command(after_help = "Example:\n  narrowgate user end-session ann 5b1f0c2d6e0a4b7f")]
    EndSession {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: String,
        /// Its id, as of user sessions
        #[arg(value_name = "ID")]
        id: String,
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

/// What of a user changes; what is not given stays.
#[derive(Debug, Args)]
pub(crate) struct UserChanges {
    /// What the user may do from now on
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Option<RoleArg>,
    /// Only in this organisation unit from now on, by its key or its name
    #[arg(long, value_name = "OU", conflicts_with = "all_ous")]
    ou: Option<String>,
    /// In all organisation units from now on
    #[arg(long)]
    all_ous: bool,
    /// Let the user log in again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let the user log in no more; the password stays
    #[arg(long)]
    disable: bool,
}

impl UserChanges {
    /// What is asked for; `None`: nothing.
    pub(crate) fn update(self) -> Option<UserUpdate> {
        let Self { role, ou, all_ous, enable, disable } = self;
        let ou = if all_ous { Some(None) } else { ou.map(Some) };
        let (role, enabled) = (role.map(Role::from), (enable || disable).then_some(enable));
        let is_any = role.is_some() || ou.is_some() || enabled.is_some();
        is_any.then_some(UserUpdate { role, ou, enabled })
    }
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
        #[command(flatten)]
        quotas: QuotaArgs,
    },
    /// Change how much an organisation unit may have; what it has already stays
    #[command(after_help = "Example:\n  narrowgate ou update north --max-devices 5000 --max-reports none")]
    Update {
        /// Its key or its name
        #[arg(value_name = "OU")]
        unit: String,
        #[command(flatten)]
        quotas: QuotaArgs,
    },
    /// Show an organisation unit: what it may have, and since when it is suspended
    Show {
        /// Its key or its name
        #[arg(value_name = "OU")]
        unit: String,
    },
    /// List all organisation units, and since when which are suspended
    List,
    /// Suspend an organisation unit: its devices and tokens get in no more
    #[command(after_help = "The sessions of its devices end within a second, and new ones are refused \
                            (unit_suspended); its tokens get 403, and their event streams end. All that is \
                            stored stays.\n\nExample:\n  narrowgate ou suspend north")]
    Suspend {
        /// Its key or its name
        #[arg(value_name = "OU")]
        unit: String,
    },
    /// Let the devices and tokens of a suspended organisation unit in again
    Resume {
        /// Its key or its name
        #[arg(value_name = "OU")]
        unit: String,
    },
}

/// Quotas of an organisation unit; what is not given stays.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QuotaArgs {
    /// Products that it may have, or none for any number
    #[arg(long, value_name = "N", value_parser = quota)]
    max_products: Option<MaxArg>,
    /// Devices that it may have, or none for any number
    #[arg(long, value_name = "N", value_parser = quota)]
    max_devices: Option<MaxArg>,
    /// Reports of all of its devices that are taken in a day of UTC, or none for any number
    #[arg(long, value_name = "N", value_parser = quota)]
    max_reports: Option<MaxArg>,
}

/// A quota; `None`: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MaxArg(Option<u32>);

fn quota(text: &str) -> Result<MaxArg, String> {
    if text == "none" {
        return Ok(MaxArg(None));
    }
    let number = text.parse().map_err(|_| format!("a number up to {}, or none", u32::MAX))?;
    Ok(MaxArg(Some(number)))
}

impl From<QuotaArgs> for QuotasPatch {
    fn from(quotas: QuotaArgs) -> Self {
        let QuotaArgs { max_products, max_devices, max_reports } = quotas;
        let [products, devices, reports_per_day] =
            [max_products, max_devices, max_reports].map(|quota| quota.map(|MaxArg(quota)| quota));
        Self { products, devices, reports_per_day }
    }
}
