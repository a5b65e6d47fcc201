//! How much of a list, and from where: the same options for every list.

use clap::Args;

/// Options of a list that prints `DEFAULT` rows unless said otherwise, and `MAX` at a time.
#[derive(Debug, Clone, Args)]
pub(crate) struct PagingArgs<const DEFAULT: u32, const MAX: u32> {
    #[arg(
        long,
        default_value_t = DEFAULT,
        value_name = "N",
        value_parser = number::<1, MAX>,
        allow_negative_numbers = true,
        help = format!("At most so many, 1 to {MAX}")
    )]
    limit: u32,
    /// Where the last page ended: what it said on standard error (of device list: its nextCursor)
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// To the end, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A number of a range, or a sentence for people.
pub(crate) fn number<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| format!("{text} is not a number from {MIN} to {MAX}"))
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
    /// To the end.
    pub(crate) all: bool,
}

impl<const DEFAULT: u32, const MAX: u32> From<PagingArgs<DEFAULT, MAX>> for Paging {
    fn from(arguments: PagingArgs<DEFAULT, MAX>) -> Self {
        let PagingArgs { limit, cursor, all } = arguments;
        Self { limit, cursor, all }
    }
}
