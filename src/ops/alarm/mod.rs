//! Alarms: a value that is measured again and again, a threshold, and when somebody is warned. Sources: AdminRef alarm.*; Administration
//! Guide, monitoring disk space, and the counters of the object `alarm`.

pub mod notice;

use std::collections::BTreeMap;

use crate::config::Conf;
use crate::counter::{Counters, Snapshot, Value};

const HOUR_S: i64 = 3600;

/// The side of the threshold that is alarming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Less than the threshold.
    Below,
    /// The threshold and more.
    Above,
}

/// What is configured about one kind of alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name: `diskavail`, `serverresponse`.
    pub id: &'static str,
    /// What is measured, for people.
    pub description: String,
    /// The time between two measurements, seconds; 0: nothing is measured.
    pub interval_s: i64,
    /// The threshold.
    pub threshold: u64,
    /// Its alarming side.
    pub direction: Direction,
    /// The time between two warnings while the alarm lasts, seconds.
    pub warn_every_s: i64,
}

impl Settings {
    /// `alarm.diskavail.*`: hundredths of a partition's disk that are left.
    pub fn disk(conf: &Conf) -> Settings {
        let id = "diskavail";
        Settings {
            id,
            description: conf.string("alarm.diskavail.msgalarmdescription"),
            interval_s: number(conf, id, "msgalarmstatinterval"),
            threshold: u64::try_from(conf.int("alarm.diskavail.msgalarmthreshold")).unwrap_or(0),
            direction: direction(conf, id),
            warn_every_s: number(conf, id, "msgalarmwarninginterval").saturating_mul(HOUR_S),
        }
    }

    /// `alarm.serverresponse.*`: seconds until a server answers.
    pub fn response(conf: &Conf) -> Settings {
        let id = "serverresponse";
        Settings {
            id,
            description: conf.string("alarm.serverresponse.msgalarmdescription"),
            interval_s: number(conf, id, "msgalarmstatinterval"),
            threshold: u64::try_from(conf.int("alarm.serverresponse.msgalarmthreshold")).unwrap_or(1),
            direction: direction(conf, id),
            warn_every_s: number(conf, id, "msgalarmwarninginterval").saturating_mul(HOUR_S),
        }
    }

    fn is_beyond(&self, value: u64) -> bool {
        match self.direction {
            Direction::Below => value < self.threshold,
            Direction::Above => value >= self.threshold,
        }
    }

    /// The side in words, as the notice has it.
    pub fn side(&self) -> &'static str {
        match self.direction {
            Direction::Below => "under",
            Direction::Above => "over",
        }
    }
}

fn number(conf: &Conf, id: &str, attribute: &str) -> i64 {
    conf.int(&format!("alarm.{id}.{attribute}")).max(0)
}

fn direction(conf: &Conf, id: &str) -> Direction {
    match conf.string(&format!("alarm.{id}.msgalarmthresholddirection")).as_str() {
        "-1" => Direction::Below,
        _ => Direction::Above,
    }
}

/// What a measurement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Quiet,
    /// Somebody is to be warned: the alarm begins, or lasts and the last warning is old, or has not got through.
    Warn,
    /// The value is back to normal.
    Over,
}

/// An alarm of one instance: a partition, a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// The value measured last.
    pub current: u64,
    /// The highest.
    pub high: u64,
    /// The lowest.
    pub low: u64,
    /// Measurements beyond the threshold.
    pub count_over: u64,
    /// Warnings that got through.
    pub count_warned: u64,
    /// It lasts.
    pub is_on: bool,
    /// When it was measured last, seconds since 1970; 0: never. The others are like it.
    pub set_s: i64,
    /// When a warning got through last.
    pub warned_s: i64,
    /// When counting began.
    pub reset_s: i64,
    /// When it began or ended.
    pub changed_s: i64,
}

impl Alarm {
    /// Takes a measurement.
    pub fn measured(&mut self, value: u64, settings: &Settings, now_s: i64) -> Step {
        if self.set_s == 0 {
            (self.high, self.low, self.reset_s) = (value, value, now_s);
        }
        (self.current, self.set_s) = (value, now_s);
        (self.high, self.low) = (self.high.max(value), self.low.min(value));
        let beyond = settings.is_beyond(value);
        self.count_over += u64::from(beyond);
        let was_on = std::mem::replace(&mut self.is_on, beyond);
        if was_on != beyond {
            self.changed_s = now_s;
        }
        match (was_on, beyond) {
            (false, false) => Step::Quiet,
            (true, false) => Step::Over,
            (false, true) => Step::Warn,
            (true, true) => {
                let passed = now_s.saturating_sub(self.warned_s);
                let unheard = self.warned_s < self.changed_s;
                if unheard || passed >= settings.warn_every_s || passed < 0 { Step::Warn } else { Step::Quiet }
            }
        }
    }

    /// A warning got through.
    pub fn warned(&mut self, now_s: i64) {
        self.count_warned += 1;
        self.warned_s = now_s;
    }

    fn counters(&self) -> [(&'static str, Value); 10] {
        [
            ("countoverthreshold", Value::Number(self.count_over)),
            ("countwarningsent", Value::Number(self.count_warned)),
            ("current", Value::Number(self.current)),
            ("high", Value::Number(self.high)),
            ("low", Value::Number(self.low)),
            ("timelastset", Value::Time(self.set_s)),
            ("timelastwarning", Value::Time(self.warned_s)),
            ("timereset", Value::Time(self.reset_s)),
            ("timestatechanged", Value::Time(self.changed_s)),
            ("warningstate", Value::Number(u64::from(self.is_on))),
        ]
    }
}

/// All alarms, by kind and instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms(BTreeMap<(String, String), Alarm>);

impl Alarms {
    /// As they were published by the process before: an alarm goes on over a restart.
    pub fn restored(snapshot: &Snapshot) -> Alarms {
        let mut found = Alarms::default();
        for (name, value) in &snapshot.counters {
            let (Some((instance, suffix)), Some(number)) = (name.rsplit_once(".alarm."), value.number()) else {
                continue;
            };
            let Some((id, instance)) = instance.split_once('.') else { continue };
            let alarm = found.of(id, instance);
            let at_s = i64::try_from(number).unwrap_or(0);
            match suffix {
                "countoverthreshold" => alarm.count_over = number,
                "countwarningsent" => alarm.count_warned = number,
                "current" => alarm.current = number,
                "high" => alarm.high = number,
                "low" => alarm.low = number,
                "timelastset" => alarm.set_s = at_s,
                "timelastwarning" => alarm.warned_s = at_s,
                "timereset" => alarm.reset_s = at_s,
                "timestatechanged" => alarm.changed_s = at_s,
                "warningstate" => alarm.is_on = number != 0,
                _ => {}
            }
        }
        found
    }

    /// One of them.
    pub fn of(&mut self, id: &str, instance: &str) -> &mut Alarm {
        self.0.entry((id.to_owned(), instance.to_owned())).or_default()
    }

    /// Forgets those of a kind whose instance is not measured any more.
    pub fn keep(&mut self, id: &str, instances: &[String]) {
        self.0.retain(|(kind, instance), _| kind != id || instances.contains(instance));
    }

    /// As they are published: `diskavail.primary.alarm.current`.
    pub fn counters(&self) -> Counters {
        let mut all = Vec::new();
        for ((id, instance), alarm) in &self.0 {
            let named = alarm.counters().map(|(name, value)| (format!("{id}.{instance}.alarm.{name}"), value));
            all.extend(named);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(direction: Direction) -> Settings {
        Settings {
            id: "diskavail",
            description: "d".into(),
            interval_s: 600,
            threshold: 10,
            direction,
            warn_every_s: 100,
        }
    }

    #[test]
    fn a_warning_comes_at_the_beginning_and_is_repeated() {
        let below = settings(Direction::Below);
        let mut alarm = Alarm::default();
        for (at_s, value, step) in [
            (1000, 10, Step::Quiet),
            (1010, 9, Step::Warn),
            (1020, 9, Step::Quiet),
            (1109, 8, Step::Quiet),
            (1110, 8, Step::Warn),
            (1120, 30, Step::Over),
            (1130, 30, Step::Quiet),
            (1140, 0, Step::Warn),
        ] {
            assert_eq!(alarm.measured(value, &below, at_s), step, "{at_s}");
            if step == Step::Warn {
                alarm.warned(at_s);
            }
        }
        assert_eq!((alarm.high, alarm.low, alarm.current, alarm.count_over, alarm.count_warned), (30, 0, 0, 5, 3));
        assert_eq!((alarm.changed_s, alarm.reset_s, alarm.is_on), (1140, 1000, true));
    }

    #[test]
    fn a_warning_that_did_not_get_through_is_tried_again() {
        let above = settings(Direction::Above);
        let mut alarm = Alarm::default();
        assert_eq!(alarm.measured(10, &above, 1000), Step::Warn);
        assert_eq!(alarm.measured(10, &above, 1001), Step::Warn);
        alarm.warned(1001);
        assert_eq!(alarm.measured(10, &above, 1002), Step::Quiet);
        // A clock that was set back keeps nobody from being warned.
        assert_eq!(alarm.measured(10, &above, 900), Step::Warn);
    }

    #[test]
    fn alarms_go_on_after_a_restart() {
        let mut alarms = Alarms::default();
        let alarm = alarms.of("diskavail", "my.disk");
        alarm.measured(3, &settings(Direction::Below), 1000);
        alarm.warned(1000);
        alarms.of("serverresponse", "imap").measured(0, &settings(Direction::Above), 1001);
        let snapshot = Snapshot { at_s: 1, live: false, pid: 1, counters: alarms.counters() };
        assert_eq!(Alarms::restored(&snapshot), alarms);
        alarms.keep("diskavail", &["other".to_owned()]);
        assert_eq!(alarms.0.len(), 1);
    }
}
