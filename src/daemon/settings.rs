//! What the configuration says to a service with clients: `service.NAME.*`, and the parameters that hold for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::listener::Rules;
use super::throttle::Throttle;
use super::tls::Tls;
use crate::config::Conf;
use crate::directory::filter::Filters;
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::sasl::Privacy;
use crate::text::network::Network;

/// Longest idle time, minutes: ten years.
const MINUTES: u32 = 10 * 366 * 24 * 60;

/// The parameters of one service. One that a service does not have is empty, 0, off.
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    /// All settings.
    pub conf: &'a Conf,
    service: &'static str,
}

/// What a connection is told about the service, whatever is spoken on it.
#[derive(Clone)]
pub struct Terms {
    /// Makes TLS, where there is a certificate.
    pub tls: Option<Tls>,
    /// Silence after which a client is sent away.
    pub idle: Duration,
    /// How long the answer to a failed login waits.
    pub fail_pause: Duration,
    /// How long the answer to a successful login in the clear waits.
    pub login_pause: Duration,
    /// What is remembered of failed logins; `fail_pause` is what the waits grow from.
    pub throttle: Arc<Throttle>,
    /// Who is let in.
    pub rules: Rules,
    /// Commands a second beyond which a client waits; 0: as many as it likes.
    pub command_rate: u32,
}

impl<'a> Parameters<'a> {
    /// Those of `service`: `imap`, `pop`, `lmtp`.
    pub fn new(conf: &'a Conf, service: &'static str) -> Parameters<'a> {
        Parameters { conf, service }
    }

    /// The full name of a parameter: `service.imap.port`.
    pub fn name(&self, attribute: &str) -> String {
        format!("service.{}.{attribute}", self.service)
    }

    /// A boolean.
    pub fn bool(&self, attribute: &str) -> bool {
        self.conf.bool(&self.name(attribute))
    }

    /// A number.
    pub fn int(&self, attribute: &str) -> i64 {
        self.conf.int(&self.name(attribute))
    }

    /// Text.
    pub fn string(&self, attribute: &str) -> String {
        self.conf.string(&self.name(attribute))
    }

    /// A path; `None`: it is empty.
    pub fn path(&self, attribute: &str) -> Option<PathBuf> {
        let name = self.name(attribute);
        (!self.conf.string(&name).is_empty()).then(|| self.conf.path(&name))
    }

    /// A number that is at least 1.
    pub fn count(&self, attribute: &str) -> usize {
        usize::try_from(self.int(attribute)).unwrap_or(1).max(1)
    }

    /// A bound; 0: none.
    pub fn bound(&self, attribute: &str) -> usize {
        usize::try_from(self.int(attribute)).ok().filter(|count| *count > 0).unwrap_or(usize::MAX)
    }

    /// A domain, or nothing, from a parameter by its full name.
    pub fn domain(&self, name: &str) -> Option<String> {
        Some(self.conf.string(name)).filter(|domain| !domain.is_empty())
    }

    /// What encryption a login wants.
    pub fn privacy(&self) -> Privacy {
        Privacy { required: self.bool("requiretls"), password_bits: u16::try_from(self.int("plaintextmincipher")).ok() }
    }

    /// Networks, by a parameter's full name. What cannot be used is in the log.
    pub fn networks(&self, name: &str) -> Vec<Network> {
        let mut found = Vec::new();
        for word in self.conf.list(name) {
            match Network::parse(&word) {
                Some(network) => found.push(network),
                None => wrong(name, &word, "no address and no network"),
            }
        }
        found
    }

    /// The greeting: the template with host, product and version in it; `protocol` is its `%p`.
    pub fn banner(&self, host: &str, protocol: &str) -> String {
        banner(&self.string("banner"), host, protocol)
    }

    /// What the connections are told. `idle_min`: the least minutes of silence that the protocol wants to be borne.
    pub(super) fn terms(&self, tls: Option<Tls>, throttle: Arc<Throttle>, idle_min: u32) -> Terms {
        let seconds = |name: &str| Duration::from_secs(u64::try_from(self.conf.int(name)).unwrap_or(0));
        let idle = u32::try_from(self.int("idletimeout")).unwrap_or(MINUTES).clamp(idle_min, MINUTES);
        Terms {
            tls,
            idle: clock::minute() * idle,
            fail_pause: seconds("service.authfailpause"),
            login_pause: seconds("service.plaintextloginpause"),
            throttle,
            rules: self.rules(),
            command_rate: u32::try_from(self.int("maxcommandrate")).unwrap_or(0),
        }
    }

    /// Who may connect. What cannot be used of it is in the log.
    fn rules(&self) -> Rules {
        let filters = Filters::new(&self.string("domainallowed"), &self.string("domainnotallowed"));
        for word in filters.unknown() {
            let names = format!("{}, domainnotallowed", self.name("domainallowed"));
            wrong(&names, word, "names are not looked up; this matches nobody");
        }
        Rules {
            service: self.service,
            sessions: self.bound("maxsessionsperaddress"),
            strangers: self.bound("maxunauthenticatedperaddress"),
            filters,
            proxies: self.networks("service.proxyprotocol.networks"),
        }
    }
}

fn wrong(name: &str, word: &str, why: &str) {
    log::error(Category::Network, format!("{name}: {word}: {why}"));
}

/// Expands the template of the greeting. Source: 6.3 Administration Guide, service.imap.banner.
fn banner(template: &str, host: &str, protocol: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = String::new();
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(if c.is_ascii_control() { ' ' } else { c });
            continue;
        }
        match rest.next() {
            Some('h') => text.push_str(host),
            Some('p') => text.push_str(protocol),
            Some('P') => text.push_str("msgstore"),
            Some('v' | 'V') => text.push_str(version),
            Some(other) => text.push(other),
            None => text.push('%'),
        }
    }
    // The grammar wants a word (RFC 3501 resp-text).
    if text.trim().is_empty() { protocol.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_expanded() {
        let version = env!("CARGO_PKG_VERSION");
        let banner = |template| banner(template, "mail1", "IMAP4");
        assert_eq!(banner("%h %p service (%P %V)"), format!("mail1 IMAP4 service (msgstore {version})"));
        assert_eq!(banner("100%% \r\nready%"), "100%   ready%");
        assert_eq!(banner(""), "IMAP4");
    }

    #[test]
    fn a_service_without_a_parameter_has_no_bound() {
        let conf = Conf::of_defaults(std::path::Path::new("/base"));
        let (imap, none) = (Parameters::new(&conf, "imap"), Parameters::new(&conf, "none"));
        assert_eq!((imap.bound("maxunauthenticatedperaddress"), imap.int("port")), (100, 143));
        assert_eq!((none.bound("maxunauthenticatedperaddress"), none.int("port")), (usize::MAX, 0));
        assert!(none.path("socket").is_none() && !none.bool("requiretls"));
    }
}
