//! Random rules over random messages: the engine against a plain evaluator that shares nothing with it, and the trial run against the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use msgstore::ops::expire::{Rules, Run, Settings, source};
use msgstore::store::check::Depth;
use msgstore::store::{Flags, FolderPath, NewMessage, Settings as StoreSettings, Store};
use proptest::prelude::*;

const NOW: i64 = 1_795_000_000;
const DAY: i64 = 86_400;
const FOLDERS: [&str; 3] = ["INBOX", "Work", "Work/x"];

#[derive(Clone, Debug)]
struct Mail {
    folder: usize,
    days: i64,
    size: usize,
    seen: bool,
    deleted: bool,
    subject: &'static str,
    spam: bool,
}

#[derive(Clone, Debug, Default)]
struct Spec {
    folder: Option<usize>,
    exclusive: bool,
    all: bool,
    seen: Option<bool>,
    deleted: Option<bool>,
    days: Option<i64>,
    size: Option<(usize, i64)>,
    subjects: Vec<&'static str>,
    spam: bool,
    count: Option<usize>,
    bytes: Option<usize>,
}

impl Spec {
    fn text(&self, name: &str) -> String {
        let mut lines = vec![match self.folder {
            Some(folder) => format!("folderpattern: user/joe/{}", FOLDERS[folder]),
            None => "folderpattern: user/*".to_owned(),
        }];
        let word = |or: bool| if or { "or" } else { "and" };
        lines.push(format!("exclusive: {}", u8::from(self.exclusive)));
        lines.push(format!("match: {}", if self.all { "all" } else { "any" }));
        lines.extend(self.seen.map(|or| format!("seen: {}", word(or))));
        lines.extend(self.deleted.map(|or| format!("deleted: {}", word(or))));
        lines.extend(self.days.map(|days| format!("messagedays: {days}")));
        if let Some((bytes, days)) = self.size {
            lines.push(format!("messagesize: {bytes}"));
            lines.push(format!("messagesizedays: {days}"));
        }
        lines.extend(self.subjects.iter().map(|text| format!("Subject: {text}")));
        lines.extend(self.spam.then(|| "X-Spam:".to_owned()));
        lines.extend(self.count.map(|count| format!("messagecount: {count}")));
        lines.extend(self.bytes.map(|bytes| format!("foldersize: {bytes}")));
        lines.into_iter().map(|line| format!("{name}.{line}\n")).collect()
    }

    fn is_empty(&self) -> bool {
        self.criteria() == 0
            && self.seen.is_none()
            && self.deleted.is_none()
            && self.count.is_none()
            && self.bytes.is_none()
    }

    /// Criteria about single messages.
    fn criteria(&self) -> usize {
        usize::from(self.days.is_some())
            + usize::from(self.size.is_some())
            + usize::from(!self.subjects.is_empty())
            + usize::from(self.spam)
    }
}

/// A message as the evaluator sees it: a number, and its text.
#[derive(Clone, Debug)]
struct Seen {
    number: usize,
    mail: Mail,
    bytes: usize,
}

fn text(number: usize, mail: &Mail) -> String {
    let spam = if mail.spam { "X-Spam: yes\r\n" } else { "" };
    format!("X-Number: {number}\r\nSubject: {}\r\n{spam}\r\n{}", mail.subject, "y".repeat(mail.size))
}

/// What is left of a folder, by the words of docs/expiry.md.
fn remaining(folder: usize, messages: &[Seen], rules: &[Spec]) -> BTreeSet<usize> {
    let mut mine: Vec<&Spec> = rules.iter().filter(|rule| rule.folder.is_none_or(|only| only == folder)).collect();
    if let Some(last) = mine.iter().rposition(|rule| rule.exclusive) {
        mine = vec![mine[last]];
    }
    let total_bytes: usize = messages.iter().map(|seen| seen.bytes).sum();
    let mut here: Vec<&Seen> = messages.iter().collect();
    for rule in &mine {
        here.retain(|seen| !removes(rule, seen, messages.len(), total_bytes));
    }
    for rule in &mine {
        let and_flags = rule.seen == Some(false) || rule.deleted == Some(false);
        if rule.all && (rule.criteria() > 0 || and_flags) {
            continue;
        }
        loop {
            let bytes: usize = here.iter().map(|seen| seen.bytes).sum();
            let over = [rule.count.map(|most| here.len() > most), rule.bytes.map(|most| bytes > most)];
            let over: Vec<bool> = over.into_iter().flatten().collect();
            let crowded = if rule.all {
                !over.is_empty() && over.iter().all(|over| *over)
            } else {
                over.iter().any(|over| *over)
            };
            let allowed = |seen: &&Seen| {
                (rule.seen != Some(false) || seen.mail.seen) && (rule.deleted != Some(false) || seen.mail.deleted)
            };
            // The oldest: the most days, then the one that came first.
            let oldest = here
                .iter()
                .copied()
                .filter(allowed)
                .min_by_key(|seen| (-seen.mail.days, seen.number))
                .map(|seen| seen.number);
            match oldest {
                Some(number) if crowded => here.retain(|seen| seen.number != number),
                _ => break,
            }
        }
    }
    here.into_iter().map(|seen| seen.number).collect()
}

fn removes(rule: &Spec, seen: &Seen, count: usize, bytes: usize) -> bool {
    let mail = &seen.mail;
    if (rule.deleted == Some(true) && mail.deleted) || (rule.seen == Some(true) && mail.seen) {
        return true;
    }
    if (rule.deleted == Some(false) && !mail.deleted) || (rule.seen == Some(false) && !mail.seen) {
        return false;
    }
    let mut found = Vec::new();
    found.extend(rule.days.map(|days| mail.days >= days));
    found.extend(rule.size.map(|(most, days)| seen.bytes > most && mail.days >= days));
    if !rule.subjects.is_empty() {
        let subject = mail.subject.to_lowercase();
        found.push(rule.subjects.iter().any(|text| match text.strip_suffix('*') {
            Some(begin) => subject.starts_with(&begin.to_lowercase()),
            None => subject.contains(&text.to_lowercase()),
        }));
    }
    if rule.spam {
        found.push(mail.spam);
    }
    let and_flags = rule.seen == Some(false) || rule.deleted == Some(false);
    let limits = rule.count.is_some() || rule.bytes.is_some();
    if found.is_empty() && !(and_flags && (rule.all || !limits)) {
        return false;
    }
    if rule.all {
        let full = rule.count.is_none_or(|most| count > most) && rule.bytes.is_none_or(|most| bytes > most);
        return full && found.into_iter().all(|holds| holds);
    }
    found.is_empty() || found.into_iter().any(|holds| holds)
}

fn mail() -> impl Strategy<Value = Mail> {
    let subject = prop_oneof![Just("Casino night"), Just("the casino"), Just("hello"), Just("Re: hello")];
    (0..FOLDERS.len(), 0..9i64, 0..900usize, any::<bool>(), any::<bool>(), subject, any::<bool>()).prop_map(
        |(folder, days, size, seen, deleted, subject, spam)| Mail { folder, days, size, seen, deleted, subject, spam },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    let rare = |likely: f64| proptest::bool::weighted(likely);
    let subjects = proptest::sample::subsequence(vec!["casino", "CASINO*", "re:"], 0..=2);
    (
        proptest::option::of(0..FOLDERS.len()),
        (rare(0.15), any::<bool>(), rare(0.2)),
        (proptest::option::weighted(0.3, any::<bool>()), proptest::option::weighted(0.3, any::<bool>())),
        proptest::option::weighted(0.4, 0..9i64),
        proptest::option::weighted(0.3, (0..900usize, 0..9i64)),
        (rare(0.4), subjects),
        proptest::option::weighted(0.3, 0..9usize),
        proptest::option::weighted(0.3, 0..6000usize),
    )
        .prop_map(
            |(folder, (exclusive, all, spam), (seen, deleted), days, size, (some, subjects), count, bytes)| Spec {
                folder,
                exclusive,
                all,
                seen,
                deleted,
                days,
                size,
                subjects: if some { subjects } else { Vec::new() },
                spam,
                count,
                bytes,
            },
        )
}

/// The numbers of the messages in each folder.
fn found(store: &Store, account: msgstore::store::AccountId) -> BTreeMap<usize, BTreeSet<usize>> {
    use std::io::Read;
    let mut all = BTreeMap::new();
    for (at, name) in FOLDERS.iter().enumerate() {
        let view = store.view(account).unwrap();
        let row = view.resolve(&FolderPath::parse(name).unwrap()).unwrap().unwrap();
        let mut uids = Vec::new();
        view.states(row.id, 0..=u32::MAX, &mut |run| uids.extend(run.first..=run.last())).unwrap();
        let numbers = uids.into_iter().map(|uid| {
            let mut text = String::new();
            store.open_body(account, row.id, uid).unwrap().read_to_string(&mut text).unwrap();
            text.split("X-Number: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap()
        });
        all.insert(at, numbers.collect());
    }
    all
}

fn check(mails: &[Mail], specs: &[Spec]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        root: dir.path().to_owned(),
        partitions: vec![("primary".into(), dir.path().join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 1).unwrap();
    let store = Store::open(settings).unwrap();
    let joe = store.account_create("joe", None, NOW).unwrap();
    let mut folders = Vec::new();
    for name in FOLDERS {
        let path = FolderPath::parse(name).unwrap();
        let known = store.view(joe).unwrap().resolve(&path).unwrap();
        folders.push(
            known.map_or_else(|| store.folder_create(joe, &path, &Default::default(), NOW).unwrap().id, |row| row.id),
        );
    }
    let mut seen: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
    for (at, folder) in folders.iter().enumerate() {
        let mine: Vec<(usize, &Mail)> = mails.iter().enumerate().filter(|(_, mail)| mail.folder == at).collect();
        let staged: Vec<_> = mine
            .iter()
            .map(|(number, mail)| {
                let mut staging = store.stage("primary").unwrap();
                std::io::Write::write_all(&mut staging, text(*number, mail).as_bytes()).unwrap();
                staging.finish().unwrap()
            })
            .collect();
        let items: Vec<NewMessage<'_>> = staged
            .iter()
            .zip(&mine)
            .map(|(staged, (_, mail))| NewMessage {
                staged,
                flags: if mail.seen { Flags::SEEN } else { Flags::NONE }
                    | if mail.deleted { Flags::DELETED } else { Flags::NONE },
                keywords: Vec::new(),
                internal_date_s: NOW - mail.days * DAY,
                internal_zone_min: 0,
            })
            .collect();
        if !items.is_empty() {
            store.append(joe, *folder, &items, NOW).unwrap();
        }
        seen.insert(
            at,
            mine.into_iter()
                .map(|(number, mail)| Seen { number, mail: mail.clone(), bytes: text(number, mail).len() })
                .collect(),
        );
    }
    let rules: String = specs.iter().enumerate().map(|(at, spec)| spec.text(&format!("R{at}"))).collect();
    let instance = msgstore::config::Instance::at(dir.path());
    let conf = msgstore::config::Conf::of_defaults(dir.path());
    let global = source::global(&instance, &conf, Some((std::path::Path::new("F"), &rules)));
    prop_assert!(global.faults.is_empty(), "{:?}", global.faults);
    let rules = Rules { global, ..Rules::default() };
    let matched: Vec<AtomicBool> = rules.global.rules.iter().map(|_| AtomicBool::new(false)).collect();
    let stop = AtomicBool::new(false);
    // No status is written: nobody is asked.
    let watch = msgstore::ops::quota::watch::Settings::default();
    let nobody = msgstore::directory::Options::default();
    let directory = msgstore::directory::Directory::open(std::path::Path::new("/nonexistent"), nobody);
    let run = |dry_run: bool| {
        let settings = Settings {
            expire: true,
            purge: true,
            dry_run,
            partition: None,
            user: None,
            rules_max: 128,
            threads_max: 1,
            threads_per_partition: 1,
            cleanup_age_h: 0,
            max_percent: None,
            now_s: NOW,
            clock: || NOW,
        };
        let links = Default::default();
        let quota = (&watch, &directory);
        let run =
            Run { store: &store, rules: &rules, settings: &settings, quota, stop: &stop, matched: &matched, links };
        let mut done = Vec::new();
        run.run(run.accounts().unwrap(), &mut |outcome| {
            assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
            for mailbox in outcome.mailboxes {
                let taken: Vec<_> =
                    mailbox.taken.iter().map(|verdict| (verdict.facts.uid, verdict.rule, verdict.reason)).collect();
                done.push((mailbox.mailbox, taken, mailbox.purged.messages, mailbox.purged.bytes));
            }
        });
        done
    };
    let planned = run(true);
    prop_assert_eq!(
        found(&store, joe).values().map(BTreeSet::len).sum::<usize>(),
        mails.len(),
        "a trial run changed something"
    );
    let done = run(false);
    prop_assert_eq!(&planned, &done);
    let wanted: BTreeMap<usize, BTreeSet<usize>> =
        seen.iter().map(|(at, messages)| (*at, remaining(*at, messages, specs))).collect();
    prop_assert_eq!(found(&store, joe), wanted);
    prop_assert_eq!(store.check(Depth { content: true }).unwrap(), []);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_rules_take_what_the_plain_evaluator_takes(
        mails in proptest::collection::vec(mail(), 0..30),
        specs in proptest::collection::vec(spec().prop_filter("a rule without criteria is refused", |spec| !spec.is_empty()), 1..5),
    ) {
        check(&mails, &specs)?;
    }
}
