//! reconstruct -m, the mailbox database against itself and the partitions; and -o, accounts that the directory does not have.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::super::exit::{Exit, Failure};
use super::super::instance::{directory_failure, store_failure};
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::Args;
use super::check::tell;
use super::repair::told;
use crate::config::{Conf, Instance};
use crate::ops::instance::open_directory;
use crate::ops::mailbox::change::{MailboxError, Mailboxes};
use crate::ops::mailbox::show_name;
use crate::os::clock;
use crate::store::check::Finding;
use crate::store::{Kind, Store};

/// Repairs the rows of every account (or one), then takes in the directories of mailboxes that the database does not know.
pub(super) fn repair(ui: &mut Ui, store: &Store, args: &Args, user: Option<&str>) -> anyhow::Result<Exit> {
    let mut accounts = store.accounts().map_err(store_failure)?;
    accounts.retain(|(userid, _)| user.is_none_or(|user| user == userid));
    let (mut left, mut failed) = (0u64, 0u64);
    let progress = Progress::new(accounts.len() as u64, "accounts");
    for (userid, account) in accounts {
        let result = match args.check {
            true => Ok(Vec::new()),
            false => store.repair_database(account, clock::now_s()),
        };
        match result {
            Ok(done) => {
                left += done.iter().filter(|done| done.left).count() as u64;
                done.iter().for_each(|done| told(ui, args.json, done));
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => {
                failed += 1;
                progress.error(ui, &format!("user/{userid}: {error}"));
            }
        }
        progress.step();
    }
    drop(progress);
    let mut unknown = store.unknown_directories(args.partition.as_deref()).map_err(store_failure)?;
    unknown.retain(|unknown| user.is_none_or(|user| user == unknown.mailbox.owner));
    for unknown in &unknown {
        if args.check {
            let name = show_name(&unknown.mailbox.owner, &unknown.mailbox.folder);
            ui.line(format!("{name}: entry would be added for {}", unknown.path.display()));
            continue;
        }
        match store.take_in(unknown, clock::now_s()) {
            Ok(done) => {
                left += done.iter().filter(|done| done.left).count() as u64;
                done.iter().for_each(|done| told(ui, args.json, done));
            }
            Err(error) => {
                failed += 1;
                ui.error(format!("{}: {error}", unknown.path.display()));
            }
        }
    }
    if !args.check {
        store.finish_intents().map_err(store_failure)?;
        store.count_domains(true).map_err(store_failure)?;
    }
    let found = remaining(store, args, user)?;
    if args.check {
        found.iter().for_each(|found| tell(ui, args.json, found));
        return Ok(if found.is_empty() && unknown.is_empty() { Exit::Ok } else { Exit::WouldChange });
    }
    for found in &found {
        ui.line(format!("left: {found}"));
    }
    Ok(if failed == 0 && left == 0 && found.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

/// What the checker finds in the database, leaving aside what is about messages.
fn remaining(store: &Store, args: &Args, user: Option<&str>) -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (userid, account) in store.accounts().map_err(store_failure)? {
        if user.is_some_and(|user| user != userid) {
            continue;
        }
        let of_account = store.check_entry(&userid, account, crate::store::check::Depth::default());
        found.extend(of_account.map_err(store_failure)?.into_iter().filter(|found| {
            matches!(found.invariant, "I5" | "I7" | "I8" | "I9" | "I12" | "I13" | "I14" | "I16") && found.uid.is_none()
        }));
    }
    if user.is_none() && args.partition.is_none() {
        let directories = store.check_directories().map_err(store_failure)?;
        // Those that can be taken in were told.
        found.extend(directories.into_iter().filter(|found| !args.check || found.invariant != "I5"));
    }
    Ok(found)
}

/// The accounts that have no entry in the directory of this host, as commands that delete them.
pub(super) fn orphans(
    ui: &mut Ui,
    instance: &Instance,
    conf: &Conf,
    store: &Store,
    output: Option<(&Path, BufWriter<File>)>,
) -> anyhow::Result<Exit> {
    ui.line("reconstruct: Start checking for orphaned mailboxes");
    ui.flush();
    let directory = open_directory(instance, conf);
    let domain = conf.string("local.defdomain");
    let quota = crate::ops::quota::watch::Settings::of(conf);
    let mailboxes = Mailboxes {
        store,
        directory: &directory,
        default_domain: Some(domain.as_str()).filter(|domain| !domain.is_empty()),
        quota: &quota,
        now_s: clock::now_s(),
    };
    let found = mailboxes.orphans(None).map_err(|error| match error {
        MailboxError::Store(error) => store_failure(error),
        MailboxError::Directory(error) => directory_failure(error),
        MailboxError::DirectoryFaults(_) => {
            Failure::new(Exit::DataErr, error.to_string()).hint("correct them; msgstore user list")
        }
        other => Failure::new(Exit::Software, other.to_string()),
    })?;
    let mut lines = found.iter().map(|userid| format!("mboxutil -d {}", quoted(&format!("user/{userid}/INBOX"))));
    match output {
        None => lines.for_each(|line| ui.line(line)),
        Some((path, mut output)) => {
            let written = lines.try_for_each(|line| writeln!(output, "{line}"));
            written
                .and_then(|()| output.flush())
                .map_err(|error| Failure::new(Exit::IoErr, format!("cannot write {}: {error}", path.display())))?;
        }
    }
    ui.line(format!("reconstruct: Found {} orphaned mailbox(es)", found.len()));
    ui.line("reconstruct: Done checking for orphaned mailboxes");
    Ok(Exit::Ok)
}

/// A word as a shell reads it back: names that have other than plain characters are quoted.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/@._+=-&".contains(c) && c != '&';
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
