//! The name of this machine.

/// The name that the system gives itself (gethostname(2)); empty where it has none.
pub fn name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
