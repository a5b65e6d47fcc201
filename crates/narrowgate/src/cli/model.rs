//! `narrowgate model …`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Print the thing model of a product, with the numbers of its elements
    #[command(after_help = "Examples:\n  narrowgate model show MuGsF6W4 > meter.json\n\n  \
                            Back to an older version:\n  \
                            narrowgate model show MuGsF6W4 --version 3 > meter.json\n  \
                            narrowgate product update MuGsF6W4 --model meter.json")]
    Show {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
        /// An older version, as model versions lists them
        #[arg(
            long,
            value_name = "N",
            value_parser = super::paging::number::<1, { u32::MAX }>,
            allow_negative_numbers = true
        )]
        version: Option<u32>,
    },
    /// List the versions of a product's thing model that are kept, newest first
    #[command(
        after_help = "Each change of the model is a version, its removal too; the newest 20 are kept.\n\n\
                            Example:\n  narrowgate model versions MuGsF6W4"
    )]
    Versions {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Check a thing model without using it; says where its first fault is
    #[command(after_help = "Examples:\n  narrowgate model check meter.json\n  \
                            narrowgate model infer MuGsF6W4 | narrowgate model check -\n\n  \
                            What a device has sent, by this draft and by the model of its product:\n  \
                            narrowgate model check meter.json --from MuGsF6W4/15bBZlRknc")]
    Check {
        /// The model (JSON); - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A device: its attributes and the newest 1,000 values of its points are given to the model
        #[arg(long, value_name = "PK/DK")]
        from: Option<String>,
    },
    /// Draft a thing model from what the devices of a product have sent
    #[command(after_help = "The draft takes everything that was seen of the first 200 devices, and nothing \
                            else: read it before\nyou use it. What no type takes is left out, and named on \
                            standard error.\n\n\
                            Example:\n  narrowgate model infer MuGsF6W4 > meter.json\n  \
                            narrowgate product update MuGsF6W4 --model meter.json")]
    Infer {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
}
