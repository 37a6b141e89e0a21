//! readership: who reads shared folders, who may look them up, and rights of them (2004Q2 Administration Guide, "To Monitor and Maintain Shared Folder
//! Data"; AdminRef 2005Q4 readership).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::ControlFlow;

use super::exit::{Exit, Failure};
use super::instance::{directory_failure, failure, instance, ready_store, store_failure};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::Conf;
use crate::log::{self, Category};
use crate::ops::acl;
use crate::ops::instance::{log_settings, open_directory};
use crate::os::clock;
use crate::store::{AccountId, AclChange, Folder, MailboxName, Rights, Store};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "readership",
    place: "sbin",
    about: "Tell who reads shared folders, and set rights of them",
    definition: || args::definition::<Args>("readership"),
    run,
};

const DAY_S: i64 = 86_400;
/// A month of `-p`, days.
const MONTH_DAYS: i64 = 30;

/// Tell how many users read shared folders, who may look them up, and set rights of them.
///
/// Without options as with -d 30. A reader is a user who has selected the folder; the owner is none.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("what").multiple(false))]
pub struct Args {
    /// For each shared folder: how many users have selected it within so many days.
    #[arg(short = 'd', value_name = "DAYS", group = "what", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Forget users who have not selected a folder within so many months of 30 days.
    #[arg(short = 'p', value_name = "MONTHS", group = "what", value_parser = clap::value_parser!(u32).range(1..=1_200))]
    months: Option<u32>,
    /// For each identifier: the shared folders that it may look up; with FOLDER, that one only.
    #[arg(short = 'l', value_name = "FOLDER", group = "what", num_args = 0..=1)]
    lookup: Option<Option<String>>,
    /// Give an identifier (a user, anyone, anyone@DOMAIN, group=NAME, with - before it to deny) exactly these rights of a folder, of lrswipcda; with none ("")
    /// its entry goes.
    #[arg(short = 's', value_names = ["FOLDER", "IDENTIFIER", "RIGHTS"], group = "what", num_args = 3, allow_hyphen_values = true)]
    set: Option<Vec<String>>,
    /// Tell for each right which entries grant or deny it to a user.
    #[arg(long, value_names = ["FOLDER", "USER"], group = "what", num_args = 2)]
    explain: Option<Vec<String>>,
    /// With -d also name the readers, and when each selected the folder last.
    #[arg(long, conflicts_with_all = ["months", "lookup", "set", "explain"])]
    who: bool,
    /// One JSON object a line.
    #[arg(long, conflicts_with_all = ["months", "set"])]
    json: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    log::init(log_settings(&instance, &conf, "default", "readership"));
    let default_domain = Some(conf.string("local.defdomain")).filter(|domain| !domain.is_empty());
    if let Some(words) = &args.set {
        let [folder, identifier, rights] = words.as_slice() else { return Ok(Exit::Usage) };
        return set(&store, default_domain.as_deref(), folder, identifier, rights);
    }
    if let Some(words) = &args.explain {
        let [folder, user] = words.as_slice() else { return Ok(Exit::Usage) };
        let directory = open_directory(&instance, &conf);
        let userid = crate::directory::canonical_userid(user, default_domain.as_deref());
        let found = directory.entry(&userid).map_err(directory_failure)?;
        let Some(user) = found else {
            return Err(Failure::new(Exit::NoUser, format!("no such user: {userid}")).into());
        };
        let admin = conf.list("store.admins").contains(&user.userid) || user.service_admin;
        return explain(ui, &args, &store, &conf, folder, &user, admin);
    }
    if let Some(only) = &args.lookup {
        return lookups(ui, &args, &store, only.as_deref());
    }
    match args.months {
        Some(months) => forget(ui, &store, clock::now_s() - i64::from(months) * MONTH_DAYS * DAY_S),
        None => readers(ui, &args, &store, &conf),
    }
}

/// The mailbox of a name whose first word may begin with a capital, `User/public/golf`.
fn mailbox(store: &Store, name: &str) -> anyhow::Result<(AccountId, Folder, MailboxName)> {
    let lower = match name.split_once('/') {
        Some((first, rest)) if first.eq_ignore_ascii_case("user") => format!("user/{rest}"),
        _ => name.to_owned(),
    };
    let mailbox = MailboxName::parse(&lower)
        .map_err(|error| Failure::new(Exit::Usage, format!("{name}: {error}")).hint("user/OWNER/FOLDER"))?;
    let missing = || {
        Failure::new(Exit::NoInput, format!("mailbox {mailbox} does not exist"))
            .hint("mboxutil -l -s lists all mailboxes")
    };
    let account = store.account_id(&mailbox.owner).map_err(store_failure)?.ok_or_else(missing)?;
    let found = store.view(account).and_then(|view| view.resolve(&mailbox.folder)).map_err(store_failure)?;
    let folder = found.filter(|folder| !folder.noselect).ok_or_else(missing)?;
    Ok((account, folder, mailbox))
}

/// How the tools of the manual name a mailbox: INBOX by its owner alone.
fn shown(mailbox: &MailboxName) -> String {
    if mailbox.folder.is_inbox() { format!("user/{}", mailbox.owner) } else { mailbox.to_string() }
}

fn set(
    store: &Store,
    default_domain: Option<&str>,
    name: &str,
    identifier: &str,
    letters: &str,
) -> anyhow::Result<Exit> {
    let rights = Rights::parse(letters).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{letters} are no rights")).hint(format!("letters of {}", Rights::LETTERS))
    })?;
    let identifier = acl::identifier(identifier, default_domain)
        .map_err(|why| Failure::new(Exit::Usage, format!("{identifier}: {why}")))?;
    let (account, folder, _) = mailbox(store, name)?;
    let changed =
        store.change_acl(account, folder.id, &identifier, AclChange::Replace(rights)).map_err(store_failure)?;
    if let Some(line) = acl::change_line("readership", &identifier, &changed) {
        log::notice(Category::Store, line);
    }
    Ok(Exit::Ok)
}

fn lookups(ui: &mut Ui, args: &Args, store: &Store, only: Option<&str>) -> anyhow::Result<Exit> {
    let only = only.map(|name| mailbox(store, name)).transpose()?.map(|(_, _, name)| name);
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (identifier, mailbox) in store.lookups().map_err(store_failure)? {
        if only.as_ref().is_some_and(|only| *only != mailbox) {
            continue;
        }
        match found.last_mut().filter(|last| last.0.to_lowercase() == identifier.to_lowercase()) {
            Some(last) => last.1.push(shown(&mailbox)),
            None => found.push((identifier, vec![shown(&mailbox)])),
        }
    }
    for (identifier, folders) in found {
        match args.json {
            true => ui.line(serde_json::json!({ "identifier": identifier, "folders": folders }).to_string()),
            false => ui.line(format!("{identifier}: {}", folders.join(" "))),
        }
    }
    Ok(Exit::Ok)
}

fn readers(ui: &mut Ui, args: &Args, store: &Store, conf: &Conf) -> anyhow::Result<Exit> {
    let since_s = clock::now_s() - i64::from(args.days.unwrap_or(30)) * DAY_S;
    let public = conf.string("store.publicsharedfolders.user");
    let mut names: BTreeMap<AccountId, String> = BTreeMap::new();
    if args.who {
        names =
            store.accounts().map_err(store_failure)?.into_iter().map(|(userid, account)| (account, userid)).collect();
    }
    store
        .each_shared(&mut |folder| {
            let recent: Vec<&(AccountId, i64)> = folder.readers.iter().filter(|reader| reader.1 >= since_s).collect();
            // A personal mailbox without a reader is not reported.
            if recent.is_empty() && (public.is_empty() || folder.mailbox.owner != public) {
                return ControlFlow::Continue(());
            }
            let name = shown(&folder.mailbox);
            let mut who: Vec<(String, i64)> = match args.who {
                true => recent
                    .iter()
                    .map(|(id, at)| (names.get(id).map_or("(deleted)", String::as_str).to_owned(), *at))
                    .collect(),
                false => Vec::new(),
            };
            who.sort();
            if args.json {
                let readers: Vec<serde_json::Value> =
                    who.iter().map(|(user, at)| serde_json::json!({ "user": user, "selected_s": at })).collect();
                let mut row = serde_json::json!({ "folder": name, "readers": recent.len() });
                if let Some(row) = row.as_object_mut().filter(|_| args.who) {
                    row.insert("who".into(), readers.into());
                }
                ui.line(row.to_string());
            } else {
                ui.line(format!("{} {name}", recent.len()));
                for (user, at) in who {
                    ui.line(format!("  {user} {}", minute(at)));
                }
            }
            if ui.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(store_failure)?;
    Ok(Exit::Ok)
}

/// A time for people: local, to the minute.
fn minute(at_s: i64) -> String {
    let time = chrono::DateTime::from_timestamp(at_s, 0).unwrap_or_default();
    time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M").to_string()
}

fn forget(ui: &mut Ui, store: &Store, before_s: i64) -> anyhow::Result<Exit> {
    let (mut gone, mut exit) = (0, Exit::Ok);
    for (userid, account) in store.accounts().map_err(store_failure)? {
        match store.forget_readers(account, before_s) {
            Ok(count) => gone += count,
            Err(error) if error.kind() == crate::store::Kind::NotFound => {}
            Err(error) => {
                ui.error(format!("{userid}: {error}"));
                exit = Exit::Software;
            }
        }
    }
    log::notice(
        Category::Store,
        format!("readership: {gone} readers forgotten who selected no shared folder for long"),
    );
    Ok(exit)
}

fn explain(
    ui: &mut Ui,
    args: &Args,
    store: &Store,
    conf: &Conf,
    name: &str,
    user: &crate::directory::User,
    admin: bool,
) -> anyhow::Result<Exit> {
    let (_, folder, mailbox) = mailbox(store, name)?;
    let domain = conf.string("local.defdomain");
    let owner = mailbox.owner == user.userid;
    let always = owner || admin;
    let listed = folder.acl.rights_of(&user.userid, &user.groups, &domain);
    let all = if always { listed.with(Rights::ALWAYS) } else { listed };
    if !args.json {
        ui.line(format!(
            "{}: {} has {}",
            shown(&mailbox),
            user.userid,
            if all == Rights::NONE { "no rights".to_owned() } else { all.to_string() }
        ));
    }
    for letter in Rights::LETTERS.chars() {
        let Some(right) = Rights::parse(&letter.to_string()) else { continue };
        let of = |denies: bool| -> Vec<String> {
            let entries = folder.acl.of_user(&user.userid, &user.groups, &domain);
            let these =
                entries.filter(|entry| entry.rights.contains(right) && entry.identifier.starts_with('-') == denies);
            these.map(|entry| entry.identifier.clone()).collect()
        };
        let (granted, denied) = (of(false), of(true));
        let because =
            (always && Rights::ALWAYS.contains(right)).then_some(if owner { "the owner" } else { "an administrator" });
        if args.json {
            let row = serde_json::json!({
                "folder": shown(&mailbox), "user": user.userid, "right": letter.to_string(), "has": all.contains(right),
                "granted": granted, "denied": denied, "always": because,
            });
            ui.line(row.to_string());
            continue;
        }
        let mut words = Vec::new();
        words.extend((!granted.is_empty()).then(|| format!("granted to {}", granted.join(" "))));
        words.extend((!denied.is_empty()).then(|| format!("denied by {}", denied.join(" "))));
        words.extend(because.map(|who| format!("kept as {who}")));
        let why = if words.is_empty() { "no entry".to_owned() } else { words.join(", ") };
        ui.line(format!("{letter} {}: {why}", if all.contains(right) { "yes" } else { "no" }));
    }
    Ok(Exit::Ok)
}
