//! Servers that are down, slow, restarted, elsewhere, stingy: what is not known is never told as "no such user".

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use msgstore::directory::{Directory, DirectoryError, ErrorKind, Home};

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
        kind(directory.set_domain_status("example.org", Default::default()).unwrap_err()),
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
        Directory::ldap(settings(server, None), options()).set_status("ann", status).unwrap();
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
    for error in [directory.lookup("nobody").unwrap_err(), directory.users().unwrap_err()] {
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
