//! The databases by the names of the manuals, whose content lies in the shards here; figures of the environments.

use std::ops::ControlFlow;

use super::super::exit::{Exit, Failure};
use super::super::instance::store_failure;
use super::super::ui::Ui;
use crate::ops::mailbox::show_name;
use crate::store::{Account, AccountId, Kind, Store, StoreError};

/// A database that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    User,
    Folder,
    Quota,
    Subscriptions,
    Expunged,
}

impl Database {
    pub(super) fn named(name: &str) -> Result<Database, Failure> {
        match name.strip_suffix(".db").unwrap_or(name) {
            "user" => Ok(Database::User),
            "folder" => Ok(Database::Folder),
            "quota" => Ok(Database::Quota),
            "subscr" => Ok(Database::Subscriptions),
            "expunged" => Ok(Database::Expunged),
            _ => Err(Failure::new(Exit::Usage, format!("there is no database {name}"))
                .hint("there are user.db, folder.db, quota.db, subscr.db and expunged.db")),
        }
    }

    /// One line a row, accounts by user id.
    pub(super) fn print(self, ui: &mut Ui, store: &Store) -> anyhow::Result<Exit> {
        let mut exit = Exit::Ok;
        store
            .each_account(&mut |userid, found| {
                let printed = found.and_then(|(id, row)| self.account(ui, store, userid, id, &row));
                match printed {
                    Ok(()) => {}
                    Err(error) if error.kind() == Kind::NotFound => {}
                    Err(error) => {
                        ui.error(format!("user/{userid}: {error}"));
                        exit = Exit::Incomplete;
                    }
                }
                if ui.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(store_failure)?;
        Ok(exit)
    }

    fn account(self, ui: &mut Ui, store: &Store, userid: &str, id: AccountId, row: &Account) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        match self {
            Database::User => lines.push(format!("user/{userid} {id} {}", row.partition)),
            Database::Folder => {
                for (path, folder) in store.view(id)?.folders()? {
                    let name = show_name(userid, &path);
                    lines.push(format!("{name} {} {} {}", folder.partition, folder.uidvalidity, folder.mailbox_id));
                }
            }
            Database::Quota => {
                let limit =
                    |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
                for root in store.view(id)?.quota_roots()? {
                    let name =
                        root.folder.map_or_else(|| format!("user/{userid}"), |path| format!("user/{userid}/{path}"));
                    let (bytes, messages) = (limit(root.bytes), limit(root.messages));
                    lines.push(format!("{name} {} {} {bytes} {messages}", root.usage.bytes, root.usage.messages));
                }
            }
            Database::Subscriptions => {
                let names = store.view(id)?.subscriptions()?;
                lines.extend(names.into_iter().map(|name| format!("user/{userid}: {name}")));
            }
            Database::Expunged => {
                let view = store.view(id)?;
                for (path, folder) in view.folders()? {
                    let name = show_name(userid, &path);
                    view.gone(folder.id, &mut |gone| {
                        let state = if gone.purging { " purging" } else { "" };
                        lines.push(format!(
                            "{name} {} {} {}{state}",
                            gone.message.uid, gone.message.size, gone.expunged_s
                        ));
                        ControlFlow::Continue(())
                    })?;
                }
            }
        }
        lines.iter().for_each(|line| ui.line(line));
        Ok(())
    }
}

/// The figures of every environment.
pub(super) fn statistics(ui: &mut Ui, store: &Store) -> anyhow::Result<Exit> {
    for (name, figures) in store.statistics().map_err(store_failure)? {
        ui.line(format!("{name}:"));
        for (label, value) in [
            ("rows", figures.rows),
            ("depth", figures.depth),
            ("page size", figures.page_bytes),
            ("branch pages", figures.branch_pages),
            ("leaf pages", figures.leaf_pages),
            ("overflow pages", figures.overflow_pages),
            ("pages in use", figures.last_page + 1),
            ("map size", figures.map_bytes),
            ("last transaction", figures.last_txn),
            ("reader slots", figures.reader_slots),
            ("reader slots used", figures.readers),
        ] {
            ui.line(format!("  {label:<18} {value}"));
        }
    }
    Ok(Exit::Ok)
}
