//! The user directory: one file of entries, asked as a file and from a real server. slapd is started by the tests on loopback; where it is not installed
//! they say so (with `CI=true` it has to be).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod answers;
mod changes;
mod outages;
pub mod parameters;
mod slapd;
mod tls;
mod tools;

use std::path::Path;

use msgstore::directory::ldap::Settings;
use msgstore::directory::{Directory, Logins, Options};

use slapd::{ADMIN, ADMIN_PASSWORD, Slapd};

/// The entries of all these tests.
fn data() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/directory.ldif");
    std::fs::read_to_string(path).unwrap()
}

fn options() -> Options {
    Options {
        default_domain: Some("example.org".to_owned()),
        host: Some("mail1.example.org".to_owned()),
        dc_root: None,
        admin_group: Some("cn=Service Administrators, ou=Groups,o=ISP".to_owned()),
        logins: Logins::default(),
        secret: Some([7; 32]),
    }
}

/// As an administrator who reads everything, or as somebody else.
fn settings(slapd: &Slapd, bind: Option<(&str, &str)>) -> Settings {
    let (bind_dn, bind_password) = bind.unwrap_or((ADMIN, ADMIN_PASSWORD));
    Settings {
        hosts: vec![slapd.host()],
        base_dn: "o=isp".to_owned(),
        bind_dn: bind_dn.to_owned(),
        bind_password: bind_password.to_owned(),
        ..Settings::default()
    }
}

/// The directory in a file of these entries.
fn in_a_file(dir: &Path, text: &str) -> Directory {
    let path = dir.join("directory.ldif");
    std::fs::write(&path, text).unwrap();
    Directory::open(&path, options())
}
