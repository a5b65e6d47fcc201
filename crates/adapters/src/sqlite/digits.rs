//! Numbers as text, put there without the machinery of formats: for what each write has.

/// Adds the digits of a number, as `Display` gives them.
pub(super) fn push_number(text: &mut String, number: i64) {
    if number < 0 {
        text.push('-');
    }
    let (mut digits, mut begin, mut rest) = ([b'0'; 20], 20, number.unsigned_abs());
    while begin == 20 || rest > 0 {
        begin -= 1;
        digits[begin] += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    text.push_str(str::from_utf8(&digits[begin..]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_display_gives_them() {
        for number in [0, 1, 9, 10, 1_700_000_000_123, -1, -10, i64::MAX, i64::MIN] {
            let mut text = "n".to_owned();
            push_number(&mut text, number);
            assert_eq!(text, format!("n{number}"));
        }
    }
}
