//! Counted things in sentences, for people.

/// `1 device`, `2 devices`.
pub fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    // No count exceeds 64 bits.
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// `1 device is`, `2 devices are`.
pub fn counted_are(count: impl TryInto<u64> + Copy, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if is_one(count) { "is" } else { "are" })
}

/// `1 device has`, `2 devices have`.
pub fn counted_have(count: impl TryInto<u64> + Copy, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if is_one(count) { "has" } else { "have" })
}

fn is_one(count: impl TryInto<u64>) -> bool {
    count.try_into().is_ok_and(|count| count == 1)
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
        assert_eq!([0, 1].map(|count| counted_are(count, "byte")), ["0 bytes are", "1 byte is"]);
        assert_eq!([1, 2].map(|count| counted_have(count, "byte")), ["1 byte has", "2 bytes have"]);
    }
}
