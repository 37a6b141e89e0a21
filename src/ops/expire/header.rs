//! Criteria about header fields: a text, a wildcard pattern or a regular expression; Expires and Expiry-Date as dates.

use std::fmt;

use super::rule::is_old;
use crate::message::charset::{decode_words, fold};
use crate::message::date::parse_rfc5322;
use crate::message::header;
use crate::text::pattern::{Ere, PatternError};
use crate::text::wildcard::Wildcard;

/// The fields that hold a date after which the message has no value (RFC 4021 2.1.50, and the older name).
pub(super) const EXPIRY: [&str; 2] = ["expires", "expiry-date"];

/// One header criterion of a rule: it holds when one of its alternatives does.
#[derive(Clone, Debug)]
pub(super) enum HeaderTest {
    /// A field that holds one of these texts.
    Text { name: String, lower: String, any: Vec<Wanted> },
    /// The earliest date in these fields is over.
    Expiry { names: Vec<(String, &'static str)> },
}

/// What a field must hold; letter case does not count.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Anything: the field is there.
    Present,
    /// A part of it.
    Part(String),
    /// The whole of it.
    Whole(Wildcard),
    /// A regular expression.
    Regex(Ere),
}

impl Wanted {
    /// Reads the value of a criterion.
    pub(super) fn new(text: &str, regexp: bool) -> Result<Wanted, PatternError> {
        let form = if text.is_empty() {
            Form::Present
        } else if regexp {
            Form::Regex(Ere::anywhere(text, true)?)
        } else if text.contains(['*', '?']) {
            Form::Whole(Wildcard::text(&fold(text)))
        } else {
            Form::Part(fold(text))
        };
        Ok(Wanted { text: text.to_owned(), form })
    }

    fn holds(&self, value: &str) -> bool {
        match &self.form {
            Form::Present => true,
            Form::Part(part) => fold(value).contains(part.as_str()),
            Form::Whole(wildcard) => wildcard.matches(&fold(value)),
            Form::Regex(regex) => regex.is_match(value.as_bytes()),
        }
    }
}

impl HeaderTest {
    /// A criterion about the field `name`, with its first alternative.
    pub(super) fn text(name: &str, wanted: Wanted) -> HeaderTest {
        HeaderTest::Text { name: name.to_owned(), lower: name.to_ascii_lowercase(), any: vec![wanted] }
    }

    /// The fields it asks for, in lower case.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (one, others): (Option<&str>, &[(String, &'static str)]) = match self {
            HeaderTest::Text { lower, .. } => (Some(lower), &[]),
            HeaderTest::Expiry { names } => (None, names),
        };
        one.into_iter().chain(others.iter().map(|(_, lower)| *lower))
    }

    /// Does it hold for the message with these header lines? `grace` are the days that a message stays after its date.
    pub(super) fn holds(&self, lines: &[u8], grace: u32, now_s: i64) -> bool {
        match self {
            HeaderTest::Text { lower, any, .. } => header::find_all(lines, lower)
                .map(|field| decode_words(field.value))
                .any(|value| any.iter().any(|wanted| wanted.holds(&value))),
            HeaderTest::Expiry { names } => names
                .iter()
                .flat_map(|(_, lower)| header::find_all(lines, lower))
                .filter_map(|field| parse_rfc5322(&field.unfolded()))
                .map(|date| date.utc_s)
                .min()
                .is_some_and(|date_s| is_old(date_s, grace, now_s)),
        }
    }
}

impl fmt::Display for HeaderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderTest::Text { name, any, .. } => {
                let texts: Vec<&str> = any.iter().map(|wanted| wanted.text.as_str()).collect();
                write!(f, "{name}: {}", texts.join(" | "))
            }
            HeaderTest::Expiry { names } => {
                let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, "{}", names.join(", "))
            }
        }
    }
}
