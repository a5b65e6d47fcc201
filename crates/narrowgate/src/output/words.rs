//! Numbers in sentences.

/// `1 device`, `2 devices`.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    // No count exceeds 64 bits.
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(
            [0_u64, 1, 2].map(|count| counted(count, "device")),
            ["0 devices", "1 device", "2 devices"]
        );
    }
}
