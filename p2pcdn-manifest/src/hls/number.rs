//! Numbers, durations, dates and byte ranges as playlists write them.

use std::time::Duration;

use p2pcdn_wire::UnixTime;

/// The decimal number at the start of `text`, as seconds: exact to the nanosecond, rounded half
/// up. `None` without a digit or when negative. Seconds beyond 64 bits saturate.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let whole = digits(text);
    let rest = text.get(whole.len()..).unwrap_or_default();
    let fraction = rest.strip_prefix('.').map_or("", digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let seconds = whole.bytes().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    let padded = fraction.bytes().chain(std::iter::repeat(b'0'));
    let mut digits = padded.map(|digit| u64::from(digit - b'0'));
    let nanos = digits
        .by_ref()
        .take(9)
        .fold(0, |sum, digit| sum * 10 + digit);
    let round = u64::from(digits.next() >= Some(5));
    let fraction = Duration::from_nanos(nanos + round);
    Some(Duration::from_secs(seconds).saturating_add(fraction))
}

/// A decimal integer, nothing around it.
pub(super) fn integer(text: &str) -> Option<u64> {
    let text = text.trim();
    let only_digits = !text.is_empty() && digits(text).len() == text.len();
    only_digits.then(|| text.parse().ok()).flatten()
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

/// A date and time of ISO 8601 as found in playlists: also with a blank for `T`, a zone without
/// colon or minutes, or no zone at all, which counts as UTC.
pub(super) fn date(text: &str) -> Option<UnixTime> {
    let text = text.trim();
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let mut day = day.split('-').map(integer);
    let (year, month, day_of_month) = (day.next()??, day.next()??, day.next()??);
    if day.next().is_some() {
        return None;
    }
    let (time, zone) = split_zone(time)?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (integer(parts.next()?)?, integer(parts.next()?)?);
    let whole_seconds = parts.next()?;
    if !whole_seconds
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.')
    {
        return None;
    }
    let of_minute = seconds(whole_seconds)?;
    // 60 is a leap second.
    if hours > 24 || minutes > 59 || of_minute >= Duration::from_secs(61) {
        return None;
    }
    let days = days_since_1970(year, month, day_of_month)?;
    let of_day = hours * 3600 + minutes * 60;
    let whole = days * 86_400 + i64::try_from(of_day).ok()? - zone;
    let micros = i64::try_from(of_minute.as_micros()).ok()?;
    Some(UnixTime::from_micros(whole * 1_000_000 + micros))
}

/// The time of day, and its zone in seconds east of UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(utc) = time.strip_suffix(['Z', 'z']) {
        return Some((utc, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, zone) = time.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().skip(1).filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (integer(&digits)?, 0),
        4 => (integer(digits.get(..2)?)?, integer(digits.get(2..)?)?),
        _ => return None,
    };
    Some((
        time.trim_end(),
        sign * i64::try_from(hours * 3600 + minutes * 60).ok()?,
    ))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<i64> {
    if year > 9999 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = i64::try_from(year).ok()?;
    let month = i64::try_from(month).ok()?;
    let day = i64::try_from(day).ok()?;
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The digits at the start of `text`.
pub(super) fn digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

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
        assert_eq!(resolution("1280X720"), Some((1280, 720)));
        assert_eq!(resolution("1280"), None);
        assert_eq!(hexadecimal("0x0F"), Some(15));
        assert_eq!(hexadecimal("0x+F"), None);
        assert_eq!(hexadecimal(&format!("0x{}", "f".repeat(33))), None);
        assert_eq!(byte_range("100@5"), Some((100, Some(5))));
        assert_eq!(byte_range("100"), Some((100, None)));
        assert_eq!(byte_range("100@"), None);
    }

    #[test]
    fn dates_are_read_in_the_spellings_that_occur() {
        // `date -u -d 2020-01-01 +%s` says 1577836800.
        let base = 1_577_836_800_000_000;
        let micros = |text| date(text).map(UnixTime::as_micros);
        assert_eq!(micros("2020-01-01T00:00:00Z"), Some(base));
        assert_eq!(
            micros("2020-01-01T00:00:00.123456+0000"),
            Some(base + 123_456)
        );
        assert_eq!(micros("2020-01-01T01:30:00+01:30"), Some(base));
        assert_eq!(micros("2019-12-31 19:00:00-05"), Some(base));
        assert_eq!(micros("2020-01-01T00:00:00"), Some(base));
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(micros("2000-02-29T12:00:00Z"), Some(951_825_600_000_000));
        assert_eq!(micros("1969-12-31T23:59:59.5Z"), Some(-500_000));
        for text in [
            "",
            "2020-01-01",
            "2020-13-01T00:00:00Z",
            "2020-01-32T00:00:00Z",
            "2020-01-01T25:00:00Z",
            "2020-01-01T00:00Z",
            "2020-01-01T00:00:00+1",
            "20200-01-01T00:00:00Z",
            "2020-01-01T00:00:x",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
