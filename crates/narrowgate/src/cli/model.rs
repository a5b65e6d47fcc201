//! `narrowgate model …`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Print the thing model of a product
    Show {
        /// Key of the product
        #[arg(value_name = "PK")]
        product_key: String,
    },
    /// Check a thing model without using it; says where its first fault is
    #[command(after_help = "Example:\n  narrowgate model check meter.json")]
    Check {
        /// The model (JSON)
        #[arg(value_name = "FILE")]
        file: PathBuf,
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
