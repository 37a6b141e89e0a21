//! What CAPA names (RFC 2449 section 5): only what works, and what is of use to the client now.

use super::respond;
use super::session::Session;
use crate::directory::scram::Hash;

impl Session {
    /// Writes the list of capabilities as it is now.
    pub(super) fn capabilities(&self, out: &mut Vec<u8>) {
        respond::ok(out, "Capability list follows");
        let mut line = |words: &str| {
            respond::text(out, words);
            respond::text(out, "\r\n");
        };
        let server = self.server();
        for name in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"] {
            line(name);
        }
        match server.expire_days {
            None => line("EXPIRE NEVER"),
            Some(days) => line(&format!("EXPIRE {days}")),
        }
        if server.min_poll_s > 0 {
            line(&format!("LOGIN-DELAY {}", server.min_poll_s));
        }
        line("UTF8");
        if !self.is_logged_in() {
            if self.stls_allowed() {
                line("STLS");
            }
            if self.password_allowed() {
                line("USER");
            }
        }
        let mechanisms = self.mechanisms();
        if !mechanisms.is_empty() {
            line(&format!("SASL {}", mechanisms.join(" ")));
        }
        line("IMPLEMENTATION msgstore");
        respond::end(out);
    }

    /// The mechanisms of AUTH that can be used now. After the login as before it: RFC 5034 section 3 wants no difference but for encryption.
    pub(super) fn mechanisms(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.password_allowed() {
            names.extend(["PLAIN", "LOGIN"]);
        }
        for (hash, name) in [(Hash::Sha256, "SCRAM-SHA-256"), (Hash::Sha1, "SCRAM-SHA-1")] {
            if self.login_allowed() && self.server().directory.scram_for_all(hash) {
                names.push(name);
            }
        }
        names
    }
}
