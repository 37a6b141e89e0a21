//! imexpire is killed at any moment, again and again: only what the rule takes ever goes, and the next run finishes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use msgstore::store::{Flags, Links, UidSet};

use super::letter;
use crate::crash::Chance;
use crate::instance::Instance;

const USERS: usize = 6;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn mailboxes() -> Vec<String> {
    (0..USERS).flat_map(|user| ["INBOX", "Work"].map(|folder| format!("user/u{user}/{folder}"))).collect()
}

#[test]
fn killed_at_any_moment() {
    let kills = number("MSGSTORE_EXPIRE_KILLS", 10);
    let seed = number("MSGSTORE_CRASH_SEED", 20_261_201);
    let it = Instance::with(&[("store.cleanupage", "0")]);
    let users: Vec<String> = (0..USERS).map(|at| format!("u{at}")).collect();
    it.accounts(&users.iter().map(String::as_str).collect::<Vec<_>>());
    it.rules("R.folderpattern: user/*\nR.seen: and\nR.messagedays: 10\n");
    let mut chance = Chance(seed | 1);
    let mut stay: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut typical = Duration::from_millis(40);
    let (mut killed, mut runs) = (0, 0);
    while killed < kills {
        // New mail in each mailbox: some that goes, some that is too new or unseen.
        for mailbox in mailboxes() {
            let letters = [
                letter("goes").old(11).flags(Flags::SEEN),
                letter("new").flags(Flags::SEEN),
                letter("goes too").old(10).flags(Flags::SEEN),
                letter("unseen").old(99),
            ];
            let uids = it.put(&mailbox, &letters);
            stay.entry(mailbox).or_default().extend([uids[1], uids[3]]);
        }
        loop {
            runs += 1;
            assert!(runs < 50 * kills + 500, "only {killed} kills in {runs} runs");
            let mut child =
                it.command("imexpire", &["-r", "3"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(chance.below(u64::try_from(typical.as_micros()).unwrap())));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            killed += u64::from(!status.success());
            // About two of three are to be killed, however fast the machine is.
            typical = if status.success() { typical * 7 / 8 } else { typical * 17 / 16 }.max(Duration::from_millis(1));
            let mut left = 0;
            for (mailbox, kept) in &stay {
                let there: UidSet = it.uids(mailbox).into_iter().collect();
                assert!(
                    kept.iter().all(|uid| there.contains(*uid)),
                    "{mailbox}: what the rule does not take is gone (seed {seed})"
                );
                left += there.len() - kept.len();
            }
            if left == 0 || status.success() {
                break;
            }
        }
    }
    it.run("imexpire", &[]).ok();
    for (mailbox, kept) in &stay {
        assert_eq!(it.uids(mailbox), *kept, "{mailbox}");
        let (account, folder) = it.mailbox(mailbox);
        assert_eq!(
            it.store().view(account).unwrap().purge_due(folder, i64::MAX, &mut Links::default()).unwrap().messages,
            0,
            "{mailbox}"
        );
    }
    it.run("imexpire", &["-n"]).ended(0);
    eprintln!("figures: imexpire: {killed} kills in {runs} runs, seed {seed}");
}
