//! An instance as a whole: made on disk by `configure`; its system account, its user directory, its log settings.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Conf, ConfigError, Instance};
use crate::directory::ldap::{self, Encryption};
use crate::directory::{Directory, Logins, Options, scram};
use crate::log::{Level, Settings};
use crate::os::durable;
use crate::os::user::{self, SystemAccount, UserError};

/// Why an instance cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// A setting is refused, or a configuration file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file or directory cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Make {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What an instance is made of.
#[derive(Debug)]
pub struct NewInstance {
    /// The directory of the instance, an absolute path.
    pub base: PathBuf,
    /// Settings for `msg.conf`, names and values.
    pub settings: Vec<(String, String)>,
    /// Whom the files belong to; `None`: who runs this.
    pub owner: Option<SystemAccount>,
    /// Directory below the base and name of each link to the program.
    pub links: Vec<(&'static str, &'static str)>,
    /// The program that the links lead to.
    pub executable: PathBuf,
    /// The time, seconds since 1970: the certificate begins then.
    pub now_s: i64,
}

/// One thing that was done, or found done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was made or written.
    Made(String),
    /// Something was there and is left as it was; why, when it is not what was asked for.
    Kept(String),
}

/// Directories and their permission bits, parents first.
const DIRECTORIES: &[(&str, u32)] = &[
    (".", 0o755),
    ("config", 0o750),
    ("data", 0o700),
    ("data/log", 0o700),
    ("data/proc", 0o700),
    ("data/telemetry", 0o700),
    ("data/store", 0o700),
    ("data/store/mboxlist", 0o700),
    ("data/store/session", 0o700),
    ("data/store/user", 0o700),
    ("data/store/partition", 0o700),
    ("sbin", 0o755),
    ("lib", 0o755),
    ("lib/msg", 0o755),
];

/// Makes an instance, or completes one: what is there stays as it is. Returns the steps in order.
///
/// # Errors
/// [`InstanceError`]; what was made until then stays and the next call goes on from there.
pub fn create(new: &NewInstance) -> Result<Vec<Step>, InstanceError> {
    let instance = Instance::at(&new.base);
    let mut steps = Vec::new();
    let owner = new.owner.as_ref();
    for (name, mode) in DIRECTORIES {
        // The programs stay with root: who runs as the mail server must not be able to replace them.
        let owner = owner.filter(|_| name.starts_with("config") || name.starts_with("data"));
        let path = match *name {
            "." => new.base.clone(),
            name => new.base.join(name),
        };
        directory(&path, *mode, owner, &mut steps)?;
    }
    settings(&instance, new, &mut steps)?;
    for (_, path) in instance.conf()?.partitions() {
        directory(&path, 0o700, owner, &mut steps)?;
    }
    let ldif = instance.directory_ldif();
    if ldif.exists() {
        steps.push(Step::Kept(ldif.display().to_string()));
    } else {
        durable::replace(&ldif, b"", 0o600).map_err(|source| make(&ldif, source))?;
        give(&ldif, owner)?;
        steps.push(Step::Made(ldif.display().to_string()));
    }
    let secret = instance.login_secret();
    if !secret.exists() {
        let bytes: [u8; 32] = scram::random();
        durable::replace(&secret, &bytes, 0o600).map_err(|source| make(&secret, source))?;
        give(&secret, owner)?;
        steps.push(Step::Made(secret.display().to_string()));
    }
    certificate(&instance.conf()?, new, &mut steps)?;
    link(&new.base.join("log"), Path::new("data/log"), &mut steps)?;
    for (place, name) in &new.links {
        let path = new.base.join(place).join(name);
        link(&path, &new.executable, &mut steps)?;
    }
    Ok(steps)
}

fn settings(instance: &Instance, new: &NewInstance, steps: &mut Vec<Step>) -> Result<(), InstanceError> {
    let before = instance.msg_conf().is_file();
    let old = before.then(|| instance.conf()).transpose()?;
    let done = instance.create_files(&new.settings)?;
    let defaults = instance.msg_conf_defaults().display().to_string();
    steps.push(if done.defaults_written { Step::Made(defaults) } else { Step::Kept(defaults) });
    let file = instance.msg_conf().display().to_string();
    if !before {
        steps.push(Step::Made(file.clone()));
    }
    for (name, value) in &new.settings {
        let kept = old.as_ref().filter(|old| old.explicit(name));
        steps.push(match kept.and_then(|old| old.get(name)) {
            Some(present) if present == *value => Step::Kept(format!("{name} = {value}")),
            Some(present) => {
                Step::Kept(format!("{name} = {present} (not changed to {value}: configutil -o {name} -v {value} does)"))
            }
            None => Step::Made(format!("{name} = {value}")),
        });
    }
    for path in [instance.msg_conf(), instance.msg_conf_defaults()] {
        give(&path, new.owner.as_ref())?;
    }
    Ok(())
}

/// A certificate of the instance's own, where there is none and nobody has said where one is. A key that is there already is used.
fn certificate(conf: &Conf, new: &NewInstance, steps: &mut Vec<Step>) -> Result<(), InstanceError> {
    let names = ["encryption.nscertfile", "encryption.nskeyfile"];
    let [certificate, key] = names.map(|name| conf.path(name));
    if names.iter().any(|name| conf.explicit(name)) || certificate.exists() {
        steps.extend([&certificate, &key].map(|path| {
            let missing = if path.exists() { "" } else { " (is not there, and is not made)" };
            Step::Kept(format!("{}{missing}", path.display()))
        }));
        return Ok(());
    }
    let present =
        if key.exists() { Some(fs::read_to_string(&key).map_err(|source| make(&key, source))?) } else { None };
    let domain = conf.get("local.defdomain");
    let made = super::certificate::self_signed(&host_name(conf), domain.as_deref(), present.as_deref(), new.now_s)?;
    let files = [(&key, made.key, 0o600), (&certificate, made.certificate, 0o644)];
    // The key first: a call that was interrupted between the two goes on with it.
    for (path, text, mode) in files.into_iter().skip(usize::from(present.is_some())) {
        durable::replace(path, text.as_bytes(), mode).map_err(|source| make(path, source))?;
        give(path, new.owner.as_ref())?;
        steps.push(Step::Made(path.display().to_string()));
    }
    Ok(())
}

/// The name of this host: `local.hostname`, else the system's.
pub fn host_name(conf: &Conf) -> String {
    let names = [conf.string("local.hostname"), crate::os::host::name()];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

fn directory(
    path: &Path,
    mode: u32,
    owner: Option<&SystemAccount>,
    steps: &mut Vec<Step>,
) -> Result<(), InstanceError> {
    if path.is_dir() {
        steps.push(Step::Kept(path.display().to_string()));
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| make(path, source))?;
    give(path, owner)?;
    steps.push(Step::Made(path.display().to_string()));
    Ok(())
}

fn give(path: &Path, owner: Option<&SystemAccount>) -> Result<(), InstanceError> {
    match owner.filter(|_| user::is_root()) {
        Some(owner) => lchown(path, Some(owner.uid), Some(owner.gid)).map_err(|source| make(path, source)),
        None => Ok(()),
    }
}

/// Makes a symbolic link. One that leads to another copy of the program, or nowhere, is made anew; anything else is left alone.
fn link(path: &Path, target: &Path, steps: &mut Vec<Step>) -> Result<(), InstanceError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(make(path, source)),
        Ok(meta) => {
            let present = fs::read_link(path).ok().filter(|_| meta.is_symlink());
            let ours = present.as_ref().is_some_and(|present| {
                present != target && (!path.exists() || present.file_name() == target.file_name())
            });
            if !ours {
                let name = path.display();
                steps.push(Step::Kept(if present.as_deref() == Some(target) {
                    name.to_string()
                } else {
                    format!("{name} (not a link to {})", target.display())
                }));
                return Ok(());
            }
            fs::remove_file(path).map_err(|source| make(path, source))?;
        }
    }
    symlink(target, path).map_err(|source| make(path, source))?;
    steps.push(Step::Made(format!("{} -> {}", path.display(), target.display())));
    Ok(())
}

fn make(path: &Path, source: io::Error) -> InstanceError {
    InstanceError::Make { path: path.to_path_buf(), source }
}

/// The account that the services run as: `local.serveruid` and `local.servergid`; who runs this when neither is set.
///
/// # Errors
/// [`UserError::NoUser`], [`UserError::NoGroup`].
pub fn server_account(conf: &Conf) -> Result<SystemAccount, UserError> {
    let name = conf.string("local.serveruid");
    if name.is_empty() {
        return Ok(user::current());
    }
    let group = conf.string("local.servergid");
    user::resolve(&name, Some(group.as_str()).filter(|name| !name.is_empty()))
}

/// Becomes the account of the services for good, whose files are nobody else's; to be called before the first thread and before the store is opened.
///
/// # Errors
/// [`UserError`].
pub fn become_server(conf: &Conf) -> Result<(), UserError> {
    user::close_mask();
    user::become_account(&server_account(conf)?)
}

/// The user directory that the configuration names: the servers of `local.ugldaphost` where that is set, else `config/directory.ldif`.
pub fn open_directory(instance: &Instance, conf: &Conf) -> Directory {
    let given = |name: &str| conf.get(name).filter(|value| !value.is_empty());
    let size = usize::try_from(conf.int("service.authcachesize")).unwrap_or(0);
    let lifetime = Duration::from_secs(u64::try_from(conf.int("service.authcachettl")).unwrap_or(0));
    let options = Options {
        default_domain: given("local.defdomain"),
        host: given("local.hostname"),
        dc_root: given("service.dcroot"),
        admin_group: given("store.serviceadmingroupdn"),
        logins: Logins::new(size, lifetime),
        // An instance of an older release has none until `configure` is called again.
        secret: fs::read(instance.login_secret()).ok().map(|bytes| blake3::hash(&bytes).into()),
    };
    if conf.list("local.ugldaphost").is_empty() {
        return Directory::open(&instance.directory_ldif(), options);
    }
    Directory::ldap(ldap_settings(conf), options)
}

/// What the parameters say about the directory servers.
pub fn ldap_settings(conf: &Conf) -> ldap::Settings {
    let usual = ldap::Settings::default();
    let number = |name: &str| conf.number(name).and_then(|value| u64::try_from(value).ok());
    let size = |name: &str| number(name).and_then(|value| usize::try_from(value).ok());
    let remember = conf.bool("service.ldapmemcache");
    ldap::Settings {
        hosts: conf.list("local.ugldaphost"),
        port: number("local.ugldapport").and_then(|port| u16::try_from(port).ok()),
        base_dn: conf.string("local.ugldapbasedn"),
        bind_dn: conf.string("local.ugldapbinddn"),
        bind_password: conf.string("local.ugldapbindcred"),
        encryption: match (conf.bool("local.ugldapusessl"), conf.bool("local.ugldapstarttls")) {
            (true, _) => Encryption::Tls,
            (false, true) => Encryption::StartTls,
            (false, false) => Encryption::None,
        },
        ca_file: conf.path("local.ugldapcafile"),
        pool_size: size("service.ldappoolsize").unwrap_or(usual.pool_size),
        pool_refresh: number("local.ldappoolrefreshinterval")
            .map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        connect_timeout: number("local.ldapconnecttimeout").map_or(usual.connect_timeout, Duration::from_secs),
        search_timeout: number("local.ldapsearchtimeout").map_or(usual.search_timeout, Duration::from_secs),
        cache_bytes: if remember { size("service.ldapmemcachesize").unwrap_or(0) } else { 0 },
        cache_lifetime: number("service.ldapmemcachettl").map_or(Duration::ZERO, Duration::from_secs),
        membership_lifetime: number("service.authcachettl").map_or(Duration::ZERO, Duration::from_secs),
        dc_root: conf.get("service.dcroot").filter(|value| !value.is_empty()),
        trace: conf.bool("local.ldaptrace"),
    }
}

/// What `logfile.<service>.*` says about the log of a service; `process` is the name in its lines.
pub fn log_settings(instance: &Instance, conf: &Conf, service: &str, process: &str) -> Settings {
    let name = |attribute: &str| format!("logfile.{service}.{attribute}");
    let dir = match conf.get(&name("logdir")) {
        Some(dir) if !dir.is_empty() => conf.path(&name("logdir")),
        _ => instance.log_dir(),
    };
    let mut settings = Settings::new(service, process, dir);
    let bytes = |attribute: &str, default: u64| {
        conf.number(&name(attribute)).and_then(|value| u64::try_from(value).ok()).unwrap_or(default)
    };
    let seconds = |attribute: &str, default| conf.number(&name(attribute)).unwrap_or(default);
    settings.level = Level::parse(&conf.string(&name("loglevel"))).unwrap_or(settings.level);
    settings.max_file_bytes = bytes("maxlogfilesize", settings.max_file_bytes);
    settings.max_total_bytes = bytes("maxlogsize", settings.max_total_bytes);
    settings.min_free_bytes = bytes("minfreediskspace", settings.min_free_bytes);
    settings.max_files = usize::try_from(bytes("maxlogfiles", 10)).unwrap_or(settings.max_files);
    settings.rollover_s = seconds("rollovertime", settings.rollover_s);
    settings.expire_s = seconds("expirytime", settings.expire_s);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(base: &Path) -> NewInstance {
        NewInstance {
            base: base.to_path_buf(),
            settings: vec![("local.defdomain".to_owned(), "example.org".to_owned())],
            owner: None,
            links: vec![("sbin", "start-msg"), ("lib", "stored")],
            executable: PathBuf::from("/bin/true"),
            now_s: 1_794_995_200,
        }
    }

    #[test]
    fn the_second_time_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        let steps = create(&new(&base)).unwrap();
        assert!(steps.iter().all(|step| matches!(step, Step::Made(_))), "{steps:?}");
        let steps = create(&new(&base)).unwrap();
        assert!(steps.iter().all(|step| matches!(step, Step::Kept(_))), "{steps:?}");
        let mode = |name: &str| fs::metadata(base.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("data"), 0o700);
        assert_eq!(mode("config/directory.ldif"), 0o600);
        // A key without its certificate: what an interrupted call leaves.
        let key = fs::read(base.join("config/server.key")).unwrap();
        fs::remove_file(base.join("config/server.crt")).unwrap();
        let steps = create(&new(&base)).unwrap();
        let made: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Made(_))).collect();
        assert_eq!(made, [&Step::Made(base.join("config/server.crt").display().to_string())]);
        assert_eq!(fs::read(base.join("config/server.key")).unwrap(), key);
        assert_eq!((mode("config/server.crt"), mode("config/server.key")), (0o644, 0o600));
        assert_eq!(fs::read_link(base.join("log")).unwrap(), Path::new("data/log"));
    }

    #[test]
    fn what_an_administrator_changed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        create(&new(&base)).unwrap();
        let script = base.join("sbin/start-msg");
        fs::remove_file(&script).unwrap();
        durable::replace(&script, b"#!/bin/sh\n", 0o755).unwrap();
        let mut second = new(&base);
        second.settings = vec![("local.defdomain".to_owned(), "other.org".to_owned())];
        second.executable = PathBuf::from("/usr/local/bin/true");
        let steps = create(&second).unwrap();
        let instance = Instance::at(&base);
        assert_eq!(instance.conf().unwrap().string("local.defdomain"), "example.org");
        assert_eq!(fs::read(&script).unwrap(), b"#!/bin/sh\n");
        // The link to an older copy of the same program follows the new one.
        assert_eq!(fs::read_link(base.join("lib/stored")).unwrap(), Path::new("/usr/local/bin/true"));
        let kept = |text: &str| steps.iter().any(|step| matches!(step, Step::Kept(what) if what.contains(text)));
        assert!(kept("not changed to other.org") && kept("not a link"), "{steps:?}");
    }

    #[test]
    fn log_settings_follow_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        instance
            .create_files(&[
                set("logfile.imap.loglevel", "Debug"),
                set("logfile.imap.maxlogfiles", "3"),
                set("logfile.imap.maxlogsize", "3M"),
                set("logfile.pop.logdir", "/elsewhere"),
            ])
            .unwrap();
        let conf = instance.conf().unwrap();
        let imap = log_settings(&instance, &conf, "imap", "imapd");
        assert_eq!((imap.level, imap.max_files), (Level::Debug, 3));
        assert_eq!((&imap.dir, imap.max_total_bytes), (&instance.log_dir(), 3 << 20));
        let pop = log_settings(&instance, &conf, "pop", "popd");
        assert_eq!((pop.dir, pop.expire_s), (PathBuf::from("/elsewhere"), 604_800));
        let default = log_settings(&instance, &conf, "default", "stored");
        assert_eq!((default.level, default.max_files), (Level::Notice, 10));
    }
}
