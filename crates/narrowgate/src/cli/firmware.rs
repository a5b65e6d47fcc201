//! `narrowgate firmware …`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::paging::{PagingArgs, number};

#[derive(Debug, Subcommand)]
pub(crate) enum FirmwareCommand {
    /// Upload an image of firmware for the devices of a product
    #[command(after_help = "The same file again gives the same image; an upload that was cut off goes on \
                            where it stopped.\n\n\
                            Example:\n  narrowgate firmware upload meter-2.1.bin --product MuGsF6W4 \
                            --version 2.1")]
    Upload(UploadArgs),
    /// List images and their rollouts, oldest first
    #[command(after_help = "Example:\n  narrowgate firmware list --product MuGsF6W4 -o json")]
    List {
        /// Only of this product
        #[arg(long, value_name = "PK")]
        product: Option<String>,
    },
    /// Offer an image to devices, or to a share of the product's devices
    #[command(
        after_help = "A greater share keeps the devices of the smaller one. Where more than 10 % of the \
                            upgrades that\nended have failed, and at least 3, the rollout pauses by \
                            itself.\n\n\
                            Examples:\n  narrowgate firmware offer Ab3dEf7h --device 15bBZlRknc\n  \
                            narrowgate firmware offer Ab3dEf7h --share 10"
    )]
    Offer(OfferArgs),
    /// Show how many devices are how far with an image, or each of them
    #[command(after_help = "Examples:\n  narrowgate firmware status Ab3dEf7h\n  \
                            narrowgate firmware status Ab3dEf7h --devices --all -o json")]
    Status(StatusArgs),
    /// Offer an image to nobody any more, and take back what no device has fetched
    #[command(after_help = "Devices that have begun go on.\n\n\
                            Example:\n  narrowgate firmware pause Ab3dEf7h")]
    Pause {
        /// Id of the image
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// Go on with a rollout that was paused; what failed before counts no more
    #[command(after_help = "Example:\n  narrowgate firmware resume Ab3dEf7h")]
    Resume {
        /// Id of the image
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// Delete an image with its rollout
    #[command(after_help = "Devices that are to get it still, or are at work with it, keep it from being \
                            deleted:\npause its rollout first.\n\n\
                            Example:\n  narrowgate firmware delete Ab3dEf7h --yes")]
    Delete {
        /// Id of the image
        #[arg(value_name = "IMAGE")]
        image: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The image, as devices get it; - for a file on standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// For the devices of this product
    #[arg(long, value_name = "PK")]
    pub(crate) product: String,
    /// The version that a device says when it runs this image, 1 to 64 bytes
    #[arg(long, value_name = "V")]
    pub(crate) version: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["device", "share"]))]
pub(crate) struct OfferArgs {
    /// Id of the image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Devices, as DK or PK/DK; also those whose upgrade to this image has failed
    #[arg(long, value_name = "DK", num_args = 1..)]
    pub(crate) device: Vec<String>,
    /// Share of the product's devices; never less than it was
    #[arg(
        long,
        value_name = "PERCENT",
        value_parser = number::<1, 100>,
        allow_negative_numbers = true
    )]
    pub(crate) share: Option<u32>,
}

/// Devices: 100 by default, 10,000 at most.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Id of the image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// List its devices, in the order of their registration
    #[arg(long)]
    pub(crate) devices: bool,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<100, 10_000>,
}
