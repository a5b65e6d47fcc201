//! Numbers of CBOR as decimal text, and back: floats of 16 bits, integers of any length, decimal fractions.

use std::fmt::Write as _;

/// Longest bignum, bytes: the range of a double. Zeros before it do not count.
const BIGNUM_BYTES_MAX: usize = 128;
/// A decimal fraction with at most so many digits behind its point is written with a point.
const PLACES_MAX: i64 = 30;
const LIMB: u64 = 1_000_000_000;
const LIMB_DIGITS: usize = 9;

/// Whether a double reaches a number: else JSON has no value for it.
fn is_in_range(decimal: &str) -> bool {
    decimal.parse::<f64>().is_ok_and(f64::is_finite)
}

/// An integer of any length; it is below zero where `is_negative`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Integer {
    pub(super) is_negative: bool,
    /// Big-endian, without zeros before it.
    magnitude: Vec<u8>,
}

impl Integer {
    /// The unsigned integer, or -1 minus it, as CBOR has it; `None`: it is longer than any that a double
    /// reaches.
    pub(super) fn of(is_negative: bool, bytes: &[u8]) -> Option<Self> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let mut magnitude = bytes[zeros..].to_vec();
        if magnitude.len() > BIGNUM_BYTES_MAX {
            return None;
        }
        if is_negative {
            match magnitude.iter().rposition(|byte| *byte != 0xff) {
                Some(last) => {
                    magnitude[last] += 1;
                    magnitude[last + 1..].fill(0);
                }
                None => {
                    magnitude.fill(0);
                    magnitude.insert(0, 1);
                }
            }
        }
        Some(Self { is_negative, magnitude })
    }

    /// In decimal; `None` where no double reaches it.
    pub(super) fn decimal(&self) -> Option<String> {
        let mut limbs: Vec<u32> = Vec::new();
        for byte in &self.magnitude {
            let mut carry = u64::from(*byte);
            for limb in &mut limbs {
                let next = (u64::from(*limb) << 8) + carry;
                (*limb, carry) = ((next % LIMB) as u32, next / LIMB);
            }
            if carry > 0 {
                limbs.push(carry as u32);
            }
        }
        let mut decimal = if self.is_negative { "-".to_owned() } else { String::new() };
        let mut limbs = limbs.iter().rev();
        let _ = write!(decimal, "{}", limbs.next().unwrap_or(&0));
        for limb in limbs {
            let _ = write!(decimal, "{limb:0LIMB_DIGITS$}");
        }
        is_in_range(&decimal).then_some(decimal)
    }

    /// This times two to the power, where a double has exactly this value.
    pub(super) fn times_power_of_two(&self, exponent: i64) -> Option<f64> {
        let bytes = &self.magnitude;
        let mut magnitude = [0; 16];
        // Zeros behind the last one belong to the exponent.
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[..bytes.len() - zeros];
        magnitude[16_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
        let magnitude = u128::from_be_bytes(magnitude);
        if magnitude == 0 {
            return Some(0.0);
        }
        let shift = magnitude.trailing_zeros();
        let (odd, exponent) =
            (magnitude >> shift, exponent.checked_add(8 * zeros as i64)?.checked_add(i64::from(shift))?);
        let bits = i64::from(u128::BITS - odd.leading_zeros());
        let fits = bits <= i64::from(f64::MANTISSA_DIGITS)
            && (-1074..=i64::from(f64::MAX_EXP) - bits).contains(&exponent);
        let power = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
        let half = exponent / 2;
        let sign = if self.is_negative { -1.0 } else { 1.0 };
        // Neither step rounds: both results are doubles of their own.
        fits.then(|| sign * (odd as f64) * power(half) * power(exponent - half))
    }
}

/// An integer times ten to the power, as JSON writes it; `None` where no double reaches it.
pub(super) fn decimal_fraction(mantissa: &Integer, exponent: i64) -> Option<String> {
    let digits = mantissa.decimal()?;
    let decimal = if exponent == 0 {
        digits
    } else if (-PLACES_MAX..0).contains(&exponent) {
        let places = exponent.unsigned_abs() as usize;
        let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        format!("{sign}{whole}.{fraction}")
    } else {
        format!("{digits}e{exponent}")
    };
    is_in_range(&decimal).then_some(decimal)
}

/// The bytes of a decimal integer without a sign, big-endian, none of them zero at the beginning.
pub(super) fn bytes_of_decimal(digits: &str) -> Vec<u8> {
    // Little-endian until the end.
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits.bytes().filter(u8::is_ascii_digit) {
        let mut carry = u32::from(digit - b'0');
        for byte in &mut bytes {
            let next = u32::from(*byte) * 10 + carry;
            (*byte, carry) = (next as u8, next >> 8);
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    bytes.reverse();
    bytes
}

/// A float of 16 bits (RFC 8949, appendix D).
pub(super) fn from_half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => mantissa / f64::from(1 << 24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa / 1024.0 + 1.0) * f64::from_bits(((exponent - 15 + 1023) as u64) << 52),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The float of 16 bits with exactly this value, if there is one.
pub(super) fn to_half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let (exponent, mantissa) = ((bits >> 23 & 0xff) as i32 - 127, bits & 0x7f_ffff);
    match exponent {
        -127 => (mantissa == 0).then_some(sign),
        -24..-14 => {
            // Without a leading one that is not written.
            let (whole, shift) = (mantissa | 0x80_0000, (-1 - exponent) as u32);
            (whole.trailing_zeros() >= shift).then(|| sign | (whole >> shift) as u16)
        }
        -14..=15 => (mantissa.trailing_zeros() >= 13)
            .then(|| sign | ((exponent + 15) as u16) << 10 | (mantissa >> 13) as u16),
        _ => None,
    }
}
