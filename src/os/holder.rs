//! Who holds something: a process by its number and the moment it was started, so that a number used again is not mistaken for it.

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start: u64,
}

impl Holder {
    /// This process.
    pub fn me() -> Holder {
        use std::sync::OnceLock;
        static ME: OnceLock<Holder> = OnceLock::new();
        *ME.get_or_init(|| {
            let pid = std::process::id();
            Holder { pid, start: start_of(pid).unwrap_or(0) }
        })
    }

    /// True while that very process lives.
    pub fn alive(self) -> bool {
        start_of(self.pid) == Some(self.start)
    }
}

/// When the process `pid` was started; `None` when there is none (a zombie counts as none).
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; the fields after it are plain.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_others_do_not() {
        assert!(Holder::me().alive());
        assert!(!Holder { start: 1, ..Holder::me() }.alive());
        assert!(!Holder { pid: u32::MAX, start: 0 }.alive());
    }
}
