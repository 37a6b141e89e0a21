//! MIME fields of one part (RFC 2045, 2183, 1864, 3282, 2557) and their rendering for BODY and BODYSTRUCTURE.

use super::header;
use crate::text::quote;

/// Longest raw value used from one MIME field, octets.
const MAX_VALUE: usize = 16 * 1024;
/// Most parameters kept of one field.
const MAX_PARAMS: usize = 64;
/// Longest boundary that is honoured, octets (RFC 2046 allows 70).
pub const MAX_BOUNDARY: usize = 512;

/// A parameter: name and value, quoting removed. The pieces of RFC 2231 section 3 are joined: `name*0`, `name*1` are
/// `name`, and if one of them is encoded, `name*`. Section 4 (charsets) is not decoded.
pub type Param = (Vec<u8>, Vec<u8>);

/// The MIME fields of a header block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mime {
    /// Type and subtype as written; `None` without a (readable) Content-Type field.
    pub media: Option<(Vec<u8>, Vec<u8>)>,
    /// Content-Type parameters.
    pub params: Vec<Param>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, as written.
    pub encoding: Option<Vec<u8>>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition and its parameters.
    pub disposition: Option<(Vec<u8>, Vec<Param>)>,
    /// Content-Language, the tags.
    pub languages: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
}

impl Mime {
    /// Reads the MIME fields of `block`; the first field of a name counts.
    #[must_use]
    pub fn read(block: &[u8]) -> Mime {
        let mut mime = Mime::default();
        let mut seen_type = false;
        for field in header::fields(block) {
            if !field.name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-")) {
                continue;
            }
            let value = header::unfold(field.value.get(..MAX_VALUE).unwrap_or(field.value));
            match field.name.get(8..).unwrap_or_default().to_ascii_lowercase().as_slice() {
                b"type" if !seen_type => {
                    seen_type = true;
                    mime.take_type(&value);
                }
                b"disposition" if mime.disposition.is_none() => mime.disposition = disposition(&value),
                b"transfer-encoding" if mime.encoding.is_none() => {
                    let mut reader = Reader { data: &value, at: 0 };
                    reader.skip();
                    mime.encoding = Some(reader.token().to_vec()).filter(|t| !t.is_empty());
                }
                b"language" if mime.languages.is_empty() => mime.languages = languages(&value),
                b"id" => keep_first(&mut mime.id, &value),
                b"description" => keep_first(&mut mime.description, &value),
                b"md5" => keep_first(&mut mime.md5, &value),
                b"location" => keep_first(&mut mime.location, &value),
                _ => {}
            }
        }
        mime
    }

    fn take_type(&mut self, value: &[u8]) {
        let mut reader = Reader { data: value, at: 0 };
        reader.skip();
        let media = reader.token().to_vec();
        reader.skip();
        if media.is_empty() || reader.peek() != Some(b'/') {
            return;
        }
        reader.at += 1;
        reader.skip();
        let subtype = reader.token().to_vec();
        if subtype.is_empty() {
            return;
        }
        self.media = Some((media, subtype));
        self.params = reader.params();
    }

    /// Value of a Content-Type parameter, name in any letter case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v.as_slice())
    }

    /// Whether the type is `media`, letter case ignored; a part without Content-Type is not of any type here.
    #[must_use]
    pub fn is(&self, media: &str, subtype: &str) -> bool {
        self.media.as_ref().is_some_and(|(m, s)| {
            m.eq_ignore_ascii_case(media.as_bytes()) && s.eq_ignore_ascii_case(subtype.as_bytes())
        })
    }

    /// Whether the part is a message: message/rfc822, or message/global (RFC 6532 section 3.7).
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.is("message", "rfc822") || self.is("message", "global")
    }

    /// Whether the type is `multipart/...`.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.media.as_ref().is_some_and(|(m, _)| m.eq_ignore_ascii_case(b"multipart"))
    }

    /// The boundary, if there is a usable one.
    #[must_use]
    pub fn boundary(&self) -> Option<&[u8]> {
        let value = self.param("boundary")?.trim_ascii_end();
        (!value.is_empty() && value.len() <= MAX_BOUNDARY).then_some(value)
    }

    /// The part becomes text/plain: what a part without a type, or with one that cannot be followed, is shown as.
    pub fn make_plain_text(&mut self) {
        self.media = Some((b"text".to_vec(), b"plain".to_vec()));
        self.params.clear();
    }

    /// The part becomes application/octet-stream: a container that is not opened.
    pub fn make_opaque(&mut self) {
        self.media = Some((b"application".to_vec(), b"octet-stream".to_vec()));
        self.params.clear();
    }

    /// `body-fields` up to the octet count (exclusive), with `body-fld-param` of a text part always naming a charset.
    #[must_use]
    pub fn leaf_lead(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let (media, subtype) = self.media.as_ref().map_or((&b"text"[..], &b"plain"[..]), |(m, s)| (m, s));
        quote::string(&mut out, media);
        out.push(b' ');
        quote::string(&mut out, subtype);
        out.push(b' ');
        params(&mut out, &self.params, media.eq_ignore_ascii_case(b"text"));
        out.push(b' ');
        quote::nstring(&mut out, self.id.as_deref());
        out.push(b' ');
        quote::nstring(&mut out, self.description.as_deref());
        out.push(b' ');
        quote::string(&mut out, self.encoding.as_deref().unwrap_or(b"7bit"));
        out
    }

    /// `body-ext-1part`: MD5, disposition, language, location, with a leading blank.
    #[must_use]
    pub fn leaf_tail(&self) -> Vec<u8> {
        let mut out = vec![b' '];
        quote::nstring(&mut out, self.md5.as_deref());
        self.common_tail(&mut out);
        out
    }

    /// The subtype of a multipart, as a string.
    #[must_use]
    pub fn multipart_lead(&self) -> Vec<u8> {
        let mut out = Vec::new();
        quote::string(&mut out, self.media.as_ref().map_or(b"mixed", |(_, s)| s.as_slice()));
        out
    }

    /// `body-ext-mpart`: parameters, disposition, language, location, with a leading blank.
    #[must_use]
    pub fn multipart_tail(&self) -> Vec<u8> {
        let mut out = vec![b' '];
        params(&mut out, &self.params, false);
        self.common_tail(&mut out);
        out
    }

    fn common_tail(&self, out: &mut Vec<u8>) {
        match &self.disposition {
            None => out.extend_from_slice(b" NIL"),
            Some((kind, list)) => {
                out.extend_from_slice(b" (");
                quote::string(out, kind);
                out.push(b' ');
                params(out, list, false);
                out.push(b')');
            }
        }
        out.push(b' ');
        if self.languages.is_empty() {
            out.extend_from_slice(b"NIL");
        } else {
            for (i, tag) in self.languages.iter().enumerate() {
                out.push(if i == 0 { b'(' } else { b' ' });
                quote::string(out, tag);
            }
            out.push(b')');
        }
        out.push(b' ');
        quote::nstring(out, self.location.as_deref());
    }
}

fn keep_first(slot: &mut Option<Vec<u8>>, value: &[u8]) {
    if slot.is_none() {
        *slot = Some(value.to_vec());
    }
}

fn params(out: &mut Vec<u8>, list: &[Param], with_charset: bool) {
    let add = with_charset && !list.iter().any(|(n, _)| n.eq_ignore_ascii_case(b"charset"));
    if list.is_empty() && !add {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (i, (name, value)) in list.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        quote::string(out, name);
        out.push(b' ');
        quote::string(out, value);
    }
    if add {
        if !list.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(b"\"charset\" \"us-ascii\"");
    }
    out.push(b')');
}

fn disposition(value: &[u8]) -> Option<(Vec<u8>, Vec<Param>)> {
    let mut reader = Reader { data: value, at: 0 };
    reader.skip();
    let kind = reader.token().to_vec();
    (!kind.is_empty()).then(|| (kind, reader.params()))
}

fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader { data: value, at: 0 };
    let mut out = Vec::new();
    while out.len() < MAX_PARAMS {
        reader.skip();
        let tag = reader.token();
        if !tag.is_empty() {
            out.push(tag.to_vec());
        }
        match reader.peek() {
            Some(_) if tag.is_empty() => reader.at += 1,
            Some(_) => {}
            None => break,
        }
    }
    out
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

fn is_token(b: u8) -> bool {
    b >= 0x80 || (b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(b) = self.peek() {
            match b {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|b| !accept(*b)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn token(&mut self) -> &'a [u8] {
        self.run(is_token)
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.at += 1;
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'"' => break,
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                _ => out.push(b),
            }
        }
        out
    }

    /// Parameters behind the first word. A value that should have been quoted runs to the semicolon.
    fn params(&mut self) -> Vec<Param> {
        let mut out = Vec::new();
        while out.len() < MAX_PARAMS {
            self.skip();
            let Some(b) = self.peek() else { break };
            let name = self.token();
            if name.is_empty() {
                self.at += 1;
                continue;
            }
            self.skip();
            if self.peek() != Some(b'=') {
                continue;
            }
            debug_assert!(b != b';');
            self.at += 1;
            self.skip();
            let value = if self.peek() == Some(b'"') {
                self.quoted()
            } else {
                self.run(|b| b != b';' && b != b'"' && !b.is_ascii_whitespace()).to_vec()
            };
            out.push((name.to_vec(), value));
        }
        join_pieces(out)
    }
}

/// `NAME*n` or `NAME*n*` (RFC 2231 section 3): the name, n, and whether the value is encoded.
fn piece(name: &[u8]) -> Option<(&[u8], usize, bool)> {
    let (name, encoded) = name.strip_suffix(b"*").map_or((name, false), |name| (name, true));
    let star = name.iter().position(|b| *b == b'*')?;
    let (base, digits) = (name.get(..star)?, name.get(star + 1..)?);
    let plain = !digits.is_empty() && digits.len() <= 2 && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let n = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    (!base.is_empty()).then_some((base, n, encoded))
}

/// Joins pieces that are numbered from 0 without a gap; they go behind the other parameters. Others stay as they are.
fn join_pieces(params: Vec<Param>) -> Vec<Param> {
    let bases: Vec<Vec<u8>> =
        params.iter().filter_map(|(n, _)| piece(n)).filter(|p| p.1 == 0).map(|p| p.0.to_vec()).collect();
    if bases.is_empty() {
        return params;
    }
    let (mut kept, mut joined) = (params, Vec::new());
    for base in bases {
        let (mut value, mut any_encoded) = (Vec::new(), false);
        let mut found: Vec<(Vec<u8>, bool)> = Vec::new();
        while let Some(at) = kept.iter().position(|(name, _)| {
            piece(name).is_some_and(|(b, n, _)| n == found.len() && b.eq_ignore_ascii_case(&base))
        }) {
            let (name, text) = kept.remove(at);
            let encoded = name.last() == Some(&b'*');
            any_encoded = any_encoded || encoded;
            found.push((text, encoded));
        }
        if any_encoded && found.first().is_some_and(|(_, encoded)| !encoded) {
            value.extend_from_slice(b"''");
        }
        for (text, encoded) in &found {
            if any_encoded && !encoded { percent(&mut value, text) } else { value.extend_from_slice(text) }
        }
        let name = if any_encoded { [base.as_slice(), b"*"].concat() } else { base };
        if !found.is_empty() {
            joined.push((name, value));
        }
    }
    kept.append(&mut joined);
    kept
}

/// Appends a piece that is not encoded to a value that is (RFC 2231 section 7, `attribute-char`).
fn percent(out: &mut Vec<u8>, text: &[u8]) {
    for &b in text {
        if is_token(b) && b < 0x80 && !b"*'%".contains(&b) {
            out.push(b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(block: &str) -> String {
        String::from_utf8(Mime::read(block.as_bytes()).leaf_lead()).unwrap()
    }

    #[test]
    fn types_and_defaults() {
        assert_eq!(lead(""), "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"");
        assert_eq!(lead("Content-Type: text\n"), "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"");
        assert_eq!(
            lead(
                "Content-Type: Text/HTML; Charset=\"utf-8\"\n ; format=flowed\nContent-Transfer-Encoding: BASE64 (c)\n"
            ),
            "\"Text\" \"HTML\" (\"Charset\" \"utf-8\" \"format\" \"flowed\") NIL NIL \"BASE64\""
        );
        assert_eq!(
            lead("content-type: application/x; name*0*=utf-8''a%20; name*1=b; junk; file=a b.txt\nContent-Id: <1@x>\n"),
            "\"application\" \"x\" (\"file\" \"a\" \"name*\" \"utf-8''a%20b\") \"<1@x>\" NIL \"7bit\""
        );
    }

    #[test]
    fn pieces_of_parameters() {
        let shown = |text: &str| {
            let list = Mime::read(format!("Content-Type: a/b; {text}\n").as_bytes()).params;
            let one = |(n, v): &Param| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v));
            list.iter().map(one).collect::<Vec<_>>().join("|")
        };
        // RFC 2231 section 3 and section 4.1.
        assert_eq!(
            shown("URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore\"; access-type=URL"),
            "access-type=URL|URL=ftp://cs.utk.edu/pub/moore"
        );
        assert_eq!(
            shown(
                "title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\""
            ),
            "title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"
        );
        assert_eq!(shown("n*1=b; N*0=a; n*3=d; x*=u''y; z*00=1"), "n*3=d|x*=u''y|z*00=1|N=ab");
        assert_eq!(shown("n*0=a; n*1*=%20; n*0=c"), "n*=''a%20|n=c");
        let mime = Mime::read(b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n");
        assert_eq!(mime.boundary(), Some(&b"ab"[..]));
    }

    #[test]
    fn extension_fields() {
        let mime = Mime::read(
            b"Content-Type: multipart/mixed; boundary=\"a b\\\"c \"\nContent-Disposition: attachment; filename=\"x\\\"y\"\n\
              Content-Language: en, (c) de\nContent-Location: http://x/\nContent-MD5: abc==\n",
        );
        assert_eq!(mime.boundary(), Some(&b"a b\"c"[..]));
        let tail = String::from_utf8(mime.leaf_tail()).unwrap();
        assert_eq!(tail, " \"abc==\" (\"attachment\" (\"filename\" \"x\\\"y\")) (\"en\" \"de\") \"http://x/\"");
    }
}
