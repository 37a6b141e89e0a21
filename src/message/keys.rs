//! What SORT (SUBJECT) and THREAD compare of a message (RFC 5256): made once, when the message arrives, and kept beside its envelope.
//!
//! | octets | |
//! | --- | --- |
//! | 0 | version, 1: raised when the same message would get other keys |
//! | 1 | bit 0: a reply or forwarded message; bit 1: it has a Message-ID |
//! | 2..4 | length of the subject |
//! | 4..6 | number of references |
//! | then | the base subject, folded; the Message-ID (8), if there is one; the references (8 each), the oldest first |
//!
//! Numbers are little-endian. A message-id is the first 64 bits of the BLAKE3 digest of its text.

use super::threading::{self, MessageId};
use super::{charset, header, subject};

const VERSION: u8 = 1;
const HEAD: usize = 6;
/// Octets of a folded subject that are compared: what lies behind them in longer ones does not count.
const SUBJECT_BYTES: usize = 1024;
/// Octets of a field that are looked at for message-ids.
const FIELD_BYTES: usize = 64 * 1024;

/// The keys of a message, in their octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// The base subject (RFC 5256 section 2.1), folded for comparison; empty where there is none.
    pub subject: &'a [u8],
    /// It is a reply or was forwarded, as its subject says.
    pub is_reply: bool,
    /// Its Message-ID.
    pub id: Option<MessageId>,
    references: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Reads keys; `None`: they are damaged, or of another version.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Keys<'a>> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [VERSION, marks @ 0..=3, length @ .., r0, r1] = *head else { return None };
        let (subject, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(length)))?;
        let (id, references) = match marks & 2 {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(id, rest)| (Some(MessageId::from_bytes(*id)), rest))?,
        };
        let fits = references.len() == usize::from(u16::from_le_bytes([r0, r1])) * 8;
        fits.then_some(Keys { subject, is_reply: marks & 1 != 0, id, references })
    }

    /// The messages it refers to, the oldest first: those of References, or else the first of In-Reply-To.
    pub fn references(&self) -> impl Iterator<Item = MessageId> + use<'a> {
        self.references.as_chunks().0.iter().map(|id| MessageId::from_bytes(*id))
    }
}

/// The keys of a message with these header lines, for [`Keys::decode`].
#[must_use]
pub fn of(block: &[u8]) -> Vec<u8> {
    let (mut subject, mut message_id, mut in_reply_to, mut references) = (None, None, None, None);
    for field in header::fields(block) {
        let slot = match field.name.len() {
            7 if field.is("subject") => &mut subject,
            10 if field.is("message-id") => &mut message_id,
            10 if field.is("references") => &mut references,
            11 if field.is("in-reply-to") => &mut in_reply_to,
            _ => continue,
        };
        slot.get_or_insert(field.value);
    }
    let ids = |value: Option<&[u8]>| {
        let value = value.unwrap_or_default();
        threading::message_ids(value.get(..FIELD_BYTES).unwrap_or(value))
    };
    let base = subject.map(subject::base).unwrap_or_default();
    let mut folded = charset::fold(&base.text);
    folded.truncate(folded.floor_char_boundary(SUBJECT_BYTES));
    let id = ids(message_id).into_iter().next();
    let mut references = ids(references);
    if references.is_empty() {
        references.extend(ids(in_reply_to).into_iter().next());
    }
    let mut bytes = Vec::with_capacity(HEAD + folded.len() + 8 + references.len() * 8);
    let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    bytes.extend_from_slice(&[VERSION, u8::from(base.is_reply) | u8::from(id.is_some()) << 1]);
    bytes.extend_from_slice(&count(folded.len()));
    bytes.extend_from_slice(&count(references.len()));
    bytes.extend_from_slice(folded.as_bytes());
    id.iter().chain(&references).for_each(|id| bytes.extend_from_slice(&id.to_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(text: &str) -> Vec<MessageId> {
        threading::message_ids(text.as_bytes())
    }

    #[test]
    fn of_a_message() {
        let bytes =
            of(b"Subject: Re: [l] gr\xc3\xbc\xc3\x9f\r\nReferences: <a@x> <b@x>\r\n <c@x>\r\nMessage-ID: <d@x>\r\n\
            In-Reply-To: <z@x>\r\nsubject: other\r\n");
        let keys = Keys::decode(&bytes).unwrap();
        assert_eq!(keys.subject, charset::fold("gr\u{fc}\u{df}").as_bytes());
        assert!(keys.is_reply);
        assert_eq!(keys.id, ids("<d@x>").first().copied());
        assert_eq!(keys.references().collect::<Vec<_>>(), ids("<a@x><b@x><c@x>"));
        let bytes = of(b"Subject: x\r\nReferences: none\r\nIn-Reply-To: <a@x> <b@x>\r\n");
        let keys = Keys::decode(&bytes).unwrap();
        assert_eq!((keys.subject, keys.is_reply, keys.id), (&b"X"[..], false, None));
        assert_eq!(keys.references().collect::<Vec<_>>(), ids("<a@x>"), "the first of In-Reply-To");
        assert_eq!(Keys::decode(&of(b"")), Some(Keys::default()));
    }

    /// If this fails, raise `VERSION`: the keys of messages that are there already are compared with those of new ones.
    #[test]
    fn version_1_is_this() {
        let hex = |block: &str| of(block.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let golden = [
            (
                "Subject: Re: [list] Lunch  today (fwd)\r\nMessage-ID: <a@example.org>\r\n",
                "01030b0000004c554e434820544f444159f8743081d6be67c0",
            ),
            ("Subject: Gr\u{fc}\u{df}e\r\n", "010008000000475255cc88c39f45"),
            (
                "Subject: =?iso-8859-1?q?AW=3A_Gr=FC=DFe?= =?utf-8?b?w6QgeA==?=\r\n",
                "01001100000041573a20475255cc88c39f4541cc882058",
            ),
            ("Subject: \u{fb01}n \u{212b} \u{130} \u{1c5}\r\n", "01001000000046494e2041cc8a2049cc8720445acc8c"),
            (
                "Message-ID: <\"a b\\\"c\"@[10.0.0.1]>\r\nReferences: <\"x\"@y> <x@y>\r\n",
                "010200000200e87036881b4a930a51e86f32d9fb171d51e86f32d9fb171d",
            ),
            (
                "Subject: Fwd: x\r\nIn-Reply-To: Joe's letter <b@example.org> <c@example.org>\r\n",
                "01010100010058b4b930bb98b586a8",
            ),
        ];
        for (block, bytes) in golden {
            assert_eq!(hex(block), bytes, "{block}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = format!("Subject: {}\r\n", "\u{e4}".repeat(5000));
        let bytes = of(long.as_bytes());
        let subject = Keys::decode(&bytes).unwrap().subject;
        assert!(subject.len() <= SUBJECT_BYTES && subject.len() > SUBJECT_BYTES - 4, "{}", subject.len());
        assert!(std::str::from_utf8(subject).is_ok());
        let many: String = (0..5000).map(|n| format!("<{n}@x> ")).collect();
        let bytes = of(format!("References: {many}\r\n").as_bytes());
        assert_eq!(Keys::decode(&bytes).unwrap().references().count(), 200);
    }

    #[test]
    fn other_octets_are_no_keys() {
        let whole = of(b"Subject: x\r\nMessage-ID: <d@x>\r\nReferences: <a@x>\r\n");
        assert!((0..whole.len()).all(|cut| Keys::decode(&whole[..cut]).is_none()));
        assert_eq!(Keys::decode(&[&whole[..], b"x"].concat()), None);
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            Keys::decode(&bytes).is_none()
        };
        assert!(with(0, 2) && with(1, 4) && with(2, 200) && with(4, 7));
    }

    proptest! {
        #[test]
        fn any_bytes_are_data(bytes: Vec<u8>) {
            if let Some(keys) = Keys::decode(&bytes) {
                keys.references().for_each(drop);
            }
            prop_assert!(Keys::decode(&of(&bytes)).is_some());
        }
    }
}
