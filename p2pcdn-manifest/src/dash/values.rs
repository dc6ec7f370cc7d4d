//! Numbers, durations and byte ranges as MPDs write them (ISO/IEC 23009-1, XML Schema 2).

use std::time::Duration;

use p2pcdn_wire::ByteRange;

/// A value read, and whether it had to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// As the standard asks for.
    Good(T),
    /// Not so, and read as players read it.
    Repaired(T),
    /// Not to be understood.
    Bad,
}

/// A decimal number that is not negative: exact, up to nine digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// The number times `scale`.
    pub(super) scaled: u64,
    /// A power of ten, at most 10^9; one for an integer.
    pub(super) scale: u64,
}

/// An unsigned integer; a fraction is cut off, as players do.
pub(super) fn unsigned(text: &str) -> Read<u64> {
    let text = text.trim();
    if let (Ok(value), true) = (text.parse(), text.starts_with(|c: char| c.is_ascii_digit())) {
        return Read::Good(value);
    }
    match decimal(text) {
        Some(value) => Read::Repaired(value.scaled / value.scale),
        None => Read::Bad,
    }
}

/// An integer that may be negative.
pub(super) fn signed(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| match unsigned(text) {
        Read::Good(value) | Read::Repaired(value) => i64::try_from(value).ok(),
        Read::Bad => None,
    })
}

/// `digits[.digits]`; `None` when there is anything else, or too many digits in front.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let only_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !only_digits(whole) || !only_digits(fraction) {
        return None;
    }
    let mut scaled: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut scale = 1;
    for digit in fraction.trim_end_matches('0').bytes().take(9) {
        scale *= 10;
        scaled = scaled
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    Some(Decimal { scaled, scale })
}

/// A number of seconds of either sign, in nanoseconds, saturated; `INF` is the largest.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if text == "INF" || text == "+INF" {
        return Some(i64::MAX);
    }
    let (text, sign) = match text.strip_prefix('-') {
        Some(text) => (text, -1),
        None => (text, 1),
    };
    // A double may be written with an exponent, which players accept and packagers do not write.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = i64::try_from(nanos(whole, fraction)?).unwrap_or(i64::MAX);
    Some(sign * nanos)
}

/// `PnYnMnDTnHnMnS`, each field optional and possibly with a fraction. As all players have it, a
/// year is 365 days and a month 30. A bare number is taken for seconds, as dash.js does.
pub(super) fn duration(text: &str) -> Read<Duration> {
    let text = text.trim();
    if decimal(text).is_some() {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        return match nanos(whole, fraction).and_then(|nanos| u64::try_from(nanos).ok()) {
            Some(nanos) => Read::Repaired(Duration::from_nanos(nanos)),
            None => Read::Bad,
        };
    }
    match fields(text).and_then(|nanos| u64::try_from(nanos).ok()) {
        Some(nanos) => Read::Good(Duration::from_nanos(nanos)),
        None => Read::Bad,
    }
}

/// The nanoseconds of a duration in fields.
fn fields(text: &str) -> Option<u128> {
    const DATE: [(char, u128); 3] = [('Y', 365 * 86_400), ('M', 30 * 86_400), ('D', 86_400)];
    const TIME: [(char, u128); 3] = [('H', 3_600), ('M', 60), ('S', 1)];
    let text = text.strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut sum: u128 = 0;
    let mut is_empty = true;
    for (part, units) in [(date, DATE), (time, TIME)] {
        let mut rest = part;
        for (unit, in_seconds) in units {
            let Some((value, after)) = rest.split_once(unit) else {
                continue;
            };
            let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
            let nanos = nanos(whole, fraction)?.checked_mul(in_seconds)?;
            sum = sum.checked_add(nanos)?;
            is_empty = false;
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (!is_empty).then_some(sum)
}

/// The nanoseconds in a decimal number of seconds, rounded half up. `None` without a digit, or
/// past what 30 digits can hold.
fn nanos(whole: &str, fraction: &str) -> Option<u128> {
    let only_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_empty = whole.is_empty() && fraction.is_empty();
    if is_empty || whole.len() > 30 || !only_digits(whole) || !only_digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut digits = fraction.bytes().map(|b| u128::from(b - b'0'));
    let mut part = 0;
    for _ in 0..9 {
        part = part * 10 + digits.next().unwrap_or(0);
    }
    let round = u128::from(digits.next() >= Some(5));
    whole.checked_mul(1_000_000_000)?.checked_add(part + round)
}

/// A byte range as RFC 7233 writes it, both ends given and included: `first-last`.
pub(super) fn byte_range(text: &str) -> Option<ByteRange> {
    let (first, last) = text.trim().split_once('-')?;
    let (Read::Good(first), Read::Good(last)) = (unsigned(first), unsigned(last)) else {
        return None;
    };
    let range = ByteRange::new(first, last.checked_add(1)?);
    (!range.is_empty()).then_some(range)
}

/// `true` or `1`, `false` or `0`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        let nanos = |text| match duration(text) {
            Read::Good(duration) => Some(duration.as_nanos()),
            _ => None,
        };
        assert_eq!(nanos("PT6.006S"), Some(6_006_000_000));
        assert_eq!(nanos("PT0.0000000015S"), Some(2));
        assert_eq!(nanos("PT.5S"), Some(500_000_000));
        assert_eq!(nanos("PT0.5H"), Some(1_800_000_000_000));
        assert_eq!(nanos("P1DT1H1M1S"), Some(90_061_000_000_000));
        assert_eq!(nanos("P1Y1M"), Some(395 * 86_400_000_000_000));
        assert_eq!(nanos("PT389761H2M15.535S"), Some(1_403_139_735_535_000_000));
        assert_eq!(nanos(" PT1M "), Some(60_000_000_000));
        for text in [
            "", "P", "PT", "2S", "PT1H2", "-PT1S", "PT1S1M", "PTS", "PT1.2.3S", "P1S",
        ] {
            assert_eq!(duration(text), Read::Bad, "{text}");
        }
        assert_eq!(
            duration("1.5"),
            Read::Repaired(Duration::from_millis(1_500))
        );
    }

    #[test]
    fn durations_that_overflow_are_refused() {
        for text in [
            "P9999999999999999999Y",
            "P99999999999999999D",
            "PT99999999999999999999999999999999999999999S",
            "PT18446744074S",
            "99999999999999999999999",
        ] {
            assert_eq!(duration(text), Read::Bad, "{text}");
        }
        let longest = Duration::from_nanos(u64::MAX);
        assert_eq!(duration("PT18446744073.709551615S"), Read::Good(longest));
    }

    #[test]
    fn numbers_are_repaired_as_players_do() {
        assert_eq!(unsigned(" 42 "), Read::Good(42));
        assert_eq!(unsigned("18446744073709551615"), Read::Good(u64::MAX));
        assert_eq!(unsigned("2500000.7"), Read::Repaired(2_500_000));
        for text in ["", "-1", "x", "18446744073709551616", "1e6", "."] {
            assert_eq!(unsigned(text), Read::Bad, "{text}");
        }
        assert_eq!(signed("-130000"), Some(-130_000));
        assert_eq!(signed("9223372036854775808"), None);
        assert_eq!(
            decimal("2.0020"),
            Some(Decimal {
                scaled: 2_002,
                scale: 1_000
            })
        );
        assert_eq!(seconds("0.5"), Some(500_000_000));
        assert_eq!(seconds("-1"), Some(-1_000_000_000));
        assert_eq!(seconds("INF"), Some(i64::MAX));
        assert_eq!(seconds("NaN"), None);
        assert_eq!(seconds("99999999999999999999"), Some(i64::MAX));
    }

    #[test]
    fn byte_ranges_include_both_ends() {
        assert_eq!(byte_range("0-99"), Some(ByteRange::new(0, 100)));
        assert_eq!(byte_range("5-5"), Some(ByteRange::new(5, 6)));
        for text in ["", "5", "5-", "-5", "9-5", "1-18446744073709551615", "a-b"] {
            assert_eq!(byte_range(text), None, "{text}");
        }
    }
}
