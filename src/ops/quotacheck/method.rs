//! `reportMethod` and `notificationMethod`: a program that gets the figures of a user as JSON on standard input. The manuals have a function of
//! a shared library there (AdminRef 2005Q4 imquotacheck, `QuotaInfo`): a library cannot be called, and is refused when it would be.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde_json::json;

use super::rules::Rule;
use super::survey::Subject;
use crate::os::{clock, program};

/// The longest text that a program may give back, bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// What a rule file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// A program.
    Program(PathBuf),
    /// A function of a shared library, `path:function`.
    Library(String),
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Program(path) => write!(f, "{}", path.display()),
            Method::Library(value) => f.write_str(value),
        }
    }
}

/// Why a method did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum MethodError {
    /// It is a function of a shared library.
    #[error(
        "{0} is a function of a shared library, which this program cannot call: name a program instead, which gets the figures as JSON on standard input"
    )]
    Library(String),
    /// It cannot be run, takes longer than a minute or writes more than a mebibyte.
    #[error("cannot run {}: {source}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with another code than 0.
    #[error("{} ended with {status}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

impl Method {
    /// Reads the value of a method.
    ///
    /// # Errors
    /// A sentence about a value that is neither.
    pub fn parse(value: &str) -> Result<Method, String> {
        let function = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let of_library = value.rsplit_once(':').is_some_and(|(_, name)| function(name));
        let name = value.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
        let is_library = name.contains(".so.") || [".so", ".sl", ".dll"].iter().any(|ending| name.ends_with(ending));
        if of_library || is_library {
            return Ok(Method::Library(value.to_owned()));
        }
        if Path::new(value).is_absolute() {
            return Ok(Method::Program(PathBuf::from(value)));
        }
        Err(format!("{value} is not the absolute path of a program"))
    }

    /// Whether it can be run at all.
    ///
    /// # Errors
    /// [`MethodError::Library`]; [`MethodError::Run`] for a program that is not there or may not be run.
    pub fn check(&self) -> Result<(), MethodError> {
        let path = self.program()?;
        nix::unistd::access(path, nix::unistd::AccessFlags::X_OK)
            .map_err(|errno| MethodError::Run { program: path.to_path_buf(), source: errno.into() })
    }

    /// Runs it for a user; what it wrote. Its environment is [`program::ENVIRONMENT`] and `CONFIGROOT`, the directory of msg.conf.
    ///
    /// # Errors
    /// [`MethodError`].
    pub fn run(&self, config_dir: &Path, subject: &Subject, rule: Option<&Rule>) -> Result<Vec<u8>, MethodError> {
        let path = self.program()?;
        let input = format!("{}\n", quota_info(subject, rule));
        let more = [("CONFIGROOT", config_dir.as_os_str())];
        let ended = program::run(path, &more, input.as_bytes(), LONGEST_TEXT, clock::minute())
            .map_err(|source| MethodError::Run { program: path.to_path_buf(), source })?;
        if !ended.status.success() {
            return Err(MethodError::Failed { program: path.to_path_buf(), status: ended.status });
        }
        Ok(ended.output)
    }

    fn program(&self) -> Result<&Path, MethodError> {
        match self {
            Method::Program(path) => Ok(path),
            Method::Library(value) => Err(MethodError::Library(value.clone())),
        }
    }
}

/// The members of `QuotaInfo`; a quota that there is not is -1.
fn quota_info(subject: &Subject, rule: Option<&Rule>) -> serde_json::Value {
    let limit = |limit: Option<u64>| limit.map_or(json!(-1), |limit| json!(limit));
    let folders: Vec<_> = (subject.folders.iter().flatten())
        .map(|folder| json!({ "foldername": folder.name, "usagekb": kilobytes(folder.usage.bytes) }))
        .collect();
    json!({
        "v": 1,
        "username": subject.figures.userid,
        "quotakb": limit(subject.figures.bytes.map(|bytes| bytes / 1024)),
        "quotamsg": limit(subject.figures.messages),
        "usagekb": kilobytes(subject.own_usage().bytes),
        "usagemsg": subject.own_usage().messages,
        "num_folder": folders.len(),
        "folderlist": folders,
        "trigger": rule.map(|rule| rule.percent),
        "rule": rule.map(|rule| rule.name.as_str()),
    })
}

fn kilobytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quota::Figures;
    use crate::store::Usage;

    #[test]
    fn programs_and_libraries() {
        for library in [
            "/xx/yy/libzz.so:myReportMethod",
            "/xx/yy/libzz.sl:myNotifyMethod_60",
            "\\xx\\yy\\libzz.dll:f",
            "/usr/lib/libquota.so",
            "/usr/lib/libquota.so.1",
        ] {
            let method = Method::parse(library).unwrap();
            assert_eq!(method, Method::Library(library.to_owned()));
            assert!(method.check().unwrap_err().to_string().contains("name a program instead"));
        }
        assert_eq!(Method::parse("/bin/cat"), Ok(Method::Program("/bin/cat".into())));
        Method::parse("/bin/cat").unwrap().check().unwrap();
        assert!(Method::parse("/no/such/program").unwrap().check().is_err());
        assert!(Method::parse("/etc/passwd").unwrap().check().is_err());
        assert!(Method::parse("mail").is_err() && Method::parse("mail -s x").is_err());
    }

    #[test]
    fn a_program_gets_the_figures() {
        let usage = Usage { bytes: 1025, messages: 3 };
        let figures = Figures { userid: "joe@siroe.com".to_owned(), usage, bytes: Some(2048), ..Figures::default() };
        let subject = Subject { account: None, figures, roots: Vec::new(), folders: None };
        let said = Method::parse("/bin/cat").unwrap().run(Path::new("/"), &subject, None).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(
            said,
            json!({
                "v": 1, "username": "joe@siroe.com", "quotakb": 2, "quotamsg": -1, "usagekb": 2, "usagemsg": 3,
                "num_folder": 0, "folderlist": [], "trigger": null, "rule": null,
            })
        );
        assert!(matches!(
            Method::parse("/bin/false").unwrap().run(Path::new("/"), &subject, None),
            Err(MethodError::Failed { .. })
        ));
    }
}
