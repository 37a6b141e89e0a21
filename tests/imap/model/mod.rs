//! Several clients change one mailbox at random. Each keeps the list that its responses describe; in the end all lists are the mailbox.

use super::{Client, Daemon};

/// What a client believes: the UID and the flags of each message, as far as it was told.
#[derive(Default)]
struct Picture {
    messages: Vec<Option<u32>>,
}

impl Picture {
    fn read(&mut self, line: &str, may_expunge: bool, context: &str) {
        let mut words = line.split(' ');
        if words.next() != Some("*") {
            return;
        }
        let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse::<usize>), words.next()) else {
            return;
        };
        match word {
            "EXISTS" => {
                assert!(number >= self.messages.len(), "{context}: EXISTS may not shrink: {line}");
                self.messages.resize(number, None);
            }
            "EXPUNGE" => {
                assert!(may_expunge, "{context}: {line}");
                assert!((1..=self.messages.len()).contains(&number), "{context}: {line}");
                self.messages.remove(number - 1);
            }
            "FETCH" => {
                let Some(at) = line.find("UID ") else { return };
                let uid: u32 = line[at + 4..].split([' ', ')']).next().unwrap().parse().unwrap();
                let known = &mut self.messages[number - 1];
                assert!(known.is_none_or(|known| known == uid), "{context}: {line}, but known as {known:?}");
                *known = Some(uid);
            }
            _ => {}
        }
    }
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn act(client: &mut Client, picture: &mut Picture, command: &str) {
    let no_expunge = ["fetch", "store", "search", "sort", "thread"].iter().any(|word| command.starts_with(word));
    for line in client.ask(command) {
        picture.read(&line, !no_expunge, command);
    }
}

fn turn(random: &mut Random, client: &mut Client, picture: &mut Picture) {
    let count = picture.messages.len() as u64;
    let number = 1 + random.below(count.max(1));
    let other = 1 + random.below(count.max(1));
    let command = match random.below(12) {
        0..=2 => "append INBOX (\\Flagged) {6+}\r\na: 1\r\n".to_owned(),
        3 if count > 0 => format!("store {number}:{other} +flags (\\Deleted)"),
        4 if count > 0 => format!("store {number} -flags.silent (\\Flagged)"),
        5 => "expunge".to_owned(),
        6 if count > 0 => format!("fetch {number}:{other} (uid flags)"),
        7 if count > 0 => "uid fetch 1:* (flags body[]<0.3>)".to_owned(),
        8 if count > 0 => format!("move {number} Other"),
        9 if count > 0 => format!("copy {number}:{other} INBOX"),
        10 => ["search undeleted", "sort (size) us-ascii all", "thread references us-ascii all"]
            [random.below(3) as usize]
            .to_owned(),
        _ => "noop".to_owned(),
    };
    act(client, picture, &command);
}

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_client_ends_with_the_mailbox() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (seed, turns) = (number("MSGSTORE_MODEL_SEED", 20_261_123), number("MSGSTORE_MODEL_TURNS", 120));
    daemon.login("joe").ask("create Other");
    let threads: Vec<_> = (0..4u64)
        .map(|number| {
            let mut client = daemon.login("joe");
            std::thread::spawn(move || {
                let mut random = Random(seed.wrapping_add(number * 7919));
                let mut picture = Picture::default();
                act(&mut client, &mut picture, "select INBOX");
                for _ in 0..turns {
                    turn(&mut random, &mut client, &mut picture);
                }
                (client, picture)
            })
        })
        .collect();
    let clients: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut lists = Vec::new();
    for (mut client, mut picture) in clients {
        act(&mut client, &mut picture, "noop");
        let told = client.ask("fetch 1:* (uid flags)");
        for line in &told {
            picture.read(line, false, "the last fetch");
        }
        let uids: Vec<u32> = picture.messages.iter().map(|uid| uid.unwrap()).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
        lists.push((
            uids,
            told.into_iter().map(|line| line.replace(" \\Recent", "").replace("\\Recent", "")).collect::<Vec<_>>(),
        ));
    }
    assert!(lists.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {lists:#?}");
    eprintln!(
        "figures: model: 4 clients, {turns} commands each, {} messages at the end, seed {seed}",
        lists[0].0.len()
    );
}
