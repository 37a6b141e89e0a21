//! SCRAM-SHA-1 and SCRAM-SHA-256, the server's side; which of the two it is, is a matter of the keys. Source: RFC 5802 (sections 3, 5, 7), RFC 7677. Channel binding is not offered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{SaslError, Step};
use crate::directory::scram::{Keys, random};

/// Most bytes of a message; the longest name and nonce are far below.
const MESSAGE: usize = 4096;

/// How far the exchange is.
#[derive(Default)]
pub(super) enum Scram {
    /// Waits for the client's first message.
    #[default]
    First,
    /// Waits for the proof.
    Proof {
        who: Who,
        keys: Keys,
        /// The header of the first message, which the second repeats in base64.
        header: String,
        /// Both nonces, one after the other.
        nonce: String,
        /// The first two messages as they go into the signature.
        so_far: String,
    },
    /// The signature of the server was sent; an empty message ends it.
    Last { who: Who, keys: Keys },
    /// Over.
    Over,
}

/// Whom the client wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    authzid: String,
    authcid: String,
}

/// The server's part of the nonce (printable, without a comma).
pub(super) fn nonce() -> String {
    STANDARD.encode(random::<18>())
}

impl Scram {
    /// Who the client is if the next message proves it.
    pub(super) fn claims(&self) -> Option<&str> {
        match self {
            Scram::Proof { who, .. } => Some(&who.authcid),
            _ => None,
        }
    }

    /// Takes a message. `found` gives the keys of a user, known or not.
    pub(super) fn respond(
        &mut self,
        message: &[u8],
        nonce: impl FnOnce() -> String,
        found: impl FnOnce(&str) -> Result<Keys, SaslError>,
    ) -> Result<Step, SaslError> {
        if message.len() > MESSAGE {
            return Err(SaslError::Malformed);
        }
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        match std::mem::replace(self, Scram::Over) {
            Scram::First => {
                let First { header, bare, who, nonce: client } = first(text).ok_or(SaslError::Malformed)?;
                let keys = found(&who.authcid)?;
                let nonce = format!("{client}{}", nonce());
                let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.passes);
                let so_far = format!("{bare},{answer}");
                *self = Scram::Proof { who, keys, header: header.to_owned(), nonce, so_far };
                Ok(Step::Ask(answer.into_bytes()))
            }
            Scram::Proof { who, keys, header, nonce, so_far } => {
                let size_bytes = keys.hash.size_bytes();
                let (without, proof) = second(text, &header, &nonce, size_bytes).ok_or(SaslError::Malformed)?;
                let message = format!("{so_far},{without}");
                if !keys.proves(message.as_bytes(), &proof) {
                    return Err(SaslError::Denied { authcid: who.authcid });
                }
                let signature = STANDARD.encode(keys.server_signature(message.as_bytes()));
                *self = Scram::Last { who, keys };
                Ok(Step::Ask(format!("v={signature}").into_bytes()))
            }
            Scram::Last { who: Who { authzid, authcid }, keys } if text.is_empty() => {
                Ok(Step::Proven { authzid, authcid, keys })
            }
            Scram::Last { .. } | Scram::Over => Err(SaslError::Malformed),
        }
    }
}

struct First<'a> {
    header: &'a str,
    bare: &'a str,
    who: Who,
    nonce: &'a str,
}

/// `gs2-header client-first-message-bare`.
fn first(text: &str) -> Option<First<'_>> {
    // "n": no channel binding; "y": the client could and believes that the server cannot, which is right; "p=": it insists.
    let rest = text.strip_prefix("n,").or_else(|| text.strip_prefix("y,"))?;
    let (authzid, bare) = rest.split_once(',')?;
    let header = text.get(..text.len() - bare.len())?;
    let mut attributes = bare.split(',');
    // An extension that must be understood ("m=") would stand in front.
    let authcid = name(attributes.next()?.strip_prefix("n=")?)?;
    let nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| is_printable(nonce))?;
    let authzid = match authzid {
        "" => authcid.clone(),
        given => name(given.strip_prefix("a=")?)?,
    };
    Some(First { header, bare, who: Who { authzid, authcid }, nonce })
}

/// `client-final-message`: the part before the proof, and the proof, which is as long as a digest.
fn second<'a>(text: &'a str, header: &str, nonce: &str, size_bytes: usize) -> Option<(&'a str, Vec<u8>)> {
    let (without, proof) = text.rsplit_once(",p=")?;
    let mut attributes = without.split(',');
    let binding = STANDARD.decode(attributes.next()?.strip_prefix("c=")?).ok()?;
    if binding != header.as_bytes() || attributes.next()?.strip_prefix("r=")? != nonce {
        return None;
    }
    Some((without, STANDARD.decode(proof).ok().filter(|proof| proof.len() == size_bytes)?))
}

/// A name: `=2C` is a comma, `=3D` an equals sign, no other `=` is allowed (RFC 5802 section 5.1). SASLprep as for passwords.
fn name(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut parts = text.split('=');
    plain.push_str(parts.next()?);
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    let prepared = stringprep::saslprep(&plain).ok()?.into_owned();
    (!prepared.is_empty()).then_some(prepared)
}

fn is_printable(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pencil() -> Keys {
        // The user of RFC 7677 section 3; tests of directory::scram show that these are the keys of "pencil".
        let value = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        Keys::parse(value).unwrap().unwrap()
    }

    fn run(scram: &mut Scram, message: &str) -> Result<String, String> {
        let nonce = || "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        match scram.respond(message.as_bytes(), nonce, |_| Ok(pencil())) {
            Ok(Step::Ask(challenge)) => Ok(String::from_utf8(challenge).unwrap()),
            Ok(Step::Proven { authzid, authcid, .. }) => Ok(format!("{authzid} by {authcid}")),
            Ok(Step::Password { .. }) => Err("a password".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SECOND: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_exchange_of_the_rfc() {
        let mut scram = Scram::default();
        let asked = run(&mut scram, FIRST).unwrap();
        assert_eq!(asked, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(run(&mut scram, SECOND).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(run(&mut scram, "").unwrap(), "user by user");
        assert!(run(&mut scram, "").is_err());
    }

    /// RFC 5802 section 5.
    #[test]
    fn the_exchange_with_sha_1() {
        let value = "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=";
        let keys = || Ok(Keys::parse(value).unwrap().unwrap());
        let mut scram = Scram::default();
        let mut said =
            |message: &str| match scram.respond(message.as_bytes(), || "3rfcNHYJY1ZVvWVs7j".to_owned(), |_| keys()) {
                Ok(Step::Ask(challenge)) => String::from_utf8(challenge).unwrap(),
                Ok(Step::Proven { authcid, .. }) => authcid,
                other => format!("{other:?}"),
            };
        assert_eq!(
            said("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"),
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
        );
        let last = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        assert_eq!(said(last), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
        assert_eq!(said(""), "user");
    }

    #[test]
    fn what_is_no_exchange_is_refused() {
        let invalid = Err("Invalid response".to_owned());
        for wrong in [
            "",
            "n,,n=user",
            "n,,n=,r=x",
            "n,,r=x,n=user",
            "p=tls-unique,,n=user,r=x",
            "n,joe,n=user,r=x",
            "n,,m=x,n=user,r=x",
            "n,,n=us=er,r=x",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "n,,n=us\u{7}er,r=x",
        ] {
            assert_eq!(run(&mut Scram::default(), wrong), invalid, "{wrong}");
        }
        assert_eq!(run(&mut Scram::default(), &format!("n,,n=user,r={}", "x".repeat(5000))), invalid);
        let denied = Err("authentication failure of user".to_owned());
        for (wrong, answer) in [
            (SECOND.replace("p=d", "p=e"), &denied),
            (SECOND.replace("c=biws", "c=eSws"), &invalid),
            (SECOND.replace("k0,p", "k1,p"), &invalid),
            (SECOND.replace("r=rOpr", "r=ropr"), &invalid),
            ("c=biws,r=x,p=".to_owned(), &invalid),
            (String::new(), &invalid),
        ] {
            let mut scram = Scram::default();
            run(&mut scram, FIRST).unwrap();
            assert_eq!(run(&mut scram, &wrong), *answer, "{wrong}");
            // It does not go on after that.
            assert_eq!(run(&mut scram, SECOND), invalid);
        }
        let mut scram = Scram::default();
        run(&mut scram, FIRST).unwrap();
        run(&mut scram, SECOND).unwrap();
        assert_eq!(run(&mut scram, "x"), invalid);
    }

    #[test]
    fn names_are_unfolded() {
        let who = |text: &str| first(text).map(|first| (first.who.authzid, first.who.authcid, first.header.to_owned()));
        let expected = |authzid: &str, authcid: &str, header: &str| {
            Some((authzid.to_owned(), authcid.to_owned(), header.to_owned()))
        };
        assert_eq!(who("y,a=mary,n=a=2Cb=3D,r=x"), expected("mary", "a,b=", "y,a=mary,"));
        assert_eq!(who("n,,n=joe@siroe.com,r=x,ext=1"), expected("joe@siroe.com", "joe@siroe.com", "n,,"));
    }
}
