//! ENABLE (RFC 5161) and what else enables CONDSTORE and QRESYNC (RFC 7162 sections 3.1 and 3.2.3).

use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Command, Item, StatusItem};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::session::Session;

/// What the client has enabled: for the rest of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// FETCH responses that tell of changed flags have the mod-sequence.
    pub condstore: bool,
    /// VANISHED is told instead of EXPUNGE.
    pub qresync: bool,
    /// Names and quoted strings are UTF-8 (RFC 6855).
    pub utf8: bool,
    /// Responses are those of IMAP4rev2 (RFC 9051): names in UTF-8, ESEARCH, no `\Recent`.
    pub rev2: bool,
}

impl Enabled {
    /// FETCH responses that nobody asked for have the UID (RFC 7162 section 3.2.4; RFC 9051 appendix E, 21).
    pub fn tells_uid(self) -> bool {
        self.qresync || self.rev2
    }
}

/// Enables those of `names` that there are, and writes which.
pub fn run(session: &mut Session, names: &[String], out: &mut Vec<u8>) -> Answer {
    let mut done = String::new();
    for name in names {
        match name.as_str() {
            "CONDSTORE" => session.enable_condstore(out),
            "QRESYNC" => {
                // One implies the other (RFC 7162 section 3.2.3).
                session.enable_condstore(out);
                session.enabled.qresync = true;
            }
            "UTF8=ACCEPT" => session.enabled.utf8 = true,
            "IMAP4REV2" => session.enable_rev2(),
            _ => continue,
        }
        let name = if name == "IMAP4REV2" { "IMAP4rev2" } else { name };
        if !done.split(' ').any(|known| known == name) {
            done.push(' ');
            done.push_str(name);
        }
    }
    respond::text(out, &format!("* ENABLED{done}\r\n"));
    Answer::completed()
}

impl Session {
    /// From now on responses are those of RFC 9051 (section 6.3.1 and appendix A); what it has done away with is understood, but told only where it
    /// is asked for.
    fn enable_rev2(&mut self) {
        self.enabled.rev2 = true;
        if let Some(selected) = &mut self.selected {
            selected.rev2 = true;
        }
    }

    /// From now on FETCH responses that tell of changes have mod-sequences; what was told before had none, so the client learns up to
    /// which one it knows the mailbox.
    pub(in crate::protocol::imap) fn enable_condstore(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.enabled.condstore, true) {
            return;
        }
        if let Some(selected) = &self.selected {
            let code = Code::HighestModseq(selected.known_modseq());
            respond::status(out, "*", Status::Ok, Some(&code), "Ok");
        }
    }
}

/// True for a command that shows that the client knows mod-sequences: it enables CONDSTORE (RFC 7162 section 3.1).
pub fn implied(command: &Command) -> bool {
    let wanted = |items: &[StatusItem]| items.contains(&StatusItem::HighestModseq);
    match command {
        Command::Select(opening) | Command::Examine(opening) => opening.condstore,
        Command::Status { items, .. } => wanted(items),
        Command::List(listing) => wanted(&listing.returns.status),
        Command::Fetch { items, modifiers, .. } => modifiers.changed_since.is_some() || items.contains(&Item::Modseq),
        Command::Store { unchanged_since, .. } => unchanged_since.is_some(),
        Command::Search { key, .. } => key.has_modseq(),
        _ => false,
    }
}
