//! The mail of an alarm. Source: Administration Guide, the example of an alarm message.

use chrono::{Local, TimeZone};

use super::{Alarm, Settings};
use crate::config::Conf;
use crate::message::date::format_rfc5322;

/// The template where none is configured; `$` is a line break.
const TEMPLATE: &str = "From: %s$To: %s$Subject: ALARM: %s of \"%s\" is %s$$%s";

/// Where alarms are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The receiver.
    pub recipient: String,
    /// The sender.
    pub sender: String,
    /// The template; empty: the usual one.
    pub template: String,
}

impl Address {
    /// `alarm.msgalarmnotice*`.
    pub fn of(conf: &Conf) -> Address {
        Address {
            host: conf.string("alarm.msgalarmnoticehost"),
            port: u16::try_from(conf.int("alarm.msgalarmnoticeport")).unwrap_or(25),
            recipient: plain(&conf.string("alarm.msgalarmnoticercpt")),
            sender: plain(&conf.string("alarm.msgalarmnoticesender")),
            template: conf.string("alarm.msgalarmnoticetemplate"),
        }
    }
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is measured, or has happened.
    pub description: String,
    /// Of what: a partition, a server.
    pub instance: String,
    /// The value.
    pub value: String,
    /// The rest of the text, lines.
    pub summary: String,
}

impl Notice {
    /// That of an alarm; `base`: the instance of the server.
    pub fn of(alarm: &Alarm, settings: &Settings, instance: &str, base: &str) -> Notice {
        let moment = Local.timestamp_opt(alarm.set_s, 0).single();
        let moment = moment.map_or_else(String::new, |at| at.format("%d/%b/%Y:%H:%M:%S %z").to_string());
        let side = settings.side();
        let Settings { id, description, interval_s, threshold, .. } = settings;
        let Alarm { current, low, high, count_over, .. } = alarm;
        let summary = format!(
            "Server instance: {base}\nAlarmid: {id}\nInstance: {instance}\nDescription: {description}\n\
             Current measured value ({moment}): {current}\nLowest recorded value: {low}\nHighest recorded value: {high}\n\
             Monitoring interval: {interval_s} seconds\nAlarm condition is when {side} threshold of {threshold}\n\
             Number of times {side} threshold: {count_over}\n"
        );
        Notice { description: description.clone(), instance: instance.to_owned(), value: current.to_string(), summary }
    }

    /// The subject as the log has it: `ALARM: ... of "primary" is 5`.
    pub fn words(&self) -> String {
        format!("ALARM: {} of \"{}\" is {}", self.description, self.instance, self.value)
    }

    /// The message, lines end in CRLF. `id`: what makes its Message-ID unique; `host`: this host.
    pub fn message(&self, address: &Address, id: &str, host: &str, now_s: i64) -> Vec<u8> {
        let template = if address.template.is_empty() { TEMPLATE } else { &address.template };
        let values = [
            plain(&address.sender),
            plain(&address.recipient),
            plain(&self.description),
            plain(&self.instance),
            plain(&self.value),
            self.summary.clone(),
        ];
        let text = filled(template, &values);
        let (head, body) = text.split_once("\n\n").unwrap_or((text.as_str(), self.summary.as_str()));
        let has = |name: &str| {
            head.lines()
                .any(|line| line.split_once(':').is_some_and(|(field, _)| field.trim().eq_ignore_ascii_case(name)))
        };
        let mut all = String::new();
        for (name, value) in [
            ("Date", format_rfc5322(now_s)),
            ("Message-ID", format!("<{id}@{}>", if host.is_empty() { "localhost" } else { host })),
            ("From", plain(&address.sender)),
            ("To", plain(&address.recipient)),
            ("Subject", plain(&self.words())),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", "text/plain; charset=utf-8".to_owned()),
            ("Content-Transfer-Encoding", "8bit".to_owned()),
            // RFC 3834 section 5: nobody answers it by himself.
            ("Auto-Submitted", "auto-generated".to_owned()),
        ] {
            if !has(name) {
                all.push_str(&format!("{name}: {value}\n"));
            }
        }
        // What is no field and no continuation of one would end the header.
        let fields = head.lines().filter(|line| {
            line.starts_with([' ', '\t']) || line.split_once(':').is_some_and(|(name, _)| is_field_name(name))
        });
        fields.for_each(|line| all.push_str(&format!("{line}\n")));
        all.push_str(&format!("\n{body}"));
        if !all.ends_with('\n') {
            all.push('\n');
        }
        all.replace('\n', "\r\n").into_bytes()
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Puts the values where `%s` stands, one after the other; `%%` is `%`, `$` a line break.
fn filled(template: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('%', Some('s')) => {
                rest.next();
                text.push_str(values.next().map_or("", String::as_str));
            }
            ('%', Some('%')) => {
                rest.next();
                text.push('%');
            }
            ('$', _) => text.push('\n'),
            ('\r', _) => {}
            _ => text.push(c),
        }
    }
    text
}

/// One line without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;

    fn address(template: &str) -> Address {
        Address {
            host: "localhost".into(),
            port: 25,
            recipient: "ann@siroe.com".into(),
            sender: "postmaster@siroe.com".into(),
            template: template.into(),
        }
    }

    #[test]
    fn the_mail_has_the_documented_form() {
        let settings = Settings {
            id: "serverresponse",
            description: "server response time in seconds".into(),
            interval_s: 600,
            threshold: 10,
            direction: Direction::Above,
            warn_every_s: 100,
        };
        let mut alarm = Alarm::default();
        alarm.measured(0, &settings, 995_412_000);
        alarm.measured(10, &settings, 995_412_428);
        let notice = Notice::of(&alarm, &settings, "ldap_siroe.com_389", "/opt/SUNWmsgsr");
        let text = String::from_utf8(notice.message(&address(""), "1.2", "mail", 995_412_428)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "Subject: ALARM: server response time in seconds of \"ldap_siroe.com_389\" is 10",
            "From: postmaster@siroe.com",
            "To: ann@siroe.com",
            "Message-ID: <1.2@mail>",
        ] {
            assert_eq!(head.lines().filter(|known| *known == line).count(), 1, "{line}\n{text}");
        }
        let form = "Server instance: /opt/SUNWmsgsr\r\nAlarmid: serverresponse\r\nInstance: ldap_siroe.com_389\r\n\
            Description: server response time in seconds\r\nCurrent measured value (1*/Jul/2001:*): 10\r\n\
            Lowest recorded value: 0\r\nHighest recorded value: 10\r\nMonitoring interval: 600 seconds\r\n\
            Alarm condition is when over threshold of 10\r\nNumber of times over threshold: 1\r\n";
        let form = format!("^{}$", regex::escape(form).replace(r"\*", "[^\r\n]*"));
        assert!(regex::Regex::new(&form).unwrap().is_match(body), "{body}");
    }

    #[test]
    fn a_template_of_the_site_is_filled_and_cannot_break_the_header() {
        let notice = Notice {
            description: "a\r\nBcc: x@y".into(),
            instance: "p".into(),
            value: "5".into(),
            summary: "sum\n".into(),
        };
        let template = "From: me <%s>$To: %s$X-Note: 100%%$no field here$Subject: %s/%s/%s$$Look:$%s";
        let text = String::from_utf8(notice.message(&address(template), "1", "", 0)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "Look:\r\nsum\r\n");
        assert!(head.contains("From: me <postmaster@siroe.com>\r\nTo: ann@siroe.com\r\nX-Note: 100%\r\n"), "{head}");
        assert!(head.contains("Subject: a  Bcc: x@y/p/5") && !head.contains("no field"), "{head}");
        assert_eq!(head.lines().filter(|line| line.starts_with("From:")).count(), 1);
        // A template without a body.
        let text = String::from_utf8(notice.message(&address("Subject: short"), "1", "", 0)).unwrap();
        assert!(text.ends_with("Subject: short\r\n\r\nsum\r\n"), "{text}");
    }
}
