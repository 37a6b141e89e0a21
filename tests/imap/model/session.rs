//! A session: what its client believes of the mailbox that it has open, and the checks of every response.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::super::Daemon;
use super::Random;
use super::wire::{Items, Said, Wire, between, said};
use super::world::{Counts, Opened, Tick, World};

/// Lines that are shown when something is wrong.
const REMEMBERED: usize = 60;

/// What the client has enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Plain,
    Condstore,
    Qresync,
}

/// A message as it was told; what was not told is not known.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub uid: Option<u32>,
    pub flags: Option<BTreeSet<String>>,
    pub modseq: Option<u64>,
}

/// The mailbox that is open.
pub struct Open {
    pub name: String,
    pub opened: Opened,
    pub slots: Vec<Slot>,
    /// The modification sequence up to which the client knows the mailbox.
    pub modseq: u64,
    pub uidnext: u32,
    /// How many messages there were at first.
    first_count: Option<usize>,
    keywords: BTreeSet<String>,
    /// UIDs told by VANISHED since it was opened.
    pub vanished: BTreeSet<u32>,
}

/// What a client remembers of a mailbox when its connection ends.
pub struct Memory {
    pub uidvalidity: u32,
    pub modseq: u64,
    pub messages: BTreeMap<u32, Slot>,
}

/// A command on its way.
pub struct Asked {
    tag: String,
    pub command: String,
    sent: Tick,
}

impl Asked {
    pub fn sent_at(&self) -> Tick {
        self.sent
    }

    /// RFC 3501 section 7.4.1, RFC 5256 section 3.
    fn may_expunge(&self) -> bool {
        let word = self.command.split(' ').next().unwrap();
        !["fetch", "store", "search", "sort", "thread"].contains(&word)
    }
}

/// An answer: the untagged responses that are no news, and the tagged one without its tag.
#[derive(Debug, Default)]
pub struct Answer {
    pub told: Vec<Said>,
    pub fetched: Vec<(u32, Items)>,
    pub tagged: String,
}

impl Answer {
    pub fn ok(&self) -> bool {
        self.tagged.starts_with("OK")
    }

    pub fn numbers(&self) -> Option<&[u32]> {
        self.told
            .iter()
            .find_map(|said| if let Said::Numbers(numbers) = said { Some(numbers.as_slice()) } else { None })
    }

    pub fn words(&self, wanted: &str) -> Option<&str> {
        self.told.iter().find_map(|said| match said {
            Said::Words(word, behind) if *word == wanted => Some(behind.as_str()),
            _ => None,
        })
    }
}

/// One of the clients.
pub struct Session {
    pub number: u64,
    pub world: Arc<World>,
    pub random: Random,
    pub mode: Mode,
    pub open: Option<Open>,
    /// By mailbox name.
    pub memory: HashMap<String, Memory>,
    pub commands: u64,
    wire: Wire,
    transcript: VecDeque<String>,
    /// The server has ended the connection.
    pub closed: bool,
    /// It has opened a mailbox that may be deleted at any time.
    pub volatile: bool,
}

impl Session {
    pub fn new(daemon: &Daemon, world: &Arc<World>, number: u64, seed: u64) -> Session {
        let random = Random(seed.wrapping_add(number.wrapping_mul(7919)));
        Session {
            number,
            world: Arc::clone(world),
            random,
            mode: Mode::Plain,
            open: None,
            memory: HashMap::new(),
            commands: 0,
            wire: Wire(daemon.login("joe")),
            transcript: VecDeque::new(),
            closed: false,
            volatile: false,
        }
    }

    /// A new connection, on which nothing is enabled.
    pub fn connect_again(&mut self, daemon: &Daemon) {
        self.wire = Wire(daemon.login("joe"));
        (self.open, self.mode, self.closed, self.volatile) = (None, Mode::Plain, false, false);
        self.note("(a new connection)");
    }

    fn note(&mut self, line: &str) {
        if self.transcript.len() >= REMEMBERED {
            self.transcript.pop_front();
        }
        self.transcript.push_back(line.chars().take(400).collect());
    }

    /// What was said last.
    pub fn transcript(&self) -> String {
        self.transcript.iter().map(|line| format!("    {line}\n")).collect()
    }

    /// Sends a command.
    pub fn send(&mut self, command: &str) -> Asked {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.note(&format!("> {tag} {command}"));
        let sent = self.world.now();
        self.wire.send(&format!("{tag} {command}\r\n"));
        Asked { tag, command: command.to_owned(), sent }
    }

    /// Sends what is no command.
    pub fn send_line(&mut self, line: &str) {
        self.wire.send(&format!("{line}\r\n"));
    }

    /// Reads one line and understands it, in a command that is not over.
    pub fn one_line(&mut self) -> Option<String> {
        let line = self.wire.response();
        self.note(&format!("< {}", line.as_deref().unwrap_or("(closed)")));
        line
    }

    /// Sends a command and reads its answer.
    pub fn ask(&mut self, command: &str) -> Answer {
        let asked = self.send(command);
        self.answer(&asked)
    }

    /// Reads the answer to a command, and checks everything in it. Where the connection ends it is empty.
    pub fn answer(&mut self, asked: &Asked) -> Answer {
        let mut answer = Answer::default();
        let mut code = None;
        let known = self.open.as_ref().map_or(0, |open| open.modseq);
        let mut highest = 0;
        loop {
            let Some(line) = self.one_line() else {
                assert!(self.volatile, "the connection is closed");
                self.closed = true;
                self.open = None;
                return Answer::default();
            };
            if let Some(tagged) = line.strip_prefix(&format!("{} ", asked.tag)) {
                code = between(tagged, "[HIGHESTMODSEQ ", ']').map(|modseq| modseq.parse().unwrap()).or(code);
                answer.tagged = tagged.to_owned();
                break;
            }
            match said(&line) {
                Said::Code(words) => {
                    code = between(&words, "[HIGHESTMODSEQ ", ']').map(|modseq| modseq.parse().unwrap()).or(code);
                    self.code(&words);
                    answer.told.push(Said::Code(words));
                }
                Said::Fetch(number, items) => {
                    highest = items.modseq().unwrap_or(0).max(highest);
                    let uid = self.fetched(asked, number, &items);
                    answer.fetched.push((uid, items));
                }
                Said::Bye(words) => {
                    let deleted = self.volatile && words == "Mailbox has been deleted";
                    assert!(deleted, "BYE {words}");
                }
                other => {
                    if let Some(other) = self.heard(asked, other) {
                        answer.told.push(other);
                    }
                }
            }
        }
        assert!(!answer.tagged.starts_with("BAD"), "{}: {}", asked.command, answer.tagged);
        self.promised(known, code, highest);
        answer
    }

    /// The modification sequence that the client goes on from never goes back (RFC 7162 section 3.1.2.1).
    fn promised(&mut self, known: u64, code: Option<u64>, highest: u64) {
        let Some(open) = self.open.as_mut() else { return };
        if let Some(code) = code {
            assert!(code >= known, "HIGHESTMODSEQ {code} after {known} was told");
        }
        open.modseq = code.unwrap_or(highest.max(known));
    }

    /// Codes that tell of the mailbox that is being opened.
    fn code(&mut self, words: &str) {
        let Some(open) = self.open.as_mut() else { return };
        if let Some(uidvalidity) = between(words, "[UIDVALIDITY ", ']') {
            open.opened.uidvalidity = uidvalidity.parse().unwrap();
        } else if let Some(uidnext) = between(words, "[UIDNEXT ", ']') {
            open.uidnext = uidnext.parse().unwrap();
        } else if let Some(id) = between(words, "[MAILBOXID (", ')') {
            self.world.mailbox(open.opened.uidvalidity, id, open.name.starts_with('X'));
        }
    }

    /// Everything but FETCH and codes. What is no news of the mailbox comes back.
    fn heard(&mut self, asked: &Asked, what: Said) -> Option<Said> {
        let (mode, world) = (self.mode, Arc::clone(&self.world));
        let Some(open) = self.open.as_mut() else { return Some(what) };
        match what {
            Said::Exists(count) => {
                assert!(count >= open.slots.len(), "EXISTS {count}, but there were {}", open.slots.len());
                open.slots.resize(count, Slot::default());
                open.first_count.get_or_insert(count);
            }
            Said::Recent(count) => assert!(count <= open.slots.len(), "RECENT {count} of {}", open.slots.len()),
            Said::Flags(keywords) => open.keywords = keywords,
            Said::Expunge(number) => {
                assert!(asked.may_expunge(), "EXPUNGE in the answer to {}", asked.command);
                assert!(mode < Mode::Qresync, "EXPUNGE though QRESYNC is enabled");
                assert!((1..=open.slots.len()).contains(&number), "{number} EXPUNGE of {}", open.slots.len());
                if let Some(uid) = open.slots.remove(number - 1).uid {
                    world.told_gone(open.opened.uidvalidity, uid);
                }
            }
            Said::Vanished { earlier, uids } => {
                assert!(mode == Mode::Qresync, "VANISHED though QRESYNC is not enabled");
                assert!(earlier || asked.may_expunge(), "VANISHED in the answer to {}", asked.command);
                for uid in uids {
                    world.told_gone(open.opened.uidvalidity, uid);
                    open.vanished.insert(uid);
                    let there =
                        if earlier { open.slots.iter().all(|slot| slot.uid != Some(uid)) } else { open.take(uid) };
                    assert!(there, "VANISHED {uid}, earlier: {earlier}");
                }
            }
            other => return Some(other),
        }
        None
    }

    /// A FETCH response. Gives the UID of its message, 0 where it is not known.
    fn fetched(&mut self, asked: &Asked, number: usize, items: &Items) -> u32 {
        let (mode, world) = (self.mode, Arc::clone(&self.world));
        let open = self.open.as_mut().unwrap_or_else(|| panic!("FETCH, and no mailbox is open"));
        assert!((1..=open.slots.len()).contains(&number), "{number} FETCH of {}", open.slots.len());
        let asks = asked.command.starts_with("fetch") || asked.command.starts_with("uid fetch");
        if mode >= Mode::Condstore && !asks && items.get("FLAGS").is_some() {
            assert!(items.modseq().is_some(), "flags without MODSEQ");
        }
        let by_uid = asked.command.starts_with("uid fetch") || asked.command.starts_with("uid store");
        if by_uid || mode == Mode::Qresync && !asks {
            assert!(items.uid().is_some(), "FETCH without UID");
        }
        if let Some(uid) = items.uid() {
            open.assign(number, uid);
        }
        if let Some((flags, _)) = items.flags() {
            let unknown = flags.iter().find(|flag| !open.keywords.contains(*flag));
            assert!(unknown.is_none(), "{unknown:?} is not among the FLAGS that were told");
        }
        let slot = &mut open.slots[number - 1];
        if let Some(modseq) = items.modseq() {
            assert!(slot.modseq.is_none_or(|known| known <= modseq), "MODSEQ {modseq} after {slot:?}");
            slot.modseq = Some(modseq);
        }
        if let Some((flags, _)) = items.flags() {
            if items.modseq().is_none() && slot.flags.as_ref() != Some(&flags) {
                slot.modseq = None;
            }
            slot.flags = Some(flags);
        }
        match slot.uid {
            Some(uid) => {
                world.seen(open.opened, uid, asked.sent, items);
                uid
            }
            None => 0,
        }
    }

    /// Opens a mailbox. With `resync` from what is remembered of it, where the mode is QRESYNC.
    pub fn select(&mut self, name: &str, writable: bool, resync: bool) {
        self.remember();
        let memory = self.memory.remove(name).filter(|_| resync && self.mode == Mode::Qresync);
        let parameters = match &memory {
            Some(memory) => format!(" (qresync ({} {}))", memory.uidvalidity, memory.modseq),
            None => String::new(),
        };
        let opened = Opened { uidvalidity: 0, select: self.world.next_select(), writable };
        let word = if writable { "select" } else { "examine" };
        let asked = self.send(&format!("{word} {name}{parameters}"));
        self.volatile |= name.starts_with('X');
        self.open = Some(Open {
            name: name.to_owned(),
            opened,
            slots: Vec::new(),
            modseq: 0,
            uidnext: 0,
            first_count: None,
            keywords: BTreeSet::new(),
            vanished: BTreeSet::new(),
        });
        let answer = self.answer(&asked);
        if !answer.ok() {
            assert!(self.closed || answer.tagged.contains("[NONEXISTENT]"), "{}", answer.tagged);
            self.open = None;
            return;
        }
        let first = |said: &Said| {
            if let Said::Code(words) = said { between(words, "[HIGHESTMODSEQ ", ']')?.parse().ok() } else { None }
        };
        let highest = answer.told.iter().find_map(first);
        self.opened(asked.sent, highest, memory);
    }

    /// A mailbox was opened: its numbers become UIDs, and it is compared with what is known of it.
    fn opened(&mut self, sent: Tick, highest: Option<u64>, memory: Option<Memory>) {
        let Some(open) = &self.open else { return };
        let Opened { uidvalidity, .. } = open.opened;
        let counts = Counts { messages: open.first_count.unwrap(), uidnext: open.uidnext, highest };
        self.world.counted(uidvalidity, sent, counts);
        if !self.ask("fetch 1:* (uid)").ok() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let uids: BTreeSet<u32> = open.slots.iter().filter_map(|slot| slot.uid).collect();
        if uids.len() < open.slots.len() {
            return;
        }
        self.world.listed(uidvalidity, sent, &uids);
        let Some(memory) = memory.filter(|memory| memory.uidvalidity == uidvalidity) else { return };
        let left: Vec<_> = memory.messages.iter().filter(|(uid, _)| !open.vanished.contains(uid)).collect();
        for (uid, known) in left {
            let slot = open.slots.iter_mut().find(|slot| slot.uid == Some(*uid));
            let slot = slot.unwrap_or_else(|| panic!("UID {uid} is gone, and that was not told: {:?}", open.vanished));
            if slot.flags.is_none() {
                (slot.flags, slot.modseq) = (known.flags.clone(), known.modseq);
            }
        }
    }

    /// Keeps what is known of the mailbox for the time when it is opened again.
    pub fn remember(&mut self) {
        let Some(open) = self.open.take().filter(|_| self.mode == Mode::Qresync && !self.closed) else { return };
        let known = |slot: Slot| slot.flags.is_some().then_some((slot.uid?, slot));
        let messages = open.slots.into_iter().filter_map(known).collect();
        let memory = Memory { uidvalidity: open.opened.uidvalidity, modseq: open.modseq, messages };
        self.memory.insert(open.name, memory);
    }
}

impl Open {
    /// The message with this number has this UID: UIDs ascend with the numbers, and neither changes.
    fn assign(&mut self, number: usize, uid: u32) {
        let known = self.slots[number - 1].uid;
        assert!(known.is_none_or(|known| known == uid), "{number} is UID {uid}, but was {known:?}");
        let below = self.slots[..number - 1].iter().rev().find_map(|slot| slot.uid);
        let above = self.slots[number..].iter().find_map(|slot| slot.uid);
        assert!(below.is_none_or(|below| below < uid), "{number} is UID {uid}, behind {below:?}");
        assert!(above.is_none_or(|above| uid < above), "{number} is UID {uid}, before {above:?}");
        self.slots[number - 1].uid = Some(uid);
    }

    /// Takes a UID away that vanished. A message that was announced and never fetched is one of those between its known neighbours. False: there is none.
    fn take(&mut self, uid: u32) -> bool {
        let known = self.slots.iter().position(|slot| slot.uid == Some(uid));
        let below = self.slots.iter().rposition(|slot| slot.uid.is_some_and(|known| known < uid));
        let at = known.unwrap_or(below.map_or(0, |at| at + 1));
        let there = self.slots.get(at).is_some_and(|slot| slot.uid.is_none_or(|known| known == uid));
        if there {
            self.slots.remove(at);
        }
        there
    }

    /// The messages of which the UID is known, with their numbers.
    pub fn known(&self) -> Vec<(u32, u32)> {
        let number = |at: usize| u32::try_from(at + 1).unwrap();
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((number(at), slot.uid?))).collect()
    }
}
