//! Arguments: clap definitions parsed with the documented exit code for misuse.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use super::exit::Exit;
use super::ui::Ui;

/// Parses `argv` (without the tool's name) by the definition of `A`.
///
/// # Errors
/// `Err(exit)` when the tool is to end now: [`Exit::Usage`] after a misuse was explained on standard error, [`Exit::Ok`] after help was asked for.
pub fn parse<A: CommandFactory + FromArgMatches>(ui: &mut Ui, argv: Vec<OsString>) -> Result<A, Exit> {
    let mut definition = definition::<A>(ui.tool());
    let words = std::iter::once(OsString::from(ui.tool())).chain(argv);
    let parsed = definition.try_get_matches_from_mut(words).and_then(|matches| A::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if error.use_stderr() {
            ui.stderr(&error.render().to_string());
            Exit::Usage
        } else {
            ui.raw(error.render().to_string().as_bytes());
            Exit::Ok
        }
    })
}

/// The definition of a tool under its own name, with `--help` and `--version` but without clap's `-h` and `-V`: the manuals claim the letters.
pub fn definition<A: CommandFactory>(tool: &'static str) -> clap::Command {
    A::command()
        .name(tool)
        .bin_name(tool)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(clap::Arg::new("help").long("help").global(true).action(clap::ArgAction::Help).help("Print this help"))
        .arg(clap::Arg::new("version").long("version").action(clap::ArgAction::Version).help("Print the version"))
        .version(env!("CARGO_PKG_VERSION"))
}
