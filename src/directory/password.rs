//! Passwords as a directory stores them: made with Argon2id (PHC string), verified in the schemes that old directories hold.
//! Source: RFC 2307 section 5.3 (the `{SCHEME}` prefix), RFC 9106 (Argon2), the PHC string format.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;

/// The most memory (KiB) and passes that a stored hash may ask of us.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 64;

/// Why a stored password cannot be used or made.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// The scheme is not known to this program.
    #[error("password scheme {0} is not supported")]
    Unsupported(String),
    /// The scheme is known, its value is damaged.
    #[error("the stored {0} password is malformed")]
    Malformed(&'static str),
    /// The password cannot be stored: empty, or longer than the limit.
    #[error("the password is empty or longer than 1024 bytes")]
    Unfit,
    /// Mail programs could not send the password in every way of logging in.
    #[error("the password holds {0:?}, which cannot stand in every login, or not beside the others (RFC 4013)")]
    Character(char),
    /// The hash could not be computed.
    #[error("the password could not be hashed")]
    Hashing,
}

/// Makes the value of `userPassword` for a new password: `{ARGON2}` and an Argon2id PHC string (19 MiB, 2 passes, random salt).
///
/// # Errors
/// [`PasswordError::Unfit`] for an empty or overlong password; [`PasswordError::Hashing`] without memory or random numbers.
pub fn create(password: &str) -> Result<String, PasswordError> {
    check_length(password)?;
    let salt = SaltString::generate(&mut OsRng);
    let hash = argon2id().hash_password(password.as_bytes(), &salt).map_err(|_| PasswordError::Hashing)?;
    Ok(format!("{{ARGON2}}{hash}"))
}

/// May this be a password, as far as its length goes: 1 to 1024 bytes?
///
/// # Errors
/// [`PasswordError::Unfit`].
pub(super) fn check_length(password: &str) -> Result<(), PasswordError> {
    if password.is_empty() || password.len() > 1024 { Err(PasswordError::Unfit) } else { Ok(()) }
}

/// Compares a password with a stored value. `Ok(false)`: another password. An empty password never matches.
///
/// # Errors
/// [`PasswordError::Unsupported`] or [`PasswordError::Malformed`] when the stored value cannot be checked.
pub fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    if check_length(password).is_err() {
        return Ok(false);
    }
    let stored = stored.trim();
    let (scheme, value) = split(stored);
    match scheme.as_str() {
        "" if value.starts_with("$argon2") => argon2_matches(password, value),
        "ARGON2" | "ARGON2ID" | "ARGON2I" => argon2_matches(password, value),
        "SSHA" | "SHA" => salted::<sha1::Sha1>(password, value, "SSHA", scheme == "SSHA"),
        "SSHA256" | "SHA256" => salted::<sha2::Sha256>(password, value, "SSHA256", scheme == "SSHA256"),
        "SSHA512" | "SHA512" => salted::<sha2::Sha512>(password, value, "SSHA512", scheme == "SSHA512"),
        "CRYPT" => crypt(password, value),
        "CLEAR" | "CLEARTEXT" | "PLAIN" => Ok(same(password.as_bytes(), value.as_bytes())),
        "" => Err(PasswordError::Unsupported("\"plain text without {CLEAR}\"".to_owned())),
        other => Err(PasswordError::Unsupported(format!("{{{other}}}"))),
    }
}

/// The password itself, where the value holds it.
pub(super) fn clear(stored: &str) -> Option<&str> {
    let (scheme, value) = split(stored.trim());
    matches!(scheme.as_str(), "CLEAR" | "CLEARTEXT" | "PLAIN").then_some(value)
}

/// True when checking this value costs an Argon2 computation.
pub(super) fn is_slow(stored: &str) -> bool {
    let (scheme, value) = split(stored.trim());
    scheme.starts_with("ARGON2") || (scheme.is_empty() && value.starts_with("$argon2"))
}

/// Costs what a wrong password costs, so that the time of an answer does not tell which users exist.
pub(super) fn spend(password: &str) {
    let mut out = [0u8; 32];
    let spent = argon2id().hash_password_into(password.as_bytes(), b"no such user....", &mut out);
    std::hint::black_box((spent.is_ok(), out));
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// Splits `{SCHEME}value`; the scheme in upper case, empty when there is none.
fn split(stored: &str) -> (String, &str) {
    stored
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .map_or((String::new(), stored), |(scheme, value)| (scheme.to_ascii_uppercase(), value))
}

fn argon2_matches(password: &str, value: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(value).map_err(|_| PasswordError::Malformed("{ARGON2}"))?;
    let params = Params::try_from(&hash).map_err(|_| PasswordError::Malformed("{ARGON2}"))?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
        return Err(PasswordError::Malformed("{ARGON2}"));
    }
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(_) => Err(PasswordError::Malformed("{ARGON2}")),
    }
}

fn salted<D: Digest>(
    password: &str,
    value: &str,
    scheme: &'static str,
    with_salt: bool,
) -> Result<bool, PasswordError> {
    let bytes = STANDARD.decode(value).map_err(|_| PasswordError::Malformed(scheme))?;
    let length = <D as Digest>::output_size();
    let (Some(digest), Some(salt)) = (bytes.get(..length), bytes.get(length..)) else {
        return Err(PasswordError::Malformed(scheme));
    };
    if with_salt == salt.is_empty() {
        return Err(PasswordError::Malformed(scheme));
    }
    let mut hasher = D::new();
    hasher.update(password.as_bytes());
    hasher.update(salt);
    Ok(same(&hasher.finalize(), digest))
}

fn crypt(password: &str, value: &str) -> Result<bool, PasswordError> {
    let (method, hash) = value.rsplit_once('$').unwrap_or(("", value));
    // The shortest is that of DES: two characters of salt, eleven of hash.
    if hash.len() < 11 {
        return Err(PasswordError::Malformed("{CRYPT}"));
    }
    match crate::os::crypt::crypt(password, value) {
        Some(made) => Ok(same(made.as_bytes(), value.as_bytes())),
        None => {
            let kind = method.strip_prefix('$').and_then(|rest| rest.split('$').next());
            Err(PasswordError::Unsupported(kind.map_or("{CRYPT}".to_owned(), |id| format!("{{CRYPT}} ${id}$"))))
        }
    }
}

/// Compares without a time that depends on where the difference is.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let different = a.iter().zip(b).fold(0u8, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(different) == 0 && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_password_verifies() {
        let stored = create("correct horse").unwrap();
        assert!(stored.starts_with("{ARGON2}$argon2id$"), "{stored}");
        assert_eq!(verify("correct horse", &stored), Ok(true));
        assert_eq!(verify("correct horsf", &stored), Ok(false));
        assert_eq!(verify("", &stored), Ok(false));
        assert_ne!(create("correct horse").unwrap(), stored);
        assert_eq!(create(""), Err(PasswordError::Unfit));
    }

    #[test]
    fn old_schemes_verify() {
        // Values made with OpenSSL: printf secret | openssl sha1 -binary | base64; openssl passwd -6 -salt saltstring.
        for (stored, good) in [
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
            (
                "{crypt}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
                "Hello world!",
            ),
            ("{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
            ("{CRYPT}abNANd1rDfiNc", "secret"),
            ("{CRYPT}$1$saltsalt$9xy1btjgzLYfb7hivXtC//", "secret"),
            ("{CLEAR}secret", "secret"),
        ] {
            assert_eq!(verify(good, stored), Ok(true), "{stored}");
            assert_eq!(verify("Secret", stored), Ok(false), "{stored}");
        }
        let mut hasher = sha1::Sha1::new();
        hasher.update(b"secretSALT");
        let mut bytes = hasher.finalize().to_vec();
        bytes.extend_from_slice(b"SALT");
        let stored = format!("{{SSHA}}{}", STANDARD.encode(bytes));
        assert_eq!(verify("secret", &stored), Ok(true));
        assert_eq!(verify("secreu", &stored), Ok(false));
    }

    #[test]
    fn what_cannot_be_checked_is_said() {
        for stored in ["secret", "{CRYPT}$nonsense$0123456789a", "{NTLM}xx"] {
            assert!(matches!(verify("secret", stored), Err(PasswordError::Unsupported(_))), "{stored}");
        }
        for stored in ["{SSHA}!!", "{SSHA}AAAA", "{ARGON2}$argon2id$x", "{CRYPT}$6$", "{CRYPT}ab"] {
            assert!(matches!(verify("secret", stored), Err(PasswordError::Malformed(_))), "{stored}");
        }
    }
}
