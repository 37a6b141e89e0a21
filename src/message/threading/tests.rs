use super::*;
use proptest::prelude::*;

/// A [`Letter`] with what it borrows.
#[derive(Debug, Clone)]
struct Mail {
    number: u32,
    sent_s: i64,
    subject: String,
    is_reply: bool,
    id: Option<MessageId>,
    references: Vec<MessageId>,
}

impl Mail {
    fn letter(&self) -> Letter<'_> {
        let Mail { number, sent_s, ref subject, is_reply, id, ref references } = *self;
        Letter { number, sent_s, subject: subject.as_bytes(), is_reply, id, references }
    }
}

fn letter(number: u32, sent_s: i64, subject: &str, id: &str, references: &[&str]) -> Mail {
    let base = crate::message::subject::base(subject.as_bytes());
    Mail {
        number,
        sent_s,
        subject: crate::message::charset::fold(&base.text),
        is_reply: base.is_reply,
        id: (!id.is_empty()).then(|| MessageId::of(id.as_bytes())),
        references: references.iter().map(|id| MessageId::of(id.as_bytes())).collect(),
    }
}

fn written(mut threads: Threads) -> String {
    let mut out = Vec::new();
    assert!(!threads.write(&mut out, usize::MAX));
    // In small pieces it is the same.
    threads.at = ROOT;
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    while threads.write(&mut piece, 3) {
        pieces.append(&mut piece);
    }
    pieces.append(&mut piece);
    assert_eq!(out, pieces);
    String::from_utf8(out).unwrap()
}

fn by_references(letters: &[Mail]) -> String {
    let mut run = ByReferences::default();
    letters.iter().for_each(|mail| run.push(&mail.letter()));
    written(run.finish())
}

fn by_subject(letters: &[Mail]) -> String {
    let mut run = BySubject::default();
    letters.iter().for_each(|mail| run.push(&mail.letter()));
    written(run.finish())
}

#[test]
fn ids_are_read_without_quotes_and_brackets() {
    let ids = |text: &str| {
        let ids = read_ids(text.as_bytes(), |id| String::from_utf8(id.to_vec()).unwrap());
        assert_eq!(ids.len(), message_ids(text.as_bytes()).len());
        ids
    };
    // RFC 5256 section 3.
    assert_eq!(ids("<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>"), ids("<01KF8JCEOCBS0045PS@xxx.yyy.com>"));
    assert_eq!(ids("words <a@b> more (x)\r\n\t<c.d@[1.2.3.4]>"), ["a@b", "c.d@[1.2.3.4]"]);
    assert_eq!(ids("<\"a\\\"b>c\"@d><e@f>"), ["a\"b>c@d", "e@f"]);
    assert_eq!(ids("<> <a> <@b> <a@> <c@d"), Vec::<String>::new());
    assert_eq!(ids("<a@<b@c>"), ["b@c"]);
    assert_eq!(ids(&format!("<{}@b> <c@d>", "a".repeat(2000))), ["c@d"]);
    let many: String = (0..300).map(|n| format!("<{n}@x>")).collect();
    assert_eq!((ids(&many).len(), ids(&many)[0].as_str()), (200, "100@x"));
}

#[test]
fn ordered_subjects() {
    assert_eq!(by_subject(&[]), "");
    let letters = [
        letter(1, 50, "b", "", &[]),
        letter(2, 10, "a", "", &[]),
        letter(3, 40, "Re: B", "", &[]),
        letter(4, 30, "Re: a", "", &[]),
        letter(5, 20, "[x] A (fwd)", "", &[]),
        letter(6, 20, "", "", &[]),
    ];
    assert_eq!(by_subject(&letters), "(2 (5)(4))(6)(3 1)");
}

#[test]
fn references_make_the_tree() {
    assert_eq!(by_references(&[]), "");
    // The example of RFC 5256 section 4: 3 begins a thread with replies 6 and two to that.
    let letters = [
        letter(2, 1, "x", "2", &[]),
        letter(3, 2, "y", "3", &[]),
        letter(6, 3, "Re: y", "6", &["3"]),
        letter(4, 4, "Re: y", "4", &["3", "6"]),
        letter(23, 5, "Re: y", "23", &["3", "6", "4"]),
        letter(44, 6, "Re: y", "44", &["3", "6"]),
        letter(7, 7, "Re: y", "7", &["3", "6", "44"]),
        letter(96, 8, "Re: y", "96", &["3", "6", "44", "7"]),
    ];
    assert_eq!(by_references(&letters), "(2)(3 6 (4 23)(44 7 96))");
    // The same, whatever comes first.
    let backward: Vec<Mail> = letters.iter().rev().cloned().collect();
    assert_eq!(by_references(&backward), "(2)(3 6 (4 23)(44 7 96))");
}

#[test]
fn who_is_missing_is_pruned() {
    // Two answers to one that is not there stay together, a single one stands alone.
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["x"]), letter(2, 2, "b", "2", &["x"])]), "((1)(2))");
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["x", "y"])]), "(1)");
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["x", "y"]), letter(2, 2, "b", "2", &["x"])]), "((1)(2))");
    assert_eq!(
        by_references(&[
            letter(1, 1, "a", "1", &[]),
            letter(2, 2, "b", "2", &["1", "x"]),
            letter(3, 3, "c", "3", &["1", "x"])
        ]),
        "(1 (2)(3))"
    );
}

#[test]
fn loops_and_duplicates_do_no_harm() {
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["1"])]), "(1)");
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["2"]), letter(2, 2, "b", "2", &["1"])]), "(2 1)");
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &["2", "2"]), letter(2, 2, "b", "2", &["1", "2"])]), "(2 1)");
    // The id of a message that has it already is not its own.
    assert_eq!(
        by_references(&[
            letter(1, 1, "a", "1", &[]),
            letter(2, 2, "b", "1", &[]),
            letter(3, 3, "c", "3", &["1"]),
            letter(4, 4, "d", "", &["3"])
        ]),
        "(1 3 4)(2)"
    );
    // The later message knows its parent better than a reference list that was cut.
    assert_eq!(
        by_references(&[
            letter(1, 1, "a", "1", &[]),
            letter(2, 2, "b", "2", &[]),
            letter(3, 3, "c", "3", &["1", "4"]),
            letter(4, 4, "d", "4", &["2"])
        ]),
        "(1)(2 4 3)"
    );
}

#[test]
fn subjects_join_threads() {
    // A reply without references joins the message; two messages get a dummy above them.
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &[]), letter(2, 2, "Re: a", "2", &[])]), "(1 2)");
    assert_eq!(by_references(&[letter(1, 1, "Re: a", "1", &[]), letter(2, 2, "a", "2", &[])]), "(2 1)");
    assert_eq!(by_references(&[letter(1, 1, "a", "1", &[]), letter(2, 2, "A", "2", &[])]), "((1)(2))");
    assert_eq!(by_references(&[letter(1, 1, "Re: a", "1", &[]), letter(2, 2, "Re: a", "2", &[])]), "((1)(2))");
    assert_eq!(by_references(&[letter(1, 1, "", "1", &[]), letter(2, 2, "Re:", "2", &[])]), "(1)(2)");
    // A thread below a dummy is joined, by messages and by other dummies.
    let below = |first: u32, id: &str| {
        [letter(first, i64::from(first), "a", "", &[id]), letter(first + 1, i64::from(first + 1), "Re: a", "", &[id])]
    };
    let mut letters = below(1, "x").to_vec();
    letters.push(letter(3, 0, "a", "3", &[]));
    letters.extend(below(4, "y"));
    assert_eq!(by_references(&letters), "((3)(1)(2)(4)(5))");
    // Sorted by date, ties by number.
    assert_eq!(
        by_references(&[
            letter(1, 9, "b", "1", &[]),
            letter(2, 5, "c", "2", &["1"]),
            letter(3, 4, "d", "3", &["1"]),
            letter(4, 4, "e", "4", &["1"]),
            letter(5, 9, "f", "5", &[])
        ]),
        "(1 (3)(4)(2))(5)"
    );
}

#[test]
fn deep_threads_and_long_chains() {
    let count = 20_000u32;
    let id = |n: u32| n.to_string();
    let chain = |n: u32| {
        let up = id(n.wrapping_sub(1));
        letter(
            n,
            i64::from(n),
            "",
            &id(n),
            if n == 0 { &[] } else { std::slice::from_ref(&up) }
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        )
    };
    let expected = format!("({})", (0..count).map(id).collect::<Vec<_>>().join(" "));
    assert_eq!(by_references(&(0..count).map(chain).collect::<Vec<_>>()), expected);
    assert_eq!(by_references(&(0..count).rev().map(chain).collect::<Vec<_>>()), expected);
    // In an order that joins long pieces.
    let shuffled: Vec<Mail> = (0..count).map(|n| chain((n * 7919) % count)).collect();
    assert_eq!(by_references(&shuffled), expected);
}

/// RFC 5256 section 3 as it is written: recursive, and each question answered by looking.
mod plainly {
    use super::{Mail, MessageId};
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Place {
        letter: Option<(usize, Mail)>,
        parent: Option<usize>,
        children: Vec<usize>,
    }

    struct Forest(Vec<Place>);

    impl Forest {
        fn node(&mut self) -> usize {
            self.0.push(Place::default());
            self.0.len() - 1
        }

        fn loops(&self, child: usize, parent: usize) -> bool {
            parent == child || self.0[parent].parent.is_some_and(|up| self.loops(child, up))
        }

        fn set(&mut self, child: usize, parent: Option<usize>) {
            if let Some(old) = self.0[child].parent.take() {
                self.0[old].children.retain(|one| *one != child);
            }
            if let Some(parent) = parent {
                self.0[child].parent = Some(parent);
                self.0[parent].children.push(child);
            }
        }

        fn key(&self, node: usize) -> (i64, usize) {
            let mail = if self.0[node].letter.is_some() { node } else { self.0[node].children[0] };
            let (at, letter) = self.0[mail].letter.as_ref().unwrap();
            (letter.sent_s, *at)
        }

        fn sorted(&mut self, mut nodes: Vec<usize>) -> Vec<usize> {
            nodes.sort_by_key(|node| self.key(*node));
            nodes
        }

        fn pruned(&mut self, node: usize, top: bool) -> Vec<usize> {
            let children = std::mem::take(&mut self.0[node].children);
            let kept: Vec<usize> = children.into_iter().flat_map(|child| self.pruned(child, false)).collect();
            if self.0[node].letter.is_none() && (!top || kept.len() < 2) {
                return kept;
            }
            self.0[node].children = kept;
            vec![node]
        }

        fn sort_deep(&mut self, node: usize) {
            for child in self.0[node].children.clone() {
                self.sort_deep(child);
            }
            let children = std::mem::take(&mut self.0[node].children);
            self.0[node].children = self.sorted(children);
        }

        fn subject(&self, node: usize) -> (String, bool) {
            let mail = if self.0[node].letter.is_some() { node } else { self.0[node].children[0] };
            let letter = &self.0[mail].letter.as_ref().unwrap().1;
            (letter.subject.clone(), letter.is_reply && mail == node)
        }

        fn text(&self, node: usize) -> String {
            let own = self.0[node].letter.as_ref().map_or(String::new(), |(_, letter)| letter.number.to_string());
            let children: Vec<String> = self.0[node].children.iter().map(|child| self.text(*child)).collect();
            match children.as_slice() {
                [] => own,
                [only] => format!("{own} {only}"),
                several => {
                    let lists: String = several.iter().map(|one| format!("({one})")).collect();
                    if own.is_empty() { lists } else { format!("{own} {lists}") }
                }
            }
        }
    }

    fn linked(letters: &[Mail]) -> Forest {
        let mut forest = Forest(Vec::new());
        let mut ids: BTreeMap<MessageId, usize> = BTreeMap::new();
        for (at, letter) in letters.iter().enumerate() {
            let known = letter.id.as_ref().and_then(|id| ids.get(id).copied());
            let mail = match known {
                Some(known) if forest.0[known].letter.is_none() => known,
                _ => forest.node(),
            };
            if let Some(id) = letter.id.filter(|_| known.is_none()) {
                ids.insert(id, mail);
            }
            forest.0[mail].letter = Some((at, letter.clone()));
            let chain: Vec<usize> =
                letter.references.iter().map(|id| *ids.entry(*id).or_insert_with(|| forest.node())).collect();
            for pair in chain.windows(2) {
                if forest.0[pair[1]].parent.is_none() && !forest.loops(pair[1], pair[0]) {
                    forest.set(pair[1], Some(pair[0]));
                }
            }
            forest.set(mail, None);
            if let Some(last) = chain.last().filter(|last| !forest.loops(mail, **last)) {
                forest.set(mail, Some(*last));
            }
        }
        forest
    }

    pub fn by_references(letters: &[Mail]) -> String {
        let mut forest = linked(letters);
        let tops: Vec<usize> = (0..forest.0.len()).filter(|node| forest.0[*node].parent.is_none()).collect();
        let mut root: Vec<usize> = tops.into_iter().flat_map(|top| forest.pruned(top, true)).collect();
        for node in root.clone() {
            if forest.0[node].letter.is_none() {
                let children = std::mem::take(&mut forest.0[node].children);
                forest.0[node].children = forest.sorted(children);
            }
        }
        root = forest.sorted(root);
        let mut table: BTreeMap<String, usize> = BTreeMap::new();
        for node in &root {
            let (subject, reply) = forest.subject(*node);
            if subject.is_empty() {
                continue;
            }
            let dummy = forest.0[*node].letter.is_none();
            match table.get(&subject).copied() {
                None => drop(table.insert(subject, *node)),
                Some(held) => {
                    if forest.0[held].letter.is_some() && (dummy || (forest.subject(held).1 && !reply)) {
                        table.insert(subject, *node);
                    }
                }
            }
        }
        let mut tops = root.clone();
        for node in root {
            let (subject, reply) = forest.subject(node);
            let Some(held) = table.get(&subject).copied().filter(|held| *held != node) else { continue };
            if !tops.contains(&node) {
                continue;
            }
            tops.retain(|top| *top != node);
            match (forest.0[held].letter.is_none(), forest.0[node].letter.is_none()) {
                (true, true) => {
                    let mut children = std::mem::take(&mut forest.0[node].children);
                    forest.0[held].children.append(&mut children);
                }
                (true, false) => forest.0[held].children.push(node),
                (false, _) if reply && !forest.subject(held).1 => forest.0[held].children.push(node),
                (false, _) => {
                    let dummy = forest.node();
                    forest.0[dummy].children = vec![held, node];
                    tops.retain(|top| *top != held);
                    tops.push(dummy);
                    table.insert(subject, dummy);
                }
            }
        }
        for top in &tops {
            forest.sort_deep(*top);
        }
        forest.sorted(tops).into_iter().map(|top| format!("({})", forest.text(top))).collect()
    }

    pub fn by_subject(letters: &[Mail]) -> String {
        let mut groups: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
        for (at, letter) in letters.iter().enumerate() {
            groups.entry(&letter.subject).or_default().push((letter.sent_s, at));
        }
        let mut threads: Vec<Vec<(i64, usize)>> = groups.into_values().collect();
        threads.iter_mut().for_each(|thread| thread.sort());
        threads.sort();
        let text = |at: usize| letters[at].number.to_string();
        threads.iter().fold(String::new(), |all, thread| match thread.as_slice() {
            [only] => format!("{all}({})", text(only.1)),
            [first, second] => format!("{all}({} {})", text(first.1), text(second.1)),
            [first, others @ ..] => {
                let lists: String = others.iter().map(|one| format!("({})", text(one.1))).collect();
                format!("{all}({} {lists})", text(first.1))
            }
            [] => all,
        })
    }
}

fn any_letters() -> impl Strategy<Value = Vec<Mail>> {
    let id = || proptest::sample::select(vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let subject = proptest::sample::select(vec!["", "x", "X", "Re: x", "y", "[l] y", "Fwd: y", "z", "z (fwd)"]);
    let one = (0i64..6, subject, proptest::option::weighted(0.9, id()), proptest::collection::vec(id(), 0..4));
    proptest::collection::vec(one, 0..14).prop_map(|letters| {
        let numbered = letters.into_iter().zip(1..);
        numbered
            .map(|((sent_s, subject, id, references), number)| {
                letter(number, sent_s, subject, id.unwrap_or_default(), &references)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn as_the_rfc_is_written(letters in any_letters()) {
        prop_assert_eq!(by_references(&letters), plainly::by_references(&letters));
        prop_assert_eq!(by_subject(&letters), plainly::by_subject(&letters));
    }

    #[test]
    fn ids_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = message_ids(&bytes);
    }
}
