//! The five time fields of a crontab line, and when they come next where clocks are put forward and back.
//!
//! The fields are those of the 2004Q2 guide (table 18-10): each `*`, a number, a list with commas or a range, also with a step (`*/15`,
//! `8-18/2`). Day of month and day of week must both match. The crate `cron` finds the next minute that matches; it counts Sunday as 1 and
//! wants seconds first, so it is given the fields in its own form, and times as if they were UTC: what a change of the clock means is decided here.

use std::str::FromStr;

use chrono::DateTime;
use cron::Schedule;

/// Seconds that local time is ahead of UTC at a time (seconds since 1970).
pub type Offset<'a> = &'a dyn Fn(i64) -> i64;

/// A day, in seconds.
const DAY_S: i64 = 86_400;

/// The fields: name, lowest and highest number.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6)];

/// The most days of each month.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Why five fields are not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrontabError {
    /// There are less than five.
    #[error("there are {0} of the five fields minute, hour, day of month, month, day of week")]
    Short(usize),
    /// A field cannot be read.
    #[error("{field}: \"{given}\" is not *, a number, a list with commas or a range, with a step or without")]
    Form {
        /// The field.
        field: &'static str,
        /// The part of it.
        given: String,
    },
    /// A number lies outside.
    #[error("{field}: {given} is not within {low}-{high}")]
    Bounds {
        /// The field.
        field: &'static str,
        /// The number.
        given: String,
        /// The lowest.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// A range ends before it begins.
    #[error("{field}: {given} ends before it begins")]
    Backwards {
        /// The field.
        field: &'static str,
        /// The range.
        given: String,
    },
    /// No month has the day.
    #[error("none of the months has one of the days, so this time never comes")]
    Never,
    /// What `cron` does not take.
    #[error("not a time: {0}")]
    Refused(String),
}

/// Five fields that were understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crontab {
    schedule: Schedule,
    /// The hour is `*`, or all of them: it runs by the minutes that pass, whatever they are called.
    every_hour: bool,
}

impl Crontab {
    /// Reads the five fields at the beginning of `text`; what follows them comes back, without blanks around it.
    ///
    /// # Errors
    /// [`CrontabError`], which names the field.
    pub fn parse(text: &str) -> Result<(Crontab, &str), CrontabError> {
        let mut rest = text.trim();
        let mut masks = [0u64; 5];
        for (index, (mask, (name, low, high))) in masks.iter_mut().zip(FIELDS).enumerate() {
            if rest.is_empty() {
                return Err(CrontabError::Short(index));
            }
            let (field, after) = rest.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((rest, ""));
            *mask = numbers(field, name, low, high)?;
            rest = after.trim_start();
        }
        let [minutes, hours, days, months, weekdays] = masks;
        let has_day = |month: u32, most: u32| months & bit(month) != 0 && (1..=most).any(|day| days & bit(day) != 0);
        if !(1..=12).zip(MONTH_DAYS).any(|(month, most)| has_day(month, most)) {
            return Err(CrontabError::Never);
        }
        // Sunday is 1 there.
        let lists = [(minutes, 0, 59), (hours, 0, 23), (days, 1, 31), (months, 1, 12), (weekdays << 1, 1, 7)];
        let fields: Vec<String> = lists.into_iter().map(|(mask, low, high)| listed(mask, low, high)).collect();
        let schedule = Schedule::from_str(&format!("0 {}", fields.join(" ")))
            .map_err(|error| CrontabError::Refused(error.to_string()))?;
        Ok((Crontab { schedule, every_hour: hours == all(0, 23) }, rest))
    }

    /// The next time after `after_s` (seconds since 1970) at which the fields match local time; `None` when none comes in this century.
    ///
    /// With certain hours set, a time that does not exist because the clock is put forward comes as soon as it has been put forward, once for all
    /// that was left out, and a time that exists twice comes the first time only. With every hour set the fields are compared with the clock as it goes.
    pub fn next(&self, after_s: i64, offset: Offset<'_>) -> Option<i64> {
        if self.every_hour { self.next_by_minutes(after_s, offset) } else { self.next_by_wall(after_s, offset) }
    }

    /// The next matching minute on the wall after one, both as if they were UTC.
    fn after(&self, wall_s: i64) -> Option<i64> {
        let time = DateTime::from_timestamp(wall_s, 0)?;
        self.schedule.after(&time).next().map(|next| next.timestamp())
    }

    fn next_by_wall(&self, after_s: i64, offset: Offset<'_>) -> Option<i64> {
        let mut wall_s = after_s.saturating_add(offset(after_s));
        loop {
            wall_s = self.after(wall_s)?;
            let at_s = place(wall_s, offset);
            if at_s > after_s {
                return Some(at_s);
            }
        }
    }

    fn next_by_minutes(&self, after_s: i64, offset: Offset<'_>) -> Option<i64> {
        let mut from_s = after_s.saturating_add(1);
        loop {
            let ahead_s = offset(from_s);
            let at_s = self.after(from_s.saturating_add(ahead_s).saturating_sub(1))?.saturating_sub(ahead_s);
            match change(from_s, at_s, offset) {
                None => return Some(at_s),
                Some(changed_s) => from_s = changed_s,
            }
        }
    }
}

/// When it is that time on the wall: the first time where it comes twice, the end of the gap where it does not come.
fn place(wall_s: i64, offset: Offset<'_>) -> i64 {
    // No place is more than 14 hours from UTC: these two lie before and after.
    let (before_s, after_s) = (wall_s.saturating_sub(DAY_S), wall_s.saturating_add(DAY_S));
    let candidates = [before_s, after_s].map(|near_s| wall_s.saturating_sub(offset(near_s)));
    let real = candidates.into_iter().filter(|at_s| at_s.saturating_add(offset(*at_s)) == wall_s).min();
    real.or_else(|| change(before_s, after_s, offset)).unwrap_or(wall_s)
}

/// The first time after `from_s`, not after `to_s`, at which the offset is another one.
fn change(from_s: i64, to_s: i64, offset: Offset<'_>) -> Option<i64> {
    let old = offset(from_s);
    let mut same_s = from_s;
    while same_s < to_s {
        let mut other_s = same_s.saturating_add(DAY_S).min(to_s);
        if offset(other_s) == old {
            same_s = other_s;
            continue;
        }
        while other_s - same_s > 1 {
            let middle_s = same_s + (other_s - same_s) / 2;
            if offset(middle_s) == old {
                same_s = middle_s;
            } else {
                other_s = middle_s;
            }
        }
        return Some(other_s);
    }
    None
}

fn bit(number: u32) -> u64 {
    1u64 << number
}

fn all(low: u32, high: u32) -> u64 {
    (low..=high).fold(0, |mask, number| mask | bit(number))
}

/// The numbers of a field, a bit for each.
fn numbers(field: &str, name: &'static str, low: u32, high: u32) -> Result<u64, CrontabError> {
    let mut mask = 0;
    for given in field.split(',') {
        let form = || CrontabError::Form { field: name, given: given.to_owned() };
        let number = |text: &str| {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(form());
            }
            text.parse::<u32>()
                .ok()
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| CrontabError::Bounds { field: name, given: text.to_owned(), low, high })
        };
        let (span, step) = match given.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (given, None),
        };
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            // What a step of one number would mean is not the same everywhere.
            None if step.is_some() => return Err(form()),
            None => (number(span)?, number(span)?),
        };
        if first > last {
            return Err(CrontabError::Backwards { field: name, given: given.to_owned() });
        }
        let step = match step {
            None => 1,
            Some(text) => text.parse::<usize>().ok().filter(|step| (1..=60).contains(step)).ok_or_else(form)?,
        };
        mask |= (first..=last).step_by(step).fold(0, |mask, number| mask | bit(number));
    }
    Ok(mask)
}

/// The numbers as `cron` reads them.
fn listed(mask: u64, low: u32, high: u32) -> String {
    if mask == all(low, high) {
        return "*".to_owned();
    }
    let numbers: Vec<String> =
        (low..=high).filter(|number| mask & bit(*number) != 0).map(|number| number.to_string()).collect();
    numbers.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Crontab, &str), CrontabError> {
        Crontab::parse(text)
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("0 23 * * *  sbin/imexpire -e ").unwrap().1, "sbin/imexpire -e");
        assert_eq!(parse("\t5,15\t0-4,8 1-31/2 */3 0-6").unwrap().1, "");
        assert_eq!(parse("").unwrap_err(), CrontabError::Short(0));
        assert_eq!(parse("0 23 * *").unwrap_err(), CrontabError::Short(4));
        for (text, said) in [
            ("60 * * * *", "minute: 60 is not within 0-59"),
            ("0 24 * * *", "hour: 24 is not within 0-23"),
            ("0 0 0 * *", "day of month: 0 is not within 1-31"),
            ("0 0 * 13 *", "month: 13 is not within 1-12"),
            ("0 0 * * 7", "day of week: 7 is not within 0-6"),
            ("0 0 * * Mon", "day of week: \"Mon\" is not"),
            ("0 5-1 * * *", "hour: 5-1 ends before it begins"),
            ("5/10 * * * *", "minute: \"5/10\" is not"),
            ("*/0 * * * *", "minute: \"*/0\" is not"),
            (", * * * *", "minute: \"\" is not"),
            ("? * * * *", "minute: \"?\" is not"),
            ("+1 * * * *", "minute: \"+1\" is not"),
            ("0 0 30,31 2 *", "never comes"),
            ("0 0 31 4,6 1", "never comes"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(said) || error.ends_with(said), "{text}: {error}");
        }
    }

    /// Two hours are left out at 01:00 UTC of the second day, and come back at 10:00 UTC of the fourth.
    fn moved(at_s: i64) -> i64 {
        if (DAY_S + 3_600..3 * DAY_S + 36_000).contains(&at_s) { 7_200 } else { 0 }
    }

    fn runs(text: &str, from_s: i64, count: usize) -> Vec<i64> {
        let (crontab, _) = parse(text).unwrap();
        let mut runs = Vec::new();
        let mut at_s = from_s;
        for _ in 0..count {
            at_s = crontab.next(at_s, &moved).unwrap();
            runs.push(at_s);
        }
        runs
    }

    #[test]
    fn a_time_that_is_left_out_comes_once_right_after() {
        let gap = DAY_S + 3_600;
        assert_eq!(runs("30 1 * * *", gap - 60, 2), [gap, 2 * DAY_S - 7_200 + 5_400]);
        assert_eq!(runs("0,30 1,2 * * *", gap - 60, 2), [gap, 2 * DAY_S - 7_200 + 3_600]);
        // The end of the gap is a time by itself too.
        assert_eq!(runs("0 1,2,3 * * *", gap - 60, 2), [gap, 2 * DAY_S - 7_200 + 3_600]);
        // Every hour: by the minutes that pass.
        assert_eq!(runs("30 * * * *", gap - 3_600, 3), [gap - 1_800, gap + 1_800, gap + 5_400]);
    }

    #[test]
    fn a_time_that_comes_twice_counts_once() {
        let back = 3 * DAY_S + 36_000;
        assert_eq!(runs("30 11 * * *", back - 7_200, 2), [back - 1_800, back + DAY_S + 5_400]);
        assert_eq!(runs("0 10-12 * * *", back - 7_201, 3), [back - 7_200, back - 3_600, back + 7_200]);
        assert_eq!(
            runs("*/30 * * * *", back - 1_801, 6),
            [back - 1_800, back, back + 1_800, back + 3_600, back + 5_400, back + 7_200]
        );
    }

    #[test]
    fn rare_days_are_found() {
        let (crontab, _) = parse("0 0 29 2 1").unwrap();
        // 29 February 2044 is a Monday.
        assert_eq!(crontab.next(1_796_000_000, &|_| 0), Some(2_340_316_800));
        let (crontab, _) = parse("* * 29 2 1").unwrap();
        assert_eq!(crontab.next(1_796_000_000, &|_| 0), Some(2_340_316_800));
        assert_eq!(crontab.next(i64::MAX - 1, &|_| 0), None);
    }
}
