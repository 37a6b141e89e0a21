//! What encryption a login wants.

use std::net::IpAddr;

/// What encryption a login wants. The length of the key of a connection is `None` where nothing encrypts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// Other hosts than this one must encrypt, however they log in (`service.imap.requiretls` and its like).
    pub required: bool,
    /// A mechanism that sends the password itself wants a key of so many bits, 0: none (`service.imap.plaintextmincipher` and its like). `None`: there
    /// is no such mechanism.
    pub password_bits: Option<u16>,
}

impl Privacy {
    /// May a client at `peer` log in at all?
    pub fn allows_login(self, peer: IpAddr, bits: Option<u16>) -> bool {
        !self.required || bits.is_some() || peer.to_canonical().is_loopback()
    }

    /// May it send a password?
    pub fn allows_password(self, peer: IpAddr, bits: Option<u16>) -> bool {
        self.allows_login(peer, bits)
            && match self.password_bits {
                None => false,
                Some(0) => true,
                Some(least) => bits.is_some_and(|bits| bits >= least),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_log_in_and_who_may_send_a_password() {
        let here: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let there: IpAddr = "192.0.2.1".parse().unwrap();
        let may = |required, password_bits, peer, bits| {
            let privacy = Privacy { required, password_bits };
            (privacy.allows_login(peer, bits), privacy.allows_password(peer, bits))
        };
        assert_eq!(may(true, Some(0), there, None), (false, false));
        assert_eq!(may(true, Some(0), there, Some(128)), (true, true));
        assert_eq!(may(true, Some(0), here, None), (true, true));
        assert_eq!(may(false, Some(0), there, None), (true, true));
        assert_eq!(may(false, Some(128), there, None), (true, false));
        assert_eq!(may(false, Some(128), here, None), (true, false));
        assert_eq!(may(true, Some(256), there, Some(128)), (true, false));
        assert_eq!(may(true, Some(256), there, Some(256)), (true, true));
        assert_eq!(may(false, None, here, Some(256)), (true, false));
    }
}
