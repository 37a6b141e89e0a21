//! **Here**: backups of mailboxes: the archive as bytes ([`tar`]), what its members say ([`member`]), which mailboxes are meant ([`select`]),
//! writing ([`write`]) and restoring ([`restore`]).
//! **Not here**: options, printing, exit codes (`cli::imsbackup`, `cli::imsrestore`); how messages get into the store (`store::restore`).
//! **Start**: docs/backup-format.md, then [`write::Backup`] and [`restore::Restore`].
//! **Rules**: no snapshot is open while bytes go to the archive; what is read from an archive is data: every length is bounded, names are
//! only compared and parsed as names of mailboxes, never used as paths.
//! **Sources**: POSIX pax Interchange Format (IEEE 1003.1, pax); AdminRef imsbackup, imsrestore; chapter "Backing Up and Restoring the Message Store".

pub mod member;
pub mod restore;
pub mod select;
pub mod tar;
pub mod write;
