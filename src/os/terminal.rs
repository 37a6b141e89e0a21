//! The terminal: reading without echo.

use std::io;

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

/// While it lives the terminal at standard input does not show what is typed.
pub struct EchoOff {
    before: Termios,
}

impl EchoOff {
    /// Switches the echo off.
    ///
    /// # Errors
    /// What `tcsetattr(3)` said; standard input is not a terminal, say.
    pub fn stdin() -> io::Result<EchoOff> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(EchoOff { before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal itself is gone.
        drop(termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before).map_err(io::Error::from));
    }
}
