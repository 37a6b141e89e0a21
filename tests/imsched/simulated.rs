//! Weeks of scheduling with a clock that the test moves, against another reading of the five fields: minute by minute, from the text.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use msgstore::ops::schedule::Task;
use msgstore::ops::schedule::plan::{Due, Plan};
use msgstore::ops::schedule::record::Record;
use msgstore::text::crontab::Crontab;
use proptest::prelude::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Clocks: the times (UTC) from which on an offset counts, and the first time of the weeks that are looked at.
struct Clock {
    name: &'static str,
    changes: &'static [(i64, i64)],
    from: i64,
}

/// 2026: 29 March and 25 October 01:00 UTC in Berlin; 4 April 15:00 UTC and 3 October 15:30 UTC on Lord Howe, by half an hour; Chatham-like three
/// quarters; a zone that changes at midnight; Samoa, which left out 30 December 2011.
const CLOCKS: &[Clock] = &[
    Clock { name: "no change", changes: &[(i64::MIN, -5 * HOUR)], from: 1_774_742_400 - 3 * DAY },
    Clock {
        name: "Berlin, forward",
        changes: &[(i64::MIN, HOUR), (1_774_746_000, 2 * HOUR)],
        from: 1_774_746_000 - 3 * DAY,
    },
    Clock {
        name: "Berlin, back",
        changes: &[(i64::MIN, 2 * HOUR), (1_792_890_000, HOUR)],
        from: 1_792_890_000 - 3 * DAY,
    },
    Clock {
        name: "Lord Howe, back",
        changes: &[(i64::MIN, 11 * HOUR), (1_775_314_800, 10 * HOUR + 30 * MINUTE)],
        from: 1_775_314_800 - 3 * DAY,
    },
    Clock {
        name: "Lord Howe, forward",
        changes: &[(i64::MIN, 10 * HOUR + 30 * MINUTE), (1_791_041_400, 11 * HOUR)],
        from: 1_791_041_400 - 3 * DAY,
    },
    Clock {
        name: "midnight, forward",
        changes: &[(i64::MIN, -3 * HOUR), (1_792_897_200, -2 * HOUR)],
        from: 1_792_897_200 - 3 * DAY,
    },
    Clock {
        name: "midnight, back",
        changes: &[(i64::MIN, -2 * HOUR), (1_792_893_600, -3 * HOUR)],
        from: 1_792_893_600 - 3 * DAY,
    },
    Clock {
        name: "a day is left out",
        changes: &[(i64::MIN, -10 * HOUR), (1_325_239_200, 14 * HOUR)],
        from: 1_325_239_200 - 3 * DAY,
    },
];

impl Clock {
    fn offset(&self, at: i64) -> i64 {
        self.changes.iter().rev().find(|(from, _)| *from <= at).unwrap().1
    }
}

/// Does a number belong to a field?
fn belongs(field: &str, number: i64, low: i64) -> bool {
    field.split(',').any(|item| {
        let (span, step) = item.split_once('/').unwrap_or((item, "1"));
        let step: i64 = step.parse().unwrap();
        if span == "*" {
            return (number - low) % step == 0;
        }
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (first, last): (i64, i64) = (first.parse().unwrap(), last.parse().unwrap());
        (first..=last).contains(&number) && (number - first) % step == 0
    })
}

/// Do the fields match a time on the wall, in seconds as if it were UTC? The calendar is counted day by day from 1 January 1970, a Thursday.
fn matches(fields: &[&str; 5], wall: i64) -> bool {
    let (mut day, second) = (wall.div_euclid(DAY), wall.rem_euclid(DAY));
    let weekday = (day + 4) % 7;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day >= if leap(year) { 366 } else { 365 } {
        day -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let month = i64::try_from(month).unwrap() + 1;
    belongs(fields[0], second / MINUTE % 60, 0)
        && belongs(fields[1], second / HOUR, 0)
        && belongs(fields[2], day + 1, 1)
        && belongs(fields[3], month, 1)
        && belongs(fields[4], weekday, 0)
}

/// The minutes after `from` until `to` at which something runs.
fn expected(text: &str, clock: &Clock, from: i64, to: i64) -> Vec<i64> {
    let fields: [&str; 5] = text.split_whitespace().take(5).collect::<Vec<_>>().try_into().unwrap();
    let every_hour = (0..24).all(|hour| belongs(fields[1], hour, 0));
    let wall = |at: i64| at + clock.offset(at);
    // What the wall showed since two days before.
    let mut shown: HashSet<i64> =
        (from / MINUTE - 2 * 1_440..=from / MINUTE).map(|minute| wall(minute * MINUTE)).collect();
    let mut runs = Vec::new();
    for at in (from / MINUTE + 1..=to / MINUTE).map(|minute| minute * MINUTE) {
        let (before, now) = (wall(at - MINUTE), wall(at));
        let runs_now = if every_hour {
            matches(&fields, now)
        } else {
            let mut passed = (before / MINUTE + 1..=now / MINUTE).map(|minute| minute * MINUTE);
            passed.any(|wall| !shown.contains(&wall) && matches(&fields, wall))
                || (!shown.contains(&now) && matches(&fields, now))
        };
        if runs_now {
            runs.push(at);
        }
        shown.insert(now);
    }
    runs
}

/// Moves the clock through eight days, `step` seconds at a time; what runs is when it was due.
fn simulated(text: &str, clock: &Clock, step: i64) -> Vec<i64> {
    let (crontab, command) = Crontab::parse(text).unwrap();
    let task = Task { name: "x".into(), schedule: text.into(), command: command.into(), crontab };
    let offset = |at: i64| clock.offset(at);
    let mut plan = Plan::resume(vec![task], &Record::default(), clock.from, &offset);
    let (mut runs, mut now) = (Vec::new(), clock.from);
    while now < clock.from + 8 * DAY {
        now = (now + step).min(clock.from + 8 * DAY);
        for due in plan.look(now, &offset) {
            match due {
                Due::Run { due_s, .. } => runs.push(due_s),
                other => panic!("{text} by {}: {other:?}", clock.name),
            }
        }
    }
    runs
}

fn compare(text: &str, step: i64) {
    for clock in CLOCKS {
        let wanted = expected(text, clock, clock.from, clock.from + 8 * DAY);
        assert_eq!(simulated(text, clock, step), wanted, "{text} by {}", clock.name);
    }
}

#[test]
fn the_examples_of_the_manuals_run_when_they_should() {
    for text in [
        "0 23 * * *",
        "30 0,8,16 * * *",
        "15 3 * * 1-5",
        "0 0 * * 1",
        "0 0,4,8,12,16,20 * * *",
        "5,15,25,35,45,55 * * * *",
        "30 2 * * *",
        "0,30 0-3 * * *",
        "*/7 2 * * 0",
        "0 0 29 3 0",
        "45 * 25 10 *",
    ] {
        compare(text, 47);
    }
    // The 17th and a Tuesday: both.
    assert!(expected("0 0 17 * 2", &CLOCKS[0], CLOCKS[0].from, CLOCKS[0].from + 8 * DAY).is_empty());
    let tuesday = CLOCKS.iter().map(|clock| expected("0 0 29-31 3 2", clock, clock.from, clock.from + 8 * DAY).len());
    assert_eq!(tuesday.sum::<usize>(), 2, "31 March 2026 is a Tuesday");
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    let number = low..=high;
    let range = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let step = ((low..=high, low..=high), 1..=high.max(2) / 2)
        .prop_map(|((a, b), step)| format!("{}-{}/{step}", a.min(b), a.max(b)));
    let item = prop_oneof![3 => number.prop_map(|n| n.to_string()), 2 => range, 1 => step];
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (1..=high.max(2) / 2).prop_map(|step| format!("*/{step}")),
        4 => proptest::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_fields_run_when_they_should(
        minute in field(0, 59),
        hour in field(0, 23),
        day in prop_oneof![3 => Just("*".to_owned()), 2 => field(1, 28)],
        month in prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 12)],
        weekday in prop_oneof![2 => Just("*".to_owned()), 2 => field(0, 6)],
        step in 20i64..=59,
    ) {
        compare(&format!("{minute} {hour} {day} {month} {weekday}"), step);
    }
}
