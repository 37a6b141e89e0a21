//! **Here**: the documented log line, `[DD/Mon/YYYY:hh:mm:ss +zzzz] host process[pid]: Category Level: text`, and its files.
//! **Not here**: what is worth a line; which parameters give the limits (the caller passes [`Settings`]).
//! **Start**: [`init`], then [`notice`], [`error`] and their like from any room and any thread.
//! **Rules**: a log that cannot be written never stops the service: lines are counted and the loss is told later. Before [`init`]
//! lines are dropped. No message content, no credentials.
//! **Sources**: Administration Guide, managing logging (file names `service.sequenceNum.timeStamp`, levels, categories).

mod close;
mod file;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{Local, TimeZone};

use crate::os::clock;

pub use close::close_line;

/// How severe an event is; the first that are written depend on the level that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Writes nothing (only as a level that is set).
    Nolog,
    /// The system is unusable.
    Emergency,
    /// Something must be done at once.
    Alert,
    /// A part of the service has failed.
    Critical,
    /// An operation has failed.
    Error,
    /// Something may fail soon.
    Warning,
    /// Normal but significant.
    Notice,
    /// What happens.
    Information,
    /// Everything.
    Debug,
}

const LEVELS: [Level; 9] = [
    Level::Nolog,
    Level::Emergency,
    Level::Alert,
    Level::Critical,
    Level::Error,
    Level::Warning,
    Level::Notice,
    Level::Information,
    Level::Debug,
];

impl Level {
    /// The word of the log line and of `logfile.<service>.loglevel`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Nolog => "Nolog",
            Level::Emergency => "Emergency",
            Level::Alert => "Alert",
            Level::Critical => "Critical",
            Level::Error => "Error",
            Level::Warning => "Warning",
            Level::Notice => "Notice",
            Level::Information => "Information",
            Level::Debug => "Debug",
        }
    }

    /// Reads the word, in any case.
    pub fn parse(text: &str) -> Option<Level> {
        LEVELS.into_iter().find(|level| level.name().eq_ignore_ascii_case(text.trim()))
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Anything else: start, stop, configuration.
    General,
    /// The user directory.
    Ldap,
    /// Connections.
    Network,
    /// Logins and accounts.
    Account,
    /// Commands of a protocol.
    Protocol,
    /// Figures.
    Stats,
    /// The message store.
    Store,
}

impl Category {
    /// The word of the log line.
    pub fn name(self) -> &'static str {
        match self {
            Category::General => "General",
            Category::Ldap => "LDAP",
            Category::Network => "Network",
            Category::Account => "Account",
            Category::Protocol => "Protocol",
            Category::Stats => "Stats",
            Category::Store => "Store",
        }
    }
}

/// Where and how much a process logs. Sizes in bytes, times in seconds; 0 means no limit.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the log file: `imap`, `default` for stored and the tools.
    pub service: String,
    /// The name of the process in the line: `imapd`.
    pub process: String,
    /// The directory of the log files; made when it is missing.
    pub dir: PathBuf,
    /// The least severe level that is written.
    pub level: Level,
    /// Size at which the file is rotated.
    pub max_file_bytes: u64,
    /// Space of all files of the service.
    pub max_total_bytes: u64,
    /// Number of files of the service.
    pub max_files: usize,
    /// Age at which the file is rotated.
    pub rollover_s: i64,
    /// Age at which a rotated file is removed.
    pub expire_s: i64,
    /// Free space of the file system below which rotated files are removed, the oldest first.
    pub min_free_bytes: u64,
}

impl Settings {
    /// The documented defaults: level Notice, 20 MiB a file and in all, 10 files, a day, a week, 5 MiB free.
    pub fn new(service: impl Into<String>, process: impl Into<String>, dir: impl Into<PathBuf>) -> Settings {
        Settings {
            service: service.into(),
            process: process.into(),
            dir: dir.into(),
            level: Level::Notice,
            max_file_bytes: 20_971_520,
            max_total_bytes: 20_971_520,
            max_files: 10,
            rollover_s: 86_400,
            expire_s: 604_800,
            min_free_bytes: 5_242_880,
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Nolog as u8);
static LOG: Mutex<Option<Log>> = Mutex::new(None);

struct Log {
    file: file::LogFile,
    origin: String,
    lost: u64,
}

/// Begins to log, or goes on with other settings. No file is touched before the first line.
pub fn init(settings: Settings) {
    let host = crate::os::host::name();
    let host = host.split('.').next().unwrap_or_default().to_owned();
    let origin = format!("{host} {}[{}]", settings.process, std::process::id());
    set_level(settings.level);
    *lock() = Some(Log { file: file::LogFile::new(settings), origin, lost: 0 });
}

/// Removes the oldest rotated files of a log until at most `keep` are left; returns how many went, or with `dry_run` would go. Does nothing
/// while another process rotates.
///
/// # Errors
/// The directory cannot be read.
pub fn keep_rotated(settings: Settings, keep: usize, dry_run: bool) -> std::io::Result<usize> {
    file::LogFile::new(settings).keep_rotated(keep, dry_run)
}

/// Changes the least severe level that is written, at once and in all threads.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// True when a line of this level would be written: ask before expensive texts.
pub fn enabled(level: Level) -> bool {
    level != Level::Nolog && level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line. Control characters of `text` are escaped, so that one event is one line.
pub fn write(level: Level, category: Category, text: &str) {
    if !enabled(level) {
        return;
    }
    let now_s = clock::now_s();
    let mut guard = lock();
    let Some(log) = guard.as_mut() else { return };
    if log.lost > 0 {
        let text = format!("{} log lines could not be written", log.lost);
        let line = line(now_s, &log.origin, Category::General, Level::Warning, &text);
        if log.file.write(line.as_bytes(), now_s, &log.origin).is_ok() {
            log.lost = 0;
        }
    }
    let line = line(now_s, &log.origin, category, level, text);
    if log.file.write(line.as_bytes(), now_s, &log.origin).is_err() {
        log.lost = log.lost.saturating_add(1);
    }
}

/// Writes a line of level Debug.
pub fn debug(category: Category, text: impl AsRef<str>) {
    write(Level::Debug, category, text.as_ref());
}

/// Writes a line of level Information.
pub fn information(category: Category, text: impl AsRef<str>) {
    write(Level::Information, category, text.as_ref());
}

/// Writes a line of level Notice.
pub fn notice(category: Category, text: impl AsRef<str>) {
    write(Level::Notice, category, text.as_ref());
}

/// Writes a line of level Warning.
pub fn warning(category: Category, text: impl AsRef<str>) {
    write(Level::Warning, category, text.as_ref());
}

/// Writes a line of level Error.
pub fn error(category: Category, text: impl AsRef<str>) {
    write(Level::Error, category, text.as_ref());
}

/// Writes a line of level Critical.
pub fn critical(category: Category, text: impl AsRef<str>) {
    write(Level::Critical, category, text.as_ref());
}

fn lock() -> std::sync::MutexGuard<'static, Option<Log>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(now_s: i64, origin: &str, category: Category, level: Level, text: &str) -> String {
    let when = Local
        .timestamp_opt(now_s, 0)
        .single()
        .map_or_else(|| now_s.to_string(), |time| time.format("%d/%b/%Y:%H:%M:%S %z").to_string());
    let mut line = format!("[{when}] {origin}: {} {}: ", category.name(), level.name());
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => line.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// Writes `incident N: ERROR` to the log; returns `PID.N`, which is what a client may be told.
pub fn incident(category: Category, error: &dyn std::fmt::Display) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    self::error(category, format!("incident {number}: {error}"));
    format!("{}.{number}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_documented_form() {
        let line =
            line(1_093_910_000, "vadar imapd[13027]", Category::Account, Level::Notice, "badlogin:\r\n[x]\u{1b}[1m");
        let form = regex::Regex::new(
            r"^\[3[01]/Aug/2004:\d\d:\d\d:\d\d [+-]\d{4}\] vadar imapd\[13027\]: Account Notice: badlogin:\\r\\n\[x\]\\u\{1b\}\[1m\n$",
        )
        .unwrap();
        assert!(form.is_match(&line), "{line}");
    }

    #[test]
    fn levels_have_their_order_and_names() {
        for level in LEVELS {
            assert_eq!(Level::parse(&level.name().to_lowercase()), Some(level));
        }
        assert!(Level::Critical < Level::Error && Level::Nolog < Level::Emergency);
        assert_eq!(Level::parse("loud"), None);
    }
}
