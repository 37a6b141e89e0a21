//! What a folder is for (RFC 6154, RFC 8457): the attributes, and the names by which clients make such folders.

use super::Tx;
use super::error::StoreError;
use super::folder::CreateOptions;
use super::ids::{AccountId, FolderId};
use super::name::LEVELS;
use super::record::Account;
use super::rows;
use crate::text::utf7;

/// Special uses of a folder as bits: \All \Archive \Drafts \Flagged \Junk \Sent \Trash \Important.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialUse(pub u16);

/// The attributes; the index is the bit.
const ATTRIBUTES: [&str; 8] =
    ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Important"];

impl SpecialUse {
    /// \All: it presents every message of the account.
    pub const ALL: SpecialUse = SpecialUse(1);
    /// \Archive.
    pub const ARCHIVE: SpecialUse = SpecialUse(1 << 1);
    /// \Drafts.
    pub const DRAFTS: SpecialUse = SpecialUse(1 << 2);
    /// \Flagged: it presents every flagged message of the account.
    pub const FLAGGED: SpecialUse = SpecialUse(1 << 3);
    /// \Junk.
    pub const JUNK: SpecialUse = SpecialUse(1 << 4);
    /// \Sent.
    pub const SENT: SpecialUse = SpecialUse(1 << 5);
    /// \Trash.
    pub const TRASH: SpecialUse = SpecialUse(1 << 6);
    /// \Important (RFC 8457).
    pub const IMPORTANT: SpecialUse = SpecialUse(1 << 7);
    /// Uses that promise a view of other folders' messages. A folder of this store shows its own, so nobody can be given these.
    pub const VIEWS: SpecialUse = SpecialUse(Self::ALL.0 | Self::FLAGGED.0);

    /// The use that an attribute such as `\Sent` names, in any letter case.
    pub fn parse(attribute: &str) -> Option<SpecialUse> {
        ATTRIBUTES.iter().position(|known| known.eq_ignore_ascii_case(attribute)).map(|bit| SpecialUse(1 << bit))
    }

    /// Its attributes.
    pub fn attributes(self) -> impl Iterator<Item = &'static str> {
        ATTRIBUTES.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name)
    }

    /// True for a folder without any.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if all of `other` are there.
    pub fn contains(self, other: SpecialUse) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub fn with(self, other: SpecialUse) -> SpecialUse {
        SpecialUse(self.0 | other.0)
    }

    /// What these and those have in common.
    #[must_use]
    pub fn and(self, other: SpecialUse) -> SpecialUse {
        SpecialUse(self.0 & other.0)
    }

    /// These, but not those.
    #[must_use]
    pub fn without(self, other: SpecialUse) -> SpecialUse {
        SpecialUse(self.0 & !other.0)
    }

    /// What a folder of that name is made for by the clients that make it: Thunderbird, Apple Mail, Outlook, Pine and web mail, in English, and
    /// Outlook's names in German and French. Letter case does not count.
    pub fn by_name(component: &str) -> SpecialUse {
        let Some(name) = utf7::decode(component.as_bytes()) else {
            return SpecialUse::default();
        };
        match name.to_lowercase().as_str() {
            "archive" | "archives" | "archiv" => Self::ARCHIVE,
            "drafts" | "draft" | "entwürfe" | "brouillons" => Self::DRAFTS,
            "junk"
            | "junk e-mail"
            | "junk email"
            | "junk mail"
            | "junk-e-mail"
            | "spam"
            | "bulk mail"
            | "courrier indésirable" => Self::JUNK,
            "sent"
            | "sent items"
            | "sent messages"
            | "sent mail"
            | "sent-mail"
            | "gesendete elemente"
            | "gesendete objekte"
            | "éléments envoyés" => Self::SENT,
            "trash"
            | "deleted items"
            | "deleted messages"
            | "gelöschte elemente"
            | "gelöschte objekte"
            | "éléments supprimés" => Self::TRASH,
            _ => SpecialUse::default(),
        }
    }
}

impl std::fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, attribute) in self.attributes().enumerate() {
            write!(f, "{}{attribute}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Tx<'_, '_> {
    /// The uses of a folder that is made now. Those asked for must be free; one that the name suggests is left out where another folder holds it.
    pub(super) fn use_of_new(
        &self,
        account: AccountId,
        top: bool,
        component: &str,
        options: &CreateOptions,
    ) -> Result<SpecialUse, StoreError> {
        let wanted = match options.special_use {
            Some(asked) => asked,
            None if top => SpecialUse::by_name(component),
            None => SpecialUse::default(),
        };
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let never = wanted.and(SpecialUse::VIEWS);
        let held = wanted.and(rows::uses(self.txn, account)?);
        if options.special_use.is_some() && !never.with(held).is_empty() {
            let uses = if never.is_empty() { held } else { never };
            return Err(StoreError::SpecialUse { uses, held: never.is_empty() });
        }
        Ok(wanted.without(never.with(held)))
    }

    /// True for the folder for \Trash and those below it.
    pub(super) fn is_trash(&self, account: AccountId, folder: FolderId) -> Result<bool, StoreError> {
        let mut at = folder;
        for _ in 0..=LEVELS {
            if at == FolderId::TOP {
                return Ok(false);
            }
            let row = rows::need_folder(self.txn, account, at)?;
            if row.special_use.contains(SpecialUse::TRASH) {
                return Ok(true);
            }
            at = row.parent;
        }
        Ok(false)
    }

    /// Takes its uses from a folder.
    pub(super) fn drop_use(
        &mut self,
        account: AccountId,
        owner: &mut Account,
        folder: FolderId,
    ) -> Result<(), StoreError> {
        let mut row = rows::need_folder(self.txn, account, folder)?;
        row.special_use = SpecialUse::default();
        row.highest_modseq = Tx::next_modseq(owner);
        self.changed(account, &row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_and_print() {
        for (bit, attribute) in ATTRIBUTES.iter().enumerate() {
            let one = SpecialUse(1 << bit);
            assert_eq!(one.to_string(), *attribute);
            assert_eq!(SpecialUse::parse(&attribute.to_uppercase()), Some(one));
        }
        assert_eq!(SpecialUse::IMPORTANT.with(SpecialUse::JUNK).to_string(), "\\Junk \\Important");
        assert_eq!(SpecialUse::default().to_string(), "");
        for unknown in ["Sent", "\\", "\\Sentt", "\\Snoozed", ""] {
            assert_eq!(SpecialUse::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn names_suggest_a_use() {
        for (names, wanted) in [
            (&["Sent", "sent-mail", "Sent Items", "SENT MESSAGES", "Gesendete Elemente"][..], SpecialUse::SENT),
            (&["&AMk-l&AOk-ments envoy&AOk-s"], SpecialUse::SENT),
            (&["Drafts", "Entw&APw-rfe"], SpecialUse::DRAFTS),
            (&["Trash", "Deleted Items", "Gel&APY-schte Elemente"], SpecialUse::TRASH),
            (&["Junk", "Junk E-mail", "spam", "Bulk Mail"], SpecialUse::JUNK),
            (&["Archive", "Archives"], SpecialUse::ARCHIVE),
            (&["INBOX", "Sent 2004", "Unsent", "Entw&APwrfe", "Entwürfe", "", "All", "Flagged"], SpecialUse::default()),
        ] {
            for name in names {
                assert_eq!(SpecialUse::by_name(name), wanted, "{name}");
            }
        }
    }
}
