//! How directory servers are reached, and what is asked of them.

use std::path::PathBuf;
use std::time::Duration;

/// How the connection to a server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// TLS begins within the connection (StartTLS, RFC 4511 section 4.14).
    StartTls,
    /// The connection begins with TLS (ldaps).
    Tls,
}

/// What is told about the servers. Shown for debugging it keeps the password to itself.
#[derive(Clone)]
pub struct Settings {
    /// The servers as `host` or `host:port`, the preferred one first; each holds the same entries.
    pub hosts: Vec<String>,
    /// The port of those that name none; `None`: 389, with [`Encryption::Tls`] 636.
    pub port: Option<u16>,
    /// The entry below which users and groups are.
    pub base_dn: String,
    /// Who asks; empty: nobody in particular (anonymous).
    pub bind_dn: String,
    /// The password of who asks.
    pub bind_password: String,
    /// How connections are protected.
    pub encryption: Encryption,
    /// The certificates by which a server's certificate is checked, a PEM file.
    pub ca_file: PathBuf,
    /// Connections that are kept between questions.
    pub pool_size: usize,
    /// Connections older than this are not used again; `None`: they are as long as they last.
    pub pool_refresh: Option<Duration>,
    /// The longest that a connection may take to be there, with TLS and bind.
    pub connect_timeout: Duration,
    /// The longest that an answer may take.
    pub search_timeout: Duration,
    /// Bytes of answers that are remembered; 0: none.
    pub cache_bytes: usize,
    /// For how long they are remembered.
    pub cache_lifetime: Duration,
    /// For how long it is remembered who is in the group of service administrators.
    pub membership_lifetime: Duration,
    /// The root of the tree of domains (`service.dcroot`), where it is not below `base_dn`.
    pub dc_root: Option<String>,
    /// Write every question to the log.
    pub trace: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Settings { hosts, base_dn, bind_dn, encryption, .. } = self;
        f.debug_struct("Settings")
            .field("hosts", hosts)
            .field("base_dn", base_dn)
            .field("bind_dn", bind_dn)
            .field("encryption", encryption)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hosts: Vec::new(),
            port: None,
            base_dn: String::new(),
            bind_dn: String::new(),
            bind_password: String::new(),
            encryption: Encryption::None,
            ca_file: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            pool_size: 8,
            pool_refresh: None,
            connect_timeout: Duration::from_secs(10),
            search_timeout: Duration::from_secs(60),
            cache_bytes: 0,
            cache_lifetime: Duration::ZERO,
            membership_lifetime: Duration::ZERO,
            dc_root: None,
            trace: false,
        }
    }
}

impl Settings {
    /// The addresses of the servers, as LDAP URLs (RFC 4516) without anything behind the port.
    pub fn urls(&self) -> Vec<String> {
        let (scheme, usual) = match self.encryption {
            Encryption::Tls => ("ldaps", 636),
            Encryption::None | Encryption::StartTls => ("ldap", 389),
        };
        let port = self.port.unwrap_or(usual);
        let named = |host: &str| match host.rsplit_once(':') {
            // An IPv6 address has colons of its own, and brackets where a port follows.
            Some((before, _)) => !before.contains(':') || before.ends_with(']'),
            None => false,
        };
        let url = |host: &String| match named(host) {
            true => format!("{scheme}://{host}"),
            false if host.contains(':') && !host.starts_with('[') => format!("{scheme}://[{host}]:{port}"),
            false => format!("{scheme}://{host}:{port}"),
        };
        self.hosts.iter().map(url).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_urls() {
        let hosts = ["a.example.org", "b:1389", "::1", "[::1]:1390"].map(str::to_owned).to_vec();
        let mut settings = Settings { hosts, ..Settings::default() };
        let urls = settings.urls();
        assert_eq!(urls, ["ldap://a.example.org:389", "ldap://b:1389", "ldap://[::1]:389", "ldap://[::1]:1390"]);
        settings.encryption = Encryption::Tls;
        assert_eq!(settings.urls()[0], "ldaps://a.example.org:636");
        settings.port = Some(1636);
        assert_eq!(settings.urls()[0], "ldaps://a.example.org:1636");
    }
}
