//! What the tools of all services with clients do: run until they are told to end.

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::unavailable;
use super::ui::Ui;
use crate::daemon::network::{self, NetworkError, Protocol};

/// Runs the service in this process.
///
/// # Errors
/// Why it ended in other than good order, with the exit code.
pub(super) fn run<P: Protocol>(ui: &mut Ui) -> anyhow::Result<Exit> {
    let instance = instance(ui)?;
    network::run::<P>(&instance).map_err(ended)?;
    Ok(Exit::Ok)
}

fn ended(error: NetworkError) -> anyhow::Error {
    let exit = match error {
        NetworkError::Config(error) => return failure(error).into(),
        NetworkError::Process(error) => return unavailable(error),
        NetworkError::User(_) | NetworkError::Tls { .. } | NetworkError::Nowhere => Exit::Config,
        NetworkError::Store(_) => Exit::Unavailable,
        NetworkError::Listen { ref source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::NoPerm
        }
        NetworkError::Listen { .. } => Exit::Unavailable,
        NetworkError::System(_) => Exit::IoErr,
    };
    Failure::new(exit, error.to_string()).into()
}
