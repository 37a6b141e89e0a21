//! The line that ends a session.

use std::net::IpAddr;

use chrono::{Datelike, Local, TimeZone, Timelike};

/// `close [address] [user] login time, length, sums`: the sums begin with the bytes from and to the client. Source: 6.3 Administration Guide, the
/// example of a log line.
pub fn close_line(peer: IpAddr, user: &str, began_s: i64, ended_s: i64, sums: &str) -> String {
    let length = ended_s.saturating_sub(began_s).max(0);
    let (hours, minutes, seconds) = (length / 3600, length / 60 % 60, length % 60);
    format!("close [{peer}] [{user}] {} {hours}:{minutes:02}:{seconds:02} {sums}", clock_words(began_s))
}

/// `1998/12/3 6:54:32` in local time, as the documented line has it.
fn clock_words(at_s: i64) -> String {
    match Local.timestamp_opt(at_s, 0).earliest() {
        Some(at) => {
            format!("{}/{}/{} {}:{:02}:{:02}", at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second())
        }
        None => at_s.to_string(),
    }
}
