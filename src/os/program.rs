//! Programs: one that is run to its end, with input, with a bound for its output, and with a limit of time; and a command of the shell that is
//! begun and goes on by itself.

use std::ffi::OsStr;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
}

/// The environment of a program, beside what its caller adds: nothing of the process that runs it.
pub const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("LC_ALL", "C.UTF-8"), ("HOME", "/")];

/// Runs a program without arguments in the root directory and a process group of its own, with [`ENVIRONMENT`] and `more`: `input` is its standard input,
/// standard error is the caller's. One that writes more than `most_bytes`, or runs longer than `patience`, is killed with all it has started.
///
/// # Errors
/// What starting it said; `TimedOut`; `FileTooLarge`.
pub fn run(
    program: &Path,
    more: &[(&str, &OsStr)],
    input: &[u8],
    most_bytes: usize,
    patience: Duration,
) -> io::Result<Ended> {
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).envs(more.iter().copied()).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let group = Pid::from_raw(child.id().cast_signed());
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (ended, watched) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not read its input is none of our business.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let watch = scope.spawn(move || {
            let late = watched.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                kill(group);
            }
            late
        });
        let result = collect(&mut child, stdout, most_bytes, group);
        drop(ended);
        match watch.join() {
            Ok(true) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            _ => result,
        }
    })
}

/// Begins a command of `/bin/sh` in `directory`, in a process group of its own, with this environment and no other, without input. What it and all
/// it starts print, to standard output or error, can be read from the pipe that comes back.
///
/// # Errors
/// What starting the shell said.
pub fn begin(command: &str, environment: &[(&str, &OsStr)], directory: &Path) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env_clear().envs(environment.iter().copied()).current_dir(directory).process_group(0);
    shell.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // With the value `shell` this process's ends for writing go, so that the pipe ends with the command.
    let child = shell.spawn()?;
    Ok((child, reader))
}

fn collect(child: &mut Child, stdout: Option<impl Read>, most_bytes: usize, group: Pid) -> io::Result<Ended> {
    let mut output = Vec::new();
    let read = stdout.map_or(Ok(0), |stdout| stdout.take(most_bytes as u64 + 1).read_to_end(&mut output));
    if output.len() > most_bytes || read.is_err() {
        kill(group);
    }
    let status = child.wait()?;
    read?;
    if output.len() > most_bytes {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(Ended { status, output })
}

fn kill(group: Pid) {
    // It may have ended by itself.
    let _ = killpg(group, Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let long = vec![b'x'; 300_000];
        let ended = run(Path::new("/bin/cat"), &[], &long, 400_000, Duration::from_secs(600)).unwrap();
        assert!(ended.status.success());
        assert_eq!(ended.output, long);
        assert!(!run(Path::new("/bin/false"), &[], &long, 10, Duration::from_secs(600)).unwrap().status.success());
        let missing = run(Path::new("/no/such/program"), &[], b"", 10, Duration::from_secs(600));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_command_is_begun_with_its_environment_only() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        let environment = [("X", OsStr::new("a b")), ("PATH", OsStr::new("/usr/bin:/bin"))];
        let command = "echo $X; pwd >&2; env | grep -c CARGO; ps -o pgid= -p $$ | tr -d ' '; cat; exit 7";
        let (mut child, mut output) = begin(command, &environment, dir.path()).unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(text, format!("a b\n{}\n0\n{}\n", place.display(), child.id()));
    }

    #[test]
    fn its_surroundings_are_small() {
        let ended = run(Path::new("/usr/bin/env"), &[("MORE", OsStr::new("1"))], b"", 10_000, Duration::from_secs(600));
        let mut said: Vec<String> =
            String::from_utf8(ended.unwrap().output).unwrap().lines().map(str::to_owned).collect();
        said.sort();
        let mut wanted: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        wanted.push("MORE=1".to_owned());
        wanted.sort();
        assert_eq!(said, wanted);
        let place = run(Path::new("/bin/pwd"), &[], b"", 10_000, Duration::from_secs(600)).unwrap();
        assert_eq!(place.output, b"/\n");
    }

    #[test]
    fn too_much_and_too_long_are_ended() {
        let error = run(Path::new("/usr/bin/yes"), &[], b"", 1000, Duration::from_secs(600)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        // A program that neither reads nor ends: cat without input would end, so it is the shell that waits for a child.
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("waits");
        super::super::durable::replace(&script, b"#!/bin/sh\nsleep 6000\n", 0o755).unwrap();
        let error = loop {
            match run(&script, &[], b"", 1000, Duration::from_millis(100)) {
                // Another thread of this process was just starting a program while the script was written.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
