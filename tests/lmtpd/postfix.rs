//! A real Postfix on loopback delivers through lmtpd, which is killed meanwhile; at the end every message is in every recipient's folder.
//!
//! `MSGSTORE_POSTFIX_MESSAGES` (default 200), `MSGSTORE_POSTFIX_USERS` (20), `MSGSTORE_POSTFIX_KILLS` (1), `MSGSTORE_POSTFIX_MBOX` (a file of real
//! mail; else mail is made), `MSGSTORE_POSTFIX_DISK` (`64m`: the store is on a disk of that size, which is full for a while).

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use msgstore::message::mbox;
use msgstore::store::Uid;

use super::{counterpart, log, set};
use crate::bad_input::disk::{SmallDisk, fill};
use crate::imap::PATIENCE;
use crate::instance::lmtpd::Lmtpd;
use crate::instance::{Instance, wait_until};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The code blocks of docs/operations/postfix.md, by the heading above them.
fn blocks() -> HashMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations/postfix.md");
    let page = fs::read_to_string(page).unwrap();
    let mut found = HashMap::new();
    for section in page.split("\n## ").skip(1) {
        if let Some((heading, rest)) = section.split_once('\n')
            && let Some((_, block)) = rest.split_once("```text\n")
        {
            found.insert(heading.to_owned(), block.split_once("```").unwrap().0.to_owned());
        }
    }
    found
}

/// A running Postfix of this test alone.
pub struct Postfix {
    dir: tempfile::TempDir,
    master: Child,
    /// Where mail comes in.
    pub address: String,
}

impl Postfix {
    /// With directories of its own; mail comes in at its `address`. `transport`: a `virtual_transport` other than that of the page.
    pub fn start(transport: Option<&str>) -> Postfix {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["conf", "queue", "data"] {
            fs::create_dir(path(name)).unwrap();
        }
        let owner = Command::new("chown").arg("postfix").arg(path("data")).status().unwrap();
        assert!(owner.success());
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let blocks = blocks();
        let mut main = blocks["main.cf"].clone();
        if let Some(transport) = transport {
            let line = main.lines().find(|line| line.starts_with("virtual_transport = ")).unwrap().to_owned();
            main = main.replace(&line, &format!("virtual_transport = {transport}"));
        }
        main += &format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmaillog_file = {}\nmaillog_file_prefixes = {}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example.net\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             alias_maps =\nlocal_recipient_maps =\nqueue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n\
             transport_retry_time = 1s\nsmtpd_error_sleep_time = 0\n",
            path("queue").display(),
            path("data").display(),
            path("log").display(),
            dir.path().display()
        );
        fs::write(path("conf/main.cf"), main).unwrap();
        let master = format!(
            "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 1 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nproxymap unix - - n - - proxymap\n\
             error unix - - n - - error\nretry unix - - n - - error\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
             postlog unix-dgram n - n - 1 postlogd\n{}",
            blocks["master.cf"]
        );
        fs::write(path("conf/master.cf"), master).unwrap();
        let checked = Command::new("/usr/sbin/postfix").arg("-c").arg(path("conf")).arg("check").output().unwrap();
        let said = || fs::read_to_string(path("log")).unwrap_or_default();
        assert!(checked.status.success(), "{checked:?} {}", said());
        let mut master = Command::new("/usr/lib/postfix/sbin/master");
        // It wants to be the first of its process group.
        master.arg("-c").arg(path("conf")).arg("-d").env("MAIL_CONFIG", path("conf")).process_group(0);
        let output = fs::File::create(path("output")).unwrap();
        let master = master.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let postfix = Postfix { dir, master, address };
        wait_until("Postfix does not answer", || TcpStream::connect(&postfix.address).is_ok());
        postfix
    }

    /// Where its page has the socket of lmtpd.
    fn socket(&self) -> PathBuf {
        self.dir.path().join("queue/private/msgstore-lmtp")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Messages that it has taken and not handed over.
    fn waiting(&self) -> usize {
        fn files(dir: &Path) -> usize {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries
                .map(|entry| if entry.file_type().is_ok_and(|kind| kind.is_dir()) { files(&entry.path()) } else { 1 })
                .sum()
        }
        ["incoming", "active", "deferred"].iter().map(|name| files(&self.dir.path().join("queue").join(name))).sum()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.master.id()).unwrap());
        // It ends its own processes.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.master.wait();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the end of Postfix's log:\n{}", &log[log.len().saturating_sub(4000)..]);
        }
    }
}

/// A client of SMTP.
struct Smtp {
    reader: BufReader<TcpStream>,
}

impl Smtp {
    fn connect(address: &str) -> Smtp {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut smtp = Smtp { reader: BufReader::new(stream) };
        assert!(smtp.reply().starts_with("220 "));
        smtp.ok("EHLO client.example.net");
        smtp
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    fn ask(&mut self, command: &str) -> String {
        self.reader.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn ok(&mut self, command: &str) {
        let reply = self.ask(command);
        assert!(reply.starts_with('2') || reply.starts_with('3'), "{command}: {reply}");
    }

    fn send(&mut self, to: &[String], text: &[u8]) {
        self.ok("MAIL FROM:<sender@example.net> BODY=8BITMIME");
        to.iter().for_each(|to| self.ok(&format!("RCPT TO:<{to}>")));
        self.ok("DATA");
        let mut wire = Vec::with_capacity(text.len() + text.len() / 32);
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend(line.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }));
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.reader.get_mut().write_all(&wire).unwrap();
        let reply = self.reply();
        assert!(reply.starts_with("250"), "{reply}");
    }
}

/// The mail: real mail of a file, or made.
fn mail(count: usize) -> Vec<Vec<u8>> {
    let Some(path) = std::env::var_os("MSGSTORE_POSTFIX_MBOX") else {
        return (0..count)
            .map(|n| format!("Subject: number {n}\n\n{}", "some text\n".repeat(n % 200)).into_bytes())
            .collect();
    };
    let mut reader = mbox::Reader::new(BufReader::new(fs::File::open(path).unwrap()), mbox::Options::default());
    let mut found = Vec::new();
    while found.len() < count && reader.next_message().unwrap().is_some() {
        let mut text = Vec::new();
        while reader.read_chunk(&mut text).unwrap() {}
        found.push(text);
    }
    assert_eq!(found.len(), count, "the file has too few messages");
    found
}

/// Whom a message goes to: some of the users, the same every time; a folder of theirs now and then.
fn recipients(number: usize, users: usize) -> Vec<usize> {
    let count = 1 + number % 5;
    (0..count).map(|nth| (number * 7 + nth * 3) % users).collect()
}

/// How often each message is in the mailbox of a user, by its number.
fn found(it: &Instance, user: usize) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for mailbox in [format!("user/u{user}/INBOX"), format!("user/u{user}/Post")] {
        let dir = it.directory_of(&mailbox);
        for uid in it.uids(&mailbox) {
            let text = fs::read(dir.join(msgstore::store::layout::message_file(uid))).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            let line = text.lines().find_map(|line| line.strip_prefix("X-Test-Number: ")).unwrap();
            *counts.entry(line.parse().unwrap()).or_insert(0) += 1;
        }
    }
    counts
}

/// Lets everything in when it goes.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::SeqCst);
    }
}

/// Root, and Postfix: what these tests want.
pub fn possible() -> bool {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: Postfix starts as root only");
        return false;
    }
    counterpart("master").is_some()
}

/// Brings mail, kills lmtpd meanwhile, and looks for all of it.
fn run(local: bool) {
    let (count, users) = (number("MSGSTORE_POSTFIX_MESSAGES", 200), number("MSGSTORE_POSTFIX_USERS", 20));
    let kills = number("MSGSTORE_POSTFIX_KILLS", 1);
    let disk = std::env::var("MSGSTORE_POSTFIX_DISK").ok();
    let mut it = Instance::stopped(&[]);
    let data = it.base().join("data/store/partition/primary");
    let disk = disk.map(|size| {
        // What the partition holds from the beginning comes onto its disk.
        let kept = it.base().join("kept");
        fs::rename(&data, &kept).unwrap();
        fs::create_dir(&data).unwrap();
        let disk = SmallDisk::mount(&data, &format!("size={size},mode=0700")).unwrap();
        assert!(Command::new("cp").arg("-a").arg(kept.join(".")).arg(&data).status().unwrap().success());
        disk
    });
    it.start();
    let names: Vec<String> = (0..users).map(|user| format!("u{user}")).collect();
    it.accounts(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for user in 0..users {
        let (account, folder) = it.mailbox(&format!("user/u{user}/Post"));
        let rights = msgstore::store::Rights::parse("p").unwrap();
        let anyone = msgstore::store::AclEntry { identifier: "anyone".into(), rights };
        it.store().set_acl(account, folder, &msgstore::store::Acl(vec![anyone])).unwrap();
    }
    // The port must be known before Postfix starts, the queue directory before lmtpd does.
    let mut lmtpd = None;
    let postfix = if local {
        let postfix = Postfix::start(None);
        set(&it, "service.lmtp.socket", postfix.socket().to_str().unwrap());
        set(&it, "service.lmtp.socketgroup", "postfix");
        postfix
    } else {
        let first = Lmtpd::start(&it);
        set(&it, "service.lmtp.port", &first.port.to_string());
        let postfix = Postfix::start(Some(&format!("msgstore:inet:[127.0.0.1]:{}", first.port)));
        lmtpd = Some(first);
        postfix
    };
    let mut lmtpd = lmtpd.or_else(|| Some(Lmtpd::start(&it)));
    let mut door = Smtp::connect(&postfix.address);
    door.ok("MAIL FROM:<sender@example.net>");
    assert!(door.ask("RCPT TO:<joe@elsewhere.example>").starts_with("250"), "this host may relay");
    drop(door);
    let begun = Instant::now();
    let mailboxes: Vec<_> = (0..users)
        .flat_map(|user| ["INBOX", "Post"].map(|folder| it.mailbox(&format!("user/u{user}/{folder}"))))
        .collect();
    // How many messages may be sent so far: a share of them before each kill, and the last behind it.
    let share = |nth: usize| count * nth / (kills + 1);
    let let_in = AtomicUsize::new(share(1));
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (mail, address, let_in) = (mail(count), &postfix.address, &let_in);
            scope.spawn(move || {
                let mut smtp = Smtp::connect(address);
                for (number, text) in mail.iter().enumerate().skip(part).step_by(4) {
                    let to: Vec<String> = recipients(number, users)
                        .iter()
                        .map(|user| format!("u{user}{}@example.org", if number % 11 == 0 { "+Post" } else { "" }))
                        .collect();
                    let mut whole = format!("X-Test-Number: {number}\n").into_bytes();
                    whole.extend_from_slice(text);
                    while number >= let_in.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    smtp.send(&to, &whole);
                }
            });
        }
        // However this ends, nobody waits for ever.
        let _open = Open(&let_in);
        let store = it.store();
        let delivered = || -> usize {
            let of = |(account, folder): (_, _)| {
                let mut count = 0;
                let view = store.view(account).unwrap();
                view.states(folder, 0..=Uid::MAX, &mut |run| count += (run.first..=run.last()).count()).unwrap();
                count
            };
            mailboxes.iter().map(|mailbox| of(*mailbox)).sum()
        };
        for kill in 1..=kills {
            // What was let in before is there, most of it; then more comes, and in the middle of that lmtpd dies.
            let before: usize = (0..share(kill)).map(|number| recipients(number, users).len()).sum();
            wait_until("the mail does not come", || delivered() >= before * 9 / 10);
            let filler = disk.as_ref().filter(|_| kill == kills.div_ceil(2)).map(|_| data.join("filler"));
            if let Some(filler) = &filler {
                fill(filler);
            }
            let_in.store(share(kill + 1), Ordering::SeqCst);
            if let Some(filler) = &filler {
                wait_until("the disk is not full", || log(&it).contains("No space left"));
                fs::remove_file(filler).unwrap();
            }
            wait_until("no mail behind that", || delivered() > before);
            lmtpd.take().unwrap().kill();
            lmtpd = Some(Lmtpd::start(&it));
        }
    });
    wait_until("Postfix keeps mail", || postfix.waiting() == 0);
    let took = begun.elapsed();
    let (mut wanted, mut twice) = (vec![Vec::new(); users], 0);
    (0..count).for_each(|number| recipients(number, users).iter().for_each(|user| wanted[*user].push(number)));
    for (user, mut numbers) in wanted.into_iter().enumerate() {
        numbers.sort_unstable();
        numbers.dedup();
        let found = found(&it, user);
        for number in &numbers {
            assert!(found.contains_key(number), "message {number} of u{user} is lost");
        }
        assert_eq!(found.len(), numbers.len(), "u{user} has mail of others");
        twice += found.values().map(|count| count - 1).sum::<usize>();
    }
    assert!(!postfix.log().contains("status=bounced"), "{}", postfix.log());
    println!("figures: {count} messages for {users} users, {kills} kills: {twice} there twice, {} s", took.as_secs());
    drop(postfix);
    lmtpd.unwrap().stop();
    if let Some(disk) = disk {
        it.stop();
        let findings = it.store().check(msgstore::store::check::Depth { content: true }).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        drop(disk);
        it.leave_unchecked();
    }
}

#[test]
fn postfix_delivers_by_the_socket_and_nothing_is_lost() {
    if possible() {
        run(true);
    }
}

#[test]
fn postfix_delivers_by_the_port_and_nothing_is_lost() {
    if possible() {
        run(false);
    }
}

#[test]
fn postfix_refuses_at_the_door_whom_lmtpd_does_not_know() {
    if !possible() {
        return;
    }
    let it = Instance::new();
    it.accounts(&["joe"]);
    let postfix = Postfix::start(None);
    set(&it, "service.lmtp.socket", postfix.socket().to_str().unwrap());
    set(&it, "service.lmtp.socketgroup", "postfix");
    // Who is not of its own networks is asked about.
    let conf = postfix.dir.path().join("conf/main.cf");
    let text = fs::read_to_string(&conf).unwrap().replace("mynetworks = 127.0.0.0/8", "mynetworks = 192.0.2.1");
    fs::write(&conf, text).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(postfix.master.id()).unwrap()),
        nix::sys::signal::Signal::SIGHUP,
    )
    .unwrap();
    let lmtpd = Lmtpd::start(&it);
    let begun = Instant::now();
    loop {
        let mut smtp = Smtp::connect(&postfix.address);
        smtp.ok("MAIL FROM:<sender@example.net>");
        let (joe, nobody) = (smtp.ask("RCPT TO:<joe+x@example.org>"), smtp.ask("RCPT TO:<nobody@example.org>"));
        // The first answers may come before the question was answered, or before the new settings count.
        if joe.starts_with("250") && nobody.starts_with("550") {
            assert!(nobody.contains("5.1.1"), "{nobody}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{joe}{nobody}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(postfix);
    lmtpd.stop();
}
