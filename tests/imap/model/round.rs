//! The comparisons: all sessions stop, and what each believes must be what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::Daemon;
use super::session::{Mode, Session};
use super::wire::{Said, Wire, between, said};
use super::world::{Opened, World};

/// Where threads wait for each other, and leave when one of them has found something.
pub struct Meeting {
    count: usize,
    state: Mutex<(usize, u64, Option<String>)>,
    called: Condvar,
}

/// Marks the meeting as failed when a thread that takes no part in it panics.
pub struct Leaving<'m>(&'m Meeting, &'static str);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(format!("{} failed; see above", self.1));
        }
    }
}

impl Meeting {
    pub fn new(count: usize) -> Meeting {
        Meeting { count, state: Mutex::new((0, 0, None)), called: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, (usize, u64, Option<String>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn leaving_on_panic(&self, who: &'static str) -> Leaving<'_> {
        Leaving(self, who)
    }

    /// The first failure counts; the others follow from it.
    pub fn fail(&self, why: String) {
        self.state().2.get_or_insert(why);
        self.called.notify_all();
    }

    pub fn failure(&self) -> Option<String> {
        self.state().2.clone()
    }

    /// Ends this thread when another one has found something.
    pub fn check(&self) {
        assert!(self.state().2.is_none(), "another session has failed");
    }

    /// Waits for all.
    fn wait(&self) {
        let mut state = self.state();
        let turn = state.1;
        state.0 += 1;
        if state.0 == self.count {
            (state.0, state.1) = (0, turn + 1);
            self.called.notify_all();
        }
        while state.1 == turn && state.2.is_none() {
            state = self.called.wait_timeout(state, Duration::from_secs(1)).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.check();
    }
}

/// A message as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct There {
    flags: BTreeSet<String>,
    modseq: u64,
}

/// What is there when all stand still, by UIDVALIDITY and UID, and the prize of a contest.
#[derive(Default)]
struct Truth {
    mailboxes: HashMap<u32, BTreeMap<u32, There>>,
    prize: Option<(u32, u32, u64)>,
    wins: Vec<u64>,
    contestants: usize,
}

/// The mailboxes that are played in.
#[derive(Default)]
pub struct Ground(Mutex<Truth>);

impl Ground {
    pub fn prepare(daemon: &Daemon) -> Ground {
        let mut client = daemon.login("joe");
        for name in ["A", "B", "X1"] {
            assert!(client.ask(&format!("create {name}")).last().unwrap().starts_with("OK "));
        }
        Ground::default()
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all mailboxes, and whether STATUS tells the same. Deliveries may go on meanwhile: INBOX is counted by its own numbers.
    pub fn all(&self, daemon: &Daemon, world: &World) -> HashMap<u32, BTreeSet<u32>> {
        let mailboxes = read(daemon, world);
        let uids = mailboxes.iter().map(|(uidvalidity, it)| (*uidvalidity, it.keys().copied().collect())).collect();
        self.truth().mailboxes = mailboxes;
        uids
    }

    /// The comparison and a contest, at the end of a round.
    pub fn compare(&self, daemon: &Daemon, session: &mut Session, meeting: &Meeting, round: u64) {
        meeting.wait();
        if session.number == 0 {
            self.all(daemon, &session.world);
        }
        meeting.wait();
        self.believes_the_truth(session);
        meeting.wait();
        for contest in 0..3 {
            if session.number == 0 {
                self.offer(session, round * 3 + contest);
            }
            meeting.wait();
            self.contend(session, round * 3 + contest);
            meeting.wait();
            if session.number == 0 {
                let truth = self.truth();
                let (wins, contestants) = (&truth.wins, truth.contestants);
                let expected = usize::from(contestants > 0);
                assert_eq!(wins.len(), expected, "{contestants} sessions, one condition: {wins:?} have won");
            }
        }
    }

    /// After all news are told the client has the mailbox.
    fn believes_the_truth(&self, session: &mut Session) {
        if session.open.is_none() || session.closed {
            return;
        }
        // Deliveries go on: what came since the truth was read is not compared.
        session.ask("noop");
        let asks = session.random.below(3) == 0;
        if asks && !session.closed {
            let answer = session.ask("fetch 1:* (uid flags)");
            assert!(answer.ok() || session.closed, "{}", answer.tagged);
        }
        let truth = self.truth();
        let Some(open) = &session.open else { return };
        let Some(there) = truth.mailboxes.get(&open.opened.uidvalidity) else { return };
        assert!(open.slots.len() >= there.len(), "{} of {} messages", open.slots.len(), there.len());
        for (slot, (uid, it)) in open.slots.iter().zip(there) {
            assert!(slot.uid.is_none_or(|known| known == *uid), "{slot:?}, but it is UID {uid}");
            assert!(slot.flags.as_ref().is_none_or(|known| *known == it.flags), "{slot:?} of {uid}, but it is {it:?}");
            assert!(slot.modseq.is_none_or(|known| known == it.modseq), "{slot:?} of {uid}, but it is {it:?}");
        }
        let expected: Vec<u32> =
            there.iter().zip(1..).filter(|((_, it), _)| it.flags.contains("\\Flagged")).map(|(_, at)| at).collect();
        let count = u32::try_from(there.len()).unwrap();
        drop(truth);
        if count > 0 {
            let answer = session.ask(&format!("search 1:{count} flagged"));
            assert_eq!(answer.numbers(), Some(expected.as_slice()));
        }
    }

    /// Chooses the message of the next contest.
    fn offer(&self, session: &mut Session, number: u64) {
        let mut truth = self.truth();
        let uidvalidity = truth.mailboxes.iter().max_by_key(|(_, it)| it.len()).map(|(uidvalidity, _)| *uidvalidity);
        let at = session.random.below(1000) as usize;
        truth.prize = uidvalidity.and_then(|uidvalidity| {
            let there = truth.mailboxes.get(&uidvalidity)?;
            // The one that was changed last is as near to the condition as can be.
            let (uid, it) = match number.is_multiple_of(2) {
                true => there.iter().max_by_key(|(_, it)| it.modseq),
                false => there.iter().nth(at % there.len().max(1)),
            }?;
            // Who finds its own flag there already changes nothing, and does not win.
            let fresh = !it.flags.iter().any(|flag| flag.ends_with(&prize(number)));
            fresh.then_some((uidvalidity, *uid, it.modseq))
        });
        (truth.wins, truth.contestants) = (Vec::new(), 0);
        // Another message each time: its mod-sequence is old now.
        if let Some((uidvalidity, uid, _)) = truth.prize
            && let Some(there) = truth.mailboxes.get_mut(&uidvalidity)
        {
            there.remove(&uid);
        }
    }

    /// Of all sessions that change the same message on the same condition one wins.
    fn contend(&self, session: &mut Session, contest: u64) {
        let Some((uidvalidity, uid, modseq)) = self.truth().prize else { return };
        let Some(open) = session.open.as_ref().filter(|open| open.opened.writable && !session.closed) else { return };
        let number = open.known().into_iter().find(|(_, known)| *known == uid);
        let Some((number, _)) = number.filter(|_| open.opened.uidvalidity == uidvalidity) else { return };
        self.truth().contestants += 1;
        let command = if session.random.below(2) == 0 { format!("uid store {uid}") } else { format!("store {number}") };
        // What a condition is for shows that the client knows mod-sequences.
        session.mode = session.mode.max(Mode::Condstore);
        let modifier = format!("(unchangedsince {modseq}) ");
        let (op, silent) = (if contest.is_multiple_of(2) { "" } else { "+" }, session.random.below(2) == 0);
        let keyword = format!("won{}{}", session.number % 5, prize(contest));
        if session.store(&command, &[(number, uid)], &modifier, op, silent, &keyword) {
            self.truth().wins.push(session.number);
        }
    }
}

/// The end of the keywords of a contest.
fn prize(contest: u64) -> String {
    format!("by{}", contest % 8)
}

/// All messages of all mailboxes, as a client sees them that knows nothing. Each mailbox has what STATUS tells of it.
fn read(daemon: &Daemon, world: &World) -> HashMap<u32, BTreeMap<u32, There>> {
    let mut wire = Wire(daemon.login("joe"));
    let mut ask = |command: String| {
        let sent = world.now();
        wire.send(&format!("r {command}\r\n"));
        let mut told = Vec::new();
        loop {
            let line = wire.response().unwrap();
            match line.strip_prefix("r ") {
                Some(tagged) => {
                    assert!(tagged.starts_with("OK "), "{command}: {tagged}");
                    return (told, sent);
                }
                None => told.push(said(&line)),
            }
        }
    };
    let mut mailboxes = HashMap::new();
    for listed in ask("list \"\" *".to_owned()).0 {
        let Said::Words("LIST", listed) = listed else { panic!("{listed:?}") };
        let name = listed.rsplit(' ').next().unwrap().trim_matches('"').to_owned();
        if listed.contains("\\Noselect") || listed.contains("\\NonExistent") {
            continue;
        }
        let (told, _) = ask(format!("examine {name}"));
        let code = |word: &str| {
            told.iter().find_map(|said| if let Said::Code(words) = said { between(words, word, ']') } else { None })
        };
        let uidvalidity: u32 = code("[UIDVALIDITY ").unwrap().parse().unwrap();
        let highest: u64 = code("[HIGHESTMODSEQ ").unwrap().parse().unwrap();
        let opened = Opened { uidvalidity, select: 0, writable: false };
        let mut messages = BTreeMap::new();
        let (told, sent) = ask("uid fetch 1:* (flags modseq emailid body.peek[header.fields (subject)])".to_owned());
        for said in told {
            let Said::Fetch(_, items) = said else { continue };
            let (uid, Some(_)) = (items.uid().unwrap(), items.get("EMAILID")) else { continue };
            world.seen(opened, uid, sent, &items);
            let (flags, _) = items.flags().unwrap();
            messages.insert(uid, There { flags, modseq: items.modseq().unwrap() });
        }
        let (told, _) = ask(format!("status {name} (messages unseen highestmodseq deleted size)"));
        let status =
            told.iter().find_map(|said| if let Said::Words("STATUS", words) = said { Some(words) } else { None });
        let status = status.unwrap();
        let number = |word: &str| -> u64 {
            between(status, &format!("{word} "), ' ').unwrap().trim_end_matches(')').parse().unwrap()
        };
        if number("HIGHESTMODSEQ") == highest {
            let without = |flag: &str| messages.values().filter(|it| !it.flags.contains(flag)).count() as u64;
            let all = messages.len() as u64;
            assert_eq!(number("MESSAGES"), all, "{status}");
            assert_eq!(number("UNSEEN"), without("\\Seen"), "{status}");
            assert_eq!(number("DELETED"), all - without("\\Deleted"), "{status}");
            assert!(messages.values().all(|it| it.modseq <= highest), "{status}");
        }
        mailboxes.insert(uidvalidity, messages);
    }
    mailboxes
}
