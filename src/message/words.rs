//! Encoded words: text beyond ASCII in a header (RFC 2047).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text in one word: with its frame it has at most 75 characters (RFC 2047 section 2).
const WORD_BYTES: usize = 45;

/// The text as encoded words in UTF-8, one a line, the lines joined as a header field is folded.
pub fn encode_words(text: &str) -> String {
    let mut words = vec![String::new()];
    for c in text.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_BYTES) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::charset::decode_words;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_come_back(text in "[a-z\u{e4}\u{20ac}\u{1f600} ]{1,200}") {
            let words = encode_words(&text);
            prop_assert!(words.lines().all(|line| line.trim_start().len() <= 75));
            prop_assert_eq!(decode_words(words.as_bytes()), text);
        }
    }
}
