//! A disk that is full while the services run.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::Lmtpd;

/// A small file system over a directory; unmounted when dropped.
pub struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    pub fn mount(at: &std::path::Path, options: &str) -> Option<SmallDisk> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output().ok()?;
        if done.status.success() {
            return Some(SmallDisk(at.to_owned()));
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let possible = crate::instance::has_rights_over_the_system();
        assert!(!(possible && std::env::var_os("CI").is_some()), "no small file system: {said}");
        eprintln!("SKIPPED: a small file system cannot be mounted here (this test wants root): {said}");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).unwrap();
    for block in [65_536, 4096, 1] {
        while file.write_all(&vec![1; block]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut it = Instance::stopped(&[]);
    let data = it.base().join("data");
    let kept = it.base().join("kept");
    fs::rename(&data, &kept).unwrap();
    fs::create_dir(&data).unwrap();
    let disk = SmallDisk::mount(&data, "size=48m,mode=0700");
    assert!(Command::new("cp").arg("-a").arg(kept.join(".")).arg(&data).status().unwrap().success());
    let Some(disk) = disk else { return };
    it.start();
    it.accounts(&["joe"]);
    let mut imapd = Imapd::start(&it);
    let lmtpd = Lmtpd::start(&it);
    let mut transport = lmtpd.connect();
    let mut client = imapd.login("joe");
    let text = format!("Subject: one\r\n\r\n{}", "0123456789\r\n".repeat(20_000));
    for _ in 0..5 {
        assert!(client.append("INBOX", "", &text).starts_with("OK "));
    }
    client.ask("select INBOX");
    let filler = data.join("filler");
    fill(&filler);
    for size in [10, 1_000_000] {
        let said = client.append("INBOX", "", &format!("Subject: x\r\n\r\n{}", "y".repeat(size)));
        assert!(said.starts_with("NO [UNAVAILABLE] The disk of the mail store is full, incident "), "{size}: {said}");
    }
    let (_, err) = it.run_with("deliver", &["joe"], "Subject: x\n\ny\n").ended(75);
    assert!(err.contains("No space left"), "{err}");
    let (_, err) = it.run_with("deliver", &["joe"], &text).ended(75);
    assert!(err.contains("No space left"), "{err}");
    // A mail transport keeps its mail: whether there is no room for a beginning, or for the whole.
    transport.ask("MAIL FROM:<a@b>");
    assert_eq!(transport.ask("RCPT TO:<joe>"), "250 2.1.5 OK");
    let mut said = transport.ask("DATA");
    if said.starts_with("354 ") {
        transport.send(format!("{text}.\r\n"));
        said = transport.reply();
    }
    assert!(said.starts_with("452 4.3.1 No space left"), "{said}");
    transport.ask("RSET");
    // What is there can be read, in this session and in a new one.
    client.send("f fetch 3 body.peek[]\r\n");
    assert_eq!(client.line(), format!("* 3 FETCH (BODY[] {{{}}}", text.len()));
    assert!(client.bytes(text.len()) == text.as_bytes());
    assert_eq!(client.line(), ")");
    assert_eq!(client.until("f"), ["OK Completed"]);
    let mut second = imapd.login("joe");
    assert!(second.ask("examine INBOX").last().unwrap().starts_with("OK "));
    // And what is not wanted can be expunged.
    assert!(client.ask("store 1:2 +flags.silent (\\Deleted)").last().unwrap().starts_with("OK "));
    let said = client.ask("expunge");
    assert_eq!(said, ["* 1 EXPUNGE", "* 1 EXPUNGE", "OK Completed"]);
    fs::remove_file(&filler).unwrap();
    assert!(client.append("INBOX", "", &text).starts_with("OK "));
    it.run_with("deliver", &["joe"], "Subject: x\n\ny\n").ok();
    assert_eq!(transport.deliver(&["joe"], "Subject: x\r\n"), ["250 2.1.5 Delivered <joe>"]);
    assert_eq!(it.uids("user/joe/INBOX").len(), 6);
    imapd.still_runs();
    // Checked here: the disk goes before the instance does.
    drop((client, second, transport));
    imapd.stop();
    lmtpd.stop();
    it.stop();
    let findings = it.store().check(msgstore::store::check::Depth { content: true }).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
    drop(disk);
    it.leave_unchecked();
}
