//! A directory server (slapd of OpenLDAP) of a test's own, on a loopback port, with a database in a directory of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::instance::wait_until;
use crate::lmtpd::counterpart;

/// Who may read and change everything there, and the password.
pub const ADMIN: &str = "cn=admin,o=isp";
pub const ADMIN_PASSWORD: &str = "admin's secret";
/// Who may read everything but passwords.
pub const READER: &str = "cn=reader,o=isp";
pub const READER_PASSWORD: &str = "reader's secret";

pub struct Slapd {
    dir: tempfile::TempDir,
    program: PathBuf,
    child: Option<Child>,
    pub port: u16,
}

impl Slapd {
    /// A running server with these entries. `extra` are lines of its configuration for the database. `None`: there is no slapd here.
    pub fn start(ldif: &str, extra: &str) -> Option<Slapd> {
        let program = counterpart("slapd")?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("db")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut it = Slapd { dir, program, child: None, port };
        it.configure("", extra);
        it.add(ldif);
        it.run();
        Some(it)
    }

    /// Another configuration; it counts from the next start on. `global` are lines before the database.
    pub fn configure(&self, global: &str, extra: &str) {
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ldap/msgstore.schema");
        let dir = self.dir.path().display();
        let conf = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\ninclude {}\n\
             pidfile {dir}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npassword-hash {{CLEARTEXT}}\n{global}\n\
             database mdb\nsuffix \"o=isp\"\nrootdn \"{ADMIN}\"\nrootpw \"{ADMIN_PASSWORD}\"\ndirectory {dir}/db\ndbnosync\n\
             index uid,mail,mailAlternateAddress,mailEquivalentAddress,mailHost eq\n{extra}\n\
             access to attrs=userPassword,authPassword by anonymous auth by * none\naccess to * by * read\n",
            schema.display()
        );
        fs::write(self.dir.path().join("slapd.conf"), conf).unwrap();
    }

    /// Loads entries while the server is stopped. The two of the chapter go in as they are, although they lack attributes that slapd's own classes want.
    pub fn add(&self, ldif: &str) {
        let begins = ["dn: cn=lee-staff,", "dn: cn=public,"];
        let printed = |entry: &&str| begins.iter().any(|begin| entry.trim_start().starts_with(begin));
        let (printed, others): (Vec<&str>, Vec<&str>) = ldif.split("\n\n").partition(printed);
        self.load(&others.join("\n\n"), &[]);
        if !printed.is_empty() {
            self.load(&printed.join("\n\n"), &["-s"]);
        }
    }

    fn load(&self, ldif: &str, words: &[&str]) {
        let path = self.dir.path().join("new.ldif");
        // slapd knows passwords in the clear by their bare value, and by no mark of this product.
        fs::write(&path, ldif.replace("userPassword: {CLEAR}", "userPassword: ")).unwrap();
        let mut slapadd = Command::new(&self.program);
        slapadd.args(["-T", "a"]).args(words).arg("-f").arg(self.dir.path().join("slapd.conf")).arg("-l").arg(&path);
        let out = slapadd.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    pub fn run(&mut self) {
        self.run_at("");
    }

    /// With a port on which TLS begins at once, which is returned.
    pub fn run_with_tls(&mut self) -> u16 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.run_at(&format!(" ldaps://127.0.0.1:{port}/"));
        port
    }

    fn run_at(&mut self, further: &str) {
        let said = fs::File::create(self.dir.path().join("said")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{}/{further}", self.port), "-f"]);
        command.arg(self.dir.path().join("slapd.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        self.child = Some(command.spawn().unwrap());
        wait_until("slapd does not answer", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(self.dir.path().join("said")).unwrap());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
            child.wait().unwrap();
        }
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The settings of an instance whose users are there.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("local.ugldaphost", self.host()),
            ("local.ugldapbasedn", "o=isp".to_owned()),
            ("local.ugldapbinddn", ADMIN.to_owned()),
            ("local.ugldapbindcred", ADMIN_PASSWORD.to_owned()),
            ("local.hostname", "mail1.example.org".to_owned()),
            ("store.serviceadmingroupdn", "cn=Service Administrators,ou=Groups,o=isp".to_owned()),
        ]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}
