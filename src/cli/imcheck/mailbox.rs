//! A mailbox and its messages in the form of imcheck -m.

use std::ops::ControlFlow;

use chrono::{Local, TimeZone};

use super::super::ui::Ui;
use crate::message::header;
use crate::ops::mailbox::show_name;
use crate::store::{AccountId, Flags, FolderPath, Gone, Keywords, Message, StateRun, Store, StoreError, Uid};

const RULE: &str = "--------------------------------------------------------------";
const HEAD: &str = " MsgNo    Uid  Internal Date      Sent Date     Size HSize CacheOff  Last Updated      Save Date MT  SFlags UFlags   Original-Uid   Message-id";
const HEAD_RULE: &str = "-----------------------------------------------------------------------";
/// Version of the mailbox format: that of docs/store-format.md.
const VERSION: u32 = 1;
/// Where the entries of store.idx begin.
const START: u64 = 128;

/// Prints a mailbox; with `expunged` also what waits for purge.
pub(super) fn print(
    ui: &mut Ui,
    store: &Store,
    account: AccountId,
    path: &FolderPath,
    expunged: bool,
) -> Result<(), StoreError> {
    let view = store.view(account)?;
    let missing = || StoreError::NotFound { what: "the mailbox".into() };
    let row = view.resolve(path)?.ok_or_else(missing)?;
    let owner = view.account()?;
    let keywords = view.keywords()?;
    let subscribed = view.is_subscribed(&path.to_string())?;
    let dir = view.folder_dir(row.id)?;
    let mut messages: Vec<Message> = Vec::new();
    view.messages(row.id, 0..=Uid::MAX, &mut |message| {
        messages.push(message);
        ControlFlow::Continue(())
    })?;
    let mut runs: Vec<StateRun> = Vec::new();
    view.states(row.id, 0..=Uid::MAX, &mut |run| runs.push(run))?;
    let mut gone: Vec<Gone> = Vec::new();
    if expunged {
        view.gone(row.id, &mut |one| {
            gone.push(one);
            ControlFlow::Continue(())
        })?;
    }
    drop(view);
    let oldest = messages.iter().map(|message| message.internal_date_s).min();
    let first = messages.iter().find(|message| message.entry.offset != 0);
    ui.line(RULE);
    let name = show_name(&owner.userid, path);
    ui.line(format!("Name: {}", if path.is_inbox() { format!("user/{}", owner.userid) } else { name }));
    ui.line(format!("Version: {VERSION}"));
    ui.line(format!("Exists: {}", row.exists));
    ui.line(format!("Flags: {}", u8::from(row.noselect)));
    ui.line(format!("Largest Msg: {} bytes", messages.iter().map(|message| message.size).max().unwrap_or(0)));
    ui.line(format!("Last Append: {}", time(Some(row.last_append_s).filter(|time| *time != 0))));
    ui.line(format!("Last UID: {}", row.uidnext.saturating_sub(1)));
    ui.line(format!("Oldest Msg: {}", time(oldest)));
    ui.line(format!("Oldest Uid: {}", messages.first().map_or(0, |message| message.uid)));
    ui.line(format!("Quota Used: {}", row.bytes));
    ui.line(format!("UID Validity: {}", row.uidvalidity));
    ui.line(format!("Cache Offset: {}", first.map_or(row.idx_len, |message| message.entry.offset)));
    ui.line(format!("Start Offset: {START}"));
    for entry in &row.acl.0 {
        ui.line(format!("ACL: {:<9} {}", entry.identifier, entry.rights));
    }
    ui.line("Userflags:");
    keywords.iter().for_each(|keyword| ui.line(format!("  {keyword}")));
    ui.line(format!("Subscribed: {}", u8::from(subscribed)));
    ui.line(format!("Partition: {}", row.partition));
    ui.line(format!("Path: {}", dir.display()));
    ui.line(format!("Msg Path: {}", dir.display()));
    ui.line("");
    ui.line(HEAD);
    ui.line(HEAD_RULE);
    let mut index = store.index(account, &row)?;
    let mut runs = runs.into_iter().peekable();
    for (number, message) in (1u64..).zip(&messages) {
        while runs.next_if(|run| run.last() < message.uid).is_some() {}
        let state = runs.peek().filter(|run| run.first <= message.uid);
        let (flags, bits) = state.map_or((Flags::NONE, Keywords::default()), |run| (run.flags, run.keywords));
        // A message whose file is gone has its row all the same.
        let id = index.with_headers(message, message_id).unwrap_or_default();
        ui.line(line(number, message, (message.uid >= row.recent_from, flags, bits), row.uidvalidity, &id));
        if ui.is_broken() {
            return Ok(());
        }
    }
    if expunged {
        ui.line("");
        ui.line("Expunged:");
        for one in gone {
            let state = (false, one.flags, one.keywords);
            let id = if one.purging {
                String::new()
            } else {
                index.with_headers(&one.message, message_id).unwrap_or_default()
            };
            ui.line(format!("{} {}", line(0, &one.message, state, row.uidvalidity, &id), time(Some(one.expunged_s))));
        }
    }
    Ok(())
}

/// Prints one message, by its number from 1, with what store.idx has of it.
pub(super) fn message(
    ui: &mut Ui,
    store: &Store,
    account: AccountId,
    path: &FolderPath,
    number: u32,
) -> Result<(), StoreError> {
    let view = store.view(account)?;
    let missing = |what: String| StoreError::NotFound { what };
    let row = view.resolve(path)?.ok_or_else(|| missing("the mailbox".into()))?;
    let mut left = number;
    let mut found = None;
    let mut runs: Vec<StateRun> = Vec::new();
    view.states(row.id, 0..=Uid::MAX, &mut |run| runs.push(run))?;
    for run in runs {
        if left <= run.count {
            found = Some((run.first + left - 1, run));
            break;
        }
        left -= run.count;
    }
    let absent = || missing(format!("message {number} of {} messages", row.exists));
    let (uid, run) = found.ok_or_else(absent)?;
    let message = view.message(row.id, uid)?.ok_or_else(absent)?;
    let dir = view.folder_dir(row.id)?;
    drop(view);
    let mut index = store.index(account, &row)?;
    let (entry, source) = index.entry(&message)?;
    ui.line(HEAD);
    ui.line(HEAD_RULE);
    let state = (uid >= row.recent_from, run.flags, run.keywords);
    ui.line(line(u64::from(number), &message, state, row.uidvalidity, &message_id(entry.headers())));
    ui.line("");
    ui.line(format!("Msg Path: {}", dir.join(crate::store::layout::message_file(uid)).display()));
    ui.line(format!("Guid: {}", message.guid));
    ui.line(format!("Modseq: {}", run.modseq));
    ui.line(format!(
        "Cache: {}",
        match source {
            crate::store::Source::Cache => "store.idx",
            crate::store::Source::Uncached => "none, read from the message",
            crate::store::Source::Damaged => "damaged, read from the message",
        }
    ));
    for (name, text) in
        [("Envelope", entry.envelope()), ("Body", entry.body()), ("Bodystructure", entry.bodystructure())]
    {
        ui.line(format!("{name}: {}", String::from_utf8_lossy(text)));
    }
    ui.line("Headers:");
    for text in String::from_utf8_lossy(entry.headers()).lines() {
        ui.line(format!("  {text}"));
    }
    Ok(())
}

fn line(
    number: u64,
    message: &Message,
    (recent, flags, keywords): (bool, Flags, Keywords),
    validity: u32,
    id: &str,
) -> String {
    let digit = |flag| u8::from(flags.contains(flag));
    format!(
        "{number:>6} {:>6} {} {:>14} {:>8} {:>5} {:>8} {:>14} {} {:>2} {}{}{}{}{}{}0 {} {:<16} {id}",
        message.uid,
        time(Some(message.internal_date_s)),
        time(message.sent_s),
        message.size,
        message.header_size,
        message.entry.offset,
        // The time of the last change of a message's state is not kept: its modification sequence is.
        "-",
        time(Some(message.saved_s)),
        0,
        u8::from(recent),
        digit(Flags::DELETED),
        digit(Flags::SEEN),
        digit(Flags::ANSWERED),
        digit(Flags::FLAGGED),
        digit(Flags::DRAFT),
        mask(keywords),
        format!("{validity}-{}", message.uid),
    )
}

/// The keywords as a hexadecimal mask: the first eight are the first byte, the lowest bit the first; at least three bytes.
fn mask(keywords: Keywords) -> String {
    let bytes = keywords.0.to_le_bytes();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1).max(3);
    bytes.iter().take(used).map(|byte| format!("{byte:02x}")).collect()
}

/// `YYYYMMDDhhmmss` in local time.
fn time(time_s: Option<i64>) -> String {
    let shown = time_s.and_then(|time_s| Local.timestamp_opt(time_s, 0).single());
    shown.map_or_else(|| "-".into(), |time| time.format("%Y%m%d%H%M%S").to_string())
}

fn message_id(headers: &[u8]) -> String {
    let found = header::find(headers, "Message-ID").map(|field| field.unfolded().into_owned()).unwrap_or_default();
    String::from_utf8_lossy(&found).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_keywords_are_one_byte_of_three() {
        assert_eq!(mask(Keywords(0x3f)), "3f0000");
        assert_eq!(mask(Keywords::default()), "000000");
        assert_eq!(mask(Keywords(1 << 24)), "00000001");
    }
}
