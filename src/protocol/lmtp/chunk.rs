//! The argument of BDAT (RFC 3030 section 2).

/// How much comes, and whether it is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) bytes: u64,
    pub(super) last: bool,
}

/// Reads `SIZE` or `SIZE LAST`. `None`: how much comes is not known, so nothing behind it can be read.
pub(super) fn parse(text: &str) -> Option<Chunk> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let size = words.next()?;
    let bytes: u64 = crate::text::number::decimal(size.as_bytes())?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Chunk { bytes, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_a_number_of_bytes_or_nothing() {
        let chunk = |bytes, last| Some(Chunk { bytes, last });
        assert_eq!(parse("10"), chunk(10, false));
        assert_eq!(parse("0 LAST"), chunk(0, true));
        assert_eq!(parse("86  last"), chunk(86, true));
        assert_eq!(parse("18446744073709551615 LAST"), chunk(u64::MAX, true));
        for bad in ["", "x", "-1", "+1", "0x10", "1 2", "1 LAST LAST", "LAST", "18446744073709551616", "1,000"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
