//! The LMTP daemon beside the store daemon of an [`Instance`].

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;

use super::Instance;
use crate::imap::PATIENCE;

/// A running lmtpd. Declare it after its instance, so that it ends first.
pub struct Lmtpd {
    child: Child,
    /// The port it listens on, on 127.0.0.1.
    pub port: u16,
    /// Its socket file.
    pub socket: PathBuf,
}

impl Lmtpd {
    /// Starts it on a free port of 127.0.0.1 and its socket file.
    pub fn start(it: &Instance) -> Lmtpd {
        Lmtpd::start_with(it, &[])
    }

    /// The same with further variables of the environment.
    pub fn start_with(it: &Instance, environment: &[(&str, &str)]) -> Lmtpd {
        let child = super::launch(it, "lmtpd", &[("service.lmtp.port", "0")], environment);
        let socket = msgstore::config::Instance::at(it.base()).conf().unwrap().path("service.lmtp.socket");
        Lmtpd { child, port: super::port_in(it, "lmtp.port").unwrap(), socket }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// A connection to its port without a look at the greeting.
    pub fn dial(&self) -> Wire {
        self.dial_from("127.0.0.1")
    }

    /// The same from another loopback address.
    pub fn dial_from(&self, address: &str) -> Wire {
        let end = |address: &str, port| format!("{address}:{port}").parse().unwrap();
        // The standard library does not choose the address that a connection comes from.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(end(address, 0)).unwrap();
            socket.connect(end("127.0.0.1", self.port)).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire {
            reader: BufReader::new(Box::new(stream.try_clone().unwrap())),
            writer: Box::new(stream.try_clone().unwrap()),
            stream: Some(stream),
        }
    }

    /// A connection to its socket file.
    pub fn dial_local(&self) -> Wire {
        Lmtpd::dial_file(&self.socket)
    }

    /// A connection to a socket file.
    pub fn dial_file(path: &std::path::Path) -> Wire {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire { reader: BufReader::new(Box::new(stream.try_clone().unwrap())), writer: Box::new(stream), stream: None }
    }

    /// A connection that has said LHLO.
    pub fn connect(&self) -> Wire {
        self.dial().greeted()
    }

    /// The same where connections that are gone may count still: one that is refused for that is made again.
    pub fn connect_in_turn(&self) -> Wire {
        greeted_in_turn(|| self.dial())
    }

    /// The same at its socket file.
    pub fn connect_local_in_turn(&self) -> Wire {
        greeted_in_turn(|| self.dial_local())
    }

    /// The most memory it ever had, in MiB.
    pub fn peak_mb(&self) -> u64 {
        super::peak_mb(&self.child)
    }

    /// Fails when it is not the process that was started.
    #[track_caller]
    pub fn still_runs(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "lmtpd ended");
        assert_eq!(self.connect().ask("NOOP"), "250 2.0.0 OK");
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        super::end(&mut self.child, "lmtpd");
    }
}

impl Drop for Lmtpd {
    fn drop(&mut self) {
        self.end();
    }
}

fn greeted_in_turn(dial: impl Fn() -> Wire) -> Wire {
    let mut client = dial();
    super::wait_until("no place is free", || {
        let free = client.line().starts_with("220 ");
        if !free {
            client = dial();
        }
        free
    });
    client.ask("LHLO client.example");
    client
}

/// A client: lines in, lines out.
pub struct Wire {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
    stream: Option<TcpStream>,
}

impl Wire {
    /// Reads the greeting and says LHLO.
    pub fn greeted(mut self) -> Wire {
        let greeting = self.line();
        assert!(greeting.starts_with("220 "), "{greeting}");
        self.ask("LHLO client.example");
        self
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
    }

    /// The same to a server that may not take it to the end.
    pub fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.writer.write_all(bytes.as_ref());
    }

    /// The socket, of a connection to the port that has read everything.
    pub fn into_stream(self) -> TcpStream {
        self.stream.unwrap()
    }

    /// The next line without its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return String::new(),
            Err(error) => panic!("nothing came: {error}"),
        }
        String::from_utf8(line).unwrap().trim_end_matches("\r\n").to_owned()
    }

    /// The last line of the next reply.
    pub fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends a command; the last line of its reply.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.reply()
    }

    /// Sends a message to recipients and returns the answers behind its end; dots are doubled.
    pub fn deliver(&mut self, to: &[&str], text: &str) -> Vec<String> {
        assert_eq!(self.ask("MAIL FROM:<sender@example.net>"), "250 2.1.0 OK");
        for to in to {
            assert_eq!(self.ask(&format!("RCPT TO:<{to}>")), "250 2.1.5 OK", "{to}");
        }
        assert!(self.ask("DATA").starts_with("354 "));
        let text = text.replace("\r\n.", "\r\n..");
        self.send(format!("{text}.\r\n"));
        to.iter().map(|_| self.reply()).collect()
    }

    /// Everything up to the end of the connection, in lines.
    pub fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    }
}
