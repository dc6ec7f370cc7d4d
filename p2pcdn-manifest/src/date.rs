//! Dates as manifests write them.

use std::time::Duration;

use p2pcdn_wire::UnixTime;

use crate::hls::seconds;

/// A date and time of ISO 8601 as found in playlists and MPDs: also with a blank for `T`, without
/// seconds or any time of day, a zone without colon or minutes, or no zone at all, which counts as
/// UTC. Exact to the microsecond.
pub(crate) fn date(text: &str) -> Option<UnixTime> {
    let text = text.trim();
    let (fields, mut text) = match fixed(text.as_bytes()) {
        Some(fields) => (
            fields,
            Text(text.get(FIXED_LEN..).filter(|rest| begins(rest))?),
        ),
        None => flexible(text)?,
    };
    let [year, month, day, hours, minutes] = fields;
    let of_minute = text.seconds()?;
    let zone = text.zone()?;
    // 60 is a leap second.
    if hours > 24 || minutes > 59 || of_minute >= Duration::from_secs(61) {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let whole = days * 86_400 + hours * 3600 + minutes * 60 - zone;
    let micros = i64::try_from(of_minute.as_micros()).ok()?;
    Some(UnixTime::from_micros(whole * 1_000_000 + micros))
}

/// Year, month, day, hours and minutes, each with all its digits: as nearly all dates are written.
fn fixed(text: &[u8]) -> Option<[i64; 5]> {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
    ] = *text.first_chunk::<FIXED_LEN>()?
    else {
        return None;
    };
    let digits =
        [y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, n0, n1].map(|byte| byte.wrapping_sub(b'0'));
    if digits.iter().any(|digit| *digit > 9) {
        return None;
    }
    let [y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, n0, n1] = digits.map(i64::from);
    Some([
        y0 * 1000 + y1 * 100 + y2 * 10 + y3,
        m0 * 10 + m1,
        d0 * 10 + d1,
        h0 * 10 + h1,
        n0 * 10 + n1,
    ])
}

/// The same however they are written, and what is left.
fn flexible(text: &str) -> Option<([i64; 5], Text<'_>)> {
    let mut text = Text(text);
    let year = text.number(1..=4)?;
    text.skip(b"-")?;
    let month = text.number(1..=2)?;
    text.skip(b"-")?;
    let day = text.number(1..=2)?;
    if text.0.is_empty() {
        return Some(([year, month, day, 0, 0], text));
    }
    text.skip(b"Tt ")?;
    let hours = text.number(1..=2)?;
    text.skip(b":")?;
    let minutes = text.number(1..=2)?;
    if text.0.starts_with(':') {
        text.skip(b":")?;
        Some(()).filter(|()| begins(text.0))?;
    }
    Some(([year, month, day, hours, minutes], text))
}

/// Whether seconds begin here.
fn begins(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// What is left to read.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// A number of so many digits, at most 4.
    fn number(&mut self, len: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let count = self
            .0
            .bytes()
            .take(4)
            .take_while(u8::is_ascii_digit)
            .count();
        let digits = self.0.bytes().take(count);
        let number = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        self.0 = self.0.get(count..)?;
        let ends = self.0.as_bytes().first().filter(is_digit).is_none();
        (len.contains(&count) && ends).then_some(number)
    }

    /// One of these characters.
    fn skip(&mut self, one_of: &[u8]) -> Option<()> {
        let byte = self.0.as_bytes().first()?;
        self.0 = one_of.contains(byte).then(|| self.0.get(1..)).flatten()?;
        Some(())
    }

    /// Seconds with a fraction; zero where there are none.
    fn seconds(&mut self) -> Option<Duration> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let len = self.0.bytes().take_while(is_part).count();
        if len == 0 {
            return Some(Duration::ZERO);
        }
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        seconds(text)
    }

    /// The rest: the zone in seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        let mut text = Text(self.0.trim_start());
        let sign = match text.0.as_bytes().first() {
            None => return Some(0),
            Some(b'Z' | b'z') => return (text.0.len() == 1).then_some(0),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        text.0 = text.0.get(1..)?;
        let (hours, minutes) = match text.0.len() {
            2 => (text.number(2..=2)?, 0),
            4 => {
                let number = text.number(4..=4)?;
                (number / 100, number % 100)
            }
            _ => {
                let hours = text.number(2..=2)?;
                text.skip(b":")?;
                (hours, text.number(2..=2)?)
            }
        };
        let is_zone = text.0.is_empty() && hours <= 24 && minutes <= 59;
        is_zone.then_some(sign * (hours * 3600 + minutes * 60))
    }
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Length of `2026-01-01T00:00:`.
const FIXED_LEN: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(micros("2020-1-1T0:0:0.25 Z"), Some(base + 250_000));
        assert_eq!(micros("2020-01-01"), Some(base));
        assert_eq!(micros("2020-01-01T00:00"), Some(base));
        assert_eq!(micros("2019-12-31T19:00-0500"), Some(base));
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(micros("2000-02-29T12:00:00Z"), Some(951_825_600_000_000));
        assert_eq!(micros("1969-12-31T23:59:59.5Z"), Some(-500_000));
        for text in [
            "",
            "2020-13-01T00:00:00Z",
            "2020-01-32T00:00:00Z",
            "2020-01-01T25:00:00Z",
            "2020-01",
            "2020-01-01T",
            "2020-01-01T00",
            "2020-01-01T00:00:",
            "2020-01-01T00:00:Z",
            "2020-01-01T00:00:00+99:00",
            "2020-01-01T00:00:00+1",
            "20200-01-01T00:00:00Z",
            "2020-01-01T00:00:x",
            "2020-01-01T00:00:00Zx",
            "2020-01-01T00:00:00+01:0",
            "2020-01-01T00:00:00+é1:00",
            "-2020-01-01T00:00:00Z",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
