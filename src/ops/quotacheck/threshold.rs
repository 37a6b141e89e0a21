//! When a user is told, and by which rule (AdminRef 2005Q4 imquotacheck, "Threshold Notification Algorithm").

use super::rules::Rule;
use crate::ops::quota::Figures;

/// The last notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When it was sent, seconds since 1970.
    pub sent_s: i64,
    /// The threshold that it was sent for, percent.
    pub percent: u32,
}

impl Last {
    /// What is recorded of a user.
    pub fn of(figures: &Figures) -> Option<Last> {
        let told = figures.noticed_percent != 0;
        told.then_some(Last { sent_s: figures.noticed_s, percent: figures.noticed_percent })
    }
}

/// What is to be done about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'r> {
    /// The rule tells the user now; the time and its threshold are recorded.
    Tell(&'r Rule),
    /// The rule applies, and tells in so many seconds.
    Wait(&'r Rule, i64),
    /// Usage is below every threshold: what was recorded is forgotten.
    Forget,
    /// Usage is below every threshold, as it was before.
    Nothing,
}

/// The rule that applies: the one with the highest threshold that usage has reached. `rules` are by rising threshold.
pub fn reached(rules: &[Rule], used_percent: Option<u64>) -> Option<&Rule> {
    let used = used_percent?;
    rules.iter().rev().find(|rule| u64::from(rule.percent) <= used)
}

/// What is to be done about a user who has used so many percent of the quota (`None`: there is none) and was told last as `last` says.
pub fn next<'r>(rules: &'r [Rule], used_percent: Option<u64>, last: Option<Last>, now_s: i64) -> Step<'r> {
    let Some(rule) = reached(rules, used_percent) else {
        return if last.is_some() { Step::Forget } else { Step::Nothing };
    };
    let Some(last) = last.filter(|last| rule.percent <= last.percent) else {
        return Step::Tell(rule);
    };
    // The interval of the rule that applies now, also when that is a lower one than the last. A clock that was put back does not
    // keep anybody from being told.
    let passed_s = now_s.saturating_sub(last.sent_s);
    let interval_s = i64::from(rule.interval_h) * 3600;
    if (0..interval_s).contains(&passed_s) { Step::Wait(rule, interval_s - passed_s) } else { Step::Tell(rule) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quotacheck::rules::RuleFile;

    /// The rules of the manual's sample: 60 % every three hours, 80 % every two, 90 % every hour.
    fn rules() -> Vec<Rule> {
        RuleFile::parse(include_str!("../../../testdata/golden/imquotacheck/sample.rulefile")).unwrap().rules
    }

    #[test]
    fn the_algorithm_step_by_step() {
        let rules = rules();
        let mut last = None;
        let mut step = |minute: i64, used: u64| {
            let now_s = 1_794_995_200 + minute * 60;
            let said = match next(&rules, Some(used), last, now_s) {
                Step::Tell(rule) => {
                    last = Some(Last { sent_s: now_s, percent: rule.percent });
                    format!("tell {}", rule.percent)
                }
                Step::Wait(rule, left_s) => format!("wait {} {left_s}", rule.percent),
                Step::Forget => {
                    last = None;
                    "forget".to_owned()
                }
                Step::Nothing => "nothing".to_owned(),
            };
            (said, last.map(|last| last.percent))
        };
        let mut expect = |minute: i64, used: u64, said: &str, recorded: u32| {
            let wanted = (said.to_owned(), Some(recorded).filter(|percent| *percent > 0));
            assert_eq!(step(minute, used), wanted, "minute {minute}, {used} percent");
        };
        expect(0, 59, "nothing", 0);
        // 1, 2. The highest threshold that applies produces the notice; it is recorded.
        expect(1, 60, "tell 60", 60);
        expect(2, 79, "wait 60 10740", 60);
        expect(180, 79, "wait 60 60", 60);
        expect(181, 79, "tell 60", 60);
        // 3. Into a higher threshold than that of the last notice: at once; also over one in between.
        expect(182, 95, "tell 90", 90);
        expect(183, 100, "wait 90 3540", 90);
        // 4. Usage falls: the interval of the lower rule is compared with the time since the last notice, which stays recorded.
        expect(184, 85, "wait 80 7080", 90);
        expect(241, 85, "wait 80 3660", 90);
        expect(242, 90, "tell 90", 90);
        expect(243, 61, "wait 60 10740", 90);
        expect(244, 89, "wait 80 7080", 90);
        expect(362, 81, "tell 80", 80);
        expect(363, 90, "tell 90", 90);
        expect(364, 65, "wait 60 10740", 90);
        expect(543, 65, "tell 60", 60);
        // 5. Below every threshold the record is reset: the next climb is told at once.
        expect(544, 59, "forget", 0);
        expect(545, 59, "nothing", 0);
        expect(546, 60, "tell 60", 60);
    }

    #[test]
    fn no_quota_no_notice() {
        let rules = rules();
        let last = Some(Last { sent_s: 5, percent: 60 });
        assert_eq!(next(&rules, None, None, 0), Step::Nothing);
        assert_eq!(next(&rules, None, last, 0), Step::Forget);
        assert_eq!(next(&[], Some(100), None, 0), Step::Nothing);
    }

    #[test]
    fn a_clock_that_was_put_back_silences_nobody() {
        let rules = rules();
        let last = Some(Last { sent_s: 1_000_000, percent: 90 });
        assert_eq!(next(&rules, Some(95), last, 999_999), Step::Tell(&rules[2]));
        assert!(matches!(next(&rules, Some(95), last, 1_000_000), Step::Wait(_, 3600)));
        let last = Some(Last { sent_s: i64::MIN, percent: 90 });
        assert_eq!(next(&rules, Some(95), last, i64::MAX), Step::Tell(&rules[2]));
    }
}
