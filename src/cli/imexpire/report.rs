//! What a run tells: the plan or what was done on standard output, as much as -v and -d want on standard error, and the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::super::exit::Exit;
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::Wanted;
use crate::log::{self, Category};
use crate::ops::expire::{Action, Done, Outcome, Rule, Rules, Verdict};
use crate::store::{Purged, Removed, StoreError};

/// How standard output is written.
pub(super) enum Form {
    /// Not at all, except what `action: report` names.
    Silent,
    /// A line for each mailbox and rule; with --explain for each message.
    Text,
    /// An object a line.
    Json,
    /// A table, drawn at the end.
    Table(Box<comfy_table::Table>),
}

impl Form {
    pub(super) fn table() -> Form {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["mailbox", "uid", "action", "rule", "criterion", "messages", "bytes"]);
        Form::Table(Box::new(table))
    }
}

/// One line of the report.
#[derive(Default)]
struct Row<'r> {
    mailbox: &'r str,
    uidvalidity: Option<u32>,
    uid: Option<u32>,
    action: &'static str,
    to: Option<String>,
    rule: Option<&'r Rule>,
    criterion: Option<String>,
    messages: u64,
    bytes: u64,
    freed_bytes: Option<u64>,
}

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    messages: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", counted(self.messages, "message"), counted(self.bytes, "byte"))
    }
}

/// The report of one run.
pub(super) struct Report<'a> {
    ui: &'a mut Ui,
    form: Form,
    progress: &'a Progress,
    dry_run: bool,
    explain: bool,
    verbose: u8,
    debug: bool,
    log_level: u8,
    expired: Sum,
    moved: Sum,
    reported: Sum,
    purged: Purged,
    /// Mailboxes in which something expired.
    mailboxes: u64,
    looked: u64,
    /// By rule: what it took, and in how many mailboxes.
    by_rule: BTreeMap<String, (Sum, u64)>,
    told: BTreeSet<String>,
    failures: u64,
    faults: u64,
    stopped: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        ui: &'a mut Ui,
        form: Form,
        progress: &'a Progress,
        wanted: &Wanted,
        dry_run: bool,
        log_level: u8,
    ) -> Report<'a> {
        let debug = wanted.common.debug;
        Report {
            ui,
            form,
            progress,
            dry_run,
            explain: wanted.explain,
            verbose: wanted.common.verbose.unwrap_or(u8::from(debug)),
            debug,
            log_level,
            expired: Sum::default(),
            moved: Sum::default(),
            reported: Sum::default(),
            purged: Purged::default(),
            mailboxes: 0,
            looked: 0,
            by_rule: BTreeMap::new(),
            told: BTreeSet::new(),
            failures: 0,
            faults: 0,
            stopped: false,
        }
    }

    /// Nobody reads standard output any more.
    pub(super) fn is_unread(&self) -> bool {
        self.ui.is_broken()
    }

    pub(super) fn debug(&mut self, text: &str) {
        if self.debug {
            self.progress.error(self.ui, &format!("debug: {text}"));
        }
    }

    fn verbose(&mut self, level: u8, text: &str) {
        if self.verbose >= level {
            self.progress.error(self.ui, text);
        }
    }

    fn log(&self, level: u8, text: &str) {
        if self.log_level >= level {
            log::notice(Category::Store, text);
        }
    }

    /// Rules that every mailbox may have: what is wrong with them, and, with -d, what they are.
    pub(super) fn rules(&mut self, rules: &Rules) {
        let loaded = std::iter::once(&rules.global).chain(rules.partitions.values());
        for loaded in loaded {
            for rule in &loaded.rules {
                self.debug(&format!("rule {}", rule.shown()));
            }
            loaded.warnings.iter().for_each(|text| self.warning(text));
            loaded.faults.iter().for_each(|fault| self.fault(&fault.to_string()));
        }
    }

    fn warning(&mut self, text: &str) {
        if self.told.insert(text.to_owned()) {
            self.progress.error(self.ui, &format!("warning: {text}"));
        }
    }

    fn fault(&mut self, text: &str) {
        if self.told.insert(text.to_owned()) {
            self.faults += 1;
            self.progress.error(self.ui, &format!("{text}; the rule does not count"));
            if !self.dry_run {
                log::warning(Category::Store, format!("{text}; the rule does not count"));
            }
        }
    }

    /// Something could not be done.
    pub(super) fn failed(&mut self, what: &str, why: &str) {
        self.failures += 1;
        self.progress.error(self.ui, &format!("{what}: {why}"));
        if !self.dry_run {
            log::error(Category::Store, format!("{what}: {why}"));
        }
    }

    /// Global rules for which there is no mailbox.
    pub(super) fn unmatched(&mut self, rules: &Rules, matched: &[AtomicBool]) {
        for (rule, matched) in rules.global.rules.iter().zip(matched) {
            if !matched.load(Ordering::Relaxed) && !self.is_unread() {
                self.warning(&format!("{}: there is no mailbox that it is for", rule.shown()));
            }
        }
    }

    /// The run did not expire anything, because it would have been too much.
    pub(super) fn too_many(&mut self, messages: u64, of: u64, percent: u8) {
        self.stopped = true;
        let will = if self.dry_run { "nothing would expire" } else { "nothing has expired or been purged" };
        let text = format!("{messages} of {of} messages would expire, more than {percent}%: {will}");
        self.progress.error(self.ui, &text);
        self.progress.error(self.ui, "imexpire -n --explain tells why; --max-percent 100 lets them go");
        if !self.dry_run {
            log::error(Category::Store, text);
        }
    }

    /// What was done in one account.
    pub(super) fn account(&mut self, outcome: Outcome) {
        self.looked += outcome.looked;
        self.debug(&format!("user/{}: {} looked at", outcome.userid, counted(outcome.looked, "mailbox")));
        outcome.warnings.iter().for_each(|text| self.warning(text));
        outcome.faults.iter().for_each(|text| self.fault(text));
        for (mailbox, why) in &outcome.failures {
            self.failed(mailbox, why);
        }
        outcome.mailboxes.iter().for_each(|done| self.mailbox(done));
        self.progress.step();
    }

    fn mailbox(&mut self, done: &Done) {
        let mut ways: BTreeMap<usize, Sum> = BTreeMap::new();
        let mut expired = Sum::default();
        for verdict in &done.taken {
            ways.entry(verdict.rule).or_default().add(verdict.facts.size);
            let moves = done.rule(verdict).is_some_and(|rule| matches!(rule.action, Action::FileInto(_)));
            if moves { &mut self.moved } else { &mut self.expired }.add(verdict.facts.size);
            expired.add(verdict.facts.size);
            self.message(done, verdict);
        }
        for (number, sum) in ways {
            let Some(rule) = done.rules.get(number) else { continue };
            let total = self.by_rule.entry(rule.shown()).or_default();
            total.0.messages += sum.messages;
            total.0.bytes += sum.bytes;
            total.1 += 1;
            let (action, to) = action(rule);
            let row = Row { rule: Some(rule), action, to, messages: sum.messages, bytes: sum.bytes, ..Row::of(done) };
            if !self.explain {
                self.row(&row);
            }
            let text = self.sentence(&row);
            self.verbose(2, &text);
            self.log(2, &text);
        }
        self.mailboxes += u64::from(expired.messages > 0);
        for verdict in &done.reported {
            self.reported.add(verdict.facts.size);
            self.report(done, verdict);
        }
        if done.purged.messages > 0 {
            self.purged += done.purged;
            self.purge_row(Row::of(done), done.purged);
        }
    }

    fn purge_row(&mut self, row: Row<'_>, purged: Purged) {
        let Purged { messages, bytes, freed_bytes } = purged;
        let row = Row { action: "purge", messages, bytes, freed_bytes: Some(freed_bytes), ..row };
        self.row(&row);
        let text = self.sentence(&row);
        self.verbose(2, &text);
        self.log(2, &text);
    }

    /// One message that went, where each is told.
    fn message(&mut self, done: &Done, verdict: &Verdict) {
        let each = self.explain || self.verbose >= 3 || self.log_level >= 3;
        let Some(rule) = done.rule(verdict).filter(|_| each) else { return };
        let (action, to) = action(rule);
        let row = Row { rule: Some(rule), action, to, ..Row::one(done, verdict, rule) };
        if self.explain {
            self.row(&row);
        }
        let text = self.sentence(&row);
        self.verbose(3, &text);
        self.log(3, &text);
    }

    /// One message that a rule only names.
    fn report(&mut self, done: &Done, verdict: &Verdict) {
        let Some(rule) = done.rule(verdict) else { return };
        let row = Row { rule: Some(rule), action: "report", ..Row::one(done, verdict, rule) };
        match &self.form {
            Form::Silent | Form::Text if !self.explain => {
                self.ui.line(format!("{} {} {}", done.mailbox, done.uidvalidity, verdict.facts.uid));
            }
            _ => self.row(&row),
        }
    }

    /// The files of a deleted mailbox went.
    pub(super) fn removed(&mut self, removed: &Removed, failed: Option<StoreError>) {
        let path = removed.path.display().to_string();
        if let Some(error) = failed {
            return self.failed(&path, &error.to_string());
        }
        self.purged += removed.holds;
        self.purge_row(Row { mailbox: &path, ..Row::default() }, removed.holds);
    }

    fn row(&mut self, row: &Row<'_>) {
        let text = self.sentence(row);
        match &mut self.form {
            Form::Silent => {}
            Form::Text => self.ui.line(text),
            Form::Json => self.ui.line(row.object(self.dry_run)),
            Form::Table(table) => {
                table.add_row(row.cells());
            }
        }
    }

    fn sentence(&self, row: &Row<'_>) -> String {
        let [would, did] = match row.action {
            "fileinto" => ["would move", "moved"],
            "purge" => ["would purge", "purged"],
            "report" => ["takes", "takes"],
            _ => ["would expire", "expired"],
        };
        let verb = if self.dry_run { would } else { did };
        let sum = Sum { messages: row.messages, bytes: row.bytes };
        let what = match row.uid {
            Some(uid) => format!("uid {uid}, {}", counted(row.bytes, "byte")),
            None => sum.to_string(),
        };
        let mut text = format!("{}: {verb} {what}", row.mailbox);
        if let Some(to) = &row.to {
            text.push_str(&format!(" to {to}"));
        }
        if let Some(freed) = row.freed_bytes {
            text.push_str(&format!(", {} free", counted(freed, "byte")));
        }
        if let Some(rule) = row.rule {
            text.push_str(&format!(": {}", rule.shown()));
        }
        if let Some(criterion) = &row.criterion {
            text.push_str(&format!(": {criterion}"));
        }
        text
    }

    /// Ends the report: sums, summary, exit code.
    pub(super) fn end(mut self, took: Duration) -> Exit {
        if let Form::Table(table) = &self.form {
            let drawn = table.to_string();
            self.ui.line(drawn);
        }
        let summary = self.summary();
        let by_rule: Vec<String> = std::mem::take(&mut self.by_rule)
            .into_iter()
            .map(|(rule, (sum, mailboxes))| format!("{rule}: {sum} in {}", counted(mailboxes, "mailbox")))
            .collect();
        if self.dry_run && matches!(self.form, Form::Text) {
            by_rule.iter().for_each(|line| self.ui.line(line));
            self.ui.line(&summary);
        } else {
            by_rule.iter().for_each(|line| self.verbose(1, line));
            self.verbose(1, &summary);
        }
        if !self.stopped {
            self.log(1, &format!("{summary}, {} s", took.as_secs()));
        }
        if self.failures > 0 {
            self.progress.error(self.ui, &format!("{} failed", counted(self.failures, "mailbox")));
        }
        let changes = self.expired.messages + self.moved.messages + self.purged.messages;
        match () {
            () if self.failures > 0 || self.faults > 0 || self.stopped => Exit::Incomplete,
            () if self.dry_run && changes > 0 => Exit::WouldChange,
            () => Exit::Ok,
        }
    }

    fn summary(&self) -> String {
        let mut text = String::from(if self.dry_run { "would expire " } else { "expired " });
        text.push_str(&format!("{} in {}", self.expired, counted(self.mailboxes, "mailbox")));
        if self.moved.messages > 0 {
            text.push_str(&format!(", {} {}", if self.dry_run { "move" } else { "moved" }, self.moved));
        }
        if self.reported.messages > 0 {
            text.push_str(&format!(", reported {}", counted(self.reported.messages, "message")));
        }
        let Purged { messages, bytes, freed_bytes } = self.purged;
        let verb = if self.dry_run { "purge" } else { "purged" };
        text.push_str(&format!(", {verb} {}, {} free", Sum { messages, bytes }, counted(freed_bytes, "byte")));
        text.push_str(&format!("; {} looked at", counted(self.looked, "mailbox")));
        if self.failures > 0 {
            text.push_str(&format!(", {} failed", self.failures));
        }
        if self.faults > 0 {
            text.push_str(&format!(", {} in rules", counted(self.faults, "fault")));
        }
        text
    }
}

fn action(rule: &Rule) -> (&'static str, Option<String>) {
    match &rule.action {
        Action::Discard => ("discard", None),
        Action::Report => ("report", None),
        Action::FileInto(to) => ("fileinto", Some(to.to_string())),
    }
}

impl<'r> Row<'r> {
    fn of(done: &'r Done) -> Row<'r> {
        Row { mailbox: &done.mailbox, uidvalidity: Some(done.uidvalidity), ..Row::default() }
    }

    fn one(done: &'r Done, verdict: &Verdict, rule: &Rule) -> Row<'r> {
        Row {
            uid: Some(verdict.facts.uid),
            criterion: Some(rule.criterion(verdict.reason)),
            messages: 1,
            bytes: verdict.facts.size,
            ..Row::of(done)
        }
    }

    fn object(&self, dry_run: bool) -> String {
        json!({
            "v": 1,
            "dry_run": dry_run,
            "action": self.action,
            "mailbox": self.mailbox,
            "uidvalidity": self.uidvalidity,
            "uid": self.uid,
            "to": self.to,
            "rule": self.rule.map(|rule| rule.name.as_str()),
            "source": self.rule.map(|rule| rule.origin.to_string()),
            "criterion": self.criterion,
            "messages": self.messages,
            "bytes": self.bytes,
            "freed_bytes": self.freed_bytes,
        })
        .to_string()
    }

    fn cells(&self) -> Vec<String> {
        let action = self.to.as_ref().map_or_else(|| self.action.to_owned(), |to| format!("{}:{to}", self.action));
        vec![
            self.mailbox.to_owned(),
            self.uid.map(|uid| uid.to_string()).unwrap_or_default(),
            action,
            self.rule.map(Rule::shown).unwrap_or_default(),
            self.criterion.clone().unwrap_or_default(),
            self.messages.to_string(),
            self.bytes.to_string(),
        ]
    }
}

fn counted(number: u64, what: &str) -> String {
    let plural = if what.ends_with('x') { "es" } else { "s" };
    format!("{number} {what}{}", if number == 1 { "" } else { plural })
}
