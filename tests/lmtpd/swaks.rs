//! swaks speaks LMTP to lmtpd: on the port, on the socket, and under TLS.

use std::process::Command;

use super::{counterpart, texts};
use crate::instance::Instance;
use crate::instance::lmtpd::Lmtpd;

#[test]
fn swaks_delivers_on_the_port_on_the_socket_and_under_tls() {
    let Some(swaks) = counterpart("swaks") else { return };
    let it = Instance::new();
    it.accounts(&["joe", "jane"]);
    let lmtpd = Lmtpd::start(&it);
    let server = format!("127.0.0.1:{}", lmtpd.port);
    let socket = lmtpd.socket.to_str().unwrap();
    let mut tries = vec![("port", vec!["--server", &server]), ("socket", vec!["--socket", socket])];
    let tls = Command::new("perl").args(["-MNet::SSLeay", "-e", "1"]).output().is_ok_and(|done| done.status.success());
    if tls {
        tries.push(("tls", vec!["--server", &server, "--tls"]));
    } else {
        assert!(std::env::var_os("CI").is_none(), "perl has no Net::SSLeay");
        eprintln!("SKIPPED: swaks under TLS wants Net::SSLeay of perl");
    }
    for (name, words) in &tries {
        let to = ["--protocol", "LMTP", "--from", "sender@example.net", "--to", "joe@example.org,jane@example.org"];
        let mail = ["--header", &format!("Subject: by {name}"), "--body", "hello", "--timeout", "120"];
        let done = Command::new(&swaks).args(to).args(mail).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(
            ["joe", "jane"].iter().all(|user| said.contains(&format!("250 2.1.5 Delivered <{user}@example.org>"))),
            "{said}"
        );
    }
    for user in ["joe", "jane"] {
        let found = texts(&it, &format!("user/{user}/INBOX"));
        assert_eq!(found.len(), tries.len());
        assert!(found.iter().zip(&tries).all(|(text, (name, _))| text.contains(&format!("Subject: by {name}\r\n"))));
    }
    lmtpd.stop();
}
