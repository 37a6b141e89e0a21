//! Dates of mail: RFC 5322 (obsolete forms too), IMAP INTERNALDATE, and the `From ` line of mbox files.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Timelike};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A moment and the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970-01-01 00:00 UTC; negative before.
    pub utc_s: i64,
    /// Zone east of UTC, minutes.
    pub offset_min: i32,
}

impl Stamp {
    fn of(local: NaiveDateTime, offset_min: i32) -> Option<Stamp> {
        let utc_s = local.and_utc().timestamp().checked_sub(i64::from(offset_min) * 60)?;
        Some(Stamp { utc_s, offset_min })
    }

    /// The date in its zone (for SENTBEFORE, SENTON and SENTSINCE, which disregard time and zone).
    #[must_use]
    pub fn local_date(&self) -> Option<NaiveDate> {
        Some(DateTime::from_timestamp(self.utc_s.checked_add(i64::from(self.offset_min) * 60)?, 0)?.date_naive())
    }
}

fn month(word: &[u8]) -> Option<u32> {
    let word = word.get(..3)?;
    let at = MONTHS.iter().position(|m| m.as_bytes().eq_ignore_ascii_case(word))?;
    u32::try_from(at + 1).ok()
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A year of two or three digits as RFC 5322 section 4.3 reads it.
fn year(word: &[u8]) -> Option<i32> {
    let value: i32 = number(word)?;
    match word.len() {
        2 if value < 50 => Some(2000 + value),
        2 | 3 => Some(1900 + value),
        4 => Some(value),
        _ => None,
    }
}

/// `hh:mm` or `hh:mm:ss`; a leap second counts as second 59. Dots as separators occur in old mail.
fn time(word: &[u8]) -> Option<(u32, u32, u32)> {
    let mut pieces = word.split(|b| *b == b':' || *b == b'.');
    let hour = number(pieces.next()?)?;
    let minute = number(pieces.next()?)?;
    let second: u32 = pieces.next().map_or(Some(0), number)?;
    (hour < 24 && minute < 60 && second <= 60 && pieces.next().is_none()).then_some((hour, minute, second.min(59)))
}

/// `+hhmm`, `-hhmm` or a name of RFC 5322 section 4.3; other words count as UTC, as that section says.
fn zone(word: &[u8]) -> Option<i32> {
    if let Some((sign, digits)) = word.split_first().filter(|(sign, _)| matches!(sign, b'+' | b'-')) {
        let digits = digits.get(..4)?;
        let value: i32 = number(digits)?;
        let minutes = value / 100 * 60 + value % 100;
        return (value % 100 < 60 && value < 2400).then_some(if *sign == b'-' { -minutes } else { minutes });
    }
    Some(match word.to_ascii_uppercase().as_slice() {
        b"EDT" => -240,
        b"EST" | b"CDT" => -300,
        b"CST" | b"MDT" => -360,
        b"MST" | b"PDT" => -420,
        b"PST" => -480,
        _ => 0,
    })
}

/// Cuts comments out and splits at white space and commas.
fn words(value: &[u8]) -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new()];
    let mut depth = 0_usize;
    for &b in value.iter().take(1000) {
        match b {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b' ' | b'\t' | b'\r' | b'\n' | b',' => out.push(Vec::new()),
            _ => {
                if let Some(last) = out.last_mut() {
                    last.push(b);
                }
            }
        }
    }
    out.retain(|word| !word.is_empty());
    out
}

/// Reads the value of a Date field: `[Day,] 1 Jan 2004 10:11[:12] [zone]`, with comments, two-digit years, zone
/// names, and the forms `1-Jan-2004` and ctime's `Thu Jan 1 10:11:12 2004 [zone]` that also occur. `None` if no
/// date can be read. Without a zone that can be read: UTC.
#[must_use]
pub fn parse_rfc5322(value: &[u8]) -> Option<Stamp> {
    let mut list = words(value);
    // `Mon,1`, `1-Jan-2004`, `10 : 11 : 12` written apart.
    if let Some(at) = list.iter().position(|w| w.iter().filter(|b| **b == b'-').count() == 2 && w[0].is_ascii_digit()) {
        let pieces: Vec<Vec<u8>> = list[at].split(|b| *b == b'-').map(<[u8]>::to_vec).collect();
        list.splice(at..=at, pieces);
    }
    join_time(&mut list);
    let mut rest = list.as_slice();
    if rest.first().is_some_and(|w| w[0].is_ascii_alphabetic() && month(w).is_none() || w.ends_with(b".")) {
        rest = rest.get(1..)?;
    }
    if rest.first().is_some_and(|w| month(w).is_some()) {
        return ctime(rest);
    }
    let [day, mon, y, rest @ ..] = rest else { return None };
    let date = NaiveDate::from_ymd_opt(year(y)?, month(mon)?, number(day)?)?;
    let (h, m, s) = match rest.first() {
        Some(word) => time(word)?,
        None => (0, 0, 0),
    };
    Stamp::of(date.and_hms_opt(h, m, s)?, rest.get(1).and_then(|word| zone(word)).unwrap_or(0))
}

/// Joins a time that was written with blanks around its colons.
fn join_time(list: &mut Vec<Vec<u8>>) {
    let mut at = 1;
    while at < list.len() {
        if list[at].first() == Some(&b':') || list[at - 1].last() == Some(&b':') {
            let next = list.remove(at);
            list[at - 1].extend(next);
        } else {
            at += 1;
        }
    }
}

/// `Jan 1 10:11:12 [zone] 2004 [zone]`, the rest of a ctime date behind the day of the week.
fn ctime(words: &[Vec<u8>]) -> Option<Stamp> {
    let [mon, day, clock, rest @ ..] = words else { return None };
    let at = rest.iter().take(2).position(|word| word.len() == 4 && year(word).is_some())?;
    let offset = match (at, rest.get(1)) {
        (1, _) => zone(rest.first()?)?,
        (_, Some(word)) => zone(word).unwrap_or(0),
        (_, None) => 0,
    };
    let date = NaiveDate::from_ymd_opt(year(rest.get(at)?)?, month(mon)?, number(day)?)?;
    let (h, m, s) = time(clock)?;
    Stamp::of(date.and_hms_opt(h, m, s)?, offset)
}

/// Reads the date of a `From ` line: `Thu Jan  1 10:11[:12] [zone] 2004 [zone]`, and nothing else.
/// Without a zone: UTC.
#[must_use]
pub fn parse_from_line(value: &[u8]) -> Option<Stamp> {
    let list = words(value);
    let (day, rest) = list.split_first()?;
    let known = DAYS.iter().any(|d| d.as_bytes().eq_ignore_ascii_case(day));
    if !known || rest.first().is_none_or(|w| w.len() != 3) || rest.len() > 5 {
        return None;
    }
    ctime(rest)
}

/// The date of a `From ` line in UTC, as ctime(3) writes it: `Thu Jan  1 10:11:12 2004`.
#[must_use]
pub fn format_from_line(utc_s: i64) -> String {
    let at = DateTime::from_timestamp(utc_s, 0).unwrap_or_default().naive_utc();
    let (day, mon) = (name(&DAYS, at.weekday().num_days_from_monday()), name(&MONTHS, at.month0()));
    format!("{day} {mon} {:2} {:02}:{:02}:{:02} {:04}", at.day(), at.hour(), at.minute(), at.second(), at.year())
}

fn name(names: &[&'static str], at: u32) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("???")
}

/// Writes a moment for a Date line, in UTC: `Thu, 01 Jan 1970 00:00:00 +0000` (RFC 5322 section 3.3).
#[must_use]
pub fn format_rfc5322(utc_s: i64) -> String {
    let at = DateTime::from_timestamp(utc_s, 0).unwrap_or_default().naive_utc();
    let (day, mon) = (name(&DAYS, at.weekday().num_days_from_monday()), name(&MONTHS, at.month0()));
    let (d, y, h, m, s) = (at.day(), at.year(), at.hour(), at.minute(), at.second());
    format!("{day}, {d:02} {mon} {y:04} {h:02}:{m:02}:{s:02} +0000")
}

/// Reads an IMAP date-time (RFC 3501 section 9), without its quotes: `17-Jul-1996 02:44:25 -0700`; fixed width, the
/// day may start with a blank.
#[must_use]
pub fn parse_internal(text: &[u8]) -> Option<Stamp> {
    let text: &[u8; 26] = text.try_into().ok()?;
    let shape = [(2, b'-'), (6, b'-'), (11, b' '), (14, b':'), (17, b':'), (20, b' ')];
    if shape.iter().any(|(at, b)| text[*at] != *b) || !matches!(text[21], b'+' | b'-') {
        return None;
    }
    let day = text[..2].strip_prefix(b" ").unwrap_or(&text[..2]);
    let date = NaiveDate::from_ymd_opt(number(&text[7..11])?, month(&text[3..6])?, number(day)?)?;
    let (h, m, s) = time(&text[12..20])?;
    Stamp::of(date.and_hms_opt(h, m, s)?, zone(&text[21..])?)
}

/// Writes an IMAP date-time without quotes, in the zone of the stamp, 26 octets. Moments outside of the years
/// 0000 to 9999 come out as the start of 1970.
#[must_use]
pub fn format_internal(stamp: Stamp) -> String {
    let offset = stamp.offset_min.clamp(-23 * 60 - 59, 23 * 60 + 59);
    let local = FixedOffset::east_opt(offset * 60)
        .and_then(|zone| Some(DateTime::from_timestamp(stamp.utc_s, 0)?.with_timezone(&zone).naive_local()))
        .filter(|at| (0..=9999).contains(&at.year()))
        .unwrap_or_default();
    let sign = if offset < 0 { '-' } else { '+' };
    let zone = offset.abs() / 60 * 100 + offset.abs() % 60;
    let (mon, y) = (name(&MONTHS, local.month0()), local.year());
    format!(
        "{:2}-{mon}-{y:04} {:02}:{:02}:{:02} {sign}{zone:04}",
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    )
}

/// Reads an IMAP search date (RFC 3501 `date`, without quotes): `1-Feb-1994`.
#[must_use]
pub fn parse_search_date(text: &[u8]) -> Option<NaiveDate> {
    let mut pieces = text.splitn(3, |b| *b == b'-');
    let (day, mon, y) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if day.len() > 2 || mon.len() != 3 || y.len() != 4 {
        return None;
    }
    NaiveDate::from_ymd_opt(number(y)?, month(mon)?, number(day)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(i64, i32)> {
        parse_rfc5322(text.as_bytes()).map(|s| (s.utc_s, s.offset_min))
    }

    #[test]
    fn rfc5322_examples() {
        let want = Some((880_127_706, -360));
        assert_eq!(read("Fri, 21 Nov 1997 09:55:06 -0600"), want);
        assert_eq!(read("21 Nov 97 09:55:06 CST"), want);
        assert_eq!(read("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600"), want);
        assert_eq!(
            read("Thu,\r\n   13\r\n  Feb\r\n  1969\r\n   23:32\r\n   -0330 (Newfoundland Time)"),
            Some((-27_723_480, -210))
        );
    }

    #[test]
    fn other_forms() {
        assert_eq!(read("1 Jan 1970 00:00:00 GMT"), Some((0, 0)));
        assert_eq!(read("Thu, 01-Jan-1970 01:00:00 +0100"), Some((0, 60)));
        assert_eq!(read("Thu Jan  1 00:00:01 1970"), Some((1, 0)));
        assert_eq!(read("Thu Jan  1 00:00:01 EST 1970"), Some((18_001, -300)));
        assert_eq!(read("Sat, 31 Dec 2016 23:59:60 +0000"), Some((1_483_228_799, 0)));
        assert_eq!(read("1 Jan 1970 00:00:02 +-0500"), Some((2, 0)));
        for bad in ["", "tomorrow", "32 Jan 1970 00:00:00", "1 Foo 1970", "1 Jan 1970 25:00", "Mon,"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn internal_dates() {
        let stamp = parse_internal(b"17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!((stamp.utc_s, stamp.offset_min), (837_596_665, -420));
        assert_eq!(format_internal(stamp), "17-Jul-1996 02:44:25 -0700");
        assert_eq!(parse_internal(b" 1-Jan-1970 00:00:00 +0000").unwrap().utc_s, 0);
        assert_eq!(format_internal(Stamp { utc_s: 0, offset_min: 0 }), " 1-Jan-1970 00:00:00 +0000");
        for bad in
            [&b"1-Jan-1970 00:00:00 +0000"[..], b"31-Feb-1970 00:00:00 +0000", b"01-Jan-1970 00:00:00 00000", b""]
        {
            assert!(parse_internal(bad).is_none());
        }
        assert_eq!(parse_search_date(b"1-Feb-1994"), NaiveDate::from_ymd_opt(1994, 2, 1));
        assert_eq!(parse_search_date(b"1-Feb-94"), None);
    }

    #[test]
    fn from_lines() {
        let s = |text: &str| parse_from_line(text.as_bytes()).map(|s| s.utc_s);
        assert_eq!(s("Thu Jan  1 00:00:01 1970"), Some(1));
        assert_eq!(s("Thu Jan  1 00:01 1970"), Some(60));
        assert_eq!(s("Thu Jan  1 01:00:01 1970 +0100"), Some(1));
        assert_eq!(s("Wed Dec 31 19:00:01 EST 1969"), Some(1));
        assert_eq!(s("the house we went away"), None);
        assert_eq!(s("Jan  1 00:00:01 1970"), None);
        assert_eq!(format_from_line(1), "Thu Jan  1 00:00:01 1970");
    }

    proptest! {
        #[test]
        fn internal_round_trip(utc_s in 0_i64..200_000_000_000, offset_min in -840_i32..840) {
            let stamp = Stamp { utc_s, offset_min };
            prop_assert_eq!(parse_internal(format_internal(stamp).as_bytes()), Some(stamp));
            prop_assert_eq!(parse_from_line(format_from_line(utc_s).as_bytes()).map(|s| s.utc_s), Some(utc_s));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_rfc5322(&bytes);
            let _ = parse_internal(&bytes);
            let _ = parse_from_line(&bytes);
        }
    }
}
