//! LIST responses that no LIST has asked for, to a client of IMAP4rev2: which mailbox was selected (RFC 9051 section 6.3.2), and with OLDNAME
//! how it was called before, or by the client (RFC 9051 section 6.3.9.7).
//!
//! Names are in Normalization Form C (RFC 9051 section 5.1). A client of IMAP4rev2 that writes another form means the normal one, in every
//! command, unless there is a mailbox of just that name: other clients and tools may have made it.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::log::{self, Category};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::store::{Folder, FolderPath, StoreError, View};
use crate::text::utf7;

impl Session {
    /// The normal form of a text in UTF-8, if it is another one and this client's names are to be in it.
    pub(super) fn normal_form(&self, text: &str) -> Option<String> {
        (self.enabled.rev2 && !is_nfc(text)).then(|| text.nfc().collect())
    }

    /// The path that a client means.
    ///
    /// # Errors
    /// NO: the normal form is not a name; what the store says.
    pub(in crate::protocol::imap) fn normalised(&self, path: FolderPath) -> Result<FolderPath, Answer> {
        let name = path.to_string();
        let Some(normal) = utf7::decode(name.as_bytes()).and_then(|text| self.normal_form(&text)) else {
            return Ok(path);
        };
        let view = self.server.store.view(self.account()?)?;
        if view.resolve(&path)?.is_some() || view.is_subscribed(&name)? {
            return Ok(path);
        }
        Ok(FolderPath::parse(&utf7::encode(&normal))?)
    }

    /// The path that `name` was written as, where `path` is its normal form and another one.
    pub(super) fn differs(&self, name: &str, path: &FolderPath) -> Option<FolderPath> {
        FolderPath::parse(name).ok().filter(|written| written != path)
    }

    /// Tells a client that wrote `name` that it is called `path`, if that is another form.
    pub(in crate::protocol::imap) fn tell_normal(&self, name: &str, path: &FolderPath, out: &mut Vec<u8>) {
        if let Some(written) = self.differs(name, path) {
            self.tell(path, &written, out);
        }
    }

    /// Tells the client of the new name of a mailbox, of which it has written the old one as `name`. INBOX keeps its name
    /// (RFC 9051 section 6.3.6).
    pub(super) fn tell_renamed(&self, name: &str, (from, to): (&FolderPath, &FolderPath), out: &mut Vec<u8>) {
        if self.enabled.rev2 && !from.is_inbox() {
            self.tell(to, self.differs(name, from).as_ref().unwrap_or(from), out);
        }
    }

    /// What was to be done is done: that nothing can be told of it does not undo it.
    fn tell(&self, path: &FolderPath, old: &FolderPath, out: &mut Vec<u8>) {
        let Ok(account) = self.account() else { return };
        let told = self.server.store.view(account).and_then(|view| {
            let folder = view.resolve(path)?;
            write(self, (&view, path), folder.as_ref(), Some(old), out)
        });
        if let Err(error) = told {
            log::error(Category::Store, format!("the name {path}: {error}"));
        }
    }
}

/// Writes the LIST response of a name. `folder` is what stands there in `view`, `old` another name of it.
///
/// # Errors
/// What the store says.
pub(super) fn write(
    session: &Session,
    (view, path): (&View<'_>, &FolderPath),
    folder: Option<&Folder>,
    old: Option<&FolderPath>,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let name = path.to_string();
    let mut attributes = Vec::new();
    match folder {
        None => attributes.push("\\NonExistent"),
        Some(folder) if folder.noselect => attributes.push("\\Noselect"),
        Some(_) => {}
    }
    if view.is_subscribed(&name)? {
        attributes.push("\\Subscribed");
    }
    if let Some(folder) = folder {
        attributes.push(if view.has_children(folder.id)? { "\\HasChildren" } else { "\\HasNoChildren" });
        attributes.extend(folder.special_use.attributes());
    }
    let old = old.map(|old| old.to_string());
    let old = old.as_deref().map(|old| session.shown(old));
    respond::list_with_oldname(out, &attributes, &session.shown(&name), old.as_deref());
    Ok(())
}
