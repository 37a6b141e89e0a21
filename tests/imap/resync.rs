//! CONDSTORE and QRESYNC (RFC 7162): a client that resynchronises from what it remembers has the same picture as one that fetches everything.

use std::collections::BTreeMap;

use super::model::{Random, between, number};
use super::{Client, Daemon};
use msgstore::store::FolderId;

/// The flags of the messages by UID, without `\Recent`.
type Flags = BTreeMap<u32, Vec<String>>;

fn flags(list: &str) -> Vec<String> {
    let mut flags: Vec<String> =
        list.split(' ').filter(|flag| !matches!(*flag, "" | "\\Recent")).map(str::to_owned).collect();
    flags.sort();
    flags
}

/// What a client remembers, and its connection.
struct Remembering {
    client: Client,
    uidvalidity: u32,
    modseq: u64,
    messages: Flags,
    /// Every message up to this UID was fetched.
    fetched_to: u32,
}

impl Remembering {
    /// Enables QRESYNC and opens INBOX without remembering anything.
    fn begin(daemon: &Daemon) -> Remembering {
        let mut it = Remembering {
            client: daemon.login("joe"),
            uidvalidity: 0,
            modseq: 0,
            messages: Flags::new(),
            fetched_to: 0,
        };
        it.ask("enable QRESYNC");
        it.ask("select INBOX");
        it.fetch_new();
        it
    }

    /// The connection is lost; a new one goes on from what is remembered.
    fn again(&mut self, daemon: &Daemon, parameters: &str) {
        self.client = daemon.login("joe");
        self.ask("enable QRESYNC");
        let (uidvalidity, modseq) = (self.uidvalidity, self.modseq);
        self.ask(&format!("select INBOX (QRESYNC ({uidvalidity} {modseq}{parameters}))"));
        self.fetch_new();
    }

    /// New messages are announced by their number alone: a client asks for them.
    fn fetch_new(&mut self) {
        let from = self.fetched_to + 1;
        for line in self.ask(&format!("uid fetch {from}:* (flags modseq)")) {
            if let Some(uid) = between(&line, "FETCH (UID ", ' ') {
                self.fetched_to = self.fetched_to.max(uid.parse().unwrap());
            }
        }
    }

    /// Gives a command, and understands its responses as section 6 of the RFC has it.
    fn ask(&mut self, command: &str) -> Vec<String> {
        let lines = self.client.ask(command);
        let (mut highest, mut code) = (self.modseq, None);
        for line in &lines {
            if let Some(modseq) = between(line, "[HIGHESTMODSEQ ", ']') {
                code = Some(modseq.parse().unwrap());
            } else if let Some(uidvalidity) = between(line, "* OK [UIDVALIDITY ", ']') {
                self.uidvalidity = uidvalidity.parse().unwrap();
            } else if let Some(set) = line.strip_prefix("* VANISHED ") {
                let earlier = set.strip_prefix("(EARLIER) ");
                for uid in super::model::set(earlier.unwrap_or(set)) {
                    let known = self.messages.remove(&uid).is_some();
                    assert!(known || earlier.is_some() || uid > self.fetched_to, "{command}: {line}");
                }
            } else if line.contains(" FETCH (") {
                match between(line, "MODSEQ (", ')') {
                    Some(modseq) => highest = highest.max(modseq.parse().unwrap()),
                    None => assert!(!line.contains("FLAGS ("), "{command}: {line}"),
                }
                let uid: u32 = between(line, "UID ", ' ').unwrap().trim_end_matches(')').parse().unwrap();
                if let Some(list) = between(line, "FLAGS (", ')') {
                    self.messages.insert(uid, flags(list));
                }
            }
            assert!(!line.ends_with(" EXPUNGE"), "{command}: {line}");
        }
        let opened = command.starts_with("select");
        self.modseq = if opened { code.unwrap() } else { code.unwrap_or(highest) };
        lines
    }

    /// Sets a keyword or clears it, perhaps unless somebody changed the message; what the answer does not refuse is known to be done.
    fn mark(&mut self, uid: u32, since: Option<u64>) {
        let mine = "mine".to_owned();
        let Some(mut after) = self.messages.get(&uid).cloned() else { return };
        let sign = if after.contains(&mine) { '-' } else { '+' };
        after.retain(|flag| *flag != mine);
        if sign == '+' {
            after.push(mine);
            after.sort();
        }
        let modifier = since.map_or(String::new(), |since| format!("(unchangedsince {since}) "));
        let lines = self.ask(&format!("uid store {uid} {modifier}{sign}flags.silent (mine)"));
        let refused = lines.last().unwrap().contains("[MODIFIED ");
        let told = lines.iter().any(|line| line.contains("FLAGS (") && line.contains(&format!("UID {uid} ")));
        if let Some(known) = self.messages.get_mut(&uid).filter(|_| !refused && !told) {
            *known = after;
        }
    }

    /// One of the things that a client does while it is connected, or a loss of the connection.
    fn turn(&mut self, random: &mut Random, daemon: &Daemon) {
        let count = self.messages.len() as u64;
        let some = *self.messages.keys().nth(random.below(count.max(1)) as usize).unwrap_or(&1);
        match random.below(10) {
            0 => drop(self.ask("noop")),
            // Expunges wait until this is over: HIGHESTMODSEQ lies below them.
            1 if count > 2 => drop(self.ask("fetch 1:2 (uid modseq)")),
            2 => drop(self.ask(&format!("uid fetch 1:* (flags) (changedsince {} vanished)", self.modseq))),
            3 => self.mark(some, Some(self.modseq)),
            4 => self.mark(some, Some(self.modseq / 2)),
            5 => self.mark(some, None),
            6 => self.fetch_new(),
            // Sets \Seen: its flags come unasked.
            7 => drop(self.ask(&format!("uid fetch {some} body[text]"))),
            8 => self.again(daemon, ""),
            _ => self.again(daemon, &format!(" 1:{}", self.fetched_to.max(1))),
        }
    }
}

/// What another client changes.
fn change(random: &mut Random, client: &mut Client, appended: &mut u64) {
    let (one, other) = (1 + random.below(*appended + 1), 1 + random.below(*appended + 1));
    let command = match random.below(10) {
        0..=1 => {
            *appended += 1;
            "append INBOX (\\Draft) {6+}\r\na: 1\r\n".to_owned()
        }
        2 => format!("uid store {one}:{other} +flags.silent (\\Flagged)"),
        3 => format!("uid store {one}:{other} -flags (\\Flagged \\Draft)"),
        4 => format!("uid store {one} flags (\\Seen $work)"),
        5..=6 => format!("uid store {one} +flags.silent (\\Deleted)"),
        7 => "expunge".to_owned(),
        8 => format!("uid move {one} Other"),
        _ => {
            // As many as there are may come: the numbers drawn above need not exist.
            *appended += 3;
            format!("uid copy {one}:{} INBOX", one + 2)
        }
    };
    client.ask(&command);
}

/// The mailbox as a client sees it that knows nothing.
fn fetched(daemon: &Daemon) -> Flags {
    let mut client = daemon.login("joe");
    client.ask("examine INBOX");
    let lines = client.ask("uid fetch 1:* flags");
    let one =
        |line: &String| Some((between(line, "(UID ", ' ')?.parse().unwrap(), flags(between(line, "FLAGS (", ')')?)));
    lines.iter().filter_map(one).collect()
}

#[test]
fn who_remembers_ends_with_the_mailbox() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (seed, turns) = (number("MSGSTORE_MODEL_SEED", 20_261_124), number("MSGSTORE_MODEL_TURNS", 120));
    let mut changer = daemon.login("joe");
    changer.ask("create Other");
    for _ in 0..20 {
        changer.append("INBOX", "", "a: 1\r\n");
    }
    changer.ask("select INBOX");
    let mut appended = 20;
    let mut random = Random(seed);
    let mut it = Remembering::begin(&daemon);
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    let mut changes = 0;
    for round in 0..4u64 {
        // Both at once.
        let mut theirs = Random(seed.wrapping_add(7919 * (round + 1)));
        let changing = std::thread::spawn(move || {
            for _ in 0..turns / 4 {
                change(&mut theirs, &mut changer, &mut appended);
            }
            (changer, appended)
        });
        let mut done = 0;
        while done < turns / 8 || !changing.is_finished() {
            it.turn(&mut random, &daemon);
            done += 1;
        }
        (changer, appended) = changing.join().unwrap();
        changes += turns / 4;
        it.ask("noop");
        it.fetch_new();
        assert_eq!(it.messages, fetched(&daemon), "seed {seed}, round {round}: connected all the time");
        // One after the other.
        for step in 0..turns / 8 {
            for _ in 0..random.below(6) {
                change(&mut random, &mut changer, &mut appended);
                changes += 1;
            }
            if step % 5 == 4 {
                // The store forgets some of what was expunged, perhaps more than this client has seen.
                let modseq = it.modseq + random.below(5);
                store.forget_expunged(account, FolderId::INBOX, modseq).unwrap();
            }
            it.turn(&mut random, &daemon);
            it.again(&daemon, "");
            assert_eq!(
                it.messages,
                fetched(&daemon),
                "seed {seed}, round {round}, step {step}: from what is remembered"
            );
        }
    }
    eprintln!("figures: resync: {changes} changes, {} messages at the end, seed {seed}", it.messages.len());
}

#[test]
fn a_store_that_has_forgotten_tells_of_all_that_is_not_there() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    for _ in 0..9 {
        client.append("INBOX", "", "a: 1\r\n");
    }
    client.ask("select INBOX");
    for uid in [2, 4, 8] {
        client.ask(&format!("uid store {uid} +flags.silent (\\Deleted)"));
        client.ask("expunge");
    }
    client.ask("enable QRESYNC");
    let opened = client.ask("select INBOX");
    let told = |code: &str| opened.iter().find_map(|line| between(line, code, ']')).unwrap().to_owned();
    let (uidvalidity, modseq) = (told("[UIDVALIDITY "), told("[HIGHESTMODSEQ ").parse::<u64>().unwrap());
    let mut vanished = |command: &str| {
        let lines = client.ask(command);
        assert!(lines.last().unwrap().starts_with("OK "), "{lines:?}");
        lines.iter().find_map(|line| line.strip_prefix("* VANISHED (EARLIER) ").map(str::to_owned)).unwrap_or_default()
    };
    let since = modseq - 2;
    let select = |rest: &str| format!("select INBOX (QRESYNC ({uidvalidity} {since}{rest}))");
    assert_eq!(vanished(&select("")), "8");
    assert_eq!(vanished(&select(" 1:7")), "");
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    assert_eq!(store.forget_expunged(account, FolderId::INBOX, since).unwrap(), 2);
    // Exactly as far back as is remembered.
    assert_eq!(vanished(&select("")), "8");
    assert_eq!(store.forget_expunged(account, FolderId::INBOX, u64::MAX).unwrap(), 1);
    assert_eq!(vanished(&select("")), "2,4,8");
    assert_eq!(vanished(&select(" 3:9")), "4,8");
    // Number 2 still is UID 3: what is below it the client knows; number 5 is not UID 6.
    assert_eq!(vanished(&select(" 1:9 (2,5 3,6)")), "4,8");
    assert_eq!(vanished(&select(" 1:9 (1,4 9,1)")), "2,4,8");
    assert_eq!(vanished(&format!("uid fetch 1:4294967295 flags (changedsince {since} vanished)")), "2,4,8");
    assert_eq!(vanished(&format!("uid fetch 1:4294967295 flags (changedsince {modseq} vanished)")), "");
}
