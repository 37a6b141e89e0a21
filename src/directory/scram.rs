//! What a directory keeps for SCRAM-SHA-256: no password, only keys made from it. Source: RFC 5802 section 3, RFC 7677, RFC 5803 (the form of
//! `authPassword`), RFC 4013 (SASLprep).

use std::borrow::Cow;
use std::num::NonZeroU32;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::password::{self, PasswordError};

/// The scheme of `authPassword`.
const SCHEME: &str = "SCRAM-SHA-256";
/// Passes for new keys: the client pays for them at each login, whoever steals the directory for each guess.
const PASSES: u32 = 100_000;
/// The most passes that stored keys may ask of a client, and the least that RFC 7677 allows.
const MAX_PASSES: u32 = 10_000_000;
const MIN_PASSES: u32 = 4096;
/// Bytes of a new salt.
const SALT: usize = 16;

/// A digest or a key.
pub type Bytes32 = [u8; 32];

/// The keys of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// What the client mixes with its password.
    pub salt: Vec<u8>,
    /// How often it does.
    pub passes: u32,
    /// Tells a right proof of the client from a wrong one.
    pub stored_key: Bytes32,
    /// Signs the answer, so that the client knows the server.
    pub server_key: Bytes32,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} passes)", self.passes)
    }
}

impl Keys {
    /// Keys for a new password, with a salt of their own.
    ///
    /// # Errors
    /// [`PasswordError::Unfit`] for a password that is empty or overlong, [`PasswordError::Character`] for one that mail programs could not send.
    pub fn create(password: &str) -> Result<Keys, PasswordError> {
        Keys::derive(password, random::<SALT>().to_vec(), PASSES)
    }

    /// Keys for a password that the directory holds in the clear; the same each time, as keys that are stored are.
    ///
    /// # Errors
    /// As [`Keys::create`].
    pub(super) fn of_clear(password: &str, secret: &Bytes32, userid: &str) -> Result<Keys, PasswordError> {
        Keys::derive(password, salt_of(secret, userid), PASSES)
    }

    fn derive(password: &str, salt: Vec<u8>, passes: u32) -> Result<Keys, PasswordError> {
        let prepared = prepare(password)?;
        let mut salted = Bytes32::default();
        let count = NonZeroU32::new(passes).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, prepared.as_bytes(), &mut salted);
        Ok(Keys {
            salt,
            passes,
            stored_key: digest(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        })
    }

    /// Keys that fit no password, for somebody who does not exist or has none. Salt and passes are the same each time, and of the form that
    /// [`Keys::create`] gives: asking tells nothing.
    pub(super) fn of_nobody(secret: &Bytes32, userid: &str) -> Keys {
        Keys { salt: salt_of(secret, userid), passes: PASSES, stored_key: random(), server_key: random() }
    }

    /// The keys in a value of `authPassword`: `SCRAM-SHA-256$PASSES:SALT$STOREDKEY:SERVERKEY`, the three in base64. `None`: another scheme.
    ///
    /// # Errors
    /// [`PasswordError::Malformed`].
    pub fn parse(value: &str) -> Result<Option<Keys>, PasswordError> {
        let mut parts = value.trim().splitn(3, '$').map(str::trim);
        if !parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME)) {
            return Ok(None);
        }
        let keys = (|| {
            let (passes, salt) = parts.next()?.split_once(':')?;
            let (stored, server) = parts.next()?.split_once(':')?;
            let passes = passes.parse().ok().filter(|passes| (MIN_PASSES..=MAX_PASSES).contains(passes))?;
            let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
            let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
            Some(Keys { salt, passes, stored_key: key(stored)?, server_key: key(server)? })
        })();
        keys.map(Some).ok_or(PasswordError::Malformed(SCHEME))
    }

    /// The value of `authPassword`.
    pub fn value(&self) -> String {
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        let (salt, stored, server) = (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        format!("{SCHEME}${}:{salt}${stored}:{server}", self.passes)
    }

    /// Is this the proof of somebody who knows the password? `auth_message` as RFC 5802 section 3 makes it.
    pub fn proves(&self, auth_message: &[u8], proof: &Bytes32) -> bool {
        let mut key = sign(&self.stored_key, auth_message);
        for (byte, other) in key.iter_mut().zip(proof) {
            *byte ^= other;
        }
        password::same(&digest(&key), &self.stored_key)
    }

    /// What shows the client that the server knows the user.
    pub fn server_signature(&self, auth_message: &[u8]) -> Bytes32 {
        sign(&self.server_key, auth_message)
    }
}

/// A salt that does not have to be stored.
fn salt_of(secret: &Bytes32, userid: &str) -> Vec<u8> {
    sign(secret, userid.as_bytes()).get(..SALT).unwrap_or_default().to_vec()
}

/// A password as SCRAM takes it (RFC 4013).
///
/// # Errors
/// [`PasswordError::Unfit`], [`PasswordError::Character`].
pub(super) fn prepare(password: &str) -> Result<Cow<'_, str>, PasswordError> {
    password::check_length(password)?;
    let refused = |text: &str| stringprep::saslprep(text).is_err();
    stringprep::saslprep(password).map_err(|_| {
        // A single character; else the directions of writing are mixed (RFC 3454 section 6), where the first one stands for it.
        let bad = password.chars().find(|c| refused(c.encode_utf8(&mut [0; 4]))).or_else(|| password.chars().next());
        PasswordError::Character(bad.unwrap_or_default())
    })
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn digest(bytes: &[u8]) -> Bytes32 {
    bytes32(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// HMAC-SHA-256 (RFC 2104).
fn sign(key: &[u8], message: &[u8]) -> Bytes32 {
    bytes32(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

fn bytes32(bytes: &[u8]) -> Bytes32 {
    let mut out = Bytes32::default();
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 section 3: user "user", password "pencil".
    fn rfc() -> (Keys, Vec<u8>) {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        (Keys::derive("pencil", salt, 4096).unwrap(), message.as_bytes().to_vec())
    }

    #[test]
    fn the_example_of_the_rfc() {
        let (keys, message) = rfc();
        let proof: Bytes32 =
            STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap().try_into().unwrap();
        assert!(keys.proves(&message, &proof));
        assert!(!keys.proves(&message[1..], &proof));
        assert!(!keys.proves(&message, &[0; 32]));
        let signature = STANDARD.encode(keys.server_signature(&message));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn values_are_read_as_written() {
        let (keys, _) = rfc();
        let value = keys.value();
        assert!(value.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{value}");
        assert_eq!(Keys::parse(&value), Ok(Some(keys)));
        assert_eq!(Keys::parse("MD5$x$y"), Ok(None));
        for wrong in ["", "$4095:AA==", "$4096:AA==$AA==:AA==", "$4096:$x:y", "$99999999:AA==$x:y"] {
            let value = format!("scram-sha-256{wrong}");
            assert_eq!(Keys::parse(&value), Err(PasswordError::Malformed("SCRAM-SHA-256")), "{value}");
        }
    }

    #[test]
    fn a_password_is_prepared() {
        // RFC 4013 section 3: a soft hyphen maps to nothing, U+2168 is IX; a control character is prohibited.
        let keys = |password: &str| Keys::derive(password, b"salt".to_vec(), 4096);
        assert_eq!(keys("I\u{ad}X"), keys("IX"));
        assert_eq!(keys("\u{2168}"), keys("IX"));
        assert_eq!(keys("a\u{7}"), Err(PasswordError::Character('\u{7}')));
        assert_eq!(keys("ab\u{1f600}"), Err(PasswordError::Character('\u{1f600}')));
        assert_eq!(keys("\u{627}1"), Err(PasswordError::Character('\u{627}')));
        assert_eq!(keys(""), Err(PasswordError::Unfit));
        let clear = |secret, userid| Keys::of_clear("x", &[secret; 32], userid).unwrap();
        assert_eq!(clear(1, "joe"), clear(1, "joe"));
        assert!(clear(1, "joe").salt != clear(1, "ann").salt && clear(1, "joe").salt != clear(2, "joe").salt);
    }

    #[test]
    fn nobody_has_the_same_salt_each_time() {
        let (one, two) = (Keys::of_nobody(&[7; 32], "joe"), Keys::of_nobody(&[7; 32], "joe"));
        assert_eq!((&one.salt, one.passes), (&two.salt, two.passes));
        assert_ne!(one.salt, Keys::of_nobody(&[7; 32], "jo").salt);
    }
}
