//! The registry in the text format of Prometheus, version 0.0.4.

use std::collections::BTreeMap;

use super::{Object, Snapshot, Value};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a counter is called: object (empty: of any service), counter, name, further label, what it tells.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("", "currentStartTime", "msgstore_start_time_seconds", "", "When the service was started."),
    ("", "lastConnectionTime", "msgstore_last_connection_time_seconds", "", "When a client came last; 0: none did."),
    ("", "maxConnections", "msgstore_connections_most", "", "Most connections at the same time since the start."),
    ("", "numConnections", "msgstore_connections_total", "", "Connections that were let in."),
    ("", "numCurrentConnections", "msgstore_connections", "", "Connections that are open."),
    ("", "numFailedConnections", "msgstore_connections_failed_total", "", "Connections that were sent away."),
    ("", "numGoodLogins", "msgstore_logins_total", "result=\"good\"", "Logins."),
    ("", "numFailedLogins", "msgstore_logins_total", "result=\"failed\"", "Logins."),
    ("", "numMessages", "msgstore_messages_total", "", "Messages that were brought."),
    ("", "numDelivered", "msgstore_deliveries_total", "result=\"delivered\"", "Recipients of messages that were brought."),
    ("", "numRefused", "msgstore_deliveries_total", "result=\"refused\"", "Recipients of messages that were brought."),
    ("", "numBytesIn", "msgstore_received_bytes_total", "", "Bytes from clients."),
    ("", "numBytesOut", "msgstore_sent_bytes_total", "", "Bytes to clients."),
    ("diskusage", "totalSpace", "msgstore_disk_total_bytes", "", "Space of the partition's file system."),
    ("diskusage", "availSpace", "msgstore_disk_available_bytes", "", "Space that is left."),
    ("diskusage", "locked", "msgstore_disk_locked", "", "1: the partition takes no deliveries, since its disk is full."),
    ("diskusage", "lastStatTime", "msgstore_disk_last_check_time_seconds", "", "When the space was looked at last."),
    ("serverresponse", "responsetime", "msgstore_server_response_seconds", "", "How long the server took to answer, whole seconds."),
    ("serverresponse", "laststattime", "msgstore_server_response_last_check_time_seconds", "", "When the server was asked last."),
    ("alarm", "countoverthreshold", "msgstore_alarm_over_threshold_total", "", "Measurements beyond the threshold."),
    ("alarm", "countwarningsent", "msgstore_alarm_warnings_total", "", "Warnings that were sent."),
    ("alarm", "current", "msgstore_alarm_current", "", "The value measured last."),
    ("alarm", "high", "msgstore_alarm_high", "", "The highest value."),
    ("alarm", "low", "msgstore_alarm_low", "", "The lowest value."),
    ("alarm", "timelastset", "msgstore_alarm_last_set_time_seconds", "", "When it was measured last."),
    ("alarm", "timelastwarning", "msgstore_alarm_last_warning_time_seconds", "", "When a warning was sent last; 0: none was."),
    ("alarm", "timestatechanged", "msgstore_alarm_state_change_time_seconds", "", "When the alarm began or ended; 0: neither was."),
    ("alarm", "warningstate", "msgstore_alarm_active", "", "1: the alarm lasts."),
];

/// One name: what it tells, and its lines.
#[derive(Default)]
struct Family {
    help: &'static str,
    lines: Vec<String>,
}

/// Writes what the registry has.
pub fn text(objects: &[(Object, Snapshot)]) -> String {
    let mut families: BTreeMap<&'static str, Family> = BTreeMap::new();
    let mut add = |name, help, line: String| {
        let family = families.entry(name).or_default();
        family.help = help;
        family.lines.push(line);
    };
    for (object, snapshot) in objects {
        if let Some(service) = object.service() {
            let line = format!("msgstore_up{{service=\"{service}\"}} {}", u8::from(snapshot.live));
            add("msgstore_up", "1: the process lives.", line);
        }
        for (name, value) in &snapshot.counters {
            let (instance, suffix) = name.rsplit_once('.').unwrap_or(("", name));
            let of = |row: &&Row| {
                row.1 == suffix && if row.0.is_empty() { object.service().is_some() } else { row.0 == object.name() }
            };
            let Some((_, _, metric, label, help)) = ROWS.iter().find(of) else { continue };
            let number = match value {
                Value::Text(_) => continue,
                Value::Time(at_s) => at_s.to_string(),
                other => other.number().unwrap_or(0).to_string(),
            };
            let mut labels = labels_of(*object, instance);
            if !label.is_empty() {
                labels = format!("{labels},{label}");
            }
            add(metric, help, format!("{metric}{{{labels}}} {number}"));
        }
    }
    let mut out = String::new();
    for (name, family) in families {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        out.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
        for line in family.lines {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

fn labels_of(object: Object, instance: &str) -> String {
    if let Some(service) = object.service() {
        return format!("service=\"{service}\"");
    }
    // `primary.diskusage`, `diskavail.primary.alarm`: the last word is the object again.
    let instance = instance.strip_suffix(object.name()).and_then(|rest| rest.strip_suffix('.')).unwrap_or(instance);
    match object {
        Object::DiskUsage => format!("partition=\"{}\"", escaped(instance)),
        Object::Alarm => {
            let (alarm, instance) = instance.split_once('.').unwrap_or((instance, ""));
            format!("alarm=\"{}\",instance=\"{}\"", escaped(alarm), escaped(instance))
        }
        _ => format!("server=\"{}\"", escaped(instance)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(object: Object, counters: &[(&str, Value)]) -> (Object, Snapshot) {
        let counters = counters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        (object, Snapshot { at_s: 1, live: true, pid: 1, counters })
    }

    #[test]
    fn families_are_whole_and_labels_escaped() {
        let text = text(&[
            object(Object::Alarm, &[("diskavail.my.disk.alarm.current", Value::Number(7))]),
            object(
                Object::DiskUsage,
                &[
                    ("a\"b.diskusage.totalSpace", Value::Bytes(9)),
                    ("a\"b.diskusage.mailPartitionPath", Value::Text("/x".into())),
                ],
            ),
            object(Object::ServerResponse, &[("ugldap_host.org_389.responsetime", Value::Number(2))]),
            object(
                Object::Imap,
                &[("global.numGoodLogins", Value::Number(1)), ("global.numFailedLogins", Value::Number(2))],
            ),
            object(Object::Pop, &[("global.numGoodLogins", Value::Number(3))]),
        ]);
        for line in [
            "msgstore_alarm_current{alarm=\"diskavail\",instance=\"my.disk\"} 7\n",
            "msgstore_disk_total_bytes{partition=\"a\\\"b\"} 9\n",
            "msgstore_server_response_seconds{server=\"ugldap_host.org_389\"} 2\n",
            "# TYPE msgstore_logins_total counter\nmsgstore_logins_total{service=\"imap\",result=\"good\"} 1\n\
             msgstore_logins_total{service=\"imap\",result=\"failed\"} 2\nmsgstore_logins_total{service=\"pop\",result=\"good\"} 3\n",
            "# TYPE msgstore_up gauge\nmsgstore_up{service=\"imap\"} 1\nmsgstore_up{service=\"pop\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("/x"));
    }
}
