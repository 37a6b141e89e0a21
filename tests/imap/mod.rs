//! The IMAP daemon as a process: an instance in a temporary directory, port 0, clients over TCP. Every test ends with the store's checker.

#![allow(clippy::unwrap_used, clippy::panic)]

pub mod acl;
mod appending;
mod binary;
mod compress;
mod esearch;
pub mod immediate;
mod lasting;
mod limits;
mod long;
mod meanwhile;
mod model;
mod objects;
mod progress;
mod replace;
mod resync;
mod rev2;
mod sessions;
pub mod shared;
mod sort;
mod special_use;
mod traces;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use msgstore::config::Instance;
use msgstore::store::Store;
use msgstore::store::check::Depth;

use crate::configure::{configured, text, tool};

/// The greatest time anything may take: a guard against hanging only, whatever else the machine has to do.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// An instance with its daemon.
pub struct Daemon {
    pub dir: tempfile::TempDir,
    pub child: Child,
    pub port: u16,
}

impl Daemon {
    /// A daemon with further settings; its users have the password `secret`.
    pub fn start(users: &[&str], settings: &[(&str, &str)]) -> Daemon {
        let dir = configured();
        let base = dir.path();
        for (name, value) in
            [("service.imap.port", "0"), ("service.listenaddr", "127.0.0.1"), ("service.authfailpause", "0")]
                .iter()
                .chain(settings)
        {
            let done = tool(base, &["configutil", "-o", name, "-v", value], "");
            assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        }
        for user in users {
            let done = tool(base, &["user", "add", user], "secret\n");
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        let instance = Instance::at(base);
        msgstore::ops::store::create(&instance, &instance.conf().unwrap()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_msgstore"))
            .arg("imapd")
            .env("CONFIGROOT", base.join("config"))
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let port = wait_for_port(base);
        Daemon { dir, child, port }
    }

    /// A connection that has read the greeting.
    pub fn connect(&self) -> Client {
        let mut client = Client::new(self.port);
        assert!(client.line().starts_with("* OK "));
        client
    }

    /// A connection of a user.
    pub fn login(&self, user: &str) -> Client {
        let mut client = self.connect();
        assert_eq!(client.ask(&format!("login {user} secret")), ["OK User logged in"]);
        client
    }

    /// The store, opened beside the daemon.
    pub fn store(&self) -> Store {
        let instance = Instance::at(self.dir.path());
        msgstore::ops::store::open(&instance, &instance.conf().unwrap()).unwrap()
    }

    /// Asks the daemon to end.
    pub fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// What the log holds.
    pub fn log(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.dir.path().join("data/log")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("imap") {
                all += &std::fs::read_to_string(path).unwrap();
            }
        }
        all
    }
}

fn wait_for_port(base: &Path) -> u16 {
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(base.join("data/proc/imap.port")) {
            return text.trim().parse().unwrap();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "imapd is not ready: {:?}",
            std::fs::read_dir(base.join("data/log")).map(|d| d.count())
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.terminate();
            let begun = Instant::now();
            while self.child.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !std::thread::panicking() {
            let findings = self.store().check(Depth { content: true }).unwrap();
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }
}

/// A client: lines in, lines out.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<Box<dyn Read + Send>>,
    deflate: Option<DeflateEncoder<TcpStream>>,
    count: u32,
    /// Everything that came in lines.
    pub seen: Vec<u8>,
}

impl Client {
    pub fn new(port: u16) -> Client {
        Client::to(("127.0.0.1", port))
    }

    /// A connection to any address.
    pub fn to(address: (&str, u16)) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader: BufReader<Box<dyn Read + Send>> = BufReader::new(Box::new(stream.try_clone().unwrap()));
        Client { stream, reader, deflate: None, count: 0, seen: Vec::new() }
    }

    /// What follows is compressed, in both directions.
    pub fn compress(&mut self) {
        let nothing: Box<dyn Read + Send> = Box::new(std::io::empty());
        let below = std::mem::replace(&mut self.reader, BufReader::new(nothing));
        self.reader = BufReader::new(Box::new(DeflateDecoder::new(below)));
        self.deflate = Some(DeflateEncoder::new(self.stream.try_clone().unwrap(), flate2::Compression::best()));
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.deflate {
            Some(deflate) => {
                deflate.write_all(bytes.as_ref()).unwrap();
                deflate.flush().unwrap();
            }
            None => self.stream.write_all(bytes.as_ref()).unwrap(),
        }
    }

    /// The next line; a remark when none comes.
    pub fn line_in_time(&mut self) -> String {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(_) => {
                self.seen.extend_from_slice(&line);
                String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned()
            }
            Err(error) => format!("(nothing: {error})"),
        }
    }

    /// The next line without its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        if line.is_empty() {
            return String::new();
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no CRLF: {line:?}")).to_owned()
    }

    /// Exactly that many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Lines up to the one that begins with `tag`, which comes last and without the tag.
    pub fn until(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty() || !lines.is_empty(), "the connection is closed");
            if let Some(rest) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(rest.to_owned());
                return lines;
            }
            lines.push(line);
        }
    }

    /// Sends a command under a new tag and reads its responses.
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        self.count += 1;
        let tag = format!("t{}", self.count);
        self.send(format!("{tag} {command}\r\n"));
        self.until(&tag)
    }

    /// Appends a message to a mailbox.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &str) -> String {
        let answer = self.ask(&format!("append {mailbox} ({flags}) {{{}+}}\r\n{message}", message.len()));
        answer.last().unwrap().clone()
    }
}
