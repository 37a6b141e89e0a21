//! Address lists (RFC 5322 section 3.4 with the obsolete forms of 4.4), read the tolerant way of mail in the field.
//!
//! Nothing is ever refused: what cannot be read still gives an address, with the words `MISSING_MAILBOX`,
//! `MISSING_DOMAIN` or `SYNTAX_ERROR` in the place that has no value. NIL is not used there, because RFC 3501
//! section 7.4.2 gives NIL hosts and mailboxes a meaning of their own (start and end of a group).

/// One entry of a parsed list; octets are as in the header, not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A mailbox.
    Mailbox {
        /// Display name, or the comment behind a bare address; quoting removed.
        name: Option<Vec<u8>>,
        /// Obsolete source route, `@a,@b`.
        route: Option<Vec<u8>>,
        /// Local part; quoting removed.
        mailbox: Vec<u8>,
        /// Domain.
        host: Vec<u8>,
    },
    /// `name:` of a group.
    GroupStart(Vec<u8>),
    /// `;` of a group.
    GroupEnd,
}

/// Put in place of a local part that is not there.
pub const MISSING_MAILBOX: &[u8] = b"MISSING_MAILBOX";
/// Put in place of a domain that is not there.
pub const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";
/// Put in place of the domain of an address between angle brackets that cannot be read.
pub const SYNTAX_ERROR: &[u8] = b"SYNTAX_ERROR";

/// Most addresses taken from one field; the rest is not read.
const MAX_ADDRESSES: usize = 20_000;
/// Deepest nesting of comments that is followed.
const MAX_COMMENT_DEPTH: usize = 100;

/// Reads an address list from a raw field value (folded or not).
#[must_use]
pub fn parse_list(value: &[u8]) -> Vec<Address> {
    parse_some(value, MAX_ADDRESSES)
}

/// The first entry of an address list: a mailbox, or the beginning of a group.
#[must_use]
pub fn first(value: &[u8]) -> Option<Address> {
    parse_some(value, 1).into_iter().next()
}

/// Reads until there are `enough` entries.
fn parse_some(value: &[u8], enough: usize) -> Vec<Address> {
    let mut reader = Reader { data: value, at: 0, comment: Vec::new(), last_word: (0, 0) };
    let mut out = Vec::new();
    reader.skip();
    while !reader.done() && out.len() < enough {
        if reader.peek() == Some(b',') {
            reader.at += 1;
            reader.skip();
            continue;
        }
        let ok = reader.address(&mut out);
        if !ok || !matches!(reader.peek(), None | Some(b',')) {
            reader.pass_to_comma();
        }
    }
    out
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    comment: Vec<u8>,
    /// Where the last word of the last phrase starts, and how much of the phrase stands before it.
    last_word: (usize, usize),
}

fn is_atext(b: u8) -> bool {
    b >= 0x80 || b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn done(&self) -> bool {
        self.at >= self.data.len()
    }

    /// Passes to the next comma outside of nothing: a plain resynchronisation after an error.
    fn pass_to_comma(&mut self) {
        while !matches!(self.peek(), None | Some(b',')) {
            self.at += 1;
        }
    }

    /// Skips white space and comments; the text of the last comment is kept.
    fn skip(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'(') => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        self.comment.clear();
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'(' => {
                    depth += 1;
                    if depth > MAX_COMMENT_DEPTH {
                        self.at = self.data.len();
                        return;
                    }
                    if depth > 1 {
                        self.comment.push(b);
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                    self.comment.push(b);
                }
                b'\\' => {
                    if let Some(next) = self.peek() {
                        self.comment.push(next);
                        self.at += 1;
                    }
                }
                b'\r' | b'\n' => {}
                _ => self.comment.push(b),
            }
        }
    }

    /// Reads a quoted string at the opening quote; false if it does not end.
    fn quoted(&mut self, out: &mut Vec<u8>) -> bool {
        self.at += 1;
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'"' => {
                    self.skip();
                    return true;
                }
                b'\\' => {
                    if let Some(next) = self.peek() {
                        out.push(next);
                        self.at += 1;
                    }
                }
                b'\r' | b'\n' => {}
                _ => out.push(b),
            }
        }
        false
    }

    /// A phrase: words and dots, joined by one blank where white space or quotes stood between them.
    fn phrase(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if self.peek() == Some(b'.') {
            return None;
        }
        let mut words = 0;
        loop {
            if matches!(self.peek(), Some(b'"' | b'.')) || self.peek().is_some_and(is_atext) {
                self.last_word = (self.at, out.len());
            }
            match self.peek() {
                Some(b'"') => {
                    if words > 0 {
                        out.push(b' ');
                    }
                    if !self.quoted(&mut out) {
                        return None;
                    }
                }
                Some(b) if is_atext(b) || b == b'.' => {
                    if words > 0 {
                        out.push(b' ');
                    }
                    while let Some(b) = self.peek().filter(|b| is_atext(*b) || *b == b'.') {
                        out.push(b);
                        self.at += 1;
                    }
                    self.skip();
                }
                _ => return (words > 0).then_some(out),
            }
            words += 1;
        }
    }

    /// Local part: quoted string or dot-atom, white space and comments around the dots allowed (obsolete form).
    /// Dots at the start or the end, and several of them, are against the RFC and in use.
    fn local_part(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut any = false;
        while self.peek() == Some(b'.') {
            out.push(b'.');
            self.at += 1;
            any = true;
        }
        loop {
            match self.peek() {
                Some(b'"') => {
                    if !self.quoted(&mut out) {
                        return any.then_some(out);
                    }
                }
                Some(b) if is_atext(b) => {
                    while let Some(b) = self.peek().filter(|b| is_atext(*b)) {
                        out.push(b);
                        self.at += 1;
                    }
                    self.skip();
                }
                Some(b'.') if any => {}
                _ => return any.then_some(out),
            }
            any = true;
            let mut dots = false;
            while self.peek() == Some(b'.') {
                out.push(b'.');
                self.at += 1;
                dots = true;
                self.skip();
            }
            if !dots {
                return Some(out);
            }
        }
    }

    /// Domain at the `@`: dot-atom or literal.
    fn domain(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        self.skip();
        let mut out = Vec::new();
        if self.peek() == Some(b'[') {
            while let Some(b) = self.peek() {
                self.at += 1;
                if !matches!(b, b'\r' | b'\n') {
                    out.push(b);
                }
                if b == b']' {
                    self.skip();
                    return Some(out);
                }
            }
            return None;
        }
        while let Some(b) = self.peek().filter(|b| is_atext(*b) || *b == b'.') {
            out.push(b);
            self.at += 1;
            if !self.peek().is_some_and(is_atext) {
                let end = self.at;
                self.skip();
                // White space may stand only around a dot.
                if self.peek().is_some_and(is_atext) && b != b'.' {
                    self.at = end;
                    self.skip();
                    break;
                }
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// `<...>` at the opening bracket. Gives route, local part, domain; the bool is false on broken syntax.
    #[allow(clippy::type_complexity)]
    fn angle(&mut self) -> (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, bool) {
        self.at += 1;
        self.skip();
        let mut route = None;
        if self.peek() == Some(b'@') {
            let mut list = Vec::new();
            while self.peek() == Some(b'@') {
                if !list.is_empty() {
                    list.push(b',');
                }
                list.push(b'@');
                match self.domain() {
                    Some(domain) => list.extend_from_slice(&domain),
                    None => break,
                }
                while self.peek() == Some(b',') {
                    self.at += 1;
                    self.skip();
                }
            }
            if self.peek() != Some(b':') {
                return (Some(b"INVALID_ROUTE".to_vec()), None, None, false);
            }
            self.at += 1;
            self.skip();
            route = Some(list);
        }
        let (mut local, mut domain) = (None, None);
        if self.peek() != Some(b'>') {
            local = self.local_part();
            if local.is_none() {
                return (route, None, None, false);
            }
            if self.peek() == Some(b'@') {
                domain = self.domain();
            }
        }
        let closed = self.peek() == Some(b'>');
        if closed {
            self.at += 1;
            self.skip();
        }
        (route, local, domain, closed)
    }

    /// One mailbox; false if the rest of the entry has to be skipped.
    fn mailbox(&mut self, out: &mut Vec<Address>) -> bool {
        let start = self.at;
        let phrase = if self.peek() == Some(b'<') { Some(Vec::new()) } else { self.phrase() };
        if let Some(name) = phrase.filter(|_| self.peek() == Some(b'<')) {
            let (route, local, domain, ok) = self.angle();
            let missing = if ok { MISSING_DOMAIN } else { SYNTAX_ERROR };
            let host = if ok { domain } else { None };
            out.push(Address::Mailbox {
                name: Some(name).filter(|name| !name.is_empty()),
                route,
                mailbox: local.unwrap_or_else(|| MISSING_MAILBOX.to_vec()),
                host: host.unwrap_or_else(|| missing.to_vec()),
            });
            return ok;
        }
        self.at = start;
        self.comment.clear();
        let local = self.local_part();
        if local.is_some() && !matches!(self.peek(), None | Some(b'@' | b',' | b';')) && self.words(start, out) {
            return true;
        }
        let domain = if self.peek() == Some(b'@') { self.domain() } else { None };
        let ok = local.is_some();
        let name = std::mem::take(&mut self.comment);
        out.push(Address::Mailbox {
            name: Some(name).filter(|name| !name.is_empty()),
            route: None,
            mailbox: local.unwrap_or_else(|| MISSING_MAILBOX.to_vec()),
            host: domain.unwrap_or_else(|| MISSING_DOMAIN.to_vec()),
        });
        ok
    }

    /// Several words without brackets: a name, and if the last word has a domain, an address. False if it is not that;
    /// then nothing has been read.
    fn words(&mut self, start: usize, out: &mut Vec<Address>) -> bool {
        let back = std::mem::replace(&mut self.at, start);
        let (mut name, mut mailbox, mut host) = (self.phrase(), None, None);
        let (at, before) = self.last_word;
        if name.is_none() || before == 0 || !matches!(self.peek(), None | Some(b'@' | b',' | b';')) {
            self.at = back;
            return false;
        }
        if self.peek() == Some(b'@') {
            self.at = at;
            name = name.and_then(|name| name.get(..before).map(<[u8]>::to_vec));
            mailbox = self.local_part();
            if self.peek() == Some(b'@') {
                host = self.domain();
            }
        }
        out.push(Address::Mailbox {
            name,
            route: None,
            mailbox: mailbox.unwrap_or_else(|| MISSING_MAILBOX.to_vec()),
            host: host.unwrap_or_else(|| MISSING_DOMAIN.to_vec()),
        });
        true
    }

    /// One mailbox or group.
    fn address(&mut self, out: &mut Vec<Address>) -> bool {
        let start = self.at;
        let Some(name) = self.phrase().filter(|_| self.peek() == Some(b':')) else {
            self.at = start;
            return self.mailbox(out);
        };
        self.at += 1;
        self.skip();
        out.push(Address::GroupStart(name));
        let mut ok = true;
        while ok && !self.done() && out.len() < MAX_ADDRESSES {
            match self.peek() {
                Some(b';') => break,
                Some(b',') => {
                    self.at += 1;
                    self.skip();
                }
                _ => ok = self.mailbox(out) && matches!(self.peek(), None | Some(b',' | b';')),
            }
        }
        out.push(Address::GroupEnd);
        if ok && self.peek() == Some(b';') {
            self.at += 1;
            self.skip();
        }
        ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|route|mailbox|host` of each entry.
    fn shown(value: &str) -> Vec<String> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        parse_list(value.as_bytes())
            .iter()
            .map(|a| match a {
                Address::GroupStart(name) => format!("{}:", text(name)),
                Address::GroupEnd => ";".to_owned(),
                Address::Mailbox { name, route, mailbox, host } => {
                    let name = name.as_deref().map_or("-".to_owned(), text);
                    let route = route.as_deref().map_or(String::new(), |r| format!("{}|", text(r)));
                    format!("{name}|{route}{}|{}", text(mailbox), text(host))
                }
            })
            .collect()
    }

    #[test]
    fn rfc5322_appendix_a() {
        assert_eq!(shown("John Doe <jdoe@machine.example>"), ["John Doe|jdoe|machine.example"]);
        assert_eq!(shown("\"Joe Q. Public\" <john.q.public@example.com>"), ["Joe Q. Public|john.q.public|example.com"]);
        assert_eq!(
            shown("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>"),
            ["Mary Smith|mary|x.test", "-|jdoe|example.org", "Who?|one|y.test"]
        );
        assert_eq!(
            shown("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>"),
            ["-|boss|nil.test", "Giant; \"Big\" Box|sysservices|example.net"]
        );
        assert_eq!(
            shown("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;"),
            ["A Group:", "Ed Jones|c|a.test", "-|joe|where.test", "John|jdoe|one.test", ";"]
        );
        assert_eq!(shown("Undisclosed recipients:;"), ["Undisclosed recipients:", ";"]);
        assert_eq!(shown("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"), ["Pete|pete|silly.test"]);
        assert_eq!(
            shown("Mary Smith <@node.test:mary@example.net>, , jdoe@test   . example"),
            ["Mary Smith|@node.test|mary|example.net", "-|jdoe|test.example"]
        );
        assert_eq!(shown("Joe <@a.test,@b.test:j@c.test>"), ["Joe|@a.test,@b.test|j|c.test"]);
    }

    #[test]
    fn comments_as_names() {
        assert_eq!(shown("jdoe@example.org (John (J) Doe)"), ["John (J) Doe|jdoe|example.org"]);
        assert_eq!(shown("root (Cron Daemon)"), ["Cron Daemon|root|MISSING_DOMAIN"]);
        assert_eq!(shown("a@b (x), c@d"), ["x|a|b", "-|c|d"]);
    }

    #[test]
    fn broken_ones() {
        assert_eq!(shown(""), Vec::<String>::new());
        assert_eq!(shown("<>"), ["-|MISSING_MAILBOX|MISSING_DOMAIN"]);
        assert_eq!(shown("user"), ["-|user|MISSING_DOMAIN"]);
        assert_eq!(shown("J.R. Smith <j@x>"), ["J.R. Smith|j|x"]);
        assert_eq!(shown("A <a@b, c@d"), ["A|a|SYNTAX_ERROR", "-|c|d"]);
        assert_eq!(shown("\"\" <a@b>"), ["-|a|b"]);
        assert_eq!(shown("Deal Shopper, d@e"), ["Deal Shopper|MISSING_MAILBOX|MISSING_DOMAIN", "-|d|e"]);
        assert_eq!(shown("\"A B\"c.d@e, F G. h@i (x);"), ["A B|c.d|e", "F G.|h|i"]);
        assert_eq!(shown("a> b, d@e"), ["-|a|MISSING_DOMAIN", "-|d|e"]);
        assert_eq!(shown("<....@x>, .a.@y"), ["-|....|x", "-|.a.|y"]);
        assert_eq!(shown("@x, b@c"), ["-|MISSING_MAILBOX|x", "-|b|c"]);
        assert_eq!(shown("a@[127.0.0.1]"), ["-|a|[127.0.0.1]"]);
        assert_eq!(shown("ok <a@b> junk, c@d"), ["ok|a|b", "-|c|d"]);
    }
}
