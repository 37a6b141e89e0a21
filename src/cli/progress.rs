//! A bar for long work, on standard error and only when that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ui::Ui;

/// Shorter work shows none.
const SHORTEST: u64 = 20;

/// How far a run over many things is: items, rate and expected end.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` things of this kind.
    pub fn new(total: u64, what: &'static str) -> Progress {
        let bar = if total >= SHORTEST && std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5))
        } else {
            ProgressBar::hidden()
        };
        let template = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_secs(1));
        Progress(bar)
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Prints an error line without tearing the bar.
    pub fn error(&self, ui: &mut Ui, text: &str) {
        self.0.suspend(|| ui.error(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
