//! reconstruct -n: the checker told in lines.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::exit::Exit;
use super::super::instance::store_failure;
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::{Args, Wanted};
use crate::ops::mailbox::show_name;
use crate::store::check::{Depth, Finding};
use crate::store::{AccountId, Kind, MailboxName, Store};

pub(super) struct Check<'a> {
    pub(super) store: &'a Store,
    pub(super) args: &'a Args,
    pub(super) found: u64,
    pub(super) failed: u64,
    pub(super) missing: u64,
    /// Meanings of what was found, with their invariants.
    pub(super) seen: BTreeSet<(&'static str, &'static str)>,
}

impl Check<'_> {
    fn depth(&self) -> Depth {
        Depth { content: self.args.content }
    }

    /// The whole store, or a partition of it.
    pub(super) fn everything(&mut self, ui: &mut Ui) -> anyhow::Result<()> {
        let accounts = self.store.accounts().map_err(store_failure)?;
        let progress = Progress::new(accounts.len() as u64, "accounts");
        for (userid, account) in accounts {
            match self.store.check_entry(&userid, account, self.depth()) {
                Ok(findings) => {
                    let elsewhere = self.elsewhere(&userid, account);
                    let inside = |found: &Finding| !elsewhere.contains(&found.place);
                    findings.iter().filter(|found| inside(found)).for_each(|found| self.tell(ui, found));
                }
                Err(error) => {
                    self.failed += 1;
                    progress.error(ui, &format!("user/{userid}: {error}"));
                }
            }
            progress.step();
        }
        drop(progress);
        let roots: Vec<String> = (self.store.settings().partitions.iter())
            .filter(|(nickname, _)| self.args.partition.as_ref().is_some_and(|wanted| wanted == nickname))
            .map(|(_, root)| format!("{}/", root.display()))
            .collect();
        let inside =
            |found: &Finding| self.args.partition.is_none() || roots.iter().any(|root| found.place.starts_with(root));
        let findings = self.store.check_directories().map_err(store_failure)?;
        let findings: Vec<Finding> = findings.into_iter().filter(inside).collect();
        findings.iter().for_each(|found| self.tell(ui, found));
        Ok(())
    }

    /// The places of an account that are not in the partition that was asked for. What is about no mailbox that is known is told with each partition
    /// where the account has one; where its mailboxes lie cannot be told of an account that cannot be read: everything about it is told.
    fn elsewhere(&self, userid: &str, account: AccountId) -> BTreeSet<String> {
        let Some(partition) = &self.args.partition else {
            return BTreeSet::new();
        };
        let folders = self.store.view(account).and_then(|view| view.folders()).unwrap_or_default();
        let (inside, outside): (Vec<_>, Vec<_>) = folders.into_iter().partition(|(_, row)| row.partition == *partition);
        let account = (inside.is_empty() && !outside.is_empty()).then(|| format!("user/{userid}"));
        outside.into_iter().map(|(path, _)| format!("user/{userid}/{path}")).chain(account).collect()
    }

    /// A mailbox, with those below it or without.
    pub(super) fn one(&mut self, ui: &mut Ui, wanted: &Wanted) {
        let MailboxName { owner, folder } = &wanted.name;
        let shown = show_name(owner, folder);
        let look = || {
            let Some(account) = self.store.account_id(owner)? else {
                return Ok(None);
            };
            if wanted.whole_account {
                return self.store.check_entry(owner, account, self.depth()).map(Some);
            }
            if self.store.view(account)?.resolve(folder)?.is_none() {
                return Ok(None);
            }
            self.store.check_account(account, Some(folder), self.depth()).map(Some)
        };
        match look() {
            Ok(Some(findings)) => {
                let alone = format!("user/{owner}/{folder}");
                let inside =
                    |found: &&Finding| (wanted.below || found.place == alone) && self.in_partition(found, owner);
                let findings: Vec<&Finding> = findings.iter().filter(inside).collect();
                findings.into_iter().for_each(|found| self.tell(ui, found));
            }
            Ok(None) => {
                self.missing += 1;
                ui.error(format!("no such mailbox: {shown}"));
            }
            Err(error) if error.kind() == Kind::Corrupt => {
                let (place, what) = (format!("user/{owner}/{folder}"), error.to_string());
                self.tell(ui, &Finding { invariant: "I11", place, uid: None, what, harmless: false });
            }
            Err(error) => {
                self.failed += 1;
                ui.error(format!("{shown}: {error}"));
            }
        }
    }

    /// Whether a finding is about a mailbox in the partition that was asked for.
    fn in_partition(&self, found: &Finding, owner: &str) -> bool {
        let Some(wanted) = &self.args.partition else {
            return true;
        };
        let folder = MailboxName::parse(&found.place).ok().filter(|name| name.owner == owner);
        let row = folder.and_then(|name| {
            let account = self.store.account_id(owner).ok()??;
            self.store.view(account).ok()?.resolve(&name.folder).ok()?
        });
        row.is_none_or(|row| row.partition == *wanted)
    }

    fn tell(&mut self, ui: &mut Ui, found: &Finding) {
        self.found += 1;
        self.seen.insert((found.invariant, found.meaning()));
        tell(ui, self.args.json, found);
    }

    pub(super) fn end(&self, ui: &mut Ui) -> Exit {
        if !self.args.json {
            for (invariant, meaning) in &self.seen {
                ui.line(format!("[{invariant}] does not hold: {meaning}"));
            }
        }
        match (self.failed, self.missing, self.found) {
            (0, 0, 0) => Exit::Ok,
            (0, 0, _) => Exit::WouldChange,
            (0, 1, _) if self.args.mailboxes.len() == 1 => Exit::NoInput,
            _ => Exit::Incomplete,
        }
    }
}

/// The place of a finding as a person reads it.
pub(super) fn shown(place: &str) -> String {
    match MailboxName::parse(place) {
        Ok(name) if place.matches('/').count() > 1 => show_name(&name.owner, &name.folder),
        _ => place.to_owned(),
    }
}

/// Prints a finding.
pub(super) fn tell(ui: &mut Ui, as_json: bool, found: &Finding) {
    let place = shown(&found.place);
    if as_json {
        let row = json!({
            "v": 1,
            "place": place,
            "uid": found.uid,
            "invariant": found.invariant,
            "meaning": found.meaning(),
            "what": found.what,
            "harmless": found.harmless,
        });
        return ui.line(row.to_string());
    }
    ui.line(Finding { place, ..found.clone() }.to_string());
}
