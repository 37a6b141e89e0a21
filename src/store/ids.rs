//! Identifiers, each a type of its own.

use std::fmt;

/// The unique identifier of a message in its folder (RFC 9051 2.3.1.1); never 0.
pub type Uid = u32;
/// A modification sequence (RFC 7162); one counter an account, so 0 means "before everything".
pub type Modseq = u64;

/// An account, random at creation: a name that is used again is another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

/// A folder of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderId(pub u32);

impl FolderId {
    /// The root of an account's tree; no folder.
    pub const TOP: FolderId = FolderId(0);
    /// INBOX.
    pub const INBOX: FolderId = FolderId(1);
}

/// A message by its content: the first 16 bytes of its BLAKE3 digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

/// A mailbox wherever it goes (RFC 8474 MAILBOXID): random at creation, kept by rename and move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub [u8; 16]);

impl Guid {
    /// Reads what is printed: 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Guid> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits && text.len() == 32)?;
        Some(Guid(number.to_be_bytes()))
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let guid = Guid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(guid.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        for wrong in ["", "+00102030405060708090a0b0c0d0eff", "000102030405060708090A0B0C0D0EFF", "0ff"] {
            assert_eq!(Guid::parse(wrong), None, "{wrong}");
        }
    }
}
