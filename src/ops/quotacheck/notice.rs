//! Notices: who is told now, and how the message comes into the mailbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::method::MethodError;
use super::rules::{Rule, RuleFile};
use super::survey::Subject;
use super::template::{Envelope, Template};
use super::threshold::{self, Last, Step};
use crate::directory::Home;
use crate::ops::delivery::{DeliveryError, LocalDelivery, Marks};
use crate::store::StoreError;

/// Why a user was not told.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// The program of the rule failed.
    #[error("[{rule}] {error}")]
    Method {
        /// The rule.
        rule: String,
        /// What went wrong.
        error: MethodError,
    },
    /// The program of the rule wrote something that is no message.
    #[error("[{rule}] what {program} wrote is no message: {text}")]
    NoMessage {
        /// The rule.
        rule: String,
        /// The program.
        program: String,
        /// What is wrong.
        text: String,
    },
    /// The message could not be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// What was told could not be recorded: the next run tells again.
    #[error("the notice cannot be recorded: {0}")]
    Record(StoreError),
    /// There is no template for the rule.
    #[error("[{0}] has no template")]
    NoTemplate(String),
}

/// What was done about a user.
#[derive(Debug)]
pub enum Done<'r> {
    /// Told by this rule.
    Told(&'r Rule),
    /// This rule applies, and tells in so many seconds.
    NotDue(&'r Rule, i64),
    /// Below every threshold again: forgotten.
    Forgotten,
    /// Below every threshold.
    Below,
    /// This rule would have told, but the mailbox takes no mail.
    NoMail(&'r Rule, DeliveryError),
}

/// The templates of the rules.
#[derive(Debug, Default)]
pub struct Templates {
    /// The one of rules that name none.
    pub default: Option<Template>,
    /// Those that rules name.
    pub named: BTreeMap<PathBuf, Template>,
}

impl Templates {
    /// The files that the rules name: what has to be read before anybody is told.
    pub fn wanted(rules: &[Rule]) -> impl Iterator<Item = &Path> {
        rules.iter().filter(|rule| rule.method.is_none()).filter_map(|rule| rule.message_file.as_deref())
    }

    /// Whether a rule needs the default template.
    pub fn wants_default(rules: &[Rule]) -> bool {
        rules.iter().any(|rule| rule.method.is_none() && rule.message_file.is_none())
    }

    fn of(&self, rule: &Rule) -> Option<&Template> {
        match &rule.message_file {
            Some(path) => self.named.get(path),
            None => self.default.as_ref(),
        }
    }
}

/// Tells users.
pub struct Notifier<'a> {
    /// The way into the mailboxes; it must ignore the quota.
    pub delivery: LocalDelivery<'a>,
    /// The rules.
    pub rules: &'a RuleFile,
    /// Their templates.
    pub templates: &'a Templates,
    /// The sender, an address.
    pub from: String,
    /// The directory of msg.conf, which programs are told.
    pub config_dir: &'a Path,
    /// The name of this host, for Message-ID.
    pub host: String,
}

impl<'a> Notifier<'a> {
    /// What is to be done about a user.
    pub fn next(&self, subject: &Subject, now_s: i64) -> Step<'a> {
        threshold::next(&self.rules.rules, subject.percent(), Last::of(&subject.figures), now_s)
    }

    /// Does what is to be done about a user.
    ///
    /// # Errors
    /// [`NoticeError`].
    pub fn go_on(&self, subject: &Subject, now_s: i64) -> Result<Done<'a>, NoticeError> {
        let rule = match self.next(subject, now_s) {
            Step::Nothing => return Ok(Done::Below),
            Step::Wait(rule, left_s) => return Ok(Done::NotDue(rule, left_s)),
            Step::Forget => {
                self.record(subject, 0, 0)?;
                return Ok(Done::Forgotten);
            }
            Step::Tell(rule) => rule,
        };
        match self.tell(subject, rule, now_s) {
            Ok(()) => {}
            Err(NoticeError::Delivery(error)) if takes_no_mail(&error) => return Ok(Done::NoMail(rule, error)),
            Err(error) => return Err(error),
        }
        crate::crash_point!("quota-notice.after-delivery");
        self.record(subject, rule.percent, now_s)?;
        Ok(Done::Told(rule))
    }

    /// The message for a user by a template.
    ///
    /// # Errors
    /// The directory does not answer.
    pub fn message(&self, subject: &Subject, template: &Template, now_s: i64) -> Result<Vec<u8>, NoticeError> {
        let userid = &subject.figures.userid;
        let found = self.delivery.directory.lookup(userid).map_err(DeliveryError::from)?;
        let mail = match found {
            Home::Here(user) if !user.mail.is_empty() => user.mail,
            _ if userid.contains('@') || self.delivery.default_domain.is_empty() => userid.clone(),
            _ => format!("{userid}@{}", self.delivery.default_domain),
        };
        let name: String = userid.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
        let place = subject.account.map_or(name, |account| format!("{:016x}", account.0));
        let message_id = format!("quota.{now_s}.{place}@{}", self.host);
        Ok(template.fill(subject, &Envelope { from: self.from.clone(), to: mail, message_id, now_s }))
    }

    /// The template of a rule.
    ///
    /// # Errors
    /// There is none.
    pub fn template(&self, rule: &Rule) -> Result<&'a Template, NoticeError> {
        self.templates.of(rule).ok_or_else(|| NoticeError::NoTemplate(rule.name.clone()))
    }

    fn tell(&self, subject: &Subject, rule: &Rule, now_s: i64) -> Result<(), NoticeError> {
        let Some(method) = &rule.method else {
            return self.deliver(subject, self.template(rule)?, now_s);
        };
        // Nobody is told by a program who would not be told by a message.
        self.delivery.takes_mail(&subject.figures.userid, now_s)?;
        let error = |error| NoticeError::Method { rule: rule.name.clone(), error };
        let written = method.run(self.config_dir, subject, Some(rule)).map_err(error)?;
        if written.trim_ascii().is_empty() {
            return Ok(());
        }
        match Template::parse(&written) {
            Ok(template) => self.deliver(subject, &template, now_s),
            Err(text) => Err(NoticeError::NoMessage { rule: rule.name.clone(), program: method.to_string(), text }),
        }
    }

    fn deliver(&self, subject: &Subject, template: &Template, now_s: i64) -> Result<(), NoticeError> {
        let place = self.delivery.place_of_user(&subject.figures.userid, None, now_s)?;
        let message = self.message(subject, template, now_s)?;
        let places = [place];
        let staged = self.delivery.stage_from(&places, b"", &mut message.as_slice())?;
        for done in self.delivery.deliver(&staged, &Marks::default(), &places, now_s) {
            done?;
        }
        Ok(())
    }

    fn record(&self, subject: &Subject, percent: u32, now_s: i64) -> Result<(), NoticeError> {
        let known = match subject.account {
            Some(account) => Some(account),
            // The notice may have made it.
            None => self.delivery.store.account_id(&subject.figures.userid).map_err(NoticeError::Record)?,
        };
        let Some(account) = known else { return Ok(()) };
        self.delivery.store.note_quota_notice(account, percent, now_s).map_err(NoticeError::Record)
    }
}

/// True for what is no failure of this run: nobody reads that mailbox, or nobody may fill it.
fn takes_no_mail(error: &DeliveryError) -> bool {
    matches!(error, DeliveryError::NoUser(_) | DeliveryError::Elsewhere { .. } | DeliveryError::Blocked { .. })
}
