//! GETQUOTA and SETQUOTA (RFC 9208 section 4.1).

use super::command::{Bad, Command, What};
use super::cursor::{Cursor, Parsed};

/// Resources of one SETQUOTA.
const RESOURCES: usize = 16;

pub(super) fn get(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    Ok(Command::GetQuota(c.astring_text()?))
}

/// `root (STORAGE 512 MESSAGE 100)`; an empty list takes all limits away.
pub(super) fn set(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let root = c.astring_text()?;
    c.space()?;
    let limits = c.list(|c| {
        let resource = c.atom(What::Resource)?.to_ascii_uppercase();
        c.space()?;
        Ok((resource, c.number63(What::Number)?))
    })?;
    if limits.len() > RESOURCES {
        return Err(Bad::TooMany(c.command()));
    }
    Ok(Command::SetQuota { root, limits })
}
