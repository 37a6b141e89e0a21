//! The report: the classic columns, JSON or a table, or what a program makes of the figures.

use std::ops::ControlFlow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure};
use super::super::instance::directory_failure;
use super::super::ui::Ui;
use super::files::{self, Files};
use super::{Here, kilobytes, survey_failure};
use crate::ops::mailbox::show_name;
use crate::ops::quotacheck::method::Method;
use crate::ops::quotacheck::rules::RuleFile;
use crate::ops::quotacheck::survey::{QuotaAttribute, Subject, Survey, Whose, domain_of};
use crate::store::{FolderPath, QuotaRoot, Usage};

/// The classic head line, as it is remembered.
const HEAD: &str = "diskquota size(K) %use msgquota msgs %use user";
/// The line around the title.
const RULER: &str = "-------------------------------------------------------------------------";

/// Lists users.
pub(super) fn report(ui: &mut Ui, here: &Here<'_>, files: Files) -> anyhow::Result<Exit> {
    let Wanted { from_percent, attribute, method } = wanted(ui, here, files)?;
    let survey = here.survey(attribute.as_ref());
    let is_listed = |subject: &Subject| from_percent.is_none_or(|from| subject.percent() >= Some(from));
    let mut form = match (here.args.json, here.args.table, method) {
        (true, ..) => Form::Json,
        (_, true, _) => Form::table(),
        (.., Some(method)) => Form::Program(method),
        _ => {
            head(ui, here, &survey, &is_listed)?;
            Form::Columns
        }
    };
    let (mut listed, mut failed) = (0u64, 0u64);
    let surveyed = survey.each(&mut |userid, found| {
        match found {
            Ok(subject) => {
                debug(ui, here, &subject, is_listed(&subject));
                if is_listed(&subject) {
                    listed += 1;
                    if let Err(text) = form.add(ui, here, &subject) {
                        failed += 1;
                        ui.error(format!("{userid}: {text}"));
                    }
                }
            }
            Err(error) => {
                failed += 1;
                ui.error(format!("{userid}: {error}"));
            }
        }
        if ui.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    surveyed.map_err(survey_failure)?;
    if let Form::Table(table) = &form {
        ui.line(table.to_string());
    }
    here.say(ui, &format!("{listed} users listed, {failed} failed"));
    Ok(if failed > 0 { Exit::Incomplete } else { Exit::Ok })
}

/// What is listed, and by what.
struct Wanted {
    /// Users who have used so many percent, or more; `None`: all.
    from_percent: Option<u64>,
    attribute: Option<QuotaAttribute>,
    method: Option<Method>,
}

fn wanted(ui: &mut Ui, here: &Here<'_>, files: Files) -> Result<Wanted, Failure> {
    if files.template.is_some() {
        ui.warn("-t has no effect on a report: it goes with -n");
    }
    let plain = !here.args.everyone && here.whose == Whose::Everyone;
    let file = match (plain, files.rules) {
        (true, rules) => Files::rules_or_default(rules, &here.instance)?,
        (false, rules) => rules,
    };
    let Some((path, RuleFile { quota_attribute, report_method, rules })) = file else {
        let from_percent = plain.then(|| {
            let percent = here.conf.int("store.quotawarn");
            ui.warn(format!(
                "there is no rule file {}: users at {percent} percent of their quota (store.quotawarn) and above are listed",
                files::default_rules(&here.instance).display()
            ));
            u64::try_from(percent).unwrap_or(0)
        });
        return Ok(Wanted { from_percent, attribute: None, method: None });
    };
    if let Some(method) = &report_method
        && !here.args.json
        && !here.args.table
    {
        method
            .check()
            .map_err(|error| Failure::new(Exit::DataErr, format!("{}: reportMethod: {error}", path.display())))?;
    }
    let attribute = here.attribute(quota_attribute.as_ref())?;
    let lowest = rules.first().map(|rule| u64::from(rule.percent));
    if plain && lowest.is_none() {
        return Err(Failure::new(Exit::DataErr, format!("{}: no rule is enabled", path.display()))
            .hint("imquotacheck -i lists everybody"));
    }
    here.say(ui, &format!("rules from {}", path.display()));
    Ok(Wanted { from_percent: lowest.filter(|_| plain), attribute, method: report_method })
}

/// The title, and how many users and domains are listed.
fn head(
    ui: &mut Ui,
    here: &Here<'_>,
    survey: &Survey<'_>,
    is_listed: &dyn Fn(&Subject) -> bool,
) -> Result<(), Failure> {
    let title = match &here.whose {
        Whose::Everyone => "quota usage".to_owned(),
        Whose::User(user) => format!("quota usage for user {user}"),
        Whose::Domain(name) => {
            let entry = here.directory.domain(name).map_err(directory_failure)?;
            let limit = |limit: Option<u64>| limit.map_or_else(|| "not set".to_owned(), |limit| limit.to_string());
            let (disk, messages) = entry.map_or((None, None), |entry| (entry.disk_quota, entry.msg_quota));
            let disk = limit(disk.map(|bytes| bytes / 1024));
            format!("Domain {name} (diskquota = {disk} msgquota = {}) quota usage", limit(messages))
        }
    };
    // Counted first, so that nothing has to be kept: the list itself may be long.
    let mut users = 0u64;
    let mut domains = std::collections::BTreeSet::new();
    let counted = survey.each(&mut |userid, found| {
        if found.is_ok_and(|subject| is_listed(&subject)) {
            users += 1;
            let domain = domain_of(userid, &here.default_domain);
            if !domains.contains(domain) {
                domains.insert(domain.to_owned());
            }
        }
        ControlFlow::Continue(())
    });
    counted.map_err(survey_failure)?;
    if let (Whose::Domain(name), 0) = (&here.whose, users)
        && here.directory.domain(name).map_err(directory_failure)?.is_none()
    {
        return Err(Failure::new(
            Exit::NoInput,
            format!("no user is in the domain {name}, and the directory has no entry of it"),
        )
        .hint("imquotacheck -i lists everybody"));
    }
    for line in [RULER, &title, RULER, HEAD, ""] {
        ui.line(line);
    }
    if !matches!(here.whose, Whose::User(_)) {
        ui.line(format!("# of domains = {}", domains.len()));
        ui.line(format!("# of users   = {users}"));
        ui.line("");
    }
    Ok(())
}

fn debug(ui: &mut Ui, here: &Here<'_>, subject: &Subject, listed: bool) {
    if here.args.debug {
        let percent = subject.percent().map_or_else(|| "no quota".to_owned(), |percent| format!("{percent} percent"));
        let listed = if listed { "listed" } else { "not listed" };
        ui.error(format!("{}: {percent}, {listed}", subject.figures.userid));
    }
}

enum Form {
    Columns,
    Json,
    Table(Box<comfy_table::Table>),
    Program(Method),
}

impl Form {
    fn table() -> Form {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["diskquota", "size(K)", "%use", "msgquota", "msgs", "%use", "user"]);
        Form::Table(Box::new(table))
    }

    fn add(&mut self, ui: &mut Ui, here: &Here<'_>, subject: &Subject) -> Result<(), String> {
        match self {
            Form::Json => ui.line(object(here, subject).to_string()),
            Form::Columns => {
                rows(subject).into_iter().for_each(|row| ui.line(line(row)));
            }
            Form::Table(table) => {
                for row in rows(subject) {
                    table.add_row(row);
                }
            }
            Form::Program(method) => {
                ui.raw(&method.run(here.instance.config_dir(), subject, None).map_err(|error| error.to_string())?)
            }
        }
        Ok(())
    }
}

/// A row in the classic columns.
fn line([quota, size, used, limit, messages, messages_used, name]: [String; 7]) -> String {
    format!("{quota:>8} {size:>7} {used:>5} {limit:>8} {messages:>6} {messages_used:>5} {name}")
}

/// The rows of a user: the account, its folders with quotas of their own, and with -e all folders.
fn rows(subject: &Subject) -> Vec<[String; 7]> {
    let userid = &subject.figures.userid;
    let percent = |percent: Option<u64>| percent.map_or_else(String::new, |percent| format!("{percent}%"));
    let root = |root: &QuotaRoot| {
        [
            root.bytes.map_or_else(|| "no quota".to_owned(), |bytes| (bytes / 1024).to_string()),
            kilobytes(root.usage.bytes).to_string(),
            percent(root.usage.percent(root.bytes, None)),
            root.messages.map_or_else(|| "no quota".to_owned(), |limit| limit.to_string()),
            root.usage.messages.to_string(),
            percent(root.usage.percent(None, root.messages)),
            root.folder.as_ref().map_or_else(|| userid.clone(), |folder| format!("{userid}/{}", shown(folder))),
        ]
    };
    let mut rows: Vec<_> = subject.roots.iter().map(root).collect();
    rows.extend(subject.folders.iter().flatten().map(|folder| {
        let Usage { bytes, messages } = folder.usage;
        let none = String::new;
        [
            none(),
            kilobytes(bytes).to_string(),
            none(),
            none(),
            messages.to_string(),
            none(),
            format!("  {}", folder.name),
        ]
    }));
    rows
}

/// The path of a folder in UTF-8.
fn shown(folder: &str) -> String {
    FolderPath::parse(folder).map_or_else(
        |_| folder.to_owned(),
        |path| show_name("", &path).strip_prefix("user//").map(str::to_owned).unwrap_or_default(),
    )
}

fn object(here: &Here<'_>, subject: &Subject) -> Value {
    let figures = &subject.figures;
    let told =
        (figures.noticed_percent != 0).then(|| DateTime::<Utc>::from_timestamp(figures.noticed_s, 0)).flatten().map(
            |time| json!({ "at": time.to_rfc3339_opts(SecondsFormat::Secs, true), "percent": figures.noticed_percent }),
        );
    let root = |root: &QuotaRoot| {
        json!({
            "folder": root.folder.as_deref().map(shown),
            "quota_bytes": root.bytes,
            "usage_bytes": root.usage.bytes,
            "percent_bytes": root.usage.percent(root.bytes, None),
            "quota_messages": root.messages,
            "usage_messages": root.usage.messages,
            "percent_messages": root.usage.percent(None, root.messages),
        })
    };
    let mut row = json!({
        "v": 1,
        "user": figures.userid,
        "domain": domain_of(&figures.userid, &here.default_domain),
        "usage_bytes": figures.usage.bytes,
        "usage_messages": figures.usage.messages,
        "percent": subject.percent(),
        "roots": subject.roots.iter().map(root).collect::<Vec<_>>(),
        "told": told,
    });
    if let (Some(folders), Some(row)) = (&subject.folders, row.as_object_mut()) {
        let folders: Vec<_> = folders
            .iter()
            .map(|folder| json!({ "folder": folder.name, "bytes": folder.usage.bytes, "messages": folder.usage.messages }))
            .collect();
        row.insert("folders".to_owned(), folders.into());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quota::Figures;

    /// The recollected report; its first user stands for what no text at hand has: graded as memory.
    const GOLDEN: &str = include_str!("../../../testdata/golden/imquotacheck/report.txt");

    #[test]
    fn rows_are_those_of_the_recollected_report() {
        let row = |userid: &str, kilobytes: u64, messages: u64| {
            let usage = Usage { bytes: kilobytes * 1024, messages };
            let root = QuotaRoot { folder: None, usage, bytes: None, messages: None, over_since_s: 0 };
            let figures = Figures { userid: userid.to_owned(), usage, ..Figures::default() };
            let subject = Subject { account: None, figures, roots: vec![root], folders: None };
            rows(&subject).into_iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let title = "Domain red.siroe.com (diskquota = not set msgquota = not set) quota usage";
        let ours = format!(
            "{RULER}\n{title}\n{RULER}\n{HEAD}\n\n# of domains = 1\n# of users   = 705\n\n{}\n{}\n",
            row("ajonk", 50_418, 4392),
            row("andrea", 5, 2)
        );
        assert_eq!(ours, GOLDEN);
    }
}
