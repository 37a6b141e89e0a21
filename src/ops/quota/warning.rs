//! The quota warning of the delivery agent: the text of `store.quotaexceededmsg` as a message.

use super::watch::Settings;
use crate::directory::User;
use crate::message::date;
use crate::store::{QuotaRoot, QuotaRules};

/// The subject where the text has no header.
const SUBJECT: &str = "Quota warning";

/// The message for a user whose quota root is nearly used up, with CRLF line ends; `None`: no text is configured.
pub fn message(settings: &Settings, user: &User, root: &QuotaRoot, now_s: i64) -> Option<Vec<u8>> {
    let text = filled(settings.text(&user.language)?, user, root, &settings.rules);
    // `$` is a line break; the first empty line ends the header.
    let lines: Vec<&str> = text.split('$').collect();
    let is_header = |line: &&str| line.split_once(':').is_some_and(|(name, _)| is_field_name(name));
    let (header, body) = match lines.iter().position(|line| line.is_empty()) {
        Some(end) if lines.iter().take(end).all(|line| is_header(line) || line.starts_with([' ', '\t'])) && end > 0 => {
            (lines.get(..end).unwrap_or_default(), lines.get(end + 1..).unwrap_or_default())
        }
        None if lines.iter().all(is_header) => (&lines[..], &[][..]),
        _ => (&[][..], &lines[..]),
    };
    let has = |name: &str| {
        header.iter().any(|line| line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name)))
    };
    let mut message = String::new();
    let mut line = |text: &str| {
        message.push_str(text);
        message.push_str("\r\n");
    };
    let at_domain = |local: &str| match settings.domain.as_str() {
        "" => local.to_owned(),
        domain => format!("{local}@{domain}"),
    };
    if !has("Date") {
        line(&format!("Date: {}", date::format_rfc5322(now_s)));
    }
    if !has("From") {
        line(&format!("From: {}", at_domain("postmaster")));
    }
    if !has("To") {
        line(&format!("To: {}", if user.mail.is_empty() { at_domain(&user.userid) } else { user.mail.clone() }));
    }
    if !has("Message-ID") {
        let name: String = user.userid.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
        line(&format!(
            "Message-ID: <quota.{now_s}.{name}@{}>",
            at_domain("msgstore").rsplit('@').next().unwrap_or_default()
        ));
    }
    // No answer of a vacation program comes back (RFC 3834 section 5).
    if !has("Auto-Submitted") {
        line("Auto-Submitted: auto-generated");
    }
    if !has("Subject") {
        line(&format!("Subject: {SUBJECT}"));
    }
    if !text.is_ascii() && !has("Content-Type") {
        line("MIME-Version: 1.0");
        line("Content-Type: text/plain; charset=utf-8");
        line("Content-Transfer-Encoding: 8bit");
    }
    header.iter().for_each(|text| line(text));
    line("");
    body.iter().for_each(|text| line(text));
    Some(message.into_bytes())
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// The text with its variables filled in; what they stand for cannot break a line.
fn filled(text: &str, user: &User, root: &QuotaRoot, rules: &QuotaRules) -> String {
    let kilobytes = |bytes: u64| format!("{}K", bytes.div_ceil(1024));
    let limit = |limit: Option<String>| limit.unwrap_or_else(|| "unlimited".to_owned());
    let values = [
        ("[ID]", user.userid.clone()),
        ("[DISKUSAGE]", kilobytes(root.usage.bytes)),
        ("[NUMMSG]", root.usage.messages.to_string()),
        ("[PERCENT]", format!("{}%", if rules.overdraft { 100 } else { rules.warn_percent })),
        ("[QUOTA]", limit(root.bytes.map(kilobytes))),
        ("[MSGQUOTA]", limit(root.messages.map(|count| count.to_string()))),
    ];
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((name, value)) => {
                out.extend(value.chars().filter(|c| *c != '$'));
                rest = from.get(name.len()..).unwrap_or_default();
            }
            None => {
                out.push('[');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Usage;

    fn warning(text: &str) -> String {
        let settings = Settings {
            texts: [(String::new(), text.to_owned())].into(),
            domain: "siroe.com".into(),
            ..Settings::default()
        };
        let user = User { userid: "joe".into(), mail: "joe@siroe.com".into(), ..User::default() };
        let root = QuotaRoot {
            folder: None,
            usage: Usage { bytes: 19 << 20, messages: 148 },
            bytes: Some(20 << 20),
            messages: None,
            over_since_s: 0,
        };
        String::from_utf8(message(&settings, &user, &root, 0).unwrap()).unwrap()
    }

    const OURS: &str = "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: postmaster@siroe.com\r\nTo: joe@siroe.com\r\n\
        Message-ID: <quota.0.joe@siroe.com>\r\nAuto-Submitted: auto-generated\r\n";

    #[test]
    fn the_example_of_the_manual() {
        let text = "Subject: Overquota Warning$$[ID],$$Your mailbox size has exceeded [PERCENT] of its alloted quota.$Disk Usage: \
            [DISKUSAGE]$Number of Messages: [NUMMSG]$Mailquota: [QUOTA]$Message Quota: [MSGQUOTA]$$-Postmaster";
        let body = "Subject: Overquota Warning\r\n\r\njoe,\r\n\r\nYour mailbox size has exceeded 90% of its alloted quota.\r\n\
            Disk Usage: 19456K\r\nNumber of Messages: 148\r\nMailquota: 20480K\r\nMessage Quota: unlimited\r\n\r\n-Postmaster\r\n";
        assert_eq!(warning(text), format!("{OURS}{body}"));
    }

    #[test]
    fn other_texts_are_messages_too() {
        assert_eq!(
            warning("Subject: a$To: x@y$$b"),
            format!("{}Subject: a\r\nTo: x@y\r\n\r\nb\r\n", OURS.replace("To: joe@siroe.com\r\n", ""))
        );
        assert_eq!(
            warning("Your mailbox is full"),
            format!("{OURS}Subject: Quota warning\r\n\r\nYour mailbox is full\r\n")
        );
        assert_eq!(warning("Subject: a"), format!("{OURS}Subject: a\r\n\r\n"));
        let german = warning("Subject: a$$voll: [X] [ID\u{fc}");
        assert!(german.contains("charset=utf-8") && german.ends_with("\r\n\r\nvoll: [X] [ID\u{fc}\r\n"), "{german}");
    }
}
