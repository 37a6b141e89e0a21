//! The template of a notice (AdminRef 2005Q4 imquotacheck, "Notification File"): a header with a Subject, empty lines, a body, with variables in both.
//! Localised copies have `\24` for `$` and `\25` for `%` throughout, also around the variables.

use chrono::DateTime;

use super::survey::Subject;
use crate::message::words::encode_words;

/// The largest template, bytes.
pub const LARGEST_FILE: usize = 1 << 20;
/// Most folders that a notice lists.
const MOST_FOLDERS: usize = 50;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The fields as they are written: a line and those that continue it, without line ends.
    fields: Vec<Vec<u8>>,
    body: Vec<u8>,
    is_utf8: bool,
}

/// What a notice has beside its template.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// `From`.
    pub from: String,
    /// `To`.
    pub to: String,
    /// `Message-ID`, without brackets.
    pub message_id: String,
    /// `Date`, seconds since 1970.
    pub now_s: i64,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence about what it lacks or what cannot be in it.
    pub fn parse(text: &[u8]) -> Result<Template, String> {
        if text.contains(&0) {
            return Err("it holds NUL bytes".to_owned());
        }
        let text = plain(text);
        let mut lines =
            text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).peekable();
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for line in lines.by_ref() {
            if line.trim_ascii().is_empty() {
                break;
            }
            match fields.last_mut().filter(|_| line.starts_with(b" ") || line.starts_with(b"\t")) {
                Some(field) => {
                    field.push(b'\n');
                    field.extend_from_slice(line);
                }
                None if name_of(line).is_some() => fields.push(line.to_vec()),
                None => {
                    let line = String::from_utf8_lossy(line);
                    return Err(format!("\"{line}\" is no header line; an empty line ends the header"));
                }
            }
        }
        if !has(&fields, "Subject") {
            return Err("it has no Subject line".to_owned());
        }
        while lines.peek().is_some_and(|line| line.trim_ascii().is_empty()) {
            lines.next();
        }
        let body = lines.collect::<Vec<_>>().join(&b'\n');
        if body.is_empty() {
            return Err("it has no body".to_owned());
        }
        Ok(Template { fields, body, is_utf8: std::str::from_utf8(&text).is_ok() })
    }

    /// The message for a user. Lines end in LF.
    pub fn fill(&self, subject: &Subject, envelope: &Envelope) -> Vec<u8> {
        let mut out = Vec::new();
        let mut made = |name: &str, value: &str| {
            if !has(&self.fields, name) {
                out.extend_from_slice(format!("{name}: {value}\n").as_bytes());
            }
        };
        made("From", &envelope.from);
        made("To", &envelope.to);
        made("Date", &DateTime::from_timestamp(envelope.now_s, 0).unwrap_or_default().to_rfc2822());
        made("Message-ID", &format!("<{}>", envelope.message_id));
        made("MIME-Version", "1.0");
        if !has(&self.fields, "Content-Type") {
            let charset = if self.is_utf8 { "utf-8" } else { "unknown-8bit" };
            made("Content-Type", &format!("text/plain; charset={charset}"));
            made("Content-Transfer-Encoding", "8bit");
        }
        // RFC 3834 section 5: nobody is to answer it by a program.
        made("Auto-Submitted", "auto-generated");
        for field in &self.fields {
            let mut filled = self.filled(field, subject, " ");
            if let (Some("subject"), Ok(text)) = (name_of(field).as_deref(), std::str::from_utf8(&filled))
                && !text.is_ascii()
            {
                let value = text.split_once(':').map_or("", |(_, value)| value).trim().replace('\n', "");
                filled = format!("Subject: {}", encode_words(&value)).into_bytes();
            }
            out.extend_from_slice(&filled);
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(&self.filled(&self.body, subject, "\n"));
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out
    }

    /// The text with the values of its variables; `between` stands between the lines of a value.
    fn filled(&self, text: &[u8], subject: &Subject, between: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'%', rest) {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            match from {
                [b'%', letter, b'%', after @ ..] if b"UQRMC".contains(letter) => {
                    out.extend_from_slice(self.value(*letter, subject, between).as_bytes());
                    rest = after;
                }
                _ => {
                    out.push(b'%');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        out.extend_from_slice(rest);
        out
    }

    fn value(&self, letter: u8, subject: &Subject, between: &str) -> String {
        match letter {
            b'U' => subject.figures.userid.clone(),
            b'Q' => percent(subject.percent()),
            b'M' => size(subject.own_usage().bytes),
            b'C' => quota(subject.figures.bytes),
            _ => details(subject).join(between),
        }
    }
}

/// The text without the escapes of localised copies.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match rest {
            [b'2', b'4', after @ ..] if *byte == b'\\' => {
                out.push(b'$');
                rest = after;
            }
            [b'2', b'5', after @ ..] if *byte == b'\\' => {
                out.push(b'%');
                rest = after;
            }
            _ => out.push(*byte),
        }
    }
    out
}

/// The name of a header field in lower case (RFC 5322 section 3.6.8).
fn name_of(line: &[u8]) -> Option<String> {
    let name = line.get(..memchr::memchr(b':', line)?)?;
    let sound = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    sound.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

fn has(fields: &[Vec<u8>], name: &str) -> bool {
    fields.iter().any(|field| name_of(field).is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

fn size(bytes: u64) -> String {
    format!("{} KB", bytes.div_ceil(1024))
}

fn quota(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "no quota".to_owned(), |bytes| format!("{} KB", bytes / 1024))
}

fn percent(percent: Option<u64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

/// Quota, size and percentage of the account and of folders with quotas of their own; the number of messages where it is limited; the folders,
/// the largest first, where they are known.
fn details(subject: &Subject) -> Vec<String> {
    let mut lines = Vec::new();
    for root in &subject.roots {
        let of = root.folder.as_ref().map_or_else(String::new, |folder| format!("{folder}: "));
        let used = percent(root.usage.percent(root.bytes, None));
        lines.push(format!("{of}quota {}, size {}, {used}", quota(root.bytes), size(root.usage.bytes)));
        if let Some(limit) = root.messages {
            let used = percent(root.usage.percent(None, root.messages));
            lines.push(format!("{of}quota {limit} messages, {} messages, {used}", root.usage.messages));
        }
    }
    let mut folders: Vec<_> = subject.folders.iter().flatten().collect();
    folders.sort_by(|a, b| b.usage.bytes.cmp(&a.usage.bytes).then_with(|| a.name.cmp(&b.name)));
    let (shown, more) = folders.split_at(folders.len().min(MOST_FOLDERS));
    lines.extend(shown.iter().map(|folder| format!("{}: {}", folder.name, size(folder.usage.bytes))));
    if !more.is_empty() {
        lines.push(format!("and {} more folders", more.len()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::quota::Figures;
    use crate::ops::quotacheck::survey::FolderUsage;
    use crate::store::{QuotaRoot, Usage};

    const SAMPLE: &[u8] = include_bytes!("../../../testdata/golden/imquotacheck/sample.msgfile");

    fn folder(name: &str, bytes: u64) -> FolderUsage {
        FolderUsage { name: name.to_owned(), usage: Usage { bytes, messages: 1 } }
    }

    fn joe(bytes: Option<u64>, messages: Option<u64>) -> Subject {
        let usage = Usage { bytes: 950_000, messages: 12 };
        Subject {
            account: None,
            figures: Figures { userid: "joe".to_owned(), usage, bytes, messages, ..Figures::default() },
            roots: vec![QuotaRoot { folder: None, usage, bytes, messages, over_since_s: 0 }],
            folders: Some(vec![folder("INBOX", 50_000), folder("Sent", 900_000)]),
        }
    }

    fn envelope() -> Envelope {
        Envelope {
            from: "postmaster@example.org".into(),
            to: "joe@example.org".into(),
            message_id: "1@example.org".into(),
            now_s: 1_794_995_200,
        }
    }

    fn filled(text: &[u8]) -> String {
        String::from_utf8_lossy(&Template::parse(text).unwrap().fill(&joe(Some(1 << 20), None), &envelope()))
            .into_owned()
    }

    const MADE: &str = "From: postmaster@example.org\nTo: joe@example.org\nDate: Wed, 18 Nov 2026 09:46:40 +0000\n\
        Message-ID: <1@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n";

    #[test]
    fn the_sample_of_the_manual() {
        let body = "Subject: [Warning] quota reached for joe\n\nHello joe,\nYour quota: 1024 KB\n\
            Your current mailbox usage: 928 KB\nYour mailbox is now 90% full. The folders consuming the most space are:\n\
            quota 1024 KB, size 928 KB, 90%\nSent: 879 KB\nINBOX: 49 KB.\n\nPlease clean up unwanted diskspace.\n\n\
            Thanks,\n-Administrator\n";
        assert_eq!(filled(SAMPLE), format!("{MADE}{body}"));
    }

    #[test]
    fn localised_copies_have_escapes() {
        let escaped = String::from_utf8(SAMPLE.to_vec()).unwrap().replace('%', "\\25");
        assert_eq!(filled(escaped.as_bytes()), filled(SAMPLE));
        let text = filled(b"Subject: x\n\n5\\24, 7\\25, \\26, \\2, \\25U\\25 \\25x\\25 %% %U\\");
        assert!(text.ends_with("\n\n5$, 7%, \\26, \\2, joe %x% %% %U\\\n"), "{text}");
    }

    #[test]
    fn headers_of_the_template_stand_and_the_others_are_made() {
        let text = filled(
            b"X-Q: %Q%\r\nfrom: boss@x\r\nSUBJECT: a\r\n b %R%\r\ncontent-type: text/html\r\n\r\n\r\nc\r\nd\r\n",
        );
        let made: String = MADE
            .lines()
            .filter(|line| !["From", "Content"].iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\n"))
            .collect();
        let wanted = "X-Q: 90%\nfrom: boss@x\nSUBJECT: a\n b quota 1024 KB, size 928 KB, 90% Sent: 879 KB INBOX: 49 KB\n\
            content-type: text/html\n\nc\nd\n";
        assert_eq!(text, made + wanted);
        // Letters beyond ASCII: in the subject encoded words, in the body as they are.
        let text = filled("Subject: Vorsicht, M\u{fc}ller %U%\n\nGr\u{fc}\u{df}e\n".as_bytes());
        assert!(text.ends_with("Subject: =?UTF-8?B?Vm9yc2ljaHQsIE3DvGxsZXIgam9l?=\n\nGr\u{fc}\u{df}e\n"), "{text}");
        let latin = filled(b"Subject: x\n\nGr\xfc\xdfe\n");
        assert!(latin.contains("charset=unknown-8bit\n"), "{latin}");
    }

    #[test]
    fn messages_and_many_folders() {
        let many = (0..60).map(|number| folder(&format!("f{number:03}"), 1)).collect();
        let subject = Subject { folders: Some(many), ..joe(None, Some(10)) };
        let template = Template::parse(b"Subject: x\n\n%C% %M% %Q%\n%R%").unwrap();
        let text = String::from_utf8(template.fill(&subject, &envelope())).unwrap();
        let body = text.split_once("\n\n").unwrap().1;
        assert!(body.starts_with(
            "no quota 928 KB 120%\nquota no quota, size 928 KB, -\nquota 10 messages, 12 messages, 120%\n"
        ));
        assert!(body.ends_with("f049: 1 KB\nand 10 more folders\n"), "{body}");
    }

    #[test]
    fn what_is_no_template() {
        for (text, said) in [
            (&b""[..], "no Subject"),
            (b"From: x\n\nbody", "no Subject"),
            (b"Subject: x\n", "no body"),
            (b"Subject: x\n\n \n", "no body"),
            (b"Hello\n\nbody", "\"Hello\" is no header line"),
            (b"Sub ject: x\n\nbody", "is no header line"),
            (b" Subject: x\n\nbody", "is no header line"),
            (b"\nSubject: x\n\nbody", "no Subject"),
            (b"Subject: x\n\nbo\0dy", "NUL"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
