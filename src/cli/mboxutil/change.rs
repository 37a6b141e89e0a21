//! mboxutil's changes: the plans of one mailbox, of a pattern or of a file, shown or carried out; and the lock.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::super::instance::store_failure;
use super::super::progress::Progress;
use super::super::ui::Ui;
use super::list::nothing;
use super::{Args, Here, mailbox_failure};
use crate::ops::mailbox::change::{Action, MailboxError, Mailboxes, Plan};
use crate::ops::mailbox::{Selection, each_account, read_name, show_name};
use crate::store::MailboxName;

/// One thing to do: what it is called in messages, the names it is about, or why these cannot be read.
struct Task {
    shown: String,
    names: Result<(MailboxName, Option<MailboxName>), MailboxError>,
}

/// Changes mailboxes.
pub(super) fn change(
    ui: &mut Ui,
    here: &Here,
    args: &Args,
    selection: &Selection,
    lines: Option<Vec<String>>,
) -> anyhow::Result<Exit> {
    let single = lines.is_none() && !args.words.is_empty();
    let partition = match (args.rename, lines.is_some()) {
        (true, true) => args.words.first(),
        (true, false) => args.words.get(2),
        _ => None,
    };
    let mut unreadable = 0;
    let tasks = match lines {
        Some(lines) => lines.iter().enumerate().filter_map(|(at, line)| task(args, at + 1, line)).collect(),
        None if single => vec![given(args)],
        None => {
            let (tasks, failed) = selected(ui, here, args, selection)?;
            unreadable = failed;
            tasks
        }
    };
    let mailboxes = here.mailboxes();
    let mut tally = Tally { tried: unreadable, failed: unreadable, changes: 0 };
    let total = tasks.len() as u64;
    let progress = Progress::new(total, "mailboxes");
    for task in tasks {
        tally.tried += 1;
        let done = task.names.and_then(|(name, to)| {
            let plan = plan(&mailboxes, args, &name, to.as_ref(), partition.map(String::as_str))?;
            tally.changes += u64::from(plan.changes());
            if args.dry_run {
                show(ui, args, &plan);
                return Ok(());
            }
            let messages = mailboxes.carry_out(&plan)?;
            if args.restore {
                ui.line(format!("{}: {} restored", task.shown, counted(messages, "message")));
            }
            Ok(())
        });
        match done {
            Ok(()) => {}
            Err(error) if single => return Err(mailbox_failure(error).into()),
            Err(error) => {
                tally.failed += 1;
                progress.error(ui, &format!("{}: {error}", task.shown));
            }
        }
        progress.step();
    }
    drop(progress);
    Ok(tally.end(ui, args))
}

struct Tally {
    tried: u64,
    failed: u64,
    changes: u64,
}

impl Tally {
    fn end(&self, ui: &mut Ui, args: &Args) -> Exit {
        if self.failed > 0 {
            ui.error(format!("{} of {} failed", self.failed, counted(self.tried, "mailbox")));
            Exit::Incomplete
        } else if args.dry_run && self.changes > 0 {
            Exit::WouldChange
        } else {
            Exit::Ok
        }
    }
}

fn plan(
    mailboxes: &Mailboxes<'_>,
    args: &Args,
    name: &MailboxName,
    to: Option<&MailboxName>,
    partition: Option<&str>,
) -> Result<Plan, MailboxError> {
    match to {
        _ if args.create => mailboxes.plan_create(name),
        _ if args.expunge => mailboxes.plan_expunge(name),
        _ if args.restore => mailboxes.plan_restore(name, args.time),
        Some(to) => mailboxes.plan_rename(name, to, partition),
        None => mailboxes.plan_delete(name),
    }
}

/// The task that the words of the command line name.
fn given(args: &Args) -> Task {
    let name = args.words.first().map_or("", String::as_str);
    let to = args.words.get(1).filter(|_| args.rename);
    let read = || Ok((read_name(name)?, to.map(|to| read_name(to)).transpose()?));
    Task { shown: name.to_owned(), names: read() }
}

/// The task of one line of a file; `None` for an empty line and for a remark (#).
fn task(args: &Args, number: usize, line: &str) -> Option<Task> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let shown = format!("line {number}: {line}");
    if !args.rename {
        return Some(Task { shown, names: read_name(line).map(|name| (name, None)).map_err(Into::into) });
    }
    let read = || {
        let (from, to) = two_names(line)
            .ok_or_else(|| MailboxError::Impossible("two names are expected, with a blank or a tab between".into()))?;
        Ok((read_name(from)?, Some(read_name(to)?)))
    };
    Some(Task { shown, names: read() })
}

/// Divides `OLD NEW`: at the tab, or else before the only other place where a name begins. Names may hold blanks.
fn two_names(line: &str) -> Option<(&str, &str)> {
    if let Some((from, to)) = line.split_once('\t') {
        return Some((from.trim(), to.trim()));
    }
    let mut places = line
        .match_indices(' ')
        .filter(|(at, _)| line.get(at + 1..at + 6).is_some_and(|root| root.eq_ignore_ascii_case("user/")));
    let (at, _) = places.next().filter(|_| places.next().is_none())?;
    Some((line.get(..at)?.trim_end(), line.get(at + 1..)?))
}

/// The tasks of a pattern, or of every mailbox; with how many accounts could not be read.
fn selected(ui: &mut Ui, here: &Here, args: &Args, selection: &Selection) -> anyhow::Result<(Vec<Task>, u64)> {
    let mut tasks = Vec::new();
    let mut any = false;
    let unreadable = each_account(&here.store, selection, &mut |found| {
        any = true;
        // A deleted account takes its folders with it; else those below go before those above.
        let whole = args.delete && found.folders.iter().any(|(path, _)| path.is_inbox());
        for (path, row) in found.folders.into_iter().rev() {
            if (whole && !path.is_inbox()) || (args.expunge && row.deleted == 0) {
                continue;
            }
            let shown = show_name(&found.account.userid, &path);
            let name = MailboxName { owner: found.account.userid.clone(), folder: path };
            tasks.push(Task { shown, names: Ok((name, None)) });
        }
        ControlFlow::Continue(())
    })
    .map_err(store_failure)?;
    for (userid, error) in &unreadable {
        ui.error(format!("user/{userid}: {error}"));
    }
    if !any && unreadable.is_empty() && (args.pattern.is_some() || args.regex.is_some()) {
        return Err(nothing(args).into());
    }
    Ok((tasks, unreadable.len() as u64))
}

/// Prints a plan.
fn show(ui: &mut Ui, args: &Args, plan: &Plan) {
    let name = show_name(&plan.mailbox.owner, &plan.mailbox.folder);
    let (word, text, to, partition) = match &plan.action {
        Action::Create { account: true } => ("create", "would create the account and", None, None),
        Action::Create { account: false } => ("create", "would create", None, None),
        Action::DeleteAccount => ("delete", "would delete the account of", None, None),
        Action::DeleteFolder => ("delete", "would delete", None, None),
        Action::Rename { to, partition } if *to == plan.mailbox => ("move", "would move", None, partition.as_ref()),
        Action::Rename { to, partition } => {
            ("rename", "would rename", Some(show_name(&to.owner, &to.folder)), partition.as_ref())
        }
        Action::Expunge => ("expunge", "would expunge", None, None),
        Action::Restore { .. } => ("restore", "would restore", None, None),
    };
    if args.json {
        ui.line(
            json!({
                "v": 1,
                "action": word,
                "mailbox": name,
                "to": to,
                "partition": partition,
                "folders": plan.folders,
                "messages": plan.messages,
                "bytes": plan.bytes,
            })
            .to_string(),
        );
        return;
    }
    if !plan.changes() {
        ui.line(format!("{name}: nothing to {word}"));
        return;
    }
    let mut line = format!("{text} {name}");
    if let Some(to) = to {
        line.push_str(&format!(" to {to}"));
    }
    if let Some(partition) = partition {
        line.push_str(&format!(" to partition {partition}"));
    }
    if !matches!(plan.action, Action::Create { .. }) {
        line.push_str(&format!(
            ": {}, {}, {}",
            counted(plan.folders, "folder"),
            counted(plan.messages, "message"),
            counted(plan.bytes, "byte")
        ));
    }
    ui.line(line);
}

fn counted(number: u64, what: &str) -> String {
    let plural = if what.ends_with('x') { "es" } else { "s" };
    format!("{number} {what}{}", if number == 1 { "" } else { plural })
}

/// Locks mailboxes while a command runs; ends as the command ends.
pub(super) fn lock(
    ui: &mut Ui,
    here: &Here,
    args: &Args,
    lines: Option<Vec<String>>,
    command: &[OsString],
) -> anyhow::Result<Exit> {
    let tasks: Vec<Task> = match lines {
        Some(lines) => lines.iter().enumerate().filter_map(|(at, line)| task(args, at + 1, line)).collect(),
        None => vec![given(args)],
    };
    let mut names = Vec::new();
    for task in tasks {
        // All or none: what is to be protected is not run half protected.
        let name = task.names.map_err(mailbox_failure)?.0;
        names.push(name);
    }
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Exit::Usage, "a command is missing").into());
    };
    let _locks = here.mailboxes().lock(&names, "mboxutil -k").map_err(mailbox_failure)?;
    ui.flush();
    let status = Command::new(program).args(arguments).status().map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        Failure::new(Exit::Other(code), format!("cannot run {}: {error}", program.display()))
    })?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    Ok(Exit::Other(u8::try_from(code).unwrap_or(255)))
}
