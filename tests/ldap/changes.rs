//! Entries are added, changed and removed by both sorts of directory.

use msgstore::directory::scram::{Hash, Keys};
use msgstore::directory::{Directory, DirectoryError, ErrorKind, Status, password};

use super::slapd::{READER, READER_PASSWORD, Slapd};
use super::{data, in_a_file, options, settings};

const CLASSES: [(&str, &str); 4] = [
    ("objectClass", "inetOrgPerson"),
    ("objectClass", "inetUser"),
    ("objectClass", "inetMailUser"),
    ("objectClass", "authPasswordObject"),
];

fn life_of(directory: &Directory) {
    for userid in ["new", "new@siroe.com", "new@unheard.org", "a, b"] {
        let mail = if userid.contains('@') { userid } else { "" };
        let mut attributes = CLASSES.to_vec();
        attributes.extend([("cn", "New, One"), ("sn", "One"), ("userPassword", "{CLEAR}secret")]);
        if !mail.is_empty() {
            attributes.push(("mail", mail));
        }
        directory.add_user(userid, mail, &attributes).unwrap();
        assert!(matches!(directory.add_user(userid, mail, &attributes), Err(DirectoryError::Exists(_))));
        let user = directory.entry(userid).unwrap().unwrap_or_else(|| panic!("{userid}"));
        assert_eq!((user.userid.as_str(), user.name.as_str(), user.status), (userid, "New, One", Status::Active));
        assert!(directory.authenticate(userid, "secret").is_ok());
        // The entry has no status at first; what somebody else has written meanwhile stays.
        let mut before = Status::Active;
        for status in [Status::Overquota, Status::Deleted, Status::Active, Status::Hold] {
            assert!(!directory.change_status(userid, Status::Inactive, status).unwrap());
            assert!(directory.change_status(userid, before, status).unwrap());
            assert!(!directory.change_status(userid, before, Status::Inactive).unwrap());
            assert_eq!(directory.entry(userid).unwrap().unwrap().status, status);
            before = status;
        }
        assert!(matches!(directory.authenticate(userid, "secret"), Err(DirectoryError::Blocked(Status::Hold))));
        assert!(directory.change_status(userid, Status::Hold, Status::Active).unwrap());
        let hash = password::create("better").unwrap();
        let keys = Hash::ALL.map(|hash| Keys::create(hash, "better").unwrap());
        let values = keys.each_ref().map(Keys::value);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        directory.replace(&user.dn, &[("userPassword", &[&hash]), ("authPassword", &values)]).unwrap();
        assert!(directory.authenticate(userid, "secret").is_err());
        assert!(directory.authenticate(userid, "better").is_ok());
        for keys in &keys {
            assert_eq!(directory.scram_keys(userid, keys.hash).unwrap(), *keys);
            assert_eq!(directory.admit(userid, keys).unwrap().user.userid, userid);
        }
        directory.replace(&user.dn, &[("sn", &["Two"]), ("mailQuota", &["7"]), ("aclGroupAddr", &[])]).unwrap();
        assert_eq!(directory.entry(userid).unwrap().unwrap().mail_quota.limit.number(), Some(7));
        directory.delete(&user.dn).unwrap();
        assert_eq!(directory.entry(userid).unwrap(), None);
        assert!(matches!(directory.delete(&user.dn), Err(DirectoryError::NoUser(_))));
        assert!(matches!(
            directory.change_status(userid, Status::Hold, Status::Active),
            Err(DirectoryError::NoUser(_))
        ));
    }
    assert!(!directory.change_domain_status("siroe.com", Status::Hold, Status::Overquota).unwrap());
    assert!(directory.change_domain_status("siroe.com", Status::Active, Status::Overquota).unwrap());
    assert_eq!(directory.domain("siroe.com").unwrap().unwrap().status, Status::Overquota);
    assert_eq!(directory.entry("joe@siroe.com").unwrap().unwrap().standing(), Status::Overquota);
    assert!(directory.change_domain_status("SIROE.com", Status::Overquota, Status::Active).unwrap());
    assert_eq!(directory.entry("joe@siroe.com").unwrap().unwrap().standing(), Status::Active);
    assert!(matches!(
        directory.change_domain_status("unheard.org", Status::Active, Status::Hold),
        Err(DirectoryError::NoDomain(_))
    ));
}

#[test]
fn entries_live_and_end_in_a_file_and_on_a_server() {
    let dir = tempfile::tempdir().unwrap();
    // A broken entry is no hindrance, but a broken file is never written.
    life_of(&in_a_file(dir.path(), &data()));
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    life_of(&Directory::ldap(settings(&slapd, None), options()));
    let mut remembering = settings(&slapd, None);
    remembering.cache_bytes = 1 << 20;
    remembering.cache_lifetime = std::time::Duration::from_secs(3600);
    life_of(&Directory::ldap(remembering, options()));
    // Who may only read is told so.
    let reader = Directory::ldap(settings(&slapd, Some((READER, READER_PASSWORD))), options());
    let error = reader.change_status("joe", Status::Active, Status::Hold).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("refuses to change uid=joe,ou=People,o=example.org,o=isp"), "{error}");
    assert_eq!(reader.entry("joe").unwrap().unwrap().status, Status::Active);
}

#[test]
fn scram_is_offered_while_everybody_has_keys() {
    let Some(slapd) = Slapd::start(&data(), "") else { return };
    let directory = Directory::ldap(settings(&slapd, None), options());
    let offered = || {
        directory.prepare().unwrap();
        Hash::ALL.map(|hash| directory.scram_for_all(hash))
    };
    assert_eq!(offered(), [false, false]);
    let keys = Hash::ALL.map(|hash| Keys::create(hash, "secret").unwrap());
    let values = keys.each_ref().map(Keys::value);
    for user in directory.users().unwrap() {
        directory
            .replace(&user.dn, &[("objectClass", &["inetOrgPerson", "inetMailUser", "inetUser", "authPasswordObject"])])
            .unwrap();
        directory.replace(&user.dn, &[("authPassword", &[&values[0]])]).unwrap();
    }
    assert_eq!(offered(), [true, false]);
    for user in directory.users().unwrap() {
        directory.replace(&user.dn, &[("authPassword", &[&values[0], &values[1]])]).unwrap();
    }
    assert_eq!(offered(), [true, true]);
    let joe = directory.entry("joe").unwrap().unwrap();
    directory.replace(&joe.dn, &[("authPassword", &[&values[1]])]).unwrap();
    // His next login shows it, and so does his next try by SCRAM.
    assert!(directory.authenticate("joe", "secret").is_ok());
    assert_eq!(Hash::ALL.map(|hash| directory.scram_for_all(hash)), [false, true]);
    directory.replace(&joe.dn, &[("authPassword", &[&values[0], &values[1]])]).unwrap();
    assert_eq!(offered(), [true, true]);
    directory.replace(&joe.dn, &[("authPassword", &[&values[0]])]).unwrap();
    directory.scram_keys("nobody", Hash::ALL[1]).unwrap();
    assert_eq!(Hash::ALL.map(|hash| directory.scram_for_all(hash)), [true, true]);
    directory.scram_keys("joe", Hash::ALL[1]).unwrap();
    assert_eq!(Hash::ALL.map(|hash| directory.scram_for_all(hash)), [true, false]);
}
