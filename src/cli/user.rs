//! user: the accounts of the user directory (ours).

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::instance::{directory_failure, failure, instance};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::directory::{Change, Directory, DirectoryError, User, canonical_userid, check_userid, password, scram};
use crate::ops::instance::{become_server, open_directory};
use crate::os::terminal;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "user",
    place: "",
    about: "Add, change, list and delete the accounts of the user directory",
    definition: || args::definition::<Args>("user"),
    run,
};

/// Add, change, list and delete the accounts of the user directory: of `config/directory.ldif`, or of the LDAP servers of `local.ugldaphost`.
///
/// A userid is `joe` in the default domain, `joe@siroe.com` in another. A password is read from standard input, one line, or asked
/// for on a terminal.
#[derive(Debug, clap::Parser)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add an account.
    Add(Add),
    /// Give an account another password.
    Passwd {
        /// The account.
        userid: String,
    },
    /// List the accounts.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one account.
    Show {
        /// The account.
        userid: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Delete an account from the directory. Its mail stays.
    Delete {
        /// The account.
        userid: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Only say what would be deleted (exit code 2).
        #[arg(long, short = 'n', conflicts_with = "yes")]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The account: NAME or NAME@DOMAIN.
    userid: String,
    /// The person's name; the userid where it is not given.
    #[arg(long)]
    name: Option<String>,
    /// The primary address; userid and domain where it is not given.
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<String>,
    /// A further address.
    #[arg(long, value_name = "ADDRESS")]
    alias: Vec<String>,
    /// Quota in bytes, with K, M or G behind it; -1 unlimited.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    quota: Option<String>,
    /// Quota in messages; -1 unlimited.
    #[arg(long, value_name = "MESSAGES", allow_hyphen_values = true)]
    messages: Option<i64>,
    /// The partition of the mailbox.
    #[arg(long, value_name = "NICKNAME")]
    partition: Option<String>,
}

/// What every command works on.
struct Context {
    instance: Instance,
    conf: Conf,
    directory: Directory,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    become_server(&conf).map_err(|error| Failure::new(Exit::NoPerm, error.to_string()))?;
    let context = Context { directory: open_directory(&instance, &conf), instance, conf };
    match args.command {
        Command::Add(new) => add(ui, &context, new),
        Command::Passwd { userid } => passwd(ui, &context, &userid),
        Command::List { json } => list(ui, &context, json),
        Command::Show { userid, json } => show(ui, &context, &userid, json),
        Command::Delete { userid, yes, dry_run } => delete(ui, &context, &userid, yes, dry_run),
    }
}

impl Context {
    fn default_domain(&self) -> Option<String> {
        self.conf.get("local.defdomain").filter(|domain| !domain.is_empty())
    }

    /// The account of this name, which must be there.
    fn known(&self, userid: &str) -> anyhow::Result<User> {
        self.directory.entry(userid).map_err(directory_failure)?.ok_or_else(|| {
            Failure::new(Exit::NoUser, format!("no such user: {userid}")).hint("msgstore user list").into()
        })
    }
}

fn add(ui: &mut Ui, context: &Context, new: Add) -> anyhow::Result<Exit> {
    let domain = context.default_domain();
    let userid = canonical_userid(&new.userid, domain.as_deref());
    check_userid(&userid).map_err(|text| Failure::new(Exit::Usage, text))?;
    if context.directory.entry(&userid).map_err(directory_failure)?.is_some() {
        return Err(directory_failure(DirectoryError::Exists(userid)).into());
    }
    let mail = match (&new.mail, &domain) {
        (Some(mail), _) => mail.clone(),
        (None, _) if userid.contains('@') => userid.clone(),
        (None, Some(domain)) => format!("{userid}@{domain}"),
        (None, None) => String::new(),
    };
    for address in Some(&mail).filter(|mail| !mail.is_empty()).into_iter().chain(&new.alias) {
        check_address(context, address)?;
    }
    if let Some(partition) = &new.partition
        && !context.conf.partitions().iter().any(|(name, _)| name == partition)
    {
        return Err(Failure::new(Exit::NoInput, format!("Unknown/invalid partition: {partition}"))
            .hint("configutil -p store.partition")
            .into());
    }
    let quota = new.quota.as_deref().map(quota).transpose()?;
    let secrets = secrets(ui)?;
    let name = new.name.unwrap_or_else(|| userid.clone());
    let last = name.split_whitespace().last().unwrap_or(&name);
    let messages = new.messages.map(|count| count.to_string());
    let mut attributes: Vec<(&str, &str)> = [
        "top",
        "person",
        "organizationalPerson",
        "inetOrgPerson",
        "inetUser",
        "inetMailUser",
        "inetLocalMailRecipient",
        "authPasswordObject",
    ]
    .map(|class| ("objectClass", class))
    .to_vec();
    attributes.extend([("cn", name.as_str()), ("sn", last)]);
    let optional = |name, value: Option<&'_ String>| value.map(|value| (name, value.clone()));
    let further: Vec<(&str, String)> = optional("mail", Some(&mail).filter(|mail| !mail.is_empty()))
        .into_iter()
        .chain(new.alias.iter().map(|alias| ("mailAlternateAddress", alias.clone())))
        .chain(optional("mailQuota", quota.as_ref()))
        .chain(optional("mailMsgQuota", messages.as_ref()))
        .chain(optional("mailMessageStore", new.partition.as_ref()))
        .collect();
    attributes.extend(further.iter().map(|(name, value)| (*name, value.as_str())));
    attributes.extend([
        ("mailDeliveryOption", "mailbox"),
        ("inetUserStatus", "active"),
        ("mailUserStatus", "active"),
        ("userPassword", secrets.hash.as_str()),
    ]);
    attributes.extend(secrets.keys.iter().map(|keys| ("authPassword", keys.as_str())));
    context.directory.add_user(&userid, &mail, &attributes).map_err(directory_failure)?;
    ui.line(format!("added {userid}"));
    let user = context.known(&userid)?;
    // The account in the store is a convenience here: without it the first login or delivery makes one.
    let made = crate::ops::store::open(&context.instance, &context.conf)
        .and_then(|store| crate::ops::account::of_user(&store, &user, crate::os::clock::now_s()));
    if let Err(error) = made {
        ui.warn(format!("the mailbox is made at the first login or delivery, not now: {error}"));
    }
    Ok(Exit::Ok)
}

fn check_address(context: &Context, address: &str) -> anyhow::Result<()> {
    let sound = address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !sound || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::new(Exit::Usage, format!("\"{address}\" is not a mail address")).into());
    }
    // Mail to an address goes to who has it before it goes to the userid of that name.
    let directory = &context.directory;
    if directory.has_address(address).map_err(directory_failure)?
        || directory.entry(address).map_err(directory_failure)?.is_some()
    {
        let what = format!("the address {address} belongs to another user already");
        return Err(Failure::new(Exit::CantCreate, what).into());
    }
    Ok(())
}

/// The value of `mailQuota`: bytes, counted out.
fn quota(text: &str) -> anyhow::Result<String> {
    let value = crate::config::number(text).filter(|value| *value >= -1);
    value.map(|value| value.to_string()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("\"{text}\" is not a quota: a number of bytes, with K, M or G, or -1")).into()
    })
}

fn passwd(ui: &mut Ui, context: &Context, userid: &str) -> anyhow::Result<Exit> {
    let user = context.known(userid)?;
    let secrets = secrets(ui)?;
    let keys: Vec<&str> = secrets.keys.iter().map(String::as_str).collect();
    let changes: &[Change<'_>] = &[("userPassword", &[&secrets.hash]), ("authPassword", &keys)];
    context.directory.replace(&user.dn, changes).map_err(directory_failure)?;
    ui.line(format!("changed the password of {}", user.userid));
    Ok(Exit::Ok)
}

fn list(ui: &mut Ui, context: &Context, json: bool) -> anyhow::Result<Exit> {
    let mut any = false;
    let problems = context.directory.for_each_user(&mut |user| {
        if !json && !std::mem::replace(&mut any, true) {
            ui.line(row(["userid", "status", "quota", "mail", "name"]));
        }
        if json {
            ui.line(object(&user).to_string());
        } else {
            let quota = limit(user.mail_quota.limit.number());
            ui.line(row([&user.userid, user.status.name(), &quota, &user.mail, &user.name]));
        }
        ControlFlow::Continue(())
    });
    let problems = problems.map_err(directory_failure)?;
    for problem in &problems {
        ui.warn(problem);
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

fn row(columns: [&str; 5]) -> String {
    let [userid, status, quota, mail, name] = columns;
    format!("{userid:<24} {status:<10} {quota:>12} {mail:<32} {name}").trim_end().to_owned()
}

fn limit(value: Option<i64>) -> String {
    match value {
        None => "default".to_owned(),
        Some(-1) => "unlimited".to_owned(),
        Some(value) => value.to_string(),
    }
}

fn show(ui: &mut Ui, context: &Context, userid: &str, json: bool) -> anyhow::Result<Exit> {
    let user = context.known(userid)?;
    if json {
        ui.line(object(&user).to_string());
        return Ok(Exit::Ok);
    }
    ui.line(format!("userid: {}", user.userid));
    ui.line(format!("dn: {}", user.dn));
    ui.line(format!("name: {}", user.name));
    ui.line(format!("status: {}", user.status.name()));
    if user.standing() != user.status {
        ui.line(format!("status of the domain: {}", user.domain_status.name()));
    }
    ui.line(format!(
        "quota: {} bytes, {} messages",
        limit(user.mail_quota.limit.number()),
        limit(user.msg_quota.limit.number())
    ));
    let partition = user.partition.clone();
    let partition = partition.unwrap_or_else(|| context.conf.default_partition());
    ui.line(format!("partition: {partition}"));
    for (what, values) in [
        ("mail", vec![user.mail]),
        ("alias", user.alternates),
        ("services", user.allowed_services.into_iter().collect()),
        ("group", user.groups),
    ] {
        for value in values.iter().filter(|value| !value.is_empty()) {
            ui.line(format!("{what}: {value}"));
        }
    }
    Ok(Exit::Ok)
}

/// The schema: version 1.
fn object(user: &User) -> serde_json::Value {
    json!({
        "version": 1,
        "userid": user.userid,
        "dn": user.dn,
        "name": user.name,
        "mail": user.mail,
        "aliases": user.alternates,
        "status": user.status.name(),
        "quota_bytes": user.mail_quota.limit.number(),
        "quota_messages": user.msg_quota.limit.number(),
        "partition": user.partition,
        "allowed_services": user.allowed_services,
        "groups": user.groups,
    })
}

fn delete(ui: &mut Ui, context: &Context, userid: &str, yes: bool, dry_run: bool) -> anyhow::Result<Exit> {
    let user = context.known(userid)?;
    if dry_run {
        ui.line(format!("would delete {} ({})", user.userid, user.dn));
        return Ok(Exit::WouldChange);
    }
    if !yes {
        if !ui.interactive() {
            return Err(Failure::new(Exit::Usage, format!("{} is not deleted without --yes", user.userid)).into());
        }
        ui.stderr(&format!("Delete the account {} ({})? [y/N] ", user.userid, user.dn));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            ui.line("nothing is deleted");
            return Ok(Exit::WouldChange);
        }
    }
    context.directory.delete(&user.dn).map_err(directory_failure)?;
    ui.line(format!("deleted {} from the directory", user.userid));
    ui.line(format!("its mail stays in the store until: mboxutil -d user/{}/INBOX", user.userid));
    Ok(Exit::Ok)
}

/// What the directory keeps of a password.
struct Secrets {
    /// `userPassword`, for mechanisms that send the password.
    hash: String,
    /// `authPassword`, for SCRAM: a value for each mechanism.
    keys: Vec<String>,
}

/// Reads a password and makes what is kept of it.
fn secrets(ui: &mut Ui) -> anyhow::Result<Secrets> {
    let text = if io::stdin().is_terminal() {
        let first = ask(ui, "Password: ")?;
        if ask(ui, "Again: ")? != first {
            return Err(Failure::new(Exit::DataErr, "the two passwords differ").into());
        }
        first
    } else {
        one_line()?
    };
    let made = password::create(&text)
        .and_then(|hash| {
            let keys = scram::Hash::ALL.iter().map(|mechanism| Ok(scram::Keys::create(*mechanism, &text)?.value()));
            Ok(Secrets { hash, keys: keys.collect::<Result<_, password::PasswordError>>()? })
        })
        .map_err(|error| {
            Failure::new(Exit::DataErr, error.to_string()).hint("give the password as one line on standard input")
        })?;
    Ok(made)
}

fn ask(ui: &mut Ui, question: &str) -> anyhow::Result<String> {
    ui.stderr(question);
    let quiet = terminal::EchoOff::stdin()?;
    let line = one_line();
    drop(quiet);
    ui.stderr("\n");
    line
}

fn one_line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdout().flush()?;
    io::Read::take(io::stdin().lock(), 4096)
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::DataErr, format!("the password cannot be read: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
