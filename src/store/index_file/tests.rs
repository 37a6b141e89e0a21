// Files are damaged on purpose.
#![allow(clippy::disallowed_methods)]

use super::*;
use proptest::prelude::*;

const MAIL: &[u8] = b"Subject: Re: one\r\nMessage-ID: <b@x>\r\nReferences: <a@x>\r\nFrom: joe@x\r\n\r\nbody\r\n";

fn scanned(mail: &[u8]) -> Scanned {
    let mut scanner = Scanner::new();
    scanner.push(mail);
    scanner.finish()
}

fn row() -> Message {
    Message { uid: 7, size: MAIL.len() as u64, guid: Guid([5; 16]), ..Message::default() }
}

fn encoded(entry: &Entry<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.encode(&row(), &mut bytes);
    assert_eq!(bytes.len(), entry.encoded_len());
    bytes
}

/// The entry as the first release wrote it.
fn encoded_1(entry: &Entry<'_>) -> Vec<u8> {
    let bytes = encoded(entry);
    let mut old = [b"MENT", &bytes[4..68]].concat();
    old.extend_from_slice(&crc(&old).to_le_bytes());
    old.extend_from_slice(&bytes[ENTRY_HEADER + entry.keys.len()..]);
    old
}

fn decode(bytes: &[u8], uid: Uid, guid: Guid) -> Option<Entry<'_>> {
    Encoded::read(bytes, uid, guid)?.entry()
}

/// A reader of a file that holds these bytes as its first entry, and the row that names it.
fn reader(bytes: &[u8], dir: &Path) -> (IndexReader, Message) {
    std::fs::remove_file(dir.join(NAME)).ok();
    append(dir, 1, MailboxId([1; 16]), HEADER, bytes).unwrap();
    let len = u32::try_from(bytes.len()).unwrap();
    (IndexReader::open(dir, 1), Message { entry: EntryPlace { generation: 1, offset: HEADER, len }, ..row() })
}

#[test]
fn entries_come_back() {
    let entry = Entry::of(&scanned(MAIL));
    let bytes = encoded(&entry);
    assert_eq!(decode(&bytes, 7, Guid([5; 16])), Some(entry.clone()));
    assert_eq!(decode(&bytes, 8, Guid([5; 16])), None);
    assert_eq!(decode(&bytes, 7, Guid([6; 16])), None);
    assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut], 7, Guid([5; 16])).is_none()));
    for at in 0..bytes.len() {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 0x10;
        assert_eq!(decode(&spoilt, 7, Guid([5; 16])), None, "byte {at}");
    }
}

#[test]
fn entries_of_the_first_release_are_read_and_renewed() {
    let entry = Entry::of(&scanned(MAIL));
    let old = encoded_1(&entry);
    let read = decode(&old, 7, Guid([5; 16])).unwrap();
    assert_eq!((read.keys(), read.headers(), read.parts()), (&b""[..], entry.headers(), entry.parts()));
    assert_eq!(read.renewed(), entry);
    for at in 0..old.len() {
        let mut spoilt = old.clone();
        spoilt[at] ^= 0x10;
        assert_eq!(decode(&spoilt, 7, Guid([5; 16])), None, "byte {at}");
    }
}

#[test]
fn keys_are_the_same_wherever_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("00")).unwrap();
    std::fs::write(dir.path().join(super::super::layout::message_file(7)), MAIL).unwrap();
    let entry = Entry::of(&scanned(MAIL));
    let (new, old) = (encoded(&entry), encoded_1(&entry));
    let spoilt = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let other_version = encoded(&Entry { keys: vec![9, 0, 0].into(), ..entry.clone() });
    let expected = (Keys::decode(entry.keys()).unwrap(), entry.headers());
    assert_eq!((expected.0.subject, expected.0.is_reply), (&b"ONE"[..], true));
    let damaged_head = spoilt(&new, ENTRY_HEADER + 7);
    let damaged_payload = spoilt(&new, new.len() - 1);
    for bytes in [&new, &old, &other_version, &damaged_head, &damaged_payload, &spoilt(&old, 90)] {
        let (mut index, row) = reader(bytes, dir.path());
        index.with_keys(&row, true, |keys, headers| assert_eq!((*keys, headers), expected)).unwrap();
        index.with_keys(&row, false, |keys, _| assert_eq!(*keys, expected.0)).unwrap();
    }
}

proptest! {
    /// Of whatever bytes, as many are read as the lengths say, where there are so many and the sums are right.
    #[test]
    fn any_bytes_are_data(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        lens: [u8; 6],
        has_keys: bool,
        sums: [bool; 2],
    ) {
        let head = if has_keys { ENTRY_HEADER } else { ENTRY_HEADER_1 };
        bytes.resize(bytes.len().max(head), 0);
        bytes[..4].copy_from_slice(if has_keys { b"MEN2" } else { b"MENT" });
        bytes[4..8].copy_from_slice(&7u32.to_le_bytes());
        bytes[24..40].copy_from_slice(&[5; 16]);
        let lens = lens.map(|len| usize::from(len) / 8);
        for (number, len) in lens[..5].iter().enumerate() {
            bytes[40 + number * 4..44 + number * 4].copy_from_slice(&u32::try_from(*len).unwrap().to_le_bytes());
        }
        let keys = if has_keys { lens[5] } else { 0 };
        let behind = bytes[head..].to_vec();
        let payload = behind.get(keys..).and_then(|rest| rest.get(..lens[..5].iter().sum()));
        bytes[64..68].copy_from_slice(&(crc(payload.unwrap_or_default()) ^ u32::from(!sums[0])).to_le_bytes());
        if has_keys {
            bytes[68..72].copy_from_slice(&u32::try_from(keys).unwrap().to_le_bytes());
        }
        let sum = head_sum(&bytes[..head - 4], behind.get(..keys).unwrap_or_default()) ^ u32::from(!sums[1]);
        bytes[head - 4..head].copy_from_slice(&sum.to_le_bytes());
        let read = decode(&bytes, 7, Guid([5; 16]));
        prop_assert_eq!(read.is_some(), payload.is_some() && sums == [true; 2]);
        if let Some(entry) = read {
            prop_assert_eq!(entry.keys(), &behind[..keys]);
            let sections = [entry.envelope(), entry.body(), entry.bodystructure(), entry.headers()].concat();
            prop_assert!(payload.unwrap().starts_with(&sections));
            drop((entry.parts(), entry.has_its_keys()));
            prop_assert!(Keys::decode(entry.renewed().keys()).is_some());
        }
    }
}
