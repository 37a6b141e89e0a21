//! What a client has missed since a mod-sequence: for SELECT (QRESYNC) and FETCH (CHANGEDSINCE, VANISHED) of RFC 7162.
//!
//! Each answer is taken from one snapshot, so nothing falls between what is changed and what is expunged.

use crate::protocol::imap::parse::Resync;
use crate::protocol::imap::selected::Numbers;
use crate::store::{Folder, FolderId, Modseq, StoreError, Uid, UidSet, View};

/// Those of `uids` that exist, and those of them with a greater mod-sequence than `since`.
pub(super) fn changed(
    view: &View<'_>,
    folder: FolderId,
    uids: &UidSet,
    since: Modseq,
) -> Result<(UidSet, UidSet), StoreError> {
    let (mut there, mut changed) = (UidSet::new(), UidSet::new());
    for (first, last) in uids.ranges() {
        view.states(folder, *first..=*last, &mut |run| {
            there.insert_range(run.first, run.last());
            if run.modseq > since {
                changed.insert_range(run.first, run.last());
            }
        })?;
    }
    Ok((there, changed))
}

/// Those of `uids` that were expunged since. Where the folder does not remember that far back: all that are not there
/// (RFC 7162 section 3.2.6).
pub(super) fn vanished(view: &View<'_>, folder: &Folder, uids: &UidSet, since: Modseq) -> Result<UidSet, StoreError> {
    // A UID that was never given out cannot have gone.
    let last = folder.uidnext.saturating_sub(1);
    let given = UidSet::from_ranges((last > 0).then_some((1, last))).intersection(uids);
    match view.expunged_since(folder.id, since)? {
        Some(expunged) => Ok(expunged.intersection(&given)),
        None => Ok(given.difference(&changed(view, folder.id, &given, since)?.0)),
    }
}

/// What SELECT tells a client that remembers the mailbox (RFC 7162 section 3.2.5): the UIDs that vanished, and those whose flags it is to
/// be told. Nothing where it remembers another mailbox.
pub(super) fn missed(
    view: &View<'_>,
    folder: &Folder,
    numbers: &Numbers,
    resync: &Resync,
) -> Result<(UidSet, UidSet), StoreError> {
    if resync.uidvalidity != folder.uidvalidity {
        return Ok(Default::default());
    }
    let all = UidSet::from_ranges([(1, Uid::MAX)]);
    let known = resync.known.as_ref().map_or(all, |set| UidSet::from_ranges(set.resolve(0)));
    let mut asked = known.clone();
    if view.expunged_since(folder.id, resync.modseq)?.is_none() {
        // All UIDs that are not there would be told: those below a pair that still holds are not news (section 3.2.5.2).
        let from = matching(numbers, resync).saturating_add(1);
        asked = known.intersection(&UidSet::from_ranges([(from, Uid::MAX)]));
    }
    let vanished = vanished(view, folder, &asked, resync.modseq)?;
    let (_, changed) = changed(view, folder.id, &known, resync.modseq)?;
    Ok((vanished, changed))
}

/// The greatest UID of which the client knows the number it has now: nothing below it was expunged since. 0: none.
fn matching(numbers: &Numbers, resync: &Resync) -> Uid {
    let Some((known, uids)) = &resync.matched else {
        return 0;
    };
    let pairs = known.numbers().zip(uids.numbers()).take_while(|(number, _)| *number <= numbers.count());
    pairs.filter(|(number, uid)| numbers.number(*uid) == Some(*number)).map(|(_, uid)| uid).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::imap::parse::{Command, parse};

    #[test]
    fn the_last_pair_that_holds_counts() {
        let mut numbers = Numbers::default();
        [(2, 3), (7, 2)].into_iter().for_each(|(first, count)| numbers.push(first, count));
        for (pairs, expected) in
            [("1,3,5 2,4,8", 8), ("1:3 2,4,5", 2), ("1:4 1:4", 0), ("9:4294967295 9:4294967295", 0)]
        {
            let line = format!("a SELECT x (QRESYNC (1 1 ({pairs})))");
            let Command::Select(opening) = parse(line.as_bytes()).unwrap().command else { panic!("{line}") };
            assert_eq!(matching(&numbers, &opening.resync.unwrap()), expected, "{line}");
        }
    }
}
