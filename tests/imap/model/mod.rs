//! Twenty random sessions on one imapd, and deliveries from outside, against a model of the mailboxes. Every response is checked as it comes: by what
//! its own session was told before (`session`), and by what is true whoever looks (`world`). Now and then all stop and compare what they believe with
//! the mailboxes. The seed says what is drawn; how the threads meet is left to the machine.
//!
//! `MSGSTORE_MODEL_SEED` and `MSGSTORE_MODEL_TURNS` (turns of a session) give one longer run instead of those of `seeds.txt`.

mod round;
mod session;
mod turns;
mod wire;
mod world;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use msgstore::os::process::{Order, ServiceState, service_state, tell};
use msgstore::store::{Flags, FolderId, NewMessage};

use super::{Daemon, PATIENCE};
use crate::configure::tool;
use round::{Ground, Meeting};
use session::Session;
use world::World;

pub use wire::{between, set};

const SESSIONS: usize = 20;
/// Turns of a session between two comparisons.
const ROUND: u64 = 20;
/// Turns of a session for each seed of the file.
const EVERYDAY: u64 = 60;

/// A sequence of numbers that a seed decides.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The number in a variable of the environment.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_response_is_right() {
    match std::env::var("MSGSTORE_MODEL_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => eprintln!("figures: model: {}", run(seed, number("MSGSTORE_MODEL_TURNS", EVERYDAY))),
        None => {
            let kept = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
            let seeds = kept.map(|line| line.split(' ').next().unwrap().parse().unwrap());
            seeds.for_each(|seed| eprintln!("figures: model: {}", run(seed, EVERYDAY)));
        }
    }
}

/// The store daemon of an instance: `deliver` wants it, and it settles meanwhile.
struct Stored(Child);

impl Stored {
    fn start(daemon: &Daemon) -> Stored {
        let base = daemon.dir.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_msgstore"));
        command.arg("stored").env("CONFIGROOT", base.join("config")).stdin(Stdio::null());
        let stored = Stored(command.spawn().unwrap());
        let begun = Instant::now();
        while !matches!(service_state(&base.join("data/proc"), "store").unwrap(), ServiceState::Ready(_)) {
            assert!(begun.elapsed() < PATIENCE, "stored does not get ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        stored
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        let _ = tell(i32::try_from(self.0.id()).unwrap(), Order::Stop);
        let _ = self.0.wait();
    }
}

/// A run, and what was done in it. Whatever fails names the seed; the daemon's end runs the checker.
fn run(seed: u64, turns: u64) -> String {
    let daemon = &Daemon::start(&["joe"], &[]);
    let stored = Stored::start(daemon);
    let ground = &Ground::prepare(daemon);
    let (world, meeting) = (&Arc::new(World::default()), &Meeting::new(SESSIONS));
    let over = &AtomicBool::new(false);
    let rounds = turns.div_ceil(ROUND);
    let commands: u64 = std::thread::scope(|scope| {
        let bringing = scope.spawn(move || {
            let _leaving = meeting.leaving_on_panic("a delivery");
            bring(daemon, world, over, seed)
        });
        let playing: Vec<_> = (0..SESSIONS as u64)
            .map(|number| scope.spawn(move || play(daemon, (world, ground, meeting), number, seed, rounds)))
            .collect();
        let played: Vec<_> = playing.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        let brought = bringing.join();
        // The one that found something, not those that stopped because of it.
        if let Some(why) = meeting.failure() {
            panic!("seed {seed}, {turns} turns: {why}");
        }
        brought.unwrap_or_else(|why| resume_unwind(why));
        played.into_iter().map(|it| it.unwrap_or_else(|why| resume_unwind(why))).sum()
    });
    world.settle(&ground.all(daemon, world));
    drop(stored);
    let (uids, contents) = world.size();
    format!(
        "{SESSIONS} sessions, {commands} commands, {rounds} comparisons, {contents} messages under {uids} UIDs, seed {seed}"
    )
}

/// One session from beginning to end. Gives the number of its commands.
fn play(
    daemon: &Daemon,
    (world, ground, meeting): (&Arc<World>, &Ground, &Meeting),
    number: u64,
    seed: u64,
    rounds: u64,
) -> u64 {
    let mut session = Session::new(daemon, world, number, seed);
    let done = catch_unwind(AssertUnwindSafe(|| {
        for round in 0..rounds {
            for _ in 0..ROUND {
                session.turn(daemon);
                meeting.check();
            }
            ground.compare(daemon, &mut session, meeting, round);
        }
    }));
    if let Err(why) = done {
        let words = why.downcast_ref::<String>().cloned();
        let words = words.or_else(|| why.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default();
        meeting.fail(format!("session {number}, {:?}: {words}\n{}", session.mode, session.transcript()));
        resume_unwind(why);
    }
    session.commands
}

/// Deliveries to INBOX: by the tool, by LMTP, and by another process that has the store open.
fn bring(daemon: &Daemon, world: &World, over: &AtomicBool, seed: u64) {
    let mut random = Random(seed ^ 0x00de_11ff);
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    while !over.load(Ordering::Relaxed) {
        let (content, text) = world.new_content(random.below(9));
        match random.below(4) {
            0 => {
                let done = tool(daemon.dir.path(), &["deliver", "joe"], &text);
                assert!(done.status.success(), "{done:?}");
            }
            1 => {
                let wire = format!("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<joe>\r\nDATA\r\n{text}.\r\nQUIT\r\n");
                let done = tool(daemon.dir.path(), &["deliver", "-l"], &wire);
                assert!(String::from_utf8_lossy(&done.stdout).contains("\r\n250 2.1.5"), "{done:?}");
            }
            _ => {
                let mut staging = store.stage("primary").unwrap();
                staging.write_all(text.as_bytes()).unwrap();
                let staged = staging.finish().unwrap();
                let item = NewMessage {
                    staged: &staged,
                    flags: Flags::FLAGGED,
                    keywords: vec!["brought".to_owned()],
                    internal_date_s: 1_795_000_000,
                    internal_zone_min: 60,
                };
                store.append(account, FolderId::INBOX, &[item], 1_795_000_000).unwrap();
            }
        }
        world.delivered(content);
        std::thread::sleep(Duration::from_millis(20 + random.below(200)));
    }
}
