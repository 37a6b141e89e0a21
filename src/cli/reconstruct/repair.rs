//! reconstruct without -n: check, tell, repair what is damaged, check again. Many accounts at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde_json::json;

use super::super::exit::Exit;
use super::super::instance::store_failure;
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::check::{shown, tell};
use super::{Args, Wanted};
use crate::ops::mailbox::show_name;
use crate::os::clock;
use crate::store::check::{Depth, Finding};
use crate::store::repair::{How, Mended};
use crate::store::{AccountId, FolderPath, Kind, Store, StoreError};

/// An account, or mailboxes of it.
struct Target {
    userid: String,
    account: AccountId,
    /// The mailboxes, each with those below it or without; empty: all.
    folders: Vec<(FolderPath, bool)>,
}

/// What became of a target.
#[derive(Default)]
struct Outcome {
    found: Vec<Finding>,
    done: Vec<Mended>,
    after: Vec<Finding>,
    error: Option<StoreError>,
}

/// What was told.
#[derive(Default)]
struct Sums {
    found: u64,
    repaired: u64,
    left: u64,
    failed: u64,
    missing: u64,
}

pub(super) fn repair(ui: &mut Ui, store: &Store, args: &Args, wanted: &[Wanted]) -> anyhow::Result<Exit> {
    let mut sums = Sums::default();
    let targets = match wanted {
        [] => everything(store)?,
        _ => wanted.iter().filter_map(|wanted| target(ui, store, wanted, &mut sums)).collect(),
    };
    let progress = Progress::new(targets.len() as u64, "accounts");
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel::<(usize, Outcome)>(64);
    let targets = &targets;
    std::thread::scope(|scope| {
        for _ in 0..usize::from(args.threads).min(targets.len()) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                while let Some((at, target)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    targets.get(at).map(|target| (at, target))
                } {
                    if send.send((at, work(store, args, target))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        // Told in the order of the accounts, however they come to their end.
        let mut waiting = std::collections::BTreeMap::new();
        let mut due = 0;
        for (at, outcome) in receive {
            waiting.insert(at, outcome);
            progress.step();
            while let Some(outcome) = waiting.remove(&due) {
                if let Some(target) = targets.get(due) {
                    say(ui, args, &progress, target, &outcome, &mut sums);
                }
                due += 1;
            }
        }
    });
    drop(progress);
    if wanted.is_empty() {
        rest(ui, store, args, &mut sums)?;
    }
    if !args.json && sums.found + sums.repaired + sums.left > 0 {
        ui.line(format!("{} found, {} repaired, {} left", sums.found, sums.repaired, sums.left));
    }
    Ok(match (sums.failed, sums.missing, sums.left) {
        (0, 0, 0) => Exit::Ok,
        (0, 1, _) if wanted.len() == 1 => Exit::NoInput,
        _ => Exit::Incomplete,
    })
}

fn everything(store: &Store) -> anyhow::Result<Vec<Target>> {
    let accounts = store.accounts().map_err(store_failure)?;
    Ok(accounts.into_iter().map(|(userid, account)| Target { userid, account, folders: Vec::new() }).collect())
}

fn target(ui: &mut Ui, store: &Store, wanted: &Wanted, sums: &mut Sums) -> Option<Target> {
    let owner = &wanted.name.owner;
    let look = || -> Result<Option<AccountId>, StoreError> {
        let Some(account) = store.account_id(owner)? else {
            return Ok(None);
        };
        // What cannot be read may be there: the repair will tell.
        let there = match store.view(account).and_then(|view| view.resolve(&wanted.name.folder)) {
            Ok(row) => row.is_some() || wanted.whole_account,
            Err(error) => error.kind() == Kind::Corrupt,
        };
        Ok(Some(account).filter(|_| there))
    };
    // The map leads nowhere where the row of the account cannot be read: the list of accounts has it all the same.
    let listed = || store.accounts().ok()?.into_iter().find(|(userid, _)| userid == owner).map(|(_, account)| account);
    match look() {
        Ok(Some(account)) => {
            let folders = match wanted.whole_account {
                true => Vec::new(),
                false => vec![(wanted.name.folder.clone(), wanted.below)],
            };
            Some(Target { userid: owner.clone(), account, folders })
        }
        Err(error) if error.kind() == Kind::Corrupt => {
            listed().map(|account| Target { userid: owner.clone(), account, folders: Vec::new() })
        }
        Ok(None) => {
            sums.missing += 1;
            ui.error(format!("no such mailbox: {}", show_name(owner, &wanted.name.folder)));
            None
        }
        Err(error) => {
            sums.failed += 1;
            ui.error(format!("{}: {error}", show_name(owner, &wanted.name.folder)));
            None
        }
    }
}

/// Checks, repairs and checks again.
fn work(store: &Store, args: &Args, target: &Target) -> Outcome {
    let mut outcome = Outcome::default();
    let result = (|| {
        if !args.force {
            outcome.found = findings(store, args, target)?;
            if outcome.found.is_empty() {
                return Ok(());
            }
        }
        let how = How {
            force: args.force,
            fresh_index: args.fresh_index,
            forget_expunged: args.forget_expunged,
            content: args.content,
        };
        for folder in scope(store, args, target)? {
            let only = folder.as_ref().map(|(path, below)| (path, *below));
            outcome.done.extend(store.repair(target.account, only, how, clock::now_s())?);
        }
        outcome.after = findings(store, args, target)?;
        Ok(())
    })();
    match result {
        // Deleted meanwhile.
        Err(error) if StoreError::kind(&error) == Kind::NotFound => {}
        other => outcome.error = other.err(),
    }
    outcome
}

/// What of an account is repaired; one `None`: all of it.
fn scope(store: &Store, args: &Args, target: &Target) -> Result<Vec<Option<(FolderPath, bool)>>, StoreError> {
    let Some(partition) = &args.partition else {
        return Ok(match target.folders.is_empty() {
            true => vec![None],
            false => target.folders.iter().cloned().map(Some).collect(),
        });
    };
    // Where its mailboxes lie cannot be told before its rows are right.
    store.repair_database(target.account, clock::now_s())?;
    let meant = |path: &FolderPath| {
        let inside = |(wanted, below): &(FolderPath, bool)| path == wanted || (*below && path.starts_with(wanted));
        target.folders.is_empty() || target.folders.iter().any(inside)
    };
    let folders = store.view(target.account)?.folders()?;
    let inside = folders.into_iter().filter(|(path, row)| row.partition == *partition && meant(path));
    Ok(inside.map(|(path, _)| Some((path, false))).collect())
}

/// What the checker finds of a target.
fn findings(store: &Store, args: &Args, target: &Target) -> Result<Vec<Finding>, StoreError> {
    let depth = Depth { content: args.content || args.force };
    let mut found = store.check_entry(&target.userid, target.account, depth)?;
    let place = |path: &FolderPath| format!("user/{}/{path}", target.userid);
    if !target.folders.is_empty() {
        let meant = |found: &Finding| {
            target.folders.iter().any(|(path, below)| {
                let name = place(path);
                found.place == name || (*below && found.place.starts_with(&format!("{name}/")))
            })
        };
        found.retain(meant);
    }
    if let Some(partition) = &args.partition {
        let folders = store.view(target.account).and_then(|view| view.folders()).unwrap_or_default();
        let elsewhere: Vec<String> =
            folders.iter().filter(|(_, row)| row.partition != *partition).map(|(path, _)| place(path)).collect();
        let alone = !folders.is_empty() && elsewhere.len() == folders.len();
        found.retain(|found| {
            !(elsewhere.contains(&found.place) || alone && found.place == format!("user/{}", target.userid))
        });
    }
    Ok(found)
}

fn say(ui: &mut Ui, args: &Args, progress: &Progress, target: &Target, outcome: &Outcome, sums: &mut Sums) {
    outcome.found.iter().for_each(|found| tell(ui, args.json, found));
    outcome.done.iter().for_each(|done| told(ui, args.json, done));
    outcome.after.iter().for_each(|found| still(ui, args.json, found));
    sums.found += outcome.found.len() as u64;
    sums.repaired += outcome.done.iter().filter(|done| !done.left).count() as u64;
    sums.left += (outcome.done.iter().filter(|done| done.left).count() + outcome.after.len()) as u64;
    if let Some(error) = &outcome.error {
        sums.failed += 1;
        progress.error(ui, &format!("user/{}: {error}", target.userid));
    }
}

/// Prints what was done, or left.
pub(super) fn told(ui: &mut Ui, as_json: bool, done: &Mended) {
    let place = shown(&done.place);
    if as_json {
        let word = if done.left { "left" } else { "repaired" };
        return ui.line(json!({ "v": 1, "place": place, "uid": done.uid, word: done.what }).to_string());
    }
    let word = if done.left { "left" } else { "repaired" };
    ui.line(format!("{word}: {}", Mended { place, ..done.clone() }));
}

/// Prints what is found after the repair.
fn still(ui: &mut Ui, as_json: bool, found: &Finding) {
    if as_json {
        let place = shown(&found.place);
        let row = json!({ "v": 1, "place": place, "uid": found.uid, "invariant": found.invariant, "left": found.what });
        return ui.line(row.to_string());
    }
    ui.line(format!("left: {}", Finding { place: shown(&found.place), ..found.clone() }));
}

/// What is about no account: directories of no mailbox, the rows of the shards.
fn rest(ui: &mut Ui, store: &Store, args: &Args, sums: &mut Sums) -> anyhow::Result<()> {
    let partitions = store.partitions();
    let root =
        |nickname: &str| partitions.iter().find(|(known, _)| known == nickname).and_then(|(_, root)| root.clone());
    let inside = |found: &Finding| match &args.partition {
        None => true,
        Some(nickname) => root(nickname).is_some_and(|root| found.place.starts_with(&format!("{}/", root.display()))),
    };
    let mut found: Vec<Finding> = store.check_directories().map_err(store_failure)?;
    found.retain(inside);
    if found.iter().any(|found| found.invariant == "I9") {
        store.finish_intents().map_err(store_failure)?;
    }
    if found.iter().any(|found| found.invariant == "I3") {
        store.count_domains(true).map_err(store_failure)?;
    }
    let mut after: Vec<Finding> = match found.is_empty() {
        true => Vec::new(),
        false => store.check_directories().map_err(store_failure)?,
    };
    after.retain(inside);
    for one in &found {
        tell(ui, args.json, one);
        sums.found += 1;
        sums.repaired += u64::from(!after.contains(one));
    }
    for one in &after {
        still(ui, args.json, one);
        sums.left += 1;
    }
    if after.iter().any(|found| found.invariant == "I5") {
        ui.error("reconstruct -m takes directories of unknown mailboxes in");
    }
    Ok(())
}
