//! Samples of the two files, to be changed.

use clap::ValueEnum;

/// Which sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sample {
    /// A rule file, for config/imq.rulefile.
    Rulefile,
    /// A template, for config/imq.msgfile.
    Msgfile,
}

impl Sample {
    /// Its text.
    pub(super) fn text(self) -> &'static str {
        match self {
            Sample::Rulefile => RULEFILE,
            Sample::Msgfile => MSGFILE,
        }
    }
}

const RULEFILE: &str = "\
#
# Rules of imquotacheck -n: at 80 percent of the quota users are told once a day, at 95 percent every six hours.
#
[General]
# mailQuotaAttribute=mailQuota
# reportMethod=/path/of/a/program

[rule1]
notificationTriggerPercentage=80
notificationInterval=24
enabled=1

[rule2]
notificationTriggerPercentage=95
notificationInterval=6
enabled=1
# messageFile=/path/of/another/template
# notificationMethod=/path/of/a/program
";

const MSGFILE: &str = "\
Subject: [Warning] quota reached for %U%

Hello %U%,
Your quota: %C%
Your current mailbox usage: %M%
Your mailbox is now %Q% full. Details:
%R%

Please delete mail that you do not need any more.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quotacheck::rules::RuleFile;
    use crate::ops::quotacheck::template::Template;

    #[test]
    fn samples_are_sound() {
        assert_eq!(RuleFile::parse(Sample::Rulefile.text()).unwrap().rules.len(), 2);
        Template::parse(Sample::Msgfile.text().as_bytes()).unwrap();
    }
}
