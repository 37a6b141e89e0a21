//! The only printer. Standard output is buffered; a reader that went away ends the tool quietly.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Where a tool prints. `line`/`raw` go to standard output, `warn`/`error` to standard error with the tool's name.
pub struct Ui {
    tool: &'static str,
    out: BufWriter<io::Stdout>,
    broken: bool,
}

impl Ui {
    /// A printer for the tool called `tool`.
    pub fn new(tool: &'static str) -> Ui {
        Ui { tool, out: BufWriter::with_capacity(64 * 1024, io::stdout()), broken: false }
    }

    /// The name the tool answers to.
    pub fn tool(&self) -> &'static str {
        self.tool
    }

    /// One line to standard output.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.raw(text.as_ref().as_bytes());
        self.raw(b"\n");
    }

    /// Bytes to standard output, as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        if !self.broken && self.out.write_all(bytes).is_err() {
            self.broken = true;
        }
    }

    /// Sends what is buffered.
    pub fn flush(&mut self) {
        if !self.broken && self.out.flush().is_err() {
            self.broken = true;
        }
    }

    /// True when nobody reads standard output any more: long work may stop.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// True when standard error is a terminal (progress bars, questions).
    pub fn interactive(&self) -> bool {
        io::stderr().is_terminal() && io::stdin().is_terminal()
    }

    /// `tool: warning: text` to standard error.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        self.stderr(&format!("{}: warning: {}\n", self.tool, visible(text.as_ref())));
    }

    /// `tool: text` to standard error.
    pub fn error(&mut self, text: impl AsRef<str>) {
        self.stderr(&format!("{}: {}\n", self.tool, visible(text.as_ref())));
    }

    /// Text to standard error as it is.
    pub fn stderr(&mut self, text: &str) {
        self.flush();
        // Nobody can be told when standard error itself is gone.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

/// The text with its control characters written out, line ends and tabs excepted: names and values from anywhere do not command the terminal.
fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(hidden) {
        return text.into();
    }
    let shown = |c: char| if hidden(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn messages_do_not_command_the_terminal() {
        assert_eq!(visible("a \u{1b}[2J\r b\n\u{9b}c"), "a \\u{1b}[2J\\r b\n\\u{9b}c");
        assert_eq!(visible("J\u{fc}rgen\thas\nlines"), "J\u{fc}rgen\thas\nlines");
    }
}
