//! configure: makes an instance on disk, or completes one (ours: the product was configured by an installer).

use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};

use super::exit::{Exit, Failure};
use super::instance::failure;
use super::ui::Ui;
use super::{TOOLS, Tool, args};
use crate::config::Instance;
use crate::ops::instance::{self, InstanceError, NewInstance, Step};
use crate::os::clock;
use crate::os::user::{self, SystemAccount};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "configure",
    place: "",
    about: "Make an instance: directories, configuration, links",
    definition: || args::definition::<Args>("configure"),
    run,
};

/// The socket file of LMTP, and the longest path of a socket (unix(7)).
const LMTP_SOCKET: &str = "data/proc/lmtp.socket";
const SOCKET_PATH_MAX: usize = 107;

/// Make an instance: directories, configuration, links.
///
/// What is there already stays as it is, so a second call completes an instance and follows a new version of the program. The certificate
/// that it makes is self-signed: good for encryption, trusted by no mail program until its user says so.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The directory of the instance (msg_svr_base).
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// The default mail domain: its users have plain userids.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The system account of the services, and its group; by default who runs this.
    #[arg(long, value_name = "NAME[:GROUP]")]
    user: Option<String>,
    /// A further partition of the store.
    #[arg(long, value_name = "NICKNAME=PATH")]
    partition: Vec<String>,
    /// A setting for msg.conf.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let owner = owner(args.user.as_deref())?;
    let base = absolute(&args.base)?;
    let executable = std::env::current_exe()?.canonicalize()?;
    let new = NewInstance {
        settings: settings(&args, &base, &owner)?,
        owner: Some(owner),
        links: TOOLS.iter().filter(|tool| !tool.place.is_empty()).map(|tool| (tool.place, tool.name)).collect(),
        executable,
        base,
        now_s: clock::now_s(),
    };
    let steps = instance::create(&new).map_err(refused)?;
    for step in steps {
        ui.line(match step {
            Step::Made(what) => format!("made {what}"),
            Step::Kept(what) => format!("kept {what}"),
        });
    }
    store(ui, &Instance::at(&new.base))?;
    ui.line(format!("The instance is in {}. Next: {} start-msg", new.base.display(), hint(&new.base)));
    Ok(Exit::Ok)
}

/// Makes the store, as the account that it belongs to.
fn store(ui: &mut Ui, instance: &Instance) -> anyhow::Result<()> {
    let conf = instance.conf().map_err(failure)?;
    instance::become_server(&conf).map_err(|error| Failure::new(Exit::NoPerm, error.to_string()))?;
    let root = instance.store_root();
    let word = if root.join("mboxlist/common").exists() { "kept" } else { "made" };
    crate::ops::store::create(instance, &conf).map_err(|error| Failure::new(Exit::CantCreate, error.to_string()))?;
    ui.line(format!("{word} the store in {}", root.display()));
    Ok(())
}

/// How a tool of the instance is called.
fn hint(base: &Path) -> String {
    format!("CONFIGROOT={} msgstore", base.join("config").display())
}

fn owner(given: Option<&str>) -> anyhow::Result<SystemAccount> {
    let Some(given) = given else {
        return Ok(user::current());
    };
    let (name, group) = match given.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (given, None),
    };
    let account = user::resolve(name, group).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    if !user::is_root() && account.uid != user::current().uid {
        return Err(Failure::new(Exit::NoPerm, format!("only root can make an instance for {}", account.user)).into());
    }
    Ok(account)
}

fn settings(args: &Args, base: &Path, owner: &SystemAccount) -> anyhow::Result<Vec<(String, String)>> {
    let mut settings =
        vec![("local.serveruid".to_owned(), owner.user.clone()), ("local.servergid".to_owned(), owner.group.clone())];
    // Who makes an instance wants mail in it. One that is there is not told to open a socket.
    let new = !Instance::at(base).msg_conf().is_file();
    if new && base.join(LMTP_SOCKET).as_os_str().len() <= SOCKET_PATH_MAX {
        settings.push(("service.lmtp.enable".to_owned(), "yes".to_owned()));
    }
    if let Some(domain) = &args.domain {
        settings.push(("local.defdomain".to_owned(), domain.to_lowercase()));
    }
    for text in &args.partition {
        let (nickname, path) = pair("--partition", text, "NICKNAME=PATH")?;
        let path = absolute(path)?;
        settings.push((format!("store.partition.{nickname}.path"), path.display().to_string()));
    }
    for text in &args.set {
        let (name, value) = pair("--set", text, "NAME=VALUE")?;
        // What is said last and by name counts.
        settings.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

fn pair<'a>(option: &str, text: &'a str, form: &str) -> anyhow::Result<(&'a str, &'a str)> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Failure::new(Exit::Usage, format!("{option} {text}: it must be {form}")).into())
}

fn refused(error: InstanceError) -> Failure {
    match error {
        InstanceError::Config(error) => failure(error),
        InstanceError::Certificate(_) | InstanceError::Make { .. } => Failure::new(Exit::CantCreate, error.to_string()),
    }
}
