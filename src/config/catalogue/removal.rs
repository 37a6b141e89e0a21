//! Parameters of quota, expiry, purge and schedules.

use super::Effect::{Immediate, Refresh};
use super::Kind::*;
use super::{MAX, Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    // quota
    row("store.defaultmailboxquota", Int(-1, MAX), "-1", "bytes", Immediate, "Disk quota of users whose own mailQuota asks for the default; -1: no limit."),
    row("store.defaultmessagequota", Int(-1, MAX), "-1", "messages", Immediate, "Message-count quota of users whose own mailMsgQuota asks for the default; -1: no limit."),
    row("store.quotaenforcement", Bool, "on", "", Immediate, "Refuse delivery to mailboxes over quota."),
    row("store.quotanotification", Bool, "on", "", Immediate, "Send users the quota warning; nothing is sent without a text in store.quotaexceededmsg."),
    row("store.quotaexceededmsg", Localised, "", "", Immediate, "Text of the quota warning: $ is a line break, $$ ends the header; at least a Subject line."),
    row("store.quotaexceededmsginterval", Int(1, MAX), "7", "days", Immediate, "Pause between two quota warnings to the same user."),
    row("store.quotagraceperiod", Int(0, MAX), "120", "hours", Immediate, "Time a mailbox may stay over quota before mail for it is returned to the sender."),
    row("store.quotawarn", Int(0, 100), "90", "percent of quota", Immediate, "Share of the quota at which the warning starts."),
    row("local.store.quotaoverdraft", Bool, "off", "", Immediate, "Take the one message that carries a mailbox over its quota, and only then warn, wait and refuse."),
    row("local.store.overquotastatus", Bool, "", "", Immediate, "Another spelling of store.overquotastatus: one setting."),
    row("store.typequota.enable", Bool, "", "", Immediate, "Switch on quotas per message type; needs store.messagetype.<x>.quotaroot."),
    row("store.overquotastatus", Bool, "off", "", Immediate, "Set the user's mailUserStatus to overquota, so that the transport refuses mail early."),
    // expire
    row("store.expirerule.<rulename>.<attribute>", Text, "", "", Immediate, "An attribute of a global rule of automatic removal, as in the file store.expirerule."),
    row("store.expirerule.<rulename>.folderpattern", Text, "", "", Immediate, "Folders the rule applies to."),
    row("store.expirerule.<rulename>.regexp", Bool, "", "", Immediate, "Treat the patterns of the rule as UNIX regular expressions."),
    row("store.expirerule.<rulename>.exclusive", Bool, "", "", Immediate, "Make this the only rule applied to the folders it matches."),
    row("store.expirerule.<rulename>.messagedays", Int(0, MAX), "", "days", Immediate, "Age above which messages are removed."),
    row("store.expirerule.<rulename>.messagecount", Int(0, MAX), "", "messages", Immediate, "Most messages a folder may keep; the oldest go first."),
    row("store.expirerule.<rulename>.foldersizebytes", Int(0, MAX), "", "bytes", Immediate, "Older spelling of foldersize."),
    row("store.expirerule.<rulename>.messagesize", Int(0, MAX), "", "bytes", Immediate, "Size above which a message counts as over-sized."),
    row("store.expirerule.<rulename>.messagesizedays", Int(0, MAX), "", "days", Immediate, "Days an over-sized message is left alone."),
    row("store.expirerule.<rulename>.seen", Choice(&["and", "or"]), "", "", Immediate, "The Seen flag as a criterion: or, it is enough by itself; and, it must be set as well."),
    row("store.expirerule.<rulename>.deleted", Choice(&["and", "or"]), "", "", Immediate, "The Deleted flag as a criterion: or, it is enough by itself; and, it must be set as well."),
    row("store.expirerule.<rulename>.<headername>", Text, "", "", Immediate, "Text that the header field must hold."),
    row("local.store.expire.loglevel", Int(1, 3), "1", "", Immediate, "Detail of the expiry log: 1 one summary, 2 a line per mailbox, 3 a line per message."),
    row("local.store.expire.workday", Text, "", "", Immediate, "Read by the expiry utility of later releases; its meaning is not documented."),
    row("local.store.expire.cleanonly", Bool, "", "", Immediate, "Restrict scheduled expiry to the purge step."),
    row("store.expirerule.<rulename>.foldersize", Int(0, MAX), "", "bytes", Immediate, "Largest folder size; the oldest messages go first."),
    row("store.expirerule.<rulename>.action", Text, "discard", "", Immediate, "What to do with the selected messages: discard, report, archive, or fileinto:<folder>."),
    row("store.expirerule.<rulename>.savedays", Int(0, MAX), "", "days", Immediate, "Age in the folder, counted from when the message was saved there, above which it is removed."),
    // schedule
    row("local.schedule.<taskname>", Cron, "", "", Refresh, "A job: five crontab fields, then a shell command; day of month and weekday must both match."),
    row("local.schedule.<taskname>.enable", Bool, "1", "", Refresh, "Switch one job on or off without losing its schedule."),
    row("local.schedule.expire", Cron, "0 23 * * * sbin/imexpire", "", Refresh, "Schedule and command of message expiry."),
    row("local.schedule.purge", Cron, "", "", Refresh, "Schedule and command of a purge of its own; unset, the expiry run purges after it has expired."),
    row("local.schedule.mspurge", Cron, "", "", Refresh, "Schedule and command of a separate message purge (imexpire -c)."),
    row("local.schedule.snapshotverify", Cron, "0 0,4,8,12,16,20 * * * sbin/imdbverify -m", "", Refresh, "Schedule and command of the verification of snapshots."),
    row("local.schedule.snapshot", Cron, "0 2 * * * sbin/imdbverify -s -m", "", Refresh, "Schedule and command of taking snapshots."),
    row("local.schedule.return_job", Cron, "", "", Refresh, "Schedule and command of returning undeliverable mail, for a site that has a transport beside."),
    row("local.schedule.msprobe", Cron, "5,15,25,35,45,55 * * * * lib/msprobe", "", Refresh, "Response probe of the servers."),
    row("local.sched.userpurge", Cron, "", "", Refresh, "Schedule of the purge of deleted users and domains."),
];
