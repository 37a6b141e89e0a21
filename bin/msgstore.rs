//! The door: collects the arguments, calls the tool, returns its exit code. The only `main` of the package.

use std::process::ExitCode;

fn main() -> ExitCode {
    msgstore::cli::main(std::env::args_os().collect())
}
