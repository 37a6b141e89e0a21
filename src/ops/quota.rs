//! Quota: which limits a user has, by the directory entry and the configuration, and what an account has used of them. What is configured is in
//! [`watch`], the warning to the owner in [`warning`]; [`domain`] has what the users of a domain
//! may hold together, [`status`] writes `mailUserStatus`.

pub mod domain;
pub mod status;
pub mod warning;
pub mod watch;

use crate::config::Conf;
use crate::directory::User;
use crate::directory::quota::Limit;
use crate::store::{Account, AccountId, FolderLimit, Limits, QuotaRules, Store, StoreError, Usage};
use crate::text::utf7;

/// The limits of users whose entries ask for the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `store.defaultmailboxquota`, bytes; `None`: no limit.
    pub bytes: Option<u64>,
    /// `store.defaultmessagequota`; `None`: no limit.
    pub messages: Option<u64>,
}

impl Defaults {
    /// As they are configured.
    pub fn of(conf: &Conf) -> Defaults {
        let limit = |name: &str| conf.number(name).and_then(|limit| u64::try_from(limit).ok());
        Defaults { bytes: limit("store.defaultmailboxquota"), messages: limit("store.defaultmessagequota") }
    }

    /// As the rules of an open store have them.
    pub fn of_rules(rules: &QuotaRules) -> Defaults {
        Defaults { bytes: rules.default_bytes, messages: rules.default_messages }
    }
}

/// The limits that hold for a user: those of the entry, where it says so the defaults. The one place where this is decided, for logins,
/// deliveries and tools. Limits of message types are left out: they are not enforced.
pub fn effective(user: &User, defaults: Defaults) -> Limits {
    let mut folders: Vec<FolderLimit> = Vec::new();
    let mut add = |name: &str, set: &dyn Fn(&mut FolderLimit)| {
        // Entries are written in UTF-8, folders are named in modified UTF-7.
        let path = if name.is_ascii() { name.to_owned() } else { utf7::encode(name) };
        match folders.iter_mut().find(|known| known.path == path) {
            Some(known) => set(known),
            None => {
                let mut new = FolderLimit { path, ..FolderLimit::default() };
                set(&mut new);
                folders.push(new);
            }
        }
    };
    // A folder has no default: without a number it has no limit, and does not count for the account either.
    for (name, limit) in &user.mail_quota.folders {
        add(name, &|folder| folder.bytes = limit.or(None));
    }
    for (name, limit) in &user.msg_quota.folders {
        add(name, &|folder| folder.messages = limit.or(None));
    }
    folders.sort_by(|a, b| a.path.cmp(&b.path));
    Limits {
        bytes: user.mail_quota.limit.or(defaults.bytes),
        messages: user.msg_quota.limit.or(defaults.messages),
        folders,
    }
}

/// Writes the limits that hold for a user into the account's row, if it has others. Returns whether it had.
///
/// # Errors
/// The account does not exist, or the disk fails.
pub fn take_over(store: &Store, account: AccountId, limits: &Limits, now_s: i64) -> Result<bool, StoreError> {
    if store.view(account)?.account()?.limits() == *limits {
        return Ok(false);
    }
    store.set_limits(account, limits, now_s)?;
    Ok(true)
}

/// What an account has used of its limits, as its row says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The user.
    pub userid: String,
    /// What all folders hold, those with limits of their own included.
    pub usage: Usage,
    /// Limit of bytes.
    pub bytes: Option<u64>,
    /// Limit of messages.
    pub messages: Option<u64>,
    /// Since when the quota is used up, seconds since 1970; 0: it is not.
    pub over_since_s: i64,
    /// When the delivery agent warned last, seconds since 1970; 0: never.
    pub warned_s: i64,
    /// When `imquotacheck -n` sent its last notice, seconds since 1970; 0: never.
    pub noticed_s: i64,
    /// The threshold of the rule by which that was, in percent.
    pub noticed_percent: u32,
}

impl Figures {
    /// Those of an account's row.
    pub fn of(row: &Account) -> Figures {
        Figures {
            userid: row.userid.clone(),
            usage: row.usage(),
            bytes: row.quota_bytes,
            messages: row.quota_messages,
            over_since_s: row.over_since_s,
            warned_s: row.warned_s,
            noticed_s: row.noticed_s,
            noticed_percent: row.noticed_percent,
        }
    }

    /// Whole percent of the limit of bytes that are used, rounded down; `None` without a limit.
    pub fn percent_bytes(&self) -> Option<u64> {
        self.usage.percent(self.bytes, None)
    }

    /// Whole percent of the limit of messages that are used, rounded down; `None` without a limit.
    pub fn percent_messages(&self) -> Option<u64> {
        self.usage.percent(None, self.messages)
    }

    /// The greater of both.
    pub fn percent(&self) -> Option<u64> {
        self.usage.percent(self.bytes, self.messages)
    }
}

/// True when the entry names limits of message types, which are kept and not enforced.
pub fn has_type_limits(user: &User) -> bool {
    let set = |types: &[(String, Limit)]| types.iter().any(|(_, limit)| *limit != Limit::Default);
    set(&user.mail_quota.types) || set(&user.msg_quota.types)
}
