//! Servers that are down, slow, restarted, elsewhere, stingy: what is not known is never told as "no such user".

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use msgstore::directory::{Directory, DirectoryError, ErrorKind, Home, Status};

use super::slapd::{READER, READER_PASSWORD, Slapd};
use super::{data, options, settings};

/// Every question says that it has no answer.
fn says_nothing(directory: &Directory, reason: &str) {
    let kind = |error: DirectoryError| {
        assert!(error.to_string().contains(reason), "{error}");
        error.kind()
    };
    for name in ["joe", "nobody", "joe.doe@example.org"] {
        assert_eq!(kind(directory.lookup(name).unwrap_err()), ErrorKind::Unavailable);
        assert_eq!(kind(directory.recipient(name).unwrap_err()), ErrorKind::Unavailable);
        assert_eq!(kind(directory.entry(name).unwrap_err()), ErrorKind::Unavailable);
        assert_eq!(kind(directory.has_address(name).unwrap_err()), ErrorKind::Unavailable);
        assert_eq!(kind(directory.authenticate(name, "secret").unwrap_err()), ErrorKind::Unavailable);
    }
    assert_eq!(kind(directory.domain("example.org").unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(kind(directory.users().unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(kind(directory.problems().unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(kind(directory.prepare().unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(
        kind(directory.change_domain_status("example.org", Status::Active, Status::Hold).unwrap_err()),
        ErrorKind::Unavailable
    );
}

fn is_well(directory: &Directory) {
    assert!(matches!(directory.lookup("joe").unwrap(), Home::Here(_)));
    assert_eq!(directory.lookup("nobody").unwrap(), Home::Nowhere);
    assert!(directory.authenticate("joe", "secret").is_ok());
}

#[test]
fn a_server_comes_and_goes() {
    let Some(mut slapd) = Slapd::start(&data(), "") else { return };
    let directory = Directory::ldap(settings(&slapd, None), options());
    is_well(&directory);
    for _ in 0..2 {
        slapd.stop();
        says_nothing(&directory, "refused");
        slapd.run();
        is_well(&directory);
        // Connections that were kept are dead now, which nobody notices.
        slapd.stop();
        slapd.run();
        is_well(&directory);
    }
}

#[test]
fn another_server_takes_its_place() {
    let Some(mut first) = Slapd::start(&data(), "") else { return };
    let mut second = Slapd::start(&data(), "").unwrap();
    let mut both = settings(&first, None);
    both.hosts.push(second.host());
    both.pool_refresh = Some(Duration::from_millis(1));
    let directory = Directory::ldap(both.clone(), options());
    is_well(&directory);
    let status = |server: &Slapd, status| {
        let other = Directory::ldap(settings(server, None), options());
        let now = other.entry("ann").unwrap().unwrap().status;
        assert!(now == status || other.change_status("ann", now, status).unwrap());
    };
    // The first is asked as long as it is there, and again when it is back.
    use msgstore::directory::Status::{Active, Overquota};
    status(&second, Overquota);
    let asked = || directory.entry("ann").unwrap().unwrap().status;
    assert_eq!(asked(), Active);
    first.stop();
    assert_eq!(asked(), Overquota);
    is_well(&directory);
    first.run();
    thread::sleep(Duration::from_millis(2));
    assert_eq!(asked(), Active);
    first.stop();
    second.stop();
    let error = directory.lookup("joe").unwrap_err().to_string();
    assert!(error.contains(&first.host()) && error.contains(&second.host()), "{error}");
}

/// A server that takes connections, and answers each with these bytes or not at all; how many have come.
fn sick(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (host, count) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut client in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            if !answer.is_empty() {
                let _ = client.read(&mut [0; 1000]);
                let _ = client.write_all(answer);
            }
            held.push(client);
        }
    });
    (host, count)
}

#[test]
fn a_sick_server_is_left_alone() {
    let Some(well) = Slapd::start(&data(), "") else { return };
    // LDAPMessage 1, BindResponse: busy.
    let busy = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x33\x04\x00\x04\x00";
    // LDAPMessage 1, SearchResultDone: unavailable.
    let unavailable = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x34\x04\x00\x04\x00";
    for (answer, bind) in [(&b""[..], None), (b"", Some(("", ""))), (busy, None), (unavailable, Some(("", "")))] {
        let (host, count) = sick(answer);
        let mut both = settings(&well, bind);
        both.hosts.insert(0, host);
        // Each question has a connection of its own.
        (both.pool_size, both.connect_timeout, both.search_timeout) =
            (0, Duration::from_secs(2), Duration::from_secs(2));
        let directory = Directory::ldap(both, options());
        is_well(&directory);
        is_well(&directory);
        assert_eq!(count.load(Ordering::SeqCst), 1, "{answer:?} {bind:?}");
    }
    // The same where only passwords are asked for: nobody has bound before.
    let (host, count) = sick(b"");
    let mut both = settings(&well, Some(("", "")));
    both.hosts.insert(0, host);
    both.search_timeout = Duration::from_secs(2);
    let directory = Directory::ldap(both, options());
    assert!(directory.authenticate("joe", "secret").is_ok() && directory.authenticate("joe", "secret").is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_kept_connection_that_fell_silent_is_forgotten() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut kept = settings(&slapd, None);
    kept.hosts = vec![listener.local_addr().unwrap().to_string()];
    kept.search_timeout = Duration::from_secs(4);
    // What comes on a connection of before is swallowed, as by a firewall that has forgotten it.
    let (age, port) = (Arc::new(AtomicUsize::new(0)), slapd.port);
    let now = Arc::clone(&age);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (other_client, other_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            for (mut from, mut to) in [(client, server), (other_server, other_client)] {
                let (own, now) = (now.load(Ordering::SeqCst), Arc::clone(&now));
                thread::spawn(move || {
                    let mut bytes = [0; 65_536];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        if now.load(Ordering::SeqCst) == own && to.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let directory = Directory::ldap(kept, options());
    is_well(&directory);
    for _ in 0..2 {
        age.fetch_add(1, Ordering::SeqCst);
        is_well(&directory);
    }
}

/// Passes bytes on to a server and lets its answers wait.
pub fn slow(port: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let pass = |mut from: TcpStream, mut to: TcpStream, delay: Duration| {
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                thread::sleep(delay);
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), Duration::ZERO);
            pass(server, client, delay);
        }
    });
    own
}

#[test]
fn a_slow_server_is_waited_for_as_long_as_is_allowed() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let delay = Duration::from_secs(2);
    let mut patient = settings(&slapd, Some(("", "")));
    patient.hosts = vec![format!("127.0.0.1:{}", slow(slapd.port, delay))];
    let begun = Instant::now();
    assert!(matches!(Directory::ldap(patient.clone(), options()).lookup("joe").unwrap(), Home::Here(_)));
    assert!(begun.elapsed() >= delay);
    let mut hasty = patient.clone();
    hasty.search_timeout = Duration::from_millis(50);
    let error = Directory::ldap(hasty, options()).lookup("joe").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("no answer within 0.05 seconds")),
        (ErrorKind::Unavailable, true),
        "{error}"
    );
    // A listener that accepts and says nothing: with a bind or TLS that belongs to the connection.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut dead = settings(&slapd, None);
    dead.hosts = vec![silent.local_addr().unwrap().to_string()];
    dead.connect_timeout = Duration::from_millis(50);
    let error = Directory::ldap(dead.clone(), options()).lookup("joe").unwrap_err();
    assert!(error.to_string().contains("within 0.05 seconds"), "{error}");
    dead.encryption = msgstore::directory::ldap::Encryption::Tls;
    let error = Directory::ldap(dead, options()).lookup("joe").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_server_that_talks_nonsense_is_no_directory() {
    for nonsense in [
        &b"220 smtp.example.org ready\r\n"[..],
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"",
        b"\x00\x00\x00",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wrong = msgstore::directory::ldap::Settings {
            hosts: vec![listener.local_addr().unwrap().to_string()],
            base_dn: "o=isp".to_owned(),
            bind_dn: "cn=a,o=isp".to_owned(),
            bind_password: "b".to_owned(),
            connect_timeout: Duration::from_millis(500),
            ..Default::default()
        };
        wrong.search_timeout = wrong.connect_timeout;
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 1000]);
                let _ = client.write_all(nonsense);
            }
        });
        let error = Directory::ldap(wrong, options()).lookup("joe").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{nonsense:?}");
    }
}

#[test]
fn a_wrong_setting_is_said() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let with = |change: &dyn Fn(&mut msgstore::directory::ldap::Settings)| {
        let mut settings = settings(&slapd, None);
        change(&mut settings);
        Directory::ldap(settings, options())
    };
    says_nothing(&with(&|settings| settings.bind_password = "wrong".to_owned()), "does not let cn=admin,o=isp in");
    // A bind without a password is one as nobody.
    says_nothing(&with(&|settings| settings.bind_password.clear()), "local.ugldapbindcred is not set");
    says_nothing(&with(&|settings| settings.base_dn = "o=nothing,o=isp".to_owned()), "has no entry o=nothing,o=isp");
    says_nothing(&with(&|settings| settings.hosts.clear()), "no server is named");
    says_nothing(&with(&|settings| settings.hosts = vec!["no such host".to_owned()]), "");
}

#[test]
fn a_server_that_sends_its_clients_elsewhere() {
    let Some(mut slapd) = Slapd::start(&data(), "") else { return };
    slapd.stop();
    slapd.configure("referral ldap://192.0.2.1/", "");
    slapd.run();
    let mut other = settings(&slapd, None);
    other.base_dn = "o=other".to_owned();
    says_nothing(&Directory::ldap(other, options()), "elsewhere: ");
    is_well(&Directory::ldap(settings(&slapd, None), options()));
    // A part of the tree is on another server: who is found is found, and about everybody else nothing is known.
    slapd.stop();
    slapd.add("dn: o=branch,o=isp\nobjectClass: referral\nobjectClass: extensibleObject\no: branch\nref: ldap://192.0.2.1/o=branch,o=isp\n");
    slapd.run();
    let directory = Directory::ldap(settings(&slapd, None), options());
    assert!(matches!(directory.lookup("joe").unwrap(), Home::Here(_)));
    let unknown = directory.domain("unheard.org").unwrap_err();
    for error in [directory.lookup("nobody").unwrap_err(), directory.users().unwrap_err(), unknown] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("ldap://192.0.2.1/"), "{error}");
    }
}

/// Entries of that many more users, `u00001` and so on.
pub fn many(count: usize) -> String {
    let one = |n| {
        format!(
            "\ndn: uid=u{n:05},ou=People,o=example.org,o=isp\nobjectClass: inetOrgPerson\nobjectClass: inetMailUser\nuid: u{n:05}\n\
             cn: User {n}\nsn: User\nmail: u{n:05}@example.org\nmailAlternateAddress: u{n:05}@example.net\n"
        )
    };
    (1..=count).map(one).collect()
}

#[test]
fn what_a_server_does_not_give_in_one_piece_comes_in_pages() {
    let limits = |total: &str| format!("limits dn.exact=\"{READER}\" size.soft=60 size.hard=60 size.prtotal={total}");
    let Some(mut slapd) = Slapd::start(&(data() + &many(700)), &limits("unlimited")) else { return };
    let directory = Directory::ldap(settings(&slapd, Some((READER, READER_PASSWORD))), options());
    let users = directory.users().unwrap();
    assert_eq!((users.len(), users[709 - 1].userid.as_str()), (709, "u00700"));
    // Whoever is shown users may ask, and may have enough of it.
    let mut seen = 0;
    let problems = directory.for_each_user(&mut |user| {
        seen += 1;
        assert_eq!(directory.entry(&user.userid).unwrap().unwrap().userid, user.userid);
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(problems.is_ok());
    assert_eq!(seen, 5);
    // Less than all is an error, not a short list.
    slapd.stop();
    slapd.configure("", &limits("100"));
    slapd.run();
    let error = directory.users().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("raise its size limit")),
        (ErrorKind::Unavailable, true),
        "{error}"
    );
    assert!(matches!(directory.lookup("u00700").unwrap(), Home::Here(_)));
}

#[test]
fn a_service_that_refreshes_still_obeys() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let it = super::tools::instance(&slapd, &[]);
    let imapd = crate::instance::imapd::Imapd::start(&it);
    // From now on nobody answers, for longer than any test waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (name, value) in [
        ("local.ugldaphost", silent.local_addr().unwrap().to_string()),
        ("local.ldapconnecttimeout", "7200".to_owned()),
    ] {
        it.run("configutil", &["-o", name, "-v", &value]).ended(0);
    }
    let pid = nix::unistd::Pid::from_raw(imapd.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    let _asked = silent.accept().unwrap();
    // The old servers are asked until the new ones have answered, and the end comes at once.
    assert_eq!(imapd.connect().ask("login joe secret"), ["OK User logged in"]);
    imapd.stop();
}
