//! What is true whoever looks: of each UID of each mailbox the content, the flags at each mod-sequence, whether it may be gone.
//!
//! A tick is taken before a command is sent and when a response is read. What was told before a command was sent holds for its answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::wire::Items;

pub type Tick = u64;

/// What is known of a UID.
#[derive(Default)]
struct Message {
    content: Option<u32>,
    /// When a command that made it was answered.
    acked: Option<Tick>,
    /// Somebody tried to set `\Deleted`, which copies inherit.
    deleted: bool,
    /// Somebody tried to move or replace it.
    leaving: bool,
    /// When somebody was told that it is gone.
    gone: Option<Tick>,
    /// It was told gone before anybody who made or removed it had said so.
    unexplained: bool,
    /// The greatest mod-sequence told, and when.
    modseq: (u64, Tick),
    flags: BTreeMap<u64, BTreeSet<String>>,
    /// The session in which it is `\Recent`.
    recent: Option<u64>,
}

/// A mailbox, by its UIDVALIDITY: no other one ever has the same.
#[derive(Default)]
struct Mailbox {
    id: Option<String>,
    /// It may be deleted at any time.
    volatile: bool,
    /// How many are renaming it just now: everything in INBOX goes then.
    renamed: u32,
    /// UIDs below this one may have gone so.
    leaving_below: u32,
    highest: (u64, Tick),
    uidnext: (u32, Tick),
    messages: BTreeMap<u32, Message>,
}

impl Mailbox {
    fn may_go(&self, uid: u32, message: &Message) -> bool {
        let renamed = self.renamed > 0 || uid < self.leaving_below;
        self.volatile || renamed || message.deleted || message.leaving
    }
}

struct Content {
    text: String,
    emailid: Option<String>,
    /// What comes with it, by the name of the FETCH item: always the same.
    items: HashMap<String, String>,
    /// It came to INBOX by a delivery that was acknowledged: nobody was told a UID.
    delivered: bool,
}

#[derive(Default)]
struct State {
    now: Tick,
    mailboxes: HashMap<u32, Mailbox>,
    contents: Vec<Content>,
    selects: u64,
}

/// Which mailbox a session has open, and how.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub uidvalidity: u32,
    pub select: u64,
    pub writable: bool,
}

/// What STATUS and SELECT tell of a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: usize,
    pub uidnext: u32,
    pub highest: Option<u64>,
}

/// Shared by all sessions of a run.
#[derive(Default)]
pub struct World(Mutex<State>);

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Tick {
        let mut state = self.state();
        state.now += 1;
        state.now
    }

    pub fn next_select(&self) -> u64 {
        let mut state = self.state();
        state.selects += 1;
        state.selects
    }

    /// A message that there was not yet.
    pub fn new_content(&self, lines: u64) -> (u32, String) {
        let mut state = self.state();
        let n = u32::try_from(state.contents.len()).unwrap();
        let mut text = format!(
            "From: joe@example.org\r\nDate: 24 Nov 2026 10:00:00 +0000\r\nSubject: n{n:06}\r\nMessage-ID: <m{n}@example.org>\r\n\
             References: <m{}@example.org>\r\n\r\nThis is number n{n:06}.\r\n",
            n / 3
        );
        (0..lines).for_each(|line| text.push_str(&format!("line {line} of number n{n:06}\r\n")));
        let content = Content { text: text.clone(), emailid: None, items: HashMap::new(), delivered: false };
        state.contents.push(content);
        (n, text)
    }

    pub fn delivered(&self, content: u32) {
        self.state().contents[content as usize].delivered = true;
    }

    /// A mailbox was opened or asked for.
    pub fn mailbox(&self, uidvalidity: u32, id: &str, volatile: bool) {
        let mut state = self.state();
        let known = state.mailboxes.entry(uidvalidity).or_default();
        let id = known.id.get_or_insert_with(|| id.to_owned()).as_str() == id;
        assert!(id, "two mailboxes have UIDVALIDITY {uidvalidity}");
        known.volatile |= volatile;
    }

    /// A mailbox that comes and goes was the target of a command.
    pub fn volatile(&self, uidvalidity: u32) {
        self.state().mailboxes.entry(uidvalidity).or_default().volatile = true;
    }

    /// A message was made: APPENDUID.
    pub fn appended(&self, uidvalidity: u32, uid: u32, content: u32) {
        let mut state = self.state();
        state.made(uidvalidity, uid, Some(content), false);
    }

    /// Messages were made from others: COPYUID.
    pub fn copied(&self, from: u32, to: u32, pairs: &[(u32, u32)]) {
        let mut state = self.state();
        for (old, new) in pairs {
            let source = state.mailboxes.entry(from).or_default().messages.entry(*old).or_default();
            let (content, deleted) = (source.content, source.deleted);
            state.made(to, *new, content, deleted);
        }
    }

    /// A command is about to be sent that may take messages away: EXPUNGE of those with `\Deleted`, or MOVE and REPLACE.
    pub fn doom(&self, uidvalidity: u32, uids: &[u32], by_flag: bool) {
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        for uid in uids {
            let message = mailbox.messages.entry(*uid).or_default();
            message.deleted |= by_flag;
            message.leaving |= !by_flag;
        }
    }

    /// INBOX is about to be renamed: its messages go.
    pub fn rename_begins(&self, uidvalidity: u32) {
        self.state().mailboxes.entry(uidvalidity).or_default().renamed += 1;
    }

    /// It was: UIDs from `uidnext` on came afterwards.
    pub fn rename_ends(&self, uidvalidity: u32, uidnext: u32) {
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        mailbox.renamed -= 1;
        mailbox.leaving_below = mailbox.leaving_below.max(uidnext);
    }

    /// True when it is known what the message is: only such messages are taken away, so that none gets out of sight unnoticed.
    pub fn is_known(&self, uidvalidity: u32, uid: u32) -> bool {
        let state = self.state();
        let message = state.mailboxes.get(&uidvalidity).and_then(|mailbox| mailbox.messages.get(&uid));
        message.is_some_and(|message| message.content.is_some())
    }

    /// True when nobody has tried to take the message away.
    pub fn stays(&self, uidvalidity: u32, uid: u32) -> bool {
        let state = self.state();
        let Some(mailbox) = state.mailboxes.get(&uidvalidity) else { return false };
        mailbox.messages.get(&uid).is_some_and(|message| !mailbox.may_go(uid, message))
    }

    pub fn content_of(&self, uidvalidity: u32, uid: u32) -> Option<u32> {
        self.state().mailboxes.get(&uidvalidity)?.messages.get(&uid)?.content
    }

    /// EXPUNGE or VANISHED told that a message is gone.
    pub fn told_gone(&self, uidvalidity: u32, uid: u32) {
        let mut state = self.state();
        state.now += 1;
        let now = state.now;
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        mailbox.messages.entry(uid).or_default().gone.get_or_insert(now);
        let explained = mailbox.messages.get(&uid).is_some_and(|message| mailbox.may_go(uid, message));
        let message = mailbox.messages.entry(uid).or_default();
        if !explained {
            assert!(message.acked.is_none(), "UID {uid} of {uidvalidity} is told gone, and nobody took it away");
            message.unexplained = true;
        }
    }

    /// A FETCH response, in an answer to a command sent at `sent` or told beside it.
    pub fn seen(&self, opened: Opened, uid: u32, sent: Tick, items: &Items) {
        let mut state = self.state();
        state.now += 1;
        let (now, Opened { uidvalidity, select, writable }) = (state.now, opened);
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        let message = mailbox.messages.entry(uid).or_default();
        let gone = message.gone.is_some_and(|gone| gone < sent);
        assert!(!gone, "UID {uid} of {uidvalidity} is told of, and was told gone before");
        if let Some(modseq) = items.modseq() {
            let (known, at) = message.modseq;
            assert!(at >= sent || modseq >= known, "UID {uid}: MODSEQ {modseq} after {known} was told");
            if modseq > known {
                message.modseq = (modseq, now);
            }
        }
        if let Some((flags, recent)) = items.flags() {
            if let Some(modseq) = items.modseq() {
                message.flags_at(uid, modseq, &flags);
            }
            if recent && writable {
                let known = *message.recent.get_or_insert(select);
                assert_eq!(known, select, "UID {uid} of {uidvalidity} is \\Recent in two sessions");
            }
        }
        state.bind(uidvalidity, uid, items);
    }

    /// What a client that changed flags without being told them makes of it.
    pub fn concluded(&self, uidvalidity: u32, uid: u32, modseq: u64, flags: &BTreeSet<String>) {
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        mailbox.messages.entry(uid).or_default().flags_at(uid, modseq, flags);
    }

    /// STATUS or SELECT, sent at `sent`, told how much there is.
    pub fn counted(&self, uidvalidity: u32, sent: Tick, counts: Counts) {
        let mut state = self.state();
        state.now += 1;
        let now = state.now;
        let mailbox = state.mailboxes.entry(uidvalidity).or_default();
        let all = || mailbox.messages.iter();
        let told_before = |at: Option<Tick>| at.is_some_and(|at| at < sent);
        let least = all().filter(|(uid, it)| told_before(it.acked) && !mailbox.may_go(**uid, it)).count();
        let gone = all().filter(|(uid, it)| told_before(it.gone) && **uid < counts.uidnext).count();
        let most = (counts.uidnext as usize).saturating_sub(1 + gone);
        assert!((least..=most).contains(&counts.messages), "{counts:?}, but there are {least} to {most}");
        let last = all().rev().find(|(_, it)| told_before(it.acked)).map_or(0, |(uid, _)| *uid);
        assert!(counts.uidnext > last, "{counts:?}, but there is UID {last}");
        let (known, at) = mailbox.uidnext;
        assert!(at >= sent || counts.uidnext >= known, "{counts:?}, but UIDNEXT was {known}");
        if counts.uidnext > known {
            mailbox.uidnext = (counts.uidnext, now);
        }
        let Some(highest) = counts.highest else { return };
        let (known, at) = mailbox.highest;
        assert!(at >= sent || highest >= known, "{counts:?}, but HIGHESTMODSEQ was {known}");
        for (uid, message) in all() {
            let (modseq, at) = message.modseq;
            assert!(at >= sent || highest >= modseq, "{counts:?}, but UID {uid} has MODSEQ {modseq}");
        }
        if highest > known {
            mailbox.highest = (highest, now);
        }
    }

    /// All messages of a mailbox opened at `sent` are `uids`.
    pub fn listed(&self, uidvalidity: u32, sent: Tick, uids: &BTreeSet<u32>) {
        let state = self.state();
        let Some(mailbox) = state.mailboxes.get(&uidvalidity) else { return };
        for (uid, message) in &mailbox.messages {
            let lost = message.acked.is_some_and(|acked| acked < sent) && !mailbox.may_go(*uid, message);
            assert!(!lost || uids.contains(uid), "UID {uid} of {uidvalidity} is lost: {uids:?}");
        }
    }

    /// At the end, `there` being all messages of all mailboxes: nothing acknowledged is lost, and whatever is gone somebody took away.
    pub fn settle(&self, there: &HashMap<u32, BTreeSet<u32>>) {
        let state = self.state();
        let mut alive = BTreeSet::new();
        for (uidvalidity, mailbox) in &state.mailboxes {
            let listed = there.get(uidvalidity);
            for (uid, message) in &mailbox.messages {
                let is_there = listed.is_some_and(|uids| uids.contains(uid));
                assert!(!message.unexplained, "UID {uid} of {uidvalidity} went away by itself");
                assert!(!is_there || message.gone.is_none(), "UID {uid} of {uidvalidity} is there again");
                let lost = message.acked.is_some() && !is_there && !mailbox.may_go(*uid, message);
                assert!(!lost, "UID {uid} of {uidvalidity} is lost");
                if is_there || mailbox.may_go(*uid, message) {
                    alive.extend(message.content);
                }
            }
        }
        for (n, content) in state.contents.iter().enumerate() {
            let lost = content.delivered && !alive.contains(&u32::try_from(n).unwrap());
            assert!(!lost, "the delivered message n{n:06} is lost");
        }
    }

    /// How many UIDs and contents there ever were.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.mailboxes.values().map(|mailbox| mailbox.messages.len()).sum(), state.contents.len())
    }
}

impl Message {
    /// A message has the same flags whenever it has the same mod-sequence.
    fn flags_at(&mut self, uid: u32, modseq: u64, flags: &BTreeSet<String>) {
        let known = self.flags.entry(modseq).or_insert_with(|| flags.clone());
        assert_eq!(known, flags, "UID {uid} has two sets of flags at MODSEQ {modseq}");
    }
}

impl State {
    fn made(&mut self, uidvalidity: u32, uid: u32, content: Option<u32>, deleted: bool) {
        self.now += 1;
        let now = self.now;
        let message = self.mailboxes.entry(uidvalidity).or_default().messages.entry(uid).or_default();
        assert!(message.acked.is_none(), "UID {uid} of {uidvalidity} was given twice");
        assert!(deleted || !message.unexplained, "UID {uid} of {uidvalidity} was told gone, and nobody took it away");
        message.acked = Some(now);
        message.deleted |= deleted;
        message.unexplained = false;
        if let Some(content) = content {
            message.is_of(uid, content);
        }
    }

    /// Which content the message has, and that what comes of it is as ever.
    fn bind(&mut self, uidvalidity: u32, uid: u32, items: &Items) {
        let State { mailboxes, contents, .. } = self;
        let message = mailboxes.entry(uidvalidity).or_default().messages.entry(uid).or_default();
        for (name, value) in &items.0 {
            let fixed = ["ENVELOPE", "BODY", "RFC822", "BINARY"].iter().any(|word| name.starts_with(word));
            if !fixed && name != "EMAILID" {
                continue;
            }
            let number = value.split_once('n').and_then(|_| numbered(value));
            if let Some(number) = number.filter(|_| name != "EMAILID") {
                message.is_of(uid, number);
            }
            let Some(content) = message.content.and_then(|number| contents.get_mut(number as usize)) else { continue };
            if name == "BODY[]" {
                assert!(value.ends_with(&content.text), "UID {uid}: {value}");
            }
            let known = match name.as_str() {
                "EMAILID" => content.emailid.get_or_insert_with(|| value.clone()),
                // A delivery adds lines: what came first counts. Copies keep it.
                _ => content.items.entry(name.clone()).or_insert_with(|| value.clone()),
            };
            assert_eq!(known, value, "UID {uid}, {name}");
        }
    }
}

impl Message {
    fn is_of(&mut self, uid: u32, content: u32) {
        let known = *self.content.get_or_insert(content);
        assert_eq!(known, content, "UID {uid} has two contents");
    }
}

/// The number of a content in what came of it: `n` and six digits.
fn numbered(value: &str) -> Option<u32> {
    value.match_indices('n').find_map(|(at, _)| {
        let digits = value.get(at + 1..at + 7)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    })
}
