//! What mboxutil lists: mailboxes in the classic columns, as JSON or as a table; orphaned accounts.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use chrono::{DateTime, Local, SecondsFormat, TimeZone, Utc};
use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::super::instance::store_failure;
use super::super::ui::Ui;
use super::{Args, Here, finish, mailbox_failure};
use crate::ops::mailbox::{Found, Selection, each_account, show_name};
use crate::store::{Folder, FolderPath};

/// The classic head line; the widths of the columns below it are the same.
const HEAD: &str = "  msgs  Kbytes last msg         partition   quotaroot mailbox";
/// What stands for the time of the last message where there was none: two words, as a time has.
const NEVER: &str = "----/--/-- --:--";

/// Lists mailboxes.
pub(super) fn list(ui: &mut Ui, here: &Here, args: &Args, selection: &Selection) -> anyhow::Result<Exit> {
    let mut form = match args {
        Args { names: true, .. } => Form::Names,
        Args { json: true, .. } => Form::Json,
        Args { table: true, .. } => Form::table(args.extended),
        _ => {
            ui.line(HEAD);
            Form::Columns { extended: args.extended }
        }
    };
    let mut any = false;
    let unreadable = each_account(&here.store, selection, &mut |found| {
        any = true;
        for (path, row) in &found.folders {
            form.add(ui, here, &found, path, row);
        }
        if ui.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(store_failure)?;
    if let Form::Table(table, _) = &form {
        ui.line(table.to_string());
    }
    for (userid, error) in &unreadable {
        ui.error(format!("user/{userid}: {error}"));
    }
    if !unreadable.is_empty() {
        ui.error("reconstruct -n -r shows what is damaged");
        return Ok(Exit::Incomplete);
    }
    if !any && (args.pattern.is_some() || args.regex.is_some()) {
        return Err(nothing(args).into());
    }
    Ok(Exit::Ok)
}

/// A pattern took no mailbox.
pub(super) fn nothing(args: &Args) -> Failure {
    let pattern = args.pattern.as_deref().or(args.regex.as_deref()).unwrap_or("*");
    Failure::new(Exit::NoInput, format!("no mailbox matches {pattern}"))
        .hint("a pattern is compared with whole names such as user/joe/INBOX; mboxutil -l -s lists all")
}

enum Form {
    Names,
    Columns { extended: bool },
    Json,
    Table(Box<comfy_table::Table>, bool),
}

impl Form {
    fn table(extended: bool) -> Form {
        let mut table = comfy_table::Table::new();
        let mut head = vec!["msgs", "Kbytes", "last msg", "partition", "quotaroot", "mailbox"];
        if extended {
            head.extend(["path", "acl"]);
        }
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(head);
        Form::Table(Box::new(table), extended)
    }

    fn add(&mut self, ui: &mut Ui, here: &Here, found: &Found, path: &FolderPath, row: &Folder) {
        let name = show_name(&found.account.userid, path);
        match self {
            Form::Names => ui.line(name),
            Form::Json => ui.line(object(here, found, path, row, &name)),
            Form::Columns { extended } => {
                let [messages, kbytes, last, partition, quota] = cells(found, row);
                let mut line = format!("{messages:>6} {kbytes:>7} {last:<16} {partition:<11} {quota:>9} {name}");
                if *extended {
                    let _ = write!(line, " {} {}", directory(here, found, path, row), row.acl);
                }
                ui.line(line);
            }
            Form::Table(table, extended) => {
                let mut cells = cells(found, row).to_vec();
                cells.push(name);
                if *extended {
                    cells.extend([directory(here, found, path, row), row.acl.to_string()]);
                }
                table.add_row(cells);
            }
        }
    }
}

/// Messages, kilobytes (rounded up), last message, partition, quota.
fn cells(found: &Found, row: &Folder) -> [String; 5] {
    [
        row.exists.to_string(),
        row.bytes.div_ceil(1024).to_string(),
        local_time(row.last_append_s),
        row.partition.clone(),
        found.account.quota_bytes.map_or_else(|| "unlimited".to_owned(), |bytes| (bytes / 1024).to_string()),
    ]
}

fn local_time(time_s: i64) -> String {
    match Local.timestamp_opt(time_s, 0).single() {
        Some(time) if time_s != 0 => time.format("%Y/%m/%d %H:%M").to_string(),
        _ => NEVER.to_owned(),
    }
}

fn directory(here: &Here, found: &Found, path: &FolderPath, row: &Folder) -> String {
    found.directory(&here.store, path, row).map_or_else(|| "-".to_owned(), |path| path.display().to_string())
}

fn object(here: &Here, found: &Found, path: &FolderPath, row: &Folder, name: &str) -> String {
    let last = DateTime::<Utc>::from_timestamp(row.last_append_s, 0).filter(|_| row.last_append_s != 0);
    let acl: Vec<_> = row
        .acl
        .0
        .iter()
        .map(|entry| json!({ "identifier": entry.identifier, "rights": entry.rights.to_string() }))
        .collect();
    json!({
        "v": 1,
        "mailbox": name,
        "mutf7": format!("user/{}/{path}", found.account.userid),
        "owner": found.account.userid,
        "messages": row.exists,
        "unseen": row.unseen,
        "deleted": row.deleted,
        "bytes": row.bytes,
        "last_message": last.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        "partition": row.partition,
        "quota_bytes": found.account.quota_bytes,
        "path": directory(here, found, path, row),
        "acl": acl,
        "uidvalidity": row.uidvalidity,
        "uidnext": row.uidnext,
        "special_use": row.special_use.attributes().collect::<Vec<_>>(),
    })
    .to_string()
}

/// Lists accounts without a directory entry, on standard output or in the file of -w.
pub(super) fn orphans(ui: &mut Ui, here: &Here, args: &Args, output: Option<BufWriter<File>>) -> anyhow::Result<Exit> {
    let lines: Vec<String> = here
        .mailboxes()
        .orphans(args.time.map(|days| crate::os::clock::now_s() - i64::from(days) * 86_400))
        .map_err(mailbox_failure)?
        .into_iter()
        .map(|userid| match args.json {
            true => json!({ "v": 1, "mailbox": format!("user/{userid}/INBOX"), "owner": userid }).to_string(),
            false => format!("user/{userid}/INBOX"),
        })
        .collect();
    let (Some(path), Some(mut output)) = (&args.write, output) else {
        lines.iter().for_each(|line| ui.line(line));
        return Ok(Exit::Ok);
    };
    for line in &lines {
        // What was not written now is met again when the file is finished.
        let _ = writeln!(output, "{line}");
    }
    finish(path, output)?;
    Ok(Exit::Ok)
}
