//! Every configuration parameter that is said to work does: changed by configutil, the difference is seen. [`TESTED`] names the test of each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use msgstore::config::catalogue;
use msgstore::config::works::{Status, WORKS, status};

use crate::bad_input::send_anyway;
use crate::defence;
use crate::expire::tool as expire;
use crate::imap::{Client, PATIENCE, acl, immediate, shared};
use crate::imsched;
use crate::instance::imapd::Imapd;
use crate::instance::popd::{self, Popd};
use crate::instance::{Instance, wait_until};
use crate::ldap;
use crate::lmtpd;
use crate::pop;
use crate::quota;
use crate::readership;
use crate::tls;
use crate::watch;
use crate::watcher;

/// A parameter and the test, here or in `tls`, `ldap`, `defence`, `expire`, `pop`, `lmtpd`, `imsched`, `imap::acl` or `imap::immediate`, that changes it.
#[rustfmt::skip]
const TESTED: &[(&str, fn())] = &[
    ("encryption.nscertfile", tls::a_certificate_is_changed_under_running_sessions),
    ("encryption.nskeyfile", tls::a_certificate_is_changed_under_running_sessions),
    ("local.defdomain", domains_of_logins),
    ("local.hostname", the_greeting_and_what_may_be_said),
    ("local.imap.immediateflagupdate", immediate::both),
    ("local.ldapconnecttimeout", ldap::parameters::how_long_is_waited),
    ("local.ldappoolrefreshinterval", ldap::parameters::how_long_is_waited),
    ("local.ldapsearchtimeout", ldap::parameters::how_long_is_waited),
    ("local.ldaptrace", ldap::parameters::what_is_kept),
    ("local.sched.enable", imsched::the_scheduler_is_started_with_the_services),
    ("local.schedule.<taskname>", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.<taskname>.enable", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.expire", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.msprobe", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.mspurge", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.purge", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.return_job", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.snapshot", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.schedule.snapshotverify", imsched::each_job_has_its_schedule_and_its_switch),
    ("local.servergid", the_account_of_the_services),
    ("local.serveruid", the_account_of_the_services),
    ("local.store.expire.cleanonly", expire::a_scheduled_run_may_be_bound_to_the_purge),
    ("local.store.expire.loglevel", expire::how_much_is_told),
    ("local.store.expire.maxpercent", expire::a_bound_stops_before_anything_goes),
    ("local.store.overquotastatus", quota::status::the_status_overquota_comes_and_goes_with_the_usage),
    ("local.store.quotaoverdraft", quota::the_default_quota_and_the_overdraft_are_the_configuration_s),
    ("local.store.shards", shards_of_a_new_store),
    ("local.store.snapshotdirs", snapshots_of_the_database),
    ("local.store.snapshotinterval", snapshots_of_the_database),
    ("local.store.snapshotpath", snapshots_of_the_database),
    ("local.ugldapbasedn", ldap::parameters::who_is_asked_and_as_whom),
    ("local.ugldapbindcred", ldap::parameters::who_is_asked_and_as_whom),
    ("local.ugldapbinddn", ldap::parameters::who_is_asked_and_as_whom),
    ("local.ugldapcafile", ldap::parameters::how_it_is_encrypted),
    ("local.ugldaphost", ldap::parameters::who_is_asked_and_as_whom),
    ("local.ugldapport", ldap::parameters::who_is_asked_and_as_whom),
    ("local.ugldapstarttls", ldap::parameters::how_it_is_encrypted),
    ("local.ugldapusessl", ldap::parameters::how_it_is_encrypted),
    ("logfile.<service>.expirytime", files_of_a_log),
    ("logfile.<service>.logdir", files_of_a_log),
    ("logfile.<service>.loglevel", files_of_a_log),
    ("logfile.<service>.maxlogfiles", files_of_a_log),
    ("logfile.<service>.maxlogfilesize", files_of_a_log),
    ("logfile.<service>.maxlogsize", files_of_a_log),
    ("logfile.<service>.minfreediskspace", files_of_a_log),
    ("logfile.<service>.rollovertime", files_of_a_log),
    ("nsserversecurity", tls::tls_can_be_switched_off_and_cannot_be_had_without_a_certificate),
    ("service.authcachesize", passwords_that_were_right_are_remembered),
    ("service.authcachettl", passwords_that_were_right_are_remembered),
    ("service.authfailpause", pauses_and_limits_of_time),
    ("service.dcroot", ldap::parameters::domains_and_administrators),
    ("service.defaultdomain", domains_of_logins),
    ("service.loginseparator", separators_of_logins),
    ("service.imap.banner", the_greeting_and_what_may_be_said),
    ("service.imap.capability.<name>", the_greeting_and_what_may_be_said),
    ("service.imap.domainallowed", defence::access_filters),
    ("service.imap.domainnotallowed", defence::access_filters),
    ("service.imap.enable", where_imap_listens),
    ("service.imap.enablesslport", tls::a_whole_session_on_the_port_with_tls),
    ("service.imap.idletimeout", pauses_and_limits_of_time),
    ("service.imap.maxcommandrate", defence::a_rate_of_commands),
    ("service.imap.maxsessions", how_many_at_once),
    ("service.imap.maxsessionsperaddress", defence::connections_of_one_address),
    ("service.imap.maxthreads", how_many_at_once),
    ("service.imap.maxunauthenticatedperaddress", defence::connections_of_one_address),
    ("service.imap.plaintextmincipher", the_greeting_and_what_may_be_said),
    ("service.imap.port", where_imap_listens),
    ("service.imap.requiretls", passwords_from_other_hosts),
    ("service.imap.sslport", tls::a_whole_session_on_the_port_with_tls),
    ("service.imap.sslusessl", tls::tls_can_be_switched_off_and_cannot_be_had_without_a_certificate),
    ("service.ldapmemcache", ldap::parameters::what_is_kept),
    ("service.ldapmemcachesize", ldap::parameters::what_is_kept),
    ("service.ldapmemcachettl", ldap::parameters::what_is_kept),
    ("service.ldappoolsize", ldap::parameters::what_is_kept),
    ("service.listenaddr", where_imap_listens),
    ("service.lmtp.domainallowed", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.domainnotallowed", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.enable", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.idletimeout", lmtpd::who_is_silent_is_sent_away_and_so_is_everybody_at_the_end),
    ("service.lmtp.listenaddr", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.maxmessagesize", lmtpd::bounds_hold_and_are_read_again),
    ("service.lmtp.maxrecipients", lmtpd::bounds_hold_and_are_read_again),
    ("service.lmtp.maxsessions", lmtpd::bounds_hold_and_are_read_again),
    ("service.lmtp.maxthreads", lmtpd::everything_in_one_piece_is_answered_in_order),
    ("service.lmtp.overquotasocket", quota::telephony_mail_comes_by_a_socket_of_its_own),
    ("service.lmtp.port", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.socket", lmtpd::the_door_is_shut_until_somebody_opens_it),
    ("service.lmtp.socketgroup", lmtpd::the_socket_has_its_group_and_its_mode),
    ("service.lmtp.socketmode", lmtpd::the_socket_has_its_group_and_its_mode),
    ("service.lmtp.maxsessionsperaddress", lmtpd::xclient::a_trusted_mail_system_names_its_client),
    ("service.lmtp.xclientnetworks", lmtpd::xclient::a_trusted_mail_system_names_its_client),
    ("alarm.diskavail.msgalarmdescription", watch::what_is_set_about_alarms_counts),
    ("alarm.diskavail.msgalarmstatinterval", watch::what_is_set_about_alarms_counts),
    ("alarm.diskavail.msgalarmthreshold", watch::what_is_set_about_alarms_counts),
    ("alarm.diskavail.msgalarmthresholddirection", watch::what_is_set_about_alarms_counts),
    ("alarm.diskavail.msgalarmwarninginterval", watch::what_is_set_about_alarms_counts),
    ("alarm.serverresponse.msgalarmdescription", watch::what_is_set_about_alarms_counts),
    ("alarm.serverresponse.msgalarmstatinterval", watch::a_disk_that_fills_alarms_then_locks_its_partition),
    ("alarm.serverresponse.msgalarmthreshold", watch::what_is_set_about_alarms_counts),
    ("alarm.serverresponse.msgalarmthresholddirection", watch::what_is_set_about_alarms_counts),
    ("alarm.serverresponse.msgalarmwarninginterval", watch::what_is_set_about_alarms_counts),
    ("alarm.msgalarmnoticehost", watch::a_disk_that_fills_alarms_then_locks_its_partition),
    ("alarm.msgalarmnoticeport", watch::a_server_that_does_not_answer_alarms),
    ("alarm.msgalarmnoticercpt", watch::a_server_that_does_not_answer_alarms),
    ("alarm.msgalarmnoticesender", watch::a_server_that_does_not_answer_alarms),
    ("alarm.msgalarmnoticetemplate", watch::what_is_set_about_alarms_counts),
    ("local.store.checkdiskusage", watch::a_disk_that_fills_alarms_then_locks_its_partition),
    ("local.store.diskusagethreshold", watch::what_is_set_about_alarms_counts),
    ("local.metrics.socket", watch::what_is_set_about_alarms_counts),
    ("local.metrics.port", watch::prometheus_reads_the_same),
    ("local.delivery.duplicatewindow", lmtpd::duplicates::a_message_that_comes_again_is_dropped_where_that_is_wanted),
    ("local.delivery.maxdeliveredto", lmtpd::duplicates::a_message_that_goes_round_is_given_up),
    ("local.delivery.maxreceived", lmtpd::duplicates::a_message_that_goes_round_is_given_up),
    ("service.lmtp.sslusessl", lmtpd::starttls_begins_anew_and_what_came_in_the_clear_behind_it_does_not_count),
    ("service.plaintextloginpause", pauses_and_limits_of_time),
    ("service.pop.banner", pop::the_greeting_and_what_may_be_said),
    ("service.pop.domainallowed", pop::who_may_connect),
    ("service.pop.domainnotallowed", pop::who_may_connect),
    ("service.pop.enable", pop::where_pop_listens),
    ("service.pop.enablesslport", pop::the_port_with_tls),
    ("service.pop.expiretime", pop::the_greeting_and_what_may_be_said),
    ("service.pop.idletimeout", pop::how_long_a_client_may_be_silent),
    ("service.pop.maxcommandrate", pop::a_rate_of_commands),
    ("service.pop.maxsessions", pop::how_many_at_once),
    ("service.pop.maxsessionsperaddress", pop::who_may_connect),
    ("service.pop.maxthreads", pop::how_many_at_once),
    ("service.pop.maxunauthenticatedperaddress", pop::who_may_connect),
    ("service.pop.plaintextmincipher", pop::the_greeting_and_what_may_be_said),
    ("service.pop.popminpoll", pop::how_often_a_user_may_come),
    ("service.pop.port", pop::where_pop_listens),
    ("service.pop.requiretls", pop::passwords_from_other_hosts),
    ("service.pop.sslport", pop::the_port_with_tls),
    ("service.pop.sslusessl", pop::the_greeting_and_what_may_be_said),
    ("service.proxyprotocol.networks", defence::a_proxy_names_the_client),
    ("local.autorestart", watcher::what_dies_is_started_again_until_it_dies_too_often),
    ("local.autorestart.timeout", watcher::what_dies_is_started_again_until_it_dies_too_often),
    ("local.watcher.enable", watcher::without_it_nothing_is_watched),
    ("store.admins", the_greeting_and_what_may_be_said),
    ("store.cleanupage", expire::purge_takes_what_is_old_enough),
    ("store.defaultmailboxquota", quota::the_default_quota_and_the_overdraft_are_the_configuration_s),
    ("store.defaultmessagequota", quota::the_default_quota_and_the_overdraft_are_the_configuration_s),
    ("store.defaultpartition", partitions_of_new_mailboxes),
    ("store.expirerule.<rulename>.<attribute>", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.<headername>", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.action", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.deleted", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.exclusive", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.folderpattern", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.foldersize", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.foldersizebytes", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.match", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.messagecount", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.messagedays", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.messagesize", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.messagesizedays", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.regexp", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.savedays", expire::every_attribute_can_be_a_setting),
    ("store.expirerule.<rulename>.seen", expire::every_attribute_can_be_a_setting),
    ("store.expirestart", imsched::the_old_hour_of_the_expiry_counts),
    ("store.overquotastatus", quota::status::the_status_overquota_comes_and_goes_with_the_usage),
    ("store.partition.<nickname>.path", partitions_of_new_mailboxes),
    ("store.partition.primary.path", partitions_of_new_mailboxes),
    ("store.privatesharedfolders.restrictanyone", acl::only_administrators_give_rights_to_everybody_where_that_is_restricted),
    ("store.publicsharedfolders.user", readership::readers_are_those_who_selected_a_folder_of_somebody_else),
    ("local.store.sharedfolders", shared::listing_can_be_switched_off),
    ("store.quotaenforcement", quota::mail_waits_for_the_grace_period_and_goes_back_after_it),
    ("store.quotaexceededmsg", quota::owners_are_warned_in_their_language_once_in_an_interval),
    ("store.quotaexceededmsginterval", quota::owners_are_warned_in_their_language_once_in_an_interval),
    ("store.quotagraceperiod", quota::mail_waits_for_the_grace_period_and_goes_back_after_it),
    ("store.quotanotification", quota::owners_are_warned_in_their_language_once_in_an_interval),
    ("store.quotawarn", quota::imap_alerts_at_each_select_from_the_threshold_on),
    ("store.serviceadmingroupdn", ldap::parameters::domains_and_administrators),
];

#[test]
fn every_working_parameter_has_a_test_here() {
    let mut works: Vec<&str> = WORKS.iter().map(|(name, _)| *name).collect();
    works.sort_unstable();
    let mut tested: Vec<&str> = TESTED.iter().map(|(name, _)| *name).collect();
    tested.sort_unstable();
    assert_eq!(works, tested, "a parameter that works needs a row in TESTED of tests/parameters.rs, and a test");
    // The name, or a member of the family, is used below the table.
    let source = include_str!("parameters.rs");
    let tests = source.split_once("\n];\n").unwrap().1.to_owned()
        + include_str!("tls.rs")
        + include_str!("defence.rs")
        + include_str!("imap/acl.rs")
        + include_str!("imap/immediate.rs")
        + include_str!("imap/shared.rs")
        + include_str!("readership.rs")
        + include_str!("expire/tool.rs")
        + include_str!("ldap/parameters.rs")
        + include_str!("pop/parameters.rs")
        + include_str!("lmtpd/mod.rs")
        + include_str!("lmtpd/duplicates.rs")
        + include_str!("lmtpd/xclient.rs")
        + include_str!("imsched/mod.rs")
        + include_str!("quota/mod.rs")
        + include_str!("watcher.rs")
        + include_str!("quota/status.rs")
        + include_str!("watch.rs");
    for (name, _) in TESTED {
        let member = ["<nickname>", "<service>", "<taskname>", "<rulename>", "<attribute>", "<headername>"]
            .into_iter()
            .fold(regex::escape(name), |name, part| name.replace(part, "[A-Za-z]+"));
        let member = regex::Regex::new(&format!("\"{}\"", member.replace("<name>", "[a-z]+"))).unwrap();
        assert!(member.is_match(&tests), "no test changes {name}");
    }
}

/// Changes a setting as an administrator does; it is one that works, so nothing is said.
#[track_caller]
fn set(it: &Instance, name: &str, value: &str) {
    assert_eq!(it.run("configutil", &["-o", name, "-v", value]).ok(), "", "{name}");
}

#[track_caller]
fn unset(it: &Instance, name: &str) {
    it.run("configutil", &["-o", name, "-d"]).ok();
}

/// Two addresses of the loopback network that are this process's own: nobody else listens there, and no connection begins there. With them two
/// ports that the system gives to nobody by itself and on which nobody listens who listens on every address.
pub fn own_places() -> ([String; 2], [u16; 2]) {
    let pid = std::process::id().to_be_bytes();
    let hosts = [64, 160].map(|first| format!("127.{}.{}.{}", first + pid[1] % 64, pid[2], 1 + pid[3] % 254));
    let mut free = (20_000..30_000).filter(|port| std::net::TcpStream::connect((hosts[0].as_str(), *port)).is_err());
    let ports = [(); 2].map(|()| free.next().unwrap());
    (hosts, ports)
}

#[test]
fn where_imap_listens() {
    let it = Instance::new();
    let reached = |address: (&str, u16)| std::net::TcpStream::connect(address).is_ok();
    let ([here, there], [one, two]) = own_places();
    set(&it, "service.listenaddr", &here);
    for (port, other) in [(one, two), (two, one)] {
        set(&it, "service.imap.port", &port.to_string());
        let imapd = Imapd::start(&it);
        assert_eq!(imapd.port, port);
        assert!(reached((&here, port)) && !reached((&here, other)));
        imapd.stop();
    }
    set(&it, "service.imap.port", "0");
    for (host, other) in [(&here, &there), (&there, &here)] {
        set(&it, "service.listenaddr", host);
        let imapd = Imapd::start(&it);
        assert!(reached((host, imapd.port)) && !reached((other, imapd.port)));
        imapd.stop();
    }
    set(&it, "service.imap.enable", "no");
    set(&it, "service.pop.enable", "no");
    let (_, err) = it.run("start-msg", &["imap"]).ended(78);
    assert!(err.contains("imap is not enabled") && err.contains("service.imap.enable"), "{err}");
    let (out, _) = it.run("start-msg", &[]).ended(0);
    assert!(!out.contains("imap"), "{out}");
    set(&it, "service.imap.enable", "yes");
    let (out, _) = it.run("start-msg", &["imap"]).ended(0);
    assert!(out.contains("Starting imap server"), "{out}");
    it.run("stop-msg", &["imap"]).ended(0);
}

#[test]
fn the_greeting_and_what_may_be_said() {
    let it = Instance::new();
    for user in ["joe", "postmaster"] {
        it.user(user);
    }
    let imapd = Imapd::start(&it);
    let refresh = |greeting: &str| {
        assert_eq!(it.run("refresh", &["imap"]).code, 0);
        wait_until(greeting, || imapd.dial().line() == greeting);
    };
    set(&it, "local.hostname", "mail7.example.org");
    set(&it, "service.imap.banner", "%h speaks %p");
    refresh("* OK mail7.example.org speaks IMAP4");
    set(&it, "service.imap.banner", "one");
    set(&it, "service.imap.capability.idle", "no");
    refresh("* OK one");
    let capability = |client: &mut Client| client.ask("capability").remove(0);
    let mut client = imapd.connect();
    let words = capability(&mut client);
    assert!(!words.contains(" IDLE") && words.contains(" MOVE") && words.contains("AUTH=PLAIN"), "{words}");
    // Who may act for joe?
    let proxy = base64::engine::general_purpose::STANDARD.encode("joe\0postmaster\0secret");
    let refused = client.ask(&format!("authenticate plain {proxy}")).remove(0);
    assert!(refused.starts_with("NO "), "{refused}");
    set(&it, "service.imap.banner", "two");
    set(&it, "service.imap.capability.idle", "yes");
    set(&it, "service.imap.plaintextmincipher", "-1");
    set(&it, "store.admins", "someone postmaster");
    refresh("* OK two");
    let mut client = imapd.connect();
    let words = capability(&mut client);
    assert!(words.contains(" IDLE") && words.contains("LOGINDISABLED"), "{words}");
    assert_eq!(client.ask("login joe secret"), ["NO [PRIVACYREQUIRED] Login in the clear is disabled"]);
    set(&it, "service.imap.banner", "three");
    set(&it, "service.imap.plaintextmincipher", "0");
    refresh("* OK three");
    let mut client = imapd.connect();
    assert_eq!(client.ask(&format!("authenticate plain {proxy}")), ["OK User logged in"]);
    assert!(client.append("INBOX", "", "Subject: x\r\n\r\n").starts_with("OK "));
    assert_eq!(it.uids("user/joe/INBOX"), [1]);
}

#[test]
fn how_many_at_once() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    let text = "Subject: x\r\n\r\nbody\r\n";
    assert_eq!(it.append("user/joe/INBOX", text, msgstore::store::Flags::SEEN), 1);
    it.settle();
    let file = it.directory_of("user/joe/INBOX").join("00/1.msg");
    let kept = it.base().join("kept");
    for (threads, answered) in [("1", false), ("2", true)] {
        set(&it, "service.imap.maxsessions", if answered { "3" } else { "2" });
        set(&it, "service.imap.maxthreads", threads);
        let imapd = Imapd::start(&it);
        let (mut joe, mut ann) = (imapd.login("joe"), imapd.login("ann"));
        let third = imapd.dial().line();
        assert_eq!(third.starts_with("* OK"), answered, "{third}");
        joe.ask("select INBOX");
        // A message that is a pipe keeps a thread busy until somebody opens the other end; is there another thread?
        fs::rename(&file, &kept).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        joe.send("f fetch 1 body.peek[text]\r\n");
        std::thread::sleep(Duration::from_millis(200));
        // The one thread may not have come to the pipe yet: then it is asked again.
        let patience = if answered { PATIENCE } else { Duration::from_millis(700) };
        ann.stream.set_read_timeout(Some(patience)).unwrap();
        let mut unanswered = false;
        wait_until(&format!("{threads} threads"), || {
            ann.send("s status INBOX (messages)\r\n");
            let status = ann.line_in_time();
            unanswered = status.starts_with("(nothing");
            assert!(unanswered || status == "* STATUS \"INBOX\" (MESSAGES 0)", "{status}");
            if !unanswered {
                assert_eq!(ann.until("s"), ["OK Completed"]);
            }
            unanswered != answered
        });
        wait_until("nobody reads the pipe", || {
            fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&file).is_ok()
        });
        joe.until("f");
        fs::rename(&kept, &file).unwrap();
        assert_eq!(joe.ask("fetch 1 body.peek[text]")[1], "body");
        imapd.stop();
    }
}

#[test]
fn pauses_and_limits_of_time() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let took = |imapd: &Imapd, password: &str| {
        let mut client = imapd.connect();
        let begun = Instant::now();
        let answer = client.ask(&format!("login joe {password}"));
        assert_eq!(answer[0].starts_with("OK"), password == "secret");
        begun.elapsed()
    };
    // The pause that does not concern a login is so long that its answer would not be waited for.
    for (failed, good, password) in [("1", "600", "wrong"), ("600", "1", "secret")] {
        set(&it, "service.authfailpause", failed);
        set(&it, "service.plaintextloginpause", good);
        let imapd = Imapd::start(&it);
        let pause = took(&imapd, password);
        assert!(pause >= Duration::from_secs(1), "{password}: {pause:?}");
        imapd.stop();
    }
    // Minutes of a hundredth of a second each: a third of a second is over long before five minutes are.
    set(&it, "service.plaintextloginpause", "0");
    set(&it, "service.imap.idletimeout", "30");
    let short = Imapd::start_with(&it, &[("MINUTE_MS", "10")]);
    let (mut client, begun) = quick_login(&short);
    assert_eq!(client.line(), "* BYE Autologout; idle for too long");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    short.stop();
    set(&it, "service.imap.idletimeout", "30000");
    let long = Imapd::start_with(&it, &[("MINUTE_MS", "10")]);
    let (mut client, _) = quick_login(&long);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(client.ask("noop"), ["OK Completed"]);
    long.stop();
}

#[test]
fn passwords_that_were_right_are_remembered() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    // Argon2 takes 19 MiB: whether it was computed shows in the most memory that the process had since the last look.
    for (lifetime, size, remembered) in [("900", "10", true), ("900", "1", false), ("0", "10", false)] {
        set(&it, "service.authcachettl", lifetime);
        set(&it, "service.authcachesize", size);
        let imapd = Imapd::start(&it);
        let cost = |user: &str| {
            let mut peak =
                fs::OpenOptions::new().write(true).open(format!("/proc/{}/clear_refs", imapd.pid())).unwrap();
            peak.write_all(b"5").unwrap();
            let before = imapd.peak_mb();
            drop(imapd.login(user));
            imapd.peak_mb() - before
        };
        assert!(cost("joe") >= 15);
        assert!(cost("ann") >= 15);
        assert_eq!(cost("joe") < 15, remembered, "{lifetime} seconds, {size} entries");
    }
}

/// Logs in where a login is due within a hundredth of a second: not every one is as fast. The moment is one before the idle time began.
fn quick_login(imapd: &Imapd) -> (Client, Instant) {
    let first = Instant::now();
    loop {
        assert!(first.elapsed() < PATIENCE, "no login is fast enough");
        let mut client = imapd.dial();
        let begun = Instant::now();
        send_anyway(&client.stream, b"l login joe secret\r\n");
        let lines = [client.line_in_time(), client.line_in_time()];
        if lines[1] == "l OK User logged in" {
            return (client, begun);
        }
    }
}

/// Runs in a network of its own, where 192.0.2.1 is this host and is not the loopback address. `None`: not possible here.
pub fn other_network(it: &Instance, script: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        // The services insist on the account that the instance was made for.
        command.args(["--map-current-user", "--keep-caps"]);
    }
    let setup = "set -e; ip link set lo up; ip addr add 192.0.2.1/32 dev lo; echo ready; ";
    command.args(["-n", "bash", "-c", &format!("{setup}{script}")]);
    command.env("CONFIGROOT", it.base().join("config")).env("MSGSTORE", env!("CARGO_BIN_EXE_msgstore"));
    command.env("PORTFILE", it.base().join("data/proc/imap.port"));
    let done = command.stdin(Stdio::null()).output().ok()?;
    let out = String::from_utf8(done.stdout).unwrap();
    let out = out.strip_prefix("ready\n").map(str::to_owned);
    if out.is_none() {
        assert!(
            std::env::var("CI").is_err() || !crate::instance::has_rights_over_the_system(),
            "no network of its own: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        eprintln!("SKIPPED: a network of its own cannot be made here (this test wants root, unshare and ip)");
    }
    out
}

#[test]
fn passwords_from_other_hosts() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    set(&it, "service.imap.port", "0");
    let script = r#"
        rm -f "$PORTFILE"
        "$MSGSTORE" imapd & pid=$!
        trap 'kill $pid 2>/dev/null || true' EXIT
        until [ -s "$PORTFILE" ]; do kill -0 $pid; sleep 0.01; done
        for host in 127.0.0.1 192.0.2.1; do
            exec 3<>/dev/tcp/$host/$(cat "$PORTFILE")
            # By a password, and by SCRAM, which does not send one; the first message of that is none.
            printf 's authenticate scram-sha-256 eA==\r\na login joe secret\r\nb logout\r\n' >&3
            grep -a '^[as] ' <&3
            exec 3>&-
        done
        kill $pid; wait $pid; trap - EXIT"#;
    let ok = "s BAD Invalid response\r\na OK User logged in\r\n";
    let no = "NO [PRIVACYREQUIRED] Login in the clear is disabled\r\n";
    let refused = format!("s {no}a {no}");
    for (value, other) in [("yes", refused.as_str()), ("no", ok)] {
        set(&it, "service.imap.requiretls", value);
        let Some(out) = other_network(&it, script) else { return };
        assert_eq!(out, format!("{ok}{other}"), "service.imap.requiretls {value}");
    }
}

#[test]
fn domains_of_logins() {
    let it = Instance::new();
    for user in ["joe", "ann@siroe.com"] {
        it.user(user);
    }
    let login = |imapd: &Imapd, user: &str| imapd.connect().ask(&format!("login {user} secret")).remove(0);
    let (ok, no) = ("OK User logged in", "NO [AUTHENTICATIONFAILED] Login failed: authentication failure");
    let check = |expected: [&str; 4]| {
        let imapd = Imapd::start(&it);
        let found = ["joe", "joe@example.org", "ann", "ann@siroe.com"].map(|user| login(&imapd, user));
        imapd.stop();
        assert_eq!(found, expected);
    };
    check([ok, ok, no, ok]);
    set(&it, "service.defaultdomain", "siroe.com");
    check([no, ok, ok, ok]);
    unset(&it, "service.defaultdomain");
    // The plain userids move to another domain.
    set(&it, "local.defdomain", "siroe.com");
    check([no, ok, ok, ok]);
    it.user("bob");
    assert!(it.run("user", &["show", "bob"]).ok().contains("bob@siroe.com"));
}

#[test]
fn separators_of_logins() {
    let it = Instance::new();
    for user in ["joe", "ann@siroe.com"] {
        it.user(user);
    }
    let (ok, no) = ("OK User logged in", "NO [AUTHENTICATIONFAILED] Login failed: authentication failure");
    let check = |separators: &str, expected: [&str; 6]| {
        set(&it, "service.loginseparator", separators);
        let imapd = Imapd::start(&it);
        let names = ["joe", "joe+example.org", "ann+siroe.com", "ann/siroe.com", "ann@siroe.com", "ann+x@siroe.com"];
        let login = |user: &str| imapd.connect().ask(&format!("login {user} secret")).remove(0);
        assert_eq!(names.map(login), expected, "{separators}");
        imapd.stop();
    };
    check("@", [ok, no, no, no, ok, no]);
    check("+", [ok, ok, ok, no, ok, no]);
    check("/+@", [ok, ok, ok, ok, ok, no]);
    // A name with a separator needs no domain; POP and SASL read names in the same way.
    set(&it, "service.defaultdomain", "siroe.com");
    check("/+", [no, ok, ok, ok, ok, no]);
    let popd = Popd::start(&it);
    let mut pop = popd.connect();
    popd::say(&mut pop, "USER ann/siroe.com");
    assert!(popd::say(&mut pop, "PASS secret").starts_with("+OK"));
}

#[test]
fn partitions_of_new_mailboxes() {
    let mut it = Instance::new();
    it.user("old");
    it.append("user/old/INBOX", "Subject: x\r\n\r\n", msgstore::store::Flags::NONE);
    it.stop();
    // A partition moves with all that it holds, another one is added.
    fs::create_dir(it.base().join("volumes")).unwrap();
    fs::rename(it.base().join("data/store/partition/primary"), it.base().join("volumes/one")).unwrap();
    set(&it, "store.partition.primary.path", "msg_svr_base/volumes/one");
    set(&it, "store.partition.third.path", it.base().join("volumes/three").to_str().unwrap());
    it.run("configure", &["--base", it.base().to_str().unwrap(), "--domain", "example.org"]).ended(0);
    it.start();
    assert!(it.directory_of("user/old/INBOX").starts_with(it.base().join("volumes/one")));
    let mut made = |user: &str, partition: &str, place: &str| {
        set(&it, "store.defaultpartition", partition);
        it.stop();
        it.start();
        it.user(user);
        it.append(&format!("user/{user}/INBOX"), "Subject: x\r\n\r\n", msgstore::store::Flags::NONE);
        let dir = it.directory_of(&format!("user/{user}/INBOX"));
        assert!(dir.starts_with(it.base().join(place)), "{}", dir.display());
    };
    made("ann", "primary", "volumes/one");
    made("bob", "third", "volumes/three");
    made("cid", "second", "disk2");
    let (_, err) = it.run("configutil", &["-o", "store.defaultpartition", "-v", "nowhere"]).ended(0);
    assert!(err.contains("store.partition.nowhere.path is not set"), "{err}");
    set(&it, "store.defaultpartition", "primary");
}

#[test]
fn shards_of_a_new_store() {
    for count in ["1", "3"] {
        let it = Instance::with(&[("local.store.shards", count)]);
        it.accounts(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        let names = fs::read_dir(it.base().join("data/store/mboxlist")).unwrap();
        let shards = names.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("shard")).count();
        assert_eq!(shards.to_string(), count);
        // Too late for this one.
        let (_, err) = it.run("configutil", &["-o", "local.store.shards", "-v", "7"]).ended(0);
        assert!(err.contains("counts only when a store is created"), "{err}");
    }
}

#[test]
fn snapshots_of_the_database() {
    let settings = [
        ("local.store.snapshotpath", "copies"),
        ("local.store.snapshotinterval", "46080"),
        ("local.store.snapshotdirs", "2"),
    ];
    let mut it = Instance::stopped(&settings);
    it.start();
    let root = it.base().join("data/store/copies");
    let taken = || msgstore::store::snapshots(&root).iter().map(|one| one.taken_s).collect::<Vec<_>>();
    let until = |done: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while !done() {
            assert!(begun.elapsed() < crate::imap::PATIENCE, "{:?}", taken());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    until(&|| taken().len() == 1);
    it.stop();
    let now_s = taken()[0];
    // One of ten minutes ago is young for the longest interval, and old for the shortest.
    let store = it.store();
    fs::remove_dir_all(&root).unwrap();
    for ago_s in [1200, 600] {
        store.take_snapshot(&root, 2, now_s - ago_s).unwrap();
    }
    drop(store);
    fs::remove_file(it.base().join("config/stored.ckp")).unwrap();
    it.start();
    until(&|| it.base().join("config/stored.ckp").exists());
    it.stop();
    assert_eq!(taken(), [now_s - 600, now_s - 1200]);
    set(&it, "local.store.snapshotinterval", "1");
    it.start();
    until(&|| taken().len() == 2 && taken()[1] == now_s - 600);
}

#[test]
fn the_account_of_the_services() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can change the account of the services");
        return;
    }
    let ids = |name: &str| nix::unistd::User::from_name(name).unwrap().unwrap().uid.to_string();
    let group = |name: &str| nix::unistd::Group::from_name(name).unwrap().unwrap().gid.to_string();
    let it = Instance::stopped(&[]);
    let open = |mode| fs::set_permissions(it.base(), fs::Permissions::from_mode(mode)).unwrap();
    open(0o711);
    for (user, its_group) in [("nobody", "daemon"), ("daemon", "mail")] {
        let all = format!("{user}:{its_group}");
        for dir in ["config", "data", "disk2"] {
            assert!(Command::new("chown").args(["-R", &all]).arg(it.base().join(dir)).status().unwrap().success());
        }
        set(&it, "local.serveruid", user);
        set(&it, "local.servergid", its_group);
        let imapd = Imapd::start(&it);
        let (uid, gid) = (ids(user), group(its_group));
        assert_eq!(imapd.status("Uid"), [uid.as_str(); 4].join("\t"));
        assert_eq!(imapd.status("Gid"), [gid.as_str(); 4].join("\t"));
        // The first line is written when the service is ready, which is told before.
        let path = it.base().join("data/log/imap");
        wait_until("no log", || path.exists());
        let log = fs::metadata(&path).unwrap();
        assert_eq!(log.uid().to_string(), uid);
        imapd.stop();
    }
}

/// The lines of all files of the log of imapd, and the number of its files.
fn log_of(it: &Instance, place: &str) -> (String, usize) {
    let mut names: Vec<String> = fs::read_dir(it.base().join(place))
        .map(|dir| dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.retain(|name| name == "imap" || name.starts_with("imap.") && !name.ends_with(".stderr"));
    let text = names.iter().map(|name| fs::read_to_string(it.base().join(place).join(name)).unwrap()).collect();
    (text, names.len())
}

#[test]
fn files_of_a_log() {
    let it = Instance::new();
    set(&it, "service.authfailpause", "0");
    let mut round = 0;
    // A fresh log with these settings, after some failed logins.
    let mut logged = |settings: &[(&str, &str)], logins: usize, pause: Duration| {
        round += 1;
        let place = format!("logs/{round}");
        set(&it, "logfile.imap.logdir", &place);
        for (name, value) in settings {
            set(&it, name, value);
        }
        let imapd = Imapd::start(&it);
        for number in 0..logins {
            let mut client = imapd.connect();
            // Nobody's password costs time; a long name makes a long line.
            client.ask(&format!("login nobody-{number}-{} x", "y".repeat(300)));
            std::thread::sleep(pause);
        }
        imapd.stop();
        for (name, _) in settings {
            unset(&it, name);
        }
        log_of(&it, &place)
    };
    let none = Duration::ZERO;
    let (usual, files) = logged(&[], 1, none);
    assert!(usual.contains("Account Notice: badlogin:") && usual.contains("imapd is ready"), "{usual}");
    assert_eq!(files, 1);
    let (quiet, _) = logged(&[("logfile.imap.loglevel", "Error")], 1, none);
    assert!(!quiet.contains("badlogin"), "{quiet}");
    assert_eq!(log_of(&it, "data/log").0, "", "the directory is another one");
    let size = ("logfile.imap.maxlogfilesize", "1000");
    let (_, files) = logged(&[size], 10, none);
    assert!((5..=10).contains(&files), "{files}");
    let (_, files) = logged(&[size, ("logfile.imap.maxlogfiles", "3")], 10, none);
    assert_eq!(files, 3);
    let (text, files) = logged(&[size, ("logfile.imap.maxlogsize", "3000")], 10, none);
    assert!(files < 5 && text.len() <= 3000, "{files} files, {} bytes", text.len());
    let (_, files) = logged(&[size, ("logfile.imap.minfreediskspace", "1000000G")], 10, none);
    assert_eq!(files, 1, "rotated files go at once");
    let second = Duration::from_millis(1100);
    let (_, files) = logged(&[("logfile.imap.rollovertime", "1")], 2, second);
    assert!(files >= 3, "{files}");
    let (_, files) = logged(&[("logfile.imap.rollovertime", "1"), ("logfile.imap.expirytime", "1")], 3, second);
    assert!(files <= 2, "{files}");
}

#[test]
fn what_changes_nothing_says_so() {
    let it = Instance::stopped(&[]);
    // One of each reason, and a member of a family that works for others.
    for (name, value) in [("service.http.port", "1080"), ("store.umask", "077"), ("logfile.http.loglevel", "Debug")] {
        let Some(row) = catalogue::find(name) else { panic!("{name}") };
        if status(row) == Status::Works && !name.starts_with("logfile.") {
            continue; // it works by now
        }
        let (out, err) = it.run("configutil", &["-o", name, "-v", value]).ended(0);
        assert_eq!(out, "");
        assert!(err.contains(name) && err.contains("has no effect in this release: "), "{err}");
        let (out, _) = it.run("configutil", &["-H", "-o", name]).ended(0);
        assert!(out.contains("no effect in this release: "), "{out}");
        let (out, _) = it.run("configutil", &["-V"]).ended(0);
        assert!(out.lines().any(|line| line.contains(name) && line.contains("has no effect")), "{out}");
    }
    let (out, _) = it.run("configutil", &["-H", "-o", "service.imap.port"]).ended(0);
    assert!(out.contains("works in this release"), "{out}");
}
