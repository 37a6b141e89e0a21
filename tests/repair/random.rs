//! Random damage to store.idx and to rows, with fixed seeds: the repair always ends, the store is clean, every message is there.
//! `MSGSTORE_DAMAGE_RUNS` (default 6) and `MSGSTORE_DAMAGE_SEED`.

use std::collections::BTreeSet;
use std::fs;

use msgstore::store::check::Depth;
use msgstore::store::repair::How;
use msgstore::store::spoil::Row;
use msgstore::store::{FolderId, Store};

use super::Made;
use super::picture::Picture;
use crate::crash::Chance;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Mailbox, UID and content of every message.
fn messages(store: &Store) -> BTreeSet<(String, u32, String)> {
    let picture = Picture::of(store);
    let mailboxes = picture.mailboxes.into_iter();
    mailboxes
        .flat_map(|(name, mailbox)| {
            mailbox.messages.into_iter().map(move |(uid, message)| (name.clone(), uid, message.guid))
        })
        .collect()
}

fn damage(made: &Made, chance: &mut Chance) -> String {
    let folders = [made.inbox, made.work, made.deep, made.sent];
    let folder = folders[usize::try_from(chance.below(4)).unwrap()];
    let uid = u32::try_from(chance.below(8)).unwrap() + 1;
    let remove = chance.below(2) == 0;
    let row = match chance.below(12) {
        0 => Row::Message(folder, uid),
        1 => Row::State(folder, uid),
        2 => Row::Folder(folder),
        3 => Row::Name(FolderId::TOP, "Work"),
        4 => Row::Keyword(u8::try_from(chance.below(2)).unwrap()),
        5 => Row::Subscription("Sent"),
        _ => {
            let path = made.dir_of_if_known(folder).map(|dir| dir.join("store.idx"));
            let Some(path) = path.filter(|path| path.exists()) else { return String::new() };
            let mut bytes = fs::read(&path).unwrap();
            let len = bytes.len() as u64;
            let what = match chance.below(4) {
                0 => {
                    fs::remove_file(&path).unwrap();
                    return format!("{} removed", path.display());
                }
                1 => {
                    bytes.truncate(usize::try_from(chance.below(len.max(1))).unwrap());
                    "truncated"
                }
                _ => {
                    for _ in 0..=chance.below(40) {
                        if len > 0 {
                            bytes[usize::try_from(chance.below(len)).unwrap()] ^= 1 << chance.below(8);
                        }
                    }
                    "flipped"
                }
            };
            fs::write(&path, bytes).unwrap();
            return format!("{} {what}", path.display());
        }
    };
    // A row that is not there (any more) cannot be damaged.
    match made.store.spoil_row(made.joe, row, remove) {
        Ok(()) => format!("{row:?} {}", if remove { "removed" } else { "flipped" }),
        Err(_) => String::new(),
    }
}

impl Made {
    fn dir_of_if_known(&self, folder: FolderId) -> Option<std::path::PathBuf> {
        self.store.view(self.joe).unwrap().folder_dir(folder).ok()
    }
}

#[test]
fn random_damage_is_repaired_and_no_message_is_lost() {
    let (runs, seed) = (number("MSGSTORE_DAMAGE_RUNS", 6), number("MSGSTORE_DAMAGE_SEED", 20_260_612));
    for run in 0..runs {
        let seed = seed.wrapping_add(run);
        let mut chance = Chance(seed);
        let made = Made::new();
        let before = messages(&made.store);
        let done: Vec<String> = (0..=chance.below(6)).map(|_| damage(&made, &mut chance)).collect();
        let said = made.repair(How { content: true, ..How::default() });
        let left = made.store.check(Depth { content: true }).unwrap();
        assert!(left.is_empty(), "seed {seed}: {done:#?}\nleft {left:#?}\nsaid {said:#?}");
        let after = messages(&made.store);
        assert_eq!(
            before.difference(&after).collect::<Vec<_>>(),
            Vec::<&_>::new(),
            "seed {seed}: {done:#?}\n{said:#?}"
        );
    }
    eprintln!("figures: repair: {runs} stores with random damage, seed {seed}");
}
