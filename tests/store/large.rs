//! A large folder, changed at random in large pieces and compared with a picture of what it should hold. `MSGSTORE_LARGE_MESSAGES` sets the size,
//! `MSGSTORE_LARGE_SEED` what is done.

use std::collections::BTreeMap;
use std::io::Read;

use msgstore::store::{AccountId, FlagChange, FlagOp, Flags, FolderId, NewMessage, Staged, StateRun, Uid, UidSet};

use super::{Fixture, NOW, message};

/// Messages in one append.
const TOGETHER: u32 = 500;
/// Changes after the folder was filled.
const STEPS: u32 = 24;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// What a folder should hold: the number in each message's subject, and its flags.
type Picture = BTreeMap<Uid, (u32, Flags)>;

struct Place {
    id: FolderId,
    picture: Picture,
}

fn text(number: u32) -> String {
    format!("Subject: {number}\r\nX-Filler: {}\r\n\r\nbody {number}\r\n", "-".repeat(number as usize % 60))
}

fn fill(f: &Fixture, joe: AccountId, place: &mut Place, count: u32) {
    for first in (0..count).step_by(TOGETHER as usize) {
        let numbers = first..count.min(first + TOGETHER);
        let staged: Vec<Staged> = numbers.clone().map(|number| f.stage(&text(number))).collect();
        let items: Vec<NewMessage<'_>> = staged.iter().map(|staged| message(staged, Flags::NONE)).collect();
        let uids = f.store.append(joe, place.id, &items, NOW).unwrap().uids;
        place.picture.extend(uids.into_iter().zip(numbers).map(|(uid, number)| (uid, (number, Flags::NONE))));
    }
}

/// Some of the UIDs: a range of them, or every so many.
fn choose(chance: &mut Chance, picture: &Picture) -> UidSet {
    let count = u32::try_from(picture.len()).unwrap();
    let (from, length) = (chance.below(count), 1 + chance.below(count / 4 + 1));
    let every = if chance.below(2) == 0 { 1 } else { 2 + chance.below(5) };
    picture.keys().copied().skip(from as usize).take(length as usize).step_by(every as usize).collect()
}

fn transfer(from: &Picture, pairs: &[(Uid, Uid)], to: &mut Picture) {
    to.extend(pairs.iter().map(|(old, new)| (*new, from[old])));
}

fn step(f: &Fixture, joe: AccountId, chance: &mut Chance, places: &mut [Place; 2]) {
    let [one, other] = places;
    let (from, to) = if other.picture.is_empty() || chance.below(3) > 0 { (one, other) } else { (other, one) };
    let uids = choose(chance, &from.picture);
    let (source, target) = ((joe, from.id), (joe, to.id));
    match chance.below(6) {
        0..3 => {
            let flags = [Flags::SEEN, Flags::FLAGGED, Flags::DELETED][chance.below(3) as usize];
            let op = [FlagOp::Add, FlagOp::Remove, FlagOp::Replace][chance.below(3) as usize];
            let change = FlagChange { op, flags, keywords: Vec::new() };
            f.store.store_flags(joe, from.id, &uids, &change, None).unwrap();
            for uid in uids.iter() {
                let old = &mut from.picture.get_mut(&uid).unwrap().1;
                *old = match op {
                    FlagOp::Add => *old | flags,
                    FlagOp::Remove => old.without(flags),
                    FlagOp::Replace => flags,
                };
            }
        }
        3 => {
            let copied = f.store.copy(source, &uids, target, NOW).unwrap();
            assert_eq!(copied.pairs.len() as u64, u64::from(uids.len() as u32));
            transfer(&from.picture, &copied.pairs, &mut to.picture);
        }
        4 => {
            let moved = f.store.move_messages(source, &uids, target, NOW).unwrap();
            transfer(&from.picture, &moved.pairs, &mut to.picture);
            from.picture.retain(|uid, _| !uids.contains(*uid));
        }
        _ => {
            f.store.expunge(joe, from.id, None, NOW).unwrap();
            from.picture.retain(|_, (_, flags)| !flags.contains(Flags::DELETED));
            f.store.purge(joe, from.id, NOW + 1).unwrap();
        }
    }
}

/// Compares the folder with the picture: every state, and the file of one message in `every`.
fn compare(f: &Fixture, joe: AccountId, place: &Place, every: usize) {
    let view = f.store.view(joe).unwrap();
    let mut found: Vec<(Uid, Flags)> = Vec::new();
    let mut visit = |run: StateRun| found.extend((run.first..=run.last()).map(|uid| (uid, run.flags)));
    view.states(place.id, 0..=Uid::MAX, &mut visit).unwrap();
    let row = view.folder(place.id).unwrap().unwrap();
    drop(view);
    let expected: Vec<(Uid, Flags)> = place.picture.iter().map(|(uid, (_, flags))| (*uid, *flags)).collect();
    let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{} messages, {} expected; the first that differ: {first:?}",
        found.len(),
        expected.len()
    );
    assert_eq!(row.exists as usize, found.len());
    assert_eq!(row.unseen as usize, found.iter().filter(|(_, flags)| !flags.contains(Flags::SEEN)).count());
    for (uid, (number, _)) in place.picture.iter().step_by(every) {
        let mut read = String::new();
        f.store.open_body(joe, place.id, *uid).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, text(*number), "message {uid}");
    }
}

#[test]
fn a_large_folder_is_what_was_done_to_it() {
    let (count, seed) = (number("MSGSTORE_LARGE_MESSAGES", 2000), number("MSGSTORE_LARGE_SEED", 20_261_123));
    let f = Fixture::new();
    let joe = f.account("joe");
    let mut places = [FolderId::INBOX, f.folder(joe, "Other")].map(|id| Place { id, picture: Picture::new() });
    fill(&f, joe, &mut places[0], u32::try_from(count).unwrap());
    f.store.settle().unwrap();
    let mut chance = Chance(seed);
    for _ in 0..STEPS {
        step(&f, joe, &mut chance, &mut places);
        places.iter().for_each(|place| compare(&f, joe, place, 997));
    }
    places.iter().for_each(|place| compare(&f, joe, place, 7));
    f.check();
    let left: usize = places.iter().map(|place| place.picture.len()).sum();
    eprintln!("figures: large folder: {count} messages, {STEPS} changes, {left} messages at the end, seed {seed}");
}
