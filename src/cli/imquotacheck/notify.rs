//! `-n`: users are told.

use std::ops::ControlFlow;

use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::files::{self, Files};
use super::{Here, survey_failure};
use crate::ops::delivery::{LocalDelivery, Policy};
use crate::ops::instance::host_name;
use crate::ops::quotacheck::notice::{Done, Notifier};
use crate::ops::quotacheck::rules::RuleFile;
use crate::ops::quotacheck::survey::{Subject, Survey};
use crate::ops::quotacheck::threshold::Step;

/// Tells users by the rules.
pub(super) fn notify(ui: &mut Ui, here: &Here<'_>, files: Files) -> anyhow::Result<Exit> {
    let rules = rules(here, files.rules)?;
    let templates = files::templates(&rules.rules, files.template, &here.instance)?;
    // Without a text the delivery agent warns nobody.
    let agent_warns = here.conf.bool("store.quotanotification")
        && (here.conf.explicit("store.quotanotification") || !here.conf.string("store.quotaexceededmsg").is_empty());
    if agent_warns {
        ui.warn(
            "store.quotanotification is on: the delivery agent warns users too, with a record of its own; \
             configutil -o store.quotanotification -v no",
        );
    }
    let attribute = here.attribute(rules.quota_attribute.as_ref())?;
    let survey = here.survey(attribute.as_ref());
    let host = host_name(&here.conf);
    let domain = if here.default_domain.is_empty() { &host } else { &here.default_domain };
    let notifier = Notifier {
        delivery: LocalDelivery {
            store: &here.store,
            directory: &here.directory,
            default_domain: here.default_domain.clone(),
            policy: Policy { check_access: false, ignore_quota: true, ..Policy::default() },
        },
        rules: &rules,
        templates: &templates,
        from: format!("Postmaster <postmaster@{domain}>"),
        config_dir: here.instance.config_dir(),
        host: host.clone(),
    };
    let mut run = Run { here, notifier, told: 0, would: 0, skipped: 0, failed: 0 };
    let progress = Progress::new(count(&survey), "users");
    let surveyed = survey.each(&mut |userid, found| {
        match found {
            Ok(subject) => run.one(ui, &progress, &subject),
            Err(error) => run.failure(ui, &progress, userid, &error.to_string()),
        }
        progress.step();
        ControlFlow::Continue(())
    });
    drop(progress);
    surveyed.map_err(survey_failure)?;
    run.end(ui)
}

fn rules(here: &Here<'_>, given: Option<(std::path::PathBuf, RuleFile)>) -> Result<RuleFile, Failure> {
    let default = files::default_rules(&here.instance);
    let Some((path, file)) = Files::rules_or_default(given, &here.instance)? else {
        return Err(Failure::new(
            Exit::NoInput,
            format!("no rule is defined: there is no rule file {}", default.display()),
        )
        .hint(format!("imquotacheck --sample rulefile > {}", default.display())));
    };
    let wrong = |text: String| Failure::new(Exit::DataErr, format!("{}: {text}", path.display()));
    if file.rules.is_empty() {
        return Err(wrong("no rule is defined and enabled".to_owned()));
    }
    for rule in &file.rules {
        if let Some(method) = &rule.method {
            method.check().map_err(|error| wrong(format!("[{}] notificationMethod: {error}", rule.name)))?;
        }
    }
    Ok(file)
}

/// How many users there are, for the bar.
fn count(survey: &Survey<'_>) -> u64 {
    let mut users = 0;
    let plain = Survey { with_folders: false, attribute: None, ..*survey };
    // A list that cannot be read is met again.
    let _ = plain.each(&mut |_, _| {
        users += 1;
        ControlFlow::Continue(())
    });
    users
}

struct Run<'h> {
    here: &'h Here<'h>,
    notifier: Notifier<'h>,
    told: u64,
    would: u64,
    skipped: u64,
    failed: u64,
}

impl Run<'_> {
    fn one(&mut self, ui: &mut Ui, progress: &Progress, subject: &Subject) {
        if self.here.args.dry_run {
            return self.plan(ui, subject);
        }
        let done = match self.notifier.go_on(subject, self.here.now_s) {
            Ok(done) => done,
            Err(error) => return self.failure(ui, progress, &subject.figures.userid, &error.to_string()),
        };
        let percent = subject.percent().unwrap_or(0);
        let text = match &done {
            Done::Told(rule) => {
                self.told += 1;
                self.row(ui, subject, "told", Some(&rule.name));
                format!("{percent} percent, told by [{}]", rule.name)
            }
            Done::NoMail(rule, error) => {
                self.skipped += 1;
                self.row(ui, subject, "no mail", Some(&rule.name));
                format!("{percent} percent, not told: {error}")
            }
            Done::NotDue(rule, left_s) if self.here.args.debug => {
                format!("{percent} percent, [{}] tells in {left_s} seconds", rule.name)
            }
            Done::Forgotten if self.here.args.debug => {
                "below every threshold again: the last notice is forgotten".to_owned()
            }
            Done::Below if self.here.args.debug => "below every threshold".to_owned(),
            Done::NotDue(..) | Done::Forgotten | Done::Below => return,
        };
        if self.here.args.verbose || self.here.args.debug {
            progress.error(ui, &format!("{}: {text}", subject.figures.userid));
        }
    }

    /// What would be done, on standard output.
    fn plan(&mut self, ui: &mut Ui, subject: &Subject) {
        let Step::Tell(rule) = self.notifier.next(subject, self.here.now_s) else { return };
        self.would += 1;
        if self.here.args.json {
            return self.row(ui, subject, "would tell", Some(&rule.name));
        }
        let userid = &subject.figures.userid;
        ui.line(format!("would tell {userid}: {} percent, [{}]", subject.percent().unwrap_or(0), rule.name));
        if self.here.args.verbose && rule.method.is_none() {
            let message = self
                .notifier
                .template(rule)
                .and_then(|template| self.notifier.message(subject, template, self.here.now_s));
            match message {
                Ok(message) => ui.raw(&message),
                Err(error) => ui.error(format!("{userid}: {error}")),
            }
            ui.line("");
        }
    }

    fn row(&self, ui: &mut Ui, subject: &Subject, action: &str, rule: Option<&str>) {
        if self.here.args.json {
            let row = json!({
                "v": 1,
                "user": subject.figures.userid,
                "percent": subject.percent(),
                "rule": rule,
                "action": action,
            });
            ui.line(row.to_string());
        }
    }

    fn failure(&mut self, ui: &mut Ui, progress: &Progress, userid: &str, text: &str) {
        self.failed += 1;
        progress.error(ui, &format!("{userid}: {text}"));
    }

    fn end(self, ui: &mut Ui) -> anyhow::Result<Exit> {
        let Run { here, told, would, skipped, failed, .. } = self;
        here.say(ui, &format!("{told} users told, {skipped} without a mailbox that takes mail, {failed} failed"));
        Ok(match (failed, would) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::WouldChange,
            _ => {
                ui.error(format!("{failed} users failed"));
                Exit::Incomplete
            }
        })
    }
}
