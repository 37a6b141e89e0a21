//! reconstruct: the door of the store's checker (AdminRef reconstruct). This release checks, and repairs only the usage that quotas are about.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::ArgAction;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{Tool, args, recount};
use crate::directory::canonical_userid;
use crate::ops::mailbox::{read_name, show_name};
use crate::ops::quotacheck::recount::{differences, repair};
use crate::os::clock;
use crate::store::check::{Depth, Finding};
use crate::store::{AccountId, Kind, MailboxName, Store};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "reconstruct",
    place: "sbin",
    about: "Check mailboxes and the mailbox database",
    definition: || args::definition::<Args>("reconstruct"),
    run,
};

/// Check mailboxes and the mailbox database, and tell what is wrong. This release repairs only usage (-q): else -n is needed.
///
/// A mailbox is named user/USERID/FOLDER. With -r, or with a slash at the end, those below it are checked too; -r alone checks the whole
/// store.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Check only; nothing is changed.
    #[arg(short = 'n')]
    check: bool,
    /// Check the mailboxes with all below them; without a mailbox, the whole store.
    #[arg(short = 'r')]
    recursive: bool,
    /// Set recorded usage right where it is not the sum of the messages; with -n only tell. Services may go on.
    #[arg(short = 'q', conflicts_with_all = ["recursive", "partition", "content", "mailboxes"])]
    quota: bool,
    /// Only what lies in this partition.
    #[arg(short = 'p', value_name = "PARTITION")]
    partition: Option<String>,
    /// Read every message and compare its content with what was recorded.
    #[arg(long)]
    content: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Not in this release.
    #[arg(short = 'f', short_aliases = ['i', 'e', 'm', 'l'], hide = true, action = ArgAction::Count)]
    repair: u8,
    /// Not in this release.
    #[arg(short = 'o', hide = true)]
    orphans: bool,
    /// Not in this release.
    #[arg(short = 'd', value_name = "FILE", hide = true)]
    file: Option<PathBuf>,
    /// Not in this release.
    #[arg(short = 'u', value_name = "USER", hide = true)]
    user: Option<String>,
    /// The mailboxes.
    #[arg(value_name = "MAILBOX")]
    mailboxes: Vec<String>,
}

/// A mailbox to be checked, with those below it or without.
struct Wanted {
    name: MailboxName,
    below: bool,
    whole_account: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let mut wanted = check_args(&args)?;
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    if args.quota {
        return quota(ui, &store, &args);
    }
    let partitions = &store.settings().partitions;
    if let Some(partition) = &args.partition
        && !partitions.iter().any(|(nickname, _)| nickname == partition)
    {
        return Err(Failure::new(Exit::NoInput, format!("Unknown/invalid partition: {partition}"))
            .hint("configutil -p store.partition")
            .into());
    }
    let domain = conf.string("local.defdomain");
    for Wanted { name, .. } in &mut wanted {
        if store.account_id(&name.owner).is_ok_and(|account| account.is_none()) {
            name.owner = canonical_userid(&name.owner, Some(domain.as_str()).filter(|domain| !domain.is_empty()));
        }
    }
    let mut check = Check { store: &store, args: &args, found: 0, failed: 0, missing: 0, seen: BTreeSet::new() };
    if wanted.is_empty() {
        check.everything(ui)?;
    } else {
        wanted.iter().for_each(|wanted| check.one(ui, wanted));
    }
    Ok(check.end(ui))
}

/// What is to be checked; empty for the whole store.
fn check_args(args: &Args) -> Result<Vec<Wanted>, Failure> {
    let usage = |text: &str, hint: &str| Err(Failure::new(Exit::Usage, text).hint(hint));
    if args.orphans || args.file.is_some() {
        return usage("orphaned accounts are listed by mboxutil", "mboxutil -o [-w FILE]");
    }
    let usage_only = args.quota && args.repair == 0 && args.user.is_none();
    if usage_only {
        return Ok(Vec::new());
    }
    if args.repair > 0 || args.user.is_some() || !args.check {
        return usage(
            "repair is not in this release, it only checks; -q sets usage right",
            "reconstruct -n -r, or reconstruct -n MAILBOX",
        );
    }
    if args.mailboxes.is_empty() && !args.recursive {
        return usage("-n needs a mailbox, or -r", "reconstruct -n -r checks the whole store");
    }
    if args.partition.is_some() && !args.recursive {
        return usage("-p goes with -r", "reconstruct -n -r -p PARTITION");
    }
    let read = |text: &String| {
        let below = args.recursive || text.ends_with('/');
        match read_name(text) {
            Ok(name) => Ok(Wanted { below, whole_account: below && name.folder.is_inbox(), name }),
            Err(error) => Err(Failure::new(Exit::Usage, format!("{text}: {error}"))),
        }
    };
    args.mailboxes.iter().map(read).collect()
}

/// Recorded usage against the messages.
fn quota(ui: &mut Ui, store: &Store, args: &Args) -> anyhow::Result<Exit> {
    let mut total = 0;
    let mut count = |_: &str, _: Result<_, _>| {
        total += 1;
        ControlFlow::Continue(())
    };
    store.each_account(&mut count).map_err(store_failure)?;
    let progress = Progress::new(total, "accounts");
    let (now_s, mut wrong, mut failed) = (clock::now_s(), 0u64, 0u64);
    let listed = store.each_account(&mut |userid, found| {
        let looked = found.and_then(|(account, _)| match args.check {
            true => differences(store, account),
            false => repair(store, account, now_s),
        });
        match looked {
            Ok(found) => {
                wrong += u64::from(!found.is_empty());
                found.iter().for_each(|difference| recount::tell(ui, args.json, difference));
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => {
                failed += 1;
                progress.error(ui, &format!("user/{userid}: {error}"));
            }
        }
        progress.step();
        ControlFlow::Continue(())
    });
    drop(progress);
    listed.map_err(store_failure)?;
    if !args.check && !args.json && wrong > 0 {
        ui.line(format!("{wrong} of {total} accounts are set right"));
    }
    Ok(match (failed, wrong) {
        (0, 1..) if args.check => Exit::WouldChange,
        (0, _) => Exit::Ok,
        _ => Exit::Incomplete,
    })
}

struct Check<'a> {
    store: &'a Store,
    args: &'a Args,
    found: u64,
    failed: u64,
    missing: u64,
    /// Meanings of what was found, with their invariants.
    seen: BTreeSet<(&'static str, &'static str)>,
}

impl Check<'_> {
    fn depth(&self) -> Depth {
        Depth { content: self.args.content }
    }

    /// The whole store, or a partition of it.
    fn everything(&mut self, ui: &mut Ui) -> anyhow::Result<()> {
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
    fn one(&mut self, ui: &mut Ui, wanted: &Wanted) {
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
        let place = match MailboxName::parse(&found.place) {
            Ok(name) if found.place.matches('/').count() > 1 => show_name(&name.owner, &name.folder),
            _ => found.place.clone(),
        };
        if self.args.json {
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

    fn end(&self, ui: &mut Ui) -> Exit {
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
