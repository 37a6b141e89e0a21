//! The clock: the only place that asks for the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{Local, Offset, TimeZone};

/// Seconds since 1970-01-01 00:00 UTC. With the feature `failpoints` the file that the environment variable `CLOCK_FILE` names says how many seconds
/// are added, so that a test moves the clock of processes that run.
pub fn now_s() -> i64 {
    system_s().saturating_add(moved_s())
}

/// Seconds that local time (TZ, else /etc/localtime) is ahead of UTC at a time, seconds since 1970.
pub fn utc_offset_s(at_s: i64) -> i64 {
    Local.timestamp_opt(at_s, 0).single().map_or(0, |time| i64::from(time.offset().fix().local_minus_utc()))
}

#[cfg(feature = "failpoints")]
fn moved_s() -> i64 {
    static FILE: std::sync::OnceLock<Option<std::path::PathBuf>> = std::sync::OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os("CLOCK_FILE").map(Into::into));
    let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(not(feature = "failpoints"))]
fn moved_s() -> i64 {
    0
}

#[allow(clippy::disallowed_methods)]
fn system_s() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
    }
}

/// How long a command is silent before its client is told that it runs. With the feature `failpoints` the environment variable `SILENCE_MS` says
/// how many milliseconds that is.
pub fn silence() -> Duration {
    #[cfg(feature = "failpoints")]
    if let Some(short) = std::env::var("SILENCE_MS").ok().and_then(|text| text.parse().ok()) {
        return Duration::from_millis(short);
    }
    Duration::from_secs(10)
}

/// A minute, for limits of time. With the feature `failpoints` the environment variable `MINUTE_MS` says how many milliseconds it has, so
/// that a test need not wait.
pub fn minute() -> Duration {
    #[cfg(feature = "failpoints")]
    if let Some(short) = std::env::var("MINUTE_MS").ok().and_then(|text| text.parse().ok()) {
        return Duration::from_millis(short);
    }
    Duration::from_secs(60)
}
