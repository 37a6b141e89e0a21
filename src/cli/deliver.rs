//! deliver: one message from standard input into mailboxes, or an LMTP session (AdminRef deliver).

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::sync::Arc;

use super::exit::{Exit, Failure};
use super::instance::{instance, ready_store};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::Conf;
use crate::directory::Directory;
use crate::ops;
use crate::ops::delivery::{self, Class, DeliveryError, LocalDelivery, Marks, Place, Policy, Trace};
use crate::ops::quota::watch::Watch;
use crate::os::clock;
use crate::protocol::lmtp;
use crate::store::{FolderPath, MailboxName, Store};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "deliver",
    place: "sbin",
    about: "Deliver a message from standard input to mailboxes",
    definition: || args::definition::<Args>("deliver"),
    run,
};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Largest message over LMTP, bytes.
const MESSAGE_BYTES: u64 = u32::MAX as u64;
/// Most recipients of a message over LMTP.
const RECIPIENTS_MAX: usize = 1000;

/// Deliver a message from standard input to mailboxes.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The authorization id of the sender, for access control lists.
    #[arg(short = 'a', value_name = "AUTHID", default_value = "anonymous")]
    authid: String,
    /// Speak LMTP (RFC 2033) on standard input and output.
    #[arg(short = 'l', conflicts_with_all = ["return_path", "forward_path", "mailbox", "flags", "userids"])]
    lmtp: bool,
    /// Create the folder if it does not exist.
    #[arg(short = 'c')]
    create: bool,
    /// Nothing; for compatibility with /bin/mail.
    #[arg(short = 'd')]
    _mail: bool,
    /// Put a Return-Path line with this address before the message.
    #[arg(short = 'r', value_name = "ADDRESS", conflicts_with = "forward_path")]
    return_path: Option<String>,
    /// The same as -r.
    #[arg(short = 'f', value_name = "ADDRESS")]
    forward_path: Option<String>,
    /// Skip the check of access control lists.
    #[arg(short = 'F')]
    force: bool,
    /// The folder of each user; without users a mailbox such as user/joe/Work.
    #[arg(short = 'm', value_name = "MAILBOX")]
    mailbox: Option<String>,
    /// Deliver even when over quota.
    #[arg(short = 'q')]
    over_quota: bool,
    /// Set this system flag (\Seen) or keyword; may be repeated.
    #[arg(short = 'g', value_name = "FLAG")]
    flags: Vec<String>,
    /// Whom to deliver to.
    #[arg(value_name = "USERID")]
    userids: Vec<String>,
}

/// What is delivered, checked before anything is opened.
struct Wanted {
    head: Vec<u8>,
    marks: Marks,
    to: To,
}

enum To {
    Users(Vec<String>, Option<FolderPath>),
    Mailbox(MailboxName),
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let wanted = if args.lmtp { None } else { Some(wanted(&args)?) };
    let instance = instance(ui).map_err(try_again)?;
    let conf = instance.conf().map_err(|error| try_again(super::instance::failure(error).into()))?;
    let store = ready_store(&instance, &conf).map_err(try_again)?;
    let directory = ops::instance::open_directory(&instance, &conf);
    let policy = Policy {
        authid: args.authid,
        check_access: !args.force,
        create: args.create,
        ignore_quota: args.over_quota,
        quota: Some(Watch::new(&instance, &conf)),
        ..Policy::of(&conf)
    };
    crate::log::init(ops::instance::log_settings(&instance, &conf, "default", "deliver"));
    let default_domain = conf.string("local.defdomain");
    let Some(wanted) = wanted else {
        return session(&conf, store, directory, default_domain, policy);
    };
    let delivery = LocalDelivery { store: &store, directory: &directory, default_domain, policy };
    Ok(message(ui, &delivery, &wanted))
}

/// An LMTP session on standard input and output.
fn session(
    conf: &Conf,
    store: Store,
    directory: Directory,
    default_domain: String,
    policy: Policy,
) -> anyhow::Result<Exit> {
    let server = lmtp::Server {
        store,
        directory,
        default_domain,
        policy,
        hostname: ops::instance::host_name(conf),
        message_bytes: MESSAGE_BYTES,
        recipients_max: RECIPIENTS_MAX,
        delivered_to: false,
        starttls: false,
        trusted: Vec::new(),
    };
    let mut input = BufReader::with_capacity(CHUNK, io::stdin().lock());
    match lmtp::serve(Arc::new(server), &clock::now_s, &mut input, &mut io::stdout().lock()) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::TempFail, format!("the session broke off: {error}")).into()),
    }
}

/// Nothing was delivered and the mail system can do nothing about it but keep the message: whatever is wrong with the installation is a
/// temporary failure.
fn try_again(error: anyhow::Error) -> anyhow::Error {
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).and_then(|failure| failure.hint.clone());
    let failure = Failure::new(Exit::TempFail, format!("{error:#}"));
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

fn wanted(args: &Args) -> anyhow::Result<Wanted> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let mut marks = Marks::default();
    for flag in &args.flags {
        marks.add(flag).map_err(usage)?;
    }
    let head = match args.return_path.as_ref().or(args.forward_path.as_ref()) {
        Some(address) => delivery::return_path(address).map_err(usage)?,
        None => Vec::new(),
    };
    let to = match (&args.mailbox, args.userids.is_empty()) {
        (None, true) => {
            return Err(usage("no recipient".into()).hint("deliver USERID, or deliver -m user/USERID/FOLDER").into());
        }
        (Some(name), true) => To::Mailbox(MailboxName::parse(name).map_err(|error| usage(error.to_string()))?),
        (Some(name), false) => {
            let folder = FolderPath::parse(name).map_err(|error| usage(error.to_string()))?;
            To::Users(args.userids.clone(), Some(folder))
        }
        (None, false) => To::Users(args.userids.clone(), None),
    };
    Ok(Wanted { head, marks, to })
}

fn message(ui: &mut Ui, delivery: &LocalDelivery<'_>, wanted: &Wanted) -> Exit {
    let now_s = clock::now_s();
    let mut worst = Exit::Ok;
    let mut failed = |ui: &mut Ui, name: &str, error: &DeliveryError| {
        ui.error(format!("{name}: {error}"));
        worst = worse(worst, exit_of(error.class()));
    };
    // With each the name by which it was given.
    let mut to: Vec<(Place, String)> = Vec::new();
    match &wanted.to {
        To::Mailbox(name) => match delivery.place_of_mailbox(name, now_s) {
            Ok(place) => to.push((place, name.to_string())),
            Err(error) => failed(ui, &name.to_string(), &error),
        },
        To::Users(users, folder) => {
            for user in users {
                match delivery.place_of_user(user, folder.as_ref(), now_s) {
                    Ok(place) => to.push((place, user.clone())),
                    Err(error) => failed(ui, user, &error),
                }
            }
        }
    }
    if to.is_empty() {
        return worst;
    }
    let places: Vec<Place> = to.iter().map(|(place, _)| place.clone()).collect();
    let staged = delivery.stage_from(&places, &wanted.head, &mut io::stdin().lock()).and_then(|staged| {
        let trace = Trace::of(&staged, wanted.head.len() as u64)?;
        Ok((staged, trace))
    });
    match staged {
        Err(error) => failed(ui, "the message", &error),
        Ok((staged, trace)) => {
            to.retain(|(_, name)| match trace.check(delivery.policy.bounds, name) {
                Ok(()) => true,
                Err(error) => {
                    failed(ui, name, &error.into());
                    false
                }
            });
            let places: Vec<Place> = to.into_iter().map(|(place, _)| place).collect();
            let (places, _) = delivery::distinct(&places);
            let done = delivery.deliver(&staged, &wanted.marks, &places, clock::now_s());
            for (place, one) in places.iter().zip(done) {
                if let Err(error) = one {
                    failed(ui, &place.userid, &error);
                }
            }
        }
    }
    worst
}

fn exit_of(class: Class) -> Exit {
    match class {
        Class::NoUser => Exit::NoUser,
        Class::NoMailbox => Exit::NoInput,
        Class::NotPermitted => Exit::NoPerm,
        Class::Malformed | Class::Loop => Exit::DataErr,
        Class::QuotaEnded => Exit::CantCreate,
        Class::OverQuota | Class::NoSpace | Class::Suspended | Class::Temporary => Exit::TempFail,
    }
}

/// The exit code of several: one that may still succeed must not be given up, then the order of severity of the table.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::TempFail => 5,
        Exit::DataErr => 4,
        Exit::NoPerm => 3,
        Exit::NoUser => 2,
        Exit::Ok => 0,
        _ => 1,
    };
    if rank(b) > rank(a) { b } else { a }
}
