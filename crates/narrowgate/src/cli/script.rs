//! `narrowgate script …`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ScriptCommand {
    /// Publish a script: it runs from the next message of a device on
    #[command(after_help = "A source that cannot be run, or lacks rawDataToJsonStr or jsonStrToRawData, is \
                            refused and\nchanges nothing. What is published already makes no new version.\n\n\
                            Example:\n  narrowgate script publish MuGsF6W4 meter.js")]
    Publish {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
        /// The script (JavaScript); - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Try a script on bytes, on a message, or on what a device sent of late
    #[command(
        after_help = "Without --file the draft is tried, and without a draft what is published. --from shows \
                      what each\nof the two makes of the last bodies of a device, which a running server \
                      keeps in memory.\nExit code 1 where the script fails.\n\n\
                      Examples:\n  narrowgate script try MuGsF6W4 --file meter.js --hex 0100000014\n  \
                      narrowgate script try MuGsF6W4 --json command.json\n  \
                      narrowgate script try MuGsF6W4 --file meter.js --from MuGsF6W4/15bBZlRknc"
    )]
    Try(TryArgs),
    /// List the versions of a product's script that are kept, newest first
    #[command(after_help = "The newest one runs; 20 are kept.\n\n\
                            Examples:\n  narrowgate script versions MuGsF6W4\n  \
                            narrowgate script show MuGsF6W4 --version 3 > meter.js")]
    Versions {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Print the script of a product: the published one, or an older version
    #[command(after_help = "Example:\n  narrowgate script show MuGsF6W4 > meter.js")]
    Show {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
        /// An older version, as script versions lists them
        #[arg(
            long,
            value_name = "N",
            value_parser = super::paging::number::<1, { u32::MAX }>,
            allow_negative_numbers = true
        )]
        version: Option<u32>,
    },
    /// Publish an older version of a product's script again
    #[command(after_help = "The older source becomes a new version, which says which one it restores.\n\n\
                            Example:\n  narrowgate script rollback MuGsF6W4 3")]
    Rollback {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
        /// The version, as script versions lists them
        #[arg(
            value_name = "VERSION",
            value_parser = super::paging::number::<1, { u32::MAX }>,
            allow_negative_numbers = true
        )]
        version: u32,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["hex", "json", "from"]))]
pub(crate) struct TryArgs {
    /// Key of the product
    #[arg(value_name = "PK")]
    pub(crate) product_key: String,
    /// Bytes of a device, in hexadecimal digits
    #[arg(long, value_name = "BYTES")]
    pub(crate) hex: Option<String>,
    /// A message to a device (JSON); - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// A device of the product: what it sent of late
    #[arg(long, value_name = "PK/DK")]
    pub(crate) from: Option<String>,
    /// Try this script (JavaScript) instead of what the server has; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}
