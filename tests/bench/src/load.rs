//! The load of the measurements that a client in Python could not make: `load mix ...`, many sessions with the mix of commands that mail programs
//! send, and `load nothing`, a server that answers everything at once, for what the network alone takes. See workloads.py.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use msgstore_bench::option;

/// Messages in the folder of each account; nothing is ever expunged, so these numbers are always there.
const MESSAGES: u64 = 200;
/// Messages of which the envelopes are fetched together: a screen.
const SCREEN: u64 = 20;

/// What a session does next, and how often in a hundred.
const MIX: &[(u64, Step)] = &[
    (25, Step::Body),
    (20, Step::Envelopes),
    (20, Step::Noop),
    (12, Step::Store),
    (8, Step::Select),
    (5, Step::Search),
    (5, Step::Append),
    (5, Step::Idle),
];

static DOOR: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy)]
enum Step {
    Body,
    Envelopes,
    Noop,
    Store,
    Select,
    Search,
    Append,
    Idle,
}

fn main() {
    // A session that fails ends the others: they would wait for it.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        std::process::exit(1);
    }));
    match std::env::args().nth(1).as_deref() {
        Some("mix") => mix(),
        Some("nothing") => nothing(),
        _ => {
            eprintln!("usage: load mix --port N --users N --clients N --seconds N --message FILE | load nothing");
            std::process::exit(64);
        }
    }
}

/// The sequence of a session: the same in each run, another in each session (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn step(&mut self) -> Step {
        let mut at = self.below(MIX.iter().map(|(share, _)| share).sum());
        let found = MIX.iter().find(|(share, _)| {
            let found = at < *share;
            at = at.saturating_sub(*share);
            found
        });
        found.unwrap().1
    }
}

struct Session {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    number: u64,
    line: Vec<u8>,
}

impl Session {
    fn open(port: u16, user: &str) -> Session {
        let writer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        writer.set_nodelay(true).unwrap();
        writer.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let reader = BufReader::with_capacity(64 * 1024, writer.try_clone().unwrap());
        let mut session = Session { reader, writer, number: 0, line: Vec::new() };
        session.read_line();
        session.ask(&format!("LOGIN {user} secret"));
        session.ask("SELECT Mix");
        session
    }

    /// Reads a line; a literal at its end is read and forgotten, and the line goes on.
    fn read_line(&mut self) {
        self.line.clear();
        loop {
            quick(&self.writer);
            let count = self.reader.read_until(b'\n', &mut self.line).unwrap();
            assert!(count > 0, "connection closed: {}", String::from_utf8_lossy(&self.line));
            let Some(length) = literal(&self.line) else { return };
            std::io::copy(&mut (&mut self.reader).take(length), &mut std::io::sink()).unwrap();
            self.line.clear();
        }
    }

    fn ask(&mut self, command: &str) {
        self.number += 1;
        let tag = format!("t{} ", self.number);
        self.writer.write_all(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        self.until(&tag);
    }

    fn until(&mut self, tag: &str) {
        loop {
            self.read_line();
            if let Some(rest) = self.line.strip_prefix(tag.as_bytes()) {
                assert!(rest.starts_with(b"OK"), "{}", String::from_utf8_lossy(&self.line));
                return;
            }
        }
    }

    fn carry_out(&mut self, step: Step, dice: &mut Dice, message: &[u8]) {
        let one = dice.below(MESSAGES) + 1;
        match step {
            Step::Body => self.ask(&format!("FETCH {one} (BODY.PEEK[])")),
            Step::Envelopes => {
                let first = dice.below(MESSAGES - SCREEN) + 1;
                self.ask(&format!("FETCH {first}:{} (UID FLAGS ENVELOPE)", first + SCREEN - 1));
            }
            Step::Noop => self.ask("NOOP"),
            Step::Store => {
                let sign = if dice.below(2) == 0 { '+' } else { '-' };
                self.ask(&format!("STORE {one} {sign}FLAGS (\\Seen)"));
            }
            Step::Select => self.ask("SELECT Mix"),
            Step::Search => self.ask("SEARCH UNSEEN SUBJECT \"meeting\""),
            Step::Append => {
                self.number += 1;
                let tag = format!("t{} ", self.number);
                let mut data = format!("{tag}APPEND Mix {{{}+}}\r\n", message.len()).into_bytes();
                data.extend_from_slice(message);
                data.extend_from_slice(b"\r\n");
                self.writer.write_all(&data).unwrap();
                self.until(&tag);
            }
            Step::Idle => {
                self.number += 1;
                let tag = format!("t{} ", self.number);
                self.writer.write_all(format!("{tag}IDLE\r\n").as_bytes()).unwrap();
                while self.line.first() != Some(&b'+') {
                    self.read_line();
                }
                self.writer.write_all(b"DONE\r\n").unwrap();
                self.until(&tag);
            }
        }
    }
}

/// Acknowledges at once: a server that leaves Nagle's algorithm on would wait for 40 ms otherwise.
fn quick(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the option is an int that lives through the call.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, (&raw const on).cast(), 4);
    }
}

/// The length that a line announces at its end.
fn literal(line: &[u8]) -> Option<u64> {
    let text = line.strip_suffix(b"}\r\n")?;
    let at = text.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()
}

/// Prints what was done: commands, seconds, and the latencies of which 50 and 99 in a hundred are shorter, in microseconds.
fn mix() {
    let port: u16 = option("--port", "").parse().unwrap();
    let users: usize = option("--users", "20").parse().unwrap();
    let clients: usize = option("--clients", "100").parse().unwrap();
    let time = Duration::from_secs_f64(option("--seconds", "3").parse().unwrap());
    let message = Arc::new(std::fs::read(option("--message", "")).unwrap());
    let ready = Arc::new(Barrier::new(clients + 1));
    let sessions: Vec<_> = (0..clients)
        .map(|number| {
            let (ready, message) = (Arc::clone(&ready), Arc::clone(&message));
            let work = move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1));
                // One after the other: a server with a short queue of connections would forget some of a hundred.
                let door = DOOR.lock().unwrap();
                let mut session = Session::open(port, &format!("user{}", number % users));
                drop(door);
                ready.wait();
                ready.wait();
                let end = Instant::now() + time;
                let mut taken = Vec::new();
                while Instant::now() < end {
                    let step = dice.step();
                    let begun = Instant::now();
                    session.carry_out(step, &mut dice, &message);
                    taken.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                taken
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap()
        })
        .collect();
    ready.wait();
    // The caller looks at the processor time of the server here and at the end.
    println!("ready");
    std::io::stdin().lines().next();
    let begun = Instant::now();
    ready.wait();
    let mut taken: Vec<u32> = sessions.into_iter().flat_map(|session| session.join().unwrap()).collect();
    let seconds = begun.elapsed().as_secs_f64();
    taken.sort_unstable();
    let part = |share: usize| taken[(taken.len() * share / 100).min(taken.len() - 1)];
    println!("{} {seconds:.6} {} {}", taken.len(), part(50), part(99));
}

/// Serves until its standard input ends: a greeting, then for each line at once the tagged answer; before the answer to `TAG SEND N` N octets.
fn nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new().stack_size(256 * 1024).spawn(move || drop(answer(stream))).unwrap();
        }
    });
    std::io::stdin().lines().for_each(drop);
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"* OK\r\n")?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let block = vec![b'x'; 256 * 1024];
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let mut words = line.split_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        match words.next() {
            Some("SEND") => {
                let mut left: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                while left > 0 {
                    let count = left.min(block.len());
                    stream.write_all(&block[..count])?;
                    left -= count;
                }
                stream.write_all(b"\r\n")?;
            }
            Some("IDLE") => {
                stream.write_all(b"+ idling\r\n")?;
                line.clear();
                reader.read_line(&mut line)?;
            }
            Some("APPEND") => {
                let length = literal(line.replace("+}", "}").as_bytes()).unwrap_or(0) + 2;
                std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
            }
            _ => {}
        }
        stream.write_all(format!("{tag} OK\r\n").as_bytes())?;
        line.clear();
    }
    Ok(())
}
