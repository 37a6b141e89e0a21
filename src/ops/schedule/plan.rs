//! When tasks are due: a clock that comes in as values, looked at again and again.

use super::Task;
use super::record::Record;
use crate::text::crontab::Offset;

/// How late a task is still begun, in seconds. What is later is missed.
pub const LATE_S: i64 = 300;

/// How far the clock may be set back, in seconds, for the tasks to wait until it has caught up. What is more is a new time, which counts from now on.
pub const BACK_S: i64 = 3 * 3_600;

/// Most missed runs that are counted one by one.
const COUNTED: usize = 1_000;

/// Something that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A task is to run now.
    Run {
        /// The task.
        task: Box<Task>,
        /// When it was due, seconds since 1970.
        due_s: i64,
    },
    /// Runs of a task did not happen and will not.
    Missed {
        /// The name of the task.
        task: String,
        /// When the first was due, seconds since 1970.
        first_s: i64,
        /// When the last was due.
        last_s: i64,
        /// How many, at most [`COUNTED`] and those of the last minutes.
        count: usize,
    },
    /// The clock was set back by so many seconds, and times count from what it shows now.
    SetBack(i64),
}

/// The tasks with their next times.
#[derive(Debug)]
pub struct Plan {
    tasks: Vec<(Task, Option<i64>)>,
    looked_s: i64,
}

impl Plan {
    /// Goes on where the record ends: a task that has the same schedule there is due from then on, any other from `now_s` on.
    pub fn resume(tasks: Vec<Task>, record: &Record, now_s: i64, offset: Offset<'_>) -> Plan {
        let looked_s = record.looked_s.filter(|looked_s| looked_s.saturating_sub(now_s) <= BACK_S).unwrap_or(now_s);
        let next = |task: Task| {
            let since_s = if record.knows(&task) { looked_s } else { now_s.max(looked_s) };
            let next_s = task.crontab.next(since_s, offset);
            (task, next_s)
        };
        Plan { tasks: tasks.into_iter().map(next).collect(), looked_s: looked_s.max(now_s) }
    }

    /// Takes other tasks over. One whose schedule stays keeps its next time.
    pub fn replace(&mut self, tasks: Vec<Task>, offset: Offset<'_>) {
        let old = std::mem::take(&mut self.tasks);
        let next = |task: Task| {
            let kept = old.iter().find(|(known, _)| known.name == task.name && known.schedule == task.schedule);
            let next_s = kept.map_or_else(|| task.crontab.next(self.looked_s, offset), |(_, next_s)| *next_s);
            (task, next_s)
        };
        self.tasks = tasks.into_iter().map(next).collect();
    }

    /// The tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().map(|(task, _)| task)
    }

    /// Up to when everything that was due has been told, seconds since 1970.
    pub fn looked_s(&self) -> i64 {
        self.looked_s
    }

    /// What has come since the last look: of each task at most one run, the last that is not too late, and what is missed.
    pub fn look(&mut self, now_s: i64, offset: Offset<'_>) -> Vec<Due> {
        let back_s = self.looked_s.saturating_sub(now_s);
        if back_s > BACK_S {
            self.looked_s = now_s;
            for (task, next_s) in &mut self.tasks {
                *next_s = task.crontab.next(now_s, offset);
            }
            return vec![Due::SetBack(back_s)];
        }
        let mut due = Vec::new();
        for (task, next_s) in &mut self.tasks {
            if next_s.is_some_and(|next_s| next_s <= now_s) {
                come(task, next_s, now_s, offset, &mut due);
            }
        }
        self.looked_s = self.looked_s.max(now_s);
        due
    }

    /// The next `count` runs of all tasks, in order: when, seconds since 1970, and which task.
    pub fn coming(&self, count: usize, offset: Offset<'_>) -> Vec<(i64, &Task)> {
        let mut next: Vec<(i64, usize)> =
            self.tasks.iter().enumerate().filter_map(|(index, (_, next_s))| Some(((*next_s)?, index))).collect();
        let mut runs = Vec::new();
        while runs.len() < count {
            let Some((position, (at_s, index))) = next.iter().copied().enumerate().min_by_key(|(_, next)| *next) else {
                break;
            };
            let Some((task, _)) = self.tasks.get(index) else { break };
            runs.push((at_s, task));
            next.swap_remove(position);
            next.extend(task.crontab.next(at_s, offset).map(|next_s| (next_s, index)));
        }
        runs
    }
}

/// What has come of one task whose next time is over.
fn come(task: &Task, next_s: &mut Option<i64>, now_s: i64, offset: Offset<'_>, due: &mut Vec<Due>) {
    let mut missed: Option<(i64, i64, usize)> = None;
    let mut miss = |at_s: i64| {
        let (first_s, _, count) = missed.unwrap_or((at_s, at_s, 0));
        missed = Some((first_s, at_s, count + 1));
        count + 1
    };
    let late_s = now_s.saturating_sub(LATE_S);
    while let Some(at_s) = next_s.filter(|at_s| *at_s < late_s) {
        let skip = miss(at_s) >= COUNTED;
        *next_s = task.crontab.next(if skip { late_s - 1 } else { at_s }, offset);
    }
    let mut run_s = None;
    while let Some(at_s) = next_s.filter(|at_s| *at_s <= now_s) {
        if let Some(earlier_s) = run_s.replace(at_s) {
            miss(earlier_s);
        }
        *next_s = task.crontab.next(at_s, offset);
    }
    due.extend(missed.map(|(first_s, last_s, count)| Due::Missed { task: task.name.clone(), first_s, last_s, count }));
    due.extend(run_s.map(|due_s| Due::Run { task: Box::new(task.clone()), due_s }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::crontab::Crontab;

    const NOON: i64 = 1_796_040_000;
    const UTC: Offset<'static> = &|_| 0;

    fn task(name: &str, schedule: &str) -> Task {
        let (crontab, command) = Crontab::parse(schedule).unwrap();
        Task { name: name.to_owned(), schedule: schedule.to_owned(), command: command.to_owned(), crontab }
    }

    fn plan(schedule: &str) -> Plan {
        Plan::resume(vec![task("a", schedule)], &Record::default(), NOON, UTC)
    }

    fn run(due_s: i64, schedule: &str) -> Due {
        Due::Run { task: Box::new(task("a", schedule)), due_s }
    }

    #[test]
    fn a_run_comes_once() {
        let hourly = "0 * * * * x";
        let mut plan = plan(hourly);
        assert_eq!(NOON % 3_600, 0);
        assert_eq!(plan.look(NOON + 3_599, UTC), []);
        assert_eq!(plan.look(NOON + 3_600, UTC), [run(NOON + 3_600, hourly)]);
        assert_eq!(plan.look(NOON + 3_600, UTC), []);
        // The clock is set back by less than hours: nothing comes again.
        assert_eq!(plan.look(NOON + 100, UTC), []);
        assert_eq!(plan.look(NOON + 3_700, UTC), []);
        assert_eq!(plan.look(NOON + 7_200 + LATE_S, UTC), [run(NOON + 7_200, hourly)]);
        // By more: a new time.
        assert_eq!(plan.look(NOON - 86_400, UTC), [Due::SetBack(86_400 + 7_200 + LATE_S)]);
        assert_eq!(plan.look(NOON - 86_400 + 3_600, UTC), [run(NOON - 86_400 + 3_600, hourly)]);
    }

    #[test]
    fn what_is_too_late_is_missed() {
        let hourly = "0 * * * * x";
        let missed = |first_s, last_s, count| Due::Missed { task: "a".to_owned(), first_s, last_s, count };
        assert_eq!(plan(hourly).look(NOON + 3_600 + LATE_S + 1, UTC), [missed(NOON + 3_600, NOON + 3_600, 1)]);
        let (first, third) = (NOON + 3_600, NOON + 3 * 3_600);
        assert_eq!(plan(hourly).look(third + 1, UTC), [missed(first, third - 3_600, 2), run(third, hourly)]);
        // Within the last minutes the latest one runs.
        let minutes = "* * * * * x";
        assert_eq!(plan(minutes).look(NOON + 185, UTC), [missed(NOON + 60, NOON + 120, 2), run(NOON + 180, minutes)]);
        // A clock that jumps by years is not counted minute by minute.
        let years_s = 10 * 365 * 86_400;
        let due = plan(minutes).look(NOON + years_s, UTC);
        assert!(matches!(due[..], [Due::Missed { count: 1_000..1_010, .. }, Due::Run { .. }]), "{due:?}");
    }

    #[test]
    fn the_record_says_from_when_on() {
        let mut record = Record::default();
        let daily = "0 0 * * * x";
        record.begin(&task("a", daily), NOON - 10 * 86_400);
        record.looked_s = Some(NOON - 2 * 86_400);
        let both = vec![task("a", daily), task("b", daily)];
        let due = Plan::resume(both.clone(), &record, NOON, UTC).look(NOON, UTC);
        let midnight = NOON - 43_200;
        assert_eq!(due, [Due::Missed { task: "a".into(), first_s: midnight - 86_400, last_s: midnight, count: 2 }]);
        // Another schedule: what it would have done before is nobody's loss.
        let other = vec![task("a", "0 1 * * * x")];
        assert_eq!(Plan::resume(other, &record, NOON, UTC).look(NOON, UTC), []);
        // A record of a time that has not come yet is waited for, one of the far future is not.
        record.looked_s = Some(NOON + 43_200);
        assert_eq!(Plan::resume(both.clone(), &record, NOON, UTC).look(NOON + 43_200, UTC).len(), 2);
        record.looked_s = Some(NOON + 3_600);
        let hourly = vec![task("a", "0 * * * * x")];
        let mut plan = Plan::resume(hourly, &record, NOON, UTC);
        assert_eq!(plan.look(NOON + 3_600, UTC), []);
        assert_eq!(plan.look(NOON + 7_200, UTC).len(), 1);
    }

    #[test]
    fn a_change_of_the_tasks_leaves_the_others_alone() {
        let mut plan = plan("30 12 * * * x");
        plan.replace(vec![task("a", "30 12 * * * x"), task("b", "29 12 * * * y")], UTC);
        let names = |due: Vec<Due>| -> Vec<String> {
            due.into_iter()
                .map(|due| if let Due::Run { task, .. } = due { task.name } else { panic!("{due:?}") })
                .collect()
        };
        assert_eq!(names(plan.look(NOON + 1_740, UTC)), ["b"]);
        plan.replace(vec![task("a", "30 12 * * * x"), task("b", "30 12 * * * y")], UTC);
        assert_eq!(names(plan.look(NOON + 1_800, UTC)), ["a", "b"]);
        let coming = plan.coming(3, UTC);
        let coming: Vec<(i64, &str)> =
            coming.into_iter().map(|(at_s, task)| (at_s - NOON, task.name.as_str())).collect();
        assert_eq!(coming, [(88_200, "a"), (88_200, "b"), (88_200 + 86_400, "a")]);
    }
}
