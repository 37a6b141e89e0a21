//! **Here**: what a person at a shell touches: the table of tools, arguments, printing, exit codes. One file per tool.
//! **Not here**: what the tools do (`ops`), how anything is stored.
//! **Start**: [`main`], then [`TOOLS`].
//! **Rules**: only [`ui::Ui`] prints; only `bin/msgstore.rs` ends the process; a tool's clap definition is built when it is called,
//! never all of them; documented tools own their letters, so clap's automatic `-h` and `-V` are off.

mod archive;
pub mod args;
pub mod configure;
pub mod configutil;
pub mod counterutil;
pub mod deliver;
pub mod exit;
pub mod generate;
pub mod hashdir;
pub mod imapd;
pub mod imcheck;
pub mod imexpire;
pub mod iminitquota;
pub mod imquotacheck;
pub mod imsbackup;
pub mod imsched;
pub mod imsimport;
pub mod imsrestore;
pub mod instance;
pub mod lmtpd;
pub mod mboxutil;
mod network;
pub mod popd;
pub mod progress;
pub mod purge;
pub mod readership;
pub mod reconstruct;
mod recount;
pub mod refresh;
pub mod start_msg;
pub mod stop_msg;
pub mod stored;
pub mod ui;
pub mod user;
pub mod watcher;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use exit::{Exit, Failure};
use ui::Ui;

/// One tool: its name, one line about it, its definition and its function.
pub struct Tool {
    /// The name it is called by: the last component of argv[0], or the first word after `msgstore`. Case counts (`MoveUser`).
    pub name: &'static str,
    /// Where the manuals place the link, below msg_svr_base: `sbin`, `lib`; empty for our own sub-commands without a link.
    pub place: &'static str,
    /// One line for the overview.
    pub about: &'static str,
    /// Builds the clap definition (help, man page, completions).
    pub definition: fn() -> clap::Command,
    /// Runs the tool on its arguments (without the tool's name).
    pub run: fn(&mut Ui, Vec<OsString>) -> anyhow::Result<Exit>,
}

/// Every tool of the binary.
pub static TOOLS: &[Tool] = &[
    configure::TOOL,
    configutil::TOOL,
    counterutil::TOOL,
    deliver::TOOL,
    generate::TOOL,
    hashdir::TOOL,
    imapd::TOOL,
    imcheck::TOOL,
    imexpire::TOOL,
    iminitquota::TOOL,
    imquotacheck::TOOL,
    imsbackup::TOOL,
    imsched::TOOL,
    imsimport::TOOL,
    imsrestore::TOOL,
    lmtpd::TOOL,
    mboxutil::TOOL,
    popd::TOOL,
    purge::TOOL,
    readership::TOOL,
    reconstruct::TOOL,
    refresh::TOOL,
    start_msg::TOOL,
    stop_msg::TOOL,
    stored::TOOL,
    user::TOOL,
    watcher::TOOL,
];

/// Runs the tool that `argv` names and returns the exit code of the process.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let mut words = argv.into_iter();
    let called = words.next().unwrap_or_default();
    let base = Path::new(&called).file_name().map(OsStr::to_os_string).unwrap_or_default();
    let mut rest: Vec<OsString> = words.collect();
    let tool = match find(&base) {
        Some(tool) => Some(tool),
        None if rest.is_empty() => None,
        None => find(&rest.remove(0)),
    };
    let Some(tool) = tool else {
        let mut ui = Ui::new("msgstore");
        ui.line("usage: msgstore TOOL [ARGUMENT ...]");
        ui.line("");
        for tool in TOOLS {
            ui.line(format!("  {:<14} {}", tool.name, tool.about));
        }
        ui.flush();
        return Exit::Usage.into();
    };
    let mut ui = Ui::new(tool.name);
    let result = (tool.run)(&mut ui, rest);
    ui.flush();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => report(&mut ui, &error).into(),
    }
}

fn find(name: &OsStr) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| OsStr::new(tool.name) == name)
}

/// Prints an error: what could not be done, then the causes, then the hint; and tells how the tool ends.
pub fn report(ui: &mut Ui, error: &anyhow::Error) -> Exit {
    ui.error(format!("{error:#}"));
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
        ui.error(hint);
    }
    failure.map_or(Exit::Software, |failure| failure.exit)
}
