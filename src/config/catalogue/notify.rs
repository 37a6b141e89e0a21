//! Parameters of notification plug-ins and alarms.

use super::Effect::{Refresh, Restart};
use super::Kind::*;
use super::{MAX, Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    // notify
    row("local.store.notifyplugin", Text, "", "", Restart, "Notification plug-in libraries loaded by the store."),
    row("local.store.notifyplugin.msgflags", Bool, "0", "", Restart, "Track flag changes so that plug-ins can report them."),
    row("local.store.notifyplugin.<plugin>.maxBodySize", Bytes(0, MAX), "0", "bytes", Restart, "Largest part of the body put into a notification; 0 = none."),
    row("local.store.notifyplugin.<plugin>.maxHeaderSize", Bytes(0, MAX), "0", "bytes", Restart, "Largest part of the header put into a notification; 0 = none."),
    row("local.store.notifyplugin.<plugin>.NewMsg.enable", Bool, "1", "", Restart, "Notify on arrival."),
    row("local.store.notifyplugin.<plugin>.UpdateMsg.enable", Bool, "1", "", Restart, "Notify on append or update."),
    row("local.store.notifyplugin.<plugin>.ReadMsg.enable", Bool, "1", "", Restart, "Notify when messages are read."),
    row("local.store.notifyplugin.<plugin>.DeleteMsg.enable", Bool, "1", "", Restart, "Notify when messages are marked deleted."),
    row("local.store.notifyplugin.<plugin>.PurgeMsg.enable", Bool, "1", "", Restart, "Notify when messages are purged."),
    row("local.store.notifyplugin.<plugin>.LogUser.enable", Bool, "1", "", Restart, "Notify on login and logout."),
    row("local.store.notifyplugin.<plugin>.MsgFlags.enable", Bool, "0", "", Restart, "Notify on flag changes; needs msgflags."),
    row("local.store.notifyplugin.<plugin>.noneInBox.enable", Bool, "0", "", Restart, "Notify for folders other than INBOX too."),
    row("local.store.notifyplugin.<plugin>.jmqHost", Text, "127.0.0.1", "", Restart, "Host of the message broker."),
    row("local.store.notifyplugin.<plugin>.jmqPort", Port, "7676", "", Restart, "Port of the broker."),
    row("local.store.notifyplugin.<plugin>.jmqTopic", Text, "JES-MS", "", Restart, "Topic name."),
    row("local.store.notifyplugin.<plugin>.jmqQueue", Text, "JES-MS", "", Restart, "Queue name."),
    row("local.store.notifyplugin.<plugin>.jmqUser", Text, "guest", "", Restart, "Broker login."),
    row("local.store.notifyplugin.<plugin>.jmqPwd", Secret, "guest", "", Restart, "Broker password."),
    row("local.store.notifyplugin.<plugin>.destinationtype", Choice(&["topic", "queue"]), "topic", "", Restart, "Kind of destination at the broker."),
    row("local.store.notifyplugin.<plugin>.Priority", Int(0, 9), "4", "", Restart, "Priority of the notification."),
    row("local.store.notifyplugin.<plugin>.ttl", Int(0, MAX), "0", "", Restart, "Lifetime of the notification; 0 = for ever."),
    row("local.store.notifyplugin.<plugin>.Persistent", Bool, "1", "", Restart, "Store notifications persistently at the broker."),
    row("local.ens.enable", Bool, "", "", Restart, "Start the event notification server."),
    row("local.ens.port", Port, "", "", Restart, "Address or port of the event notification server."),
    // alarm
    row("alarm.diskavail.msgalarmdescription", Text, "percentage mail partition diskspace available", "", Refresh, "Text in the description field of the disk alarm."),
    row("alarm.diskavail.msgalarmstatinterval", Int(0, MAX), "3600", "seconds", Refresh, "Time between two disk-space checks."),
    row("alarm.diskavail.msgalarmthreshold", Int(0, 100), "10", "percent free", Refresh, "Free space at which the alarm is raised."),
    row("alarm.diskavail.msgalarmthresholddirection", Choice(&["-1", "1"]), "-1", "", Refresh, "Side of the threshold that is alarming."),
    row("alarm.diskavail.msgalarmwarninginterval", Int(1, MAX), "24", "hours", Refresh, "Pause before the same alarm is repeated."),
    row("alarm.serverresponse.msgalarmdescription", Text, "server response time in seconds", "", Refresh, "Text in the description field of the response alarm."),
    row("alarm.serverresponse.msgalarmstatinterval", Int(0, MAX), "600", "seconds", Refresh, "Time between two response checks."),
    row("alarm.serverresponse.msgalarmthreshold", Int(1, MAX), "10", "seconds", Refresh, "Response time that is alarming."),
    row("alarm.serverresponse.msgalarmthresholddirection", Choice(&["-1", "1"]), "1", "", Refresh, "Side of the threshold that is alarming."),
    row("alarm.serverresponse.msgalarmwarninginterval", Int(1, MAX), "24", "hours", Refresh, "Pause before the same alarm is repeated."),
    row("alarm.<alarmid>.msgalarmwarninginterval", Int(1, MAX), "168", "hours", Refresh, "Pause before an alarm is repeated, where the alarm sets none of its own."),
    row("alarm.<alarmid>.msgalarmstatinterval", Int(0, MAX), "3600", "seconds", Refresh, "Time between two checks, where the alarm sets none of its own; 0 switches the check off."),
    row("alarm.<alarmid>.msgalarmthresholddirection", Choice(&["-1", "1"]), "1", "", Refresh, "Side of the threshold that is alarming, where the alarm sets none of its own."),
    row("alarm.msgalarmnoticehost", Text, "localhost", "", Refresh, "Mail server the alarm message is handed to."),
    row("alarm.msgalarmnoticeport", Port, "25", "", Refresh, "Port of the mail server the alarm message is handed to."),
    row("alarm.msgalarmnoticercpt", Text, "Postmaster@localhost", "", Refresh, "Receiver of alarms."),
    row("alarm.msgalarmnoticesender", Text, "Postmaster@localhost", "", Refresh, "Sender address of alarms."),
    row("alarm.msgalarmnoticetemplate", Text, "", "", Refresh, "Template of the alarm message; %s: sender, recipient, description, instance, value, summary."),
];
