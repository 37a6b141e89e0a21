//! The same questions to both sorts of directory have the same answers.

use std::ops::ControlFlow;

use msgstore::directory::quota::Limit;
use msgstore::directory::scram::Hash;
use msgstore::directory::{Directory, DirectoryError, ErrorKind, Home, Status, User};

use super::slapd::{READER, READER_PASSWORD, Slapd};
use super::{data, in_a_file, options, settings};

/// A tree of domains besides the entries of users.
pub const TREE: &str = "\ndn: dc=internet,o=isp\nobjectClass: dcObject\nobjectClass: organization\no: tree\ndc: internet\n\n\
                dn: dc=com,dc=internet,o=isp\nobjectClass: dcObject\nobjectClass: organization\no: tree\ndc: com\n\n\
                dn: dc=corp,dc=com,dc=internet,o=isp\nobjectClass: dcObject\nobjectClass: organization\nobjectClass: inetDomain\n\
                objectClass: mailDomain\no: tree\ndc: corp\ninetDomainBaseDN: ou=Staff,o=isp\nmailDomainStatus: active\nmailDomainMsgQuota: 7\n\n\
                dn: ou=Staff,o=isp\nobjectClass: organizationalUnit\nou: Staff\n\n\
                dn: uid=eve,ou=Staff,o=isp\nobjectClass: inetOrgPerson\nobjectClass: inetMailUser\nuid: eve\ncn: Eve\nsn: Eve\nmail: e@elsewhere.org\n";

const NAMES: &[&str] = &[
    "joe",
    "JOE",
    " joe ",
    "joe@example.org",
    "joe.doe@example.org",
    "JD@example.org",
    "joseph@example.net",
    "joe@example.net",
    "joe@siroe.com",
    "boss@siroe.com",
    "boss",
    "ann",
    "chief",
    "held",
    "far",
    "far@example.org",
    "odd",
    "a/b",
    "public",
    "public@sesta.com",
    "lee-staff@sesta.com",
    "kim@closed.org",
    "kim",
    "nobody",
    "",
    "@",
    "*",
    "j*",
    "joe)(uid=*",
    "a,b (c)",
    "a,b (c)*",
    "joe\\",
    "joe\0",
    "j\u{f6}e",
    "Service Administrators",
    "uid=joe",
];

fn here(home: Home) -> User {
    match home {
        Home::Here(user) => user,
        other => panic!("{other:?}"),
    }
}

/// What a directory says to everything, as text.
fn everything(directory: &Directory) -> Vec<String> {
    let mut said = Vec::new();
    for name in NAMES {
        said.push(format!("lookup {name:?}: {:?}", directory.lookup(name)));
        said.push(format!("recipient {name:?}: {:?}", directory.recipient(name)));
        said.push(format!("entry {name:?}: {:?}", directory.entry(name)));
        said.push(format!("address {name:?}: {:?}", directory.has_address(name)));
    }
    for name in
        ["example.org", "EXAMPLE.ORG", "example.net", "siroe.com", "closed.org", "sesta.com", "isp", "com", "*", ""]
    {
        said.push(format!("domain {name:?}: {:?}", directory.domain(name)));
    }
    for user in directory.users().unwrap() {
        said.push(format!("user {user:?} {:?}", directory.administers_domain(&user)));
    }
    for (login, password) in [
        ("joe", "secret"),
        ("joe", "other"),
        ("joe@siroe.com", "other"),
        ("jd@example.org", "secret"),
        ("held", "secret"),
        ("held", "x"),
        ("far", "secret"),
        ("kim@closed.org", "secret"),
        ("nobody", "secret"),
        ("joe", ""),
        ("*", "secret"),
        ("chief", "secret"),
        ("public@sesta.com", "secret"),
        ("a,b (c)", "secret"),
        ("odd", "secret"),
    ] {
        said.push(format!("{login} {password:?}: {:?}", directory.authenticate(login, password)));
    }
    let mut problems: Vec<String> = directory.problems().unwrap();
    // The place before the text differs: a line, or a name.
    problems.iter_mut().for_each(|text| *text = text.split(": ").skip(1).collect::<Vec<_>>().join(": "));
    problems.sort();
    said.extend(problems);
    said
}

/// The facts that both are held to; comparing them alone would not show an error in what they have in common.
fn facts(directory: &Directory) {
    let joe = here(directory.lookup("JOE@example.org").unwrap());
    assert_eq!((joe.userid.as_str(), joe.name.as_str(), joe.mail.as_str()), ("joe", "Joe Doe", "joe.doe@example.org"));
    assert_eq!(joe.alternates, ["jd@example.org", "joseph@example.net"]);
    assert_eq!((joe.mail_quota.limit, joe.msg_quota.limit), (Limit::At(10 << 20), Limit::Default));
    assert_eq!((joe.partition.as_deref(), joe.domain.as_deref()), (Some("second"), Some("example.org")));
    assert_eq!(
        (joe.allowed_services.as_deref(), &joe.groups[..], &joe.delivery[..]),
        (Some("+imap,pop:127.*"), &["staff@example.org".to_owned()][..], &["mailbox".to_owned()][..])
    );
    assert_eq!(here(directory.lookup("ann").unwrap()).name, "Jörg Ann");
    let other = here(directory.recipient("joe@siroe.com").unwrap());
    assert_eq!((other.userid.as_str(), other.allowed_services.as_deref()), ("joe@siroe.com", Some("+pop:*")));
    assert_eq!(directory.lookup("far").unwrap(), Home::At("mail2.example.org".to_owned()));
    assert_eq!(directory.lookup("public@sesta.com").unwrap(), Home::At("manatee.siroe.com".to_owned()));
    let public = directory.entry("public@sesta.com").unwrap().unwrap();
    assert_eq!(
        (public.mail_quota.limit, public.msg_quota.limit, public.status),
        (Limit::Unlimited, Limit::At(100), Status::Active)
    );
    for name in ["nobody", "*", "j*", "joe)(uid=*", "boss", "lee-staff@sesta.com", "", "a/b"] {
        assert_eq!(directory.lookup(name).unwrap(), Home::Nowhere, "{name}");
    }
    let ids: Vec<String> = directory.users().unwrap().into_iter().map(|user| user.userid).collect();
    assert_eq!(
        ids,
        ["a,b (c)", "ann", "boss@siroe.com", "chief", "held", "joe", "joe@siroe.com", "kim@closed.org", "odd"]
    );
    let domain = directory.domain("Example.NET").unwrap().unwrap();
    assert_eq!((domain.name.as_str(), domain.disk_quota, domain.msg_quota), ("example.org", Some(50 << 20), None));
    let domain = directory.domain("siroe.com").unwrap().unwrap();
    assert_eq!((domain.status, domain.disk_quota, domain.msg_quota), (Status::Active, Some(1_000_000), Some(500)));
    assert_eq!(directory.domain("sesta.com").unwrap(), None);
    let kim = here(directory.lookup("kim@closed.org").unwrap());
    assert_eq!((kim.status, kim.standing()), (Status::Active, Status::Overquota));
    let is = |login: &str, password: &str| directory.authenticate(login, password);
    assert_eq!(is("joe", "secret").unwrap().user.userid, "joe");
    assert_eq!(is("joe@siroe.com", "other").unwrap().user.userid, "joe@siroe.com");
    for (login, password) in [("joe", "other"), ("nobody", "secret"), ("joe", ""), ("held", "x"), ("*", "secret")] {
        assert!(matches!(is(login, password), Err(DirectoryError::BadCredentials)), "{login} {password}");
    }
    assert!(matches!(is("held", "secret"), Err(DirectoryError::Blocked(Status::Hold))));
    assert!(matches!(is("far", "secret"), Err(DirectoryError::Elsewhere(_))));
    assert!(matches!(is("odd", "secret"), Err(DirectoryError::Blocked(Status::Inactive))));
    // By memberOf, and by the entry of the group.
    let admins: Vec<bool> =
        ["ann", "chief", "joe"].map(|name| here(directory.lookup(name).unwrap()).service_admin).to_vec();
    assert_eq!(admins, [true, true, false]);
    assert!(is("chief", "secret").unwrap().user.service_admin);
    let leads = |name: &str| directory.administers_domain(&here(directory.lookup(name).unwrap())).unwrap();
    assert!(leads("boss@siroe.com") && !leads("joe@siroe.com") && !leads("ann"));
    let problems = directory.problems().unwrap().join("\n");
    for text in ["\"a/b@", "odd: unknown status \"strange\"", "odd: mailquota: \"much\""] {
        let text = text.trim_end_matches('@');
        assert!(problems.contains(text), "{text}: {problems}");
    }
}

#[test]
fn a_file_and_a_server_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = in_a_file(dir.path(), &data());
    facts(&file);
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let server = Directory::ldap(settings(&slapd, None), options());
    facts(&server);
    let (in_file, on_server) = (everything(&file), everything(&server));
    assert_eq!(in_file.len(), on_server.len(), "{in_file:#?}\n{on_server:#?}");
    for (one, other) in in_file.iter().zip(on_server) {
        // slapd writes the end of each name as its configuration does.
        assert_eq!(one.replace("o=ISP", "o=isp"), other);
    }
    // Passwords that cannot be read are compared by the server.
    let reader = Directory::ldap(settings(&slapd, Some((READER, READER_PASSWORD))), options());
    facts(&reader);
    reader.prepare().unwrap();
    assert!(!Hash::ALL.iter().any(|hash| reader.scram_for_all(*hash)));
    // Answers that are remembered are the same answers.
    let mut remembering = settings(&slapd, None);
    remembering.cache_bytes = 1 << 20;
    remembering.cache_lifetime = std::time::Duration::from_secs(3600);
    let remembering = Directory::ldap(remembering, options());
    assert_eq!(everything(&remembering), everything(&remembering));
    assert_eq!(everything(&remembering), everything(&server));
}

#[test]
fn no_default_domain_and_a_tree_of_domains_mean_the_same() {
    let text = data() + TREE;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("directory.ldif");
    std::fs::write(&path, &text).unwrap();
    let with_root = || msgstore::directory::Options { dc_root: Some("dc=internet,o=isp".to_owned()), ..options() };
    let plain = || msgstore::directory::Options { default_domain: None, ..options() };
    let Some(slapd) = Slapd::start(&text, "") else { return };
    let rooted =
        msgstore::directory::ldap::Settings { dc_root: Some("dc=internet,o=isp".to_owned()), ..settings(&slapd, None) };
    for directory in [Directory::open(&path, with_root()), Directory::ldap(rooted.clone(), with_root())] {
        let eve = here(directory.lookup("eve@corp.com").unwrap());
        assert_eq!(here(directory.recipient("e@elsewhere.org").unwrap()), eve);
        assert_eq!((eve.userid.as_str(), eve.domain.as_deref()), ("eve@corp.com", Some("corp.com")));
        assert_eq!(directory.domain("corp.com").unwrap().unwrap().msg_quota, Some(7));
        assert_eq!(here(directory.lookup("joe").unwrap()).userid, "joe");
        let mut seen = 0;
        directory
            .for_each_user(&mut |user| {
                seen += usize::from(user.userid == "eve@corp.com");
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, 1);
    }
    // Without a default domain every userid is the uid; the first joe of the file counts, and of two on a server none.
    let (file, server) = (Directory::open(&path, plain()), Directory::ldap(settings(&slapd, None), plain()));
    assert_eq!(here(file.lookup("joe").unwrap()).mail, "joe.doe@example.org");
    are_one_too_many(
        &server.lookup("joe").unwrap_err(),
        ["uid=joe,ou=People,o=example.org", "uid=joe,ou=People,o=siroe.com"],
    );
    for directory in [file, server] {
        let ann = here(directory.lookup("ann").unwrap());
        assert_eq!((ann.userid.as_str(), ann.domain), ("ann", None));
        assert_eq!(here(directory.lookup("boss").unwrap()).userid, "boss");
        assert_eq!(here(directory.lookup("boss@siroe.com").unwrap()).userid, "boss");
    }
}

/// Two entries have one userid: nothing is said of either, and both are named.
fn are_one_too_many(error: &DirectoryError, names: [&str; 2]) {
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
}

fn person(uids: &[&str], place: &str, more: &str) -> String {
    let values: String = uids.iter().rev().map(|uid| format!("uid: {uid}\n")).collect();
    format!(
        "\ndn: uid={},{place},o=isp\nobjectClass: inetOrgPerson\nobjectClass: inetMailUser\nobjectClass: inetMailAdministrator\n\
         {values}cn: A\nsn: B\n{more}",
        uids[0]
    )
}

#[test]
fn two_entries_with_one_userid_are_no_mailbox() {
    // The second is in another domain by its place, and in the default domain by its address.
    let text = data()
        + &person(&["kay"], "ou=People,o=example.org", "mail: k@example.org\nuserPassword: {CLEAR}one\n")
        + &person(&["kay"], "ou=People,o=siroe.com", "mail: kay.b@example.org\nuserPassword: {CLEAR}two\n");
    let dir = tempfile::tempdir().unwrap();
    let file = in_a_file(dir.path(), &text);
    assert_eq!(file.authenticate("kay", "one").unwrap().user.mail, "k@example.org");
    assert!(matches!(file.authenticate("kay.b@example.org", "two"), Err(DirectoryError::BadCredentials)));
    let Some(slapd) = Slapd::start(&text, "") else { return };
    let server = Directory::ldap(settings(&slapd, None), options());
    let names = ["uid=kay,ou=People,o=example.org,o=isp", "uid=kay,ou=People,o=siroe.com,o=isp"];
    for name in ["kay", "kay@example.org", "kay.b@example.org", "k@example.org"] {
        are_one_too_many(&server.lookup(name).unwrap_err(), names);
        are_one_too_many(&server.recipient(name).unwrap_err(), names);
        for password in ["one", "two"] {
            are_one_too_many(&server.authenticate(name, password).unwrap_err(), names);
        }
        are_one_too_many(&server.scram_keys(name, Hash::Sha256).unwrap_err(), names);
    }
    are_one_too_many(&server.entry("kay").unwrap_err(), names);
}

#[test]
fn who_writes_below_one_domain_has_no_rights_in_another() {
    let role = "mailAdminRole: storeadmin\n";
    let away = |name: &str| {
        format!(
            "\ndn: o={name},o=isp\nobjectClass: organization\nobjectClass: mailDomain\nobjectClass: inetDomain\no: {name}\n\
             inetDomainBaseDN: ou=Away,o=isp\n"
        )
    };
    let text = data()
        + &person(&["evil@closed.org"], "ou=People,o=siroe.com", role)
        + &person(&["lead"], "ou=People,o=siroe.com", role)
        + &person(&["guest@siroe.com"], "ou=People,o=example.org", role)
        + &person(&["lent"], "ou=People,o=siroe.com", &format!("mail: lent@example.org\n{role}"))
        // Of several values the one in the name of the entry.
        + &person(&["zed", "alpha"], "ou=People,o=siroe.com", "userPassword: {SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nuserPassword: {CLEAR}better\n")
        // Two domains with one base.
        + &away("brave.org")
        + &away("away.org")
        + "\ndn: ou=Away,o=isp\nobjectClass: organizationalUnit\nou: Away\n"
        + &person(&["eva"], "ou=Away", role);
    let dir = tempfile::tempdir().unwrap();
    let file = in_a_file(dir.path(), &text);
    let Some(slapd) = Slapd::start(&text, "") else { return };
    let server = Directory::ldap(settings(&slapd, None), options());
    for directory in [&file, &server] {
        assert_eq!(directory.lookup("evil@closed.org").unwrap(), Home::Nowhere);
        assert!(directory.problems().unwrap().join("\n").contains("evil@closed.org is below the domain siroe.com"));
        let leads = |name: &str| directory.administers_domain(&here(directory.lookup(name).unwrap())).unwrap();
        assert!(leads("lead@siroe.com") && leads("eva@away.org"));
        assert!(!leads("guest@siroe.com") && !leads("lent@example.org"));
        assert_eq!(here(directory.lookup("lent").unwrap()).domain.as_deref(), Some("example.org"));
        assert_eq!(directory.lookup("alpha@siroe.com").unwrap(), Home::Nowhere);
        // Two passwords: a value that is not understood is compared by the server, also beside one that is.
        for (password, is_right) in [("secret", true), ("better", true), ("worse", false)] {
            assert_eq!(directory.authenticate("zed@siroe.com", password).is_ok(), is_right, "{password}");
        }
    }
}

#[test]
fn membership_of_the_group_is_remembered_for_its_time() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let mut remembering = settings(&slapd, None);
    remembering.membership_lifetime = std::time::Duration::from_secs(3600);
    let (keeps, asks) = (Directory::ldap(remembering, options()), Directory::ldap(settings(&slapd, None), options()));
    let is_admin = |directory: &Directory, name| here(directory.lookup(name).unwrap()).service_admin;
    assert!(is_admin(&keeps, "chief") && !is_admin(&keeps, "joe") && is_admin(&asks, "chief"));
    let group = "cn=Service Administrators,ou=Groups,o=isp";
    let joe = here(asks.lookup("joe").unwrap()).dn;
    asks.replace(group, &[("uniqueMember", &[&joe])]).unwrap();
    // Both answers are remembered; whoever asks anew, or has changed something himself, knows better.
    assert!(is_admin(&keeps, "chief") && !is_admin(&keeps, "joe"));
    assert!(!is_admin(&asks, "chief") && is_admin(&asks, "joe"));
    keeps.replace(&joe, &[("sn", &["New"])]).unwrap();
    assert!(!is_admin(&keeps, "chief") && is_admin(&keeps, "joe"));
}
