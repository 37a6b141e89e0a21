//! `imquotacheck -f`: domains whose users together have used up the domain's quota are `overquota`, the others `active` again (2004Q2 Administration
//! Guide, table 18-6). With `store.overquotastatus` the same is done for users.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::survey::{Subject, Survey, SurveyError, domain_of};
use crate::directory::{Directory, DirectoryError, Domain, Status};
use crate::ops::quota::status::wanted;
use crate::store::{QuotaRoot, QuotaRules, Usage};

/// A change of a status, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The domain, or the user.
    pub name: String,
    /// What all mailboxes hold.
    pub usage: Usage,
    /// Limit of bytes.
    pub bytes: Option<u64>,
    /// Limit of messages.
    pub messages: Option<u64>,
    /// The status as it is.
    pub status: Status,
    /// What it has to be, where that is another.
    pub change: Option<Status>,
}

/// What the users of each domain have together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<String, Usage>);

impl Sums {
    /// Adds one user.
    pub fn add(&mut self, subject: &Subject, default_domain: &str) {
        let domain = domain_of(&subject.figures.userid, default_domain).to_lowercase();
        let sum = self.0.entry(domain).or_default();
        *sum = sum.and(subject.figures.usage);
    }
}

/// Sums the users of a survey up; those that cannot be read are returned with the reason.
///
/// # Errors
/// As [`Survey::each`].
pub fn sums(survey: &Survey<'_>) -> Result<(Sums, Vec<(String, SurveyError)>), SurveyError> {
    let (mut sums, mut unreadable) = (Sums::default(), Vec::new());
    survey.each(&mut |userid, found| {
        match found {
            Ok(subject) => sums.add(&subject, survey.default_domain),
            Err(error) => unreadable.push((userid.to_owned(), error)),
        }
        ControlFlow::Continue(())
    })?;
    Ok((sums, unreadable))
}

/// What is to be done about a domain whose users have `usage` together.
pub fn of_domain(domain: &Domain, usage: Usage) -> Verdict {
    let full = usage.reaches(domain.disk_quota, domain.msg_quota);
    Verdict {
        name: domain.name.clone(),
        usage,
        bytes: domain.disk_quota,
        messages: domain.msg_quota,
        status: domain.status,
        change: wanted(domain.status, full),
    }
}

/// What is to be done about a user, whose own root is `own`: what a delivery would do under the same rules.
pub fn of_user(userid: &str, own: &QuotaRoot, rules: &QuotaRules, status: Status) -> Verdict {
    Verdict {
        name: userid.to_owned(),
        usage: own.usage,
        bytes: own.bytes,
        messages: own.messages,
        status,
        change: wanted(status, own.is_used_up(rules) && rules.enforce),
    }
}

/// Writes a change of a domain's status, unless somebody has changed it since it was read. Returns whether it was written.
///
/// # Errors
/// The directory cannot be written.
pub fn enforce_domain(directory: &Directory, verdict: &Verdict) -> Result<bool, DirectoryError> {
    let write = |to| directory.change_domain_status(&verdict.name, verdict.status, to);
    verdict.change.map_or(Ok(false), write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_and_overquota_change_into_each_other() {
        let domain = |status, disk_quota, msg_quota| Domain {
            name: "siroe.com".to_owned(),
            status,
            disk_quota,
            msg_quota,
            ..Domain::default()
        };
        let usage = Usage { bytes: 1000, messages: 3 };
        for (status, bytes, messages, wanted) in [
            (Status::Active, Some(1001), None, None),
            (Status::Active, Some(1000), None, Some(Status::Overquota)),
            (Status::Active, None, Some(3), Some(Status::Overquota)),
            (Status::Active, None, None, None),
            (Status::Overquota, Some(1000), Some(9), None),
            (Status::Overquota, Some(1001), Some(9), Some(Status::Active)),
            (Status::Overquota, None, None, Some(Status::Active)),
            (Status::Hold, Some(1), None, None),
            (Status::Inactive, None, None, None),
        ] {
            assert_eq!(of_domain(&domain(status, bytes, messages), usage).change, wanted, "{status:?} {bytes:?}");
        }
    }
}
