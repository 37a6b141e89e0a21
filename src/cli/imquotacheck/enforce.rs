//! `-f`: statuses of domains, and with `store.overquotastatus` of users, follow their usage.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::super::instance::directory_failure;
use super::super::ui::Ui;
use super::{Here, kilobytes, survey_failure};
use crate::directory::Status;
use crate::ops::quota::status::{self, StatusError};
use crate::ops::quotacheck::domains::{self, Verdict};
use crate::ops::quotacheck::survey::{Whose, domain_of};

/// Enforces quotas of domains.
pub(super) fn enforce(ui: &mut Ui, here: &Here<'_>) -> anyhow::Result<Exit> {
    if let Whose::Domain(name) = &here.whose
        && here.directory.domain(name).map_err(directory_failure)?.is_none()
    {
        return Err(Failure::new(Exit::NoInput, format!("the directory has no entry of the domain {name}"))
            .hint("a domain is an entry of the object class mailDomain; docs/directory.md")
            .into());
    }
    let mut run = Run { here, changed: 0, failed: 0 };
    let (sums, unreadable) = domains::sums(&here.survey(None)).map_err(survey_failure)?;
    let mut uncertain = BTreeSet::new();
    for (userid, error) in &unreadable {
        run.failed += 1;
        ui.error(format!("{userid}: {error}"));
        uncertain.insert(domain_of(userid, &here.default_domain).to_lowercase());
    }
    let mut names: BTreeSet<String> = sums.0.keys().cloned().collect();
    if let Whose::Domain(name) = &here.whose {
        names.insert(name.clone());
    }
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        let Some(domain) = here.directory.domain(&name).map_err(directory_failure)? else {
            here.say(ui, &format!("the directory has no entry of the domain {name}"));
            continue;
        };
        let mut verdict = domains::of_domain(&domain, sums.0.get(&name).copied().unwrap_or_default());
        if verdict.change == Some(Status::Active) && uncertain.contains(&name) {
            // The sum lacks what could not be read.
            verdict.change = None;
        }
        let write = || domains::enforce_domain(&here.directory, &verdict).map_err(StatusError::from);
        run.one(ui, "domain", &verdict, &write);
    }
    if here.conf.bool("store.overquotastatus") || here.conf.bool("local.store.overquotastatus") {
        users(ui, here, &mut run)?;
    }
    Ok(match (run.failed, run.changed) {
        (0, 1..) if here.args.dry_run => Exit::WouldChange,
        (0, _) => Exit::Ok,
        _ => Exit::Incomplete,
    })
}

/// Statuses of users.
fn users(ui: &mut Ui, here: &Here<'_>, run: &mut Run<'_>) -> anyhow::Result<()> {
    let rules = here.store.quota_rules();
    let surveyed = here.survey(None).each(&mut |userid, found| {
        // Who cannot be read was named before.
        let found = found.ok().and_then(|subject| subject.account.zip(subject.roots.into_iter().next()));
        if let Some((account, own)) = found {
            match here.directory.entry(userid) {
                Ok(Some(user)) => {
                    let verdict = domains::of_user(userid, &own, &rules, user.status);
                    let write = || {
                        let now = status::follow_user(&rules, &here.store, &here.directory, account, &user)?;
                        Ok(Some(now) == verdict.change)
                    };
                    run.one(ui, "user", &verdict, &write);
                }
                Ok(None) => {}
                Err(error) => run.failure(ui, userid, &error),
            }
        }
        ControlFlow::Continue(())
    });
    Ok(surveyed.map_err(survey_failure)?)
}

struct Run<'h> {
    here: &'h Here<'h>,
    changed: u64,
    failed: u64,
}

/// Writes a change; false: it was not wanted any more.
type Write<'w> = dyn Fn() -> Result<bool, StatusError> + 'w;

impl Run<'_> {
    fn one(&mut self, ui: &mut Ui, what: &str, verdict: &Verdict, write: &Write<'_>) {
        let Some(change) = verdict.change else {
            if self.here.args.debug {
                ui.error(format!("{what} {}: {}", verdict.name, verdict.status.name()));
            }
            return;
        };
        if !self.here.args.dry_run {
            match write() {
                Ok(true) => {}
                Ok(false) => {
                    return self
                        .here
                        .say(ui, &format!("{what} {}: changed meanwhile, nothing is written", verdict.name));
                }
                Err(error) => return self.failure(ui, &format!("{what} {}", verdict.name), &error),
            }
        }
        self.changed += 1;
        if self.here.args.json {
            let row = json!({
                "v": 1,
                what: verdict.name,
                "usage_bytes": verdict.usage.bytes,
                "quota_bytes": verdict.bytes,
                "usage_messages": verdict.usage.messages,
                "quota_messages": verdict.messages,
                "from": verdict.status.name(),
                "to": change.name(),
                "dry_run": self.here.args.dry_run,
            });
            return ui.line(row.to_string());
        }
        let limit = |limit: Option<u64>| limit.map_or_else(|| "no quota".to_owned(), |limit| limit.to_string());
        let would = if self.here.args.dry_run { "would set " } else { "" };
        ui.line(format!(
            "{would}{what} {}: {} of {} kilobytes, {} of {} messages: {} -> {}",
            verdict.name,
            kilobytes(verdict.usage.bytes),
            limit(verdict.bytes.map(|bytes| bytes / 1024)),
            verdict.usage.messages,
            limit(verdict.messages),
            verdict.status.name(),
            change.name(),
        ));
    }

    fn failure(&mut self, ui: &mut Ui, what: &str, error: &dyn std::error::Error) {
        self.failed += 1;
        ui.error(format!("{what}: {error}"));
    }
}
