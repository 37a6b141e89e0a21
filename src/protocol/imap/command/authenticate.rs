//! AUTHENTICATE PLAIN (RFC 3501 section 6.2.2, RFC 4616, RFC 4959). The exchange of lines is the listener's; here is the response.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::login;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::Secret;
use crate::protocol::imap::session::Session;

/// Takes the base64 response of the client; `=` is the empty one, `*` gives up.
///
/// # Errors
/// BAD for what is no response, NO when the login failed.
pub fn plain(session: &mut Session, response: &[u8], now_s: i64) -> Answered {
    match response {
        b"*" => return Err(Answer::bad("Authentication cancelled")),
        b"=" => return Err(Answer::bad("Invalid response")),
        _ => {}
    }
    let decoded = STANDARD.decode(response).map_err(|_| Answer::bad("Invalid base64 string"))?;
    let Some((authzid, authcid, password)) = split(&decoded) else {
        return Err(Answer::bad("Invalid response"));
    };
    let authzid = if authzid.is_empty() { authcid } else { authzid };
    login::admit(session, "PLAIN", authzid, authcid, &Secret(password.to_vec()), now_s)
}

/// `authzid NUL authcid NUL password`.
fn split(decoded: &[u8]) -> Option<(&str, &str, &[u8])> {
    let mut fields = decoded.split(|byte| *byte == 0);
    let (authzid, authcid, password) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || authcid.is_empty() {
        return None;
    }
    Some((std::str::from_utf8(authzid).ok()?, std::str::from_utf8(authcid).ok()?, password))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_three_fields() {
        assert_eq!(split(b"\0joe\0secret"), Some(("", "joe", &b"secret"[..])));
        assert_eq!(split(b"mary\0joe\0"), Some(("mary", "joe", &b""[..])));
        for wrong in [&b"joe\0secret"[..], b"\0\0x", b"a\0b\0c\0d", b"", b"\xff\0joe\0x"] {
            assert_eq!(split(wrong), None);
        }
    }
}
