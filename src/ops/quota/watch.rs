//! The parameters of quota, read again as soon as a file of the configuration has changed: they take effect at once, in services that run, too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Defaults;
use crate::config::{Conf, Instance};
use crate::log::{self, Category};
use crate::store::QuotaRules;

/// The text of the quota warning, with `;lang-xx` behind it in other languages.
const TEXT: &str = "store.quotaexceededmsg";
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// What is configured about quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the store enforces.
    pub rules: QuotaRules,
    /// A full mailbox gets the status `overquota` in the directory (`store.overquotastatus`).
    pub overquota_status: bool,
    /// The text of the warning, by language (two letters, lower case); the one without a language under the empty name.
    pub texts: BTreeMap<String, String>,
    /// The domain of postmaster.
    pub domain: String,
}

impl Settings {
    /// As they are configured.
    pub fn of(conf: &Conf) -> Settings {
        let defaults = Defaults::of(conf);
        let overquota_status = conf.bool("store.overquotastatus");
        let mut texts = BTreeMap::new();
        if conf.bool("store.quotanotification") {
            for setting in conf.settings(TEXT) {
                let tag = setting.name.get(TEXT.len()..).unwrap_or_default().to_ascii_lowercase();
                let language = if tag.is_empty() { Some("") } else { tag.strip_prefix(";lang-") };
                if let Some(language) = language.filter(|_| !setting.value.is_empty()) {
                    texts.insert(language.to_owned(), setting.value);
                }
            }
        }
        let warn_every_s = conf.int("store.quotaexceededmsginterval").saturating_mul(DAY_S);
        let rules = QuotaRules {
            enforce: conf.bool("store.quotaenforcement"),
            // The transport refuses mail before it comes here: the message that fills the mailbox has to come in (8.x guide).
            overdraft: conf.bool("local.store.quotaoverdraft") || overquota_status,
            grace_s: conf.int("store.quotagraceperiod").saturating_mul(HOUR_S),
            warn_percent: u32::try_from(conf.int("store.quotawarn")).unwrap_or(100),
            warn_every_s: (!texts.is_empty()).then_some(warn_every_s),
            default_bytes: defaults.bytes,
            default_messages: defaults.messages,
        };
        let named = |name: &str| Some(conf.string(name)).filter(|value| !value.is_empty());
        let domain = named("local.defdomain").or_else(|| named("local.hostname")).unwrap_or_default();
        Settings { rules, overquota_status, texts, domain }
    }

    /// The text of the warning for somebody who prefers a language such as `de` or `de-AT`: in that language, else the one without a language, else any.
    pub fn text(&self, language: &str) -> Option<&str> {
        let wanted = language.get(..2).unwrap_or_default().to_ascii_lowercase();
        let found = self.texts.get(&wanted).or_else(|| self.texts.get("")).or_else(|| self.texts.values().next());
        found.map(String::as_str)
    }
}

/// Tells one state of the files of the configuration from another.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

/// The settings of the moment.
#[derive(Debug)]
pub struct Watch {
    instance: Option<Instance>,
    known: Mutex<(Stamp, Arc<Settings>)>,
}

impl Watch {
    /// Those of an instance, as they are in `conf` now.
    pub fn new(instance: &Instance, conf: &Conf) -> Arc<Watch> {
        // The state before `conf` was read is not known: the first question reads the files once more.
        let known = Mutex::new((Stamp::default(), Arc::new(Settings::of(conf))));
        Arc::new(Watch { instance: Some(instance.clone()), known })
    }

    /// Settings that do not change.
    pub fn fixed(settings: Settings) -> Arc<Watch> {
        Arc::new(Watch { instance: None, known: Mutex::new((Stamp::default(), Arc::new(settings))) })
    }

    /// The settings now: two looks at the time of a file.
    pub fn now(&self) -> Arc<Settings> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(instance) = &self.instance {
            let stamp = [stamp(&instance.msg_conf()), stamp(&instance.msg_conf_defaults())];
            if stamp != known.0 {
                known.0 = stamp;
                match instance.conf() {
                    Ok(conf) => known.1 = Arc::new(Settings::of(&conf)),
                    Err(error) => {
                        let why = format!("the configuration is wrong, the old quota parameters stay in use: {error}");
                        log::error(Category::Store, why);
                    }
                }
            }
        }
        Arc::clone(&known.1)
    }
}

fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable;

    #[test]
    fn a_change_of_the_configuration_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        instance.create_files(&[set("local.defdomain", "siroe.com")]).unwrap();
        let watch = Watch::new(&instance, &instance.conf().unwrap());
        let first = watch.now();
        assert_eq!((first.rules, first.domain.as_str()), (QuotaRules::default(), "siroe.com"));
        assert_eq!(first.text("de"), None);
        let text = "\"store.quotaenforcement\" = \"off\"\n\"store.quotaexceededmsg;lang-de\" = \"Subject: voll\"\n\
            \"store.quotaexceededmsg\" = \"Subject: full\"\n\"store.quotaexceededmsginterval\" = \"2\"\n\
            \"store.overquotastatus\" = \"on\"\n\"store.quotagraceperiod\" = \"3\"\n\"store.quotawarn\" = \"50\"\n\
            \"store.defaultmailboxquota\" = \"1000\"\n";
        durable::replace(&instance.msg_conf(), text.as_bytes(), 0o600).unwrap();
        let second = watch.now();
        let rules = QuotaRules {
            enforce: false,
            overdraft: true,
            grace_s: 3 * HOUR_S,
            warn_percent: 50,
            warn_every_s: Some(2 * DAY_S),
            default_bytes: Some(1000),
            default_messages: None,
        };
        assert_eq!((second.rules, second.overquota_status), (rules, true));
        assert_eq!(
            (second.text("de-AT"), second.text("fr"), second.text("")),
            (Some("Subject: voll"), Some("Subject: full"), Some("Subject: full"))
        );
        // What cannot be read changes nothing.
        durable::replace(&instance.msg_conf(), b"\"store.quotawarn\" = \"500\"\n", 0o600).unwrap();
        assert_eq!(watch.now(), second);
        durable::replace(
            &instance.msg_conf(),
            format!("{text}\"store.quotanotification\" = \"no\"\n").as_bytes(),
            0o600,
        )
        .unwrap();
        assert_eq!(watch.now().rules.warn_every_s, None);
    }
}
