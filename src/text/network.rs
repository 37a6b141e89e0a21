//! Networks of addresses: `192.0.2.0/24`, `192.0.2.0/255.255.255.0`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

use super::number::decimal;

/// The addresses that share the first bits with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads one; `None` when it is none. Bits behind the prefix do not matter; an IPv6 address may stand in brackets.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
        let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match (mask, address) {
            (None, _) => longest,
            (Some(mask), IpAddr::V4(_)) if mask.contains('.') => {
                let mask = mask.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
                Some(mask.leading_ones()).filter(|ones| mask.count_ones() == *ones)?
            }
            (Some(mask), _) => decimal(mask.as_bytes()).filter(|prefix| *prefix <= longest)?,
        };
        Some(Network { address, prefix })
    }

    /// Is it one of these addresses? An IPv4 address that is written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differs = match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => (ours.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(ours), IpAddr::V6(other)) => (ours.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        // A mapped network has 96 bits more.
        let prefix = if self.address.is_ipv6() && self.address.to_canonical().is_ipv4() {
            self.prefix.saturating_sub(96)
        } else {
            self.prefix
        };
        differs >= prefix
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn networks_and_their_addresses() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/255.255.255.0", "::ffff:192.0.2.7", "192.0.3.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.1.2.3/8", "10.9.9.9", "11.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("[2001:db8::1]", "2001:db8::1", "2001:db8::2"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
        ] {
            let found = Network::parse(network).unwrap();
            assert!(found.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!found.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        for wrong in
            ["", "/", "x", "192.0.2", "192.0.2.0/33", "192.0.2.0/255.0.255.0", "::/129", "::/255.0.0.0", "1.2.3.4/"]
        {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
