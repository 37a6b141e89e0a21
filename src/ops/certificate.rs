//! A certificate that an instance makes for itself, so that there is encryption from the first day: self-signed, trusted by nobody before somebody
//! says so, to be replaced by one of a certification authority. Source: RFC 5280; the names as RFC 6125 wants them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Datelike, Months, Utc};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};

/// Years until it ends.
const YEARS: u32 = 10;

/// Certificate and private key, both PEM.
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8, ECDSA P-256).
    pub key: String,
}

/// Makes one for a host. The host's other names are the mail domain, `localhost` and the loopback addresses; a name that cannot stand in
/// a certificate is left out. `key`: a private key in PEM that is to be used, instead of a new one.
///
/// # Errors
/// What the library said: no random numbers, a key that is none.
pub fn self_signed(
    host: &str,
    domain: Option<&str>,
    key: Option<&str>,
    now_s: i64,
) -> Result<SelfSigned, rcgen::Error> {
    let names: BTreeSet<String> = [Some(host), domain, Some("localhost")]
        .into_iter()
        .flatten()
        .map(str::to_ascii_lowercase)
        .filter(|name| is_host_name(name))
        .collect();
    let now = DateTime::from_timestamp(now_s, 0).unwrap_or_default();
    let mut params = CertificateParams::new(Vec::from_iter(names))?;
    for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name = DistinguishedName::new();
    // X.520: at most 64 characters.
    params.distinguished_name.push(DnType::CommonName, host.chars().take(64).collect::<String>());
    let number = |number: u32| u8::try_from(number).unwrap_or(1);
    let midnight = |at: DateTime<Utc>| rcgen::date_time_ymd(at.year(), number(at.month()), number(at.day()));
    params.not_before = midnight(now);
    params.not_after = midnight(now.checked_add_months(Months::new(12 * YEARS)).unwrap_or(now));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = match key {
        Some(pem) => KeyPair::from_pem(pem)?,
        None => KeyPair::generate()?,
    };
    let certificate = params.self_signed(&key)?;
    Ok(SelfSigned { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_hosts_stand_in_it() {
        for good in ["localhost", "mail.example.org", "x--1.a"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "a_b", "b\u{fc}ro.example", "-a", "a b"] {
            assert!(!is_host_name(bad), "{bad}");
        }
        let made = self_signed("mail_1", Some("example.org"), None, 1_794_995_200).unwrap();
        assert!(made.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(made.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
