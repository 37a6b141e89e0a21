//! The bytes of records: little-endian numbers, LEB128 varints, length-prefixed strings; a sealed value ends in a CRC-32 over key and value,
//! because LMDB has no checksum of its own.

use super::error::StoreError;

/// Writes the fields of a record.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A record that begins with its version.
    pub(crate) fn new(version: u8) -> Writer {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(version);
        Writer { bytes }
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Writer {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Writer {
        self.varint(u128::from(value))
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Writer {
        self.varint(u128::from(value))
    }

    /// Signed, so that small magnitudes are short.
    pub(crate) fn i64(&mut self, value: i64) -> &mut Writer {
        self.u64(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    pub(crate) fn varint(&mut self, mut value: u128) -> &mut Writer {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push((value & 0x7f) as u8);
        self
    }

    pub(crate) fn raw(&mut self, value: &[u8]) -> &mut Writer {
        self.bytes.extend_from_slice(value);
        self
    }

    pub(crate) fn string(&mut self, value: &str) -> &mut Writer {
        self.u64(value.len() as u64).raw(value.as_bytes())
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Reads the fields of a record; every read may fail, nothing panics.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
}

/// The record is shorter than its fields, or a field holds what it cannot hold.
#[derive(Debug)]
pub(crate) struct Malformed;

impl<'b> Reader<'b> {
    /// Reads a record of at most `version`.
    pub(crate) fn new(bytes: &'b [u8], version: u8) -> Result<Reader<'b>, Malformed> {
        match bytes.split_first() {
            Some((found, rest)) if (1..=version).contains(found) => Ok(Reader { bytes: rest }),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Result<u128, Malformed> {
        let mut value = 0u128;
        for shift in (0..133).step_by(7) {
            let byte = self.u8()?;
            let part = u128::from(byte & 0x7f);
            value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part).ok_or(Malformed)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// As [`Reader::varint`], in 64 bits: rows are full of these.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            let part = u64::from(byte & 0x7f);
            // Ten bytes have room for 70 bits.
            if at == 9 && part > 1 {
                return Err(Malformed);
            }
            value |= part << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = self.bytes.get(at + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        let value = self.u64()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn raw(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.raw(N)?.try_into().map_err(|_| Malformed)
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn string(&mut self) -> Result<String, Malformed> {
        let len = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        String::from_utf8(self.raw(len)?.to_vec()).map_err(|_| Malformed)
    }
}

/// The value as it is stored: with the checksum over key and value at the end.
pub(crate) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(key, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// The value without its checksum.
///
/// # Errors
/// [`StoreError::Corrupt`] when the checksum does not fit.
pub(crate) fn open<'v>(key: &[u8], stored: &'v [u8]) -> Result<&'v [u8], StoreError> {
    let (value, sum) = stored.split_last_chunk::<4>().ok_or_else(|| damaged(key))?;
    if checksum(key, value) == u32::from_le_bytes(*sum) { Ok(value) } else { Err(damaged(key)) }
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// The error for a row whose bytes make no sense.
pub(crate) fn damaged(key: &[u8]) -> StoreError {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    StoreError::Corrupt { what: "a row is damaged".into(), place: format!("mailbox database, row {key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: u64, b: i64, c: u128, d: u32, s: String) {
            let bytes = Writer::new(1).u64(a).i64(b).varint(c).u32(d).string(&s).finish();
            let mut reader = Reader::new(&bytes, 1).unwrap();
            prop_assert_eq!(reader.u64().unwrap(), a);
            prop_assert_eq!(reader.i64().unwrap(), b);
            prop_assert_eq!(reader.varint().unwrap(), c);
            prop_assert_eq!(reader.u32().unwrap(), d);
            prop_assert_eq!(reader.string().unwrap(), s);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_data(bytes: Vec<u8>) {
            if let Ok(mut reader) = Reader::new(&bytes, 9) {
                while reader.varint().is_ok() && reader.string().is_ok() {}
            }
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_malformed() {
        let read = |bytes: &[u8]| Reader::new(bytes, 1).unwrap().u64().ok();
        let all = [&[1][..], &[0xff; 9]].concat();
        assert_eq!(read(&[&all[..], &[1]].concat()), Some(u64::MAX));
        assert_eq!(read(&[&all[..], &[2]].concat()), None);
        assert_eq!(read(&[&all[..], &[0x81, 0]].concat()), None);
        assert_eq!(read(&all), None);
        assert_eq!(Reader::new(&[1, 0xff, 0xff, 0xff, 0xff, 0x1f], 1).unwrap().u32().ok(), None);
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut sealed = seal(b"key", b"value".to_vec());
        assert_eq!(open(b"key", &sealed).unwrap(), b"value");
        assert!(open(b"kez", &sealed).is_err());
        sealed[2] ^= 1;
        assert!(open(b"key", &sealed).is_err());
    }
}
