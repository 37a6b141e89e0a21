//! generate: completions, manual pages and the list of links, all made from the definitions of the tools (ours; `install.sh` calls it).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::{TOOLS, Tool, args};
use crate::os::durable;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "generate",
    place: "",
    about: "Write completions or manual pages, or list the links of the tools",
    definition: || args::definition::<Args>("generate"),
    run,
};

/// Write completions or manual pages, or list the links of the tools.
///
/// Everything comes from the definitions that also parse the arguments.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// What to write.
    #[arg(value_enum)]
    what: What,
    /// The directory to write to; without it the names of the files are listed.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Shell completions: `bash/TOOL`, `zsh/_TOOL`, `fish/TOOL.fish`.
    Completions,
    /// Manual pages, section 8.
    Man,
    /// A line for each tool with a link of its own, such as `sbin/start-msg`.
    Links,
}

/// The section of the manual: administration.
const SECTION: &str = "8";

/// A generated file: its path below the directory for its kind, and what it holds.
pub type Generated = (PathBuf, Vec<u8>);

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let files = match args.what {
        What::Completions => completions(),
        What::Man => manual_pages()?,
        What::Links if args.dir.is_some() => {
            return Err(Failure::new(Exit::Usage, "links are listed, not written: no DIR goes with them").into());
        }
        What::Links => {
            links().iter().for_each(|link| ui.line(link));
            return Ok(Exit::Ok);
        }
    };
    for (name, bytes) in files {
        if let Some(dir) = &args.dir {
            write(&dir.join(&name), &bytes)?;
        }
        ui.line(name.display().to_string());
    }
    Ok(Exit::Ok)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let made =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| durable::replace(path, bytes, 0o644));
    made.map_err(|error| Failure::new(Exit::CantCreate, format!("cannot write {}: {error}", path.display())).into())
}

/// Where the links of the tools belong below msg_svr_base, one a tool that has its own.
pub fn links() -> Vec<String> {
    TOOLS.iter().filter(|tool| !tool.place.is_empty()).map(|tool| format!("{}/{}", tool.place, tool.name)).collect()
}

/// `msgstore` itself, without the tools.
fn bare() -> Command {
    Command::new("msgstore")
        .about("A mail store with its administration tools")
        .long_about(
            "A mail store with its administration tools, in one program.\n\nA tool is called by the name of a link to the \
             program, or as the first word behind it: \"mboxutil -l\" and \"msgstore mboxutil -l\" are the same.",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
}

/// `msgstore` with every tool as a sub-command.
fn program() -> Command {
    let tool = |tool: &Tool| (tool.definition)().bin_name(format!("msgstore {}", tool.name)).about(tool.about);
    bare().subcommands(TOOLS.iter().map(tool))
}

/// Completions for `msgstore` and for every tool with a link, for three shells.
pub fn completions() -> Vec<Generated> {
    let mut files = Vec::new();
    let linked = TOOLS.iter().filter(|tool| !tool.place.is_empty());
    for definition in std::iter::once(program()).chain(linked.map(|tool| (tool.definition)())) {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let name = definition.get_name().to_owned();
            let path = match shell {
                Shell::Bash => format!("bash/{name}"),
                Shell::Zsh => format!("zsh/_{name}"),
                _ => format!("fish/{name}.fish"),
            };
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut definition.clone(), name, &mut bytes);
            files.push((PathBuf::from(path), bytes));
        }
    }
    files.sort();
    files
}

/// The manual pages: one a tool and sub-command, and one for `msgstore`. Tools without a link are `msgstore-TOOL`.
///
/// # Errors
/// What the renderer said.
pub fn manual_pages() -> std::io::Result<Vec<Generated>> {
    let mut files = Vec::new();
    let mut tools = Roff::default();
    tools.control("SH", ["TOOLS"]);
    for tool in TOOLS {
        let (page, called) = match tool.place {
            "" => (format!("msgstore-{}", tool.name), format!("msgstore {}", tool.name)),
            _ => (tool.name.to_owned(), tool.name.to_owned()),
        };
        let mut definition = (tool.definition)();
        // The line behind the name is the one of the overview; the description stays whole.
        if let Some(text) = definition.get_long_about().or(definition.get_about()).cloned() {
            definition = definition.long_about(text);
        }
        manual_page(definition.about(tool.about), &page, &called, &mut files)?;
        tools.control("TP", []);
        tools.text([bold(format!("{page}({SECTION})"))]);
        tools.text([roman(tool.about)]);
    }
    let words =
        [("tool", "TOOL", "The name of the tool"), ("argument", "ARGUMENT", "What the tool takes; --help tells")];
    let overview = bare().args(words.map(|(id, name, help)| Arg::new(id).value_name(name).help(help)));
    render(overview, "msgstore", &mut files)?;
    if let Some((_, bytes)) = files.last_mut() {
        tools.to_writer(bytes)?;
    }
    files.sort();
    Ok(files)
}

fn manual_page(definition: Command, page: &str, called: &str, files: &mut Vec<Generated>) -> std::io::Result<()> {
    // `build` fills in the names of the sub-commands from those of their parent.
    let mut definition = definition.display_name(page).bin_name(called).disable_help_subcommand(true);
    definition.build();
    for inner in definition.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let (page, called) = (format!("{page}-{}", inner.get_name()), format!("{called} {}", inner.get_name()));
        manual_page(inner.clone(), &page, &called, files)?;
    }
    render(definition, page, files)
}

fn render(definition: Command, page: &str, files: &mut Vec<Generated>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let source = concat!("msgstore ", env!("CARGO_PKG_VERSION"));
    Man::new(definition).section(SECTION).source(source).manual("Mail store administration").render(&mut bytes)?;
    files.push((PathBuf::from(format!("{page}.{SECTION}")), bytes));
    Ok(())
}
