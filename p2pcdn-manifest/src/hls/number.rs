//! Numbers, durations and byte ranges as playlists write them.

use std::time::Duration;

/// The decimal number at the start of `text`, as seconds: exact to the nanosecond, rounded half
/// up. `None` without a digit or when negative. Seconds beyond 64 bits saturate.
#[inline]
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii_start().as_bytes();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (whole, whole_len, rest) = leading_digits(text);
    let fraction = rest.strip_prefix(b".").unwrap_or_default();
    let mut nanos = 0u32;
    let mut unit = NANOS_PER_SEC;
    let mut count = 0usize;
    for byte in fraction {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        count += 1;
        if unit > 1 {
            unit /= 10;
            nanos += u32::from(digit) * unit;
        } else {
            // The tenth digit rounds, those behind it change nothing.
            nanos += u32::from(digit >= 5);
            break;
        }
    }
    if whole_len == 0 && count == 0 {
        return None;
    }
    let fraction = Duration::from_nanos(u64::from(nanos));
    Some(Duration::from_secs(whole).saturating_add(fraction))
}

/// As [`seconds`], or less than zero: the sign, and how much.
pub(super) fn signed_seconds(text: &str) -> Option<(Sign, Duration)> {
    match text.trim_ascii_start().strip_prefix('-') {
        Some(text) => Some((Sign::Minus, seconds(text)?)),
        None => Some((Sign::Plus, seconds(text)?)),
    }
}

/// Which side of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// The number that the text begins with, saturating; of how many digits; and the rest.
#[inline]
fn leading_digits(text: &[u8]) -> (u64, usize, &[u8]) {
    let mut number = 0u64;
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (number, at, text.get(at..).unwrap_or_default());
        }
        number = number.saturating_mul(10).saturating_add(u64::from(digit));
    }
    (number, text.len(), &[])
}

/// A decimal integer, nothing around it.
pub(super) fn integer(text: &str) -> Option<u64> {
    let text = text.trim();
    let only_digits = !text.is_empty() && digits(text).len() == text.len();
    only_digits.then(|| text.parse().ok()).flatten()
}

/// An integer, of which some packagers write a fraction that is dropped.
pub(super) fn whole(text: &str) -> Option<u64> {
    match text.split_once('.') {
        Some((whole, fraction)) if digits(fraction).len() == fraction.len() => integer(whole),
        _ => integer(text),
    }
}

/// `WIDTHxHEIGHT`.
pub(super) fn resolution(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X'])?;
    let side = |text| u32::try_from(integer(text)?).ok();
    Some((side(width)?, side(height)?))
}

/// A hexadecimal number of at most 128 bits with its `0x`.
pub(super) fn hexadecimal(text: &str) -> Option<u128> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))?;
    let only_digits = digits.bytes().all(|b| b.is_ascii_hexdigit());
    only_digits
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
}

/// `LENGTH[@OFFSET]`.
pub(super) fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        None => Some((integer(text)?, None)),
        Some((len, offset)) => Some((integer(len)?, Some(integer(offset)?))),
    }
}

/// The digits at the start of `text`.
pub(super) fn digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

const NANOS_PER_SEC: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_to_the_nanosecond() {
        let nanos = |text| seconds(text).map(|duration| duration.as_nanos());
        assert_eq!(nanos("9.97666666666667,"), Some(9_976_666_667));
        assert_eq!(nanos("3600.0416666"), Some(3_600_041_666_600));
        assert_eq!(nanos("6"), Some(6_000_000_000));
        assert_eq!(nanos("6.,t"), Some(6_000_000_000));
        assert_eq!(nanos(".5"), Some(500_000_000));
        assert_eq!(nanos(" 1.9999999996"), Some(2_000_000_000));
        assert_eq!(nanos("-1"), None);
        assert_eq!(nanos("."), None);
        assert_eq!(nanos(""), None);
        assert_eq!(nanos("abc"), None);
        assert_eq!(nanos("+2x"), Some(2_000_000_000));
        assert_eq!(nanos("0.0000000009"), Some(1));
        assert_eq!(nanos("0.00000000049"), Some(0));
        let half = Duration::from_millis(500);
        assert_eq!(signed_seconds("-0.5"), Some((Sign::Minus, half)));
        assert_eq!(signed_seconds(" .5"), Some((Sign::Plus, half)));
        assert_eq!(signed_seconds("--1"), None);
        let huge = "9".repeat(40);
        assert_eq!(seconds(&huge), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(seconds(&format!("{huge}.9999999999")), Some(Duration::MAX));
    }

    #[test]
    fn integers_take_nothing_around_them() {
        assert_eq!(integer(" 18446744073709551615 "), Some(u64::MAX));
        for text in ["18446744073709551616", "", "1.5", "-1", "+1", "1a"] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(whole("1280000.75"), Some(1_280_000));
        assert_eq!(whole("1280000"), Some(1_280_000));
        assert_eq!(whole("2.5e6"), None);
        assert_eq!(whole(".5"), None);
        assert_eq!(resolution("1280X720"), Some((1280, 720)));
        assert_eq!(resolution("1280"), None);
        assert_eq!(hexadecimal("0x0F"), Some(15));
        assert_eq!(hexadecimal("0x+F"), None);
        assert_eq!(hexadecimal(&format!("0x{}", "f".repeat(33))), None);
        assert_eq!(byte_range("100@5"), Some((100, Some(5))));
        assert_eq!(byte_range("100"), Some((100, None)));
        assert_eq!(byte_range("100@"), None);
    }
}
