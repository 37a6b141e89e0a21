//! The service filter of an account (`mailAllowedServiceAccess`): rules `[+|-]services:clients`, divided by `$`.

use std::net::IpAddr;

/// May a client at `peer` use `service` (`imap`, `pop`, ...) under a filter? A filter may call POP `pop3`.
///
/// The first rule that names both decides, `+` (or no sign) for yes, `-` for no. When none does, the answer is no if there is any `+` rule, else yes. Services
/// and clients are lists with commas; `*` and `ALL` are everybody; a client is an address, or the beginning of one that ends in `*` or `.`. Names of hosts are
/// not looked up, so they match nobody.
pub fn allows(filter: &str, service: &str, peer: IpAddr) -> bool {
    let peer = peer.to_canonical().to_string();
    let mut grants = false;
    for rule in filter.split('$').map(str::trim).filter(|rule| !rule.is_empty()) {
        let (grant, rule) = match rule.strip_prefix('-') {
            Some(rule) => (false, rule),
            None => (true, rule.strip_prefix('+').unwrap_or(rule)),
        };
        grants |= grant;
        let (services, clients) = rule.split_once(':').unwrap_or((rule, "*"));
        let named = |list: &str, test: &dyn Fn(&str) -> bool| list.split(',').map(str::trim).any(test);
        let everybody = |word: &str| word == "*" || word.eq_ignore_ascii_case("ALL");
        let is_service =
            |word: &str| word.eq_ignore_ascii_case(service) || (service == "pop" && word.eq_ignore_ascii_case("pop3"));
        if named(services, &|word| everybody(word) || is_service(word))
            && named(clients, &|word| everybody(word) || is_address(word, &peer))
        {
            return grant;
        }
    }
    !grants
}

fn is_address(word: &str, peer: &str) -> bool {
    match word.strip_suffix('*').or_else(|| word.ends_with('.').then_some(word)) {
        Some(beginning) => !beginning.is_empty() && peer.starts_with(&beginning.to_ascii_lowercase()),
        None => word.eq_ignore_ascii_case(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn the_first_rule_decides() {
        let at = |filter: &str, peer: &str| allows(filter, "imap", peer.parse().unwrap());
        assert!(at("", "192.0.2.1"));
        assert!(at("+imap:*", "192.0.2.1"));
        assert!(at("imap,pop3:ALL", "192.0.2.1"));
        assert!(!at("+pop3:*", "192.0.2.1"));
        assert!(!at("-IMAP:*", "192.0.2.1"));
        assert!(at("-pop3:*", "192.0.2.1"));
        assert!(at("+imap:192.0.2.*,10.", "192.0.2.1") && at("+imap:192.0.2.*,10.", "::ffff:10.1.1.1"));
        assert!(!at("+imap:192.0.2.*", "192.0.20.1"));
        assert!(!at("-imap:192.0.2.1$+imap:*", "192.0.2.1"));
        assert!(at("-imap:192.0.2.1$+imap:*", "192.0.2.2"));
        assert!(!at("-*:*", "2001:db8::1") && at("+imap:2001:db8::*", "2001:DB8::1"));
        assert!(!at("+imap:mail.example.org", "192.0.2.1"));
        let pop = |filter: &str| allows(filter, "pop", "192.0.2.1".parse().unwrap());
        assert!(pop("+pop:*") && pop("+pop3:*") && !pop("-POP3:*") && !pop("+imap:*"));
    }
}
