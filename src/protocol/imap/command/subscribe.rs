//! SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7). A name may be subscribed whether the mailbox is there or not.

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::session::Session;

/// Puts a name on the list, or takes it off.
///
/// # Errors
/// NO: not a name.
pub fn run(session: &mut Session, name: &str, on: bool) -> Answered {
    let account = session.account()?;
    let path = session.path(name)?;
    session.store.subscribe(account, &path.to_string(), on)?;
    Ok(Answer::completed())
}
