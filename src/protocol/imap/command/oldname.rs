//! LIST responses that no LIST has asked for, to a client of IMAP4rev2: which mailbox was selected (RFC 9051 section 6.3.2), and with OLDNAME
//! how it was called before, or by the client (RFC 9051 section 6.3.9.7).
//!
//! Names are in Normalization Form C (RFC 9051 section 5.1). A client of IMAP4rev2 that writes another form means the normal one, in every
//! command, unless there is a mailbox of just that name: other clients and tools may have made it.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::log::{self, Category};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::place::Place;
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, Folder, FolderPath, Rights, StoreError, View};
use crate::text::utf7;

impl Session {
    /// The normal form of a text in UTF-8, if it is another one and this client's names are to be in it.
    pub(super) fn normal_form(&self, text: &str) -> Option<String> {
        (self.enabled.rev2 && !is_nfc(text)).then(|| text.nfc().collect())
    }

    /// The whole name that a client means.
    ///
    /// # Errors
    /// NO: the normal form is not a name; what the store says.
    pub(in crate::protocol::imap) fn normalised(&self, path: FolderPath) -> Result<FolderPath, Answer> {
        let name = path.to_string();
        let Some(normal) = utf7::decode(name.as_bytes()).and_then(|text| self.normal_form(&text)) else {
            return Ok(path);
        };
        let there = match self.place_of(&path)? {
            Some(place) => self
                .look(&place, true)?
                // Who has no right there does not learn that it is there.
                .is_some_and(|folder| self.store.rights(place.account, &folder) != Rights::NONE),
            None => false,
        };
        if there || self.store.view(self.account()?)?.is_subscribed(&name)? {
            return Ok(path);
        }
        Ok(FolderPath::parse(&utf7::encode(&normal))?)
    }

    /// How the mailbox was written, where its name is in normal form and this is another one.
    pub(super) fn differs(&self, written: &str, place: &Place) -> Option<String> {
        let written = FolderPath::parse(written).ok()?.to_string();
        (written != place.name).then_some(written)
    }

    /// Tells a client that wrote `written` what the mailbox is called, if that is another form.
    pub(in crate::protocol::imap) fn tell_normal(&self, written: &str, place: &Place, out: &mut Vec<u8>) {
        if let Some(old) = self.differs(written, place) {
            self.tell(place, &old, out);
        }
    }

    /// Tells the client of the new name of a mailbox, of which it has written the old one as `written`. INBOX keeps its name
    /// (RFC 9051 section 6.3.6).
    pub(super) fn tell_renamed(&self, written: &str, (from, to): (&Place, &Place), out: &mut Vec<u8>) {
        if self.enabled.rev2 && !from.path.is_inbox() {
            self.tell(to, self.differs(written, from).as_ref().unwrap_or(&from.name), out);
        }
    }

    /// What was to be done is done: that nothing can be told of it does not undo it.
    fn tell(&self, place: &Place, old: &str, out: &mut Vec<u8>) {
        let told = self.store.view(place.account).and_then(|view| {
            let folder = view.resolve(&place.path)?;
            write(self, (&view, place), folder.as_ref(), Some(old), out)
        });
        if let Err(error) = told {
            log::error(Category::Store, format!("the name {}: {error}", place.name));
        }
    }
}

/// Are there folders below that the user may know of (RFC 5258 section 4)?
///
/// # Errors
/// What the store says.
pub(super) fn has_children(
    session: &Session,
    view: &View<'_>,
    account: AccountId,
    folder: &Folder,
) -> Result<bool, StoreError> {
    if session.account().ok() == Some(account) {
        return view.has_children(folder.id);
    }
    view.any_child(folder.id, &|child| session.store.rights(account, child).contains(Rights::LOOKUP))
}

/// Writes the LIST response of a name. `folder` is what stands there in `view`, a view of its owner's account; `old` another name of it.
///
/// # Errors
/// What the store says.
pub(super) fn write(
    session: &Session,
    (view, place): (&View<'_>, &Place),
    folder: Option<&Folder>,
    old: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut attributes = Vec::new();
    match folder {
        None => attributes.push("\\NonExistent"),
        Some(folder) if folder.noselect => attributes.push("\\Noselect"),
        Some(_) => {}
    }
    // Subscriptions, and what a mailbox is used for, are the user's own.
    let own = session.account().ok();
    let is_own = own == Some(place.account);
    let subscribed = match own {
        Some(own) if !is_own => session.store.view(own)?.is_subscribed(&place.name)?,
        _ => view.is_subscribed(&place.name)?,
    };
    if subscribed {
        attributes.push("\\Subscribed");
    }
    if let Some(folder) = folder {
        attributes.push(if has_children(session, view, place.account, folder)? {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        });
        if is_own {
            attributes.extend(folder.special_use.attributes());
        }
    }
    let old = old.map(|old| session.shown(old));
    respond::list_with_oldname(out, &attributes, &session.shown(&place.name), old.as_deref());
    Ok(())
}
