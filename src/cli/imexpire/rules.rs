//! The rules of a run, and the installation of a local rule file.

use std::io::ErrorKind;
use std::path::Path;

use super::super::exit::{Exit, Failure};
use super::super::instance::store_failure;
use super::super::ui::Ui;
use super::{no_partition, userid};
use crate::config::{Conf, Instance};
use crate::directory::canonical_userid;
use crate::ops::expire::{Rules, install as place, source};
use crate::ops::mailbox::{read_name, show_name};
use crate::store::Store;

/// Reads a rule file that the command line names.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    source::read_text(path).map_err(|error| {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NoInput,
            ErrorKind::InvalidData => Exit::DataErr,
            ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::IoErr,
        };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    })
}

/// Every rule that counts, and who is excluded.
pub(super) fn load(
    instance: &Instance,
    conf: &Conf,
    store: &Store,
    file: Option<(&Path, &str)>,
) -> Result<Rules, Failure> {
    let excluded = source::excluded(instance).map_err(|(path, error)| {
        let text =
            format!("cannot read {}: {error}; nothing expires while it is not known who is excluded", path.display());
        Failure::new(Exit::IoErr, text)
    })?;
    let domain = conf.string("local.defdomain");
    let domain = Some(domain.as_str()).filter(|domain| !domain.is_empty());
    // As it is written, too: accounts of old are found under any spelling.
    let excluded = excluded.into_iter().flat_map(|user| [canonical_userid(&user, domain), user]).collect();
    let rules = Rules { global: source::global(instance, conf, file), excluded, ..Rules::default() };
    Ok(if file.is_some() { rules } else { rules.with_local(store) })
}

/// Installs a local rule file for a partition or a mailbox.
pub(super) fn install(
    ui: &mut Ui,
    instance: &Instance,
    conf: &Conf,
    store: &Store,
    (partition, mailbox): (Option<&str>, Option<&str>),
    (path, text): (&Path, &str),
) -> anyhow::Result<Exit> {
    let loaded = source::local_text(text, path);
    loaded.faults.iter().for_each(|fault| ui.error(fault.to_string()));
    if !loaded.faults.is_empty() || loaded.rules.is_empty() {
        let what = if loaded.rules.is_empty() && loaded.faults.is_empty() {
            "there is no rule in it"
        } else {
            "it has faults"
        };
        return Err(Failure::new(Exit::DataErr, format!("{} is not installed: {what}", path.display())).into());
    }
    let dir;
    // A folder that is being renamed is waited for, and waits.
    let mut _lock = None;
    if let Some(partition) = partition {
        let found = store.partitions().into_iter().find(|(nickname, _)| nickname == partition);
        dir = match found {
            Some((_, Some(dir))) => dir,
            Some((_, None)) => {
                return Err(Failure::new(Exit::Unavailable, format!("partition {partition} is not mounted")).into());
            }
            None => return Err(no_partition(partition).into()),
        };
    } else {
        let text = mailbox.unwrap_or_default();
        let name = read_name(text).map_err(|error| Failure::new(Exit::Usage, format!("{text}: {error}")))?;
        let owner = userid(conf, store, &name.owner)?;
        let missing = || {
            let text = format!("no such mailbox: {}", show_name(&owner, &name.folder));
            Failure::new(Exit::NoInput, text).hint("mboxutil -l -s lists all")
        };
        let account = store.account_id(&owner).map_err(store_failure)?.ok_or_else(missing)?;
        let row = store
            .view(account)
            .and_then(|view| view.resolve(&name.folder))
            .map_err(store_failure)?
            .ok_or_else(missing)?;
        _lock = Some(store.lock_folder(account, row.id, "imexpire -i").map_err(store_failure)?);
        dir = store.view(account).and_then(|view| view.folder_dir(row.id)).map_err(store_failure)?;
    }
    match place::install(&instance.proc_dir(), &dir, text) {
        Ok(Some(installed)) => ui.line(format!("installed {}", installed.display())),
        Ok(None) => {
            let text = "a run of imexpire may be carrying the rules in place out at this moment";
            return Err(Failure::new(Exit::TempFail, text).hint("try again when it has ended").into());
        }
        Err(error) => {
            let text = format!("cannot write a rule file in {}: {error}", dir.display());
            return Err(Failure::new(Exit::CantCreate, text).into());
        }
    }
    Ok(Exit::Ok)
}
