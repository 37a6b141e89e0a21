//! Folders of others in LIST: those that the user may look up, with the names above them (RFC 4314 section 4, right `l`).

use std::collections::BTreeMap;

use super::Name;
use crate::protocol::imap::command::oldname::has_children;
use crate::protocol::imap::place::{SHARED, name_for};
use crate::protocol::imap::session::Session;
use crate::store::{Folder, FolderPath, Rights, SpecialUse, StoreError};

/// All of them, depth first. A name above one that cannot be looked up itself is `\Noselect`.
pub(super) fn names(session: &Session) -> Result<Vec<Name>, StoreError> {
    let mut found: BTreeMap<FolderPath, Name> = BTreeMap::new();
    for shared in session.store.shared()? {
        // A name that is longer than names may be cannot be told.
        let Some(path) = name_for(&shared.owner, &shared.path) else { continue };
        let mut above = path.parent();
        while let Some(path) = above.filter(|path| !found.contains_key(path)) {
            above = path.parent();
            let nothing = Folder { noselect: true, ..Folder::default() };
            found.insert(path.clone(), Name::new(path, Some(nothing)));
        }
        let mut folder = shared.folder;
        // What its owner uses it for is nothing to others.
        folder.special_use = SpecialUse::default();
        found.insert(path.clone(), Name { owner: Some(shared.account), ..Name::new(path, Some(folder)) });
    }
    Ok(found.into_values().collect())
}

/// The one that the user subscribed to by this name, if he may know of it.
pub(super) fn subscribed(session: &Session, path: &FolderPath) -> Result<Option<Name>, StoreError> {
    if path.components().first().is_none_or(|first| first != SHARED) {
        return Ok(None);
    }
    let Ok((place, mut folder)) = session.found(&path.to_string(), Rights::LOOKUP) else {
        return Ok(None);
    };
    let view = session.store.view(place.account)?;
    let has_children = has_children(session, &view, place.account, &folder)?;
    folder.special_use = SpecialUse::default();
    Ok(Some(Name { owner: Some(place.account), has_children, ..Name::new(path.clone(), Some(folder)) }))
}
