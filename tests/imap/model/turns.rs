//! What a session does in a turn, drawn at random, and what else its answer must be.

use std::collections::BTreeSet;

use super::super::Daemon;
use super::session::{Answer, Mode, Session};
use super::wire::{Said, between, set};
use super::world::Counts;

/// Flags that are set and cleared all the time.
const FLAGS: [&str; 7] = ["\\Flagged", "\\Answered", "\\Draft", "\\Seen", "work", "home", "later"];
/// Mailboxes that stay.
const STAYING: [&str; 3] = ["INBOX", "A", "B"];
/// Mailboxes that come and go.
const VOLATILE: [&str; 3] = ["X1", "X2", "X3"];
/// Messages of a mailbox above which more are taken away than come.
const MANY: usize = 80;

impl Session {
    /// One thing that a client does.
    pub fn turn(&mut self, daemon: &Daemon) {
        if self.closed {
            self.connect_again(daemon);
        }
        if self.open.is_none() {
            return self.open_some();
        }
        match self.random.below(44) {
            0..=3 => self.fetch_some(),
            4..=5 => self.fetch_changed(),
            6..=11 => self.store_some(),
            12..=14 => self.delete_some(),
            15..=16 => self.expunge(),
            17..=21 => self.append(),
            22..=24 => self.copy(),
            25..=26 => self.move_some(),
            27 => self.replace(),
            28..=30 => self.search(),
            31..=32 => self.saved(),
            33 => self.sort_or_thread(),
            34..=35 => drop(self.ask("noop")),
            36 => self.idle(),
            37..=38 => self.status(),
            39 => self.pipeline(),
            40 => self.folders(),
            41 => self.leave(),
            42 => self.open_some(),
            _ => self.lose(daemon),
        }
    }

    /// A flag; now and then a keyword that nobody may have used before.
    fn flag(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("new{}", self.random.below(60)),
            _ => FLAGS[self.random.below(FLAGS.len() as u64) as usize].to_owned(),
        }
    }

    fn coin(&mut self) -> bool {
        self.random.below(2) == 0
    }

    /// A mailbox to open or to copy to.
    fn name(&mut self) -> &'static str {
        match self.random.below(10) {
            0..=5 => "INBOX",
            6..=8 => STAYING[1 + self.random.below(2) as usize],
            _ => VOLATILE[self.random.below(3) as usize],
        }
    }

    /// Some messages of which the number and the UID are known.
    fn some(&mut self, most: u64) -> Vec<(u32, u32)> {
        let mut known = self.open.as_ref().map(|open| open.known()).unwrap_or_default();
        let count = 1 + self.random.below(most);
        let mut some = Vec::new();
        while !known.is_empty() && (some.len() as u64) < count {
            let at = self.random.below(known.len() as u64) as usize;
            some.push(known.swap_remove(at));
        }
        some.sort_unstable();
        some
    }

    /// Those of which the content is known, too: only they are taken away.
    fn some_known(&mut self, most: u64) -> Vec<(u32, u32)> {
        let some = self.some(most);
        let uidvalidity = self.uidvalidity();
        some.into_iter().filter(|(_, uid)| self.world.is_known(uidvalidity, *uid)).collect()
    }

    fn uidvalidity(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.opened.uidvalidity)
    }

    fn writable(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.opened.writable)
    }

    /// `uid WORD` with UIDs, or `WORD` with numbers.
    fn named(&mut self, word: &str, some: &[(u32, u32)]) -> String {
        let uid = self.coin();
        let pick = |pair: &(u32, u32)| if uid { pair.1.to_string() } else { pair.0.to_string() };
        let list: Vec<String> = some.iter().map(pick).collect();
        format!("{}{word} {}", if uid { "uid " } else { "" }, list.join(","))
    }

    /// NO is allowed for these codes alone, and where the mailbox may have been deleted; where the connection has ended, all is.
    fn allow(&self, answer: &Answer, codes: &[&str]) {
        let deleted = self.volatile && answer.tagged.starts_with("NO [NONEXISTENT]");
        let allowed = self.closed || answer.ok() || deleted || codes.iter().any(|code| answer.tagged.contains(code));
        assert!(allowed, "{}", answer.tagged);
    }

    pub fn open_some(&mut self) {
        if self.mode == Mode::Plain && self.random.below(3) == 0 {
            let (mode, word) = if self.coin() { (Mode::Condstore, "CONDSTORE") } else { (Mode::Qresync, "QRESYNC") };
            // News of the mailbox come behind it, and are told as it was enabled.
            self.mode = mode;
            let answer = self.ask(&format!("enable {word}"));
            self.allow(&answer, &[]);
        }
        let (name, writable, resync) = (self.name(), self.random.below(5) > 0, self.coin());
        self.select(name, writable, resync);
    }

    fn leave(&mut self) {
        let unselect = self.coin();
        self.remember();
        let answer = self.ask(if unselect { "unselect" } else { "close" });
        self.allow(&answer, &[]);
    }

    /// The connection is lost, perhaps while a command is on its way.
    fn lose(&mut self, daemon: &Daemon) {
        if let Some(open) = self.open.as_ref().filter(|_| self.mode == Mode::Qresync && self.random.0 & 64 == 0) {
            // Expunges wait at the end of this command: what is remembered lies below them.
            let name = open.name.clone();
            self.ask("fetch 1:* (uid flags modseq)");
            self.remember();
            self.connect_again(daemon);
            self.mode = Mode::Qresync;
            self.ask("enable QRESYNC");
            return self.select(&name, true, true);
        }
        self.remember();
        if self.coin() {
            let text = "a: 1\r\n\r\nnot whole";
            let commands = [
                "uid fetch 1:* body.peek[]",
                "append INBOX {20+}\r\n",
                "uid search body zzz",
                "sort (subject) us-ascii all",
            ];
            let command = commands[self.random.below(4) as usize];
            self.send(&format!("{command}{}", if command.starts_with("append") { &text[..12] } else { "" }));
        }
        self.connect_again(daemon);
    }

    fn fetch_some(&mut self) {
        let count = self.open.as_ref().map_or(0, |open| open.slots.len()) as u64;
        if count == 0 {
            return;
        }
        let items = [
            "(uid flags)",
            "(uid flags modseq envelope rfc822.size)",
            "(uid body[])",
            "(uid body.peek[header.fields (subject)] emailid)",
            "(uid envelope bodystructure)",
            "(uid body.peek[text] flags)",
            "(uid rfc822.header)",
        ];
        let mut items = items[self.random.below(items.len() as u64) as usize];
        if self.mode == Mode::Plain && items.contains("modseq") {
            items = "(uid flags envelope)";
        }
        let (from, to) = (1 + self.random.below(count), 1 + self.random.below(count));
        let command = match self.random.below(3) {
            0 => format!("fetch {from}:{to} {items}"),
            1 => format!("uid fetch 1:* {items}"),
            _ => {
                let some = self.some(4);
                if some.is_empty() {
                    return;
                }
                format!("{} {items}", self.named("fetch", &some))
            }
        };
        let answer = self.ask(&command);
        self.allow(&answer, &["[EXPUNGEISSUED]"]);
    }

    fn fetch_changed(&mut self) {
        let modseq = self.open.as_ref().map_or(0, |open| open.modseq);
        if self.mode == Mode::Plain || modseq == 0 {
            return;
        }
        let since = modseq - self.random.below(modseq.min(20));
        let vanished = if self.mode == Mode::Qresync { " vanished" } else { "" };
        let answer = self.ask(&format!("uid fetch 1:* (flags) (changedsince {since}{vanished})"));
        self.allow(&answer, &[]);
    }

    fn store_some(&mut self) {
        let some = self.some(5);
        if some.is_empty() || !self.writable() {
            return;
        }
        let (flag, silent) = (self.flag(), self.coin());
        let op = ["+", "-", ""][self.random.below(3) as usize];
        let modseq = self.open.as_ref().map_or(0, |open| open.modseq);
        let conditional = self.mode != Mode::Plain && self.coin();
        let since = if self.coin() { modseq } else { modseq.saturating_sub(self.random.below(9)) };
        let modifier = if conditional { format!("(unchangedsince {since}) ") } else { String::new() };
        let command = self.named("store", &some);
        self.store(&command, &some, &modifier, op, silent, &flag);
    }

    /// Changes a flag. Where the server does not tell, the client knows what it has done. True: nothing was refused.
    pub fn store(
        &mut self,
        command: &str,
        some: &[(u32, u32)],
        modifier: &str,
        op: &str,
        silent: bool,
        flag: &str,
    ) -> bool {
        let dot = if silent { ".silent" } else { "" };
        let answer = self.ask(&format!("{command} {modifier}{op}flags{dot} ({flag})"));
        self.allow(&answer, &["[EXPUNGEISSUED]", "[MODIFIED"]);
        let refused = set(between(&answer.tagged, "[MODIFIED ", ']').unwrap_or_default());
        let by_uid = command.starts_with("uid ");
        let uidvalidity = self.uidvalidity();
        let Some(open) = &mut self.open else { return false };
        if !silent {
            return refused.is_empty();
        }
        for (number, uid) in some {
            let told = |it: &&(u32, super::wire::Items)| it.0 == *uid;
            if refused.contains(if by_uid { uid } else { number })
                || answer.fetched.iter().filter(told).any(|(_, items)| items.get("FLAGS").is_some())
            {
                continue;
            }
            let Some(slot) = open.slots.iter_mut().find(|slot| slot.uid == Some(*uid)) else { continue };
            if op.is_empty() {
                slot.flags = Some(BTreeSet::new());
            }
            let Some(flags) = slot.flags.as_mut() else { continue };
            if op == "-" {
                flags.remove(flag)
            } else {
                flags.insert(flag.to_owned())
            };
            let modseq = answer.fetched.iter().filter(told).find_map(|(_, items)| items.modseq());
            match modseq {
                Some(modseq) => self.world.concluded(uidvalidity, *uid, modseq, flags),
                // Without CONDSTORE nobody tells; with it, what was so already has no new one.
                None if self.mode == Mode::Plain => slot.modseq = None,
                None => {}
            }
        }
        refused.is_empty()
    }

    fn delete_some(&mut self) {
        let few = self.open.as_ref().is_some_and(|open| open.slots.len() < MANY);
        let some = self.some_known(if few { 2 } else { 20 });
        if some.is_empty() || !self.writable() {
            return;
        }
        let uids: Vec<u32> = some.iter().map(|pair| pair.1).collect();
        self.world.doom(self.uidvalidity(), &uids, true);
        let (command, silent) = (self.named("store", &some), self.coin());
        self.store(&command, &some, "", "+", silent, "\\Deleted");
    }

    fn expunge(&mut self) {
        let some = self.some(6);
        if !self.writable() {
            let answer = self.ask("expunge");
            assert!(self.closed || answer.tagged.starts_with("NO [READ-ONLY]"), "{}", answer.tagged);
            return;
        }
        let list: Vec<String> = some.iter().map(|pair| pair.1.to_string()).collect();
        let command = match self.coin() && !some.is_empty() {
            true => format!("uid expunge {}", list.join(",")),
            false => "expunge".to_owned(),
        };
        let answer = self.ask(&command);
        self.allow(&answer, &[]);
        if let Some(open) = self.open.as_ref().filter(|_| answer.ok()) {
            let deleted =
                |slot: &&super::session::Slot| slot.flags.as_ref().is_some_and(|flags| flags.contains("\\Deleted"));
            let named = |slot: &&super::session::Slot| {
                command == "expunge" || list.contains(&slot.uid.unwrap_or(0).to_string())
            };
            // The flags are those of the end of the command: another session may have set one since.
            let left: Vec<_> = open.slots.iter().filter(deleted).filter(named).collect();
            assert!(left.is_empty() || !answer.fetched.is_empty(), "{command} left {left:?}");
        }
    }

    fn append(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.slots.len() > MANY * 2) {
            return;
        }
        let (name, flag) = (self.name(), self.flag());
        let mut command = format!("append {name}");
        let mut contents = Vec::new();
        for _ in 0..=self.random.below(3) {
            let lines = self.random.below(40);
            let (content, text) = self.world.new_content(lines);
            command.push_str(&format!(" ({flag}) {{{}+}}\r\n{text}", text.len()));
            contents.push(content);
        }
        let answer = self.ask(&command);
        self.allow(&answer, &["[TRYCREATE]"]);
        self.appended(&answer.tagged, name, &contents);
    }

    fn appended(&mut self, told: &str, to: &str, contents: &[u32]) {
        let Some(words) = between(told, "[APPENDUID ", ']') else { return };
        let (uidvalidity, uids) = words.split_once(' ').unwrap();
        let (uidvalidity, uids): (u32, _) = (uidvalidity.parse().unwrap(), set(uids));
        if to.starts_with('X') {
            self.world.volatile(uidvalidity);
        }
        assert_eq!(uids.len(), contents.len(), "{told}");
        for (uid, content) in uids.iter().zip(contents) {
            self.world.appended(uidvalidity, *uid, *content);
        }
    }

    fn copied(&mut self, told: &str, target: &str) {
        let Some(words) = between(told, "[COPYUID ", ']') else { return };
        let words: Vec<&str> = words.split(' ').collect();
        let (from, to) = (set(words[1]), set(words[2]));
        assert_eq!(from.len(), to.len(), "{told}");
        let pairs: Vec<(u32, u32)> = from.into_iter().zip(to).collect();
        let uidvalidity: u32 = words[0].parse().unwrap();
        if target.starts_with('X') {
            self.world.volatile(uidvalidity);
        }
        self.world.copied(self.uidvalidity(), uidvalidity, &pairs);
    }

    fn copy(&mut self) {
        let (some, to) = (self.some(4), self.name());
        if some.is_empty() || self.open.as_ref().is_some_and(|open| open.slots.len() > MANY) {
            return;
        }
        let answer = {
            let command = self.named("copy", &some);
            self.ask(&format!("{command} {to}"))
        };
        self.allow(&answer, &["[TRYCREATE]", "[EXPUNGEISSUED]"]);
        self.copied(&answer.tagged, to);
    }

    fn move_some(&mut self) {
        let (some, to) = (self.some_known(3), self.name());
        if some.is_empty() || !self.writable() {
            return;
        }
        let uids: Vec<u32> = some.iter().map(|pair| pair.1).collect();
        self.world.doom(self.uidvalidity(), &uids, false);
        let answer = {
            let command = self.named("move", &some);
            self.ask(&format!("{command} {to}"))
        };
        self.allow(&answer, &["[TRYCREATE]", "[EXPUNGEISSUED]", "[CANNOT]"]);
        for said in &answer.told {
            if let Said::Code(words) = said {
                self.copied(words, to);
            }
        }
    }

    fn replace(&mut self) {
        let (some, to) = (self.some_known(1), self.name());
        if some.is_empty() || !self.writable() {
            return;
        }
        self.world.doom(self.uidvalidity(), &[some[0].1], false);
        let (content, text) = self.world.new_content(3);
        let command = self.named("replace", &some);
        let answer = self.ask(&format!("{command} {to} (\\Seen) {{{}+}}\r\n{text}", text.len()));
        self.allow(&answer, &["[TRYCREATE]", "[EXPUNGEISSUED]"]);
        for said in &answer.told {
            if let Said::Code(words) = said {
                self.appended(words, to, &[content]);
            }
        }
    }

    /// The numbers of an answer to SEARCH or SORT as UIDs, in their order; each is a message.
    fn result(&self, numbers: &[u32], uid: bool) -> Vec<Option<u32>> {
        let Some(open) = &self.open else { return Vec::new() };
        if uid {
            return numbers.iter().map(|uid| Some(*uid)).collect();
        }
        let different: BTreeSet<u32> = numbers.iter().copied().collect();
        assert_eq!(different.len(), numbers.len(), "{numbers:?}");
        numbers.iter().map(|number| open.slots[*number as usize - 1].uid).collect()
    }

    /// A search by content, of which the result is known.
    fn search(&mut self) {
        let some = self.some(1);
        let Some((_, uid)) = some.first() else { return };
        let Some(content) = self.world.content_of(self.uidvalidity(), *uid) else { return };
        let digits = format!("n{:05}", content / 10);
        let key = if self.coin() { format!("subject {digits}") } else { format!("body {digits}") };
        let by_uid = self.coin();
        let answer = self.ask(&format!("{}search {key}", if by_uid { "uid " } else { "" }));
        self.allow(&answer, &[]);
        let Some(numbers) = answer.numbers() else { return };
        let uidvalidity = self.uidvalidity();
        for uid in self.result(numbers, by_uid).into_iter().flatten() {
            let found = self.world.content_of(uidvalidity, uid);
            assert!(found.is_none_or(|found| found / 10 == content / 10), "{key} finds {found:?}");
        }
        let found: BTreeSet<u32> = self.result(numbers, by_uid).into_iter().flatten().collect();
        for (_, uid) in self.open.as_ref().map(|open| open.known()).unwrap_or_default() {
            let wanted = self.world.content_of(uidvalidity, uid).is_some_and(|it| it / 10 == content / 10);
            let missed = wanted && !found.contains(&uid) && self.world.stays(uidvalidity, uid);
            assert!(!missed, "{key} does not find UID {uid}: {found:?}");
        }
    }

    /// `$` stands for what was found, whatever is expunged meanwhile.
    fn saved(&mut self) {
        let flag = ["flagged", "unseen", "keyword work", "all", "subject n0000"][self.random.below(5) as usize];
        let answer = self.ask(&format!("uid search return (save all) {flag}"));
        self.allow(&answer, &[]);
        let Some(words) = answer.words("ESEARCH") else { return };
        let saved = set(words.split_once(" ALL ").map_or("", |(_, all)| all));
        for _ in 0..self.random.below(4) {
            let command = match self.random.below(5) {
                0 => "uid fetch $ (flags)",
                1 => "fetch $ (uid envelope)",
                2 => "noop",
                3 => "uid search return (all) $",
                _ => "search $",
            };
            let answer = self.ask(command);
            self.allow(&answer, &["[EXPUNGEISSUED]"]);
            let mut unfetched = false;
            let found = match (command, answer.words("ESEARCH"), answer.numbers()) {
                (_, Some(words), _) => set(words.split_once(" ALL ").map_or("", |(_, all)| all)),
                (_, None, Some(numbers)) => {
                    let uids = self.result(numbers, false);
                    unfetched = uids.contains(&None);
                    uids.into_iter().flatten().collect()
                }
                ("fetch $ (uid envelope)", ..) => {
                    answer.fetched.iter().filter(|(_, items)| items.get("ENVELOPE").is_some()).map(|it| it.0).collect()
                }
                _ => continue,
            };
            assert!(found.iter().all(|uid| saved.contains(uid)), "{command} has {found:?}, $ is {saved:?}");
            let uidvalidity = self.uidvalidity();
            let missed = saved.iter().find(|uid| !found.contains(uid) && self.world.stays(uidvalidity, **uid));
            assert!(missed.is_none() || unfetched || self.closed, "{command} has {found:?}, $ is {saved:?}");
        }
    }

    fn sort_or_thread(&mut self) {
        let (by_uid, sort) = (self.coin(), self.coin());
        let uid = if by_uid { "uid " } else { "" };
        let rest = if sort { "sort (subject) us-ascii all" } else { "thread references us-ascii all" };
        let answer = self.ask(&format!("{uid}{rest}"));
        self.allow(&answer, &[]);
        let numbers = match (answer.numbers(), answer.words("THREAD")) {
            (Some(numbers), _) => numbers.to_vec(),
            (None, Some(words)) => {
                words.split(['(', ')', ' ']).filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
            }
            _ => return,
        };
        let uidvalidity = self.uidvalidity();
        let contents: Vec<Option<u32>> = self
            .result(&numbers, by_uid)
            .into_iter()
            .map(|uid| uid.and_then(|uid| self.world.content_of(uidvalidity, uid)))
            .collect();
        let known: Vec<u32> = contents.into_iter().flatten().collect();
        assert!(!sort || known.is_sorted(), "by subject: {known:?}");
    }

    fn idle(&mut self) {
        let asked = self.send("idle");
        loop {
            match self.one_line() {
                Some(line) if line == "+ idling" => break,
                Some(line) => assert!(line.starts_with("* BYE "), "{line}"),
                None => break,
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(self.random.below(30)));
        self.send_line("DONE");
        let answer = self.answer(&asked);
        self.allow(&answer, &[]);
    }

    fn status(&mut self) {
        let name = self.name();
        let highest = if self.mode == Mode::Plain { "" } else { " highestmodseq" };
        let asked =
            self.send(&format!("status {name} (uidvalidity uidnext mailboxid messages unseen recent{highest})"));
        let answer = self.answer(&asked);
        self.allow(&answer, &["[NONEXISTENT]"]);
        let Some(words) = answer.words("STATUS") else { return };
        let number = |word: &str| {
            between(words, &format!("{word} "), ' ').map(|n| n.trim_end_matches(')').parse::<u64>().unwrap())
        };
        let small = |word: &str| u32::try_from(number(word).unwrap()).unwrap();
        let (uidvalidity, messages) = (small("UIDVALIDITY"), small("MESSAGES") as usize);
        self.world.mailbox(uidvalidity, between(words, "MAILBOXID (", ')').unwrap(), name.starts_with('X'));
        assert!(small("UNSEEN") as usize <= messages && small("RECENT") as usize <= messages, "{words}");
        let counts = Counts { messages, uidnext: small("UIDNEXT"), highest: number("HIGHESTMODSEQ") };
        self.world.counted(uidvalidity, asked.sent_at(), counts);
    }

    /// Several commands at once: numbers are used by none that comes behind one that may tell of expunges.
    fn pipeline(&mut self) {
        let some = self.some(3);
        if some.is_empty() || !self.writable() {
            return;
        }
        let numbers: Vec<String> = some.iter().map(|pair| pair.0.to_string()).collect();
        let uids: Vec<String> = some.iter().map(|pair| pair.1.to_string()).collect();
        let (numbers, uids, flag) = (numbers.join(","), uids.join(","), self.flag());
        let modseq = if self.mode == Mode::Plain { "" } else { " modseq" };
        let all = [
            format!("fetch {numbers} (uid flags{modseq})"),
            format!("store {numbers} +flags ({flag})"),
            "search unseen".to_owned(),
            format!("uid store {uids} -flags ({flag})"),
            "expunge".to_owned(),
            format!("uid fetch {uids} (flags{modseq} body.peek[header.fields (subject)])"),
            "noop".to_owned(),
        ];
        let from = self.random.below(3) as usize;
        let asked: Vec<_> = all[from..].iter().map(|command| self.send(command)).collect();
        for asked in &asked {
            let answer = self.answer(asked);
            self.allow(&answer, &["[EXPUNGEISSUED]"]);
        }
    }

    /// All messages of INBOX go to another mailbox, which stays.
    fn rename_inbox(&mut self) {
        let uidvalidity = self.uidvalidity();
        self.world.rename_begins(uidvalidity);
        let (number, count) = (self.number, self.commands);
        let answer = self.ask(&format!("rename INBOX Old-{number}-{count}"));
        self.allow(&answer, &[]);
        let answer = self.ask("status INBOX (uidnext)");
        let uidnext = answer.words("STATUS").and_then(|words| between(words, "UIDNEXT ", ')')).unwrap();
        self.world.rename_ends(uidvalidity, uidnext.parse().unwrap());
    }

    /// Mailboxes come, go, and get other names. Sessions that have one open stay with it, or end with it.
    fn folders(&mut self) {
        let inbox = self.open.as_ref().is_some_and(|open| open.name == "INBOX");
        if inbox && self.random.below(12) == 0 {
            return self.rename_inbox();
        }
        let (one, other) = (VOLATILE[self.random.below(3) as usize], VOLATILE[self.random.below(3) as usize]);
        let command = match self.random.below(4) {
            0..=1 => format!("create {one}"),
            2 => format!("rename {one} {other}"),
            _ => format!("delete {one}"),
        };
        let answer = self.ask(&command);
        self.allow(&answer, &["[ALREADYEXISTS]", "[NONEXISTENT]"]);
        if command.starts_with("delete") && self.open.as_ref().is_some_and(|open| open.name.starts_with('X')) {
            // Perhaps it is the one that was open: then nothing is any more.
            (self.open, self.closed) = (None, true);
        }
    }
}
