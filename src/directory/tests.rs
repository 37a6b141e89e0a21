use super::quota::Limit;
use super::scram::Hash;
use super::*;
use crate::os::durable;

const TEXT: &str = "version: 1

dn: o=example.org
objectClass: organization

dn: uid=joe,ou=People,dc=example,dc=org
uid: Joe
cn: Joe Doe
mail: joe.doe@example.org
mailAlternateAddress: jd@example.org
userPassword: {SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
mailQuota: 10M
mailMsgQuota: -2
mailMessageStore: second
aclGroupAddr: Staff@example.org

dn: uid=held,dc=example,dc=org
uid: held
inetUserStatus: active
mailUserStatus: hold
userPassword: {CLEAR}secret

dn: uid=joe,ou=People,o=siroe.com,o=isp
uid: joe
userPassword: {CLEAR}other

dn: uid=far,dc=example,dc=org
uid: far
mailHost: mail2.example.org
userPassword: {CLEAR}secret

dn: uid=a/b,dc=example,dc=org
uid: a/b
";

fn options(default_domain: Option<&str>, host: &str) -> Options {
    Options {
        default_domain: default_domain.map(str::to_owned),
        host: Some(host.to_owned()),
        dc_root: None,
        admin_group: None,
        logins: Logins::new(100, std::time::Duration::from_secs(3600)),
        secret: Some([7; 32]),
    }
}

fn directory() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("directory.ldif");
    durable::replace(&path, TEXT.as_bytes(), 0o600).unwrap();
    let directory = Directory::open(&path, options(Some("Example.org"), "mail1.example.org"));
    (dir, directory)
}

fn here(home: Home) -> User {
    match home {
        Home::Here(user) => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn people_are_found_by_userid_and_by_address() {
    let (_dir, directory) = directory();
    let joe = here(directory.lookup("JOE@example.org").unwrap());
    assert_eq!(joe.userid, "joe");
    assert_eq!(joe.mail_quota.limit, Limit::At(10 * 1024 * 1024));
    assert_eq!(joe.msg_quota.limit, Limit::Default);
    assert_eq!(joe.partition.as_deref(), Some("second"));
    assert_eq!(joe.groups, ["staff@example.org"]);
    for name in ["joe", "jd@example.org", "Joe.Doe@example.org"] {
        assert_eq!(here(directory.lookup(name).unwrap()), joe, "{name}");
        assert_eq!(here(directory.recipient(name).unwrap()), joe, "{name}");
    }
    let other = here(directory.lookup("joe@siroe.com").unwrap());
    assert_eq!(other.userid, "joe@siroe.com");
    assert_eq!(directory.lookup("nobody").unwrap(), Home::Nowhere);
    assert_eq!(directory.lookup("far").unwrap(), Home::At("mail2.example.org".to_owned()));
    let ids: Vec<String> = directory.users().unwrap().into_iter().map(|user| user.userid).collect();
    assert_eq!(ids, ["held", "joe", "joe@siroe.com"]);
}

#[test]
fn problems_are_named_with_their_line() {
    let (dir, directory) = directory();
    let problems = directory.problems().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let line = TEXT.lines().position(|line| line.contains("uid=a/b")).unwrap() + 1;
    assert!(problems[0].contains(&format!("directory.ldif:{line}: ")), "{problems:?}");
    let path = dir.path().join("directory.ldif");
    durable::replace(&path, format!("{TEXT}\ndn: uid=joe,o=x\nuid: joe\n").as_bytes(), 0o600).unwrap();
    let problems = directory.problems().unwrap();
    assert!(problems[1].contains("userid joe is taken"), "{problems:?}");
}

#[test]
fn passwords_and_statuses_decide() {
    let (_dir, directory) = directory();
    assert_eq!(directory.authenticate("joe", "secret").unwrap().user.userid, "joe");
    assert_eq!(directory.authenticate("joe@siroe.com", "other").unwrap().user.userid, "joe@siroe.com");
    for (login, password) in
        [("joe", "other"), ("nobody", "secret"), ("joe", ""), ("held", "x"), ("joe", &"x".repeat(1025))]
    {
        assert!(matches!(directory.authenticate(login, password), Err(DirectoryError::BadCredentials)), "{login}");
    }
    assert!(matches!(directory.authenticate("held", "secret"), Err(DirectoryError::Blocked(Status::Hold))));
    assert!(matches!(directory.authenticate("far", "secret"), Err(DirectoryError::Elsewhere(_))));
}

#[test]
fn a_changed_file_is_read_again_and_a_missing_one_is_unavailable() {
    let (dir, directory) = directory();
    let path = dir.path().join("directory.ldif");
    assert_eq!(directory.lookup("new").unwrap(), Home::Nowhere);
    edit::add(&path, "uid=new,dc=example,dc=org", &[("uid", "new")]).unwrap();
    assert_eq!(here(directory.lookup("new").unwrap()).userid, "new");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(directory.lookup("joe").unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn userids_follow_the_documented_rules() {
    for good in ["joe", "joe@siroe.com", "j.doe-1", "a b"] {
        assert_eq!(check_userid(good), Ok(()), "{good}");
    }
    for bad in ["", "-x", "group=x", "a/b", "a%", "anyone", "anyone@x.y", "j\u{e9}", "..", "@x", "a@", "a\n"] {
        assert!(check_userid(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_new_entry_is_read_as_the_userid_it_was_made_for() {
    for default in [None, Some("example.org")] {
        for userid in ["joe", "joe@siroe.com", "a,b", "#x", "joe@host"] {
            for mail in ["", "joe@example.org", "joe@other.org", "joe@siroe.com"] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("d.ldif");
                let (dn, uid) = user::place(userid, mail, default);
                edit::add(&path, &dn, &[("uid", &uid), ("mail", mail)]).unwrap();
                let directory = Directory::open(&path, options(default, "h"));
                let user = directory.entry(userid).unwrap();
                assert_eq!(user.map(|user| user.userid).as_deref(), Some(userid), "{dn} {uid}");
            }
        }
    }
}

#[test]
fn keys_for_scram_are_for_those_who_have_them() {
    let (dir, directory) = directory();
    assert!(!directory.scram_for_all(Hash::Sha256));
    directory.users().unwrap();
    // joe has only a hash.
    assert!(!directory.scram_for_all(Hash::Sha256));
    let path = dir.path().join("directory.ldif");
    let keys = scram::Keys::create(Hash::Sha256, "secret").unwrap();
    let dn = "uid=joe,ou=People,dc=example,dc=org";
    edit::replace(&path, dn, &[("authPassword", &["MD5$x$y", &keys.value()])]).unwrap();
    assert_eq!(directory.scram_keys("JOE", Hash::Sha256).unwrap(), keys);
    assert_eq!(directory.scram_keys("joe.doe@example.org", Hash::Sha256).unwrap(), keys);
    assert!(directory.scram_for_all(Hash::Sha256));
    // All names of somebody who does not exist are asked for the same salt, as those of a user are.
    let nobody = directory.scram_keys("nobody", Hash::Sha256).unwrap();
    assert_eq!((nobody.passes, nobody.salt.len()), (keys.passes, keys.salt.len()));
    for name in ["Nobody", " nobody", "nobody@example.org"] {
        assert_eq!(directory.scram_keys(name, Hash::Sha256).unwrap().salt, nobody.salt, "{name}");
    }
    assert_ne!(directory.scram_keys("nobody@siroe.com", Hash::Sha256).unwrap().salt, nobody.salt);
    assert_eq!(directory.admit("joe", &keys).unwrap().user.userid, "joe");
    assert!(matches!(directory.admit("nobody", &nobody), Err(DirectoryError::BadCredentials)));
    // A password in the clear has keys as well, the same each time.
    let held = directory.scram_keys("held", Hash::Sha256).unwrap();
    assert_eq!((&directory.scram_keys("held", Hash::Sha256).unwrap(), held.passes), (&held, keys.passes));
    assert!(matches!(directory.admit("held", &held), Err(DirectoryError::Blocked(Status::Hold))));
    assert!(matches!(directory.admit("joe", &held), Err(DirectoryError::BadCredentials)));
    // A new password has other keys, who has no password has none, and two passwords are one too many.
    let better = scram::Keys::create(Hash::Sha256, "better").unwrap();
    edit::replace(&path, dn, &[("authPassword", &[&better.value()])]).unwrap();
    assert!(matches!(directory.admit("joe", &keys), Err(DirectoryError::BadCredentials)));
    assert!(directory.admit("joe", &better).is_ok());
    edit::replace(&path, dn, &[("userPassword", &[])]).unwrap();
    assert!(matches!(directory.admit("joe", &better), Err(DirectoryError::BadCredentials)));
    assert!(directory.scram_for_all(Hash::Sha256));
    edit::replace(&path, dn, &[("userPassword", &["{CLEAR}a", "{CLEAR}b"])]).unwrap();
    directory.users().unwrap();
    assert!(!directory.scram_for_all(Hash::Sha256));
    edit::replace(
        &path,
        dn,
        &[("userPassword", &["{CLEAR}a\u{1f600}"]), ("authPassword", &["SCRAM-SHA-256$nonsense"])],
    )
    .unwrap();
    assert!(directory.problems().unwrap().iter().any(|problem| problem.contains("joe: authPassword")));
    assert!(!directory.scram_for_all(Hash::Sha256));
    // One who may not log in here does not count.
    edit::replace(&path, dn, &[("mailUserStatus", &["hold"])]).unwrap();
    directory.users().unwrap();
    assert!(directory.scram_for_all(Hash::Sha256));
}

#[test]
fn keys_of_each_mechanism_are_for_themselves() {
    let (dir, directory) = directory();
    let path = dir.path().join("directory.ldif");
    let keys = Hash::ALL.map(|hash| scram::Keys::create(hash, "secret").unwrap());
    let [value, other] = keys.each_ref().map(scram::Keys::value);
    let dn = "uid=joe,ou=People,dc=example,dc=org";
    let offered = || {
        directory.users().unwrap();
        Hash::ALL.map(|hash| directory.scram_for_all(hash))
    };
    edit::replace(&path, dn, &[("authPassword", &[&value])]).unwrap();
    assert_eq!(offered(), [true, false]);
    // Somebody without keys of this kind is answered as somebody who does not exist.
    let [joe, nobody] = ["joe", "nobody"].map(|name| directory.scram_keys(name, Hash::Sha1).unwrap());
    assert_eq!((joe.hash, joe.passes, joe.salt.len()), (Hash::Sha1, nobody.passes, nobody.salt.len()));
    assert!(matches!(directory.admit("joe", &joe), Err(DirectoryError::BadCredentials)));
    edit::replace(&path, dn, &[("authPassword", &[&value, &other])]).unwrap();
    assert_eq!(offered(), [true, true]);
    for keys in &keys {
        assert_eq!(directory.scram_keys("joe", keys.hash).unwrap(), *keys);
        assert!(directory.admit("joe", keys).is_ok());
    }
    edit::replace(&path, dn, &[("authPassword", &[&other])]).unwrap();
    assert_eq!(offered(), [false, true]);
    // A password in the clear serves both; the salts are not the same.
    let [held, also] = Hash::ALL.map(|hash| directory.scram_keys("held", hash).unwrap());
    assert!(held.salt != also.salt && also.hash == Hash::Sha1);
    assert!(matches!(directory.admit("held", &also), Err(DirectoryError::Blocked(Status::Hold))));
}

#[test]
fn a_remembered_login_ends_with_the_password() {
    let (dir, directory) = directory();
    let path = dir.path().join("directory.ldif");
    let set = |password: &str| {
        let stored = password::create(password).unwrap();
        edit::replace(&path, "uid=joe,ou=People,dc=example,dc=org", &[("userPassword", &[&stored])]).unwrap();
    };
    set("one");
    for _ in 0..2 {
        assert!(directory.authenticate("joe", "one").is_ok());
        assert!(directory.authenticate("joe", "two").is_err());
    }
    set("two");
    assert!(directory.authenticate("joe", "one").is_err());
    assert!(directory.authenticate("joe", "two").is_ok());
}

#[test]
fn a_file_that_is_being_written_is_not_settled() {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("directory.ldif");
    let entry = "dn: uid=joe,dc=example,dc=org\nuid: joe\n\n";
    let whole =
        format!("{entry}dn: uid=bad,dc=example,dc=org\nuid: b/d\nno attribute\n\n{}", entry.replace("joe", "ann"));
    // Seconds since the file changed; the file as it is put in place as a whole.
    let put = |text: &str| {
        durable::replace(&path, text.as_bytes(), 0o600).unwrap();
        Directory::open(&path, options(None, "host"))
    };
    let settled = |directory: &Directory, age_s: i64| {
        let changed_s = std::fs::metadata(&path).unwrap().ctime();
        directory.settled(changed_s + age_s).is_ok()
    };
    // A fault in the middle is no sign of a half.
    assert!(settled(&put(&whole), 0));
    // Whoever writes a file in its place begins with nothing.
    for half in ["", &whole[..whole.len() - 3], &format!("{whole}dn: uid=eve,dc=example,dc=org\nuid\n")] {
        let directory = put(half);
        assert!(!settled(&directory, 0) && !settled(&directory, 9) && settled(&directory, 10), "{half}");
    }
    // The same file with another content; a new one in its place is whole.
    let directory = put(&whole);
    assert!(settled(&directory, 0));
    std::fs::File::create(&path).unwrap().write_all(entry.as_bytes()).unwrap();
    assert!(!settled(&directory, 0) && settled(&directory, 10));
    durable::replace(&path, whole.as_bytes(), 0o600).unwrap();
    assert!(settled(&directory, 0));
    // Removed and written anew: it is smaller at first.
    durable::replace(&path, entry.as_bytes(), 0o600).unwrap();
    assert!(!settled(&directory, 0) && settled(&directory, 10));
}
