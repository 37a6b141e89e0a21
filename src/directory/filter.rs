//! The access filters of a service (`service.imap.domainallowed`, `domainnotallowed`): which hosts may connect at all. The rules of one account
//! are `access`. Source: 6.3 Administration Guide, 23.7 (Configuring Client Access to POP, IMAP, and HTTP Services).

use std::net::IpAddr;

use crate::text::network::Network;

/// Two lists of filters `services: clients`, divided by `$` or line ends.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    allowed: Vec<String>,
    denied: Vec<String>,
}

impl Filters {
    /// From the values of the two parameters.
    pub fn new(allowed: &str, denied: &str) -> Filters {
        Filters { allowed: divide(allowed), denied: divide(denied) }
    }

    /// May a client at `peer` connect to `service` (`imap`)?
    ///
    /// It may when it matches an Allow filter; it may not when it matches a Deny filter; else it may, unless there are Allow filters and no Deny
    /// filters. A list is words with blanks or commas between them, `LIST EXCEPT LIST` takes out again. A client is `ALL` or `*`, an address, the beginning
    /// of one that ends in `.` or `*`, `NETWORK/MASK`, `NETWORK/BITS`, or `LOCAL`, which is the loopback address. Names are not looked up: whatever is
    /// about them ([`Filters::unknown`]) matches nobody.
    pub fn permit(&self, service: &str, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let any = |filters: &[String]| filters.iter().any(|filter| matches(filter, service, peer));
        if any(&self.allowed) {
            return true;
        }
        !any(&self.denied) && (self.allowed.is_empty() || !self.denied.is_empty())
    }

    /// The words that match nobody, because they are names of hosts or users, or no words of a filter at all.
    pub fn unknown(&self) -> Vec<&str> {
        let filters = self.allowed.iter().chain(&self.denied);
        let clients =
            filters.flat_map(|filter| words(filter.split_once(':').map_or(filter.as_str(), |(_, clients)| clients)));
        clients.filter(|word| !word.eq_ignore_ascii_case("EXCEPT") && !is_known(word)).collect()
    }
}

fn divide(value: &str) -> Vec<String> {
    value
        .split(['$', '\n'])
        .map(|filter| filter.trim().trim_start_matches('+').to_owned())
        .filter(|filter| !filter.is_empty())
        .collect()
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([' ', '\t', ',']).filter(|word| !word.is_empty())
}

fn matches(filter: &str, service: &str, peer: IpAddr) -> bool {
    // Without a service it is about this one: the parameter has its name.
    let (services, clients) = filter.split_once(':').unwrap_or(("ALL", filter));
    listed(services, &|word| is_all(word) || word.eq_ignore_ascii_case(service))
        && listed(clients, &|word| is_client(word, peer))
}

/// `LIST EXCEPT LIST EXCEPT LIST` is `LIST EXCEPT (LIST EXCEPT LIST)`.
fn listed(list: &str, test: &dyn Fn(&str) -> bool) -> bool {
    let mut found = false;
    let mut answers = Vec::new();
    for word in words(list) {
        if word.eq_ignore_ascii_case("EXCEPT") {
            answers.push(std::mem::take(&mut found));
        } else {
            found |= test(word);
        }
    }
    answers.into_iter().rev().fold(found, |except, found| found && !except)
}

fn is_all(word: &str) -> bool {
    word == "*" || word.eq_ignore_ascii_case("ALL")
}

fn is_local(word: &str) -> bool {
    word.eq_ignore_ascii_case("LOCAL") || word.eq_ignore_ascii_case("localhost")
}

/// The beginning of an address that a word is.
fn beginning(word: &str) -> Option<&str> {
    let start = word.strip_suffix('*').or_else(|| word.ends_with(['.', ':']).then_some(word))?;
    let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.' || byte == b':';
    (start.contains(['.', ':']) && !start.starts_with('.') && start.bytes().all(digits)).then_some(start)
}

fn is_known(word: &str) -> bool {
    is_all(word) || is_local(word) || beginning(word).is_some() || Network::parse(word).is_some()
}

fn is_client(word: &str, peer: IpAddr) -> bool {
    if is_all(word) {
        return true;
    }
    if is_local(word) {
        return peer.is_loopback();
    }
    match beginning(word) {
        Some(start) => peer.to_string().starts_with(&start.to_ascii_lowercase()),
        None => Network::parse(word).is_some_and(|network| network.contains(peer)),
    }
}

#[cfg(test)]
mod tests {
    use super::Filters;

    fn permit(allowed: &str, denied: &str, peer: &str) -> bool {
        Filters::new(allowed, denied).permit("imap", peer.parse().unwrap())
    }

    #[test]
    fn allow_comes_first_and_what_is_not_named_depends() {
        let here = "192.0.2.1";
        assert!(permit("", "", here));
        assert!(permit("imap: 192.0.2.1", "", here) && !permit("imap: 192.0.2.2", "", here));
        assert!(permit("imap: 192.0.2.2", "imap: 10.", here));
        assert!(!permit("", "ALL: ALL", here));
        assert!(permit("imap: 192.0.2.", "ALL: ALL", here));
        assert!(permit("pop: ALL", "pop: ALL", here) && !permit("pop: ALL", "", here));
        assert!(permit("pop: 10. $ imap, http: 192.0.2.0/24", "ALL: ALL", here));
        assert!(!permit("", "192.0.2.*", here) && permit("", "192.0.3.*", here));
    }

    #[test]
    fn words_of_clients() {
        let named = |word: &str, peer: &str| !permit("", &format!("imap: {word}"), peer);
        assert!(named("*", "::1") && named("all", "::1") && named("LOCAL", "::1") && named("LOCAL", "127.1.2.3"));
        assert!(!named("LOCAL", "192.0.2.1"));
        assert!(named("192.0.", "192.0.2.1") && !named("192.0.2.1", "192.0.2.11"));
        assert!(named("192.0.2.0/255.255.255.0", "::ffff:192.0.2.9"));
        assert!(named("2001:DB8:*", "2001:db8::1") && named("2001:db8::/32", "2001:db8::1"));
        assert!(named("10. 192.0.2.", "10.1.1.1") && named("10.,192.0.2.", "192.0.2.1"));
        assert!(!named("ALL EXCEPT 192.0.2.1", "192.0.2.1") && named("ALL EXCEPT 192.0.2.1", "192.0.2.2"));
        let nested = "ALL EXCEPT 192.0. EXCEPT 192.0.2.1";
        assert!(named(nested, "10.0.0.1") && !named(nested, "192.0.9.1") && named(nested, "192.0.2.1"));
        assert!(permit("", "ALL EXCEPT imap: ALL", "::1") && !permit("", "ALL EXCEPT pop: ALL", "::1"));
    }

    #[test]
    fn what_matches_nobody_is_named() {
        let filters = Filters::new("imap: .siroe.com EXCEPT LOCAL 10.", "ALL: ALL $ pop: joe@x KNOWN 192.0.2.0/99");
        assert_eq!(filters.unknown(), [".siroe.com", "joe@x", "KNOWN", "192.0.2.0/99"]);
    }
}
