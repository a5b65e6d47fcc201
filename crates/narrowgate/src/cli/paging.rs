//! How much of a list to print, and from where: the same options for every list.

use clap::Args;

/// Options of a list that prints `DEFAULT` rows by default, and `MAX` at most.
#[derive(Debug, Clone, Args)]
pub(crate) struct PagingArgs<const DEFAULT: u32, const MAX: u32> {
    #[arg(
        long,
        default_value_t = DEFAULT,
        value_name = "N",
        value_parser = number::<1, MAX>,
        allow_negative_numbers = true,
        help = format!("Print at most this many rows, 1 to {MAX}")
    )]
    limit: u32,
    /// Start where the last page ended: the cursor it printed on standard error (device list: nextCursor)
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print all rows, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Parses a number in a range; the error is a sentence for people.
pub(crate) fn number<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| format!("{text} is not a number from {MIN} to {MAX}"))
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
    /// Print all rows.
    pub(crate) all: bool,
}

impl<const DEFAULT: u32, const MAX: u32> From<PagingArgs<DEFAULT, MAX>> for Paging {
    fn from(arguments: PagingArgs<DEFAULT, MAX>) -> Self {
        let PagingArgs { limit, cursor, all } = arguments;
        Self { limit, cursor, all }
    }
}
