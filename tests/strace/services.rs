//! The order of flushes in the tools and daemons themselves: the answer is what their callers see.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use msgstore::os::process::{Order, tell};

use super::trace::{Event, Trace, strace, traced};
use super::{TEXT, staged_first};
use crate::imap::{Client, PATIENCE};
use crate::instance::Instance;

/// An imapd under strace.
struct Watched {
    child: Child,
    pid: i32,
}

impl Watched {
    fn wait(&mut self) {
        tell(self.pid, Order::Stop).unwrap();
        assert!(self.child.wait().unwrap().success(), "imapd ended badly");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = tell(self.pid, Order::Stop);
            let _ = self.child.wait();
        }
    }
}

#[test]
fn deliver_ends_when_the_message_is_durable() {
    let Some(strace) = strace() else { return };
    let it = Instance::new();
    it.accounts(&["joe"]);
    let log = it.base().join("strace.log");
    let input = it.base().join("message");
    std::fs::write(&input, TEXT).unwrap();
    let mut command = traced(&strace, &it.command("deliver", &["joe"]), &log);
    let status = command.stdin(std::fs::File::open(&input).unwrap()).status().unwrap();
    assert!(status.success(), "{status}");
    let trace = Trace::read(&log, None, None);
    let links = staged_first(&trace);
    assert_eq!(links.len(), 1);
    let commits = trace.exactly(&["shard"]);
    assert!(links[0].ended < commits[0].begun, "the link comes after the commit that names it");
}

#[test]
fn imapd_answers_when_it_is_durable() {
    let Some(strace) = strace() else { return };
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.mailbox("user/joe/Work");
    for (name, value) in [("service.imap.port", "0"), ("service.listenaddr", "127.0.0.1")] {
        it.run("configutil", &["-o", name, "-v", value]).ok();
    }
    let log = it.base().join("strace.log");
    let mut child = traced(&strace, &it.command("imapd", &[]), &log).stdin(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let port = loop {
        if let Ok(text) = std::fs::read_to_string(it.base().join("data/proc/imap.port")) {
            break text.trim().parse().unwrap();
        }
        assert_eq!(child.try_wait().unwrap(), None, "imapd ended");
        assert!(begun.elapsed() < PATIENCE, "imapd does not get ready");
        std::thread::sleep(Duration::from_millis(5));
    };
    // strace names the first process first.
    let text = std::fs::read_to_string(&log).unwrap();
    let pid = text.split(' ').next().unwrap().parse().unwrap();
    let mut imapd = Watched { child, pid };

    let mut client = Client::to(("127.0.0.1", port));
    assert!(client.line().starts_with("* OK "));
    for command in [
        "login joe secret".to_owned(),
        format!("append INBOX (\\Deleted) {{{}+}}\r\n{TEXT}", TEXT.len()),
        "select INBOX".to_owned(),
        "copy 1 Work".to_owned(),
        "expunge".to_owned(),
    ] {
        let answer = client.ask(&command);
        assert!(answer.last().unwrap().starts_with("OK "), "{command}: {answer:?}");
    }
    drop(client);
    imapd.wait();

    let appended = Trace::read(&log, Some("t1 OK"), Some("t2 OK"));
    let links = staged_first(&appended);
    let commits = appended.exactly(&["shard"]);
    assert!(links[0].ended < commits[0].begun, "the link comes after the commit that names it");

    let copied = Trace::read(&log, Some("t3 OK"), Some("t4 OK"));
    let work = it.directory_of("user/joe/Work").canonicalize().unwrap();
    let link = copied.one("the link of the message", Event::is_link);
    let commits = copied.exactly(&["shard"]);
    copied.flushed(&work.join("00"), link.ended, commits[0].begun);
    copied.flushed(&work, link.ended, commits[0].begun);

    let expunged = Trace::read(&log, Some("t4 OK"), Some("t5 OK"));
    expunged.exactly(&["shard"]);
    assert!(!expunged.events.iter().any(Event::is_unlink), "an expunge removes no file before purge");
}
