//! What configutil prints: one value, the listing, the explanations; classic lines or JSON.

use super::super::exit::{Exit, Failure};
use super::super::ui::Ui;
use super::{Args, known, spelled};
use crate::config::catalogue::{self, Parameter};
use crate::config::works::{Status, status_of};
use crate::config::{Conf, Effect, Origin, Setting, listed, range};

/// Prints one setting.
///
/// # Errors
/// The name is not known.
pub(super) fn one(ui: &mut Ui, conf: &Conf, name: &str, args: &Args) -> anyhow::Result<Exit> {
    let found = conf.setting(name).filter(|s| !args.local || s.origin == Origin::Explicit);
    let row = match found {
        Some(_) => catalogue::find(name),
        None if args.local => catalogue::find(name),
        None => known(name)?,
    };
    let setting =
        found.unwrap_or_else(|| Setting { name: spelled(name), value: String::new(), origin: Origin::Catalogue });
    if args.json {
        ui.line(json(&setting.name, Some(&setting), row, args.explain));
    } else if args.explain {
        ui.line(format!("{} = {}", setting.name, listed(&setting.value)));
        explain(ui, &setting.name, row);
    } else {
        ui.line(&setting.value);
    }
    Ok(Exit::Ok)
}

/// Prints every setting that the arguments ask for.
///
/// # Errors
/// No parameter matches.
pub(super) fn list(ui: &mut Ui, conf: &Conf, args: &Args) -> anyhow::Result<Exit> {
    let wanted = Wanted::new(args.prefix.as_deref().unwrap_or(""));
    let settings: Vec<Setting> = conf.settings("").into_iter().filter(|setting| wanted.takes(&setting.name)).collect();
    let mut families: Vec<&'static Parameter> =
        catalogue::all().filter(|row| row.is_family() && wanted.takes_family(row)).collect();
    if settings.is_empty() && families.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("no parameter matches {}", args.prefix.as_deref().unwrap_or("")),
        )
        .hint("configutil -H explains every parameter")
        .into());
    }
    if args.explain {
        families.sort_by_key(|row| row.name.to_ascii_lowercase());
    } else {
        families.clear();
    }
    let mut families = families.into_iter().peekable();
    for setting in settings {
        while let Some(row) = families.next_if(|row| row.name.to_ascii_lowercase() < setting.name.to_ascii_lowercase())
        {
            explain_family(ui, row, args);
        }
        let shown = if args.local {
            setting.origin == Origin::Explicit
        } else {
            args.empty || args.explain || !setting.value.is_empty()
        };
        if shown {
            print(ui, &setting, args);
        }
    }
    for row in families {
        explain_family(ui, row, args);
    }
    Ok(Exit::Ok)
}

/// What -p asks for.
struct Wanted {
    pattern: String,
    tag: Option<String>,
}

impl Wanted {
    fn new(pattern: &str) -> Wanted {
        let lower = pattern.to_ascii_lowercase();
        let (plain, tag) = catalogue::split_tag(&lower);
        Wanted { pattern: plain.to_owned(), tag: tag.map(str::to_owned) }
    }

    fn takes(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        let (plain, tag) = catalogue::split_tag(&lower);
        tag == self.tag.as_deref() && self.fits(plain)
    }

    fn fits(&self, name: &str) -> bool {
        if self.pattern.contains(['*', '?']) {
            glob(self.pattern.as_bytes(), name.as_bytes())
        } else {
            name.starts_with(&self.pattern)
        }
    }

    /// A family is meant by a beginning of its name, and by the name of a member or its beginning.
    fn takes_family(&self, row: &Parameter) -> bool {
        let member = self.pattern.trim_end_matches('.');
        self.tag.is_none()
            && (self.fits(&row.name.to_ascii_lowercase())
                || self.pattern.starts_with(&row.literal_prefix().to_ascii_lowercase())
                    && (1..=row.name.split('.').count()).any(|parts| {
                        let beginning: Vec<&str> = row.name.split('.').take(parts).collect();
                        catalogue::matches(&beginning.join("."), member)
                    }))
    }
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, from)) = star else {
                    return false;
                };
                star = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

fn print(ui: &mut Ui, setting: &Setting, args: &Args) {
    let row = catalogue::find(&setting.name);
    if args.json {
        ui.line(json(&setting.name, Some(setting), row, args.explain));
        return;
    }
    let mark = match (args.effect, refreshable(row)) {
        (false, _) => "",
        (true, true) => " [REFRESHABLE]",
        (true, false) => " [NOT REFRESHABLE]",
    };
    ui.line(format!("{} = {}{mark}", setting.name, listed(&setting.value)));
    if args.explain {
        explain(ui, &setting.name, row);
    }
}

fn explain_family(ui: &mut Ui, row: &'static Parameter, args: &Args) {
    if args.json {
        ui.line(json(row.name, None, Some(row), true));
    } else {
        ui.line(row.name);
        explain(ui, row.name, Some(row));
    }
}

fn explain(ui: &mut Ui, name: &str, row: Option<&'static Parameter>) {
    let Some(row) = row else {
        ui.line("    A name of your own: nothing reads it.");
        return;
    };
    ui.line(format!("    {}", row.doc));
    let unit = if row.unit.is_empty() { String::new() } else { format!(" ({})", row.unit) };
    ui.line(format!("    values: {}{unit}", range(row.kind)));
    let default = match row.default {
        "" => "none".to_owned(),
        default => listed(default),
    };
    let whose = if row.has_own_default() { " (a choice of this product)" } else { "" };
    ui.line(format!("    default: {default}{whose}"));
    ui.line(format!("    takes effect: {}", row.effect.words()));
    match status_of(name, row) {
        Status::Works => ui.line("    works in this release"),
        Status::Inert(why) => ui.line(format!("    no effect in this release: {why}")),
    }
    if row.is_ours() {
        ui.line("    an addition of this product");
    }
}

fn refreshable(row: Option<&Parameter>) -> bool {
    row.is_some_and(|row| matches!(row.effect, Effect::Immediate | Effect::Refresh))
}

fn json(name: &str, setting: Option<&Setting>, row: Option<&'static Parameter>, explain: bool) -> String {
    let mut object = serde_json::Map::new();
    let mut put = |key: &str, value: serde_json::Value| {
        object.insert(key.to_owned(), value);
    };
    put("v", 1.into());
    put("name", name.into());
    if let Some(setting) = setting {
        put("value", setting.value.as_str().into());
        let origin = match setting.origin {
            Origin::Explicit => "msg.conf",
            Origin::Defaults => "msg.conf.defaults",
            Origin::Catalogue => "catalogue",
        };
        put("origin", origin.into());
    }
    put("refreshable", refreshable(row).into());
    if let (true, Some(row)) = (explain, row) {
        put("doc", row.doc.into());
        put("values", range(row.kind).into());
        put("unit", row.unit.into());
        put("default", row.default.into());
        put("takes_effect", row.effect.words().into());
        put("works", (status_of(name, row) == Status::Works).into());
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(glob(b"a*c?", b"abbcd"));
        assert!(glob(b"*", b""));
        assert!(glob(b"*port", b"service.imap.port"));
        assert!(!glob(b"a?", b"a"));
        let wanted = Wanted::new("Service.POP");
        assert!(wanted.takes("service.pop.port") && !wanted.takes("service.pop.banner;lang-en"));
        let rule = catalogue::find("store.expirerule.x.messagedays").unwrap();
        assert!(Wanted::new("store.expirerule.r1").takes_family(rule));
        assert!(Wanted::new("store.exp").takes_family(rule));
        assert!(!Wanted::new("store.partition").takes_family(rule));
    }
}
