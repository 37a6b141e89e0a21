//! The rule file and the templates: found, read, and refused with their place when they are wrong.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::super::exit::{Exit, Failure};
use crate::config::Instance;
use crate::ops::quotacheck::notice::Templates;
use crate::ops::quotacheck::rules::{self, Rule, RuleFile};
use crate::ops::quotacheck::template::{self, Template};

/// What the command line names.
#[derive(Default)]
pub(super) struct Files {
    /// `-r`.
    pub(super) rules: Option<(PathBuf, RuleFile)>,
    /// `-t`.
    pub(super) template: Option<Template>,
}

impl Files {
    /// Reads the files that are named.
    pub(super) fn read(rules: Option<&Path>, template: Option<&Path>) -> Result<Files, Failure> {
        Ok(Files {
            rules: rules.map(|path| rule_file(path).map(|file| (path.to_path_buf(), file))).transpose()?,
            template: template.map(template_file).transpose()?,
        })
    }

    /// The rule file that counts: that of `-r`, else `config/imq.rulefile`; `None` when there is neither.
    pub(super) fn rules_or_default(
        rules: Option<(PathBuf, RuleFile)>,
        instance: &Instance,
    ) -> Result<Option<(PathBuf, RuleFile)>, Failure> {
        if rules.is_some() {
            return Ok(rules);
        }
        let path = default_rules(instance);
        match rule_file(&path) {
            Ok(file) => Ok(Some((path, file))),
            Err(failure) if failure.exit == Exit::NoInput => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Where the rule file is that nobody names (6.3 AdminRef).
pub(super) fn default_rules(instance: &Instance) -> PathBuf {
    instance.config_dir().join("imq.rulefile")
}

/// Where the template is that nobody names.
pub(super) fn default_template(instance: &Instance) -> PathBuf {
    instance.config_dir().join("imq.msgfile")
}

/// Every template that the rules need.
pub(super) fn templates(rules: &[Rule], named: Option<Template>, instance: &Instance) -> Result<Templates, Failure> {
    let mut found = Templates { default: named, ..Templates::default() };
    if found.default.is_none() && Templates::wants_default(rules) {
        let path = default_template(instance);
        found.default = Some(template_file(&path).map_err(|failure| match failure.exit {
            Exit::NoInput => failure.hint(format!("imquotacheck --sample msgfile > {}", path.display())),
            _ => failure,
        })?);
    }
    for path in Templates::wanted(rules) {
        if !found.named.contains_key(path) {
            found.named.insert(path.to_path_buf(), template_file(path)?);
        }
    }
    Ok(found)
}

fn rule_file(path: &Path) -> Result<RuleFile, Failure> {
    let shown = path.display();
    let bytes = bytes_of(path, rules::LARGEST_FILE)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::new(Exit::DataErr, format!("{shown} is not UTF-8 text")))?;
    RuleFile::parse(&text).map_err(|error| Failure::new(Exit::DataErr, format!("{shown}:{error}")))
}

fn template_file(path: &Path) -> Result<Template, Failure> {
    let bytes = bytes_of(path, template::LARGEST_FILE)?;
    Template::parse(&bytes).map_err(|text| {
        Failure::new(Exit::DataErr, format!("{} is no template: {text}", path.display()))
            .hint("imquotacheck --sample msgfile prints one")
    })
}

fn bytes_of(path: &Path, largest: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NoInput,
            ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::IoErr,
        };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(largest as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > largest {
        return Err(Failure::new(Exit::DataErr, format!("{} is larger than {largest} bytes", path.display())));
    }
    Ok(bytes)
}
