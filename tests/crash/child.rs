//! What the children do: carry out a script of operations, or tell what a fresh process finds.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use msgstore::store::check::Depth;
use msgstore::store::{
    AccountId, AclChange, Chosen, CreateOptions, Delivery, FlagChange, FlagOp, Flags, Folder, FolderId, FolderPath,
    Former, Limits, NewMessage, QuotaRules, Returned, ReturnedBody, Rights, Settings, Staged, Store, Uid, UidSet,
    layout,
};

use super::model::{Op, Place};

/// A time in November 2026.
pub const NOW: i64 = 1_795_000_000;

/// The user whose entry in the access control lists changes.
const READER: &str = "reader";

pub fn settings(root: &Path) -> Settings {
    Settings {
        root: root.join("store"),
        partitions: vec![
            ("primary".into(), root.join("store/partition/primary")),
            ("second".into(), root.join("second")),
        ],
        default_partition: "primary".into(),
        notify_dir: None,
    }
}

/// A line for the parent, flushed: what it acknowledges has happened.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub fn content(marker: u64) -> String {
    let filler = "All work and no play. ".repeat(usize::try_from(marker % 17).unwrap());
    format!(
        "From: a@example.com\r\nSubject: number {marker}\r\nMessage-ID: <{marker}@example.com>\r\nX-Marker: {marker}\r\n\r\n{filler}\r\nend {marker}\r\n"
    )
}

pub fn marker_of(text: &str) -> Option<u64> {
    text.split("X-Marker: ").nth(1)?.split("\r\n").next()?.parse().ok()
}

pub fn stage(store: &Store, marker: u64) -> Staged {
    let mut staging = store.stage("primary").unwrap();
    staging.write_all(content(marker).as_bytes()).unwrap();
    staging.finish().unwrap()
}

pub fn item(staged: &Staged) -> NewMessage<'_> {
    NewMessage { staged, flags: Flags::NONE, keywords: Vec::new(), internal_date_s: NOW, internal_zone_min: 0 }
}

pub fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

fn account(store: &Store, user: &str) -> AccountId {
    store.account_id(user).unwrap().unwrap_or_else(|| panic!("no account {user}"))
}

fn place(store: &Store, place: &Place) -> (AccountId, FolderId) {
    let account = account(store, &place.0);
    let row = store.view(account).unwrap().resolve(&path(&place.1)).unwrap();
    (account, row.unwrap_or_else(|| panic!("no folder {place:?}")).id)
}

fn uids(store: &Store, (account, folder): (AccountId, FolderId)) -> Vec<(Uid, Flags)> {
    let mut found = Vec::new();
    let view = store.view(account).unwrap();
    view.states(folder, 0..=Uid::MAX, &mut |run| found.extend((run.first..=run.last()).map(|uid| (uid, run.flags))))
        .unwrap();
    found
}

fn text(store: &Store, (account, folder): (AccountId, FolderId), uid: Uid) -> String {
    let mut text = String::new();
    store.open_body(account, folder, uid).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn named(store: &Store, at: (AccountId, FolderId), markers: &[u64]) -> UidSet {
    let wanted = |uid: &Uid| markers.contains(&marker_of(&text(store, at, *uid)).unwrap());
    uids(store, at).into_iter().map(|(uid, _)| uid).filter(wanted).collect()
}

/// Carries one operation out; what it gave: (place, marker, uid).
fn perform(store: &Store, op: &Op) -> Vec<(Place, u64, Uid)> {
    match op {
        Op::Append { to, markers } => {
            let (account, folder) = place(store, to);
            let staged: Vec<Staged> = markers.iter().map(|marker| stage(store, *marker)).collect();
            let items: Vec<NewMessage<'_>> = staged.iter().map(item).collect();
            let done = store.append(account, folder, &items, NOW).unwrap();
            return markers.iter().zip(done.uids).map(|(marker, uid)| (to.clone(), *marker, uid)).collect();
        }
        Op::PutBack { to, markers } => {
            let (account, folder) = place(store, to);
            let row = store.view(account).unwrap().folder(folder).unwrap().unwrap();
            // As from a backup in which the messages come after a gap.
            let former = Former {
                uidvalidity: row.uidvalidity,
                uidnext: row.uidnext + 1000,
                highest_modseq: row.highest_modseq,
                acl: row.acl,
            };
            let staged: Vec<Staged> = markers.iter().map(|marker| stage(store, *marker)).collect();
            let back = |(number, staged)| Returned {
                body: ReturnedBody::Staged(staged),
                uid: row.uidnext + 3 + u32::try_from(number).unwrap(),
                flags: Flags::NONE,
                keywords: Vec::new(),
                internal_date_s: NOW,
                internal_zone_min: 0,
                saved_s: NOW,
            };
            let items: Vec<Returned<'_>> = staged.iter().enumerate().map(back).collect();
            let uids = store.put_back(account, folder, &former, &items, NOW).unwrap();
            return markers.iter().zip(uids).map(|(marker, uid)| (to.clone(), *marker, uid)).collect();
        }
        Op::Warn { to, marker } => {
            let (account, folder) = place(store, to);
            // Nothing is enforced here: there is a quota only so that it is exceeded.
            store.set_limits(account, &Limits { bytes: Some(0), ..Limits::default() }, NOW).unwrap();
            assert!(store.append_warning(account, folder, &item(&stage(store, *marker)), NOW).unwrap());
            return Vec::new();
        }
        Op::Deliver { marker, to, once } => {
            let staged = stage(store, *marker);
            let places: Vec<Delivery> = to
                .iter()
                .map(|one| place(store, one))
                .map(|(account, folder)| Delivery {
                    account,
                    folder,
                    ignore_quota: false,
                    once_s: u32::from(*once) * 100,
                })
                .collect();
            let done = store.deliver(&item(&staged), &places, NOW);
            // Of one that came already nothing is told.
            let told = to.iter().zip(done).filter_map(|(one, done)| Some((one, done.unwrap()?.uids[0])));
            return told.map(|(one, uid)| (one.clone(), *marker, uid)).collect();
        }
        Op::Copy { from, markers, to } | Op::Move { from, markers, to } => {
            let (source, target) = (place(store, from), place(store, to));
            let set = named(store, source, markers);
            let known: std::collections::BTreeMap<Uid, u64> =
                set.iter().map(|uid| (uid, marker_of(&text(store, source, uid)).unwrap())).collect();
            let copied = if matches!(op, Op::Copy { .. }) {
                store.copy(source, &set, target, NOW).unwrap()
            } else {
                store.move_messages(source, &set, target, NOW).unwrap()
            };
            return copied.pairs.iter().map(|(old, new)| (to.clone(), known[old], *new)).collect();
        }
        Op::Replace { from, old, to, marker } => {
            let (source, target) = (place(store, from), place(store, to));
            let uid = named(store, source, &[*old]).iter().next().unwrap();
            let staged = stage(store, *marker);
            let done = store.replace(source.0, (source.1, uid), target.1, &item(&staged), NOW).unwrap();
            return vec![(to.clone(), *marker, done.uids[0])];
        }
        Op::Flag { place: at, markers, flags } => {
            let at = place(store, at);
            let change = FlagChange { op: FlagOp::Replace, flags: Flags(*flags), keywords: Vec::new() };
            store.store_flags(at.0, at.1, &named(store, at, markers), &change, None).unwrap();
        }
        Op::Acl { place: at, rights } => {
            let at = place(store, at);
            store.change_acl(at.0, at.1, READER, AclChange::Replace(Rights(*rights))).unwrap();
        }
        Op::Expunge { place: at, markers } => {
            let at = place(store, at);
            store.remove(at.0, at.1, &named(store, at, markers), NOW).unwrap();
        }
        Op::Expire { place: at, markers } => {
            let at = place(store, at);
            let view = store.view(at.0).unwrap();
            let (userid, row) = (view.account().unwrap().userid, view.folder(at.1).unwrap().unwrap());
            let chosen =
                Chosen { userid, path: view.path(at.1).unwrap(), partition: row.partition, flags: Flags::SEEN };
            drop(view);
            store.remove_chosen(at.0, at.1, &named(store, at, markers), &chosen, NOW).unwrap();
        }
        Op::Maildrop { place: at, seen, deleted } => {
            let at = place(store, at);
            let (seen, deleted) = (named(store, at, seen), named(store, at, deleted));
            store.close_maildrop(at.0, at.1, &seen, &deleted, NOW).unwrap();
        }
        Op::Restore { place: at } => {
            let at = place(store, at);
            store.restore(at.0, at.1, 0, NOW).unwrap();
        }
        Op::Purge { place: at } => {
            let at = place(store, at);
            store.purge(at.0, at.1, i64::MAX).unwrap();
        }
        Op::Create { place: (user, name) } => {
            store.folder_create(account(store, user), &path(name), &CreateOptions::default(), NOW).unwrap();
        }
        Op::Delete { place: (user, name) } => store.folder_delete(account(store, user), &path(name), NOW).unwrap(),
        Op::Rename { from: (user, name), to } => {
            store.folder_rename(account(store, user), &path(name), &path(to), NOW).unwrap();
        }
        Op::InboxRename { user, to } => {
            store.folder_rename(account(store, user), &FolderPath::inbox(), &path(to), NOW).unwrap();
        }
        Op::UserCreate { user } => {
            store.account_create(user, None, NOW).unwrap();
        }
        Op::UserRename { user, to } => store.account_rename(account(store, user), to, NOW).unwrap(),
        Op::UserDelete { user } => store.account_delete(account(store, user), NOW).unwrap(),
        Op::Partition { user, folder, to } => {
            let folder = folder.as_ref().map(|folder| place(store, &(user.clone(), folder.clone())).1);
            store.move_partition(account(store, user), folder, to).unwrap();
        }
        Op::Settle => {
            settle(store);
        }
    }
    Vec::new()
}

/// Settling as a start after an unclean stop does it; how many links were made again.
pub fn settle(store: &Store) -> usize {
    store.settle().unwrap().relinked
}

/// Carries a script out, one acknowledgement an operation.
pub fn work(root: &Path, script: &[Op]) {
    let store = Store::open(settings(root)).unwrap();
    let rules = QuotaRules { enforce: false, warn_every_s: Some(0), ..QuotaRules::default() };
    store.follow_quota(Box::new(move || rules));
    say("READY");
    for (number, op) in script.iter().enumerate() {
        let gave = perform(&store, op);
        let told: Vec<String> =
            gave.iter().map(|((user, folder), marker, uid)| format!("\t{user}\t{folder}\t{marker}\t{uid}")).collect();
        say(&format!("ACK\t{number}{}", told.concat()));
    }
    say("DONE");
}

/// Brings the store in order as the next start (or, with `by_use`, the next user of each account) does, and tells everything that is in it.
pub fn verify(root: &Path, by_use: bool) {
    let store = Store::open(settings(root)).unwrap();
    if by_use {
        let nothing = FlagChange { op: FlagOp::Add, flags: Flags::SEEN, keywords: Vec::new() };
        for (_, account) in store.accounts().unwrap() {
            match store.store_flags(account, FolderId::INBOX, &UidSet::new(), &nothing, None) {
                // A deletion was finished.
                Ok(_) | Err(msgstore::store::StoreError::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    } else {
        settle(&store);
        store.finish_intents().unwrap();
    }
    settle(&store);
    for finding in store.check(Depth { content: true }).unwrap() {
        say(&format!("FINDING\t{finding}"));
    }
    for (user, account) in store.accounts().unwrap() {
        let owner = store.view(account).unwrap().account().unwrap();
        say(&format!("USER\t{user}\t{}", owner.partition));
        let folders = store.view(account).unwrap().folders().unwrap();
        for (name, row) in folders {
            tell(&store, root, (&user, account), &name, &row);
        }
    }
    say("END");
}

fn tell(store: &Store, root: &Path, (user, account): (&str, AccountId), name: &FolderPath, row: &Folder) {
    let rights = row.acl.entry(READER).0;
    say(&format!("FOLDER\t{user}\t{name}\t{}\t{}\t{}\t{rights}", row.partition, row.uidvalidity, row.noselect));
    for (nickname, partition) in settings(root).partitions {
        let dir = partition.join(layout::folder_directory(user, name));
        let own = std::fs::read_dir(&dir).map_or(0, |entries| {
            entries.filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('=')).count()
        });
        if nickname != row.partition && own != 0 {
            say(&format!("FINDING\t{} is left over", dir.display()));
        }
    }
    let at = (account, row.id);
    for (uid, flags) in uids(store, at) {
        let text = text(store, at, uid);
        let marker = marker_of(&text).unwrap();
        if text != content(marker) {
            say(&format!("FINDING\t{user}/{name} {uid} holds {text:?}"));
        }
        say(&format!("MSG\t{user}\t{name}\t{uid}\t{marker}\t{}", flags.0));
    }
    let view = store.view(account).unwrap();
    let dir = view.folder_dir(row.id).unwrap();
    view.gone(row.id, &mut |gone| {
        if gone.expunged_s > 0 && !gone.purging {
            let bytes = std::fs::read_to_string(dir.join(layout::message_file(gone.message.uid))).unwrap_or_default();
            if let Some(marker) = marker_of(&bytes) {
                say(&format!("GONE\t{user}\t{name}\t{marker}\t{}", gone.flags.0));
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
}
