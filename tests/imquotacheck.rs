//! imquotacheck, iminitquota and reconstruct -q, through the binary, on a running store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::instance::{ARRIVED_S, Instance, Ran};
use msgstore::directory::edit;
use msgstore::store::{Flags, Limits, Uid, Usage};
use serde_json::{Value, json};

impl Instance {
    fn quotacheck(&self, words: &[&str]) -> Ran {
        self.run("imquotacheck", words)
    }

    /// Sets the quota in the directory and takes it over.
    fn limit(&self, userid: &str, bytes: Option<u64>, messages: Option<u64>) {
        let instance = msgstore::config::Instance::at(self.base());
        let directory = msgstore::ops::instance::open_directory(&instance, &instance.conf().unwrap());
        let store = self.store();
        let account = store.account_id(userid).unwrap().unwrap();
        match directory.entry(userid).unwrap() {
            Some(user) => {
                let value = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
                let (bytes, messages) = (value(bytes), value(messages));
                let changes: [(&str, &[&str]); 2] = [("mailQuota", &[&bytes]), ("mailMsgQuota", &[&messages])];
                edit::replace(&instance.directory_ldif(), &user.dn, &changes).unwrap();
                self.run("iminitquota", &["-q", "-u", userid]).ok();
            }
            None => store.set_limits(account, &Limits { bytes, messages, ..Limits::default() }, ARRIVED_S).unwrap(),
        }
    }

    fn fill(&self, mailbox: &str, bytes: usize) {
        let head = "Subject: x\r\n\r\n";
        self.append(mailbox, &format!("{head}{}", "x".repeat(bytes - head.len())), Flags::NONE);
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.base().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program that the tool may run.
    fn program(&self, name: &str, text: &str) -> String {
        let path = PathBuf::from(self.file(name, text));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Adds text to the directory file.
    fn directory(&self, text: &str) {
        let path = self.base().join("config/directory.ldif");
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{old}\n{text}\n")).unwrap();
    }

    fn ldif(&self) -> String {
        fs::read_to_string(self.base().join("config/directory.ldif")).unwrap()
    }

    /// The text of the last message of a mailbox.
    fn last_message(&self, mailbox: &str) -> String {
        let uid = *self.uids(mailbox).last().unwrap();
        let (account, folder) = self.mailbox(mailbox);
        let mut text = String::new();
        self.store().open_body(account, folder, uid).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn inbox(&self, userid: &str) -> Vec<Uid> {
        self.uids(&format!("user/{userid}/INBOX"))
    }
}

const RULES: &str = "[low]\nnotificationTriggerPercentage=60\nnotificationInterval=3\nenabled=1\n\
    [high]\nnotificationTriggerPercentage=90\nnotificationInterval=1\n";
const SAMPLE_RULES: &str = include_str!("../testdata/golden/imquotacheck/sample.rulefile");
const SAMPLE_TEMPLATE: &str = include_str!("../testdata/golden/imquotacheck/sample.msgfile");
const HEAD: &str = "diskquota size(K) %use msgquota msgs %use user\n";
const RULER: &str = "-------------------------------------------------------------------------\n";

/// Three users: ajonk with much, andrea with little, eve of another domain over her quota.
fn three() -> Instance {
    let it = Instance::new();
    it.accounts(&["ajonk", "andrea", "eve@siroe.com"]);
    it.fill("user/ajonk/INBOX", 50_418 * 1024);
    it.fill("user/andrea/INBOX", 4_500);
    it.fill("user/andrea/Work", 100);
    it.fill("user/eve@siroe.com/INBOX", 9_500);
    it.limit("eve@siroe.com", Some(10_240), Some(10));
    it
}

#[test]
fn the_classic_report() {
    let it = three();
    let rows = "no quota   50418       no quota      1       ajonk\n\
        no quota       5       no quota      2       andrea\n";
    let eve = "      10      10   92%       10      1   10% eve@siroe.com\n";
    let all = format!("{RULER}quota usage\n{RULER}{HEAD}\n# of domains = 2\n# of users   = 3\n\n{rows}{eve}");
    assert_eq!(it.quotacheck(&["-i"]).ok(), all);
    let title = "Domain siroe.com (diskquota = not set msgquota = not set) quota usage\n";
    let one = format!("{RULER}{title}{RULER}{HEAD}\n# of domains = 1\n# of users   = 1\n\n{eve}");
    assert_eq!(it.quotacheck(&["-d", "Siroe.com"]).ok(), one);
    assert_eq!(it.quotacheck(&["-i", "-d", "siroe.com"]).ok(), one);
    // One user, with folders; the default domain may be written.
    let andrea = "no quota       5       no quota      2       andrea\n\
        \u{20}              5                     1         INBOX\n\
        \u{20}              1                     1         Work\n";
    let wanted = format!("{RULER}quota usage for user andrea\n{RULER}{HEAD}\n{andrea}");
    assert_eq!(it.quotacheck(&["-u", "andrea", "-e"]).ok(), wanted);
    assert!(it.quotacheck(&["-u", "Andrea@example.org"]).ok().ends_with(" andrea\n"));
}

#[test]
fn the_rule_file_says_who_is_listed() {
    let it = three();
    it.limit("andrea", None, Some(3));
    let (out, err) = it.quotacheck(&[]).ended(0);
    assert!(err.contains("no rule file") && err.contains("imq.rulefile: users at 90 percent"), "{err}");
    assert!(out.contains("# of users   = 1\n") && out.ends_with("eve@siroe.com\n"), "{out}");
    it.file("config/imq.rulefile", RULES);
    let out = it.quotacheck(&[]).ok();
    assert!(out.contains("# of users   = 2\n") && out.contains(" andrea\n") && !out.contains("ajonk"), "{out}");
    let high = it.file("high", &RULES.replace("enabled=1", "enabled=0"));
    let out = it.quotacheck(&["-r", &high]).ok();
    assert!(out.contains("# of users   = 1\n") && !out.contains("andrea"), "{out}");
    // A threshold that is reached exactly is reached.
    it.limit("andrea", None, Some(2));
    let hundred = it.file("hundred", "[a]\nnotificationTriggerPercentage=100\nnotificationInterval=1\n");
    assert!(it.quotacheck(&["-r", &hundred]).ok().ends_with(" 100% andrea\n"));
}

#[test]
fn json_and_table() {
    let it = three();
    let (out, err) = it.quotacheck(&["-i", "-e", "--json", "-v", "-D"]).ended(0);
    assert!(err.contains("imquotacheck: eve@siroe.com: 92 percent, listed\n"), "{err}");
    assert!(err.ends_with("imquotacheck: 3 users listed, 0 failed\n"), "{err}");
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1]["folders"][1], json!({ "folder": "Work", "bytes": 100, "messages": 1 }));
    assert_eq!(
        (&rows[2]["v"], &rows[2]["user"], &rows[2]["domain"]),
        (&json!(1), &json!("eve@siroe.com"), &json!("siroe.com"))
    );
    assert_eq!((&rows[2]["percent"], &rows[2]["told"]), (&json!(92), &Value::Null));
    let root = json!({
        "folder": null, "quota_bytes": 10240, "usage_bytes": 9500, "percent_bytes": 92,
        "quota_messages": 10, "usage_messages": 1, "percent_messages": 10,
    });
    assert_eq!(rows[2]["roots"], json!([root]));
    let table = it.quotacheck(&["-i", "--table"]).ok();
    assert!(table.contains("diskquota") && table.contains("eve@siroe.com"), "{table}");
}

#[test]
fn folders_with_quotas_of_their_own() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.directory("");
    let ldif = it.ldif().replace("uid: joe\n", "uid: joe\nmailQuota: 10K;Archive%1K\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    it.fill("user/joe/INBOX", 2_000);
    it.fill("user/joe/Archive", 1_000);
    it.run("iminitquota", &["-u", "joe"]).ok();
    let out = it.quotacheck(&["-u", "joe"]).ok();
    let rows =
        "      10       2   19% no quota      1       joe\n       1       1   97% no quota      1       joe/Archive\n";
    assert!(out.ends_with(rows), "{out}");
    it.file("config/imq.rulefile", RULES);
    assert!(it.quotacheck(&[]).ok().contains("# of users   = 1\n"));
}

#[test]
fn users_of_the_directory() {
    let it = Instance::with(&[("store.defaultmessagequota", "40")]);
    it.accounts(&["joe"]);
    it.entry("new");
    it.append("user/joe/INBOX", "Subject: one\r\n\r\nhello\r\n", Flags::NONE);
    it.append("user/orphan/INBOX", "Subject: one\r\n\r\nhello\r\n", Flags::NONE);
    let names = |words: &[&str]| -> Vec<String> {
        let out = it.quotacheck(words).ok();
        out.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["user"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&["-i", "--json"]), ["joe", "orphan"]);
    assert_eq!(names(&["-a", "-i", "--json"]), ["joe", "new"]);
    let out = it.quotacheck(&["-a", "-u", "new"]).ok();
    assert!(out.ends_with("no quota       0             40      0    0% new\n"), "{out}");
    // Who has no mailbox yet is known all the same.
    assert_eq!(it.quotacheck(&["-u", "new"]).ok(), out);
    let (_, err) = it.quotacheck(&["-u", "nobody"]).ended(67);
    assert!(err.contains("no such user: nobody"), "{err}");
}

#[test]
fn the_directory_s_limits_of_folders_count_with_a() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.fill("user/joe/INBOX", 2_000);
    it.fill("user/joe/Archive", 1_000);
    // The account has no limits yet.
    let ldif = it.ldif().replace("uid: joe\n", "uid: joe\nmailQuota: 10K;Archive%1K\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    let rows =
        "      10       2   19% no quota      1       joe\n       1       1   97% no quota      1       joe/Archive\n";
    let out = it.quotacheck(&["-a", "-u", "joe"]).ok();
    assert!(out.ends_with(rows), "{out}");
    assert!(it.quotacheck(&["-u", "joe"]).ok().ends_with("no quota       3       no quota      2       joe\n"));
    // And the other way round: the entry names it no more.
    it.run("iminitquota", &["-u", "joe"]).ok();
    let ldif = it.ldif().replace(";Archive%1K", "");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    let out = it.quotacheck(&["-a", "-u", "joe"]).ok();
    assert!(out.ends_with("\n      10       3   29% no quota      2       joe\n"), "{out}");
    // A program and a template see the account's own quota beside its own usage.
    let report = it.program("report", "#!/bin/sh\ncat\n");
    let rules = it.file("rules", &format!("[General]\nreportMethod={report}\n{RULES}"));
    let info: Value = serde_json::from_str(&it.quotacheck(&["-u", "joe", "-r", &rules]).ok()).unwrap();
    assert_eq!((&info["quotakb"], &info["usagekb"], &info["usagemsg"]), (&json!(10), &json!(2), &json!(1)));
}

#[test]
fn a_notice_to_somebody_without_a_mailbox_is_recorded() {
    let it = Instance::new();
    it.entry("new");
    it.entry("other");
    for user in ["new", "other"] {
        let ldif = it.ldif().replace(&format!("uid: {user}\n"), &format!("uid: {user}\nmailQuota: 0\n"));
        fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    }
    it.file("config/imq.rulefile", RULES);
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    for _ in 0..2 {
        it.quotacheck(&["-n", "-a"]).ok();
        assert_eq!((it.inbox("new").len(), it.inbox("other").len()), (1, 1));
    }
    let id = |user: &str| {
        let text = it.last_message(&format!("user/{user}/INBOX"));
        text.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned()
    };
    assert_ne!(id("new"), id("other"));
}

#[test]
fn programs_run_only_for_who_would_be_told() {
    let it = Instance::new();
    it.accounts(&["held", "joe", "low", "eve@siroe.com"]);
    for user in ["held", "joe", "low", "eve@siroe.com", "orphan"] {
        it.fill(&format!("user/{user}/INBOX"), 1_000);
        it.limit(user, Some(if user == "low" { 10_000 } else { 1_000 }), None);
    }
    let ldif = it.ldif().replace("uid: held\n", "uid: held\ninetUserStatus: hold\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    let seen = it.base().join("seen");
    let tell = it.program("tell", &format!("#!/bin/sh\ncat >> {0}\nenv > {0}.env\npwd >> {0}.env\n", seen.display()));
    let rules = it.file("rules", &format!("{RULES}notificationMethod={tell}\n"));
    let template = it.file("template", SAMPLE_TEMPLATE);
    let run = |words: &[&str]| {
        let mut command = it.command("imquotacheck", &[&["-n", "-r", &rules, "-t", &template], words].concat());
        let out = command.env("SECRET", "x").output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let told = fs::read_to_string(&seen).unwrap_or_default();
        told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["username"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(&["-d", "siroe.com"]), [json!("eve@siroe.com")]);
    assert_eq!(run(&[]), [json!("eve@siroe.com"), json!("joe")]);
    assert_eq!(run(&[]).len(), 2);
    let surroundings = fs::read_to_string(it.base().join("seen.env")).unwrap();
    assert!(!surroundings.contains("SECRET") && surroundings.ends_with("\n/\n"), "{surroundings}");
    assert!(surroundings.contains(&format!("CONFIGROOT={}", it.base().join("config").display())), "{surroundings}");
}

#[test]
fn notices_by_the_sample_template() {
    let it = three();
    it.file("config/imq.rulefile", RULES);
    let template = it.file("mytemplate.file", SAMPLE_TEMPLATE);
    // The mailbox is over its quota: the notice comes in all the same.
    it.limit("eve@siroe.com", Some(9_500), None);
    assert_eq!(
        it.quotacheck(&["-n", "-t", &template, "--dry-run"]).ended(2).0,
        "would tell eve@siroe.com: 100 percent, [high]\n"
    );
    assert_eq!(it.inbox("eve@siroe.com").len(), 1);
    assert_eq!(it.quotacheck(&["-n", "-t", &template]).ok(), "");
    assert_eq!(it.inbox("eve@siroe.com").len(), 2);
    assert_eq!((it.inbox("ajonk").len(), it.inbox("andrea").len()), (1, 1));
    let text = it.last_message("user/eve@siroe.com/INBOX");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Subject: [Warning] quota reached for eve@siroe.com"), "{head}");
    assert!(
        head.contains("To: eve@siroe.com\r\n") && head.contains("From: Postmaster <postmaster@example.org>\r\n"),
        "{head}"
    );
    let wanted = "Hello eve@siroe.com,\r\nYour quota: 9 KB\r\nYour current mailbox usage: 10 KB\r\n\
        Your mailbox is now 100% full. The folders consuming the most space are:\r\nquota 9 KB, size 10 KB, 100%.\r\n";
    assert!(body.starts_with(wanted), "{body}");
    // Not again within the interval; the record is in the report.
    let (_, err) = it.quotacheck(&["-n", "-t", &template, "-D"]).ended(0);
    assert!(err.contains("eve@siroe.com: 1") && err.contains("[high] tells in 3"), "{err}");
    assert_eq!(it.inbox("eve@siroe.com").len(), 2);
    let row: Value = serde_json::from_str(&it.quotacheck(&["-u", "eve@siroe.com", "--json"]).ok()).unwrap();
    assert_eq!(row["told"]["percent"], 90);
    // The interval has passed.
    let store = it.store();
    let account = store.account_id("eve@siroe.com").unwrap().unwrap();
    store.note_quota_notice(account, 90, msgstore::os::clock::now_s() - 3600).unwrap();
    let out = it.quotacheck(&["-n", "-t", &template, "--json", "-e"]).ok();
    let row: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&row["action"], &row["rule"], &row["user"]), (&json!("told"), &json!("high"), &json!("eve@siroe.com")));
    assert!(it.last_message("user/eve@siroe.com/INBOX").contains("\r\nINBOX: "));
    // Below every threshold what was recorded is forgotten.
    it.limit("eve@siroe.com", Some(1 << 20), None);
    let (_, err) = it.quotacheck(&["-n", "-t", &template, "-D"]).ended(0);
    assert!(err.contains("the last notice is forgotten"), "{err}");
    assert_eq!(store.view(account).unwrap().account().unwrap().noticed_percent, 0);
}

#[test]
fn who_takes_no_mail_is_no_failure() {
    let it = Instance::new();
    it.accounts(&["held", "joe"]);
    it.fill("user/held/INBOX", 1_000);
    it.fill("user/orphan/INBOX", 1_000);
    it.fill("user/joe/INBOX", 1_000);
    for user in ["held", "orphan", "joe"] {
        it.limit(user, Some(1_000), None);
    }
    let ldif = it.ldif().replace("uid: held\n", "uid: held\ninetUserStatus: hold\n");
    let ldif = ldif.replace("uid: joe\n", "uid: joe\ninetUserStatus: overquota\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    it.file("config/imq.rulefile", RULES);
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    let (_, err) = it.quotacheck(&["-n", "-v"]).ended(0);
    assert!(
        err.contains("held: 100 percent, not told") && err.contains("orphan: 100 percent, not told: no such user"),
        "{err}"
    );
    assert!(err.ends_with("1 users told, 2 without a mailbox that takes mail, 0 failed\n"), "{err}");
    assert_eq!((it.inbox("held").len(), it.inbox("joe").len()), (1, 2));
}

#[test]
fn the_agent_warns_too() {
    let it = Instance::with(&[("store.quotanotification", "yes")]);
    it.file("config/imq.rulefile", RULES);
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    let (_, err) = it.quotacheck(&["-n"]).ended(0);
    assert_eq!(err.matches("warning").count(), 1, "{err}");
    assert!(err.contains("store.quotanotification is on"), "{err}");
    it.run("configutil", &["-o", "store.quotanotification", "-v", "no"]);
    it.quotacheck(&["-n"]).ok();
}

#[test]
fn programs_report_and_tell() {
    let it = three();
    let report = it.program("report", "#!/bin/sh\nprintf 'report: '\ncat\n");
    let seen = it.base().join("seen");
    let tell = it.program("tell", &format!("#!/bin/sh\ncat >> {}\n", seen.display()));
    let rules = it.file("rules", &format!("[General]\nreportMethod={report}\n{RULES}notificationMethod={tell}\n"));
    let out = it.quotacheck(&["-r", &rules]).ok();
    let info: Value = serde_json::from_str(out.strip_prefix("report: ").unwrap()).unwrap();
    let wanted = json!({
        "v": 1, "username": "eve@siroe.com", "quotakb": 10, "quotamsg": 10, "usagekb": 10, "usagemsg": 1,
        "num_folder": 0, "folderlist": [], "trigger": null, "rule": null,
    });
    assert_eq!(info, wanted);
    // With -i everybody is reported, by the same program.
    assert_eq!(it.quotacheck(&["-i", "-r", &rules]).ok().matches("report: ").count(), 3);
    let template = it.file("template", SAMPLE_TEMPLATE);
    it.quotacheck(&["-n", "-e", "-r", &rules, "-t", &template]).ok();
    let told: Value = serde_json::from_str(&fs::read_to_string(&seen).unwrap()).unwrap();
    assert_eq!((&told["rule"], &told["trigger"], &told["num_folder"]), (&json!("high"), &json!(90), &json!(1)));
    assert_eq!(told["folderlist"], json!([{ "foldername": "INBOX", "usagekb": 10 }]));
    assert_eq!(it.inbox("eve@siroe.com").len(), 1);
    // It was told: recorded as any notice.
    it.quotacheck(&["-n", "-r", &rules, "-t", &template]).ok();
    assert_eq!(fs::read_to_string(&seen).unwrap().lines().count(), 1);
    // What a program writes is the message.
    let store = it.store();
    let eve = store.account_id("eve@siroe.com").unwrap().unwrap();
    store.note_quota_notice(eve, 0, 0).unwrap();
    it.program("tell", "#!/bin/sh\nprintf 'Subject: made\\n\\nby hand\\n'\n");
    it.quotacheck(&["-n", "-r", &rules, "-t", &template]).ok();
    let text = it.last_message("user/eve@siroe.com/INBOX");
    assert!(text.contains("Subject: made\r\n\r\nby hand\r\n") && text.contains("\r\nTo: eve@siroe.com\r\n"), "{text}");
    // One that fails is a failure, and nothing is recorded.
    for (program, said) in
        [("#!/bin/sh\nexit 3\n", "ended with exit status: 3"), ("#!/bin/sh\necho hello\n", "is no message")]
    {
        store.note_quota_notice(eve, 0, 0).unwrap();
        it.program("tell", program);
        let (_, err) = it.quotacheck(&["-n", "-r", &rules, "-t", &template]).ended(1);
        assert!(err.contains(said) && err.ends_with("imquotacheck: 1 users failed\n"), "{err}");
        assert_eq!(store.view(eve).unwrap().account().unwrap().noticed_percent, 0);
    }
    it.program("report", "#!/bin/sh\nexit 1\n");
    let (_, err) = it.quotacheck(&["-r", &rules]).ended(1);
    assert!(err.contains("eve@siroe.com: ") && err.contains("ended with"), "{err}");
}

#[test]
fn a_program_that_does_not_end_is_ended() {
    let it = three();
    let report = it.program("report", "#!/bin/sh\nsleep 6000\n");
    let rules = it.file("rules", &format!("[General]\nreportMethod={report}\n{RULES}"));
    let mut command = it.command("imquotacheck", &["-r", &rules]);
    let out = command.env("MINUTE_MS", "100").output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let err = String::from_utf8(out.stderr).unwrap();
    assert!(err.contains("eve@siroe.com: cannot run") && err.contains("timed out"), "{err}");
}

#[test]
fn libraries_are_refused_where_they_would_be_called() {
    let it = three();
    it.file("config/imq.rulefile", SAMPLE_RULES);
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    let (_, err) = it.quotacheck(&[]).ended(65);
    assert!(err.contains("reportMethod: /xx/yy/libzz.so:myReportMethod is a function of a shared library"), "{err}");
    let (_, err) = it.quotacheck(&["-n"]).ended(65);
    assert!(err.contains("[rule1] notificationMethod: ") && err.contains("name a program instead"), "{err}");
    // Where neither is called, the sample of the manual is good.
    assert_eq!(it.quotacheck(&["-i"]).ok().lines().count(), 11);
    assert_eq!(it.quotacheck(&["--json"]).ok().lines().count(), 1);
}

#[test]
fn a_quota_attribute_of_the_directory() {
    let it = three();
    let ldif = it.ldif().replace("uid: ajonk\n", "uid: ajonk\nschoolQuota: 51M\n");
    let ldif = ldif.replace("uid: andrea\n", "uid: andrea\nschoolQuota: lots\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    let rules = it.file("rules", &format!("[General]\nmailQuotaAttribute = SCHOOLQUOTA\n{RULES}"));
    let (out, err) = it.quotacheck(&["-r", &rules]).ended(1);
    assert!(out.ends_with("   52224   50418   96% no quota      1       ajonk\n"), "{out}");
    assert!(err.contains("andrea: SCHOOLQUOTA: \"lots\" is not a limit"), "{err}");
}

#[test]
fn domains_are_enforced() {
    let it = three();
    let domain = |name: &str, more: &str| {
        it.directory(&format!("dn: o={name},o=isp\nobjectClass: mailDomain\no: {name}\n{more}"))
    };
    domain("siroe.com", "mailDomainDiskQuota: 9000\nmailDomainStatus: active\n");
    domain("example.org", "mailDomainMsgQuota: 3\n");
    domain("empty.org", "mailDomainStatus: overquota\n");
    let before = it.ldif();
    let would = it.quotacheck(&["-f", "--dry-run"]).ended(2).0;
    let line = "domain siroe.com: 10 of 8 kilobytes, 1 of no quota messages: active -> overquota\n";
    let other = "domain example.org: 50423 of no quota kilobytes, 3 of 3 messages: active -> overquota\n";
    assert_eq!(would, format!("would set {other}would set {line}"));
    assert_eq!(it.ldif(), before);
    assert_eq!(it.quotacheck(&["-f", "-d", "siroe.com"]).ok(), line);
    assert!(it.ldif().contains("mailDomainDiskQuota: 9000\nmailDomainStatus: overquota\n"), "{}", it.ldif());
    assert!(!it.ldif().contains("mailDomainMsgQuota: 3\nmailDomainStatus"), "{}", it.ldif());
    assert_eq!(it.quotacheck(&["-f", "-d", "siroe.com"]).ok(), "");
    // With room again it is active again; one without users too.
    fs::write(
        it.base().join("config/directory.ldif"),
        it.ldif().replace("mailDomainDiskQuota: 9000", "mailDomainDiskQuota: 9501"),
    )
    .unwrap();
    let out = it.quotacheck(&["-f", "-d", "siroe.com", "--json"]).ok();
    let row: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&row["domain"], &row["from"], &row["to"]),
        (&json!("siroe.com"), &json!("overquota"), &json!("active"))
    );
    assert!(it.quotacheck(&["-f", "-d", "empty.org"]).ok().ends_with("overquota -> active\n"));
    let (_, err) = it.quotacheck(&["-f", "-d", "sesta.com"]).ended(66);
    assert!(err.contains("no entry of the domain sesta.com"), "{err}");
    let title = it.quotacheck(&["-d", "siroe.com"]).ok();
    assert!(title.contains("Domain siroe.com (diskquota = 9 msgquota = not set) quota usage\n"), "{title}");
}

#[test]
fn statuses_of_users_are_written_back() {
    let it = three();
    it.limit("andrea", None, Some(2));
    it.quotacheck(&["-f"]).ok();
    assert!(!it.ldif().contains("mailUserStatus: overquota"));
    it.run("configutil", &["-o", "store.overquotastatus", "-v", "on"]);
    // The parameter lets one message pass the quota: who has just reached it is not over it, as deliveries see it.
    assert_eq!(it.quotacheck(&["-f"]).ok(), "");
    it.limit("andrea", None, Some(1));
    let line = "user andrea: 5 of no quota kilobytes, 2 of 1 messages: active -> overquota\n";
    assert_eq!(it.quotacheck(&["-f"]).ok(), line);
    assert_eq!(it.ldif().matches("mailUserStatus: overquota").count(), 1);
    it.limit("andrea", None, Some(3));
    it.run("iminitquota", &["-s", "-u", "andrea"]).ok();
    assert!(!it.ldif().contains("mailUserStatus: overquota"));
}

/// Spoils what is recorded of a folder, as a damaged store has it.
fn spoil(it: &Instance, mailbox: &str) {
    let (account, folder) = it.mailbox(mailbox);
    it.store().spoil_usage(account, folder, Usage { bytes: 7, messages: 2 }).unwrap();
}

#[test]
fn recorded_usage_is_checked_and_set_right() {
    let it = three();
    it.quotacheck(&["--check"]).ok();
    assert_eq!(it.run("reconstruct", &["-q"]).ok(), "");
    spoil(&it, "user/andrea/Work");
    let lines = "user/andrea: 4507 bytes, 3 messages are recorded; the messages are 4600 bytes, 2 messages\n\
        user/andrea/Work: 7 bytes, 2 messages are recorded; the messages are 100 bytes, 1 messages\n";
    for (tool, words) in [("imquotacheck", &["--check"][..]), ("reconstruct", &["-q", "-n"])] {
        assert_eq!(it.run(tool, words).ended(2).0, lines, "{tool}");
    }
    let (out, _) = it.quotacheck(&["--check", "--json", "-u", "andrea"]).ended(2);
    let row: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&row["place"], &row["derived_bytes"]), (&json!("user/andrea"), &json!(4600)));
    it.quotacheck(&["--check", "-u", "ajonk"]).ok();
    assert_eq!(it.run("reconstruct", &["-q"]).ok(), format!("{lines}1 of 3 accounts are set right\n"));
    it.quotacheck(&["--check"]).ok();
    spoil(&it, "user/andrea/Work");
    assert_eq!(it.run("iminitquota", &["-q", "-u", "andrea"]).ok(), "");
    it.quotacheck(&["--check"]).ended(2);
    assert_eq!(it.run("iminitquota", &["-u", "andrea"]).ok(), lines);
    it.quotacheck(&["--check"]).ok();
    for words in [&["-q", "-r"][..], &["-q", "user/joe/INBOX"], &["-q", "-f"], &["-q", "-p", "primary"]] {
        it.run("reconstruct", words).ended(64);
    }
}

#[test]
fn limits_are_taken_over() {
    let it = Instance::new();
    it.accounts(&["ann", "joe"]);
    let ldif = it.ldif().replace("uid: joe\n", "uid: joe\nmailQuota: 5M\nmailMsgQuota: 100\n");
    fs::write(it.base().join("config/directory.ldif"), ldif).unwrap();
    let quota = |user: &str| {
        let store = it.store();
        let row = store.view(store.account_id(user).unwrap().unwrap()).unwrap().account().unwrap();
        (row.quota_bytes, row.quota_messages)
    };
    assert_eq!(quota("joe"), (None, None));
    let (_, err) = it.run("iminitquota", &["-a", "-v"]).ended(0);
    assert_eq!(err, "iminitquota: joe: other limits hold now\n");
    assert_eq!((quota("joe"), quota("ann")), ((Some(5 << 20), Some(100)), (None, None)));
    it.run("configutil", &["-o", "store.defaultmailboxquota", "-v", "7000"]);
    it.run("iminitquota", &["-q"]).ok();
    assert_eq!((quota("joe"), quota("ann")), ((Some(5 << 20), Some(100)), (Some(7000), None)));
    it.append("user/orphan/INBOX", "Subject: x\r\n\r\nx\r\n", Flags::NONE);
    let (_, err) = it.run("iminitquota", &["-a"]).ended(1);
    assert!(err.contains("orphan: no such user") && err.ends_with("1 of 3 users failed\n"), "{err}");
    it.entry("new");
    for (words, code, text) in [
        (&[][..], 64, "required"),
        (&["-a", "-u", "joe"], 64, "cannot be used with"),
        (&["-q", "-s"], 64, "cannot be used with"),
        (&["-u", "nobody"], 67, "no such user: nobody"),
        (&["-u", "orphan"], 67, "no such user"),
        (&["-u", "new"], 66, "mboxutil -c user/new/INBOX"),
    ] {
        let (_, err) = it.run("iminitquota", words).ended(code);
        assert!(err.contains(text), "{words:?}: {err}");
    }
}

#[test]
fn bad_files_and_options() {
    let it = three();
    let rules = it.file("rules", RULES);
    let file = |name: &str, text: &str| it.file(name, text);
    for (words, code, text) in [
        (&["-n"][..], 66, "no rule is defined: there is no rule file"),
        (&["-n", "-r", "/no/such/file"], 66, "cannot read /no/such/file"),
        (&["-r", "/"], 74, "cannot read /"),
        (&["-n", "-r", &rules], 66, "imquotacheck --sample msgfile > "),
        (&["-n", "-r", &rules, "-t", "/no/such/file"], 66, "cannot read /no/such/file"),
        (&["-n", "-r", &rules, "-t", &file("t1", "Hello\n")], 65, "t1 is no template: \"Hello\""),
        (&["-n", "-r", &file("r1", "[a]\nx=1\n")], 65, "r1:2: unknown attribute x"),
        (&["-n", "-r", &file("r2", "[General]\n")], 65, "r2: no rule is defined and enabled"),
        (&["-r", &file("r2", "[General]\n")], 65, "r2: no rule is enabled"),
        (&["-r", &file("r3", &"#".repeat(2 << 20))], 65, "larger than"),
        (&["-n", "-r", &file("r4", &RULES.replace("enabled=1", "messageFile=/no/such/template"))], 66, "imq.msgfile"),
        (&["-i", "-n"], 64, "cannot be used with"),
        (&["-i", "-u", "joe"], 64, "cannot be used with"),
        (&["-d", "x.org", "-u", "joe"], 64, "cannot be used with"),
        (&["-f", "-e"], 64, "-e goes with"),
        (&["-f", "-r", &rules], 64, "-r goes with"),
        (&["--check", "-t", &rules], 64, "-t goes with"),
        (&["--dry-run"], 64, "--dry-run goes with"),
        (&["-i", "--json", "--table"], 64, "cannot be used with"),
        (&["-d", "a@b"], 64, "not the name of a domain"),
        (&["-d", "sesta.com"], 66, "no user is in the domain sesta.com"),
        (&["-x"], 64, "unexpected argument"),
        (&["joe"], 64, "unexpected argument"),
        (&["-d"], 64, "a value is required"),
    ] {
        let (_, err) = it.quotacheck(words).ended(code);
        assert!(err.contains(text), "{words:?}: {err}");
    }
    let bytes = it.base().join("latin");
    fs::write(&bytes, b"# \xfc\n").unwrap();
    assert!(it.quotacheck(&["-r", bytes.to_str().unwrap()]).ended(65).1.contains("not UTF-8"));
    // A message file of a rule is read before anybody is told.
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    let named = file("r5", &RULES.replace("enabled=1", "messageFile=/no/such/template"));
    let (_, err) = it.quotacheck(&["-n", "-r", &named]).ended(66);
    assert!(err.contains("/no/such/template"), "{err}");
    assert_eq!(it.inbox("eve@siroe.com").len(), 1);
    assert!(it.quotacheck(&["-h"]).ok().contains("Usage: imquotacheck"));
    let (_, err) = it.quotacheck(&["-i", "-t", &file("t2", SAMPLE_TEMPLATE)]).ended(0);
    assert!(err.contains("-t has no effect on a report"), "{err}");
}

#[test]
fn samples_are_good_for_a_first_run() {
    let it = three();
    it.file("config/imq.rulefile", &it.quotacheck(&["--sample", "rulefile"]).ok());
    it.file("config/imq.msgfile", &it.quotacheck(&["--sample", "msgfile"]).ok());
    assert!(it.quotacheck(&[]).ok().contains("# of users   = 1\n"));
    assert_eq!(it.quotacheck(&["-n"]).ok(), "");
    assert_eq!(it.inbox("eve@siroe.com").len(), 2);
}

#[test]
fn a_killed_run_tells_again() {
    let it = three();
    it.file("config/imq.rulefile", RULES);
    it.file("config/imq.msgfile", SAMPLE_TEMPLATE);
    let mut command = it.command("imquotacheck", &["-n"]);
    assert_eq!(command.env("CRASH_POINT", "quota-notice.after-delivery").status().unwrap().code(), None);
    assert_eq!(it.inbox("eve@siroe.com").len(), 2);
    it.quotacheck(&["-n"]).ok();
    assert_eq!(it.inbox("eve@siroe.com").len(), 3);
    it.quotacheck(&["-n"]).ok();
    assert_eq!(it.inbox("eve@siroe.com").len(), 3);
}

#[test]
fn more_accounts_than_a_page_are_listed_by_name() {
    let it = Instance::new();
    // More accounts than one page of the listing has.
    let store = it.store();
    let users: Vec<String> = (0..130).map(|number| format!("user{number:04}")).collect();
    for user in &users {
        store.account_create(user, None, ARRIVED_S).unwrap();
    }
    let out = it.quotacheck(&["-i", "--json"]).ok();
    let listed: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["user"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, users);
}

/// Makes accounts up to a number, by many threads: their commits are shared.
fn accounts_up_to(it: &Instance, from: usize, to: usize) {
    const THREADS: usize = 32;
    let store = it.store();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for number in (from..to).skip(thread).step_by(THREADS) {
                    store.account_create(&format!("user{number:07}"), None, ARRIVED_S).unwrap();
                }
            });
        }
    });
}

/// Ten times as many accounts take no more memory. `MSGSTORE_QUOTA_ACCOUNTS` sets how many.
#[test]
fn memory_does_not_grow_with_the_accounts() {
    let many = std::env::var("MSGSTORE_QUOTA_ACCOUNTS").map_or(300, |text| text.parse().unwrap());
    let it = Instance::new();
    accounts_up_to(&it, 0, many / 10);
    let memory = || it.memory("imquotacheck", &["-i"]);
    let few = memory();
    accounts_up_to(&it, many / 10, many);
    memory();
    let begun = std::time::Instant::now();
    let all = memory();
    let took = begun.elapsed();
    eprintln!(
        "figures: {} accounts: {} KiB of its own, {} KiB with the mapped database; {many}: {} KiB, {} KiB, {took:.2?} warm",
        many / 10,
        few.0,
        few.1,
        all.0,
        all.1
    );
    // Eight lines are the head.
    assert_eq!((few.2, all.2), (many / 10 + 8, many + 8));
    assert!(all.0 < few.0 + 2048, "{few:?} {all:?}");
}
